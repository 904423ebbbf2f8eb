/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Octets that somebody else owns. */
struct span {
    const uint8_t *p;
    size_t n;
};

/* A growing buffer. Zero-initialised is empty and valid. p is always followed by a NUL that n does not count
 * (when p is set). */
struct bytes {
    uint8_t *p;
    size_t n;
    size_t cap;
};

#define BYTES_INIT                                                                                           \
    {                                                                                                        \
        NULL, 0, 0                                                                                           \
    }
#define SPAN(literal) ((struct span){(const uint8_t *)(literal), sizeof(literal) - 1})

/* Growing never fails: out of memory ends the process (err.h). What is added must not lie in b itself. */
void bytes_add(struct bytes *b, const void *p, size_t n);
void bytes_add_span(struct bytes *b, struct span s);
void bytes_add_byte(struct bytes *b, uint8_t c);
void bytes_add_str(struct bytes *b, const char *s);
void bytes_printf(struct bytes *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void bytes_vprintf(struct bytes *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Makes room for n more octets, all zero; returns where they go. Count what was used of it with b->n += used.
 */
uint8_t *bytes_room(struct bytes *b, size_t n);
/* Empties and keeps the memory. */
void bytes_reset(struct bytes *b);
/* Frees; *b is empty and valid again. */
void bytes_free(struct bytes *b);
/* Wipes all of the capacity, then frees. For buffers that held a secret in passing: growing wipes the place
 * it leaves. */
void bytes_wipe(struct bytes *b);
struct span bytes_span(const struct bytes *b);
/* The contents as a NUL-terminated string ("" when empty). Valid until the next change. */
const char *bytes_str(const struct bytes *b);

struct span span_str(const char *s);
struct span span_copy(struct span s); /* malloc'd copy; free((void *)(uintptr_t)s.p) by span_free */
void span_free(struct span *s);
bool span_eq(struct span a, struct span b);

/* malloc family that never returns NULL; memory is zeroed; n * size is checked for overflow. Free with
 * free(). */
void *mem_new(size_t size);
void *mem_array(size_t n, size_t size);
void *mem_grow(void *p, size_t n, size_t size); /* realloc; what is new is not zeroed */
char *mem_str(const char *s);                   /* NULL stays NULL */
char *mem_strn(const char *s, size_t n);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
