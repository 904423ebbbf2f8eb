/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/provider.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#define PROPERTIES "provider=" PROVIDER_NAME

static const OSSL_ALGORITHM keys[] = {
    {"EC:id-ecPublicKey:1.2.840.10045.2.1", PROPERTIES, provider_ec_functions, "key behind a signer"},
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", PROPERTIES, provider_rsa_functions, "key behind a signer"},
    {"ED25519:1.3.101.112", PROPERTIES, provider_ed25519_functions, "key behind a signer"},
    {NULL, NULL, NULL, NULL},
};
static const OSSL_ALGORITHM signatures[] = {
    {PROVIDER_SIGNATURE, PROPERTIES, provider_sign_functions, "signature by a signer"},
    {NULL, NULL, NULL, NULL},
};
static const OSSL_ALGORITHM exchanges[] = {
    {PROVIDER_EXCHANGE, PROPERTIES, provider_ecdh_functions, "ECDH by a signer"},
    {NULL, NULL, NULL, NULL},
};
static const OSSL_ALGORITHM ciphers[] = {
    {PROVIDER_CIPHER, PROPERTIES, provider_oaep_functions, "RSAES-OAEP by a signer"},
    {NULL, NULL, NULL, NULL},
};

static OSSL_FUNC_provider_query_operation_fn query;
static OSSL_FUNC_provider_gettable_params_fn gettable_params;
static OSSL_FUNC_provider_get_params_fn get_params;

static const OSSL_ALGORITHM *query(void *provctx, int operation, int *no_cache)
{
    (void)provctx;
    *no_cache = 0;
    switch (operation) {
    case OSSL_OP_KEYMGMT:
        return keys;
    case OSSL_OP_SIGNATURE:
        return signatures;
    case OSSL_OP_KEYEXCH:
        return exchanges;
    case OSSL_OP_ASYM_CIPHER:
        return ciphers;
    default:
        return NULL;
    }
}

static const OSSL_PARAM *gettable_params(void *provctx)
{
    static const OSSL_PARAM params[] = {OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_NAME, NULL, 0),
                                        OSSL_PARAM_int(OSSL_PROV_PARAM_STATUS, NULL), OSSL_PARAM_END};

    (void)provctx;
    return params;
}

static int get_params(void *provctx, OSSL_PARAM params[])
{
    OSSL_PARAM *p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_NAME);

    (void)provctx;
    if (p != NULL && OSSL_PARAM_set_utf8_ptr(p, PROVIDER_NAME) != 1)
        return 0;
    p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_STATUS);
    return p == NULL || OSSL_PARAM_set_int(p, 1) == 1;
}

int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                  void **provctx)
{
    static const OSSL_DISPATCH functions[] = {
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query},
        {OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, (void (*)(void))gettable_params},
        {OSSL_FUNC_PROVIDER_GET_PARAMS, (void (*)(void))get_params},
        {0, NULL},
    };

    (void)in;
    *out = functions;
    *provctx = unconst(handle); /* libcrypto takes NULL for a failure; nothing of ours is needed */
    return 1;
}

bool provider_word(const OSSL_PARAM *p, const char **ret_word, int *ret_number)
{
    *ret_word = NULL;
    *ret_number = 0;
    if (p->data_type == OSSL_PARAM_UTF8_STRING)
        return OSSL_PARAM_get_utf8_string_ptr(p, ret_word) == 1 && *ret_word != NULL;
    return OSSL_PARAM_get_int(p, ret_number) == 1;
}

enum { REASON_SIGNER = 1 };
static _Thread_local struct err failure;
static int error_lib;

static void error_lib_make(void)
{
    error_lib = ERR_get_next_error_library();
}

static int error_lib_number(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, error_lib_make);
    return error_lib;
}

int provider_fail(const struct err *e)
{
    failure = *e;
    ERR_raise(error_lib_number(), REASON_SIGNER);
    return 0;
}

int provider_refuse(const char *key, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    struct err e = ERR_INIT;
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    (void)err_set(&e, RC_INPUT, key, "%s", text);
    return provider_fail(&e);
}

bool provider_raised(unsigned long code)
{
    return ERR_GET_LIB(code) == error_lib_number();
}

void provider_error(struct err *ret)
{
    *ret = failure;
}
