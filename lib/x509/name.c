/* SPDX-License-Identifier: Apache-2.0 */
#include "x509/name.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "x509/internal.h"

enum { OID_TEXT_MAX = 128 };

/* The attributes we know; all stand under 2.5.4. max: X.520 upper bounds, in characters (RFC 5280 appendix
 * A.1). */
static const struct attribute {
    const char *type;
    uint8_t arc;
    uint8_t tag;
    size_t min, max;
} attributes[] = {
    {"CN", 3, DER_UTF8STRING, 1, 64},    {"serialNumber", 5, DER_PRINTABLESTRING, 1, 64},
    {"C", 6, DER_PRINTABLESTRING, 2, 2}, {"L", 7, DER_UTF8STRING, 1, 128},
    {"ST", 8, DER_UTF8STRING, 1, 128},   {"O", 10, DER_UTF8STRING, 1, 64},
    {"OU", 11, DER_UTF8STRING, 1, 64},   {"businessCategory", 15, DER_UTF8STRING, 1, 128},
};
enum { NATTRIBUTES = sizeof attributes / sizeof attributes[0] };

static const struct attribute *attribute_by_type(const char *type)
{
    for (size_t i = 0; i < NATTRIBUTES; i++)
        if (strcmp(attributes[i].type, type) == 0)
            return &attributes[i];
    return NULL;
}

static const struct attribute *attribute_by_oid(struct span oid)
{
    for (size_t i = 0; i < NATTRIBUTES; i++)
        if (oid.n == 3 && oid.p[0] == 0x55 && oid.p[1] == 0x04 && oid.p[2] == attributes[i].arc)
            return &attributes[i];
    return NULL;
}

/* The length of the UTF-8 sequence at p (RFC 3629 4: shortest form, no surrogates), 0 when it is none. */
static size_t utf8_sequence(const uint8_t *p, size_t n)
{
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;

    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

bool utf8_valid(struct span s, size_t *ret_characters)
{
    size_t count = 0;

    for (size_t i = 0; i < s.n; count++) {
        size_t len = utf8_sequence(s.p + i, s.n - i);

        if (len == 0)
            return false;
        i += len;
    }
    if (ret_characters)
        *ret_characters = count;
    return true;
}

static bool is_control(uint8_t c)
{
    return c < 0x20 || c == 0x7f;
}

static bool is_alphanumeric(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* X.680 41.4. */
static bool is_printable(uint8_t c)
{
    return is_alphanumeric(c) || (c != '\0' && strchr(" '()+,-./:=?", c));
}

static enum rc check_value(const struct attribute *a, const char *value, struct err *e)
{
    struct span s = span_str(value);
    size_t characters = 0;

    if (!utf8_valid(s, &characters))
        return err_set(e, RC_INPUT, "x509.name", "attribute '%s': the value must be UTF-8", a->type);
    if (characters < a->min || characters > a->max)
        return err_set(e, RC_INPUT, "x509.name",
                       "attribute '%s': '%s' has %zu characters, %zu to %zu are allowed", a->type, value,
                       characters, a->min, a->max);
    for (size_t i = 0; i < s.n; i++) {
        if (is_control(s.p[i]))
            return err_set(e, RC_INPUT, "x509.name", "attribute '%s': control characters are not allowed",
                           a->type);
        if (a->tag == DER_PRINTABLESTRING && !is_printable(s.p[i]))
            return err_set(
                e, RC_INPUT, "x509.name",
                "attribute '%s': '%s' is not a PrintableString: letters, digits, space and '()+,-./:=? only",
                a->type, value);
    }
    return RC_OK;
}

static enum rc put_rdn(struct der_writer *w, const struct name_attr *attr, struct err *e)
{
    const struct attribute *a = attribute_by_type(attr->type);
    size_t mark = der_mark(w);
    enum rc rc;

    if (!a)
        return err_set(
            e, RC_INPUT, "x509.name",
            "attribute '%s' is unknown: CN, O, OU, C, ST, L, serialNumber or businessCategory is required",
            attr->type);
    rc = check_value(a, attr->value, e);
    if (rc)
        return rc;
    der_put_value(w, a->tag, span_str(attr->value));
    der_put_value(w, DER_OID, (struct span){(const uint8_t[]){0x55, 0x04, a->arc}, 3});
    der_wrap(w, DER_SEQUENCE, mark);
    der_wrap(w, DER_SET, mark);
    return RC_OK;
}

enum rc name_encode(const struct name_attr *attrs, size_t n, struct bytes *ret, struct err *e)
{
    struct der_writer w;
    enum rc rc = RC_OK;

    der_init(&w);
    for (size_t i = n; i-- > 0 && !rc;)
        rc = put_rdn(&w, &attrs[i], e);
    if (rc)
        goto out;
    der_wrap(&w, DER_SEQUENCE, 0);
    bytes_add_span(ret, der_span(&w));
out:
    der_fini(&w);
    return rc;
}

/* Reading: one AttributeTypeAndValue after the other. */
struct walk {
    struct span rdns;  /* what is left of the Name */
    struct span attrs; /* what is left of the current RelativeDistinguishedName */
};
struct pair {
    struct span oid;
    struct der_value value;
    bool joined; /* in one RDN with the pair before */
};

static enum rc walk_begin(struct walk *w, struct span name, struct err *e)
{
    w->attrs = (struct span){NULL, 0};
    return der_only(name, DER_SEQUENCE, &w->rdns, e);
}

static bool walk_more(const struct walk *w)
{
    return w->rdns.n || w->attrs.n;
}

static enum rc walk_next(struct walk *w, struct pair *ret, struct err *e)
{
    struct der_value v, seq;
    enum rc rc = RC_OK;

    ret->joined = w->attrs.n > 0;
    if (!ret->joined) {
        rc = der_expect(&w->rdns, DER_SET, &v, e);
        if (!rc && v.content.n == 0)
            rc = der_bad(e, "a relative distinguished name is empty");
        if (rc)
            return rc;
        w->attrs = v.content;
    }
    rc = der_expect(&w->attrs, DER_SEQUENCE, &seq, e);
    if (!rc)
        rc = der_expect(&seq.content, DER_OID, &v, e);
    if (!rc)
        rc = der_next(&seq.content, &ret->value, e);
    if (!rc)
        rc = der_end(seq.content, "attribute", e);
    if (!rc)
        ret->oid = v.content;
    return rc;
}

enum rc name_check(struct span name, struct err *e)
{
    struct walk w;
    struct pair p;
    enum rc rc = walk_begin(&w, name, e);

    while (!rc && walk_more(&w))
        rc = walk_next(&w, &p, e);
    return rc;
}

bool name_is_empty(struct span name)
{
    return name.n == 2;
}

/* A string type whose octets are UTF-8. */
static bool is_text(const struct der_value *v)
{
    return (v->tag == DER_UTF8STRING || v->tag == DER_PRINTABLESTRING || v->tag == DER_IA5STRING) &&
           utf8_valid(v->content, NULL);
}

/* RFC 4514 2.4; control characters as \XX, so that a name cannot write to the terminal it is shown on. */
static void escape(struct span s, struct bytes *ret)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        bool edge = (i == 0 && (c == ' ' || c == '#')) || (i + 1 == s.n && c == ' ');

        if (is_control(c)) {
            bytes_printf(ret, "\\%02x", c);
            continue;
        }
        if (edge || strchr(",+\"\\<>;", c))
            bytes_add_byte(ret, '\\');
        bytes_add_byte(ret, c);
    }
}

static void add_hex(struct span s, struct bytes *ret)
{
    char *hex = hex_new(s);

    bytes_add_str(ret, hex);
    free(hex);
}

static void add_pair(const struct pair *p, struct bytes *ret)
{
    const struct attribute *a = attribute_by_oid(p->oid);
    char dotted[OID_TEXT_MAX];

    if (a && is_text(&p->value)) {
        bytes_printf(ret, "%s=", a->type);
        escape(p->value.content, ret);
        return;
    }
    if (a)
        bytes_add_str(ret, a->type);
    else
        bytes_add_str(ret, oid_text(p->oid, dotted, sizeof dotted) ? dotted : "?");
    bytes_add_str(ret, "=#");
    add_hex(p->value.whole, ret);
}

/* The text stands in the reverse order of the RDNs (RFC 4514 2.1): each is put in front of what was read so
 * far. */
static enum rc add_name(struct span name, struct bytes *ret, struct err *e)
{
    struct bytes line = BYTES_INIT, rdn = BYTES_INIT;
    struct walk w;
    struct pair p;
    enum rc rc = walk_begin(&w, name, e);

    while (!rc && walk_more(&w)) {
        rc = walk_next(&w, &p, e);
        if (rc)
            break;
        if (p.joined)
            bytes_add_byte(&rdn, '+');
        add_pair(&p, &rdn);
        if (w.attrs.n)
            continue;
        if (line.n)
            bytes_add_byte(&rdn, ',');
        bytes_add_span(&rdn, bytes_span(&line));
        bytes_reset(&line);
        bytes_add_span(&line, bytes_span(&rdn));
        bytes_reset(&rdn);
    }
    if (!rc)
        bytes_add_span(ret, bytes_span(&line));
    bytes_free(&line);
    bytes_free(&rdn);
    return rc;
}

char *name_text(struct span name)
{
    struct bytes text = BYTES_INIT;
    struct err ignored;
    char *ret;

    if (add_name(name, &text, &ignored))
        add_hex(name, &text);
    ret = mem_str(bytes_str(&text));
    bytes_free(&text);
    return ret;
}

char *name_cn(struct span name)
{
    struct der_value cn = {0, {NULL, 0}, {NULL, 0}};
    struct walk w;
    struct pair p;
    struct err ignored;
    size_t count = 0;

    if (walk_begin(&w, name, &ignored))
        return NULL;
    while (walk_more(&w)) {
        const struct attribute *a;

        if (walk_next(&w, &p, &ignored))
            return NULL;
        a = attribute_by_oid(p.oid);
        if (!a || a != &attributes[0])
            continue;
        cn = p.value;
        count++;
    }
    if (count != 1 || cn.content.n == 0 || !is_text(&cn))
        return NULL;
    for (size_t i = 0; i < cn.content.n; i++)
        if (is_control(cn.content.p[i]))
            return NULL;
    return mem_strn((const char *)cn.content.p, cn.content.n);
}
