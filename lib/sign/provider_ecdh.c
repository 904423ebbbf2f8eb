/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "sign/provider.h"
#include "sign/signer.h"

static OSSL_FUNC_keyexch_newctx_fn ecdh_newctx;
static OSSL_FUNC_keyexch_freectx_fn ecdh_freectx;
static OSSL_FUNC_keyexch_dupctx_fn ecdh_dupctx;
static OSSL_FUNC_keyexch_init_fn ecdh_init;
static OSSL_FUNC_keyexch_set_peer_fn ecdh_set_peer;
static OSSL_FUNC_keyexch_derive_fn ecdh_derive;
static OSSL_FUNC_keyexch_set_ctx_params_fn ecdh_set_params;
static OSSL_FUNC_keyexch_settable_ctx_params_fn ecdh_settable_params;
static OSSL_FUNC_keyexch_get_ctx_params_fn ecdh_get_params;
static OSSL_FUNC_keyexch_gettable_ctx_params_fn ecdh_gettable_params;

enum { DIGEST_NAME_MAX = 32 };

struct ecdh_ctx {
    struct signer *signer;
    uint8_t peer[POINT_MAX];
    size_t peer_len;
    bool kdf; /* X9.63 behind the agreement; otherwise the plain X coordinate comes out */
    char kdf_digest[DIGEST_NAME_MAX];
    size_t kdf_outlen;
    struct bytes kdf_ukm; /* SharedInfo */
};

static void *ecdh_newctx(void *provctx)
{
    (void)provctx;
    return mem_new(sizeof(struct ecdh_ctx));
}

static void ecdh_freectx(void *ctx)
{
    struct ecdh_ctx *c = ctx;

    bytes_free(&c->kdf_ukm);
    free(c);
}

static void *ecdh_dupctx(void *ctx)
{
    const struct ecdh_ctx *c = ctx;
    struct ecdh_ctx *copy = mem_new(sizeof(*copy));

    *copy = *c;
    copy->kdf_ukm = (struct bytes)BYTES_INIT;
    bytes_add_span(&copy->kdf_ukm, bytes_span(&c->kdf_ukm));
    return copy;
}

static int ecdh_init(void *ctx, void *keydata, const OSSL_PARAM params[])
{
    struct ecdh_ctx *c = ctx;
    const struct provider_key *k = keydata;

    c->signer = k->signer;
    return c->signer != NULL && ecdh_set_params(c, params);
}

static int ecdh_set_peer(void *ctx, void *keydata)
{
    struct ecdh_ctx *c = ctx;
    const struct provider_key *k = keydata;

    struct span point = provider_key_point(k);

    if (k->alg != c->signer->alg || point.n == 0)
        return 0;
    memcpy(c->peer, point.p, point.n);
    c->peer_len = point.n;
    return 1;
}

/* SHA-1, which RFC 5753 makes the default and old software still uses, is refused with all that is shorter
 * than SHA-256. */
static bool kdf_digest_good(const char *name)
{
    EVP_MD *md = EVP_MD_fetch(crypto()->ctx, name, NULL);
    bool good = md != NULL && EVP_MD_get_size(md) >= 32;

    EVP_MD_free(md);
    return good;
}

static int kdf_run(const struct ecdh_ctx *c, const struct secret *z, unsigned char *ret)
{
    EVP_KDF_CTX *kdf = NULL;
    int ok = 0;

    if (!kdf_digest_good(c->kdf_digest))
        return provider_refuse("sign.kdf-digest",
                               "key '%s': the sender derived with digest '%s', SHA-256 or better is required",
                               c->signer->name, c->kdf_digest);
    OSSL_PARAM params[] = {param_text(OSSL_KDF_PARAM_DIGEST, c->kdf_digest),
                           param_octets(OSSL_KDF_PARAM_KEY, (struct span){secret_data(z), secret_len(z)}),
                           param_octets(OSSL_KDF_PARAM_INFO, bytes_span(&c->kdf_ukm)),
                           OSSL_PARAM_construct_end()};
    kdf = EVP_KDF_CTX_new(crypto()->x963kdf);
    ok = kdf != NULL && EVP_KDF_derive(kdf, ret, c->kdf_outlen, params) > 0;
    EVP_KDF_CTX_free(kdf);
    return ok;
}

static int ecdh_derive(void *ctx, unsigned char *ret, size_t *ret_n, size_t size)
{
    const struct ecdh_ctx *c = ctx;
    size_t n = c->kdf ? c->kdf_outlen : c->signer->alg->field_len;
    struct secret *z = NULL;
    struct err e = ERR_INIT;
    int ok = 1;

    *ret_n = n;
    if (ret == NULL)
        return 1;
    if (size < n || n == 0 || c->peer_len == 0)
        return 0;
    if (signer_derive(c->signer, (struct span){c->peer, c->peer_len}, &z, &e) != RC_OK)
        return provider_fail(&e);
    if (c->kdf)
        ok = kdf_run(c, z, ret);
    else
        memcpy(ret, secret_data(z), n);
    secret_free(z);
    return ok;
}

static int take_kdf_type(struct ecdh_ctx *c, const OSSL_PARAM *p)
{
    const char *type = NULL;

    if (OSSL_PARAM_get_utf8_string_ptr(p, &type) != 1)
        return 0;
    c->kdf = strcmp(type, OSSL_KDF_NAME_X963KDF) == 0;
    return c->kdf || type[0] == '\0';
}

static int take_kdf_digest(struct ecdh_ctx *c, const OSSL_PARAM *p)
{
    char *name = c->kdf_digest;

    return OSSL_PARAM_get_utf8_string(p, &name, sizeof(c->kdf_digest));
}

static int take_kdf_ukm(struct ecdh_ctx *c, const OSSL_PARAM *p)
{
    const void *ukm = NULL;
    size_t n = 0;

    bytes_reset(&c->kdf_ukm);
    if (p->data == NULL)
        return 1;
    if (OSSL_PARAM_get_octet_string_ptr(p, &ukm, &n) != 1)
        return 0;
    bytes_add(&c->kdf_ukm, ukm, n);
    return 1;
}

/* With cofactor 1 both modes are the same; other values are wrong. */
static int take_cofactor(struct ecdh_ctx *c, const OSSL_PARAM *p)
{
    int mode = 0;

    (void)c;
    return OSSL_PARAM_get_int(p, &mode) == 1 && mode >= -1 && mode <= 1;
}

static int take_kdf_outlen(struct ecdh_ctx *c, const OSSL_PARAM *p)
{
    return OSSL_PARAM_get_size_t(p, &c->kdf_outlen);
}

static int ecdh_set_params(void *ctx, const OSSL_PARAM params[])
{
    static const struct {
        const char *key;
        int (*take)(struct ecdh_ctx *c, const OSSL_PARAM *p);
    } rows[] = {
        {OSSL_EXCHANGE_PARAM_KDF_TYPE, take_kdf_type},
        {OSSL_EXCHANGE_PARAM_KDF_DIGEST, take_kdf_digest},
        {OSSL_EXCHANGE_PARAM_KDF_UKM, take_kdf_ukm},
        {OSSL_EXCHANGE_PARAM_KDF_OUTLEN, take_kdf_outlen},
        {OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE, take_cofactor},
    };

    for (size_t i = 0; params != NULL && i < sizeof(rows) / sizeof(rows[0]); i++) {
        const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, rows[i].key);
        if (p != NULL && rows[i].take(ctx, p) != 1)
            return 0;
    }
    return 1;
}

static const OSSL_PARAM *ecdh_settable_params(void *ctx, void *provctx)
{
    static const OSSL_PARAM params[] = {OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_TYPE, NULL, 0),
                                        OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST, NULL, 0),
                                        OSSL_PARAM_octet_string(OSSL_EXCHANGE_PARAM_KDF_UKM, NULL, 0),
                                        OSSL_PARAM_size_t(OSSL_EXCHANGE_PARAM_KDF_OUTLEN, NULL),
                                        OSSL_PARAM_int(OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE, NULL),
                                        OSSL_PARAM_END};

    (void)ctx;
    (void)provctx;
    return params;
}

static int ecdh_get_params(void *ctx, OSSL_PARAM params[])
{
    const struct ecdh_ctx *c = ctx;
    OSSL_PARAM *p = OSSL_PARAM_locate(params, OSSL_EXCHANGE_PARAM_KDF_TYPE);

    if (p != NULL && OSSL_PARAM_set_utf8_string(p, c->kdf ? OSSL_KDF_NAME_X963KDF : "") != 1)
        return 0;
    p = OSSL_PARAM_locate(params, OSSL_EXCHANGE_PARAM_KDF_DIGEST);
    if (p != NULL && OSSL_PARAM_set_utf8_string(p, c->kdf_digest) != 1)
        return 0;
    p = OSSL_PARAM_locate(params, OSSL_EXCHANGE_PARAM_KDF_OUTLEN);
    return p == NULL || OSSL_PARAM_set_size_t(p, c->kdf_outlen) == 1;
}

static const OSSL_PARAM *ecdh_gettable_params(void *ctx, void *provctx)
{
    static const OSSL_PARAM params[] = {OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_TYPE, NULL, 0),
                                        OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST, NULL, 0),
                                        OSSL_PARAM_size_t(OSSL_EXCHANGE_PARAM_KDF_OUTLEN, NULL),
                                        OSSL_PARAM_END};

    (void)ctx;
    (void)provctx;
    return params;
}

const OSSL_DISPATCH provider_ecdh_functions[] = {
    {OSSL_FUNC_KEYEXCH_NEWCTX, (void (*)(void))ecdh_newctx},
    {OSSL_FUNC_KEYEXCH_FREECTX, (void (*)(void))ecdh_freectx},
    {OSSL_FUNC_KEYEXCH_DUPCTX, (void (*)(void))ecdh_dupctx},
    {OSSL_FUNC_KEYEXCH_INIT, (void (*)(void))ecdh_init},
    {OSSL_FUNC_KEYEXCH_SET_PEER, (void (*)(void))ecdh_set_peer},
    {OSSL_FUNC_KEYEXCH_DERIVE, (void (*)(void))ecdh_derive},
    {OSSL_FUNC_KEYEXCH_SET_CTX_PARAMS, (void (*)(void))ecdh_set_params},
    {OSSL_FUNC_KEYEXCH_SETTABLE_CTX_PARAMS, (void (*)(void))ecdh_settable_params},
    {OSSL_FUNC_KEYEXCH_GET_CTX_PARAMS, (void (*)(void))ecdh_get_params},
    {OSSL_FUNC_KEYEXCH_GETTABLE_CTX_PARAMS, (void (*)(void))ecdh_gettable_params},
    {0, NULL},
};
