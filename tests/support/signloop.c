/* SPDX-License-Identifier: Apache-2.0 */

/*
 * signloop URI COUNT [WORKERS [SESSIONS [DEADLINE_MS [BATCH [PATIENCE_MS]]]]]: signs COUNT distinct digests
 * (messages, where the key signs those) through hsm/'s client, from one thread more than there are workers,
 * and verifies each signature against the input at its place. Prints "N signatures, R/s" when all are there.
 * The PIN source is in the URI.
 *
 * With SIGNLOOP_HALF in the environment it prints "half" when that much is handed out, and hands out no more
 * before it has read a line: time for a test to break something.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "hsm/token.h"
#include "sign/alg.h"
#include "sign/digest.h"

enum { THREADS_MAX = 64 };

struct run {
    struct signer *key;
    pthread_mutex_t mutex; /* over next, verified and failure */
    uint64_t next, count, verified;
    size_t batch;
    bool stop_at_half;
    struct err failure;
};

/* What is signed at place i: nothing but i, so that a signature at the wrong place cannot verify. */
static size_t input_len(const struct alg *a)
{
    return a->digest_len ? a->digest_len : sizeof(uint64_t);
}

static void input_of(const struct alg *a, uint64_t i, uint8_t *ret)
{
    if (a->digest_len)
        alg_digest(a, (struct span){(const uint8_t *)&i, sizeof i}, ret);
    else
        memcpy(ret, &i, sizeof i);
}

static void half_wait(struct run *r)
{
    if (!r->stop_at_half || r->next < r->count / 2)
        return;
    r->stop_at_half = false;
    puts("half");
    fflush(stdout);
    for (int c = getchar(); c != '\n' && c != EOF;)
        c = getchar();
}

static size_t take(struct run *r, uint64_t *ret_first)
{
    pthread_mutex_lock(&r->mutex);
    half_wait(r);
    uint64_t left = r->failure.rc == RC_OK ? r->count - r->next : 0;
    size_t n = left < r->batch ? (size_t)left : r->batch;
    *ret_first = r->next;
    r->next += n;
    pthread_mutex_unlock(&r->mutex);
    return n;
}

static enum rc sign_some(struct run *r, uint64_t first, size_t n, struct err *e)
{
    const struct alg *a = r->key->alg;
    size_t len = input_len(a);
    uint8_t *octets = mem_array(n, len);
    struct span *inputs = mem_array(n, sizeof *inputs);
    struct bytes *signatures = mem_array(n, sizeof *signatures);
    for (size_t i = 0; i < n; i++) {
        input_of(a, first + i, octets + i * len);
        inputs[i] = (struct span){octets + i * len, len};
    }
    enum rc rc = signer_sign(r->key, inputs, n, signatures, e);
    for (size_t i = 0; rc == RC_OK && i < n; i++)
        rc = signature_verify(a, bytes_span(&r->key->spki), inputs[i], bytes_span(&signatures[i]), e);
    for (size_t i = 0; i < n; i++)
        bytes_free(&signatures[i]);
    free(signatures);
    free(inputs);
    free(octets);
    return rc;
}

static void *work(void *arg)
{
    struct run *r = arg;
    uint64_t first = 0;
    for (size_t n; (n = take(r, &first)) > 0;) {
        struct err e = ERR_INIT;
        enum rc rc = sign_some(r, first, n, &e);
        pthread_mutex_lock(&r->mutex);
        if (rc == RC_OK)
            r->verified += n;
        else
            r->failure = e;
        pthread_mutex_unlock(&r->mutex);
    }
    return NULL;
}

static void run_threads(struct run *r, int n)
{
    pthread_t threads[THREADS_MAX];
    for (int i = 0; i < n; i++) {
        if (pthread_create(&threads[i], NULL, work, r) != 0)
            abort();
    }
    for (int i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
}

static int number(int argc, char **argv, int i, int fallback)
{
    return argc > i ? atoi(argv[i]) : fallback;
}

int main(int argc, char **argv)
{
    struct run r = {.mutex = PTHREAD_MUTEX_INITIALIZER, .failure = ERR_INIT};
    struct keystore *store = NULL;
    if (argc < 3) {
        fprintf(stderr,
                "usage: signloop URI COUNT [WORKERS [SESSIONS [DEADLINE_MS [BATCH [PATIENCE_MS]]]]]\n");
        return RC_USAGE;
    }
    struct token_options opt = {.workers = number(argc, argv, 3, 2),
                                .sessions = number(argc, argv, 4, 0),
                                .deadline_ms = number(argc, argv, 5, 0),
                                .patience_ms = number(argc, argv, 7, 0)};
    r.count = (uint64_t)number(argc, argv, 2, 0);
    r.batch = (size_t)number(argc, argv, 6, 64);
    r.stop_at_half = getenv("SIGNLOOP_HALF") != NULL;
    enum rc rc = tokens_open(&opt, &store, &r.failure);
    if (rc == RC_OK)
        rc = store->ops->find(store, argv[1], KEY_SIGN, NULL, &r.key, &r.failure);
    if (rc == RC_OK) {
        int64_t start = clock_mono_ms();
        run_threads(&r, opt.workers < THREADS_MAX ? opt.workers + 1 : THREADS_MAX);
        int64_t ms = clock_mono_ms() - start;
        if (r.verified == r.count)
            printf("%" PRIu64 " signatures, %" PRId64 "/s\n", r.verified,
                   ms > 0 ? (int64_t)r.verified * 1000 / ms : 0);
        rc = r.failure.rc;
    }
    if (rc != RC_OK)
        fprintf(stderr, "signloop: %s [%s]\n", r.failure.text, r.failure.key);
    signer_free(r.key);
    tokens_close(store);
    return rc;
}
