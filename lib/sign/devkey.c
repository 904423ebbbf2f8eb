/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/core_names.h>
#include <stdlib.h>

#include "base/secret.h"
#include "sign/crypto.h"
#include "sign/evp.h"
#include "sign/softkey.h"

struct devkey_gen {
    const struct alg *alg;
    EVP_PKEY_CTX *ctx; /* looked up and set up once: that costs as much as a key */
};

enum rc devkey_gen_new(const struct alg *alg, struct devkey_gen **ret, struct err *e)
{
    if (alg->family != ALG_EC)
        return err_set(e, RC_INPUT, "sign.devkey",
                       "device keys of type '%s' are not made here: ec-p256 and ec-p384 are", alg->name);
    struct devkey_gen *g = mem_new(sizeof(*g));
    OSSL_PARAM params[] = {param_text(OSSL_PKEY_PARAM_GROUP_NAME, alg->group), OSSL_PARAM_construct_end()};

    g->alg = alg;
    g->ctx = EVP_PKEY_CTX_new_from_name(crypto()->ctx, "EC", NULL);
    if (g->ctx == NULL || EVP_PKEY_keygen_init(g->ctx) <= 0 || EVP_PKEY_CTX_set_params(g->ctx, params) <= 0) {
        devkey_gen_free(g);
        return err_ossl(e, RC_SYSTEM, "sign.devkey", "cannot prepare device keys of type '%s'", alg->name);
    }
    *ret = g;
    return RC_OK;
}

enum rc devkey_make(struct devkey_gen *g, struct secret *ret_scalar, struct bytes *ret_point, struct err *e)
{
    size_t field = g->alg->field_len;
    uint8_t point[POINT_MAX];
    EVP_PKEY *key = NULL;
    enum rc rc = RC_OK;

    if (secret_cap(ret_scalar) < field)
        bug("devkey: %zu octets for a scalar of %zu", secret_cap(ret_scalar), field);
    /* The scalar goes from libcrypto's number straight into the secret: no BIGNUM and no stack buffer
     * between. */
    secret_set_len(ret_scalar, field);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, secret_data(ret_scalar), field),
                           OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * field),
                           OSSL_PARAM_construct_end()};
    if (EVP_PKEY_generate(g->ctx, &key) <= 0 || EVP_PKEY_get_params(key, params) <= 0 ||
        params[0].return_size != field || params[1].return_size != 1 + 2 * field) {
        rc = err_ossl(e, RC_SYSTEM, "sign.devkey", "cannot make a device key of type '%s'", g->alg->name);
        goto out;
    }
    native_order(secret_data(ret_scalar), field);
    bytes_add(ret_point, point, 1 + 2 * field);
out:
    if (rc != RC_OK)
        secret_set_len(ret_scalar, 0);
    EVP_PKEY_free(key);
    return rc;
}

void devkey_gen_free(struct devkey_gen *g)
{
    if (g == NULL)
        return;
    EVP_PKEY_CTX_free(g->ctx);
    free(g);
}
