/* SPDX-License-Identifier: Apache-2.0 */

/*
 * signloop URI COUNT [WORKERS [SESSIONS [DEADLINE_MS [BATCH]]]]: signs COUNT distinct digests through hsm/'s
 * client, from one thread more than there are workers, and verifies each signature against the digest at its
 * place. Prints "N signatures, R/s" when all are there. The PIN source is in the URI.
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
    struct err failure;
};

/* The digest for place i: nothing but i, so that a signature at the wrong place cannot verify. */
static void digest_of(const struct alg *a, uint64_t i, uint8_t *ret)
{
    alg_digest(a, (struct span){(const uint8_t *)&i, sizeof i}, ret);
}

static size_t take(struct run *r, uint64_t *ret_first)
{
    pthread_mutex_lock(&r->mutex);
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
    uint8_t *digests = mem_array(n, a->digest_len);
    struct bytes *signatures = mem_array(n, sizeof *signatures);
    for (size_t i = 0; i < n; i++)
        digest_of(a, first + i, digests + i * a->digest_len);
    enum rc rc = signer_sign(r->key, digests, n, signatures, e);
    for (size_t i = 0; rc == RC_OK && i < n; i++)
        rc = signature_verify(bytes_span(&r->key->spki), digests + i * a->digest_len,
                              bytes_span(&signatures[i]), e);
    for (size_t i = 0; i < n; i++)
        bytes_free(&signatures[i]);
    free(signatures);
    free(digests);
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
        fprintf(stderr, "usage: signloop URI COUNT [WORKERS [SESSIONS [DEADLINE_MS [BATCH]]]]\n");
        return RC_USAGE;
    }
    struct token_options opt = {.workers = number(argc, argv, 3, 2),
                                .sessions = number(argc, argv, 4, 0),
                                .deadline_ms = number(argc, argv, 5, 0)};
    r.count = (uint64_t)number(argc, argv, 2, 0);
    r.batch = (size_t)number(argc, argv, 6, 64);
    enum rc rc = tokens_open(&opt, &store, &r.failure);
    if (rc == RC_OK)
        rc = store->ops->find(store, argv[1], KEY_SIGN, &r.key, &r.failure);
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
