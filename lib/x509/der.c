/* SPDX-License-Identifier: Apache-2.0 */
#include "x509/der.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "x509/internal.h"

enum {
    WRITER_FIRST = 1024,     /* octets: a certificate fits without growing */
    ARC_GROUPS_MAX = 64,     /* groups of seven bits in one component of an OBJECT IDENTIFIER */
    UTCTIME_FIRST_NOT = 2050 /* RFC 5280 4.1.2.5 */
};

void der_init(struct der_writer *w)
{
    memset(w, 0, sizeof *w);
}

void der_fini(struct der_writer *w)
{
    free(w->buf);
    memset(w, 0, sizeof *w);
}

void der_reset(struct der_writer *w)
{
    w->at = w->cap;
}

struct span der_span(const struct der_writer *w)
{
    if (!w->buf)
        return (struct span){NULL, 0};
    return (struct span){w->buf + w->at, w->cap - w->at};
}

size_t der_mark(const struct der_writer *w)
{
    return w->cap - w->at;
}

/* Makes the buffer larger at its front. */
static void grow(struct der_writer *w, size_t n)
{
    size_t used = der_mark(w);
    size_t cap = w->cap ? w->cap : WRITER_FIRST;

    while (cap - used < n) {
        if (cap > SIZE_MAX / 2)
            out_of_memory();
        cap *= 2;
    }
    w->buf = mem_grow(w->buf, cap, 1);
    memmove(w->buf + (cap - used), w->buf + w->at, used);
    w->cap = cap;
    w->at = cap - used;
}

void der_put(struct der_writer *w, struct span s)
{
    if (s.n == 0)
        return;
    if (w->at < s.n)
        grow(w, s.n);
    w->at -= s.n;
    memcpy(w->buf + w->at, s.p, s.n);
}

void der_put_byte(struct der_writer *w, uint8_t c)
{
    if (w->at == 0)
        grow(w, 1);
    w->buf[--w->at] = c;
}

/* Tag and shortest definite length (X.690 10.1), at the end of out; returns how many octets of it are used.
 */
static size_t header(uint8_t tag, size_t n, uint8_t out[static DER_HEADER_MAX])
{
    size_t at = DER_HEADER_MAX;

    if (n < 0x80) {
        out[--at] = (uint8_t)n;
    } else {
        size_t octets = 0;

        for (; n; n >>= 8, octets++)
            out[--at] = (uint8_t)(n & 0xff);
        out[--at] = (uint8_t)(0x80 | octets);
    }
    out[--at] = tag;
    return DER_HEADER_MAX - at;
}

void der_wrap(struct der_writer *w, uint8_t tag, size_t mark)
{
    uint8_t out[DER_HEADER_MAX];
    size_t n = header(tag, der_mark(w) - mark, out);

    der_put(w, (struct span){out + DER_HEADER_MAX - n, n});
}

void der_add_header(struct bytes *ret, uint8_t tag, size_t n)
{
    uint8_t out[DER_HEADER_MAX];
    size_t used = header(tag, n, out);

    bytes_add(ret, out + DER_HEADER_MAX - used, used);
}

size_t der_header_len(size_t n)
{
    uint8_t out[DER_HEADER_MAX];

    return header(0, n, out);
}

void der_put_value(struct der_writer *w, uint8_t tag, struct span content)
{
    size_t mark = der_mark(w);

    der_put(w, content);
    der_wrap(w, tag, mark);
}

void der_put_uint(struct der_writer *w, struct span magnitude)
{
    size_t mark = der_mark(w);

    while (magnitude.n && magnitude.p[0] == 0) {
        magnitude.p++;
        magnitude.n--;
    }
    der_put(w, magnitude);
    if (magnitude.n == 0 || magnitude.p[0] & 0x80)
        der_put_byte(w, 0);
    der_wrap(w, DER_INTEGER, mark);
}

void der_put_small(struct der_writer *w, uint64_t v)
{
    uint8_t octets[8];

    for (size_t i = sizeof octets; i-- > 0; v >>= 8)
        octets[i] = (uint8_t)(v & 0xff);
    der_put_uint(w, (struct span){octets, sizeof octets});
}

void der_put_bool(struct der_writer *w, bool v)
{
    der_put_byte(w, v ? 0xff : 0x00);
    der_put_byte(w, 1);
    der_put_byte(w, DER_BOOLEAN);
}

void der_put_null(struct der_writer *w)
{
    der_put_byte(w, 0);
    der_put_byte(w, DER_NULL);
}

void der_put_bits(struct der_writer *w, struct span content)
{
    size_t mark = der_mark(w);

    der_put(w, content);
    der_put_byte(w, 0);
    der_wrap(w, DER_BIT_STRING, mark);
}

/* A component of an OBJECT IDENTIFIER: groups of seven bits, least significant first. Those under 2.25
 * (UUIDs) have 128 bits and more. */
struct arc {
    uint8_t group[ARC_GROUPS_MAX];
    size_t n;
};

/* a = a * factor + add; false when it does not fit. */
static bool arc_step(struct arc *a, unsigned factor, unsigned add)
{
    unsigned carry = add;

    for (size_t i = 0; i < a->n; i++) {
        carry += a->group[i] * factor;
        a->group[i] = carry & 0x7f;
        carry >>= 7;
    }
    for (; carry; carry >>= 7) {
        if (a->n == ARC_GROUPS_MAX)
            return false;
        a->group[a->n++] = carry & 0x7f;
    }
    return true;
}

/* One decimal component without a leading zero. */
static bool arc_read(struct span text, struct arc *ret)
{
    *ret = (struct arc){.n = 0};
    if (text.n == 0 || (text.n > 1 && text.p[0] == '0'))
        return false;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] < '0' || text.p[i] > '9' || !arc_step(ret, 10, (unsigned)(text.p[i] - '0')))
            return false;
    return true;
}

/* The last component is first to be written. */
static void arc_put(struct der_writer *w, const struct arc *a)
{
    der_put_byte(w, a->n ? a->group[0] : 0);
    for (size_t i = 1; i < a->n; i++)
        der_put_byte(w, a->group[i] | 0x80);
}

/* Takes the last component off *dotted; false when there is none that reads. */
static bool arc_last(struct span *dotted, struct arc *ret)
{
    size_t begin = dotted->n;

    while (begin > 0 && dotted->p[begin - 1] != '.')
        begin--;
    if (!arc_read((struct span){dotted->p + begin, dotted->n - begin}, ret))
        return false;
    dotted->n = begin ? begin - 1 : 0;
    return true;
}

/* The contents of an OBJECT IDENTIFIER (X.690 8.19): the first two components share a subidentifier. */
static bool oid_put(struct der_writer *w, struct span dotted)
{
    struct arc a;

    for (;;) {
        unsigned first;

        if (!arc_last(&dotted, &a) || dotted.n == 0)
            return false;
        if (dotted.n > 1) {
            arc_put(w, &a);
            continue;
        }
        first = (unsigned)dotted.p[0] - '0';
        if (first > 2 || (first < 2 && (a.n > 1 || a.group[0] > 39)) || !arc_step(&a, 1, first * 40))
            return false;
        arc_put(w, &a);
        return true;
    }
}

void der_put_oid(struct der_writer *w, const char *dotted)
{
    size_t mark = der_mark(w);

    if (!oid_put(w, span_str(dotted)))
        bug("'%s' is no object identifier", dotted);
    der_wrap(w, DER_OID, mark);
}

bool oid_valid(const char *dotted)
{
    struct der_writer w;
    bool ok;

    der_init(&w);
    ok = oid_put(&w, span_str(dotted));
    der_fini(&w);
    return ok;
}

static void two_digits(uint8_t *p, int v)
{
    p[0] = (uint8_t)('0' + v / 10 % 10);
    p[1] = (uint8_t)('0' + v % 10);
}

void der_put_time(struct der_writer *w, int64_t t)
{
    uint8_t text[15];
    struct civil c;
    bool utc;

    time_civil(t, &c);
    utc = c.year < UTCTIME_FIRST_NOT;
    two_digits(text, c.year / 100);
    two_digits(text + 2, c.year);
    two_digits(text + 4, c.month);
    two_digits(text + 6, c.day);
    two_digits(text + 8, c.hour);
    two_digits(text + 10, c.minute);
    two_digits(text + 12, c.second);
    text[14] = 'Z';
    if (utc)
        der_put_value(w, DER_UTCTIME, (struct span){text + 2, sizeof text - 2});
    else
        der_put_value(w, DER_GENERALIZEDTIME, (struct span){text, sizeof text});
}

void ext_wrap(struct der_writer *w, struct span oid, bool critical, size_t mark)
{
    der_wrap(w, DER_OCTET_STRING, mark);
    if (critical)
        der_put_bool(w, true);
    der_put_value(w, DER_OID, oid);
    der_wrap(w, DER_SEQUENCE, mark);
}
