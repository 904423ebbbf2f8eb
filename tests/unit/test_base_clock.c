/* SPDX-License-Identifier: Apache-2.0 */
/* lib/base/clock.h: every day against libc, the edges, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

#include "child.h"

static void test_now(void **state)
{
    (void)state;
    int64_t now = clock_now();
    assert_true(llabs((long long)now - (long long)time(NULL)) <= 1);
    int64_t before = clock_mono_ms();
    const struct timespec pause = {0, 20 * 1000000L};
    nanosleep(&pause, NULL);
    int64_t passed = clock_mono_ms() - before;
    assert_true(passed >= 20 && passed < 5000);
}

/* Every day from 1970 to 9999 against libc's calendar, each at another second, and back again. */
static void test_time_all_days(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    int64_t n = 0;
    for (int64_t t = 0; t <= TIME_NO_EXPIRY; t += 86400 + 7, n++) {
        char text[TIME_TEXT];
        time_format(t, text);
        time_t libc_time = (time_t)t;
        struct tm tm;
        gmtime_r(&libc_time, &tm);
        char expected[64];
        strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%SZ", &tm);
        if (strcmp(text, expected) != 0)
            fail_msg("%lld: %s, libc says %s", (long long)t, text, expected);
        int64_t back = -1;
        if (time_parse(text, &back, &e) != RC_OK || back != t)
            fail_msg("%s does not come back: %lld", text, (long long)back);
    }
    assert_true(n > 2900000);
}

static void test_time_edges(void **state)
{
    (void)state;
    static const struct {
        int64_t t;
        const char *text;
    } rows[] = {
        {0, "1970-01-01T00:00:00Z"},          {86399, "1970-01-01T23:59:59Z"},
        {951782400, "2000-02-29T00:00:00Z"},  {951868800, "2000-03-01T00:00:00Z"},
        {1709251199, "2024-02-29T23:59:59Z"}, {4107542399, "2100-02-28T23:59:59Z"},
        {4107542400, "2100-03-01T00:00:00Z"}, {TIME_NO_EXPIRY, "9999-12-31T23:59:59Z"},
    };
    struct err e = ERR_INIT;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[TIME_TEXT];
        time_format(rows[i].t, text);
        assert_string_equal(text, rows[i].text);
        int64_t t = -1;
        assert_int_equal(time_parse(rows[i].text, &t, &e), RC_OK);
        assert_int_equal(t, rows[i].t);
    }
}

static void test_time_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "2026-01-02",
        "2026-01-02T03:04:05",
        "2026-01-02T03:04:05z",
        "2026-01-02t03:04:05Z",
        "2026-01-02 03:04:05Z",
        "2026-01-02T03:04:05Z ",
        " 2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05ZZ",
        "2026-01-02T03:04:05.0Z",
        "2026-01-02T03:04:05+00:00",
        "2026-1-02T03:04:05ZZ",
        "+026-01-02T03:04:05Z",
        "2026-01-02T03:04:-5Z",
        "2026-01-02T03:04: 5Z",
        "2026-00-02T03:04:05Z",
        "2026-13-02T03:04:05Z",
        "2026-01-00T03:04:05Z",
        "2026-01-32T03:04:05Z",
        "2026-04-31T03:04:05Z",
        "2026-02-29T03:04:05Z",
        "2100-02-29T03:04:05Z",
        "2024-02-30T03:04:05Z",
        "2026-01-02T24:00:00Z",
        "2026-01-02T03:60:05Z",
        "2016-12-31T23:59:60Z",
        "1969-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err e = ERR_INIT;
        int64_t t = 77;
        if (time_parse(rows[i], &t, &e) != RC_INPUT)
            fail_msg("'%s' is accepted", rows[i]);
        assert_int_equal(t, 77);
        assert_string_equal(e.key, "clock.format");
        assert_non_null(strstr(e.text, rows[i]));
    }
}

static void format_before(void)
{
    char text[TIME_TEXT];
    time_format(-1, text);
}

static void format_after(void)
{
    char text[TIME_TEXT];
    time_format(TIME_NO_EXPIRY + 1, text);
}

static void civil_before(void)
{
    struct civil c;
    time_civil(INT64_C(-62167219201), &c);
}

static void test_civil(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    /* Before 1970, for UTCTime's 1950: against libc, backwards to the year 0. */
    for (int64_t t = INT64_C(-62167219200); t < 0; t += 86400 * 13 + 11) {
        struct civil c;
        time_civil(t, &c);
        time_t libc_time = (time_t)t;
        struct tm tm;
        gmtime_r(&libc_time, &tm);
        assert_true(c.year == tm.tm_year + 1900 && c.month == tm.tm_mon + 1 && c.day == tm.tm_mday);
        assert_true(c.hour == tm.tm_hour && c.minute == tm.tm_min && c.second == tm.tm_sec);
        int64_t back = 1;
        assert_int_equal(civil_time(&c, &back, &e), RC_OK);
        assert_int_equal(back, t);
    }
    static const struct civil bad[] = {
        {-1, 1, 1, 0, 0, 0},    {10000, 1, 1, 0, 0, 0}, {2026, 0, 1, 0, 0, 0},  {2026, 13, 1, 0, 0, 0},
        {2026, 1, 0, 0, 0, 0},  {2026, 6, 31, 0, 0, 0}, {1900, 2, 29, 0, 0, 0}, {2026, 1, 1, 24, 0, 0},
        {2026, 1, 1, -1, 0, 0}, {2026, 1, 1, 0, 60, 0}, {2026, 1, 1, 0, -1, 0}, {2026, 1, 1, 0, 0, 60},
        {2026, 1, 1, 0, 0, -1},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t t = 77;
        assert_int_equal(civil_time(&bad[i], &t, &e), RC_INPUT);
        assert_string_equal(e.key, "clock.format");
        assert_int_equal(t, 77);
    }
    assert_bug(format_before, "-1");
    assert_bug(format_after, "253402300800");
    assert_bug(civil_before, "-62167219201");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_now),        cmocka_unit_test(test_time_all_days),
        cmocka_unit_test(test_time_edges), cmocka_unit_test(test_time_refused),
        cmocka_unit_test(test_civil),
    };
    return cmocka_run_group_tests_name("base_clock", tests, NULL, NULL);
}
