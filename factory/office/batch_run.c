/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <unistd.h>

#include "ca/ca.h"
#include "cli/progress.h"
#include "factory/office/batch.h"
#include "x509/profile.h"

/*
 * Threads that each do everything for a group: that scales better than threads by stage (no queue, nothing
 * handed over). Only two things are in line: the CA's database, which has one writer, and the lines, which go
 * to the file in the order of their ids. A group's number is the first device it holds.
 *
 * A thread waits only for groups before its own, whose threads are at work or have stopped the line; so no
 * wait is for something that cannot come.
 */
enum { THREADS_MIN = 2, THREADS_MAX = 16 };

struct pool {
    struct batch_job *job;
    struct batch_lines *lines;
    struct lot_keys *lots;
    struct ca_run *run;
    const struct profile *profile;
    pthread_mutex_t ca_lock;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t moved; /* turn, stop or running changed */
    uint64_t next;        /* first device that no thread has taken */
    uint64_t turn;        /* group whose lines come next */
    size_t running;
    bool stop;
    struct err err; /* the first failure */
};

static bool take_group(struct pool *p, uint64_t *ret_first, size_t *ret_n)
{
    pthread_mutex_lock(&p->lock);
    uint64_t left = p->job->station->quantity - p->next;
    bool some = !p->stop && left > 0;
    if (some) {
        *ret_first = p->next;
        *ret_n = left < BATCH_GROUP ? (size_t)left : BATCH_GROUP;
        p->next += *ret_n;
    }
    pthread_mutex_unlock(&p->lock);
    return some;
}

/* False when the line was stopped. */
static bool wait_turn(struct pool *p, uint64_t first)
{
    pthread_mutex_lock(&p->lock);
    while (!p->stop && p->turn != first)
        pthread_cond_wait(&p->moved, &p->lock);
    bool go = !p->stop;
    pthread_mutex_unlock(&p->lock);
    return go;
}

static void end_turn(struct pool *p, uint64_t next)
{
    lot_keys_drop(p->lots, next / p->job->order.lot_size); /* every device of these lots has its line */
    pthread_mutex_lock(&p->lock);
    p->turn = next;
    pthread_cond_broadcast(&p->moved);
    pthread_mutex_unlock(&p->lock);
}

static void leave(struct pool *p, enum rc rc, const struct err *e)
{
    pthread_mutex_lock(&p->lock);
    if (rc != RC_OK && !p->stop) {
        p->stop = true;
        p->err = *e;
    }
    p->running--;
    pthread_cond_broadcast(&p->moved);
    pthread_mutex_unlock(&p->lock);
}

static enum rc make_group(struct pool *p, struct batch_maker *m, uint64_t first, size_t n, struct err *e)
{
    struct ca_item *items = NULL;
    const struct bytes *lines = NULL;
    enum rc rc = batch_maker_keys(m, first, n, &items, e);
    if (rc != RC_OK)
        return rc;

    pthread_mutex_lock(&p->ca_lock);
    rc = ca_group_reserve(p->run, items, n, e);
    pthread_mutex_unlock(&p->ca_lock);
    if (rc == RC_OK)
        rc = ca_group_sign(p->run, items, n, e);
    if (rc == RC_OK)
        rc = batch_maker_seal(m, p->lots, &lines, e);
    if (rc != RC_OK || !wait_turn(p, first))
        return rc;

    rc = batch_lines_append(p->lines, lines, n, e);
    if (rc != RC_OK)
        return rc;
    pthread_mutex_lock(&p->ca_lock);
    rc = ca_group_commit(p->run, items, n, e);
    pthread_mutex_unlock(&p->ca_lock);
    if (rc == RC_OK)
        end_turn(p, first + n);
    return rc;
}

static void *work(void *arg)
{
    struct pool *p = arg;
    struct batch_maker *m = NULL;
    struct err e = ERR_INIT;
    uint64_t first = 0;
    size_t n = 0;
    enum rc rc = batch_maker_new(p->job, p->profile, &m, &e);
    while (rc == RC_OK && take_group(p, &first, &n))
        rc = make_group(p, m, first, n, &e);
    batch_maker_free(m);
    leave(p, rc, &e);
    return NULL;
}

/* Shows how far the line is until every thread has left. */
static void watch(struct pool *p)
{
    struct progress *bar = progress_start(p->job->id, "devices", p->job->station->quantity);
    progress_set(bar, p->lines->count); /* what an earlier run made */
    pthread_mutex_lock(&p->lock);
    while (p->running > 0) {
        pthread_cond_wait(&p->moved, &p->lock);
        uint64_t done = p->turn;
        pthread_mutex_unlock(&p->lock);
        progress_set(bar, done);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    progress_end(bar);
}

static size_t thread_count(const struct batch_job *j, uint64_t done)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    /* One more than cores: while a thread waits for its signatures or its turn, another verifies. */
    long wanted = cores + 1;
    size_t n = wanted < THREADS_MIN ? THREADS_MIN : wanted > THREADS_MAX ? THREADS_MAX : (size_t)wanted;
    uint64_t groups = (j->station->quantity - done + BATCH_GROUP - 1) / BATCH_GROUP;
    return groups < n ? (size_t)groups : n;
}

static enum rc run_threads(struct pool *p, struct err *e)
{
    pthread_t threads[THREADS_MAX];
    size_t wanted = thread_count(p->job, p->turn), n = 0;
    for (; n < wanted; n++) {
        pthread_mutex_lock(&p->lock);
        p->running++; /* before it may leave */
        pthread_mutex_unlock(&p->lock);
        if (pthread_create(&threads[n], NULL, work, p) != 0) {
            struct err none = ERR_INIT;
            leave(p,
                  err_set(&none, RC_SYSTEM, "office.threads", "cannot start a thread to make devices with"),
                  &none);
            break;
        }
    }
    watch(p);
    for (size_t i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    if (p->stop)
        *e = p->err;
    return p->stop ? p->err.rc : RC_OK;
}

enum rc batch_run(struct batch_job *j, struct batch_lines *l, struct lot_keys *lots, struct err *e)
{
    if (l->count == j->station->quantity)
        return RC_OK;
    struct profile *profile = NULL;
    struct pool *p = mem_new(sizeof(*p));
    p->job = j;
    p->lines = l;
    p->lots = lots;
    p->next = p->turn = l->count;
    pthread_mutex_init(&p->ca_lock, NULL);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->moved, NULL);

    enum rc rc = profile_load(j->order.profile, &profile, e);
    p->profile = profile;
    if (rc == RC_OK)
        rc = ca_run_begin(j->ca, j->order.id, j->order.profile, j->order.not_before, j->order.not_after,
                          (size_t)j->order.verify_every, &p->run, e);
    if (rc == RC_OK)
        rc = run_threads(p, e);
    if (p->run)
        ca_run_end(p->run);
    profile_free(profile);
    pthread_cond_destroy(&p->moved);
    pthread_mutex_destroy(&p->lock);
    pthread_mutex_destroy(&p->ca_lock);
    free(p);
    return rc;
}
