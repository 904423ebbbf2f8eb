/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FACTORY_SHAMAP_H
#define FACTORY_SHAMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sign/digest.h"

/*
 * A map from SHA-256 values to small numbers, for millions of certificates: open addressing, 36 octets a
 * slot, at most three quarters full. Zero-initialised is empty and valid.
 */
struct shamap_slot;
struct shamap {
    struct shamap_slot *slots;
    size_t cap, n; /* slots; keys in it */
};

enum { SHAMAP_VALUE_MAX = 0x7fffffff };

/* False when the key is there already; its value stays as it was. */
bool shamap_add(struct shamap *m, const uint8_t key[static SHA256_LEN], uint32_t value);
/* ret_value may be NULL. */
bool shamap_find(const struct shamap *m, const uint8_t key[static SHA256_LEN], uint32_t *ret_value);
void shamap_fini(struct shamap *m);

#endif
