/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include "base/err.h"

/* An exclusive advisory lock on a file (flock), dropped by the kernel when its holder dies. */
struct lock;

/* Takes the lock of path (made with mode 0600 when absent), waiting at most wait_ms milliseconds. RC_CONFLICT
 * lock.busy names the path; RC_SYSTEM lock.open. The file stays for ever: removing it would let two processes
 * hold "the" lock. */
NODISCARD enum rc lock_take(const char *path, int wait_ms, struct lock **ret, struct err *e);
void lock_drop(struct lock *l); /* NULL is allowed */

#endif
