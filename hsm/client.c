/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/secret.h"
#include "cli/progress.h"
#include "hsm/client_local.h"
#include "hsm/keystore.h"
#include "hsm/pin.h"
#include "hsm/token.h"
#include "hsm/uri.h"

enum {
    DEADLINE_MS = 10000,
    PATIENCE_MS = 30000,
    SESSIONS_DEFAULT =
        8, /* of a worker for a token that no quirk file fits: latency, not CPU, bounds those */
    WORKERS_MAX = 64,
};

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
    hello_from(u, &c->hello);
    c->name = name_of(u);
    c->pin_source = mem_str(u->pin_source ? u->pin_source : opt->pin_source);
    c->one_shot = opt->one_shot;
    c->workers_wanted = opt->workers;
    c->sessions_wanted = opt->sessions;
    c->deadline_ms = opt->deadline_ms > 0 ? opt->deadline_ms : DEADLINE_MS;
    c->patience_ms = opt->patience_ms > 0 ? opt->patience_ms : PATIENCE_MS;
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
    if (rc == RC_OK)
        rc = quirks_find(&c->token, &c->quirks, e);
    if (rc == RC_OK) {
        /* From here on it must be this very token. */
        copy(c->hello.token, sizeof c->hello.token, c->token.label);
        copy(c->hello.serial, sizeof c->hello.serial, c->token.serial);
        free(c->name);
        struct token_info shown; /* the label as it may be printed */
        token_info_from(&c->token, &shown);
        c->name = mem_printf("token '%s'", shown.label);
        *ret = c;
        c = NULL;
    }
    client_close(c);
    return rc;
}

static int at_most(int n, int max)
{
    return n < max ? n : max;
}

static int workers_of(const struct client *c)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (c->workers_wanted > 0)
        return at_most(c->workers_wanted, WORKERS_MAX);
    if (c->quirks.worker_per_core)
        return cores > 1 ? at_most((int)cores, WORKERS_MAX) : 1;
    return c->quirks.workers > 0 ? at_most(c->quirks.workers, WORKERS_MAX) : 1;
}

static int sessions_of(const struct client *c)
{
    int sessions = c->quirks.sessions > 0 ? c->quirks.sessions : SESSIONS_DEFAULT;
    return at_most(c->sessions_wanted > 0 ? c->sessions_wanted : sessions, PROTO_SESSIONS_MAX);
}

/* How many workers with how many sessions: as asked, or as its quirk file says, and no more than the token
 * has sessions for. Each worker has two more: the one that holds the login, and one for making keys. */
static void pool_size(struct client *c)
{
    int workers = c->one_shot ? 1 : workers_of(c), sessions = c->one_shot ? 1 : sessions_of(c);
    uint64_t limit = c->quirks.max_sessions > 0 ? c->quirks.max_sessions : c->token.max_sessions;
    while (limit > 0 && sessions > 1 && (uint64_t)workers * (uint64_t)(sessions + 2) > limit)
        sessions--;
    while (limit > 0 && workers > 1 && (uint64_t)workers * (uint64_t)(sessions + 2) > limit)
        workers--;
    c->npool = (size_t)workers;
    c->sessions = (uint32_t)sessions;
}

/* Said before a try of it is spent. */
static enum rc pin_form_check(const struct client *c, struct err *e)
{
    if (c->pin && c->quirks.pin_user_password && !memchr(secret_data(c->pin), ':', secret_len(c->pin)))
        return err_set(
            e, RC_TOKEN, "hsm.pin-form",
            "the PIN of %s has the form user:password (quirk file '%s'), and the one given has no ':'",
            c->name, c->quirks.name);
    return RC_OK;
}

static enum rc pin_ask(struct client *c, struct err *e)
{
    if (c->token.pin_count_low)
        progress_say("%s counts wrong PINs since the last good login", c->name);
    if (!c->token.login_required || c->token.protected_path)
        return RC_OK;
    enum rc rc = pin_read(c->pin_source, c->name, &c->pin, e);
    return rc == RC_OK ? pin_form_check(c, e) : rc;
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

enum rc client_refused(struct client *c, struct err *e)
{
    pthread_mutex_lock(&c->start);
    enum rc rc = c->served ? RC_OK : c->rejected.rc;
    if (rc != RC_OK)
        *e = c->rejected;
    pthread_mutex_unlock(&c->start);
    return rc;
}

void client_close(struct client *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->npool; i++)
        worker_hang_up(&c->pool[i].worker);
    for (size_t i = 0; i < c->npool; i++)
        worker_end(&c->pool[i].worker, false);
    secret_free(c->pin);
    quirks_free(&c->quirks);
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

const struct quirks *client_quirks(const struct client *c)
{
    return &c->quirks;
}

bool client_confined(const struct client *c)
{
    return c->confined;
}

size_t client_workers(const struct client *c)
{
    return c->npool;
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
