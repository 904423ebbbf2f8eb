/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "pki.h"

static const struct span none = {NULL, 0};

/* ---- profiles ---- */

static void test_profiles_load(void **state)
{
    static const char *const names[] = {
        "root",   "online-ca", "local-ca",         "server",       "device",          "ocsp",
        "office", "release",   "station-manifest", "station-seal", "ceremony-officer"};
    struct profile *p = NULL;
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int role;

        must(profile_load(names[i], &p, &e), &e);
        assert_string_equal(p->name, names[i]);
        role = p->nekus ? role_of_oid(p->ekus[0]) : -1;
        if (role >= 0)
            assert_string_equal(role_name((enum role)role), names[i]);
        assert_int_equal(role >= 0, i >= 6);
        profile_free(p);
    }
    must(profile_load("schemas/profiles/station-seal.yaml", &p, &e), &e);
    assert_int_equal(p->possession, POSSESSION_STATEMENT);
    assert_int_equal(p->key_usage, KU_KEY_AGREEMENT);
    assert_string_equal(p->ekus[0], "2.25.67055011817518250399580807217873608514.4");
    profile_free(p);
    must_fail(profile_load("no-such", &p, &e), &e, RC_INPUT, "x509.profile");
    must_fail(profile_load("..", &p, &e), &e, RC_INPUT, "x509.profile");
}

/* Every profile is what its published schema says. */
static void test_profiles_schema(void **state)
{
    char *cwd = getcwd(NULL, 0);
    char *line = mem_printf("cat >schema.py <<'EOT'\n"
                            "import glob, json, sys, jsonschema, yaml\n"
                            "schema = json.load(open(sys.argv[1] + '/profile.schema.json'))\n"
                            "jsonschema.Draft202012Validator.check_schema(schema)\n"
                            "files = glob.glob(sys.argv[1] + '/profiles/*.yaml')\n"
                            "assert len(files) == 11\n"
                            "for f in files:\n"
                            "    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(open(f)))\n"
                            "EOT\n"
                            "/usr/bin/python3 schema.py '%s/schemas'",
                            cwd);

    (void)state;
    CHECK_SH(line);
    free(line);
    free(cwd);
}

#define HEAD       "schema: keymill.profile.v1\nname: x\n"
#define LEAF       HEAD "kind: leaf\nsubject: request\nkeys: [ec-p256]\nkey-identifier: sha1\n"
#define CA         HEAD "kind: ca\nsubject: request\nkeys: [ec-p256]\npossession: signature\n"
#define KEYS(list) HEAD "kind: leaf\nsubject: request\nkeys: [" list "]\nkey-identifier: none\n"
#define SIG        "key-usage: [digitalSignature]\npossession: signature\n"

static void test_profiles_refuse(void **state)
{
    static const struct {
        const char *yaml, *key;
    } rows[] = {
        {LEAF SIG "extra: 1\n", "doc.unknown-key"},
        {LEAF "key-usage: [digitalSignature, keyCertSign]\npossession: signature\n", "x509.profile"},
        {LEAF "key-usage: [nonRepudiation]\npossession: signature\n", "x509.profile"},
        {LEAF "key-usage: []\npossession: signature\n", "x509.profile"},
        {LEAF "key-usage: [keyAgreement]\npossession: signature\n", "x509.profile"},
        {LEAF "key-usage: [digitalSignature]\npossession: statement\n", "x509.profile"},
        {LEAF SIG "path-length: 0\n", "x509.profile"},
        {LEAF SIG "ocsp-nocheck: true\n", "x509.profile"},
        {LEAF SIG "extended-key-usage: [keymill-nobody]\n", "x509.profile"},
        {LEAF SIG "extended-key-usage: [clientAuth, 1.3.6.1.5.5.7.3.2]\n", "x509.profile"},
        {LEAF SIG "extended-key-usage: [1.2.03]\n", "x509.profile"},
        {LEAF SIG "default-days: 30\nmax-days: 20\n", "x509.profile"},
        {LEAF SIG "attributes:\n  - {type: O, value: x}\n", "x509.profile"},
        {HEAD "kind: leaf\nsubject: device-id\nkeys: [ec-p256]\nkey-identifier: none\n" SIG
              "attributes:\n  - {type: CN, value: x}\n",
         "x509.profile"},
        {HEAD "kind: leaf\nsubject: device-id\nkeys: [ec-p256]\nkey-identifier: none\n" SIG
              "attributes:\n  - {type: C, value: DEU}\n",
         "x509.profile"},
        {KEYS("rsa-1024") SIG, "x509.profile"},
        {KEYS("rsa-2048-pss") SIG, "x509.profile"}, /* a scheme, no key type */
        {KEYS("ec-p256, rsa-2048") "key-usage: [keyAgreement]\npossession: statement\n", "x509.profile"},
        {KEYS("ed25519") "key-usage: [keyAgreement]\npossession: statement\n", "x509.profile"},
        {KEYS("rsa-2048, ec-p256") "key-usage: [keyEncipherment]\npossession: statement\n", "x509.profile"},
        {KEYS("ed25519") "key-usage: [keyEncipherment]\npossession: statement\n", "x509.profile"},
        {KEYS("rsa-2048") "key-usage: [keyEncipherment]\npossession: signature\n", "x509.profile"},
        {HEAD "kind: ca\nsubject: request\nkeys: [rsa-2048]\npossession: signature\nkey-identifier: sha1\n"
              "key-usage: [keyCertSign, keyEncipherment]\n",
         "x509.profile"},
        {CA "key-identifier: none\nkey-usage: [keyCertSign]\n", "x509.profile"},
        {CA "key-identifier: sha1\nkey-usage: [cRLSign]\n", "x509.profile"},
        {CA "key-identifier: sha1\nkey-usage: [keyCertSign]\nextended-key-usage: [OCSPSigning]\n",
         "x509.profile"},
        {CA "key-identifier: sha1\nkey-usage: [keyCertSign]\nextended-key-usage: [keymill-office]\n",
         "x509.profile"},
        {CA "key-identifier: sha1\nkey-usage: [keyCertSign]\nextended-key-usage: [2.5.29.37.0]\n",
         "x509.profile"},
        {CA "key-identifier: sha1\nkey-usage: [keyCertSign]\nsan-from-request: true\n", "x509.profile"},
    };
    struct profile *p = NULL;
    struct err e;

    (void)state;
    must(profile_parse("x.yaml", SPAN(LEAF SIG), &p, &e), &e);
    assert_int_equal(p->path_len, -1);
    assert_int_equal(p->max_days, 0);
    profile_free(p);
    p = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        must_fail(profile_parse("x.yaml", span_str(rows[i].yaml), &p, &e), &e, RC_INPUT, rows[i].key);
        assert_null(p);
    }
}

/* ---- certificates, judged by others ---- */

static void san_put(struct bytes *ret)
{
    bytes_add_span(ret, SPAN("\x30\x15\x82\x0dgw.example.eu\x87\x04\x0a\x00\x00\x01"));
}

static void test_chain_alg(const char *root_alg, const char *leaf_alg)
{
    struct bytes san = BYTES_INIT;
    struct node root, online, local, server, device, ocsp, seal;

    san_put(&san);
    root = node_make("root", root_alg, "root-ca", NULL, 9000, none);
    online = node_make("online-ca", leaf_alg, "online-ca", &root, 0, none);
    local = node_make("local-ca", leaf_alg, "local-ca", &root, 0, none);
    server = node_make("server", leaf_alg, "gw.example.eu", &online, 0, bytes_span(&san));
    device = node_make("device", leaf_alg, "MX1-000123", &local, 0, none);
    ocsp = node_make("ocsp", leaf_alg, "ocsp", &local, 0, none);
    seal = node_make("station-seal", leaf_alg, "line-1", &online, 0, none);
    pki_cert_file("root.pem", &root);
    pki_cert_file("online.pem", &online);
    pki_cert_file("local.pem", &local);
    pki_cert_file("server.pem", &server);
    pki_cert_file("device.pem", &device);
    pki_cert_file("ocsp.pem", &ocsp);
    pki_cert_file("seal.pem", &seal);
#define OSSL "openssl verify -x509_strict -check_ss_sig -attime 1770000000 -CAfile root.pem "
    CHECK_SH(OSSL "root.pem");
    CHECK_SH(OSSL "online.pem");
    CHECK_SH(OSSL "-untrusted online.pem -purpose sslserver -verify_hostname gw.example.eu server.pem");
    CHECK_SH(OSSL "-untrusted online.pem -verify_ip 10.0.0.1 server.pem");
    CHECK_SH(OSSL "-untrusted local.pem -purpose sslclient device.pem");
    CHECK_SH(OSSL "-untrusted online.pem seal.pem");
    assert_false(pki_sh(true, OSSL "-untrusted local.pem -purpose sslserver device.pem"));
    CHECK_SH(
        "for f in root online local server device ocsp seal; do openssl x509 -in $f.pem -outform DER -out $f.der && "
        "openssl asn1parse -inform DER -in $f.der || exit 1; done");
    CHECK_SH("openssl x509 -in ocsp.pem -noout -text | grep -q 'OCSP No Check'");
    CHECK_SH(
        "cat >chain.py <<'EOT'\n"
        "import sys\n"
        "from cryptography import x509\n"
        "from cryptography.hazmat.primitives.asymmetric import ec\n"
        "chain = [x509.load_pem_x509_certificate(open(f, 'rb').read()) for f in sys.argv[1:]]\n"
        "for c, i in zip(chain, chain[1:] + chain[-1:]):\n"
        "    assert c.issuer == i.subject\n"
        "    i.public_key().verify(c.signature, c.tbs_certificate_bytes, ec.ECDSA(c.signature_hash_algorithm))\n"
        "    ski = i.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest\n"
        "    if c is not i:\n"
        "        assert c.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == ski\n"
        "d = chain[0].extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value\n"
        "assert d == x509.SubjectKeyIdentifier.from_public_key(chain[0].public_key())\n"
        "bc = chain[0].extensions.get_extension_for_class(x509.BasicConstraints)\n"
        "assert bc.critical and not bc.value.ca\n"
        "ku = chain[0].extensions.get_extension_for_class(x509.KeyUsage)\n"
        "assert ku.critical and ku.value.digital_signature and not ku.value.key_agreement\n"
        "EOT\n"
        "/usr/bin/python3 chain.py device.pem local.pem root.pem");
    node_free(&root);
    node_free(&online);
    node_free(&local);
    node_free(&server);
    node_free(&device);
    node_free(&ocsp);
    node_free(&seal);
    bytes_free(&san);
}

/* certtool judges at no other time than now. */
static void test_chain_gnutls(void **state)
{
    struct node root, local, device;

    (void)state;
    pki_begin = clock_now() - PKI_DAY;
    root = node_make("root", "ec-p384", "root-ca", NULL, 0, none);
    local = node_make("local-ca", "ec-p256", "local-ca", &root, 0, none);
    device = node_make("device", "ec-p256", "MX1-000123", &local, 0, none);
    pki_begin = PKI_BEGIN;
    pki_cert_file("root.pem", &root);
    pki_cert_file("local.pem", &local);
    pki_cert_file("device.pem", &device);
    CHECK_SH(
        "cat device.pem local.pem root.pem >chain.pem && certtool --verify --load-ca-certificate root.pem --infile chain.pem");
    CHECK_SH(
        "cat device.pem local.pem | certtool --verify --verify-purpose 1.3.6.1.5.5.7.3.2 --load-ca-certificate root.pem");
    assert_false(pki_sh(true,
                        "cat device.pem local.pem | certtool --verify --verify-purpose 1.3.6.1.5.5.7.3.1 "
                        "--load-ca-certificate root.pem"));
    node_free(&root);
    node_free(&local);
    node_free(&device);
}

static void test_chain(void **state)
{
    (void)state;
    test_chain_alg("ec-p256", "ec-p256");
    test_chain_alg("ec-p384", "ec-p256");
    test_chain_alg("ec-p384", "ec-p384");
}

/* Every field as it was put. */
static void test_cert_fields(void **state)
{
    struct node root = node_make("root", "ec-p384", "root-ca", NULL, 0, none);
    struct node local = node_make("local-ca", "ec-p256", "local-ca", &root, 0, none);
    const struct cert *c = local.cert;
    uint8_t id[20];
    struct err e;

    (void)state;
    assert_ptr_equal(c->key_alg, alg_by_name("ec-p256"));
    assert_ptr_equal(c->sig_alg, alg_by_name("ec-p384"));
    assert_int_equal(c->serial.n, SERIAL_LEN);
    assert_true(c->not_before == PKI_BEGIN && c->not_after == PKI_BEGIN + 1000 * PKI_DAY);
    assert_true(c->has_bc && c->ca && c->bc_critical && c->path_len == 0 && root.cert->path_len == -1);
    assert_true(c->has_ku && c->ku_critical && c->key_usage == (KU_KEY_CERT_SIGN | KU_CRL_SIGN));
    assert_true(c->has_eku && c->nekus == 1 && cert_has_eku(c, "1.3.6.1.5.5.7.3.2"));
    assert_false(root.cert->has_eku);
    assert_true(span_eq(c->aki, root.cert->ski) && root.cert->aki.n == 0);
    key_id_rfc7093(c->spki, id);
    assert_true(span_eq(c->ski, (struct span){id, 20}));
    assert_string_equal(c->cn, "local-ca");
    assert_false(c->unknown_critical);
    must(cert_verify_signature(c, root.cert, &e), &e);
    must_fail(cert_verify_signature(root.cert, local.cert, &e), &e, RC_INPUT, "x509.signature");
    node_free(&root);
    node_free(&local);
}

/* A foreign certificate is read; only its signature cannot be judged. */
static void test_cert_foreign(void **state)
{
    static const struct {
        const char *newkey;
        bool known_sig; /* the scheme is one of ours, the key is not */
    } keys[] = {{"ed448", false}, {"rsa:1024", true}, {"ec -pkeyopt ec_paramgen_curve:P-521", true}};
    struct cert *c = NULL;
    char *path = path_join(pki_dir, "foreign.pem");
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char *line =
            mem_printf("openssl req -x509 -newkey %s -nodes -keyout /dev/null -subj /CN=foreign/O=Other "
                       "-days 30 -out foreign.pem",
                       keys[i].newkey);
        CHECK_SH(line);
        free(line);
        must(cert_read(path, &c, &e), &e);
        assert_null(c->key_alg);
        assert_int_equal(c->sig_alg != NULL, keys[i].known_sig);
        assert_string_equal(c->cn, "foreign");
        must_fail(cert_verify_signature(c, c, &e), &e, RC_INPUT, "x509.signature");
        assert_non_null(strstr(e.text, "ec-p256"));
        cert_free(c);
    }
    free(path);
    path = path_join(pki_dir, "v1.pem");
    CHECK_SH(
        "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout v1.key -subj /CN=v1 -out v1.csr && "
        "openssl x509 -req -in v1.csr -signkey v1.key -out v1.pem");
    must_fail(cert_read(path, &c, &e), &e, RC_INPUT, "x509.cert");
    free(path);
}

static void test_cert_refuses(void **state)
{
    struct node root = node_make("root", "ec-p256", "root-ca", NULL, 0, none);
    struct bytes der = BYTES_INIT;
    struct cert *c = NULL;
    struct err e;

    (void)state;
    bytes_add_span(&der, bytes_span(&root.cert->der));
    for (size_t n = 0; n < der.n; n++) /* cut short anywhere */
        must_fail(cert_parse("cut", (struct span){der.p, n}, &c, &e), &e, RC_INPUT, "x509.cert");
    bytes_add_byte(&der, 0);
    must_fail(cert_parse("longer", bytes_span(&der), &c, &e), &e, RC_INPUT, "x509.cert");
    must_fail(cert_read("/nonexistent/cert.pem", &c, &e), &e, RC_SYSTEM, "file.read");
    bytes_free(&der);
    node_free(&root);
}

static void test_tbs_refuses(void **state)
{
    struct node root = node_make("root", "ec-p256", "root-ca", NULL, 0, none);
    struct node p384 = node_make("device", "ec-p384", "dev", &root, 0, none);
    struct profile *p = NULL;
    struct tbs_template *t = NULL;
    struct bytes tbs = BYTES_INIT, san = BYTES_INIT;
    struct tbs_inputs in = {.sig_alg = root.key->alg,
                            .issuer_name = root.cert->subject,
                            .issuer_key_id = root.cert->ski,
                            .not_before = PKI_BEGIN,
                            .not_after = PKI_BEGIN - 1};
    struct tbs_subject s = {SPAN("\x01\x02"), root.cert->subject, bytes_span(&root.key->spki), none};
    static const struct span serials[] = {{(const uint8_t *)"", 0},
                                          {(const uint8_t *)"\x80", 1},
                                          {(const uint8_t *)"\x00\x01", 2},
                                          {(const uint8_t *)"\x01xxxxxxxxxxxxxxxxxxxx", 21}};
    struct err e;

    (void)state;
    san_put(&san);
    must(profile_parse("x", SPAN(LEAF SIG "max-days: 10\n"), &p, &e), &e);
    in.profile = p;
    must_fail(tbs_template_new(&in, &t, &e), &e, RC_INPUT, "x509.validity");
    in.not_after = PKI_BEGIN + 10 * PKI_DAY + 1;
    must_fail(tbs_template_new(&in, &t, &e), &e, RC_INPUT, "x509.validity");
    in.not_after--;
    must(tbs_template_new(&in, &t, &e), &e);
    for (size_t i = 0; i < sizeof serials / sizeof serials[0]; i++) {
        s.serial = serials[i];
        must_fail(tbs_make(t, &s, &tbs, &e), &e, RC_INPUT, "x509.serial");
    }
    s.serial = SPAN("\x01\x02");
    s.spki = bytes_span(&p384.key->spki);
    must_fail(tbs_make(t, &s, &tbs, &e), &e, RC_INPUT, "x509.key-type");
    s.spki = (struct span){root.key->spki.p, root.key->spki.n - 1};
    must_fail(tbs_make(t, &s, &tbs, &e), &e, RC_INPUT, "x509.key-type");
    s.spki = bytes_span(&root.key->spki);
    s.san = bytes_span(&san);
    must_fail(tbs_make(t, &s, &tbs, &e), &e, RC_INPUT, "x509.san");
    assert_int_equal(tbs.n, 0);
    s.san = none;
    must(tbs_make(t, &s, &tbs, &e), &e);
    tbs_template_free(t);
    profile_free(p);
    bytes_free(&tbs);
    bytes_free(&san);
    node_free(&root);
    node_free(&p384);
}

static void test_san(void **state)
{
    static const struct span bad[] = {
        {(const uint8_t *)"\x30\x00", 2},
        {(const uint8_t *)"\x30\x03\x82\x01.", 5},
        {(const uint8_t *)"\x30\x04\x82\x02-a", 6},
        {(const uint8_t *)"\x30\x04\x82\x02"
                          "a-",
         6},
        {(const uint8_t *)"\x30\x05\x82\x03*.a", 7},
        {(const uint8_t *)"\x30\x05\x82\x03"
                          "a\0b",
         7},
        {(const uint8_t *)"\x30\x05\x87\x03"
                          "abc",
         7},
        {(const uint8_t *)"\x30\x05\x81\x03"
                          "a@b",
         7},
        {(const uint8_t *)"\x30\x03\x82\x01", 4},
        {(const uint8_t *)"\x30\x02\x82\x00", 4},
    };
    struct bytes san = BYTES_INIT;
    struct err e;

    (void)state;
    san_put(&san);
    must(san_check(bytes_span(&san), &e), &e);
    must(san_check(SPAN("\x30\x0a\x82\x08*.a-b.c9"), &e), &e);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(san_check(bad[i], &e), RC_INPUT);
        assert_string_equal(e.key, "x509.san");
    }
    bytes_free(&san);
}

static void test_serial(void **state)
{
    uint8_t a[SERIAL_LEN], b[SERIAL_LEN];
    struct err e;

    (void)state;
    for (int i = 0; i < 200; i++) {
        must(serial_new(a, &e), &e);
        must(serial_new(b, &e), &e);
        assert_true(a[0] >= 0x40 && a[0] <= 0x7f);
        assert_memory_not_equal(a, b, sizeof a);
    }
}

/* ---- chains in files ---- */

static void test_chain_read(void **state)
{
    struct node root = node_make("root", "ec-p256", "root-ca", NULL, 0, none);
    struct node ca = node_make("online-ca", "ec-p256", "online-ca", &root, 0, none);
    struct bytes crl = BYTES_INIT;
    struct cms_chain chain = {.ncerts = 0};
    char *path = path_join(pki_dir, "chain.pem");
    struct err e;

    (void)state;
    pki_crl(&root, NULL, PKI_BEGIN, &crl);
    pki_cert_file("root.pem", &root);
    pki_cert_file("ca.pem", &ca);
    pki_file("crl.pem", "X509 CRL", bytes_span(&crl));
    pki_file("key.pem", "PRIVATE KEY", SPAN("\x30\x00"));
    CHECK_SH("cat ca.pem crl.pem root.pem >chain.pem");
    must(chain_read(path, &chain, &e), &e);
    assert_true(chain.ncerts == 2 && chain.ncrls == 1);
    assert_true(span_eq(bytes_span(&chain.certs[0]), bytes_span(&ca.cert->der)));
    assert_true(span_eq(bytes_span(&chain.certs[1]), bytes_span(&root.cert->der)));
    assert_true(span_eq(bytes_span(&chain.crls[0]), bytes_span(&crl)));
    must(chain_read(path, &chain, &e), &e);
    assert_true(chain.ncerts == 4 && chain.ncrls == 2);
    CHECK_SH("cat ca.pem ca.pem ca.pem ca.pem ca.pem >chain.pem");
    must_fail(chain_read(path, &chain, &e), &e, RC_INPUT, "x509.chain");
    assert_true(chain.ncerts == 4 && chain.ncrls == 2);
    CHECK_SH("cat ca.pem key.pem >chain.pem");
    must_fail(chain_read(path, &chain, &e), &e, RC_INPUT, "x509.chain");
    CHECK_SH(": >chain.pem");
    must_fail(chain_read(path, &chain, &e), &e, RC_INPUT, "x509.chain");
    assert_int_equal(chain.ncerts, 4);
    cms_chain_free(&chain);
    bytes_free(&crl);
    free(path);
    node_free(&root);
    node_free(&ca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_profiles_load),   cmocka_unit_test(test_profiles_schema),
        cmocka_unit_test(test_profiles_refuse), cmocka_unit_test(test_chain_gnutls),
        cmocka_unit_test(test_chain),           cmocka_unit_test(test_cert_fields),
        cmocka_unit_test(test_cert_foreign),    cmocka_unit_test(test_cert_refuses),
        cmocka_unit_test(test_tbs_refuses),     cmocka_unit_test(test_san),
        cmocka_unit_test(test_serial),          cmocka_unit_test(test_chain_read),
    };

    return cmocka_run_group_tests(tests, pki_dir_make, pki_dir_remove);
}
