/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/clock.h"
#include "cli/progress.h"
#include "hsm/client_local.h"
#include "hsm/status.h"

enum {
    GENERATE_DEADLINE_MS = 120000, /* RSA keys: a matter of luck */
    WINDOW = 4,                    /* requests in flight, so that a worker never waits for the next */
};

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

static struct pooled *take(struct client *c)
{
    struct pooled *p;
    pthread_mutex_lock(&c->mutex);
    while (!(p = idle_one(c)))
        pthread_cond_wait(&c->released, &c->mutex);
    p->busy = true;
    pthread_mutex_unlock(&c->mutex);
    return p;
}

static void give_back(struct client *c, struct pooled *p)
{
    pthread_mutex_lock(&c->mutex);
    p->busy = false;
    pthread_cond_signal(&c->released);
    pthread_mutex_unlock(&c->mutex);
}

/* How often, and since when, nothing came of it. */
struct trouble {
    int tries;
    int fruitless; /* of these, by a worker that had logged in, with its token there */
    int64_t since; /* clock_mono_ms */
};

static enum outcome run_once(struct client *c, struct pooled *p, struct exchange *x, const char *label,
                             struct trouble *t, bool *ret_again, struct err *e)
{
    *ret_again = false;
    enum outcome o = LOST;
    x->progress = false;
    if (!p->up && pooled_start(c, p, ret_again, e) != RC_OK)
        return o;
    o = worker_exchange(&p->worker, x);
    if (o == ANSWERED)
        return o;
    t->fruitless += o != REFUSED || !token_absent(x);
    exchange_err(c, label, o, x, e);
    if (o == REFUSED && x->status == PROTO_LOGIN_LOST) {
        *ret_again = pooled_login(c, p, ret_again, e) == RC_OK || *ret_again;
        return o;
    }
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

/* A token that is away may come back; one that is there and fails the same thing again and again will not
 * change its mind. */
static bool is_over(const struct client *c, const struct trouble *t)
{
    if (t->fruitless > RESTARTS_MAX)
        return true;
    return t->tries > RESTARTS_MAX && (!c->served || clock_mono_ms() - t->since >= c->patience_ms);
}

/* The last error, and that we did not give up at once. */
static enum rc gave_up(const struct trouble *t, struct err *e)
{
    struct err last = *e;
    return err_set(e, last.rc, last.key, "%s; %d tries in %.1f s did no better", last.text, t->tries,
                   (double)(clock_mono_ms() - t->since) / 1000);
}

static void say_trouble(struct client *c, const struct trouble *t, const struct err *e)
{
    pthread_mutex_lock(&c->mutex);
    c->recoveries++;
    pthread_mutex_unlock(&c->mutex);
    if (t->tries == 1)
        progress_say("%s; trying again, for up to %g s", e->text, c->patience_ms / 1000.0);
}

static enum rc run_on(struct client *c, struct pooled *p, struct exchange *x, const char *label,
                      struct err *e)
{
    struct trouble t = {.since = clock_mono_ms()};
    bool again = false;
    while (run_once(c, p, x, label, &t, &again, e) != ANSWERED) {
        if (x->progress)
            t = (struct trouble){.since = clock_mono_ms(), .fruitless = 1};
        t.tries++;
        if (!again)
            return e->rc;
        if (is_over(c, &t))
            return gave_up(&t, e);
        say_trouble(c, &t, e);
        restart_pause(t.tries);
    }
    if (t.tries > 1)
        progress_say("%s answers again, after %.1f s", c->name, (double)(clock_mono_ms() - t.since) / 1000);
    err_clear(e);
    return RC_OK;
}

size_t client_recoveries(struct client *c)
{
    pthread_mutex_lock(&c->mutex);
    size_t n = c->recoveries;
    pthread_mutex_unlock(&c->mutex);
    return n;
}

enum rc client_run(struct client *c, const char *label, const struct request *requests, struct reply *replies,
                   size_t n, struct err *e)
{
    size_t window = c->sessions > WINDOW ? c->sessions : WINDOW;
    struct exchange x = {
        .requests = requests, .replies = replies, .n = n, .window = window, .deadline_ms = c->deadline_ms};
    struct pooled *p = take(c);
    enum rc rc = run_on(c, p, &x, label, e);
    give_back(c, p);
    if (rc != RC_OK)
        replies_wipe(replies, n);
    return rc;
}

enum rc client_call(struct client *c, const char *label, const struct request *rq, struct bytes *ret,
                    struct err *e)
{
    struct reply reply = {.done = false};
    struct exchange x = {
        .requests = rq, .replies = &reply, .n = 1, .window = 1, .deadline_ms = c->deadline_ms};
    if (rq->op == PROTO_GENERATE && x.deadline_ms < GENERATE_DEADLINE_MS)
        x.deadline_ms = GENERATE_DEADLINE_MS;
    struct pooled *p = take(c);
    enum rc rc = run_on(c, p, &x, label, e);
    give_back(c, p);
    if (rc == RC_OK)
        bytes_add_span(ret, bytes_span(&reply.body));
    replies_wipe(&reply, 1);
    return rc;
}
