/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/progress.h"
#include "hsm/client.h"
#include "hsm/histogram.h"
#include "hsm/keystore.h"
#include "hsm/token.h"
#include "hsm/uri.h"
#include "sign/alg.h"
#include "sign/digest.h"

enum {
    MESSAGE_MAX = 128, /* octets of a message with its NUL */
    TICK_MS = 100,     /* between two looks at how far it is */
};

/* What all threads share. */
struct bench {
    struct signer *key;
    const struct bench_options *opt;
    uint64_t deadline; /* ns; 0: until opt->count are signed */
    uint8_t run[8];    /* random: no message comes twice */
    _Atomic uint64_t taken, done;
    _Atomic bool stop;
    atomic_size_t running;
    pthread_mutex_t mutex; /* over failure */
    struct err failure;
};

struct thread {
    struct bench *bench;
    pthread_t id;
    struct histogram call, signature;
    uint64_t calls, end; /* ns: when it had nothing more to do */
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* The only thing that is ever signed here: a text that begins so is no certificate, list or document of
 * anybody's, whatever its number is. */
static struct span message_make(const struct bench *b, uint64_t number, char *ret)
{
    int n = snprintf(
        ret, MESSAGE_MAX,
        "keymill bench: a measurement, it authorises nothing; run %02x%02x%02x%02x%02x%02x%02x%02x, "
        "number %" PRIu64,
        b->run[0], b->run[1], b->run[2], b->run[3], b->run[4], b->run[5], b->run[6], b->run[7], number);
    if (n < 0 || n >= MESSAGE_MAX)
        bug("bench: a message of %d octets", n);
    return (struct span){(const uint8_t *)ret, (size_t)n};
}

/* One batch, by the raw door when nothing is to be verified. */
struct batch {
    uint8_t *inputs; /* DIGEST_MAX or MESSAGE_MAX octets each */
    struct span *spans;
    struct bytes *signatures;
};

static void batch_new(size_t n, struct batch *ret)
{
    *ret = (struct batch){mem_array(n, MESSAGE_MAX), mem_array(n, sizeof *ret->spans),
                          mem_array(n, sizeof *ret->signatures)};
}

static void batch_free(struct batch *b)
{
    free(b->inputs);
    free(b->spans);
    free(b->signatures);
}

static void batch_fill(const struct bench *b, uint64_t first, size_t n, struct batch *ret)
{
    const struct alg *a = b->key->alg;
    for (size_t i = 0; i < n; i++) {
        char text[MESSAGE_MAX];
        uint8_t *p = ret->inputs + i * MESSAGE_MAX;
        struct span message = message_make(b, first + i, text);
        if (a->digest_len == 0)
            memcpy(p, message.p, message.n);
        else
            alg_digest(a, message, p);
        ret->spans[i] = (struct span){p, a->digest_len ? a->digest_len : message.n};
    }
}

static enum rc batch_sign(const struct bench *b, bool verify, size_t n, struct batch *batch, struct err *e)
{
    enum rc rc = verify ? signer_sign(b->key, batch->spans, n, batch->signatures, e)
                        : b->key->ops->sign(b->key, b->key->alg, batch->spans, n, batch->signatures, e);
    for (size_t i = 0; i < n; i++)
        bytes_free(&batch->signatures[i]);
    return rc;
}

/* Numbers for the next batch; 0: enough is done. */
static size_t batch_take(struct bench *b, uint64_t *ret_first)
{
    size_t n = b->opt->batch;
    if (atomic_load(&b->stop) || (b->deadline > 0 && now_ns() >= b->deadline))
        return 0;
    *ret_first = atomic_fetch_add(&b->taken, n);
    if (b->deadline > 0)
        return n;
    if (*ret_first >= b->opt->count)
        return 0;
    return b->opt->count - *ret_first < n ? (size_t)(b->opt->count - *ret_first) : n;
}

static void failed(struct bench *b, const struct err *e)
{
    pthread_mutex_lock(&b->mutex);
    if (b->failure.rc == RC_OK)
        b->failure = *e;
    pthread_mutex_unlock(&b->mutex);
    atomic_store(&b->stop, true);
}

static void *thread_run(void *arg)
{
    struct thread *t = arg;
    struct bench *b = t->bench;
    struct batch batch;
    struct err e = ERR_INIT;
    uint64_t first = 0;
    bool filled = false;
    size_t n;
    batch_new(b->opt->batch, &batch);
    while ((n = batch_take(b, &first)) > 0) {
        if (!filled) /* signed again and again: making texts is not what is measured */
            batch_fill(b, first, b->opt->batch, &batch);
        filled = true;
        uint64_t before = now_ns();
        if (batch_sign(b, b->opt->verify, n, &batch, &e) != RC_OK) {
            failed(b, &e);
            break;
        }
        uint64_t took = now_ns() - before;
        histogram_add(&t->call, took, 1);
        histogram_add(&t->signature, took / n, n);
        t->calls++;
        atomic_fetch_add(&b->done, n);
    }
    batch_free(&batch);
    t->end = now_ns();
    atomic_fetch_sub(&b->running, 1);
    return NULL;
}

/* One signature, verified: the key works, every worker's first call is not the one that is measured, and a
 * token that computes wrongly is not praised for its speed. */
static enum rc warm_up(struct bench *b, struct err *e)
{
    struct batch batch;
    batch_new(1, &batch);
    batch_fill(b, UINT64_MAX, 1, &batch);
    enum rc rc = batch_sign(b, true, 1, &batch, e);
    batch_free(&batch);
    return rc;
}

static void watch(struct bench *b)
{
    struct timespec tick = {0, TICK_MS * 1000000L};
    struct progress *p = progress_start("bench", "signatures", b->opt->count);
    while (atomic_load(&b->running) > 0) {
        progress_set(p, atomic_load(&b->done));
        nanosleep(&tick, NULL);
    }
    progress_end(p);
}

static void latency_from(const struct histogram *h, struct bench_latency *ret)
{
    *ret = (struct bench_latency){histogram_percentile(h, 50), histogram_percentile(h, 95),
                                  histogram_percentile(h, 99), h->max};
}

static size_t threads_start(struct bench *b, struct thread *threads)
{
    size_t started = 0;
    for (; started < b->opt->threads; started++) {
        threads[started].bench = b;
        atomic_fetch_add(&b->running, 1);
        if (pthread_create(&threads[started].id, NULL, thread_run, &threads[started]) != 0) {
            struct err e = ERR_INIT;
            atomic_fetch_sub(&b->running, 1);
            err_set(&e, RC_SYSTEM, "hsm.bench", "cannot start thread %zu of %zu", started + 1,
                    b->opt->threads);
            failed(b, &e);
            break;
        }
    }
    return started;
}

static enum rc threads_run(struct bench *b, struct bench_result *ret, struct err *e)
{
    struct thread *threads = mem_array(b->opt->threads, sizeof *threads);
    struct histogram *call = mem_new(sizeof *call), *signature = mem_new(sizeof *signature);
    uint64_t begin = now_ns(), end = begin;
    b->deadline = b->opt->count ? 0 : begin + (uint64_t)b->opt->seconds * UINT64_C(1000000000);
    size_t started = threads_start(b, threads);
    watch(b);
    for (size_t i = 0; i < started; i++) {
        pthread_join(threads[i].id, NULL);
        histogram_merge(call, &threads[i].call);
        histogram_merge(signature, &threads[i].signature);
        ret->calls += threads[i].calls;
        end = threads[i].end > end ? threads[i].end : end;
    }
    ret->elapsed_ns = end - begin;
    ret->signatures = atomic_load(&b->done);
    latency_from(call, &ret->call);
    latency_from(signature, &ret->signature);
    free(signature);
    free(call);
    free(threads);
    if (b->failure.rc != RC_OK)
        *e = b->failure;
    return b->failure.rc;
}

static enum rc options_check(const struct bench_options *opt, struct err *e)
{
    if (opt->batch < 1 || opt->batch > BENCH_BATCH_MAX)
        return err_set(e, RC_USAGE, "hsm.bench", "a batch of '%zu' signatures: 1 to %d are possible",
                       opt->batch, (int)BENCH_BATCH_MAX);
    if (opt->threads > BENCH_THREADS_MAX)
        return err_set(e, RC_USAGE, "hsm.bench", "'%zu' threads: 1 to %d are possible", opt->threads,
                       (int)BENCH_THREADS_MAX);
    if (opt->count == 0 && (opt->seconds < 1 || opt->seconds > BENCH_SECONDS_MAX))
        return err_set(e, RC_USAGE, "hsm.bench", "'%d' seconds: 1 to %d are possible", opt->seconds,
                       (int)BENCH_SECONDS_MAX);
    return RC_OK;
}

/* A thread for each worker keeps it busy with signing; one more prepares and verifies meanwhile. */
static size_t threads_default(const struct client *c, bool verify)
{
    size_t n = client_workers(c) + (verify ? 1 : 0);
    return n < BENCH_THREADS_MAX ? n : BENCH_THREADS_MAX;
}

enum rc token_bench(struct keystore *k, const char *uri, const struct bench_options *asked,
                    struct bench_result *ret, struct err *e)
{
    struct bench_options opt = *asked;
    struct bench b = {.opt = &opt, .mutex = PTHREAD_MUTEX_INITIALIZER, .failure = ERR_INIT};
    struct uri u = {.token = NULL};
    struct client *c = NULL;
    struct bench_result result = {.calls = 0};
    enum rc rc = options_check(asked, e);
    if (rc == RC_OK)
        rc = uri_parse(uri, &u, e);
    if (rc == RC_OK)
        rc = k->ops->find(k, uri, KEY_SIGN, NULL, &b.key, e);
    if (rc == RC_OK)
        rc = tokens_client(k, &u, &c, e);
    if (rc == RC_OK)
        rc = random_bytes(b.run, sizeof b.run, e);
    if (rc == RC_OK)
        rc = warm_up(&b, e);
    if (rc == RC_OK) {
        if (opt.threads == 0)
            opt.threads = threads_default(c, opt.verify);
        result.algorithm = b.key->alg->name;
        result.workers = client_workers(c);
        result.sessions = client_sessions(c);
        result.threads = opt.threads;
        rc = threads_run(&b, &result, e);
        result.recoveries = client_recoveries(c);
    }
    if (rc == RC_OK)
        *ret = result;
    signer_free(b.key);
    uri_free(&u);
    return rc;
}
