/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/secret.h"
#include "base/text.h"
#include "sign/alg.h"
#include "sign/cms.h"
#include "sign/evp.h"
#include "sign/softkey.h"

static struct err e;
static char dir[64];

/* A key in all its shapes: ours, libcrypto's (to make files that ours would not), and PEM for the openssl
 * program. */
struct party {
    struct signer *signer;
    EVP_PKEY *plain;
    X509 *x509;
    struct bytes cert;
    struct bytes pem;
};

static void assert_err(enum rc rc, enum rc expected, const char *key)
{
    assert_int_equal(rc, expected);
    assert_string_equal(e.key, key);
    assert_int_equal(ERR_peek_error(), 0);
}

static void make_key(struct party *p, const struct alg *a, enum key_usage usage)
{
    struct secret *scalar = secret_new(a->field_len), *pkcs8 = secret_new(PKCS8_MAX);
    struct bytes point = BYTES_INIT;
    struct devkey_gen *g = NULL;

    assert_int_equal(devkey_gen_new(a, &g, &e), RC_OK);
    assert_int_equal(devkey_make(g, scalar, &point, &e), RC_OK);
    pkcs8_encode(a, scalar, bytes_span(&point), pkcs8);
    struct span der = {secret_data(pkcs8), secret_len(pkcs8)};
    pem_encode("PRIVATE KEY", der, &p->pem);
    assert_int_equal(softkey_load(der, usage, &p->signer, &e), RC_OK);
    const unsigned char *in = der.p;
    p->plain = d2i_AutoPrivateKey_ex(NULL, &in, (long)der.n, evp_context(), NULL);
    assert_non_null(p->plain);
    devkey_gen_free(g);
    secret_free(scalar);
    secret_free(pkcs8);
    bytes_free(&point);
}

/* A self-signed certificate that openssl takes as its own trust anchor. */
static void make_cert(struct party *p, long serial)
{
    EVP_MD *md = EVP_MD_fetch(evp_context(), p->signer->alg->digest, NULL);
    X509_NAME *name = NULL;
    unsigned char *der = NULL;

    p->x509 = X509_new_ex(evp_context(), NULL);
    name = X509_NAME_new();
    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"party", -1, -1, 0), 1);
    assert_int_equal(X509_set_version(p->x509, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(p->x509), serial), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(p->x509), -60));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(p->x509), 3600));
    assert_int_equal(X509_set_subject_name(p->x509, name), 1);
    assert_int_equal(X509_set_issuer_name(p->x509, name), 1);
    assert_int_equal(X509_set_pubkey(p->x509, p->signer->public_key), 1);
    assert_true(X509_sign(p->x509, p->plain, md) > 0);
    int n = i2d_X509(p->x509, &der);
    assert_true(n > 0);
    bytes_add(&p->cert, der, (size_t)n);
    OPENSSL_free(der);
    X509_NAME_free(name);
    EVP_MD_free(md);
}

static struct party party_new(const char *alg, enum key_usage usage)
{
    static long serial;
    struct party p = {.signer = NULL};

    make_key(&p, alg_by_name(alg), usage);
    make_cert(&p, ++serial);
    return p;
}

static void party_free(struct party *p)
{
    signer_free(p->signer);
    EVP_PKEY_free(p->plain);
    X509_free(p->x509);
    bytes_free(&p->cert);
    bytes_wipe(&p->pem);
}

/* A CRL of p, revoking nothing. */
static void make_crl(const struct party *p, struct bytes *ret)
{
    X509_CRL *crl = X509_CRL_new_ex(evp_context(), NULL);
    EVP_MD *md = EVP_MD_fetch(evp_context(), p->signer->alg->digest, NULL);
    ASN1_TIME *t = ASN1_TIME_set(NULL, 1700000000);
    unsigned char *der = NULL;

    assert_int_equal(X509_CRL_set_issuer_name(crl, X509_get_subject_name(p->x509)), 1);
    assert_int_equal(X509_CRL_set1_lastUpdate(crl, t), 1);
    assert_true(X509_CRL_sign(crl, p->plain, md) > 0);
    int n = i2d_X509_CRL(crl, &der);
    bytes_add(ret, der, (size_t)n);
    OPENSSL_free(der);
    ASN1_TIME_free(t);
    EVP_MD_free(md);
    X509_CRL_free(crl);
}

static void add_cert(struct cms_chain *c, const struct party *p)
{
    bytes_add_span(&c->certs[c->ncerts++], bytes_span(&p->cert));
}

/* A file of p alone over "content". */
static struct bytes signed_by(const struct party *p)
{
    struct cms_chain chain = {.ncerts = 0};
    struct bytes der = BYTES_INIT;

    add_cert(&chain, p);
    assert_int_equal(cms_sign(p->signer, &chain, SPAN("content"), 1750000000, &der, &e), RC_OK);
    cms_chain_free(&chain);
    return der;
}

/* What libcrypto writes with these flags and signers: files that cms_sign never would. */
static struct bytes libcrypto_signed(unsigned flags, const char *digest, const struct party *a,
                                     const struct party *b)
{
    BIO *in = BIO_new_mem_buf("content", 7);
    EVP_MD *md = EVP_MD_fetch(evp_context(), digest, NULL);
    CMS_ContentInfo *cms = CMS_sign_ex(NULL, NULL, NULL, NULL, flags | CMS_PARTIAL, evp_context(), NULL);
    struct bytes der = BYTES_INIT;
    unsigned char *p = NULL;

    assert_non_null(CMS_add1_signer(cms, a->x509, a->plain, md, flags | CMS_PARTIAL));
    if (b != NULL)
        assert_non_null(CMS_add1_signer(cms, b->x509, b->plain, md, flags | CMS_PARTIAL));
    assert_int_equal(CMS_final(cms, in, NULL, flags), 1);
    int n = i2d_CMS_ContentInfo(cms, &p);
    assert_true(n > 0);
    bytes_add(&der, p, (size_t)n);
    OPENSSL_free(p);
    CMS_ContentInfo_free(cms);
    EVP_MD_free(md);
    BIO_free(in);
    return der;
}

static void assert_refused(struct bytes *der, const char *why)
{
    struct cms_signed out = {.signing_time = 7};

    assert_err(cms_verify("file", bytes_span(der), &out, &e), RC_INPUT, "sign.cms");
    if (strstr(e.text, why) == NULL)
        fail_msg("'%s' is not in '%s'", why, e.text);
    assert_int_equal(out.signing_time, 7);
    bytes_free(der);
}

/* The openssl program. */

static char *in_dir(const char *name)
{
    return path_join(dir, name);
}

static void put(const char *name, struct span s)
{
    char *path = in_dir(name);

    assert_int_equal(file_publish(path, 0600, s, &e), RC_OK);
    free(path);
}

static void put_cert(const char *name, const struct party *p)
{
    struct bytes pem = BYTES_INIT;

    pem_encode("CERTIFICATE", bytes_span(&p->cert), &pem);
    put(name, bytes_span(&pem));
    bytes_free(&pem);
}

static struct bytes get(const char *name)
{
    struct bytes b = BYTES_INIT;
    char *path = in_dir(name);

    assert_int_equal(file_read(path, FILE_DOC_MAX, &b, &e), RC_OK);
    free(path);
    return b;
}

/* Runs "openssl cms <args>" in the folder; what it said stands in openssl_said. */
static char openssl_said[4096];

static int openssl_cms(const char *args)
{
    char *line = mem_printf("cd '%s' && openssl cms %s 2>&1", dir, args);
    FILE *f = popen(line, "r");

    assert_non_null(f);
    openssl_said[fread(openssl_said, 1, sizeof(openssl_said) - 1, f)] = '\0';
    free(line);
    return pclose(f);
}

static void assert_openssl_cms(const char *args)
{
    if (openssl_cms(args) != 0)
        fail_msg("openssl cms %s: %s", args, openssl_said);
}

/* SignedData. */

static void test_sign_verify(void **state)
{
    static const char *const algs[] = {"ec-p256", "ec-p384"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct party p = party_new(algs[i], KEY_SIGN), ca = party_new("ec-p256", KEY_SIGN);
        struct cms_chain chain = {.ncerts = 0};
        struct cms_signed out;
        struct bytes der = BYTES_INIT;
        add_cert(&chain, &p);
        add_cert(&chain, &ca);
        make_crl(&ca, &chain.crls[chain.ncrls++]);
        bytes_add_str(&der, "kept");
        assert_int_equal(cms_sign(p.signer, &chain, SPAN("content\r\n\n"), 1750000000, &der, &e), RC_OK);
        assert_memory_equal(der.p, "kept", 4);
        assert_int_equal(cms_verify("file", (struct span){der.p + 4, der.n - 4}, &out, &e), RC_OK);
        assert_true(span_eq(bytes_span(&out.content), SPAN("content\r\n\n")));
        assert_int_equal(out.signing_time, 1750000000);
        assert_int_equal(out.chain.ncerts, 2);
        assert_true(span_eq(bytes_span(&out.chain.certs[0]), bytes_span(&p.cert)));
        assert_true(span_eq(bytes_span(&out.chain.certs[1]), bytes_span(&ca.cert)));
        assert_int_equal(out.chain.ncrls, 1);
        assert_true(span_eq(bytes_span(&out.chain.crls[0]), bytes_span(&chain.crls[0])));
        cms_signed_free(&out);
        cms_chain_free(&chain);
        bytes_free(&der);
        party_free(&p);
        party_free(&ca);
    }
}

/* An empty content is a content; and a signing time behind 2049 is a GeneralizedTime. */
static void test_sign_edges(void **state)
{
    struct party p = party_new("ec-p256", KEY_SIGN);
    struct cms_chain chain = {.ncerts = 0};
    struct cms_signed out;
    struct bytes der = BYTES_INIT;

    (void)state;
    add_cert(&chain, &p);
    assert_int_equal(cms_sign(p.signer, &chain, SPAN(""), INT64_C(4102444800), &der, &e), RC_OK);
    assert_int_equal(cms_verify("file", bytes_span(&der), &out, &e), RC_OK);
    assert_int_equal(out.content.n, 0);
    assert_int_equal(out.signing_time, INT64_C(4102444800));
    cms_signed_free(&out);
    cms_chain_free(&chain);
    bytes_free(&der);
    party_free(&p);
}

static void test_sign_refuses(void **state)
{
    struct party p = party_new("ec-p256", KEY_SIGN), other = party_new("ec-p256", KEY_DERIVE);
    struct cms_chain chain = {.ncerts = 0};
    struct bytes der = BYTES_INIT;

    (void)state;
    assert_err(cms_sign(p.signer, &chain, SPAN("x"), 1, &der, &e), RC_INPUT, "sign.cms");
    add_cert(&chain, &other);
    assert_err(cms_sign(p.signer, &chain, SPAN("x"), 1, &der, &e), RC_INPUT, "sign.cms");
    assert_err(cms_sign(other.signer, &chain, SPAN("x"), 1, &der, &e), RC_DENIED, "sign.usage");
    bytes_add_byte(&chain.certs[0], 0);
    assert_err(cms_sign(other.signer, &chain, SPAN("x"), 1, &der, &e), RC_INPUT, "sign.cms");
    assert_int_equal(der.n, 0);
    cms_chain_free(&chain);
    party_free(&p);
    party_free(&other);
}

static void test_verify_truncated(void **state)
{
    struct party p = party_new("ec-p256", KEY_SIGN);
    struct bytes der = signed_by(&p);
    struct cms_signed out;

    (void)state;
    for (size_t n = 0; n < der.n; n++)
        assert_err(cms_verify("file", (struct span){der.p, n}, &out, &e), RC_INPUT, "sign.cms");
    bytes_add_byte(&der, 0);
    assert_refused(&der, "1 octets behind");
    party_free(&p);
}

/* What can be changed at all without breaking the signature is not what was signed. */
static void test_verify_flipped(void **state)
{
    struct party p = party_new("ec-p256", KEY_SIGN);
    struct bytes der = signed_by(&p);
    size_t passed = 0;

    (void)state;
    for (size_t i = 0; i < der.n; i++) {
        struct cms_signed out;
        der.p[i] ^= 0x01;
        enum rc rc = cms_verify("file", bytes_span(&der), &out, &e);
        der.p[i] ^= 0x01;
        if (rc != RC_OK) {
            assert_err(rc, RC_INPUT, "sign.cms");
            continue;
        }
        passed++;
        assert_true(span_eq(bytes_span(&out.content), SPAN("content")));
        assert_int_equal(out.signing_time, 1750000000);
        cms_signed_free(&out);
    }
    assert_true(passed <
                p.cert.n); /* the certificate has a signature of its own, which is not looked at here */
    bytes_free(&der);
    party_free(&p);
}

/* SignedData over "content" with an empty set of signers. */
#define NO_SIGNER                                                                                                              \
    "\x30\x2e\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x21\x30\x1f\x02\x01\x01\x31\x00\x30\x16\x06\x09\x2a\x86\x48\x86" \
    "\xf7\x0d\x01\x07\x01\xa0\x09\x04\x07"                                                                                     \
    "content\x31\x00"

static void test_verify_shapes(void **state)
{
    struct party p = party_new("ec-p256", KEY_SIGN), q = party_new("ec-p256", KEY_SIGN);
    struct bytes der = libcrypto_signed(CMS_BINARY, "SHA256", &p, NULL);
    struct cms_signed out;

    (void)state;
    assert_int_equal(cms_verify("file", bytes_span(&der), &out, &e),
                     RC_OK); /* so it is not libcrypto's style that fails */
    cms_signed_free(&out);
    bytes_free(&der);
    der = libcrypto_signed(CMS_BINARY, "SHA256", &p, &q);
    assert_refused(&der, "2 signers");
    der = (struct bytes)BYTES_INIT;
    bytes_add_span(&der, SPAN(NO_SIGNER));
    assert_refused(&der, "0 signers");
    der = libcrypto_signed(CMS_BINARY | CMS_DETACHED, "SHA256", &p, NULL);
    assert_refused(&der, "no content");
    der = libcrypto_signed(CMS_BINARY | CMS_NOATTR, "SHA256", &p, NULL);
    assert_refused(&der, "no signed attributes");
    der = libcrypto_signed(CMS_BINARY | CMS_NOCERTS, "SHA256", &p, NULL);
    assert_refused(&der, "certificate is not inside");
    der = libcrypto_signed(CMS_BINARY, "SHA1", &p, NULL);
    assert_refused(&der, "signs with SHA256 alone");
    der = libcrypto_signed(CMS_BINARY, "SHA512", &p, NULL);
    assert_refused(&der, "signs with SHA256 alone");
    der = (struct bytes)BYTES_INIT;
    bytes_add_span(&der, bytes_span(&p.cert));
    assert_refused(&der, "not a CMS file");
    party_free(&p);
    party_free(&q);
}

/* The content's type is signed too: a file of another type, and one that was relabelled as data. */
static void test_verify_content_type(void **state)
{
    static const uint8_t type[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02};
    struct party p = party_new("ec-p256", KEY_SIGN);
    EVP_MD *md = EVP_MD_fetch(evp_context(), "SHA256", NULL);
    BIO *in = BIO_new_mem_buf("content", 7);
    unsigned flags = CMS_BINARY | CMS_PARTIAL;
    CMS_ContentInfo *cms = CMS_sign_ex(NULL, NULL, NULL, NULL, flags, evp_context(), NULL);
    struct bytes der = BYTES_INIT, relabelled = BYTES_INIT;
    unsigned char *out = NULL;

    (void)state;
    assert_int_equal(CMS_set1_eContentType(cms, OBJ_nid2obj(NID_pkcs7_signed)), 1);
    assert_non_null(CMS_add1_signer(cms, p.x509, p.plain, md, flags));
    assert_int_equal(CMS_final(cms, in, NULL, CMS_BINARY), 1);
    int n = i2d_CMS_ContentInfo(cms, &out);
    assert_true(n > 0);
    bytes_add(&der, out, (size_t)n);
    bytes_add(&relabelled, out, (size_t)n);
    /* The first one is the file's own type. */
    uint8_t *first = memmem(relabelled.p, relabelled.n, type, sizeof(type));
    assert_non_null(first);
    first += sizeof(type);
    uint8_t *second = memmem(first, relabelled.n - (size_t)(first - relabelled.p), type, sizeof(type));
    assert_non_null(second);
    second[sizeof(type) - 1] = 0x01;
    assert_refused(&der, "its content type is not data");
    assert_refused(&relabelled, "its signed content type is not data");
    OPENSSL_free(out);
    CMS_ContentInfo_free(cms);
    BIO_free(in);
    EVP_MD_free(md);
    party_free(&p);
}

static void test_verify_key_type(void **state)
{
    struct party p = {.plain = EVP_PKEY_Q_keygen(evp_context(), NULL, "EC", "P-521")};
    struct party donor = party_new("ec-p256", KEY_SIGN);

    (void)state;
    p.signer = donor.signer;
    p.x509 = X509_dup(donor.x509);
    EVP_MD *md = EVP_MD_fetch(evp_context(), "SHA512", NULL);
    assert_int_equal(X509_set_pubkey(p.x509, p.plain), 1);
    assert_true(X509_sign(p.x509, p.plain, md) > 0);
    struct bytes der = libcrypto_signed(CMS_BINARY, "SHA512", &p, NULL);
    assert_refused(&der, "not a valid one of ec-p256, ec-p384");
    p.signer = NULL;
    EVP_MD_free(md);
    party_free(&p);
    party_free(&donor);
}

/* The same file with an indefinite length outside. */
static void test_verify_ber(void **state)
{
    struct party p = party_new("ec-p256", KEY_SIGN);
    struct bytes der = signed_by(&p), ber = BYTES_INIT;

    (void)state;
    assert_memory_equal(der.p, "\x30\x82", 2);
    bytes_add_span(&ber, SPAN("\x30\x80"));
    bytes_add(&ber, der.p + 4, der.n - 4);
    bytes_add_span(&ber, SPAN("\x00\x00"));
    assert_refused(&ber, "DER is required");
    bytes_free(&der);
    party_free(&p);
}

static void test_verify_counts(void **state)
{
    struct party p[CMS_CERTS_MAX + 1];
    struct cms_chain chain = {.ncerts = 0};
    struct cms_signed out;
    struct bytes der = BYTES_INIT;

    (void)state;
    for (size_t i = 0; i <= CMS_CERTS_MAX; i++)
        p[i] = party_new("ec-p256", KEY_SIGN);
    for (size_t i = 0; i < CMS_CERTS_MAX; i++) {
        add_cert(&chain, &p[i]);
        make_crl(&p[i], &chain.crls[chain.ncrls++]);
    }
    assert_int_equal(cms_sign(p[0].signer, &chain, SPAN("content"), 1, &der, &e), RC_OK);
    assert_int_equal(cms_verify("file", bytes_span(&der), &out, &e), RC_OK);
    assert_int_equal(out.chain.ncerts, CMS_CERTS_MAX);
    assert_int_equal(out.chain.ncrls, CMS_CRLS_MAX);
    cms_signed_free(&out);

    const unsigned char *in = der.p;
    CMS_ContentInfo *cms = CMS_ContentInfo_new_ex(evp_context(), NULL);
    unsigned char *more = NULL;
    assert_non_null(d2i_CMS_ContentInfo(&cms, &in, (long)der.n));
    assert_int_equal(CMS_add1_cert(cms, p[CMS_CERTS_MAX].x509), 1);
    int n = i2d_CMS_ContentInfo(cms, &more);
    bytes_reset(&der);
    bytes_add(&der, more, (size_t)n);
    assert_refused(&der, "more than 8 certificates");
    OPENSSL_free(more);
    CMS_ContentInfo_free(cms);
    cms_chain_free(&chain);
    for (size_t i = 0; i <= CMS_CERTS_MAX; i++)
        party_free(&p[i]);
}

static void test_openssl_verifies(void **state)
{
    static const char *const algs[] = {"ec-p256", "ec-p384"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct party p = party_new(algs[i], KEY_SIGN), other = party_new(algs[i], KEY_SIGN);
        struct bytes der = signed_by(&p);
        put("signed.der", bytes_span(&der));
        put_cert("cert.pem", &p);
        put_cert("other.pem", &other);
        assert_openssl_cms(
            "-verify -purpose any -binary -inform DER -in signed.der -CAfile cert.pem -out content");
        struct bytes content = get("content");
        assert_string_equal(bytes_str(&content), "content");
        assert_int_not_equal(
            openssl_cms(
                "-verify -purpose any -binary -inform DER -in signed.der -CAfile other.pem -out content"),
            0);
        bytes_free(&content);
        bytes_free(&der);
        party_free(&p);
        party_free(&other);
    }
}

/* Content beside the file: each kind of file is refused by the other kind's verifier. */
static void test_detached(void **state)
{
    struct party p = party_new("ec-p256", KEY_SIGN);
    struct cms_chain chain = {.ncerts = 0};
    struct cms_signed out;
    struct bytes der = BYTES_INIT, inside = signed_by(&p);

    (void)state;
    add_cert(&chain, &p);
    assert_int_equal(cms_sign_detached(p.signer, &chain, SPAN("content"), 1750000000, &der, &e), RC_OK);
    assert_int_equal(cms_verify_detached("file", bytes_span(&der), SPAN("content"), &out, &e), RC_OK);
    assert_string_equal(bytes_str(&out.content), "content");
    assert_int_equal(out.signing_time, 1750000000);
    cms_signed_free(&out);
    assert_err(cms_verify_detached("file", bytes_span(&der), SPAN("contents"), &out, &e), RC_INPUT,
               "sign.cms");
    assert_err(cms_verify_detached("file", bytes_span(&der), SPAN(""), &out, &e), RC_INPUT, "sign.cms");
    assert_err(cms_verify_detached("file", bytes_span(&inside), SPAN("content"), &out, &e), RC_INPUT,
               "sign.cms");

    put("content", SPAN("content"));
    put("signed.der", bytes_span(&der));
    put_cert("cert.pem", &p);
    assert_openssl_cms("-verify -purpose any -binary -inform DER -in signed.der -content content -CAfile "
                       "cert.pem -out again");
    assert_refused(&der, "no content");
    bytes_free(&inside);
    cms_chain_free(&chain);
    party_free(&p);
}

static void test_openssl_signs(void **state)
{
    struct party p = party_new("ec-p256", KEY_SIGN);
    struct cms_signed out;

    (void)state;
    put("content", SPAN("content"));
    put("key.pem", bytes_span(&p.pem));
    put_cert("cert.pem", &p);
    assert_openssl_cms(
        "-sign -nodetach -binary -in content -signer cert.pem -inkey key.pem -outform DER -out by.der");
    struct bytes der = get("by.der");
    assert_int_equal(cms_verify("by.der", bytes_span(&der), &out, &e), RC_OK);
    assert_string_equal(bytes_str(&out.content), "content");
    assert_true(out.signing_time > 1700000000);
    cms_signed_free(&out);
    bytes_free(&der);
    party_free(&p);
}

/* AuthEnvelopedData. */

static struct bytes sealed_for(const struct party *p, const char *text)
{
    struct secret *content = secret_from(text, strlen(text));
    struct bytes der = BYTES_INIT;

    assert_int_equal(cms_seal(bytes_span(&p->cert), content, &der, &e), RC_OK);
    secret_free(content);
    return der;
}

static enum rc open_by(const struct party *p, const struct party *cert, const struct bytes *der,
                       struct secret **ret)
{
    return cms_open(p->signer, bytes_span(&cert->cert), bytes_span(der), ret, &e);
}

static void assert_opens(const struct party *p, const struct bytes *der, const char *text)
{
    struct secret *content = NULL;

    if (open_by(p, p, der, &content) != RC_OK)
        fail_msg("%s [%s]", e.text, e.key);
    assert_int_equal(secret_len(content), strlen(text));
    assert_memory_equal(secret_data(content), text, strlen(text));
    secret_free(content);
}

static void test_seal_open(void **state)
{
    static const char *const algs[] = {"ec-p256", "ec-p384"};
    char *big = mem_array(100001, 1);

    (void)state;
    memset(big, 'x', 100000);
    for (size_t i = 0; i < 2; i++) {
        struct party p = party_new(algs[i], KEY_DERIVE);
        const char *const texts[] = {"lot key", "", big};
        for (size_t k = 0; k < 3; k++) {
            struct bytes der = sealed_for(&p, texts[k]);
            assert_opens(&p, &der, texts[k]);
            bytes_free(&der);
        }
        party_free(&p);
    }
    free(big);
}

static void test_open_refuses(void **state)
{
    struct party p = party_new("ec-p256", KEY_DERIVE), other = party_new("ec-p256", KEY_DERIVE);
    struct party sign = party_new("ec-p256", KEY_SIGN);
    struct bytes der = sealed_for(&p, "lot key"), to_sign = sealed_for(&sign, "lot key");
    struct bytes sig = signed_by(&sign);
    struct secret *content = NULL;

    (void)state;
    assert_err(open_by(&other, &other, &der, &content), RC_INPUT, "sign.cms-open");
    assert_err(open_by(&other, &p, &der, &content), RC_INPUT, "sign.cms-open");
    assert_err(open_by(&p, &other, &der, &content), RC_INPUT, "sign.cms-open");
    assert_err(open_by(&sign, &sign, &to_sign, &content), RC_DENIED, "sign.usage");
    assert_err(open_by(&p, &p, &sig, &content), RC_INPUT, "sign.cms-open");
    bytes_add_byte(&der, 0);
    assert_err(open_by(&p, &p, &der, &content), RC_INPUT, "sign.cms-open");
    assert_null(content);
    bytes_free(&der);
    bytes_free(&to_sign);
    bytes_free(&sig);
    party_free(&p);
    party_free(&other);
    party_free(&sign);
}

static void test_open_flipped(void **state)
{
    struct party p = party_new("ec-p256", KEY_DERIVE);
    struct bytes der = sealed_for(&p, "lot key");

    (void)state;
    for (size_t i = 0; i < der.n; i++) {
        struct secret *content = NULL;
        der.p[i] ^= 0x01;
        enum rc rc = open_by(&p, &p, &der, &content);
        der.p[i] ^= 0x01;
        if (rc == RC_OK) { /* a version number, say */
            assert_int_equal(secret_len(content), 7);
            assert_memory_equal(secret_data(content), "lot key", 7);
        } else {
            assert_int_equal(rc, RC_INPUT);
            assert_null(content);
        }
        secret_free(content);
        content = NULL;
        assert_int_equal(cms_open(p.signer, bytes_span(&p.cert), (struct span){der.p, i}, &content, &e),
                         RC_INPUT);
    }
    for (size_t i = der.n - 16; i < der.n; i++) { /* the tag stands last */
        struct secret *content = NULL;
        der.p[i] ^= 0x80;
        assert_err(open_by(&p, &p, &der, &content), RC_INPUT, "sign.cms-open");
        der.p[i] ^= 0x80;
    }
    bytes_free(&der);
    party_free(&p);
}

/* Takes n off a length in its two-octet form at p. */
static void shorten(uint8_t *p, unsigned n)
{
    unsigned len = (unsigned)p[0] << 8 | p[1];

    p[0] = (uint8_t)((len - n) >> 8);
    p[1] = (uint8_t)(len - n);
}

/* A tag cut to four octets still fits, and would be easy to forge. */
static void test_open_short_tag(void **state)
{
    struct party p = party_new("ec-p256", KEY_DERIVE);
    struct bytes der = sealed_for(
        &p, "a content that is long enough for each length to keep its two octets when the tag is cut");
    struct secret *content = NULL;

    (void)state;
    assert_memory_equal(der.p + der.n - 18, "\x04\x10", 2);
    der.p[der.n - 17] = 4;
    der.n -= 12;
    shorten(der.p + 2, 12);              /* ContentInfo */
    shorten(der.p + 4 + 13 + 2, 12);     /* [0], behind the OID of 13 octets */
    shorten(der.p + 4 + 13 + 4 + 2, 12); /* AuthEnvelopedData */
    assert_err(open_by(&p, &p, &der, &content), RC_INPUT, "sign.cms-open");
    assert_non_null(strstr(e.text, "a tag of 16 octets"));
    bytes_free(&der);
    party_free(&p);
}

/* As cms_seal, with another cipher or KDF. */
static struct bytes libcrypto_sealed(const struct party *p, const char *cipher, const char *kdf_digest,
                                     bool auth)
{
    EVP_CIPHER *c = EVP_CIPHER_fetch(evp_context(), cipher, NULL);
    CMS_ContentInfo *cms = auth ? CMS_AuthEnvelopedData_create_ex(c, evp_context(), NULL)
                                : CMS_EnvelopedData_create_ex(c, evp_context(), NULL);
    CMS_RecipientInfo *ri = CMS_add1_recipient_cert(cms, p->x509, 0);
    EVP_MD *md = EVP_MD_fetch(evp_context(), kdf_digest, NULL);
    BIO *in = BIO_new_mem_buf("lot key", 7);
    struct bytes der = BYTES_INIT;
    unsigned char *out = NULL;

    assert_int_equal(CMS_set_detached(cms, 0), 1);
    assert_true(EVP_PKEY_CTX_set_ecdh_kdf_md(CMS_RecipientInfo_get0_pkey_ctx(ri), md) > 0);
    assert_int_equal(CMS_final(cms, in, NULL, CMS_BINARY), 1);
    int n = i2d_CMS_ContentInfo(cms, &out);
    bytes_add(&der, out, (size_t)n);
    OPENSSL_free(out);
    BIO_free(in);
    EVP_MD_free(md);
    CMS_ContentInfo_free(cms);
    EVP_CIPHER_free(c);
    return der;
}

static void test_open_weaker(void **state)
{
    static const struct {
        const char *cipher;
        const char *kdf_digest;
        bool auth;
        const char *why;
    } rows[] = {
        {"AES-256-GCM", "SHA256", true, NULL},
        {"AES-256-GCM", "SHA384", true, NULL},
        {"AES-256-GCM", "SHA1", true, "SHA-256 or better"},
        {"AES-256-GCM", "SHA224", true, "SHA-256 or better"},
        {"AES-128-GCM", "SHA256", true, "not sealed with AES-256-GCM"},
        {"AES-256-CBC", "SHA256", false, "not a CMS structure of type"},
    };
    struct party p = party_new("ec-p256", KEY_DERIVE);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct bytes der = libcrypto_sealed(&p, rows[i].cipher, rows[i].kdf_digest, rows[i].auth);
        struct secret *content = NULL;
        if (rows[i].why == NULL) {
            assert_opens(&p, &der, "lot key");
        } else {
            assert_int_equal(open_by(&p, &p, &der, &content), RC_INPUT);
            assert_non_null(strstr(e.text, rows[i].why));
        }
        bytes_free(&der);
    }
    party_free(&p);
}

static void test_openssl_opens(void **state)
{
    static const char *const algs[] = {"ec-p256", "ec-p384"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct party p = party_new(algs[i], KEY_DERIVE);
        struct bytes der = sealed_for(&p, "lot key");
        put("sealed.der", bytes_span(&der));
        put("key.pem", bytes_span(&p.pem));
        put_cert("cert.pem", &p);
        assert_openssl_cms(
            "-decrypt -binary -inform DER -in sealed.der -recip cert.pem -inkey key.pem -out opened");
        struct bytes opened = get("opened");
        assert_string_equal(bytes_str(&opened), "lot key");
        bytes_free(&opened);
        bytes_free(&der);
        party_free(&p);
    }
}

static void test_openssl_seals(void **state)
{
    static const char *const algs[] = {"ec-p256", "ec-p384"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct party p = party_new(algs[i], KEY_DERIVE);
        put("content", SPAN("lot key"));
        put_cert("cert.pem", &p);
        assert_openssl_cms(
            "-encrypt -binary -aes-256-gcm -in content -outform DER -out by.der -recip cert.pem "
            "-keyopt ecdh_kdf_md:sha256");
        struct bytes der = get("by.der");
        assert_opens(&p, &der, "lot key");
        bytes_free(&der);
        party_free(&p);
    }
}

static void test_seal_refuses(void **state)
{
    struct secret *content = secret_from("lot key", 7);
    struct bytes der = BYTES_INIT;

    (void)state;
    assert_err(cms_seal(SPAN("junk"), content, &der, &e), RC_INPUT, "sign.cms-seal");
    assert_int_equal(der.n, 0);
    secret_free(content);
}

/* The folder, and a default library context in which nothing is found: our work must not need it. */
static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/keymill-cms-XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(EVP_set_default_properties(NULL, "keymill.nothing=yes"), 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return dir_remove(dir, &e) == RC_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sign_verify),      cmocka_unit_test(test_sign_edges),
        cmocka_unit_test(test_sign_refuses),     cmocka_unit_test(test_verify_truncated),
        cmocka_unit_test(test_verify_flipped),   cmocka_unit_test(test_verify_shapes),
        cmocka_unit_test(test_verify_key_type),  cmocka_unit_test(test_verify_content_type),
        cmocka_unit_test(test_verify_ber),       cmocka_unit_test(test_verify_counts),
        cmocka_unit_test(test_openssl_verifies), cmocka_unit_test(test_openssl_signs),
        cmocka_unit_test(test_detached),         cmocka_unit_test(test_seal_open),
        cmocka_unit_test(test_open_refuses),     cmocka_unit_test(test_open_flipped),
        cmocka_unit_test(test_open_short_tag),   cmocka_unit_test(test_open_weaker),
        cmocka_unit_test(test_openssl_opens),    cmocka_unit_test(test_openssl_seals),
        cmocka_unit_test(test_seal_refuses),
    };

    return cmocka_run_group_tests_name("cms", tests, setup, teardown);
}
