/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPPORT_ORDERS_H
#define SUPPORT_ORDERS_H

#include "factory/batch.h"
#include "factory/order.h"
#include "tests/support/pki.h"

struct secret;

/* What an office sends out, made without one, for tests. What fails ends the program with the reason. */

/* An order over devices of the PKI's local CA, issued now and open for 30 days, two devices a lot, no station
 * yet. Change what the test is about, then write it. */
void order_make(struct order *o, const struct pki *p, const char *id, int64_t now);
/* ids: "<order>-<number of the station>-000001" on. */
void order_add_station(struct order *o, const char *name, const struct cert *manifest,
                       const struct cert *seal, uint64_t sequence, uint64_t quantity);
/* Signs and writes it; sets o->sha256. */
void order_write(struct order *o, const struct pki_signer *office, const char *path);

/* A sealed batch in memory, so that a test can change what is in it before it is hashed and signed. */
struct sealed {
    struct batch batch;
    struct secret **lot_keys; /* batch.nlots of them */
    struct bytes *lines;      /* batch.count of them, without LF */
    struct bytes *lots;       /* lot-N.p7m */
};
/* For station number i of the order. seal: whom the lots are sealed for. */
void sealed_make(struct sealed *s, const struct order *o, size_t i, const struct pki *p,
                 const struct cert *seal);
/* Hashes everything that it holds now and writes the folder, signed. */
void sealed_write(struct sealed *s, const struct pki_signer *office, const char *dir);
/* batch.json and batch.p7s alone, with the hashes as they stand. */
void sealed_sign(struct sealed *s, const struct pki_signer *office, const char *dir);
void sealed_fini(struct sealed *s);

#endif
