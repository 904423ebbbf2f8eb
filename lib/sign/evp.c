/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/evp.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#include "sign/crypto.h"
#include "sign/provider.h"
#include "sign/signer.h"

static struct crypto shared;

/* Providers first, then every algorithm. Both providers know the key types: the default one is preferred
 * wherever a choice is left (decoding a certificate's key), ours is asked for by name. */
static void crypto_make(void)
{
    struct crypto *c = &shared;

    c->ctx = OSSL_LIB_CTX_new();
    if (c->ctx == NULL || OSSL_PROVIDER_add_builtin(c->ctx, PROVIDER_NAME, provider_init) != 1 ||
        OSSL_PROVIDER_load(c->ctx, "default") == NULL || OSSL_PROVIDER_load(c->ctx, PROVIDER_NAME) == NULL ||
        EVP_set_default_properties(c->ctx, "?provider=default") != 1)
        bug("libcrypto: cannot set up a library context");
    c->sha1 = EVP_MD_fetch(c->ctx, "SHA1", NULL);
    c->sha256 = EVP_MD_fetch(c->ctx, "SHA256", NULL);
    c->sha512 = EVP_MD_fetch(c->ctx, "SHA512", NULL);
    c->aes256gcm = EVP_CIPHER_fetch(c->ctx, "AES-256-GCM", NULL);
    c->hkdf = EVP_KDF_fetch(c->ctx, "HKDF", NULL);
    c->x963kdf = EVP_KDF_fetch(c->ctx, "X963KDF", NULL);
    if (c->sha1 == NULL || c->sha256 == NULL || c->sha512 == NULL || c->aes256gcm == NULL ||
        c->hkdf == NULL || c->x963kdf == NULL)
        bug("libcrypto: the default provider lacks an algorithm");
    for (size_t i = 0; i < ALG_COUNT; i++) {
        if (alg_rows[i].digest == NULL)
            continue;
        c->alg_md[i] = EVP_MD_fetch(c->ctx, alg_rows[i].digest, NULL);
        if (c->alg_md[i] == NULL)
            bug("libcrypto: the default provider lacks %s", alg_rows[i].digest);
    }
}

const struct crypto *crypto(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, crypto_make);
    return &shared;
}

void evp_ignore_config(void)
{
    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1)
        bug("libcrypto: cannot be initialised");
}

OSSL_LIB_CTX *evp_context(void)
{
    return crypto()->ctx;
}

const EVP_MD *alg_md(const struct alg *a)
{
    return crypto()->alg_md[a - alg_rows];
}

void native_order(uint8_t *p, size_t n)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    for (size_t i = 0; i < n / 2; i++) {
        uint8_t swap = p[i];
        p[i] = p[n - 1 - i];
        p[n - 1 - i] = swap;
    }
#else
    (void)p;
    (void)n;
#endif
}

enum rc evp_from_signer(struct signer *s, EVP_PKEY **ret, struct err *e)
{
    EVP_PKEY_CTX *ctx =
        EVP_PKEY_CTX_new_from_name(crypto()->ctx, s->alg->key_type, "provider=" PROVIDER_NAME);
    EVP_PKEY *key = NULL;
    enum rc rc = RC_OK;
    void *pointer = s;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_ptr(PROVIDER_PARAM_SIGNER, &pointer, sizeof(*s)),
                           OSSL_PARAM_construct_end()};

    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) <= 0) {
        rc = err_ossl(e, RC_BUG, "sign.evp", "key '%s': cannot make an EVP_PKEY of it", s->name);
        goto out;
    }
    *ret = key;
    key = NULL;
out:
    EVP_PKEY_free(key);
    EVP_PKEY_CTX_free(ctx);
    return rc;
}

/* Empties the queue. True when our provider put something in, which happens only after *e of the failed
 * signer was kept. */
static bool queue_take(char *reason, size_t size)
{
    const char *data = NULL;
    int flags = 0;
    unsigned long code = 0;
    bool ours = false;

    reason[0] = '\0';
    while ((code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
        const char *text = ERR_reason_error_string(code);
        bool more = (flags & ERR_TXT_STRING) != 0 && data != NULL && data[0] != '\0';
        if (reason[0] == '\0' && (text != NULL || more))
            (void)snprintf(reason, size, ": %s%s%s", text != NULL ? text : "",
                           text != NULL && more ? ", " : "", more ? data : "");
        ours = ours || provider_raised(code);
    }
    return ours;
}

enum rc err_ossl(struct err *e, enum rc rc, const char *key, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    char reason[256];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (queue_take(reason, sizeof(reason))) {
        provider_error(e);
        return err_prefix(e, "%s", text);
    }
    return err_set(e, rc, key, "%s%s", text, reason);
}
