/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "factory/lists.h"
#include "office.h"
#include "x509/profile.h"
#include "x509/tbs.h"

/* ---- manifests ---- */

static void test_ingest(void **state)
{
    (void)state;
    struct batch_report report;
    struct reconciliation r;
    new_order("G1", "local", 20, 0);
    must(try_batch("G1", &report));
    close_order(&(struct closing){.order = "G1",
                                  .folder = "G1.batch",
                                  .name = "G1",
                                  .good = 12,
                                  .scrapped = 3,
                                  .unused = 4,
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
    close_order(
        &(struct closing){.order = "G1", .folder = "G1.batch", .name = "G1b", .good = 20, .journal = 'a'});
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
    refused(try_ingest("H1", &r), RC_CONFLICT, "office.order-unknown");
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

/* A manifest of the order whose lines are these devices, whatever they are, under the station's signature. */
static void forge(const char *order_id, const struct opened *o, uint64_t n, const char *name)
{
    struct order *order = mem_new(sizeof(*order));
    struct closing c = {.order = order_id, .name = name, .good = n, .journal = 'j'};
    read_order(order_id, order);
    write_manifest(&c, o, order);
    order_fini(order);
    free(order);
}

/* The devices of one order in the manifest of another. */
static void test_ingest_foreign(void **state)
{
    (void)state;
    struct reconciliation r;
    struct batch_report report;
    struct opened o = {0};
    new_order("J1", "local", 3, 0);
    new_order("J2", "local", 4, 0);
    must(try_batch("J1", &report));
    must(try_batch("J2", &report));
    open_batch("J2", "local", "J2.batch", &o);
    forge("J1", &o, 3, "J1x");
    refused(try_ingest("J1x", &r), RC_DENIED, "office.ids");
    forge("J1", &o, 4, "J1y"); /* more than ordered */
    refused(try_ingest("J1y", &r), RC_DENIED, "office.over-production");
    opened_free(&o);
}

static void replace_cert(struct device *d, struct span der)
{
    bytes_reset(&d->line.cert);
    bytes_add_span(&d->line.cert, der);
    cert_free(d->cert);
    d->cert = NULL;
    must(cert_parse("replaced", der, &d->cert, &e));
}

/* A rogue CA certifies an id of J1's block; J1's manifest with it is refused. */
static void test_ingest_wrong_ca(void **state)
{
    (void)state;
    struct reconciliation r;
    struct opened o = {0};
    struct bytes der = BYTES_INIT;
    bool is_new = false;
    struct ca *ca = open_ca("localb");
    struct ca_issue in = {
        .profile = "device", .csr_path = at("line8.csr"), .id = "J1-000001", .ou = "mexico", .days = 30};
    must(ca_issue(ca, &in, &der, &is_new, &e));
    ca_close(ca);
    open_batch("J1", "local", "J1.batch", &o);
    replace_cert(&o.devices[0], bytes_span(&der));
    forge("J1", &o, 3, "J1w");
    refused(try_ingest("J1w", &r), RC_DENIED, "office.ca");
    bytes_free(&der);
    opened_free(&o);
}

/* A device certificate that the CA's key signs and its database does not know. */
static void certify_by_hand(struct ca *ca, const char *id, struct signer *key, struct bytes *ret)
{
    struct name_attr attrs[] = {{"CN", id}, {"OU", "mexico"}};
    struct bytes name = BYTES_INIT, tbs = BYTES_INIT, sig = BYTES_INIT;
    struct profile *p = NULL;
    struct tbs_template *t = NULL;
    uint8_t serial[SERIAL_LEN];
    must(profile_load("device", &p, &e));
    must(serial_new(serial, &e));
    must(name_encode(attrs, 2, &name, &e));
    struct tbs_inputs in = {.profile = p,
                            .sig_alg = ca_signer(ca)->alg,
                            .issuer_name = ca_cert(ca)->subject,
                            .issuer_key_id = ca_cert(ca)->ski,
                            .not_before = clock_now() + 1,
                            .not_after = clock_now() + 1000};
    must(tbs_template_new(&in, &t, &e));
    struct tbs_subject subject = {{serial, SERIAL_LEN}, bytes_span(&name), bytes_span(&key->spki), {NULL, 0}};
    must(tbs_make(t, &subject, &tbs, &e));
    must(signer_sign_message(ca_signer(ca), bytes_span(&tbs), &sig, &e));
    signed_assemble(ca_signer(ca)->alg, bytes_span(&tbs), bytes_span(&sig), ret);
    tbs_template_free(t);
    profile_free(p);
    bytes_free(&name);
    bytes_free(&tbs);
    bytes_free(&sig);
}

/* An order closed with one device, whose key is the station's other one. */
static enum rc ingest_one(const char *order_id, const char *id, char journal, struct reconciliation *ret)
{
    struct device d = {.cert = NULL};
    struct opened o = {.devices = &d};
    struct bytes der = BYTES_INIT;
    struct order *order = mem_new(sizeof(*order));
    struct closing c = {.order = order_id, .name = order_id, .good = 1, .journal = journal};
    struct ca *ca = open_ca("local");
    certify_by_hand(ca, id, other_key, &der);
    ca_close(ca);
    strcpy(d.line.id, id);
    replace_cert(&d, bytes_span(&der));
    read_order(order_id, order);
    write_manifest(&c, &o, order);
    order_fini(order);
    free(order);
    bytes_free(&der);
    batch_device_fini(&d.line);
    cert_free(d.cert);
    return try_ingest(order_id, ret);
}

/* One key in two devices of two orders: the second manifest is refused whole and the message names the first.
 */
static void test_ingest_duplicate(void **state)
{
    (void)state;
    struct reconciliation r;
    new_order("Q1", "local", 2, 0);
    new_order("Q2", "local", 2, 0);
    must(ingest_one("Q1", "Q1-000002", 'q', &r));
    assert_int_equal(r.unexplained, 1);
    refused(ingest_one("Q2", "Q2-000001", 'r', &r), RC_CONFLICT, "office.duplicate");
    assert_non_null(strstr(e.text, "'Q1-000002'"));
    assert_int_equal(sql_int("office/office.db", "SELECT count(*) FROM devices WHERE order_id = 'Q2'"), 0);
    assert_int_equal(sql_int("office/office.db", "SELECT count(*) FROM manifests WHERE order_id = 'Q2'"), 0);
}

/* ---- lists ---- */

static void read_list(const char *name, enum list_kind kind, struct device_list *ret,
                      uint8_t ret_sha[static SHA256_LEN])
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

    static const char *const bad[] = {"L1-000004\nL1-000005\n", "L1-000004\nL1-000006\n",
                                      "L1-000004\nL1-999999\n"};
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

    /* No number is spent on a file that cannot be written; a list that was signed says so. */
    put(at("ids"), "L1-000004\n");
    refused(office_release(o, at("ids"), at("nowhere/R3"), &r, &e), RC_SYSTEM, "file.write");
    assert_null(strstr(e.text, "signed"));
    assert_int_equal(sql_int("office/office.db", "SELECT max(sequence) FROM lists WHERE kind = 0"), 2);
    put(at("ids"), "L1-000003\n");
    refused(office_release(o, at("ids"), at("nowhere/R2"), &r, &e), RC_SYSTEM, "file.write");
    assert_non_null(strstr(e.text, "release list 2 is signed"));
    assert_non_null(strstr(e.text, "--out"));
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
    assert_int_equal(r.no_manifest, 0);
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

    refused(office_revoke(o, NULL, NULL, NULL, "superseded", at("V9"), &r, &e), RC_USAGE,
            "office.revoke-what");
    assert_non_null(strstr(e.text, "'--ids', '--order' and '--issuer'"));
    refused(office_revoke(o, at("ids"), "M1", NULL, "superseded", at("V9"), &r, &e), RC_USAGE,
            "office.revoke-what");
    refused(office_revoke(o, NULL, "M1", NULL, "certificateHold", at("V9"), &r, &e), RC_USAGE,
            "office.reason");
    refused(office_revoke(o, NULL, "M1", NULL, "whim", at("V9"), &r, &e), RC_USAGE, "office.reason");
    refused(office_revoke(o, NULL, "M9", NULL, "superseded", at("V9"), &r, &e), RC_CONFLICT,
            "office.order-unknown");
    refused(office_revoke(o, NULL, NULL, at("manifest.pem"), "superseded", at("V9"), &r, &e), RC_INPUT,
            "office.ca-cert");
    put(at("ids"), "M9-000001\n");
    refused(office_revoke(o, at("ids"), NULL, NULL, "superseded", at("V9"), &r, &e), RC_INPUT,
            "office.unknown-device");
    put(at("ids"), "L1-000001\n");
    put(at("V9"), "something else");
    refused(office_revoke(o, at("ids"), NULL, NULL, "superseded", at("V9"), &r, &e), RC_CONFLICT,
            "file.exists");
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
    assert_int_equal(r.no_manifest, 1);
    office_close(o);
    close_order(
        &(struct closing){.order = "P1", .folder = "P1.batch", .name = "P1", .good = 2, .journal = 'p'});
    must(try_ingest("P1", &rec));
    o = open_office();
    put(at("ids"), "P1-000001\n");
    refused(office_release(o, at("ids"), at("R-P1"), &r, &e), RC_DENIED, "office.not-good");
    office_close(o);
}

/* ---- CAs and stations that are out ---- */

/* W1 was ordered before: neither its batch is made nor is anything else ordered. */
static void check_ca_out(const char *ca, const char *before, const char *after)
{
    struct batch_report report;
    bool is_new = false;
    char *cert = mem_printf("%s.pem", ca), *batch = mem_printf("%s.batch", before);
    struct spec s = {.id = after, .ca = cert, .prefix = after, .quantity = 2, .sequence = sequence + 1};
    refused(try_order(&s, &is_new), RC_DENIED, "office.ca-revoked");
    char *sql = mem_printf("SELECT count(*) FROM orders WHERE id = '%s'", after);
    assert_int_equal(sql_int("office/office.db", sql), 0);
    refused(try_batch_at(before, ca, batch, &report), RC_DENIED, "office.ca-revoked");
    assert_false(file_exists(at(batch)));
    free(sql);
    free(batch);
    free(cert);
}

static void test_ca_on_list(void **state)
{
    (void)state;
    struct list_report r;
    make_sub("localc", "local-ca", "device");
    new_order("W1", "localc", 2, 0);
    struct office *o = open_office();
    must(office_revoke(o, NULL, NULL, at("localc.pem"), "cACompromise", at("V-W1"), &r, &e));
    office_close(o);
    check_ca_out("localc", "W1", "W2");
}

static void revoke_cert(const char *home, const char *cert)
{
    struct cert *c = NULL;
    struct ca *ca = open_ca(home);
    bool is_new = false;
    must(cert_read(at(cert), &c, &e));
    char *serial = hex_new(c->serial);
    must(ca_revoke(ca, serial, "superseded", &is_new, &e));
    free(serial);
    cert_free(c);
    ca_close(ca);
}

static void import_chain(const char *online_crl, const char *root_crl)
{
    const char *role = NULL;
    bool is_new = false;
    join("newer.pem", (const char *const[]){"online.pem", "root.pem", online_crl, root_crl, NULL});
    must(office_import(at("office"), at("order.pem"), at("newer.pem"), &role, &is_new, &e));
    assert_true(is_new);
}

static void test_ca_on_crl(void **state)
{
    (void)state;
    make_sub("locald", "local-ca", "device");
    new_order("X1", "locald", 2, 0);
    revoke_cert("root", "locald.pem");
    make_crl("root", "root2.crl");
    import_chain("online.crl", "root2.crl");
    check_ca_out("locald", "X1", "X2");
}

/* A station puts the CRL of its choice into its checkpoint; the office goes by its own too. */
static void test_station_on_crl(void **state)
{
    (void)state;
    struct batch_report report;
    struct reconciliation r;
    struct closing c = {.order = "Y1", .folder = "Y1.batch", .name = "Y1", .good = 2, .journal = 'y'};
    new_order("Y1", "local", 2, 0);
    must(try_batch("Y1", &report));
    c.key = other_key;
    c.cert = "line8.pem";
    close_order(&c);
    refused(try_ingest("Y1", &r), RC_DENIED, "office.station");
    revoke_cert("online", "line8.pem");
    make_crl("online", "online3.crl");
    import_chain("online3.crl", "root2.crl");
    refused(try_ingest("Y1", &r), RC_DENIED, "verify.revoked");
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
        assert_int_equal(audited, rows);
        assert_true(rows > 0);
        free(sql);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ingest),           cmocka_unit_test(test_ingest_refused),
        cmocka_unit_test(test_ingest_foreign),   cmocka_unit_test(test_ingest_wrong_ca),
        cmocka_unit_test(test_ingest_duplicate), cmocka_unit_test(test_release),
        cmocka_unit_test(test_revoke),           cmocka_unit_test(test_revoked_before_ingest),
        cmocka_unit_test(test_ca_on_list),       cmocka_unit_test(test_ca_on_crl),
        cmocka_unit_test(test_station_on_crl),   cmocka_unit_test(test_audit),
    };
    return cmocka_run_group_tests(tests, world_make, world_remove);
}
