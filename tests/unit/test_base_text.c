/* SPDX-License-Identifier: Apache-2.0 */
/* lib/base/text.h: hex, base64, PEM, ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static void test_hex_encode(void **state)
{
    (void)state;
    char text[9];
    hex_encode(SPAN("\x00\x9f\xa0\xff"), text);
    assert_string_equal(text, "009fa0ff");
    hex_encode((struct span){NULL, 0}, text);
    assert_string_equal(text, "");
    char *s = hex_new(SPAN("\x12\xef"));
    assert_string_equal(s, "12ef");
    free(s);
}

static void test_hex_all_octets(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    for (unsigned i = 0; i < 256; i++) {
        char lower[3], upper[3];
        snprintf(lower, sizeof(lower), "%02x", i);
        snprintf(upper, sizeof(upper), "%02X", i);
        uint8_t a = 1, b = 2;
        assert_int_equal(hex_decode_exact(lower, &a, 1, &e), RC_OK);
        assert_int_equal(hex_decode_exact(upper, &b, 1, &e), RC_OK);
        assert_int_equal(a, i);
        assert_int_equal(b, i);
    }
    int accepted = 0;
    for (int c = 1; c < 256; c++) { /* any character in either place */
        const char first[] = {(char)c, '0', 0}, second[] = {'0', (char)c, 0};
        uint8_t x;
        bool one = hex_decode_exact(first, &x, 1, &e) == RC_OK;
        assert_int_equal(hex_decode_exact(second, &x, 1, &e) == RC_OK, one);
        accepted += one;
    }
    assert_int_equal(accepted, 22);
}

static void test_hex_refused(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    uint8_t x[2] = {7, 7};
    static const char *const rows[] = {"", "0", "000", "00", "000000", "00 0", "0x00", "000g"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(hex_decode_exact(rows[i], x, 2, &e), RC_INPUT);
        assert_string_equal(e.key, "text.hex");
        assert_int_equal(x[0] + x[1], 14);
    }
    assert_non_null(strstr(e.text, "character 4"));
    assert_int_equal(hex_decode_exact("5ec7e7", x, 2, &e), RC_INPUT);
    assert_null(strstr(e.text, "5ec7e7")); /* it may be a key */
}

static void test_hex_decode(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct bytes b = BYTES_INIT;
    bytes_add_str(&b, "x");
    assert_int_equal(hex_decode("6162", 2, &b, &e), RC_OK);
    assert_int_equal(hex_decode("", 2, &b, &e), RC_OK);
    assert_string_equal(bytes_str(&b), "xab");
    assert_int_equal(hex_decode("616263", 2, &b, &e), RC_INPUT);
    assert_int_equal(hex_decode("616", 2, &b, &e), RC_INPUT);
    assert_int_equal(hex_decode("61-2", 2, &b, &e), RC_INPUT);
    assert_string_equal(e.key, "text.hex");
    assert_int_equal(b.n, 3);
    assert_string_equal(bytes_str(&b), "xab");
    bytes_free(&b);
}

static void test_b64_vectors(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        /* RFC 4648 section 10 */
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xfb\xff\xbf", "+/+/", "-_-_"},
    };
    struct err e = ERR_INIT;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct bytes b = BYTES_INIT;
        b64_encode(span_str(rows[i][0]), &b);
        assert_string_equal(bytes_str(&b), rows[i][1]);
        bytes_reset(&b);
        b64url_encode(span_str(rows[i][0]), &b);
        assert_string_equal(bytes_str(&b), rows[i][2]);
        bytes_reset(&b);
        assert_int_equal(b64_decode(span_str(rows[i][1]), &b, &e), RC_OK);
        assert_string_equal(bytes_str(&b), rows[i][0]);
        assert_int_equal(b64url_decode(span_str(rows[i][2]), &b, &e), RC_OK); /* appends */
        assert_int_equal(b.n, 2 * strlen(rows[i][0]));
        bytes_free(&b);
    }
}

static void test_b64_round_trip(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    uint8_t data[300];
    uint32_t x = 1;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
    for (size_t n = 0; n <= sizeof(data); n++) {
        struct bytes text = BYTES_INIT, back = BYTES_INIT;
        b64_encode((struct span){data, n}, &text);
        assert_int_equal(text.n, (n + 2) / 3 * 4);
        assert_int_equal(b64_decode(bytes_span(&text), &back, &e), RC_OK);
        assert_true(span_eq(bytes_span(&back), (struct span){data, n}));
        bytes_reset(&text);
        bytes_reset(&back);
        b64url_encode((struct span){data, n}, &text);
        assert_int_equal(b64url_decode(bytes_span(&text), &back, &e), RC_OK);
        assert_true(span_eq(bytes_span(&back), (struct span){data, n}));
        bytes_free(&text);
        bytes_free(&back);
    }
}

/* Of all texts of one form exactly as many are accepted as there are octets: there is one text for each. */
static void test_b64_unique(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct bytes b = BYTES_INIT;
    int std = 0, url = 0, three = 0;
    for (int i = 0; i < 65536; i++) {
        const uint8_t text[4] = {(uint8_t)(i >> 8), (uint8_t)i, '=', '='};
        const uint8_t group[4] = {'A', (uint8_t)(i >> 8), (uint8_t)i, '='};
        bytes_reset(&b);
        std += b64_decode((struct span){text, 4}, &b, &e) == RC_OK && b.n == 1;
        bytes_reset(&b);
        url += b64url_decode((struct span){text, 2}, &b, &e) == RC_OK && b.n == 1;
        bytes_reset(&b);
        three += b64_decode((struct span){group, 4}, &b, &e) == RC_OK && b.n == 2;
    }
    assert_int_equal(std, 256);
    assert_int_equal(url, 256);
    assert_int_equal(three, 64 * 16);
    bytes_free(&b);
}

static void test_b64_refused(void **state)
{
    (void)state;
    static const char *const std[] = {
        "Z",    "Zg",   "Zg=",      "Zg===",     "Zh==", "Zm9=",     "=",        "==",   "====",
        "Z===", "Z=g=", "Zm9v Zg=", "Zm9v\nZm9", "-_-_", "Zg==Zg==", "Zm9v====", " Zm9", "Zm9*",
    };
    static const char *const url[] = {"Z", "Zg==", "Zm8=", "Zh", "Zm9", "+/+/", "Zm9vZ", "Zm 9", "Zm9\n"};
    struct err e = ERR_INIT;
    struct bytes b = BYTES_INIT;
    bytes_add_str(&b, "old");
    for (size_t i = 0; i < sizeof(std) / sizeof(std[0]); i++) {
        if (b64_decode(span_str(std[i]), &b, &e) != RC_INPUT)
            fail_msg("'%s' is accepted", std[i]);
        assert_string_equal(e.key, "text.base64");
        assert_int_equal(b.n, 3);
        assert_string_equal(bytes_str(&b), "old");
    }
    for (size_t i = 0; i < sizeof(url) / sizeof(url[0]); i++) {
        if (b64url_decode(span_str(url[i]), &b, &e) != RC_INPUT)
            fail_msg("'%s' is accepted", url[i]);
        assert_string_equal(e.key, "text.base64");
        assert_string_equal(bytes_str(&b), "old");
    }
    assert_int_equal(b64_decode(SPAN("AA\0A"), &b, &e), RC_INPUT); /* a NUL is a character like any other */
    bytes_free(&b);
}

static const char ONE[] = "-----BEGIN A B-----\n"
                          "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v\n"
                          "MA==\n"
                          "-----END A B-----\n";

static void test_pem_encode(void **state)
{
    (void)state;
    uint8_t der[49];
    for (size_t i = 0; i < sizeof(der); i++)
        der[i] = (uint8_t)i;
    struct bytes b = BYTES_INIT;
    pem_encode("A B", (struct span){der, sizeof(der)}, &b);
    assert_string_equal(bytes_str(&b), ONE);
    bytes_reset(&b);
    pem_encode("X", (struct span){der, 48}, &b); /* exactly one line */
    assert_string_equal(
        bytes_str(&b), "-----BEGIN X-----\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v\n"
                       "-----END X-----\n");
    bytes_free(&b);
}

#define BLOCK(label, text) "-----BEGIN " label "-----\n" text "\n-----END " label "-----\n"

static void test_pem_next(void **state)
{
    (void)state;
    static const char text[] = "Subject: CN=x\n-- a note\n" BLOCK("A", "Zm9v") "between\n\n" BLOCK(
        "KEY", "Proc-Type: 4,ENCRYPTED\n\n!!") BLOCK("B", "YmFy") BLOCK("A", "Zm9\nvYmFy") "the end";
    struct err e = ERR_INIT;
    struct bytes der = BYTES_INIT;
    struct span label;
    size_t pos = 0;
    bool found = false;
    assert_int_equal(pem_next(SPAN(text), NULL, &pos, &der, &label, &found, &e), RC_OK);
    assert_true(found);
    assert_string_equal(bytes_str(&der), "foo");
    assert_true(span_eq(label, SPAN("A")));
    assert_memory_equal(text + pos, "between", 7);
    size_t first = pos;
    /* The next of any label is one with headers, which is refused; one that is not wanted is passed over. */
    assert_int_equal(pem_next(SPAN(text), NULL, &pos, &der, &label, &found, &e), RC_INPUT);
    assert_int_equal(pos, first);
    assert_string_equal(bytes_str(&der), "foo");
    assert_int_equal(pem_next(SPAN(text), "A", &pos, &der, NULL, &found, &e), RC_OK);
    assert_true(found);
    assert_string_equal(bytes_str(&der), "foofoobar"); /* appended */
    assert_int_equal(pem_next(SPAN(text), "A", &pos, &der, &label, &found, &e), RC_OK);
    assert_false(found);
    assert_int_equal(pos, sizeof(text) - 1);
    assert_int_equal(der.n, 9);
    pos = 0;
    assert_int_equal(pem_next(SPAN(text), "B", &pos, &der, &label, &found, &e), RC_OK);
    assert_true(found && span_eq(label, SPAN("B")));
    pos = 0;
    assert_int_equal(pem_next((struct span){NULL, 0}, NULL, &pos, &der, &label, &found, &e), RC_OK);
    assert_false(found);
    bytes_free(&der);
}

static void test_pem_forms(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "-----BEGIN A-----\r\nZm9v\r\nYmFy\r\n-----END A-----\r\n",
        "-----BEGIN A-----\nZm9vYmFy\n-----END A-----", /* no line end at the end */
        "-----BEGIN A-----\nZ\nm\n9vYmFy\n-----END A-----\n",
        "\n\n\r\nx\n-----BEGIN A-----\nZm9vYmFy\n-----END A-----\n\n\n",
    };
    struct err e = ERR_INIT;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct bytes der = BYTES_INIT;
        size_t pos = 0;
        bool found = false;
        assert_int_equal(pem_next(span_str(rows[i]), "A", &pos, &der, NULL, &found, &e), RC_OK);
        assert_true(found);
        assert_string_equal(bytes_str(&der), "foobar");
        assert_int_equal(pem_next(span_str(rows[i]), "A", &pos, &der, NULL, &found, &e), RC_OK);
        assert_false(found);
        bytes_free(&der);
    }
}

static void test_pem_broken(void **state)
{
    (void)state;
    static const struct {
        const char *text, *line;
    } rows[] = {
        {"-----END A-----\n", "line 1:"},
        {"x\n-----BEGIN A----\nZm9v\n-----END A-----\n", "line 2:"},
        {"-----BEGIN A----- \nZm9v\n-----END A-----\n", "line 1:"},
        {"-----BEGIN -----\nZm9v\n-----END -----\n", "line 1:"},
        {"-----BEGIN A-B-----\nZm9v\n-----END A-B-----\n", "line 1:"},
        {"-----BEGIN A\x01-----\nZm9v\n-----END A\x01-----\n", "line 1:"},
        {"-----BEGIN -----", "line 1:"},
        {"-----BEGIN A-----\nZm9v\n-----END B-----\n", "line 3:"},
        {"-----BEGIN A-----\nZm9v\n-----END A----\n", "line 3:"},
        {"-----BEGIN A-----\nZm9v\n", "line 2:"},
        {"-----BEGIN A-----", "line 1:"},
        {"-----BEGIN A-----\n-----END A-----\n", "line 2:"},
        {"-----BEGIN A-----\nZm9v\n\n-----END A-----\n", "line 3:"},
        {"-----BEGIN A-----\nZm9v\n-----BEGIN A-----\nZm9v\n-----END A-----\n", "line 3:"},
        {"-----BEGIN A-----\nZm9v \n-----END A-----\n", "line 3:"},
        {"-----BEGIN A-----\n Zm9v\n-----END A-----\n", "line 3:"},
        {"-----BEGIN A-----\nZm9\n-----END A-----\n", "line 3:"},
        {"-----BEGIN A-----\nZh==\n-----END A-----\n", "line 3:"},
        {"-----BEGIN A-----\nZg==\nZg==\n-----END A-----\n", "line 4:"},
        {"-----BEGIN A-----\nZm-_\n-----END A-----\n", "line 3:"},
        {"-----BEGIN B-----\nZm9v\n-----BEGIN A-----\nZm9v\n-----END A-----\n",
         "line 3:"}, /* not wanted, yet broken */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err e = ERR_INIT;
        struct bytes der = BYTES_INIT;
        size_t pos = 0;
        bool found = false;
        if (pem_next(span_str(rows[i].text), "A", &pos, &der, NULL, &found, &e) != RC_INPUT)
            fail_msg("row %zu is accepted", i);
        assert_string_equal(e.key, "text.pem");
        if (!strstr(e.text, rows[i].line))
            fail_msg("row %zu: %s", i, e.text);
        assert_int_equal(pos, 0);
        assert_int_equal(der.n, 0);
        bytes_free(&der);
    }
}

static void test_device_id(void **state)
{
    (void)state;
    char longest[66];
    memset(longest, 'a', 65);
    longest[65] = 0;
    assert_false(device_id_valid(longest));
    longest[64] = 0;
    assert_true(device_id_valid(longest));
    static const char *const good[] = {"a", "Z", "0", "MX1-000123", "a:b", "a_b", "a--b", "00:1A:2b"};
    static const char *const bad[] = {"",    "-a",  "a-",  ":a",  "a:", "_a",  "a_",
                                      "a b", "a.b", "a/b", "a+b", "-",  "a\n", "\xc3\xa4"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(device_id_valid(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(device_id_valid(bad[i]));
    for (int c = 1; c < 256; c++) {
        const char text[] = {'a', (char)c, 'a', 0};
        bool expected =
            (c < 128 && strchr("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz:_-", c));
        assert_int_equal(device_id_valid(text), expected);
    }
}

static void test_name(void **state)
{
    (void)state;
    char longest[66];
    memset(longest, 'a', 65);
    longest[65] = 0;
    assert_false(name_valid(longest));
    longest[64] = 0;
    assert_true(name_valid(longest));
    static const char *const good[] = {"a", "9", "order-1_x", "a-", "a_"};
    static const char *const bad[] = {"", "-a", "_a", "a:b", "a.b", ".", "..", "a/b", "a b"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(name_valid(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(name_valid(bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hex_encode),  cmocka_unit_test(test_hex_all_octets),
        cmocka_unit_test(test_hex_refused), cmocka_unit_test(test_hex_decode),
        cmocka_unit_test(test_b64_vectors), cmocka_unit_test(test_b64_round_trip),
        cmocka_unit_test(test_b64_unique),  cmocka_unit_test(test_b64_refused),
        cmocka_unit_test(test_pem_encode),  cmocka_unit_test(test_pem_next),
        cmocka_unit_test(test_pem_forms),   cmocka_unit_test(test_pem_broken),
        cmocka_unit_test(test_device_id),   cmocka_unit_test(test_name),
    };
    return cmocka_run_group_tests_name("base_text", tests, NULL, NULL);
}
