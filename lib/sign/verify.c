/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#include "sign/crypto.h"
#include "sign/digest.h"
#include "sign/signer.h"

bool scheme_set(EVP_PKEY_CTX *ctx, const struct alg *a)
{
    if (a->family != ALG_RSA)
        return true;
    if (EVP_PKEY_CTX_set_rsa_padding(ctx, a->pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING) <= 0 ||
        EVP_PKEY_CTX_set_signature_md(ctx, alg_md(a)) <= 0)
        return false;
    return !a->pss || (EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, alg_md(a)) > 0 &&
                       EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0);
}

/* libcrypto verifies a digest with the one context, and a message (Ed25519) with the other. */
struct verifier {
    const struct alg *alg;
    EVP_PKEY *key; /* not owned */
    EVP_PKEY_CTX *ctx;
    EVP_MD_CTX *md;
};

struct verifier *verifier_new(const struct alg *a, EVP_PKEY *key)
{
    struct verifier *v = mem_new(sizeof(*v));

    v->alg = a;
    v->key = key;
    if (a->digest == NULL) {
        v->md = EVP_MD_CTX_new();
        if (v->md == NULL)
            out_of_memory();
        return v;
    }
    v->ctx = EVP_PKEY_CTX_new_from_pkey(crypto()->ctx, key, NULL);
    if (v->ctx == NULL || EVP_PKEY_verify_init(v->ctx) <= 0 || !scheme_set(v->ctx, a))
        out_of_memory();
    return v;
}

/* One signature has one form (RFC 8017 8.1.2, RFC 8032 5.1.7): libcrypto itself refuses an ECDSA signature
 * that is not the DER of its two integers, but reads PSS without the zeros at its beginning. */
static bool length_good(const struct alg *a, size_t n)
{
    return a->family == ALG_EC ? n > 0 : n == a->signature_raw;
}

bool verifier_good(struct verifier *v, struct span input, struct span sig)
{
    bool good = false;

    if (!length_good(v->alg, sig.n))
        return false;
    if (v->ctx != NULL)
        good = EVP_PKEY_verify(v->ctx, sig.p, sig.n, input.p, input.n) == 1;
    else
        good = EVP_DigestVerifyInit_ex(v->md, NULL, NULL, crypto()->ctx, NULL, v->key, NULL) == 1 &&
               EVP_DigestVerify(v->md, sig.p, sig.n, input.p, input.n) == 1;
    ERR_clear_error();
    return good;
}

void verifier_free(struct verifier *v)
{
    if (v == NULL)
        return;
    EVP_PKEY_CTX_free(v->ctx);
    EVP_MD_CTX_free(v->md);
    free(v);
}

enum rc signature_verify(const struct alg *a, struct span spki, struct span input, struct span sig,
                         struct err *e)
{
    const struct alg *key_alg = NULL;
    EVP_PKEY *key = NULL;
    enum rc rc = public_key_new(spki, &key_alg, &key, e);

    if (rc != RC_OK)
        return rc;
    if (alg_key(a) != key_alg) {
        rc = err_set(e, RC_INPUT, "sign.key-type", "signature of type '%s': the public key is of type '%s'",
                     a->name, key_alg->name);
    } else if (a->digest_len != 0 && input.n != a->digest_len) {
        bug("signature: a digest of %zu octets for %s", input.n, a->name);
    } else {
        struct verifier *v = verifier_new(a, key);
        if (!verifier_good(v, input, sig))
            rc = err_set(e, RC_INPUT, "sign.bad-signature",
                         "signature of type '%s': it does not verify with the public key", a->name);
        verifier_free(v);
    }
    EVP_PKEY_free(key);
    return rc;
}

enum rc signature_verify_message(const struct alg *a, struct span spki, struct span message, struct span sig,
                                 struct err *e)
{
    uint8_t digest[DIGEST_MAX];

    if (a->digest == NULL)
        return signature_verify(a, spki, message, sig, e);
    alg_digest(a, message, digest);
    return signature_verify(a, spki, (struct span){digest, a->digest_len}, sig, e);
}
