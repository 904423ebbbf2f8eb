/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/objects.h>
#include <stdlib.h>
#include <string.h>

#include "sign/provider.h"
#include "sign/signer.h"

static OSSL_FUNC_keymgmt_new_fn ec_new, rsa_new, ed25519_new;
static OSSL_FUNC_keymgmt_free_fn key_free;
static OSSL_FUNC_keymgmt_dup_fn key_dup;
static OSSL_FUNC_keymgmt_has_fn key_has;
static OSSL_FUNC_keymgmt_match_fn key_match;
static OSSL_FUNC_keymgmt_validate_fn key_validate;
static OSSL_FUNC_keymgmt_import_fn key_import;
static OSSL_FUNC_keymgmt_export_fn key_export;
static OSSL_FUNC_keymgmt_import_types_fn key_import_types;
static OSSL_FUNC_keymgmt_export_types_fn key_export_types;
static OSSL_FUNC_keymgmt_get_params_fn key_get_params;
static OSSL_FUNC_keymgmt_gettable_params_fn key_gettable_params;
static OSSL_FUNC_keymgmt_set_params_fn key_set_params;
static OSSL_FUNC_keymgmt_settable_params_fn key_settable_params;
static OSSL_FUNC_keymgmt_query_operation_name_fn ec_operation, rsa_operation, ed25519_operation;

struct span provider_key_point(const struct provider_key *k)
{
    struct span point = {NULL, 0};
    struct err ignored;

    if (k->spki.n == 0 || k->family == ALG_RSA ||
        spki_point(k->alg, bytes_span(&k->spki), &point, &ignored) != RC_OK)
        return (struct span){NULL, 0};
    return point;
}

static void *new_of(enum alg_family family)
{
    struct provider_key *k = mem_new(sizeof(*k));

    k->family = family;
    return k;
}

static void *ec_new(void *provctx)
{
    (void)provctx;
    return new_of(ALG_EC);
}

static void *rsa_new(void *provctx)
{
    (void)provctx;
    return new_of(ALG_RSA);
}

static void *ed25519_new(void *provctx)
{
    (void)provctx;
    return new_of(ALG_EDWARDS);
}

static void key_free(void *keydata)
{
    struct provider_key *k = keydata;

    if (k == NULL)
        return;
    bytes_free(&k->spki);
    free(k);
}

static void *key_dup(const void *from, int selection)
{
    const struct provider_key *k = from;
    struct provider_key *copy = new_of(k->family);

    copy->alg = k->alg;
    if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0)
        copy->signer = k->signer;
    if ((selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) != 0)
        bytes_add_span(&copy->spki, bytes_span(&k->spki));
    return copy;
}

static int key_has(const void *keydata, int selection)
{
    const struct provider_key *k = keydata;

    if (k == NULL) /* libcrypto asks that of an EVP_PKEY which has a type and nothing else yet */
        return 0;
    if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 && k->signer == NULL)
        return 0;
    if ((selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) != 0 && k->spki.n == 0)
        return 0;
    return (selection & OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS) == 0 || k->alg != NULL;
}

/* Of an RSA key the row does not matter: both have one public key. */
static bool same_type(const struct alg *a, const struct alg *b)
{
    return a == b || (a != NULL && b != NULL && alg_key(a) == alg_key(b));
}

/* Two keys of the same public half are the same key: a signer proves that it holds the private one with each
 * signature. */
static int key_match(const void *keydata1, const void *keydata2, int selection)
{
    const struct provider_key *a = keydata1;
    const struct provider_key *b = keydata2;

    if (!same_type(a->alg, b->alg))
        return 0;
    return (selection & OSSL_KEYMGMT_SELECT_KEYPAIR) == 0 ||
           span_eq(bytes_span(&a->spki), bytes_span(&b->spki));
}

static int key_validate(const void *keydata, int selection, int checktype)
{
    const struct provider_key *k = keydata;
    struct err ignored = ERR_INIT;

    (void)checktype;
    if (key_has(k, selection) == 0)
        return 0;
    if ((selection & OSSL_KEYMGMT_SELECT_KEYPAIR) == 0)
        return 1;
    return spki_check(bytes_span(&k->spki), NULL, &ignored) == RC_OK;
}

/* "P-256" and "prime256v1" are one curve. */
static int group_nid(const char *name)
{
    int nid = EC_curve_nist2nid(name);

    return nid != NID_undef ? nid : OBJ_sn2nid(name);
}

static const struct alg *alg_by_group(const char *name)
{
    for (size_t i = 0; i < ALG_COUNT; i++)
        if (alg_rows[i].group != NULL && group_nid(alg_rows[i].group) == group_nid(name))
            return &alg_rows[i];
    return NULL;
}

static int set_point(struct provider_key *k, const OSSL_PARAM *p)
{
    const void *octets = NULL;
    size_t n = 0;

    if (k->alg == NULL || k->family == ALG_RSA || OSSL_PARAM_get_octet_string_ptr(p, &octets, &n) != 1)
        return 0;
    if (k->family == ALG_EC &&
        (n != 1 + 2 * k->alg->field_len || *(const uint8_t *)octets != POINT_CONVERSION_UNCOMPRESSED))
        return 0;
    if (k->family == ALG_EDWARDS && n != k->alg->field_len)
        return 0;
    bytes_reset(&k->spki);
    spki_from_point(k->alg, (struct span){octets, n}, &k->spki);
    return 1;
}

static int import_signer(struct provider_key *k, const OSSL_PARAM *p)
{
    const void *pointer = NULL;
    size_t n = 0;

    if (OSSL_PARAM_get_octet_ptr(p, &pointer, &n) != 1 || n != sizeof(struct signer))
        return 0;
    k->signer = unconst(pointer);
    k->alg = k->signer->alg;
    bytes_reset(&k->spki);
    bytes_add_span(&k->spki, bytes_span(&k->signer->spki));
    return k->alg->family == k->family;
}

static int import_ec(struct provider_key *k, int selection, const OSSL_PARAM params[])
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_GROUP_NAME);
    const char *group = NULL;

    if (p == NULL || OSSL_PARAM_get_utf8_string_ptr(p, &group) != 1)
        return 0;
    k->alg = alg_by_group(group);
    if (k->alg == NULL)
        return 0;
    if ((selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) == 0)
        return 1;
    p = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PUB_KEY);
    return p == NULL || set_point(k, p);
}

static int import_ed25519(struct provider_key *k, const OSSL_PARAM params[])
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PUB_KEY);

    k->alg = alg_by_name("ed25519");
    return p != NULL && set_point(k, p);
}

/* Big-endian into ret, which has room for RSA_MAX octets. */
static bool number_of(const OSSL_PARAM params[], const char *key, uint8_t *ret, size_t *ret_n)
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, key);
    BIGNUM *number = NULL;
    bool good = p != NULL && OSSL_PARAM_get_BN(p, &number) == 1 && !BN_is_zero(number) &&
                BN_num_bytes(number) <= RSA_MAX;

    if (good)
        *ret_n = (size_t)BN_bn2bin(number, ret);
    BN_free(number);
    return good;
}

static int import_rsa(struct provider_key *k, const OSSL_PARAM params[])
{
    uint8_t modulus[RSA_MAX], exponent[RSA_MAX];
    size_t m = 0, x = 0;
    struct err ignored;

    if (!number_of(params, OSSL_PKEY_PARAM_RSA_N, modulus, &m) ||
        !number_of(params, OSSL_PKEY_PARAM_RSA_E, exponent, &x))
        return 0;
    bytes_reset(&k->spki);
    spki_from_rsa((struct span){modulus, m}, (struct span){exponent, x}, &k->spki);
    return alg_of_spki(bytes_span(&k->spki), &k->alg, &ignored) == RC_OK;
}

/* Either a signer, by evp_from_signer, or a public key, exported by the default provider: a peer's, or one to
 * compare with. */
static int key_import(void *keydata, int selection, const OSSL_PARAM params[])
{
    struct provider_key *k = keydata;
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, PROVIDER_PARAM_SIGNER);

    if (p != NULL)
        return import_signer(k, p);
    if (k->family == ALG_EC)
        return import_ec(k, selection, params);
    return k->family == ALG_RSA ? import_rsa(k, params) : import_ed25519(k, params);
}

static const OSSL_PARAM *key_import_types(int selection)
{
    static const OSSL_PARAM types[] = {OSSL_PARAM_octet_ptr(PROVIDER_PARAM_SIGNER, NULL, 0),
                                       OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
                                       OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
                                       OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
                                       OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
                                       OSSL_PARAM_END};

    (void)selection;
    return types;
}

static int export_rsa(const struct provider_key *k, OSSL_CALLBACK *callback, void *arg)
{
    uint8_t n[RSA_MAX], x[RSA_MAX];
    struct span modulus, exponent;
    struct err ignored;

    if (spki_rsa(bytes_span(&k->spki), &modulus, &exponent, &ignored) != RC_OK || exponent.n > sizeof(x))
        return 0;
    memcpy(n, modulus.p, modulus.n);
    memcpy(x, exponent.p, exponent.n);
    native_order(n, modulus.n);
    native_order(x, exponent.n);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_N, n, modulus.n),
                           OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_E, x, exponent.n),
                           OSSL_PARAM_construct_end()};
    return callback(params, arg);
}

/* The public half alone, whatever is asked for: there is no private half to give. */
static int key_export(void *keydata, int selection, OSSL_CALLBACK *callback, void *arg)
{
    const struct provider_key *k = keydata;
    OSSL_PARAM params[3];
    size_t n = 0;

    if (k->alg == NULL)
        return 0;
    if (k->family == ALG_RSA)
        return export_rsa(k, callback, arg);
    if (k->family == ALG_EC)
        params[n++] = param_text(OSSL_PKEY_PARAM_GROUP_NAME, k->alg->group);
    if ((selection & OSSL_KEYMGMT_SELECT_KEYPAIR) != 0 && k->spki.n != 0)
        params[n++] = param_octets(OSSL_PKEY_PARAM_PUB_KEY, provider_key_point(k));
    params[n] = OSSL_PARAM_construct_end();
    return callback(params, arg);
}

static const OSSL_PARAM *key_export_types(int selection)
{
    static const OSSL_PARAM types[] = {OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
                                       OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
                                       OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
                                       OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0), OSSL_PARAM_END};

    (void)selection;
    return types;
}

static int give_int(OSSL_PARAM params[], const char *key, size_t value)
{
    OSSL_PARAM *p = OSSL_PARAM_locate(params, key);

    return p == NULL || OSSL_PARAM_set_size_t(p, value) == 1;
}

static int give_text(OSSL_PARAM params[], const char *key, const char *value)
{
    OSSL_PARAM *p = OSSL_PARAM_locate(params, key);

    return p == NULL || OSSL_PARAM_set_utf8_string(p, value) == 1;
}

static int give_octets(OSSL_PARAM params[], const char *key, struct span value)
{
    OSSL_PARAM *p = OSSL_PARAM_locate(params, key);

    return p == NULL || OSSL_PARAM_set_octet_string(p, value.p, value.n) == 1;
}

/* SP 800-57 part 1, table 2; of a 4096-bit modulus libcrypto says 152. */
static size_t security_bits(const struct alg *a)
{
    if (a->family != ALG_RSA)
        return a->key_bits / 2;
    return a->key_bits >= 4096 ? 152 : a->key_bits >= 3072 ? 128 : 112;
}

/* The group is named as the default provider does: libssl knows no "P-256". */
static int key_get_params(void *keydata, OSSL_PARAM params[])
{
    const struct provider_key *k = keydata;

    if (k->alg == NULL)
        return 0;
    struct span point = provider_key_point(k);
    return give_int(params, OSSL_PKEY_PARAM_BITS, k->alg->key_bits) &&
           give_int(params, OSSL_PKEY_PARAM_SECURITY_BITS, security_bits(k->alg)) &&
           give_int(params, OSSL_PKEY_PARAM_MAX_SIZE, k->alg->signature_max) &&
           (k->alg->group == NULL ||
            give_text(params, OSSL_PKEY_PARAM_GROUP_NAME, OBJ_nid2sn(group_nid(k->alg->group)))) &&
           give_text(params, OSSL_PKEY_PARAM_MANDATORY_DIGEST,
                     k->alg->digest == NULL ? "" : k->alg->digest) &&
           (point.n == 0 || (give_octets(params, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, point) &&
                             give_octets(params, OSSL_PKEY_PARAM_PUB_KEY, point)));
}

static const OSSL_PARAM *key_gettable_params(void *provctx)
{
    static const OSSL_PARAM params[] = {OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
                                        OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
                                        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
                                        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
                                        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
                                        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
                                        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
                                        OSSL_PARAM_END};

    (void)provctx;
    return params;
}

/* An ephemeral peer key arrives as the curve, copied from our key, and then its point (RFC 5753 7.1.2 lets
 * CMS leave out the curve). The key behind a signer never changes. */
static int key_set_params(void *keydata, const OSSL_PARAM params[])
{
    struct provider_key *k = keydata;
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY);

    return p == NULL || (k->signer == NULL && set_point(k, p));
}

static const OSSL_PARAM *key_settable_params(void *provctx)
{
    static const OSSL_PARAM params[] = {OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
                                        OSSL_PARAM_END};

    (void)provctx;
    return params;
}

/* An RSA key makes no agreement, and the others do not decrypt: libcrypto is told so, not the signer. */
static const char *ec_operation(int operation)
{
    switch (operation) {
    case OSSL_OP_SIGNATURE:
        return PROVIDER_SIGNATURE;
    case OSSL_OP_KEYEXCH:
        return PROVIDER_EXCHANGE;
    default:
        return NULL;
    }
}

static const char *rsa_operation(int operation)
{
    switch (operation) {
    case OSSL_OP_SIGNATURE:
        return PROVIDER_SIGNATURE;
    case OSSL_OP_ASYM_CIPHER:
        return PROVIDER_CIPHER;
    default:
        return NULL;
    }
}

static const char *ed25519_operation(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? PROVIDER_SIGNATURE : NULL;
}

#define KEY_FUNCTIONS(make, operation)                                                                       \
    {                                                                                                        \
        {OSSL_FUNC_KEYMGMT_NEW, (void (*)(void))(make)},                                                     \
            {OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, (void (*)(void))(operation)},                           \
            {OSSL_FUNC_KEYMGMT_FREE, (void (*)(void))key_free},                                              \
            {OSSL_FUNC_KEYMGMT_DUP, (void (*)(void))key_dup},                                                \
            {OSSL_FUNC_KEYMGMT_HAS, (void (*)(void))key_has},                                                \
            {OSSL_FUNC_KEYMGMT_MATCH, (void (*)(void))key_match},                                            \
            {OSSL_FUNC_KEYMGMT_VALIDATE, (void (*)(void))key_validate},                                      \
            {OSSL_FUNC_KEYMGMT_IMPORT, (void (*)(void))key_import},                                          \
            {OSSL_FUNC_KEYMGMT_IMPORT_TYPES, (void (*)(void))key_import_types},                              \
            {OSSL_FUNC_KEYMGMT_EXPORT, (void (*)(void))key_export},                                          \
            {OSSL_FUNC_KEYMGMT_EXPORT_TYPES, (void (*)(void))key_export_types},                              \
            {OSSL_FUNC_KEYMGMT_GET_PARAMS, (void (*)(void))key_get_params},                                  \
            {OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, (void (*)(void))key_gettable_params},                        \
            {OSSL_FUNC_KEYMGMT_SET_PARAMS, (void (*)(void))key_set_params},                                  \
            {OSSL_FUNC_KEYMGMT_SETTABLE_PARAMS, (void (*)(void))key_settable_params}, {0, NULL},             \
    }

const OSSL_DISPATCH provider_ec_functions[] = KEY_FUNCTIONS(ec_new, ec_operation);
const OSSL_DISPATCH provider_rsa_functions[] = KEY_FUNCTIONS(rsa_new, rsa_operation);
const OSSL_DISPATCH provider_ed25519_functions[] = KEY_FUNCTIONS(ed25519_new, ed25519_operation);
