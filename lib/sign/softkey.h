/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIGN_SOFTKEY_H
#define SIGN_SOFTKEY_H

#include "sign/signer.h"

/*
 * Keys in this process's memory. Used for three things: the throw-away key of lint, device keys that are
 * made to be delivered, and tests.
 */

/* A fresh key as a signer under this row; its private half is wiped with it. An RSA key takes a tenth of a
 * second (2048 bits) to seconds (4096) to make. */
NODISCARD enum rc softkey_new(const struct alg *alg, enum key_usage usage, struct signer **ret,
                              struct err *e);
/* From PKCS#8, PKCS#1 or SEC1, PEM or DER; an RSA key under its PKCS #1 v1.5 row. Tests alone load keys from
 * files. */
NODISCARD enum rc softkey_load(struct span key, enum key_usage usage, struct signer **ret, struct err *e);
/* A keystore whose URIs are "soft:NAME", kept in memory until softstore_free. For unit tests. */
struct keystore *softstore_new(void);
void softstore_free(struct keystore *k);

/*
 * Device keys (EC alone), by the thousand: one generator per thread, its context re-used. devkey_make fills
 * the scalar (alg->field_len octets, big-endian) and the uncompressed point.
 */
struct devkey_gen;
NODISCARD enum rc devkey_gen_new(const struct alg *alg, struct devkey_gen **ret, struct err *e);
NODISCARD enum rc devkey_make(struct devkey_gen *g, struct secret *ret_scalar, struct bytes *ret_point,
                              struct err *e);
void devkey_gen_free(struct devkey_gen *g);

/* PKCS#8 PrivateKeyInfo (RFC 5208, RFC 5915) with the public key inside: what libcrypto itself writes, byte
 * for byte, at a hundredth of the cost. ret needs room for PKCS8_MAX octets. */
enum { PKCS8_MAX = 256 };
void pkcs8_encode(const struct alg *alg, const struct secret *scalar, struct span point, struct secret *ret);
/* The strict inverse; the scalar is checked to belong to the point. RC_INPUT sign.pkcs8. ret_point is
 * appended to. */
NODISCARD enum rc pkcs8_decode(const struct secret *pkcs8, const struct alg **ret_alg,
                               struct bytes *ret_point, struct err *e);

#endif
