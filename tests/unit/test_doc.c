/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "doc/doc.h"

typedef enum rc parse_fn(const char *name, struct span text, struct doc **ret, struct err *e);

static struct doc *parse(parse_fn *f, const char *text)
{
    struct doc *d = NULL;
    struct err e = ERR_INIT;
    if (f("t", span_str(text), &d, &e) != RC_OK)
        fail_msg("%s", e.text);
    return d;
}

/* Parsing must fail with this key and text, and leave the result alone. */
static void reject_span(parse_fn *f, struct span text, const char *key, const char *says)
{
    struct doc *d = NULL;
    struct err e = ERR_INIT;
    assert_int_equal(f("t", text, &d, &e), RC_INPUT);
    assert_null(d);
    assert_string_equal(e.key, key);
    assert_string_equal(e.text, says);
}

static void reject(parse_fn *f, const char *text, const char *key, const char *says)
{
    reject_span(f, span_str(text), key, says);
}

/* Closing must fail with this key and text. */
static void close_says(struct doc_map *m, const char *key, const char *says)
{
    struct err e = ERR_INIT;
    assert_int_equal(doc_close(m, &e), RC_INPUT);
    assert_string_equal(e.key, key);
    assert_string_equal(e.text, says);
}

static void close_ok(struct doc_map *m)
{
    struct err e = ERR_INIT;
    if (doc_close(m, &e) != RC_OK)
        fail_msg("%s", e.text);
}

static const char *const colours[] = {"red", "green", NULL};

static void check_everything(struct doc *d)
{
    struct doc_map m, sub;
    uint8_t hex[2];
    struct bytes b64 = BYTES_INIT;

    doc_open(&m, d, doc_root(d));
    doc_schema(&m, "x.v1");
    assert_string_equal(doc_str(&m, "name"), "caf\303\251");
    assert_int_equal(doc_int(&m, "days", -5, 3650), -5);
    assert_true(doc_bool(&m, "on"));
    assert_int_equal(doc_time(&m, "since"), 86400);
    doc_hex(&m, "id", hex, 2);
    assert_memory_equal(hex, "\x0a\xff", 2);
    doc_b64(&m, "blob", &b64);
    assert_string_equal(bytes_str(&b64), "hello");
    assert_int_equal(doc_word(&m, "colour", colours), 1);
    assert_int_equal(doc_list(&m, "names"), 2);
    assert_string_equal(doc_list_str(&m, "names", 1), "b");
    assert_true(doc_has(&m, "crl"));
    assert_false(doc_has(&m, "clr"));
    doc_sub(&m, "crl", &sub);
    assert_int_equal(doc_int(&sub, "days", 1, 9), 9);
    close_ok(&sub);
    assert_int_equal(doc_list_or_empty(&m, "stations"), 1);
    doc_list_map(&m, "stations", 0, &sub);
    assert_string_equal(doc_str(&sub, "name"), "S1");
    close_ok(&sub);
    assert_int_equal(doc_int_or(&m, "absent", 1, 2, 77), 77);
    assert_true(doc_bool_or(&m, "absent", true));
    assert_false(doc_bool_or(&m, "off", true));
    assert_null(doc_str_or(&m, "absent", NULL));
    assert_string_equal(doc_str_or(&m, "name", "no"), "caf\303\251");
    assert_int_equal(doc_list_or_empty(&m, "absent"), 0);
    close_ok(&m);
    bytes_free(&b64);
    doc_free(d);
}

static void yaml_reads_everything(void **state)
{
    (void)state;
    check_everything(parse(doc_parse_yaml,
                           "# comment\nschema: x.v1\nname: \"caf\\u00e9\"\ndays: -5\non: true\noff: false\n"
                           "since: 1970-01-02T00:00:00Z\nid: 0aff\nblob: aGVsbG8=\ncolour: green\n"
                           "names: [a, b]\ncrl:\n  days: 9\nstations:\n  - name: S1\n"));
}

static void json_reads_everything(void **state)
{
    (void)state;
    check_everything(
        parse(doc_parse_json,
              "{\"schema\":\"x.v1\",\"name\":\"caf\\u00e9\",\"days\":-5,\"on\":true,\"off\":false,"
              "\"since\":\"1970-01-02T00:00:00Z\",\"id\":\"0aff\",\"blob\":\"aGVsbG8=\",\"colour\":\"green\","
              "\"names\":[\"a\",\"b\"],\"crl\":{\"days\":9},\"stations\":[{\"name\":\"S1\"}]}\n"));
}

static void yaml_syntax_is_rejected_with_its_line(void **state)
{
    (void)state;
    reject(doc_parse_yaml, "a: 1\nb: [1, 2\nc: 3\n", "doc.syntax",
           "t:3: not valid YAML: did not find expected ',' or ']'");
    reject(doc_parse_yaml, "a: 1\n\nb: 2\na: 3\n", "doc.duplicate", "t:4: a key is given twice in one map");
    reject(doc_parse_yaml, "a: 1\nb: &x 2\n", "doc.syntax", "t:2: anchors (&name) are not allowed");
    reject(doc_parse_yaml, "a: 1\nb: *x\n", "doc.syntax", "t:2: aliases (*name) are not allowed");
    reject(doc_parse_yaml, "a: !!str 1\n", "doc.syntax", "t:1: tags (!name) are not allowed");
    reject(doc_parse_yaml, "a: !x [1]\n", "doc.syntax", "t:1: tags (!name) are not allowed");
    reject(doc_parse_yaml, "a: &x {b: 1}\n", "doc.syntax", "t:1: anchors (&name) are not allowed");
    reject(doc_parse_yaml, "&k a: 1\n", "doc.syntax", "t:1: anchors (&name) are not allowed");
    reject(doc_parse_yaml, "a: 1\n---\nb: 1\n", "doc.syntax",
           "t:2: one file holds one document: there is another one here");
    reject(doc_parse_yaml, "%YAML 1.1\n---\na: 1\n", "doc.syntax", "t:1: directives (%name) are not allowed");
    reject(doc_parse_yaml, "", "doc.syntax", "t:1: the document is empty");
    reject(doc_parse_yaml, "a: \"x\\0y\"\n", "doc.syntax", "t:1: a string may not hold the character NUL");
    reject(doc_parse_yaml, "[a]: 1\n", "doc.syntax", "t:1: a key must be a plain word or a string");
    reject(doc_parse_yaml, "a: 1\nb: \"\xff\"\n", "doc.syntax",
           "t:2: not valid YAML: invalid leading UTF-8 octet");
}

static void json_syntax_is_rejected_with_its_line(void **state)
{
    (void)state;
    reject(doc_parse_json, "{\"a\":1,\n\"b\":}", "doc.syntax", "t:2: not valid JSON");
    reject(doc_parse_json, "{\"a\":1,\n\"a\":2}", "doc.duplicate", "t:2: a key is given twice in one map");
    reject(doc_parse_json, "{\"a\":1}\n{}", "doc.syntax",
           "t:2: not valid JSON: there is text behind the document");
    reject(doc_parse_json, "{\"a\":1", "doc.syntax", "t:1: not valid JSON: the text ends too early");
    reject(doc_parse_json, "{\"a\":\"\\u0000\"}", "doc.syntax",
           "t:1: a string may not hold the character NUL");
    reject(doc_parse_json, "{\"a\\u0000b\":1}", "doc.syntax", "t:1: a string may not hold the character NUL");
    reject_span(doc_parse_json, SPAN("{\"a\":1}\0"), "doc.syntax",
                "t:1: not valid JSON: there is text behind the document");
    reject(doc_parse_json, "{\"a\":9223372036854775808}", "doc.syntax",
           "t:1: a number is too large: integers have 64 bits");
    reject(doc_parse_json, "{\"a\":\"\xff\"}", "doc.syntax", "t:1: not valid JSON: the text is not UTF-8");
    reject(doc_parse_json, "{\"crl\":\n[\n1.5]}", "doc.value",
           "t:3: 'crl[0]': a number with a fraction or an exponent is not allowed; documents hold integers");
    reject_span(doc_parse_json, (struct span){NULL, 0}, "doc.syntax",
                "t:1: not valid JSON: the text ends too early");
}

/* The line of a member is right behind strings with brackets, escapes and line ends, and in nested lists. */
static void json_errors_name_line_and_path(void **state)
{
    (void)state;
    struct doc *d =
        parse(doc_parse_json,
              "\n{ \"a\" : \"]}\\\"\\n,:\\\\\" ,\n\"none\": null, \"e\":[ ], \"o\" : {\n}, \"n\": -12,\n"
              "\"crl\":{\"x\":true,\n  \"days\" :\n 99},\n"
              "\"stations\":[{\"name\":\"x\"},\n{\"nam\":\"y\"},[\n7]]\n}\n");
    struct doc_map m, sub;
    doc_open(&m, d, doc_root(d));
    doc_sub(&m, "crl", &sub);
    doc_int(&sub, "days", 1, 9);
    close_says(&sub, "doc.value", "t:6: 'crl.days': an integer from 1 to 9 is required");
    assert_int_equal(doc_list(&m, "stations"), 3);
    doc_list_map(&m, "stations", 1, &sub);
    close_says(&sub, "doc.unknown-key",
               "t:9: 'stations[1].nam': unknown key; nothing reads it, so remove it");
    doc_list_map(&m, "stations", 2, &sub);
    close_says(&sub, "doc.value", "t:9: 'stations[2]': a map is required");
    doc_list_map(&m, "stations", 1, &sub);
    doc_str(&sub, "name");
    close_says(&sub, "doc.missing", "t:9: 'stations[1].name': required, but missing");
    doc_str(&m, "none");
    close_says(&m, "doc.value", "t:3: 'none': a string is required that is not empty");
    doc_free(d);
}

static void yaml_errors_name_line_and_path(void **state)
{
    (void)state;
    struct doc *d = parse(doc_parse_yaml, "a: 1\ncrl:\n  days: 99\nlist:\n  - - x\n    - ''\n");
    struct doc_map m, sub;
    doc_open(&m, d, doc_root(d));
    doc_int(&m, "a", 1, 1);
    doc_sub(&m, "crl", &sub);
    doc_int(&sub, "days", 1, 9);
    close_says(&sub, "doc.value", "t:3: 'crl.days': an integer from 1 to 9 is required");
    doc_list_str(&m, "list", 0);
    close_says(&m, "doc.value", "t:5: 'list[0]': a string is required that is not empty");
    doc_open(&m, d, doc_root(d));
    close_says(&m, "doc.unknown-key", "t:1: 'a': unknown key; nothing reads it, so remove it");
    doc_free(d);
}

static void a_line_of_jsonl_names_itself(void **state)
{
    (void)state;
    struct doc *d = NULL;
    struct err e = ERR_INIT;
    assert_int_equal(doc_parse_jsonl("m.jsonl", 4711, SPAN("{\"a\":}"), &d, &e), RC_INPUT);
    assert_string_equal(e.text, "m.jsonl:4711: not valid JSON");
    assert_int_equal(doc_parse_jsonl("m.jsonl", 4711, SPAN("{\"a\":[{\"b\":1}]}"), &d, &e), RC_OK);
    struct doc_map m, sub;
    doc_open(&m, d, doc_root(d));
    doc_list_map(&m, "a", 0, &sub);
    doc_str(&sub, "b");
    close_says(&sub, "doc.value", "m.jsonl:4711: 'a[0].b': a string is required that is not empty");
    close_ok(&m);
    doc_free(d);
}

/* Plain YAML scalars are what is asked for; quoted ones, and JSON strings, are only ever text. */
static void yaml_types_come_from_the_question(void **state)
{
    (void)state;
    struct doc *d = parse(doc_parse_yaml,
                          "version: 1.10\nno: no\nseven: 007\nnull: null\nday: \"5\"\nyes: yes\non: 'true'\n"
                          "plus: +5\nhexint: 0x10\nbig: 9223372036854775808\nmax: 9223372036854775807\n");
    struct doc_map m;
    doc_open(&m, d, doc_root(d));
    assert_string_equal(doc_str(&m, "version"), "1.10");
    assert_string_equal(doc_str(&m, "no"), "no");
    assert_string_equal(doc_str(&m, "seven"), "007");
    assert_string_equal(doc_str(&m, "null"), "null");
    assert_int_equal(doc_int(&m, "max", 0, INT64_MAX), INT64_MAX);

    static const char *const no_int[] = {"version", "seven", "null", "day", "plus", "hexint", "big"};
    for (size_t i = 0; i < sizeof(no_int) / sizeof(no_int[0]); i++) {
        struct err e = ERR_INIT;
        doc_open(&m, d, doc_root(d));
        assert_int_equal(doc_int(&m, no_int[i], INT64_MIN, INT64_MAX), 0);
        assert_int_equal(doc_close(&m, &e), RC_INPUT);
        assert_string_equal(e.key, "doc.value");
    }
    doc_open(&m, d, doc_root(d));
    assert_false(doc_bool(&m, "yes"));
    close_says(&m, "doc.value", "t:6: 'yes': true or false is required");
    doc_open(&m, d, doc_root(d));
    assert_false(doc_bool(&m, "on"));
    close_says(&m, "doc.value", "t:7: 'on': true or false is required");
    doc_free(d);
}

static void json_types_are_not_mixed(void **state)
{
    (void)state;
    struct doc *d = parse(
        doc_parse_json, "{\"s\":\"5\",\"i\":5,\"b\":true,\"l\":[],\"o\":{},\"t\":\"1970-01-02\",\"e\":\"\"}");
    struct doc_map m, sub;
    uint8_t hex[2] = {1, 1};
    struct bytes raw = BYTES_INIT;
#define REFUSED(call, says)                                                                                  \
    do {                                                                                                     \
        doc_open(&m, d, doc_root(d));                                                                        \
        call;                                                                                                \
        close_says(&m, "doc.value", says);                                                                   \
    } while (0)
    REFUSED(doc_int(&m, "s", 0, 9), "t:1: 's': an integer from 0 to 9 is required");
    REFUSED(doc_int(&m, "i", 6, 9), "t:1: 'i': an integer from 6 to 9 is required");
    REFUSED(doc_int_or(&m, "i", 0, 4, 1), "t:1: 'i': an integer from 0 to 4 is required");
    REFUSED(doc_str(&m, "i"), "t:1: 'i': a string is required that is not empty");
    REFUSED(doc_str(&m, "e"), "t:1: 'e': a string is required that is not empty");
    REFUSED(doc_str_or(&m, "e", "x"), "t:1: 'e': a string is required that is not empty");
    REFUSED(doc_bool(&m, "i"), "t:1: 'i': true or false is required");
    REFUSED(doc_bool_or(&m, "s", true), "t:1: 's': true or false is required");
    REFUSED(doc_list(&m, "o"), "t:1: 'o': a list is required");
    REFUSED(doc_list_or_empty(&m, "o"), "t:1: 'o': a list is required");
    REFUSED(doc_time(&m, "t"), "t:1: 't': a UTC time is required, written as 2026-01-02T03:04:05Z");
    REFUSED(doc_hex(&m, "s", hex, 2), "t:1: 's': 2 octets in hex are required (4 digits)");
    assert_memory_equal(hex, "\0\0", 2);
    REFUSED(doc_b64(&m, "t", &raw), "t:1: 't': base64 is required (RFC 4648 section 4, padded, no blanks)");
    assert_int_equal(raw.n, 0);
    REFUSED(doc_word(&m, "s", colours), "t:1: 's': one of 'red', 'green' is required");
    REFUSED((doc_sub(&m, "l", &sub), m = sub), "t:1: 'l': a map is required");
    bytes_free(&raw);
    doc_free(d);
}

static void the_first_failure_is_kept(void **state)
{
    (void)state;
    struct doc *d = parse(doc_parse_json, "{\"a\":\"x\",\"n\":3,\"u\":1}");
    struct doc_map m, sub;
    doc_open(&m, d, doc_root(d));
    doc_fail(&m, "a", "order.name", "'%s' is taken", doc_str(&m, "a"));
    assert_string_equal(doc_str(&m, "a"), "");
    assert_int_equal(doc_int(&m, "n", 0, 9), 0);
    assert_int_equal(doc_int_or(&m, "n", 0, 9, 8), 8);
    assert_false(doc_has(&m, "a"));
    assert_int_equal(doc_list(&m, "gone"), 0);
    doc_sub(&m, "gone", &sub);
    assert_string_equal(doc_str(&sub, "also"), "");
    doc_fail(&sub, "also", "x.y", "later");
    close_says(&sub, "order.name", "t:1: 'a': 'x' is taken");
    close_says(&m, "order.name", "t:1: 'a': 'x' is taken");

    doc_open(&m, d, doc_root(d));
    doc_fail(&m, NULL, "order.pair", "either a or b");
    close_says(&m, "order.pair", "t:1: either a or b");
    doc_free(d);
}

static void schema_must_be_exact(void **state)
{
    (void)state;
    static const char *const bad[] = {"{\"schema\":\"x.v2\"}", "{\"schema\":1}", "{}"};
    for (size_t i = 0; i < 3; i++) {
        struct doc *d = parse(doc_parse_json, bad[i]);
        struct doc_map m;
        doc_open(&m, d, doc_root(d));
        doc_schema(&m, "x.v1");
        close_says(
            &m, "doc.schema",
            i == 0 ? "t:1: 'schema': 'x.v1' is required; this is 'x.v2', another kind or version of document"
                   : "t:1: 'schema': 'x.v1' is required; this is another kind or version of document");
        doc_free(d);
    }
}

static void a_root_that_is_no_map_fails_at_close(void **state)
{
    (void)state;
    struct doc *docs[] = {parse(doc_parse_json, "[1]"), parse(doc_parse_json, "1"),
                          parse(doc_parse_yaml, "hello\n")};
    for (size_t i = 0; i < 3; i++) {
        struct doc_map m;
        doc_open(&m, docs[i], doc_root(docs[i]));
        assert_string_equal(doc_str(&m, "a"), "");
        close_says(&m, "doc.value", "t:1: a map is required");
        doc_free(docs[i]);
    }
}

/* {"a":{"a":...1...}} with n maps, which is YAML too. */
static char *nested(int n)
{
    struct bytes b = BYTES_INIT;
    for (int i = 0; i < n; i++)
        bytes_add_str(&b, "{\"a\": ");
    bytes_add_str(&b, "1");
    for (int i = 0; i < n; i++)
        bytes_add_byte(&b, '}');
    return (char *)b.p;
}

static char *wide(int n)
{
    struct bytes b = BYTES_INIT;
    for (int i = 0; i < n; i++)
        bytes_printf(&b, "%c\"k%d\": %d", i == 0 ? '{' : ',', i, i);
    bytes_add_byte(&b, '}');
    return (char *)b.p;
}

static void depth_and_width_have_limits(void **state)
{
    (void)state;
    parse_fn *const both[] = {doc_parse_json, doc_parse_yaml};
    for (size_t i = 0; i < 2; i++) {
        struct err e = ERR_INIT;
        struct doc *d = NULL;
        char *ok = nested(16), *deep = nested(17), *full = wide(64), *over = wide(65), *abyss = nested(5000);

        doc_free(parse(both[i], ok));
        assert_int_equal(both[i]("t", span_str(deep), &d, &e), RC_INPUT);
        assert_string_equal(e.key, "doc.limit");
        assert_int_equal(both[i]("t", span_str(over), &d, &e), RC_INPUT);
        assert_string_equal(e.key, "doc.limit");
        assert_int_equal(both[i]("t", span_str(abyss), &d, &e), RC_INPUT);
        assert_string_equal(e.key, "doc.limit");

        /* the last of 64 members is guarded like the others */
        d = parse(both[i], full);
        struct doc_map m;
        doc_open(&m, d, doc_root(d));
        for (int k = 0; k < 63; k++) {
            char key[8];
            snprintf(key, sizeof(key), "k%d", k);
            assert_int_equal(doc_int(&m, key, 0, 99), k);
        }
        close_says(&m, "doc.unknown-key", "t:1: 'k63': unknown key; nothing reads it, so remove it");
        doc_free(d);
        free(ok);
        free(deep);
        free(full);
        free(over);
        free(abyss);
    }
}

static void long_lists_work_up_to_their_limit(void **state)
{
    (void)state;
    struct bytes b = BYTES_INIT;
    struct err e = ERR_INIT;
    struct doc *d = NULL;
    struct doc_map m;

    bytes_add_str(&b, "{\"l\":[\"a\"");
    for (int i = 1; i < 1000000; i++)
        bytes_add_str(&b, ",\n\"b\"");
    size_t at = b.n;
    bytes_add_str(&b, "]}");
    assert_int_equal(doc_parse_json("t", bytes_span(&b), &d, &e), RC_OK);
    doc_open(&m, d, doc_root(d));
    assert_int_equal(doc_list(&m, "l"), 1000000);
    for (size_t i = 1; i < 1000000; i++) {
        if (doc_list_str(&m, "l", i)[0] != 'b')
            fail();
    }
    close_ok(&m);
    doc_free(d);
    d = NULL;

    b.n = at;
    bytes_add_str(&b, ",\"c\"]}");
    assert_int_equal(doc_parse_json("t", bytes_span(&b), &d, &e), RC_INPUT);
    assert_string_equal(e.text, "t:1: 'l': a list has at most 1000000 elements, this one has 1000001");
    assert_int_equal(doc_parse_yaml("t", bytes_span(&b), &d, &e), RC_INPUT);
    assert_string_equal(e.text, "t:1: 'l': a list has at most 1000000 elements");
    assert_null(d);

    bytes_room(&b, FILE_DOC_MAX);
    memset(b.p, ' ', FILE_DOC_MAX + 1);
    assert_int_equal(doc_parse_json("t", (struct span){b.p, FILE_DOC_MAX + 1}, &d, &e), RC_INPUT);
    assert_string_equal(e.key, "doc.too-big");
    bytes_free(&b);
}

static void errors_show_keys_harmlessly(void **state)
{
    (void)state;
    struct doc *d = parse(doc_parse_json, "{\"\\u001b[31m\":1}");
    struct doc_map m;
    doc_open(&m, d, doc_root(d));
    close_says(&m, "doc.unknown-key", "t:1: '?[31m': unknown key; nothing reads it, so remove it");
    doc_free(d);

    d = parse(doc_parse_json,
              "{\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\303\251y\":1}");
    doc_open(&m, d, doc_root(d));
    close_says(
        &m, "doc.unknown-key",
        "t:1: 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...': unknown key; nothing reads it, "
        "so remove it");
    doc_free(d);
}

static void yaml_is_read_from_a_file(void **state)
{
    (void)state;
    char path[] = "/tmp/test_doc.XXXXXX";
    struct err e = ERR_INIT;
    struct doc *d = NULL;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "a: x\nb: 1\n", 10), 10);
    close(fd);

    assert_int_equal(doc_read_yaml(path, &d, &e), RC_OK);
    struct doc_map m;
    doc_open(&m, d, doc_root(d));
    assert_string_equal(doc_str(&m, "a"), "x");
    assert_int_equal(doc_close(&m, &e), RC_INPUT);
    assert_non_null(strstr(e.text, path));
    assert_non_null(strstr(e.text, ":2: 'b': unknown key"));
    doc_free(d);
    d = NULL;

    unlink(path);
    assert_int_equal(doc_read_yaml(path, &d, &e), RC_SYSTEM);
    assert_null(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yaml_reads_everything),
        cmocka_unit_test(json_reads_everything),
        cmocka_unit_test(yaml_syntax_is_rejected_with_its_line),
        cmocka_unit_test(json_syntax_is_rejected_with_its_line),
        cmocka_unit_test(json_errors_name_line_and_path),
        cmocka_unit_test(yaml_errors_name_line_and_path),
        cmocka_unit_test(a_line_of_jsonl_names_itself),
        cmocka_unit_test(yaml_types_come_from_the_question),
        cmocka_unit_test(json_types_are_not_mixed),
        cmocka_unit_test(the_first_failure_is_kept),
        cmocka_unit_test(schema_must_be_exact),
        cmocka_unit_test(a_root_that_is_no_map_fails_at_close),
        cmocka_unit_test(depth_and_width_have_limits),
        cmocka_unit_test(long_lists_work_up_to_their_limit),
        cmocka_unit_test(errors_show_keys_harmlessly),
        cmocka_unit_test(yaml_is_read_from_a_file),
    };
    return cmocka_run_group_tests_name("doc", tests, NULL, NULL);
}
