/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/signer.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "sign/crypto.h"
#include "sign/digest.h"
#include "sign/evp.h"

enum rc signer_init(struct signer *s, const struct signer_ops *ops, enum key_usage usage, const char *name,
                    struct span spki, struct err *e)
{
    const struct alg *alg = NULL;
    EVP_PKEY *key = NULL;

    if (spki_check(spki, NULL, e) != RC_OK || public_key_new(spki, &alg, &key, e) != RC_OK)
        return err_prefix(e, "key '%s'", name);
    if ((usage == KEY_DERIVE && alg->p11_derive == 0) || (usage == KEY_DECRYPT && alg->p11_decrypt == 0)) {
        EVP_PKEY_free(key);
        return err_set(e, RC_INPUT, "sign.key-type", "key '%s': keys of type %s do not %s", name, alg->name,
                       key_usage_name(usage));
    }
    *s = (struct signer){.ops = ops, .alg = alg, .usage = usage, .name = mem_str(name), .public_key = key};
    bytes_add_span(&s->spki, spki);
    return RC_OK;
}

void signer_fini(struct signer *s)
{
    free(s->name);
    free(s->exceptions);
    bytes_free(&s->spki);
    EVP_PKEY_free(s->public_key);
    *s = (struct signer){.ops = NULL};
}

void signer_free(struct signer *s)
{
    if (s != NULL)
        s->ops->free(s);
}

const char *key_usage_name(enum key_usage u)
{
    static const char *const names[] = {"sign", "derive", "decrypt"};

    return names[u];
}

/* A token that computes wrongly (a fault, or another key under the label) must not get a single signature
 * out. */
static enum rc self_check(const struct signer *s, const struct alg *a, const struct span *inputs, size_t n,
                          size_t every, const struct bytes *sigs, struct err *e)
{
    struct verifier *v = verifier_new(a, s->public_key);
    enum rc rc = RC_OK;

    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        if (i % every != 0 && i + 1 != n)
            continue;
        if (!verifier_good(v, inputs[i], bytes_span(&sigs[i])))
            rc = err_set(
                e, RC_TOKEN, "sign.self-check",
                "key '%s': signature %zu of %zu does not verify with its public key; none is used, check the token",
                s->name, i + 1, n);
    }
    verifier_free(v);
    return rc;
}

enum rc signer_sign_as(struct signer *s, const struct alg *a, const struct span *inputs, size_t n,
                       size_t every, struct bytes *ret, struct err *e)
{
    if (alg_for_signature(s->alg, a->sig_algid) != a)
        bug("signer: a key of type %s cannot sign as %s", s->alg->name, a->name);
    for (size_t i = 0; i < n; i++) {
        if (ret[i].n != 0)
            bug("signer: buffer %zu is not empty", i);
        if (a->digest_len != 0 && inputs[i].n != a->digest_len)
            bug("signer: a digest of %zu octets for %s", inputs[i].n, a->name);
    }
    if (every == 0)
        bug("signer: every 0th signature");
    if (s->usage != KEY_SIGN)
        return err_set(e, RC_DENIED, "sign.usage", "key '%s': a %s key never signs", s->name,
                       key_usage_name(s->usage));

    enum rc rc = s->ops->sign(s, a, inputs, n, ret, e);
    if (rc == RC_OK)
        rc = self_check(s, a, inputs, n, every, ret, e);
    if (rc != RC_OK)
        for (size_t i = 0; i < n; i++)
            bytes_free(&ret[i]);
    return rc;
}

enum rc signer_sign_sampled(struct signer *s, const struct span *inputs, size_t n, size_t every,
                            struct bytes *ret, struct err *e)
{
    return signer_sign_as(s, s->alg, inputs, n, every, ret, e);
}

enum rc signer_sign(struct signer *s, const struct span *inputs, size_t n, struct bytes *ret, struct err *e)
{
    return signer_sign_sampled(s, inputs, n, 1, ret, e);
}

enum rc signer_sign_messages(struct signer *s, const struct span *messages, size_t n, size_t every,
                             struct bytes *ret, struct err *e)
{
    size_t len = s->alg->digest_len;

    if (len == 0)
        return signer_sign_sampled(s, messages, n, every, ret, e);
    uint8_t *digests = mem_array(n, len);
    struct span *inputs = mem_array(n, sizeof(*inputs));
    for (size_t i = 0; i < n; i++) {
        alg_digest(s->alg, messages[i], digests + i * len);
        inputs[i] = (struct span){digests + i * len, len};
    }
    enum rc rc = signer_sign_sampled(s, inputs, n, every, ret, e);
    free(inputs);
    free(digests);
    return rc;
}

enum rc signer_sign_message(struct signer *s, struct span message, struct bytes *ret, struct err *e)
{
    return signer_sign_messages(s, &message, 1, 1, ret, e);
}

enum rc signer_use_pss(struct signer *s, struct err *e)
{
    const struct alg *pss = alg_pss(s->alg);

    if (pss == NULL)
        return err_set(e, RC_INPUT, "sign.key-type",
                       "key '%s': only RSA keys sign with PSS, and it is of type %s", s->name, s->alg->name);
    s->alg = pss;
    return RC_OK;
}

bool signer_take_alg(struct signer *s, const struct alg *a)
{
    bool same_key = alg_key(s->alg) == alg_key(a);

    if (same_key)
        s->alg = a;
    return same_key;
}

const char *const key_rules[] = {
    "token-object",
    "private",
    "sensitive",
    "always-sensitive",
    "not-extractable",
    "never-extractable",
    "generated-on-token",
    "usage-sign",
    "usage-derive",
    "usage-sign-recover",
    "usage-decrypt",
    "usage-unwrap",
    "algorithm",
    "public-key",
    "label-unique",
    "id-unique",
    NULL,
};

bool key_rule_known(const char *rule)
{
    for (const char *const *r = key_rules; *r != NULL; r++)
        if (strcmp(*r, rule) == 0)
            return true;
    return false;
}

enum rc signer_decrypt(struct signer *s, enum oaep_digest digest, struct span ciphertext, struct secret **ret,
                       struct err *e)
{
    if (s->usage != KEY_DECRYPT)
        return err_set(e, RC_DENIED, "sign.usage", "key '%s': a %s key never decrypts", s->name,
                       key_usage_name(s->usage));
    if (ciphertext.n != s->alg->key_bits / 8)
        return err_set(e, RC_INPUT, "sign.decrypt", "key '%s': a ciphertext of %zu octets, %zu are required",
                       s->name, ciphertext.n, s->alg->key_bits / 8);
    return s->ops->decrypt(s, digest, ciphertext, ret, e);
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
        return err_set(e, RC_DENIED, "sign.usage", "key '%s': a %s key never agrees on a secret", s->name,
                       key_usage_name(s->usage));
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
