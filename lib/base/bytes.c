/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/secret.h"

enum { FIRST_CAP = 64 /* octets */ };

/*
 * Room for n more octets and the NUL. Not realloc: the old place is wiped, so that bytes_wipe at the end is
 * enough for a buffer that held a secret while it grew.
 */
static void reserve(struct bytes *b, size_t n)
{
    if (n > SIZE_MAX / 4 || b->n > SIZE_MAX / 4)
        out_of_memory();
    size_t need = b->n + n + 1;
    if (b->p && need <= b->cap)
        return;
    size_t cap = b->cap ? b->cap : FIRST_CAP;
    while (cap < need)
        cap *= 2;
    uint8_t *p = mem_new(cap);
    if (b->p) {
        memcpy(p, b->p, b->n);
        wipe(b->p, b->cap);
        free(b->p);
    }
    b->p = p;
    b->cap = cap;
}

void bytes_add(struct bytes *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    reserve(b, n);
    memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = 0;
}

void bytes_add_span(struct bytes *b, struct span s)
{
    bytes_add(b, s.p, s.n);
}

void bytes_add_byte(struct bytes *b, uint8_t c)
{
    reserve(b, 1);
    b->p[b->n++] = c;
    b->p[b->n] = 0;
}

void bytes_add_str(struct bytes *b, const char *s)
{
    bytes_add(b, s, strlen(s));
}

void bytes_vprintf(struct bytes *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    reserve(b, 0);
    size_t room = b->cap - b->n;
    int n = vsnprintf((char *)b->p + b->n, room, fmt, ap);
    if (n < 0)
        bug("bytes_printf: format '%s' cannot be printed", fmt);
    if ((size_t)n >= room) {
        reserve(b, (size_t)n);
        vsnprintf((char *)b->p + b->n, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    b->n += (size_t)n;
}

void bytes_printf(struct bytes *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    bytes_vprintf(b, fmt, ap);
    va_end(ap);
}

uint8_t *bytes_room(struct bytes *b, size_t n)
{
    reserve(b, n);
    /* All of it is zero, so that a NUL stands behind whatever part of the room the caller uses. */
    memset(b->p + b->n, 0, n + 1);
    return b->p + b->n;
}

void bytes_reset(struct bytes *b)
{
    b->n = 0;
    if (b->p)
        b->p[0] = 0;
}

void bytes_free(struct bytes *b)
{
    free(b->p);
    *b = (struct bytes)BYTES_INIT;
}

void bytes_wipe(struct bytes *b)
{
    wipe(b->p, b->cap);
    bytes_free(b);
}

struct span bytes_span(const struct bytes *b)
{
    return (struct span){b->p, b->n};
}

const char *bytes_str(const struct bytes *b)
{
    return b->p ? (const char *)b->p : "";
}

struct span span_str(const char *s)
{
    return (struct span){(const uint8_t *)s, strlen(s)};
}

struct span span_copy(struct span s)
{
    uint8_t *p = (uint8_t *)mem_strn((const char *)s.p, s.n);
    return (struct span){p, s.n};
}

void span_free(struct span *s)
{
    free((void *)(uintptr_t)s->p);
    *s = (struct span){NULL, 0};
}

bool span_eq(struct span a, struct span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

void *mem_array(size_t n, size_t size)
{
    /* calloc checks n * size; an empty array is still an address of its own. */
    void *p = n && size ? calloc(n, size) : calloc(1, 1);
    if (!p)
        out_of_memory();
    return p;
}

void *mem_new(size_t size)
{
    return mem_array(1, size);
}

void *mem_grow(void *p, size_t n, size_t size)
{
    void *q = n && size ? reallocarray(p, n, size) : realloc(p, 1);
    if (!q)
        out_of_memory();
    return q;
}

char *mem_strn(const char *s, size_t n)
{
    if (n == SIZE_MAX)
        out_of_memory();
    char *p = mem_new(n + 1);
    if (n)
        memcpy(p, s, n);
    return p;
}

char *mem_str(const char *s)
{
    return s ? mem_strn(s, strlen(s)) : NULL;
}

char *mem_printf(const char *fmt, ...)
{
    char *p = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&p, fmt, ap);
    va_end(ap);
    if (n < 0)
        out_of_memory();
    return p;
}
