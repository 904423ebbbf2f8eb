/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bytes.h"
#include "base/err.h"

/*
 * The octets have pages of their own: locking and "not in a core dump" work on whole pages, and unlocking one
 * secret must not unlock its neighbour. The head is malloc'd, so that the leak check sees a secret that
 * nobody frees.
 */
struct secret {
    uint8_t *data;
    size_t n;
    size_t cap; /* one octet of data lies behind it */
};

/*
 * Pages that were used and wiped, still locked, for the next secrets: to map, lock and unmap one for every
 * device of a batch costs more than the device's cipher does, and stops all threads for the page tables.
 */
enum { PAGE = 4096, SPARE_MAX = 64 };
static struct {
    pthread_mutex_t lock;
    void *page[SPARE_MAX];
    size_t n;
} spare = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *spare_take(void)
{
    void *page = NULL;

    pthread_mutex_lock(&spare.lock);
    if (spare.n > 0)
        page = spare.page[--spare.n];
    pthread_mutex_unlock(&spare.lock);
    return page;
}

static bool spare_give(void *page)
{
    pthread_mutex_lock(&spare.lock);
    bool room = spare.n < SPARE_MAX;
    if (room)
        spare.page[spare.n++] = page;
    pthread_mutex_unlock(&spare.lock);
    return room;
}

/* What a secret of this capacity takes: a page, or what it needs. */
static size_t mapped(size_t cap)
{
    return cap < PAGE ? PAGE : cap + 1;
}

static void *map_locked(size_t n)
{
    void *data = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        out_of_memory();
    /* Both may be forbidden (RLIMIT_MEMLOCK in a container); working without beats not working. */
    (void)mlock(data, n);
    (void)madvise(data, n, MADV_DONTDUMP);
    return data;
}

void wipe(void *p, size_t n)
{
    if (n)
        explicit_bzero(p, n);
}

struct secret *secret_new(size_t cap)
{
    if (cap == SIZE_MAX)
        out_of_memory();
    void *data = cap < PAGE ? spare_take() : NULL;
    if (data == NULL)
        data = map_locked(mapped(cap));
    struct secret *s = mem_new(sizeof(*s));
    s->data = data;
    s->cap = cap;
    return s;
}

struct secret *secret_from(const void *p, size_t n)
{
    struct secret *s = secret_new(n);
    if (n)
        memcpy(s->data, p, n);
    s->n = n;
    return s;
}

uint8_t *secret_data(const struct secret *s)
{
    return s->data;
}

size_t secret_len(const struct secret *s)
{
    return s->n;
}

size_t secret_cap(const struct secret *s)
{
    return s->cap;
}

void secret_set_len(struct secret *s, size_t n)
{
    if (n > s->cap)
        bug("a secret of %zu octets in a place for %zu", n, s->cap);
    s->n = n;
    wipe(s->data + n, s->cap + 1 - n);
}

void secret_free(struct secret *s)
{
    if (!s)
        return;
    wipe(s->data, s->cap + 1);
    if (s->cap >= PAGE || !spare_give(s->data))
        munmap(s->data, mapped(s->cap));
    free(s);
}
