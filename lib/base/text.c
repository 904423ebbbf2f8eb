/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <string.h>

#include "base/secret.h"

/* No message of this file quotes what it was given: it may be a key. */

void hex_encode(struct span s, char *ret)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < s.n; i++) {
        *ret++ = digits[s.p[i] >> 4];
        *ret++ = digits[s.p[i] & 15];
    }
    *ret = 0;
}

char *hex_new(struct span s)
{
    if (s.n > SIZE_MAX / 4)
        out_of_memory();
    char *p = mem_new(2 * s.n + 1);
    hex_encode(s, p);
    return p;
}

/* The digit's value and 16; 0 for what is no digit. */
static const uint8_t hex_value[256] = {
    ['0'] = 16, ['1'] = 17, ['2'] = 18, ['3'] = 19, ['4'] = 20, ['5'] = 21, ['6'] = 22, ['7'] = 23,
    ['8'] = 24, ['9'] = 25, ['a'] = 26, ['b'] = 27, ['c'] = 28, ['d'] = 29, ['e'] = 30, ['f'] = 31,
    ['A'] = 26, ['B'] = 27, ['C'] = 28, ['D'] = 29, ['E'] = 30, ['F'] = 31,
};

enum rc hex_decode_exact(const char *s, uint8_t *ret, size_t n, struct err *e)
{
    size_t len = strlen(s);
    if (len % 2 != 0 || len / 2 != n)
        return err_set(e, RC_INPUT, "text.hex",
                       "hexadecimal text of %zu characters where %zu octets are required", len, n);
    for (size_t i = 0; i < len; i++)
        if (!hex_value[(uint8_t)s[i]])
            return err_set(e, RC_INPUT, "text.hex",
                           "character %zu of hexadecimal text is none of 0-9, a-f, A-F", i + 1);
    for (size_t i = 0; i < n; i++)
        ret[i] =
            (uint8_t)((hex_value[(uint8_t)s[2 * i]] & 15) << 4 | (hex_value[(uint8_t)s[2 * i + 1]] & 15));
    return RC_OK;
}

enum rc hex_decode(const char *s, size_t max, struct bytes *ret, struct err *e)
{
    size_t len = strlen(s);
    if (len % 2 != 0)
        return err_set(e, RC_INPUT, "text.hex",
                       "hexadecimal text of %zu characters: it must be an even number", len);
    if (len / 2 > max)
        return err_set(e, RC_INPUT, "text.hex", "hexadecimal text of %zu octets: at most %zu are allowed",
                       len / 2, max);
    enum rc rc = hex_decode_exact(s, bytes_room(ret, len / 2), len / 2, e);
    if (rc == RC_OK)
        ret->n += len / 2;
    return rc;
}

static const char b64_std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char b64_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Characters only, no padding. */
static void b64_put(struct span s, const char *alphabet, struct bytes *ret)
{
    if (s.n > SIZE_MAX / 8)
        out_of_memory();
    uint8_t *const begin = bytes_room(ret, (s.n + 2) / 3 * 4);
    uint8_t *o = begin;
    size_t i = 0;
    for (; i + 3 <= s.n; i += 3) {
        uint32_t v = (uint32_t)s.p[i] << 16 | (uint32_t)s.p[i + 1] << 8 | s.p[i + 2];
        *o++ = (uint8_t)alphabet[v >> 18];
        *o++ = (uint8_t)alphabet[v >> 12 & 63];
        *o++ = (uint8_t)alphabet[v >> 6 & 63];
        *o++ = (uint8_t)alphabet[v & 63];
    }
    if (i < s.n) {
        uint32_t v = (uint32_t)s.p[i] << 16 | (i + 1 < s.n ? (uint32_t)s.p[i + 1] << 8 : 0);
        *o++ = (uint8_t)alphabet[v >> 18];
        *o++ = (uint8_t)alphabet[v >> 12 & 63];
        if (i + 1 < s.n)
            *o++ = (uint8_t)alphabet[v >> 6 & 63];
    }
    ret->n += (size_t)(o - begin);
}

void b64_encode(struct span s, struct bytes *ret)
{
    b64_put(s, b64_std, ret);
    bytes_add(ret, "==", (3 - s.n % 3) % 3);
}

void b64url_encode(struct span s, struct bytes *ret)
{
    b64_put(s, b64_url, ret);
}

/* Decodes n characters (whole groups, or a last one of 2 or 3) to out; the number of the first bad character
 * from 1 on, or 0. */
static size_t b64_get(struct span s, const char *alphabet, uint8_t *out)
{
    uint8_t value[256] = {0}; /* and 64; 0 for what is not in the alphabet */
    for (int i = 0; i < 64; i++)
        value[(uint8_t)alphabet[i]] = (uint8_t)(64 + i);
    uint32_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        uint8_t x = value[s.p[i]];
        if (!x)
            return i + 1;
        v = v << 6 | (x & 63);
        switch (i % 4) {
        case 1:
            *out++ = (uint8_t)(v >> 4);
            break;
        case 2:
            *out++ = (uint8_t)(v >> 2);
            break;
        case 3:
            *out++ = (uint8_t)v;
            break;
        default:
            break;
        }
    }
    /* Bits that no octet uses must be zero: otherwise two texts would mean the same octets. */
    uint32_t spare = s.n % 4 == 2 ? v & 15 : s.n % 4 == 3 ? v & 3 : 0;
    return spare ? s.n : 0;
}

static enum rc b64_decode_with(struct span s, const char *alphabet, struct bytes *ret, struct err *e)
{
    if (s.n % 4 == 1)
        return err_set(e, RC_INPUT, "text.base64",
                       "base64 text of %zu characters: no octets encode to that length", s.n);
    size_t n = s.n / 4 * 3 + (s.n % 4 ? s.n % 4 - 1 : 0);
    uint8_t *out = bytes_room(ret, n);
    size_t bad = b64_get(s, alphabet, out);
    if (bad) {
        wipe(out, n); /* also puts the NUL back behind ret */
        return err_set(
            e, RC_INPUT, "text.base64",
            "character %zu of base64 text is not allowed there (strict RFC 4648: no spaces, no spare bits)",
            bad);
    }
    ret->n += n;
    return RC_OK;
}

enum rc b64_decode(struct span s, struct bytes *ret, struct err *e)
{
    if (s.n % 4 != 0)
        return err_set(e, RC_INPUT, "text.base64",
                       "base64 text of %zu characters: with its padding it is a multiple of 4", s.n);
    for (int pad = 0; pad < 2 && s.n > 0 && s.p[s.n - 1] == '='; pad++)
        s.n--;
    return b64_decode_with(s, b64_std, ret, e);
}

enum rc b64url_decode(struct span s, struct bytes *ret, struct err *e)
{
    return b64_decode_with(s, b64_url, ret, e);
}

/* Not isalnum: that one asks the locale. */
static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* The length when s is 1 to 64 alphanumerics and others, the first alphanumeric; otherwise 0. */
static size_t id_length(const char *s, const char *others)
{
    size_t n = 0;
    while (n <= DEVICE_ID_MAX && s[n] && (is_alnum(s[n]) || strchr(others, s[n])))
        n++;
    return n <= DEVICE_ID_MAX && s[n] == 0 && is_alnum(s[0]) ? n : 0;
}

bool device_id_valid(const char *id)
{
    size_t n = id_length(id, ":_-");
    return n > 0 && is_alnum(id[n - 1]);
}

bool name_valid(const char *name)
{
    return id_length(name, "_-") > 0;
}
