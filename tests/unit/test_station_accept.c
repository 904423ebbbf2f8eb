/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/secret.h"
#include "factory/journal.h"
#include "station_world.h"

/* What a station takes and what it refuses: orders, batches, and its own files that were changed. */

static enum rc accept_it(const char *path)
{
    bool is_new;

    return accept(path, &is_new);
}

/* ---- orders ---- */

/* An order that is refused, in which the test has changed something. */
static void refuse_order(struct order *o, const struct pki_signer *by, enum rc rc, const char *key)
{
    char *path = order_path(o->id);

    write_order(o, by);
    REFUSED(accept_it(path), rc, key);
    free(path);
}

static void take_order(const char *id, uint64_t sequence)
{
    struct order o;
    char *path = order_path(id);

    order_for_us(&o, id, sequence, 2);
    write_order(&o, &w.office);
    accept_ok(path, id, true);
    order_fini(&o);
    free(path);
}

static void test_order_again(void **state)
{
    struct order o;

    (void)state;
    take_order("A1", 1);
    accept_ok(at("A1.order"), "A1", false);
    reopen();
    accept_ok(at("A1.order"), "A1", false);
    order_for_us(&o, "A1", 2, 2); /* another one of that name, newer and well signed */
    refuse_order(&o, &w.office, RC_CONFLICT, "station.order-differs");
    order_fini(&o);
}

static void test_order_for_another(void **state)
{
    struct order o;
    struct pki_signer other = {0};

    (void)state;
    pki_signer_make(&other, &w.pki, &w.pki.online, "station-manifest", "line8");
    order_make(&o, &w.pki, "A1", now);
    order_add_station(&o, "line8", other.cert, w.seal, 1, 2); /* our seal certificate is not enough */
    refuse_order(&o, &w.office, RC_DENIED, "order.station");
    memcpy(o.stations[0].manifest, w.manifest->sha256, SHA256_LEN);
    refuse_order(&o, &w.office, RC_DENIED, "order.station"); /* our certificates under another's name */
    memcpy(o.stations[0].seal, other.cert->sha256, SHA256_LEN);
    refuse_order(&o, &w.office, RC_DENIED, "order.station");
    order_fini(&o);
    pki_signer_fini(&other);
}

/* One order for two stations: each takes its own entry. */
static void test_order_of_two(void **state)
{
    struct order o;
    struct sealed s;
    struct pki_signer other = {0};

    (void)state;
    pki_signer_make(&other, &w.pki, &w.pki.online, "station-manifest", "line8");
    order_make(&o, &w.pki, "A1", now);
    order_add_station(&o, "line8", other.cert, other.cert, 7, 3);
    o.stations[0].seal[0] ^= 1;
    order_add_station(&o, "line7", w.manifest, w.seal, 1, 2);
    write_order(&o, &w.office);
    accept_ok(at("A1.order"), "A1", true);
    sealed_make(&s, &o, 0, &w.pki, w.seal); /* line8's batch, sealed for our key */
    sealed_write(&s, &w.office, at("A1.batch"));
    REFUSED(accept_it(at("A1.batch")), RC_DENIED, "batch.station");
    sealed_fini(&s);
    sealed_make(&s, &o, 1, &w.pki, w.seal);
    sealed_write(&s, &w.office, at("A1.batch2"));
    accept_ok(at("A1.batch2"), "A1", true);
    next_ok("A1", NULL, at("d1"), "A1-1-000001");
    sealed_fini(&s);
    order_fini(&o);
    pki_signer_fini(&other);
}

static void test_order_sequence(void **state)
{
    struct order o;

    (void)state;
    order_for_us(&o, "A0", 4, 2); /* older, and kept back */
    write_order(&o, &w.office);
    order_fini(&o);
    take_order("A1", 5);
    REFUSED(accept_it(at("A0.order")), RC_DENIED, "order.sequence");
    order_for_us(&o, "A2", 5, 2);
    refuse_order(&o, &w.office, RC_DENIED, "order.sequence");
    order_fini(&o);
    reopen();
    REFUSED(accept_it(at("A0.order")), RC_DENIED, "order.sequence");
    take_order("A3", 6);
    accept_ok(at("A1.order"), "A1", false);
}

/* No id is made twice, even when the office gives it out twice. */
static void test_order_ids(void **state)
{
    struct order o;

    (void)state;
    take_order("A1", 1);
    order_for_us(&o, "A2", 2, 2);
    snprintf(o.stations[0].ids.prefix, sizeof o.stations[0].ids.prefix, "A1-0-");
    o.stations[0].ids.first = 2;
    refuse_order(&o, &w.office, RC_DENIED, "station.ids-taken");
    o.stations[0].ids.first = 3;
    write_order(&o, &w.office);
    accept_ok(at("A2.order"), "A2", true);
    order_fini(&o);
}

/* A certificate under the root is not yet a permission. */
static void test_order_signers(void **state)
{
    struct order o;
    struct pki_signer device = {0}, minted = {0}, release = {0}, manifest = {.cert = w.manifest};

    (void)state;
    order_for_us(&o, "A1", 1, 2);
    pki_signer_make(&device, &w.pki, &w.pki.local, "device", "MX1-000001");
    refuse_order(&o, &device, RC_DENIED, "verify.role");
    must(w.keys->ops->find(w.keys, "soft:manifest", KEY_SIGN, &manifest.key, &e));
    pki_chain(&w.pki, &w.pki.online, w.manifest, &manifest.chain);
    refuse_order(&o, &manifest, RC_DENIED, "verify.role");
    pki_signer_make(&release, &w.pki, &w.pki.online, "release", "release");
    refuse_order(&o, &release, RC_DENIED, "verify.role");
    pki_signer_make(&minted, &w.pki, &w.pki.local, "office", "office");
    refuse_order(&o, &minted, RC_DENIED, "verify.issuer");
    /* Where somebody has told the station to believe the local CA, its EKU stands in the way. */
    store_config(at("home/station.yaml"), "line7", &w.pki.local);
    reopen();
    refuse_order(&o, &device, RC_DENIED, "verify.role");
    refuse_order(&o, &minted, RC_DENIED, "verify.role-ca");
    refuse_order(&o, &w.office, RC_DENIED, "verify.issuer");
    order_fini(&o);
    pki_signer_fini(&device);
    pki_signer_fini(&release);
    pki_signer_fini(&minted);
    manifest.cert = NULL;
    pki_signer_fini(&manifest);
}

static void test_order_office_gone(void **state)
{
    struct order o;
    struct pki other;
    struct pki_signer office = {0};

    (void)state;
    order_for_us(&o, "A1", 1, 2);
    pki_make(&other, now - DAY, now + 3000 * (int64_t)DAY);
    pki_signer_make(&office, &other, &other.online, "office", "office");
    refuse_order(&o, &office, RC_DENIED, "verify.root");
    pki_revoke(&w.pki, &w.pki.online, w.office.cert);
    cms_chain_free(&w.office.chain);
    pki_chain(&w.pki, &w.pki.online, w.office.cert, &w.office.chain);
    refuse_order(&o, &w.office, RC_DENIED, "verify.revoked");
    order_fini(&o);
    pki_signer_fini(&office);
    pki_fini(&other);
}

static void test_order_bytes(void **state)
{
    struct order o;
    struct bytes der = BYTES_INIT;

    (void)state;
    order_for_us(&o, "A1", 1, 2);
    write_order(&o, &w.office);
    load(at("A1.order"), &der);
    for (size_t n = 0; n < der.n; n += n < 100 || n + 100 > der.n ? 1 : 61) {
        store(at("cut.order"), (struct span){der.p, n});
        REFUSED(accept_it(at("cut.order")), RC_INPUT, "sign.cms");
    }
    for (size_t i = 0; i < der.n; i += 61) {
        der.p[i] ^= 1;
        store(at("cut.order"), bytes_span(&der));
        err_clear(&e);
        if (accept_it(at("cut.order")) == RC_OK)
            fail_msg("an order whose octet %zu was changed is accepted", i);
        der.p[i] ^= 1;
    }
    bytes_add_byte(&der, 0);
    store(at("cut.order"), bytes_span(&der));
    REFUSED(accept_it(at("cut.order")), RC_INPUT, "sign.cms");
    REFUSED(accept_it(at("nowhere.order")), RC_SYSTEM, "file.read");
    accept_ok(at("A1.order"), "A1", true);
    order_fini(&o);
    bytes_free(&der);
}

static void test_order_clock(void **state)
{
    struct order o;

    (void)state;
    order_for_us(&o, "A1", 1, 2);
    o.window_until = now + 100;
    write_order(&o, &w.office);
    now += 101;
    REFUSED(accept_it(at("A1.order")), RC_DENIED, "order.expired");
    now -= 101 + 301;
    REFUSED(accept_it(at("A1.order")), RC_CONFLICT, "station.clock"); /* before its issue */
    assert_non_null(strstr(e.text, "301 s later"));
    now = INT64_C(1600000000);
    REFUSED(accept_it(at("A1.order")), RC_CONFLICT, "station.clock");
    now = o.issued - 300; /* as far as a line's clock may be behind */
    accept_ok(at("A1.order"), "A1", true);
    now = o.window_until + DAY;
    accept_ok(at("A1.order"), "A1", false); /* taken is taken */
    order_fini(&o);
}

/* ---- batches ---- */

/* An accepted order with its batch in memory. */
static void begin_batch(struct order *o, struct sealed *s)
{
    order_for_us(o, "A1", 1, 5);
    write_order(o, &w.office);
    accept_ok(at("A1.order"), "A1", true);
    sealed_make(s, o, 0, &w.pki, w.seal);
}

/* Nothing of a refused batch stays. */
static void refuse_folder(const char *dir, enum rc rc, const char *key)
{
    REFUSED(accept_it(dir), rc, key);
    assert_false(file_exists(at("home/orders/A1/batch.part")));
    assert_false(file_exists(at("home/orders/A1/batch")));
    REFUSED(next("A1", NULL, at("dev")), RC_CONFLICT, "station.no-batch");
}

static void end_batch(struct order *o, struct sealed *s)
{
    sealed_write(s, &w.office, at("whole.batch"));
    accept_ok(at("whole.batch"), "A1", true);
    next_ok("A1", NULL, at("dev"), "A1-0-000001");
    sealed_fini(s);
    order_fini(o);
}

static void swap_lines(struct sealed *s, size_t i, size_t k)
{
    struct bytes kept = s->lines[i];

    s->lines[i] = s->lines[k];
    s->lines[k] = kept;
}

/* Lines in another order: as files alone, and with everything hashed and signed anew. */
static void test_batch_swapped(void **state)
{
    struct order o;
    struct sealed s;

    (void)state;
    begin_batch(&o, &s);
    sealed_write(&s, &w.office, at("b"));
    swap_lines(&s, 1, 3);
    sealed_write(&s, &w.office, at("swapped"));
    refuse_folder(at("swapped"), RC_INPUT, "batch.id");
    copy_tree(at("swapped/devices.jsonl"), at("b/devices.jsonl"));
    refuse_folder(at("b"), RC_INPUT, "batch.id");
    swap_lines(&s, 1, 3);
    end_batch(&o, &s);
}

/* Appends to, or cuts, a file of a batch. */
static void change_file(const char *path, size_t cut, const char *more)
{
    struct bytes b = BYTES_INIT;

    load(path, &b);
    b.n -= cut;
    bytes_add_str(&b, more);
    store(path, bytes_span(&b));
    bytes_free(&b);
}

static void flip(const char *path, size_t i)
{
    struct bytes b = BYTES_INIT;

    load(path, &b);
    b.p[i % b.n] ^= 1;
    store(path, bytes_span(&b));
    bytes_free(&b);
}

static void test_batch_files(void **state)
{
    struct order o;
    struct sealed s;

    (void)state;
    begin_batch(&o, &s);
    sealed_write(&s, &w.office, at("good.batch"));
    copy_tree(at("good.batch"), at("b"));
    change_file(at("b/devices.jsonl"), 1, ""); /* the last LF */
    refuse_folder(at("b"), RC_INPUT, "lines.cut");
    change_file(at("b/devices.jsonl"), 0, "\n{}\n");
    refuse_folder(at("b"), RC_INPUT, "batch.devices");
    change_file(at("b/devices.jsonl"), 4 + s.lines[4].n, "");
    refuse_folder(at("b"), RC_INPUT, "batch.devices"); /* a line less */
    copy_tree(at("good.batch"), at("b"));
    flip(at("b/lot-1.p7m"), 77);
    refuse_folder(at("b"), RC_INPUT, "batch.lot");
    copy_tree(at("good.batch/lot-0.p7m"), at("b/lot-1.p7m"));
    refuse_folder(at("b"), RC_INPUT, "batch.lot");
    assert_int_equal(unlink(at("b/lot-1.p7m")), 0);
    refuse_folder(at("b"), RC_SYSTEM, "file.read");
    copy_tree(at("good.batch"), at("b"));
    assert_int_equal(unlink(at("b/batch.p7s")), 0);
    refuse_folder(at("b"), RC_SYSTEM, "file.read");
    end_batch(&o, &s);
}

/* Every line's key is an envelope; a changed octet of it shows in the file's hash already. */
static void test_batch_octets(void **state)
{
    struct order o;
    struct sealed s;
    struct bytes b = BYTES_INIT;

    (void)state;
    begin_batch(&o, &s);
    sealed_write(&s, &w.office, at("b"));
    load(at("b/devices.jsonl"), &b);
    for (size_t i = 0; i < b.n; i += 97) {
        copy_tree(at("b"), at("c"));
        flip(at("c/devices.jsonl"), i);
        if (accept_it(at("c")) != RC_INPUT)
            fail_msg("octet %zu of devices.jsonl: %s [%s]", i, e.text, e.key);
    }
    load(at("b/batch.json"), &b);
    for (size_t i = 0; i < b.n; i += 97) {
        copy_tree(at("b"), at("c"));
        flip(at("c/batch.json"), i);
        if (accept_it(at("c")) == RC_OK)
            fail_msg("octet %zu of batch.json", i);
    }
    bytes_free(&b);
    end_batch(&o, &s);
}

/* batch.json rewritten to agree with everything, and signed by somebody else or not at all. */
static void test_batch_signers(void **state)
{
    struct order o;
    struct sealed s;
    struct pki_signer minted = {0}, device = {0};

    (void)state;
    begin_batch(&o, &s);
    sealed_write(&s, &w.office, at("good.batch"));
    s.batch.issued++;
    sealed_write(&s, &w.office, at("b"));
    copy_tree(at("good.batch/batch.p7s"), at("b/batch.p7s"));
    refuse_folder(at("b"), RC_INPUT, "sign.cms");
    pki_signer_make(&minted, &w.pki, &w.pki.local, "office", "office");
    sealed_write(&s, &minted, at("b"));
    refuse_folder(at("b"), RC_DENIED, "verify.issuer");
    pki_signer_make(&device, &w.pki, &w.pki.local, "device", "MX1-000001");
    sealed_write(&s, &device, at("b"));
    refuse_folder(at("b"), RC_DENIED, "verify.role");
    pki_signer_fini(&minted);
    pki_signer_fini(&device);
    end_batch(&o, &s);
}

/* Well signed, and not what the order says. */
static void test_batch_mismatch(void **state)
{
    struct order o;
    struct sealed s;
    struct batch kept;

    (void)state;
    begin_batch(&o, &s);
    kept = s.batch;
    s.batch.order_sha256[5] ^= 1; /* an order of the same name */
    sealed_write(&s, &w.office, at("b"));
    refuse_folder(at("b"), RC_INPUT, "batch.mismatch");
    s.batch = kept;
    s.batch.seal[5] ^= 1;
    sealed_write(&s, &w.office, at("b"));
    refuse_folder(at("b"), RC_DENIED, "batch.station");
    s.batch = kept;
    s.batch.count = 4; /* fewer than ordered */
    s.batch.nlots = 2;
    sealed_write(&s, &w.office, at("b"));
    refuse_folder(at("b"), RC_INPUT, "batch.mismatch");
    s.batch = kept;
    s.batch.chain = (struct bytes)BYTES_INIT; /* another CA's devices */
    pem_encode("CERTIFICATE", bytes_span(&w.pki.online.cert->der), &s.batch.chain);
    memcpy(s.batch.ca, w.pki.online.cert->sha256, SHA256_LEN);
    sealed_write(&s, &w.office, at("b"));
    refuse_folder(at("b"), RC_INPUT, "batch.mismatch");
    bytes_free(&s.batch.chain);
    s.batch = kept;
    end_batch(&o, &s);
}

static void test_batch_of_no_order(void **state)
{
    struct order o;
    struct sealed s;

    (void)state;
    order_for_us(&o, "A1", 1, 5);
    write_order(&o, &w.office);
    sealed_make(&s, &o, 0, &w.pki, w.seal);
    sealed_write(&s, &w.office, at("b"));
    REFUSED(accept_it(at("b")), RC_CONFLICT, "station.no-order");
    REFUSED(accept_it(folder), RC_SYSTEM, "file.read"); /* no batch at all */
    accept_ok(at("A1.order"), "A1", true);
    now--;
    REFUSED(accept_it(at("b")), RC_CONFLICT, "station.clock");
    now++;
    end_batch(&o, &s);
}

/* A device's key in another lot's envelope, or a lot sealed for somebody else: seen when it is opened, before
 * it is recorded. */
static void test_batch_wrong_lot(void **state)
{
    struct order o;
    struct sealed s, other;

    (void)state;
    begin_batch(&o, &s);
    sealed_make(&other, &o, 0, &w.pki, w.seal);
    {
        struct bytes kept = s.lines[2]; /* device 3 is in lot 1 */

        s.lines[2] = other.lines[2];
        other.lines[2] = kept;
    }
    bytes_reset(&s.lots[0]);
    must(cms_seal(bytes_span(&w.office.cert->der), s.lot_keys[0], &s.lots[0], &e)); /* not for us */
    sealed_write(&s, &w.office, at("b"));
    accept_ok(at("b"), "A1", true);
    REFUSED(next("A1", NULL, at("d1")), RC_INPUT, "sign.cms-open");
    finish_ok("A1-0-000001", STATE_SCRAPPED, "cannot be opened", true);
    finish_ok("A1-0-000002", STATE_SCRAPPED, "cannot be opened", true);
    REFUSED(next("A1", NULL, at("d1")), RC_INPUT, "sign.jwe"); /* 3: another key */
    finish_ok("A1-0-000003", STATE_SCRAPPED, "cannot be opened", true);
    next_ok("A1", NULL, at("d1"), "A1-0-000004");
    sealed_fini(&other);
    sealed_fini(&s);
    order_fini(&o);
}

/* A line that was sealed for the right lot but stands, with its id, in another. */
static void test_batch_wrong_header(void **state)
{
    struct order o;
    struct sealed s;

    (void)state;
    begin_batch(&o, &s);
    {
        struct secret *kept = s.lot_keys[0];
        struct bytes lot = s.lots[0];

        s.lot_keys[0] = s.lot_keys[1];
        s.lots[0] = s.lots[1];
        s.lot_keys[1] = kept;
        s.lots[1] = lot;
    }
    sealed_write(&s, &w.office, at("b"));
    accept_ok(at("b"), "A1", true);
    REFUSED(next("A1", NULL, at("d1")), RC_INPUT, "sign.jwe");
    assert_false(file_exists(at("d1")));
    sealed_fini(&s);
    order_fini(&o);
}

/* A certificate that the order's CA did not sign. */
static void test_batch_foreign_cert(void **state)
{
    struct order o;
    struct sealed s;
    struct pki other;

    (void)state;
    begin_batch(&o, &s);
    sealed_fini(&s);
    pki_make(&other, now - DAY, now + 3000 * (int64_t)DAY);
    cert_free(other.local.cert);
    other.local.cert = NULL;
    must(cert_parse("local", bytes_span(&w.pki.local.cert->der), &other.local.cert, &e));
    sealed_make(&s, &o, 0, &other, w.seal); /* named as ours, signed by another key */
    sealed_write(&s, &w.office, at("b"));
    accept_ok(at("b"), "A1", true);
    REFUSED(next("A1", NULL, at("d1")), RC_INPUT, "x509.signature");
    sealed_fini(&s);
    order_fini(&o);
    pki_fini(&other);
}

static void test_batch_again(void **state)
{
    struct order o;
    struct sealed s, other;

    (void)state;
    begin_batch(&o, &s);
    sealed_write(&s, &w.office, at("b"));
    accept_ok(at("b"), "A1", true);
    accept_ok(at("b"), "A1", false);
    reopen();
    accept_ok(at("b"), "A1", false);
    sealed_make(&other, &o, 0, &w.pki, w.seal);
    sealed_write(&other, &w.office, at("c")); /* the order made a second time: other identities */
    REFUSED(accept_it(at("c")), RC_CONFLICT, "station.batch-differs");
    next_ok("A1", NULL, at("d1"), "A1-0-000001");
    sealed_fini(&other);
    sealed_fini(&s);
    order_fini(&o);
}

/* ---- the home's own files ---- */

/* What next and close say, and that taking the same batch again mends it. */
static void check_mended(const char *key)
{
    REFUSED(next("A1", NULL, at("d1")), RC_INPUT, key);
    assert_non_null(strstr(e.text, "keymill-station accept"));
    accept_ok(at("A1.batch"), "A1", false);
    copy_tree(at("home"), at("kept"));
    next_ok("A1", NULL, at("d1"), "A1-0-000001");
    must(dir_remove(at("d1"), &e));
    station_close_home(w.station);
    w.station = NULL;
    copy_tree(at("kept"), at("home"));
    reopen();
}

static void test_batch_lost(void **state)
{
    (void)state;
    give_order("A1", 1, 3);
    must(dir_remove(at("home/orders/A1/batch"), &e));
    check_mended("station.batch-lost");
    flip(at("home/orders/A1/batch/batch.json"), 20);
    check_mended("station.batch-lost");
    assert_int_equal(unlink(at("home/orders/A1/batch/devices.idx")), 0);
    check_mended("station.batch-lost");
    put(at("home/orders/A1/batch/devices.jsonl"), "{}\n");
    check_mended("doc.missing");
}

/* The index points to another device's line: it is not delivered in the first one's place. */
static void test_batch_index(void **state)
{
    struct bytes index = BYTES_INIT;

    (void)state;
    give_order("A1", 1, 3);
    load(at("home/orders/A1/batch/devices.idx"), &index);
    memcpy(index.p, index.p + 8, 8);
    store(at("home/orders/A1/batch/devices.idx"), bytes_span(&index));
    check_mended("batch.id");
    bytes_free(&index);
}

/* The lines are what was accepted, or there is no manifest. */
static void test_close_changed_lines(void **state)
{
    struct checkpoint c;
    struct order o;
    struct sealed s;

    (void)state;
    begin_batch(&o, &s);
    sealed_write(&s, &w.office, at("b"));
    accept_ok(at("b"), "A1", true);
    sealed_fini(&s);
    sealed_make(&s, &o, 0, &w.pki, w.seal); /* other certificates of the same names */
    sealed_write(&s, &w.office, at("c"));
    copy_tree(at("c/devices.jsonl"), at("home/orders/A1/batch/devices.jsonl"));
    REFUSED(station_close(w.station, "A1", at("out"), &c, &e), RC_INPUT, "batch.devices");
    assert_int_equal(names(at("out")), 0);
    accept_ok(at("b"), "A1", false);
    must(station_close(w.station, "A1", at("out"), &c, &e));
    sealed_fini(&s);
    order_fini(&o);
}

/* The order's file is told apart by hash; putting it back mends it. */
static void test_order_lost(void **state)
{
    struct station *again = NULL;
    struct order o;

    (void)state;
    give_order("A1", 1, 2);
    order_for_us(&o, "A1", 9, 100); /* more devices, well signed */
    order_write(&o, &w.office, at("home/orders/A1/order.p7m"));
    order_fini(&o);
    station_close_home(w.station);
    w.station = NULL;
    REFUSED(station_open(at("home"), w.keys, &again, &e), RC_INPUT, "station.order-changed");
    assert_int_equal(unlink(at("home/orders/A1/order.p7m")), 0);
    REFUSED(station_open(at("home"), w.keys, &again, &e), RC_SYSTEM, "file.read");
    assert_non_null(strstr(e.text, "copy the order's file to"));
    copy_tree(at("A1.order"), at("home/orders/A1/order.p7m"));
    reopen();
    next_ok("A1", NULL, at("d1"), "A1-0-000001");
}

static enum rc ignore_record(void *arg, const struct journal_record *r, const uint8_t head[static SHA256_LEN],
                             struct err *err)
{
    (void)arg;
    (void)r;
    (void)head;
    (void)err;
    return RC_OK;
}

/* A journal that is whole by its hashes, but in which something happens that cannot. */
static void test_impossible_journal(void **state)
{
    static const struct {
        const char *kind, *order, *id, *detail;
    } rows[] = {
        {"good", "A1", "A1-0-000001", NULL},   {"good", "A1", "A1-0-000009", NULL},
        {"good", "A2", "A1-0-000001", NULL},   {"deliver", "A1", "A1-0-000002", NULL},
        {"bad", "A1", "A1-0-000001", NULL},    {"batch", "A1", NULL, "00"},
        {"batch", "A1", NULL, NULL},           {"order", "A1", NULL, "00"},
        {"order", "../../tmp/x", NULL, "00"},  {"close", "A1", NULL, "not a hash"},
        {"scrap", "A1", "A1-0-000003x", NULL},
    };
    struct station *again = NULL;

    (void)state;
    give_order("A1", 1, 3);
    next_ok("A1", NULL, at("d2"), "A1-0-000001");
    finish_ok("A1-0-000001", STATE_GOOD, NULL, true);
    next_ok("A1", NULL, at("d3"), "A1-0-000002");
    station_close_home(w.station);
    w.station = NULL;
    copy_tree(at("home/journal.jsonl"), at("kept"));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct journal *j = NULL;
        struct journal_record r = {.time = now,
                                   .kind = rows[i].kind,
                                   .order = rows[i].order,
                                   .id = rows[i].id,
                                   .detail = rows[i].detail};

        copy_tree(at("kept"), at("home/journal.jsonl"));
        must(journal_open(at("home/journal.jsonl"), ignore_record, NULL, &j, &e));
        must(journal_append(j, &r, &e));
        journal_close(j);
        REFUSED(station_open(at("home"), w.keys, &again, &e), RC_INPUT, "journal.broken");
        assert_non_null(strstr(e.text, "line 6"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(test_order_again),        IN_WORLD(test_order_for_another),
        IN_WORLD(test_order_of_two),       IN_WORLD(test_order_sequence),
        IN_WORLD(test_order_ids),          IN_WORLD(test_order_signers),
        IN_WORLD(test_order_office_gone),  IN_WORLD(test_order_bytes),
        IN_WORLD(test_order_clock),        IN_WORLD(test_batch_swapped),
        IN_WORLD(test_batch_files),        IN_WORLD(test_batch_octets),
        IN_WORLD(test_batch_signers),      IN_WORLD(test_batch_mismatch),
        IN_WORLD(test_batch_of_no_order),  IN_WORLD(test_batch_wrong_lot),
        IN_WORLD(test_batch_wrong_header), IN_WORLD(test_batch_foreign_cert),
        IN_WORLD(test_batch_again),        IN_WORLD(test_batch_lost),
        IN_WORLD(test_batch_index),        IN_WORLD(test_close_changed_lines),
        IN_WORLD(test_order_lost),         IN_WORLD(test_impossible_journal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
