/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/signer.h"

#include <openssl/err.h>
#include <stdlib.h>

#include "base/secret.h"
#include "sign/crypto.h"
#include "sign/digest.h"
#include "sign/evp.h"

enum rc signer_init(struct signer *s, const struct signer_ops *ops, enum key_usage usage, const char *name,
                    struct span spki, struct err *e)
{
    const struct alg *alg = NULL;
    EVP_PKEY *key = NULL;

    if (public_key_new(spki, &alg, &key, e) != RC_OK)
        return err_prefix(e, "key '%s'", name);
    *s = (struct signer){.ops = ops, .alg = alg, .usage = usage, .name = mem_str(name), .public_key = key};
    bytes_add_span(&s->spki, spki);
    return RC_OK;
}

void signer_fini(struct signer *s)
{
    free(s->name);
    bytes_free(&s->spki);
    EVP_PKEY_free(s->public_key);
    *s = (struct signer){.ops = NULL};
}

void signer_free(struct signer *s)
{
    if (s != NULL)
        s->ops->free(s);
}

static EVP_PKEY_CTX *verifier_new(EVP_PKEY *key)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(crypto()->ctx, key, NULL);

    if (ctx == NULL || EVP_PKEY_verify_init(ctx) <= 0)
        out_of_memory();
    return ctx;
}

/* libcrypto itself refuses a signature that is not the DER of its two integers. */
static bool verifies(EVP_PKEY_CTX *ctx, const struct alg *a, const uint8_t *digest, struct span sig)
{
    bool good = sig.n > 0 && EVP_PKEY_verify(ctx, sig.p, sig.n, digest, a->digest_len) == 1;

    ERR_clear_error();
    return good;
}

/* A token that computes wrongly (a fault, or another key under the label) must not get a single signature
 * out. */
static enum rc self_check(const struct signer *s, const uint8_t *digests, size_t n, const struct bytes *sigs,
                          struct err *e)
{
    EVP_PKEY_CTX *ctx = verifier_new(s->public_key);
    enum rc rc = RC_OK;

    for (size_t i = 0; i < n && rc == RC_OK; i++)
        if (!verifies(ctx, s->alg, digests + i * s->alg->digest_len, bytes_span(&sigs[i])))
            rc = err_set(
                e, RC_TOKEN, "sign.self-check",
                "key '%s': signature %zu of %zu does not verify with its public key; none is used, check the token",
                s->name, i + 1, n);
    EVP_PKEY_CTX_free(ctx);
    return rc;
}

enum rc signer_sign(struct signer *s, const uint8_t *digests, size_t n, struct bytes *ret, struct err *e)
{
    for (size_t i = 0; i < n; i++)
        if (ret[i].n != 0)
            bug("signer: buffer %zu is not empty", i);
    if (s->usage != KEY_SIGN)
        return err_set(e, RC_DENIED, "sign.usage", "key '%s': a derive key never signs", s->name);

    enum rc rc = s->ops->sign(s, digests, n, ret, e);
    if (rc == RC_OK)
        rc = self_check(s, digests, n, ret, e);
    if (rc != RC_OK)
        for (size_t i = 0; i < n; i++)
            bytes_free(&ret[i]);
    return rc;
}

enum rc signer_sign_message(struct signer *s, struct span message, struct bytes *ret, struct err *e)
{
    uint8_t digest[DIGEST_MAX];

    alg_digest(s->alg, message, digest);
    return signer_sign(s, digest, 1, ret, e);
}

/* The token may not check the peer's point, and an invalid one is an attack on the key. */
static enum rc peer_check(const struct alg *a, struct span point, struct err *e)
{
    struct bytes spki = BYTES_INIT;
    const struct alg *alg = NULL;

    if (point.n != 1 + 2 * a->field_len)
        return err_set(e, RC_INPUT, "sign.key-point",
                       "peer key: a point of '%zu' octets, an uncompressed one of %zu is required", point.n,
                       1 + 2 * a->field_len);
    spki_from_point(a, point, &spki);
    enum rc rc = spki_check(bytes_span(&spki), &alg, e);
    bytes_free(&spki);
    return rc == RC_OK ? rc : err_prefix(e, "peer key");
}

enum rc signer_derive(struct signer *s, struct span peer_point, struct secret **ret, struct err *e)
{
    struct secret *z = NULL;

    if (s->usage != KEY_DERIVE)
        return err_set(e, RC_DENIED, "sign.usage", "key '%s': a sign key never agrees on a secret", s->name);
    enum rc rc = peer_check(s->alg, peer_point, e);
    if (rc == RC_OK)
        rc = s->ops->derive(s, peer_point, &z, e);
    if (rc != RC_OK)
        return rc;
    if (secret_len(z) != s->alg->field_len) {
        rc = err_set(e, RC_TOKEN, "sign.self-check", "key '%s': the token derived %zu octets instead of %zu",
                     s->name, secret_len(z), s->alg->field_len);
        secret_free(z);
        return rc;
    }
    *ret = z;
    return RC_OK;
}

static enum rc verify_digest(EVP_PKEY *key, const struct alg *a, const uint8_t *digest, struct span sig,
                             struct err *e)
{
    EVP_PKEY_CTX *ctx = verifier_new(key);
    bool good = verifies(ctx, a, digest, sig);

    EVP_PKEY_CTX_free(ctx);
    if (!good)
        return err_set(e, RC_INPUT, "sign.bad-signature",
                       "signature of type '%s': it does not verify with the public key", a->name);
    return RC_OK;
}

enum rc signature_verify(struct span spki, const uint8_t *digest, struct span sig, struct err *e)
{
    const struct alg *alg = NULL;
    EVP_PKEY *key = NULL;
    enum rc rc = public_key_new(spki, &alg, &key, e);

    if (rc == RC_OK)
        rc = verify_digest(key, alg, digest, sig, e);
    EVP_PKEY_free(key);
    return rc;
}

enum rc signature_verify_message(struct span spki, struct span message, struct span sig, struct err *e)
{
    const struct alg *alg = NULL;
    EVP_PKEY *key = NULL;
    uint8_t digest[DIGEST_MAX];
    enum rc rc = public_key_new(spki, &alg, &key, e);

    if (rc == RC_OK) {
        alg_digest(alg, message, digest);
        rc = verify_digest(key, alg, digest, sig, e);
    }
    EVP_PKEY_free(key);
    return rc;
}
