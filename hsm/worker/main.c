/* SPDX-License-Identifier: Apache-2.0 */

/*
 * keymill-token: started by the tools, never by hand. It alone loads a vendor's PKCS#11 module; when the
 * module hangs or crashes, the tool ends this process and starts another.
 */
#include "hsm/worker/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/process.h"

enum { TOKENS_MAX = 64, ORPHAN_GRACE_S = 10 };

static struct token the_token = {.mutex = PTHREAD_MUTEX_INITIALIZER};
static pthread_t threads[PROTO_SESSIONS_MAX];
static size_t nthreads;

/* A request and the room for its reply; one for each thread. */
struct exchange {
    union {
        struct proto_header header;
        uint8_t octets[PROTO_MESSAGE_MAX];
    } in, out;
    size_t in_len;
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

/* The fixed part of the request, whose items (if any) follow it; checks that the message is as long as its
 * header says. */
static const void *fixed_part(const struct exchange *x, size_t n)
{
    const struct proto_header *h = &x->in.header;
    if (h->size > PROTO_MESSAGE_MAX || h->count > PROTO_MESSAGE_MAX ||
        x->in_len != sizeof *h + n + (size_t)h->count * h->size)
        broken("a request does not have the length of its operation");
    return x->in.octets + sizeof *h;
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
    if (want.die_with_thread)
        prctl(PR_SET_PDEATHSIG, SIGUSR1);
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

static enum proto_status do_login(struct exchange *x, struct fault *f)
{
    struct proto_login rq;
    memcpy(&rq, fixed_part(x, sizeof rq), sizeof rq);
    enum proto_status st = token_login(&the_token, rq.pin ? pin_take() : NULL, f);
    close(PROTO_FD_PIN);
    if (st != PROTO_OK)
        return st;
    threads_start(rq.sessions);
    *reply_body(x) = the_token.confirms;
    reply_send(x, PROTO_OK, 1, 1, false);
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

static enum proto_status do_sign(struct exchange *x, struct fault *f)
{
    const struct proto_header *h = &x->in.header;
    struct proto_use rq;
    const uint8_t *fixed = fixed_part(x, sizeof rq);
    memcpy(&rq, fixed, sizeof rq);
    if (h->count > PROTO_BATCH_MAX || h->size > PROTO_SIGNATURE_MAX || rq.result > PROTO_SIGNATURE_MAX)
        broken("a batch that is too large");
    enum proto_status st = key_sign(&x->lane, &rq, fixed + sizeof rq, h->count, h->size, reply_body(x), f);
    if (st == PROTO_OK)
        reply_send(x, PROTO_OK, h->count, rq.result, false);
    return st;
}

static enum proto_status do_derive(struct exchange *x, struct fault *f)
{
    const struct proto_header *h = &x->in.header;
    struct proto_use rq;
    const uint8_t *fixed = fixed_part(x, sizeof rq);
    memcpy(&rq, fixed, sizeof rq);
    if (h->count != 1 || h->size > PROTO_KEY_POINT - 2 || rq.result > PROTO_KEY_POINT)
        broken("a point that is too large");
    enum proto_status st = key_derive(&x->lane, &rq, fixed + sizeof rq, h->size, reply_body(x), f);
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
    default:
        break;
    }
    if (the_token.anchor == CK_INVALID_HANDLE)
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
    default:
        broken("an operation that does not exist");
    }
}

/* Answers until the tool closes its end. Several threads may wait on the one socket: each packet goes to one
 * of them. */
static void *serve(void *arg)
{
    struct exchange *x = arg;
    x->lane.token = &the_token;
    for (;;) {
        struct fault f = {.status = PROTO_OK};
        ssize_t n = recv(PROTO_FD_SOCKET, x->in.octets, sizeof x->in.octets, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return NULL;
        x->in_len = (size_t)n;
        if (x->in_len < sizeof x->in.header || x->in.header.version != PROTO_VERSION)
            broken("tool and worker are of different versions");
        if (dispatch(x, &f) != PROTO_OK)
            reply_fault(x, &f);
    }
}

/* The tool is dead: the closed socket ends us after the call into the module that is under way. Ending us at
 * once could cost the token: SoftHSM's C_Login empties its token file and writes it anew. A module that hangs
 * gets SIGALRM. */
static void tool_died(int sig)
{
    (void)sig;
    alarm(ORPHAN_GRACE_S);
}

/* The tool decides when we end, not a ^C that the terminal sends to everybody. */
static void signals_set(void)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
    struct sigaction death = {.sa_handler = tool_died, .sa_flags = SA_RESTART};
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        signal(ignored[i], SIG_IGN);
    sigaction(SIGUSR1, &death, NULL);
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
    serve(&main_exchange);
    /* C_Finalize crashes while a thread signs. One that hangs keeps us here, and the tool kills us. */
    while (nthreads > 0)
        pthread_join(threads[--nthreads], NULL);
    modules_end();
    _exit(0); /* no exit handlers: SoftHSM's destructors would run after libcrypto's */
}
