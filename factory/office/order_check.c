/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "factory/office/internal.h"
#include "sign/alg.h"
#include "x509/cert.h"
#include "x509/profile.h"

/* The profile must be one that makes device certificates, and its rules must allow this validity. */
static enum rc check_profile(const struct order *o, struct err *e)
{
    struct profile *p = NULL;
    enum rc rc = profile_load(o->profile, &p, e);
    if (rc != RC_OK)
        return rc;
    if (p->kind != PROFILE_LEAF || p->subject != SUBJECT_FROM_DEVICE_ID)
        rc = err_set(e, RC_INPUT, "office.profile",
                     "order '%s': profile '%s' is not for devices: its subject must come from the device id",
                     o->id, o->profile);
    else if (p->algs[0]->family != ALG_EC)
        rc = err_set(e, RC_INPUT, "office.profile",
                     "order '%s': profile '%s' names %s keys first, and device keys are made for ec-p256 and "
                     "ec-p384 alone",
                     o->id, o->profile, p->algs[0]->name);
    else if (p->max_days > 0 && o->not_after - o->not_before >= p->max_days * DAY)
        rc = err_set(e, RC_DENIED, "office.validity",
                     "order '%s': its devices would be valid for longer than the %" PRId64
                     " days that profile '%s' allows",
                     o->id, p->max_days, o->profile);
    profile_free(p);
    return rc;
}

/* A chain through an expired CA fails, so no device may outlive its CA. */
static enum rc check_validity(const struct order *o, const struct cert *ca, struct err *e)
{
    char from[TIME_TEXT], until[TIME_TEXT];
    if (o->not_before >= ca->not_before && o->not_after <= ca->not_after)
        return RC_OK;
    time_format(ca->not_before, from);
    time_format(ca->not_after, until);
    return err_set(e, RC_DENIED, "office.validity",
                   "order '%s': device certificates must lie within their CA's validity, %s to %s", o->id,
                   from, until);
}

static enum rc ids_taken(const struct order *o, size_t i, const char *other, struct err *e)
{
    char first[DEVICE_ID_MAX + 1], last[DEVICE_ID_MAX + 1];
    const struct id_block *ids = &o->stations[i].ids;
    id_block_id(ids, 0, first);
    id_block_id(ids, ids->count - 1, last);
    return err_set(
        e, RC_CONFLICT, "office.ids-taken",
        "order '%s', station '%s': some of the ids '%s' to '%s' belong to order '%s': an id is given "
        "out once",
        o->id, o->stations[i].name, first, last, other);
}

static void row_ids(struct stmt *q, struct id_block *ret)
{
    memset(ret, 0, sizeof(*ret));
    strncpy(ret->prefix, stmt_col_text(q, 1), sizeof(ret->prefix) - 1);
    ret->digits = (int)stmt_col_int(q, 2);
    ret->first = (uint64_t)stmt_col_int(q, 3);
    ret->count = (uint64_t)stmt_col_int(q, 4);
}

static enum rc check_other_ids(struct office *o, const struct order *order, struct err *e)
{
    struct stmt *q = store_stmt(o->db, "SELECT order_id, prefix, digits, first, count FROM stations");
    bool row = true;
    enum rc rc;
    while ((rc = stmt_next(q, &row, e)) == RC_OK && row) {
        struct id_block there;
        row_ids(q, &there);
        for (size_t i = 0; i < order->nstations; i++)
            if (id_block_overlaps(&order->stations[i].ids, &there)) {
                rc = ids_taken(order, i, stmt_col_text(q, 0), e);
                stmt_reset(q);
                return rc;
            }
    }
    return rc;
}

/* A station refuses a sequence number that is not above the last one it took. It is the same station when its
 * name or one of its certificates is. */
static enum rc check_sequence(struct office *o, const struct order *order, const struct order_station *s,
                              struct err *e)
{
    struct stmt *q =
        store_stmt(o->db, "SELECT order_id, sequence FROM stations WHERE name = ?1 OR manifest_sha256 = "
                          "?2 OR seal_sha256 = ?3 ORDER BY sequence DESC LIMIT 1");
    stmt_text(q, 1, s->name);
    stmt_blob(q, 2, (struct span){s->manifest, SHA256_LEN});
    stmt_blob(q, 3, (struct span){s->seal, SHA256_LEN});
    bool row = false;
    enum rc rc = stmt_next(q, &row, e);
    if (rc == RC_OK && row && (uint64_t)stmt_col_int(q, 1) >= s->sequence)
        rc = err_set(e, RC_DENIED, "office.sequence",
                     "order '%s', station '%s': sequence %" PRIu64 " is not above %" PRId64
                     ", which order '%s' has: a station takes only rising numbers",
                     order->id, s->name, s->sequence, stmt_col_int(q, 1), stmt_col_text(q, 0));
    stmt_reset(q);
    return rc;
}

enum rc order_check(struct office *o, const struct order *order, const struct order_files *files,
                    struct err *e)
{
    enum rc rc = check_profile(order, e);
    if (rc == RC_OK)
        rc = check_validity(order, files->ca, e);
    if (rc == RC_OK)
        rc = check_other_ids(o, order, e);
    for (size_t i = 0; rc == RC_OK && i < order->nstations; i++)
        rc = check_sequence(o, order, &order->stations[i], e);
    return rc;
}
