/* SPDX-License-Identifier: Apache-2.0 */
/* lib/base/jsonw.h, read back by a JSON reader that is not ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <string.h>

#include "base/err.h"
#include "base/jsonw.h"

#include "child.h"

static void test_json_document(void **state)
{
    (void)state;
    struct bytes out = BYTES_INIT;
    struct jsonw w;
    bytes_add_str(&out, ">");
    jsonw_init(&w, &out);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "s", "v");
    jsonw_str(&w, "none", NULL);
    jsonw_int(&w, "min", INT64_MIN);
    jsonw_int(&w, "max", INT64_MAX);
    jsonw_bool(&w, "yes", true);
    jsonw_array(&w, "list");
    jsonw_int(&w, NULL, 1);
    jsonw_bool(&w, NULL, false);
    jsonw_object(&w, NULL);
    jsonw_end(&w);
    jsonw_array(&w, NULL);
    jsonw_end(&w);
    jsonw_end(&w);
    jsonw_hex(&w, "hex", SPAN("\x00\xab\xff"));
    jsonw_b64(&w, "b64", SPAN("fooba"));
    jsonw_hex(&w, "empty", (struct span){NULL, 0});
    jsonw_time(&w, "at", 951782400);
    jsonw_raw(&w, "raw", SPAN("[1,{}]"));
    jsonw_object(&w, "last");
    jsonw_int(&w, "n", 0);
    jsonw_end(&w);
    jsonw_end(&w);
    assert_int_equal(w.depth, 0);
    assert_string_equal(
        bytes_str(&out),
        ">{\"s\":\"v\",\"none\":null,\"min\":-9223372036854775808,\"max\":9223372036854775807,"
        "\"yes\":true,\"list\":[1,false,{},[]],\"hex\":\"00abff\",\"b64\":\"Zm9vYmE=\",\"empty\":\"\","
        "\"at\":\"2000-02-29T00:00:00Z\",\"raw\":[1,{}],\"last\":{\"n\":0}}");
    bytes_free(&out);
}

static void assert_json_string(const char *value, const char *expected)
{
    struct bytes out = BYTES_INIT;
    struct jsonw w;
    jsonw_init(&w, &out);
    jsonw_str(&w, NULL, value);
    json_t *read = json_loads(bytes_str(&out), JSON_DECODE_ANY, NULL);
    assert_non_null(read);
    assert_string_equal(json_string_value(read), expected);
    json_decref(read);
    for (size_t i = 0; i < out.n; i++)
        assert_true(out.p[i] >= 0x20 && out.p[i] != 0x7f);
    bytes_free(&out);
}

static void test_json_escapes(void **state)
{
    (void)state;
    for (int c = 1; c < 0x80; c++) {
        const char text[] = {'a', (char)c, (char)c, 'b', 0};
        assert_json_string(text, text);
    }
    struct bytes out = BYTES_INIT;
    struct jsonw w;
    jsonw_init(&w, &out);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "k\"\\\n\x01", "\"\\/\b\f\n\r\t\x1f\x7f");
    jsonw_end(&w);
    assert_string_equal(bytes_str(&out),
                        "{\"k\\\"\\\\\\n\\u0001\":\"\\\"\\\\/\\b\\f\\n\\r\\t\\u001f\\u007f\"}");
    bytes_free(&out);
}

static void test_json_utf8(void **state)
{
    (void)state;
    static const char *const good[] = {
        "",
        "\xc2\x80",
        "\xdf\xbf",
        "\xe0\xa0\x80",
        "\xed\x9f\xbf",
        "\xee\x80\x80",
        "\xef\xbf\xbf",
        "\xf0\x90\x80\x80",
        "\xf4\x8f\xbf\xbf",
        "M\xc3\xbcller \xe2\x82\xac \xf0\x9f\x94\x91",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_json_string(good[i], good[i]);
#define BAD "\xef\xbf\xbd"
    assert_json_string("a\x80z", "a" BAD "z");
    assert_json_string("\xff", BAD);
    assert_json_string("\xc0\xaf", BAD BAD);                 /* overlong */
    assert_json_string("\xc3", BAD);                         /* cut */
    assert_json_string("\xe2\x82", BAD BAD);                 /* cut */
    assert_json_string("\xe0\x9f\xbf", BAD BAD BAD);         /* overlong */
    assert_json_string("\xed\xa0\x80", BAD BAD BAD);         /* surrogate */
    assert_json_string("\xf4\x90\x80\x80", BAD BAD BAD BAD); /* beyond U+10FFFF */
    assert_json_string("\xf0\x9f\x94\"", BAD BAD BAD "\"");
#undef BAD
}

static struct bytes scratch;
static struct jsonw writer;

static void json_end_too_often(void)
{
    jsonw_end(&writer);
}

static void json_two_values(void)
{
    jsonw_int(&writer, NULL, 1);
    jsonw_int(&writer, NULL, 2);
}

static void json_member_without_key(void)
{
    jsonw_object(&writer, NULL);
    jsonw_int(&writer, NULL, 2);
}

static void json_element_with_key(void)
{
    jsonw_array(&writer, NULL);
    jsonw_int(&writer, "k", 2);
}

static void json_key_outside(void)
{
    jsonw_int(&writer, "k", 2);
}

static void json_empty_raw(void)
{
    jsonw_raw(&writer, NULL, SPAN(""));
}

static void json_too_deep(void)
{
    for (int i = 0; i < JSONW_DEPTH; i++)
        jsonw_array(&writer, NULL);
}

static void test_json_bugs(void **state)
{
    (void)state;
    jsonw_init(&writer, &scratch);
    assert_bug(json_end_too_often, "end without a beginning");
    assert_bug(json_two_values, "second outermost value");
    assert_bug(json_member_without_key, "without a key");
    assert_bug(json_element_with_key, "with a key");
    assert_bug(json_key_outside, "with a key");
    assert_bug(json_empty_raw, "empty value");
    assert_bug(json_too_deep, "levels");
    for (int i = 0; i < JSONW_DEPTH - 1; i++) /* the deepest that is allowed */
        jsonw_array(&writer, NULL);
    for (int i = 0; i < JSONW_DEPTH - 1; i++)
        jsonw_end(&writer);
    assert_int_equal(scratch.n, 2 * (JSONW_DEPTH - 1));
    bytes_free(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_document),
        cmocka_unit_test(test_json_escapes),
        cmocka_unit_test(test_json_utf8),
        cmocka_unit_test(test_json_bugs),
    };
    return cmocka_run_group_tests_name("base_jsonw", tests, NULL, NULL);
}
