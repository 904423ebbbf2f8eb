/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/asn1.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "sign/crypto.h"
#include "sign/der.h"

/* Says what an AlgorithmIdentifier names, for a message: "rsaEncryption", "id-ecPublicKey secp521r1". */
static void describe_algid(const uint8_t *der, long n, char *ret, size_t size)
{
    X509_ALGOR *algor = d2i_X509_ALGOR(NULL, &der, n);
    const ASN1_OBJECT *oid = NULL;
    const void *param = NULL;
    int type = V_ASN1_UNDEF;

    (void)snprintf(ret, size, "unreadable");
    if (algor != NULL) {
        X509_ALGOR_get0(&oid, &type, &param, algor);
        int len = OBJ_obj2txt(ret, (int)size, oid, 0);
        if (type == V_ASN1_OBJECT && len > 0 && (size_t)len + 2 < size) {
            ret[len] = ' ';
            (void)OBJ_obj2txt(ret + len + 1, (int)size - len - 1, param, 0);
        }
    }
    X509_ALGOR_free(algor);
}

/* The contents of the one DER element of this tag that fills in. */
static bool der_whole(struct span in, int wanted, struct span *ret)
{
    const unsigned char *p = in.p;
    long n = 0;
    int tag = 0, class = 0;
    int form = wanted == V_ASN1_SEQUENCE ? V_ASN1_CONSTRUCTED : 0;

    if (in.n > INT16_MAX || ASN1_get_object(&p, &n, &tag, &class, (long)in.n) != form || tag != wanted ||
        class != V_ASN1_UNIVERSAL || p + n != in.p + in.n) {
        ERR_clear_error();
        return false;
    }
    *ret = (struct span){p, (size_t)n};
    return true;
}

/* The positive INTEGER that in begins with, without leading zeros; in is what follows it. */
static bool der_integer(struct span *in, struct span *ret)
{
    const unsigned char *p = in->p;
    long n = 0;
    int tag = 0, class = 0;

    if (in->n > INT16_MAX || ASN1_get_object(&p, &n, &tag, &class, (long)in->n) != 0 ||
        tag != V_ASN1_INTEGER || class != V_ASN1_UNIVERSAL || n == 0 || (p[0] & 0x80) != 0) {
        ERR_clear_error();
        return false;
    }
    *ret = (struct span){p, (size_t)n};
    *in = (struct span){p + n, in->n - (size_t)(p + n - in->p)};
    while (ret->n > 0 && ret->p[0] == 0)
        *ret = (struct span){ret->p + 1, ret->n - 1};
    return ret->n > 0;
}

static bool starts_with(struct span s, struct span head)
{
    return s.n >= head.n && memcmp(s.p, head.p, head.n) == 0;
}

static size_t bit_count(struct span v)
{
    size_t n = 8 * v.n;

    for (unsigned top = v.n > 0 ? v.p[0] : 0x80; (top & 0x80) == 0; top <<= 1)
        n--;
    return n;
}

/* Both are inside spki; what is not the one DER encoding of them is refused. */
static bool rsa_parts(struct span spki, struct span *ret_modulus, struct span *ret_exponent)
{
    struct span whole, bits, numbers, id = alg_by_rsa_bits(2048)->key_algid;
    struct bytes again = BYTES_INIT;

    if (!der_whole(spki, V_ASN1_SEQUENCE, &whole) || !starts_with(whole, id))
        return false;
    whole = (struct span){whole.p + id.n, whole.n - id.n};
    if (!der_whole(whole, V_ASN1_BIT_STRING, &bits) || bits.n == 0)
        return false;
    if (!der_whole((struct span){bits.p + 1, bits.n - 1}, V_ASN1_SEQUENCE, &numbers) ||
        !der_integer(&numbers, ret_modulus) || !der_integer(&numbers, ret_exponent) || numbers.n != 0)
        return false;
    spki_from_rsa(*ret_modulus, *ret_exponent, &again);
    bool same = span_eq(bytes_span(&again), spki);
    bytes_free(&again);
    return same;
}

/* What a SPKI is of: a row, or found says what. */
static const struct alg *find_row(struct span spki, char *found, size_t size)
{
    struct span whole, modulus, exponent;

    (void)snprintf(found, size, "unreadable");
    if (!der_whole(spki, V_ASN1_SEQUENCE, &whole))
        return NULL;
    for (size_t i = 0; i < ALG_COUNT; i++)
        if (alg_rows[i].family != ALG_RSA && starts_with(whole, alg_rows[i].key_algid))
            return &alg_rows[i];
    if (rsa_parts(spki, &modulus, &exponent)) {
        (void)snprintf(found, size, "rsaEncryption with %zu bits", bit_count(modulus));
        return alg_by_rsa_bits(bit_count(modulus));
    }
    describe_algid(whole.p, (long)whole.n, found, size);
    ERR_clear_error();
    return NULL;
}

enum rc alg_of_spki(struct span spki, const struct alg **ret, struct err *e)
{
    char found[128];
    const struct alg *a = find_row(spki, found, sizeof(found));

    if (a == NULL)
        return err_set(e, RC_INPUT, "sign.key-type", "public key: its type '%s' is not one of %s", found,
                       alg_key_names());
    *ret = a;
    return RC_OK;
}

static size_t point_len(const struct alg *a)
{
    return a->family == ALG_EC ? 1 + 2 * a->field_len : a->field_len;
}

/* All that stands before the point in a SPKI of this row. */
static size_t spki_head(const struct alg *a, uint8_t ret[64])
{
    size_t bits = 1 + point_len(a);
    uint8_t *p =
        der_head(ret, V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED, a->key_algid.n + der_head_len(bits) + bits);

    memcpy(p, a->key_algid.p, a->key_algid.n);
    p = der_head(p + a->key_algid.n, V_ASN1_BIT_STRING, bits);
    *p++ = 0; /* no unused bits */
    return (size_t)(p - ret);
}

void spki_from_point(const struct alg *a, struct span point, struct bytes *ret)
{
    uint8_t head[64];
    size_t n = spki_head(a, head);

    if (point.n != point_len(a))
        bug("alg: a point of %zu octets for %s", point.n, a->name);
    bytes_add(ret, head, n);
    bytes_add_span(ret, point);
}

enum rc spki_point(const struct alg *a, struct span spki, struct span *ret_point, struct err *e)
{
    uint8_t head[64];

    if (a->family == ALG_RSA)
        return err_set(e, RC_INPUT, "sign.key-point", "public key of type '%s': it is no point of a curve",
                       a->name);
    size_t n = spki_head(a, head);
    if (spki.n != n + point_len(a) || memcmp(spki.p, head, n) != 0 ||
        (a->family == ALG_EC && spki.p[n] != POINT_CONVERSION_UNCOMPRESSED))
        return err_set(
            e, RC_INPUT, "sign.key-point",
            "public key of type '%s': not an uncompressed point in a DER SubjectPublicKeyInfo (RFC 5480 2.2, RFC 8410 4)",
            a->name);
    *ret_point = (struct span){spki.p + n, point_len(a)};
    return RC_OK;
}

void spki_from_rsa(struct span modulus, struct span exponent, struct bytes *ret)
{
    struct span id = alg_by_rsa_bits(2048)->key_algid;
    size_t m = der_integer_len(&modulus), x = der_integer_len(&exponent);
    size_t numbers = der_head_len(m) + m + der_head_len(x) + x;
    size_t bits = 1 + der_head_len(numbers) + numbers;
    size_t all = id.n + der_head_len(bits) + bits;
    uint8_t *p = bytes_room(ret, der_head_len(all) + all);

    ret->n += der_head_len(all) + all;
    p = der_head(p, V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED, all);
    memcpy(p, id.p, id.n);
    p = der_head(p + id.n, V_ASN1_BIT_STRING, bits);
    *p++ = 0; /* no unused bits */
    p = der_head(p, V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED, numbers);
    p = der_integer_put(p, modulus, m);
    (void)der_integer_put(p, exponent, x);
}

enum rc spki_rsa(struct span spki, struct span *ret_modulus, struct span *ret_exponent, struct err *e)
{
    if (!rsa_parts(spki, ret_modulus, ret_exponent))
        return err_set(e, RC_INPUT, "sign.key-type",
                       "public key: not an RSA key in a DER SubjectPublicKeyInfo (RFC 3279 2.3.1)");
    return RC_OK;
}

static EVP_PKEY *from_data(const char *type, OSSL_PARAM *params)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(crypto()->ctx, type, NULL);
    EVP_PKEY *key = NULL;

    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) <= 0)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    return key;
}

/* Both coordinates are checked against the field and the equation here; with cofactor 1 that is the full
 * validation. */
static EVP_PKEY *ec_key(const struct alg *a, struct span point)
{
    OSSL_PARAM params[] = {param_text(OSSL_PKEY_PARAM_GROUP_NAME, a->group),
                           param_octets(OSSL_PKEY_PARAM_PUB_KEY, point), OSSL_PARAM_construct_end()};

    return from_data(a->key_type, params);
}

static EVP_PKEY *rsa_key(struct span modulus, struct span exponent)
{
    uint8_t n[RSA_MAX], d[RSA_MAX];

    if (modulus.n > sizeof(n) || exponent.n > sizeof(d))
        return NULL;
    memcpy(n, modulus.p, modulus.n);
    memcpy(d, exponent.p, exponent.n);
    native_order(n, modulus.n);
    native_order(d, exponent.n);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_N, n, modulus.n),
                           OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_E, d, exponent.n),
                           OSSL_PARAM_construct_end()};
    return from_data("RSA", params);
}

enum rc public_key_new(struct span spki, const struct alg **ret_alg, EVP_PKEY **ret, struct err *e)
{
    const struct alg *alg = NULL;
    struct span point = {NULL, 0}, exponent = {NULL, 0};
    EVP_PKEY *key = NULL;
    enum rc rc = alg_of_spki(spki, &alg, e);

    if (rc == RC_OK)
        rc = alg->family == ALG_RSA ? spki_rsa(spki, &point, &exponent, e) : spki_point(alg, spki, &point, e);
    if (rc != RC_OK)
        return rc;
    if (alg->family == ALG_EC)
        key = ec_key(alg, point);
    else if (alg->family == ALG_RSA)
        key = rsa_key(point, exponent);
    else
        key = EVP_PKEY_new_raw_public_key_ex(crypto()->ctx, alg->key_type, NULL, point.p, point.n);
    ERR_clear_error();
    if (key == NULL)
        return err_set(e, RC_INPUT, "sign.key-point", "public key of type '%s': %s", alg->name,
                       alg->family == ALG_RSA ? "its numbers are no RSA key"
                                              : "its point is not on the curve");
    if (ret_alg != NULL)
        *ret_alg = alg;
    *ret = key;
    return RC_OK;
}

/* Points of order 1, 2, 4 or 8, by their y, and y that are not below 2^255 - 19: with such a public key
 * anybody can sign (RFC 8032 5.1.7 does not look). */
static enum rc ed25519_check(const struct alg *a, struct span point, struct err *e)
{
    static const char small[][33] = {
        "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
        "\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
        "\xec\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        "\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
        "\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
    };
    uint8_t y[32];
    bool weak = false;
    size_t i = 1;

    memcpy(y, point.p, sizeof(y));
    y[31] &= 0x7f; /* the sign of x */
    while (i < 31 && y[i] == 0xff)
        i++;
    if (i == 31 && y[31] == 0x7f && y[0] >= 0xed)
        weak = true;
    for (i = 0; i < sizeof(small) / sizeof(small[0]); i++)
        weak = weak || memcmp(y, small[i], sizeof(y)) == 0;
    if (weak)
        return err_set(e, RC_INPUT, "sign.key-point",
                       "public key of type '%s': its point is of small order or not in its one encoding",
                       a->name);
    return RC_OK;
}

/* FIPS 186-5 A.1.1; libcrypto looks for small factors (SP 800-89 5.3.3). */
static enum rc rsa_check(const struct alg *a, struct span spki, EVP_PKEY *key, struct err *e)
{
    struct span modulus, exponent;
    enum rc rc = spki_rsa(spki, &modulus, &exponent, e);

    if (rc != RC_OK)
        return rc;
    size_t bits = bit_count(exponent);
    if ((exponent.p[exponent.n - 1] & 1) == 0 || bits < 17 || bits > 256)
        return err_set(e, RC_INPUT, "sign.key-point",
                       "public key of type '%s': its exponent is not odd and from 65537 to 2^256", a->name);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(crypto()->ctx, key, NULL);
    if (ctx == NULL)
        out_of_memory();
    bool sound = EVP_PKEY_public_check(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    if (!sound)
        return err_set(e, RC_INPUT, "sign.key-point",
                       "public key of type '%s': its modulus is even, has a small factor or is a prime",
                       a->name);
    return RC_OK;
}

enum rc spki_check(struct span spki, const struct alg **ret, struct err *e)
{
    const struct alg *alg = NULL;
    EVP_PKEY *key = NULL;
    struct span point = {NULL, 0};
    enum rc rc = public_key_new(spki, &alg, &key, e);

    if (rc == RC_OK && alg->family == ALG_RSA)
        rc = rsa_check(alg, spki, key, e);
    if (rc == RC_OK && alg->family == ALG_EDWARDS && (rc = spki_point(alg, spki, &point, e)) == RC_OK)
        rc = ed25519_check(alg, point, e);
    if (rc == RC_OK && ret != NULL)
        *ret = alg;
    EVP_PKEY_free(key);
    return rc;
}
