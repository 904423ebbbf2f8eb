/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/core_names.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "sign/provider.h"
#include "sign/signer.h"

static OSSL_FUNC_asym_cipher_newctx_fn oaep_newctx;
static OSSL_FUNC_asym_cipher_freectx_fn oaep_freectx;
static OSSL_FUNC_asym_cipher_dupctx_fn oaep_dupctx;
static OSSL_FUNC_asym_cipher_decrypt_init_fn oaep_init;
static OSSL_FUNC_asym_cipher_decrypt_fn oaep_decrypt;
static OSSL_FUNC_asym_cipher_set_ctx_params_fn oaep_set_params;
static OSSL_FUNC_asym_cipher_settable_ctx_params_fn oaep_settable_params;

/* The padding is libcrypto's default, PKCS #1 v1.5, until it is set, and then nothing is decrypted: such a
 * ciphertext makes an oracle of the key (RFC 8017 7.2). SHA-1 is what RSAES-OAEP says by default. */
struct oaep_ctx {
    struct signer *signer;
    bool oaep, label;
    enum oaep_digest digest, mgf1;
    bool mgf1_set; /* it follows digest until then */
};

static void *oaep_newctx(void *provctx)
{
    (void)provctx;
    return mem_new(sizeof(struct oaep_ctx));
}

static void oaep_freectx(void *ctx)
{
    free(ctx);
}

static void *oaep_dupctx(void *ctx)
{
    struct oaep_ctx *copy = mem_new(sizeof(*copy));

    memcpy(copy, ctx, sizeof(*copy));
    return copy;
}

static int oaep_init(void *ctx, void *keydata, const OSSL_PARAM params[])
{
    struct oaep_ctx *c = ctx;
    const struct provider_key *k = keydata;

    *c = (struct oaep_ctx){.signer = k->signer, .digest = OAEP_SHA1};
    return c->signer != NULL && oaep_set_params(c, params);
}

static int oaep_decrypt(void *ctx, unsigned char *ret, size_t *ret_n, size_t size, const unsigned char *in,
                        size_t n)
{
    const struct oaep_ctx *c = ctx;
    struct secret *plain = NULL;
    struct err e = ERR_INIT;
    int ok = 0;

    if (!c->oaep || c->label || (c->mgf1_set && c->mgf1 != c->digest))
        return provider_refuse("sign.decrypt",
                               "key '%s': it decrypts RSAES-OAEP alone, with one digest and no label",
                               c->signer->name);
    if (ret == NULL) {
        *ret_n = c->signer->alg->key_bits / 8;
        return 1;
    }
    if (signer_decrypt(c->signer, c->digest, (struct span){in, n}, &plain, &e) != RC_OK)
        return provider_fail(&e);
    if (secret_len(plain) <= size) {
        memcpy(ret, secret_data(plain), secret_len(plain));
        *ret_n = secret_len(plain);
        ok = 1;
    }
    secret_free(plain);
    return ok;
}

static int take_pad_mode(struct oaep_ctx *c, const OSSL_PARAM *p)
{
    const char *word = NULL;
    int number = 0;

    if (!provider_word(p, &word, &number))
        return 0;
    c->oaep =
        word != NULL ? strcmp(word, OSSL_PKEY_RSA_PAD_MODE_OAEP) == 0 : number == RSA_PKCS1_OAEP_PADDING;
    return 1; /* anything else is refused when it is used */
}

static int digest_of(const struct oaep_ctx *c, const OSSL_PARAM *p, enum oaep_digest *ret)
{
    const char *name = NULL;

    if (OSSL_PARAM_get_utf8_string_ptr(p, &name) != 1 || name == NULL)
        return 0;
    if (EVP_MD_is_a(crypto()->sha256, name))
        *ret = OAEP_SHA256;
    else if (EVP_MD_is_a(crypto()->sha1, name))
        *ret = OAEP_SHA1;
    else
        return provider_refuse("sign.decrypt", "key '%s': RSAES-OAEP with SHA-1 or SHA-256, not with %s",
                               c->signer->name, name);
    return 1;
}

static int take_digest(struct oaep_ctx *c, const OSSL_PARAM *p)
{
    return digest_of(c, p, &c->digest);
}

static int take_mgf1_digest(struct oaep_ctx *c, const OSSL_PARAM *p)
{
    c->mgf1_set = true;
    return digest_of(c, p, &c->mgf1);
}

static int take_label(struct oaep_ctx *c, const OSSL_PARAM *p)
{
    c->label = p->data_size != 0;
    return 1;
}

static int oaep_set_params(void *ctx, const OSSL_PARAM params[])
{
    static const struct {
        const char *key;
        int (*take)(struct oaep_ctx *c, const OSSL_PARAM *p);
    } rows[] = {
        {OSSL_ASYM_CIPHER_PARAM_PAD_MODE, take_pad_mode},
        {OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, take_digest},
        {OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, take_mgf1_digest},
        {OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL, take_label},
    };

    for (size_t i = 0; params != NULL && i < sizeof(rows) / sizeof(rows[0]); i++) {
        const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, rows[i].key);
        if (p != NULL && rows[i].take(ctx, p) != 1)
            return 0;
    }
    return 1;
}

static const OSSL_PARAM *oaep_settable_params(void *ctx, void *provctx)
{
    static const OSSL_PARAM params[] = {OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, NULL, 0),
                                        OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, NULL, 0),
                                        OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, NULL, 0),
                                        OSSL_PARAM_octet_string(OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL, NULL, 0),
                                        OSSL_PARAM_END};

    (void)ctx;
    (void)provctx;
    return params;
}

const OSSL_DISPATCH provider_oaep_functions[] = {
    {OSSL_FUNC_ASYM_CIPHER_NEWCTX, (void (*)(void))oaep_newctx},
    {OSSL_FUNC_ASYM_CIPHER_FREECTX, (void (*)(void))oaep_freectx},
    {OSSL_FUNC_ASYM_CIPHER_DUPCTX, (void (*)(void))oaep_dupctx},
    {OSSL_FUNC_ASYM_CIPHER_DECRYPT_INIT, (void (*)(void))oaep_init},
    {OSSL_FUNC_ASYM_CIPHER_DECRYPT, (void (*)(void))oaep_decrypt},
    {OSSL_FUNC_ASYM_CIPHER_SET_CTX_PARAMS, (void (*)(void))oaep_set_params},
    {OSSL_FUNC_ASYM_CIPHER_SETTABLE_CTX_PARAMS, (void (*)(void))oaep_settable_params},
    {0, NULL},
};
