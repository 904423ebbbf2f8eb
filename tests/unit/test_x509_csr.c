/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pki.h"

static const struct span none = {NULL, 0};

static void san_put(struct bytes *ret)
{
    bytes_add_span(ret, SPAN("\x30\x15\x82\x0dgw.example.eu\x87\x04\x0a\x00\x00\x01"));
}

/* ---- requests ---- */

static void test_csr(void **state)
{
    static const char *const algs[] = {"ec-p256", "ec-p384", "ed25519", "rsa-2048", "rsa-2048-pss"};

    (void)state;
    for (size_t i = 0; i < sizeof algs / sizeof algs[0]; i++) {
        struct signer *key = NULL;
        struct bytes name = BYTES_INIT, der = BYTES_INIT;
        struct csr *c = NULL;
        struct err e;

        must(softkey_new(alg_by_name(algs[i]), KEY_SIGN, &key, &e), &e);
        pki_name("online-ca", &name);
        must(csr_make(key, bytes_span(&name), &der, &e), &e);
        pki_file("csr.pem", "CERTIFICATE REQUEST", bytes_span(&der));
        pki_file("csr.der", NULL, bytes_span(&der));
        CHECK_SH("openssl req -in csr.pem -verify -noout && openssl asn1parse -inform DER -in csr.der");
        must(csr_parse("csr", bytes_span(&der), &c, &e), &e);
        assert_true(span_eq(c->subject, bytes_span(&name)));
        assert_true(span_eq(c->spki, bytes_span(&key->spki)));
        assert_ptr_equal(c->key_alg, alg_key(key->alg));
        assert_int_equal(c->possession, POSSESSION_SIGNATURE);
        assert_string_equal(c->cn, "online-ca");
        assert_int_equal(c->san.n, 0);
        csr_free(c);
        for (size_t k = 0; k < der.n; k += i < 3 ? 1 : 3) { /* RSA keys are slow to check */
            der.p[k] ^= 0x80;
            assert_int_equal(csr_parse("changed", bytes_span(&der), &c, &e), RC_INPUT);
            der.p[k] ^= 0x80;
        }
        bytes_free(&name);
        bytes_free(&der);
        signer_free(key);
    }
}

static void parse_csr_file(const char *file, struct csr **ret, enum rc want, const char *key)
{
    struct bytes text = BYTES_INIT;
    struct err e;
    enum rc rc;

    pki_load(file, &text);
    rc = csr_parse(file, bytes_span(&text), ret, &e);
    if (want)
        must_fail(rc, &e, want, key);
    else
        must(rc, &e);
    bytes_free(&text);
}

/* A request of openssl's for an RSA key, signed with these options. */
static void csr_rsa(const char *options, enum rc want)
{
    struct csr *c = NULL;
    char *line = mem_printf("test -s rsa.key || openssl genrsa -out rsa.key 2048; "
                            "openssl req -new -key rsa.key -subj /CN=x -out rsa.pem %s",
                            options);

    CHECK_SH(line);
    parse_csr_file("rsa.pem", &c, want, "x509.possession");
    if (want == RC_OK) {
        assert_ptr_equal(c->key_alg, alg_by_name("rsa-2048"));
        csr_free(c);
    }
    free(line);
}

static void test_csr_foreign(void **state)
{
    struct csr *c = NULL;
    struct bytes san = BYTES_INIT;

    (void)state;
    san_put(&san);
    CHECK_SH(
        "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k -subj /CN=gw.example.eu "
        "-addext 'subjectAltName=DNS:gw.example.eu,IP:10.0.0.1' -addext 'keyUsage=keyCertSign' -out san.pem");
    parse_csr_file("san.pem", &c, RC_OK, NULL);
    assert_true(span_eq(bytes_span(&c->san), bytes_span(&san)));
    csr_free(c);
    CHECK_SH("openssl req -new -newkey rsa:1024 -nodes -keyout k -subj /CN=x -out rsa.pem");
    parse_csr_file("rsa.pem", &c, RC_INPUT, "x509.csr");
    CHECK_SH("openssl req -new -newkey ed448 -nodes -keyout k -subj /CN=x -out ed448.pem");
    parse_csr_file("ed448.pem", &c, RC_INPUT, "x509.csr");
    CHECK_SH(
        "openssl req -new -newkey rsa:2048 -pkeyopt rsa_keygen_pubexp:3 -nodes -keyout k -subj /CN=x -out e3.pem");
    parse_csr_file("e3.pem", &c, RC_INPUT, "x509.csr");
    CHECK_SH("openssl req -new -newkey ed25519 -nodes -keyout k -subj /CN=x -out ed.pem");
    parse_csr_file("ed.pem", &c, RC_OK, NULL);
    assert_ptr_equal(c->key_alg, alg_by_name("ed25519"));
    csr_free(c);
    CHECK_SH(
        "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-521 -nodes -keyout k -subj /CN=x -out p521.pem");
    parse_csr_file("p521.pem", &c, RC_INPUT, "x509.csr");
    CHECK_SH(
        "openssl req -new -sha512 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k -subj /CN=x -out s512.pem");
    parse_csr_file("s512.pem", &c, RC_INPUT, "x509.possession");
    csr_rsa("", RC_OK);
    csr_rsa("-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32", RC_OK);
    csr_rsa("-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:20", RC_INPUT);
    csr_rsa("-sha512", RC_INPUT);
    csr_rsa("-sha1", RC_INPUT);
    CHECK_SH("cat san.pem san.pem >two.pem; echo nothing >none.pem");
    parse_csr_file("two.pem", &c, RC_INPUT, "x509.csr");
    parse_csr_file("none.pem", &c, RC_INPUT, "x509.csr");
    bytes_free(&san);
}

/* A request whose statement is put together by hand: the included certificate, and the one that is named. */
static void statement_by_hand(const struct node *key, const struct cert *included, const struct cert *named,
                              struct span subject, struct span spki, struct bytes *ret)
{
    struct der_writer w;
    size_t mark;

    der_init(&w);
    if (included)
        der_put(&w, bytes_span(&included->der));
    mark = der_mark(&w);
    der_put_uint(&w, named->serial);
    der_put(&w, named->issuer);
    der_wrap(&w, DER_SEQUENCE, mark);
    der_wrap(&w, DER_SEQUENCE, 0);
    der_wrap(&w, DER_SET, 0);
    der_put_oid(&w, "1.3.6.1.4.1.22112.2.1");
    der_wrap(&w, DER_SEQUENCE, 0);
    der_wrap(&w, DER_CONTEXT_0, 0);
    der_put(&w, spki);
    der_put(&w, subject);
    der_put_small(&w, 0);
    der_wrap(&w, DER_SEQUENCE, 0);
    pki_sign(key->key, der_span(&w), ret);
    der_fini(&w);
}

static void test_csr_statement(void **state)
{
    struct node root = node_make("root", "ec-p256", "root-ca", NULL, 0, none);
    struct node ca = node_make("online-ca", "ec-p256", "online-ca", &root, 0, none);
    struct node manifest = node_make("station-manifest", "ec-p256", "line-1", &ca, 0, none);
    struct node other = node_make("station-manifest", "ec-p256", "line-2", &ca, 0, none);
    struct node twin = node_make("station-manifest", "ec-p256", "line-1", &ca, 0, none);
    struct node seal = node_make("station-seal", "ec-p384", "line-1", &ca, 0, none);
    struct span spki = bytes_span(&seal.key->spki);
    struct bytes der = BYTES_INIT, by_hand = BYTES_INIT;
    struct cert named;
    struct csr *c = NULL;
    struct err e;

    (void)state;
    must(csr_make_statement(spki, manifest.key, bytes_span(&manifest.cert->der), &der, &e), &e);
    must(csr_parse("seal", bytes_span(&der), &c, &e), &e);
    assert_int_equal(c->possession, POSSESSION_STATEMENT);
    assert_true(span_eq(bytes_span(&c->statement_cert), bytes_span(&manifest.cert->der)));
    assert_true(span_eq(c->subject, manifest.cert->subject));
    assert_true(span_eq(c->spki, spki));
    assert_ptr_equal(c->key_alg, alg_by_name("ec-p384"));
    csr_free(c);
    pki_file("seal.der", NULL, bytes_span(&der));
    CHECK_SH("openssl asn1parse -inform DER -in seal.der");

    statement_by_hand(&manifest, manifest.cert, manifest.cert, manifest.cert->subject, spki, &by_hand);
    must(csr_parse("by hand", bytes_span(&by_hand), &c, &e), &e);
    csr_free(c);
#define REFUSED(key, included, named, subject)                                                               \
    do {                                                                                                     \
        bytes_reset(&by_hand);                                                                               \
        statement_by_hand(key, included, named, subject, spki, &by_hand);                                    \
        must_fail(csr_parse("by hand", bytes_span(&by_hand), &c, &e), &e, RC_INPUT, "x509.possession");      \
    } while (0)
    REFUSED(&manifest, NULL, manifest.cert, manifest.cert->subject);
    REFUSED(&manifest, manifest.cert, twin.cert, manifest.cert->subject);
    named = *manifest.cert; /* the same serial number of another issuer */
    named.issuer = root.cert->subject;
    REFUSED(&manifest, manifest.cert, &named, manifest.cert->subject);
    REFUSED(&manifest, manifest.cert, manifest.cert, other.cert->subject);
    REFUSED(&other, manifest.cert, manifest.cert, manifest.cert->subject);
    must_fail(csr_make_statement(spki, other.key, bytes_span(&manifest.cert->der), &by_hand, &e), &e,
              RC_INPUT, "x509.possession");
    /* A key that can only agree cannot vouch for another. */
    must_fail(csr_make(seal.key, manifest.cert->subject, &by_hand, &e), &e, RC_DENIED, "sign.usage");
    bytes_free(&der);
    bytes_free(&by_hand);
    node_free(&root);
    node_free(&ca);
    node_free(&manifest);
    node_free(&other);
    node_free(&twin);
    node_free(&seal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_csr),
        cmocka_unit_test(test_csr_foreign),
        cmocka_unit_test(test_csr_statement),
    };

    return cmocka_run_group_tests(tests, pki_dir_make, pki_dir_remove);
}
