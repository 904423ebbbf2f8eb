/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIGN_DIGEST_H
#define SIGN_DIGEST_H

#include "base/bytes.h"
#include "base/err.h"

enum { SHA256_LEN = 32, DIGEST_MAX = 64 };

struct alg;

void sha256(struct span s, uint8_t ret[static SHA256_LEN]);
void sha1(struct span s, uint8_t ret[static 20]); /* key identifiers alone (RFC 5280 4.2.1.2 method 1) */
/* The digest that alg signs. ret has room for alg->digest_len. */
void alg_digest(const struct alg *a, struct span s, uint8_t *ret);

/* A digest of pieces. */
struct sha256_ctx;
struct sha256_ctx *sha256_new(void);
void sha256_add(struct sha256_ctx *c, struct span s);
void sha256_end(struct sha256_ctx *c, uint8_t ret[static SHA256_LEN]); /* frees */
/* SHA-256 of a file's contents. RC_SYSTEM file.read. */
NODISCARD enum rc sha256_file(const char *path, uint8_t ret[static SHA256_LEN], struct err *e);

/* Random octets from libcrypto's DRBG, seeded by the kernel; failure is RC_SYSTEM sign.random and nothing may
 * be used. */
NODISCARD enum rc random_bytes(uint8_t *ret, size_t n, struct err *e);

#endif
