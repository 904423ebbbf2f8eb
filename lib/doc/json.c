/* SPDX-License-Identifier: Apache-2.0 */
#include "doc/internal.h"

#include <jansson.h>
#include <string.h>

/*
 * jansson parses and checks; its tree knows no lines. So the text, valid by then, is walked once more beside
 * the tree (which keeps the order of the text) only to count lines. The document of one line does without.
 */
struct walk {
    struct doc *doc;
    const char *p, *end; /* p is NULL when lines are not counted */
    uint32_t line;
};

static void skip_gap(struct walk *w)
{
    for (; w->p < w->end && strchr(" \t\r\n,:", *w->p) != NULL; w->p++) {
        if (*w->p == '\n')
            w->line++;
    }
}

static void skip_string(struct walk *w)
{
    for (w->p++; *w->p != '"'; w->p++) {
        if (*w->p == '\\')
            w->p++;
    }
    w->p++;
}

/* Moves behind the next token: a string, a number, a word or one bracket. Returns the line it stands on. */
static uint32_t skip_token(struct walk *w)
{
    if (w->p == NULL)
        return 0;
    skip_gap(w);
    if (*w->p == '"') {
        skip_string(w);
        return w->line;
    }
    const char *start = w->p;
    while (w->p < w->end && strchr("[]{} \t\r\n,:", *w->p) == NULL)
        w->p++;
    if (w->p == start)
        w->p++;
    return w->line;
}

static enum rc fill(struct walk *w, struct doc_node *node, json_t *v, int depth, struct err *e);

static enum rc fill_map(struct walk *w, struct doc_node *node, json_t *v, int depth, struct err *e)
{
    size_t n = json_object_size(v);
    if (n > DOC_MEMBERS_MAX)
        return doc_reject(w->doc, node, NULL, "doc.limit", e,
                          "a map has at most %d members, this one has %zu", DOC_MEMBERS_MAX, n);
    doc_container(w->doc, node, DOC_MAP, n);
    const char *key = NULL;
    json_t *value;
    json_object_foreach(v, key, value)
    {
        uint32_t line = skip_token(w);
        struct doc_node *child = doc_add(w->doc, node, doc_keep(w->doc, key, strlen(key)), line);
        enum rc rc = fill(w, child, value, depth, e);
        if (rc != RC_OK)
            return rc;
    }
    skip_token(w);
    return RC_OK;
}

static enum rc fill_list(struct walk *w, struct doc_node *node, json_t *v, int depth, struct err *e)
{
    size_t n = json_array_size(v);
    if (n > DOC_LIST_MAX)
        return doc_reject(w->doc, node, NULL, "doc.limit", e,
                          "a list has at most %d elements, this one has %zu", DOC_LIST_MAX, n);
    doc_container(w->doc, node, DOC_LIST, n);
    for (size_t i = 0; i < n; i++) {
        struct doc_node *child = doc_add(w->doc, node, NULL, w->line);
        enum rc rc = fill(w, child, json_array_get(v, i), depth, e);
        if (rc != RC_OK)
            return rc;
    }
    skip_token(w);
    return RC_OK;
}

/* depth counts the containers around v. */
static enum rc fill(struct walk *w, struct doc_node *node, json_t *v, int depth, struct err *e)
{
    uint32_t line = skip_token(w);
    if (node->key == NULL)
        node->line = line;
    switch (json_typeof(v)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        if (depth == DOC_DEPTH_MAX)
            return doc_reject(w->doc, node, NULL, "doc.limit", e, "maps and lists nest at most %d deep",
                              DOC_DEPTH_MAX);
        return json_is_object(v) ? fill_map(w, node, v, depth + 1, e) : fill_list(w, node, v, depth + 1, e);
    case JSON_STRING:
        node->kind = DOC_STRING;
        node->text = doc_keep(w->doc, json_string_value(v), json_string_length(v));
        break;
    case JSON_INTEGER:
        node->kind = DOC_INT;
        node->number = json_integer_value(v);
        break;
    case JSON_REAL:
        return doc_reject(w->doc, node, NULL, "doc.value", e,
                          "a number with a fraction or an exponent is not allowed; documents hold integers");
    case JSON_TRUE:
    case JSON_FALSE:
        node->kind = DOC_BOOL;
        node->number = json_is_true(v);
        break;
    case JSON_NULL:
        break;
    }
    return RC_OK;
}

/* Our words for jansson's codes. Its own text repeats the input, which may be long, and is nothing for an
 * error. */
static enum rc syntax_error(const struct doc *d, const json_error_t *error, struct err *e)
{
    size_t line = error->line > 0 ? (size_t)error->line : 1;
    switch (json_error_code(error)) {
    case json_error_out_of_memory:
        out_of_memory();
    case json_error_duplicate_key:
        return doc_syntax(d, line, "doc.duplicate", "a key is given twice in one map", e);
    case json_error_invalid_utf8:
        return doc_syntax(d, line, "doc.syntax", "not valid JSON: the text is not UTF-8", e);
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return doc_syntax(d, line, "doc.syntax", "a string may not hold the character NUL", e);
    case json_error_numeric_overflow:
        return doc_syntax(d, line, "doc.syntax", "a number is too large: integers have 64 bits", e);
    case json_error_premature_end_of_input:
        return doc_syntax(d, line, "doc.syntax", "not valid JSON: the text ends too early", e);
    case json_error_end_of_input_expected:
        return doc_syntax(d, line, "doc.syntax", "not valid JSON: there is text behind the document", e);
    case json_error_stack_overflow:
        return doc_syntax(d, line, "doc.limit", "maps and lists nest too deep", e);
    default:
        return doc_syntax(d, line, "doc.syntax", "not valid JSON", e);
    }
}

static enum rc parse(const char *name, int64_t line, struct span text, struct doc **ret, struct err *e)
{
    struct doc *d = NULL;
    json_t *tree = NULL;
    json_error_t error;
    struct walk w = {.line = 1};

    enum rc rc = doc_new(name, line, text, &d, e);
    if (rc != RC_OK)
        goto out;
    /* jansson takes no NULL, and an empty span may be one */
    tree = json_loadb(text.n == 0 ? "" : (const char *)text.p, text.n,
                      JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (tree == NULL) {
        rc = syntax_error(d, &error, e);
        goto out;
    }
    w.doc = d;
    if (line == 0) {
        w.p = (const char *)text.p;
        w.end = w.p + text.n;
    }
    rc = fill(&w, doc_add(d, NULL, NULL, 1), tree, 0, e);
    if (rc != RC_OK)
        goto out;
    *ret = d;
    d = NULL;
out:
    json_decref(tree);
    doc_free(d);
    return rc;
}

enum rc doc_parse_json(const char *name, struct span text, struct doc **ret, struct err *e)
{
    return parse(name, 0, text, ret, e);
}

enum rc doc_parse_jsonl(const char *name, int64_t line, struct span text, struct doc **ret, struct err *e)
{
    return parse(name, line, text, ret, e);
}
