/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "hsm/histogram.h"

static void nothing(void **state)
{
    (void)state;
    struct histogram *h = mem_new(sizeof *h);
    assert_int_equal(histogram_percentile(h, 50), 0);
    assert_int_equal(histogram_percentile(h, 100), 0);
    histogram_add(h, 7, 0);
    assert_int_equal(histogram_percentile(h, 100), 0);
    free(h);
}

/* 1 to 100, each once: percentile p is p, exactly below 64 and to 1 in 64 above. */
static void small_values(void **state)
{
    (void)state;
    struct histogram *h = mem_new(sizeof *h);
    for (uint64_t v = 1; v <= 100; v++)
        histogram_add(h, v, 1);
    for (unsigned p = 1; p < 100; p++) {
        uint64_t v = histogram_percentile(h, p);
        assert_true(v >= p && v <= p + p / 64);
    }
    assert_int_equal(histogram_percentile(h, 50), 50);
    assert_int_equal(histogram_percentile(h, 100), 100);
    free(h);
}

static void every_magnitude(void **state)
{
    (void)state;
    for (unsigned shift = 0; shift < 64; shift++) {
        struct histogram *h = mem_new(sizeof *h);
        uint64_t low = UINT64_C(1) << shift, top = low | (low - 1);
        histogram_add(h, low, 99);
        histogram_add(h, UINT64_MAX, 1);
        uint64_t v = histogram_percentile(h, 99);
        assert_true(v >= low && v <= low + low / 64);
        assert_int_equal(histogram_percentile(h, 100), UINT64_MAX);
        free(h);
        h = mem_new(sizeof *h);
        histogram_add(h, top, 1);
        assert_int_equal(histogram_percentile(h, 50), top); /* never more than was seen */
        free(h);
    }
}

static void weights_and_sums(void **state)
{
    (void)state;
    struct histogram *a = mem_new(sizeof *a), *b = mem_new(sizeof *b);
    histogram_add(a, 10, 95);
    histogram_add(b, 20, 4);
    histogram_add(b, 30, 1);
    histogram_merge(a, b);
    assert_int_equal(a->n, 100);
    assert_int_equal(histogram_percentile(a, 95), 10);
    assert_int_equal(histogram_percentile(a, 96), 20);
    assert_int_equal(histogram_percentile(a, 99), 20);
    assert_int_equal(histogram_percentile(a, 100), 30);
    free(a);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing),
        cmocka_unit_test(small_values),
        cmocka_unit_test(every_magnitude),
        cmocka_unit_test(weights_and_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
