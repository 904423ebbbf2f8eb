/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/internal.h"

/* Decodes the character at p (NUL-terminated, RFC 3629) into *ret; its octets, or 0 when it is none. */
static size_t character(const uint8_t *p, uint32_t *ret)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* shorter forms exist below */
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc0 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf8 ? 4 : 0;
    if (n == 0)
        return 0;
    uint32_t c = n == 1 ? p[0] : p[0] & (0x7fU >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3fU);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *ret = c;
    return n;
}

/* C0, DEL, C1, and the marks that reverse or hide the text around them. */
static bool steers_terminal(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069);
}

size_t show(struct bytes *b, const char *s)
{
    size_t columns = 0;
    for (const uint8_t *p = (const uint8_t *)s; *p != 0;) {
        uint32_t c = 0;
        size_t n = character(p, &c);
        if (n > 0 && !steers_terminal(c)) {
            bytes_add(b, p, n);
            columns++;
            p += n;
            continue;
        }
        for (n = n == 0 ? 1 : n; n > 0; n--, columns += 4)
            bytes_printf(b, "\\x%02x", *p++);
    }
    return columns;
}
