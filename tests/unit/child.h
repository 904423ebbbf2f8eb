/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_CHILD_H
#define UNIT_CHILD_H

/* For code that ends the process. Behind <cmocka.h>, as everything that asserts. */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rc.h"

/* Runs f in a child: its exit code (256 and more: a signal); what it printed to stderr goes to said. */
static char said[4096];

static inline int run_child(void (*f)(void))
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(fds[1], STDERR_FILENO);
        f();
        _exit(0);
    }
    close(fds[1]);
    size_t n = 0;
    ssize_t got;
    while ((got = read(fds[0], said + n, sizeof(said) - 1 - n)) > 0)
        n += (size_t)got;
    said[n] = 0;
    close(fds[0]);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + status;
}

static inline void assert_bug(void (*f)(void), const char *text)
{
    assert_int_equal(run_child(f), RC_BUG);
    assert_non_null(strstr(said, text));
}

#endif
