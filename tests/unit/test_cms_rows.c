/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/cms.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/secret.h"
#include "base/text.h"
#include "sign/cms.h"
#include "sign/evp.h"
#include "sign_rows.h"

/* CMS files of every row, each judged by a program that is not ours, and what no row allows. */

enum { USED = 7 };

static char dir[] = "/tmp/keymill-cmsrows-XXXXXX";
static struct bytes certs[USED];

static char *in_dir(const char *name)
{
    return path_join(dir, name);
}

static void put(const char *name, struct span s)
{
    char *path = in_dir(name);

    assert_ok(file_publish(path, 0600, s, &e));
    free(path);
}

static void put_pem(const char *name, const char *label, struct span der)
{
    struct bytes pem = BYTES_INIT;

    pem_encode(label, der, &pem);
    put(name, bytes_span(&pem));
    bytes_wipe(&pem);
}

static struct bytes get(const char *name)
{
    struct bytes b = BYTES_INIT;
    char *path = in_dir(name);

    assert_ok(file_read(path, FILE_DOC_MAX, &b, &e));
    free(path);
    return b;
}

static char said[4096];

static int run(const char *command)
{
    char *line = mem_printf("cd '%s' && { %s; } 2>&1", dir, command);
    FILE *f = popen(line, "r");

    assert_non_null(f);
    said[fread(said, 1, sizeof(said) - 1, f)] = '\0';
    free(line);
    return pclose(f);
}

static void assert_run(const char *command)
{
    if (run(command) != 0)
        fail_msg("%s: %s", command, said);
}

/* A self-signed certificate that programs take as their own trust anchor. */
static void cert_make(size_t i)
{
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    unsigned char *der = NULL;

    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)row_names[i], -1, -1, 0),
        1);
    assert_int_equal(X509_set_issuer_name(cert, name), 1);
    assert_int_equal(X509_set_version(cert, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), (long)i + 1), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), -60));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), 3600));
    assert_int_equal(X509_set_pubkey(cert, rows[i].plain), 1);
    assert_int_equal(
        EVP_DigestSignInit_ex(md, NULL, rows[i].signer->alg->digest, NULL, NULL, rows[i].plain, NULL), 1);
    assert_true(X509_sign_ctx(cert, md) > 0);
    int n = i2d_X509(cert, &der);
    bytes_add(&certs[i], der, (size_t)n);
    OPENSSL_free(der);
    EVP_MD_CTX_free(md);
    X509_free(cert);
}

static void chain_of(size_t i, struct cms_chain *ret)
{
    memset(ret, 0, sizeof(*ret));
    bytes_add_span(&ret->certs[0], bytes_span(&certs[i]));
    ret->ncerts = 1;
}

static void sign_row(size_t i, bool detached, struct bytes *ret)
{
    struct cms_chain chain;

    chain_of(i, &chain);
    assert_ok((detached ? cms_sign_detached : cms_sign)(rows[i].signer, &chain, SPAN("content"), 1750000000,
                                                        ret, &e));
    cms_chain_free(&chain);
}

static void test_sign(void **state)
{
    (void)state;
    for (size_t i = 0; i < USED; i++) {
        struct bytes der = BYTES_INIT, apart = BYTES_INIT;
        struct cms_signed out;

        sign_row(i, false, &der);
        assert_ok(cms_verify("file", bytes_span(&der), &out, &e));
        assert_string_equal(bytes_str(&out.content), "content");
        assert_int_equal(out.signing_time, 1750000000);
        cms_signed_free(&out);
        sign_row(i, true, &apart);
        assert_ok(cms_verify_detached("file", bytes_span(&apart), SPAN("content"), &out, &e));
        cms_signed_free(&out);
        assert_err(cms_verify_detached("file", bytes_span(&apart), SPAN("contents"), &out, &e), RC_INPUT,
                   "sign.cms");
        put("signed.der", bytes_span(&der));
        put("apart.der", bytes_span(&apart));
        put("content", SPAN("content"));
        put_pem("signed.pem", "PKCS7", bytes_span(&der));
        put_pem("cert.pem", "CERTIFICATE", bytes_span(&certs[i]));
        if (i == ROW_ED25519) {
            assert_run("certtool --p7-verify --load-ca-certificate cert.pem --infile signed.pem");
            put_pem("cert.pem", "CERTIFICATE", bytes_span(&certs[ROW_P256]));
            assert_int_not_equal(
                run("certtool --p7-verify --load-ca-certificate cert.pem --infile signed.pem"), 0);
        } else {
            assert_run(
                "openssl cms -verify -purpose any -binary -inform DER -in signed.der -CAfile cert.pem");
            assert_run("openssl cms -verify -purpose any -binary -inform DER -in apart.der -content content "
                       "-CAfile cert.pem");
        }
        bytes_free(&der);
        bytes_free(&apart);
    }
}

/* The bytes of a file that may change without harm are its certificate's alone. */
static void test_flipped(void **state)
{
    static const size_t kinds[] = {ROW_ED25519, ROW_RSA, ROW_RSA_PSS};

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        struct bytes der = BYTES_INIT;
        size_t passed = 0;

        sign_row(kinds[k], false, &der);
        for (size_t i = 0; i < der.n; i += kinds[k] == ROW_ED25519 ? 1 : 5) { /* RSA keys are slow to check */
            struct cms_signed out;
            der.p[i] ^= 0x01;
            enum rc rc = cms_verify("file", bytes_span(&der), &out, &e);
            der.p[i] ^= 0x01;
            if (rc != RC_OK) {
                assert_err(rc, RC_INPUT, "sign.cms");
                continue;
            }
            passed++;
            assert_string_equal(bytes_str(&out.content), "content");
            assert_int_equal(out.signing_time, 1750000000);
            cms_signed_free(&out);
        }
        assert_true(passed < certs[kinds[k]].n);
        bytes_free(&der);
    }
}

/* What openssl signs with an RSA key, and by which of our rows it passes. */
static void test_openssl_signs(void **state)
{
    static const struct {
        const char *options;
        const char *why; /* NULL: accepted */
    } cases[] = {
        {"-md sha256", NULL},
        {"-md sha256 -keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:32", NULL},
        {"-md sha256 -keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:20", "signs with SHA256 alone"},
        {"-md sha256 -keyopt rsa_padding_mode:pss -keyopt rsa_mgf1_md:sha1 -keyopt rsa_pss_saltlen:32",
         "signs with SHA256 alone"},
        {"-md sha1", "signs with SHA256 alone"},
        {"-md sha512", "signs with SHA256 alone"},
        {"-md sha512 -keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:64", "signs with SHA256 alone"},
    };

    (void)state;
    put_pem("key.pem", "PRIVATE KEY", bytes_span(&rows[ROW_RSA].pkcs8));
    put_pem("cert.pem", "CERTIFICATE", bytes_span(&certs[ROW_RSA]));
    put("content", SPAN("content"));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *line =
            mem_printf("openssl cms -sign -nodetach -binary -in content -signer cert.pem -inkey key.pem "
                       "-outform DER -out by.der %s",
                       cases[i].options);
        struct cms_signed out;
        assert_run(line);
        struct bytes der = get("by.der");
        enum rc rc = cms_verify("by.der", bytes_span(&der), &out, &e);
        if (cases[i].why == NULL) {
            assert_ok(rc);
            assert_string_equal(bytes_str(&out.content), "content");
            cms_signed_free(&out);
        } else {
            assert_err(rc, RC_INPUT, "sign.cms");
            if (strstr(e.text, cases[i].why) == NULL)
                fail_msg("%s: %s", cases[i].options, e.text);
        }
        bytes_free(&der);
        free(line);
    }
}

/* openssl's Ed25519 is no judge here; GnuTLS' is. */
static void test_gnutls_signs(void **state)
{
    struct cms_signed out;

    (void)state;
    put_pem("key.pem", "PRIVATE KEY", bytes_span(&rows[ROW_ED25519].pkcs8));
    put_pem("cert.pem", "CERTIFICATE", bytes_span(&certs[ROW_ED25519]));
    put("content", SPAN("content"));
    assert_run(
        "certtool --p7-sign --p7-time --p7-include-cert --load-certificate cert.pem --load-privkey key.pem "
        "--infile content --outder --outfile by.der");
    struct bytes der = get("by.der");
    assert_ok(cms_verify("by.der", bytes_span(&der), &out, &e));
    assert_string_equal(bytes_str(&out.content), "content");
    assert_true(out.signing_time > 1700000000);
    cms_signed_free(&out);
    bytes_free(&der);
}

/* sha256WithRSAEncryption, which some programs write where others write rsaEncryption. */
static void test_other_name(void **state)
{
    const struct alg *a = rows[ROW_RSA].signer->alg;
    struct bytes der = BYTES_INIT, changed = BYTES_INIT;
    struct cms_signed out;
    X509_ALGOR *algor = NULL, *other = NULL;
    unsigned char *again = NULL;

    (void)state;
    sign_row(ROW_RSA, false, &der);
    const unsigned char *p = der.p, *id = a->sig_algid.p;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)der.n);
    other = d2i_X509_ALGOR(NULL, &id, (long)a->sig_algid.n);
    CMS_SignerInfo_get0_algs(sk_CMS_SignerInfo_value(CMS_get0_SignerInfos(cms), 0), NULL, NULL, NULL, &algor);
    assert_int_equal(X509_ALGOR_cmp(algor, other) != 0, 1);
    assert_int_equal(X509_ALGOR_copy(algor, other), 1);
    int n = i2d_CMS_ContentInfo(cms, &again);
    bytes_add(&changed, again, (size_t)n);
    assert_ok(cms_verify("file", bytes_span(&changed), &out, &e));
    cms_signed_free(&out);
    X509_ALGOR_free(other);
    OPENSSL_free(again);
    CMS_ContentInfo_free(cms);
    bytes_free(&der);
    bytes_free(&changed);
}

/* Parameters of the digest, which the signature does not cover: none or NULL (RFC 5754 2). */
static void test_digest_parameters(void **state)
{
    const struct {
        struct span algid;
        bool good;
    } cases[] = {
        {SPAN("\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03"), true},
        {SPAN("\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00"), true},
        {SPAN("\x30\x0e\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x02\x01\x01"), false},
    };
    struct bytes der = BYTES_INIT;

    (void)state;
    sign_row(ROW_ED25519, false, &der);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const unsigned char *p = der.p, *id = cases[i].algid.p;
        CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)der.n);
        X509_ALGOR *algor = NULL, *other = d2i_X509_ALGOR(NULL, &id, (long)cases[i].algid.n);
        unsigned char *again = NULL;
        struct cms_signed out;

        CMS_SignerInfo_get0_algs(sk_CMS_SignerInfo_value(CMS_get0_SignerInfos(cms), 0), NULL, NULL, &algor,
                                 NULL);
        assert_int_equal(X509_ALGOR_copy(algor, other), 1);
        int n = i2d_CMS_ContentInfo(cms, &again);
        enum rc rc = cms_verify("file", (struct span){again, (size_t)n}, &out, &e);
        if (cases[i].good) {
            assert_ok(rc);
            cms_signed_free(&out);
        } else {
            assert_err(rc, RC_INPUT, "sign.cms");
            assert_non_null(strstr(e.text, "signs with SHA512 alone"));
        }
        X509_ALGOR_free(other);
        OPENSSL_free(again);
        CMS_ContentInfo_free(cms);
    }
    bytes_free(&der);
}

/* A signing time that is there twice says nothing. */
static void test_two_times(void **state)
{
    struct bytes der = BYTES_INIT, changed = BYTES_INIT, attributes = BYTES_INIT, sig = BYTES_INIT;
    struct cms_signed out;
    unsigned char *again = NULL;

    (void)state;
    sign_row(ROW_ED25519, false, &der);
    const unsigned char *p = der.p;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)der.n);
    CMS_SignerInfo *si = sk_CMS_SignerInfo_value(CMS_get0_SignerInfos(cms), 0);
    int at = CMS_signed_get_attr_by_NID(si, NID_pkcs9_signingTime, -1);
    X509_ATTRIBUTE *attr = CMS_signed_get_attr(si, at);
    ASN1_TIME *t = ASN1_TIME_set(NULL, 1760000000);
    assert_int_equal(X509_ATTRIBUTE_set1_data(attr, ASN1_STRING_type(t), t, -1), 1);
    assert_int_equal(X509_ATTRIBUTE_count(attr), 2);
    int n = i2d_CMS_ContentInfo(cms, &again); /* sorts */
    CMS_ContentInfo_free(cms);
    p = again;
    cms = d2i_CMS_ContentInfo(NULL, &p, n);
    OPENSSL_free(again);
    again = NULL;
    si = sk_CMS_SignerInfo_value(CMS_get0_SignerInfos(cms), 0);
    for (int i = 0; i < CMS_signed_get_attr_count(si); i++) {
        unsigned char *one = NULL;
        n = i2d_X509_ATTRIBUTE(CMS_signed_get_attr(si, i), &one);
        bytes_add(&attributes, one, (size_t)n);
        OPENSSL_free(one);
    }
    assert_true(attributes.n < 0x100 && attributes.n >= 0x80);
    const uint8_t head[] = {0x31, 0x81, (uint8_t)attributes.n};
    bytes_add(&changed, head, sizeof(head));
    bytes_add_span(&changed, bytes_span(&attributes));
    assert_ok(signer_sign_message(rows[ROW_ED25519].signer, bytes_span(&changed), &sig, &e));
    assert_int_equal(ASN1_STRING_set(CMS_SignerInfo_get0_signature(si), sig.p, (int)sig.n), 1);
    n = i2d_CMS_ContentInfo(cms, &again);
    assert_err(cms_verify("file", (struct span){again, (size_t)n}, &out, &e), RC_INPUT, "sign.cms");
    assert_non_null(strstr(e.text, "signing time"));
    OPENSSL_free(again);
    ASN1_TIME_free(t);
    CMS_ContentInfo_free(cms);
    bytes_free(&der);
    bytes_free(&changed);
    bytes_free(&attributes);
    bytes_free(&sig);
}

/* A token that is gone says so, through every layer. */
static void test_failure(void **state)
{
    struct cms_chain chain;
    struct bytes der = BYTES_INIT;
    struct liar l;

    (void)state;
    chain_of(ROW_RSA, &chain);
    liar_init(&l, rows[ROW_RSA].signer);
    l.gone = true;
    assert_err(cms_sign(&l.base, &chain, SPAN("content"), 1, &der, &e), RC_TOKEN, "hsm.gone");
    assert_int_equal(der.n, 0);
    signer_free(&l.base);
    cms_chain_free(&chain);
}

/* Sealing to RSA keys. */

static struct signer *opener(size_t row)
{
    struct signer *s = NULL;

    assert_ok(softkey_load(bytes_span(&rows[row].pkcs8), KEY_DECRYPT, &s, &e));
    return s;
}

static struct bytes sealed(size_t row, enum oaep_digest digest)
{
    struct secret *content = secret_from("lot key", 7);
    struct bytes der = BYTES_INIT;

    if (digest == OAEP_SHA256)
        assert_ok(cms_seal(bytes_span(&certs[row]), content, &der, &e));
    else
        assert_ok(cms_seal_oaep(bytes_span(&certs[row]), digest, content, &der, &e));
    secret_free(content);
    return der;
}

static void assert_opens(struct signer *s, size_t row, const struct bytes *der)
{
    struct secret *content = NULL;

    assert_ok(cms_open(s, bytes_span(&certs[row]), bytes_span(der), &content, &e));
    assert_int_equal(secret_len(content), 7);
    assert_memory_equal(secret_data(content), "lot key", 7);
    secret_free(content);
}

static void test_seal(void **state)
{
    (void)state;
    for (size_t row = ROW_RSA; row < USED; row += 2)
        for (int d = OAEP_SHA1; d <= OAEP_SHA256; d++) {
            struct signer *s = opener(row);
            struct bytes der = sealed(row, (enum oaep_digest)d), text;
            assert_opens(s, row, &der);
            put("sealed.der", bytes_span(&der));
            put_pem("key.pem", "PRIVATE KEY", bytes_span(&rows[row].pkcs8));
            put_pem("cert.pem", "CERTIFICATE", bytes_span(&certs[row]));
            assert_run(
                "openssl cms -decrypt -binary -inform DER -in sealed.der -recip cert.pem -inkey key.pem "
                "-out opened");
            text = get("opened");
            assert_string_equal(bytes_str(&text), "lot key");
            bytes_free(&text);
            assert_run("openssl cms -cmsout -print -inform DER -in sealed.der -noout | tee print");
            assert_non_null(strstr(said, "rsaesOaep"));
            assert_int_equal(strstr(said, "sha256") != NULL, d == OAEP_SHA256);
            bytes_free(&der);
            signer_free(s);
        }
}

static void test_seal_refuses(void **state)
{
    struct secret *content = secret_from("lot key", 7);
    struct bytes der = BYTES_INIT;

    (void)state;
    assert_err(cms_seal(bytes_span(&certs[ROW_ED25519]), content, &der, &e), RC_INPUT, "sign.key-type");
    assert_int_equal(der.n, 0);
    secret_free(content);
}

static void test_openssl_seals(void **state)
{
    static const struct {
        const char *options, *why; /* NULL: opens */
    } cases[] = {
        {"-keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256 -keyopt rsa_mgf1_md:sha256", NULL},
        {"-keyopt rsa_padding_mode:oaep", NULL}, /* SHA-1 */
        {"-keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256 -keyopt rsa_mgf1_md:sha1", "one digest"},
        {"-keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha512", "SHA-1 or SHA-256"},
        {"-keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_label:6c6f74", "no label"},
        {"", "RSAES-OAEP alone"}, /* PKCS #1 v1.5 */
    };
    struct signer *s = opener(ROW_RSA);

    (void)state;
    put("content", SPAN("lot key"));
    put_pem("cert.pem", "CERTIFICATE", bytes_span(&certs[ROW_RSA]));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *line =
            mem_printf("openssl cms -encrypt -binary -aes-256-gcm -in content -outform DER -out by.der "
                       "-recip cert.pem %s",
                       cases[i].options);
        struct secret *content = NULL;
        assert_run(line);
        struct bytes der = get("by.der");
        if (cases[i].why == NULL) {
            assert_opens(s, ROW_RSA, &der);
        } else {
            assert_err(cms_open(s, bytes_span(&certs[ROW_RSA]), bytes_span(&der), &content, &e), RC_INPUT,
                       "sign.decrypt");
            if (strstr(e.text, cases[i].why) == NULL)
                fail_msg("%s: %s", cases[i].options, e.text);
        }
        assert_null(content);
        bytes_free(&der);
        free(line);
    }
    signer_free(s);
}

static void test_open_refuses(void **state)
{
    struct signer *s = opener(ROW_RSA), *other = opener(5);
    struct bytes der = sealed(ROW_RSA, OAEP_SHA256), to_other = sealed(5, OAEP_SHA256);
    struct secret *content = NULL;

    (void)state;
    assert_err(cms_open(s, bytes_span(&certs[ROW_RSA]), bytes_span(&to_other), &content, &e), RC_INPUT,
               "sign.cms-open");
    assert_err(cms_open(other, bytes_span(&certs[5]), bytes_span(&der), &content, &e), RC_INPUT,
               "sign.cms-open");
    assert_err(cms_open(other, bytes_span(&certs[ROW_RSA]), bytes_span(&der), &content, &e), RC_INPUT,
               "sign.cms-open");
    assert_err(cms_open(rows[ROW_RSA].signer, bytes_span(&certs[ROW_RSA]), bytes_span(&der), &content, &e),
               RC_DENIED, "sign.usage");
    for (size_t i = 0; i < der.n; i += 3) {
        der.p[i] ^= 0x01;
        enum rc rc = cms_open(s, bytes_span(&certs[ROW_RSA]), bytes_span(&der), &content, &e);
        der.p[i] ^= 0x01;
        if (rc == RC_OK) { /* a version number, say */
            assert_int_equal(secret_len(content), 7);
            assert_memory_equal(secret_data(content), "lot key", 7);
            secret_free(content);
            content = NULL;
        } else {
            assert_int_equal(rc, RC_INPUT);
            assert_null(content);
        }
    }
    bytes_free(&der);
    bytes_free(&to_other);
    signer_free(s);
    signer_free(other);
}

/* libcrypto's own way to open, over the adapter. */
static void test_cms_decrypt(void **state)
{
    struct signer *s = opener(ROW_RSA);
    struct bytes der = sealed(ROW_RSA, OAEP_SHA256);
    const unsigned char *p = der.p;
    CMS_ContentInfo *cms = CMS_ContentInfo_new_ex(evp_context(), NULL);
    BIO *out = BIO_new(BIO_s_mem());
    EVP_PKEY *key = NULL;
    char text[8] = "";

    (void)state;
    assert_ok(evp_from_signer(s, &key, &e));
    assert_non_null(d2i_CMS_ContentInfo(&cms, &p, (long)der.n));
    assert_int_equal(CMS_decrypt(cms, key, NULL, NULL, out, CMS_BINARY), 1);
    assert_int_equal(BIO_read(out, text, sizeof(text)), 7);
    assert_memory_equal(text, "lot key", 7);
    EVP_PKEY_free(key);
    BIO_free(out);
    CMS_ContentInfo_free(cms);
    bytes_free(&der);
    signer_free(s);
}

static int setup(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    rows_make(USED);
    for (size_t i = 0; i < USED; i++)
        cert_make(i);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rows_free();
    for (size_t i = 0; i < USED; i++) {
        bytes_free(&certs[i]);
    }
    return dir_remove(dir, &e) == RC_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sign),          cmocka_unit_test(test_flipped),
        cmocka_unit_test(test_openssl_signs), cmocka_unit_test(test_gnutls_signs),
        cmocka_unit_test(test_other_name),    cmocka_unit_test(test_digest_parameters),
        cmocka_unit_test(test_two_times),     cmocka_unit_test(test_failure),
        cmocka_unit_test(test_seal),          cmocka_unit_test(test_seal_refuses),
        cmocka_unit_test(test_openssl_seals), cmocka_unit_test(test_open_refuses),
        cmocka_unit_test(test_cms_decrypt),
    };

    return cmocka_run_group_tests_name("cms_rows", tests, setup, teardown);
}
