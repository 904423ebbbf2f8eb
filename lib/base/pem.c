/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/text.h"

enum { LINE_OCTETS = 48 /* they become 64 characters */ };

void pem_encode(const char *label, struct span der, struct bytes *ret)
{
    bytes_printf(ret, "-----BEGIN %s-----\n", label);
    for (size_t i = 0; i < der.n; i += LINE_OCTETS) {
        size_t rest = der.n - i;
        b64_encode((struct span){der.p + i, rest < LINE_OCTETS ? rest : LINE_OCTETS}, ret);
        bytes_add_byte(ret, '\n');
    }
    bytes_printf(ret, "-----END %s-----\n", label);
}

/* Reads lines, and knows which one it is at. */
struct reader {
    struct span text;
    size_t pos;
    struct span line; /* the current one, without its end */
};

static bool next_line(struct reader *r)
{
    if (r->pos >= r->text.n)
        return false;
    const uint8_t *begin = r->text.p + r->pos;
    const uint8_t *lf = memchr(begin, '\n', r->text.n - r->pos);
    size_t n = lf ? (size_t)(lf - begin) : r->text.n - r->pos;
    r->pos += n + (lf != NULL);
    if (n > 0 && begin[n - 1] == '\r')
        n--;
    r->line = (struct span){begin, n};
    return true;
}

static enum rc broken(const struct reader *r, const char *what, struct err *e)
{
    size_t line = 0;
    for (const uint8_t *p = r->text.p; p <= r->line.p && p < r->text.p + r->text.n; p++)
        line += p == r->text.p || p[-1] == '\n';
    return err_set(e, RC_INPUT, "text.pem", "PEM text, line %zu: %s", line, what);
}

static bool starts_with(struct span s, const char *head)
{
    size_t n = strlen(head);
    return s.n >= n && memcmp(s.p, head, n) == 0;
}

/* The label of a line "-----BEGIN label-----", or of one with END; false when the line is not exactly so. */
static bool armour_label(struct span line, const char *head, struct span *ret)
{
    size_t n = strlen(head);
    if (line.n <= n + 5 || !starts_with(line, head) || memcmp(line.p + line.n - 5, "-----", 5) != 0)
        return false;
    struct span label = {line.p + n, line.n - n - 5};
    for (size_t i = 0; i < label.n; i++)
        if (label.p[i] < 0x20 || label.p[i] > 0x7e || label.p[i] == '-')
            return false;
    *ret = label;
    return true;
}

static const char BEGIN[] = "-----BEGIN ";
static const char END[] = "-----END ";

/* Skips explanatory text. *ret_found is false at the end of the text. */
static enum rc find_begin(struct reader *r, struct span *ret_label, bool *ret_found, struct err *e)
{
    while (next_line(r)) {
        if (starts_with(r->line, END))
            return broken(r, "END without a BEGIN before it", e);
        if (!starts_with(r->line, BEGIN))
            continue;
        if (!armour_label(r->line, BEGIN, ret_label))
            return broken(r, "the line is not exactly '-----BEGIN label-----'", e);
        *ret_found = true;
        return RC_OK;
    }
    *ret_found = false;
    return RC_OK;
}

/* Reads up to the END line; the lines between go to *ret, joined. ret NULL: the block is not wanted, and what
 * is in it does not matter. */
static enum rc read_block(struct reader *r, struct span label, struct bytes *ret, struct err *e)
{
    while (next_line(r)) {
        if (starts_with(r->line, END)) {
            struct span end;
            if (!armour_label(r->line, END, &end) || !span_eq(end, label))
                return broken(r, "the END line does not match its BEGIN line", e);
            return RC_OK;
        }
        if (starts_with(r->line, BEGIN))
            return broken(r, "BEGIN inside a block", e);
        if (ret && r->line.n == 0)
            return broken(r, "an empty line inside a block", e);
        if (ret)
            bytes_add_span(ret, r->line);
    }
    return broken(r, "the text ends inside a block", e);
}

static enum rc decode_block(struct reader *r, struct span label, struct bytes *ret_der, struct err *e)
{
    struct bytes joined = BYTES_INIT; /* may be a private key: wiped */
    enum rc rc = read_block(r, label, &joined, e);
    if (rc == RC_OK && joined.n == 0)
        rc = broken(r, "a block without contents", e);
    if (rc == RC_OK && b64_decode(bytes_span(&joined), ret_der, e) != RC_OK)
        rc = broken(r, "the block before this line is not base64 (RFC 7468: no headers, no spaces)", e);
    bytes_wipe(&joined);
    return rc;
}

enum rc pem_next(struct span text, const char *label, size_t *pos, struct bytes *ret_der,
                 struct span *ret_label, bool *ret_found, struct err *e)
{
    struct reader r = {.text = text, .pos = *pos, .line = {text.p, 0}};
    struct span found = {NULL, 0};
    bool any = false;
    enum rc rc;
    do {
        if ((rc = find_begin(&r, &found, &any, e)) != RC_OK)
            return rc;
        bool wanted = any && (!label || span_eq(found, span_str(label)));
        if (wanted)
            rc = decode_block(&r, found, ret_der, e);
        else if (any)
            rc = read_block(&r, found, NULL, e);
        if (rc != RC_OK)
            return rc;
        if (wanted)
            break;
    } while (any);
    *pos = r.pos;
    *ret_found = any;
    if (any && ret_label)
        *ret_label = found;
    return RC_OK;
}
