/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/text.h"
#include "factory/signed.h"
#include "factory/station/internal.h"
#include "x509/cert.h"

/* The ids that an entry may really give out. */
static struct id_block ids_used(const struct order_station *s)
{
    struct id_block b = s->ids;

    b.count = s->quantity;
    return b;
}

/* Against what was accepted before: newer, and with ids of its own. */
static enum rc check_before(const struct station *s, const struct order *o, const struct order_station *me,
                            struct err *e)
{
    struct id_block ids = ids_used(me);

    for (size_t i = 0; i < s->njobs; i++) {
        const struct job *j = &s->jobs[i];
        struct id_block used = ids_used(&j->me);

        if (me->sequence <= j->me.sequence)
            return err_set(e, RC_DENIED, "order.sequence",
                           "order '%s' has sequence %" PRIu64
                           " for this station, and order '%s' with %" PRIu64
                           " was accepted before; an older order is refused: ask the office for a new one",
                           o->id, me->sequence, j->order.id, j->me.sequence);
        if (id_block_overlaps(&ids, &used))
            return err_set(e, RC_DENIED, "station.ids-taken",
                           "order '%s' has ids that order '%s' had already; no id is made twice: ask the "
                           "office for a new order",
                           o->id, j->order.id);
    }
    return RC_OK;
}

/* An order that was not accepted yet: is it for this station, and now? */
static enum rc check_new(const struct station *s, const struct order *o, struct err *e)
{
    const struct order_station *me = NULL;
    int64_t now = 0;
    enum rc rc = order_station_find(o, s->manifest->sha256, s->seal->sha256, &me, e);

    if (rc == RC_OK && strcmp(me->name, s->config.name) != 0)
        rc = err_set(e, RC_DENIED, "order.station",
                     "order '%s' calls this station '%s', but its name is '%s'; ask the office for a new one",
                     o->id, me->name, s->config.name);
    if (rc == RC_OK)
        rc = check_before(s, o, me, e);
    if (rc == RC_OK)
        rc = station_clock_gate(s, o, &now, e);
    /* Before its window an order may be taken, but not worked on. */
    if (rc == RC_OK && now > o->window_until)
        rc = station_window_gate(o, now, e);
    return rc;
}

/* What a crash left of an order of this id was never accepted, and is replaced. */
static enum rc keep_order(struct station *s, const struct order *o, struct span der, struct err *e)
{
    char *dir = job_path(s, o->id, ""), *path = job_path(s, o->id, "order.p7m");
    char hex[2 * SHA256_LEN + 1];
    enum rc rc = dir_make(dir, 0700, e);

    hex_encode((struct span){o->sha256, SHA256_LEN}, hex);
    if (rc == RC_OK)
        rc = file_publish(path, 0600, der, e);
    if (rc == RC_OK)
        rc = station_record(s, o, "order", NULL, hex, e);
    free(dir);
    free(path);
    return rc;
}

static enum rc accept_order(struct station *s, const struct order *o, struct span der, bool *ret_new,
                            struct err *e)
{
    enum rc rc;

    for (size_t i = 0; i < s->njobs; i++) {
        const struct order *had = &s->jobs[i].order;

        if (strcmp(had->id, o->id) != 0)
            continue;
        *ret_new = false;
        if (memcmp(had->sha256, o->sha256, SHA256_LEN) == 0)
            return RC_OK;
        return err_set(e, RC_CONFLICT, "station.order-differs",
                       "another order '%s' was accepted before, and an order cannot be exchanged; ask the "
                       "office for an order with a new id",
                       o->id);
    }
    *ret_new = true;
    rc = check_new(s, o, e);
    if (rc == RC_OK)
        rc = keep_order(s, o, der, e);
    return rc;
}

static enum rc take_order(struct station *s, const char *path, char ret_order[static 65], bool *ret_new,
                          struct err *e)
{
    struct trust trust = station_office_trust(s);
    struct signed_doc doc = {0};
    struct order o = {0};
    struct bytes der = BYTES_INIT;
    enum rc rc = file_read(path, FILE_DOC_MAX, &der, e);

    if (rc == RC_OK)
        rc = signed_open(path, bytes_span(&der), &trust, ROLE_OFFICE, &doc, e);
    if (rc == RC_OK)
        rc = order_decode(path, bytes_span(&doc.content), &o, e);
    if (rc == RC_OK) {
        memcpy(o.sha256, doc.sha256, SHA256_LEN);
        rc = accept_order(s, &o, bytes_span(&der), ret_new, e);
    }
    if (rc == RC_OK)
        memcpy(ret_order, o.id, sizeof o.id);
    order_fini(&o);
    signed_free(&doc);
    bytes_free(&der);
    return rc;
}

enum rc station_accept(struct station *s, const char *path, char ret_order[static 65], bool *ret_new,
                       struct err *e)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return err_sys(e, "file.read", "cannot read '%s'", path);
    if (S_ISDIR(st.st_mode))
        return station_take_batch(s, path, ret_order, ret_new, e);
    return take_order(s, path, ret_order, ret_new, e);
}
