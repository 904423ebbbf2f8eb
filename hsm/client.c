/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/client.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/secret.h"
#include "cli/progress.h"
#include "hsm/pin.h"
#include "hsm/status.h"
#include "hsm/token.h"
#include "hsm/uri.h"

enum {
    DEADLINE_MS = 10000,
    START_DEADLINE_MS =
        15000, /* at least, for loading a module and logging in: longer than a worker waits for its turn */
    KEYPAD_DEADLINE_MS = 120000, /* a person types the PIN on the token */
    RESTARTS_MAX = 3,
    RESTART_PAUSE_MS = 10, /* before the first replacement; ten times as long before each further one */
    WINDOW = 4,            /* requests in flight, so that a worker never waits for the next */
    SESSIONS_REMOTE = 8,   /* of a worker for a token that is not SoftHSM: latency, not CPU, bounds those */
    WORKERS_MAX = 64,
};

struct pooled {
    struct worker worker;
    bool up, busy;
};

struct client {
    struct proto_hello hello;
    struct proto_token token;
    char *name;       /* "token 'root'" */
    char *pin_source; /* NULL: the terminal */
    int workers_wanted, sessions_wanted, deadline_ms;
    bool one_shot;
    bool found;  /* token is filled */
    bool served; /* a login succeeded: a token that is missing or silent later may come back, while one that
                    never worked is given up at once, and with it a PIN that it never accepted */

    /* Starting a worker, one at a time: a rejected PIN is then known before the next start would send it
     * again. */
    pthread_mutex_t start;
    struct secret *pin;
    struct err rejected; /* rc other than RC_OK: no login any more */

    /* The pool. */
    pthread_mutex_t mutex;
    pthread_cond_t released;
    struct pooled *pool;
    size_t npool;
    uint32_t sessions; /* of each worker */
};

static int longer(int a, int b)
{
    return a > b ? a : b;
}

static void pause_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    while (nanosleep(&t, &t) != 0)
        continue;
}

static bool is_softhsm(const struct proto_token *t)
{
    return strncmp(t->manufacturer, "SoftHSM", 7) == 0;
}

static struct subject subject_of(const struct client *c, const char *label)
{
    const char *module = c->hello.module[0] || !c->found ? c->hello.module : c->token.module;
    return (struct subject){.token = c->name, .module = module, .label = label};
}

/* Why an exchange did not succeed, for people. */
static enum rc exchange_err(const struct client *c, const char *label, enum outcome o,
                            const struct exchange *x, struct err *e)
{
    struct subject about = subject_of(c, label);
    if (o == REFUSED)
        return status_err(x->status, &x->error, &about, e);
    if (o == LATE)
        return err_set(e, RC_TOKEN, "hsm.worker-late", "%s did not answer within %g s", c->name,
                       x->deadline_ms / 1000.0);
    return err_set(e, RC_TOKEN, "hsm.worker-lost",
                   "the worker for %s ended: the PKCS#11 module may have crashed", c->name);
}

/* With start held, or before there are threads. The token did not take the PIN: nobody logs in any more. */
static void pin_reject(struct client *c, const struct err *why)
{
    c->rejected = *why;
    secret_free(c->pin);
    c->pin = NULL;
}

/* --- starting a worker. *ret_again: a further try may help */

/* A login that ended in silence, or in an error that does not tell about the PIN, may have been counted as a
 * wrong try: only a PIN that was accepted before is worth another. */
static bool pin_at_stake(const struct client *c, enum proto_op op, enum outcome o, const struct exchange *x)
{
    bool sent = op == PROTO_LOGIN && c->token.login_required;
    return sent && !c->served && (o != REFUSED || strcmp(x->error.function, "C_Login") == 0);
}

static bool worth_again(const struct client *c, enum proto_op op, enum outcome o, const struct exchange *x)
{
    if (o == ANSWERED || pin_at_stake(c, op, o, x))
        return false;
    if (o == REFUSED)
        return x->status == PROTO_SICK || x->status == PROTO_BUSY ||
               (x->status == PROTO_NO_TOKEN && c->served);
    return o == LOST || c->served;
}

/* The worker is ended when it does not answer with success. */
static enum rc ask(struct client *c, struct worker *w, const struct request *rq, int deadline_ms,
                   struct bytes *ret, bool *ret_again, struct err *e)
{
    struct reply reply = {.done = false};
    struct exchange x = {.requests = rq, .replies = &reply, .n = 1, .window = 1, .deadline_ms = deadline_ms};
    enum rc rc = RC_OK;
    enum outcome o = worker_exchange(w, &x);
    *ret_again = worth_again(c, rq->op, o, &x);
    if (o == ANSWERED) {
        bytes_add_span(ret, bytes_span(&reply.body));
    } else {
        rc = exchange_err(c, NULL, o, &x, e);
        worker_end(w, o == LATE);
    }
    if (o == REFUSED && status_of_pin(x.status))
        pin_reject(c, e);
    replies_wipe(&reply, 1);
    return rc;
}

static enum rc worker_hello(struct client *c, struct worker *w, bool *ret_again, struct err *e)
{
    struct bytes body = BYTES_INIT;
    c->hello.die_with_thread = gettid() == getpid();
    struct request rq = {.op = PROTO_HELLO, .fixed = {(const uint8_t *)&c->hello, sizeof c->hello}};
    *ret_again = false;
    enum rc rc = worker_start(w, e);
    if (rc == RC_OK)
        rc = ask(c, w, &rq, longer(c->deadline_ms, START_DEADLINE_MS), &body, ret_again, e);
    if (rc == RC_OK && body.n != sizeof c->token)
        rc = err_set(e, RC_TOKEN, "hsm.worker-lost", "the worker for %s talks nonsense", c->name);
    if (rc == RC_OK && !c->found) {
        memcpy(&c->token, body.p,
               sizeof c->token); /* later ones are the same: label and serial are asked for */
        c->found = true;
    }
    if (rc != RC_OK)
        worker_end(w, false);
    bytes_free(&body);
    return rc;
}

static enum rc worker_login(struct client *c, struct worker *w, bool *ret_again, struct err *e)
{
    struct bytes confirms = BYTES_INIT;
    struct proto_login login = {.sessions = c->sessions, .pin = c->pin != NULL};
    struct request rq = {.op = PROTO_LOGIN, .fixed = {(const uint8_t *)&login, sizeof login}};
    int deadline = c->token.protected_path ? KEYPAD_DEADLINE_MS : longer(c->deadline_ms, START_DEADLINE_MS);
    *ret_again = false;
    if (c->token.protected_path)
        progress_say("enter the PIN on the keypad of %s", c->name);
    enum rc rc = c->pin ? worker_pin(w, c->pin, e) : RC_OK;
    if (rc == RC_OK)
        rc = ask(c, w, &rq, deadline, &confirms, ret_again, e);
    worker_pin_end(w);
    if (rc != RC_OK)
        worker_end(w, false);
    /* Where the PIN is given at each use, several workers could give a wrong one at once. */
    if (rc == RC_OK && !c->served && confirms.n == 1 && confirms.p[0])
        c->npool = 1;
    c->served = c->served || rc == RC_OK;
    bytes_free(&confirms);
    return rc;
}

static enum rc pooled_start(struct client *c, struct pooled *p, bool *ret_again, struct err *e)
{
    enum rc rc;
    *ret_again = false;
    pthread_mutex_lock(&c->start);
    if (c->rejected.rc != RC_OK) {
        *e = c->rejected;
        rc = e->rc;
    } else {
        rc = worker_hello(c, &p->worker, ret_again, e);
        if (rc == RC_OK)
            rc = worker_login(c, &p->worker, ret_again, e);
    }
    pthread_mutex_unlock(&c->start);
    p->up = rc == RC_OK;
    return rc;
}

static void restart_pause(int tries)
{
    int ms = RESTART_PAUSE_MS;
    for (int i = 1; i < tries; i++)
        ms *= 10;
    pause_ms(ms);
}

static enum rc pooled_start_patiently(struct client *c, struct pooled *p, struct err *e)
{
    bool again = false;
    enum rc rc = pooled_start(c, p, &again, e);
    for (int tries = 1; rc != RC_OK && again && tries <= RESTARTS_MAX; tries++) {
        restart_pause(tries);
        rc = pooled_start(c, p, &again, e);
    }
    return rc;
}

/* --- open, login, close */

static void copy(char *ret, size_t n, const char *s)
{
    snprintf(ret, n, "%s", s ? s : "");
}

static char *name_of(const struct uri *u)
{
    if (u->token)
        return mem_printf("token '%s'", u->token);
    if (u->serial)
        return mem_printf("token with serial number '%s'", u->serial);
    return mem_str("token");
}

static struct client *client_new(const struct uri *u, const struct token_options *opt)
{
    struct client *c = mem_new(sizeof *c);
    copy(c->hello.module, sizeof c->hello.module,
         u->module_path ? u->module_path : getenv("KEYMILL_PKCS11_MODULE"));
    copy(c->hello.token, sizeof c->hello.token, u->token);
    copy(c->hello.manufacturer, sizeof c->hello.manufacturer, u->manufacturer);
    copy(c->hello.model, sizeof c->hello.model, u->model);
    copy(c->hello.serial, sizeof c->hello.serial, u->serial);
    c->name = name_of(u);
    c->pin_source = mem_str(u->pin_source ? u->pin_source : opt->pin_source);
    c->one_shot = opt->one_shot;
    c->workers_wanted = opt->workers;
    c->sessions_wanted = opt->sessions;
    c->deadline_ms = opt->deadline_ms > 0 ? opt->deadline_ms : DEADLINE_MS;
    pthread_mutex_init(&c->start, NULL);
    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->released, NULL);
    return c;
}

enum rc client_open(const struct uri *u, const struct token_options *opt, struct client **ret, struct err *e)
{
    struct client *c = client_new(u, opt);
    bool again = false;
    c->pool = mem_array(WORKERS_MAX, sizeof *c->pool);
    c->npool = 1;
    for (size_t i = 0; i < WORKERS_MAX; i++)
        c->pool[i].worker = (struct worker)WORKER_INIT;
    enum rc rc = worker_hello(c, &c->pool[0].worker, &again, e);
    for (int tries = 1; rc != RC_OK && again && tries <= RESTARTS_MAX; tries++) {
        restart_pause(tries);
        rc = worker_hello(c, &c->pool[0].worker, &again, e);
    }
    if (rc == RC_OK) {
        /* From here on it must be this very token. */
        copy(c->hello.token, sizeof c->hello.token, c->token.label);
        copy(c->hello.serial, sizeof c->hello.serial, c->token.serial);
        free(c->name);
        c->name = mem_printf("token '%s'", c->token.label);
        *ret = c;
        c = NULL;
    }
    client_close(c);
    return rc;
}

/* How many workers with how many sessions, as asked or by token kind, and no more than the token has sessions
 * for. */
static void pool_size(struct client *c)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int workers = is_softhsm(&c->token) && cores > 1 ? (int)(cores < WORKERS_MAX ? cores : WORKERS_MAX) : 1;
    int sessions = is_softhsm(&c->token) ? 1 : SESSIONS_REMOTE;
    if (c->workers_wanted > 0)
        workers = c->workers_wanted < WORKERS_MAX ? c->workers_wanted : WORKERS_MAX;
    if (c->sessions_wanted > 0)
        sessions = c->sessions_wanted < PROTO_SESSIONS_MAX ? c->sessions_wanted : PROTO_SESSIONS_MAX;
    if (c->one_shot)
        workers = sessions = 1;
    /* Each worker has two more: the one that holds the login, and one for making keys. */
    uint64_t limit = c->token.max_sessions;
    while (limit > 0 && sessions > 1 && (uint64_t)workers * (uint64_t)(sessions + 2) > limit)
        sessions--;
    while (limit > 0 && workers > 1 && (uint64_t)workers * (uint64_t)(sessions + 2) > limit)
        workers--;
    c->npool = (size_t)workers;
    c->sessions = (uint32_t)sessions;
}

static enum rc pin_ask(struct client *c, struct err *e)
{
    if (c->token.pin_count_low)
        progress_say("%s counts wrong PINs since the last good login", c->name);
    if (!c->token.login_required || c->token.protected_path)
        return RC_OK;
    return pin_read(c->pin_source, c->name, &c->pin, e);
}

enum rc client_login(struct client *c, struct err *e)
{
    bool again = false;
    enum rc rc = pin_ask(c, e);
    if (rc != RC_OK)
        return rc;
    pool_size(c);
    rc = worker_login(c, &c->pool[0].worker, &again, e);
    c->pool[0].up = rc == RC_OK;
    if (rc != RC_OK && again)
        rc = pooled_start_patiently(c, &c->pool[0], e);
    for (size_t i = 1; rc == RC_OK && i < c->npool; i++)
        rc = pooled_start_patiently(c, &c->pool[i], e);
    return rc;
}

void client_close(struct client *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->npool; i++)
        worker_end(&c->pool[i].worker, false);
    secret_free(c->pin);
    free(c->pool);
    free(c->name);
    free(c->pin_source);
    pthread_cond_destroy(&c->released);
    pthread_mutex_destroy(&c->mutex);
    pthread_mutex_destroy(&c->start);
    free(c);
}

const struct proto_token *client_token(const struct client *c)
{
    return &c->token;
}

const char *client_name(const struct client *c)
{
    return c->name;
}

bool client_same(const struct client *a, const struct client *b)
{
    return strcmp(a->token.module, b->token.module) == 0 && strcmp(a->token.label, b->token.label) == 0 &&
           strcmp(a->token.serial, b->token.serial) == 0;
}

size_t client_sessions(const struct client *c)
{
    return c->sessions;
}

/* --- the pool */

/* One that runs, else one that has to be started first. */
static struct pooled *idle_one(struct client *c)
{
    struct pooled *down = NULL;
    for (size_t i = 0; i < c->npool; i++) {
        if (c->pool[i].busy)
            continue;
        if (c->pool[i].up)
            return &c->pool[i];
        down = &c->pool[i];
    }
    return down;
}

struct pooled *client_hold(struct client *c)
{
    struct pooled *p;
    pthread_mutex_lock(&c->mutex);
    while (!(p = idle_one(c)))
        pthread_cond_wait(&c->released, &c->mutex);
    p->busy = true;
    pthread_mutex_unlock(&c->mutex);
    return p;
}

void client_release(struct client *c, struct pooled *p)
{
    pthread_mutex_lock(&c->mutex);
    p->busy = false;
    pthread_cond_signal(&c->released);
    pthread_mutex_unlock(&c->mutex);
}

static enum outcome run_once(struct client *c, struct pooled *p, struct exchange *x, const char *label,
                             bool *ret_again, struct err *e)
{
    *ret_again = false;
    enum outcome o = LOST;
    x->progress = false;
    if (!p->up && pooled_start(c, p, ret_again, e) != RC_OK)
        return o;
    o = worker_exchange(&p->worker, x);
    if (o == ANSWERED)
        return o;
    exchange_err(c, label, o, x, e);
    if (o == REFUSED && x->status != PROTO_SICK) {
        if (status_of_pin(x->status)) {
            pthread_mutex_lock(&c->start);
            pin_reject(c, e);
            pthread_mutex_unlock(&c->start);
        }
        return o;
    }
    worker_end(&p->worker, o == LATE);
    p->up = false;
    *ret_again = true;
    return o;
}

/* The last error, and that we did not give up at once. */
static enum rc gave_up(int restarts, struct err *e)
{
    struct err last = *e;
    return err_set(e, last.rc, last.key,
                   "%s; %d new workers in a row did no better: check that the token is connected and ready",
                   last.text, restarts);
}

static enum rc run_on(struct client *c, struct pooled *p, struct exchange *x, const char *label, int restarts,
                      struct err *e)
{
    bool again = false;
    int tries = 0;
    while (run_once(c, p, x, label, &again, e) != ANSWERED) {
        tries = x->progress ? 1 : tries + 1;
        if (!again || restarts == 0)
            return e->rc;
        if (tries > restarts)
            return gave_up(restarts, e);
        progress_say("%s; trying again (%d of %d)", e->text, tries, restarts);
        restart_pause(tries);
    }
    err_clear(e);
    return RC_OK;
}

enum rc client_run(struct client *c, const char *label, const struct request *requests, struct reply *replies,
                   size_t n, struct err *e)
{
    size_t window = c->sessions > WINDOW ? c->sessions : WINDOW;
    struct exchange x = {
        .requests = requests, .replies = replies, .n = n, .window = window, .deadline_ms = c->deadline_ms};
    struct pooled *p = client_hold(c);
    enum rc rc = run_on(c, p, &x, label, RESTARTS_MAX, e);
    client_release(c, p);
    if (rc != RC_OK)
        replies_wipe(replies, n);
    return rc;
}

static enum rc call_on(struct client *c, struct pooled *p, const char *label, const struct request *rq,
                       int restarts, struct bytes *ret, struct err *e)
{
    struct reply reply = {.done = false};
    struct exchange x = {
        .requests = rq, .replies = &reply, .n = 1, .window = 1, .deadline_ms = c->deadline_ms};
    if (rq->op == PROTO_GENERATE)
        x.deadline_ms = longer(x.deadline_ms, START_DEADLINE_MS);
    enum rc rc = run_on(c, p, &x, label, restarts, e);
    if (rc == RC_OK)
        bytes_add_span(ret, bytes_span(&reply.body));
    replies_wipe(&reply, 1);
    return rc;
}

enum rc client_call(struct client *c, const char *label, const struct request *rq, struct bytes *ret,
                    struct err *e)
{
    struct pooled *p = client_hold(c);
    enum rc rc = call_on(c, p, label, rq, RESTARTS_MAX, ret, e);
    client_release(c, p);
    return rc;
}

enum rc client_call_held(struct client *c, struct pooled *p, const char *label, const struct request *rq,
                         struct bytes *ret, struct err *e)
{
    return call_on(c, p, label, rq, 0, ret, e);
}
