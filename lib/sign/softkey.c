/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/softkey.h"

#include <openssl/decoder.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "sign/crypto.h"
#include "sign/evp.h"

struct softkey {
    struct signer base;
    EVP_PKEY *key; /* libcrypto wipes the private half when the last reference goes */
};

/* One digest. ctx was prepared for signing. */
static bool sign_digest(EVP_PKEY_CTX *ctx, struct span digest, uint8_t *ret, size_t *len)
{
    return EVP_PKEY_sign(ctx, ret, len, digest.p, digest.n) > 0;
}

/* One message, for keys that sign no digests. */
static bool sign_message(EVP_PKEY *key, struct span message, uint8_t *ret, size_t *len)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool done = md != NULL && EVP_DigestSignInit_ex(md, NULL, NULL, crypto()->ctx, NULL, key, NULL) == 1 &&
                EVP_DigestSign(md, ret, len, message.p, message.n) == 1;

    EVP_MD_CTX_free(md);
    return done;
}

static enum rc softkey_sign(struct signer *s, const struct alg *a, const struct span *inputs, size_t n,
                            struct bytes *ret, struct err *e)
{
    struct softkey *k = (struct softkey *)s;
    EVP_PKEY_CTX *ctx = NULL;
    enum rc rc = RC_OK;

    if (a->digest != NULL) {
        ctx = EVP_PKEY_CTX_new_from_pkey(crypto()->ctx, k->key, NULL);
        if (ctx == NULL || EVP_PKEY_sign_init(ctx) <= 0 || !scheme_set(ctx, a))
            rc = err_ossl(e, RC_SYSTEM, "sign.softkey", "key '%s': cannot prepare a signature", s->name);
    }
    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        size_t len = a->signature_max;
        uint8_t *p = bytes_room(&ret[i], len);
        if (ctx != NULL ? sign_digest(ctx, inputs[i], p, &len) : sign_message(k->key, inputs[i], p, &len))
            ret[i].n += len;
        else
            rc = err_ossl(e, RC_SYSTEM, "sign.softkey", "key '%s': cannot sign", s->name);
    }
    EVP_PKEY_CTX_free(ctx);
    return rc;
}

static enum rc softkey_derive(struct signer *s, struct span peer_point, struct secret **ret, struct err *e)
{
    struct softkey *k = (struct softkey *)s;
    struct bytes spki = BYTES_INIT;
    EVP_PKEY *peer = NULL;
    EVP_PKEY_CTX *ctx = NULL;
    struct secret *z = secret_new(s->alg->field_len);
    size_t len = s->alg->field_len;
    enum rc rc = RC_OK;

    spki_from_point(s->alg, peer_point, &spki);
    rc = public_key_new(bytes_span(&spki), NULL, &peer, e);
    if (rc != RC_OK)
        goto out;
    ctx = EVP_PKEY_CTX_new_from_pkey(crypto()->ctx, k->key, NULL);
    if (ctx == NULL || EVP_PKEY_derive_init(ctx) <= 0 || EVP_PKEY_derive_set_peer_ex(ctx, peer, 0) <= 0 ||
        EVP_PKEY_derive(ctx, secret_data(z), &len) <= 0) {
        rc = err_ossl(e, RC_SYSTEM, "sign.softkey", "key '%s': cannot agree on a secret", s->name);
        goto out;
    }
    secret_set_len(z, len);
    *ret = z;
    z = NULL;
out:
    secret_free(z);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(peer);
    bytes_free(&spki);
    return rc;
}

static enum rc softkey_decrypt(struct signer *s, enum oaep_digest digest, struct span ciphertext,
                               struct secret **ret, struct err *e)
{
    struct softkey *k = (struct softkey *)s;
    struct secret *plain = secret_new(ciphertext.n);
    size_t len = ciphertext.n;
    const EVP_MD *md = digest == OAEP_SHA1 ? crypto()->sha1 : crypto()->sha256;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(crypto()->ctx, k->key, NULL);
    enum rc rc = RC_OK;

    if (ctx == NULL || EVP_PKEY_decrypt_init(ctx) <= 0 ||
        EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) <= 0 ||
        EVP_PKEY_CTX_set_rsa_oaep_md(ctx, md) <= 0 || EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md) <= 0 ||
        EVP_PKEY_decrypt(ctx, secret_data(plain), &len, ciphertext.p, ciphertext.n) <= 0) {
        rc = err_ossl(e, RC_INPUT, "sign.decrypt", "key '%s': cannot decrypt what was made for another key",
                      s->name);
        goto out;
    }
    secret_set_len(plain, len);
    *ret = plain;
    plain = NULL;
out:
    secret_free(plain);
    EVP_PKEY_CTX_free(ctx);
    return rc;
}

static void softkey_free(struct signer *s)
{
    struct softkey *k = (struct softkey *)s;

    EVP_PKEY_free(k->key);
    signer_fini(s);
    free(k);
}

static const struct signer_ops softkey_ops = {
    .sign = softkey_sign, .derive = softkey_derive, .decrypt = softkey_decrypt, .free = softkey_free};

/* A signer over key, which is shared, not taken. */
static enum rc softkey_wrap(EVP_PKEY *key, enum key_usage usage, const char *name, struct signer **ret,
                            struct err *e)
{
    struct softkey *k = mem_new(sizeof(*k));
    unsigned char *der = NULL;
    enum rc rc = RC_OK;
    int n = i2d_PUBKEY(key, &der);

    if (n <= 0) {
        rc = err_ossl(e, RC_SYSTEM, "sign.softkey", "key '%s': cannot encode its public half", name);
        goto out;
    }
    rc = signer_init(&k->base, &softkey_ops, usage, name, (struct span){der, (size_t)n}, e);
    if (rc != RC_OK)
        goto out;
    if (EVP_PKEY_up_ref(key) != 1)
        bug("softkey: up_ref");
    k->key = key;
    *ret = &k->base;
    k = NULL;
out:
    OPENSSL_free(der);
    free(k);
    return rc;
}

static enum rc key_generate(const struct alg *alg, EVP_PKEY **ret, struct err *e)
{
    EVP_PKEY *key = NULL;

    if (alg->family == ALG_RSA)
        key = EVP_PKEY_Q_keygen(crypto()->ctx, NULL, alg->key_type, alg->key_bits);
    else
        key = EVP_PKEY_Q_keygen(crypto()->ctx, NULL, alg->key_type, alg->group); /* Ed25519 reads no group */
    if (key == NULL)
        return err_ossl(e, RC_SYSTEM, "sign.softkey", "cannot generate a software key of type '%s'",
                        alg->name);
    *ret = key;
    return RC_OK;
}

enum rc softkey_new(const struct alg *alg, enum key_usage usage, struct signer **ret, struct err *e)
{
    EVP_PKEY *key = NULL;
    enum rc rc = key_generate(alg, &key, e);

    if (rc == RC_OK)
        rc = softkey_wrap(key, usage, "software key", ret, e);
    if (rc == RC_OK && alg->pss)
        rc = signer_use_pss(*ret, e);
    EVP_PKEY_free(key);
    return rc;
}

enum rc softkey_load(struct span data, enum key_usage usage, struct signer **ret, struct err *e)
{
    const unsigned char *p = data.p;
    size_t n = data.n;
    EVP_PKEY *key = NULL;
    OSSL_DECODER_CTX *ctx =
        OSSL_DECODER_CTX_new_for_pkey(&key, NULL, NULL, NULL, EVP_PKEY_KEYPAIR, crypto()->ctx, NULL);
    enum rc rc = RC_OK;

    if (ctx == NULL || OSSL_DECODER_from_data(ctx, &p, &n) != 1)
        rc = err_ossl(
            e, RC_INPUT, "sign.softkey",
            "key file of '%zu' octets: not an unencrypted private key in PKCS#8 or SEC1, PEM or DER", data.n);
    else
        rc = softkey_wrap(key, usage, "software key", ret, e);
    OSSL_DECODER_CTX_free(ctx);
    EVP_PKEY_free(key);
    return rc;
}

/* The keystore: a list of keys, each found as a new signer of its own. */
struct soft_entry {
    struct soft_entry *next;
    char *name;
    enum key_usage usage;
    EVP_PKEY *key;
};

struct softstore {
    struct keystore base;
    struct soft_entry *first;
};

static enum rc soft_name(const char *uri, const char **ret, struct err *e)
{
    static const char scheme[] = "soft:";

    if (strncmp(uri, scheme, sizeof(scheme) - 1) != 0 || uri[sizeof(scheme) - 1] == '\0')
        return err_set(e, RC_INPUT, "sign.soft-uri", "key '%s': a software key is named soft:NAME", uri);
    *ret = uri + sizeof(scheme) - 1;
    return RC_OK;
}

static struct soft_entry *soft_lookup(const struct softstore *store, const char *name)
{
    struct soft_entry *k = store->first;

    while (k != NULL && strcmp(k->name, name) != 0)
        k = k->next;
    return k;
}

static enum rc soft_find(struct keystore *base, const char *uri, enum key_usage usage,
                         const struct key_exceptions *allowed, struct signer **ret, struct err *e)
{
    const char *name = NULL;
    enum rc rc = soft_name(uri, &name, e);

    (void)allowed; /* a key in memory has no attributes */
    if (rc != RC_OK)
        return rc;
    struct soft_entry *k = soft_lookup((struct softstore *)base, name);
    if (k == NULL)
        return err_set(e, RC_TOKEN, "hsm.no-key", "key '%s': there is none", uri);
    if (k->usage != usage)
        return err_set(e, RC_DENIED, "sign.usage", "key '%s': a %s key is required", uri,
                       key_usage_name(usage));
    return softkey_wrap(k->key, usage, name, ret, e);
}

static enum rc soft_generate(struct keystore *base, const char *uri, const struct alg *alg,
                             enum key_usage usage, const struct key_exceptions *allowed, struct signer **ret,
                             struct err *e)
{
    struct softstore *store = (struct softstore *)base;
    const char *name = NULL;
    EVP_PKEY *key = NULL;
    enum rc rc = soft_name(uri, &name, e);

    (void)allowed;
    if (rc == RC_OK && soft_lookup(store, name) != NULL)
        rc = err_set(e, RC_CONFLICT, "hsm.key-exists",
                     "key '%s': the name is in use; a key is never overwritten", uri);
    if (rc == RC_OK)
        rc = key_generate(alg, &key, e);
    if (rc == RC_OK)
        rc = softkey_wrap(key, usage, name, ret, e);
    if (rc != RC_OK) {
        EVP_PKEY_free(key);
        return rc;
    }
    if (alg->pss)
        (*ret)->alg = alg;
    struct soft_entry *k = mem_new(sizeof(*k));
    *k = (struct soft_entry){.next = store->first, .name = mem_str(name), .usage = usage, .key = key};
    store->first = k;
    return RC_OK;
}

struct keystore *softstore_new(void)
{
    static const struct keystore_ops ops = {soft_find, soft_generate};
    struct softstore *store = mem_new(sizeof(*store));

    store->base.ops = &ops;
    return &store->base;
}

void softstore_free(struct keystore *base)
{
    struct softstore *store = (struct softstore *)base;

    if (store == NULL)
        return;
    for (struct soft_entry *k = store->first, *next = NULL; k != NULL; k = next) {
        next = k->next;
        EVP_PKEY_free(k->key);
        free(k->name);
        free(k);
    }
    free(store);
}
