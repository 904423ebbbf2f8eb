/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIGN_CRYPTO_H
#define SIGN_CRYPTO_H

#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdbool.h>

#include "base/bytes.h"
#include "base/err.h"
#include "sign/alg.h"

/*
 * Private to lib/sign: libcrypto as this module uses it. Everything is fetched once from the private context
 * of sign/evp.h; a fetch costs more than the digest of a certificate, and an implicit one would go to the
 * default context.
 */
enum {
    ALG_COUNT = 9,
    FIELD_MAX = 48, /* octets, over all rows */
    POINT_MAX = 1 + 2 * FIELD_MAX,
    RSA_MAX = 512, /* octets of a modulus */
};
extern const struct alg alg_rows[ALG_COUNT];

struct crypto {
    OSSL_LIB_CTX *ctx;
    EVP_MD *sha1;
    EVP_MD *sha256;
    EVP_MD *sha512;            /* of a CMS content that an Ed25519 key signs (RFC 8419 3.1) */
    EVP_MD *alg_md[ALG_COUNT]; /* the digest of alg_rows[i]; NULL: none */
    EVP_CIPHER *aes256gcm;
    EVP_KDF *hkdf;
    EVP_KDF *x963kdf;
};

/* Made on first use, thread-safe. Failure ends the process: libcrypto's default provider is built into
 * libcrypto. */
const struct crypto *crypto(void);
const EVP_MD *alg_md(const struct alg *a); /* NULL: it has none */

/* Sets padding and digest of an initialised sign or verify context for row a. False: libcrypto refuses. */
NODISCARD bool scheme_set(EVP_PKEY_CTX *ctx, const struct alg *a);

/* Verifies many signatures under one row and key. */
struct verifier;
struct verifier *verifier_new(const struct alg *a, EVP_PKEY *key);
bool verifier_good(struct verifier *v, struct span input, struct span sig);
void verifier_free(struct verifier *v);

/* The public key of a SPKI that passed spki_check. Free with EVP_PKEY_free. RC_INPUT sign.key-type,
 * sign.key-point. */
NODISCARD enum rc public_key_new(struct span spki, const struct alg **ret_alg, EVP_PKEY **ret, struct err *e);

/* libcrypto's parameters are void *, although what goes in is only read. */
static inline void *unconst(const void *p)
{
    return (void *)(uintptr_t)p;
}
static inline OSSL_PARAM param_text(const char *key, const char *s)
{
    return OSSL_PARAM_construct_utf8_string(key, unconst(s), 0);
}
static inline OSSL_PARAM param_octets(const char *key, struct span s)
{
    return OSSL_PARAM_construct_octet_string(key, unconst(s.p), s.n);
}
/* Turns a big-endian integer into the host's order, in which OSSL_PARAM carries integers, and back. */
void native_order(uint8_t *p, size_t n);

/* The single-step KDF of RFC 7518 4.6.2 (Concat, SHA-256), n <= 32 octets; enc is the algorithm that the key
 * is for. */
void concat_kdf(struct span z, const char *enc, struct span apu, struct span apv, size_t n, uint8_t *ret);

#endif
