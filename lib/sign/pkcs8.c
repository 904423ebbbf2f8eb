/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <string.h>

#include "base/secret.h"
#include "sign/crypto.h"
#include "sign/der.h"
#include "sign/softkey.h"

enum { TAG_INTEGER = 0x02, TAG_BITS = 0x03, TAG_OCTETS = 0x04, TAG_SEQUENCE = 0x30, TAG_CONTEXT_1 = 0xa1 };

/* Octets of contents, from the inside out. The innermost order is RFC 5915 ECPrivateKey without its
 * parameters, which RFC 5208's AlgorithmIdentifier already names. */
struct lengths {
    size_t bits;   /* 00 || point */
    size_t public; /* [1] */
    size_t ec_key; /* ECPrivateKey */
    size_t octets; /* privateKey */
    size_t all;    /* PrivateKeyInfo */
    size_t scalar_at;
};

static struct lengths lengths_of(const struct alg *a)
{
    struct lengths n = {.bits = 1 + 1 + 2 * a->field_len};

    n.public = der_head_len(n.bits) + n.bits;
    n.ec_key = 3 + der_head_len(a->field_len) + a->field_len + der_head_len(n.public) + n.public;
    n.octets = der_head_len(n.ec_key) + n.ec_key;
    n.all = 3 + a->key_algid.n + der_head_len(n.octets) + n.octets;
    n.scalar_at = der_head_len(n.all) + 3 + a->key_algid.n + der_head_len(n.octets) + der_head_len(n.ec_key) +
                  3 + der_head_len(a->field_len);
    return n;
}

static uint8_t *put_version(uint8_t *p, uint8_t version)
{
    p = der_head(p, TAG_INTEGER, 1);
    *p = version;
    return p + 1;
}

static uint8_t *put(uint8_t *p, const uint8_t *from, size_t n)
{
    memcpy(p, from, n);
    return p + n;
}

void pkcs8_encode(const struct alg *alg, const struct secret *scalar, struct span point, struct secret *ret)
{
    struct lengths n = lengths_of(alg);
    size_t total = der_head_len(n.all) + n.all;
    uint8_t *p = secret_data(ret);

    if (alg->family != ALG_EC || secret_len(scalar) != alg->field_len || point.n != 1 + 2 * alg->field_len ||
        secret_cap(ret) < total)
        bug("pkcs8: lengths do not fit %s", alg->name);
    secret_set_len(ret, total);
    p = der_head(p, TAG_SEQUENCE, n.all);
    p = put_version(p, 0);
    p = put(p, alg->key_algid.p, alg->key_algid.n);
    p = der_head(p, TAG_OCTETS, n.octets);
    p = der_head(p, TAG_SEQUENCE, n.ec_key);
    p = put_version(p, 1);
    p = der_head(p, TAG_OCTETS, alg->field_len);
    p = put(p, secret_data(scalar), alg->field_len);
    p = der_head(p, TAG_CONTEXT_1, n.public);
    p = der_head(p, TAG_BITS, n.bits);
    *p++ = 0; /* no unused bits */
    (void)put(p, point.p, point.n);
}

/* The scalar is in range and makes this point. */
static bool pair_matches(const struct alg *alg, const struct secret *scalar, struct span point)
{
    struct secret *native = secret_from(secret_data(scalar), secret_len(scalar));
    EVP_PKEY_CTX *make = EVP_PKEY_CTX_new_from_name(crypto()->ctx, "EC", NULL);
    EVP_PKEY_CTX *check = NULL;
    EVP_PKEY *key = NULL;
    bool good = false;

    native_order(secret_data(native), secret_len(native));
    OSSL_PARAM params[] = {
        param_text(OSSL_PKEY_PARAM_GROUP_NAME, alg->group), param_octets(OSSL_PKEY_PARAM_PUB_KEY, point),
        OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, secret_data(native), secret_len(native)),
        OSSL_PARAM_construct_end()};
    if (make != NULL && EVP_PKEY_fromdata_init(make) > 0 &&
        EVP_PKEY_fromdata(make, &key, EVP_PKEY_KEYPAIR, params) > 0) {
        check = EVP_PKEY_CTX_new_from_pkey(crypto()->ctx, key, NULL);
        good = check != NULL && EVP_PKEY_check(check) == 1;
    }
    ERR_clear_error();
    EVP_PKEY_CTX_free(check);
    EVP_PKEY_CTX_free(make);
    EVP_PKEY_free(key);
    secret_free(native);
    return good;
}

static const struct alg *alg_of_length(size_t n)
{
    for (size_t i = 0; i < ALG_COUNT; i++) {
        size_t all = lengths_of(&alg_rows[i]).all;
        if (alg_rows[i].family == ALG_EC && n == der_head_len(all) + all)
            return &alg_rows[i];
    }
    return NULL;
}

/* Strict for free: what was read is written again, and must come out the same. */
enum rc pkcs8_decode(const struct secret *pkcs8, const struct alg **ret_alg, struct bytes *ret_point,
                     struct err *e)
{
    const struct alg *alg = alg_of_length(secret_len(pkcs8));
    struct secret *scalar = NULL;
    struct secret *again = NULL;
    enum rc rc = RC_OK;

    if (alg == NULL)
        return err_set(
            e, RC_INPUT, "sign.pkcs8",
            "private key of '%zu' octets: not a PKCS#8 key of ec-p256 or ec-p384 with its public key",
            secret_len(pkcs8));
    size_t point_len = 1 + 2 * alg->field_len;
    struct span point = {secret_data(pkcs8) + secret_len(pkcs8) - point_len, point_len};
    scalar = secret_from(secret_data(pkcs8) + lengths_of(alg).scalar_at, alg->field_len);
    again = secret_new(PKCS8_MAX);
    pkcs8_encode(alg, scalar, point, again);
    if (CRYPTO_memcmp(secret_data(again), secret_data(pkcs8), secret_len(pkcs8)) != 0) {
        rc = err_set(e, RC_INPUT, "sign.pkcs8",
                     "private key of type '%s': not in the one DER form of RFC 5208 and RFC 5915", alg->name);
        goto out;
    }
    if (!pair_matches(alg, scalar, point)) {
        rc = err_set(e, RC_INPUT, "sign.pkcs8",
                     "private key of type '%s': its private and public half do not match", alg->name);
        goto out;
    }
    *ret_alg = alg;
    bytes_add_span(ret_point, point);
out:
    secret_free(scalar);
    secret_free(again);
    return rc;
}
