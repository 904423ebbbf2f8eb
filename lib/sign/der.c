/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/der.h"

#include <string.h>

#include "base/err.h"

size_t der_head_len(size_t n)
{
    if (n > UINT16_MAX)
        bug("der: an element of %zu octets", n);
    return n < 0x80 ? 2 : n <= UINT8_MAX ? 3 : 4;
}

uint8_t *der_head(uint8_t *p, uint8_t tag, size_t n)
{
    size_t head = der_head_len(n);

    *p++ = tag;
    if (head > 2)
        *p++ = (uint8_t)(0x80 | (head - 2));
    if (head > 3)
        *p++ = (uint8_t)(n >> 8);
    *p++ = (uint8_t)(n & 0xff);
    return p;
}

size_t der_integer_len(struct span *v)
{
    while (v->n > 0 && v->p[0] == 0)
        *v = (struct span){v->p + 1, v->n - 1};
    return v->n == 0 ? 0 : v->n + (v->p[0] >> 7);
}

uint8_t *der_integer_put(uint8_t *p, struct span v, size_t len)
{
    p = der_head(p, 0x02, len);
    if (len > v.n)
        *p++ = 0;
    memcpy(p, v.p, v.n);
    return p + v.n;
}
