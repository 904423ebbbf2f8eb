/* SPDX-License-Identifier: Apache-2.0 */
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rc.h"

/* Without this the first file opened would become standard output, and what is printed would land in it. */
static void open_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != fd)
            return; /* no /dev/null here; open takes the lowest free number, so the next ones would fail as
                       well */
}

void process_harden(void)
{
    open_standard_descriptors();
    umask(077);
    signal(SIGPIPE, SIG_IGN);
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
#ifndef KEYMILL_ASAN
    (void)prctl(PR_SET_DUMPABLE, 0UL, 0UL, 0UL, 0UL);
#endif
    if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) < 0) {
        perror("keymill: the kernel refuses no-new-privileges");
        _exit(RC_SYSTEM);
    }
}
