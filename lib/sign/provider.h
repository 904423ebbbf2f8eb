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
 * Private to lib/sign: the built-in provider "keymill" (provider(7)). Three key types under libcrypto's own
 * names, "EC", "RSA" and "ED25519", whose private operations are a struct signer's. The operations have names
 * of their own: libcrypto looks them up by name and would otherwise try the default provider's first.
 */
#define PROVIDER_NAME         "keymill"
#define PROVIDER_PARAM_SIGNER "keymill-signer" /* octet pointer: the struct signer */
#define PROVIDER_SIGNATURE    "KEYMILL-SIGNATURE"
#define PROVIDER_EXCHANGE     "KEYMILL-ECDH"
#define PROVIDER_CIPHER       "KEYMILL-OAEP"

OSSL_provider_init_fn provider_init;
extern const OSSL_DISPATCH provider_ec_functions[];
extern const OSSL_DISPATCH provider_rsa_functions[];
extern const OSSL_DISPATCH provider_ed25519_functions[];
extern const OSSL_DISPATCH provider_sign_functions[];
extern const OSSL_DISPATCH provider_ecdh_functions[];
extern const OSSL_DISPATCH provider_oaep_functions[];

/* What libcrypto calls keydata. signer NULL: a public key alone (the peer of an agreement, or one to compare
 * with); spki empty: the curve alone. */
struct provider_key {
    enum alg_family family; /* of the key manager that made it */
    struct signer *signer;
    const struct alg *alg; /* NULL: nothing was put in yet */
    struct bytes spki;
};
/* EC and Ed25519: the point inside the SPKI; empty when there is none. */
struct span provider_key_point(const struct provider_key *k);

/* A parameter that libcrypto sends as a number or as a word. False: it is neither; *ret_word NULL: it was a
 * number. */
bool provider_word(const OSSL_PARAM *p, const char **ret_word, int *ret_number);

/* A signer's failure cannot travel through libcrypto: it is kept for this thread, a mark of it goes into
 * libcrypto's error queue, and err_ossl brings both together again. Returns 0, libcrypto's "failed". */
int provider_fail(const struct err *e);
/* The same for what the adapter itself refuses: RC_INPUT. */
int provider_refuse(const char *key, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool provider_raised(unsigned long code); /* this queue entry is such a mark */
void provider_error(struct err *ret);     /* the failure behind it */

#endif
