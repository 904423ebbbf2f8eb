/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/clock.h"
#include "x509/internal.h"

enum {
    LENGTH_OCTETS_MAX = 4,
    OID_DIGITS_MAX = 64, /* decimal digits of one component */
};
static const size_t length_max = (size_t)1 << 31;

enum rc der_bad(struct err *e, const char *text)
{
    return err_set(e, RC_INPUT, "x509.der", "%s", text);
}

/* The length behind a tag, in the shortest definite form (X.690 10.1). */
static enum rc take_length(struct span *in, size_t *ret, struct err *e)
{
    size_t octets, n = 0;

    if (in->n == 0)
        return der_bad(e, "a value is cut short");
    octets = in->p[0];
    *in = (struct span){in->p + 1, in->n - 1};
    if (octets < 0x80) {
        *ret = octets;
        return RC_OK;
    }
    octets &= 0x7f;
    if (octets == 0)
        return der_bad(e, "a value has an indefinite length, DER allows definite lengths only");
    if (octets > LENGTH_OCTETS_MAX || octets > in->n)
        return der_bad(e, "a value is cut short or too long");
    for (size_t i = 0; i < octets; i++)
        n = n << 8 | in->p[i];
    if (n < 0x80 || in->p[0] == 0)
        return der_bad(e, "a length is not in its shortest form, as DER requires");
    if (n > length_max)
        return der_bad(e, "a value is longer than 2^31 octets");
    *in = (struct span){in->p + octets, in->n - octets};
    *ret = n;
    return RC_OK;
}

enum rc der_next(struct span *in, struct der_value *ret, struct err *e)
{
    struct span rest = *in;
    uint8_t tag;
    size_t n = 0;
    enum rc rc;

    if (rest.n == 0)
        return der_bad(e, "a value is missing");
    tag = rest.p[0];
    if ((tag & 0x1f) == 0x1f || tag == 0)
        return der_bad(e, "a tag is none that X.509 uses");
    rest = (struct span){rest.p + 1, rest.n - 1};
    rc = take_length(&rest, &n, e);
    if (rc)
        return rc;
    if (n > rest.n)
        return der_bad(e, "a value is cut short");
    ret->tag = tag;
    ret->content = (struct span){rest.p, n};
    ret->whole = (struct span){in->p, (size_t)(rest.p - in->p) + n};
    *in = (struct span){rest.p + n, rest.n - n};
    return RC_OK;
}

enum rc der_expect(struct span *in, uint8_t tag, struct der_value *ret, struct err *e)
{
    if (in->n && in->p[0] != tag)
        return err_set(e, RC_INPUT, "x509.der", "a value with tag 0x%02x stands where 0x%02x is required",
                       in->p[0], tag);
    return der_next(in, ret, e);
}

bool der_peek(struct span in, uint8_t tag)
{
    return in.n && in.p[0] == tag;
}

enum rc der_end(struct span in, const char *what, struct err *e)
{
    if (in.n)
        return err_set(e, RC_INPUT, "x509.der", "%zu octets too many stand behind the %s", in.n, what);
    return RC_OK;
}

enum rc der_only(struct span in, uint8_t tag, struct span *ret, struct err *e)
{
    struct der_value v;
    enum rc rc = der_expect(&in, tag, &v, e);

    if (!rc)
        rc = der_end(in, "value", e);
    if (!rc)
        *ret = v.content;
    return rc;
}

enum rc der_integer(struct span *in, struct span *ret, bool *ret_negative, struct err *e)
{
    struct der_value v;
    struct span c;
    enum rc rc = der_expect(in, DER_INTEGER, &v, e);

    if (rc)
        return rc;
    c = v.content;
    if (c.n == 0)
        return der_bad(e, "an INTEGER is empty");
    if (c.n > 1 && ((c.p[0] == 0 && !(c.p[1] & 0x80)) || (c.p[0] == 0xff && c.p[1] & 0x80)))
        return der_bad(e, "an INTEGER is not in its shortest form, as DER requires");
    *ret_negative = c.p[0] & 0x80;
    if (c.p[0] == 0)
        c = (struct span){c.p + 1, c.n - 1};
    *ret = c;
    return RC_OK;
}

enum rc der_small(struct span *in, uint64_t *ret, struct err *e)
{
    struct span magnitude;
    bool negative;
    uint64_t v = 0;
    enum rc rc = der_integer(in, &magnitude, &negative, e);

    if (rc)
        return rc;
    if (negative || magnitude.n > sizeof v)
        return der_bad(e, "an INTEGER is negative or over 64 bits");
    for (size_t i = 0; i < magnitude.n; i++)
        v = v << 8 | magnitude.p[i];
    *ret = v;
    return RC_OK;
}

enum rc der_bits(struct span *in, struct span *ret, struct err *e)
{
    struct der_value v;
    enum rc rc = der_expect(in, DER_BIT_STRING, &v, e);

    if (rc)
        return rc;
    if (v.content.n < 2 || v.content.p[0] != 0)
        return der_bad(e, "a BIT STRING is empty or has unused bits");
    *ret = (struct span){v.content.p + 1, v.content.n - 1};
    return RC_OK;
}

static int two_digits(const uint8_t *p)
{
    return (p[0] - '0') * 10 + (p[1] - '0');
}

bool der_time(const struct der_value *v, int64_t *ret)
{
    bool utc = v->tag == DER_UTCTIME;
    size_t n = utc ? 13 : 15;
    const uint8_t *p = v->content.p;
    struct civil c;
    int64_t t;
    struct err ignored;

    if ((!utc && v->tag != DER_GENERALIZEDTIME) || v->content.n != n || p[n - 1] != 'Z')
        return false;
    for (size_t i = 0; i + 1 < n; i++)
        if (p[i] < '0' || p[i] > '9')
            return false;
    c.year = two_digits(p);
    if (utc)
        c.year += c.year < 50 ? 2000 : 1900;
    else
        c.year = c.year * 100 + two_digits(p + 2);
    if (!utc && c.year < 2050)
        return false;
    p += n - 11;
    c.month = two_digits(p);
    c.day = two_digits(p + 2);
    c.hour = two_digits(p + 4);
    c.minute = two_digits(p + 6);
    c.second = two_digits(p + 8);
    if (civil_time(&c, &t, &ignored) != RC_OK || t < 0)
        return false;
    *ret = t;
    return true;
}

/* One subidentifier as decimal digits, least significant first: components under 2.25 have more than 64 bits.
 */
struct decimal {
    uint8_t digit[OID_DIGITS_MAX];
    size_t n;
};

/* d = d * 128 + group; false when it does not fit. */
static bool decimal_step(struct decimal *d, unsigned group)
{
    unsigned carry = group;

    for (size_t i = 0; i < d->n; i++) {
        carry += d->digit[i] * 128U;
        d->digit[i] = (uint8_t)(carry % 10);
        carry /= 10;
    }
    for (; carry; carry /= 10) {
        if (d->n == OID_DIGITS_MAX)
            return false;
        d->digit[d->n++] = (uint8_t)(carry % 10);
    }
    return true;
}

static void decimal_subtract(struct decimal *d, int v)
{
    for (size_t i = 0; i < d->n && v; i++) {
        int digit = d->digit[i] - v % 10;

        v = v / 10 + (digit < 0);
        d->digit[i] = (uint8_t)(digit < 0 ? digit + 10 : digit);
    }
    while (d->n && d->digit[d->n - 1] == 0)
        d->n--;
}

static bool decimal_take(struct span *content, struct decimal *ret)
{
    *ret = (struct decimal){.n = 0};
    if (content->p[0] == 0x80)
        return false;
    for (size_t i = 0; i < content->n; i++) {
        uint8_t c = content->p[i];

        if (!decimal_step(ret, c & 0x7f))
            return false;
        if (!(c & 0x80)) {
            *content = (struct span){content->p + i + 1, content->n - i - 1};
            return true;
        }
    }
    return false;
}

/* ".digits" at *at. */
static bool decimal_add(const struct decimal *d, char *ret, size_t size, size_t *at)
{
    size_t digits = d->n ? d->n : 1;

    if (*at + 1 + digits + 1 > size)
        return false;
    ret[(*at)++] = '.';
    for (size_t i = d->n; i-- > 0;)
        ret[(*at)++] = (char)('0' + d->digit[i]);
    if (d->n == 0)
        ret[(*at)++] = '0';
    ret[*at] = '\0';
    return true;
}

bool oid_text(struct span content, char *ret, size_t size)
{
    struct decimal d;
    size_t at = 0;
    unsigned small, first;

    if (content.n == 0 || size < 2 || !decimal_take(&content, &d))
        return false;
    small = d.n > 2 ? 100 : (d.n > 1 ? d.digit[1] * 10U : 0) + (d.n ? d.digit[0] : 0U);
    first = small < 40 ? 0 : small < 80 ? 1 : 2;
    decimal_subtract(&d, (int)first * 40);
    ret[at++] = (char)('0' + first);
    if (!decimal_add(&d, ret, size, &at))
        return false;
    while (content.n)
        if (!decimal_take(&content, &d) || !decimal_add(&d, ret, size, &at))
            return false;
    return true;
}

enum rc ext_next(struct span *in, struct ext *ret, struct err *e)
{
    struct der_value seq, v;
    enum rc rc = der_expect(in, DER_SEQUENCE, &seq, e);

    if (!rc)
        rc = der_expect(&seq.content, DER_OID, &v, e);
    if (rc)
        return rc;
    ret->oid = v.content;
    ret->critical = der_peek(seq.content, DER_BOOLEAN);
    if (ret->critical) {
        rc = der_next(&seq.content, &v, e);
        if (rc)
            return rc;
        if (v.content.n != 1 || v.content.p[0] != 0xff)
            return der_bad(e, "an extension's critical is written as something else than TRUE");
    }
    rc = der_expect(&seq.content, DER_OCTET_STRING, &v, e);
    if (!rc)
        rc = der_end(seq.content, "extension", e);
    if (!rc)
        ret->value = v.content;
    return rc;
}

enum rc ext_aki(struct span value, struct span *ret, bool *ret_more, struct err *e)
{
    struct span in, id = {NULL, 0};
    struct der_value v;
    enum rc rc = der_only(value, DER_SEQUENCE, &in, e);

    if (!rc && der_peek(in, DER_CONTEXT_0_PRIMITIVE)) {
        rc = der_next(&in, &v, e);
        if (!rc)
            id = v.content;
    }
    if (!rc)
        *ret_more = in.n > 0;
    if (!rc && der_peek(in, DER_CONTEXT_1))
        rc = der_next(&in, &v, e);
    if (!rc && der_peek(in, DER_CONTEXT_2_PRIMITIVE))
        rc = der_next(&in, &v, e);
    if (!rc)
        rc = der_end(in, "authority key identifier", e);
    if (!rc)
        *ret = id;
    return rc;
}
