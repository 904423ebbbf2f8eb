/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

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
    size_t cap; /* data is mapped with cap + 1 octets */
};

void wipe(void *p, size_t n)
{
    if (n)
        explicit_bzero(p, n);
}

struct secret *secret_new(size_t cap)
{
    if (cap == SIZE_MAX)
        out_of_memory();
    void *data = mmap(NULL, cap + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        out_of_memory();
    /* Both may be forbidden (RLIMIT_MEMLOCK in a container); working without beats not working. */
    (void)mlock(data, cap + 1);
    (void)madvise(data, cap + 1, MADV_DONTDUMP);
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
    munmap(s->data, s->cap + 1);
    free(s);
}
