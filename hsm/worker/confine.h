/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HSM_WORKER_CONFINE_H
#define HSM_WORKER_CONFINE_H

#include <stdbool.h>

#include "base/err.h"
#include "hsm/proto.h"

struct fault;

/*
 * Takes from the calling thread, and from every thread it starts later, what the module does not need: after
 * it the module opens the files of the request, its own and the system's libraries, and nothing else; it
 * starts no program; it makes or takes no TCP connection (Linux 6.7 and newer), reaches no abstract socket
 * and signals no other process (6.12). What is open already stays usable, the socket to the tool above all.
 * By Landlock and no-new-privileges alone: a filter of system calls would have to know each module's, and a
 * wrong guess ends a ceremony.
 *
 * To be called after the module is loaded and initialised (it may read its configuration then), before the
 * login and before other threads. Once only.
 *
 * lock_folder: where start_lock keeps its files, writable; NULL: none. *ret_in_force is false when rq does
 * not ask for it, when the kernel cannot (before 5.13, or Landlock is switched off), and when the module has
 * threads of its own already, which the calling thread cannot confine; none of these is a failure. What goes
 * wrong otherwise is PROTO_FAILED: better no login than one less safe than it says.
 */
NODISCARD enum proto_status confine(const struct proto_login *rq, const char *module, const char *lock_folder,
                                    bool *ret_in_force, struct fault *f);

#endif
