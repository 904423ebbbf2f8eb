/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

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
    return err_set(e, RC_INPUT, "station.no-id", "id '%s' is none of any order accepted here", id);
}

enum rc station_finish(struct station *s, const char *id, enum device_state state, const char *reason,
                       bool *ret_new, struct err *e)
{
    const char *word = state == STATE_GOOD ? "good" : "scrapped";
    enum slot_state want = state == STATE_GOOD ? SLOT_GOOD : SLOT_SCRAPPED;
    struct job *j = NULL;
    struct slot *slot = NULL;
    enum rc rc;

    if (reason != NULL && strlen(reason) > REASON_MAX)
        return err_set(e, RC_INPUT, "station.reason", "the reason for '%s' is longer than %d octets", id,
                       REASON_MAX);
    rc = find_slot(s, id, &j, &slot, e);
    if (rc != RC_OK)
        return rc;
    *ret_new = slot->state != want;
    if (!*ret_new)
        return RC_OK;
    if (j->closed)
        return err_set(e, RC_CONFLICT, "station.closed", "order '%s' of '%s' is closed", j->order.id, id);
    if (slot->state == SLOT_GOOD || slot->state == SLOT_SCRAPPED)
        return err_set(e, RC_CONFLICT, "station.finished", "'%s' is finished as %s; it cannot become %s", id,
                       slot->state == SLOT_GOOD ? "good" : "scrapped", word);
    if (state == STATE_GOOD && slot->state != SLOT_DELIVERED)
        return err_set(e, RC_CONFLICT, "station.not-delivered",
                       "'%s' was never delivered, so it cannot be good", id);
    return station_record(s, state == STATE_GOOD ? "good" : "scrap", j->order.id, id, reason, e);
}
