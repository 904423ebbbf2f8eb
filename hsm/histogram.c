/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/histogram.h"

#include <stddef.h>

enum { SUB_BITS = 6 }; /* HISTOGRAM_SUB is 1 << SUB_BITS */

/* The highest bit chooses a row of buckets, the bits behind it the one in the row. */
static size_t bucket_of(uint64_t value)
{
    if (value < HISTOGRAM_SUB)
        return (size_t)value;
    unsigned top = 63U - (unsigned)__builtin_clzll(value);
    unsigned sub = (unsigned)(value >> (top - SUB_BITS)) & (HISTOGRAM_SUB - 1);
    return (size_t)(top - SUB_BITS + 1) * HISTOGRAM_SUB + sub;
}

/* The largest value of a bucket. */
static uint64_t bucket_end(size_t bucket)
{
    if (bucket < HISTOGRAM_SUB)
        return bucket;
    unsigned shift = (unsigned)(bucket / HISTOGRAM_SUB) - 1;
    uint64_t sub = bucket % HISTOGRAM_SUB;
    return ((HISTOGRAM_SUB + sub) << shift) + ((UINT64_C(1) << shift) - 1);
}

void histogram_add(struct histogram *h, uint64_t value, uint64_t times)
{
    h->bucket[bucket_of(value)] += times;
    h->n += times;
    if (times > 0 && value > h->max)
        h->max = value;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->bucket[i] += from->bucket[i];
    into->n += from->n;
    if (from->max > into->max)
        into->max = from->max;
}

uint64_t histogram_percentile(const struct histogram *h, unsigned percent)
{
    uint64_t wanted = h->n / 100 * percent + (h->n % 100 * percent + 99) / 100, seen = 0;
    if (percent >= 100 || h->n == 0)
        return h->max;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen >= wanted && seen > 0)
            return bucket_end(i) < h->max ? bucket_end(i) : h->max;
    }
    return h->max;
}
