/* SPDX-License-Identifier: Apache-2.0 */
#include "base/jsonw.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/text.h"

void jsonw_init(struct jsonw *w, struct bytes *out)
{
    *w = (struct jsonw){.out = out};
    w->array[0] = true; /* the outermost value has no key, as an array's elements */
}

/* Octets of the UTF-8 character at p (NUL-terminated), 0 when it is none (RFC 3629: no surrogates, nothing
 * overlong). */
static size_t utf8_length(const uint8_t *p)
{
    static const struct {
        uint8_t first, last, low, high; /* lead octets, and the range of the second octet */
        size_t n;
    } rows[] = {
        {0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (p[0] < rows[i].first || p[0] > rows[i].last)
            continue;
        if (rows[i].n > 1 && (p[1] < rows[i].low || p[1] > rows[i].high))
            return 0;
        for (size_t k = 2; k < rows[i].n; k++)
            if ((p[k] & 0xc0) != 0x80)
                return 0;
        return rows[i].n;
    }
    return 0;
}

static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void put_escaped(struct bytes *out, uint8_t c)
{
    static const char from[] = "\"\\\b\f\n\r\t";
    static const char to[] = "\"\\bfnrt";
    const char *at = strchr(from, c);
    if (at)
        bytes_printf(out, "\\%c", to[at - from]);
    else
        bytes_printf(out, "\\u%04x", c);
}

static void put_string(struct bytes *out, const char *s)
{
    bytes_add_byte(out, '"');
    for (const uint8_t *p = (const uint8_t *)s; *p;) {
        size_t n = 0;
        while (is_plain(p[n]))
            n++;
        bytes_add(out, p, n);
        p += n;
        if (!*p)
            break;
        n = utf8_length(p);
        if (n == 0)
            bytes_add_str(out,
                          "\xef\xbf\xbd"); /* U+FFFD: the document stays readable whatever a message quotes */
        else if (n == 1)
            put_escaped(out, *p);
        else
            bytes_add(out, p, n);
        p += n ? n : 1;
    }
    bytes_add_byte(out, '"');
}

/* What stands before any value: the comma and the key. */
static void start(struct jsonw *w, const char *key)
{
    if (w->array[w->depth] != (key == NULL))
        bug("jsonw: %s", key ? "an array element with a key" : "an object member without a key");
    if (w->more[w->depth]) {
        if (w->depth == 0)
            bug("jsonw: a second outermost value");
        bytes_add_byte(w->out, ',');
    }
    w->more[w->depth] = true;
    if (key) {
        put_string(w->out, key);
        bytes_add_byte(w->out, ':');
    }
}

static void open_level(struct jsonw *w, const char *key, bool array)
{
    start(w, key);
    if (w->depth + 1 >= JSONW_DEPTH)
        bug("jsonw: more than %d levels", JSONW_DEPTH - 1);
    w->depth++;
    w->array[w->depth] = array;
    w->more[w->depth] = false;
    bytes_add_byte(w->out, array ? '[' : '{');
}

void jsonw_object(struct jsonw *w, const char *key)
{
    open_level(w, key, false);
}

void jsonw_array(struct jsonw *w, const char *key)
{
    open_level(w, key, true);
}

void jsonw_end(struct jsonw *w)
{
    if (w->depth == 0)
        bug("jsonw: an end without a beginning");
    bytes_add_byte(w->out, w->array[w->depth] ? ']' : '}');
    w->depth--;
}

void jsonw_str(struct jsonw *w, const char *key, const char *value)
{
    start(w, key);
    if (value)
        put_string(w->out, value);
    else
        bytes_add_str(w->out, "null");
}

void jsonw_int(struct jsonw *w, const char *key, int64_t value)
{
    start(w, key);
    bytes_printf(w->out, "%" PRId64, value);
}

void jsonw_bool(struct jsonw *w, const char *key, bool value)
{
    start(w, key);
    bytes_add_str(w->out, value ? "true" : "false");
}

void jsonw_hex(struct jsonw *w, const char *key, struct span value)
{
    start(w, key);
    bytes_add_byte(w->out, '"');
    if (value.n > SIZE_MAX / 4)
        out_of_memory();
    char *p = (char *)bytes_room(w->out, 2 * value.n);
    hex_encode(value, p);
    w->out->n += 2 * value.n;
    bytes_add_byte(w->out, '"');
}

void jsonw_b64(struct jsonw *w, const char *key, struct span value)
{
    start(w, key);
    bytes_add_byte(w->out, '"');
    b64_encode(value, w->out);
    bytes_add_byte(w->out, '"');
}

void jsonw_time(struct jsonw *w, const char *key, int64_t t)
{
    char text[TIME_TEXT];
    time_format(t, text);
    start(w, key);
    bytes_add_byte(w->out, '"');
    bytes_add(w->out, text, TIME_TEXT - 1);
    bytes_add_byte(w->out, '"');
}

void jsonw_raw(struct jsonw *w, const char *key, struct span json)
{
    if (json.n == 0)
        bug("jsonw: an empty value");
    start(w, key);
    bytes_add_span(w->out, json);
}
