/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FACTORY_BATCH_H
#define FACTORY_BATCH_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "sign/chain.h"
#include "sign/digest.h"

struct secret;

/*
 * The sealed batch, a folder: batch.json (schema keymill.batch.v1) with its detached signature batch.p7s by
 * the office, devices.jsonl, and lot-N.p7m, each one random lot key in an AuthEnvelopedData for the station's
 * seal certificate. A device line is {"id","cert","key"}: certificate DER in base64 and the private key
 * (PKCS#8) as compact JWE dir/A256GCM whose header names kid "<batch>/<lot>" and x5t#S256; its key is
 * HKDF-SHA256(lot key, "keymill device key v1" || len || batch || len || id).
 */
enum { BATCH_LOTS_MAX = 20000, LOT_KEY_LEN = 32 };
struct batch_lot {
    uint8_t sha256[SHA256_LEN]; /* of lot-N.p7m */
};
struct batch {
    char id[130]; /* "<order>.<station>" */
    char order[65], station[65];
    uint8_t order_sha256[SHA256_LEN], seal[SHA256_LEN], ca[SHA256_LEN];
    int64_t issued;
    uint64_t count, lot_size;
    struct batch_lot *lots;
    size_t nlots;
    uint8_t devices_sha256[SHA256_LEN], merkle_root[SHA256_LEN];
    struct bytes chain; /* PEM: the devices' issuer and above, without the root */
};
void batch_encode(const struct batch *b, struct bytes *ret);
NODISCARD enum rc batch_decode(const char *name, struct span json, struct batch *ret, struct err *e);
void batch_fini(struct batch *b);

/* A device's content key from its lot's; each length is four octets, big-endian. */
NODISCARD enum rc batch_device_key(const struct secret *lot_key, const char *batch, const char *id,
                                   struct secret **ret, struct err *e);

struct batch_device {
    char id[65];
    struct bytes cert; /* DER */
    struct bytes jwe;
};
/* Lots are numbered from 0: lot-0.p7m holds the key of the first, lots[0] is its hash, and device i (from 0)
 * is in lot i / lot_size. One line without its LF; decode is strict and leaves the key sealed. */
NODISCARD enum rc batch_line_seal(const struct secret *lot_key, const char *batch, uint64_t lot,
                                  const char *id, struct span cert, const struct secret *pkcs8,
                                  struct bytes *ret, struct err *e);
NODISCARD enum rc batch_line_decode(const char *name, int64_t line, struct span json,
                                    struct batch_device *ret, struct err *e);
void batch_device_fini(struct batch_device *d);
/* RC_INPUT batch.header, sign.jwe, batch.key.
 * Opens the key and checks that it belongs to the certificate and that the header names this batch, lot and
 * certificate. */
NODISCARD enum rc batch_line_open(const struct secret *lot_key, const char *batch, uint64_t lot,
                                  const struct batch_device *d, struct secret **ret_pkcs8, struct err *e);

#endif
