/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/core_names.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#include "sign/async.h"
#include "sign/digest.h"
#include "sign/provider.h"
#include "sign/signer.h"

static OSSL_FUNC_signature_newctx_fn sign_newctx;
static OSSL_FUNC_signature_freectx_fn sign_freectx;
static OSSL_FUNC_signature_dupctx_fn sign_dupctx;
static OSSL_FUNC_signature_digest_sign_init_fn sign_init;
static OSSL_FUNC_signature_digest_sign_update_fn sign_update;
static OSSL_FUNC_signature_digest_sign_final_fn sign_final;
static OSSL_FUNC_signature_digest_sign_fn sign_message;
static OSSL_FUNC_signature_get_ctx_params_fn sign_get_params;
static OSSL_FUNC_signature_gettable_ctx_params_fn sign_gettable_params;
static OSSL_FUNC_signature_set_ctx_params_fn sign_set_params;
static OSSL_FUNC_signature_settable_ctx_params_fn sign_settable_params;

/* The row is the signer's own until pad-mode asks for the other one of its RSA key. */
struct sign_ctx {
    struct signer *signer;
    const struct alg *alg;
    EVP_MD_CTX *md; /* NULL: the row has no digest, whole messages are signed */
};

static void *sign_newctx(void *provctx, const char *properties)
{
    (void)provctx;
    (void)properties;
    return mem_new(sizeof(struct sign_ctx));
}

static void sign_freectx(void *ctx)
{
    struct sign_ctx *c = ctx;

    EVP_MD_CTX_free(c->md);
    free(c);
}

/* libcrypto signs with a copy, so that a caller may go on adding after EVP_DigestSignFinal. */
static void *sign_dupctx(void *ctx)
{
    const struct sign_ctx *c = ctx;
    struct sign_ctx *copy = mem_new(sizeof(*copy));

    copy->signer = c->signer;
    copy->alg = c->alg;
    if (c->md != NULL) {
        copy->md = EVP_MD_CTX_new();
        if (copy->md == NULL || EVP_MD_CTX_copy_ex(copy->md, c->md) != 1)
            out_of_memory();
    }
    return copy;
}

/* A key signs with the digest of its row and with no other: both rows of an RSA key have the same. */
static bool check_digest(const struct sign_ctx *c, const char *digest)
{
    if (digest == NULL || digest[0] == '\0')
        return true;
    if (c->alg->digest == NULL) {
        (void)provider_refuse("sign.digest", "key '%s': %s keys sign the message itself, not its %s digest",
                              c->signer->name, c->alg->name, digest);
        return false;
    }
    if (!EVP_MD_is_a(alg_md(c->alg), digest)) {
        (void)provider_refuse("sign.digest", "key '%s': it signs with %s, not with %s", c->signer->name,
                              c->alg->digest, digest);
        return false;
    }
    return true;
}

static int sign_init(void *ctx, const char *digest, void *keydata, const OSSL_PARAM params[])
{
    struct sign_ctx *c = ctx;
    const struct provider_key *k = keydata;

    if (k != NULL)
        c->signer = k->signer;
    if (c->signer == NULL)
        return 0;
    c->alg = c->signer->alg;
    EVP_MD_CTX_free(c->md);
    c->md = NULL;
    if (!check_digest(c, digest))
        return 0;
    if (c->alg->digest != NULL) {
        c->md = EVP_MD_CTX_new();
        if (c->md == NULL || EVP_DigestInit_ex2(c->md, alg_md(c->alg), NULL) != 1)
            return 0;
    }
    return sign_set_params(c, params);
}

static int whole_messages(const struct sign_ctx *c)
{
    return provider_refuse("sign.one-shot", "key '%s': %s keys sign a message at once, not in pieces",
                           c->signer->name, c->alg->name);
}

static int sign_update(void *ctx, const unsigned char *data, size_t n)
{
    struct sign_ctx *c = ctx;

    return c->md == NULL ? whole_messages(c) : EVP_DigestUpdate(c->md, data, n);
}

static int sign_input(const struct sign_ctx *c, struct span input, unsigned char *ret, size_t *ret_n,
                      size_t size)
{
    struct bytes sig = BYTES_INIT;
    struct err e = ERR_INIT;
    int ok = 0;

    if (async_sign(c->signer, c->alg, input, &sig, &e) != RC_OK) {
        ok = provider_fail(&e);
    } else if (sig.n <= size) {
        memcpy(ret, sig.p, sig.n);
        *ret_n = sig.n;
        ok = 1;
    }
    bytes_free(&sig);
    return ok;
}

static int sign_final(void *ctx, unsigned char *ret, size_t *ret_n, size_t size)
{
    struct sign_ctx *c = ctx;
    uint8_t digest[DIGEST_MAX];

    if (c->md == NULL)
        return whole_messages(c);
    if (ret == NULL) {
        *ret_n = c->alg->signature_max;
        return 1;
    }
    return EVP_DigestFinal_ex(c->md, digest, NULL) &&
           sign_input(c, (struct span){digest, c->alg->digest_len}, ret, ret_n, size);
}

static int sign_message(void *ctx, unsigned char *ret, size_t *ret_n, size_t size, const unsigned char *data,
                        size_t n)
{
    struct sign_ctx *c = ctx;

    if (ret == NULL) {
        *ret_n = c->alg->signature_max;
        return 1;
    }
    if (c->md == NULL)
        return sign_input(c, (struct span){data, n}, ret, ret_n, size);
    return sign_update(c, data, n) && sign_final(c, ret, ret_n, size);
}

/* The parameters of RSA signatures: libssl asks for PSS whatever row the signer has, and CMS and X.509
 * builders let the caller choose. What is not one of our two rows is refused. */

static int take_pad_mode(struct sign_ctx *c, const OSSL_PARAM *p)
{
    const char *word = NULL;
    int number = 0;

    if (c->alg->family != ALG_RSA || !provider_word(p, &word, &number))
        return 0;
    bool pss = word != NULL ? strcmp(word, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0 : number == RSA_PKCS1_PSS_PADDING;
    bool v15 = word != NULL ? strcmp(word, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0 : number == RSA_PKCS1_PADDING;
    if (!pss && !v15)
        return provider_refuse("sign.padding",
                               "key '%s': RSA signatures are padded by PKCS #1 v1.5 or PSS alone",
                               c->signer->name);
    const struct alg *a = alg_pss(c->alg);
    c->alg = pss ? a : alg_key(a);
    return 1;
}

static int take_digest(struct sign_ctx *c, const OSSL_PARAM *p)
{
    const char *name = NULL;

    return OSSL_PARAM_get_utf8_string_ptr(p, &name) == 1 && check_digest(c, name);
}

static int take_mgf1_digest(struct sign_ctx *c, const OSSL_PARAM *p)
{
    return c->alg->pss && take_digest(c, p);
}

static int take_saltlen(struct sign_ctx *c, const OSSL_PARAM *p)
{
    const char *word = NULL;
    int number = 0;

    if (!c->alg->pss || !provider_word(p, &word, &number))
        return 0;
    if (word != NULL && strcmp(word, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST) != 0)
        number = atoi(word);
    else if (word != NULL)
        number = RSA_PSS_SALTLEN_DIGEST;
    if (number != RSA_PSS_SALTLEN_DIGEST && number != (int)c->alg->digest_len)
        return provider_refuse("sign.padding", "key '%s': its PSS signatures have a salt of %zu octets",
                               c->signer->name, c->alg->digest_len);
    return 1;
}

static int sign_set_params(void *ctx, const OSSL_PARAM params[])
{
    static const struct {
        const char *key;
        int (*take)(struct sign_ctx *c, const OSSL_PARAM *p);
    } rows[] = {
        {OSSL_SIGNATURE_PARAM_PAD_MODE, take_pad_mode}, /* first: the others depend on it */
        {OSSL_SIGNATURE_PARAM_DIGEST, take_digest},
        {OSSL_SIGNATURE_PARAM_MGF1_DIGEST, take_mgf1_digest},
        {OSSL_SIGNATURE_PARAM_PSS_SALTLEN, take_saltlen},
    };
    struct sign_ctx *c = ctx;

    if (params == NULL)
        return 1;
    if (c->signer == NULL)
        return 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, rows[i].key);
        if (p != NULL && rows[i].take(c, p) != 1)
            return 0;
    }
    return 1;
}

static const OSSL_PARAM *sign_settable_params(void *ctx, void *provctx)
{
    static const OSSL_PARAM params[] = {OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
                                        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
                                        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0),
                                        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
                                        OSSL_PARAM_END};

    (void)ctx;
    (void)provctx;
    return params;
}

/* As a word or a number, whichever is asked for. */
static int give_word(OSSL_PARAM params[], const char *key, const char *word, int number)
{
    OSSL_PARAM *p = OSSL_PARAM_locate(params, key);

    if (p == NULL)
        return 1;
    return p->data_type == OSSL_PARAM_UTF8_STRING ? OSSL_PARAM_set_utf8_string(p, word)
                                                  : OSSL_PARAM_set_int(p, number);
}

static int give_rsa(const struct sign_ctx *c, OSSL_PARAM params[])
{
    if (!give_word(params, OSSL_SIGNATURE_PARAM_PAD_MODE,
                   c->alg->pss ? OSSL_PKEY_RSA_PAD_MODE_PSS : OSSL_PKEY_RSA_PAD_MODE_PKCSV15,
                   c->alg->pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING))
        return 0;
    if (!c->alg->pss)
        return 1;
    OSSL_PARAM *p = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_MGF1_DIGEST);
    if (p != NULL && OSSL_PARAM_set_utf8_string(p, c->alg->digest) != 1)
        return 0;
    return give_word(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST,
                     RSA_PSS_SALTLEN_DIGEST);
}

static int sign_get_params(void *ctx, OSSL_PARAM params[])
{
    const struct sign_ctx *c = ctx;
    OSSL_PARAM *p = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_ALGORITHM_ID);

    if (c->signer == NULL)
        return 0;
    struct span id = c->alg->sig_algid;
    if (p != NULL && OSSL_PARAM_set_octet_string(p, id.p, id.n) != 1)
        return 0;
    p = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_DIGEST);
    if (p != NULL && OSSL_PARAM_set_utf8_string(p, c->alg->digest == NULL ? "" : c->alg->digest) != 1)
        return 0;
    return c->alg->family != ALG_RSA || give_rsa(c, params);
}

static const OSSL_PARAM *sign_gettable_params(void *ctx, void *provctx)
{
    static const OSSL_PARAM params[] = {OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
                                        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
                                        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
                                        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0),
                                        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
                                        OSSL_PARAM_END};

    (void)ctx;
    (void)provctx;
    return params;
}

const OSSL_DISPATCH provider_sign_functions[] = {
    {OSSL_FUNC_SIGNATURE_NEWCTX, (void (*)(void))sign_newctx},
    {OSSL_FUNC_SIGNATURE_FREECTX, (void (*)(void))sign_freectx},
    {OSSL_FUNC_SIGNATURE_DUPCTX, (void (*)(void))sign_dupctx},
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, (void (*)(void))sign_init},
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, (void (*)(void))sign_update},
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, (void (*)(void))sign_final},
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN, (void (*)(void))sign_message},
    {OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS, (void (*)(void))sign_get_params},
    {OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS, (void (*)(void))sign_gettable_params},
    {OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, (void (*)(void))sign_set_params},
    {OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, (void (*)(void))sign_settable_params},
    {0, NULL},
};
