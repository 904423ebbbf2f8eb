/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/cms.h>
#include <openssl/core_names.h>
#include <openssl/ocsp.h>

#include "base/secret.h"
#include "sign/evp.h"
#include "sign_rows.h"

/* libcrypto's own builders over signers of each row; what they make is judged in the default context. */

/* The 4096-bit rows are no different here, and slow. */
enum { USED = 7 };

static int setup(void **state)
{
    (void)state;
    rows_make(USED);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rows_free();
    return 0;
}

static EVP_PKEY *adapt(struct signer *s)
{
    EVP_PKEY *key = NULL;

    assert_ok(evp_from_signer(s, &key, &e));
    return key;
}

/* A context that is ready to sign. */
static EVP_MD_CTX *ready(const struct row *r, EVP_PKEY *key)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();

    assert_int_equal(EVP_DigestSignInit_ex(md, NULL, r->signer->alg->digest, evp_context(), NULL, key, NULL),
                     1);
    return md;
}

static void assert_algid(const X509_ALGOR *id, const struct alg *a)
{
    unsigned char *der = NULL;
    int n = i2d_X509_ALGOR(id, &der);

    assert_true(n > 0 && span_eq((struct span){der, (size_t)n}, a->sig_algid));
    OPENSSL_free(der);
}

static void test_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < USED; i++) {
        const struct alg *a = rows[i].signer->alg;
        EVP_PKEY *key = adapt(rows[i].signer);
        char digest[32], group[32], expected[32];

        if (a->family == ALG_EC) {
            assert_int_equal(EVP_PKEY_get_group_name(key, group, sizeof(group), NULL), 1);
            assert_int_equal(EVP_PKEY_get_group_name(rows[i].plain, expected, sizeof(expected), NULL), 1);
            assert_string_equal(group, expected);
        }
        assert_int_equal(EVP_PKEY_eq(key, rows[i].plain), 1);
        assert_int_equal(EVP_PKEY_eq(rows[i].plain, key), 1);
        assert_int_equal(EVP_PKEY_eq(key, rows[i].signer->public_key), 1);
        for (size_t k = 0; k < USED; k++)
            if (rows[k].plain != rows[i].plain) {
                assert_int_not_equal(EVP_PKEY_eq(key, rows[k].signer->public_key), 1);
                assert_int_not_equal(EVP_PKEY_eq(rows[k].signer->public_key, key), 1);
            }
        ERR_clear_error();
        assert_int_equal(EVP_PKEY_get_bits(key), EVP_PKEY_get_bits(rows[i].plain));
        assert_int_equal(EVP_PKEY_get_security_bits(key), EVP_PKEY_get_security_bits(rows[i].plain));
        assert_int_equal(EVP_PKEY_get_size(key), EVP_PKEY_get_size(rows[i].plain));
        assert_int_equal(EVP_PKEY_get_base_id(key), EVP_PKEY_get_base_id(rows[i].plain));
        assert_int_equal(EVP_PKEY_get_default_digest_name(key, digest, sizeof(digest)), 2);
        assert_string_equal(digest, a->digest == NULL ? "UNDEF" : a->digest);
        EVP_PKEY_free(key);
    }
}

static X509 *cert_new(const struct row *r, OSSL_LIB_CTX *ctx)
{
    X509 *cert = X509_new_ex(ctx, NULL);
    X509_NAME *name = X509_get_subject_name(cert);

    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"x", -1, -1, 0), 1);
    assert_int_equal(X509_set_issuer_name(cert, name), 1);
    assert_int_equal(X509_set_version(cert, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), 1), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), -60));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), 3600));
    assert_int_equal(X509_set_pubkey(cert, r->signer->public_key), 1);
    return cert;
}

/* A self-signed certificate in our context, signed by the row's signer. */
static X509 *cert_signed(const struct row *r)
{
    X509 *cert = cert_new(r, evp_context());
    EVP_PKEY *key = adapt(r->signer);
    EVP_MD_CTX *md = ready(r, key);

    assert_true(X509_sign_ctx(cert, md) > 0);
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(key);
    return cert;
}

/* The same in the default context. */
static X509 *cert_again(const X509 *cert)
{
    unsigned char *der = NULL;
    int n = i2d_X509(cert, &der);
    const unsigned char *p = der;
    X509 *again = d2i_X509(NULL, &p, n);

    assert_non_null(again);
    OPENSSL_free(der);
    return again;
}

static void test_certificate(void **state)
{
    (void)state;
    for (size_t i = 0; i < USED; i++) {
        X509 *cert = cert_signed(&rows[i]), *again = cert_again(cert);
        assert_algid(X509_get0_tbs_sigalg(again), rows[i].signer->alg);
        assert_int_equal(X509_verify(again, rows[i].plain), 1);
        X509_free(again);
        X509_free(cert);
    }
}

static void test_request(void **state)
{
    (void)state;
    for (size_t i = 0; i < USED; i++) {
        EVP_PKEY *key = adapt(rows[i].signer);
        EVP_MD_CTX *md = ready(&rows[i], key);
        X509_REQ *req = X509_REQ_new_ex(evp_context(), NULL), *again = NULL;
        unsigned char *der = NULL;

        assert_int_equal(X509_REQ_set_pubkey(req, rows[i].signer->public_key), 1);
        assert_true(X509_REQ_sign_ctx(req, md) > 0);
        int n = i2d_X509_REQ(req, &der);
        const unsigned char *p = der;
        again = d2i_X509_REQ(NULL, &p, n);
        assert_int_equal(X509_REQ_verify(again, rows[i].plain), 1);
        OPENSSL_free(der);
        X509_REQ_free(again);
        X509_REQ_free(req);
        EVP_MD_CTX_free(md);
        EVP_PKEY_free(key);
    }
}

static void test_crl(void **state)
{
    (void)state;
    for (size_t i = 0; i < USED; i++) {
        EVP_PKEY *key = adapt(rows[i].signer);
        EVP_MD_CTX *md = ready(&rows[i], key);
        X509_CRL *crl = X509_CRL_new_ex(evp_context(), NULL), *again = NULL;
        ASN1_TIME *t = ASN1_TIME_set(NULL, 1700000000);
        const X509_ALGOR *id = NULL;
        unsigned char *der = NULL;

        assert_int_equal(X509_CRL_set1_lastUpdate(crl, t), 1);
        assert_true(X509_CRL_sign_ctx(crl, md) > 0);
        int n = i2d_X509_CRL(crl, &der);
        const unsigned char *p = der;
        again = d2i_X509_CRL(NULL, &p, n);
        X509_CRL_get0_signature(again, NULL, &id);
        assert_algid(id, rows[i].signer->alg);
        assert_int_equal(X509_CRL_verify(again, rows[i].plain), 1);
        OPENSSL_free(der);
        ASN1_TIME_free(t);
        X509_CRL_free(again);
        X509_CRL_free(crl);
        EVP_MD_CTX_free(md);
        EVP_PKEY_free(key);
    }
}

/* A response about one certificate, by its own issuer. */
static void test_ocsp(void **state)
{
    (void)state;
    for (size_t i = 0; i < USED; i++) {
        X509 *cert = cert_signed(&rows[i]), *again = cert_again(cert);
        EVP_PKEY *key = adapt(rows[i].signer);
        EVP_MD_CTX *md = ready(&rows[i], key);
        OCSP_BASICRESP *basic = OCSP_BASICRESP_new(), *read = NULL;
        OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), again, again);
        ASN1_TIME *now = ASN1_TIME_set(NULL, 1700000000);
        X509_STORE *store = X509_STORE_new();
        unsigned char *der = NULL;

        assert_non_null(OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, NULL, now, NULL));
        assert_int_equal(OCSP_basic_sign_ctx(basic, cert, md, NULL, OCSP_RESPID_KEY), 1);
        int n = i2d_OCSP_BASICRESP(basic, &der);
        assert_true(n > 0);
        const unsigned char *p = der;
        read = d2i_OCSP_BASICRESP(NULL, &p, n);
        assert_algid(OCSP_resp_get0_tbs_sigalg(read), rows[i].signer->alg);
        assert_int_equal(X509_STORE_add_cert(store, again), 1);
        if (OCSP_basic_verify(read, NULL, store, 0) != 1) {
            ERR_print_errors_fp(stderr);
            fail_msg("%s", row_names[i]);
        }
        OCSP_BASICRESP_free(read);
        der[n / 3] ^= 1; /* inside what is signed */
        p = der;
        read = d2i_OCSP_BASICRESP(NULL, &p, n);
        assert_true(read == NULL || OCSP_basic_verify(read, NULL, store, 0) != 1);
        ERR_clear_error();
        OPENSSL_free(der);
        X509_STORE_free(store);
        ASN1_TIME_free(now);
        OCSP_CERTID_free(id);
        OCSP_BASICRESP_free(read);
        OCSP_BASICRESP_free(basic);
        EVP_MD_CTX_free(md);
        EVP_PKEY_free(key);
        X509_free(again);
        X509_free(cert);
    }
}

/* libcrypto's CMS builder. It does not know Ed25519 (RFC 8419), and asks for PSS when it is told to. */
static void test_cms(void **state)
{
    const unsigned flags = CMS_BINARY | CMS_PARTIAL | CMS_KEY_PARAM;

    (void)state;
    for (size_t i = 0; i < USED; i++) {
        const struct alg *a = rows[i].signer->alg;
        if (a->digest == NULL)
            continue;
        X509 *cert = cert_signed(&rows[i]);
        EVP_PKEY *key = adapt(rows[i].signer);
        EVP_MD *md = EVP_MD_fetch(evp_context(), a->digest, NULL);
        BIO *in = BIO_new_mem_buf("content", 7);
        CMS_ContentInfo *cms = CMS_sign_ex(NULL, NULL, NULL, NULL, flags, evp_context(), NULL), *again = NULL;
        unsigned char *der = NULL;

        assert_non_null(CMS_add1_signer(cms, cert, key, md, flags));
        assert_int_equal(CMS_final(cms, in, NULL, flags), 1);
        int n = i2d_CMS_ContentInfo(cms, &der);
        const unsigned char *p = der;
        again = d2i_CMS_ContentInfo(NULL, &p, n);
        assert_int_equal(CMS_verify(again, NULL, NULL, NULL, NULL, CMS_BINARY | CMS_NO_SIGNER_CERT_VERIFY),
                         1);
        OPENSSL_free(der);
        CMS_ContentInfo_free(again);
        CMS_ContentInfo_free(cms);
        BIO_free(in);
        EVP_MD_free(md);
        EVP_PKEY_free(key);
        X509_free(cert);
    }
}

/* Asked for the other scheme of its RSA key, a signer uses it, and says so in the AlgorithmIdentifier. */
static void test_other_scheme(void **state)
{
    static const int padding[] = {RSA_PKCS1_PADDING, RSA_PKCS1_PSS_PADDING};

    (void)state;
    for (size_t i = ROW_RSA; i < USED; i++)
        for (size_t k = 0; k < 2; k++) {
            const struct alg *a = rows[i].signer->alg;
            EVP_PKEY *key = adapt(rows[i].signer);
            EVP_MD_CTX *md = ready(&rows[i], key);
            EVP_PKEY_CTX *ctx = EVP_MD_CTX_get_pkey_ctx(md);
            X509 *cert = cert_new(&rows[i], evp_context()), *again = NULL;
            int mode = 0;

            assert_true(EVP_PKEY_CTX_get_rsa_padding(ctx, &mode) > 0);
            assert_int_equal(mode, padding[a->pss]);
            assert_true(EVP_PKEY_CTX_set_rsa_padding(ctx, padding[k]) > 0);
            if (k == 1) {
                int salt = 0;
                assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0);
                assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, 32) > 0);
                assert_true(EVP_PKEY_CTX_get_rsa_pss_saltlen(ctx, &salt) > 0);
                assert_int_equal(salt, RSA_PSS_SALTLEN_DIGEST);
                assert_true(EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) > 0);
            }
            assert_true(EVP_PKEY_CTX_get_rsa_padding(ctx, &mode) > 0);
            assert_int_equal(mode, padding[k]);
            assert_true(X509_sign_ctx(cert, md) > 0);
            again = cert_again(cert);
            assert_algid(X509_get0_tbs_sigalg(again), k == 1 ? alg_pss(a) : alg_key(a));
            assert_int_equal(X509_verify(again, rows[i].plain), 1);
            X509_free(again);
            X509_free(cert);
            EVP_MD_CTX_free(md);
            EVP_PKEY_free(key);
        }
}

static void assert_refused(int ok, const char *key, const char *why)
{
    assert_true(ok <= 0);
    assert_err(err_ossl(&e, RC_SYSTEM, "test.refused", "cannot sign"), RC_INPUT, key);
    if (strstr(e.text, why) == NULL)
        fail_msg("'%s' is not in '%s'", why, e.text);
}

static void test_refuses(void **state)
{
    EVP_PKEY *rsa = adapt(rows[ROW_RSA].signer), *ed = adapt(rows[ROW_ED25519].signer);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *ctx = NULL;
    uint8_t sig[64];
    size_t n = sizeof(sig);

    (void)state;
    assert_refused(EVP_DigestSignInit_ex(md, NULL, "SHA512", evp_context(), NULL, rsa, NULL), "sign.digest",
                   "SHA512");
    assert_refused(EVP_DigestSignInit_ex(md, NULL, "SHA1", evp_context(), NULL, rsa, NULL), "sign.digest",
                   "SHA1");
    assert_int_equal(EVP_DigestSignInit_ex(md, &ctx, NULL, evp_context(), NULL, rsa, NULL), 1);
    assert_refused(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_X931_PADDING), "sign.padding", "PSS alone");
    assert_refused(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING), "sign.padding", "PSS alone");
    assert_true(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0);
    assert_refused(EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, 20), "sign.padding", "32 octets");
    assert_refused(EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_MAX), "sign.padding", "32 octets");
    assert_refused(EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha1()), "sign.digest", "SHA1");
    assert_refused(EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha512()), "sign.digest", "SHA512");

    EVP_MD_CTX_reset(md);
    assert_refused(EVP_DigestSignInit_ex(md, NULL, "SHA512", evp_context(), NULL, ed, NULL), "sign.digest",
                   "message itself");
    assert_int_equal(EVP_DigestSignInit_ex(md, NULL, NULL, evp_context(), NULL, ed, NULL), 1);
    assert_refused(EVP_DigestSignUpdate(md, "a", 1), "sign.one-shot", "at once");
    assert_refused(EVP_DigestSignFinal(md, sig, &n), "sign.one-shot", "at once");
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ed);
}

/* A token's failure keeps its code and key through libcrypto, for every type of key. */
static void test_failure(void **state)
{
    (void)state;
    for (size_t i = 0; i < USED; i++) {
        struct row broken = rows[i];
        struct liar l;

        liar_init(&l, rows[i].signer);
        l.gone = true;
        broken.signer = &l.base;
        EVP_PKEY *key = adapt(&l.base);
        EVP_MD_CTX *md = ready(&broken, key);
        X509 *cert = cert_new(&rows[i], evp_context());
        assert_true(X509_sign_ctx(cert, md) <= 0);
        assert_err(err_ossl(&e, RC_SYSTEM, "test.cert", "certificate '7'"), RC_TOKEN, "hsm.gone");
        assert_string_equal(e.text, "certificate '7': token 'x': it is gone");
        X509_free(cert);
        EVP_MD_CTX_free(md);
        EVP_PKEY_free(key);
        signer_free(&l.base);
    }
}

static EVP_PKEY_CTX *decrypting(EVP_PKEY *key, int padding, const EVP_MD *md)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(evp_context(), key, NULL);

    assert_int_equal(EVP_PKEY_decrypt_init(ctx), 1);
    assert_true(EVP_PKEY_CTX_set_rsa_padding(ctx, padding) > 0);
    if (md != NULL)
        assert_true(EVP_PKEY_CTX_set_rsa_oaep_md(ctx, md) > 0);
    return ctx;
}

static void test_decrypt(void **state)
{
    struct signer *s = NULL;
    uint8_t out[256], text[256];

    (void)state;
    assert_ok(softkey_load(bytes_span(&rows[ROW_RSA].pkcs8), KEY_DECRYPT, &s, &e));
    EVP_PKEY *key = adapt(s), *sign = adapt(rows[ROW_RSA].signer);
    for (int d = 0; d < 2; d++) {
        const EVP_MD *md = d == 0 ? EVP_sha1() : EVP_sha256();
        EVP_PKEY_CTX *to = EVP_PKEY_CTX_new(rows[ROW_RSA].plain, NULL);
        size_t n = sizeof(text), len = sizeof(out);
        assert_int_equal(EVP_PKEY_encrypt_init(to), 1);
        assert_true(EVP_PKEY_CTX_set_rsa_padding(to, RSA_PKCS1_OAEP_PADDING) > 0);
        assert_true(EVP_PKEY_CTX_set_rsa_oaep_md(to, md) > 0);
        assert_int_equal(EVP_PKEY_encrypt(to, text, &n, (const unsigned char *)"lot key", 7), 1);
        EVP_PKEY_CTX *ctx = decrypting(key, RSA_PKCS1_OAEP_PADDING, md);
        assert_int_equal(EVP_PKEY_decrypt(ctx, out, &len, text, n), 1);
        assert_true(span_eq((struct span){out, len}, SPAN("lot key")));
        EVP_PKEY_CTX_free(ctx);
        ctx = decrypting(key, RSA_PKCS1_OAEP_PADDING, d == 0 ? EVP_sha256() : EVP_sha1());
        assert_refused(EVP_PKEY_decrypt(ctx, out, &len, text, n), "sign.decrypt", "another key");
        assert_refused(EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha512()), "sign.decrypt", "SHA512");
        assert_true(EVP_PKEY_CTX_set_rsa_oaep_md(ctx, md) > 0);
        assert_true(EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, d == 0 ? EVP_sha256() : EVP_sha1()) > 0);
        assert_refused(EVP_PKEY_decrypt(ctx, out, &len, text, n), "sign.decrypt", "one digest");
        EVP_PKEY_CTX_free(ctx);
        ctx = decrypting(key, RSA_PKCS1_PADDING, NULL);
        assert_refused(EVP_PKEY_decrypt(ctx, out, &len, text, n), "sign.decrypt", "RSAES-OAEP alone");
        EVP_PKEY_CTX_free(ctx);
        ctx = decrypting(sign, RSA_PKCS1_OAEP_PADDING, md);
        assert_true(EVP_PKEY_decrypt(ctx, out, &len, text, n) <= 0);
        assert_err(err_ossl(&e, RC_SYSTEM, "test.decrypt", "x"), RC_DENIED, "sign.usage");
        EVP_PKEY_CTX_free(ctx);
        EVP_PKEY_CTX_free(to);
    }
    EVP_PKEY_free(key);
    EVP_PKEY_free(sign);
    signer_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key),          cmocka_unit_test(test_certificate),
        cmocka_unit_test(test_request),      cmocka_unit_test(test_crl),
        cmocka_unit_test(test_ocsp),         cmocka_unit_test(test_cms),
        cmocka_unit_test(test_other_scheme), cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_failure),      cmocka_unit_test(test_decrypt),
    };

    return cmocka_run_group_tests_name("adapter", tests, setup, teardown);
}
