/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/internal.h"

#include <string.h>

#include "base/jsonw.h"

void out_schema(const struct cli_tool *tool, const struct cli_verb *verb, struct bytes *ret)
{
    const char *prefix = "keymill-";
    size_t n = strlen(prefix);

    bytes_add_str(ret, "keymill.");
    if (strncmp(tool->name, prefix, n) == 0)
        bytes_printf(ret, "%s.", tool->name + n);
    for (const char *p = verb->name; *p != '\0'; p++)
        bytes_add_byte(ret, *p == ' ' ? '-' : (uint8_t)*p);
    bytes_add_str(ret, ".v1");
}

static void put_event(struct jsonw *w, const struct out *o, const struct out_event *ev, bool *in_row)
{
    const char *key = o->keys == NULL ? NULL : o->keys[ev->key].name;

    switch (ev->kind) {
    case OUT_TEXT:
        jsonw_str(w, key, out_text_of(o, ev));
        break;
    case OUT_NULL:
        jsonw_str(w, key, NULL);
        break;
    case OUT_INT:
        jsonw_int(w, key, ev->number);
        break;
    case OUT_BOOL:
        jsonw_bool(w, key, ev->number != 0);
        break;
    case OUT_LIST:
        jsonw_array(w, key);
        break;
    case OUT_ROW:
    case OUT_LIST_END:
        if (*in_row)
            jsonw_end(w);
        *in_row = ev->kind == OUT_ROW;
        if (*in_row)
            jsonw_object(w, NULL);
        else
            jsonw_end(w);
        break;
    }
}

void out_render_json(const struct out *o, const char *schema, struct bytes *ret)
{
    struct jsonw w;
    bool in_row = false;

    if (o->place != OUT_AT_TOP)
        bug("an output list has no end");
    jsonw_init(&w, ret);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "schema", schema);
    for (size_t i = 0; i < o->n; i++)
        put_event(&w, o, &o->events[i], &in_row);
    jsonw_end(&w);
    bytes_add_byte(ret, '\n');
}
