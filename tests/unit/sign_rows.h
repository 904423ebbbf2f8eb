/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_SIGN_ROWS_H
#define TEST_SIGN_ROWS_H

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/bytes.h"
#include "sign/alg.h"
#include "sign/softkey.h"

/* A signer for each row, and libcrypto's own key for the same in the default context. RSA keys take long to
 * make: one of each size in a program. Included behind cmocka.h. */

enum { ROWS = 9, ROW_P256 = 0, ROW_ED25519 = 2, ROW_RSA = 3, ROW_RSA_PSS = 4 };
static const char *const row_names[ROWS] = {"ec-p256",      "ec-p384",      "ed25519",
                                            "rsa-2048",     "rsa-2048-pss", "rsa-3072",
                                            "rsa-3072-pss", "rsa-4096",     "rsa-4096-pss"};
static struct row {
    struct signer *signer;
    EVP_PKEY *plain;
    struct bytes pkcs8;
} rows[ROWS];

static struct err e;

static inline void assert_err(enum rc rc, enum rc expected, const char *key)
{
    if (rc != expected || strcmp(e.key, key) != 0)
        fail_msg("wanted %d [%s], got %d [%s] %s", expected, key, rc, rc ? e.key : "", rc ? e.text : "");
    assert_int_equal(ERR_peek_error(), 0);
}

static inline void assert_ok(enum rc rc)
{
    if (rc != RC_OK)
        fail_msg("%s [%s]", e.text, e.key);
}

static inline EVP_PKEY *row_generate(const struct alg *a)
{
    EVP_PKEY *key = a->family == ALG_RSA ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", a->key_bits)
                                         : EVP_PKEY_Q_keygen(NULL, NULL, a->key_type, a->group);

    assert_non_null(key);
    return key;
}

/* The first n rows. */
static inline void rows_make(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct alg *a = alg_by_name(row_names[i]);
        unsigned char *der = NULL;

        if (a->pss) {
            assert_int_equal(EVP_PKEY_up_ref(rows[i - 1].plain), 1);
            rows[i].plain = rows[i - 1].plain;
        } else {
            rows[i].plain = row_generate(a);
        }
        PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(rows[i].plain);
        int len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
        assert_true(len > 0);
        bytes_add(&rows[i].pkcs8, der, (size_t)len);
        PKCS8_PRIV_KEY_INFO_free(info);
        OPENSSL_free(der);
        assert_ok(softkey_load(bytes_span(&rows[i].pkcs8), KEY_SIGN, &rows[i].signer, &e));
        if (a->pss)
            assert_ok(signer_use_pss(rows[i].signer, &e));
        assert_ptr_equal(rows[i].signer->alg, a);
    }
}

static inline void rows_free(void)
{
    for (size_t i = 0; i < ROWS; i++) {
        signer_free(rows[i].signer);
        EVP_PKEY_free(rows[i].plain);
        bytes_wipe(&rows[i].pkcs8);
    }
}

/* A signer in front of a good one: it may say something wrong, or that its token is gone. */
struct liar {
    struct signer base;
    struct signer *real;
    size_t bad; /* which of the signatures is spoilt */
    bool gone;
};

static inline enum rc liar_sign(struct signer *s, const struct alg *a, const struct span *inputs, size_t n,
                                struct bytes *ret, struct err *err)
{
    struct liar *l = (struct liar *)s;

    if (l->gone)
        return err_set(err, RC_TOKEN, "hsm.gone", "token 'x': it is gone");
    enum rc rc = signer_sign_as(l->real, a, inputs, n, 1, ret, err);
    if (rc == RC_OK && l->bad < n)
        ret[l->bad].p[ret[l->bad].n - 1] ^= 1;
    return rc;
}

static inline void liar_free(struct signer *s)
{
    signer_fini(s);
}

static inline void liar_init(struct liar *l, struct signer *real)
{
    static const struct signer_ops ops = {.sign = liar_sign, .free = liar_free};

    memset(l, 0, sizeof(*l));
    assert_ok(signer_init(&l->base, &ops, KEY_SIGN, "liar", bytes_span(&real->spki), &e));
    l->base.alg = real->alg;
    l->real = real;
    l->bad = SIZE_MAX;
}

#endif
