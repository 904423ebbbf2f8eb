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
    assert_hex(der_span(&w), "301e"
                             "03020005"
                             "0500"
                             "010100"
                             "0101ff"
                             "02020080"
                             "02020100"
                             "02020080"
                             "02017f"
                             "020100");
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
    static const char *const bad[] = {"",     "1",    "3.1",   "1.40", "1.02", "1..2",
                                      "1.2.", ".1.2", "1.2.x", "1.-2", "01.2"};

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
    static const struct name_attr attrs[] = {{"C", "DE"},
                                             {"O", "Example, \"Inc\""},
                                             {"OU", " #x "},
                                             {"serialNumber", "A-1"},
                                             {"CN", "M\xc3\xbcller+Co;<=>\\"}};
    struct bytes name = BYTES_INIT;
    struct err e;
    char *text;

    (void)state;
    must(name_encode(attrs, 5, &name, &e), &e);
    must(name_check(bytes_span(&name), &e), &e);
    text = name_text(bytes_span(&name));
    assert_string_equal(
        text,
        "CN=M\xc3\xbcller\\+Co\\;\\<=\\>\\\\,serialNumber=A-1,OU=\\ #x\\ ,O=Example\\, \\\"Inc\\\",C=DE");
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
    struct span two = SPAN("\x30\x18\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01"
                           "a"
                           "\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01"
                           "b");
    struct span nul = SPAN("\x30\x0e\x31\x0c\x30\x0a\x06\x03\x55\x04\x03\x0c\x03"
                           "a\0b");
    struct span joined = SPAN("\x30\x16\x31\x14\x30\x08\x06\x03\x55\x04\x03\x0c\x01"
                              "a"
                              "\x30\x08\x06\x03\x55\x04\x63\x0c\x01"
                              "b");
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
        {"CN", ""},        {"CN", long_cn},       {"X", "a"},      {"C", "DEU"},
        {"C", "D"},        {"C", "D\xc3"},        {"CN", "a\x01"}, {"serialNumber", "a_b"},
        {"O", "\xc0\x80"}, {"O", "\xed\xa0\x80"},
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_der_values),   cmocka_unit_test(test_der_lengths),
        cmocka_unit_test(test_der_oids),     cmocka_unit_test(test_oid_text_refuses),
        cmocka_unit_test(test_der_strict),   cmocka_unit_test(test_der_time),
        cmocka_unit_test(test_name_text),    cmocka_unit_test(test_name_foreign),
        cmocka_unit_test(test_name_refuses),
    };

    return cmocka_run_group_tests(tests, pki_dir_make, pki_dir_remove);
}
