/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/out.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "cli/internal.h"

struct out *out_new(void)
{
    return mem_new(sizeof(struct out));
}

void out_free(struct out *o)
{
    if (o == NULL)
        return;
    for (uint32_t i = 0; i < o->n_keys; i++)
        free(o->keys[i].name);
    free(o->keys);
    free(o->events);
    bytes_free(&o->texts);
    bytes_free(&o->notes);
    free(o);
}

const char *out_text_of(const struct out *o, const struct out_event *ev)
{
    return (const char *)o->texts.p + ev->text;
}

static struct out_event *add_event(struct out *o, enum out_kind kind)
{
    if (o->n == o->cap) {
        o->cap = o->cap == 0 ? 64 : 2 * o->cap;
        o->events = mem_grow(o->events, o->cap, sizeof(o->events[0]));
    }
    struct out_event *ev = &o->events[o->n++];
    *ev = (struct out_event){.kind = kind};
    return ev;
}

/* Index of a key, entered when new. Names are the interface of scripts, so a badly formed one is caught the
 * first time it is used. */
static uint32_t key_index(struct out *o, const char *name)
{
    for (uint32_t i = 0; i < o->n_keys; i++) {
        if (strcmp(o->keys[i].name, name) == 0)
            return i;
    }
    if (name[0] == '\0' || name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] != '\0' ||
        strcmp(name, "schema") == 0)
        bug("output key '%s': snake_case is required, and 'schema' is taken", name);
    o->keys = mem_grow(o->keys, o->n_keys + 1, sizeof(o->keys[0]));
    o->keys[o->n_keys] = (struct out_key){.name = mem_str(name)};
    return o->n_keys++;
}

/* A new member of the object at hand; a second one of the same name would make the JSON ambiguous. */
static struct out_event *add_member(struct out *o, enum out_kind kind, const char *name)
{
    uint32_t i = key_index(o, name);
    struct out_key *key = &o->keys[i];

    if (o->place == OUT_IN_LIST)
        bug("output key '%s' stands in a list, but in no row", name);
    bool twice = o->place == OUT_AT_TOP ? key->top : key->row == o->rows;
    if (twice)
        bug("output key '%s' is given twice", name);
    if (o->place == OUT_AT_TOP)
        key->top = true;
    else
        key->row = o->rows;
    struct out_event *ev = add_event(o, kind);
    ev->key = i;
    return ev;
}

static void set_text(struct out *o, struct out_event *ev, const char *text)
{
    ev->text = o->texts.n;
    bytes_add(&o->texts, text, strlen(text) + 1);
}

void out_str(struct out *o, const char *key, const char *value)
{
    if (value == NULL)
        add_member(o, OUT_NULL, key);
    else
        set_text(o, add_member(o, OUT_TEXT, key), value);
}

void out_int(struct out *o, const char *key, int64_t value)
{
    add_member(o, OUT_INT, key)->number = value;
}

void out_bool(struct out *o, const char *key, bool value)
{
    add_member(o, OUT_BOOL, key)->number = value;
}

void out_hex(struct out *o, const char *key, struct span value)
{
    char *hex = hex_new(value);
    out_str(o, key, hex);
    free(hex);
}

void out_time(struct out *o, const char *key, int64_t t)
{
    char text[TIME_TEXT];
    time_format(t, text);
    out_str(o, key, text);
}

void out_list(struct out *o, const char *key)
{
    if (o->place != OUT_AT_TOP)
        bug("output list '%s' stands inside another list", key);
    add_member(o, OUT_LIST, key);
    o->place = OUT_IN_LIST;
}

void out_row(struct out *o)
{
    if (o->place == OUT_AT_TOP)
        bug("an output row stands outside of a list");
    add_event(o, OUT_ROW);
    o->place = OUT_IN_ROW;
    o->rows++;
}

void out_list_end(struct out *o)
{
    if (o->place == OUT_AT_TOP)
        bug("an output list ends that did not begin");
    add_event(o, OUT_LIST_END);
    o->place = OUT_AT_TOP;
}

void out_note(struct out *o, const char *fmt, ...)
{
    struct bytes text = BYTES_INIT;
    va_list ap;
    va_start(ap, fmt);
    bytes_vprintf(&text, fmt, ap);
    va_end(ap);
    show(&o->notes, bytes_str(&text));
    bytes_add_byte(&o->notes, '\n');
    bytes_free(&text);
}

void out_failed_rows(struct out *o)
{
    o->failed_rows = true;
}
