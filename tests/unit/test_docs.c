/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "folder.h"

#include "base/secret.h"
#include "base/text.h"
#include "factory/batch.h"
#include "factory/lines.h"
#include "factory/lists.h"
#include "factory/manifest.h"
#include "factory/order.h"
#include "factory/shamap.h"
#include "factory/signed.h"
#include "sign/alg.h"
#include "sign/softkey.h"
#include "tests/support/softpki.h"

/*
 * The documents of the factory. One PKI for all tests: root, online-ca for people and stations, local-ca for
 * devices.
 */
static struct pki_ca root, online, local;
static struct pki_leaf office, station, release;

static int pki_start(void **state)
{
    (void)state;
    pki_ca_make(&root, "root-ca", NULL);
    pki_ca_make(&online, "online-ca", &root);
    pki_ca_make(&local, "local-ca", &root);
    pki_leaf_make(&office, "office", role_oid(ROLE_OFFICE), &online);
    pki_leaf_make(&station, "line7", role_oid(ROLE_STATION_MANIFEST), &online);
    pki_leaf_make(&release, "release", role_oid(ROLE_RELEASE), &online);
    return 0;
}

static int pki_stop(void **state)
{
    (void)state;
    pki_leaf_fini(&office);
    pki_leaf_fini(&station);
    pki_leaf_fini(&release);
    pki_ca_fini(&root);
    pki_ca_fini(&online);
    pki_ca_fini(&local);
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

/* text with the first place of from replaced; it must be there. */
static char *replaced(const char *text, const char *from, const char *to)
{
    const char *p = strstr(text, from);
    if (p == NULL)
        fail_msg("'%s' is not in the document", from);
    return mem_printf("%.*s%s%s", (int)(p - text), text, to, p + strlen(from));
}

struct change {
    const char *from, *to, *key;
};

typedef enum rc decode_fn(struct span json, struct err *e);

/* Each change alone must make the document refused with its key. */
static void check_changes(const struct bytes *json, decode_fn *decode, const struct change *c, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct err e = ERR_INIT;
        char *text = replaced(bytes_str(json), c[i].from, c[i].to);
        check_fails(decode(span_str(text), &e), RC_INPUT, &e, c[i].key);
        assert_true(strncmp(e.text, "doc", 3) == 0);
        free(text);
    }
}
#define CHANGES(json, decode, list) check_changes(json, decode, list, sizeof(list) / sizeof((list)[0]))

/* ids */

static struct id_block block(const char *prefix, int digits, uint64_t first, uint64_t count)
{
    struct id_block b = {.digits = digits, .first = first, .count = count};
    strcpy(b.prefix, prefix);
    return b;
}

static void check_bad_block(struct id_block b)
{
    struct err e = ERR_INIT;
    check_fails(id_block_check(&b, &e), RC_INPUT, &e, "order.ids");
}

static void test_ids(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    char id[DEVICE_ID_MAX + 1];
    uint64_t i = 0;
    struct id_block b = block("MX1-", 6, 1, 1000);
    check_ok(id_block_check(&b, &e), &e);
    id_block_id(&b, 0, id);
    assert_string_equal(id, "MX1-000001");
    id_block_id(&b, 999, id);
    assert_string_equal(id, "MX1-001000");
    assert_true(id_block_find(&b, "MX1-000042", &i));
    assert_int_equal(i, 41);
    assert_false(id_block_find(&b, "MX1-000000", &i));
    assert_false(id_block_find(&b, "MX1-001001", &i));
    assert_false(id_block_find(&b, "MX1-42", &i));
    assert_false(id_block_find(&b, "MX1-0000a2", &i));
    assert_false(id_block_find(&b, "MX2-000042", &i));
    assert_false(id_block_find(&b, "MX1-0000420", &i));

    b = block("", 3, 0, 1000);
    check_ok(id_block_check(&b, &e), &e);
    b = block("a", 18, UINT64_C(999999999999999999), 1);
    check_ok(id_block_check(&b, &e), &e);
    check_bad_block(block("MX1-", 3, 1, 1000));
    check_bad_block(block("MX1-", 3, 1000, 1));
    check_bad_block(block("MX1-", 6, 1, 0));
    check_bad_block(block("MX1-", 0, 1, 1));
    check_bad_block(block("MX1-", 19, 1, 1));
    check_bad_block(block("MX/", 3, 1, 1));
    check_bad_block(block("-MX", 3, 1, 1));
    check_bad_block(block("MX1-", 6, 1, UINT64_MAX));
    check_bad_block(block("a234567890123456789012345678901234567890123456789012345678901", 4, 1, 1));
}

static bool overlap(struct id_block a, struct id_block b)
{
    assert_int_equal(id_block_overlaps(&a, &b), id_block_overlaps(&b, &a));
    return id_block_overlaps(&a, &b);
}

static void test_id_overlaps(void **state)
{
    (void)state;
    assert_true(overlap(block("A", 4, 1, 10), block("A", 4, 10, 5)));
    assert_false(overlap(block("A", 4, 1, 10), block("A", 4, 11, 5)));
    assert_false(overlap(block("A", 4, 1, 10), block("A", 5, 1, 10)));
    assert_false(overlap(block("A", 4, 1, 10), block("B", 4, 1, 10)));
    /* A1|234 and A|1234 are the same id */
    assert_true(overlap(block("A1", 3, 234, 1), block("A", 4, 1234, 1)));
    assert_false(overlap(block("A1", 3, 234, 1), block("A", 4, 1235, 1)));
    assert_false(overlap(block("A1", 3, 234, 1), block("A", 4, 234, 1)));
    assert_false(overlap(block("AB", 3, 234, 1), block("A", 4, 0, 9999)));
    assert_true(overlap(block("12", 2, 0, 100), block("", 4, 1299, 1)));
}

/* order */

static void order_make(struct order *o)
{
    *o = (struct order){.sequence = 3,
                        .issued = PKI_BEGIN + 100,
                        .not_before = PKI_BEGIN,
                        .not_after = PKI_END,
                        .window_from = PKI_BEGIN,
                        .window_until = PKI_BEGIN + 86400,
                        .lot_size = 500,
                        .nstations = 2};
    strcpy(o->id, "A1");
    strcpy(o->product, "Meter \"M\xc3\xbc\"");
    strcpy(o->factory, "Plant 1");
    strcpy(o->profile, "device");
    strcpy(o->endpoint, "mqtts://broker.example:8883");
    memcpy(o->ca, local.cert->sha256, SHA256_LEN);
    pem_encode("CERTIFICATE", bytes_span(&root.cert->der), &o->trust_bundle);
    sha256(bytes_span(&o->trust_bundle), o->trust_bundle_sha256);
    for (uint8_t i = 0; i < 2; i++) {
        struct order_station *s = &o->stations[i];
        snprintf(s->name, sizeof(s->name), "line%d", 7 + i);
        memset(s->manifest, 0x10 + i, SHA256_LEN);
        memset(s->seal, 0x20 + i, SHA256_LEN);
        s->sequence = 5u + i;
        s->quantity = 900;
        s->ids = block("MX1-", 6, 1 + 1000u * i, 1000);
    }
}

static enum rc order_try(struct span json, struct err *e)
{
    struct order o = {0};
    enum rc rc = order_decode("doc", json, &o, e);
    order_fini(&o);
    return rc;
}

static void test_order(void **state)
{
    (void)state;
    struct order o, back = {0};
    struct bytes json = BYTES_INIT, again = BYTES_INIT;
    struct err e = ERR_INIT;
    const struct order_station *s = NULL;

    order_make(&o);
    order_encode(&o, &json);
    check_ok(order_decode("doc", bytes_span(&json), &back, &e), &e);
    order_encode(&back, &again);
    assert_string_equal(bytes_str(&again), bytes_str(&json));
    assert_string_equal(back.product, o.product);
    assert_int_equal(back.stations[1].ids.first, 1001);
    assert_int_equal(back.window_until, o.window_until);

    check_ok(order_station_find(&back, o.stations[1].manifest, o.stations[1].seal, &s, &e), &e);
    assert_string_equal(s->name, "line8");
    check_fails(order_station_find(&back, o.stations[1].manifest, o.stations[0].seal, &s, &e), RC_DENIED, &e,
                "order.station");
    order_fini(&o);
    order_fini(&back);
    bytes_free(&json);
    bytes_free(&again);
}

static void test_order_strict(void **state)
{
    (void)state;
    static const struct change changes[] = {
        {"order.v1", "order.v2", "doc.schema"},
        {"{\"schema\"", "{\"extra\":1,\"schema\"", "doc.unknown-key"},
        {"\"order\":\"A1\",", "", "doc.missing"},
        {"\"order\":\"A1\"", "\"order\":\"../A1\"", "doc.value"},
        {"\"sequence\":3", "\"sequence\":0", "doc.value"},
        {"[\"sealed-batch\"]", "[\"station-key\"]", "order.mode"},
        {"[\"sealed-batch\"]", "[\"sealed-batch\",\"station-key\"]", "order.mode"},
        {"[\"sealed-batch\"]", "[]", "order.mode"},
        {"\"verification\":\"every\"", "\"verification\":\"sample\"", "order.verification"},
        {"\"verification\":\"every\"", "\"verification\":\"sampled\"", "doc.missing"},
        {"\"verification\":\"every\"", "\"verification\":\"sampled\",\"verify_every\":1", "doc.value"},
        {"\"verification\":\"every\"", "\"verification\":\"sampled\",\"verify_every\":1001", "doc.value"},
        {"\"verification\":\"every\"", "\"verification\":\"every\",\"verify_every\":7", "doc.unknown-key"},
        {"\"until\":\"2026-01-02", "\"until\":\"2026-01-01", "order.window"},
        {"\"not_after\":\"2036", "\"not_after\":\"2025", "order.validity"},
        {"line8", "line7", "order.duplicate"},
        {"1111111111111111111111111111111111111111111111111111111111111111",
         "1010101010101010101010101010101010101010101010101010101010101010", "order.duplicate"},
        {"2121212121212121212121212121212121212121212121212121212121212121",
         "2020202020202020202020202020202020202020202020202020202020202020", "order.duplicate"},
        {"2020202020202020202020202020202020202020202020202020202020202020",
         "1010101010101010101010101010101010101010101010101010101010101010", "order.station"},
        {"\"first\":1001", "\"first\":1000", "order.ids"},
        {"\"quantity\":900", "\"quantity\":1001", "order.ids"},
        {"\"digits\":6", "\"digits\":3", "order.ids"},
        {"\"lot_size\":500", "\"lot_size\":0", "doc.value"},
        {"\"stations\":[{", "\"stations\":[],\"x\":[{", "order.stations"},
        {"-----BEGIN", "\\n-----BEGIN", "order.trust-bundle"},
        {"-----BEGIN CERTIFICATE-----\\nMII", "-----BEGIN CERTIFICATE-----\\nMIJ", "order.trust-bundle"},
        {"\"quantity\":900", "\"quantity\":1e2", "doc.value"},
        {"\"window\":{", "\"window\":{\"extra\":0,", "doc.unknown-key"},
        {"\"ids\":{", "\"ids\":{\"extra\":0,", "doc.unknown-key"},
    };
    struct order o;
    struct bytes json = BYTES_INIT;
    order_make(&o);
    order_encode(&o, &json);
    CHANGES(&json, order_try, changes);

    struct err e = ERR_INIT;
    bytes_add_str(&json, "x");
    check_fails(order_try(bytes_span(&json), &e), RC_INPUT, &e, "doc.syntax");
    order_fini(&o);
    bytes_free(&json);
}

/* Every signature verified is what an order says that does not speak of it; another choice cannot be
 * overlooked by a tool that does not know it. */
static void test_order_sampling(void **state)
{
    (void)state;
    struct order o, back = {0};
    struct bytes every = BYTES_INIT, json = BYTES_INIT;
    struct err e = ERR_INIT;
    order_make(&o);
    order_encode(&o, &every);
    check_ok(order_decode("doc", bytes_span(&every), &back, &e), &e);
    assert_int_equal(back.verify_every, 1);
    order_encode(&back, &json);
    assert_true(span_eq(bytes_span(&json), bytes_span(&every)));
    assert_null(strstr(bytes_str(&every), "verify_every"));
    order_fini(&back);

    o.verify_every = 7;
    bytes_reset(&json);
    order_encode(&o, &json);
    assert_non_null(strstr(bytes_str(&json), "\"verification\":\"sampled\",\"verify_every\":7,"));
    check_ok(order_decode("doc", bytes_span(&json), &back, &e), &e);
    assert_int_equal(back.verify_every, 7);
    order_fini(&back);
    order_fini(&o);
    bytes_free(&json);
    bytes_free(&every);
}

static void test_order_limits(void **state)
{
    (void)state;
    struct order o;
    struct bytes json = BYTES_INIT;
    struct err e = ERR_INIT;
    order_make(&o);
    o.lot_size = 1;
    o.stations[1].quantity = 900000;
    o.stations[1].ids = block("MX2-", 6, 1, 900000);
    order_encode(&o, &json);
    check_fails(order_try(bytes_span(&json), &e), RC_INPUT, &e, "order.lots");
    bytes_reset(&json);
    o.lot_size = 500;
    o.stations[1].quantity = ORDER_QUANTITY_MAX;
    o.stations[1].ids = block("MX2-", 7, 1, ORDER_QUANTITY_MAX);
    order_encode(&o, &json);
    check_fails(order_try(bytes_span(&json), &e), RC_INPUT, &e, "order.quantity");
    order_fini(&o);
    bytes_free(&json);
}

/* lists */

static void list_make(struct device_list *l, enum list_kind kind)
{
    *l = (struct device_list){.kind = kind, .sequence = 1, .issued = PKI_BEGIN, .ndevices = 2};
    l->devices = mem_array(2, sizeof(*l->devices));
    for (uint8_t i = 0; i < 2; i++) {
        snprintf(l->devices[i].id, sizeof(l->devices[i].id), "MX1-00000%d", i + 1);
        memset(l->devices[i].cert, 0x30 + i, SHA256_LEN);
        memset(l->devices[i].issuer, 0x40, SHA256_LEN);
    }
    if (kind == LIST_RELEASE)
        return;
    strcpy(l->reason, "keyCompromise");
    strcpy(l->order, "A1");
    l->nissuers = 2;
    l->issuers = mem_array(2, sizeof(*l->issuers));
    memset(l->issuers[0], 0x50, SHA256_LEN);
    memset(l->issuers[1], 0x51, SHA256_LEN);
}

static enum rc release_try(struct span json, struct err *e)
{
    struct device_list l = {0};
    enum rc rc = list_decode("doc", LIST_RELEASE, json, &l, e);
    list_fini(&l);
    return rc;
}

static enum rc revocation_try(struct span json, struct err *e)
{
    struct device_list l = {0};
    enum rc rc = list_decode("doc", LIST_REVOCATION, json, &l, e);
    list_fini(&l);
    return rc;
}

static void test_lists(void **state)
{
    (void)state;
    for (int kind = LIST_RELEASE; kind <= LIST_REVOCATION; kind++) {
        struct device_list l, back = {0};
        struct bytes json = BYTES_INIT, again = BYTES_INIT;
        struct err e = ERR_INIT;
        list_make(&l, (enum list_kind)kind);
        list_encode(&l, &json);
        check_ok(list_decode("doc", (enum list_kind)kind, bytes_span(&json), &back, &e), &e);
        list_encode(&back, &again);
        assert_string_equal(bytes_str(&again), bytes_str(&json));
        assert_int_equal(back.nissuers, kind == LIST_REVOCATION ? 2 : 0);
        /* one kind is never taken for the other */
        decode_fn *other = kind == LIST_RELEASE ? revocation_try : release_try;
        check_fails(other(bytes_span(&json), &e), RC_INPUT, &e, "doc.schema");
        list_fini(&l);
        list_fini(&back);
        bytes_free(&json);
        bytes_free(&again);
    }
}

static void test_lists_strict(void **state)
{
    (void)state;
    static const struct change on_release[] = {
        {"\"sequence\":1", "\"sequence\":2", "list.previous"},
        {"\"previous\":\"0", "\"previous\":\"1", "list.previous"},
        {"MX1-000002", "MX1-000001", "list.duplicate"},
        {"3131313131313131313131313131313131313131313131313131313131313131",
         "3030303030303030303030303030303030303030303030303030303030303030", "list.duplicate"},
        {"MX1-000002", "MX1/000002", "doc.value"},
        {"\"issued\"", "\"reason\":\"keyCompromise\",\"issued\"", "doc.unknown-key"},
        {"\"cert_sha256\":\"30", "\"cert_sha256\":\"", "doc.value"},
        {"{\"id\"", "{\"x\":1,\"id\"", "doc.unknown-key"},
    };
    static const struct change on_revocation[] = {
        {"keyCompromise", "because", "list.reason"},
        {"keyCompromise", "removeFromCRL", "list.reason"},
        {"keyCompromise", "certificateHold", "list.reason"},
        {"5151515151515151515151515151515151515151515151515151515151515151",
         "5050505050505050505050505050505050505050505050505050505050505050", "list.duplicate"},
        {"\"5151", "\"51", "doc.value"},
        {"\"issuers\"", "\"x\":1,\"issuers\"", "doc.unknown-key"},
    };
    struct device_list l;
    struct bytes json = BYTES_INIT;
    struct err e = ERR_INIT;
    list_make(&l, LIST_RELEASE);
    list_encode(&l, &json);
    CHANGES(&json, release_try, on_release);
    l.ndevices = 0;
    bytes_reset(&json);
    list_encode(&l, &json);
    check_fails(release_try(bytes_span(&json), &e), RC_INPUT, &e, "list.empty");
    list_fini(&l);

    list_make(&l, LIST_REVOCATION);
    bytes_reset(&json);
    list_encode(&l, &json);
    CHANGES(&json, revocation_try, on_revocation);
    l.ndevices = 0;
    l.nissuers = 0;
    bytes_reset(&json);
    list_encode(&l, &json);
    check_ok(revocation_try(bytes_span(&json), &e), &e); /* an order alone */
    list_fini(&l);
    bytes_free(&json);
}

/* signed */

static const char statement[] = "{\"issued\":\"2026-01-01T00:01:40Z\",\"x\":1}";

static void sign(const struct pki_leaf *who, const char *json, struct bytes *ret)
{
    struct cms_chain chain;
    struct err e = ERR_INIT;
    pki_chain(who, &online, &root, &chain);
    check_ok(signed_make(who->key, &chain, span_str(json), PKI_BEGIN + 100, ret, &e), &e);
    cms_chain_free(&chain);
}

static enum rc open_as(const struct bytes *der, const struct pki_ca *issuer, enum role role, struct err *e)
{
    struct trust trust = pki_trust(&root, issuer);
    struct signed_doc doc = {0};
    enum rc rc = signed_open("doc", bytes_span(der), &trust, role, &doc, e);
    signed_free(&doc);
    return rc;
}

static void test_signed(void **state)
{
    (void)state;
    struct bytes der = BYTES_INIT;
    struct err e = ERR_INIT;
    struct trust trust = pki_trust(&root, &online);
    struct signed_doc doc = {0};
    uint8_t hash[SHA256_LEN];

    sign(&office, statement, &der);
    check_ok(signed_open("doc", bytes_span(&der), &trust, ROLE_OFFICE, &doc, &e), &e);
    assert_string_equal(bytes_str(&doc.content), statement);
    assert_memory_equal(doc.signer, office.cert->sha256, SHA256_LEN);
    sha256(bytes_span(&doc.content), hash); /* not the file's: its signature can be exchanged by anybody */
    assert_memory_equal(doc.sha256, hash, SHA256_LEN);
    signed_free(&doc);

    check_fails(open_as(&der, &online, ROLE_RELEASE, &e), RC_DENIED, &e, "verify.role");
    check_fails(open_as(&der, &local, ROLE_OFFICE, &e), RC_DENIED, &e, "verify.issuer");
    memset(trust.root, 0x77, SHA256_LEN);
    check_fails(signed_open("doc", bytes_span(&der), &trust, ROLE_OFFICE, &doc, &e), RC_DENIED, &e,
                "verify.root");
    check_ok(signed_peek("doc", bytes_span(&der), &doc, &e), &e);
    signed_free(&doc);

    const uint8_t *one = memmem(der.p, der.n, "\"x\":1", 5);
    assert_non_null(one);
    der.p[one + 4 - der.p] = '2';
    check_fails(open_as(&der, &online, ROLE_OFFICE, &e), RC_INPUT, &e, "sign.cms");
    bytes_free(&der);
}

/* The document names its time, and must be of the signer's. */
static void test_signed_time(void **state)
{
    (void)state;
    struct bytes der = BYTES_INIT;
    struct err e = ERR_INIT;
    sign(&office, "{\"issued\":\"2025-12-31T23:59:59Z\"}", &der);
    check_fails(open_as(&der, &online, ROLE_OFFICE, &e), RC_DENIED, &e, "verify.expired");
    bytes_reset(&der);
    sign(&office, "{\"issue\":\"2026-01-02T00:00:00Z\"}", &der);
    check_fails(open_as(&der, &online, ROLE_OFFICE, &e), RC_INPUT, &e, "doc.missing");
    bytes_free(&der);
}

static void test_signed_detached(void **state)
{
    (void)state;
    struct bytes der = BYTES_INIT, attached = BYTES_INIT;
    struct err e = ERR_INIT;
    struct trust trust = pki_trust(&root, &online);
    struct signed_doc doc = {0};
    struct cms_chain chain;

    pki_chain(&office, &online, &root, &chain);
    check_ok(signed_make_detached(office.key, &chain, span_str(statement), PKI_BEGIN + 100, &der, &e), &e);
    assert_null(memmem(der.p, der.n, "issued", 6));
    check_ok(
        signed_open_detached("doc", bytes_span(&der), span_str(statement), &trust, ROLE_OFFICE, &doc, &e),
        &e);
    assert_string_equal(bytes_str(&doc.content), statement);
    signed_free(&doc);

    char *other = replaced(statement, "\"x\":1", "\"x\":2");
    check_fails(signed_open_detached("doc", bytes_span(&der), span_str(other), &trust, ROLE_OFFICE, &doc, &e),
                RC_INPUT, &e, "sign.cms");
    check_fails(signed_open("doc", bytes_span(&der), &trust, ROLE_OFFICE, &doc, &e), RC_INPUT, &e,
                "sign.cms");
    sign(&office, statement, &attached);
    check_fails(signed_open_detached("doc", bytes_span(&attached), span_str(statement), &trust, ROLE_OFFICE,
                                     &doc, &e),
                RC_INPUT, &e, "sign.cms");
    check_fails(
        signed_open_detached("doc", bytes_span(&der), span_str(statement), &trust, ROLE_RELEASE, &doc, &e),
        RC_DENIED, &e, "verify.role");
    free(other);
    cms_chain_free(&chain);
    bytes_free(&der);
    bytes_free(&attached);
}

/* batch */

static void batch_sample(struct batch *b)
{
    *b = (struct batch){.issued = PKI_BEGIN, .count = 501, .lot_size = 500, .nlots = 2};
    strcpy(b->id, "A1.line7");
    strcpy(b->order, "A1");
    strcpy(b->station, "line7");
    memset(b->order_sha256, 1, SHA256_LEN);
    memset(b->seal, 2, SHA256_LEN);
    memset(b->devices_sha256, 3, SHA256_LEN);
    memset(b->merkle_root, 4, SHA256_LEN);
    memcpy(b->ca, local.cert->sha256, SHA256_LEN);
    pem_encode("CERTIFICATE", bytes_span(&local.cert->der), &b->chain);
    b->lots = mem_array(2, sizeof(*b->lots));
    memset(b->lots[0].sha256, 5, SHA256_LEN);
    memset(b->lots[1].sha256, 6, SHA256_LEN);
}

static enum rc batch_try(struct span json, struct err *e)
{
    struct batch b = {0};
    enum rc rc = batch_decode("doc", json, &b, e);
    batch_fini(&b);
    return rc;
}

static void test_batch(void **state)
{
    (void)state;
    static const struct change changes[] = {
        {"\"batch\":\"A1.line7\"", "\"batch\":\"A1.line8\"", "batch.id"},
        {"\"count\":501", "\"count\":500", "batch.lots"},
        {"\"count\":501", "\"count\":1001", "batch.lots"},
        {"\"ca_sha256\":\"", "\"ca_sha256\":\"00", "doc.value"},
        {"batch.v1", "order.v1", "doc.schema"},
        {"\"lots\"", "\"x\":1,\"lots\"", "doc.unknown-key"},
        {"\"0606", "\"06", "doc.value"},
        {"\"station\":\"line7\"", "\"station\":\"a/b\"", "doc.value"},
    };
    struct batch b, back = {0};
    struct bytes json = BYTES_INIT, again = BYTES_INIT;
    struct err e = ERR_INIT;

    batch_sample(&b);
    batch_encode(&b, &json);
    check_ok(batch_decode("doc", bytes_span(&json), &back, &e), &e);
    batch_encode(&back, &again);
    assert_string_equal(bytes_str(&again), bytes_str(&json));
    CHANGES(&json, batch_try, changes);
    memset(b.ca, 9, SHA256_LEN);
    bytes_reset(&json);
    batch_encode(&b, &json);
    check_fails(batch_try(bytes_span(&json), &e), RC_INPUT, &e, "batch.chain");
    batch_fini(&b);
    batch_fini(&back);
    bytes_free(&json);
    bytes_free(&again);
}

static void pkcs8_new(struct secret **ret)
{
    const struct alg *a = alg_by_name("ec-p256");
    struct devkey_gen *g = NULL;
    struct secret *scalar = secret_new(64);
    struct bytes point = BYTES_INIT;
    struct err e = ERR_INIT;
    check_ok(devkey_gen_new(a, &g, &e), &e);
    check_ok(devkey_make(g, scalar, &point, &e), &e);
    *ret = secret_new(PKCS8_MAX);
    pkcs8_encode(a, scalar, bytes_span(&point), *ret);
    devkey_gen_free(g);
    secret_free(scalar);
    bytes_free(&point);
}

static struct secret *lot_key(uint8_t fill)
{
    struct secret *s = secret_new(LOT_KEY_LEN);
    memset(secret_data(s), fill, LOT_KEY_LEN);
    secret_set_len(s, LOT_KEY_LEN);
    return s;
}

/* A certificate over the public key of a PKCS#8. */
static struct cert *cert_for(const struct secret *pkcs8, const char *id)
{
    struct signer *s = NULL;
    struct err e = ERR_INIT;
    check_ok(softkey_load((struct span){secret_data(pkcs8), secret_len(pkcs8)}, KEY_SIGN, &s, &e), &e);
    struct cert *c = pki_cert_for(s, id, "1.3.6.1.5.5.7.3.2", &local);
    signer_free(s);
    return c;
}

static void test_batch_line(void **state)
{
    (void)state;
    struct secret *pkcs8 = NULL, *other = NULL, *back = NULL, *key = lot_key(1), *wrong = lot_key(2);
    struct bytes line = BYTES_INIT;
    struct batch_device d = {0};
    struct err e = ERR_INIT;

    pkcs8_new(&pkcs8);
    pkcs8_new(&other);
    struct cert *cert = cert_for(pkcs8, "MX1-000001");
    struct span der = bytes_span(&cert->der);
    check_ok(batch_line_seal(key, "A1.line7", 2, "MX1-000001", der, pkcs8, &line, &e), &e);
    check_ok(batch_line_decode("doc", 1, bytes_span(&line), &d, &e), &e);
    check_ok(batch_line_open(key, "A1.line7", 2, &d, &back, &e), &e);
    assert_int_equal(secret_len(back), secret_len(pkcs8));
    assert_memory_equal(secret_data(back), secret_data(pkcs8), secret_len(pkcs8));
    secret_free(back);

    check_fails(batch_line_open(wrong, "A1.line7", 2, &d, &back, &e), RC_INPUT, &e, "sign.jwe");
    check_fails(batch_line_open(key, "A1.line7", 1, &d, &back, &e), RC_INPUT, &e, "batch.header");
    check_fails(batch_line_open(key, "B1.line7", 2, &d, &back, &e), RC_INPUT, &e, "batch.header");
    strcpy(d.id, "MX1-000002"); /* the id is in the key's derivation */
    check_fails(batch_line_open(key, "A1.line7", 2, &d, &back, &e), RC_INPUT, &e, "sign.jwe");
    strcpy(d.id, "MX1-000001");
    struct cert *twin = cert_for(pkcs8, "MX1-000001");
    bytes_reset(&d.cert);
    bytes_add_span(&d.cert, bytes_span(&twin->der));
    check_fails(batch_line_open(key, "A1.line7", 2, &d, &back, &e), RC_INPUT, &e, "batch.header");
    batch_device_fini(&d);

    /* sealed all right, but another device's key */
    bytes_reset(&line);
    check_ok(batch_line_seal(key, "A1.line7", 2, "MX1-000001", der, other, &line, &e), &e);
    check_ok(batch_line_decode("doc", 1, bytes_span(&line), &d, &e), &e);
    check_fails(batch_line_open(key, "A1.line7", 2, &d, &back, &e), RC_INPUT, &e, "batch.key");
    batch_device_fini(&d);
    cert_free(cert);
    cert_free(twin);
    secret_free(pkcs8);
    secret_free(other);
    secret_free(key);
    secret_free(wrong);
    bytes_free(&line);
}

static enum rc line_try(struct span json, struct err *e)
{
    struct batch_device d = {0};
    enum rc rc = batch_line_decode("doc", 12, json, &d, e);
    batch_device_fini(&d);
    if (rc != RC_OK)
        assert_non_null(strstr(e->text, "doc:12: "));
    return rc;
}

static void test_batch_line_strict(void **state)
{
    (void)state;
    static const struct change changes[] = {
        {"MX1-000001", "MX1-000002", "batch.cert"},
        {"\"cert\":\"MII", "\"cert\":\"MIJ", "x509.cert"},
        {"\"cert\":\"MII", "\"cert\":\"M*I", "doc.value"},
        {"\"key\"", "\"x\":1,\"key\"", "doc.unknown-key"},
        {"\"key\"", "\"id\":\"a\",\"key\"", "doc.duplicate"},
    };
    struct secret *pkcs8 = NULL, *key = lot_key(1);
    struct bytes line = BYTES_INIT;
    struct err e = ERR_INIT;
    pkcs8_new(&pkcs8);
    struct cert *cert = cert_for(pkcs8, "MX1-000001");
    check_ok(batch_line_seal(key, "A1.line7", 2, "MX1-000001", bytes_span(&cert->der), pkcs8, &line, &e), &e);
    CHANGES(&line, line_try, changes);
    cert_free(cert);
    secret_free(pkcs8);
    secret_free(key);
    bytes_free(&line);
}

/* The derivation is a format: RFC 5869 with SHA-256, computed here by another program (docs/formats.md says
 * how). */
static void test_device_key(void **state)
{
    (void)state;
    struct secret *lot = lot_key(7), *key = NULL;
    struct err e = ERR_INIT;
    char hex[2 * LOT_KEY_LEN + 1];
    check_ok(batch_device_key(lot, "A1.line7", "MX1-000001", &key, &e), &e);
    hex_encode((struct span){secret_data(key), secret_len(key)}, hex);
    assert_string_equal(hex, "a2c6e81fff3d73414de38c4a86e468d03a4200bde6e34ed1d00267e5c3a6495e");
    secret_free(lot);
    secret_free(key);
}

/* manifest */

enum { DEVICES = 6 };
static struct pki_leaf devices[DEVICES];
static char *lines[DEVICES + 2]; /* of the good manifest, without LF */

static struct manifest_header header_make(void)
{
    struct manifest_header h = {.order = "A1", .station = "line7", .started = PKI_BEGIN + 50};
    memset(h.order_sha256, 8, SHA256_LEN);
    memset(h.trust_bundle, 9, SHA256_LEN);
    memcpy(h.ca, local.cert->sha256, SHA256_LEN);
    return h;
}

static struct manifest_line line_make(int i)
{
    const struct cert *c = devices[i].cert;
    struct manifest_line l = {.state = (enum device_state)(i % STATE_COUNT),
                              .cert = c->der,
                              .not_before = c->not_before,
                              .not_after = c->not_after};
    strcpy(l.id, c->cn);
    memcpy(l.cert_sha256, c->sha256, SHA256_LEN);
    sha256(c->spki, l.spki_sha256);
    if (l.state != STATE_UNUSED) {
        l.delivered = PKI_BEGIN + 60;
        l.finished = PKI_BEGIN + 70;
    }
    if (l.state == STATE_SCRAPPED)
        strcpy(l.reason, "solder fault");
    return l;
}

/* Writes A1.manifest.jsonl with the first n devices. */
static struct checkpoint write_manifest(int n)
{
    struct manifest_header h = header_make();
    struct manifest_writer *w = NULL;
    struct checkpoint c = {.issued = PKI_BEGIN + 100, .journal_records = 9};
    struct err e = ERR_INIT;
    memset(c.journal_after, 0xaa, SHA256_LEN);
    check_ok(manifest_begin(at("A1.manifest.jsonl"), &h, &w, &e), &e);
    for (int i = 0; i < n; i++) {
        struct manifest_line l = line_make(i);
        check_ok(manifest_add(w, &l, &e), &e);
    }
    check_ok(manifest_end(w, &c, &e), &e);
    return c;
}

static void write_checkpoint(const struct checkpoint *c, const struct pki_leaf *who)
{
    struct bytes json = BYTES_INIT, der = BYTES_INIT;
    struct err e = ERR_INIT;
    checkpoint_encode(c, &json);
    sign(who, bytes_str(&json), &der);
    check_ok(file_publish(at("A1.checkpoint"), 0600, bytes_span(&der), &e), &e);
    bytes_free(&json);
    bytes_free(&der);
}

static int manifest_start(void **state)
{
    char id[16];
    struct bytes text = BYTES_INIT;
    struct err e = ERR_INIT;
    if (folder_make(state) != 0)
        return -1;
    for (int i = 0; i < DEVICES; i++) {
        snprintf(id, sizeof(id), "MX1-00000%d", i + 1);
        pki_leaf_make(&devices[i], id, "1.3.6.1.5.5.7.3.2", &local);
    }
    struct checkpoint c = write_manifest(DEVICES);
    write_checkpoint(&c, &station);
    check_ok(file_read(at("A1.manifest.jsonl"), FILE_DOC_MAX, &text, &e), &e);
    char *rest = (char *)text.p;
    for (int i = 0; i < DEVICES + 2; i++)
        lines[i] = mem_str(strsep(&rest, "\n"));
    assert_string_equal(rest, "");
    bytes_free(&text);
    return 0;
}

static int manifest_stop(void **state)
{
    for (int i = 0; i < DEVICES; i++)
        pki_leaf_fini(&devices[i]);
    for (int i = 0; i < DEVICES + 2; i++)
        free(lines[i]);
    return folder_remove(state);
}

static enum rc count_line(void *arg, const struct manifest_line *l, struct err *e)
{
    int *n = arg;
    (void)e;
    struct manifest_line expected = line_make(*n);
    assert_string_equal(l->id, expected.id);
    assert_int_equal(l->state, expected.state);
    assert_int_equal(l->delivered, expected.delivered);
    assert_int_equal(l->finished, expected.finished);
    assert_string_equal(l->reason, expected.reason);
    assert_true(span_eq(bytes_span(&l->cert), bytes_span(&expected.cert)));
    (*n)++;
    return RC_OK;
}

static enum rc stop_at(void *arg, const struct manifest_line *l, struct err *e)
{
    (void)arg;
    return err_set(e, RC_CONFLICT, "test.stop", "'%s'", l->id);
}

static enum rc verify_with(const struct pki_ca *issuer, struct err *e)
{
    struct trust trust = pki_trust(&root, issuer);
    struct manifest_view v;
    return manifest_verify(at("A1.manifest.jsonl"), at("A1.checkpoint"), &trust, NULL, NULL, &v, e);
}

static void test_manifest(void **state)
{
    (void)state;
    struct trust trust = pki_trust(&root, &online);
    struct manifest_view v;
    struct err e = ERR_INIT;
    int n = 0;
    check_ok(manifest_verify(at("A1.manifest.jsonl"), at("A1.checkpoint"), &trust, count_line, &n, &v, &e),
             &e);
    assert_int_equal(n, DEVICES);
    assert_int_equal(v.checkpoint.count, DEVICES);
    assert_int_equal(v.checkpoint.counts[STATE_GOOD], 2);
    assert_int_equal(v.checkpoint.journal_records, 9);
    assert_string_equal(v.header.station, "line7");
    assert_memory_equal(v.header.ca, local.cert->sha256, SHA256_LEN);
    assert_memory_equal(v.signer, station.cert->sha256, SHA256_LEN);
    check_fails(manifest_verify(at("A1.manifest.jsonl"), at("A1.checkpoint"), &trust, stop_at, NULL, &v, &e),
                RC_CONFLICT, &e, "test.stop");
    trust.has_issuer = false;
    check_ok(manifest_verify(at("A1.manifest.jsonl"), at("A1.checkpoint"), &trust, NULL, NULL, &v, &e), &e);
    check_fails(verify_with(&local, &e), RC_DENIED, &e, "verify.issuer");
}

/* Publishes these lines, in this order; NULL ends them. end is put behind the last. */
static void put_lines(const char *const *chosen, const char *end)
{
    struct bytes b = BYTES_INIT;
    for (size_t i = 0; chosen[i] != NULL; i++)
        bytes_printf(&b, "%s%s", chosen[i], chosen[i + 1] != NULL ? "\n" : end);
    put(at("A1.manifest.jsonl"), bytes_str(&b));
    bytes_free(&b);
}

static void check_refused(const char *const *chosen, const char *key, const char *says)
{
    struct err e = ERR_INIT;
    put_lines(chosen, "\n");
    check_fails(verify_with(&online, &e), RC_INPUT, &e, key);
    if (strstr(e.text, says) == NULL)
        fail_msg("'%s' does not say '%s'", e.text, says);
}

/* Lines dropped, doubled, swapped, spliced; the trailer, which no key protects, is put right where that
 * helps. */
static void test_manifest_lines(void **state)
{
    (void)state;
    char **l = lines;
    char *five =
        replaced(l[7], "\"count\":6,\"counts\":{\"unused\":2", "\"count\":5,\"counts\":{\"unused\":1");
    char *header =
        replaced(l[0], "\"started\":\"2026-01-01T00:00:50Z\"", "\"started\":\"2026-01-01T00:00:51Z\"");
    char *late = replaced(l[1], "\"state\":\"unused\"",
                          "\"state\":\"scrapped\",\"finished\":\"2026-01-01T00:01:00Z\"");
    char *moved =
        replaced(l[7], "\"unused\":2,\"good\":2,\"scrapped\":2", "\"unused\":1,\"good\":2,\"scrapped\":3");

    check_refused((const char *[]){l[0], l[2], l[3], l[4], l[5], l[6], l[7], NULL}, "manifest.counts",
                  ":7: ");
    check_refused((const char *[]){l[0], l[2], l[3], l[4], l[5], l[6], five, NULL}, "manifest.counts",
                  "5 devices");
    check_refused((const char *[]){l[0], l[1], l[1], l[2], l[3], l[4], l[5], l[6], l[7], NULL},
                  "manifest.duplicate", ":3: ");
    check_refused((const char *[]){l[0], l[2], l[1], l[3], l[4], l[5], l[6], l[7], NULL}, "manifest.root",
                  "Merkle");
    check_refused((const char *[]){l[0], l[4], l[2], l[3], l[1], l[5], l[6], l[7], NULL}, "manifest.root",
                  "Merkle");
    check_refused((const char *[]){l[0], late, l[2], l[3], l[4], l[5], l[6], moved, NULL}, "manifest.counts",
                  "3 scrapped");
    check_refused((const char *[]){header, l[1], l[2], l[3], l[4], l[5], l[6], l[7], NULL}, "manifest.header",
                  ":1: ");
    check_refused((const char *[]){l[1], l[2], l[3], l[4], l[5], l[6], l[7], NULL}, "manifest.order", ":1: ");
    check_refused((const char *[]){l[0], l[0], l[1], l[2], l[3], l[4], l[5], l[6], l[7], NULL},
                  "manifest.order", ":2: ");
    check_refused((const char *[]){l[0], l[1], l[2], l[3], l[4], l[5], l[6], NULL}, "manifest.cut",
                  "trailer");
    check_refused((const char *[]){l[0], l[1], l[2], l[3], l[4], l[5], l[6], l[7], l[7], NULL},
                  "manifest.trailing", ":9: ");
    check_refused((const char *[]){l[0], l[1], "", l[2], NULL}, "lines.empty", ":3: ");
    check_refused((const char *[]){"", NULL}, "lines.empty", ":1: ");

    struct err e = ERR_INIT;
    const char *const all[] = {l[0], l[1], l[2], l[3], l[4], l[5], l[6], l[7], NULL};
    put_lines(all, "");
    check_fails(verify_with(&online, &e), RC_INPUT, &e, "lines.cut");
    put_lines(all, "\n ");
    check_fails(verify_with(&online, &e), RC_INPUT, &e, "lines.cut");
    put(at("A1.manifest.jsonl"), "");
    check_fails(verify_with(&online, &e), RC_INPUT, &e, "manifest.cut");
    put_lines(all, "\n");
    check_ok(verify_with(&online, &e), &e);
    free(five);
    free(header);
    free(late);
    free(moved);
}

/* One member of one line changed; everything that the line says of itself is checked on that line. */
static void test_manifest_members(void **state)
{
    (void)state;
    static const struct change changes[] = {
        {"\"id\":\"MX1-000002\"", "\"id\":\"MX1-000009\"", "manifest.cert"},
        {"\"cert\":\"MII", "\"cert\":\"MIJ", "manifest.cert"},
        {"\"cert_sha256\":\"", "\"cert_sha256\":\"00", "doc.value"},
        {"\"not_before\":\"2026", "\"not_before\":\"2025", "manifest.cert"},
        {"\"state\":\"good\"", "\"state\":\"great\"", "doc.value"},
        {"\"state\":\"good\"", "\"state\":\"unused\"", "manifest.state"},
        {",\"delivered\":\"2026-01-01T00:01:00Z\"", "", "manifest.state"},
        {"\"finished\":\"2026-01-01T00:01:10Z\"", "\"finished\":\"2026-01-01T00:00:10Z\"", "manifest.state"},
        {"\"finished\":\"", "\"reason\":\"x\",\"finished\":\"", "manifest.state"},
        {"\"type\":\"device\"", "\"type\":\"gadget\"", "doc.value"},
        {"\"type\":\"device\",", "", "doc.missing"},
        {"\"type\"", "\"x\":1,\"type\"", "doc.unknown-key"},
        {"\"type\"", " \"type\"", "manifest.root"}, /* the exact octets count */
    };
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        char *line = replaced(lines[2], changes[i].from, changes[i].to);
        check_refused((const char *[]){lines[0], lines[1], line, lines[3], lines[4], lines[5], lines[6],
                                       lines[7], NULL},
                      changes[i].key, i + 1 < sizeof(changes) / sizeof(changes[0]) ? ":3: " : "Merkle");
        free(line);
    }
    /* the hashes of another device beside this certificate */
    struct manifest_line l = line_make(1);
    struct manifest_line other = line_make(2);
    char mine[65], theirs[65];
    hex_encode((struct span){l.spki_sha256, SHA256_LEN}, mine);
    hex_encode((struct span){other.spki_sha256, SHA256_LEN}, theirs);
    char *line = replaced(lines[2], mine, theirs);
    check_refused((const char *[]){lines[0], lines[1], line, NULL}, "manifest.cert", "spki_sha256");
    free(line);
}

/* A consistent manifest of other devices is not what the station signed, and nobody else may sign. */
static void test_manifest_signers(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct pki_leaf stranger;
    struct checkpoint c = write_manifest(DEVICES - 1);
    check_fails(verify_with(&online, &e), RC_INPUT, &e, "manifest.counts");
    write_checkpoint(&c, &release);
    check_fails(verify_with(&online, &e), RC_DENIED, &e, "verify.role");
    write_checkpoint(&c, &station);
    check_ok(verify_with(&online, &e), &e);
    c.merkle_root[0] ^= 1;
    write_checkpoint(&c, &station);
    check_fails(verify_with(&online, &e), RC_INPUT, &e, "manifest.root");
    c.merkle_root[0] ^= 1;
    c.manifest_sha256[0] ^= 1;
    write_checkpoint(&c, &station);
    check_fails(verify_with(&online, &e), RC_INPUT, &e, "manifest.root");
    c.manifest_sha256[0] ^= 1;
    c.order_sha256[0] ^= 1;
    write_checkpoint(&c, &station);
    check_fails(verify_with(&online, &e), RC_INPUT, &e, "manifest.header");

    /* a station certificate that a local CA minted: sign() takes the chain of online-ca, so the path does not
     * hold */
    c.order_sha256[0] ^= 1;
    pki_leaf_make(&stranger, "line7", role_oid(ROLE_STATION_MANIFEST), &local);
    struct cms_chain chain;
    struct bytes json = BYTES_INIT, der = BYTES_INIT;
    pki_chain(&stranger, &local, &root, &chain);
    checkpoint_encode(&c, &json);
    check_ok(signed_make(stranger.key, &chain, bytes_span(&json), PKI_BEGIN + 100, &der, &e), &e);
    check_ok(file_publish(at("A1.checkpoint"), 0600, bytes_span(&der), &e), &e);
    check_fails(verify_with(&online, &e), RC_DENIED, &e, "verify.issuer");
    cms_chain_free(&chain);
    bytes_free(&json);
    bytes_free(&der);
    pki_leaf_fini(&stranger);
    c = write_manifest(DEVICES);
    write_checkpoint(&c, &station);
}

static enum rc checkpoint_try(struct span json, struct err *e)
{
    struct checkpoint c;
    return checkpoint_decode("doc", json, &c, e);
}

static void test_checkpoint(void **state)
{
    (void)state;
    static const struct change changes[] = {
        {"checkpoint.v1", "checkpoint.v2", "doc.schema"},
        {"\"counts\":{", "\"counts\":{\"lost\":1,", "doc.unknown-key"},
        {"\"journal\":{", "\"journal\":{\"x\":1,", "doc.unknown-key"},
        {"\"good\":2,", "", "doc.missing"},
        {"\"count\":6", "\"count\":-1", "doc.value"},
        {"\"records\":9", "\"records\":\"9\"", "doc.value"},
    };
    struct checkpoint c = write_manifest(DEVICES), back;
    struct bytes json = BYTES_INIT;
    struct err e = ERR_INIT;
    checkpoint_encode(&c, &json);
    check_ok(checkpoint_decode("doc", bytes_span(&json), &back, &e), &e);
    assert_memory_equal(back.journal_after, c.journal_after, SHA256_LEN);
    assert_memory_equal(back.header_sha256, c.header_sha256, SHA256_LEN);
    assert_int_equal(back.issued, c.issued);
    CHANGES(&json, checkpoint_try, changes);
    bytes_free(&json);
}

static void test_abort_leaves_nothing(void **state)
{
    (void)state;
    struct manifest_header h = header_make();
    struct manifest_writer *w = NULL;
    struct manifest_line l = line_make(0);
    struct err e = ERR_INIT;
    int before = names(folder);
    check_ok(manifest_begin(at("B1.manifest.jsonl"), &h, &w, &e), &e);
    check_ok(manifest_add(w, &l, &e), &e);
    assert_int_equal(names(folder), before + 1);
    assert_false(file_exists(at("B1.manifest.jsonl")));
    manifest_abort(w);
    assert_int_equal(names(folder), before);
}

/* helpers of the module */

static void test_lines(void **state)
{
    (void)state;
    struct bytes b = BYTES_INIT;
    struct lines *r = NULL;
    struct span line;
    struct err e = ERR_INIT;
    bool end = false;
    memset(bytes_room(&b, LINE_MAX_OCTETS), 'a', LINE_MAX_OCTETS);
    b.n += LINE_MAX_OCTETS;
    bytes_add_str(&b, "\nb\n");
    memset(bytes_room(&b, LINE_MAX_OCTETS + 1), 'c', LINE_MAX_OCTETS + 1);
    b.n += LINE_MAX_OCTETS + 1;
    bytes_add_str(&b, "\n");
    check_ok(file_publish(at("lines"), 0600, bytes_span(&b), &e), &e);
    check_ok(lines_open(at("lines"), &r, &e), &e);
    check_ok(lines_next(r, &line, &end, &e), &e);
    assert_int_equal(line.n, LINE_MAX_OCTETS);
    check_ok(lines_next(r, &line, &end, &e), &e);
    assert_true(span_eq(line, SPAN("b")));
    assert_int_equal(lines_number(r), 2);
    check_fails(lines_next(r, &line, &end, &e), RC_INPUT, &e, "lines.long");
    assert_non_null(strstr(e.text, ":3: "));
    lines_close(r);
    bytes_free(&b);
    r = NULL;
    check_fails(lines_open(at("absent"), &r, &e), RC_SYSTEM, &e, "file.read");
}

static void test_shamap(void **state)
{
    (void)state;
    enum { N = 20000 };
    struct shamap m = {0};
    uint8_t key[SHA256_LEN];
    uint32_t value = 0;
    assert_false(shamap_find(&m, (const uint8_t[SHA256_LEN]){0}, NULL));
    for (uint32_t i = 0; i < N; i++) {
        sha256((struct span){(const uint8_t *)&i, sizeof(i)}, key);
        assert_true(shamap_add(&m, key, i));
        assert_false(shamap_add(&m, key, i + 1));
    }
    for (uint32_t i = 0; i < 2 * N; i++) {
        sha256((struct span){(const uint8_t *)&i, sizeof(i)}, key);
        assert_int_equal(shamap_find(&m, key, &value), i < N);
        assert_true(i >= N || value == i);
    }
    assert_int_equal(m.n, N);
    shamap_fini(&m);
}

int main(void)
{
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_id_overlaps),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_order_strict),
        cmocka_unit_test(test_order_sampling),
        cmocka_unit_test(test_order_limits),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_lists_strict),
        cmocka_unit_test(test_signed),
        cmocka_unit_test(test_signed_time),
        cmocka_unit_test(test_signed_detached),
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_batch_line),
        cmocka_unit_test(test_batch_line_strict),
        cmocka_unit_test(test_device_key),
        cmocka_unit_test(test_shamap),
        cmocka_unit_test_setup_teardown(test_lines, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_manifest, manifest_start, manifest_stop),
        cmocka_unit_test_setup_teardown(test_manifest_lines, manifest_start, manifest_stop),
        cmocka_unit_test_setup_teardown(test_manifest_members, manifest_start, manifest_stop),
        cmocka_unit_test_setup_teardown(test_manifest_signers, manifest_start, manifest_stop),
        cmocka_unit_test_setup_teardown(test_checkpoint, manifest_start, manifest_stop),
        cmocka_unit_test_setup_teardown(test_abort_leaves_nothing, manifest_start, manifest_stop),
    };
    return cmocka_run_group_tests(plain, pki_start, pki_stop);
}
