/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/jsonw.h"
#include "factory/station/internal.h"

enum { REASON_MAX = 128 /* octets, as the manifest has it */ };

static enum rc find_slot(struct station *s, const char *id, struct job **ret_job, struct slot **ret,
                         struct err *e)
{
    uint64_t i;

    for (size_t n = 0; n < s->njobs; n++) {
        struct job *j = &s->jobs[n];

        if (id_block_find(&j->me.ids, id, &i) && i < j->me.quantity) {
            *ret_job = j;
            *ret = &j->slots[i];
            return RC_OK;
        }
    }
    return err_set(e, RC_INPUT, "station.no-id",
                   "id '%s' is in no order that was accepted here; check the id", id);
}

/* Is it UTF-8? The writer puts U+FFFD for what is not. */
static bool is_text(const char *s)
{
    struct bytes json = BYTES_INIT;
    struct jsonw w;
    bool ok;

    jsonw_init(&w, &json);
    jsonw_str(&w, NULL, s);
    ok = strstr(bytes_str(&json), "\xef\xbf\xbd") == NULL;
    bytes_free(&json);
    return ok;
}

/* Journal and manifest must hold the same words, so nothing may have to be replaced or cut later. */
static enum rc check_reason(const char *id, const char *reason, struct err *e)
{
    if (strlen(reason) > REASON_MAX)
        return err_set(e, RC_INPUT, "station.reason",
                       "the reason for '%s' is longer than %d octets; shorten it", id, REASON_MAX);
    for (const char *p = reason; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return err_set(e, RC_INPUT, "station.reason",
                           "the reason for '%s' has control characters; write it on one line", id);
    if (!is_text(reason))
        return err_set(e, RC_INPUT, "station.reason", "the reason for '%s' is not UTF-8; use plain letters",
                       id);
    return RC_OK;
}

/* Can the device become what is wanted? */
static enum rc check_step(const struct job *j, const struct slot *slot, const char *id, enum slot_state want,
                          struct err *e)
{
    if (j->closed)
        return err_set(e, RC_CONFLICT, "station.closed",
                       "order '%s' of '%s' is closed; what its manifest says stands", j->order.id, id);
    if (slot->state == SLOT_GOOD || slot->state == SLOT_SCRAPPED)
        return err_set(e, RC_CONFLICT, "station.finished",
                       "'%s' is %s already, and that is final; tell the office if it is wrong", id,
                       slot->state == SLOT_GOOD ? "good" : "scrapped");
    if (want == SLOT_GOOD && slot->state != SLOT_DELIVERED)
        return err_set(e, RC_CONFLICT, "station.not-delivered",
                       "'%s' was never delivered, so it cannot be good; check the id", id);
    return RC_OK;
}

enum rc station_finish(struct station *s, const char *id, enum device_state state, const char *reason,
                       bool *ret_new, struct err *e)
{
    bool good = state == STATE_GOOD;
    enum slot_state want = good ? SLOT_GOOD : SLOT_SCRAPPED;
    struct job *j = NULL;
    struct slot *slot = NULL;
    bool is_new = false;
    enum rc rc = RC_OK;

    if (!good && state != STATE_SCRAPPED)
        bug("a device cannot be finished as '%s'", device_state_name(state));
    if (good)
        reason = NULL;
    if (reason != NULL)
        rc = check_reason(id, reason, e);
    if (rc == RC_OK)
        rc = find_slot(s, id, &j, &slot, e);
    if (rc != RC_OK)
        return rc;
    is_new = slot->state != want;
    if (is_new)
        rc = check_step(j, slot, id, want, e);
    if (is_new && rc == RC_OK)
        rc = station_record(s, &j->order, good ? "good" : "scrap", id, reason, e);
    if (rc == RC_OK)
        *ret_new = is_new;
    return rc;
}
