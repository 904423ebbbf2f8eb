/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/worker_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/secret.h"

enum {
    END_GRACE_MS = 2000, /* for C_Finalize */
    FD_ABOVE = 10,       /* our ends are moved above the numbers that the worker's ends get */
};

extern char **environ;

/* --- life and death */

static void fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static bool fd_raise(int *fd)
{
    int higher = fcntl(*fd, F_DUPFD_CLOEXEC, FD_ABOVE);
    if (higher < 0)
        return false;
    close(*fd);
    *fd = higher;
    return true;
}

static int spawn(const char *path, int sock, int pin, pid_t *ret)
{
    char *argv[] = {mem_str(path), NULL};
    posix_spawn_file_actions_t actions;
    int rc = posix_spawn_file_actions_init(&actions);
    if (rc == 0) {
        rc = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
        /* Modules print; standard output is for the tool's result alone. */
        if (rc == 0)
            rc = posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
        if (rc == 0)
            rc = posix_spawn_file_actions_adddup2(&actions, sock, PROTO_FD_SOCKET);
        if (rc == 0)
            rc = posix_spawn_file_actions_adddup2(&actions, pin, PROTO_FD_PIN);
        if (rc == 0)
            rc = posix_spawn_file_actions_addclosefrom_np(&actions, PROTO_FD_PIN + 1);
        if (rc == 0)
            rc = posix_spawn(ret, path, &actions, NULL, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
    }
    free(argv[0]);
    return rc;
}

enum rc worker_start(struct worker *w, struct err *e)
{
    int pair[2] = {-1, -1};
    char *path = NULL;
    int failed = 0;
    *w = (struct worker)WORKER_INIT;
    enum rc rc = path_libexec("keymill-token", &path, e);
    if (rc != RC_OK)
        return rc;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0 || pipe2(w->pin, O_CLOEXEC) != 0 ||
        !fd_raise(&pair[0]) || !fd_raise(&pair[1]) || !fd_raise(&w->pin[0]) || !fd_raise(&w->pin[1])) {
        rc = err_sys(e, "hsm.worker-start", "cannot make the channels to the token worker");
    } else if ((failed = spawn(path, pair[1], w->pin[0], &w->pid)) != 0) {
        errno = failed;
        rc = err_sys(e, "hsm.worker-start", "cannot start the token worker '%s'", path);
    } else {
        w->sock = pair[0];
        pair[0] = -1;
    }
    fd_close(&pair[0]);
    fd_close(&pair[1]);
    if (rc != RC_OK) {
        fd_close(&w->pin[0]);
        fd_close(&w->pin[1]);
        w->pid = 0;
    }
    free(path);
    return rc;
}

/* Waits for the worker's own end, at most for the grace. Polling, because a file descriptor for a process is
 * not to be had everywhere. */
static bool ended_by_itself(pid_t pid)
{
    const struct timespec pause = {.tv_nsec = 500000};
    int64_t end = clock_mono_ms() + END_GRACE_MS;
    for (;;) {
        pid_t got = waitpid(pid, NULL, WNOHANG);
        if (got == pid || (got < 0 && errno != EINTR))
            return true;
        if (clock_mono_ms() >= end)
            return false;
        nanosleep(&pause, NULL);
    }
}

void worker_hang_up(struct worker *w)
{
    fd_close(&w->pin[0]);
    fd_close(&w->pin[1]);
    fd_close(&w->sock);
}

void worker_end(struct worker *w, bool hangs)
{
    worker_hang_up(w);
    if (w->pid <= 0)
        return;
    if (hangs || !ended_by_itself(w->pid)) {
        kill(w->pid, SIGKILL);
        while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    w->pid = 0;
}

enum rc worker_pin(struct worker *w, const struct secret *pin, struct err *e)
{
    uint32_t n = (uint32_t)secret_len(pin);
    if (n > PROTO_PIN_MAX)
        bug("a PIN of %u octets", n);
    /* A pipe takes this much at once. */
    if (write(w->pin[1], &n, sizeof n) != sizeof n || write(w->pin[1], secret_data(pin), n) != (ssize_t)n)
        return err_sys(e, "hsm.worker-start", "cannot hand the PIN to the token worker");
    return RC_OK;
}

/* --- requests */

static struct iovec iov(const void *p, size_t n)
{
    return (struct iovec){(void *)(uintptr_t)p, n};
}

/* A memory file with the items, sealed: the worker maps what cannot change or shrink under it. -1 with errno.
 */
static int memory_file(const uint8_t *p, size_t n)
{
    int fd = memfd_create("keymill-request", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    size_t done = 0;
    while (fd >= 0 && done < n) {
        ssize_t put = write(fd, p + done, n - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            break;
        done += (size_t)put;
    }
    if (fd >= 0 &&
        (done < n || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* What became of a message. NO_ROOM: the socket's buffer is full of those that the worker has yet to take. */
enum sending { SENT, NO_ROOM, NOBODY };

static enum sending message_send(const struct worker *w, const struct msghdr *m)
{
    for (;;) {
        if (sendmsg(w->sock, m, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
            return SENT;
        if (errno == EINTR)
            continue;
        return errno == EAGAIN || errno == EWOULDBLOCK ? NO_ROOM : NOBODY;
    }
}

static enum sending large_send(const struct worker *w, const struct request *rq, struct proto_header *h)
{
    union {
        struct cmsghdr align;
        char octets[CMSG_SPACE(sizeof(int))];
    } control = {.octets = {0}};
    struct iovec parts[2] = {iov(h, sizeof *h), iov(rq->fixed.p, rq->fixed.n)};
    struct msghdr m = {
        .msg_iov = parts, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof control};
    int fd = memory_file(rq->items, (size_t)rq->count * rq->size);
    if (fd < 0)
        return NOBODY;
    h->more = 1;
    *CMSG_FIRSTHDR(&m) =
        (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &fd, sizeof fd);
    enum sending s = message_send(w, &m);
    close(fd);
    return s;
}

static enum sending request_send(const struct worker *w, const struct request *rq, uint32_t id)
{
    struct proto_header h = {
        .version = PROTO_VERSION, .op = (uint16_t)rq->op, .id = id, .count = rq->count, .size = rq->size};
    size_t items = (size_t)rq->count * rq->size;
    if (sizeof h + rq->fixed.n + items > PROTO_MESSAGE_MAX)
        return large_send(w, rq, &h);
    struct iovec parts[3] = {iov(&h, sizeof h), iov(rq->fixed.p, rq->fixed.n), iov(rq->items, items)};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = 3};
    return message_send(w, &m);
}

/* One packet, or LATE after deadline_ms. When requests wait for room, *ret_n is 0 as soon as there is some.
 */
static enum outcome packet_receive(const struct worker *w, uint8_t *buf, size_t max, size_t *ret_n,
                                   bool waiting, int deadline_ms)
{
    int64_t end = clock_mono_ms() + deadline_ms;
    for (;;) {
        int64_t left = end - clock_mono_ms();
        struct pollfd p = {.fd = w->sock, .events = (short)(POLLIN | (waiting ? POLLOUT : 0))};
        int ready = poll(&p, 1, left > 0 ? (int)left : 0);
        if (ready == 0)
            return LATE;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready > 0 && p.revents == POLLOUT) {
            *ret_n = 0;
            return ANSWERED;
        }
        ssize_t n = ready < 0 ? -1 : recv(w->sock, buf, max, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < (ssize_t)sizeof(struct proto_header))
            return LOST;
        *ret_n = (size_t)n;
        return ANSWERED;
    }
}

/* Puts one reply where it belongs. base: id of request 0. Replies to an earlier exchange that ended early are
 * dropped. */
static enum outcome reply_take(struct exchange *x, const uint8_t *packet, size_t n, uint32_t base,
                               size_t *in_flight)
{
    struct proto_header h;
    memcpy(&h, packet, sizeof h);
    const uint8_t *body = packet + sizeof h;
    if (h.version != PROTO_VERSION || h.size > PROTO_MESSAGE_MAX || h.count > PROTO_MESSAGE_MAX ||
        n != sizeof h + (size_t)h.count * h.size)
        return LOST;
    uint32_t i = h.id - base;
    if (i >= x->n)
        return ANSWERED;
    if (h.op != x->requests[i].op || x->replies[i].done)
        return LOST;
    if (h.status != PROTO_OK) {
        if (n - sizeof h != sizeof x->error)
            return LOST;
        memcpy(&x->error, body, sizeof x->error);
        x->error.ckr[sizeof x->error.ckr - 1] = x->error.function[sizeof x->error.function - 1] = '\0';
        x->error.detail[sizeof x->error.detail - 1] = '\0';
        x->status = (enum proto_status)h.status;
        return REFUSED;
    }
    bytes_add(&x->replies[i].body, body, n - sizeof h);
    if (!h.more) {
        x->progress = x->replies[i].done = true;
        (*in_flight)--;
    }
    return ANSWERED;
}

/* Sends from *next on as many as the window and the socket's buffer allow. */
static enum sending window_fill(struct worker *w, struct exchange *x, uint32_t base, size_t *next,
                                size_t *in_flight)
{
    for (; *next < x->n && *in_flight < x->window; (*next)++) {
        if (x->replies[*next].done)
            continue;
        enum sending s = request_send(w, &x->requests[*next], base + (uint32_t)*next);
        if (s != SENT)
            return s;
        (*in_flight)++;
    }
    return SENT;
}

enum outcome worker_exchange(struct worker *w, struct exchange *x)
{
    uint8_t packet[PROTO_MESSAGE_MAX];
    uint32_t base = w->id;
    size_t next = 0, in_flight = 0, n = 0;
    w->id += (uint32_t)x->n;
    x->progress = false;
    for (size_t i = 0; i < x->n; i++) {
        if (!x->replies[i].done)
            bytes_wipe(&x->replies[i].body);
    }
    for (;;) {
        enum sending s = window_fill(w, x, base, &next, &in_flight);
        if (s == SENT && in_flight == 0)
            return ANSWERED;
        enum outcome o =
            s == NOBODY ? LOST : packet_receive(w, packet, sizeof packet, &n, s == NO_ROOM, x->deadline_ms);
        if (o == ANSWERED && n > 0) {
            o = reply_take(x, packet, n, base, &in_flight);
            wipe(packet, n);
        }
        if (o != ANSWERED)
            return o;
    }
}

void replies_wipe(struct reply *replies, size_t n)
{
    for (size_t i = 0; i < n; i++)
        bytes_wipe(&replies[i].body);
}
