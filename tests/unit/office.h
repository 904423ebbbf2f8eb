/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_OFFICE_H
#define UNIT_OFFICE_H

/*
 * One world for all tests of the office: root, online CA and two local CAs, an office and a station, all with
 * software keys. Every test takes orders of its own. Behind <cmocka.h>, as everything that asserts.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/text.h"
#include "ca/ca.h"
#include "factory/batch.h"
#include "factory/manifest.h"
#include "factory/office.h"
#include "factory/order.h"
#include "factory/signed.h"
#include "folder.h"
#include "sign/alg.h"
#include "sign/cms.h"
#include "sign/softkey.h"
#include "x509/cert.h"
#include "x509/csr.h"
#include "x509/name.h"

/* ---- helpers ---- */

static struct err e;
static struct keystore *keys;
static struct signer *manifest_key, *seal_key, *other_key;
static uint64_t sequence; /* the station's */

static inline void must(enum rc rc)
{
    if (rc != RC_OK)
        fail_msg("%s [%s]", e.text, e.key);
}

static inline void refused(enum rc rc, enum rc want, const char *key)
{
    if (rc != want || strcmp(e.key, key) != 0)
        fail_msg("%d [%s] expected, got %d: %s [%s]", (int)want, key, (int)rc, rc ? e.text : "",
                 rc ? e.key : "");
    assert_non_null(strchr(e.text, '\''));
}

static inline void load(const char *name, struct bytes *ret)
{
    must(file_read(at(name), FILE_DOC_MAX, ret, &e));
}

static inline void hash_file(const char *name, uint8_t ret[static SHA256_LEN])
{
    struct cert *c = NULL;
    must(cert_read(at(name), &c, &e));
    memcpy(ret, c->sha256, SHA256_LEN);
    cert_free(c);
}

static inline char *hex_file(const char *name)
{
    uint8_t hash[SHA256_LEN];
    hash_file(name, hash);
    return hex_new((struct span){hash, SHA256_LEN});
}

/* One file of several. */
static inline void join(const char *out, const char *const *parts)
{
    struct bytes all = BYTES_INIT;
    for (; *parts; parts++)
        load(*parts, &all);
    must(file_publish(at(out), 0600, bytes_span(&all), &e));
    bytes_free(&all);
}

static inline void remove_file(const char *name)
{
    assert_int_equal(unlink(at(name)), 0);
}

static inline int64_t sql_int(const char *db, const char *sql)
{
    sqlite3 *s = NULL;
    sqlite3_stmt *q = NULL;
    assert_int_equal(sqlite3_open_v2(at(db), &s, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    sqlite3_busy_timeout(s, 5000);
    if (sqlite3_prepare_v2(s, sql, -1, &q, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(s));
    int got = sqlite3_step(q);
    int64_t v = got == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
    assert_true(got == SQLITE_ROW || got == SQLITE_DONE);
    sqlite3_finalize(q);
    sqlite3_close(s);
    return v;
}

static inline struct office *open_office(void)
{
    struct office *o = NULL;
    must(office_open(at("office"), keys, &o, &e));
    return o;
}

static inline struct ca *open_ca(const char *home)
{
    struct ca *ca = NULL;
    must(ca_open(at(home), keys, &ca, &e));
    return ca;
}

/* ---- the world ---- */

static inline void issue_as(const char *home, const char *profile, const char *csr, const char *out)
{
    struct ca *ca = open_ca(home);
    struct ca_issue in = {.profile = profile, .csr_path = at(csr), .sub_ca = strcmp(home, "root") == 0};
    struct bytes der = BYTES_INIT, pem = BYTES_INIT;
    bool is_new = false;
    must(ca_issue(ca, &in, &der, &is_new, &e));
    pem_encode("CERTIFICATE", bytes_span(&der), &pem);
    must(file_publish(at(out), 0600, bytes_span(&pem), &e));
    bytes_free(&der);
    bytes_free(&pem);
    ca_close(ca);
}

static inline void make_crl(const char *home, const char *out)
{
    struct ca *ca = open_ca(home);
    uint64_t number = 0;
    int64_t next = 0;
    must(ca_crl(ca, at(out), false, &number, &next, &e));
    ca_close(ca);
}

static inline void write_csr(struct signer *s, const char *cn, const char *out)
{
    struct name_attr attrs[] = {{"O", "Example"}, {"CN", cn}};
    struct bytes name = BYTES_INIT, der = BYTES_INIT, pem = BYTES_INIT;
    must(name_encode(attrs, 2, &name, &e));
    must(csr_make(s, bytes_span(&name), &der, &e));
    pem_encode("CERTIFICATE REQUEST", bytes_span(&der), &pem);
    must(file_publish(at(out), 0600, bytes_span(&pem), &e));
    bytes_free(&name);
    bytes_free(&der);
    bytes_free(&pem);
}

static inline void make_root(void)
{
    bool is_new = false;
    put(at("root.yaml"),
        "schema: keymill.ca-config.v1\nname: root\nkey: soft:root\nalgorithm: ec-p256\nprofile: root\n"
        "subject: {O: Example, CN: Example Root}\nvalidity-days: 7300\ncrl-days: 365\n"
        "issues: [online-ca, local-ca]\n");
    must(ca_init(at("root"), at("root.yaml"), keys, &is_new, &e));
    assert_int_equal(rename(at("root/cert.pem"), at("root.pem")), 0);
    make_crl("root", "root.crl");
}

static inline void make_sub(const char *name, const char *profile, const char *issues)
{
    bool is_new = false, crls = false;
    char *root = hex_file("root.pem");
    char *config = mem_printf("%s.yaml", name), *csr = mem_printf("%s.csr", name),
         *pem = mem_printf("%s.pem", name), *crl = mem_printf("%s.crl", name);
    char *text =
        mem_printf("schema: keymill.ca-config.v1\nname: %s\nkey: soft:%s\nalgorithm: ec-p256\nprofile: %s\n"
                   "subject: {O: Example, CN: Example %s}\ntrust: \"%s\"\ncrl-days: 30\nissues: [%s]\n",
                   name, name, profile, name, root, issues);
    put(at(config), text);
    must(ca_request(at(name), at(config), keys, at(csr), &is_new, &e));
    issue_as("root", profile, csr, pem);
    must(ca_import(at(name), at(pem), at("root.pem"), &is_new, &crls, &e));
    make_crl(name, crl);
    free(text);
    free(crl);
    free(pem);
    free(csr);
    free(config);
    free(root);
}

static inline void make_station(void)
{
    struct cert *c = NULL;
    struct bytes der = BYTES_INIT, pem = BYTES_INIT;
    const struct alg *p256 = alg_by_name("ec-p256");
    must(softkey_new(p256, KEY_SIGN, &manifest_key, &e));
    must(softkey_new(p256, KEY_DERIVE, &seal_key, &e));
    must(softkey_new(p256, KEY_SIGN, &other_key, &e));
    write_csr(manifest_key, "line7", "manifest.csr");
    issue_as("online", "station-manifest", "manifest.csr", "manifest.pem");
    write_csr(other_key, "line8", "line8.csr");
    issue_as("online", "station-manifest", "line8.csr", "line8.pem");
    must(cert_read(at("manifest.pem"), &c, &e));
    must(csr_make_statement(bytes_span(&seal_key->spki), manifest_key, bytes_span(&c->der), &der, &e));
    pem_encode("CERTIFICATE REQUEST", bytes_span(&der), &pem);
    must(file_publish(at("seal.csr"), 0600, bytes_span(&pem), &e));
    issue_as("online", "station-seal", "seal.csr", "seal.pem");
    cert_free(c);
    bytes_free(&der);
    bytes_free(&pem);
}

static inline char *office_config(const char *key_prefix, const char *name)
{
    char *root = hex_file("root.pem"), *issuer = hex_file("online.pem");
    char *text = mem_printf(
        "schema: keymill.office-config.v1\nname: %s\npin-source: file:/x\nalgorithm: ec-p256\n"
        "subject: {O: Example}\nkeys: {order: \"soft:%s-order\", release: \"soft:%s-release\", wrap: "
        "\"soft:%s-wrap\"}\ntrust: \"%s\"\nstation-issuer: \"%s\"\n",
        name, key_prefix, key_prefix, key_prefix, root, issuer);
    free(root);
    free(issuer);
    return text;
}

static inline void make_office(void)
{
    const char *role = NULL;
    bool is_new = false;
    char *text = office_config("office", "hq");
    put(at("office.yaml"), text);
    free(text);
    must(office_init(at("office"), at("office.yaml"), keys, &is_new, &e));
    assert_true(is_new);
    join("chain.pem", (const char *const[]){"online.pem", "root.pem", "online.crl", "root.crl", NULL});
    issue_as("online", "office", "office/order.csr", "order.pem");
    issue_as("online", "release", "office/release.csr", "release.pem");
    must(office_import(at("office"), at("order.pem"), at("chain.pem"), &role, &is_new, &e));
    assert_string_equal(role, "office");
    assert_true(is_new);
    must(office_import(at("office"), at("release.pem"), at("chain.pem"), &role, &is_new, &e));
    assert_string_equal(role, "release");
}

static inline int world_make(void **state)
{
    if (folder_make(state) != 0)
        return -1;
    keys = softstore_new();
    make_root();
    make_sub("online", "online-ca", "office, release, station-manifest, station-seal, server");
    make_sub("local", "local-ca", "device");
    make_sub("localb", "local-ca", "device");
    make_station();
    make_office();
    return 0;
}

static inline int world_remove(void **state)
{
    signer_free(manifest_key);
    signer_free(seal_key);
    signer_free(other_key);
    softstore_free(keys);
    return folder_remove(state);
}

/* ---- orders ---- */

struct spec {
    const char *id, *ca, *prefix, *manifest, *seal, *extra; /* extra: more lines */
    const char *station, *bundle, *endpoint;
    uint64_t quantity, sequence, lot_size;
    const char *validity, *window;
};

static inline void write_spec(const struct spec *s, const char *file)
{
    char *text = mem_printf(
        "schema: keymill.order-spec.v1\norder: %s\nproduct: sensor\nfactory: mexico\nprofile: device\nca: %s\n%s\n%s\n"
        "trust-bundle: %s\nendpoint: \"%s\"\nlot-size: %llu\n%sstations:\n"
        "  - name: %s\n    manifest: %s\n    seal: %s\n    sequence: %llu\n    quantity: %llu\n"
        "    ids: {prefix: \"%s\", digits: 6, first: 1, count: %llu}\n",
        s->id, s->ca ? s->ca : "local.pem", s->validity ? s->validity : "validity-days: 3000",
        s->window ? s->window : "window-days: 30", s->bundle ? s->bundle : "root.pem",
        s->endpoint ? s->endpoint : "mqtts://broker:8883",
        (unsigned long long)(s->lot_size ? s->lot_size : 100), s->extra ? s->extra : "",
        s->station ? s->station : "line7", s->manifest ? s->manifest : "manifest.pem",
        s->seal ? s->seal : "seal.pem", (unsigned long long)s->sequence, (unsigned long long)s->quantity,
        s->prefix, (unsigned long long)s->quantity);
    put(at(file), text);
    free(text);
}

static inline enum rc try_order(const struct spec *s, bool *ret_new)
{
    struct office *o = open_office();
    char *file = mem_printf("%s.yaml", s->id), *out = mem_printf("%s.order", s->id);
    write_spec(s, file);
    enum rc rc = office_order_new(o, at(file), at(out), ret_new, &e);
    free(file);
    free(out);
    office_close(o);
    return rc;
}

static inline void new_order(const char *id, const char *ca, uint64_t quantity, uint64_t lot_size)
{
    char *prefix = mem_printf("%s-", id), *cert = mem_printf("%s.pem", ca);
    struct spec s = {.id = id, .ca = cert, .prefix = prefix, .quantity = quantity, .lot_size = lot_size};
    bool is_new = false;
    s.sequence = ++sequence;
    must(try_order(&s, &is_new));
    assert_true(is_new);
    free(prefix);
    free(cert);
}

static inline enum rc try_batch_at(const char *id, const char *ca_home, const char *out,
                                   struct batch_report *ret)
{
    struct office *o = open_office();
    struct ca *ca = open_ca(ca_home);
    char *order = mem_printf("%s.order", id);
    enum rc rc = office_batch_make(o, ca, at(order), NULL, at(out), ret, &e);
    free(order);
    ca_close(ca);
    office_close(o);
    return rc;
}

static inline enum rc try_batch(const char *id, struct batch_report *ret)
{
    char *out = mem_printf("%s.batch", id);
    enum rc rc = try_batch_at(id, "local", out, ret);
    free(out);
    return rc;
}

static inline void read_order(const char *id, struct order *ret)
{
    struct bytes der = BYTES_INIT;
    struct signed_doc d = {0};
    struct trust trust = {.has_issuer = true};
    char *file = mem_printf("%s.order", id);
    hash_file("root.pem", trust.root);
    hash_file("online.pem", trust.issuer);
    load(file, &der);
    must(signed_open(file, bytes_span(&der), &trust, ROLE_OFFICE, &d, &e));
    must(order_decode(file, bytes_span(&d.content), ret, &e));
    memcpy(ret->sha256, d.sha256, SHA256_LEN);
    signed_free(&d);
    bytes_free(&der);
    free(file);
}

/* ---- batches ---- */

struct device {
    struct batch_device line;
    struct cert *cert;
    struct secret *key;
};
struct opened {
    struct batch b;
    struct device *devices;
};

static inline void read_batch(const char *folder_name, struct batch *ret)
{
    struct bytes json = BYTES_INIT, p7s = BYTES_INIT;
    struct signed_doc d = {0};
    struct trust trust = {.has_issuer = true};
    char *json_name = mem_printf("%s/batch.json", folder_name),
         *p7s_name = mem_printf("%s/batch.p7s", folder_name);
    hash_file("root.pem", trust.root);
    hash_file("online.pem", trust.issuer);
    load(json_name, &json);
    load(p7s_name, &p7s);
    must(signed_open_detached("batch", bytes_span(&p7s), bytes_span(&json), &trust, ROLE_OFFICE, &d, &e));
    must(batch_decode("batch", bytes_span(&json), ret, &e));
    signed_free(&d);
    bytes_free(&json);
    bytes_free(&p7s);
    free(json_name);
    free(p7s_name);
}

static inline struct secret *open_lot(const char *folder_name, const struct batch *b, size_t lot)
{
    struct bytes p7m = BYTES_INIT;
    struct cert *seal = NULL;
    struct secret *key = NULL;
    uint8_t hash[SHA256_LEN];
    char *name = mem_printf("%s/lot-%zu.p7m", folder_name, lot);
    load(name, &p7m);
    sha256(bytes_span(&p7m), hash);
    assert_memory_equal(hash, b->lots[lot].sha256, SHA256_LEN);
    must(cert_read(at("seal.pem"), &seal, &e));
    must(cms_open(seal_key, bytes_span(&seal->der), bytes_span(&p7m), &key, &e));
    assert_int_equal(secret_len(key), LOT_KEY_LEN);
    cert_free(seal);
    bytes_free(&p7m);
    free(name);
    return key;
}

static inline void open_line(const struct secret *lot_key, const struct batch *b, uint64_t i,
                             struct span line, const struct cert *ca, struct device *ret)
{
    must(batch_line_decode("devices.jsonl", (int64_t)i + 1, line, &ret->line, &e));
    must(batch_line_open(lot_key, b->id, i / b->lot_size, &ret->line, &ret->key,
                         &e)); /* belongs to the certificate */
    must(cert_parse("device", bytes_span(&ret->line.cert), &ret->cert, &e));
    must(cert_verify_signature(ret->cert, ca, &e));
}

/* Opens every line with the station's keys, as the station would, and holds the whole against batch.json. */
static inline void open_batch(const char *id, const char *ca_home, const char *folder_name,
                              struct opened *ret)
{
    struct order *order = mem_new(sizeof(*order));
    struct bytes text = BYTES_INIT;
    struct merkle tree;
    uint8_t hash[SHA256_LEN];
    char *lines = mem_printf("%s/devices.jsonl", folder_name);
    struct ca *ca = open_ca(ca_home);
    struct secret *lot_key = NULL;

    read_order(id, order);
    read_batch(folder_name, &ret->b);
    const struct order_station *s = &order->stations[0];
    assert_int_equal(ret->b.count, s->quantity);
    assert_memory_equal(ret->b.order_sha256, order->sha256, SHA256_LEN);
    assert_memory_equal(ret->b.seal, s->seal, SHA256_LEN);
    load(lines, &text);
    sha256(bytes_span(&text), hash);
    assert_memory_equal(hash, ret->b.devices_sha256, SHA256_LEN);
    merkle_init(&tree);
    ret->devices = mem_array((size_t)s->quantity, sizeof(*ret->devices));
    const uint8_t *p = text.p, *end = text.p + text.n;
    for (uint64_t i = 0; i < s->quantity; i++) {
        char want[DEVICE_ID_MAX + 1];
        const uint8_t *lf = memchr(p, '\n', (size_t)(end - p));
        struct bytes issued = BYTES_INIT;
        assert_non_null(lf);
        if (i % ret->b.lot_size == 0) {
            secret_free(lot_key);
            lot_key = open_lot(folder_name, &ret->b, (size_t)(i / ret->b.lot_size));
        }
        struct span line = {p, (size_t)(lf - p)};
        merkle_add(&tree, line);
        open_line(lot_key, &ret->b, i, line, ca_cert(ca), &ret->devices[i]);
        id_block_id(&s->ids, i, want);
        assert_string_equal(ret->devices[i].line.id, want);
        must(ca_find_id(ca, id, want, &issued, &e));
        assert_true(span_eq(bytes_span(&issued), bytes_span(&ret->devices[i].line.cert)));
        bytes_free(&issued);
        p = lf + 1;
    }
    assert_ptr_equal(p, end);
    merkle_root(&tree, hash);
    assert_memory_equal(hash, ret->b.merkle_root, SHA256_LEN);
    secret_free(lot_key);
    ca_close(ca);
    free(lines);
    bytes_free(&text);
    order_fini(order);
    free(order);
}

static inline void opened_free(struct opened *o)
{
    for (uint64_t i = 0; i < o->b.count; i++) {
        batch_device_fini(&o->devices[i].line);
        cert_free(o->devices[i].cert);
        secret_free(o->devices[i].key);
    }
    free(o->devices);
    batch_fini(&o->b);
}

static inline int by_serial(const void *a, const void *b)
{
    const struct device *x = a, *y = b;
    return memcmp(x->cert->serial.p, y->cert->serial.p, SERIAL_LEN);
}

/* Ids 1 to n exactly once (open_batch), as many issued rows as lines, no serial number twice. */
static inline void check_batch(const char *id, const char *ca_home, const char *folder_name)
{
    struct opened o = {0};
    char *db = mem_printf("%s/ca.db", ca_home);
    char *sql =
        mem_printf("SELECT count(*) FROM certificate WHERE order_name = '%s' AND state <> 'void'", id);
    open_batch(id, ca_home, folder_name, &o);
    assert_int_equal(sql_int(db, sql), o.b.count);
    qsort(o.devices, (size_t)o.b.count, sizeof(*o.devices), by_serial);
    for (uint64_t i = 1; i < o.b.count; i++)
        assert_true(by_serial(&o.devices[i - 1], &o.devices[i]) < 0);
    opened_free(&o);
    free(sql);
    free(db);
}

/* ---- manifests ---- */

struct closing {
    const char *order, *folder, *name; /* name: of the files to write */
    uint64_t good, scrapped, unused;   /* in the order of the lines */
    struct signer *key;                /* NULL: the station's */
    const char *cert, *station;        /* NULL: the station's */
    const char *ca;                    /* NULL: local */
    char journal;                      /* the head when the order was taken: 32 times this */
    const char *other_order_sha;       /* file whose hash stands in the place of the order's */
};

static inline void add_lines(const struct closing *c, const struct opened *o, struct manifest_writer *w)
{
    uint64_t n = c->good + c->scrapped + c->unused;
    int64_t now = clock_now();
    for (uint64_t i = 0; i < n; i++) {
        const struct device *d = &o->devices[i];
        struct manifest_line l = {.not_before = d->cert->not_before, .not_after = d->cert->not_after};
        strcpy(l.id, d->line.id);
        l.state = i < c->good ? STATE_GOOD : i < c->good + c->scrapped ? STATE_SCRAPPED : STATE_UNUSED;
        l.delivered = l.state == STATE_UNUSED ? 0 : now - 2;
        l.finished = l.state == STATE_UNUSED ? 0 : now - 1;
        if (l.state == STATE_SCRAPPED)
            strcpy(l.reason, "solder fault");
        bytes_add_span(&l.cert, bytes_span(&d->line.cert));
        memcpy(l.cert_sha256, d->cert->sha256, SHA256_LEN);
        sha256(d->cert->spki, l.spki_sha256);
        must(manifest_add(w, &l, &e));
        bytes_free(&l.cert);
    }
}

static inline void sign_checkpoint(const struct closing *c, const struct checkpoint *cp, const char *out)
{
    struct cms_chain chain = {0};
    struct bytes json = BYTES_INIT, der = BYTES_INIT;
    must(chain_read(at(c->cert ? c->cert : "manifest.pem"), &chain, &e));
    must(chain_read(at("chain.pem"), &chain, &e));
    checkpoint_encode(cp, &json);
    must(signed_make(c->key ? c->key : manifest_key, &chain, bytes_span(&json), cp->issued, &der, &e));
    must(file_publish(at(out), 0600, bytes_span(&der), &e));
    bytes_free(&json);
    bytes_free(&der);
    cms_chain_free(&chain);
}

/* Manifest and checkpoint over these devices, under the station's signature. */
static inline void write_manifest(const struct closing *c, const struct opened *o, const struct order *order)
{
    struct manifest_header h = {.started = clock_now() - 10};
    struct manifest_writer *w = NULL;
    struct checkpoint cp = {.journal_records = 9};
    const char *station = c->station ? c->station : "line7";
    char *manifest = mem_printf("%s.manifest.jsonl", c->name),
         *checkpoint = mem_printf("%s.checkpoint", c->name);

    strcpy(h.order, c->order);
    strcpy(h.station, station);
    memcpy(h.order_sha256, order->sha256, SHA256_LEN);
    if (c->other_order_sha)
        must(sha256_file(at(c->other_order_sha), h.order_sha256, &e));
    memcpy(h.ca, order->ca, SHA256_LEN);
    memcpy(h.trust_bundle, order->trust_bundle_sha256, SHA256_LEN);
    unlink(at(manifest));
    must(manifest_begin(at(manifest), &h, &w, &e));
    add_lines(c, o, w);
    must(manifest_end(w, &cp, &e));
    strcpy(cp.order, c->order);
    strcpy(cp.station, station);
    memcpy(cp.order_sha256, h.order_sha256, SHA256_LEN);
    cp.issued = clock_now();
    memset(cp.journal_before, c->journal, SHA256_LEN);
    memset(cp.journal_after, c->journal + 1, SHA256_LEN);
    sign_checkpoint(c, &cp, checkpoint);
    free(manifest);
    free(checkpoint);
}

/* What the station does at close. */
static inline void close_order(const struct closing *c)
{
    struct opened o = {0};
    struct order *order = mem_new(sizeof(*order));
    open_batch(c->order, c->ca ? c->ca : "local", c->folder, &o);
    read_order(c->order, order);
    write_manifest(c, &o, order);
    opened_free(&o);
    order_fini(order);
    free(order);
}

static inline enum rc try_ingest(const char *name, struct reconciliation *ret)
{
    struct office *o = open_office();
    char *manifest = mem_printf("%s.manifest.jsonl", name), *checkpoint = mem_printf("%s.checkpoint", name);
    enum rc rc = office_ingest(o, at(manifest), at(checkpoint), ret, &e);
    free(manifest);
    free(checkpoint);
    office_close(o);
    return rc;
}

/* An order, made, closed and taken in. */
static inline void produce(const char *id, const char *ca, char journal, uint64_t good, uint64_t scrapped,
                           uint64_t unused)
{
    char *batch = mem_printf("%s.batch", id);
    struct batch_report report;
    struct reconciliation r;
    new_order(id, ca, good + scrapped + unused, 0);
    must(try_batch_at(id, ca, batch, &report));
    close_order(&(struct closing){.order = id,
                                  .folder = batch,
                                  .name = id,
                                  .good = good,
                                  .scrapped = scrapped,
                                  .unused = unused,
                                  .ca = ca,
                                  .journal = journal});
    must(try_ingest(id, &r));
    free(batch);
}

#endif
