/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/resource.h>

#include "station_world.h"

/* The station's work: devices, and the end of an order. Beside it: test_station_setup.c,
 * test_station_accept.c (orders), test_station_batch.c, test_station_crash.c. */

/* ---- the whole life ---- */

static enum rc tell(void *arg, const struct manifest_line *l, struct err *err)
{
    (void)err;
    bytes_printf(arg, "%s %s d%d f%d '%s'\n", l->id, device_state_name(l->state),
                 l->delivered == 0 ? -1 : (int)(now - l->delivered),
                 l->finished == 0 ? -1 : (int)(now - l->finished), l->reason);
    return RC_OK;
}

static void check_device_file(const char *path)
{
    struct bytes text = BYTES_INIT;

    load(path, &text);
    assert_non_null(strstr(bytes_str(&text), "\"id\":\"A1-0-000001\""));
    assert_non_null(strstr(bytes_str(&text), "\"order\":\"A1\""));
    assert_non_null(strstr(bytes_str(&text), "\"endpoint\":\"mqtts://broker.example:8883\""));
    bytes_free(&text);
}

/* Leaf first, then the local CA, and no root. */
static void check_chain_file(const char *path, const char *cert_path)
{
    struct cms_chain chain = {0};
    struct cert *c = NULL;

    must(chain_read(path, &chain, &e));
    must(cert_read(cert_path, &c, &e));
    assert_int_equal(chain.ncerts, 2);
    assert_true(span_eq(bytes_span(&chain.certs[0]), bytes_span(&c->der)));
    assert_true(span_eq(bytes_span(&chain.certs[1]), bytes_span(&w.pki.local.cert->der)));
    cert_free(c);
    cms_chain_free(&chain);
}

static void test_life(void **state)
{
    struct manifest_view v;
    struct checkpoint c;
    struct bytes lines = BYTES_INIT, pem = BYTES_INIT;

    (void)state;
    give_order("A1", 1, 5);
    now += MINUTE;
    next_ok("A1", NULL, at("d1"), "A1-0-000001");
    assert_int_equal(mode_of(at("d1")), 0700);
    assert_int_equal(names(at("d1")), 5);
    assert_int_equal(mode_of(at("d1/key.pem")), 0600);
    check_delivery(at("d1"), "A1-0-000001", NULL);
    check_device_file(at("d1/device.json"));
    check_chain_file(at("d1/chain.pem"), at("d1/cert.pem"));
    pem_encode("CERTIFICATE", bytes_span(&w.pki.root.cert->der), &pem);
    assert_content(at("d1/trust.pem"), bytes_span(&pem));
    finish_ok("A1-0-000001", STATE_GOOD, NULL, true);
    reopen();
    now += MINUTE;
    next_ok("A1", NULL, at("d2"), "A1-0-000002");
    finish_ok("A1-0-000002", STATE_SCRAPPED, "solder fault \xe7\x84\x8a", true);
    finish_ok("A1-0-000004", STATE_SCRAPPED, NULL, true); /* was never delivered */
    next_ok("A1", NULL, at("d3"), "A1-0-000003");
    next_ok("A1", NULL, at("d5"), "A1-0-000005"); /* 4 is out */
    check_delivery(at("d5"), "A1-0-000005", NULL);
    finish_ok("A1-0-000003", STATE_GOOD, NULL, true);
    finish_ok("A1-0-000005", STATE_GOOD, NULL, true);
    must(station_close(w.station, "A1", at("out"), &c, &e));
    must(verify_manifest(at("out"), "A1", tell, &lines, &v));
    assert_string_equal(bytes_str(&lines), "A1-0-000001 good d60 f60 ''\n"
                                           "A1-0-000002 scrapped d0 f0 'solder fault \xe7\x84\x8a'\n"
                                           "A1-0-000003 good d0 f0 ''\n"
                                           "A1-0-000004 scrapped d-1 f0 ''\n"
                                           "A1-0-000005 good d0 f0 ''\n");
    assert_memory_equal(&v.checkpoint, &c, sizeof c);
    assert_int_equal(c.count, 5);
    assert_int_equal(c.counts[STATE_GOOD], 3);
    assert_int_equal(c.counts[STATE_SCRAPPED], 2);
    assert_int_equal(c.journal_records, 11);
    assert_memory_equal(v.signer, w.manifest->sha256, SHA256_LEN);
    assert_int_equal(v.header.started, now - 2 * MINUTE);
    bytes_free(&lines);
    bytes_free(&pem);
}

/* Nothing is used, some things never: the order can be closed all the same. */
static void test_unused(void **state)
{
    struct manifest_view v;
    struct checkpoint c;

    (void)state;
    give_order("A1", 1, 3);
    must(station_close(w.station, "A1", at("out"), &c, &e));
    must(verify_manifest(at("out"), "A1", NULL, NULL, &v));
    assert_int_equal(v.checkpoint.counts[STATE_UNUSED], 3);
}

/* Two orders one after the other: each checkpoint says where in the journal its order began and ended. */
static void test_two_orders(void **state)
{
    struct manifest_view v1, v2;
    struct checkpoint c;
    uint8_t zero[SHA256_LEN] = {0};

    (void)state;
    give_order("A1", 1, 1);
    must(station_close(w.station, "A1", at("out"), &c, &e));
    give_order("A2", 2, 2);
    next_ok("A2", NULL, at("d1"), "A2-0-000001");
    finish_ok("A2-0-000001", STATE_GOOD, NULL, true);
    must(station_close(w.station, "A2", at("out"), &c, &e));
    must(verify_manifest(at("out"), "A1", NULL, NULL, &v1));
    must(verify_manifest(at("out"), "A2", NULL, NULL, &v2));
    assert_memory_equal(v1.checkpoint.journal_before, zero, SHA256_LEN);
    assert_int_equal(v1.checkpoint.journal_records, 2);
    assert_int_equal(v2.checkpoint.journal_records, 7);
    assert_memory_not_equal(v2.checkpoint.journal_before, v1.checkpoint.journal_after, SHA256_LEN);
}

/* ---- next ---- */

static void test_next_again(void **state)
{
    (void)state;
    give_order("A1", 1, 2);
    next_ok("A1", NULL, at("d1"), "A1-0-000001");
    REFUSED(next("A1", NULL, at("d1")), RC_CONFLICT, "station.out-used");
    copy_tree(at("d1"), at("before"));
    next_ok("A1", "A1-0-000001", at("d1"), "A1-0-000001"); /* the same folder */
    next_ok("A1", "A1-0-000001", at("d2"), "A1-0-000001"); /* another */
    for (const char *const *f =
             (const char *const[]){"cert.pem", "chain.pem", "trust.pem", "device.json", "key.pem", NULL};
         *f != NULL; f++) {
        char *first = mem_printf("%s/before/%s", folder, *f), *again = mem_printf("%s/d2/%s", folder, *f);
        struct bytes b = BYTES_INIT;

        load(first, &b);
        assert_content(again, bytes_span(&b));
        bytes_free(&b);
        free(first);
        free(again);
    }
    next_ok("A1", NULL, at("d3"), "A1-0-000002");
}

static void test_next_refused(void **state)
{
    struct order o;

    (void)state;
    REFUSED(next("A1", NULL, at("d1")), RC_CONFLICT, "station.no-order");
    order_for_us(&o, "A1", 1, 2);
    write_order(&o, &w.office);
    accept_ok(at("A1.order"), "A1", true);
    REFUSED(next("A1", NULL, at("d1")), RC_CONFLICT, "station.no-batch");
    assert_false(file_exists(at("d1")));
    write_batch(&o);
    accept_ok(at("A1.batch"), "A1", true);
    REFUSED(next("A1", "A1-0-000001", at("d1")), RC_CONFLICT, "station.not-delivered");
    REFUSED(next("A1", "A1-0-000003", at("d1")), RC_INPUT, "station.no-id");
    REFUSED(next("A1", "nobody", at("d1")), RC_INPUT, "station.no-id");
    next_ok("A1", NULL, at("d1"), "A1-0-000001");
    next_ok("A1", NULL, at("d2"), "A1-0-000002");
    REFUSED(next("A1", NULL, at("d3")), RC_DENIED, "station.quantity");
    assert_false(file_exists(at("d3/key.pem")));
    finish_ok("A1-0-000001", STATE_GOOD, NULL, true);
    finish_ok("A1-0-000002", STATE_SCRAPPED, "dropped", true);
    REFUSED(next("A1", "A1-0-000001", at("d1")), RC_CONFLICT, "station.finished");
    REFUSED(next("A1", "A1-0-000002", at("d1")), RC_CONFLICT, "station.finished");
    order_fini(&o);
}

/* A block that is larger than the quantity does not give more devices. */
static void test_quantity_below_block(void **state)
{
    struct order o;
    bool is_new;

    (void)state;
    order_for_us(&o, "A1", 1, 1);
    o.stations[0].ids.count = 10;
    write_order(&o, &w.office);
    write_batch(&o);
    accept_ok(at("A1.order"), "A1", true);
    accept_ok(at("A1.batch"), "A1", true);
    next_ok("A1", NULL, at("d1"), "A1-0-000001");
    REFUSED(next("A1", NULL, at("d2")), RC_DENIED, "station.quantity");
    REFUSED(next("A1", "A1-0-000002", at("d2")), RC_INPUT, "station.no-id");
    REFUSED(station_finish(w.station, "A1-0-000002", STATE_SCRAPPED, NULL, &is_new, &e), RC_INPUT,
            "station.no-id");
    order_fini(&o);
}

/* Whatever is wrong with the folder shows before the device is recorded. */
static void test_next_folder(void **state)
{
    (void)state;
    give_order("A1", 1, 2);
    REFUSED(next("A1", NULL, at("no/such/parent")), RC_SYSTEM, "file.mkdir");
    put(at("file"), "in the way");
    REFUSED(next("A1", NULL, at("file")), RC_SYSTEM, "file.mkdir");
    must(dir_make(at("taken"), 0700, &e));
    put(at("taken/key.pem"), "another key");
    REFUSED(next("A1", NULL, at("taken")), RC_CONFLICT, "station.out-used");
    assert_int_equal(names(at("taken")), 1);
    must(dir_make(at("odd"), 0700, &e));
    must(dir_make(at("odd/cert.pem"), 0700, &e));
    REFUSED(next("A1", NULL, at("odd")), RC_INPUT, "file.kind");
    REFUSED(next("A1", NULL, "/proc"), RC_SYSTEM, "file.write");
    next_ok("A1", NULL, at("d1"), "A1-0-000001");
}

static void limit_files(rlim_t octets)
{
    struct rlimit l;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
    l.rlim_cur = octets;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

static rlim_t size_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return (rlim_t)st.st_size;
}

/* The disk fills up between the record and the files: the message says how to go on, and it goes on. */
static void test_next_disk_full(void **state)
{
    enum rc rc;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    give_order("A1", 1, 2);
    limit_files(size_of(at("home/journal.jsonl")) + 400); /* room for the record, and not for chain.pem */
    rc = next("A1", NULL, at("d1"));
    limit_files(RLIM_INFINITY);
    check_refused(rc, RC_SYSTEM, "file.write", "next");
    assert_non_null(strstr(e.text, "--id A1-0-000001"));
    assert_false(file_exists(at("d1/key.pem")));
    next_ok("A1", "A1-0-000001", at("d1"), "A1-0-000001");
    check_delivery(at("d1"), "A1-0-000001", NULL);
    limit_files(size_of(at("home/journal.jsonl")) + 20); /* not even for the record */
    rc = next("A1", NULL, at("d2"));
    limit_files(RLIM_INFINITY);
    check_refused(rc, RC_SYSTEM, "journal.write", "next");
    assert_int_equal(names(at("d2")), 0);
    next_ok("A1", NULL, at("d2"), "A1-0-000002");
}

static void test_next_clock(void **state)
{
    int64_t start = now;

    (void)state;
    give_order("A1", 1, 3);
    now = start - MINUTE; /* behind the last entry */
    REFUSED(next("A1", NULL, at("d1")), RC_CONFLICT, "station.clock");
    assert_non_null(strstr(e.text, "60 s later"));
    assert_false(file_exists(at("d1")));
    now = INT64_C(1600000000); /* before this program was built */
    REFUSED(next("A1", NULL, at("d1")), RC_CONFLICT, "station.clock");
    now = start + 30 * DAY; /* the window's last second */
    next_ok("A1", NULL, at("d1"), "A1-0-000001");
    now++;
    REFUSED(next("A1", NULL, at("d2")), RC_DENIED, "order.expired");
    REFUSED(next("A1", "A1-0-000001", at("d2")), RC_DENIED, "order.expired");
    finish_ok("A1-0-000001", STATE_GOOD, NULL, true); /* what was made is still accounted for */
}

static void test_next_before_window(void **state)
{
    struct order o;

    (void)state;
    order_for_us(&o, "A1", 1, 1);
    o.window_from = now + DAY;
    write_order(&o, &w.office);
    write_batch(&o);
    accept_ok(at("A1.order"), "A1", true);
    accept_ok(at("A1.batch"), "A1", true);
    REFUSED(next("A1", NULL, at("d1")), RC_DENIED, "order.not-yet");
    now += DAY;
    next_ok("A1", NULL, at("d1"), "A1-0-000001");
    order_fini(&o);
}

/* ---- good and scrap ---- */

static enum rc finish(const char *id, enum device_state state, const char *reason)
{
    bool is_new;

    return station_finish(w.station, id, state, reason, &is_new, &e);
}

static void test_finish(void **state)
{
    (void)state;
    give_order("A1", 1, 3);
    next_ok("A1", NULL, at("d1"), "A1-0-000001");
    next_ok("A1", NULL, at("d2"), "A1-0-000002");
    REFUSED(finish("A1-0-000003", STATE_GOOD, NULL), RC_CONFLICT, "station.not-delivered");
    REFUSED(finish("A1-0-000004", STATE_GOOD, NULL), RC_INPUT, "station.no-id");
    finish_ok("A1-0-000001", STATE_GOOD, NULL, true);
    finish_ok("A1-0-000001", STATE_GOOD, NULL, false);
    finish_ok("A1-0-000002", STATE_SCRAPPED, "one", true);
    finish_ok("A1-0-000002", STATE_SCRAPPED, "two", false);
    reopen();
    finish_ok("A1-0-000001", STATE_GOOD, NULL, false);
    finish_ok("A1-0-000002", STATE_SCRAPPED, NULL, false);
    REFUSED(finish("A1-0-000001", STATE_SCRAPPED, NULL), RC_CONFLICT, "station.finished");
    REFUSED(finish("A1-0-000002", STATE_GOOD, NULL), RC_CONFLICT, "station.finished");
    now -= 1;
    REFUSED(finish("A1-0-000003", STATE_SCRAPPED, NULL), RC_CONFLICT, "station.clock");
}

static void test_reasons(void **state)
{
    char longest[130];

    (void)state;
    give_order("A1", 1, 1);
    memset(longest, 'x', sizeof longest - 1);
    longest[129] = '\0';
    REFUSED(finish("A1-0-000001", STATE_SCRAPPED, longest), RC_INPUT, "station.reason");
    REFUSED(finish("A1-0-000001", STATE_SCRAPPED, "two\nlines"), RC_INPUT, "station.reason");
    REFUSED(finish("A1-0-000001", STATE_SCRAPPED, "latin \xfc"), RC_INPUT, "station.reason");
    longest[128] = '\0';
    finish_ok("A1-0-000001", STATE_SCRAPPED, longest, true);
    reopen();
    {
        struct manifest_view v;
        struct checkpoint c;

        must(station_close(w.station, "A1", at("out"), &c, &e));
        must(verify_manifest(at("out"), "A1", NULL, NULL, &v));
    }
}

/* ---- close ---- */

static enum rc close_order(const char *out)
{
    struct checkpoint c;

    return station_close(w.station, "A1", out, &c, &e);
}

static void test_close_refused(void **state)
{
    struct order o;

    (void)state;
    REFUSED(close_order(at("out")), RC_CONFLICT, "station.no-order");
    order_for_us(&o, "A1", 1, 3);
    write_order(&o, &w.office);
    accept_ok(at("A1.order"), "A1", true);
    REFUSED(close_order(at("out")), RC_CONFLICT, "station.no-batch");
    write_batch(&o);
    accept_ok(at("A1.batch"), "A1", true);
    next_ok("A1", NULL, at("d1"), "A1-0-000001");
    next_ok("A1", NULL, at("d2"), "A1-0-000002");
    next_ok("A1", NULL, at("d3"), "A1-0-000003");
    finish_ok("A1-0-000001", STATE_GOOD, NULL, true);
    REFUSED(close_order(at("out")), RC_CONFLICT, "station.unfinished");
    assert_non_null(strstr(e.text, "'A1-0-000002'"));
    assert_non_null(strstr(e.text, " 2 "));
    assert_int_equal(names(at("out")), 0);
    finish_ok("A1-0-000002", STATE_GOOD, NULL, true);
    finish_ok("A1-0-000003", STATE_GOOD, NULL, true);
    put(at("out/A1.checkpoint"), "another station's");
    REFUSED(close_order(at("out")), RC_CONFLICT, "station.out-used");
    REFUSED(close_order(at("no/such/parent")), RC_SYSTEM, "file.mkdir");
    now -= 1;
    REFUSED(close_order(at("out2")), RC_CONFLICT, "station.clock");
    now += 1 + 1200 * (int64_t)DAY; /* the manifest certificate has ended */
    REFUSED(close_order(at("out2")), RC_DENIED, "verify.expired");
    order_fini(&o);
}

static void test_close_again(void **state)
{
    struct checkpoint first, again;
    struct bytes manifest = BYTES_INIT, checkpoint = BYTES_INIT;

    (void)state;
    give_order("A1", 1, 2);
    next_ok("A1", NULL, at("d1"), "A1-0-000001");
    finish_ok("A1-0-000001", STATE_GOOD, NULL, true);
    must(station_close(w.station, "A1", at("out"), &first, &e));
    load(at("out/A1.manifest.jsonl"), &manifest);
    load(at("out/A1.checkpoint"), &checkpoint);
    reopen();
    now += DAY;
    must(station_close(w.station, "A1", at("out"), &again, &e)); /* onto itself */
    assert_memory_equal(&first, &again, sizeof first);
    must(station_close(w.station, "A1", at("out2"), &again, &e));
    assert_memory_equal(&first, &again, sizeof first);
    assert_content(at("out2/A1.manifest.jsonl"), bytes_span(&manifest));
    assert_content(at("out2/A1.checkpoint"), bytes_span(&checkpoint));
    put(at("out2/A1.checkpoint"), "something else");
    REFUSED(close_order(at("out2")), RC_CONFLICT, "file.exists");
    REFUSED(next("A1", NULL, at("d2")), RC_CONFLICT, "station.closed");
    REFUSED(next("A1", "A1-0-000001", at("d2")), RC_CONFLICT, "station.closed");
    REFUSED(finish("A1-0-000002", STATE_SCRAPPED, NULL), RC_CONFLICT, "station.closed");
    finish_ok("A1-0-000001", STATE_GOOD, NULL, false);
    bytes_free(&manifest);
    bytes_free(&checkpoint);
}

/* What lies in the home is compared before it is handed out again. */
static void test_close_changed(void **state)
{
    struct checkpoint c;
    struct bytes text = BYTES_INIT;

    (void)state;
    give_order("A1", 1, 1);
    must(station_close(w.station, "A1", at("out"), &c, &e));
    load(at("home/orders/A1/A1.manifest.jsonl"), &text);
    text.p[text.n / 2] ^= 1;
    store(at("home/orders/A1/A1.manifest.jsonl"), bytes_span(&text));
    REFUSED(close_order(at("out2")), RC_INPUT, "station.closed-changed");
    text.p[text.n / 2] ^= 1;
    store(at("home/orders/A1/A1.manifest.jsonl"), bytes_span(&text));
    put(at("home/orders/A1/A1.checkpoint"), "x");
    REFUSED(close_order(at("out2")), RC_INPUT, "station.closed-changed");
    bytes_free(&text);
}

/* Without CRLs the office would refuse the checkpoint: said before it is signed, and mended by an import. */
static void test_close_without_crls(void **state)
{
    struct bytes pem = BYTES_INIT;

    (void)state;
    give_order("A1", 1, 1);
    pem_encode("CERTIFICATE", bytes_span(&w.pki.online.cert->der), &pem);
    pem_encode("CERTIFICATE", bytes_span(&w.pki.root.cert->der), &pem);
    /* An import never takes CRLs away, so this home is made one that never had any. */
    store(at("home/chain.pem"), bytes_span(&pem));
    reopen();
    REFUSED(close_order(at("out")), RC_DENIED, "verify.no-crl");
    assert_non_null(strstr(e.text, "keymill-station import"));
    store_chain();
    station_close_home(w.station);
    w.station = NULL;
    import_ok(at("s.pem"), "station-seal", false);
    reopen();
    must(close_order(at("out")));
    bytes_free(&pem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(test_life),          IN_WORLD(test_unused),
        IN_WORLD(test_two_orders),    IN_WORLD(test_next_again),
        IN_WORLD(test_next_refused),  IN_WORLD(test_quantity_below_block),
        IN_WORLD(test_next_folder),   IN_WORLD(test_next_disk_full),
        IN_WORLD(test_next_clock),    IN_WORLD(test_next_before_window),
        IN_WORLD(test_finish),        IN_WORLD(test_reasons),
        IN_WORLD(test_close_refused), IN_WORLD(test_close_again),
        IN_WORLD(test_close_changed), IN_WORLD(test_close_without_crls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
