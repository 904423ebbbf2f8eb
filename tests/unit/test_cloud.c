/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "folder.h"

#include "base/text.h"
#include "cloud/admission.h"
#include "cloud/target.h"
#include "factory/lists.h"
#include "factory/manifest.h"
#include "factory/signed.h"
#include "tests/support/softpki.h"
#include "x509/crl.h"

/*
 * A target in a folder of its own for each test. Devices 0 to 3 are good, 4 is scrapped, 5 is in no manifest;
 * all but 3 are of local-ca, whose manifest is order A1; device 3 is of local-b, order B1.
 */
enum { DEVICES = 6, SCRAPPED = 4, STRANGER = 5, OF_B = 3 };
static struct pki_ca root, online, local, local_b;
static struct pki_leaf station, release, devices[DEVICES];
static struct target *target;

static const struct pki_ca *issuer_of(int i)
{
    return i == OF_B ? &local_b : &local;
}

static int pki_start(void **state)
{
    char id[16];
    (void)state;
    pki_ca_make(&root, "root-ca", NULL);
    pki_ca_make(&online, "online-ca", &root);
    pki_ca_make(&local, "local-ca", &root);
    pki_ca_make(&local_b, "local-b", &root);
    pki_leaf_make(&station, "line7", role_oid(ROLE_STATION_MANIFEST), &online);
    pki_leaf_make(&release, "release", role_oid(ROLE_RELEASE), &online);
    for (int i = 0; i < DEVICES; i++) {
        snprintf(id, sizeof(id), "MX1-00000%d", i);
        pki_leaf_make(&devices[i], id, "1.3.6.1.5.5.7.3.2", issuer_of(i));
    }
    return 0;
}

static int pki_stop(void **state)
{
    (void)state;
    for (int i = 0; i < DEVICES; i++)
        pki_leaf_fini(&devices[i]);
    pki_leaf_fini(&station);
    pki_leaf_fini(&release);
    pki_ca_fini(&root);
    pki_ca_fini(&online);
    pki_ca_fini(&local);
    pki_ca_fini(&local_b);
    return 0;
}

static void check_ok(enum rc rc, const struct err *e)
{
    if (rc != RC_OK)
        fail_msg("%s [%s]", e->text, e->key);
}

static void check_fails(enum rc rc, enum rc expected, const struct err *e, const char *key)
{
    if (rc == RC_OK)
        fail_msg("accepted, instead of %s", key);
    if (strcmp(e->key, key) != 0)
        fail_msg("expected %s, got %s: %s", key, e->key, e->text);
    assert_int_equal(rc, expected);
}

/* Making what the office and the station would. */

static void sign(const struct pki_leaf *who, const struct pki_ca *issuer, const struct bytes *json,
                 const char *path)
{
    struct cms_chain chain;
    struct bytes der = BYTES_INIT;
    struct err e = ERR_INIT;
    pki_chain(who, issuer, &root, &chain);
    check_ok(signed_make(who->key, &chain, bytes_span(json), PKI_BEGIN + 100, &der, &e), &e);
    check_ok(file_publish(path, 0600, bytes_span(&der), &e), &e);
    cms_chain_free(&chain);
    bytes_free(&der);
}

static void add_device(struct manifest_writer *w, int i)
{
    const struct cert *c = devices[i].cert;
    struct err e = ERR_INIT;
    struct manifest_line l = {.state = i == SCRAPPED ? STATE_SCRAPPED : STATE_GOOD,
                              .cert = c->der,
                              .not_before = c->not_before,
                              .not_after = c->not_after,
                              .delivered = PKI_BEGIN + 60,
                              .finished = PKI_BEGIN + 70};
    strcpy(l.id, c->cn);
    memcpy(l.cert_sha256, c->sha256, SHA256_LEN);
    sha256(c->spki, l.spki_sha256);
    check_ok(manifest_add(w, &l, &e), &e);
}

/* ORDER.manifest.jsonl and ORDER.checkpoint with devices first to last but SKIP (-1: none). */
static void make_manifest(const char *order, const struct pki_ca *ca, int first, int last, int skip)
{
    struct manifest_header h = {.station = "line7", .started = PKI_BEGIN};
    struct manifest_writer *w = NULL;
    struct checkpoint c = {.issued = PKI_BEGIN + 100};
    struct bytes json = BYTES_INIT;
    struct err e = ERR_INIT;
    char manifest[64], checkpoint[64];
    snprintf(manifest, sizeof(manifest), "%s.manifest.jsonl", order);
    snprintf(checkpoint, sizeof(checkpoint), "%s.checkpoint", order);
    snprintf(h.order, sizeof(h.order), "%s", order);
    memcpy(h.ca, ca->cert->sha256, SHA256_LEN);
    check_ok(manifest_begin(at(manifest), &h, &w, &e), &e);
    for (int i = first; i <= last; i++) {
        if (i != skip)
            add_device(w, i);
    }
    check_ok(manifest_end(w, &c, &e), &e);
    checkpoint_encode(&c, &json);
    sign(&station, &online, &json, at(checkpoint));
    bytes_free(&json);
}

/* A list of these devices (ended by -1), file NAME; previous NULL: zeros, else the list file before it. */
static void make_list(const char *name, enum list_kind kind, uint64_t sequence, const char *previous,
                      const int *which, const struct pki_ca *out)
{
    struct list_device rows[DEVICES] = {0};
    uint8_t issuers[1][SHA256_LEN];
    struct device_list l = {
        .kind = kind, .sequence = sequence, .issued = PKI_BEGIN + 100, .devices = rows, .issuers = issuers};
    struct bytes json = BYTES_INIT;
    struct err e = ERR_INIT;
    if (previous != NULL)
        check_ok(content_sha256(at(previous), l.previous, &e), &e);
    for (; *which >= 0; which++) {
        struct list_device *d = &rows[l.ndevices++];
        strcpy(d->id, devices[*which].cert->cn);
        memcpy(d->cert, devices[*which].cert->sha256, SHA256_LEN);
        memcpy(d->issuer, issuer_of(*which)->cert->sha256, SHA256_LEN);
    }
    if (kind == LIST_REVOCATION)
        strcpy(l.reason, "keyCompromise");
    if (out != NULL) {
        l.nissuers = 1;
        memcpy(issuers[0], out->cert->sha256, SHA256_LEN);
    }
    list_encode(&l, &json);
    sign(&release, &online, &json, at(name));
    bytes_free(&json);
}
#define ROWS(...) ((const int[]){__VA_ARGS__, -1})

static void put_target(const char *extra)
{
    char r[65], i[65];
    hex_encode((struct span){root.cert->sha256, SHA256_LEN}, r);
    hex_encode((struct span){online.cert->sha256, SHA256_LEN}, i);
    char *text = mem_printf(
        "schema: keymill.target.v1\nkind: mosquitto\nname: test\ndirectory: broker\ntrust: \"%s\"\n"
        "release-issuer: \"%s\"\nmanifest-issuer: \"%s\"\n%s",
        r, i, i, extra);
    put(at("broker.yaml"), text);
    free(text);
}

static int target_start(void **state)
{
    struct err e = ERR_INIT;
    if (folder_make(state) != 0)
        return -1;
    put_target("");
    check_ok(target_read(at("broker.yaml"), &target, &e), &e);
    make_manifest("A1", &local, 0, SCRAPPED, OF_B);
    make_manifest("B1", &local_b, OF_B, OF_B, -1);
    return 0;
}

static int target_stop(void **state)
{
    target_free(target);
    target = NULL;
    return folder_remove(state);
}

static enum rc push(const char *order, struct target_report *ret, struct err *e)
{
    char manifest[64], checkpoint[64];
    snprintf(manifest, sizeof(manifest), "%s.manifest.jsonl", order);
    snprintf(checkpoint, sizeof(checkpoint), "%s.checkpoint", order);
    return target_push(target, at(manifest), at(checkpoint), ret, e);
}

static void push_both(void)
{
    struct target_report r;
    struct err e = ERR_INIT;
    check_ok(push("A1", &r, &e), &e);
    check_ok(push("B1", &r, &e), &e);
}

static void hand_over(enum list_kind kind, const char *name)
{
    struct target_report r = {0};
    struct err e = ERR_INIT;
    check_ok(kind == LIST_RELEASE ? target_release(target, at(name), &r, &e)
                                  : target_revoke(target, at(name), &r, &e),
             &e);
    assert_true(r.is_new);
}

static enum admission_verdict judged(const struct admission *a, int i)
{
    return admission_judge(a, devices[i].cert->sha256, devices[i].cert->cn);
}

/* The verdict on each device by a fresh reading: U, A or R. */
static void check_verdicts(const char *expected)
{
    struct admission *a = NULL;
    struct err e = ERR_INIT;
    char found[DEVICES + 1] = "";
    check_ok(admission_load(target, &a, &e), &e);
    for (int i = 0; i < DEVICES; i++)
        found[i] = "UAR"[judged(a, i)];
    assert_string_equal(found, expected);
    admission_free(a);
}

/* Tests. */

static void check_bad_target(const char *text, const char *key)
{
    struct target *t = NULL;
    struct err e = ERR_INIT;
    put(at("bad.yaml"), text);
    check_fails(target_read(at("bad.yaml"), &t, &e), RC_INPUT, &e, key);
}

static void test_target(void **state)
{
    (void)state;
    struct target *t = NULL;
    struct err e = ERR_INIT;
    char zeros[65];
    memset(zeros, '0', 64);
    zeros[64] = '\0';

    assert_string_equal(target->name, "test");
    assert_string_equal(target->directory, at("broker"));
    assert_true(target->manifest_trust.has_issuer && target->release_trust.has_issuer);
    put_target("extra: 1\n");
    check_fails(target_read(at("broker.yaml"), &t, &e), RC_INPUT, &e, "doc.unknown-key");
    char *text =
        mem_printf("schema: keymill.target.v1\nkind: mosquitto\nname: n\ndirectory: d\ntrust: \"%s\"\n"
                   "release-issuer: \"%s\"\n",
                   zeros, zeros);
    check_bad_target(text, "doc.placeholder");
    free(text);
    text = mem_printf("schema: keymill.target.v1\nkind: mosquitto\nname: n\ndirectory: d\n"
                      "trust: \"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"\n");
    check_bad_target(text, "doc.placeholder");
    free(text);
    check_bad_target("schema: keymill.target.v1\nkind: aws\n", "doc.value");
    check_bad_target("schema: keymill.target.v2\n", "doc.schema");
}

static void test_push(void **state)
{
    (void)state;
    struct target_report r = {0};
    struct target_status s;
    struct err e = ERR_INIT;
    check_ok(push("A1", &r, &e), &e);
    assert_int_equal(r.devices, 3);
    assert_true(r.is_new);
    check_ok(push("A1", &r, &e), &e);
    assert_false(r.is_new);
    assert_int_equal(names(at("broker/registered")), 2);
    check_ok(target_get_status(target, &s, &e), &e);
    assert_int_equal(s.registered, 3);
    assert_int_equal(s.released, 0);
    check_verdicts("UUUUUU"); /* registered is not admitted */

    make_manifest("A1", &local, 0, 2, -1);
    check_fails(push("A1", &r, &e), RC_CONFLICT, &e, "cloud.manifest-differs");
}

static void sign_checkpoint_as(const char *name, const char *path)
{
    struct bytes der = BYTES_INIT;
    struct signed_doc doc = {0};
    struct pki_leaf other;
    struct err e = ERR_INIT;
    pki_leaf_make(&other, name, role_oid(ROLE_STATION_MANIFEST), &online);
    check_ok(file_read(path, FILE_SMALL_MAX, &der, &e), &e);
    check_ok(signed_peek(path, bytes_span(&der), &doc, &e), &e);
    sign(&other, &online, &doc.content, path);
    pki_leaf_fini(&other);
    signed_free(&doc);
    bytes_free(&der);
}

/* A station signs for itself alone. */
static void test_push_station(void **state)
{
    (void)state;
    struct target_report r = {0};
    struct err e = ERR_INIT;
    sign_checkpoint_as("line8", at("A1.checkpoint"));
    check_fails(push("A1", &r, &e), RC_DENIED, &e, "cloud.station");
    assert_non_null(strstr(e.text, "line7"));
    assert_non_null(strstr(e.text, "line8"));
    assert_false(file_exists(at("broker")));
    sign_checkpoint_as("line7", at("A1.checkpoint")); /* another key of the same station */
    check_ok(push("A1", &r, &e), &e);
}

/* A run that died between the two files is taken up. */
static void test_push_resumes(void **state)
{
    (void)state;
    struct target_report r = {0};
    struct err e = ERR_INIT;
    check_ok(push("A1", &r, &e), &e);
    assert_int_equal(unlink(at("broker/registered/A1.line7.checkpoint")), 0);
    put(at("broker/registered/A1.line7.manifest.jsonl"), "half");
    check_ok(push("A1", &r, &e), &e);
    assert_true(r.is_new);
    assert_true(file_exists(at("broker/registered/A1.line7.checkpoint")));
    check_ok(push("A1", &r, &e), &e);
    assert_false(r.is_new);
}

static void test_push_refuses(void **state)
{
    (void)state;
    struct target_report r;
    struct err e = ERR_INIT;
    put(at("A1.manifest.jsonl"), "{}\n");
    check_fails(push("A1", &r, &e), RC_INPUT, &e, "doc.missing");
    memset(target->manifest_trust.issuer, 1, SHA256_LEN);
    check_fails(push("B1", &r, &e), RC_DENIED, &e, "verify.issuer");
    assert_false(file_exists(at("broker")));
}

static void test_release(void **state)
{
    (void)state;
    struct target_report r = {0};
    struct target_status s;
    struct err e = ERR_INIT;
    push_both();
    make_list("R1", LIST_RELEASE, 1, NULL, ROWS(0, 1), NULL);
    make_list("R2", LIST_RELEASE, 2, "R1", ROWS(2, OF_B), NULL);
    hand_over(LIST_RELEASE, "R1");
    check_verdicts("AAUUUU");
    hand_over(LIST_RELEASE, "R2");
    check_verdicts("AAAAUU");
    check_ok(target_release(target, at("R1"), &r, &e), &e);
    assert_false(r.is_new);
    assert_int_equal(r.sequence, 1);
    assert_int_equal(r.devices, 2);
    check_ok(target_get_status(target, &s, &e), &e);
    assert_int_equal(s.registered, 4);
    assert_int_equal(s.released, 4);
    assert_int_equal(s.release_sequence, 2);
    assert_int_equal(s.revocation_sequence, 0);
    assert_int_equal(mode_of(at("broker/release/000001.release")), 0644);
}

static void test_release_order(void **state)
{
    (void)state;
    struct target_report r;
    struct err e = ERR_INIT;
    push_both();
    make_list("R1", LIST_RELEASE, 1, NULL, ROWS(0), NULL);
    make_list("R1b", LIST_RELEASE, 1, NULL, ROWS(1), NULL);
    make_list("R2", LIST_RELEASE, 2, "R1", ROWS(1), NULL);
    make_list("R2b", LIST_RELEASE, 2, "R1b", ROWS(1), NULL);
    make_list("R3", LIST_RELEASE, 3, "R2", ROWS(2), NULL);
    check_fails(target_release(target, at("R2"), &r, &e), RC_CONFLICT, &e, "cloud.sequence");
    hand_over(LIST_RELEASE, "R1");
    check_fails(target_release(target, at("R3"), &r, &e), RC_CONFLICT, &e, "cloud.sequence");
    check_fails(target_release(target, at("R2b"), &r, &e), RC_CONFLICT, &e, "cloud.previous");
    check_fails(target_release(target, at("R1b"), &r, &e), RC_CONFLICT, &e, "cloud.sequence");
    check_verdicts("AUUUUU");
}

static void check_not_registered(const int *which)
{
    struct target_report r;
    struct err e = ERR_INIT;
    make_list("R1", LIST_RELEASE, 1, NULL, which, NULL);
    check_fails(target_release(target, at("R1"), &r, &e), RC_DENIED, &e, "cloud.not-registered");
    assert_non_null(strstr(e.text, "MX1-00000"));
    assert_false(file_exists(at("broker/release/000001.release")));
}

static void test_release_needs_registration(void **state)
{
    (void)state;
    struct target_report r;
    struct err e = ERR_INIT;
    check_not_registered(ROWS(0));
    check_ok(push("A1", &r, &e), &e);
    check_not_registered(ROWS(0, SCRAPPED));
    check_not_registered(ROWS(0, STRANGER));
    check_not_registered(ROWS(0, OF_B));
    hand_over(LIST_RELEASE, (make_list("R1", LIST_RELEASE, 1, NULL, ROWS(0, 1, 2), NULL), "R1"));
}

/* The certificate is registered, but under another name or issuer. */
static void test_release_needs_the_same(void **state)
{
    (void)state;
    struct list_device row = {.id = "MX1-000001"};
    struct device_list l = {
        .kind = LIST_RELEASE, .sequence = 1, .issued = PKI_BEGIN, .devices = &row, .ndevices = 1};
    struct bytes json = BYTES_INIT;
    struct target_report r;
    struct err e = ERR_INIT;
    push_both();
    memcpy(row.cert, devices[0].cert->sha256, SHA256_LEN);
    memcpy(row.issuer, local.cert->sha256, SHA256_LEN);
    list_encode(&l, &json);
    sign(&release, &online, &json, at("R1"));
    check_fails(target_release(target, at("R1"), &r, &e), RC_DENIED, &e, "cloud.not-registered");
    strcpy(row.id, devices[0].cert->cn);
    memcpy(row.issuer, local_b.cert->sha256, SHA256_LEN);
    bytes_reset(&json);
    list_encode(&l, &json);
    sign(&release, &online, &json, at("R1"));
    check_fails(target_release(target, at("R1"), &r, &e), RC_DENIED, &e, "cloud.not-registered");
    bytes_free(&json);
}

static void test_release_signers(void **state)
{
    (void)state;
    struct device_list l = {
        .kind = LIST_REVOCATION, .sequence = 1, .issued = PKI_BEGIN, .order = "A1", .reason = "superseded"};
    struct bytes json = BYTES_INIT;
    struct target_report r;
    struct pki_leaf stranger;
    struct err e = ERR_INIT;
    list_encode(&l, &json);
    sign(&station, &online, &json, at("V1"));
    check_fails(target_revoke(target, at("V1"), &r, &e), RC_DENIED, &e, "verify.role");
    pki_leaf_make(&stranger, "release", role_oid(ROLE_RELEASE), &local);
    sign(&stranger, &local, &json, at("V1"));
    check_fails(target_revoke(target, at("V1"), &r, &e), RC_DENIED, &e, "verify.issuer");
    sign(&release, &online, &json, at("V1"));
    check_fails(target_release(target, at("V1"), &r, &e), RC_INPUT, &e, "doc.schema");
    hand_over(LIST_REVOCATION, "V1");
    pki_leaf_fini(&stranger);
    bytes_free(&json);
}

static void test_revoke(void **state)
{
    (void)state;
    struct target_status s;
    struct err e = ERR_INIT;
    push_both();
    make_list("R1", LIST_RELEASE, 1, NULL, ROWS(0, 1, 2, OF_B), NULL);
    make_list("V1", LIST_REVOCATION, 1, NULL, ROWS(1, STRANGER), NULL);
    make_list("V2", LIST_REVOCATION, 2, "V1", ROWS(-1), &local_b);
    hand_over(LIST_REVOCATION, "V1"); /* a revocation may come first, and beats the release */
    hand_over(LIST_RELEASE, "R1");
    check_verdicts("ARAAUR");
    hand_over(LIST_REVOCATION, "V2");
    check_verdicts("ARARUR");
    check_ok(target_get_status(target, &s, &e), &e);
    assert_int_equal(s.released, 2);
    assert_int_equal(s.revoked, 2); /* the stranger is none of those registered */
    assert_int_equal(s.revoked_issuers, 1);
    assert_int_equal(s.revocation_sequence, 2);
    /* released later, under an issuer that is out */
    make_list("V3", LIST_REVOCATION, 3, "V2", ROWS(-1), &local);
    hand_over(LIST_REVOCATION, "V3");
    check_verdicts("RRRRUR");
    check_ok(target_get_status(target, &s, &e), &e);
    assert_int_equal(s.registered, 4);
    assert_int_equal(s.released, 0);
    assert_int_equal(s.revoked, 4);
    assert_int_equal(s.revoked_issuers, 2);
}

/* Registered devices that no list ever named are out all the same. */
static void test_status_revoked(void **state)
{
    (void)state;
    struct device_list l = {
        .kind = LIST_REVOCATION, .sequence = 1, .issued = PKI_BEGIN, .order = "A1", .reason = "superseded"};
    struct bytes json = BYTES_INIT;
    struct target_status s;
    struct err e = ERR_INIT;
    push_both();
    list_encode(&l, &json);
    sign(&release, &online, &json, at("V1"));
    hand_over(LIST_REVOCATION, "V1");
    check_ok(target_get_status(target, &s, &e), &e);
    assert_int_equal(s.revoked, 3);
    assert_int_equal(s.revoked_issuers, 0);
    make_list("V2", LIST_REVOCATION, 2, "V1", ROWS(-1), &local_b);
    hand_over(LIST_REVOCATION, "V2");
    check_ok(target_get_status(target, &s, &e), &e);
    assert_int_equal(s.revoked, 4);
    assert_int_equal(s.revoked_issuers, 1);
    bytes_free(&json);
}

static void test_judge_name(void **state)
{
    (void)state;
    struct admission *a = NULL;
    struct err e = ERR_INIT;
    push_both();
    make_list("R1", LIST_RELEASE, 1, NULL, ROWS(0), NULL);
    hand_over(LIST_RELEASE, "R1");
    check_ok(admission_load(target, &a, &e), &e);
    assert_int_equal(judged(a, 0), ADMISSION_ADMITTED);
    assert_int_equal(admission_judge(a, devices[0].cert->sha256, "MX1-000001"), ADMISSION_UNKNOWN);
    assert_int_equal(admission_judge(a, devices[1].cert->sha256, "MX1-000000"), ADMISSION_UNKNOWN);
    admission_free(a);
}

static void test_update(void **state)
{
    (void)state;
    struct admission *a = NULL;
    struct err e = ERR_INIT;
    check_ok(admission_load(target, &a, &e), &e); /* no folder yet: nobody */
    assert_false(admission_stale(a, target));
    push_both();
    make_list("R1", LIST_RELEASE, 1, NULL, ROWS(0, OF_B), NULL);
    make_list("V1", LIST_REVOCATION, 1, NULL, ROWS(0), NULL);
    hand_over(LIST_RELEASE, "R1");
    assert_true(admission_stale(a, target));
    check_ok(admission_update(a, target, &e), &e);
    assert_false(admission_stale(a, target));
    assert_int_equal(judged(a, 0), ADMISSION_ADMITTED);
    hand_over(LIST_REVOCATION, "V1");
    assert_true(admission_stale(a, target));
    assert_int_equal(judged(a, 0), ADMISSION_ADMITTED);
    check_ok(admission_update(a, target, &e), &e);
    assert_int_equal(judged(a, 0), ADMISSION_REVOKED);
    assert_int_equal(judged(a, OF_B), ADMISSION_ADMITTED);
    admission_free(a);
}

/* A fresh reading admits these, and doubts what follows for this reason. */
static void check_doubt(const char *verdicts, const char *key)
{
    struct admission *a = NULL;
    struct target_status s;
    struct err e = ERR_INIT;
    check_verdicts(verdicts);
    check_ok(admission_load(target, &a, &e), &e);
    assert_string_equal(admission_doubt(a)->key, key);
    admission_free(a);
    check_ok(target_get_status(target, &s, &e), &e);
    assert_string_equal(s.doubt.key, key);
}

/* What somebody did to the release lists by hand: the plugin believes none of it, and those before stay. */
static void test_bad_release(void **state)
{
    (void)state;
    struct admission *a = NULL;
    struct err e = ERR_INIT;
    push_both();
    make_list("R1", LIST_RELEASE, 1, NULL, ROWS(0), NULL);
    make_list("R2", LIST_RELEASE, 2, "R1", ROWS(1), NULL);
    make_list("R2b", LIST_RELEASE, 2, NULL, ROWS(1), NULL); /* previous is zeros */
    make_list("V1", LIST_REVOCATION, 1, NULL, ROWS(0), NULL);
    hand_over(LIST_RELEASE, "R1");
    check_ok(admission_load(target, &a, &e), &e);

    put(at("broker/release/000002.release"), "rubbish");
    check_ok(admission_update(a, target, &e), &e);
    assert_string_equal(admission_doubt(a)->key, "sign.cms");
    assert_int_equal(judged(a, 0), ADMISSION_ADMITTED);
    assert_true(admission_stale(a, target));
    check_doubt("AUUUUU", "sign.cms");
    assert_int_equal(rename(at("R2b"), at("broker/release/000002.release")), 0);
    check_doubt("AUUUUU", "list.previous");
    /* a bad release list does not hold a revocation up */
    hand_over(LIST_REVOCATION, "V1");
    check_ok(admission_update(a, target, &e), &e);
    assert_int_equal(judged(a, 0), ADMISSION_REVOKED);
    assert_string_equal(admission_doubt(a)->key, "list.previous");
    /* put right */
    assert_int_equal(rename(at("R2"), at("broker/release/000002.release")), 0);
    check_ok(admission_update(a, target, &e), &e);
    assert_int_equal(admission_doubt(a)->rc, RC_OK);
    assert_int_equal(judged(a, 1), ADMISSION_ADMITTED);
    assert_false(admission_stale(a, target));
    check_doubt("RAUUUU", "");
    admission_free(a);
}

/* A file far ahead, and lists under each other's numbers. */
static void test_stray_release(void **state)
{
    (void)state;
    struct target_report r = {0};
    struct err e = ERR_INIT;
    push_both();
    make_list("R1", LIST_RELEASE, 1, NULL, ROWS(0), NULL);
    make_list("R2", LIST_RELEASE, 2, "R1", ROWS(1), NULL);
    make_list("R3", LIST_RELEASE, 3, "R2", ROWS(2), NULL);
    make_list("V1", LIST_REVOCATION, 1, NULL, ROWS(0), NULL);
    hand_over(LIST_RELEASE, "R1");
    put(at("broker/release/999999.release"), "");
    check_doubt("AUUUUU", "cloud.sequence");
    hand_over(LIST_REVOCATION, "V1");
    hand_over(LIST_RELEASE, "R2");
    check_doubt("RAUUUU", "cloud.sequence");
    check_ok(target_release(target, at("R2"), &r, &e), &e);
    assert_false(r.is_new);
    assert_string_equal(r.doubt.key, "cloud.sequence");
    /* its place is taken by what is none: that has to go first, and is named */
    put(at("broker/release/000003.release"), "rubbish");
    check_fails(target_release(target, at("R3"), &r, &e), RC_INPUT, &e, "sign.cms");
    assert_non_null(strstr(e.text, "000003.release"));
    /* R2 under number 1 */
    assert_int_equal(rename(at("broker/release/000002.release"), at("broker/release/000001.release")), 0);
    check_doubt("RUUUUU", "cloud.sequence");
}

/* Revocations fail closed: what is not known might be about anybody. */
static void test_bad_revocation(void **state)
{
    (void)state;
    struct admission *a = NULL, *fresh = NULL;
    struct target_report r;
    struct target_status s;
    struct err e = ERR_INIT;
    push_both();
    make_list("R1", LIST_RELEASE, 1, NULL, ROWS(0), NULL);
    make_list("R2", LIST_RELEASE, 2, "R1", ROWS(1), NULL);
    make_list("V1", LIST_REVOCATION, 1, NULL, ROWS(STRANGER), NULL);
    hand_over(LIST_RELEASE, "R1");
    check_ok(admission_load(target, &a, &e), &e);
    hand_over(LIST_RELEASE, "R2");
    put(at("broker/revocation/000001.revocation"), "rubbish");
    check_fails(admission_update(a, target, &e), RC_INPUT, &e, "sign.cms");
    assert_int_equal(judged(a, 0), ADMISSION_ADMITTED);
    assert_int_equal(judged(a, 1), ADMISSION_UNKNOWN);
    check_fails(admission_load(target, &fresh, &e), RC_INPUT, &e, "sign.cms");
    assert_null(fresh);
    check_fails(target_get_status(target, &s, &e), RC_INPUT, &e, "sign.cms");
    check_fails(target_release(target, at("R2"), &r, &e), RC_INPUT, &e, "sign.cms");
    check_fails(target_revoke(target, at("V1"), &r, &e), RC_INPUT, &e, "sign.cms");
    /* a gap; the list that follows is taken nevertheless, and counts at once where the broker runs */
    assert_int_equal(
        rename(at("broker/revocation/000001.revocation"), at("broker/revocation/999999.revocation")), 0);
    check_fails(admission_load(target, &fresh, &e), RC_CONFLICT, &e, "cloud.sequence");
    hand_over(LIST_REVOCATION, "V1");
    check_fails(admission_update(a, target, &e), RC_CONFLICT, &e, "cloud.sequence");
    assert_int_equal(judged(a, STRANGER), ADMISSION_REVOKED);
    assert_int_equal(judged(a, 1), ADMISSION_UNKNOWN);
    check_fails(admission_load(target, &fresh, &e), RC_CONFLICT, &e, "cloud.sequence");
    assert_int_equal(unlink(at("broker/revocation/999999.revocation")), 0);
    check_ok(admission_update(a, target, &e), &e);
    assert_int_equal(judged(a, 1), ADMISSION_ADMITTED);
    admission_free(a);
}

static void gather_stray(void *arg, const char *path)
{
    struct bytes *b = arg;
    assert_memory_equal(path, folder, strlen(folder));
    bytes_printf(b, "%s ", strrchr(path, '/') + 1);
}

static void test_stray_names(void **state)
{
    (void)state;
    static const char *const strays[] = {"release/0000002.release", "release/2.release",
                                         "release/000002.release.bak", "revocation/000001.release",
                                         "revocation/000000.revocation"};
    struct bytes seen = BYTES_INIT;
    char path[64];
    push_both();
    make_list("R1", LIST_RELEASE, 1, NULL, ROWS(0), NULL);
    hand_over(LIST_RELEASE, "R1");
    put(at("broker/release/.keymill-0123456789abcdef.tmp"), "a list being written");
    for (size_t i = 0; i < sizeof(strays) / sizeof(strays[0]); i++) {
        snprintf(path, sizeof(path), "broker/%s", strays[i]);
        put(at(path), "");
    }
    check_doubt("AUUUUU", "");
    admission_each_stray(target, gather_stray, &seen);
    for (size_t i = 0; i < sizeof(strays) / sizeof(strays[0]); i++)
        assert_non_null(strstr(bytes_str(&seen), strrchr(strays[i], '/') + 1));
    assert_int_equal(
        seen.n, strlen("0000002.release 2.release 000002.release.bak 000001.release 000000.revocation "));
    bytes_free(&seen);
}

/* A list of device 0's certificate under another name. */
static void make_misnamed(const char *name, enum list_kind kind, uint64_t sequence, const char *previous)
{
    struct list_device row = {.id = "MX1-000009"};
    struct device_list l = {.kind = kind,
                            .sequence = sequence,
                            .issued = PKI_BEGIN,
                            .reason = "superseded",
                            .devices = &row,
                            .ndevices = 1};
    struct bytes json = BYTES_INIT;
    struct err e = ERR_INIT;
    if (previous != NULL)
        check_ok(content_sha256(at(previous), l.previous, &e), &e);
    memcpy(row.cert, devices[0].cert->sha256, SHA256_LEN);
    memcpy(row.issuer, local_b.cert->sha256, SHA256_LEN);
    list_encode(&l, &json);
    sign(&release, &online, &json, at(name));
    bytes_free(&json);
}

/* One certificate under two names is a mistake of the office that lets nobody in, and keeps nobody from being
 * put out. */
static void test_lists_agree(void **state)
{
    (void)state;
    struct target_report r;
    struct err e = ERR_INIT;
    push_both();
    make_list("R1", LIST_RELEASE, 1, NULL, ROWS(0, 1), NULL);
    hand_over(LIST_RELEASE, "R1");
    make_misnamed("R2", LIST_RELEASE, 2, "R1");
    check_fails(target_release(target, at("R2"), &r, &e), RC_INPUT, &e, "cloud.list-differs");
    check_doubt("AAUUUU", "");
    make_misnamed("V1", LIST_REVOCATION, 1, NULL);
    hand_over(LIST_REVOCATION, "V1");
    check_doubt("RAUUUU", "");
}

/* CRLs that are held here. */

static bool next_entry(void *arg, struct crl_entry *ret)
{
    const struct cert **next = arg;
    if (*next == NULL)
        return false;
    *ret = (struct crl_entry){.serial = (*next)->serial, .revoked_at = PKI_BEGIN, .reason = 1};
    *next = NULL;
    return true;
}

/* online's CRL with this certificate on it (NULL: none). */
static void put_crl(const char *name, const struct cert *revoked)
{
    struct bytes der = BYTES_INIT, pem = BYTES_INIT;
    struct err e = ERR_INIT;
    check_ok(crl_make(online.key, online.cert, 2, PKI_BEGIN, PKI_END, next_entry, &revoked, &der, &e), &e);
    pem_encode("X509 CRL", bytes_span(&der), &pem);
    put(at(name), bytes_str(&pem));
    bytes_free(&der);
    bytes_free(&pem);
}

static void test_crls(void **state)
{
    (void)state;
    struct target *t = NULL;
    struct target_report r = {0};
    struct err e = ERR_INIT;
    struct bytes pem = BYTES_INIT;
    make_list("V1", LIST_REVOCATION, 1, NULL, ROWS(0), NULL);
    put_target("crls:\n  - one.crl\n  - two.crl\n");
    check_fails(target_read(at("broker.yaml"), &t, &e), RC_SYSTEM, &e, "file.read");
    put_crl("one.crl", NULL);
    put_crl("two.crl", NULL);
    check_ok(target_read(at("broker.yaml"), &t, &e), &e);
    assert_int_equal(t->crls.ncrls, 2);
    check_ok(target_push(t, at("A1.manifest.jsonl"), at("A1.checkpoint"), &r, &e), &e);

    /* read again, they count; unreadable, those from before do */
    put_crl("two.crl", release.cert);
    check_ok(target_reread_crls(t, &e), &e);
    check_fails(target_revoke(t, at("V1"), &r, &e), RC_DENIED, &e, "verify.revoked");
    pem_encode("CERTIFICATE", bytes_span(&online.cert->der), &pem);
    put(at("two.crl"), bytes_str(&pem));
    check_fails(target_reread_crls(t, &e), RC_INPUT, &e, "target.crls");
    put(at("two.crl"), "nothing");
    check_fails(target_reread_crls(t, &e), RC_INPUT, &e, "x509.chain");
    check_fails(target_revoke(t, at("V1"), &r, &e), RC_DENIED, &e, "verify.revoked");

    put_crl("two.crl", station.cert);
    check_ok(target_reread_crls(t, &e), &e);
    check_ok(target_revoke(t, at("V1"), &r, &e), &e);
    check_fails(target_push(t, at("B1.manifest.jsonl"), at("B1.checkpoint"), &r, &e), RC_DENIED, &e,
                "verify.revoked");
    bytes_free(&pem);
    target_free(t);
}

#define TARGET_TEST(f) cmocka_unit_test_setup_teardown(f, target_start, target_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TARGET_TEST(test_target),
        TARGET_TEST(test_push),
        TARGET_TEST(test_push_station),
        TARGET_TEST(test_push_resumes),
        TARGET_TEST(test_push_refuses),
        TARGET_TEST(test_release),
        TARGET_TEST(test_release_order),
        TARGET_TEST(test_release_needs_registration),
        TARGET_TEST(test_release_needs_the_same),
        TARGET_TEST(test_release_signers),
        TARGET_TEST(test_revoke),
        TARGET_TEST(test_status_revoked),
        TARGET_TEST(test_judge_name),
        TARGET_TEST(test_update),
        TARGET_TEST(test_bad_release),
        TARGET_TEST(test_stray_release),
        TARGET_TEST(test_bad_revocation),
        TARGET_TEST(test_stray_names),
        TARGET_TEST(test_lists_agree),
        TARGET_TEST(test_crls),
    };
    return cmocka_run_group_tests(tests, pki_start, pki_stop);
}
