/* SPDX-License-Identifier: Apache-2.0 */
#include "doc/internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"

enum {
    CHUNK_FIRST = 2 << 10, /* octets: most lines of a JSON-lines file need one chunk */
    CHUNK_MAX = 1 << 20,   /* octets: chunks double up to this; a longer string gets its own */
    NAME_SHOWN_MAX = 64,   /* octets of a key that an error repeats */
};

struct doc_chunk {
    struct doc_chunk *next;
    size_t used, size;
    _Alignas(max_align_t) unsigned char mem[];
};

/* n zeroed octets that live as long as the document. */
static void *take(struct doc *d, size_t n)
{
    const size_t align = _Alignof(max_align_t);
    n = (n + align - 1) / align * align;

    struct doc_chunk *c = d->chunks;
    if (c == NULL || n > c->size - c->used) {
        size_t size = c == NULL ? CHUNK_FIRST : 2 * c->size;
        if (size > CHUNK_MAX)
            size = CHUNK_MAX;
        if (size < n)
            size = n;
        c = mem_new(sizeof(*c) + size);
        c->size = size;
        c->next = d->chunks;
        d->chunks = c;
    }
    void *p = c->mem + c->used;
    c->used += n;
    return p;
}

enum rc doc_new(const char *name, int64_t line, struct span text, struct doc **ret, struct err *e)
{
    if (text.n > FILE_DOC_MAX)
        return err_set(e, RC_INPUT, "doc.too-big", "'%s': a document has at most %d octets, this one has %zu",
                       name, FILE_DOC_MAX, text.n);
    struct doc *d = mem_new(sizeof(*d));
    d->name = doc_keep(d, name, strlen(name));
    d->line = line;
    *ret = d;
    return RC_OK;
}

void doc_free(struct doc *d)
{
    if (d == NULL)
        return;
    for (struct doc_chunk *c = d->chunks; c != NULL;) {
        struct doc_chunk *next = c->next;
        free(c);
        c = next;
    }
    free(d);
}

const struct doc_node *doc_root(const struct doc *d)
{
    return d->root;
}

const char *doc_keep(struct doc *d, const char *s, size_t n)
{
    char *copy = take(d, n + 1);
    memcpy(copy, s, n);
    return copy;
}

static void grow(struct doc *d, struct doc_node *node, size_t cap)
{
    struct doc_node **items = take(d, cap * sizeof(struct doc_node *));
    if (node->n > 0)
        memcpy(items, node->items, node->n * sizeof(struct doc_node *));
    node->items = items;
    node->cap = (uint32_t)cap;
}

void doc_container(struct doc *d, struct doc_node *node, enum doc_kind kind, size_t n)
{
    node->kind = kind;
    grow(d, node, n == 0 ? 1 : n);
}

struct doc_node *doc_add(struct doc *d, struct doc_node *parent, const char *key, uint32_t line)
{
    struct doc_node *node = take(d, sizeof(*node));
    node->parent = parent;
    node->key = key;
    node->line = line;
    if (parent == NULL) {
        d->root = node;
        return node;
    }
    if (parent->n == parent->cap)
        grow(d, parent, 2 * (size_t)parent->cap);
    parent->items[parent->n++] = node;
    return node;
}

const struct doc_node *doc_member(const struct doc_node *map, const char *key)
{
    for (uint32_t i = 0; i < map->n; i++) {
        if (strcmp(map->items[i]->key, key) == 0)
            return map->items[i];
    }
    return NULL;
}

/* A key comes from the document: what an error repeats of it is short and cannot steer a terminal. */
static void add_name(struct bytes *b, const char *key)
{
    size_t n = strlen(key);
    bool cut = n > NAME_SHOWN_MAX;
    if (cut) {
        n = NAME_SHOWN_MAX;
        while (n > 0 && ((unsigned char)key[n] & 0xc0) == 0x80) /* not inside a character */
            n--;
    }
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)key[i];
        bytes_add_byte(b, c < 0x20 || c == 0x7f ? '?' : c);
    }
    if (cut)
        bytes_add_str(b, "...");
}

static void add_path(struct bytes *b, const struct doc_node *node)
{
    const struct doc_node *parent = node->parent;
    if (parent == NULL)
        return;
    add_path(b, parent);
    if (node->key != NULL) {
        if (b->n > 0)
            bytes_add_byte(b, '.');
        add_name(b, node->key);
        return;
    }
    uint32_t i = 0;
    while (parent->items[i] != node)
        i++;
    bytes_printf(b, "[%u]", (unsigned)i);
}

static const struct doc_node *node_of(const struct doc_node *node, const char *key)
{
    const struct doc_node *member = NULL;
    if (key != NULL && node->kind == DOC_MAP)
        member = doc_member(node, key);
    return member == NULL ? node : member;
}

enum rc doc_syntax(const struct doc *d, size_t line, const char *err_key, const char *text, struct err *e)
{
    long long shown = d->line != 0 ? d->line : (long long)line;
    return err_set(e, RC_INPUT, err_key, "%s:%lld: %s", d->name, shown, text);
}

enum rc doc_vreject(const struct doc *d, const struct doc_node *node, const char *key, const char *err_key,
                    struct err *e, const char *fmt, va_list ap)
{
    struct bytes path = BYTES_INIT;
    struct bytes text = BYTES_INIT;

    add_path(&path, node);
    if (key != NULL) {
        if (path.n > 0)
            bytes_add_byte(&path, '.');
        add_name(&path, key);
    }
    if (path.n > 0)
        bytes_printf(&text, "'%s': ", bytes_str(&path));
    bytes_vprintf(&text, fmt, ap);
    enum rc rc = doc_syntax(d, node_of(node, key)->line, err_key, bytes_str(&text), e);

    bytes_free(&path);
    bytes_free(&text);
    return rc;
}

enum rc doc_reject(const struct doc *d, const struct doc_node *node, const char *key, const char *err_key,
                   struct err *e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    enum rc rc = doc_vreject(d, node, key, err_key, e, fmt, ap);
    va_end(ap);
    return rc;
}
