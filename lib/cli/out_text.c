/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { GAP = 2 }; /* columns between label and value, and between the columns of a table */

static void pad(struct bytes *b, size_t n)
{
    bytes_printf(b, "%*s", (int)n, "");
}

/* A value on one line; returns its columns. NULL: the row has no such member. */
static size_t put_value(struct bytes *b, const struct out *o, const struct out_event *ev)
{
    size_t before = b->n;
    if (ev == NULL || ev->kind == OUT_NULL)
        bytes_add_byte(b, '-');
    else if (ev->kind == OUT_TEXT)
        return show(b, out_text_of(o, ev));
    else if (ev->kind == OUT_LIST)
        bytes_add_str(b, "none");
    else if (ev->kind == OUT_BOOL)
        bytes_add_str(b, ev->number != 0 ? "yes" : "no");
    else
        bytes_printf(b, "%" PRId64, ev->number);
    return b->n - before;
}

/* "label:" with blanks for the key's underscores; returns its columns. */
static size_t put_label(struct bytes *b, const char *key)
{
    for (const char *p = key; *p != '\0'; p++)
        bytes_add_byte(b, *p == '_' ? ' ' : (uint8_t)*p);
    bytes_add_byte(b, ':');
    return strlen(key) + 1;
}

/* Text of several lines (PEM) stands under its label, so that it stays what it is. */
static void put_lines(struct bytes *b, const char *text)
{
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");
        char *line = mem_strn(text, n);
        bytes_add_byte(b, '\n');
        pad(b, GAP);
        show(b, line);
        free(line);
        text += n + (text[n] == '\n');
    }
}

static void put_fact(struct bytes *b, const struct out *o, const struct out_event *ev, size_t width)
{
    size_t n = put_label(b, o->keys[ev->key].name);
    if (ev->kind == OUT_TEXT && strchr(out_text_of(o, ev), '\n') != NULL) {
        put_lines(b, out_text_of(o, ev));
    } else {
        pad(b, width + GAP - n);
        put_value(b, o, ev);
    }
    bytes_add_byte(b, '\n');
}

/* The columns of a table are the keys of its rows, in the order in which they first appear. */
struct table {
    const struct out *o;
    const struct out_event *begin, *end; /* the first row, and the end of the list */
    uint32_t n;                          /* columns */
    uint32_t *keys;                      /* key of each column */
    size_t *widths;
    uint32_t *columns;              /* 1 + column of each key; 0 when it is none */
    const struct out_event **cells; /* of the row at hand */
};

/* Gathers the row that begins at row into cells; returns where the next one begins. */
static const struct out_event *next_row(struct table *t, const struct out_event *row)
{
    for (uint32_t i = 0; i < t->n; i++)
        t->cells[i] = NULL;
    for (row++; row < t->end && row->kind != OUT_ROW; row++)
        t->cells[t->columns[row->key] - 1] = row;
    return row;
}

static void find_columns(struct table *t)
{
    for (const struct out_event *ev = t->begin; ev < t->end; ev++) {
        if (ev->kind == OUT_ROW || t->columns[ev->key] != 0)
            continue;
        t->keys[t->n] = ev->key;
        t->widths[t->n] = strlen(t->o->keys[ev->key].name);
        t->columns[ev->key] = ++t->n;
    }
}

static void find_widths(struct table *t)
{
    struct bytes scratch = BYTES_INIT;
    for (const struct out_event *row = t->begin; row < t->end;) {
        row = next_row(t, row);
        for (uint32_t i = 0; i < t->n; i++) {
            bytes_reset(&scratch);
            size_t width = put_value(&scratch, t->o, t->cells[i]);
            if (width > t->widths[i])
                t->widths[i] = width;
        }
    }
    bytes_free(&scratch);
}

static void put_header(struct bytes *b, const struct table *t)
{
    for (uint32_t i = 0; i < t->n; i++) {
        const char *name = t->o->keys[t->keys[i]].name;
        for (const char *p = name; *p != '\0'; p++)
            bytes_add_byte(b, (uint8_t)(*p == '_' ? ' ' : *p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p));
        if (i + 1 < t->n)
            pad(b, t->widths[i] + GAP - strlen(name));
    }
    bytes_add_byte(b, '\n');
}

static void put_rows(struct bytes *b, struct table *t)
{
    for (const struct out_event *row = t->begin; row < t->end;) {
        row = next_row(t, row);
        for (uint32_t i = 0; i < t->n; i++) {
            size_t width = put_value(b, t->o, t->cells[i]);
            if (i + 1 < t->n)
                pad(b, t->widths[i] + GAP - width);
        }
        bytes_add_byte(b, '\n');
    }
}

static void put_table(struct bytes *b, const struct out *o, const struct out_event *begin,
                      const struct out_event *end)
{
    struct table t = {.o = o, .begin = begin, .end = end};
    t.keys = mem_array(o->n_keys, sizeof(t.keys[0]));
    t.widths = mem_array(o->n_keys, sizeof(t.widths[0]));
    t.columns = mem_array(o->n_keys, sizeof(t.columns[0]));
    t.cells = mem_array(o->n_keys, sizeof(t.cells[0]));
    find_columns(&t);
    find_widths(&t);
    put_header(b, &t);
    put_rows(b, &t);
    free(t.keys);
    free(t.widths);
    free(t.columns);
    free(t.cells);
}

/* A list with its heading, which the only list of an output does without. Returns the event that ends it. */
static size_t put_list(struct bytes *b, const struct out *o, size_t at, bool heading)
{
    size_t end = at + 1;
    while (o->events[end].kind != OUT_LIST_END)
        end++;
    if (b->n > 0)
        bytes_add_byte(b, '\n');
    if (heading) {
        put_label(b, o->keys[o->events[at].key].name);
        bytes_add_byte(b, '\n');
    }
    put_table(b, o, &o->events[at + 1], &o->events[end]);
    return end;
}

static size_t label_width(const struct out *o)
{
    size_t width = 0;
    for (uint32_t i = 0; i < o->n_keys; i++) {
        size_t n = strlen(o->keys[i].name) + 1;
        if (o->keys[i].top && n > width)
            width = n;
    }
    return width;
}

void out_render_text(const struct out *o, bool notes, struct bytes *ret)
{
    struct bytes b = BYTES_INIT;
    size_t width = label_width(o);
    size_t lists = 0;
    bool below_table = false;

    if (o->place != OUT_AT_TOP)
        bug("an output list has no end");
    for (size_t i = 0; i < o->n; i++)
        lists += o->events[i].kind == OUT_LIST;
    for (size_t i = 0; i < o->n; i++) {
        const struct out_event *ev = &o->events[i];
        bool table = ev->kind == OUT_LIST && ev[1].kind == OUT_ROW;
        if (table) {
            i = put_list(&b, o, i, lists > 1);
        } else if (ev->kind != OUT_LIST_END) {
            if (below_table)
                bytes_add_byte(&b, '\n');
            put_fact(&b, o, ev, width);
        }
        below_table = table;
    }
    if (notes && o->notes.n > 0)
        bytes_printf(&b, "%s%s", b.n > 0 ? "\n" : "", bytes_str(&o->notes));
    bytes_add_span(ret, bytes_span(&b));
    bytes_free(&b);
}
