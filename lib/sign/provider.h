/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIGN_PROVIDER_H
#define SIGN_PROVIDER_H

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <stdbool.h>

#include "base/bytes.h"
#include "base/err.h"
#include "sign/crypto.h"

/*
 * Private to lib/sign: the built-in provider "keymill" (provider(7)). One key type, "EC", whose private
 * operations are a struct signer's. The operations have names of their own: libcrypto looks them up by name
 * and would otherwise try the default provider's first.
 */
#define PROVIDER_NAME         "keymill"
#define PROVIDER_PARAM_SIGNER "keymill-signer" /* octet pointer: the struct signer */
#define PROVIDER_SIGNATURE    "KEYMILL-ECDSA"
#define PROVIDER_EXCHANGE     "KEYMILL-ECDH"

OSSL_provider_init_fn provider_init;
extern const OSSL_DISPATCH provider_key_functions[];
extern const OSSL_DISPATCH provider_sign_functions[];
extern const OSSL_DISPATCH provider_ecdh_functions[];

/* What libcrypto calls keydata. signer NULL: a public key alone (the peer of an agreement); point_len 0: the
 * curve alone. */
struct provider_key {
    struct signer *signer;
    const struct alg *alg;
    uint8_t point[POINT_MAX];
    size_t point_len;
};
struct span provider_key_point(const struct provider_key *k);

/* A signer's failure cannot travel through libcrypto: it is kept for this thread, a mark of it goes into
 * libcrypto's error queue, and err_ossl brings both together again. Returns 0, libcrypto's "failed". */
int provider_fail(const struct err *e);
bool provider_raised(unsigned long code); /* this queue entry is such a mark */
void provider_error(struct err *ret);     /* the failure behind it */

#endif
