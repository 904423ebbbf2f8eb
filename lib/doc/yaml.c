/* SPDX-License-Identifier: Apache-2.0 */
#include "doc/internal.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "base/file.h"

struct reader {
    yaml_parser_t parser;
    struct doc *doc;
    struct span text;
};

static uint32_t event_line(const yaml_event_t *ev)
{
    return (uint32_t)(ev->start_mark.line + 1);
}

/* From 0. What cannot be decoded is found ahead of the scanner's own mark, so its offset tells the line. */
static size_t problem_line(const struct reader *r)
{
    if (r->parser.error != YAML_READER_ERROR)
        return r->parser.problem_mark.line;
    size_t line = 0;
    for (size_t i = 0; i < r->parser.problem_offset && i < r->text.n; i++)
        line += r->text.p[i] == '\n';
    return line;
}

/* libyaml's problem texts are literals, so nothing of the input gets into the error. */
static enum rc parser_error(const struct reader *r, struct err *e)
{
    const char *problem = r->parser.problem;
    if (r->parser.error == YAML_MEMORY_ERROR)
        out_of_memory();
    char text[160];
    snprintf(text, sizeof(text), "not valid YAML: %s", problem == NULL ? "unknown problem" : problem);
    return doc_syntax(r->doc, problem_line(r) + 1, "doc.syntax", text, e);
}

/* The next event, to be deleted by the caller when RC_OK. */
static enum rc next(struct reader *r, yaml_event_t *ret, struct err *e)
{
    return yaml_parser_parse(&r->parser, ret) ? RC_OK : parser_error(r, e);
}

static enum rc check_decoration(const struct reader *r, const yaml_event_t *ev, struct err *e)
{
    const yaml_char_t *anchor = NULL;
    const yaml_char_t *tag = NULL;

    switch (ev->type) {
    case YAML_ALIAS_EVENT:
        return doc_syntax(r->doc, event_line(ev), "doc.syntax", "aliases (*name) are not allowed", e);
    case YAML_SCALAR_EVENT:
        anchor = ev->data.scalar.anchor;
        tag = ev->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = ev->data.sequence_start.anchor;
        tag = ev->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = ev->data.mapping_start.anchor;
        tag = ev->data.mapping_start.tag;
        break;
    default:
        break;
    }
    if (anchor != NULL)
        return doc_syntax(r->doc, event_line(ev), "doc.syntax", "anchors (&name) are not allowed", e);
    if (tag != NULL)
        return doc_syntax(r->doc, event_line(ev), "doc.syntax", "tags (!name) are not allowed", e);
    return RC_OK;
}

/* The text of a scalar event, kept in the document. */
static enum rc scalar(struct reader *r, const yaml_event_t *ev, const char **ret, struct err *e)
{
    const char *s = (const char *)ev->data.scalar.value;
    size_t n = ev->data.scalar.length;
    if (memchr(s, 0, n) != NULL)
        return doc_syntax(r->doc, event_line(ev), "doc.syntax", "a string may not hold the character NUL", e);
    *ret = doc_keep(r->doc, s, n);
    return RC_OK;
}

static enum rc fill(struct reader *r, struct doc_node *node, const yaml_event_t *ev, int depth,
                    struct err *e);

static enum rc add_member(struct reader *r, struct doc_node *map, const yaml_event_t *key_ev, int depth,
                          struct err *e)
{
    yaml_event_t ev;
    const char *key = NULL;

    enum rc rc = check_decoration(r, key_ev, e);
    if (rc != RC_OK)
        return rc;
    if (key_ev->type != YAML_SCALAR_EVENT)
        return doc_syntax(r->doc, event_line(key_ev), "doc.syntax", "a key must be a plain word or a string",
                          e);
    rc = scalar(r, key_ev, &key, e);
    if (rc != RC_OK)
        return rc;
    if (doc_member(map, key) != NULL)
        return doc_syntax(r->doc, event_line(key_ev), "doc.duplicate", "a key is given twice in one map", e);
    if (map->n == DOC_MEMBERS_MAX)
        return doc_reject(r->doc, map, NULL, "doc.limit", e, "a map has at most %d members", DOC_MEMBERS_MAX);

    rc = next(r, &ev, e);
    if (rc != RC_OK)
        return rc;
    rc = fill(r, doc_add(r->doc, map, key, event_line(key_ev)), &ev, depth, e);
    yaml_event_delete(&ev);
    return rc;
}

static enum rc add_element(struct reader *r, struct doc_node *list, const yaml_event_t *ev, int depth,
                           struct err *e)
{
    if (list->n == DOC_LIST_MAX)
        return doc_reject(r->doc, list, NULL, "doc.limit", e, "a list has at most %d elements", DOC_LIST_MAX);
    return fill(r, doc_add(r->doc, list, NULL, event_line(ev)), ev, depth, e);
}

static enum rc fill_container(struct reader *r, struct doc_node *node, bool map, int depth, struct err *e)
{
    if (depth > DOC_DEPTH_MAX)
        return doc_reject(r->doc, node, NULL, "doc.limit", e, "maps and lists nest at most %d deep",
                          DOC_DEPTH_MAX);
    doc_container(r->doc, node, map ? DOC_MAP : DOC_LIST, 0);
    for (;;) {
        yaml_event_t ev;
        enum rc rc = next(r, &ev, e);
        if (rc != RC_OK)
            return rc;
        bool end = ev.type == (map ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT);
        if (!end)
            rc = map ? add_member(r, node, &ev, depth, e) : add_element(r, node, &ev, depth, e);
        yaml_event_delete(&ev);
        if (end || rc != RC_OK)
            return rc;
    }
}

/* ev begins the value; depth counts the containers around it. */
static enum rc fill(struct reader *r, struct doc_node *node, const yaml_event_t *ev, int depth, struct err *e)
{
    enum rc rc = check_decoration(r, ev, e);
    if (rc != RC_OK)
        return rc;
    if (ev->type != YAML_SCALAR_EVENT)
        return fill_container(r, node, ev->type == YAML_MAPPING_START_EVENT, depth + 1, e);
    node->kind = DOC_STRING;
    node->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return scalar(r, ev, &node->text, e);
}

/* Reads the one event that must come next; says text when it is another one. */
static enum rc expect(struct reader *r, yaml_event_type_t type, const char *text, struct err *e)
{
    yaml_event_t ev;
    enum rc rc = next(r, &ev, e);
    if (rc != RC_OK)
        return rc;
    if (ev.type != type)
        rc = doc_syntax(r->doc, event_line(&ev), "doc.syntax", text, e);
    else if (type == YAML_DOCUMENT_START_EVENT &&
             (ev.data.document_start.version_directive != NULL ||
              ev.data.document_start.tag_directives.start != ev.data.document_start.tag_directives.end))
        rc = doc_syntax(r->doc, event_line(&ev), "doc.syntax", "directives (%name) are not allowed", e);
    yaml_event_delete(&ev);
    return rc;
}

static enum rc read_stream(struct reader *r, struct err *e)
{
    enum rc rc = expect(r, YAML_STREAM_START_EVENT, "not valid YAML", e);
    if (rc != RC_OK)
        return rc;
    rc = expect(r, YAML_DOCUMENT_START_EVENT, "the document is empty", e);
    if (rc != RC_OK)
        return rc;

    yaml_event_t ev;
    rc = next(r, &ev, e);
    if (rc != RC_OK)
        return rc;
    rc = fill(r, doc_add(r->doc, NULL, NULL, event_line(&ev)), &ev, 0, e);
    yaml_event_delete(&ev);
    if (rc != RC_OK)
        return rc;

    rc = expect(r, YAML_DOCUMENT_END_EVENT, "not valid YAML", e);
    if (rc != RC_OK)
        return rc;
    return expect(r, YAML_STREAM_END_EVENT, "one file holds one document: there is another one here", e);
}

enum rc doc_parse_yaml(const char *name, struct span text, struct doc **ret, struct err *e)
{
    struct reader r = {.text = text};

    enum rc rc = doc_new(name, 0, text, &r.doc, e);
    if (rc != RC_OK)
        return rc;
    if (!yaml_parser_initialize(&r.parser))
        out_of_memory();
    yaml_parser_set_input_string(&r.parser, text.n == 0 ? (const uint8_t *)"" : text.p, text.n);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    rc = read_stream(&r, e);
    yaml_parser_delete(&r.parser);
    if (rc != RC_OK) {
        doc_free(r.doc);
        return rc;
    }
    *ret = r.doc;
    return RC_OK;
}

enum rc doc_read_yaml(const char *path, struct doc **ret, struct err *e)
{
    struct bytes text = BYTES_INIT;
    enum rc rc = file_read(path, FILE_DOC_MAX, &text, e);
    if (rc == RC_OK)
        rc = doc_parse_yaml(path, bytes_span(&text), ret, e);
    bytes_free(&text);
    return rc;
}
