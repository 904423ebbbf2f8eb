/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "pki.h"

/* Hierarchies of RSA and Ed25519 keys, of both schemes, and mixed with EC, judged by openssl and certtool. */

#define KEYS "keys: [ec-p256, ec-p384, ed25519, rsa-2048, rsa-3072, rsa-4096]\n"
#define HEAD "schema: keymill.profile.v1\nname: x\n" KEYS "key-identifier: rfc7093\n"
#define ROOT HEAD "kind: root\nsubject: fixed\npossession: signature\nkey-usage: [keyCertSign, cRLSign]\n"
#define CA   HEAD "kind: ca\nsubject: request\npossession: signature\nkey-usage: [keyCertSign, cRLSign]\n"
#define LEAF                                                                                                 \
    HEAD "kind: leaf\nsubject: request\npossession: signature\nkey-usage: [digitalSignature]\n"              \
         "extended-key-usage: [clientAuth]\n"
#define SEAL                                                                                                 \
    "schema: keymill.profile.v1\nname: station-seal\nkeys: [rsa-2048, rsa-3072]\nkey-identifier: rfc7093\n"  \
    "kind: leaf\nsubject: request\npossession: statement\nkey-usage: [keyEncipherment]\n"                    \
    "extended-key-usage: [keymill-station-seal]\n"

/* The role, with a usage that does not fit it. */
#define NO_SEAL                                                                                              \
    HEAD "kind: leaf\nsubject: request\npossession: signature\nkey-usage: [digitalSignature]\n"              \
         "extended-key-usage: [keymill-station-seal]\n"

static const struct span none = {NULL, 0};

static struct profile *parse(const char *yaml)
{
    struct profile *p = NULL;
    struct err e;

    must(profile_parse("x.yaml", span_str(yaml), &p, &e), &e);
    return p;
}

static struct node made(const char *yaml, const char *alg, const char *cn, const struct node *issuer)
{
    return node_with(parse(yaml), alg, cn, issuer, 300, none);
}

/* What lint says of a certificate that stands. */
static void assert_clean(const struct node *n, const struct node *issuer)
{
    struct lint_subject s = {
        .tbs = n->cert->tbs, .issuer = issuer ? issuer->cert : NULL, .profile = n->profile};
    struct err e;

    must(lint_tbs(&s, &e), &e);
    must(cert_verify_signature(n->cert, issuer ? issuer->cert : n->cert, &e), &e);
}

static void judge(const char *root_alg, const char *ca_alg, const char *leaf_alg)
{
    struct node root, ca, leaf, other;
    struct bytes crl = BYTES_INIT;
    struct crl *list = NULL;
    struct err e;

    pki_begin = clock_now() - PKI_DAY;
    root = made(ROOT, root_alg, "root-ca", NULL);
    ca = made(CA, ca_alg, "ca", &root);
    leaf = made(LEAF, leaf_alg, "leaf", &ca);
    other = made(LEAF, "ec-p256", "other", &ca);
    assert_clean(&root, NULL);
    assert_clean(&ca, &root);
    assert_clean(&leaf, &ca);
    assert_ptr_equal(leaf.cert->key_alg, alg_key(alg_by_name(leaf_alg)));
    assert_true(span_eq(leaf.cert->sig_algid, alg_by_name(ca_alg)->sig_algid));
    must_fail(cert_verify_signature(leaf.cert, root.cert, &e), &e, RC_INPUT, "x509.signature");

    pki_crl(&ca, other.cert, clock_now() - PKI_DAY, &crl);
    must(crl_parse("crl", bytes_span(&crl), &list, &e), &e);
    must(crl_verify(list, ca.cert, &e), &e);
    crl_free(list);
    pki_cert_file("root.pem", &root);
    pki_cert_file("ca.pem", &ca);
    pki_cert_file("leaf.pem", &leaf);
    pki_cert_file("other.pem", &other);
    pki_file("crl.pem", "X509 CRL", bytes_span(&crl));
#define OSSL "openssl verify -x509_strict -check_ss_sig -CAfile root.pem "
    CHECK_SH(OSSL "root.pem && " OSSL "ca.pem");
    CHECK_SH(OSSL "-untrusted ca.pem -purpose sslclient -crl_check -CRLfile crl.pem leaf.pem");
    assert_false(pki_sh(true, OSSL "-untrusted ca.pem -crl_check -CRLfile crl.pem other.pem"));
    CHECK_SH("cat leaf.pem ca.pem root.pem >chain.pem && certtool --verify --load-ca-certificate root.pem "
             "--infile chain.pem");
    CHECK_SH("certtool --verify-crl --load-ca-certificate ca.pem --infile crl.pem");
    node_free(&root);
    node_free(&ca);
    node_free(&leaf);
    node_free(&other);
    bytes_free(&crl);
    pki_begin = PKI_BEGIN;
}

static void test_rsa(void **state)
{
    (void)state;
    judge("rsa-3072", "rsa-2048", "rsa-2048");
}

static void test_pss(void **state)
{
    (void)state;
    judge("rsa-3072-pss", "rsa-2048-pss", "rsa-2048");
}

static void test_ed25519(void **state)
{
    (void)state;
    judge("ed25519", "ed25519", "ed25519");
}

static void test_mixed(void **state)
{
    (void)state;
    judge("ec-p384", "rsa-2048-pss", "ed25519");
    judge("ed25519", "ec-p256", "rsa-2048");
}

/* One RSA CA under both of its schemes: either is right, and a signature under one does not pass as the
 * other. */
static void test_schemes(void **state)
{
    struct node root = made(ROOT, "rsa-2048", "root-ca", NULL);
    struct node v15 = made(LEAF, "ec-p256", "v15", &root), pss, mixed;
    struct bytes der = BYTES_INIT, sig = BYTES_INIT;
    struct cert *c = NULL;
    struct err e;

    (void)state;
    must(signer_use_pss(root.key, &e), &e);
    pss = made(LEAF, "ec-p256", "pss", &root);
    assert_clean(&v15, &root);
    assert_clean(&pss, &root);
    assert_false(span_eq(v15.cert->sig_algid, pss.cert->sig_algid));

    mixed = pss; /* a PSS signature that is called PKCS #1 v1.5 outside */
    must(signer_sign_message(root.key, pss.cert->tbs, &sig, &e), &e);
    signed_assemble(alg_by_name("rsa-2048"), mixed.cert->tbs, bytes_span(&sig), &der);
    must_fail(cert_parse("mixed", bytes_span(&der), &c, &e), &e, RC_INPUT, "x509.cert");
    bytes_reset(&der);
    signed_assemble(alg_by_name("rsa-2048"), v15.cert->tbs, bytes_span(&sig), &der);
    must(cert_parse("wrong", bytes_span(&der), &c, &e), &e);
    must_fail(cert_verify_signature(c, root.cert, &e), &e, RC_INPUT, "x509.signature");
    cert_free(c);
    bytes_free(&der);
    bytes_free(&sig);
    node_free(&root);
    node_free(&v15);
    node_free(&pss);
}

/* A station's seal certificate for an RSA key: it is encrypted to, and does not agree. */
static void test_seal(void **state)
{
    struct node root = made(ROOT, "ec-p256", "root-ca", NULL);
    struct node seal = made(SEAL, "rsa-2048", "line-1", &root);
    struct node wrong = made(NO_SEAL, "rsa-2048", "line-1", &root);
    struct cms_chain chain = {.ncerts = 0};
    struct trust trust = {.has_issuer = false};
    struct signer *manifest = NULL;
    struct err e;

    (void)state;
    assert_clean(&seal, &root);
    assert_int_equal(seal.key->usage, KEY_DECRYPT);
    assert_int_equal(seal.cert->key_usage, KU_KEY_ENCIPHERMENT);
    must(softkey_new(alg_by_name("ec-p256"), KEY_SIGN, &manifest, &e), &e);
    must_fail(profile_allows_key(seal.profile, manifest->alg, "line-1", &e), &e, RC_INPUT, "x509.key-type");
    must(profile_allows_key(seal.profile, alg_by_name("rsa-2048-pss"), NULL, &e), &e);
    must_fail(profile_allows_key(seal.profile, alg_by_name("rsa-4096"), NULL, &e), &e, RC_INPUT,
              "x509.key-type");
    memcpy(trust.root, root.cert->sha256, SHA256_LEN);
    chain_cert(&chain, &seal);
    chain_cert(&chain, &root);
    chain_crl(&chain, &root, NULL);
    must(verify_role("seal", &chain, &trust, ROLE_STATION_SEAL, PKI_BEGIN + 5 * PKI_DAY, &e), &e);
    bytes_reset(&chain.certs[0]);
    bytes_add_span(&chain.certs[0], bytes_span(&wrong.cert->der));
    must_fail(verify_role("seal", &chain, &trust, ROLE_STATION_SEAL, PKI_BEGIN + 5 * PKI_DAY, &e), &e,
              RC_DENIED, "verify.role");
    cms_chain_free(&chain);
    signer_free(manifest);
    node_free(&root);
    node_free(&seal);
    node_free(&wrong);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rsa),   cmocka_unit_test(test_pss),     cmocka_unit_test(test_ed25519),
        cmocka_unit_test(test_mixed), cmocka_unit_test(test_schemes), cmocka_unit_test(test_seal),
    };

    return cmocka_run_group_tests_name("x509_rows", tests, pki_dir_make, pki_dir_remove);
}
