/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <stdbool.h>
#include <time.h>

enum {
    MINUTE = 60, /* seconds */
    HOUR = 60 * MINUTE,
    DAY = 24 * HOUR,
    ERA = 146097,            /* days of 400 years, after which the calendar repeats */
    EPOCH_FROM_ERA0 = 719468 /* days from 0000-03-01 to 1970-01-01 */
};

static const int64_t YEAR_0 = INT64_C(-62167219200); /* 0000-01-01T00:00:00Z */

int64_t clock_now(void)
{
    struct timespec ts;
    if (clock_gettime(CLOCK_REALTIME, &ts) < 0)
        bug("there is no CLOCK_REALTIME");
    return ts.tv_sec;
}

int64_t clock_mono_ms(void)
{
    struct timespec ts;
    if (clock_gettime(CLOCK_MONOTONIC, &ts) < 0)
        bug("there is no CLOCK_MONOTONIC");
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/*
 * The two conversions count years from March, so that the leap day is the last day of its year and (153 * m +
 * 2) / 5 is the number of days before month m. Own arithmetic because timegm reads the time zone files and
 * gmtime takes a lock.
 */
static int64_t days_from_civil(int year, int month, int day)
{
    int64_t y = (int64_t)year - (month <= 2) + 400; /* one era up keeps every quotient positive */
    int64_t era = y / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return (era - 1) * ERA + day_of_era - EPOCH_FROM_ERA0;
}

static void civil_from_days(int64_t days, struct civil *ret)
{
    int64_t z = days + EPOCH_FROM_ERA0 + ERA; /* one era up, as above */
    int64_t era = z / ERA;
    int day_of_era = (int)(z - era * ERA);
    int year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int m = (5 * day_of_year + 2) / 153;
    ret->day = day_of_year - (153 * m + 2) / 5 + 1;
    ret->month = m < 10 ? m + 3 : m - 9;
    ret->year = year_of_era + (int)(era - 1) * 400 + (ret->month <= 2);
}

void time_civil(int64_t t, struct civil *ret)
{
    if (t < YEAR_0 || t > TIME_NO_EXPIRY)
        bug("time %lld is outside the years 0 to 9999", (long long)t);
    /* Counted from the year 0, so that the division rounds down for times before 1970 as well. */
    int64_t days = (t - YEAR_0) / DAY;
    int rest = (int)((t - YEAR_0) % DAY);
    civil_from_days(days + YEAR_0 / DAY, ret);
    ret->hour = rest / HOUR;
    ret->minute = rest % HOUR / MINUTE;
    ret->second = rest % MINUTE;
}

static int month_days(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

static bool within(int value, int low, int high)
{
    return value >= low && value <= high;
}

enum rc civil_time(const struct civil *c, int64_t *ret, struct err *e)
{
    bool ok = within(c->year, 0, 9999) && within(c->month, 1, 12) && within(c->hour, 0, 23) &&
              within(c->minute, 0, 59) && within(c->second, 0, 59);
    if (!ok || !within(c->day, 1, month_days(c->year, c->month)))
        return err_set(
            e, RC_INPUT, "clock.format",
            "'%04d-%02d-%02dT%02d:%02d:%02dZ' does not exist in the calendar (there are no leap seconds)",
            c->year, c->month, c->day, c->hour, c->minute, c->second);
    *ret = days_from_civil(c->year, c->month, c->day) * DAY + c->hour * HOUR + c->minute * MINUTE + c->second;
    return RC_OK;
}

static char *put2(char *p, int value)
{
    *p++ = (char)('0' + value / 10);
    *p++ = (char)('0' + value % 10);
    return p;
}

void time_format(int64_t t, char ret[TIME_TEXT])
{
    if (t < 0 || t > TIME_NO_EXPIRY)
        bug("time %lld is outside the years 1970 to 9999", (long long)t);
    struct civil c;
    time_civil(t, &c);
    char *p = put2(put2(ret, c.year / 100), c.year % 100);
    *p++ = '-';
    p = put2(p, c.month);
    *p++ = '-';
    p = put2(p, c.day);
    *p++ = 'T';
    p = put2(p, c.hour);
    *p++ = ':';
    p = put2(p, c.minute);
    *p++ = ':';
    p = put2(p, c.second);
    *p++ = 'Z';
    *p = 0;
}

static int get2(const char *p)
{
    return (p[0] - '0') * 10 + (p[1] - '0');
}

static bool time_shape(const char *s)
{
    static const char shape[TIME_TEXT] = "dddd-dd-ddTdd:dd:ddZ";
    for (int i = 0; i < TIME_TEXT; i++) { /* a shorter text fails at its NUL, a longer one at ours */
        bool ok = shape[i] == 'd' ? s[i] >= '0' && s[i] <= '9' : s[i] == shape[i];
        if (!ok)
            return false;
    }
    return true;
}

enum rc time_parse(const char *s, int64_t *ret, struct err *e)
{
    if (!time_shape(s))
        return err_set(e, RC_INPUT, "clock.format",
                       "'%.40s' is no time: required is the form 2026-01-02T03:04:05Z (UTC, whole seconds)",
                       s);
    struct civil c = {
        get2(s) * 100 + get2(s + 2), get2(s + 5), get2(s + 8), get2(s + 11), get2(s + 14), get2(s + 17)};
    if (c.year < 1970)
        return err_set(e, RC_INPUT, "clock.format", "'%s' is outside the years 1970 to 9999", s);
    return civil_time(&c, ret, e);
}
