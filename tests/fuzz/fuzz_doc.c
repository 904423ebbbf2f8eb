/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "doc/doc.h"

/*
 * The input is parsed as YAML, as JSON and as a line of JSON. What parses is read by every getter under fixed
 * names ("a" to "d"), so that the fuzzer can reach each of them with short keys, and closed, so that errors
 * with long paths are formatted.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NEST_MAX = 4 };

static void read_map(struct doc_map *m, int nest);

static void close_map(struct doc_map *m)
{
    struct err e;
    if (doc_close(m, &e) != RC_OK && (e.rc != RC_INPUT || strlen(e.text) >= ERR_TEXT_MAX))
        __builtin_trap();
}

static void read_strings(const struct doc_map *from, const char *key)
{
    static const char *const words[] = {"x", "y", NULL};
    uint8_t hex[4];
    struct bytes raw = BYTES_INIT;
    struct doc_map m = *from;

    doc_str(&m, key);
    doc_schema(&m, "x");
    doc_str_or(&m, key, NULL);
    close_map(&m);
    m = *from;
    doc_time(&m, key);
    m = *from;
    doc_hex(&m, key, hex, sizeof(hex));
    m = *from;
    doc_b64(&m, key, &raw);
    m = *from;
    doc_word(&m, key, words);
    bytes_free(&raw);
}

static void read_numbers(const struct doc_map *from, const char *key)
{
    struct doc_map m = *from;
    doc_int(&m, key, INT64_MIN, INT64_MAX);
    doc_int_or(&m, key, 0, 9, 1);
    close_map(&m);
    m = *from;
    doc_bool(&m, key);
    doc_bool_or(&m, key, true);
    doc_fail(&m, key, "fuzz.key", "%s", key);
    close_map(&m);
}

static void read_nested(const struct doc_map *from, const char *key, int nest)
{
    struct doc_map m = *from;
    struct doc_map sub;
    doc_sub(&m, key, &sub);
    read_map(&sub, nest + 1);
    m = *from;
    size_t n = doc_list_or_empty(&m, key);
    for (size_t i = 0; i < n && i < 8; i++) {
        struct doc_map list = m;
        doc_list_str(&list, key, i);
        close_map(&list);
        list = m;
        doc_list_map(&list, key, i, &sub);
        read_map(&sub, nest + 1);
    }
    close_map(&m);
}

static void read_map(struct doc_map *m, int nest)
{
    static const char *const keys[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < 4 && nest < NEST_MAX; i++) {
        if (!doc_has(m, keys[i]))
            continue;
        read_strings(m, keys[i]);
        read_numbers(m, keys[i]);
        read_nested(m, keys[i], nest);
    }
    close_map(m);
}

static void read_doc(enum rc rc, struct doc *d)
{
    if ((rc == RC_OK) != (d != NULL))
        __builtin_trap();
    if (d != NULL) {
        struct doc_map m;
        doc_open(&m, d, doc_root(d));
        read_map(&m, 0);
    }
    doc_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct span text = {data, size};
    struct err e;
    struct doc *d = NULL;
    enum rc rc = doc_parse_yaml("fuzz.yaml", text, &d, &e);
    read_doc(rc, d);
    d = NULL;
    rc = doc_parse_json("fuzz.json", text, &d, &e);
    read_doc(rc, d);
    d = NULL;
    rc = doc_parse_jsonl("fuzz.jsonl", 7, text, &d, &e);
    read_doc(rc, d);
    return 0;
}
