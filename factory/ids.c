/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "factory/order.h"

enum { DIGITS_MAX = 18 }; /* so that every counter and every sum of two fits 64 bits */

static uint64_t power10(int n)
{
    uint64_t v = 1;
    while (n-- > 0)
        v *= 10;
    return v;
}

enum rc id_block_check(const struct id_block *b, struct err *e)
{
    char id[DEVICE_ID_MAX + 1];
    if (b->digits < 1 || b->digits > DIGITS_MAX)
        return err_set(e, RC_INPUT, "order.ids", "ids '%s': a counter has 1 to %d digits, not %d", b->prefix,
                       DIGITS_MAX, b->digits);
    if (strlen(b->prefix) + (size_t)b->digits > DEVICE_ID_MAX)
        return err_set(e, RC_INPUT, "order.ids", "ids '%s': an id has at most %d characters", b->prefix,
                       DEVICE_ID_MAX);
    if (b->count == 0)
        return err_set(e, RC_INPUT, "order.ids", "ids '%s': the block is empty", b->prefix);
    uint64_t end = power10(b->digits);
    if (b->first >= end || b->count > end - b->first)
        return err_set(e, RC_INPUT, "order.ids",
                       "ids '%s': %" PRIu64 " ids from %" PRIu64 " on do not fit a counter of %d digits",
                       b->prefix, b->count, b->first, b->digits);
    id_block_id(b, 0, id);
    if (!device_id_valid(id))
        return err_set(
            e, RC_INPUT, "order.ids",
            "id '%s': only A-Z, a-z, 0-9, ':', '_' and '-' are allowed, a letter or digit at both ends", id);
    return RC_OK;
}

void id_block_id(const struct id_block *b, uint64_t i, char ret[static DEVICE_ID_MAX + 1])
{
    int n = snprintf(ret, DEVICE_ID_MAX + 1, "%s%0*" PRIu64, b->prefix, b->digits, b->first + i);
    if (n < 0 || n > DEVICE_ID_MAX)
        bug("an id block that was not checked");
}

/* The number that n digits at s say; false when one of them is none. n is at most DIGITS_MAX. */
static bool number(const char *s, size_t n, uint64_t *ret)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        v = 10 * v + (uint64_t)(s[i] - '0');
    }
    *ret = v;
    return true;
}

bool id_block_find(const struct id_block *b, const char *id, uint64_t *ret_i)
{
    size_t prefix = strlen(b->prefix);
    uint64_t v;
    if (strncmp(id, b->prefix, prefix) != 0 || strlen(id) != prefix + (size_t)b->digits)
        return false;
    if (!number(id + prefix, (size_t)b->digits, &v) || v < b->first || v - b->first >= b->count)
        return false;
    *ret_i = v - b->first;
    return true;
}

/*
 * All ids of a block have one length. "A1" with 3 digits and "A" with 4 name the same ids: the longer prefix
 * must go on as the shorter one's counter begins, and is then the upper digits of it.
 */
bool id_block_overlaps(const struct id_block *a, const struct id_block *b)
{
    size_t na = strlen(a->prefix);
    size_t nb = strlen(b->prefix);
    if (na > nb)
        return id_block_overlaps(b, a);
    uint64_t upper;
    if (na + (size_t)a->digits != nb + (size_t)b->digits || strncmp(a->prefix, b->prefix, na) != 0 ||
        !number(b->prefix + na, nb - na, &upper))
        return false;
    uint64_t first = upper * power10(b->digits) + b->first; /* of b, in a's counter */
    return first < a->first + a->count && a->first < first + b->count;
}
