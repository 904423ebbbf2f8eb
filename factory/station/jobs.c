/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "factory/signed.h"
#include "factory/station/internal.h"
#include "x509/cert.h"

char *job_path(const struct station *s, const char *order, const char *file)
{
    return mem_printf("%s/orders/%s%s%s", s->home, order, file[0] != '\0' ? "/" : "", file);
}

static struct job *find_job(const struct station *s, const char *order)
{
    for (size_t i = 0; i < s->njobs; i++)
        if (strcmp(s->jobs[i].order.id, order) == 0)
            return &s->jobs[i];
    return NULL;
}

enum rc station_find_job(struct station *s, const char *order, struct job **ret, struct err *e)
{
    *ret = find_job(s, order);
    if (*ret == NULL)
        return err_set(e, RC_CONFLICT, "station.no-order",
                       "order '%s' was not accepted here; run 'keymill-station accept' with its file first",
                       order);
    return RC_OK;
}

void job_fini(struct job *j)
{
    if (j->slots != NULL)
        for (uint64_t i = 0; i < j->me.quantity; i++)
            free(j->slots[i].reason);
    free(j->slots);
    order_fini(&j->order);
}

/* ---- replay ---- */

static enum rc impossible(const struct station *s, const struct journal_record *r, const char *why,
                          struct err *e)
{
    return err_set(e, RC_INPUT, "journal.broken",
                   "the journal of '%s', line %" PRIu64 ", '%s' of '%s': %s; this program does not write "
                   "such a journal: stop the line, keep the file as it is, and call headquarters",
                   s->home, r->n, r->kind, r->id[0] != '\0' ? r->id : r->order, why);
}

/* The order's file, if it is the one that was accepted. Who signed it was judged then; the journal holds what
 * was judged, by hash. */
static enum rc read_order(const struct station *s, const char *id, const uint8_t want[static SHA256_LEN],
                          struct order *ret, struct err *e)
{
    struct signed_doc doc = {0};
    struct bytes der = BYTES_INIT;
    char *path = job_path(s, id, "order.p7m");
    enum rc rc = file_read(path, FILE_DOC_MAX, &der, e);

    if (rc == RC_OK)
        rc = signed_peek(path, bytes_span(&der), &doc, e);
    if (rc == RC_OK && memcmp(doc.sha256, want, SHA256_LEN) != 0)
        rc = err_set(e, RC_INPUT, "station.order-changed", "'%s' has another SHA-256 than the journal says",
                     path);
    if (rc == RC_OK)
        rc = order_decode(path, bytes_span(&doc.content), ret, e);
    if (rc == RC_OK)
        memcpy(ret->sha256, want, SHA256_LEN);
    else
        err_prefix(e,
                   "order '%s' was accepted, but its file is damaged or lost; copy the order's file to '%s'",
                   id, path);
    signed_free(&doc);
    bytes_free(&der);
    free(path);
    return rc;
}

static enum rc apply_order(struct station *s, const struct journal_record *r,
                           const uint8_t head[static SHA256_LEN], struct err *e)
{
    struct job j = {.accepted = r->time};
    uint8_t want[SHA256_LEN];
    const struct order_station *me = NULL;
    enum rc rc;

    if (find_job(s, r->order) != NULL)
        return impossible(s, r, "it was accepted before", e);
    if (!name_valid(r->order) || hex_decode_exact(r->detail, want, SHA256_LEN, e) != RC_OK)
        return impossible(s, r, "it names no order", e);
    rc = read_order(s, r->order, want, &j.order, e);
    if (rc == RC_OK)
        rc = order_station_find(&j.order, s->manifest->sha256, s->seal->sha256, &me, e);
    if (rc != RC_OK) {
        order_fini(&j.order);
        return rc;
    }
    j.me = *me;
    j.slots = mem_array(j.me.quantity, sizeof *j.slots);
    memcpy(j.journal_before, head, SHA256_LEN);
    s->jobs = mem_grow(s->jobs, s->njobs + 1, sizeof *s->jobs);
    s->jobs[s->njobs++] = j;
    return RC_OK;
}

static enum rc apply_batch(const struct station *s, struct job *j, const struct journal_record *r,
                           struct err *e)
{
    if (j->has_batch || j->closed || hex_decode_exact(r->detail, j->batch_sha256, SHA256_LEN, e) != RC_OK)
        return impossible(s, r, "there is no place for a batch", e);
    j->has_batch = true;
    return RC_OK;
}

static enum rc apply_close(const struct station *s, struct job *j, const struct journal_record *r,
                           struct err *e)
{
    if (!j->has_batch || j->closed ||
        hex_decode_exact(r->detail, j->checkpoint_sha256, SHA256_LEN, e) != RC_OK)
        return impossible(s, r, "it cannot be closed", e);
    j->closed = true;
    return RC_OK;
}

/* Takes a device one step on; false when the record does not follow. */
static bool step(const struct job *j, struct slot *slot, const struct journal_record *r)
{
    bool delivered = slot->state == SLOT_DELIVERED, unused = slot->state == SLOT_UNUSED;

    if (strcmp(r->kind, "deliver") == 0 && unused && j->has_batch) {
        slot->state = SLOT_DELIVERED;
        slot->delivered = r->time;
        return true;
    }
    if (strcmp(r->kind, "good") == 0 && delivered)
        slot->state = SLOT_GOOD;
    else if (strcmp(r->kind, "scrap") == 0 && (delivered || unused))
        slot->state = SLOT_SCRAPPED;
    else
        return false;
    slot->finished = r->time;
    if (slot->state == SLOT_SCRAPPED)
        slot->reason = mem_str(r->detail);
    return true;
}

static enum rc apply_device(const struct station *s, struct job *j, const struct journal_record *r,
                            struct err *e)
{
    uint64_t i;

    if (!id_block_find(&j->me.ids, r->id, &i) || i >= j->me.quantity)
        return impossible(s, r, "the order has no such id", e);
    if (j->closed || !step(j, &j->slots[i], r))
        return impossible(s, r, "it does not follow from the records before it", e);
    while (j->cursor < j->me.quantity && j->slots[j->cursor].state != SLOT_UNUSED)
        j->cursor++;
    return RC_OK;
}

enum rc station_apply(void *arg, const struct journal_record *r, const uint8_t head[static SHA256_LEN],
                      struct err *e)
{
    struct station *s = arg;
    struct job *j = find_job(s, r->order);

    if (strcmp(r->kind, "order") == 0)
        return apply_order(s, r, head, e);
    if (j == NULL)
        return impossible(s, r, "its order was never accepted", e);
    if (strcmp(r->kind, "batch") == 0)
        return apply_batch(s, j, r, e);
    if (strcmp(r->kind, "close") == 0)
        return apply_close(s, j, r, e);
    return apply_device(s, j, r, e);
}

enum rc station_record(struct station *s, const struct order *o, const char *kind, const char *id,
                       const char *detail, struct err *e)
{
    struct journal_record r = {
        .kind = kind, .order = o->id, .id = id != NULL ? id : "", .detail = detail != NULL ? detail : ""};
    uint8_t head[SHA256_LEN];
    enum rc rc;

    journal_head(s->journal, head, &r.n);
    r.n++;
    rc = station_clock_gate(s, o, &r.time, e);
    if (rc == RC_OK)
        rc = journal_append(s->journal, &r, e);
    if (rc == RC_OK)
        rc = station_apply(s, &r, head, e);
    return rc;
}
