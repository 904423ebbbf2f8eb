/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/secret.h"
#include "cli/progress.h"
#include "hsm/client_local.h"
#include "hsm/status.h"
#include "hsm/token.h"

enum {
    START_DEADLINE_MS =
        15000, /* at least, for loading a module and logging in: longer than a worker waits for its turn */
    KEYPAD_DEADLINE_MS = 120000, /* a person types the PIN on the token */
    PAUSE_MS = 10,               /* before the first replacement; twice as long before each further one */
    PAUSE_MAX_MS = 1000,
    SILENT_LOGINS_MAX = 3, /* in a row: each may have been counted as a wrong PIN */
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

static struct subject subject_of(const struct client *c, const char *label)
{
    const char *module = c->hello.module[0] || !c->found ? c->hello.module : c->token.module;
    return (struct subject){.token = c->name, .module = module, .label = label};
}

enum rc exchange_err(const struct client *c, const char *label, enum outcome o, const struct exchange *x,
                     struct err *e)
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

void pin_reject(struct client *c, const struct err *why)
{
    c->rejected = *why;
    secret_free(c->pin);
    c->pin = NULL;
}

bool token_absent(const struct exchange *x)
{
    return strcmp(x->error.ckr, "CKR_DEVICE_REMOVED") == 0 ||
           strcmp(x->error.ckr, "CKR_TOKEN_NOT_PRESENT") == 0;
}

/*
 * A login that did not end well, and not in a word about the PIN, may yet have been counted as a wrong try.
 * One that the token never accepted is not worth another; one that it did is, as long as the module answers,
 * and a few times when it crashes or hangs. careful makes the worker look at the token's counter first.
 */
static bool login_again(struct client *c, enum outcome o, const struct exchange *x)
{
    bool of_login = o != REFUSED || strcmp(x->error.function, "C_Login") == 0;
    if (!c->token.login_required || !of_login)
        return true;
    c->careful = true;
    if (!c->served)
        return false;
    return o == REFUSED || ++c->silent_logins < SILENT_LOGINS_MAX;
}

static bool worth_again(struct client *c, enum proto_op op, enum outcome o, const struct exchange *x)
{
    if (o == ANSWERED || (op == PROTO_LOGIN && !login_again(c, o, x)))
        return false;
    if (o == REFUSED)
        return x->status == PROTO_SICK || x->status == PROTO_BUSY || x->status == PROTO_LOGIN_LOST ||
               ((x->status == PROTO_NO_TOKEN || x->status == PROTO_NO_MODULE) && c->served);
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
    if ((o == REFUSED && status_of_pin(x.status)) ||
        (o != ANSWERED && rq->op == PROTO_LOGIN && !*ret_again && !c->served))
        pin_reject(c, e);
    replies_wipe(&reply, 1);
    return rc;
}

enum rc worker_hello(struct client *c, struct worker *w, bool *ret_again, struct err *e)
{
    struct bytes body = BYTES_INIT;
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

static struct proto_login login_request(const struct client *c)
{
    const struct quirks *q = &c->quirks;
    struct proto_login login = {.sessions = c->sessions,
                                .pin = c->pin != NULL,
                                .careful = c->careful,
                                .counts_pins = q->counts_pins,
                                .session_copies = q->session_copies,
                                .rw_sessions = q->rw_sessions,
                                .confine = q->confine};
    memcpy(login.paths, q->paths, sizeof login.paths);
    return login;
}

/* What a good login tells. */
static void logged_in(struct client *c, const struct proto_logged_in *how)
{
    /* Where the PIN is given at each use, several workers could give a wrong one at once. */
    if (!c->served && how->confirms)
        c->npool = 1;
    c->confined = how->confined;
    c->served = true;
    c->silent_logins = 0;
    c->careful = false;
}

enum rc worker_login(struct client *c, struct worker *w, bool *ret_again, struct err *e)
{
    struct bytes body = BYTES_INIT;
    struct proto_login login = login_request(c);
    struct proto_logged_in how;
    struct request rq = {.op = PROTO_LOGIN, .fixed = {(const uint8_t *)&login, sizeof login}};
    int deadline = c->token.protected_path ? KEYPAD_DEADLINE_MS : longer(c->deadline_ms, START_DEADLINE_MS);
    *ret_again = false;
    if (c->token.protected_path)
        progress_say("enter the PIN on the keypad of %s", c->name);
    enum rc rc = c->pin ? worker_pin(w, c->pin, e) : RC_OK;
    if (rc == RC_OK)
        rc = ask(c, w, &rq, deadline, &body, ret_again, e);
    if (rc == RC_OK && body.n != sizeof how)
        rc = err_set(e, RC_TOKEN, "hsm.worker-lost", "the worker for %s talks nonsense", c->name);
    if (rc == RC_OK) {
        memcpy(&how, body.p, sizeof how);
        logged_in(c, &how);
    } else {
        worker_end(w, false);
    }
    bytes_free(&body);
    return rc;
}

enum rc pooled_login(struct client *c, struct pooled *p, bool *ret_again, struct err *e)
{
    enum rc rc = RC_OK;
    *ret_again = false;
    pthread_mutex_lock(&c->start);
    if (c->rejected.rc != RC_OK) {
        *e = c->rejected;
        rc = e->rc;
        worker_end(&p->worker, false);
    } else {
        rc = worker_login(c, &p->worker, ret_again, e);
    }
    pthread_mutex_unlock(&c->start);
    p->up = rc == RC_OK;
    return rc;
}

enum rc pooled_start(struct client *c, struct pooled *p, bool *ret_again, struct err *e)
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

void restart_pause(int tries)
{
    int ms = PAUSE_MS;
    for (int i = 1; i < tries && ms < PAUSE_MAX_MS; i++)
        ms *= 2;
    pause_ms(ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS);
}

enum rc pooled_start_patiently(struct client *c, struct pooled *p, struct err *e)
{
    bool again = false;
    enum rc rc = pooled_start(c, p, &again, e);
    for (int tries = 1; rc != RC_OK && again && tries <= RESTARTS_MAX; tries++) {
        restart_pause(tries);
        rc = pooled_start(c, p, &again, e);
    }
    return rc;
}
