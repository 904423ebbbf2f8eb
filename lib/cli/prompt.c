/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/secret.h"
#include "cli/internal.h"

enum { ANSWER_MAX = 512 }; /* octets; PKCS#11 tokens take up to 255 */

/*
 * Signals that end or stop the process are blocked while the echo is off and watched through a descriptor. So
 * Ctrl-C ends the wait at once, the terminal is put right, and the signal then does what it always does when
 * it is unblocked.
 */
struct quiet_tty {
    int tty, signals;
    struct termios saved;
    sigset_t mask;
};

static enum rc tty_quiet(struct quiet_tty *q, struct err *e)
{
    sigset_t watched;
    struct termios t;

    if (tcgetattr(q->tty, &q->saved) != 0)
        return err_sys(e, "cli.terminal", "cannot read the settings of '/dev/tty'");
    sigemptyset(&watched);
    sigaddset(&watched, SIGINT);
    sigaddset(&watched, SIGQUIT);
    sigaddset(&watched, SIGTERM);
    sigaddset(&watched, SIGHUP);
    sigaddset(&watched, SIGTSTP);
    q->signals = signalfd(-1, &watched, SFD_CLOEXEC);
    if (q->signals < 0)
        return err_sys(e, "cli.terminal", "cannot watch for signals");
    pthread_sigmask(SIG_BLOCK, &watched, &q->mask);

    t = q->saved;
    t.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
    t.c_lflag |= ICANON | ISIG;
    t.c_iflag |= ICRNL;
    if (tcsetattr(q->tty, TCSAFLUSH, &t) == 0)
        return RC_OK;
    err_sys(e, "cli.terminal", "cannot turn off the echo of '/dev/tty'");
    pthread_sigmask(SIG_SETMASK, &q->mask, NULL);
    close(q->signals);
    return e->rc;
}

/* TCSAFLUSH: what was typed ahead, or did not fit, is not left for the shell to run. A signal that came takes
 * effect here. */
static void tty_restore(const struct quiet_tty *q)
{
    tcsetattr(q->tty, TCSAFLUSH, &q->saved);
    close(q->signals);
    pthread_sigmask(SIG_SETMASK, &q->mask, NULL);
}

static enum rc put(int fd, const char *s, struct err *e)
{
    size_t n = strlen(s);
    while (n > 0) {
        ssize_t done = write(fd, s, n);
        if (done < 0 && errno != EINTR)
            return err_sys(e, "cli.terminal", "cannot write to '/dev/tty'");
        if (done > 0) {
            s += done;
            n -= (size_t)done;
        }
    }
    return RC_OK;
}

/* Waits for input. RC_SYSTEM when a signal came first. */
static enum rc wait_input(const struct quiet_tty *q, struct err *e)
{
    struct pollfd fds[] = {{.fd = q->signals, .events = POLLIN}, {.fd = q->tty, .events = POLLIN}};
    while (poll(fds, 2, -1) < 0) {
        if (errno != EINTR)
            return err_sys(e, "cli.terminal", "cannot wait for '/dev/tty'");
    }
    return fds[0].revents == 0
               ? RC_OK
               : err_set(e, RC_SYSTEM, "cli.interrupted", "interrupted while waiting for an answer");
}

/* One line, without its end. */
static enum rc read_answer(const struct quiet_tty *q, struct secret *s, struct err *e)
{
    uint8_t *p = secret_data(s);
    size_t n = 0;

    while (n == 0 || p[n - 1] != '\n') {
        if (n == secret_cap(s))
            return err_set(e, RC_INPUT, "cli.answer",
                           "the answer is too long: at most %d characters are allowed", ANSWER_MAX);
        enum rc rc = wait_input(q, e);
        if (rc != RC_OK)
            return rc;
        ssize_t got = read(q->tty, p + n, secret_cap(s) - n);
        if (got < 0 && errno != EINTR)
            return err_sys(e, "cli.terminal", "cannot read from '/dev/tty'");
        if (got == 0)
            return err_set(e, RC_USAGE, "cli.answer", "no answer was given");
        if (got > 0)
            n += (size_t)got;
    }
    secret_set_len(s, n - 1);
    return n > 1 ? RC_OK : err_set(e, RC_USAGE, "cli.answer", "the answer is empty");
}

/* Asks once. *ret_stopped: a stop came first, and is over. */
static enum rc ask(struct quiet_tty *q, const char *shown, struct secret *s, bool *ret_stopped, struct err *e)
{
    sigset_t pending;
    struct err ignored;
    enum rc rc = tty_quiet(q, e);
    if (rc != RC_OK)
        return rc;
    rc = put(q->tty, shown, e);
    if (rc == RC_OK)
        rc = read_answer(q, s, e);
    (void)!put(q->tty, "\n", &ignored); /* the one that was not echoed */
    /* One that was blocked before we came does not stop us. */
    *ret_stopped = sigpending(&pending) == 0 && sigismember(&pending, SIGTSTP) == 1 &&
                   sigismember(&q->mask, SIGTSTP) == 0;
    tty_restore(q);
    return rc;
}

enum rc prompt_secret(const char *question, const char *hint, struct secret **ret, struct err *e)
{
    struct quiet_tty q = {.signals = -1};
    struct secret *s = NULL;
    struct bytes shown = BYTES_INIT;
    bool stopped = false;
    enum rc rc;

    if (!cli_may_prompt())
        return err_set(e, RC_USAGE, "cli.no-terminal", "cannot ask for the %s: --no-input was given; use %s",
                       question, hint);
    q.tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (q.tty < 0)
        return err_set(e, RC_USAGE, "cli.no-terminal", "cannot ask for the %s: there is no terminal; use %s",
                       question, hint);
    show(&shown, question);
    bytes_add_str(&shown, ": ");
    s = secret_new(ANSWER_MAX + 1);

    do {
        stopped = false;
        rc = ask(&q, bytes_str(&shown), s, &stopped, e);
    } while (rc != RC_OK && stopped);
    if (rc == RC_OK) {
        err_clear(e); /* of the stop */
        *ret = s;
        s = NULL;
    }
    secret_free(s);
    bytes_free(&shown);
    close(q.tty);
    return rc;
}
