/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "office.h"

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
    refused(try_batch_at("C0", "local", "C0.batch", &report), RC_INPUT, "sign.cms");

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

/* A profile that the CA may not sign: the line stops before it begins, in every thread, with the CA's reason.
 */
static void test_batch_stops(void **state)
{
    (void)state;
    struct batch_report report;
    new_order("D1", "local", 2000, 0);
    new_order("D2", "local", 2000, 0);
    /* An id in the middle that the CA has given out: the third group fails, the first two stay. */
    struct ca *ca = open_ca("local");
    struct ca_issue in = {.profile = "device", .csr_path = at("line8.csr"), .id = "D1-000600", .days = 30};
    struct bytes der = BYTES_INIT;
    bool is_new = false;
    must(ca_issue(ca, &in, &der, &is_new, &e));
    bytes_free(&der);
    ca_close(ca);
    refused(try_batch("D1", &report), RC_CONFLICT, "ca.id-reused");
    assert_non_null(strstr(e.text, "D1-000600"));
    assert_true(file_exists(at("D1.batch.part/devices.jsonl")));
    assert_false(file_exists(at("D1.batch")));
    assert_true(sql_int("local/ca.db",
                        "SELECT count(*) FROM certificate WHERE order_name = 'D1' AND state = 'issued'") <=
                512);

    /* The other order is not disturbed. */
    must(try_batch("D2", &report));
    check_batch("D2", "local", "D2.batch");
}

/* ---- a token that signs wrongly once ---- */

/* The CA's token: in the first request that it is given, the signature in this place is wrong. */
static struct liar {
    struct keystore base;
    int place;
    _Atomic bool lied;
} liar;

struct liar_signer {
    struct signer base;
    struct signer *real;
};

static enum rc liar_sign(struct signer *s, const struct alg *a, const struct span *inputs, size_t n,
                         struct bytes *ret, struct err *err)
{
    struct signer *real = ((struct liar_signer *)s)->real;
    enum rc rc = real->ops->sign(real, a, inputs, n, ret, err);
    bool lied = true;
    if (rc == RC_OK && n > (size_t)liar.place)
        lied = atomic_exchange(&liar.lied, true);
    if (!lied)
        ret[liar.place].p[ret[liar.place].n - 1] ^= 1;
    return rc;
}

static void liar_free(struct signer *s)
{
    signer_free(((struct liar_signer *)s)->real);
    signer_fini(s);
    free(s);
}

static enum rc liar_find(struct keystore *k, const char *uri, enum key_usage usage,
                         const struct key_exceptions *allowed, struct signer **ret, struct err *err)
{
    static const struct signer_ops ops = {.sign = liar_sign, .free = liar_free};
    struct signer *real = NULL;
    (void)k;
    must(keys->ops->find(keys, uri, usage, allowed, &real, err));
    struct liar_signer *s = mem_new(sizeof(*s));
    s->real = real;
    must(signer_init(&s->base, &ops, usage, uri, bytes_span(&real->spki), err));
    *ret = &s->base;
    return RC_OK;
}

/* An order of 100 devices, its batch made with such a token: requests of 64 and 36. */
static enum rc batch_with_lie(const char *id, const char *verify, int place, struct batch_report *ret)
{
    static const struct keystore_ops ops = {.find = liar_find};
    char *prefix = mem_printf("%s-", id), *order = mem_printf("%s.order", id),
         *out = mem_printf("%s.batch", id);
    struct spec s = {.id = id, .prefix = prefix, .quantity = 100, .extra = verify, .sequence = ++sequence};
    struct office *o = NULL;
    struct ca *ca = NULL;
    bool is_new = false;
    must(try_order(&s, &is_new));
    liar.base.ops = &ops;
    liar.place = place;
    liar.lied = false;
    o = open_office();
    must(ca_open(at("local"), &liar.base, &ca, &e));
    enum rc rc = office_batch_make(o, ca, at(order), NULL, at(out), ret, &e);
    assert_true(liar.lied);
    ca_close(ca);
    office_close(o);
    free(prefix);
    free(order);
    free(out);
    return rc;
}

/* Nothing of the group stays, neither in the CA nor in the folder; the honest token then makes all of it. */
static void nothing_is_kept(const char *id)
{
    struct batch_report report;
    char *lines = mem_printf("%s.batch.part/devices.jsonl", id), *out = mem_printf("%s.batch", id),
         *issued =
             mem_printf("SELECT count(*) FROM certificate WHERE order_name = '%s' AND state = 'issued'", id);
    struct bytes text = BYTES_INIT;
    assert_string_equal(e.key, "sign.self-check");
    load(lines, &text);
    assert_int_equal(text.n, 0);
    assert_int_equal(sql_int("local/ca.db", issued), 0);
    must(try_batch(id, &report));
    assert_int_equal(report.made, 100);
    check_batch(id, "local", out);
    bytes_free(&text);
    free(lines);
    free(out);
    free(issued);
}

static int64_t batch_says(const char *id, const char *verified)
{
    char *sql = mem_printf("SELECT count(*) FROM audit WHERE event = 'batch' AND"
                           " json_extract(detail, '$.batch') = '%s.line7' AND"
                           " json_extract(detail, '$.signatures_verified') = '%s'",
                           id, verified);
    int64_t n = sql_int("office/office.db", sql);
    free(sql);
    return n;
}

/* The lines of a batch without their keys; ret_bad: how many certificates this CA has not signed. */
static void read_lines(const char *folder_name, struct opened *ret, size_t *ret_bad)
{
    char *name = mem_printf("%s/devices.jsonl", folder_name);
    struct bytes text = BYTES_INIT;
    struct ca *ca = open_ca("local");
    read_batch(folder_name, &ret->b);
    ret->devices = mem_array((size_t)ret->b.count, sizeof(*ret->devices));
    load(name, &text);
    const uint8_t *p = text.p, *end = text.p + text.n;
    *ret_bad = 0;
    for (uint64_t i = 0; i < ret->b.count; i++) {
        struct device *d = &ret->devices[i];
        struct err why = ERR_INIT;
        const uint8_t *lf = memchr(p, '\n', (size_t)(end - p));
        assert_non_null(lf);
        must(batch_line_decode(name, (int64_t)i + 1, (struct span){p, (size_t)(lf - p)}, &d->line, &e));
        must(cert_parse("device", bytes_span(&d->line.cert), &d->cert, &e));
        *ret_bad += cert_verify_signature(d->cert, ca_cert(ca), &why) != RC_OK;
        p = lf + 1;
    }
    ca_close(ca);
    bytes_free(&text);
    free(name);
}

static void test_every_signature_is_verified(void **state)
{
    (void)state;
    struct batch_report report;
    refused(batch_with_lie("L1", NULL, 3, &report), RC_TOKEN, "sign.self-check");
    nothing_is_kept("L1");
    assert_int_equal(batch_says("L1", "every"), 1);
    refused(batch_with_lie("L2", "verify-every: 1\n", 62, &report), RC_TOKEN, "sign.self-check");
    nothing_is_kept("L2");
}

static void test_signatures_are_sampled(void **state)
{
    (void)state;
    static const int looked_at[] = {0, 7, 56, 63};
    struct batch_report report;
    for (size_t i = 0; i < sizeof(looked_at) / sizeof(looked_at[0]); i++) {
        char id[8];
        snprintf(id, sizeof(id), "M%zu", i);
        refused(batch_with_lie(id, "verify-every: 7\n", looked_at[i], &report), RC_TOKEN, "sign.self-check");
        nothing_is_kept(id);
        assert_int_equal(batch_says(id, "1 in 7"), 1);
    }
    assert_int_equal(sql_int("local/ca.db", "SELECT count(*) FROM audit WHERE event = 'reserve' AND"
                                            " json_extract(detail, '$.order') = 'M1' AND"
                                            " json_extract(detail, '$.signatures_verified') = '1 in 7'"),
                     2);
}

/* What sampling gives up, as docs/formats.md says it: the batch holds a certificate that nobody will take,
 * and the manifest that holds it is not taken in. (A station refuses this device: test_station_batch.) */
static void test_a_lie_that_was_not_looked_at(void **state)
{
    (void)state;
    struct batch_report report;
    struct opened o = {0};
    struct order *order = mem_new(sizeof(*order));
    struct reconciliation r;
    size_t bad = 0;
    must(batch_with_lie("N1", "verify-every: 7\n", 3, &report));
    assert_int_equal(report.verify_every, 7);
    read_lines("N1.batch", &o, &bad);
    assert_int_equal(bad, 1);
    read_order("N1", order);
    write_manifest(
        &(struct closing){.order = "N1", .folder = "N1.batch", .name = "N1", .good = 100, .journal = 'n'}, &o,
        order);
    refused(try_ingest("N1", &r), RC_DENIED, "office.ca");
    opened_free(&o);
    order_fini(order);
    free(order);
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

    /* Whole lines whose rows were not recorded as issued any more: they were signed and lay on the disk, so
     * they are taken up, not made again. */
    struct bytes text = BYTES_INIT;
    load("E1.batch/devices.jsonl", &text);
    back_to_part("E1");
    unrecord("E1");
    sql_int("local/ca.db",
            "UPDATE certificate SET state = 'reserved', der = NULL, sha256 = NULL, issued_at = NULL WHERE "
            "order_name = 'E1' AND device_id > 'E1-000256'");
    remove_file("E1.batch.part/batch.json");
    remove_file("E1.batch.part/batch.p7s");
    must(try_batch("E1", &report));
    assert_int_equal(report.resumed, 300);
    assert_int_equal(report.made, 0);
    check_batch("E1", "local", "E1.batch");
    assert_int_equal(
        sql_int("local/ca.db",
                "SELECT count(*) FROM certificate WHERE order_name = 'E1' AND state <> 'issued'"),
        0);
    struct bytes now = BYTES_INIT;
    load("E1.batch/devices.jsonl", &now);
    assert_true(span_eq(bytes_span(&text), bytes_span(&now)));
    bytes_free(&now);

    /* Rows that were reserved for what never reached the disk: void, and the devices are made with other
     * keys. A line with another key than its row was reserved for is not taken up. */
    back_to_part("E1");
    unrecord("E1");
    sql_int(
        "local/ca.db",
        "UPDATE certificate SET state = 'reserved', der = NULL, sha256 = NULL, issued_at = NULL, spki_sha256 = zeroblob(32) WHERE "
        "order_name = 'E1' AND device_id > 'E1-000256'");
    remove_file("E1.batch.part/batch.json");
    remove_file("E1.batch.part/batch.p7s");
    must(try_batch("E1", &report));
    assert_int_equal(report.resumed, 256);
    assert_int_equal(report.made, 44);
    check_batch("E1", "local", "E1.batch");
    assert_int_equal(
        sql_int("local/ca.db", "SELECT count(*) FROM certificate WHERE order_name = 'E1' AND state = 'void'"),
        44);
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

    /* A device that was revoked meanwhile has no certificate in force; the lines behind it are not cut off.
     */
    must(file_publish(at("F1.batch.part/devices.jsonl"), 0600, bytes_span(&text), &e));
    sql_int("local/ca.db", "UPDATE certificate SET state = 'revoked', revoked_at = 1, reason = 1 WHERE "
                           "device_id = 'F1-000002'");
    refused(try_batch("F1", &report), RC_CONFLICT, "office.batch-lost");
    assert_content(at("F1.batch.part/devices.jsonl"), bytes_span(&text));
    sql_int("local/ca.db", "UPDATE certificate SET state = 'issued', revoked_at = NULL, reason = NULL WHERE "
                           "device_id = 'F1-000002'");

    must(try_batch("F1", &report));
    check_batch("F1", "local", "F1.batch");
    bytes_free(&damaged);
    bytes_free(&text);
}

/* The order makes a batch in a child; it is ended at the n-th durable moment, or after some milliseconds.
 * True: it came to its end. */
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
        new_order(id, "local", 258, 200); /* two groups, two lots */
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
    new_order("K1", "local", 3000, 500);
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
    static const char *const files[] = {
        "B1.batch/devices.jsonl", "B1.batch/batch.json", "B1.batch/lot-0.p7m", "office/office.db",
        "office/office.db-wal",   "local/ca.db",         "local/ca.db-wal"};
    struct opened o = {0};
    size_t looked = 0;
    open_batch("B1", "local", "B1.batch", &o);
    for (size_t f = 0; f < sizeof(files) / sizeof(files[0]); f++) {
        struct bytes text = BYTES_INIT;
        if (!file_exists(at(files[f])))
            continue;
        must(file_read(at(files[f]), (size_t)256 << 20, &text, &e));
        for (size_t i = 0; i < 600; i += 50, looked++) {
            const uint8_t *scalar =
                secret_data(o.devices[i].key) + 36; /* PKCS#8 of P-256: the scalar's place */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_batch_refused),
        cmocka_unit_test(test_batch_stops),
        cmocka_unit_test(test_every_signature_is_verified),
        cmocka_unit_test(test_signatures_are_sampled),
        cmocka_unit_test(test_a_lie_that_was_not_looked_at),
        cmocka_unit_test(test_resume_stages),
        cmocka_unit_test(test_resume_lost),
        cmocka_unit_test(test_crash_at_each_sync),
        cmocka_unit_test(test_killed_at_random),
        cmocka_unit_test(test_no_plain_keys),
    };
    return cmocka_run_group_tests(tests, world_make, world_remove);
}
