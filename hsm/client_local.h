/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HSM_CLIENT_LOCAL_H
#define HSM_CLIENT_LOCAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "hsm/client.h"
#include "hsm/quirks.h"
#include "hsm/worker_process.h"

/* Between client.c (a token and what is known of it), client_start.c (a worker and its login) and
 * client_run.c (requests and recovery). */

enum {
    RESTARTS_MAX = 3
}; /* tries besides the first for a token that never worked, or that is there and fails */

struct pooled {
    struct worker worker;
    bool up, busy;
};

struct client {
    struct proto_hello hello;
    struct proto_token token;
    struct quirks quirks;
    char *name;       /* "token 'root'" */
    char *pin_source; /* NULL: the terminal */
    int workers_wanted, sessions_wanted, deadline_ms, patience_ms;
    bool one_shot;
    bool found;         /* token is filled */
    atomic_bool served; /* a login succeeded: a token that is missing or silent later may come back, while one
                    that never worked is given up at once, and with it a PIN that it never accepted */

    /* Starting a worker, one at a time: a rejected PIN is then known before the next start would send it
     * again. */
    pthread_mutex_t start;
    struct secret *pin;
    struct err rejected; /* rc other than RC_OK: no login any more */
    int silent_logins;   /* that ended without an answer, since the last good one */
    bool careful;        /* one failed since the last good one, and not by a word about the PIN */
    atomic_bool confined;

    /* The pool. */
    pthread_mutex_t mutex;
    pthread_cond_t released;
    struct pooled *pool;
    size_t npool;
    uint32_t sessions; /* of each worker */
    size_t recoveries; /* times that something was tried again */
};

/* --- client_start.c */

/* Finds the token, and on the first call fills c->token. *ret_again: a further try may help. On failure the
 * worker is ended. */
NODISCARD enum rc worker_hello(struct client *c, struct worker *w, bool *ret_again, struct err *e);
/* Of a new worker, or of one that lost its login. */
NODISCARD enum rc worker_login(struct client *c, struct worker *w, bool *ret_again, struct err *e);
/* Both, unless the PIN was rejected; for any thread. */
NODISCARD enum rc pooled_start(struct client *c, struct pooled *p, bool *ret_again, struct err *e);
NODISCARD enum rc pooled_start_patiently(struct client *c, struct pooled *p, struct err *e);
/* Only the login, of a worker whose module, sessions and handles are well; for any thread. */
NODISCARD enum rc pooled_login(struct client *c, struct pooled *p, bool *ret_again, struct err *e);
void restart_pause(int tries);

/* Why an exchange did not succeed, for people. */
enum rc exchange_err(const struct client *c, const char *label, enum outcome o, const struct exchange *x,
                     struct err *e);
/* The token is not there, or its module cannot reach it. */
bool token_absent(const struct exchange *x);
/* With start held, or before there are threads. The token did not take the PIN, or never said that it did:
 * nobody logs in any more. */
void pin_reject(struct client *c, const struct err *why);

#endif
