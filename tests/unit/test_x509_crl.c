/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "pki.h"

static const struct span none = {NULL, 0};

/* ---- CRLs ---- */

static void test_crl(void **state)
{
    struct node root = node_make("root", "ec-p384", "root-ca", NULL, 0, none);
    struct node other = node_make("root", "ec-p384", "root-ca", NULL, 0, none);
    struct node a = node_make("online-ca", "ec-p256", "a", &root, 0, none);
    struct node b = node_make("online-ca", "ec-p256", "b", &root, 0, none);
    const struct cert *certs[] = {a.cert, other.cert};
    struct pki_revoked r = {certs, 2, 0, 4};
    struct bytes der = BYTES_INIT, pem = BYTES_INIT;
    struct crl *crl = NULL;
    struct crl_entry entry;
    struct err e;

    (void)state;
    must(crl_make(root.key, root.cert, 259, PKI_BEGIN, PKI_BEGIN + PKI_DAY, pki_next, &r, &der, &e), &e);
    pki_cert_file("root.pem", &root);
    pki_cert_file("a.pem", &a);
    pki_cert_file("b.pem", &b);
    pki_file("crl.pem", "X509 CRL", bytes_span(&der));
    pki_file("crl.der", NULL, bytes_span(&der));
    CHECK_SH("openssl crl -in crl.pem -verify -CAfile root.pem -noout 2>&1 | grep -q 'verify OK'");
    CHECK_SH("openssl asn1parse -inform DER -in crl.der");
    CHECK_SH(
        "openssl crl -in crl.pem -noout -text | grep -q Superseded && openssl crl -in crl.pem -noout -crlnumber | grep -qi "
        "'crlNumber=0x0*103'");
    CHECK_SH(
        "openssl verify -x509_strict -crl_check -attime 1767230000 -CAfile root.pem -CRLfile crl.pem b.pem");
    assert_false(
        pki_sh(true, "openssl verify -crl_check -attime 1767230000 -CAfile root.pem -CRLfile crl.pem a.pem"));
    CHECK_SH(
        "/usr/bin/python3 -c \"from cryptography import x509; c = x509.load_pem_x509_crl(open('crl.pem', 'rb').read()); "
        "assert len(c) == 2 and c[0].extensions[0].value.reason == x509.ReasonFlags.superseded\"");

    pem_encode("X509 CRL", bytes_span(&der), &pem);
    must(crl_parse("crl", bytes_span(&pem), &crl, &e), &e);
    must(crl_verify(crl, root.cert, &e), &e);
    must_fail(crl_verify(crl, other.cert, &e), &e, RC_INPUT, "x509.crl-signature");
    must_fail(crl_verify(crl, a.cert, &e), &e, RC_INPUT, "x509.crl-signature");
    assert_true(crl->number == 259 && crl->this_update == PKI_BEGIN &&
                crl->next_update == PKI_BEGIN + PKI_DAY);
    assert_true(crl_lists(crl, a.cert->serial, &entry));
    assert_int_equal(entry.reason, crl_reason("superseded"));
    assert_true(entry.revoked_at == PKI_BEGIN + PKI_DAY);
    assert_false(crl_lists(crl, b.cert->serial, &entry));
    crl_free(crl);
    crl = NULL;
    for (size_t i = 0; i < der.n; i++) { /* every octet counts */
        der.p[i] ^= 0x01;
        if (crl_parse("changed", bytes_span(&der), &crl, &e) == RC_OK) {
            assert_int_equal(crl_verify(crl, root.cert, &e), RC_INPUT);
            crl_free(crl);
        }
        der.p[i] ^= 0x01;
    }
    bytes_free(&der);
    bytes_free(&pem);
    node_free(&root);
    node_free(&other);
    node_free(&a);
    node_free(&b);
}

static void test_crl_empty(void **state)
{
    struct node root = node_make("root", "ec-p256", "root-ca", NULL, 0, none);
    struct node device = node_make("device", "ec-p256", "dev", &root, 0, none);
    struct pki_revoked r = {NULL, 0, 0, 0};
    struct bytes der = BYTES_INIT;
    struct crl *crl = NULL;
    struct crl_entry entry;
    struct err e;

    (void)state;
    must(crl_make(root.key, root.cert, 1, PKI_BEGIN, PKI_BEGIN + PKI_DAY, pki_next, &r, &der, &e), &e);
    must(crl_parse("crl", bytes_span(&der), &crl, &e), &e);
    assert_int_equal(crl->revoked.n, 0);
    assert_false(crl_lists(crl, root.cert->serial, &entry));
    pki_cert_file("root.pem", &root);
    pki_file("crl.pem", "X509 CRL", bytes_span(&der));
    CHECK_SH(
        "openssl crl -in crl.pem -verify -CAfile root.pem -noout -text 2>&1 | grep -q 'No Revoked Certificates'");
    crl_free(crl);
    bytes_free(&der);
    must_fail(crl_make(device.key, device.cert, 1, PKI_BEGIN, PKI_BEGIN, pki_next, &r, &der, &e), &e,
              RC_INPUT, "x509.crl-issuer");
    must_fail(crl_make(device.key, root.cert, 1, PKI_BEGIN, PKI_BEGIN, pki_next, &r, &der, &e), &e, RC_INPUT,
              "x509.crl-issuer");
    must_fail(crl_make(root.key, root.cert, 1, PKI_BEGIN, PKI_BEGIN - 1, pki_next, &r, &der, &e), &e,
              RC_INPUT, "x509.crl");
    assert_int_equal(der.n, 0);
    node_free(&root);
    node_free(&device);
}

/* CRLs of others that must not be believed. */
static void test_crl_refuses(void **state)
{
    static const char *const config =
        "cat >crl.cnf <<'EOT'\n"
        "[ca]\ndefault_ca = x\n[x]\ndatabase = index\ncrlnumber = number\ndefault_md = sha256\n"
        "[aki]\nauthorityKeyIdentifier = keyid\n"
        "[idp]\nauthorityKeyIdentifier = keyid\nissuingDistributionPoint = critical, @part\n"
        "[part]\nonlyuser = TRUE\n"
        "EOT\n"
        ": >index; echo 01 >number\n"
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -subj /CN=ca -out ca.pem\n"
        "c='openssl ca -config crl.cnf -gencrl -keyfile ca.key -cert ca.pem -crldays 3'\n"
        "$c -crlexts aki -out good.crl && $c -out bare.crl && $c -crlexts idp -out idp.crl";
    static const char *const bad[] = {"bare.crl", "idp.crl", "ca.pem"};
    struct crl *crl = NULL;
    struct bytes text = BYTES_INIT;
    struct err e;

    (void)state;
    CHECK_SH(config);
    pki_load("good.crl", &text);
    must(crl_parse("good.crl", bytes_span(&text), &crl, &e), &e);
    crl_free(crl);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        bytes_reset(&text);
        pki_load(bad[i], &text);
        must_fail(crl_parse(bad[i], bytes_span(&text), &crl, &e), &e, RC_INPUT, "x509.crl");
    }
    bytes_free(&text);
}

/* Right signatures over lists that are not as RFC 5280 wants them: an empty list, another algorithm outside.
 */
static void test_crl_crooked(void **state)
{
    struct node root = node_make("root", "ec-p256", "root-ca", NULL, 0, none);
    struct pki_revoked r = {NULL, 0, 0, 0};
    struct bytes good = BYTES_INIT, bad = BYTES_INIT, sig = BYTES_INIT;
    struct crl *crl = NULL;
    struct der_writer w;
    struct span in;
    struct der_value v;
    size_t before;
    struct err e;

    (void)state;
    must(crl_make(root.key, root.cert, 1, PKI_BEGIN, PKI_BEGIN, pki_next, &r, &good, &e), &e);
    must(crl_parse("good", bytes_span(&good), &crl, &e), &e);
    must(der_only(crl->tbs, DER_SEQUENCE, &in, &e), &e);
    for (before = 0; in.p[before] != DER_CONTEXT_0;) {
        struct span rest = {in.p + before, in.n - before};

        must(der_next(&rest, &v, &e), &e);
        before += v.whole.n;
    }
    der_init(&w);
    der_put(&w, (struct span){in.p + before, in.n - before});
    der_put(&w, SPAN("\x30\x00"));
    der_put(&w, (struct span){in.p, before});
    der_wrap(&w, DER_SEQUENCE, 0);
    pki_sign(root.key, der_span(&w), &bad);
    must(signer_sign_message(root.key, crl->tbs, &sig, &e), &e);
    bytes_reset(&good);
    signed_assemble(alg_by_name("ec-p384"), crl->tbs, bytes_span(&sig), &good);
    crl_free(crl);
    must_fail(crl_parse("bad", bytes_span(&bad), &crl, &e), &e, RC_INPUT, "x509.crl");
    must_fail(crl_parse("bad", bytes_span(&good), &crl, &e), &e, RC_INPUT, "x509.crl");
    der_fini(&w);
    bytes_free(&good);
    bytes_free(&bad);
    bytes_free(&sig);
    node_free(&root);
}

static void test_crl_reasons(void **state)
{
    (void)state;
    assert_int_equal(crl_reason("unspecified"), 0);
    assert_int_equal(crl_reason("keyCompromise"), 1);
    assert_int_equal(crl_reason("removeFromCRL"), 8);
    assert_int_equal(crl_reason("aACompromise"), 10);
    assert_int_equal(crl_reason("nonsense"), -1);
    assert_null(crl_reason_name(7));
    assert_null(crl_reason_name(11));
    assert_null(crl_reason_name(-1));
    assert_string_equal(crl_reason_name(5), "cessationOfOperation");
}

struct count {
    uint32_t at, n;
    uint8_t serial[SERIAL_LEN];
};

static bool next_count(void *arg, struct crl_entry *ret)
{
    struct count *c = arg;

    if (c->at == c->n)
        return false;
    memset(c->serial, 0x41, sizeof c->serial);
    for (size_t i = 0; i < 4; i++)
        c->serial[12 + i] = (uint8_t)(c->at >> (24 - 8 * i));
    c->at++;
    *ret = (struct crl_entry){{c->serial, sizeof c->serial}, PKI_BEGIN, (int)(c->at % 2)};
    return true;
}

static void test_crl_large(void **state)
{
    struct node root = node_make("root", "ec-p256", "root-ca", NULL, 0, none);
    struct count count = {.n = 300000};
    struct bytes der = BYTES_INIT;
    struct crl *crl = NULL;
    struct crl_entry entry;
    uint8_t last[SERIAL_LEN];
    int64_t begin = clock_mono_ms();
    struct err e;

    (void)state;
    must(crl_make(root.key, root.cert, 1, PKI_BEGIN, PKI_BEGIN + PKI_DAY, next_count, &count, &der, &e), &e);
    must(crl_parse("large", bytes_span(&der), &crl, &e), &e);
    must(crl_verify(crl, root.cert, &e), &e);
    memcpy(last, count.serial, sizeof last);
    assert_true(crl_lists(crl, (struct span){last, sizeof last}, &entry));
    last[0] = 0x42;
    assert_false(crl_lists(crl, (struct span){last, sizeof last}, &entry));
    assert_true(clock_mono_ms() - begin < 20000); /* anything quadratic takes minutes */
    pki_file("large.der", NULL, bytes_span(&der));
    CHECK_SH(
        "test $(openssl crl -inform DER -in large.der -noout -text | grep -c 'Serial Number:') = 300000");
    crl_free(crl);
    bytes_free(&der);
    node_free(&root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crl),         cmocka_unit_test(test_crl_empty),
        cmocka_unit_test(test_crl_refuses), cmocka_unit_test(test_crl_crooked),
        cmocka_unit_test(test_crl_reasons), cmocka_unit_test(test_crl_large),
    };

    return cmocka_run_group_tests(tests, pki_dir_make, pki_dir_remove);
}
