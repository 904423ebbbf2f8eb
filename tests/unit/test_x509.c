/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "pki.h"

static const struct span none = {NULL, 0};

/* ---- DER ---- */

static void assert_hex(struct span s, const char *hex)
{
    char *text = hex_new(s);

    assert_string_equal(text, hex);
    free(text);
}

static void test_der_values(void **state)
{
    struct der_writer w;

    (void)state;
    der_init(&w);
    assert_int_equal(der_span(&w).n, 0);
    der_put_small(&w, 0);
    der_put_small(&w, 127);
    der_put_small(&w, 128);
    der_put_small(&w, 0x0100);
    der_put_uint(&w, SPAN("\0\0\x80"));
    der_put_bool(&w, true);
    der_put_bool(&w, false);
    der_put_null(&w);
    der_put_bits(&w, SPAN("\x05"));
    der_wrap(&w, DER_SEQUENCE, 0);
    assert_hex(der_span(&w), "301e" "03020005" "0500" "010100" "0101ff" "02020080" "02020100" "02020080" "02017f" "020100");
    der_reset(&w);
    assert_int_equal(der_span(&w).n, 0);
    der_put_time(&w, INT64_C(2524607999)); /* 2049-12-31T23:59:59Z */
    assert_hex(der_span(&w), "170d3439313233313233353935395a");
    der_reset(&w);
    der_put_time(&w, INT64_C(2524608000));
    assert_hex(der_span(&w), "180f32303530303130313030303030305a");
    der_reset(&w);
    der_put_time(&w, TIME_NO_EXPIRY);
    assert_hex(der_span(&w), "180f39393939313233313233353935395a");
    der_fini(&w);
}

/* Lengths around each change of their form, and a buffer that grows several times. */
static void test_der_lengths(void **state)
{
    static const size_t lengths[] = {0, 1, 127, 128, 255, 256, 1023, 65535, 65536, 300000};
    uint8_t *octets = mem_array(300000, 1);

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct der_writer w;
        struct der_value v;
        struct span in;
        struct err e;

        der_init(&w);
        der_put_small(&w, 5);
        der_put_value(&w, DER_OCTET_STRING, (struct span){octets, lengths[i]});
        in = der_span(&w);
        must(der_expect(&in, DER_OCTET_STRING, &v, &e), &e);
        assert_int_equal(v.content.n, lengths[i]);
        assert_int_equal(v.whole.n, lengths[i] + der_header_len(lengths[i]));
        must(der_expect(&in, DER_INTEGER, &v, &e), &e);
        assert_int_equal(in.n, 0);
        der_fini(&w);
    }
    free(octets);
}

static void test_der_oids(void **state)
{
    static const struct {
        const char *dotted, *hex;
    } rows[] = {
        {"0.0", "060100"},
        {"1.39", "06014f"},
        {"2.0", "060150"},
        {"2.47", "06017f"},
        {"2.48", "06028100"},
        {"2.5.29.15", "0603551d0f"},
        {"1.2.840.10045.4.3.2", "06082a8648ce3d040302"},
        {"1.3.6.1.4.1.22112.2.1", "060a2b0601040181ac600201"},
        /* X.667 by hand: 105, the UUID in 19 groups of seven bits, 1 */
        {"2.25.340282366920938463463374607431768211455.1", "06156983ffffffffffffffffffffffffffffffffff7f01"},
        {"2.25.18446744073709551616", "060b6982808080808080808000"},
        {"2.999.3", "0603883703"},
    };
    static const char *const bad[] = {"", "1", "3.1", "1.40", "1.02", "1..2", "1.2.", ".1.2", "1.2.x", "1.-2", "01.2"};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct der_writer w;
        struct span in, content = none;
        struct err e;
        char text[64];

        der_init(&w);
        der_put_oid(&w, rows[i].dotted);
        in = der_span(&w);
        assert_hex(in, rows[i].hex);
        must(der_only(in, DER_OID, &content, &e), &e);
        assert_true(oid_text(content, text, sizeof text));
        assert_string_equal(text, rows[i].dotted);
        assert_true(oid_valid(rows[i].dotted));
        der_fini(&w);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(oid_valid(bad[i]));
}

static void test_oid_text_refuses(void **state)
{
    char text[64], tight[8];

    (void)state;
    assert_false(oid_text(none, text, sizeof text));
    assert_false(oid_text(SPAN("\x55\x80\x01"), text, sizeof text)); /* a leading zero group */
    assert_false(oid_text(SPAN("\x55\x81"), text, sizeof text));     /* cut short */
    assert_true(oid_text(SPAN("\x55\x1d\x0f"), text, sizeof text));
    assert_true(oid_text(SPAN("\x55\x1d"), tight, 7));
    assert_string_equal(tight, "2.5.29");
    assert_false(oid_text(SPAN("\x55\x1d"), tight, 6));
}

static void test_der_strict(void **state)
{
    static const struct span bad[] = {
        {(const uint8_t *)"", 0},
        {(const uint8_t *)"\x30", 1},
        {(const uint8_t *)"\x30\x01", 2},
        {(const uint8_t *)"\x30\x80\x00\x00", 4},             /* indefinite */
        {(const uint8_t *)"\x30\x81\x01\x00", 4},             /* long form for a short length */
        {(const uint8_t *)"\x30\x82\x00\x80", 4},             /* leading zero octet */
        {(const uint8_t *)"\x30\x85\x00\x00\x00\x00\x01", 7}, /* too many octets */
        {(const uint8_t *)"\x30\x84\xff\xff\xff\xff", 6},
        {(const uint8_t *)"\x1f\x81\x01\x00", 4}, /* high tag number */
        {(const uint8_t *)"\x00\x00", 2},
    };
    struct der_value v;
    struct span in, ignored;
    bool negative;
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        in = bad[i];
        assert_int_equal(der_next(&in, &v, &e), RC_INPUT);
        assert_string_equal(e.key, "x509.der");
        assert_int_equal(in.n, bad[i].n);
    }
    in = SPAN("\x02\x02\x00\x7f");
    assert_int_equal(der_integer(&in, &ignored, &negative, &e), RC_INPUT);
    in = SPAN("\x02\x02\xff\x80");
    assert_int_equal(der_integer(&in, &ignored, &negative, &e), RC_INPUT);
    in = SPAN("\x02\x00");
    assert_int_equal(der_integer(&in, &ignored, &negative, &e), RC_INPUT);
}

static bool reads_time(uint8_t tag, const char *text, int64_t *ret)
{
    struct der_value v = {tag, span_str(text), span_str(text)};

    return der_time(&v, ret);
}

static void test_der_time(void **state)
{
    int64_t t = 0;

    (void)state;
    assert_true(reads_time(DER_UTCTIME, "260102030405Z", &t));
    assert_int_equal(t, INT64_C(1767323045));
    assert_true(reads_time(DER_UTCTIME, "491231235959Z", &t));
    assert_true(reads_time(DER_GENERALIZEDTIME, "99991231235959Z", &t));
    assert_true(t == TIME_NO_EXPIRY);
    assert_false(reads_time(DER_GENERALIZEDTIME, "20491231235959Z", &t));
    assert_false(reads_time(DER_UTCTIME, "2601020304Z", &t));
    assert_false(reads_time(DER_UTCTIME, "260102030405+0100", &t));
    assert_false(reads_time(DER_UTCTIME, "260102030405.5Z", &t));
    assert_false(reads_time(DER_UTCTIME, "260230030405Z", &t));
    assert_false(reads_time(DER_UTCTIME, "26010203040 Z", &t));
    assert_false(reads_time(DER_UTCTIME, "600102030405Z", &t)); /* 1960 */
    assert_false(reads_time(DER_INTEGER, "260102030405Z", &t));
}

/* ---- names ---- */

static void test_name_text(void **state)
{
    static const struct name_attr attrs[] = {
        {"C", "DE"}, {"O", "Example, \"Inc\""}, {"OU", " #x "}, {"serialNumber", "A-1"}, {"CN", "M\xc3\xbcller+Co;<=>\\"}};
    struct bytes name = BYTES_INIT;
    struct err e;
    char *text;

    (void)state;
    must(name_encode(attrs, 5, &name, &e), &e);
    must(name_check(bytes_span(&name), &e), &e);
    text = name_text(bytes_span(&name));
    assert_string_equal(text, "CN=M\xc3\xbcller\\+Co\\;\\<=\\>\\\\,serialNumber=A-1,OU=\\ #x\\ ,O=Example\\, \\\"Inc\\\",C=DE");
    free(text);
    text = name_cn(bytes_span(&name));
    assert_string_equal(text, "M\xc3\xbcller+Co;<=>\\");
    free(text);
    bytes_free(&name);
    text = name_text(SPAN("\x30\x01"));
    assert_string_equal(text, "3001");
    free(text);
}

/* Names of others: several CNs, a NUL inside, a control character, unknown types, joined RDNs. */
static void test_name_foreign(void **state)
{
    struct span two = SPAN("\x30\x18\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01" "a" "\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01" "b");
    struct span nul = SPAN("\x30\x0e\x31\x0c\x30\x0a\x06\x03\x55\x04\x03\x0c\x03" "a\0b");
    struct span joined = SPAN("\x30\x16\x31\x14\x30\x08\x06\x03\x55\x04\x03\x0c\x01" "a" "\x30\x08\x06\x03\x55\x04\x63\x0c\x01" "b");
    struct span bmp = SPAN("\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x03\x1e\x02\0a");
    char *text;

    (void)state;
    assert_null(name_cn(two));
    assert_null(name_cn(nul));
    assert_null(name_cn(bmp));
    text = name_text(two);
    assert_string_equal(text, "CN=b,CN=a");
    free(text);
    text = name_text(nul);
    assert_string_equal(text, "CN=a\\00b");
    free(text);
    text = name_text(joined);
    assert_string_equal(text, "CN=a+2.5.4.99=#0c0162");
    free(text);
    text = name_text(bmp);
    assert_string_equal(text, "CN=#1e020061");
    free(text);
}

static void test_name_refuses(void **state)
{
    char long_cn[66];
    struct name_attr bad[] = {
        {"CN", ""},     {"CN", long_cn},   {"X", "a"},         {"C", "DEU"},     {"C", "D"},
        {"C", "D\xc3"}, {"CN", "a\x01"},   {"serialNumber", "a_b"}, {"O", "\xc0\x80"}, {"O", "\xed\xa0\x80"},
    };
    struct bytes out = BYTES_INIT;
    struct err e;

    (void)state;
    memset(long_cn, 'a', 65);
    long_cn[65] = '\0';
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        must_fail(name_encode(&bad[i], 1, &out, &e), &e, RC_INPUT, "x509.name");
        assert_int_equal(out.n, 0);
    }
    long_cn[64] = '\0';
    must(name_encode(&bad[1], 1, &out, &e), &e);
    bytes_free(&out);
}

/* ---- profiles ---- */

static void test_profiles_load(void **state)
{
    static const char *const names[] = {"root",   "online-ca", "local-ca",         "server",       "device",          "ocsp",
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

#define HEAD "schema: keymill.profile.v1\nname: x\n"
#define LEAF HEAD "kind: leaf\nsubject: request\nkeys: [ec-p256]\nkey_identifier: sha1\n"
#define CA   HEAD "kind: ca\nsubject: request\nkeys: [ec-p256]\npossession: signature\n"
#define SIG  "key_usage: [digitalSignature]\npossession: signature\n"

static void test_profiles_refuse(void **state)
{
    static const struct {
        const char *yaml, *key;
    } rows[] = {
        {LEAF SIG "extra: 1\n", "doc.unknown-key"},
        {LEAF "key_usage: [digitalSignature, keyCertSign]\npossession: signature\n", "x509.profile"},
        {LEAF "key_usage: [nonRepudiation]\npossession: signature\n", "x509.profile"},
        {LEAF "key_usage: []\npossession: signature\n", "x509.profile"},
        {LEAF "key_usage: [keyAgreement]\npossession: signature\n", "x509.profile"},
        {LEAF "key_usage: [digitalSignature]\npossession: statement\n", "x509.profile"},
        {LEAF SIG "path_length: 0\n", "x509.profile"},
        {LEAF SIG "ocsp_nocheck: true\n", "x509.profile"},
        {LEAF SIG "extended_key_usage: [keymill-nobody]\n", "x509.profile"},
        {LEAF SIG "extended_key_usage: [clientAuth, 1.3.6.1.5.5.7.3.2]\n", "x509.profile"},
        {LEAF SIG "extended_key_usage: [1.2.03]\n", "x509.profile"},
        {LEAF SIG "default_days: 30\nmax_days: 20\n", "x509.profile"},
        {LEAF SIG "attributes:\n  - {type: O, value: x}\n", "x509.profile"},
        {HEAD "kind: leaf\nsubject: device-id\nkeys: [ec-p256]\nkey_identifier: none\n" SIG "attributes:\n  - {type: CN, value: x}\n",
         "x509.profile"},
        {HEAD "kind: leaf\nsubject: device-id\nkeys: [ec-p256]\nkey_identifier: none\n" SIG "attributes:\n  - {type: C, value: DEU}\n",
         "x509.profile"},
        {HEAD "kind: leaf\nsubject: request\nkeys: [rsa-2048]\nkey_identifier: none\n" SIG, "x509.profile"},
        {CA "key_identifier: none\nkey_usage: [keyCertSign]\n", "x509.profile"},
        {CA "key_identifier: sha1\nkey_usage: [cRLSign]\n", "x509.profile"},
        {CA "key_identifier: sha1\nkey_usage: [keyCertSign]\nextended_key_usage: [OCSPSigning]\n", "x509.profile"},
        {CA "key_identifier: sha1\nkey_usage: [keyCertSign]\nextended_key_usage: [keymill-office]\n", "x509.profile"},
        {CA "key_identifier: sha1\nkey_usage: [keyCertSign]\nextended_key_usage: [2.5.29.37.0]\n", "x509.profile"},
        {CA "key_identifier: sha1\nkey_usage: [keyCertSign]\nsan_from_request: true\n", "x509.profile"},
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
    CHECK_SH("for f in root online local server device ocsp seal; do openssl x509 -in $f.pem -outform DER -out $f.der && "
             "openssl asn1parse -inform DER -in $f.der || exit 1; done");
    CHECK_SH("openssl x509 -in ocsp.pem -noout -text | grep -q 'OCSP No Check'");
    CHECK_SH("cat >chain.py <<'EOT'\n"
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
    CHECK_SH("cat device.pem local.pem root.pem >chain.pem && certtool --verify --load-ca-certificate root.pem --infile chain.pem");
    CHECK_SH("cat device.pem local.pem | certtool --verify --verify-purpose 1.3.6.1.5.5.7.3.2 --load-ca-certificate root.pem");
    assert_false(pki_sh(true, "cat device.pem local.pem | certtool --verify --verify-purpose 1.3.6.1.5.5.7.3.1 "
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
    struct cert *c = NULL;
    char *path = path_join(pki_dir, "rsa.pem");
    struct err e;

    (void)state;
    CHECK_SH("openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -subj /CN=rsa/O=Other -days 30 -out rsa.pem");
    must(cert_read(path, &c, &e), &e);
    assert_null(c->key_alg);
    assert_null(c->sig_alg);
    assert_string_equal(c->cn, "rsa");
    must_fail(cert_verify_signature(c, c, &e), &e, RC_INPUT, "x509.signature");
    assert_non_null(strstr(e.text, "ec-p256"));
    cert_free(c);
    free(path);
    path = path_join(pki_dir, "v1.pem");
    CHECK_SH("openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout v1.key -subj /CN=v1 -out v1.csr && "
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
    must(profile_parse("x", SPAN(LEAF SIG "max_days: 10\n"), &p, &e), &e);
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
        {(const uint8_t *)"\x30\x04\x82\x02" "a-", 6},
        {(const uint8_t *)"\x30\x05\x82\x03*.a", 7},
        {(const uint8_t *)"\x30\x05\x82\x03" "a\0b", 7},
        {(const uint8_t *)"\x30\x05\x87\x03" "abc", 7},
        {(const uint8_t *)"\x30\x05\x81\x03" "a@b", 7},
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
    CHECK_SH("openssl crl -in crl.pem -noout -text | grep -q Superseded && openssl crl -in crl.pem -noout -crlnumber | grep -qi "
             "'crlNumber=0x0*103'");
    CHECK_SH("openssl verify -x509_strict -crl_check -attime 1767230000 -CAfile root.pem -CRLfile crl.pem b.pem");
    assert_false(pki_sh(true, "openssl verify -crl_check -attime 1767230000 -CAfile root.pem -CRLfile crl.pem a.pem"));
    CHECK_SH("/usr/bin/python3 -c \"from cryptography import x509; c = x509.load_pem_x509_crl(open('crl.pem', 'rb').read()); "
             "assert len(c) == 2 and c[0].extensions[0].value.reason == x509.ReasonFlags.superseded\"");

    pem_encode("X509 CRL", bytes_span(&der), &pem);
    must(crl_parse("crl", bytes_span(&pem), &crl, &e), &e);
    must(crl_verify(crl, root.cert, &e), &e);
    must_fail(crl_verify(crl, other.cert, &e), &e, RC_INPUT, "x509.crl-signature");
    must_fail(crl_verify(crl, a.cert, &e), &e, RC_INPUT, "x509.crl-signature");
    assert_true(crl->number == 259 && crl->this_update == PKI_BEGIN && crl->next_update == PKI_BEGIN + PKI_DAY);
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
    CHECK_SH("openssl crl -in crl.pem -verify -CAfile root.pem -noout -text 2>&1 | grep -q 'No Revoked Certificates'");
    crl_free(crl);
    bytes_free(&der);
    must_fail(crl_make(device.key, device.cert, 1, PKI_BEGIN, PKI_BEGIN, pki_next, &r, &der, &e), &e, RC_INPUT, "x509.crl-issuer");
    must_fail(crl_make(device.key, root.cert, 1, PKI_BEGIN, PKI_BEGIN, pki_next, &r, &der, &e), &e, RC_INPUT, "x509.crl-issuer");
    must_fail(crl_make(root.key, root.cert, 1, PKI_BEGIN, PKI_BEGIN - 1, pki_next, &r, &der, &e), &e, RC_INPUT, "x509.crl");
    assert_int_equal(der.n, 0);
    node_free(&root);
    node_free(&device);
}

/* CRLs of others that must not be believed. */
static void test_crl_refuses(void **state)
{
    static const char *const config = "cat >crl.cnf <<'EOT'\n"
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
    CHECK_SH("test $(openssl crl -inform DER -in large.der -noout -text | grep -c 'Serial Number:') = 300000");
    crl_free(crl);
    bytes_free(&der);
    node_free(&root);
}

/* ---- requests ---- */

static void test_csr(void **state)
{
    static const char *const algs[] = {"ec-p256", "ec-p384"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
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
        assert_ptr_equal(c->key_alg, key->alg);
        assert_int_equal(c->possession, POSSESSION_SIGNATURE);
        assert_string_equal(c->cn, "online-ca");
        assert_int_equal(c->san.n, 0);
        csr_free(c);
        for (size_t k = 0; k < der.n; k++) {
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

static void test_csr_foreign(void **state)
{
    struct csr *c = NULL;
    struct bytes san = BYTES_INIT;

    (void)state;
    san_put(&san);
    CHECK_SH("openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k -subj /CN=gw.example.eu "
             "-addext 'subjectAltName=DNS:gw.example.eu,IP:10.0.0.1' -addext 'keyUsage=keyCertSign' -out san.pem");
    parse_csr_file("san.pem", &c, RC_OK, NULL);
    assert_true(span_eq(bytes_span(&c->san), bytes_span(&san)));
    csr_free(c);
    CHECK_SH("openssl req -new -newkey rsa:2048 -nodes -keyout k -subj /CN=x -out rsa.pem");
    parse_csr_file("rsa.pem", &c, RC_INPUT, "x509.csr");
    CHECK_SH("openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-521 -nodes -keyout k -subj /CN=x -out p521.pem");
    parse_csr_file("p521.pem", &c, RC_INPUT, "x509.csr");
    CHECK_SH("openssl req -new -sha512 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k -subj /CN=x -out s512.pem");
    parse_csr_file("s512.pem", &c, RC_INPUT, "x509.possession");
    CHECK_SH("cat san.pem san.pem >two.pem; echo nothing >none.pem");
    parse_csr_file("two.pem", &c, RC_INPUT, "x509.csr");
    parse_csr_file("none.pem", &c, RC_INPUT, "x509.csr");
    bytes_free(&san);
}

/* A request whose statement is put together by hand: the included certificate, and the one that is named. */
static void statement_by_hand(const struct node *key, const struct cert *included, const struct cert *named, struct span subject,
                              struct span spki, struct bytes *ret)
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
#define REFUSED(key, included, named, subject)                                                                                     \
    do {                                                                                                                           \
        bytes_reset(&by_hand);                                                                                                     \
        statement_by_hand(key, included, named, subject, spki, &by_hand);                                                          \
        must_fail(csr_parse("by hand", bytes_span(&by_hand), &c, &e), &e, RC_INPUT, "x509.possession");                            \
    } while (0)
    REFUSED(&manifest, NULL, manifest.cert, manifest.cert->subject);
    REFUSED(&manifest, manifest.cert, twin.cert, manifest.cert->subject);
    REFUSED(&manifest, manifest.cert, manifest.cert, other.cert->subject);
    REFUSED(&other, manifest.cert, manifest.cert, manifest.cert->subject);
    must_fail(csr_make_statement(spki, other.key, bytes_span(&manifest.cert->der), &by_hand, &e), &e, RC_INPUT, "x509.possession");
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
        cmocka_unit_test(test_der_values),     cmocka_unit_test(test_der_lengths),    cmocka_unit_test(test_der_oids),
        cmocka_unit_test(test_oid_text_refuses), cmocka_unit_test(test_der_strict),   cmocka_unit_test(test_der_time),
        cmocka_unit_test(test_name_text),      cmocka_unit_test(test_name_foreign),   cmocka_unit_test(test_name_refuses),
        cmocka_unit_test(test_profiles_load),  cmocka_unit_test(test_profiles_refuse), cmocka_unit_test(test_chain),
        cmocka_unit_test(test_chain_gnutls),  cmocka_unit_test(test_cert_fields),    cmocka_unit_test(test_cert_foreign),   cmocka_unit_test(test_cert_refuses),
        cmocka_unit_test(test_tbs_refuses),    cmocka_unit_test(test_san),            cmocka_unit_test(test_serial),
        cmocka_unit_test(test_crl),            cmocka_unit_test(test_crl_empty),      cmocka_unit_test(test_crl_refuses),
        cmocka_unit_test(test_crl_reasons),    cmocka_unit_test(test_crl_large),      cmocka_unit_test(test_csr),
        cmocka_unit_test(test_csr_foreign),    cmocka_unit_test(test_csr_statement),  cmocka_unit_test(test_chain_read),
    };

    return cmocka_run_group_tests(tests, pki_dir_make, pki_dir_remove);
}
