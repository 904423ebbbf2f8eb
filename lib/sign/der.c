/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/der.h"

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
