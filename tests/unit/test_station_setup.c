/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sign/alg.h"
#include "station_world.h"

/* A station's home: keys, requests, certificates. */

static enum rc init_home(const char *config, bool *ret_new)
{
    return station_init(at("home"), config, w.keys, ret_new, &e);
}

static void init_ok(bool is_new)
{
    bool got_new = !is_new;

    must(init_home(at("station.yaml"), &got_new));
    assert_int_equal(got_new, is_new);
}

static struct csr *read_csr(const char *path)
{
    struct bytes text = BYTES_INIT;
    struct csr *csr = NULL;

    load(path, &text);
    must(csr_parse(path, bytes_span(&text), &csr, &e));
    bytes_free(&text);
    return csr;
}

static void test_init(void **state)
{
    uint8_t before[SHA256_LEN], after[SHA256_LEN];
    struct csr *csr;
    struct signer *key = NULL;

    (void)state;
    init_ok(true);
    assert_int_equal(mode_of(at("home")), 0700);
    assert_false(file_exists(at("home/seal.csr")));
    csr = read_csr(at("home/manifest.csr"));
    must(w.keys->ops->find(w.keys, "soft:manifest", KEY_SIGN, NULL, &key, &e));
    assert_true(span_eq(csr->spki, bytes_span(&key->spki)));
    assert_string_equal(csr->cn, "line7");
    assert_int_equal(csr->possession, POSSESSION_SIGNATURE);
    hash_of(at("home/manifest.csr"), before);
    init_ok(false);
    hash_of(at("home/manifest.csr"), after);
    assert_memory_equal(before, after, SHA256_LEN);
    assert_int_equal(unlink(at("home/manifest.csr")), 0); /* a crash before it was written */
    init_ok(true);
    csr_free(csr);
    signer_free(key);
}

static void test_init_refused(void **state)
{
    bool is_new;
    struct keystore *keys = w.keys;

    (void)state;
    REFUSED(init_home(at("nowhere.yaml"), &is_new), RC_SYSTEM, "file.read");
    assert_false(file_exists(at("home")));
    put(at("bad.yaml"), "schema: keymill.station-config.v1\nname: line7\n");
    REFUSED(init_home(at("bad.yaml"), &is_new), RC_INPUT, "doc.missing");
    assert_false(file_exists(at("home")));
    init_ok(true);
    store_config(at("other.yaml"), "line8", &w.pki.online);
    REFUSED(init_home(at("other.yaml"), &is_new), RC_CONFLICT, "station.exists");
    w.keys = softstore_new(); /* another token */
    REFUSED(init_home(at("station.yaml"), &is_new), RC_CONFLICT, "station.key-changed");
    softstore_free(w.keys);
    w.keys = keys;
    init_ok(false);
}

/* Each member of the configuration that is wrong, in the name of the file. */
static void test_config(void **state)
{
    static const struct {
        const char *from, *to, *key;
    } rows[] = {
        {"name: line7", "name: _line", "doc.value"},
        {"ec-p256", "rsa-2048", "doc.value"},
        {"ec-p256", "ec-p521", "doc.value"},
        {"soft:seal", "soft:manifest", "doc.value"},
        {"  seal:", "  sel:", "doc.missing"},
        {"O: Example", "X: Example", "doc.unknown-key"},
        {"O: Example", "C: Example", "x509.name"},
        {"trust: \"", "trust: \"00", "doc.value"},
        {"order-issuer", "order-issuers", "doc.missing"},
        {"station-config.v1", "station-config.v2", "doc.schema"},
    };
    bool is_new;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bytes text = BYTES_INIT;
        const char *place;
        char *changed;

        load(at("station.yaml"), &text);
        place = strstr(bytes_str(&text), rows[i].from);
        assert_non_null(place);
        changed = mem_printf("%.*s%s%s", (int)(place - bytes_str(&text)), bytes_str(&text), rows[i].to,
                             place + strlen(rows[i].from));
        put(at("bad.yaml"), changed);
        REFUSED(init_home(at("bad.yaml"), &is_new), RC_INPUT, rows[i].key);
        assert_non_null(strstr(e.text, "bad.yaml:"));
        assert_null(strstr(strstr(e.text, "bad.yaml:") + 1, "bad.yaml:")); /* said once */
        free(changed);
        bytes_free(&text);
    }
}

static void test_token_settings(void **state)
{
    struct bytes text = BYTES_INIT;
    char *pin = NULL;
    struct token_settings token;

    (void)state;
    must(station_token(at("station.yaml"), &pin, &token, &e));
    assert_null(pin);
    load(at("station.yaml"), &text);
    bytes_add_str(&text,
                  "pin-source: file:/secret/pin\ntoken: {deadline-seconds: 3, patience-seconds: 3600}\n");
    store(at("station.yaml"), bytes_span(&text));
    must(station_token(at("station.yaml"), &pin, &token, &e));
    assert_string_equal(pin, "file:/secret/pin");
    assert_true(token.deadline_ms == 3000 && token.patience_ms == 3600000);
    free(pin);
    REFUSED(station_token(at("home"), &pin, &token, &e), RC_CONFLICT, "station.no-home");
    must(dir_make(at("empty"), 0700, &e));
    REFUSED(station_token(at("empty"), &pin, &token, &e), RC_CONFLICT, "station.no-home");
    init_ok(true);
    must(station_token(at("home"), &pin, &token, &e));
    assert_string_equal(pin, "file:/secret/pin");
    free(pin);
    bytes_free(&text);
}

/* The seal key cannot sign: its request is the manifest key's statement (RFC 9883). */
static void test_import(void **state)
{
    struct csr *csr;
    struct signer *seal = NULL;
    uint8_t before[SHA256_LEN], after[SHA256_LEN];

    (void)state;
    init_ok(true);
    REFUSED(station_open(at("home"), w.keys, &w.station, &e), RC_CONFLICT, "station.not-certified");
    assert_non_null(strstr(e.text, "manifest.csr"));
    w.manifest = certify(at("home/manifest.csr"), "station-manifest", at("m.pem"));
    import_ok(at("m.pem"), "station-manifest", true);
    REFUSED(station_open(at("home"), w.keys, &w.station, &e), RC_CONFLICT, "station.not-certified");
    assert_non_null(strstr(e.text, "seal.csr"));
    csr = read_csr(at("home/seal.csr"));
    must(w.keys->ops->find(w.keys, "soft:seal", KEY_DERIVE, NULL, &seal, &e));
    assert_int_equal(csr->possession, POSSESSION_STATEMENT);
    assert_true(span_eq(csr->spki, bytes_span(&seal->spki)));
    assert_true(span_eq(csr->subject, w.manifest->subject));
    assert_true(span_eq(bytes_span(&csr->statement_cert), bytes_span(&w.manifest->der)));
    hash_of(at("home/seal.csr"), before);
    import_ok(at("m.pem"), "station-manifest", false);
    hash_of(at("home/seal.csr"), after);
    assert_memory_equal(before, after, SHA256_LEN);
    assert_int_equal(unlink(at("home/seal.csr")), 0); /* a crash before it was written */
    import_ok(at("m.pem"), "station-manifest", false);
    w.seal = certify(at("home/seal.csr"), "station-seal", at("s.pem"));
    import_ok(at("s.pem"), "station-seal", true);
    import_ok(at("s.pem"), "station-seal", false);
    reopen();
    csr_free(csr);
    signer_free(seal);
}

/* The key that is found is of the configured type, or it is not used. */
static void test_another_key_type(void **state)
{
    struct bytes text = BYTES_INIT;
    const char *role = NULL;
    bool is_new = false;

    (void)state;
    init_ok(true);
    w.manifest = certify(at("home/manifest.csr"), "station-manifest", at("m.pem"));
    load(at("home/station.yaml"), &text);
    memcpy((char *)(uintptr_t)strstr(bytes_str(&text), "ec-p256"), "ec-p384", 7);
    store(at("home/station.yaml"), bytes_span(&text));
    REFUSED(station_import(at("home"), w.keys, at("m.pem"), at("chain.pem"), &role, &is_new, &e), RC_CONFLICT,
            "station.key-changed");
    assert_non_null(strstr(e.text, "is of type ec-p256, the configuration says ec-p384"));
    assert_false(file_exists(at("home/seal.csr")));
    bytes_free(&text);
}

/* The chain may begin with the certificate itself, as many CAs hand it out. */
static void test_import_full_chain(void **state)
{
    struct bytes text = BYTES_INIT;
    struct checkpoint c;
    struct manifest_view v;

    (void)state;
    station_close_home(w.station);
    w.station = NULL;
    load(at("m.pem"), &text);
    load(at("chain.pem"), &text);
    store(at("chain.pem"), bytes_span(&text));
    import_ok(at("m.pem"), "station-manifest", false);
    reopen();
    give_order("A1", 1, 1);
    must(station_close(w.station, "A1", at("out"), &c, &e));
    must(verify_manifest(at("out"), "A1", NULL, NULL, &v));
    bytes_free(&text);
}

static void refuse_import(const char *path, enum rc rc, const char *key)
{
    const char *role = NULL;
    bool is_new;

    REFUSED(import(path, &role, &is_new), rc, key);
    assert_null(role);
}

static void test_import_refused(void **state)
{
    struct cert *c;
    struct pki_signer stranger = {0};
    struct signer *key = NULL;
    struct pki mine = w.pki;

    (void)state;
    refuse_import(at("m.pem"), RC_CONFLICT, "station.no-home");
    init_ok(true);
    pki_signer_make(&stranger, &w.pki, &w.pki.online, "station-manifest", "line7");
    store_cert(at("c.pem"), stranger.cert);
    refuse_import(at("c.pem"), RC_INPUT, "station.key");
    must(w.keys->ops->find(w.keys, "soft:manifest", KEY_SIGN, NULL, &key, &e));
    c = pki_issue_cn(&w.pki, &w.pki.local, "device", "line7", bytes_span(&key->spki));
    store_cert(at("c.pem"), c);
    refuse_import(at("c.pem"), RC_DENIED, "verify.role");
    cert_free(c);
    c = certify(at("home/manifest.csr"), "station-manifest", at("m.pem"));
    now += 3100 * (int64_t)DAY;
    refuse_import(at("m.pem"), RC_DENIED, "verify.expired");
    now -= 3100 * (int64_t)DAY;
    import_ok(at("m.pem"), "station-manifest", true);
    w.manifest = certify(at("home/manifest.csr"), "station-manifest", at("m2.pem"));
    refuse_import(at("m2.pem"), RC_CONFLICT, "station.certified");
    cert_free(c);
    /* The same names, but not the root that was configured. */
    pki_make(&w.pki, now - DAY, now + 3000 * (int64_t)DAY);
    c = certify(at("home/seal.csr"), "station-seal", at("s.pem"));
    store_chain();
    refuse_import(at("s.pem"), RC_DENIED, "verify.root");
    pki_fini(&w.pki);
    w.pki = mine;
    cert_free(c);
    signer_free(key);
    pki_signer_fini(&stranger);
}

/* A chain with a CRL that lists the manifest certificate, brought with the other one. */
static void test_import_revoked(void **state)
{
    (void)state;
    station_close_home(w.station);
    w.station = NULL;
    pki_revoke(&w.pki, &w.pki.online, w.manifest);
    store_chain();
    refuse_import(at("s.pem"), RC_DENIED, "verify.revoked");
    assert_non_null(strstr(e.text, "manifest certificate"));
}

static void test_open_refused(void **state)
{
    struct station *second = NULL;

    (void)state;
    REFUSED(station_open(at("nowhere"), w.keys, &second, &e), RC_CONFLICT, "station.no-home");
    assert_false(file_exists(at("nowhere")));
}

#define BARE(test) cmocka_unit_test_setup_teardown(test, world_bare, world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BARE(test_init),           BARE(test_init_refused),
        BARE(test_config),         BARE(test_token_settings),
        BARE(test_import),         IN_WORLD(test_import_full_chain),
        BARE(test_import_refused), IN_WORLD(test_import_revoked),
        BARE(test_open_refused),   BARE(test_another_key_type),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
