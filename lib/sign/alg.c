/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/alg.h"

#include <openssl/asn1.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "sign/crypto.h"
#include "sign/der.h"

#define DER(s)                                                                                               \
    {                                                                                                        \
        (const uint8_t *)(s), sizeof(s) - 1                                                                  \
    }
#define OID_EC_PUBLIC  "\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
#define OID_P256       "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
#define OID_P384       "\x06\x05\x2b\x81\x04\x00\x22"
#define OID_ECDSA_SHA2 "\x06\x08\x2a\x86\x48\xce\x3d\x04\x03" /* and one octet: 2 SHA-256, 3 SHA-384 */

/* Values of PKCS#11 2.40, whose headers this layer does not see. */
enum { CKK_EC = 0x3, CKM_EC_KEY_PAIR_GEN = 0x1040, CKM_ECDSA = 0x1041, CKM_ECDH1_DERIVE = 0x1050 };

const struct alg alg_rows[ALG_COUNT] = {
    {.name = "ec-p256",
     .group = "P-256",
     .digest = "SHA256",
     .digest_len = 32,
     .field_len = 32,
     .signature_max = 72,
     .sig_algid = DER("\x30\x0a" OID_ECDSA_SHA2 "\x02"),
     .key_algid = DER("\x30\x13" OID_EC_PUBLIC OID_P256),
     .params = DER(OID_P256),
     .p11_key_type = CKK_EC,
     .p11_keygen = CKM_EC_KEY_PAIR_GEN,
     .p11_sign = CKM_ECDSA,
     .p11_derive = CKM_ECDH1_DERIVE},
    {.name = "ec-p384",
     .group = "P-384",
     .digest = "SHA384",
     .digest_len = 48,
     .field_len = 48,
     .signature_max = 104,
     .sig_algid = DER("\x30\x0a" OID_ECDSA_SHA2 "\x03"),
     .key_algid = DER("\x30\x10" OID_EC_PUBLIC OID_P384),
     .params = DER(OID_P384),
     .p11_key_type = CKK_EC,
     .p11_keygen = CKM_EC_KEY_PAIR_GEN,
     .p11_sign = CKM_ECDSA,
     .p11_derive = CKM_ECDH1_DERIVE},
};

const struct alg *alg_by_name(const char *name)
{
    for (size_t i = 0; i < ALG_COUNT; i++)
        if (strcmp(alg_rows[i].name, name) == 0)
            return &alg_rows[i];
    return NULL;
}

const struct alg *alg_by_sig_algid(struct span der)
{
    for (size_t i = 0; i < ALG_COUNT; i++)
        if (span_eq(alg_rows[i].sig_algid, der))
            return &alg_rows[i];
    return NULL;
}

const struct alg *alg_by_params(struct span der)
{
    for (size_t i = 0; i < ALG_COUNT; i++)
        if (span_eq(alg_rows[i].params, der))
            return &alg_rows[i];
    return NULL;
}

static char names[ALG_COUNT * 32];

static void names_make(void)
{
    struct bytes b = BYTES_INIT;

    for (size_t i = 0; i < ALG_COUNT; i++)
        bytes_printf(&b, "%s%s", i == 0 ? "" : ", ", alg_rows[i].name);
    if (b.n >= sizeof(names))
        bug("alg: the names need %zu octets", b.n);
    memcpy(names, b.p, b.n);
    bytes_free(&b);
}

const char *alg_names(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, names_make);
    return names;
}

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

enum rc alg_of_spki(struct span spki, const struct alg **ret, struct err *e)
{
    const unsigned char *p = spki.p;
    long n = 0;
    int tag = 0, class = 0;
    char found[128] = "unreadable";

    if (spki.n <= INT16_MAX && ASN1_get_object(&p, &n, &tag, &class, (long)spki.n) == V_ASN1_CONSTRUCTED &&
        tag == V_ASN1_SEQUENCE && class == V_ASN1_UNIVERSAL && p + n == spki.p + spki.n) {
        for (size_t i = 0; i < ALG_COUNT; i++) {
            struct span id = alg_rows[i].key_algid;
            if ((size_t)n >= id.n && memcmp(p, id.p, id.n) == 0) {
                *ret = &alg_rows[i];
                return RC_OK;
            }
        }
        describe_algid(p, n, found, sizeof(found));
    }
    ERR_clear_error();
    return err_set(e, RC_INPUT, "sign.key-type", "public key: its type '%s' is not one of %s", found,
                   alg_names());
}

static size_t point_len(const struct alg *a)
{
    return 1 + 2 * a->field_len;
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
    size_t n = spki_head(a, head);

    if (spki.n != n + point_len(a) || memcmp(spki.p, head, n) != 0 ||
        spki.p[n] != POINT_CONVERSION_UNCOMPRESSED)
        return err_set(
            e, RC_INPUT, "sign.key-point",
            "public key of type '%s': not an uncompressed point in a DER SubjectPublicKeyInfo (RFC 5480 2.2)",
            a->name);
    *ret_point = (struct span){spki.p + n, point_len(a)};
    return RC_OK;
}

enum rc public_key_new(struct span spki, const struct alg **ret_alg, EVP_PKEY **ret, struct err *e)
{
    const struct alg *alg = NULL;
    struct span point = {NULL, 0};
    EVP_PKEY_CTX *ctx = NULL;
    EVP_PKEY *key = NULL;
    enum rc rc = alg_of_spki(spki, &alg, e);

    if (rc == RC_OK)
        rc = spki_point(alg, spki, &point, e);
    if (rc != RC_OK)
        return rc;

    /* Both coordinates are checked against the field and the equation here; with cofactor 1 that is the full
     * validation. */
    OSSL_PARAM params[] = {param_text(OSSL_PKEY_PARAM_GROUP_NAME, alg->group),
                           param_octets(OSSL_PKEY_PARAM_PUB_KEY, point), OSSL_PARAM_construct_end()};
    ctx = EVP_PKEY_CTX_new_from_name(crypto()->ctx, "EC", NULL);
    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) <= 0) {
        ERR_clear_error();
        rc = err_set(e, RC_INPUT, "sign.key-point", "public key of type '%s': its point is not on the curve",
                     alg->name);
        goto out;
    }
    if (ret_alg != NULL)
        *ret_alg = alg;
    *ret = key;
    key = NULL;
out:
    EVP_PKEY_free(key);
    EVP_PKEY_CTX_free(ctx);
    return rc;
}

enum rc spki_check(struct span spki, const struct alg **ret, struct err *e)
{
    EVP_PKEY *key = NULL;
    enum rc rc = public_key_new(spki, ret, &key, e);

    EVP_PKEY_free(key);
    return rc;
}

/* Drops leading zeros and puts back the one that a set top bit needs. 0 octets when the value is 0. */
static size_t integer_len(struct span *v)
{
    while (v->n > 0 && v->p[0] == 0)
        *v = (struct span){v->p + 1, v->n - 1};
    return v->n == 0 ? 0 : v->n + (v->p[0] >> 7);
}

static uint8_t *integer_put(uint8_t *p, struct span v, size_t len)
{
    p = der_head(p, V_ASN1_INTEGER, len);
    if (len > v.n)
        *p++ = 0;
    memcpy(p, v.p, v.n);
    return p + v.n;
}

enum rc ecdsa_to_der(const struct alg *a, struct span raw, struct bytes *ret, struct err *e)
{
    struct span r = {raw.p, a->field_len};
    struct span s = {raw.p + a->field_len, a->field_len};

    if (raw.n != 2 * a->field_len)
        return err_set(e, RC_INPUT, "sign.ecdsa-sig", "signature of type '%s': %zu octets instead of %zu",
                       a->name, raw.n, 2 * a->field_len);
    size_t r_len = integer_len(&r);
    size_t s_len = integer_len(&s);
    if (r_len == 0 || s_len == 0)
        return err_set(e, RC_INPUT, "sign.ecdsa-sig", "signature of type '%s': r or s is zero", a->name);

    size_t n = der_head_len(r_len) + r_len + der_head_len(s_len) + s_len;
    uint8_t *p = bytes_room(ret, der_head_len(n) + n);
    p = der_head(p, V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED, n);
    p = integer_put(p, r, r_len);
    (void)integer_put(p, s, s_len);
    ret->n += der_head_len(n) + n;
    return RC_OK;
}
