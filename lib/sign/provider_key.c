/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/objects.h>
#include <stdlib.h>
#include <string.h>

#include "sign/provider.h"
#include "sign/signer.h"

static OSSL_FUNC_keymgmt_new_fn key_new;
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
static OSSL_FUNC_keymgmt_query_operation_name_fn key_operation;

struct span provider_key_point(const struct provider_key *k)
{
    return (struct span){k->point, k->point_len};
}

static void *key_new(void *provctx)
{
    (void)provctx;
    return mem_new(sizeof(struct provider_key));
}

static void key_free(void *keydata)
{
    free(keydata);
}

static void *key_dup(const void *from, int selection)
{
    struct provider_key *k = mem_new(sizeof(*k));

    memcpy(k, from, sizeof(*k));
    if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) == 0)
        k->signer = NULL;
    if ((selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) == 0)
        k->point_len = 0;
    return k;
}

static int key_has(const void *keydata, int selection)
{
    const struct provider_key *k = keydata;

    if (k == NULL) /* libcrypto asks that of an EVP_PKEY which has a type and nothing else yet */
        return 0;
    if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 && k->signer == NULL)
        return 0;
    if ((selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) != 0 && k->point_len == 0)
        return 0;
    return (selection & OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS) == 0 || k->alg != NULL;
}

/* Two keys of the same public half are the same key: a signer proves that it holds the private one with each
 * signature. */
static int key_match(const void *keydata1, const void *keydata2, int selection)
{
    const struct provider_key *a = keydata1;
    const struct provider_key *b = keydata2;

    if (a->alg != b->alg)
        return 0;
    return (selection & OSSL_KEYMGMT_SELECT_KEYPAIR) == 0 ||
           span_eq(provider_key_point(a), provider_key_point(b));
}

static int key_validate(const void *keydata, int selection, int checktype)
{
    const struct provider_key *k = keydata;
    const struct alg *alg = NULL;
    struct bytes spki = BYTES_INIT;
    struct err ignored = ERR_INIT;

    (void)checktype;
    if (key_has(k, selection) == 0)
        return 0;
    if ((selection & OSSL_KEYMGMT_SELECT_KEYPAIR) == 0)
        return 1;
    spki_from_point(k->alg, provider_key_point(k), &spki);
    enum rc rc = spki_check(bytes_span(&spki), &alg, &ignored);
    bytes_free(&spki);
    return rc == RC_OK;
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
        if (group_nid(alg_rows[i].group) == group_nid(name))
            return &alg_rows[i];
    return NULL;
}

static int set_point(struct provider_key *k, const OSSL_PARAM *p)
{
    const void *octets = NULL;
    size_t n = 0;

    if (OSSL_PARAM_get_octet_string_ptr(p, &octets, &n) != 1 || k->alg == NULL ||
        n != 1 + 2 * k->alg->field_len || *(const uint8_t *)octets != POINT_CONVERSION_UNCOMPRESSED)
        return 0;
    memcpy(k->point, octets, n);
    k->point_len = n;
    return 1;
}

static int import_signer(struct provider_key *k, const OSSL_PARAM *p)
{
    const void *pointer = NULL;
    size_t n = 0;
    struct span point = {NULL, 0};
    struct err ignored = ERR_INIT;

    if (OSSL_PARAM_get_octet_ptr(p, &pointer, &n) != 1 || n != sizeof(struct signer))
        return 0;
    k->signer = unconst(pointer);
    k->alg = k->signer->alg;
    if (spki_point(k->alg, bytes_span(&k->signer->spki), &point, &ignored) != RC_OK)
        return 0;
    memcpy(k->point, point.p, point.n);
    k->point_len = point.n;
    return 1;
}

/* Either a signer, by evp_from_signer, or the public key of a peer, exported by the default provider. */
static int key_import(void *keydata, int selection, const OSSL_PARAM params[])
{
    struct provider_key *k = keydata;
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, PROVIDER_PARAM_SIGNER);
    const char *group = NULL;

    if (p != NULL)
        return import_signer(k, p);
    p = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_GROUP_NAME);
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

static const OSSL_PARAM *key_import_types(int selection)
{
    static const OSSL_PARAM types[] = {OSSL_PARAM_octet_ptr(PROVIDER_PARAM_SIGNER, NULL, 0),
                                       OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
                                       OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
                                       OSSL_PARAM_END};

    (void)selection;
    return types;
}

/* The public half alone, whatever is asked for: there is no private half to give. */
static int key_export(void *keydata, int selection, OSSL_CALLBACK *callback, void *arg)
{
    const struct provider_key *k = keydata;
    OSSL_PARAM params[3];
    size_t n = 0;

    if (k->alg == NULL)
        return 0;
    params[n++] = param_text(OSSL_PKEY_PARAM_GROUP_NAME, k->alg->group);
    if ((selection & OSSL_KEYMGMT_SELECT_KEYPAIR) != 0 && k->point_len != 0)
        params[n++] = param_octets(OSSL_PKEY_PARAM_PUB_KEY, provider_key_point(k));
    params[n] = OSSL_PARAM_construct_end();
    return callback(params, arg);
}

static const OSSL_PARAM *key_export_types(int selection)
{
    static const OSSL_PARAM types[] = {OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
                                       OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
                                       OSSL_PARAM_END};

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

static int key_get_params(void *keydata, OSSL_PARAM params[])
{
    const struct provider_key *k = keydata;

    if (k->alg == NULL)
        return 0;
    return give_int(params, OSSL_PKEY_PARAM_BITS, 8 * k->alg->field_len) &&
           give_int(params, OSSL_PKEY_PARAM_SECURITY_BITS, 4 * k->alg->field_len) &&
           give_int(params, OSSL_PKEY_PARAM_MAX_SIZE, k->alg->signature_max) &&
           give_text(params, OSSL_PKEY_PARAM_GROUP_NAME, k->alg->group) &&
           give_text(params, OSSL_PKEY_PARAM_MANDATORY_DIGEST, k->alg->digest) &&
           give_octets(params, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, provider_key_point(k)) &&
           give_octets(params, OSSL_PKEY_PARAM_PUB_KEY, provider_key_point(k));
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

static const char *key_operation(int operation)
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

const OSSL_DISPATCH provider_key_functions[] = {
    {OSSL_FUNC_KEYMGMT_NEW, (void (*)(void))key_new},
    {OSSL_FUNC_KEYMGMT_FREE, (void (*)(void))key_free},
    {OSSL_FUNC_KEYMGMT_DUP, (void (*)(void))key_dup},
    {OSSL_FUNC_KEYMGMT_HAS, (void (*)(void))key_has},
    {OSSL_FUNC_KEYMGMT_MATCH, (void (*)(void))key_match},
    {OSSL_FUNC_KEYMGMT_VALIDATE, (void (*)(void))key_validate},
    {OSSL_FUNC_KEYMGMT_IMPORT, (void (*)(void))key_import},
    {OSSL_FUNC_KEYMGMT_IMPORT_TYPES, (void (*)(void))key_import_types},
    {OSSL_FUNC_KEYMGMT_EXPORT, (void (*)(void))key_export},
    {OSSL_FUNC_KEYMGMT_EXPORT_TYPES, (void (*)(void))key_export_types},
    {OSSL_FUNC_KEYMGMT_GET_PARAMS, (void (*)(void))key_get_params},
    {OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, (void (*)(void))key_gettable_params},
    {OSSL_FUNC_KEYMGMT_SET_PARAMS, (void (*)(void))key_set_params},
    {OSSL_FUNC_KEYMGMT_SETTABLE_PARAMS, (void (*)(void))key_settable_params},
    {OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, (void (*)(void))key_operation},
    {0, NULL},
};
