/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/core_names.h>
#include <stdlib.h>
#include <string.h>

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

struct sign_ctx {
    struct signer *signer;
    EVP_MD_CTX *md;
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
    if (c->md != NULL) {
        copy->md = EVP_MD_CTX_new();
        if (copy->md == NULL || EVP_MD_CTX_copy_ex(copy->md, c->md) != 1)
            out_of_memory();
    }
    return copy;
}

/* A key signs with the digest of its row and with no other. */
static int sign_init(void *ctx, const char *digest, void *keydata, const OSSL_PARAM params[])
{
    struct sign_ctx *c = ctx;
    const struct provider_key *k = keydata;
    struct err e = ERR_INIT;

    (void)params;
    if (k != NULL)
        c->signer = k->signer;
    if (c->signer == NULL)
        return 0;
    const EVP_MD *md = alg_md(c->signer->alg);
    if (digest != NULL && digest[0] != '\0' && !EVP_MD_is_a(md, digest)) {
        (void)err_set(&e, RC_INPUT, "sign.digest", "key '%s': it signs with %s, not with %s", c->signer->name,
                      c->signer->alg->digest, digest);
        return provider_fail(&e);
    }
    EVP_MD_CTX_free(c->md);
    c->md = EVP_MD_CTX_new();
    return c->md != NULL && EVP_DigestInit_ex2(c->md, md, NULL);
}

static int sign_update(void *ctx, const unsigned char *data, size_t n)
{
    struct sign_ctx *c = ctx;

    return EVP_DigestUpdate(c->md, data, n);
}

static int sign_digest(struct signer *s, const uint8_t *digest, unsigned char *ret, size_t *ret_n,
                       size_t size)
{
    struct bytes sig = BYTES_INIT;
    struct err e = ERR_INIT;
    int ok = 0;

    if (signer_sign(s, digest, 1, &sig, &e) != RC_OK) {
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

    if (ret == NULL) {
        *ret_n = c->signer->alg->signature_max;
        return 1;
    }
    return EVP_DigestFinal_ex(c->md, digest, NULL) && sign_digest(c->signer, digest, ret, ret_n, size);
}

static int sign_message(void *ctx, unsigned char *ret, size_t *ret_n, size_t size, const unsigned char *data,
                        size_t n)
{
    struct sign_ctx *c = ctx;
    uint8_t digest[DIGEST_MAX];

    if (ret == NULL)
        return sign_final(ctx, NULL, ret_n, 0);
    alg_digest(c->signer->alg, (struct span){data, n}, digest);
    return sign_digest(c->signer, digest, ret, ret_n, size);
}

static int sign_get_params(void *ctx, OSSL_PARAM params[])
{
    const struct sign_ctx *c = ctx;
    OSSL_PARAM *p = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_ALGORITHM_ID);

    if (c->signer == NULL)
        return p == NULL;
    struct span id = c->signer->alg->sig_algid;
    if (p != NULL && OSSL_PARAM_set_octet_string(p, id.p, id.n) != 1)
        return 0;
    p = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_DIGEST);
    return p == NULL || OSSL_PARAM_set_utf8_string(p, c->signer->alg->digest) == 1;
}

static const OSSL_PARAM *sign_gettable_params(void *ctx, void *provctx)
{
    static const OSSL_PARAM params[] = {OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
                                        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
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
    {0, NULL},
};
