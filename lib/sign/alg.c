/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/alg.h"

#include <openssl/asn1.h>
#include <pthread.h>
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
#define OID_ECDSA_SHA2 "\x06\x08\x2a\x86\x48\xce\x3d\x04\x03"     /* and one octet: 2 SHA-256, 3 SHA-384 */
#define OID_PKCS1      "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01" /* and one octet */
#define OID_ED25519    "\x06\x03\x2b\x65\x70"
#define NULL_PARAMS    "\x05\x00"
#define ALGID_SHA256   "\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01" NULL_PARAMS

/* RFC 4055 3.1: hash, mask generation with the same hash, salt of its length; the trailer by default. */
#define PSS_SHA256_PARAMS                                                                                    \
    "\x30\x34\xa0\x0f" ALGID_SHA256 "\xa1\x1c\x30\x1a" OID_PKCS1 "\x08" ALGID_SHA256 "\xa2\x03\x02\x01\x20"

/* Values of PKCS#11 3.0, whose headers this layer does not see. */
enum {
    CKK_RSA = 0x0,
    CKK_EC = 0x3,
    CKK_EC_EDWARDS = 0x40,
    CKM_RSA_PKCS_KEY_PAIR_GEN = 0x0,
    CKM_RSA_PKCS = 0x1,
    CKM_RSA_PKCS_OAEP = 0x9,
    CKM_RSA_PKCS_PSS = 0xd,
    CKM_EC_KEY_PAIR_GEN = 0x1040,
    CKM_ECDSA = 0x1041,
    CKM_ECDH1_DERIVE = 0x1050,
    CKM_EC_EDWARDS_KEY_PAIR_GEN = 0x1055,
    CKM_EDDSA = 0x1057,
};

#define EC_ROW(bits, md, md_octets, sig_octets, oid, algid_len)                                              \
    .family = ALG_EC, .key_type = "EC", .group = "P-" #bits, .digest = md, .digest_len = md_octets,          \
    .key_bits = bits, .field_len = bits / 8, .signature_max = sig_octets, .signature_raw = bits / 4,         \
    .key_algid = DER("\x30" algid_len OID_EC_PUBLIC oid), .params = DER(oid), .p11_key_type = CKK_EC,        \
    .p11_keygen = CKM_EC_KEY_PAIR_GEN, .p11_sign = CKM_ECDSA, .p11_derive = CKM_ECDH1_DERIVE

#define RSA_ROW(bits)                                                                                        \
    .family = ALG_RSA, .key_type = "RSA", .digest = "SHA256", .digest_len = 32, .key_bits = bits,            \
    .signature_max = bits / 8, .signature_raw = bits / 8,                                                    \
    .key_algid = DER("\x30\x0d" OID_PKCS1 "\x01" NULL_PARAMS), .p11_key_type = CKK_RSA,                      \
    .p11_keygen = CKM_RSA_PKCS_KEY_PAIR_GEN, .p11_decrypt = CKM_RSA_PKCS_OAEP
#define RSA_PKCS1 .p11_sign = CKM_RSA_PKCS, .sig_algid = DER("\x30\x0d" OID_PKCS1 "\x0b" NULL_PARAMS)
#define RSA_PSS                                                                                              \
    .pss = true, .p11_sign = CKM_RSA_PKCS_PSS, .sig_algid = DER("\x30\x41" OID_PKCS1 "\x0a" PSS_SHA256_PARAMS)

/* Both rows of an RSA key stand together, PKCS #1 v1.5 first. */
const struct alg alg_rows[ALG_COUNT] = {
    {.name = "ec-p256",
     EC_ROW(256, "SHA256", 32, 72, OID_P256, "\x13"),
     .sig_algid = DER("\x30\x0a" OID_ECDSA_SHA2 "\x02")},
    {.name = "ec-p384",
     EC_ROW(384, "SHA384", 48, 104, OID_P384, "\x10"),
     .sig_algid = DER("\x30\x0a" OID_ECDSA_SHA2 "\x03")},
    {.name = "ed25519",
     .family = ALG_EDWARDS,
     .key_type = "ED25519",
     .key_bits = 256,
     .field_len = 32,
     .signature_max = 64,
     .signature_raw = 64,
     .sig_algid = DER("\x30\x05" OID_ED25519),
     .key_algid = DER("\x30\x05" OID_ED25519),
     .params = DER(OID_ED25519),
     .p11_key_type = CKK_EC_EDWARDS,
     .p11_keygen = CKM_EC_EDWARDS_KEY_PAIR_GEN,
     .p11_sign = CKM_EDDSA},
    {.name = "rsa-2048", RSA_ROW(2048), RSA_PKCS1},
    {.name = "rsa-2048-pss", RSA_ROW(2048), RSA_PSS},
    {.name = "rsa-3072", RSA_ROW(3072), RSA_PKCS1},
    {.name = "rsa-3072-pss", RSA_ROW(3072), RSA_PSS},
    {.name = "rsa-4096", RSA_ROW(4096), RSA_PKCS1},
    {.name = "rsa-4096-pss", RSA_ROW(4096), RSA_PSS},
};

const struct alg *alg_at(size_t i)
{
    return i < ALG_COUNT ? &alg_rows[i] : NULL;
}

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
        if (alg_rows[i].params.n > 0 && span_eq(alg_rows[i].params, der))
            return &alg_rows[i];
    return NULL;
}

const struct alg *alg_by_rsa_bits(size_t bits)
{
    for (size_t i = 0; i < ALG_COUNT; i++)
        if (alg_rows[i].family == ALG_RSA && alg_rows[i].key_bits == bits)
            return &alg_rows[i];
    return NULL;
}

const struct alg *alg_key(const struct alg *a)
{
    return a->family == ALG_RSA && a->pss ? a - 1 : a;
}

const struct alg *alg_pss(const struct alg *key)
{
    if (key->family != ALG_RSA)
        return NULL;
    return key->pss ? key : key + 1;
}

const struct alg *alg_for_signature(const struct alg *key, struct span sig_algid)
{
    const struct alg *v15 = alg_key(key), *pss = alg_pss(key);

    if (span_eq(v15->sig_algid, sig_algid))
        return v15;
    return pss != NULL && span_eq(pss->sig_algid, sig_algid) ? pss : NULL;
}

static char names[ALG_COUNT * 32], key_names[ALG_COUNT * 32];

static void list_make(bool keys, char ret[static ALG_COUNT * 32])
{
    struct bytes b = BYTES_INIT;

    for (size_t i = 0; i < ALG_COUNT; i++)
        if (!keys || alg_key(&alg_rows[i]) == &alg_rows[i])
            bytes_printf(&b, "%s%s", b.n == 0 ? "" : ", ", alg_rows[i].name);
    if (b.n >= sizeof(names))
        bug("alg: the names need %zu octets", b.n);
    memcpy(ret, b.p, b.n);
    bytes_free(&b);
}

static void names_make(void)
{
    list_make(false, names);
    list_make(true, key_names);
}

static pthread_once_t names_once = PTHREAD_ONCE_INIT;

const char *alg_names(void)
{
    (void)pthread_once(&names_once, names_make);
    return names;
}

const char *alg_key_names(void)
{
    (void)pthread_once(&names_once, names_make);
    return key_names;
}

enum rc ecdsa_to_der(const struct alg *a, struct span raw, struct bytes *ret, struct err *e)
{
    struct span r = {raw.p, a->field_len};
    struct span s = {raw.p + a->field_len, a->field_len};

    if (raw.n != 2 * a->field_len)
        return err_set(e, RC_INPUT, "sign.ecdsa-sig", "signature of type '%s': %zu octets instead of %zu",
                       a->name, raw.n, 2 * a->field_len);
    size_t r_len = der_integer_len(&r);
    size_t s_len = der_integer_len(&s);
    if (r_len == 0 || s_len == 0)
        return err_set(e, RC_INPUT, "sign.ecdsa-sig", "signature of type '%s': r or s is zero", a->name);

    size_t n = der_head_len(r_len) + r_len + der_head_len(s_len) + s_len;
    uint8_t *p = bytes_room(ret, der_head_len(n) + n);
    p = der_head(p, V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED, n);
    p = der_integer_put(p, r, r_len);
    (void)der_integer_put(p, s, s_len);
    ret->n += der_head_len(n) + n;
    return RC_OK;
}

enum rc signature_from_raw(const struct alg *a, struct span raw, struct bytes *ret, struct err *e)
{
    if (a->family == ALG_EC)
        return ecdsa_to_der(a, raw, ret, e);
    if (raw.n != a->signature_raw)
        return err_set(e, RC_INPUT, "sign.signature-length",
                       "signature of type '%s': %zu octets instead of %zu", a->name, raw.n, a->signature_raw);
    bytes_add_span(ret, raw);
    return RC_OK;
}
