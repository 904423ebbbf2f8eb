/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "factory/journal.h"
#include "station_world.h"

/* Orders that a station takes and refuses, and its own record of them. Batches are in test_station_batch.c.
 */

static enum rc accept_it(const char *path)
{
    bool is_new;

    return accept(path, &is_new);
}

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
    must(w.keys->ops->find(w.keys, "soft:manifest", KEY_SIGN, NULL, &manifest.key, &e));
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
    assert_non_null(strstr(e.text, "this program was built"));
    now = o.issued - 300; /* as far as a line's clock may be behind */
    accept_ok(at("A1.order"), "A1", true);
    now = o.window_until + DAY;
    accept_ok(at("A1.order"), "A1", false); /* taken is taken */
    order_fini(&o);
}

/* ---- what the home says about them ---- */

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

/* Appends to the journal behind the station's back, with every hash right: it must see that what it is told
 * cannot have happened. */
static void refuse_record(const char *kind, const char *order, const char *id, const char *detail)
{
    struct journal_record r = {.time = now, .kind = kind, .order = order, .id = id, .detail = detail};
    struct journal *j = NULL;
    struct station *again = NULL;

    copy_tree(at("home/journal.jsonl"), at("kept"));
    must(journal_open(at("home/journal.jsonl"), ignore_record, NULL, &j, &e));
    must(journal_append(j, &r, &e));
    journal_close(j);
    REFUSED(station_open(at("home"), w.keys, &again, &e), RC_INPUT, "journal.broken");
    assert_non_null(strstr(e.text, "headquarters"));
    copy_tree(at("kept"), at("home/journal.jsonl"));
}

static void test_impossible_journal(void **state)
{
    static const char hash[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    struct checkpoint c;
    struct order o;

    (void)state;
    order_for_us(&o, "B1", 1, 1);
    write_order(&o, &w.office);
    accept_ok(at("B1.order"), "B1", true);
    order_fini(&o);
    station_close_home(w.station);
    w.station = NULL;
    refuse_record("deliver", "B1", "B1-0-000001", NULL); /* before there is a batch */
    refuse_record("close", "B1", NULL, hash);
    refuse_record("batch", "B1", NULL, "00");
    must(station_open(at("home"), w.keys, &w.station, &e));
    give_order("A1", 2, 3);
    next_ok("A1", NULL, at("d1"), "A1-0-000001");
    finish_ok("A1-0-000001", STATE_GOOD, NULL, true);
    station_close_home(w.station);
    w.station = NULL;
    refuse_record("good", "A1", "A1-0-000001", NULL);
    refuse_record("scrap", "A1", "A1-0-000001", NULL);
    refuse_record("deliver", "A1", "A1-0-000001", NULL);
    refuse_record("good", "A1", "A1-0-000002", NULL);
    refuse_record("good", "A1", "A1-0-000009", NULL);
    refuse_record("good", "A2", "A1-0-000001", NULL);
    refuse_record("bad", "A1", "A1-0-000001", NULL);
    refuse_record("batch", "A1", NULL, hash);
    refuse_record("order", "A1", NULL, hash);
    refuse_record("order", "../../x", NULL, hash);
    refuse_record("order", "A7", NULL, "00");
    refuse_record("close", "A1", NULL, "not a hash");
    must(station_open(at("home"), w.keys, &w.station, &e));
    must(station_close(w.station, "A1", at("out"), &c, &e));
    station_close_home(w.station);
    w.station = NULL;
    refuse_record("scrap", "A1", "A1-0-000002", NULL);
    refuse_record("close", "A1", NULL, hash);
}

static void import_chain(void)
{
    store_chain();
    station_close_home(w.station);
    w.station = NULL;
    import_ok(at("m.pem"), "station-manifest", false);
    reopen();
}

/* A signer chooses the CRLs in its file: one that was imported here counts all the same, and no older one
 * takes its place. */
static void test_imported_crl(void **state)
{
    char *order = order_path("A1"), id[65];
    const char *role = NULL;
    struct order o;
    bool is_new = false;

    (void)state;
    pki_revoke(&w.pki, &w.pki.online, w.office.cert);
    import_chain();
    order_for_us(&o, "A1", 1, 1);
    write_order(&o, &w.office);
    REFUSED(station_accept(w.station, order, id, &is_new, &e), RC_DENIED, "verify.revoked");
    pki_revoke(&w.pki, &w.pki.online, NULL);
    store_chain();
    station_close_home(w.station);
    w.station = NULL;
    REFUSED(import(at("m.pem"), &role, &is_new), RC_CONFLICT, "x509.crl-older");
    reopen();
    REFUSED(station_accept(w.station, order, id, &is_new, &e), RC_DENIED, "verify.revoked");
    order_fini(&o);
    free(order);
}

/* The devices' CA is on the root's CRL that was imported here. */
static void test_revoked_ca(void **state)
{
    char *order = order_path("A1"), *batch = batch_path("A1"), id[65];
    struct order o;
    bool is_new = false;

    (void)state;
    pki_revoke(&w.pki, &w.pki.root, w.pki.local.cert);
    import_chain();
    order_for_us(&o, "A1", 1, 1);
    write_order(&o, &w.office);
    write_batch(&o);
    accept_ok(order, "A1", true);
    REFUSED(station_accept(w.station, batch, id, &is_new, &e), RC_DENIED, "verify.revoked");
    order_fini(&o);
    free(order);
    free(batch);
}

/* Orders without a journal: what was delivered is not known any more, so nothing is. */
static void test_lost_journal(void **state)
{
    struct station *s = NULL;

    (void)state;
    give_order("A1", 1, 1);
    station_close_home(w.station);
    w.station = NULL;
    assert_int_equal(unlink(at("home/journal.jsonl")), 0);
    assert_int_equal(station_open(at("home"), w.keys, &s, &e), RC_INPUT);
    assert_string_equal(e.key, "journal.missing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(test_order_again),       IN_WORLD(test_order_for_another),  IN_WORLD(test_order_of_two),
        IN_WORLD(test_order_sequence),    IN_WORLD(test_order_ids),          IN_WORLD(test_order_signers),
        IN_WORLD(test_order_office_gone), IN_WORLD(test_order_bytes),        IN_WORLD(test_order_clock),
        IN_WORLD(test_order_lost),        IN_WORLD(test_impossible_journal), IN_WORLD(test_imported_crl),
        IN_WORLD(test_revoked_ca),        IN_WORLD(test_lost_journal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
