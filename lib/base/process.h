/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

/* First thing in every main: no core dumps, not dumpable (the asan build leaves that out: its leak check
 * needs ptrace), no new privileges, umask 077, SIGPIPE ignored, descriptors 0 to 2 open. What fails here is
 * not fatal except no-new-privs, which ends the process with RC_SYSTEM. */
void process_harden(void);

#endif
