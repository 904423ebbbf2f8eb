/* SPDX-License-Identifier: Apache-2.0 */
#include "factory/order.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "factory/batch.h"
#include "factory/internal.h"

static const char *const modes[] = {"sealed-batch", NULL};
static const char *const verifications[] = {"every", "sampled", NULL};

static void station_write(struct jsonw *w, const struct order_station *s)
{
    jsonw_object(w, NULL);
    jsonw_str(w, "name", s->name);
    jsonw_hex(w, "manifest_sha256", (struct span){s->manifest, SHA256_LEN});
    jsonw_hex(w, "seal_sha256", (struct span){s->seal, SHA256_LEN});
    jsonw_int(w, "sequence", (int64_t)s->sequence);
    jsonw_int(w, "quantity", (int64_t)s->quantity);
    jsonw_object(w, "ids");
    if (s->ids.prefix[0] != '\0')
        jsonw_str(w, "prefix", s->ids.prefix);
    jsonw_int(w, "digits", s->ids.digits);
    jsonw_int(w, "first", (int64_t)s->ids.first);
    jsonw_int(w, "count", (int64_t)s->ids.count);
    jsonw_end(w);
    jsonw_end(w);
}

static void terms_write(struct jsonw *w, const struct order *o)
{
    jsonw_time(w, "not_before", o->not_before);
    jsonw_time(w, "not_after", o->not_after);
    jsonw_object(w, "window");
    jsonw_time(w, "from", o->window_from);
    jsonw_time(w, "until", o->window_until);
    jsonw_end(w);
    jsonw_array(w, "modes");
    jsonw_str(w, NULL, modes[0]);
    jsonw_end(w);
    jsonw_int(w, "lot_size", (int64_t)o->lot_size);
    bool sampled = o->verify_every > 1;
    jsonw_str(w, "verification", verifications[sampled]);
    if (sampled)
        jsonw_int(w, "verify_every", (int64_t)o->verify_every);
}

void order_encode(const struct order *o, struct bytes *ret)
{
    struct jsonw w;
    jsonw_init(&w, ret);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "schema", "keymill.order.v1");
    jsonw_str(&w, "order", o->id);
    jsonw_int(&w, "sequence", (int64_t)o->sequence);
    jsonw_time(&w, "issued", o->issued);
    jsonw_str(&w, "product", o->product);
    jsonw_str(&w, "factory", o->factory);
    jsonw_str(&w, "profile", o->profile);
    jsonw_object(&w, "ca");
    jsonw_hex(&w, "sha256", (struct span){o->ca, SHA256_LEN});
    jsonw_end(&w);
    terms_write(&w, o);
    jsonw_object(&w, "trust_bundle");
    jsonw_hex(&w, "sha256", (struct span){o->trust_bundle_sha256, SHA256_LEN});
    jsonw_str(&w, "pem", bytes_str(&o->trust_bundle));
    jsonw_end(&w);
    jsonw_str(&w, "endpoint", o->endpoint);
    jsonw_array(&w, "stations");
    for (size_t i = 0; i < o->nstations; i++)
        station_write(&w, &o->stations[i]);
    jsonw_end(&w);
    jsonw_end(&w);
}

/* The parts of an order are maps of their own; each is closed before the next is opened. */

static enum rc read_ids(struct doc_map *station, struct id_block *ret, struct err *e)
{
    struct doc_map m;
    struct err bad = ERR_INIT;
    doc_sub(station, "ids", &m);
    if (doc_has(&m, "prefix"))
        doc_copy(&m, "prefix", ret->prefix, sizeof(ret->prefix));
    ret->digits = (int)doc_int(&m, "digits", 1, 18);
    ret->first = (uint64_t)doc_int(&m, "first", 0, COUNTER_MAX);
    ret->count = (uint64_t)doc_int(&m, "count", 1, COUNTER_MAX);
    if (m.err.rc == RC_OK && id_block_check(ret, &bad) != RC_OK)
        doc_fail(&m, NULL, bad.key, "%s", bad.text);
    return doc_close(&m, e);
}

static enum rc read_station(struct doc_map *order, size_t i, struct order_station *ret, struct err *e)
{
    struct doc_map m;
    doc_list_map(order, "stations", i, &m);
    doc_name(&m, "name", ret->name);
    doc_hex(&m, "manifest_sha256", ret->manifest, SHA256_LEN);
    doc_hex(&m, "seal_sha256", ret->seal, SHA256_LEN);
    ret->sequence = (uint64_t)doc_int(&m, "sequence", 1, COUNTER_MAX);
    ret->quantity = (uint64_t)doc_int(&m, "quantity", 1, ORDER_QUANTITY_MAX);
    enum rc rc = read_ids(&m, &ret->ids, e);
    if (rc != RC_OK)
        return rc;
    if (ret->quantity > ret->ids.count)
        doc_fail(&m, "quantity", "order.ids", "%" PRIu64 " devices need as many ids, the block has %" PRIu64,
                 ret->quantity, ret->ids.count);
    if (memcmp(ret->manifest, ret->seal, SHA256_LEN) == 0)
        doc_fail(&m, "seal_sha256", "order.station",
                 "the same certificate cannot sign manifests and open seals");
    return doc_close(&m, e);
}

/* What two entries may not share. */
static void check_pair(struct doc_map *m, const struct order_station *a, const struct order_station *b)
{
    if (strcmp(a->name, b->name) == 0)
        doc_fail(m, "stations", "order.duplicate", "station '%s' stands twice", a->name);
    if (memcmp(a->manifest, b->manifest, SHA256_LEN) == 0 || memcmp(a->seal, b->seal, SHA256_LEN) == 0)
        doc_fail(m, "stations", "order.duplicate", "stations '%s' and '%s' have the same certificate",
                 a->name, b->name);
    if (id_block_overlaps(&a->ids, &b->ids))
        doc_fail(m, "stations", "order.ids", "the ids of stations '%s' and '%s' overlap", a->name, b->name);
}

static enum rc read_stations(struct doc_map *m, struct order *ret, struct err *e)
{
    size_t n = doc_list(m, "stations");
    uint64_t total = 0;
    if (m->err.rc == RC_OK && (n == 0 || n > ORDER_STATIONS_MAX))
        doc_fail(m, "stations", "order.stations", "1 to %d stations are required, not %zu",
                 ORDER_STATIONS_MAX, n);
    for (size_t i = 0; i < n && m->err.rc == RC_OK; i++) {
        enum rc rc = read_station(m, i, &ret->stations[i], e);
        if (rc != RC_OK)
            return rc;
        for (size_t k = 0; k < i; k++)
            check_pair(m, &ret->stations[k], &ret->stations[i]);
        total += ret->stations[i].quantity;
    }
    if (total > ORDER_QUANTITY_MAX)
        doc_fail(m, "stations", "order.quantity", "an order has at most %d devices, this one %" PRIu64,
                 ORDER_QUANTITY_MAX, total);
    ret->nstations = n;
    return RC_OK;
}

static enum rc read_trust_bundle(struct doc_map *order, struct order *ret, struct err *e)
{
    struct doc_map m;
    uint8_t hash[SHA256_LEN];
    doc_sub(order, "trust_bundle", &m);
    doc_hex(&m, "sha256", ret->trust_bundle_sha256, SHA256_LEN);
    doc_pem(&m, "pem", "order.trust-bundle", &ret->trust_bundle, NULL);
    sha256(bytes_span(&ret->trust_bundle), hash);
    if (memcmp(hash, ret->trust_bundle_sha256, SHA256_LEN) != 0)
        doc_fail(&m, "sha256", "order.trust-bundle", "this is not the SHA-256 of the bundle beside it");
    return doc_close(&m, e);
}

static enum rc read_window(struct doc_map *order, struct order *ret, struct err *e)
{
    struct doc_map m;
    doc_sub(order, "window", &m);
    ret->window_from = doc_time(&m, "from");
    ret->window_until = doc_time(&m, "until");
    if (ret->window_until <= ret->window_from)
        doc_fail(&m, "until", "order.window", "the window ends before it begins");
    return doc_close(&m, e);
}

static enum rc read_ca(struct doc_map *order, struct order *ret, struct err *e)
{
    struct doc_map m;
    doc_sub(order, "ca", &m);
    doc_hex(&m, "sha256", ret->ca, SHA256_LEN);
    return doc_close(&m, e);
}

static void read_head(struct doc_map *m, struct order *ret)
{
    doc_schema(m, "keymill.order.v1");
    doc_name(m, "order", ret->id);
    ret->sequence = (uint64_t)doc_int(m, "sequence", 1, COUNTER_MAX);
    ret->issued = doc_time(m, "issued");
    doc_copy(m, "product", ret->product, sizeof(ret->product));
    doc_copy(m, "factory", ret->factory, sizeof(ret->factory));
    doc_name(m, "profile", ret->profile);
    ret->not_before = doc_time(m, "not_before");
    ret->not_after = doc_time(m, "not_after");
    if (ret->not_after <= ret->not_before)
        doc_fail(m, "not_after", "order.validity", "the certificates would end before they begin");
}

/* An order says what its reader cannot overlook: a tool that knows "every" alone refuses the other word. */
static void read_verification(struct doc_map *m, struct order *ret)
{
    const char *verification = doc_str(m, "verification");
    ret->verify_every = 1;
    if (strcmp(verification, verifications[1]) == 0)
        ret->verify_every = (uint64_t)doc_int(m, "verify_every", 2, ORDER_VERIFY_MAX);
    else if (strcmp(verification, verifications[0]) != 0)
        doc_fail(m, "verification", "order.verification", "this version supports exactly \"%s\" and \"%s\"",
                 verifications[0], verifications[1]);
}

/* How the work is done: a later document is refused and not half understood. */
static void read_terms(struct doc_map *m, struct order *ret)
{
    if (doc_list(m, "modes") != 1 || strcmp(doc_list_str(m, "modes", 0), modes[0]) != 0)
        doc_fail(m, "modes", "order.mode", "this version supports exactly [\"%s\"]", modes[0]);
    read_verification(m, ret);
    ret->lot_size = (uint64_t)doc_int(m, "lot_size", 1, ORDER_QUANTITY_MAX);
    doc_copy(m, "endpoint", ret->endpoint, sizeof(ret->endpoint));
}

/* The lots of one station's batch must fit its document. */
static void check_lots(struct doc_map *m, const struct order *o)
{
    for (size_t i = 0; i < o->nstations && m->err.rc == RC_OK; i++) {
        if (o->stations[i].quantity > o->lot_size * BATCH_LOTS_MAX)
            doc_fail(m, "lot_size", "order.lots",
                     "station '%s' would have more than %d lots; make lots larger", o->stations[i].name,
                     BATCH_LOTS_MAX);
    }
}

static enum rc decode(struct doc_map *m, struct order *ret, struct err *e)
{
    read_head(m, ret);
    read_terms(m, ret);
    enum rc rc = read_ca(m, ret, e);
    if (rc == RC_OK)
        rc = read_window(m, ret, e);
    if (rc == RC_OK)
        rc = read_trust_bundle(m, ret, e);
    if (rc == RC_OK)
        rc = read_stations(m, ret, e);
    if (rc != RC_OK)
        return rc;
    check_lots(m, ret);
    return doc_close(m, e);
}

enum rc order_decode(const char *name, struct span json, struct order *ret, struct err *e)
{
    struct doc *d = NULL;
    struct doc_map m;
    struct order o = {0};

    enum rc rc = doc_parse_json(name, json, &d, e);
    if (rc != RC_OK)
        return rc;
    doc_open(&m, d, doc_root(d));
    rc = decode(&m, &o, e);
    if (rc == RC_OK)
        *ret = o;
    else
        order_fini(&o);
    doc_free(d);
    return rc;
}

void order_fini(struct order *o)
{
    bytes_free(&o->trust_bundle);
    *o = (struct order){0};
}

enum rc order_station_find(const struct order *o, const uint8_t manifest[static SHA256_LEN],
                           const uint8_t seal[static SHA256_LEN], const struct order_station **ret,
                           struct err *e)
{
    for (size_t i = 0; i < o->nstations; i++) {
        const struct order_station *s = &o->stations[i];
        if (memcmp(s->manifest, manifest, SHA256_LEN) == 0 && memcmp(s->seal, seal, SHA256_LEN) == 0) {
            *ret = s;
            return RC_OK;
        }
    }
    return err_set(e, RC_DENIED, "order.station",
                   "order '%s' is not for this station: it names none with both its certificates", o->id);
}
