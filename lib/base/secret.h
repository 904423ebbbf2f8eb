/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stddef.h>
#include <stdint.h>

/*
 * A container for PINs, private scalars and content keys: its memory is locked, left out of core dumps, and
 * wiped when freed. Nothing else may hold a secret for longer than one function.
 */
struct secret;

/* Room for cap octets, length 0. Never NULL (out of memory ends the process). Where mlock is not permitted
 * the memory is still wiped. */
struct secret *secret_new(size_t cap);
struct secret *secret_from(const void *p, size_t n);
/* The octets; writable up to the capacity. One NUL stands behind the capacity, so a PIN can be used as a
 * string. */
uint8_t *secret_data(const struct secret *s);
size_t secret_len(const struct secret *s);
size_t secret_cap(const struct secret *s);
/* Sets the length and wipes what lies behind it. n > capacity is a bug. */
void secret_set_len(struct secret *s, size_t n);
/* Wipes and frees. NULL is allowed. */
void secret_free(struct secret *s);

/* memset that the compiler keeps. */
void wipe(void *p, size_t n);

#endif
