/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/text.h"
#include "factory/signed.h"
#include "factory/station/internal.h"
#include "x509/cert.h"

char *job_path(const struct station *s, const char *order, const char *file)
{
    return mem_printf("%s/orders/%s%s%s", s->home, order, file[0] != '\0' ? "/" : "", file);
}

static struct job *find_job(struct station *s, const char *order)
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
                       "order '%s' was not accepted here; run 'keymill-station accept' first", order);
    return RC_OK;
}

static enum rc clock_behind(const char *what, int64_t bound, int64_t now, struct err *e)
{
    char need[TIME_TEXT], have[TIME_TEXT];

    time_format(bound, need);
    time_format(now, have);
    return err_set(e, RC_CONFLICT, "station.clock",
                   "the clock says %s, which is before %s (%s); set this computer's clock and go on", have,
                   what, need);
}

enum rc station_clock_gate(const struct order *o, int64_t now, struct err *e)
{
    if (now < KEYMILL_BUILD_EPOCH)
        return clock_behind("this program was built", KEYMILL_BUILD_EPOCH, now, e);
    if (now + STATION_CLOCK_SLACK < o->issued)
        return clock_behind("the order was issued", o->issued, now, e);
    return RC_OK;
}

enum rc station_window_gate(const struct order *o, int64_t now, struct err *e)
{
    char from[TIME_TEXT], until[TIME_TEXT];

    if (now + STATION_CLOCK_SLACK >= o->window_from && now <= o->window_until)
        return RC_OK;
    time_format(o->window_from, from);
    time_format(o->window_until, until);
    return err_set(
        e, RC_DENIED, now > o->window_until ? "order.expired" : "order.not-yet",
        "order '%s' may be worked on from %s until %s; ask the office for an order with another window",
        o->id, from, until);
}

static void job_fini(struct job *j)
{
    if (j->slots != NULL)
        for (uint64_t i = 0; i < j->me.quantity; i++)
            free(j->slots[i].reason);
    free(j->slots);
    order_fini(&j->order);
}

enum rc station_load_job(struct station *s, const char *order, const char *sha256_hex, int64_t accepted,
                         const uint8_t journal_before[static SHA256_LEN], struct err *e)
{
    struct job *j;
    struct signed_doc doc = {0};
    struct bytes der = BYTES_INIT;
    uint8_t want[SHA256_LEN];
    const struct order_station *me = NULL;
    char *path = job_path(s, order, "order.p7m");
    enum rc rc = hex_decode_exact(sha256_hex, want, SHA256_LEN, e);

    s->jobs = mem_grow(s->jobs, s->njobs + 1, sizeof *s->jobs);
    j = &s->jobs[s->njobs];
    memset(j, 0, sizeof *j);
    if (rc == RC_OK)
        rc = file_read(path, FILE_DOC_MAX, &der, e);
    /* Who signed it was judged when it was accepted; the journal holds what was judged, by hash. */
    if (rc == RC_OK)
        rc = signed_peek(path, bytes_span(&der), &doc, e);
    if (rc == RC_OK && memcmp(doc.sha256, want, SHA256_LEN) != 0)
        rc = err_set(e, RC_INPUT, "station.order-changed",
                     "'%s' is not the file that was accepted (the journal has another SHA-256)", path);
    if (rc == RC_OK)
        rc = order_decode(path, bytes_span(&doc.content), &j->order, e);
    if (rc == RC_OK) {
        memcpy(j->order.sha256, doc.sha256, SHA256_LEN);
        rc = order_station_find(&j->order, s->manifest->sha256, s->seal->sha256, &me, e);
    }
    if (rc == RC_OK) {
        j->me = *me;
        j->accepted = accepted;
        memcpy(j->journal_before, journal_before, SHA256_LEN);
        j->slots = mem_array(j->me.quantity, sizeof *j->slots);
        s->njobs++;
    } else {
        order_fini(&j->order);
    }
    signed_free(&doc);
    bytes_free(&der);
    free(path);
    return rc;
}

/* A record about one device, applied to its slot. The journal was written by these rules, so what does not
 * fit was not written by us. */
static enum rc apply_to_slot(struct job *j, const struct journal_record *r, struct err *e)
{
    uint64_t i;
    struct slot *slot;

    if (!id_block_find(&j->me.ids, r->id, &i) || i >= j->me.quantity)
        return err_set(e, RC_INPUT, "journal.broken", "record %" PRIu64 ": id '%s' is none of order '%s'",
                       r->n, r->id, r->order);
    slot = &j->slots[i];
    if (strcmp(r->kind, "deliver") == 0 && slot->state == SLOT_UNUSED) {
        slot->state = SLOT_DELIVERED;
        slot->delivered = r->time;
    } else if (strcmp(r->kind, "good") == 0 && slot->state == SLOT_DELIVERED) {
        slot->state = SLOT_GOOD;
        slot->finished = r->time;
    } else if (strcmp(r->kind, "scrap") == 0 &&
               (slot->state == SLOT_DELIVERED || slot->state == SLOT_UNUSED)) {
        slot->state = SLOT_SCRAPPED;
        slot->finished = r->time;
        slot->reason = mem_str(r->detail);
    } else {
        return err_set(e, RC_INPUT, "journal.broken",
                       "record %" PRIu64 ": '%s' of '%s' does not follow from the records before it", r->n,
                       r->kind, r->id);
    }
    while (j->cursor < j->me.quantity && j->slots[j->cursor].state != SLOT_UNUSED)
        j->cursor++;
    return RC_OK;
}

/* head: the chain's head before this record. */
static enum rc apply(void *arg, const struct journal_record *r, const uint8_t head[static SHA256_LEN],
                     struct err *e)
{
    struct station *s = arg;
    struct job *j;
    enum rc rc;

    if (strcmp(r->kind, "order") == 0)
        return station_load_job(s, r->order, r->detail, r->time, head, e);
    rc = station_find_job(s, r->order, &j, e);
    if (rc != RC_OK)
        return err_set(e, RC_INPUT, "journal.broken",
                       "record %" PRIu64 " is about order '%s', which was never accepted", r->n, r->order);
    if (strcmp(r->kind, "batch") == 0) {
        j->has_batch = true;
        return hex_decode_exact(r->detail, j->batch_sha256, SHA256_LEN, e);
    }
    if (strcmp(r->kind, "close") == 0) {
        j->closed = true;
        strncpy(j->close_detail, r->detail, sizeof j->close_detail - 1);
        return RC_OK;
    }
    return apply_to_slot(j, r, e);
}

enum rc station_record(struct station *s, const char *kind, const char *order, const char *id,
                       const char *detail, struct err *e)
{
    struct journal_record r = {.time = clock_now(), .kind = kind, .order = order, .id = id, .detail = detail};
    uint8_t head[SHA256_LEN];
    uint64_t n;
    enum rc rc;

    journal_head(s->journal, head, &n);
    rc = journal_append(s->journal, &r, e);
    if (rc != RC_OK)
        return rc;
    r.n = n + 1;
    return apply(s, &r, head, e);
}

/* A station's certificate that was imported, or NULL: before that there is nothing to work on. */
static enum rc load_cert(const struct station *s, const char *file, struct cert **ret, struct err *e)
{
    char *path = station_path(s->home, file);
    enum rc rc = RC_OK;

    if (file_exists(path))
        rc = cert_read(path, ret, e);
    else
        rc = err_set(e, RC_CONFLICT, "station.not-certified",
                     "'%s' is missing: have the requests in '%s' certified and run 'keymill-station import'",
                     path, s->home);
    free(path);
    return rc;
}

static enum rc load_identity(struct station *s, struct err *e)
{
    char *config = station_path(s->home, "station.yaml"), *chain = station_path(s->home, "chain.pem");
    enum rc rc;

    if (!file_exists(config))
        rc = err_set(e, RC_CONFLICT, "station.no-home",
                     "'%s' is no station's home; run 'keymill-station init' first", s->home);
    else
        rc = station_config_read(config, &s->config, e);
    if (rc == RC_OK)
        rc = load_cert(s, "manifest.pem", &s->manifest, e);
    if (rc == RC_OK)
        rc = load_cert(s, "seal.pem", &s->seal, e);
    if (rc == RC_OK) {
        bytes_add_span(&s->chain.certs[0], bytes_span(&s->manifest->der));
        s->chain.ncerts = 1;
        rc = chain_read(chain, &s->chain, e);
    }
    free(config);
    free(chain);
    return rc;
}

enum rc station_open(const char *home, struct keystore *keys, struct station **ret, struct err *e)
{
    struct station *s = mem_new(sizeof *s);
    char *lock = station_path(home, "lock"), *journal = station_path(home, "journal.jsonl"),
         *orders = station_path(home, "orders");
    enum rc rc;

    s->home = mem_str(home);
    s->keys = keys;
    rc = load_identity(s, e);
    if (rc == RC_OK)
        rc = lock_take(lock, STATION_LOCK_WAIT_MS, &s->lock, e);
    if (rc == RC_OK)
        rc = dir_make(orders, 0700, e);
    if (rc == RC_OK)
        rc = journal_open(journal, apply, s, &s->journal, e);
    free(lock);
    free(journal);
    free(orders);
    if (rc != RC_OK) {
        station_close_home(s);
        return rc;
    }
    *ret = s;
    return RC_OK;
}

void station_close_home(struct station *s)
{
    if (s == NULL)
        return;
    journal_close(s->journal);
    for (size_t i = 0; i < s->njobs; i++)
        job_fini(&s->jobs[i]);
    free(s->jobs);
    cert_free(s->manifest);
    cert_free(s->seal);
    cms_chain_free(&s->chain);
    station_config_fini(&s->config);
    lock_drop(s->lock);
    free(s->home);
    free(s);
}
