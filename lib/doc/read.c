/* SPDX-License-Identifier: Apache-2.0 */
#include "doc/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"

enum { SCHEMA_SHOWN_MAX = 64 /* octets: a longer one is no schema of ours and not repeated */ };

void doc_fail(struct doc_map *m, const char *key, const char *err_key, const char *fmt, ...)
{
    if (m->err.rc != RC_OK)
        return;
    va_list ap;
    va_start(ap, fmt);
    doc_vreject(m->doc, m->node, key, err_key, &m->err, fmt, ap);
    va_end(ap);
}

void doc_open(struct doc_map *m, const struct doc *d, const struct doc_node *node)
{
    m->doc = d;
    m->node = node;
    m->asked = 0;
    m->err.rc = RC_OK; /* the texts are long and stay as they are: this runs once per line of a manifest */
    if (node->kind != DOC_MAP)
        doc_fail(m, NULL, "doc.value", "a map is required");
}

enum rc doc_close(struct doc_map *m, struct err *e)
{
    for (uint32_t i = 0; m->err.rc == RC_OK && i < m->node->n; i++) {
        if ((m->asked >> i & 1) == 0)
            doc_fail(m, m->node->items[i]->key, "doc.unknown-key",
                     "unknown key; nothing reads it, so remove it");
    }
    if (m->err.rc != RC_OK)
        *e = m->err;
    return m->err.rc;
}

/* NULL when absent or when something failed before. */
static const struct doc_node *find(struct doc_map *m, const char *key)
{
    if (m->err.rc != RC_OK)
        return NULL;
    for (uint32_t i = 0; i < m->node->n; i++) {
        if (strcmp(m->node->items[i]->key, key) == 0) {
            m->asked |= UINT64_C(1) << i;
            return m->node->items[i];
        }
    }
    return NULL;
}

static const struct doc_node *need(struct doc_map *m, const char *key)
{
    const struct doc_node *node = find(m, key);
    if (node == NULL)
        doc_fail(m, key, "doc.missing", "required, but missing");
    return node;
}

bool doc_has(struct doc_map *m, const char *key)
{
    return m->err.rc == RC_OK && doc_member(m->node, key) != NULL;
}

/*
 * Values. key names the member for the error; node is its value, or NULL when there is none (an absent
 * member, or a failure before): then each gives its zero and reports nothing.
 */
static const char *text_value(struct doc_map *m, const char *key, const struct doc_node *node)
{
    if (node == NULL)
        return NULL;
    if (node->kind == DOC_STRING && node->text[0] != '\0')
        return node->text;
    doc_fail(m, key, "doc.value", "a string is required that is not empty");
    return NULL;
}

/* Decimal as JSON writes it: no plus sign, no leading zeros, no blanks. */
static bool plain_int(const char *s, int64_t *ret)
{
    const char *digits = s[0] == '-' ? s + 1 : s;
    size_t n = strspn(digits, "0123456789");
    if (n == 0 || digits[n] != '\0' || (digits[0] == '0' && (n > 1 || digits != s)))
        return false;
    errno = 0;
    *ret = strtoll(s, NULL, 10);
    return errno == 0;
}

static int64_t int_value(struct doc_map *m, const char *key, const struct doc_node *node, int64_t min,
                         int64_t max)
{
    int64_t v = 0;
    if (node == NULL)
        return 0;
    bool ok = true;
    if (node->kind == DOC_INT)
        v = node->number;
    else
        ok = node->kind == DOC_STRING && node->plain && plain_int(node->text, &v);
    if (ok && v >= min && v <= max)
        return v;
    doc_fail(m, key, "doc.value", "an integer from %" PRId64 " to %" PRId64 " is required", min, max);
    return 0;
}

static bool bool_value(struct doc_map *m, const char *key, const struct doc_node *node)
{
    if (node == NULL)
        return false;
    if (node->kind == DOC_BOOL)
        return node->number != 0;
    bool plain = node->kind == DOC_STRING && node->plain;
    if (plain && strcmp(node->text, "true") == 0)
        return true;
    if (!plain || strcmp(node->text, "false") != 0)
        doc_fail(m, key, "doc.value", "true or false is required");
    return false;
}

static size_t list_value(struct doc_map *m, const char *key, const struct doc_node *node)
{
    if (node == NULL)
        return 0;
    if (node->kind == DOC_LIST)
        return node->n;
    doc_fail(m, key, "doc.value", "a list is required");
    return 0;
}

const char *doc_str(struct doc_map *m, const char *key)
{
    const char *s = text_value(m, key, need(m, key));
    return s == NULL ? "" : s;
}

const char *doc_str_or(struct doc_map *m, const char *key, const char *fallback)
{
    const char *s = text_value(m, key, find(m, key));
    return s == NULL ? fallback : s;
}

int64_t doc_int(struct doc_map *m, const char *key, int64_t min, int64_t max)
{
    return int_value(m, key, need(m, key), min, max);
}

int64_t doc_int_or(struct doc_map *m, const char *key, int64_t min, int64_t max, int64_t fallback)
{
    const struct doc_node *node = find(m, key);
    return node == NULL ? fallback : int_value(m, key, node, min, max);
}

bool doc_bool(struct doc_map *m, const char *key)
{
    return bool_value(m, key, need(m, key));
}

bool doc_bool_or(struct doc_map *m, const char *key, bool fallback)
{
    const struct doc_node *node = find(m, key);
    return node == NULL ? fallback : bool_value(m, key, node);
}

int64_t doc_time(struct doc_map *m, const char *key)
{
    const char *s = text_value(m, key, need(m, key));
    struct err why;
    int64_t t = 0;
    if (s == NULL)
        return 0;
    if (time_parse(s, &t, &why) == RC_OK)
        return t;
    doc_fail(m, key, "doc.value", "a UTC time is required, written as 2026-01-02T03:04:05Z");
    return 0;
}

void doc_hex(struct doc_map *m, const char *key, uint8_t *ret, size_t n)
{
    const char *s = text_value(m, key, need(m, key));
    struct err why;
    if (s != NULL && hex_decode_exact(s, ret, n, &why) == RC_OK)
        return;
    memset(ret, 0, n);
    doc_fail(m, key, "doc.value", "%zu octets in hex are required (%zu digits)", n, 2 * n);
}

void doc_sha256(struct doc_map *m, const char *key, uint8_t ret[static 32])
{
    static const uint8_t nothing[32] = {0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4,
                                        0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
                                        0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55};
    static const uint8_t zeros[32];
    doc_hex(m, key, ret, sizeof nothing);
    if (m->err.rc != RC_OK)
        return;
    if (memcmp(ret, zeros, sizeof zeros) == 0)
        doc_fail(
            m, key, "doc.placeholder",
            "these zeros are the example's; put the certificate's SHA-256 here: openssl x509 -in FILE -outform DER | sha256sum");
    else if (memcmp(ret, nothing, sizeof nothing) == 0)
        doc_fail(m, key, "doc.placeholder",
                 "this is the SHA-256 of nothing; the file that was hashed was not there");
}

void doc_b64(struct doc_map *m, const char *key, struct bytes *ret)
{
    const char *s = text_value(m, key, need(m, key));
    struct err why;
    if (s == NULL || b64_decode(span_str(s), ret, &why) == RC_OK)
        return;
    doc_fail(m, key, "doc.value", "base64 is required (RFC 4648 section 4, padded, no blanks)");
}

int doc_word(struct doc_map *m, const char *key, const char *const *words)
{
    const char *s = text_value(m, key, need(m, key));
    if (s == NULL)
        return 0;
    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], s) == 0)
            return i;
    }
    struct bytes all = BYTES_INIT;
    for (int i = 0; words[i] != NULL; i++)
        bytes_printf(&all, "%s'%s'", i == 0 ? "" : ", ", words[i]);
    doc_fail(m, key, "doc.value", "one of %s is required", bytes_str(&all));
    bytes_free(&all);
    return 0;
}

/* Opens the map in a value. Without one the child starts with its parent's failure, so that either's close
 * reports it. */
static void open_value(struct doc_map *m, const struct doc_node *node, struct doc_map *ret)
{
    if (node == NULL)
        *ret = *m;
    else
        doc_open(ret, m->doc, node);
}

void doc_sub(struct doc_map *m, const char *key, struct doc_map *ret)
{
    open_value(m, need(m, key), ret);
}

size_t doc_list(struct doc_map *m, const char *key)
{
    return list_value(m, key, need(m, key));
}

size_t doc_list_or_empty(struct doc_map *m, const char *key)
{
    return list_value(m, key, find(m, key));
}

/* NULL when something failed before. */
static const struct doc_node *element(struct doc_map *m, const char *key, size_t i)
{
    const struct doc_node *list = need(m, key);
    size_t n = list_value(m, key, list);
    if (m->err.rc != RC_OK)
        return NULL;
    if (i >= n)
        bug("element %zu of '%s' was asked for, which has %zu", i, key, n);
    return list->items[i];
}

const char *doc_list_str(struct doc_map *m, const char *key, size_t i)
{
    const struct doc_node *node = element(m, key, i);
    if (node == NULL)
        return "";
    if (node->kind == DOC_STRING && node->text[0] != '\0')
        return node->text;
    doc_reject(m->doc, node, NULL, "doc.value", &m->err, "a string is required that is not empty");
    return "";
}

void doc_list_map(struct doc_map *m, const char *key, size_t i, struct doc_map *ret)
{
    open_value(m, element(m, key, i), ret);
}

void doc_schema(struct doc_map *m, const char *schema)
{
    const struct doc_node *node = find(m, "schema");
    if (node != NULL && node->kind == DOC_STRING && strcmp(node->text, schema) == 0)
        return;
    if (node != NULL && node->kind == DOC_STRING && strlen(node->text) <= SCHEMA_SHOWN_MAX)
        doc_fail(m, "schema", "doc.schema",
                 "'%s' is required; this is '%s', another kind or version of document", schema, node->text);
    else
        doc_fail(m, "schema", "doc.schema", "'%s' is required; this is another kind or version of document",
                 schema);
}
