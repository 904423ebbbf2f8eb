/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HSM_HISTOGRAM_H
#define HSM_HISTOGRAM_H

#include <stdint.h>

/*
 * How often which value was seen, in a fixed amount of memory however many there are: values below 64 are
 * kept exactly, larger ones to 1 in 64. For durations.
 */
enum { HISTOGRAM_SUB = 64, HISTOGRAM_BUCKETS = 59 * HISTOGRAM_SUB };
struct histogram {
    uint64_t bucket[HISTOGRAM_BUCKETS];
    uint64_t n, max;
};

void histogram_add(struct histogram *h, uint64_t value, uint64_t times);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* The value that percent of all values do not exceed, at most 1 in 64 too large; 100 gives the largest. 0
 * when there are none. */
uint64_t histogram_percentile(const struct histogram *h, unsigned percent);

#endif
