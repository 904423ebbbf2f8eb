/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/text.h"
#include "ca/ca.h"
#include "factory/batch.h"
#include "factory/lists.h"
#include "factory/manifest.h"
#include "factory/office.h"
#include "factory/order.h"
#include "factory/signed.h"
#include "folder.h"
#include "sign/alg.h"
#include "sign/softkey.h"
#include "x509/cert.h"
#include "x509/crl.h"
#include "x509/csr.h"
#include "x509/name.h"

/*
 * One world for all tests: root, online CA and two local CAs, an office and a station, all with software keys. Every test takes orders of its own.
 */

/* ---- a crash at the n-th moment at which something becomes durable ---- */

static _Atomic long crash_after; /* 0: never */

static void durable_moment(void)
{
    if (crash_after > 0 && --crash_after == 0)
        _exit(77);
}

/* In place of libc's, for our own code and for SQLite. */
int fsync(int fd)
{
    durable_moment();
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    durable_moment();
    return (int)syscall(SYS_fdatasync, fd);
}

/* ---- helpers ---- */

static struct err e;
static struct keystore *keys;
static struct signer *manifest_key, *seal_key, *other_key;
static uint64_t sequence; /* the station's */

static void must(enum rc rc)
{
    if (rc != RC_OK)
        fail_msg("%s [%s]", e.text, e.key);
}

static void refused(enum rc rc, enum rc want, const char *key)
{
    if (rc != want || strcmp(e.key, key) != 0)
        fail_msg("%d [%s] expected, got %d: %s [%s]", (int)want, key, (int)rc, rc ? e.text : "", rc ? e.key : "");
    assert_non_null(strchr(e.text, '\''));
}

static void load(const char *name, struct bytes *ret)
{
    must(file_read(at(name), FILE_DOC_MAX, ret, &e));
}

static void hash_file(const char *name, uint8_t ret[static SHA256_LEN])
{
    struct cert *c = NULL;
    must(cert_read(at(name), &c, &e));
    memcpy(ret, c->sha256, SHA256_LEN);
    cert_free(c);
}

static char *hex_file(const char *name)
{
    uint8_t hash[SHA256_LEN];
    hash_file(name, hash);
    return hex_new((struct span){hash, SHA256_LEN});
}

/* One file of several. */
static void join(const char *out, const char *const *parts)
{
    struct bytes all = BYTES_INIT;
    for (; *parts; parts++)
        load(*parts, &all);
    must(file_publish(at(out), 0600, bytes_span(&all), &e));
    bytes_free(&all);
}

static void remove_file(const char *name)
{
    assert_int_equal(unlink(at(name)), 0);
}

static int64_t sql_int(const char *db, const char *sql)
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

static struct office *open_office(void)
{
    struct office *o = NULL;
    must(office_open(at("office"), keys, &o, &e));
    return o;
}

static struct ca *open_ca(const char *home)
{
    struct ca *ca = NULL;
    must(ca_open(at(home), keys, &ca, &e));
    return ca;
}

/* ---- the world ---- */

static void issue_as(const char *home, const char *profile, const char *csr, const char *out)
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

static void make_crl(const char *home, const char *out)
{
    struct ca *ca = open_ca(home);
    uint64_t number = 0;
    int64_t next = 0;
    must(ca_crl(ca, at(out), false, &number, &next, &e));
    ca_close(ca);
}

static void write_csr(struct signer *s, const char *cn, const char *out)
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

static void make_root(void)
{
    bool is_new = false;
    put(at("root.yaml"), "schema: keymill.ca-config.v1\nname: root\nkey: soft:root\nalgorithm: ec-p256\nprofile: root\n"
                         "subject: {O: Example, CN: Example Root}\nvalidity-days: 7300\ncrl-days: 365\n"
                         "issues: [online-ca, local-ca]\n");
    must(ca_init(at("root"), at("root.yaml"), keys, &is_new, &e));
    assert_int_equal(rename(at("root/cert.pem"), at("root.pem")), 0);
    make_crl("root", "root.crl");
}

static void make_sub(const char *name, const char *profile, const char *issues)
{
    bool is_new = false;
    char *root = hex_file("root.pem");
    char *config = mem_printf("%s.yaml", name), *csr = mem_printf("%s.csr", name), *pem = mem_printf("%s.pem", name),
         *crl = mem_printf("%s.crl", name);
    char *text = mem_printf("schema: keymill.ca-config.v1\nname: %s\nkey: soft:%s\nalgorithm: ec-p256\nprofile: %s\n"
                            "subject: {O: Example, CN: Example %s}\ntrust: \"%s\"\ncrl-days: 30\nissues: [%s]\n",
                            name, name, profile, name, root, issues);
    put(at(config), text);
    must(ca_request(at(name), at(config), keys, at(csr), &is_new, &e));
    issue_as("root", profile, csr, pem);
    must(ca_import(at(name), at(pem), at("root.pem"), &is_new, &e));
    make_crl(name, crl);
    free(text);
    free(crl);
    free(pem);
    free(csr);
    free(config);
    free(root);
}

static void make_station(void)
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

static char *office_config(const char *key_prefix, const char *name)
{
    char *root = hex_file("root.pem"), *issuer = hex_file("online.pem");
    char *text = mem_printf("schema: keymill.office-config.v1\nname: %s\npin-source: file:/x\nalgorithm: ec-p256\n"
                            "subject: {O: Example}\nkeys: {order: \"soft:%s-order\", release: \"soft:%s-release\", wrap: "
                            "\"soft:%s-wrap\"}\ntrust: \"%s\"\nstation-issuer: \"%s\"\n",
                            name, key_prefix, key_prefix, key_prefix, root, issuer);
    free(root);
    free(issuer);
    return text;
}

static void make_office(void)
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

static int world_make(void **state)
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

static int world_remove(void **state)
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
    uint64_t quantity, sequence, lot_size;
    const char *validity, *window;
};

static void write_spec(const struct spec *s, const char *file)
{
    char *text = mem_printf(
        "schema: keymill.order-spec.v1\norder: %s\nproduct: sensor\nfactory: mexico\nprofile: device\nca: %s\n%s\n%s\n"
        "trust-bundle: root.pem\nendpoint: mqtts://broker:8883\nlot-size: %llu\n%sstations:\n"
        "  - name: line7\n    manifest: %s\n    seal: %s\n    sequence: %llu\n    quantity: %llu\n"
        "    ids: {prefix: \"%s\", digits: 6, first: 1, count: %llu}\n",
        s->id, s->ca ? s->ca : "local.pem", s->validity ? s->validity : "validity-days: 3000",
        s->window ? s->window : "window-days: 30", (unsigned long long)(s->lot_size ? s->lot_size : 100),
        s->extra ? s->extra : "", s->manifest ? s->manifest : "manifest.pem", s->seal ? s->seal : "seal.pem",
        (unsigned long long)s->sequence, (unsigned long long)s->quantity, s->prefix, (unsigned long long)s->quantity);
    put(at(file), text);
    free(text);
}

static enum rc try_order(const struct spec *s, bool *ret_new)
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

static void new_order(const char *id, const char *ca, uint64_t quantity, uint64_t lot_size)
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

static enum rc try_batch_at(const char *id, const char *ca_home, const char *out, struct batch_report *ret)
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

static enum rc try_batch(const char *id, struct batch_report *ret)
{
    char *out = mem_printf("%s.batch", id);
    enum rc rc = try_batch_at(id, "local", out, ret);
    free(out);
    return rc;
}

static void read_order(const char *id, struct order *ret)
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

static void read_batch(const char *folder_name, struct batch *ret)
{
    struct bytes json = BYTES_INIT, p7s = BYTES_INIT;
    struct signed_doc d = {0};
    struct trust trust = {.has_issuer = true};
    char *json_name = mem_printf("%s/batch.json", folder_name), *p7s_name = mem_printf("%s/batch.p7s", folder_name);
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

static struct secret *open_lot(const char *folder_name, const struct batch *b, size_t lot)
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

static void open_line(const struct secret *lot_key, const struct batch *b, uint64_t i, struct span line,
                      const struct cert *ca, struct device *ret)
{
    must(batch_line_decode("devices.jsonl", (int64_t)i + 1, line, &ret->line, &e));
    must(batch_line_open(lot_key, b->id, i / b->lot_size, &ret->line, &ret->key, &e)); /* belongs to the certificate */
    must(cert_parse("device", bytes_span(&ret->line.cert), &ret->cert, &e));
    must(cert_verify_signature(ret->cert, ca, &e));
}

/* Opens every line with the station's keys, as the station would, and holds the whole against batch.json. */
static void open_batch(const char *id, const char *ca_home, const char *folder_name, struct opened *ret)
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

static void opened_free(struct opened *o)
{
    for (uint64_t i = 0; i < o->b.count; i++) {
        batch_device_fini(&o->devices[i].line);
        cert_free(o->devices[i].cert);
        secret_free(o->devices[i].key);
    }
    free(o->devices);
    batch_fini(&o->b);
}

static int by_serial(const void *a, const void *b)
{
    const struct device *x = a, *y = b;
    return memcmp(x->cert->serial.p, y->cert->serial.p, SERIAL_LEN);
}

/* Ids 1 to n exactly once (open_batch), as many issued rows as lines, no serial number twice. */
static void check_batch(const char *id, const char *ca_home, const char *folder_name)
{
    struct opened o = {0};
    char *db = mem_printf("%s/ca.db", ca_home);
    char *sql = mem_printf("SELECT count(*) FROM certificate WHERE order_name = '%s' AND state <> 'void'", id);
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

static void add_lines(const struct closing *c, const struct opened *o, struct manifest_writer *w)
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

static void sign_checkpoint(const struct closing *c, const struct checkpoint *cp, const char *out)
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

/* What the station does at close. */
static void close_order(const struct closing *c)
{
    struct opened o = {0};
    struct order *order = mem_new(sizeof(*order));
    struct manifest_header h = {.started = clock_now() - 10};
    struct manifest_writer *w = NULL;
    struct checkpoint cp = {.journal_records = 9};
    const char *station = c->station ? c->station : "line7";
    char *manifest = mem_printf("%s.manifest.jsonl", c->name), *checkpoint = mem_printf("%s.checkpoint", c->name);

    open_batch(c->order, c->ca ? c->ca : "local", c->folder, &o);
    read_order(c->order, order);
    strcpy(h.order, c->order);
    strcpy(h.station, station);
    memcpy(h.order_sha256, order->sha256, SHA256_LEN);
    if (c->other_order_sha)
        must(sha256_file(at(c->other_order_sha), h.order_sha256, &e));
    memcpy(h.ca, order->ca, SHA256_LEN);
    memcpy(h.trust_bundle, order->trust_bundle_sha256, SHA256_LEN);
    must(manifest_begin(at(manifest), &h, &w, &e));
    add_lines(c, &o, w);
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
    opened_free(&o);
    order_fini(order);
    free(order);
}

static enum rc try_ingest(const char *name, struct reconciliation *ret)
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
static void produce(const char *id, const char *ca, char journal, uint64_t good, uint64_t scrapped, uint64_t unused)
{
    char *batch = mem_printf("%s.batch", id);
    struct batch_report report;
    struct reconciliation r;
    new_order(id, ca, good + scrapped + unused, 0);
    must(try_batch_at(id, ca, batch, &report));
    close_order(&(struct closing){.order = id, .folder = batch, .name = id, .good = good, .scrapped = scrapped, .unused = unused,
                                  .ca = ca, .journal = journal});
    must(try_ingest(id, &r));
    free(batch);
}

/* ---- init and import ---- */

static void test_init(void **state)
{
    (void)state;
    bool is_new = true;
    char *pin = NULL;
    must(office_init(at("office"), at("office.yaml"), keys, &is_new, &e));
    assert_false(is_new);
    assert_int_equal(mode_of(at("office")), 0700);

    char *text = office_config("office", "other");
    put(at("other.yaml"), text);
    refused(office_init(at("office"), at("other.yaml"), keys, &is_new, &e), RC_CONFLICT, "office.exists");
    refused(office_init(at("office2"), at("other.yaml"), keys, &is_new, &e), RC_CONFLICT, "office.key-exists");
    assert_false(file_exists(at("office2/office.yaml")));
    free(text);

    must(office_pin_source(at("office"), &pin, &e));
    assert_string_equal(pin, "file:/x");
    free(pin);
    must(office_pin_source(at("other.yaml"), &pin, &e));
    free(pin);
    refused(office_pin_source(at("root"), &pin, &e), RC_CONFLICT, "office.no-home");
}

/* A home whose making was stopped: what is there is used, the rest is made. */
static void test_init_resumes(void **state)
{
    (void)state;
    bool is_new = false;
    struct bytes before = BYTES_INIT;
    char *text = office_config("o3", "three");
    put(at("o3.yaml"), text);
    must(office_init(at("o3"), at("o3.yaml"), keys, &is_new, &e));
    load("o3/order.csr", &before);
    remove_file("o3/release.csr");
    must(office_init(at("o3"), at("o3.yaml"), keys, &is_new, &e));
    assert_true(is_new);
    assert_true(file_exists(at("o3/release.csr")));
    assert_content(at("o3/order.csr"), bytes_span(&before));
    must(office_init(at("o3"), at("o3.yaml"), keys, &is_new, &e));
    assert_false(is_new);
    bytes_free(&before);
    free(text);
}

static void test_config_refused(void **state)
{
    (void)state;
    static const char *const bad[][3] = {
        /* what is replaced, by what, key */
        {"name: hq", "name: \"a/b\"", "office.config"},
        {"algorithm: ec-p256", "algorithm: rsa", "office.config"},
        {"subject: {O: Example}", "subject: {CN: x}", "office.config"},
        {"soft:x-release", "soft:x-order", "office.config"},
        {"subject: {O: Example}", "subject: {X: y}", "doc.unknown-key"},
        {"station-issuer: ", "station: ", "doc.missing"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        bool is_new = false;
        char *text = office_config("x", "hq");
        char *where = strstr(text, bad[i][0]);
        assert_non_null(where);
        char *changed = mem_printf("%.*s%s%s", (int)(where - text), text, bad[i][1], where + strlen(bad[i][0]));
        put(at("bad.yaml"), changed);
        enum rc rc = office_init(at("bad"), at("bad.yaml"), keys, &is_new, &e);
        if (rc != RC_INPUT || strcmp(e.key, bad[i][2]) != 0)
            fail_msg("%zu: %d [%s] %s", i, (int)rc, e.key, e.text);
        assert_false(file_exists(at("bad")));
        free(changed);
        free(text);
    }
    struct bytes example = BYTES_INIT;
    char *pin = NULL;
    must(file_read("docs/examples/office.yaml", FILE_SMALL_MAX, &example, &e)); /* but for its zeros it is right */
    put(at("bad.yaml"), bytes_str(&example));
    refused(office_pin_source(at("bad.yaml"), &pin, &e), RC_INPUT, "office.config");
    assert_non_null(strstr(e.text, "zeros"));
    bytes_free(&example);
}

static void test_import(void **state)
{
    (void)state;
    const char *role = NULL;
    bool is_new = true;
    must(office_import(at("office"), at("order.pem"), at("chain.pem"), &role, &is_new, &e));
    assert_false(is_new);
    refused(office_import(at("office"), at("manifest.pem"), at("chain.pem"), &role, &is_new, &e), RC_INPUT, "office.cert");

    join("no-crl.pem", (const char *const[]){"online.pem", "root.pem", "root.crl", NULL});
    refused(office_import(at("office"), at("order.pem"), at("no-crl.pem"), &role, &is_new, &e), RC_DENIED, "verify.no-crl");
    join("no-root.pem", (const char *const[]){"online.pem", "online.crl", NULL});
    refused(office_import(at("office"), at("order.pem"), at("no-root.pem"), &role, &is_new, &e), RC_DENIED, "verify.root");

    /* The office's certificate for the release key, and the other way round: the role belongs to the key. */
    issue_as("online", "release", "office/order.csr", "swapped.pem");
    refused(office_import(at("office"), at("swapped.pem"), at("chain.pem"), &role, &is_new, &e), RC_DENIED, "verify.role");

    /* A newer CRL refreshes the chain, the older one is refused from then on. */
    make_crl("online", "online2.crl");
    join("chain2.pem", (const char *const[]){"online.pem", "root.pem", "online2.crl", "root.crl", NULL});
    must(office_import(at("office"), at("release.pem"), at("chain2.pem"), &role, &is_new, &e));
    assert_true(is_new);
    refused(office_import(at("office"), at("release.pem"), at("chain.pem"), &role, &is_new, &e), RC_CONFLICT,
            "office.crl-older");
    assert_int_equal(rename(at("chain2.pem"), at("chain.pem")), 0);
}

static void test_no_certificate_yet(void **state)
{
    (void)state;
    struct office *o = NULL;
    bool is_new = false;
    char *text = office_config("o4", "four");
    put(at("o4.yaml"), text);
    must(office_init(at("o4"), at("o4.yaml"), keys, &is_new, &e));
    must(office_open(at("o4"), keys, &o, &e));
    write_spec(&(struct spec){.id = "N1", .prefix = "N1-", .quantity = 1, .sequence = 1}, "n1.yaml");
    refused(office_order_new(o, at("n1.yaml"), at("n1.order"), &is_new, &e), RC_CONFLICT, "office.no-cert");
    office_close(o);
    free(text);
    refused(office_open(at("nowhere"), keys, &o, &e), RC_CONFLICT, "office.no-home");
    assert_false(file_exists(at("nowhere")));
}

/* ---- orders ---- */

static void test_order(void **state)
{
    (void)state;
    struct order *o = mem_new(sizeof(*o));
    struct bytes first = BYTES_INIT, bundle = BYTES_INIT;
    struct spec s = {.id = "A1", .prefix = "A1-", .quantity = 10};
    bool is_new = false;
    s.sequence = ++sequence;
    must(try_order(&s, &is_new));
    assert_true(is_new);
    read_order("A1", o);
    assert_string_equal(o->id, "A1");
    assert_string_equal(o->factory, "mexico");
    assert_int_equal(o->not_before, o->issued);
    assert_int_equal(o->not_after, o->issued + 3000 * INT64_C(86400) - 1);
    assert_int_equal(o->window_until, o->issued + 30 * INT64_C(86400));
    load("root.pem", &bundle);
    assert_true(span_eq(bytes_span(&o->trust_bundle), bytes_span(&bundle)));

    /* Again: the same octets, from another clock second on as well, and when the file was lost. */
    load("A1.order", &first);
    must(try_order(&s, &is_new));
    assert_false(is_new);
    remove_file("A1.order");
    must(try_order(&s, &is_new));
    assert_false(is_new);
    assert_content(at("A1.order"), bytes_span(&first));

    /* The same id with another text. */
    s.quantity = 11;
    refused(try_order(&s, &is_new), RC_CONFLICT, "office.order-exists");
    assert_int_equal(sql_int("office/office.db", "SELECT count(*) FROM orders WHERE id = 'A1'"), 1);
    bytes_free(&first);
    bytes_free(&bundle);
    order_fini(o);
    free(o);
}

static void test_order_refused(void **state)
{
    (void)state;
    bool is_new = false;
    new_order("R1", "local", 10, 0);
    struct spec s = {.id = "R2", .prefix = "R1-", .quantity = 1, .sequence = ++sequence};
    refused(try_order(&s, &is_new), RC_CONFLICT, "office.ids-taken");
    assert_non_null(strstr(e.text, "'R1'"));
    s.prefix = "R2-";
    s.sequence = sequence - 1; /* R1's */
    refused(try_order(&s, &is_new), RC_DENIED, "office.sequence");
    assert_non_null(strstr(e.text, "'R1'"));
    s.sequence = sequence;

    s.ca = "manifest.pem";
    refused(try_order(&s, &is_new), RC_INPUT, "office.ca-cert");
    s.ca = NULL;
    s.validity = "validity-days: 3651"; /* the CA has 3650 */
    refused(try_order(&s, &is_new), RC_DENIED, "office.validity");
    s.validity = "not-before: \"2020-01-01T00:00:00Z\"\nnot-after: \"2027-01-01T00:00:00Z\"";
    refused(try_order(&s, &is_new), RC_DENIED, "office.validity");
    s.validity = NULL;
    s.extra = "not-after: \"2027-01-01T00:00:00Z\"\n";
    refused(try_order(&s, &is_new), RC_INPUT, "doc.value");
    s.extra = NULL;
    s.lot_size = 1;
    s.quantity = 20001;
    refused(try_order(&s, &is_new), RC_INPUT, "order.lots");
    s.quantity = 1;
    s.lot_size = 0;

    assert_int_equal(sql_int("office/office.db", "SELECT count(*) FROM orders WHERE id = 'R2'"), 0);
    put(at("R2.order"), "something else");
    refused(try_order(&s, &is_new), RC_CONFLICT, "file.exists");
    remove_file("R2.order");
    must(try_order(&s, &is_new));
}

/* Only the right role from the right issuer makes a station. */
static void test_order_stations(void **state)
{
    (void)state;
    bool is_new = false;
    struct spec s = {.id = "S1", .prefix = "S1-", .quantity = 1, .sequence = ++sequence};
    s.manifest = "seal.pem";
    refused(try_order(&s, &is_new), RC_DENIED, "office.station-role");
    s.manifest = "order.pem";
    refused(try_order(&s, &is_new), RC_DENIED, "office.station-role");
    s.manifest = NULL;
    s.seal = "manifest.pem";
    refused(try_order(&s, &is_new), RC_DENIED, "office.station-role");
    s.seal = "local.pem";
    refused(try_order(&s, &is_new), RC_DENIED, "office.station-issuer");
    s.seal = NULL;

    /* A CA of another root. */
    const char *argv = "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout x.key -subj /CN=x "
                       "-days 30 -addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign -out x.pem "
                       "2>/dev/null";
    struct bytes command = BYTES_INIT;
    for (const char *p = argv; *p; p++) {
        if (p[0] == '%' && p[1] == 's') {
            bytes_add_str(&command, folder);
            p++;
        } else {
            bytes_add_byte(&command, (uint8_t)*p);
        }
    }
    assert_int_equal(system(bytes_str(&command)), 0);
    bytes_free(&command);
    s.ca = "x.pem";
    refused(try_order(&s, &is_new), RC_INPUT, "verify.chain");
}

/* Two stations in one order; the batch must say which. */
static void test_two_stations(void **state)
{
    (void)state;
    struct batch_report report;
    bool is_new = false;
    uint64_t first = ++sequence;
    char *extra = mem_printf("  - name: line8\n    manifest: line8.pem\n    seal: seal8.pem\n    sequence: 1\n    quantity: 3\n"
                             "    ids: {prefix: \"T8-\", digits: 4, count: 3}\n");
    struct signer *seal8 = NULL;
    struct cert *c = NULL;
    struct bytes der = BYTES_INIT, pem = BYTES_INIT, text = BYTES_INIT;
    must(softkey_new(alg_by_name("ec-p256"), KEY_DERIVE, &seal8, &e));
    must(cert_read(at("line8.pem"), &c, &e));
    must(csr_make_statement(bytes_span(&seal8->spki), other_key, bytes_span(&c->der), &der, &e));
    pem_encode("CERTIFICATE REQUEST", bytes_span(&der), &pem);
    must(file_publish(at("seal8.csr"), 0600, bytes_span(&pem), &e));
    issue_as("online", "station-seal", "seal8.csr", "seal8.pem");

    write_spec(&(struct spec){.id = "T1", .prefix = "T1-", .quantity = 2, .sequence = first}, "T1.yaml");
    load("T1.yaml", &text);
    bytes_add_str(&text, extra);
    put(at("T1.yaml"), bytes_str(&text));
    struct office *o = open_office();
    must(office_order_new(o, at("T1.yaml"), at("T1.order"), &is_new, &e));
    struct ca *ca = open_ca("local");
    refused(office_batch_make(o, ca, at("T1.order"), NULL, at("T1.batch"), &report, &e), RC_USAGE, "office.station-name");
    refused(office_batch_make(o, ca, at("T1.order"), "line9", at("T1.batch"), &report, &e), RC_USAGE, "office.station-name");
    must(office_batch_make(o, ca, at("T1.order"), "line8", at("T8.batch"), &report, &e));
    assert_int_equal(report.made, 3);
    must(office_batch_make(o, ca, at("T1.order"), "line7", at("T7.batch"), &report, &e));
    assert_int_equal(report.made, 2);
    ca_close(ca);
    office_close(o);
    signer_free(seal8);
    cert_free(c);
    bytes_free(&der);
    bytes_free(&pem);
    bytes_free(&text);
    free(extra);
}

/* ---- batches ---- */

static void test_batch(void **state)
{
    (void)state;
    struct batch_report report;
    struct opened o = {0};
    new_order("B1", "local", 600, 250);
    must(try_batch("B1", &report));
    assert_int_equal(report.count, 600);
    assert_int_equal(report.made, 600);
    assert_int_equal(report.resumed, 0);
    assert_false(file_exists(at("B1.batch.part")));
    check_batch("B1", "local", "B1.batch");
    assert_int_equal(names(at("B1.batch")), 3 + 3); /* three lots, three files, nothing else */

    open_batch("B1", "local", "B1.batch", &o);
    char *subject = name_text(o.devices[0].cert->subject);
    assert_string_equal(subject, "OU=mexico,CN=B1-000001");
    free(subject);
    assert_int_equal(o.b.nlots, 3);

    /* Of a whole folder: path to the root, by the chain that the batch carries. */
    struct cms_chain chain = {0};
    uint8_t root[SHA256_LEN];
    put(at("batch-chain.pem"), bytes_str(&o.b.chain));
    must(chain_read(at("batch-chain.pem"), &chain, &e));
    assert_int_equal(chain.ncerts, 1); /* without the root */
    must(chain_read(at("root.pem"), &chain, &e));
    hash_file("root.pem", root);
    for (size_t i = 0; i < 600; i += 97)
        must(verify_path(o.devices[i].cert, &chain, root, clock_now(), &e));
    cms_chain_free(&chain);

    /* A key of one lot does not open another's lines, nor another device's. */
    struct secret *lot_key = open_lot("B1.batch", &o.b, 1), *none = NULL;
    assert_int_equal(batch_line_open(lot_key, o.b.id, 0, &o.devices[0].line, &none, &e), RC_INPUT);
    secret_free(lot_key);
    opened_free(&o);

    /* Again. */
    must(try_batch("B1", &report));
    assert_int_equal(report.made, 0);
    assert_int_equal(report.resumed, 0);
    assert_int_equal(report.count, 600);
}

static void test_batch_refused(void **state)
{
    (void)state;
    struct batch_report report;
    new_order("C1", "local", 5, 0);
    refused(try_batch_at("C1", "localb", "C1.batch", &report), RC_DENIED, "office.ca");
    must(file_publish(at("C0.order"), 0600, SPAN("no order"), &e));
    refused(try_batch_at("C0", "local", "C0.batch", &report), RC_DENIED, "office.order-unknown");

    /* A folder of somebody else's. */
    must(dir_make(at("C1.batch"), 0700, &e));
    refused(try_batch("C1", &report), RC_CONFLICT, "office.out-used");
    must(dir_remove(at("C1.batch"), &e));
    assert_false(file_exists(at("C1.batch.part")));

    /* The window is over, which a second ago it was not. */
    struct spec s = {.id = "C2", .prefix = "C2-", .quantity = 5, .sequence = ++sequence};
    s.window = "window:\n  from: \"2020-01-01T00:00:00Z\"\n  until: \"2020-02-01T00:00:00Z\"";
    bool is_new = false;
    must(try_order(&s, &is_new));
    refused(try_batch("C2", &report), RC_DENIED, "order.expired");

    must(try_batch("C1", &report));
    /* The same batch under another name would be a second one. */
    refused(try_batch_at("C1", "local", "C1.second", &report), RC_CONFLICT, "office.batch-lost");
    assert_false(file_exists(at("C1.second.part")));
    /* A changed file shows. */
    put(at("C1.batch/lot-0.p7m"), "changed");
    refused(try_batch("C1", &report), RC_CONFLICT, "office.out-used");
    /* A deleted folder is not made anew: its keys are out in the world. */
    must(dir_remove(at("C1.batch"), &e));
    refused(try_batch("C1", &report), RC_CONFLICT, "office.batch-lost");
}

/* A profile that the CA may not sign: the line stops before it begins, in every thread, with the CA's reason. */
static void test_batch_stops(void **state)
{
    (void)state;
    struct batch_report report;
    new_order("D1", "local", 2000, 0);
    new_order("D2", "local", 2000, 0);
    /* An id in the middle that the CA has given out: the third group fails, the first two stay. */
    struct ca *ca = open_ca("local");
    struct ca_issue in = {.profile = "device", .csr_path = at("line8.csr"), .id = "D1-000600"};
    struct bytes der = BYTES_INIT;
    bool is_new = false;
    must(ca_issue(ca, &in, &der, &is_new, &e));
    bytes_free(&der);
    ca_close(ca);
    refused(try_batch("D1", &report), RC_CONFLICT, "ca.id-reused");
    assert_non_null(strstr(e.text, "D1-000600"));
    assert_true(file_exists(at("D1.batch.part/devices.jsonl")));
    assert_false(file_exists(at("D1.batch")));
    assert_true(sql_int("local/ca.db", "SELECT count(*) FROM certificate WHERE order_name = 'D1' AND state = 'issued'") <= 512);

    /* The other order is not disturbed. */
    must(try_batch("D2", &report));
    check_batch("D2", "local", "D2.batch");
}

/* ---- taking up what a crash left ---- */

static void unrecord(const char *id)
{
    char *sql = mem_printf("DELETE FROM batches WHERE order_id = '%s'", id);
    sql_int("office/office.db", sql);
    free(sql);
}

static void back_to_part(const char *id)
{
    char *out = mem_printf("%s.batch", id), *part = mem_printf("%s.batch.part", id);
    assert_int_equal(rename(at(out), at(part)), 0);
    free(out);
    free(part);
}

static void append(const char *name, const char *text)
{
    FILE *f = fopen(at(name), "a");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* Every stage, made by hand from a finished batch. */
static void test_resume_stages(void **state)
{
    (void)state;
    struct batch_report report;
    new_order("E1", "local", 300, 100);
    must(try_batch("E1", &report));

    /* Recorded, not named. */
    back_to_part("E1");
    must(try_batch("E1", &report));
    assert_int_equal(report.resumed, 300);
    assert_int_equal(report.made, 0);
    check_batch("E1", "local", "E1.batch");

    /* Recorded, documents not written. */
    back_to_part("E1");
    remove_file("E1.batch.part/batch.json");
    remove_file("E1.batch.part/batch.p7s");
    must(try_batch("E1", &report));
    check_batch("E1", "local", "E1.batch");

    /* Not recorded, one lot sealed; and what an append that was cut off leaves behind. */
    back_to_part("E1");
    unrecord("E1");
    remove_file("E1.batch.part/batch.json");
    remove_file("E1.batch.part/batch.p7s");
    remove_file("E1.batch.part/lot-2.p7m");
    append("E1.batch.part/devices.jsonl", "{\"id\":\"E1-0003");
    must(try_batch("E1", &report));
    assert_int_equal(report.resumed, 300);
    check_batch("E1", "local", "E1.batch");

    /* Whole lines whose rows were never issued: their devices are made again, with other keys. */
    struct bytes text = BYTES_INIT;
    load("E1.batch/devices.jsonl", &text);
    back_to_part("E1");
    unrecord("E1");
    sql_int("local/ca.db", "UPDATE certificate SET state = 'reserved', der = NULL, sha256 = NULL, issued_at = NULL WHERE "
                           "order_name = 'E1' AND device_id > 'E1-000256'");
    remove_file("E1.batch.part/batch.json");
    remove_file("E1.batch.part/batch.p7s");
    must(try_batch("E1", &report));
    assert_int_equal(report.resumed, 256);
    assert_int_equal(report.made, 44);
    check_batch("E1", "local", "E1.batch");
    assert_int_equal(sql_int("local/ca.db", "SELECT count(*) FROM certificate WHERE order_name = 'E1' AND state = 'void'"), 44);
    struct bytes now = BYTES_INIT;
    load("E1.batch/devices.jsonl", &now);
    assert_false(span_eq(bytes_span(&text), bytes_span(&now)));
    bytes_free(&now);
    bytes_free(&text);
}

/* A line that is gone although its certificate was issued: nothing is cut off, nothing made. */
static void test_resume_lost(void **state)
{
    (void)state;
    struct batch_report report;
    struct bytes text = BYTES_INIT, damaged = BYTES_INIT;
    new_order("F1", "local", 300, 0);
    must(try_batch("F1", &report));
    back_to_part("F1");
    unrecord("F1");
    remove_file("F1.batch.part/batch.json");
    remove_file("F1.batch.part/batch.p7s");
    load("F1.batch.part/devices.jsonl", &text);

    bytes_add(&damaged, text.p, text.n / 2);
    must(file_publish(at("F1.batch.part/devices.jsonl"), 0600, bytes_span(&damaged), &e));
    refused(try_batch("F1", &report), RC_CONFLICT, "office.batch-lost");
    assert_content(at("F1.batch.part/devices.jsonl"), bytes_span(&damaged));

    bytes_reset(&damaged);
    bytes_add_span(&damaged, bytes_span(&text));
    damaged.p[10] ^= 1; /* the first line's id */
    must(file_publish(at("F1.batch.part/devices.jsonl"), 0600, bytes_span(&damaged), &e));
    refused(try_batch("F1", &report), RC_CONFLICT, "office.batch-lost");
    assert_content(at("F1.batch.part/devices.jsonl"), bytes_span(&damaged));

    must(file_publish(at("F1.batch.part/devices.jsonl"), 0600, bytes_span(&text), &e));
    must(try_batch("F1", &report));
    check_batch("F1", "local", "F1.batch");
    bytes_free(&damaged);
    bytes_free(&text);
}

/* The order makes a batch in a child; it is ended at the n-th durable moment, or after some milliseconds. True: it came to its end. */
static bool batch_in_child(const char *id, long crash, unsigned kill_ms)
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct batch_report report;
        crash_after = crash;
        _exit(try_batch(id, &report) == RC_OK ? 0 : 1);
    }
    if (kill_ms > 0) {
        usleep(kill_ms * 1000);
        kill(pid, SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        assert_int_equal(WTERMSIG(status), SIGKILL);
    else
        assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void test_crash_at_each_sync(void **state)
{
    (void)state;
    bool whole = false;
    long n = 1;
    for (; !whole; n++) {
        char id[32];
        struct batch_report report;
        snprintf(id, sizeof(id), "X%ld", n);
        new_order(id, "local", 520, 400); /* three groups, two lots */
        whole = batch_in_child(id, n, 0);
        must(try_batch(id, &report));
        char *out = mem_printf("%s.batch", id);
        check_batch(id, "local", out);
        free(out);
        assert_true(n < 200);
    }
    assert_true(n > 20); /* the crashes did happen */
}

/* One batch, killed again and again at any moment. */
static void test_killed_at_random(void **state)
{
    (void)state;
    struct batch_report report;
    unsigned seed = 20260101;
    new_order("K1", "local", 6000, 500);
    for (int round = 0; round < 50; round++)
        if (batch_in_child("K1", 0, 1 + (unsigned)rand_r(&seed) % 60))
            break;
    must(try_batch("K1", &report));
    check_batch("K1", "local", "K1.batch");
}

/* No private key of the batch in any file that was left behind, raw, in hex or in base64. */
static void test_no_plain_keys(void **state)
{
    (void)state;
    static const char *const files[] = {"B1.batch/devices.jsonl", "B1.batch/batch.json", "B1.batch/lot-0.p7m",
                                        "office/office.db",       "office/office.db-wal", "local/ca.db",
                                        "local/ca.db-wal"};
    struct opened o = {0};
    size_t looked = 0;
    open_batch("B1", "local", "B1.batch", &o);
    for (size_t f = 0; f < sizeof(files) / sizeof(files[0]); f++) {
        struct bytes text = BYTES_INIT;
        if (!file_exists(at(files[f])))
            continue;
        must(file_read(at(files[f]), (size_t)256 << 20, &text, &e));
        for (size_t i = 0; i < 600; i += 50, looked++) {
            const uint8_t *scalar = secret_data(o.devices[i].key) + 36; /* PKCS#8 of P-256: the scalar's place */
            char *hex = hex_new((struct span){scalar, 32});
            struct bytes b64 = BYTES_INIT;
            b64_encode((struct span){scalar, 30}, &b64);
            assert_null(memmem(text.p, text.n, scalar, 32));
            assert_null(memmem(text.p, text.n, hex, 64));
            assert_null(memmem(text.p, text.n, b64.p, b64.n));
            bytes_free(&b64);
            free(hex);
        }
        bytes_free(&text);
    }
    assert_true(looked >= 48);
    opened_free(&o);
}

/* ---- manifests ---- */

static void test_ingest(void **state)
{
    (void)state;
    struct batch_report report;
    struct reconciliation r;
    new_order("G1", "local", 20, 0);
    must(try_batch("G1", &report));
    close_order(&(struct closing){.order = "G1", .folder = "G1.batch", .name = "G1", .good = 12, .scrapped = 3, .unused = 4,
                                  .journal = 'a'});
    must(try_ingest("G1", &r));
    assert_true(r.is_new);
    assert_string_equal(r.order, "G1");
    assert_string_equal(r.station, "line7");
    assert_int_equal(r.ordered, 20);
    assert_int_equal(r.good, 12);
    assert_int_equal(r.scrapped, 3);
    assert_int_equal(r.unused, 4);
    assert_int_equal(r.unexplained, 1);
    assert_int_equal(sql_int("office/office.db", "SELECT count(*) FROM devices WHERE order_id = 'G1'"), 19);

    must(try_ingest("G1", &r));
    assert_false(r.is_new);
    assert_int_equal(r.unexplained, 1);

    /* Another manifest of the same order: the first one stays. */
    close_order(&(struct closing){.order = "G1", .folder = "G1.batch", .name = "G1b", .good = 20, .journal = 'a'});
    refused(try_ingest("G1b", &r), RC_CONFLICT, "office.manifest-differs");
    assert_int_equal(sql_int("office/office.db", "SELECT count(*) FROM devices WHERE order_id = 'G1'"), 19);
}

static void test_ingest_refused(void **state)
{
    (void)state;
    struct batch_report report;
    struct reconciliation r;
    new_order("H1", "local", 4, 0);
    must(try_batch("H1", &report));
    struct closing c = {.order = "H1", .folder = "H1.batch", .name = "H1", .good = 4, .journal = 'b'};

    c.key = other_key; /* a station, but not the order's */
    c.cert = "line8.pem";
    close_order(&c);
    refused(try_ingest("H1", &r), RC_DENIED, "office.station");
    c.key = NULL;
    c.cert = NULL;
    c.station = "line8";
    close_order(&c);
    refused(try_ingest("H1", &r), RC_DENIED, "office.station");
    c.station = NULL;
    c.other_order_sha = "root.pem";
    close_order(&c);
    refused(try_ingest("H1", &r), RC_DENIED, "office.order-unknown");
    c.other_order_sha = NULL;
    c.journal = 'a'; /* G1's: the journal was put back */
    close_order(&c);
    refused(try_ingest("H1", &r), RC_CONFLICT, "office.journal-fork");
    c.journal = 'b';

    /* Changed after it was signed; and the whole is refused, not the rest taken in. */
    close_order(&c);
    struct bytes text = BYTES_INIT;
    load("H1.manifest.jsonl", &text);
    char *state_word = strstr((char *)text.p, "\"good\"");
    memcpy(state_word, "\"gone\"", 6);
    must(file_publish(at("H1.manifest.jsonl"), 0600, bytes_span(&text), &e));
    assert_int_equal(try_ingest("H1", &r), RC_INPUT);
    bytes_free(&text);
    assert_int_equal(sql_int("office/office.db", "SELECT count(*) FROM devices WHERE order_id = 'H1'"), 0);
    assert_int_equal(sql_int("office/office.db", "SELECT count(*) FROM manifests WHERE order_id = 'H1'"), 0);
    close_order(&c);
    must(try_ingest("H1", &r));
}

/* The devices of one order in the manifest of another. */
static void test_ingest_foreign(void **state)
{
    (void)state;
    struct batch_report report;
    struct reconciliation r;
    new_order("J1", "local", 3, 0);
    new_order("J2", "localb", 3, 0);
    must(try_batch("J1", &report));
    must(try_batch_at("J2", "localb", "J2.batch", &report));

    /* J1's header and J1's checkpoint over H1's devices: ids outside the block. */
    struct opened o = {0};
    open_batch("H1", "local", "H1.batch", &o);
    struct order *order = mem_new(sizeof(*order));
    struct manifest_header h = {.started = clock_now()};
    struct manifest_writer *w = NULL;
    struct checkpoint cp = {.journal_records = 1};
    struct closing c = {.order = "J1", .good = 3};
    read_order("J1", order);
    strcpy(h.order, "J1");
    strcpy(h.station, "line7");
    memcpy(h.order_sha256, order->sha256, SHA256_LEN);
    memcpy(h.ca, order->ca, SHA256_LEN);
    memcpy(h.trust_bundle, order->trust_bundle_sha256, SHA256_LEN);
    must(manifest_begin(at("J1.manifest.jsonl"), &h, &w, &e));
    add_lines(&c, &o, w);
    must(manifest_end(w, &cp, &e));
    strcpy(cp.order, "J1");
    strcpy(cp.station, "line7");
    memcpy(cp.order_sha256, order->sha256, SHA256_LEN);
    cp.issued = clock_now();
    memset(cp.journal_before, 'j', SHA256_LEN);
    sign_checkpoint(&c, &cp, "J1.checkpoint");
    refused(try_ingest("J1", &r), RC_DENIED, "office.ids");

    /* More devices than ordered. */
    struct closing more = {.order = "J1", .good = 4};
    remove_file("J1.manifest.jsonl");
    must(manifest_begin(at("J1.manifest.jsonl"), &h, &w, &e));
    add_lines(&more, &o, w);
    struct checkpoint cp2 = {0};
    must(manifest_end(w, &cp2, &e));
    strcpy(cp2.order, "J1");
    strcpy(cp2.station, "line7");
    memcpy(cp2.order_sha256, order->sha256, SHA256_LEN);
    cp2.issued = clock_now();
    cp2.journal_records = 1;
    sign_checkpoint(&more, &cp2, "J1.checkpoint");
    refused(try_ingest("J1", &r), RC_DENIED, "office.over-production");
    remove_file("J1.manifest.jsonl");
    opened_free(&o);
    order_fini(order);
    free(order);
}

/* A rogue CA certifies an id of J1's block; J1's manifest with it is refused. */
static void test_ingest_wrong_ca(void **state)
{
    (void)state;
    struct reconciliation r;
    struct ca *ca = open_ca("localb");
    struct ca_issue in = {.profile = "device", .csr_path = at("line8.csr"), .id = "J1-000001", .ou = "mexico", .days = 30};
    struct opened o = {0};
    struct bytes der = BYTES_INIT;
    bool is_new = false;
    must(ca_issue(ca, &in, &der, &is_new, &e));
    ca_close(ca);
    open_batch("J1", "local", "J1.batch", &o);
    bytes_reset(&o.devices[0].line.cert);
    bytes_add_span(&o.devices[0].line.cert, bytes_span(&der));
    cert_free(o.devices[0].cert);
    must(cert_parse("rogue", bytes_span(&der), &o.devices[0].cert, &e));
    bytes_free(&der);

    struct order *order = mem_new(sizeof(*order));
    struct manifest_header h = {.started = clock_now()};
    struct manifest_writer *w = NULL;
    struct checkpoint cp = {.journal_records = 1};
    struct closing c = {.order = "J1", .good = 3};
    read_order("J1", order);
    strcpy(h.order, "J1");
    strcpy(h.station, "line7");
    memcpy(h.order_sha256, order->sha256, SHA256_LEN);
    memcpy(h.ca, order->ca, SHA256_LEN);
    memcpy(h.trust_bundle, order->trust_bundle_sha256, SHA256_LEN);
    must(manifest_begin(at("J1.manifest.jsonl"), &h, &w, &e));
    add_lines(&c, &o, w);
    must(manifest_end(w, &cp, &e));
    strcpy(cp.order, "J1");
    strcpy(cp.station, "line7");
    memcpy(cp.order_sha256, order->sha256, SHA256_LEN);
    cp.issued = clock_now();
    memset(cp.journal_before, 'j', SHA256_LEN);
    sign_checkpoint(&c, &cp, "J1.checkpoint");
    refused(try_ingest("J1", &r), RC_DENIED, "office.ca");
    opened_free(&o);
    order_fini(order);
    free(order);
}

/* ---- lists ---- */

static void read_list(const char *name, enum list_kind kind, struct device_list *ret, uint8_t ret_sha[static SHA256_LEN])
{
    struct bytes der = BYTES_INIT;
    struct signed_doc d = {0};
    struct trust trust = {.has_issuer = true};
    hash_file("root.pem", trust.root);
    hash_file("online.pem", trust.issuer);
    load(name, &der);
    must(signed_open(name, bytes_span(&der), &trust, ROLE_RELEASE, &d, &e));
    must(list_decode(name, kind, bytes_span(&d.content), ret, &e));
    memcpy(ret_sha, d.sha256, SHA256_LEN);
    signed_free(&d);
    bytes_free(&der);
}

static void test_release(void **state)
{
    (void)state;
    struct list_report r;
    struct device_list l = {0};
    uint8_t sha1st[SHA256_LEN], sha2nd[SHA256_LEN], ca[SHA256_LEN];
    static const uint8_t zeros[SHA256_LEN];
    produce("L1", "local", 'c', 4, 1, 1);
    struct office *o = open_office();

    put(at("ids"), "L1-000002\nL1-000001\n");
    must(office_release(o, at("ids"), at("R1"), &r, &e));
    assert_true(r.is_new);
    assert_int_equal(r.sequence, 1);
    assert_int_equal(r.devices, 2);
    read_list("R1", LIST_RELEASE, &l, sha1st);
    hash_file("local.pem", ca);
    assert_memory_equal(l.previous, zeros, SHA256_LEN);
    assert_int_equal(l.ndevices, 2);
    assert_string_equal(l.devices[0].id, "L1-000001");
    assert_memory_equal(l.devices[0].issuer, ca, SHA256_LEN);
    list_fini(&l);

    /* The same ids in another order, to another file: the same list. */
    put(at("ids"), "L1-000001\r\nL1-000002");
    must(office_release(o, at("ids"), at("R1b"), &r, &e));
    assert_false(r.is_new);
    assert_int_equal(r.sequence, 1);
    struct bytes first = BYTES_INIT;
    load("R1", &first);
    assert_content(at("R1b"), bytes_span(&first));
    bytes_free(&first);

    put(at("ids"), "L1-000003\n");
    must(office_release(o, at("ids"), at("R2"), &r, &e));
    assert_int_equal(r.sequence, 2);
    read_list("R2", LIST_RELEASE, &l, sha2nd);
    assert_memory_equal(l.previous, sha1st, SHA256_LEN);
    list_fini(&l);

    static const char *const bad[] = {"L1-000004\nL1-000005\n", "L1-000004\nL1-000006\n", "L1-000004\nL1-999999\n"};
    for (size_t i = 0; i < 3; i++) { /* scrapped, unused, unknown */
        put(at("ids"), bad[i]);
        refused(office_release(o, at("ids"), at("R3"), &r, &e), RC_DENIED, "office.not-good");
        assert_false(file_exists(at("R3")));
    }
    static const char *const unread[] = {"L1-000004\nL1-000004\n", "", "L1 4\n", "\n\n"};
    for (size_t i = 0; i < 4; i++) {
        put(at("ids"), unread[i]);
        refused(office_release(o, at("ids"), at("R3"), &r, &e), RC_INPUT, "office.ids");
    }
    assert_int_equal(sql_int("office/office.db", "SELECT max(sequence) FROM lists WHERE kind = 0"), 2);
    office_close(o);
}

static void test_revoke(void **state)
{
    (void)state;
    struct list_report r;
    struct device_list l = {0};
    uint8_t sha[SHA256_LEN], previous[SHA256_LEN], ca[SHA256_LEN];
    produce("M1", "local", 'd', 3, 1, 0);
    produce("M2", "localb", 'e', 2, 0, 0);
    struct office *o = open_office();

    /* One device. */
    put(at("ids"), "M1-000001\n");
    must(office_revoke(o, at("ids"), NULL, NULL, "keyCompromise", at("V1"), &r, &e));
    assert_int_equal(r.sequence, 1);
    assert_int_equal(r.devices, 1);
    read_list("V1", LIST_REVOCATION, &l, previous);
    assert_string_equal(l.reason, "keyCompromise");
    list_fini(&l);
    refused(office_release(o, at("ids"), at("R9"), &r, &e), RC_DENIED, "office.not-good");
    must(office_revoke(o, at("ids"), NULL, NULL, "keyCompromise", at("V1b"), &r, &e));
    assert_false(r.is_new);

    /* A whole order, scrapped ones too, also what is out already. */
    must(office_revoke(o, NULL, "M1", NULL, "superseded", at("V2"), &r, &e));
    assert_int_equal(r.sequence, 2);
    assert_int_equal(r.devices, 4);
    read_list("V2", LIST_REVOCATION, &l, sha);
    assert_string_equal(l.order, "M1");
    assert_int_equal(l.ndevices, 4);
    assert_memory_equal(l.previous, previous, SHA256_LEN);
    list_fini(&l);
    put(at("ids"), "M1-000002\n");
    refused(office_release(o, at("ids"), at("R9"), &r, &e), RC_DENIED, "office.not-good");

    /* A whole issuer. */
    put(at("ids"), "M2-000001\n");
    must(office_release(o, at("ids"), at("R-M2"), &r, &e));
    must(office_revoke(o, NULL, NULL, at("localb.pem"), "cACompromise", at("V3"), &r, &e));
    assert_int_equal(r.sequence, 3);
    assert_int_equal(r.devices, 2);
    read_list("V3", LIST_REVOCATION, &l, sha);
    hash_file("localb.pem", ca);
    assert_int_equal(l.nissuers, 1);
    assert_memory_equal(l.issuers[0], ca, SHA256_LEN);
    list_fini(&l);
    put(at("ids"), "M2-000002\n");
    refused(office_release(o, at("ids"), at("R9"), &r, &e), RC_DENIED, "office.not-good");

    /* A list that was signed can be written again, whatever became of its devices. */
    put(at("ids"), "M2-000001\n");
    must(office_release(o, at("ids"), at("R-M2b"), &r, &e));
    assert_false(r.is_new);

    refused(office_revoke(o, NULL, NULL, NULL, "superseded", at("V9"), &r, &e), RC_USAGE, "office.revoke-what");
    refused(office_revoke(o, at("ids"), "M1", NULL, "superseded", at("V9"), &r, &e), RC_USAGE, "office.revoke-what");
    refused(office_revoke(o, NULL, "M1", NULL, "certificateHold", at("V9"), &r, &e), RC_USAGE, "office.reason");
    refused(office_revoke(o, NULL, "M1", NULL, "whim", at("V9"), &r, &e), RC_USAGE, "office.reason");
    refused(office_revoke(o, NULL, "M9", NULL, "superseded", at("V9"), &r, &e), RC_INPUT, "office.order-unknown");
    refused(office_revoke(o, NULL, NULL, at("manifest.pem"), "superseded", at("V9"), &r, &e), RC_INPUT, "office.ca-cert");
    put(at("ids"), "M9-000001\n");
    refused(office_revoke(o, at("ids"), NULL, NULL, "superseded", at("V9"), &r, &e), RC_INPUT, "office.unknown-device");
    put(at("ids"), "L1-000001\n");
    put(at("V9"), "something else");
    refused(office_revoke(o, at("ids"), NULL, NULL, "superseded", at("V9"), &r, &e), RC_CONFLICT, "file.exists");
    assert_int_equal(sql_int("office/office.db", "SELECT max(sequence) FROM lists WHERE kind = 1"), 3);
    office_close(o);
}

/* An order that is revoked before its manifest comes in: its devices are never released. */
static void test_revoked_before_ingest(void **state)
{
    (void)state;
    struct batch_report report;
    struct reconciliation rec;
    struct list_report r;
    new_order("P1", "local", 2, 0);
    must(try_batch("P1", &report));
    struct office *o = open_office();
    must(office_revoke(o, NULL, "P1", NULL, "superseded", at("V-P1"), &r, &e));
    assert_int_equal(r.devices, 0);
    office_close(o);
    close_order(&(struct closing){.order = "P1", .folder = "P1.batch", .name = "P1", .good = 2, .journal = 'p'});
    must(try_ingest("P1", &rec));
    o = open_office();
    put(at("ids"), "P1-000001\n");
    refused(office_release(o, at("ids"), at("R-P1"), &r, &e), RC_DENIED, "office.not-good");
    office_close(o);
}

/* Nothing that happened above is without its audit row, and the chain of rows is whole. */
static void test_audit(void **state)
{
    (void)state;
    static const char *const counts[][2] = {{"order", "SELECT count(*) FROM orders"},
                                            {"batch", "SELECT count(*) FROM batches"},
                                            {"lot-key", "SELECT count(*) FROM lots"},
                                            {"ingest", "SELECT count(*) FROM manifests"},
                                            {"release", "SELECT count(*) FROM lists WHERE kind = 0"},
                                            {"revoke", "SELECT count(*) FROM lists WHERE kind = 1"}};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        char *sql = mem_printf("SELECT count(*) FROM audit WHERE event = '%s'", counts[i][0]);
        int64_t rows = sql_int("office/office.db", counts[i][1]), audited = sql_int("office/office.db", sql);
        /* "batch" rows of tests that took the record away were audited, too */
        assert_true(strcmp(counts[i][0], "batch") == 0 ? audited > rows : audited == rows);
        assert_true(rows > 0);
        free(sql);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_init),
        cmocka_unit_test(test_init_resumes),
        cmocka_unit_test(test_config_refused),
        cmocka_unit_test(test_import),
        cmocka_unit_test(test_no_certificate_yet),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_order_refused),
        cmocka_unit_test(test_order_stations),
        cmocka_unit_test(test_two_stations),
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_batch_refused),
        cmocka_unit_test(test_batch_stops),
        cmocka_unit_test(test_resume_stages),
        cmocka_unit_test(test_resume_lost),
        cmocka_unit_test(test_crash_at_each_sync),
        cmocka_unit_test(test_killed_at_random),
        cmocka_unit_test(test_no_plain_keys),
        cmocka_unit_test(test_ingest),
        cmocka_unit_test(test_ingest_refused),
        cmocka_unit_test(test_ingest_foreign),
        cmocka_unit_test(test_ingest_wrong_ca),
        cmocka_unit_test(test_release),
        cmocka_unit_test(test_revoke),
        cmocka_unit_test(test_revoked_before_ingest),
        cmocka_unit_test(test_audit),
    };
    return cmocka_run_group_tests(tests, world_make, world_remove);
}
