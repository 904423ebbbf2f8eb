/* SPDX-License-Identifier: Apache-2.0 */
#include "base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"

enum { POLL_MS = 10 };

struct lock {
    int fd;
};

/* 0, or -1 with errno; EWOULDBLOCK when the time is over. flock has no timeout and an alarm would belong to
 * the whole process: so it polls. */
static int flock_wait(int fd, int wait_ms)
{
    int64_t end = clock_mono_ms() + wait_ms;
    for (;;) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return 0;
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK || clock_mono_ms() >= end)
            return -1;
        const struct timespec pause = {0, POLL_MS * 1000000L};
        nanosleep(&pause, NULL);
    }
}

enum rc lock_take(const char *path, int wait_ms, struct lock **ret, struct err *e)
{
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(e, "lock.open", "cannot open the lock file '%s'", path);
    if (flock_wait(fd, wait_ms) < 0) {
        enum rc rc = errno == EWOULDBLOCK
                         ? err_set(e, RC_CONFLICT, "lock.busy",
                                   "'%s' is locked by another process: let it finish, then try again", path)
                         : err_sys(e, "lock.open", "cannot lock '%s'", path);
        close(fd);
        return rc;
    }
    *ret = mem_new(sizeof(**ret));
    (*ret)->fd = fd;
    return RC_OK;
}

void lock_drop(struct lock *l)
{
    if (!l)
        return;
    flock(l->fd, LOCK_UN); /* close alone would leave it with a forked child that still has the descriptor */
    close(l->fd);
    free(l);
}
