/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#include "base/err.h"

enum { TIME_TEXT = 21 }; /* octets of "2026-01-02T03:04:05Z" with its NUL */

/* 9999-12-31T23:59:59Z: "no well-defined expiration" (RFC 5280 4.1.2.5). */
#define TIME_NO_EXPIRY INT64_C(253402300799)

int64_t clock_now(void);     /* seconds since 1970 UTC */
int64_t clock_mono_ms(void); /* milliseconds of a clock that never jumps, for deadlines */

/* RFC 3339, UTC only, whole seconds, "Z". Years 1970 to 9999; outside is a bug. */
void time_format(int64_t t, char ret[TIME_TEXT]);
/* The strict inverse. RC_INPUT clock.format. */
NODISCARD enum rc time_parse(const char *s, int64_t *ret, struct err *e);
/* Calendar fields of t and back (proleptic Gregorian, no time zone), for UTCTime and GeneralizedTime. Years 0
 * to 9999; t outside is a bug. */
struct civil {
    int year, month, day, hour, minute, second;
};
void time_civil(int64_t t, struct civil *ret);
/* RC_INPUT clock.format when a field is out of range; there are no leap seconds. */
NODISCARD enum rc civil_time(const struct civil *c, int64_t *ret, struct err *e);

#endif
