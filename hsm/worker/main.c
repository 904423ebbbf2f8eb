/* SPDX-License-Identifier: Apache-2.0 */

/*
 * keymill-token: started by the tools, never by hand. It alone loads a vendor's PKCS#11 module; when the
 * module hangs or crashes, the tool ends this process and starts another.
 */
#include "hsm/worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/process.h"
#include "hsm/worker/confine.h"

enum {
    TOKENS_MAX = 64,
    ORPHAN_GRACE_S = 10,
    MECHANISMS_MAX = 512,
    REPLY_AFTER_MS = 250, /* what a slow token has signed is sent on, so that the tool sees it at work */
};

static struct token the_token = {.mutex = PTHREAD_MUTEX_INITIALIZER, .objects = PTHREAD_MUTEX_INITIALIZER};
static pthread_t threads[PROTO_SESSIONS_MAX];
static size_t nthreads;
static atomic_bool tool_gone; /* what it still asked for, nobody waits for */

/* A request and the room for its reply; one for each thread. */
struct exchange {
    union {
        struct proto_header header;
        uint8_t octets[PROTO_MESSAGE_MAX];
    } in, out;
    size_t in_len;
    struct span large; /* items that came in a memory file, mapped */
    struct lane lane;
};

_Noreturn static void broken(const char *what)
{
    fprintf(stderr, "keymill-token: %s\n", what);
    _exit(RC_BUG);
}

static void reply_send(struct exchange *x, enum proto_status status, size_t count, size_t size, bool more)
{
    struct proto_header *h = &x->out.header;
    size_t n = sizeof *h + count * size;
    *h = (struct proto_header){.version = PROTO_VERSION,
                               .op = x->in.header.op,
                               .id = x->in.header.id,
                               .status = status,
                               .count = (uint32_t)count,
                               .size = (uint32_t)size,
                               .more = more};
    while (send(PROTO_FD_SOCKET, x->out.octets, n, MSG_NOSIGNAL) < 0) {
        if (errno != EINTR)
            break; /* the tool is gone: the next recv says so */
    }
    wipe(x->out.octets, n);
}

static void reply_fault(struct exchange *x, const struct fault *f)
{
    memcpy(x->out.octets + sizeof(struct proto_header), &f->error, sizeof f->error);
    reply_send(x, f->status, 1, sizeof f->error, false);
}

static uint8_t *reply_body(struct exchange *x)
{
    return x->out.octets + sizeof(struct proto_header);
}

/* The fixed part of the request, whose items (if any) follow it or came in a memory file; checks that the
 * message is as long as its header says. */
static const void *fixed_part(const struct exchange *x, size_t n)
{
    const struct proto_header *h = &x->in.header;
    uint64_t items = (uint64_t)h->count * h->size;
    uint64_t beside = h->more ? x->large.n : x->in_len - sizeof *h - n;
    if (x->in_len < sizeof *h + n || beside != items || (h->more && x->in_len != sizeof *h + n))
        broken("a request does not have the length of its operation");
    return x->in.octets + sizeof *h;
}

static const uint8_t *items_of(const struct exchange *x, const uint8_t *fixed, size_t n)
{
    return x->in.header.more ? x->large.p : fixed + n;
}

/* One PIN from the pipe. */
static struct secret *pin_take(void)
{
    uint32_t n = 0;
    if (read(PROTO_FD_PIN, &n, sizeof n) != sizeof n || n > PROTO_PIN_MAX)
        broken("no PIN in the pipe");
    struct secret *pin = secret_new(n ? n : 1);
    if (n && read(PROTO_FD_PIN, secret_data(pin), n) != (ssize_t)n)
        broken("half a PIN in the pipe");
    secret_set_len(pin, n);
    return pin;
}

/* --- one function for each operation: PROTO_OK means that it has replied */

static enum proto_status do_hello(struct exchange *x, struct fault *f)
{
    struct proto_hello want;
    struct proto_token found;
    memcpy(&want, fixed_part(x, sizeof want), sizeof want);
    enum proto_status st = token_find(&want, &the_token, &found, f);
    if (st == PROTO_OK) {
        memcpy(reply_body(x), &found, sizeof found);
        reply_send(x, PROTO_OK, 1, sizeof found, false);
    }
    return st;
}

static enum proto_status do_tokens(struct exchange *x, struct fault *f)
{
    struct proto_hello want;
    size_t n = 0;
    memcpy(&want, fixed_part(x, sizeof want), sizeof want);
    struct proto_token *list = mem_array(TOKENS_MAX, sizeof *list);
    enum proto_status st = tokens_list(&want, list, TOKENS_MAX, &n, f);
    if (st == PROTO_OK) {
        memcpy(reply_body(x), list, n * sizeof *list);
        reply_send(x, PROTO_OK, n, sizeof *list, false);
    }
    free(list);
    return st;
}

static enum proto_status do_init(struct exchange *x, struct fault *f)
{
    struct proto_hello want;
    struct proto_token made;
    memcpy(&want, fixed_part(x, sizeof want), sizeof want);
    struct secret *so_pin = pin_take();
    struct secret *pin = pin_take();
    enum proto_status st = token_init(&want, so_pin, pin, &made, f);
    secret_free(pin);
    secret_free(so_pin);
    if (st == PROTO_OK) {
        memcpy(reply_body(x), &made, sizeof made);
        reply_send(x, PROTO_OK, 1, sizeof made, false);
    }
    return st;
}

static void *serve(void *arg);

/* Session 0 is the main thread's; a network HSM gets more, each with a thread that waits for it. */
static void threads_start(uint32_t sessions)
{
    for (uint32_t i = 1; i < sessions && i < PROTO_SESSIONS_MAX; i++) {
        if (pthread_create(&threads[nthreads], NULL, serve, mem_new(sizeof(struct exchange))) != 0)
            broken("no thread for a session");
        nthreads++;
    }
}

static bool confine_done, confined;
/* Stays true when the login is lost: requests that were on their way then fail like those before them. */
static atomic_bool served;

/* Before the first PIN comes here, and before there are other threads. */
static enum proto_status confine_once(const struct proto_login *rq, struct fault *f)
{
    char folder[LOCK_FOLDER_MAX];
    enum proto_status st = lock_folder(folder, f);
    if (st == PROTO_OK)
        st = confine(rq, the_token.slot.module, folder, &confined, f);
    confine_done = st == PROTO_OK;
    return st;
}

static enum proto_status do_login(struct exchange *x, struct fault *f)
{
    struct proto_login rq;
    memcpy(&rq, fixed_part(x, sizeof rq), sizeof rq);
    enum proto_status st = confine_done ? PROTO_OK : confine_once(&rq, f);
    if (st == PROTO_OK)
        st = token_login(&the_token, &rq, rq.pin ? pin_take() : NULL, f);
    if (st != PROTO_OK)
        return st;
    served = true;
    if (nthreads == 0)
        threads_start(rq.sessions);
    struct proto_logged_in how = {.confirms = the_token.confirms, .confined = confined};
    memcpy(reply_body(x), &how, sizeof how);
    reply_send(x, PROTO_OK, 1, sizeof how, false);
    return PROTO_OK;
}

static void send_keys(void *arg, const struct proto_key *items, size_t n, bool more)
{
    struct exchange *x = arg;
    memcpy(reply_body(x), items, n * sizeof *items);
    reply_send(x, PROTO_OK, n, sizeof *items, more);
}

static enum proto_status do_keys(struct exchange *x, struct fault *f)
{
    fixed_part(x, 0);
    return keys_list(&x->lane, send_keys, x, f);
}

static enum proto_status do_generate(struct exchange *x, struct fault *f)
{
    struct proto_generate rq;
    struct proto_key made;
    memcpy(&rq, fixed_part(x, sizeof rq), sizeof rq);
    enum proto_status st = key_generate(&x->lane, &rq, &made, f);
    if (st == PROTO_OK)
        send_keys(x, &made, 1, false);
    return st;
}

/* Signatures are sent on when there is no room for another, or when it has taken long. */
static enum proto_status do_sign(struct exchange *x, struct fault *f)
{
    const struct proto_header *h = &x->in.header;
    struct proto_use rq;
    const uint8_t *fixed = fixed_part(x, sizeof rq);
    memcpy(&rq, fixed, sizeof rq);
    const uint8_t *items = items_of(x, fixed, sizeof rq);
    if (h->count > PROTO_BATCH_MAX || rq.result == 0 || rq.result > PROTO_SIGNATURE_MAX)
        broken("a batch that is too large");
    size_t room = (PROTO_MESSAGE_MAX - sizeof *h) / rq.result, filled = 0;
    int64_t since = clock_mono_ms();
    for (size_t i = 0; i < h->count && !tool_gone; i++) {
        enum proto_status st =
            key_sign(&x->lane, &rq, items + i * h->size, h->size, reply_body(x) + filled * rq.result, f);
        if (st != PROTO_OK)
            return st;
        filled++;
        if (i + 1 < h->count && (filled == room || clock_mono_ms() - since > REPLY_AFTER_MS)) {
            reply_send(x, PROTO_OK, filled, rq.result, true);
            filled = 0;
            since = clock_mono_ms();
        }
    }
    reply_send(x, PROTO_OK, filled, rq.result, false);
    return PROTO_OK;
}

static enum proto_status do_decrypt(struct exchange *x, struct fault *f)
{
    const struct proto_header *h = &x->in.header;
    struct proto_use rq;
    size_t n = 0;
    const uint8_t *fixed = fixed_part(x, sizeof rq);
    memcpy(&rq, fixed, sizeof rq);
    if (h->count != 1 || rq.result > PROTO_SIGNATURE_MAX)
        broken("a ciphertext that is too large");
    enum proto_status st =
        key_decrypt(&x->lane, &rq, items_of(x, fixed, sizeof rq), h->size, reply_body(x), &n, f);
    if (st == PROTO_OK)
        reply_send(x, PROTO_OK, n, 1, false);
    return st;
}

static enum proto_status do_destroy(struct exchange *x, struct fault *f)
{
    struct proto_use rq;
    memcpy(&rq, fixed_part(x, sizeof rq), sizeof rq);
    enum proto_status st = key_destroy(&x->lane, &rq, f);
    if (st == PROTO_OK)
        reply_send(x, PROTO_OK, 0, 0, false);
    return st;
}

static enum proto_status do_mechanisms(struct exchange *x, struct fault *f)
{
    struct proto_mechanism list[MECHANISMS_MAX];
    size_t n = 0;
    fixed_part(x, 0);
    enum proto_status st = token_mechanisms(&x->lane, list, MECHANISMS_MAX, &n, f);
    if (st != PROTO_OK)
        return st;
    memcpy(reply_body(x), list, n * sizeof *list);
    reply_send(x, PROTO_OK, n, sizeof *list, false);
    return PROTO_OK;
}

static enum proto_status do_derive(struct exchange *x, struct fault *f)
{
    const struct proto_header *h = &x->in.header;
    struct proto_use rq;
    const uint8_t *fixed = fixed_part(x, sizeof rq);
    memcpy(&rq, fixed, sizeof rq);
    if (h->count != 1 || h->size > PROTO_KEY_POINT - 2 || rq.result > PROTO_KEY_POINT)
        broken("a point that is too large");
    enum proto_status st =
        key_derive(&x->lane, &rq, items_of(x, fixed, sizeof rq), h->size, reply_body(x), f);
    if (st == PROTO_OK)
        reply_send(x, PROTO_OK, 1, rq.result, false);
    return st;
}

static enum proto_status do_random(struct exchange *x, struct fault *f)
{
    uint32_t n = x->in.header.count;
    if (n > PROTO_RANDOM_MAX)
        broken("too many random octets asked for");
    enum proto_status st = token_random(&x->lane, reply_body(x), n, f);
    if (st == PROTO_OK)
        reply_send(x, PROTO_OK, n, 1, false);
    return st;
}

static enum proto_status do_read_private(struct exchange *x, struct fault *f)
{
    struct proto_use rq;
    bool readable = false;
    memcpy(&rq, fixed_part(x, sizeof rq), sizeof rq);
    enum proto_status st = key_read_private(&x->lane, &rq, &readable, f);
    if (st == PROTO_OK) {
        *reply_body(x) = readable;
        reply_send(x, PROTO_OK, 1, 1, false);
    }
    return st;
}

static enum proto_status dispatch(struct exchange *x, struct fault *f)
{
    enum proto_status st;
    switch ((enum proto_op)x->in.header.op) {
    case PROTO_HELLO:
        return do_hello(x, f);
    case PROTO_TOKENS:
        return do_tokens(x, f);
    case PROTO_INIT:
        return do_init(x, f);
    case PROTO_LOGIN:
        return do_login(x, f);
    case PROTO_MECHANISMS: /* wants no login */
        if (!the_token.slot.f)
            broken("an operation before the token is found");
        return do_mechanisms(x, f);
    default:
        break;
    }
    if (!served)
        broken("an operation before the login");
    if ((st = lane_open(&x->lane, f)) != PROTO_OK)
        return st;
    switch ((enum proto_op)x->in.header.op) {
    case PROTO_KEYS:
        return do_keys(x, f);
    case PROTO_GENERATE:
        return do_generate(x, f);
    case PROTO_SIGN:
        return do_sign(x, f);
    case PROTO_DERIVE:
        return do_derive(x, f);
    case PROTO_RANDOM:
        return do_random(x, f);
    case PROTO_READ_PRIVATE:
        return do_read_private(x, f);
    case PROTO_DECRYPT:
        return do_decrypt(x, f);
    case PROTO_DESTROY:
        return do_destroy(x, f);
    default:
        broken("an operation that does not exist");
    }
}

/* The descriptor that came with a message, or -1. */
static int descriptor_of(struct msghdr *m)
{
    int fd = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof fd))
            memcpy(&fd, CMSG_DATA(c), sizeof fd);
    }
    return fd;
}

/* Sealed by the tool, so that its length stays what it is. */
static void large_map(struct exchange *x, int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || st.st_size <= 0 || st.st_size > PROTO_LARGE_MAX)
        broken("a memory file of no good size");
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        broken("no memory for a large request");
    x->large = (struct span){p, (size_t)st.st_size};
    close(fd);
}

static void large_unmap(struct exchange *x)
{
    if (x->large.n)
        munmap((void *)(uintptr_t)x->large.p, x->large.n);
    x->large = (struct span){NULL, 0};
}

/* False: the tool closed its end. */
static bool request_take(struct exchange *x)
{
    union {
        struct cmsghdr align;
        char octets[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {x->in.octets, sizeof x->in.octets};
    struct msghdr m = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t n;
    while ((n = recvmsg(PROTO_FD_SOCKET, &m, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        continue;
    if (n <= 0)
        return false;
    x->in_len = (size_t)n;
    int fd = descriptor_of(&m);
    if (fd >= 0)
        large_map(x, fd);
    return true;
}

/* Answers until the tool closes its end. Several threads may wait on the one socket: each packet goes to one
 * of them. */
static void *serve(void *arg)
{
    struct exchange *x = arg;
    x->lane.token = &the_token;
    while (request_take(x) && !tool_gone) {
        struct fault f = {.status = PROTO_OK};
        if (x->in_len < sizeof x->in.header || x->in.header.version != PROTO_VERSION)
            broken("tool and worker are of different versions");
        if (dispatch(x, &f) != PROTO_OK)
            reply_fault(x, &f);
        large_unmap(x);
    }
    return NULL;
}

/*
 * When the tool is dead, or has given us up, the closed socket ends us after the call into the module that is
 * under way. Ending us at once could cost the token: SoftHSM's C_Login empties its token file and writes it
 * anew. A module that hangs, perhaps with the start lock, gets SIGALRM.
 */
static void pin_pipe_moved(int sig)
{
    struct pollfd p = {.fd = PROTO_FD_PIN};
    int before = errno;
    (void)sig;
    if (poll(&p, 1, 0) > 0 && (p.revents & POLLHUP)) {
        tool_gone = true;
        alarm(ORPHAN_GRACE_S);
    }
    errno = before;
}

/* The tool decides when we end, not a ^C that the terminal sends to everybody. The thread that started us may
 * have blocked all signals, which we inherit. */
static void signals_set(void)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
    struct sigaction moved = {.sa_handler = pin_pipe_moved, .sa_flags = SA_RESTART};
    sigset_t none;
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        signal(ignored[i], SIG_IGN);
    signal(SIGALRM, SIG_DFL);
    sigaction(SIGIO, &moved, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Nobody but the tool can write PINs: when its end is closed, however it died and whatever we are in, a
 * signal says so. */
static void tool_watch(void)
{
    if (fcntl(PROTO_FD_PIN, F_SETOWN, getpid()) != 0 || fcntl(PROTO_FD_PIN, F_SETFL, O_ASYNC) != 0)
        broken("no signal from the PIN pipe");
    pin_pipe_moved(0); /* it may have died already */
}

static bool started_by_a_tool(void)
{
    struct stat st;
    return fstat(PROTO_FD_SOCKET, &st) == 0 && S_ISSOCK(st.st_mode) && fstat(PROTO_FD_PIN, &st) == 0 &&
           S_ISFIFO(st.st_mode);
}

int main(void)
{
    static struct exchange main_exchange;
    process_harden();
    signals_set();
    if (!started_by_a_tool()) {
        fprintf(stderr, "keymill-token: started by the keymill tools, not by hand\n");
        return RC_USAGE;
    }
    tool_watch();
    serve(&main_exchange);
    /* C_Finalize crashes while a thread signs. One that hangs keeps us here, and the tool kills us. */
    while (nthreads > 0)
        pthread_join(threads[--nthreads], NULL);
    modules_end();
    _exit(0); /* no exit handlers: SoftHSM's destructors would run after libcrypto's */
}
