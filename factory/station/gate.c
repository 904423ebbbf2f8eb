/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "base/clock.h"
#include "factory/station/internal.h"

static enum rc clock_behind(const char *what, int64_t bound, int64_t now, struct err *e)
{
    char need[TIME_TEXT], have[TIME_TEXT];

    time_format(bound, need);
    time_format(now, have);
    return err_set(e, RC_CONFLICT, "station.clock",
                   "the clock says %s, but %s at %s, %" PRId64
                   " s later; set this computer's clock and run the command again",
                   have, what, need, bound - now);
}

enum rc station_clock_gate(const struct station *s, const struct order *o, int64_t *ret_now, struct err *e)
{
    int64_t now = clock_now(), last = journal_last_time(s->journal);

    if (now < KEYMILL_BUILD_EPOCH)
        return clock_behind("this program was built", KEYMILL_BUILD_EPOCH, now, e);
    if (now < last)
        return clock_behind("the last entry of the journal was made", last, now, e);
    if (now + STATION_CLOCK_SLACK < o->issued)
        return clock_behind("the order was issued", o->issued, now, e);
    *ret_now = now;
    return RC_OK;
}

enum rc station_window_gate(const struct order *o, int64_t now, struct err *e)
{
    char from[TIME_TEXT], until[TIME_TEXT];

    if (now + STATION_CLOCK_SLACK >= o->window_from && now <= o->window_until)
        return RC_OK;
    time_format(o->window_from, from);
    time_format(o->window_until, until);
    if (now > o->window_until)
        return err_set(e, RC_DENIED, "order.expired",
                       "order '%s' could be worked on until %s; ask the office for a new order", o->id,
                       until);
    return err_set(e, RC_DENIED, "order.not-yet",
                   "order '%s' may be worked on from %s on; wait until then, or check this computer's clock",
                   o->id, from);
}
