/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FACTORY_ORDER_H
#define FACTORY_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/text.h"
#include "sign/digest.h"

enum { ORDER_STATIONS_MAX = 64, ORDER_QUANTITY_MAX = 5000000, ORDER_VERIFY_MAX = 1000 };

/* A block of device ids: prefix, then a decimal counter of fixed width: "MX1-" 6 digits first 1 ->
 * MX1-000001. */
struct id_block {
    char prefix[DEVICE_ID_MAX + 1];
    int digits;
    uint64_t first, count;
};
/* RC_INPUT order.ids: over 64 characters, characters outside the set, counter over its width, empty. */
NODISCARD enum rc id_block_check(const struct id_block *b, struct err *e);
void id_block_id(const struct id_block *b, uint64_t i,
                 char ret[static DEVICE_ID_MAX + 1]); /* i counts from 0 */
bool id_block_find(const struct id_block *b, const char *id, uint64_t *ret_i);
bool id_block_overlaps(const struct id_block *a, const struct id_block *b);

struct order_station {
    char name[65];
    uint8_t manifest[SHA256_LEN], seal[SHA256_LEN]; /* its certificates */
    uint64_t sequence; /* per station, rising; an older or equal one is refused */
    uint64_t quantity; /* devices it may make; at most ids.count */
    struct id_block ids;
};

/* A production order, schema keymill.order.v1. */
struct order {
    char id[65];
    uint64_t sequence; /* of the office's orders */
    int64_t issued;
    char product[65], factory[65], profile[65];
    uint8_t ca[SHA256_LEN];            /* the CA that signs its devices */
    int64_t not_before, not_after;     /* of the device certificates */
    int64_t window_from, window_until; /* when the station may work */
    uint64_t lot_size;
    uint64_t
        verify_every; /* the CA's signatures: 1: each is verified when it is made; n: one in n (ca/ca.h) */
    struct bytes trust_bundle; /* PEM, delivered to the device */
    uint8_t trust_bundle_sha256[SHA256_LEN];
    char endpoint[256];
    struct order_station stations[ORDER_STATIONS_MAX];
    size_t nstations;
    uint8_t sha256[SHA256_LEN]; /* of the signed file; set by its readers */
};

/* The document's JSON, appended. */
void order_encode(const struct order *o, struct bytes *ret);
/* Strict; RC_INPUT doc.*, order.*. */
NODISCARD enum rc order_decode(const char *name, struct span json, struct order *ret, struct err *e);
void order_fini(struct order *o);
/* The entry that names this station by both certificates. RC_DENIED order.station. */
NODISCARD enum rc order_station_find(const struct order *o, const uint8_t manifest[static SHA256_LEN],
                                     const uint8_t seal[static SHA256_LEN], const struct order_station **ret,
                                     struct err *e);

#endif
