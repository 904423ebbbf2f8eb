/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DOC_INTERNAL_H
#define DOC_INTERNAL_H

#include <stdarg.h>

#include "doc/doc.h"

/* What json.c and yaml.c build and read.c reads. */
enum {
    DOC_DEPTH_MAX = 16,     /* maps and lists inside each other, the outermost counted */
    DOC_MEMBERS_MAX = 64,   /* of a map: struct doc_map remembers in one word what was asked for */
    DOC_LIST_MAX = 1000000, /* elements of a list */
};

struct doc_node {
    enum doc_kind kind;
    uint32_t line;                 /* from 1; of the key for a member of a map */
    const char *key;               /* NULL for the root and for elements of a list */
    const struct doc_node *parent; /* NULL for the root */
    bool plain;      /* DOC_STRING from a plain YAML scalar: may also be read as integer or bool */
    uint32_t n, cap; /* DOC_LIST, DOC_MAP: length, and room in items */
    union {
        const char *text;        /* DOC_STRING */
        int64_t number;          /* DOC_INT, DOC_BOOL */
        struct doc_node **items; /* DOC_LIST, DOC_MAP */
    };
};

/* Nodes and strings live in the chunks and go with them: a tree costs a few allocations, not one per value.
 */
struct doc_chunk;
struct doc {
    const char *name;
    int64_t line; /* when not 0: the document is this line of a file, and every error names it */
    struct doc_node *root;
    struct doc_chunk *chunks;
};

/* An empty document; RC_INPUT doc.too-big for a text that is too long to become one. */
NODISCARD enum rc doc_new(const char *name, int64_t line, struct span text, struct doc **ret, struct err *e);
/* A copy of s that lives as long as the document. */
const char *doc_keep(struct doc *d, const char *s, size_t n);
/* A new last child of parent (a DOC_LIST or DOC_MAP), or the root when parent is NULL. It starts as DOC_NULL.
 */
struct doc_node *doc_add(struct doc *d, struct doc_node *parent, const char *key, uint32_t line);
/* Makes node an empty DOC_LIST or DOC_MAP with room for n children; it grows when more are added. */
void doc_container(struct doc *d, struct doc_node *node, enum doc_kind kind, size_t n);
const struct doc_node *doc_member(const struct doc_node *map, const char *key); /* NULL when absent */

/* RC_INPUT with "name:line: text". */
enum rc doc_syntax(const struct doc *d, size_t line, const char *err_key, const char *text, struct err *e);
/* RC_INPUT with "name:line: 'path.to.key': text". key is a member of node that may be absent, or NULL for
 * node itself. */
enum rc doc_reject(const struct doc *d, const struct doc_node *node, const char *key, const char *err_key,
                   struct err *e, const char *fmt, ...) PRINTF_LIKE(6, 7);
enum rc doc_vreject(const struct doc *d, const struct doc_node *node, const char *key, const char *err_key,
                    struct err *e, const char *fmt, va_list ap) PRINTF_LIKE(6, 0);

#endif
