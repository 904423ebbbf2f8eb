/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "doc/doc.h"
#include "factory/batch.h"
#include "factory/office/internal.h"

enum { DAYS_MAX = 36525 };

void order_spec_free(struct order_spec *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < ORDER_STATIONS_MAX; i++) {
        free(s->manifest_paths[i]);
        free(s->seal_paths[i]);
    }
    free(s->path);
    free(s->ca_path);
    free(s->trust_path);
    order_fini(&s->order);
    free(s);
}

static void read_text(struct doc_map *m, const char *key, char *ret, size_t cap)
{
    const char *s = doc_str(m, key);
    if (strlen(s) >= cap)
        doc_fail(m, key, "doc.value", "at most %zu characters are allowed", cap - 1);
    else
        memcpy(ret, s, strlen(s) + 1);
}

static void read_name(struct doc_map *m, const char *key, char ret[static 65])
{
    read_text(m, key, ret, 65);
    if (!name_valid(ret))
        doc_fail(m, key, "doc.value",
                 "a name is required: 1 to 64 of A-Z, a-z, 0-9, '_' and '-', a letter or digit first");
}

/* Paths are relative to the folder of the specification. */
static char *read_path(struct doc_map *m, const char *key, const char *folder)
{
    return path_join(folder, doc_str(m, key));
}

/* A nested map is closed on its own; its failure becomes its parent's. */
static void close_into(struct doc_map *sub, struct doc_map *m)
{
    struct err e = ERR_INIT;
    if (doc_close(sub, &e) != RC_OK && m->err.rc == RC_OK)
        m->err = e;
}

static void read_ids(struct doc_map *m, struct id_block *ret)
{
    struct doc_map ids;
    struct err bad = ERR_INIT;
    doc_sub(m, "ids", &ids);
    if (doc_has(&ids, "prefix"))
        read_text(&ids, "prefix", ret->prefix, sizeof(ret->prefix));
    ret->digits = (int)doc_int(&ids, "digits", 1, 18);
    ret->first = (uint64_t)doc_int_or(&ids, "first", 0, INT64_MAX, 1);
    ret->count = (uint64_t)doc_int(&ids, "count", 1, ORDER_QUANTITY_MAX);
    if (ids.err.rc == RC_OK && id_block_check(ret, &bad) != RC_OK)
        doc_fail(&ids, NULL, bad.key, "%s", bad.text);
    close_into(&ids, m);
}

/* What two stations may not share; that they share no certificate follows from their names. */
static void check_pair(struct doc_map *m, const struct order_station *a, const struct order_station *b)
{
    if (strcmp(a->name, b->name) == 0)
        doc_fail(m, "name", "order.duplicate", "station '%s' stands twice", a->name);
    else if (id_block_overlaps(&a->ids, &b->ids))
        doc_fail(m, "ids", "order.ids", "they overlap the ids of station '%s'", b->name);
}

static void read_station(struct doc_map *m, size_t i, const char *folder, struct order_spec *s)
{
    struct order_station *st = &s->order.stations[i];
    struct doc_map one;
    doc_list_map(m, "stations", i, &one);
    read_name(&one, "name", st->name);
    s->manifest_paths[i] = read_path(&one, "manifest", folder);
    s->seal_paths[i] = read_path(&one, "seal", folder);
    st->sequence = (uint64_t)doc_int(&one, "sequence", 1, INT64_MAX);
    st->quantity = (uint64_t)doc_int(&one, "quantity", 1, ORDER_QUANTITY_MAX);
    read_ids(&one, &st->ids);
    if (st->quantity > st->ids.count)
        doc_fail(&one, "quantity", "order.ids", "more devices than ids.count has ids");
    for (size_t k = 0; one.err.rc == RC_OK && k < i; k++)
        check_pair(&one, st, &s->order.stations[k]);
    close_into(&one, m);
}

static void check_totals(struct doc_map *m, const struct order *o)
{
    uint64_t total = 0;
    for (size_t i = 0; i < o->nstations; i++) {
        total += o->stations[i].quantity;
        if (o->stations[i].quantity > o->lot_size * BATCH_LOTS_MAX)
            doc_fail(m, "lot-size", "order.lots",
                     "station '%s' would have more than %d lots; make lots larger", o->stations[i].name,
                     BATCH_LOTS_MAX);
    }
    if (total > ORDER_QUANTITY_MAX)
        doc_fail(m, "stations", "order.quantity", "an order has at most %d devices, this one %" PRIu64,
                 ORDER_QUANTITY_MAX, total);
}

static void read_stations(struct doc_map *m, const char *folder, struct order_spec *s)
{
    size_t n = doc_list(m, "stations");
    if (n == 0 || n > ORDER_STATIONS_MAX) {
        doc_fail(m, "stations", "doc.value", "1 to %d stations are required", ORDER_STATIONS_MAX);
        return;
    }
    s->order.nstations = n;
    for (size_t i = 0; i < n; i++)
        read_station(m, i, folder, s);
    check_totals(m, &s->order);
}

/* Either a number of days from the issue on, or both times. */
static void read_validity(struct doc_map *m, struct order_spec *s)
{
    if (doc_has(m, "validity-days")) {
        s->validity_days = doc_int(m, "validity-days", 1, DAYS_MAX);
        if (doc_has(m, "not-before") || doc_has(m, "not-after"))
            doc_fail(m, "validity-days", "doc.value", "give either days or not-before and not-after");
        return;
    }
    s->order.not_before = doc_time(m, "not-before");
    s->order.not_after = doc_time(m, "not-after");
    if (s->order.not_after <= s->order.not_before)
        doc_fail(m, "not-after", "doc.value", "must be later than not-before");
}

static void read_window(struct doc_map *m, struct order_spec *s)
{
    struct doc_map w;
    if (doc_has(m, "window-days")) {
        s->window_days = doc_int(m, "window-days", 1, DAYS_MAX);
        if (doc_has(m, "window"))
            doc_fail(m, "window-days", "doc.value", "give either window-days or window");
        return;
    }
    doc_sub(m, "window", &w);
    s->order.window_from = doc_time(&w, "from");
    s->order.window_until = doc_time(&w, "until");
    if (s->order.window_until <= s->order.window_from)
        doc_fail(&w, "until", "doc.value", "must be later than from");
    close_into(&w, m);
}

#define DIGITS  "0123456789"
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/* The octets of a host (RFC 3986 3.2.2) that s begins with: a name, an IPv4 address or [IPv6]; 0: none. */
static size_t host_len(const char *s)
{
    if (s[0] != '[')
        return strspn(s, DIGITS LETTERS) > 0 ? strspn(s, DIGITS LETTERS "._-") : 0;
    size_t n = 1 + strspn(s + 1, DIGITS "abcdefABCDEF:.");
    return n > 1 && s[n] == ']' ? n + 1 : 0;
}

/* SCHEME://HOST[:PORT], and behind it what the devices' software understands. */
static bool is_endpoint(const char *s)
{
    const char *at = strstr(s, "://");
    if (!at || strspn(s, LETTERS) == 0 || strspn(s, DIGITS LETTERS "+.-") != (size_t)(at - s))
        return false;
    at += strlen("://");
    size_t host = host_len(at);
    at += host;
    if (host > 0 && *at == ':') {
        size_t digits = strspn(++at, DIGITS);
        long port = digits <= 5 ? strtol(at, NULL, 10) : 0;
        if (port < 1 || port > UINT16_MAX)
            return false;
        at += digits;
    }
    return host > 0 && (*at == '\0' || *at == '/' || *at == '?') && strpbrk(at, " \t\r\n") == NULL;
}

static void read_endpoint(struct doc_map *m, struct order *o)
{
    read_text(m, "endpoint", o->endpoint, sizeof(o->endpoint));
    if (!is_endpoint(o->endpoint))
        doc_fail(m, "endpoint", "doc.value",
                 "a URI is required, SCHEME://HOST or SCHEME://HOST:PORT: mqtts://broker.example.com:8883");
}

static void read_spec(struct doc_map *m, const char *folder, struct order_spec *s)
{
    struct order *o = &s->order;
    doc_schema(m, "keymill.order-spec.v1");
    read_name(m, "order", o->id);
    read_text(m, "product", o->product, sizeof(o->product));
    read_text(m, "factory", o->factory, sizeof(o->factory));
    read_name(m, "profile", o->profile);
    read_endpoint(m, o);
    s->ca_path = read_path(m, "ca", folder);
    s->trust_path = read_path(m, "trust-bundle", folder);
    o->lot_size = (uint64_t)doc_int_or(m, "lot-size", 1, ORDER_QUANTITY_MAX, LOT_SIZE_DEFAULT);
    o->verify_every = (uint64_t)doc_int_or(m, "verify-every", 1, ORDER_VERIFY_MAX, 1);
    read_validity(m, s);
    read_window(m, s);
    read_stations(m, folder, s);
}

enum rc order_spec_read(const char *path, struct order_spec **ret, struct err *e)
{
    struct bytes text = BYTES_INIT;
    struct doc *doc = NULL;
    struct order_spec *s = mem_new(sizeof(*s));
    char *folder = path_dir(path);

    s->path = mem_str(path);
    enum rc rc = file_read(path, FILE_SMALL_MAX, &text, e);
    if (rc == RC_OK)
        rc = doc_parse_yaml(path, bytes_span(&text), &doc, e);
    if (rc == RC_OK) {
        struct doc_map m;
        sha256(bytes_span(&text), s->sha256);
        doc_open(&m, doc, doc_root(doc));
        read_spec(&m, folder, s);
        rc = doc_close(&m, e);
    }
    if (rc == RC_OK) {
        *ret = s;
        s = NULL;
    }
    order_spec_free(s);
    doc_free(doc);
    bytes_free(&text);
    free(folder);
    return rc;
}
