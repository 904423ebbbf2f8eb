/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "hsm/uri.h"

static void everything(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct uri u;
    const char *text =
        "pkcs11:token=root;serial=0a1b;manufacturer=SoftHSM%20project;model=SoftHSM%20v2;object=ca;"
        "id=%00%ff%41z;type=private;x-note=1?module-path=/usr/lib/m.so&pin-source=file:/run/pin&x-y=2";
    assert_int_equal(uri_parse(text, &u, &e), RC_OK);
    assert_string_equal(u.token, "root");
    assert_string_equal(u.serial, "0a1b");
    assert_string_equal(u.manufacturer, "SoftHSM project");
    assert_string_equal(u.model, "SoftHSM v2");
    assert_string_equal(u.object, "ca");
    assert_int_equal(u.id.n, 4);
    assert_memory_equal(u.id.p,
                        "\0\xff"
                        "Az",
                        4);
    assert_string_equal(u.module_path, "/usr/lib/m.so");
    assert_string_equal(u.pin_source, "file:/run/pin");
    assert_true(uri_names_key(&u));
    uri_free(&u);
}

static void little(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct uri u;
    assert_int_equal(uri_parse("pkcs11:", &u, &e), RC_OK);
    assert_null(u.token);
    assert_false(uri_names_key(&u));
    uri_free(&u);
    assert_int_equal(uri_parse("pkcs11:?module-path=m.so", &u, &e), RC_OK);
    assert_string_equal(u.module_path, "m.so");
    uri_free(&u);
    assert_int_equal(uri_parse("pkcs11:token=a%3bb%3Dc%25;object=d&e", &u, &e), RC_OK);
    assert_string_equal(u.token, "a;b=c%");
    assert_string_equal(u.object, "d&e");
    uri_free(&u);
}

/* A '?' and a '/' may stand in a query value (RFC 7512 2.3). */
static void query_characters(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct uri u;
    assert_int_equal(uri_parse("pkcs11:token=a?pin-source=file:/a?x", &u, &e), RC_OK);
    assert_string_equal(u.pin_source, "file:/a?x");
    uri_free(&u);
}

static void names_a_key_by_id(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct uri u;
    assert_int_equal(uri_parse("pkcs11:token=a;id=%01", &u, &e), RC_OK);
    assert_true(uri_names_key(&u));
    uri_free(&u);
}

static void refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "root",
        "PKCS11:token=a",
        "pkcs12:token=a",
        "pkcs11:token",
        "pkcs11:token=",
        "pkcs11:=a",
        "pkcs11:token=a;",
        "pkcs11:;token=a",
        "pkcs11:token=a;;object=b",
        "pkcs11:token=a;token=a",
        "pkcs11:id=%01;id=%02",
        "pkcs11:type=private;type=private",
        "pkcs11:type=cert",
        "pkcs11:token=a b",
        "pkcs11:token=a/b",
        "pkcs11:token=a#b",
        "pkcs11:token=\xc3\xa4",
        "pkcs11:token=a%",
        "pkcs11:token=a%4",
        "pkcs11:token=a%4g",
        "pkcs11:token=a%00b",
        "pkcs11:object=a%00",
        "pkcs11:slot-id=1",
        "pkcs11:token=a;slot-id=1",
        "pkcs11:slot-description=a",
        "pkcs11:library-description=a",
        "pkcs11:token=a;colour=red",
        "pkcs11:module-path=/a",
        "pkcs11:token=a?token=b",
        "pkcs11:token=a?module-name=p11",
        "pkcs11:token=a?module-path=/a&module-path=/a",
        "pkcs11:token=a?pin-source=file:/a&",
        "pkcs11:token=123456789012345678901234567890123",
        "pkcs11:serial=12345678901234567",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err e = ERR_INIT;
        struct uri u;
        if (uri_parse(bad[i], &u, &e) != RC_USAGE)
            fail_msg("'%s' was taken", bad[i]);
        assert_string_equal(e.key, "hsm.uri");
        assert_null(u.token);
        assert_null(u.module_path);
    }
}

/* Whatever else is wrong with it, no message shows a PIN. */
static void pin_never_shown(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "pkcs11:token=a?pin-value=sesame",        "pkcs11:token=a;pin-value=sesame",
        "pkcs11:token=a b?pin-value=sesame",      "pkcs11:token=a;colour=red?pin-value=sesame",
        "pkcs11:token=a?PIN-VALUE=sesame",        "pkcs11:token=a?pin_value=sesame",
        "pkcs11:token=a?x-y=1&pin-value=sesame",  "pkcs11:token=a;pin-value=sesame;slot-id=1",
        "pkcs11:token=a b?pinvalue=sesame",       "token=a?pin-value=sesame",
        "pkcs11:token=a?module-path=a b&p=sesame"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err e = ERR_INIT;
        struct uri u;
        assert_int_equal(uri_parse(bad[i], &u, &e), RC_USAGE);
        if (strstr(e.text, "sesame"))
            fail_msg("'%s': %s", bad[i], e.text);
    }
}

static void lengths(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct uri u;
    assert_int_equal(
        uri_parse("pkcs11:token=12345678901234567890123456789012;serial=1234567890123456", &u, &e), RC_OK);
    assert_int_equal(strlen(u.token), 32);
    assert_int_equal(strlen(u.serial), 16);
    uri_free(&u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything),        cmocka_unit_test(little),  cmocka_unit_test(query_characters),
        cmocka_unit_test(names_a_key_by_id), cmocka_unit_test(refused), cmocka_unit_test(pin_never_shown),
        cmocka_unit_test(lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
