/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "station_world.h"

/* Sealed batches that a station takes and refuses, and its copy of them. */

static enum rc accept_it(const char *path)
{
    bool is_new;

    return accept(path, &is_new);
}

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
    sealed_write(&s, &w.office, at("b"));
    s.batch.merkle_root[0] ^= 1;
    sealed_sign(&s, &w.office, at("b"));
    refuse_folder(at("b"), RC_INPUT, "batch.merkle");
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
    assert_non_null(strstr(e.text, "'A1-0-000003' was made wrongly; scrap it"));
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
    must(dir_make(at("home/orders/A1/batch.part"), 0700, &e)); /* what crashes left of other batches */
    put(at("home/orders/A1/batch.part/batch.json"), "{}");
    copy_tree(at("home/orders/A1/batch.part"), at("home/orders/A1/batch"));
    accept_ok(at("b"), "A1", true);
    accept_ok(at("b"), "A1", false);
    reopen();
    accept_ok(at("b"), "A1", false);
    sealed_make(&other, &o, 0, &w.pki, w.seal);
    sealed_write(&other, &w.office, at("c")); /* the order made a second time: other identities */
    REFUSED(accept_it(at("c")), RC_CONFLICT, "station.batch-differs");
    copy_tree(at("c/batch.json"), at("home/orders/A1/batch/batch.json")); /* well signed, and not ours */
    REFUSED(next("A1", NULL, at("d1")), RC_INPUT, "station.batch-lost");
    accept_ok(at("b"), "A1", false);
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
    flip(at("home/orders/A1/batch/lot-0.p7m"), 20);
    check_mended("batch.lot");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(test_batch_swapped),       IN_WORLD(test_batch_files),
        IN_WORLD(test_batch_octets),        IN_WORLD(test_batch_signers),
        IN_WORLD(test_batch_mismatch),      IN_WORLD(test_batch_of_no_order),
        IN_WORLD(test_batch_wrong_lot),     IN_WORLD(test_batch_wrong_header),
        IN_WORLD(test_batch_foreign_cert),  IN_WORLD(test_batch_again),
        IN_WORLD(test_batch_lost),          IN_WORLD(test_batch_index),
        IN_WORLD(test_close_changed_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
