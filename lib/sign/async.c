/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/async.h"

#include <fcntl.h>
#include <openssl/async.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "sign/evp.h"
#include "sign/signer.h"

/*
 * What a paused job and its helper share. The helper keeps a reference of its own, and an eventfd of its own:
 * a connection may be given up while it is at work, and the job, with the stack that waits here, never go on.
 */
struct task {
    struct task *next;
    struct signer *signer;
    const struct alg *alg;
    struct bytes input; /* a copy: the caller's is on the job's stack */
    int fd;             /* eventfd */
    atomic_bool done;   /* rc, sig and err may be read */
    atomic_int refs;
    enum rc rc;
    struct bytes sig;
    struct err err;
};

/* Helpers are started as they are needed, so a process that never pauses a job has none. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t more; /* a task was added, or it is the end */
    struct task *first, **last;
    pthread_t threads[EVP_ASYNC_THREADS];
    size_t nthreads, idle;
    bool ending;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};

static void task_drop(struct task *t)
{
    if (atomic_fetch_sub(&t->refs, 1) != 1)
        return;
    (void)close(t->fd);
    bytes_free(&t->input);
    bytes_free(&t->sig);
    free(t);
}

static void task_run(struct task *t)
{
    struct span input = bytes_span(&t->input);

    t->rc = signer_sign_as(t->signer, t->alg, &input, 1, 1, &t->sig, &t->err);
    atomic_store(&t->done, true);
    (void)eventfd_write(t->fd, 1); /* a counter never runs over by one */
    task_drop(t);
}

/* The next task, or NULL when there is none and there will be none. */
static struct task *task_next(void)
{
    struct task *t = NULL;

    (void)pthread_mutex_lock(&pool.lock);
    pool.idle++;
    while (pool.first == NULL && !pool.ending)
        (void)pthread_cond_wait(&pool.more, &pool.lock);
    pool.idle--;
    t = pool.first;
    if (t != NULL)
        pool.first = t->next;
    (void)pthread_mutex_unlock(&pool.lock);
    return t;
}

static void *helper(void *arg)
{
    struct task *t = NULL;

    (void)arg;
    while ((t = task_next()) != NULL)
        task_run(t);
    return NULL;
}

/* Signals are for the program's own threads. */
static bool helper_start(pthread_t *ret)
{
    sigset_t all, before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(ret, NULL, helper, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed == 0;
}

/* False: there is no helper, and none can be started. */
static bool task_add(struct task *t)
{
    size_t waiting = 1;

    (void)pthread_mutex_lock(&pool.lock);
    if (pool.ending)
        bug("async: a signature while the helpers end");
    for (const struct task *other = pool.first; other != NULL; other = other->next)
        waiting++;
    if (pool.idle < waiting && pool.nthreads < EVP_ASYNC_THREADS &&
        helper_start(&pool.threads[pool.nthreads]))
        pool.nthreads++;
    bool taken = pool.nthreads > 0;
    if (taken) {
        if (pool.first == NULL)
            pool.last = &pool.first;
        *pool.last = t;
        pool.last = &t->next;
        (void)pthread_cond_signal(&pool.more);
    }
    (void)pthread_mutex_unlock(&pool.lock);
    return taken;
}

void evp_async_end(void)
{
    (void)pthread_mutex_lock(&pool.lock);
    pool.ending = true;
    (void)pthread_cond_broadcast(&pool.more);
    (void)pthread_mutex_unlock(&pool.lock);
    for (size_t i = 0; i < pool.nthreads; i++)
        (void)pthread_join(pool.threads[i], NULL);
    (void)pthread_mutex_lock(&pool.lock);
    pool.nthreads = 0;
    pool.ending = false;
    (void)pthread_mutex_unlock(&pool.lock);
}

static void forget_fd(ASYNC_WAIT_CTX *ctx, const void *key, OSSL_ASYNC_FD fd, void *data)
{
    (void)ctx;
    (void)key;
    (void)data;
    (void)close(fd);
}

static const char wait_key; /* its address is the key under which a job's fd is known */

/* Registers an eventfd with the job and gives the task a duplicate. */
static bool task_watch(struct task *t, ASYNC_WAIT_CTX *ctx)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd < 0)
        return false;
    t->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (t->fd < 0) {
        (void)close(fd);
        return false;
    }
    if (ASYNC_WAIT_CTX_set_wait_fd(ctx, &wait_key, fd, NULL, forget_fd) != 1) {
        (void)close(fd);
        (void)close(t->fd);
        return false;
    }
    return true;
}

/* libcrypto closes the descriptor of a job that is given up, and leaves one that is taken back to us. */
static void unwatch(ASYNC_WAIT_CTX *ctx)
{
    OSSL_ASYNC_FD fd = -1;
    void *data = NULL;

    if (ASYNC_WAIT_CTX_get_fd(ctx, &wait_key, &fd, &data) != 1)
        return;
    (void)ASYNC_WAIT_CTX_clear_fd(ctx, &wait_key);
    (void)close(fd);
}

/* NULL: there are no descriptors or threads left for it. */
static struct task *task_new(struct signer *s, const struct alg *a, struct span input, ASYNC_WAIT_CTX *ctx)
{
    struct task *t = mem_new(sizeof(*t));

    t->signer = s;
    t->alg = a;
    atomic_init(&t->refs, 2);
    if (!task_watch(t, ctx)) {
        free(t);
        return NULL;
    }
    bytes_add_span(&t->input, input);
    if (!task_add(t)) {
        unwatch(ctx);
        atomic_store(&t->refs, 1);
        task_drop(t);
        return NULL;
    }
    return t;
}

enum rc async_sign(struct signer *s, const struct alg *a, struct span input, struct bytes *ret, struct err *e)
{
    ASYNC_JOB *job = ASYNC_get_current_job();
    ASYNC_WAIT_CTX *ctx = job == NULL ? NULL : ASYNC_get_wait_ctx(job);
    struct task *t = ctx == NULL ? NULL : task_new(s, a, input, ctx);
    enum rc rc = RC_OK;

    if (t == NULL) /* short of descriptors or threads, slow is better than not at all */
        return signer_sign_as(s, a, &input, 1, 1, ret, e);
    /* A loop may resume the job for another reason than our descriptor. */
    while (!atomic_load(&t->done))
        if (ASYNC_pause_job() != 1) {
            rc = err_ossl(e, RC_SYSTEM, "sign.async", "key '%s': the job cannot be paused", s->name);
            break;
        }
    if (rc == RC_OK) {
        rc = t->rc;
        if (rc == RC_OK)
            bytes_add_span(ret, bytes_span(&t->sig));
        else
            *e = t->err;
    }
    unwatch(ctx);
    task_drop(t);
    return rc;
}
