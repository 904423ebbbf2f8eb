/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "office.h"

/* ---- init and import ---- */

static void test_init(void **state)
{
    (void)state;
    bool is_new = true;
    char *pin = NULL;
    struct token_settings token;
    must(office_init(at("office"), at("office.yaml"), keys, &is_new, &e));
    assert_false(is_new);
    assert_int_equal(mode_of(at("office")), 0700);

    char *text = office_config("office", "other");
    put(at("other.yaml"), text);
    refused(office_init(at("office"), at("other.yaml"), keys, &is_new, &e), RC_CONFLICT, "office.exists");
    refused(office_init(at("office2"), at("other.yaml"), keys, &is_new, &e), RC_CONFLICT,
            "office.key-exists");
    assert_false(file_exists(at("office2/office.yaml")));
    free(text);

    must(office_token(at("office"), &pin, &token, &e));
    assert_string_equal(pin, "file:/x");
    free(pin);
    assert_true(token.deadline_ms == 0 && token.patience_ms == 0);
    must(office_config_token(at("other.yaml"), &pin, &token, &e));
    free(pin);
}

/* Its keys sign now and then: how long is waited can be said, how many processes cannot. */
static void test_token_settings(void **state)
{
    (void)state;
    static const struct {
        const char *token, *key;
    } bad[] = {
        {"{workers: 2}", "doc.unknown-key"},
        {"{deadline-seconds: 601}", "doc.value"},
        {"{patience-seconds: 0}", "doc.value"},
        {"[1]", "doc.value"},
    };
    char *pin = NULL, *plain = office_config("office", "hq");
    struct token_settings token;
    char *text = mem_printf("%stoken: {deadline-seconds: 600, patience-seconds: 5}\n", plain);
    put(at("token.yaml"), text);
    free(text);
    must(office_config_token(at("token.yaml"), &pin, &token, &e));
    free(pin);
    assert_true(token.deadline_ms == 600000 && token.patience_ms == 5000);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        text = mem_printf("%stoken: %s\n", plain, bad[i].token);
        put(at("token.yaml"), text);
        free(text);
        refused(office_config_token(at("token.yaml"), &pin, &token, &e), RC_INPUT, bad[i].key);
    }
    free(plain);
}

/* The key that is found is of the configured type, or it is not used. */
static void test_another_key_type(void **state)
{
    (void)state;
    struct bytes text = BYTES_INIT;
    struct spec s = {.id = "KT1", .prefix = "KT1-", .quantity = 1, .sequence = ++sequence};
    bool is_new = false;
    load("office/office.yaml", &text);
    char *type = (char *)(uintptr_t)strstr(bytes_str(&text), "ec-p256");
    memcpy(type, "ec-p384", 7);
    put(at("office/office.yaml"), bytes_str(&text));
    refused(try_order(&s, &is_new), RC_CONFLICT, "office.key-changed");
    memcpy(type, "ec-p256", 7);
    put(at("office/office.yaml"), bytes_str(&text));
    must(try_order(&s, &is_new));
    bytes_free(&text);
}

/* A home is a folder, a configuration is a file, and what cannot be looked at is neither absent nor another.
 */
static void test_home_or_config(void **state)
{
    (void)state;
    char *pin = NULL;
    struct token_settings token;
    refused(office_token(at("root"), &pin, &token, &e), RC_CONFLICT, "office.no-home");
    refused(office_token(at("office.yaml"), &pin, &token, &e), RC_CONFLICT, "office.no-home");
    refused(office_config_token(at("missing.yaml"), &pin, &token, &e), RC_SYSTEM, "file.read");
    assert_null(strstr(e.text, "init"));

    assert_int_equal(mkdir(at("loop"), 0700), 0);
    assert_int_equal(symlink("office.yaml", at("loop/office.yaml")), 0);
    refused(office_token(at("loop"), &pin, &token, &e), RC_SYSTEM, "file.read");
    assert_non_null(strstr(e.text, strerror(ELOOP)));
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
        {"algorithm: ec-p256", "algorithm: rsa-3072-pss", "office.config"},
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
        char *changed =
            mem_printf("%.*s%s%s", (int)(where - text), text, bad[i][1], where + strlen(bad[i][0]));
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
    struct token_settings token;
    must(file_read("docs/examples/office.yaml", FILE_SMALL_MAX, &example,
                   &e)); /* but for its zeros it is right */
    put(at("bad.yaml"), bytes_str(&example));
    refused(office_config_token(at("bad.yaml"), &pin, &token, &e), RC_INPUT, "doc.placeholder");
    assert_non_null(strstr(e.text, "zeros"));
    bytes_free(&example);

    /* What "openssl x509 -in nothing | sha256sum" prints. */
    char *text = office_config("x", "hq");
    memcpy(strstr(text, "station-issuer: ") + strlen("station-issuer: \""),
           "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 64);
    put(at("bad.yaml"), text);
    refused(office_config_token(at("bad.yaml"), &pin, &token, &e), RC_INPUT, "doc.placeholder");
    assert_non_null(strstr(e.text, "'station-issuer'"));
    free(text);
}

static void test_import(void **state)
{
    (void)state;
    const char *role = NULL;
    bool is_new = true;
    must(office_import(at("office"), at("order.pem"), at("chain.pem"), &role, &is_new, &e));
    assert_false(is_new);
    refused(office_import(at("office"), at("manifest.pem"), at("chain.pem"), &role, &is_new, &e), RC_INPUT,
            "office.cert");

    join("no-crl.pem", (const char *const[]){"online.pem", "root.pem", "root.crl", NULL});
    refused(office_import(at("office"), at("order.pem"), at("no-crl.pem"), &role, &is_new, &e), RC_DENIED,
            "verify.no-crl");
    join("no-root.pem", (const char *const[]){"online.pem", "online.crl", NULL});
    refused(office_import(at("office"), at("order.pem"), at("no-root.pem"), &role, &is_new, &e), RC_DENIED,
            "verify.root");

    /* The office's certificate for the release key, and the other way round: the role belongs to the key. */
    make_sub("second", "online-ca", "release"); /* no CA certifies a key for two purposes */
    issue_as("second", "release", "office/order.csr", "swapped.pem");
    join("second-chain.pem", (const char *const[]){"second.pem", "root.pem", "second.crl", "root.crl", NULL});
    refused(office_import(at("office"), at("swapped.pem"), at("second-chain.pem"), &role, &is_new, &e),
            RC_DENIED, "verify.role");

    /* A newer CRL refreshes the chain, the older one is refused from then on. */
    make_crl("online", "online2.crl");
    join("chain2.pem", (const char *const[]){"online.pem", "root.pem", "online2.crl", "root.crl", NULL});
    must(office_import(at("office"), at("release.pem"), at("chain2.pem"), &role, &is_new, &e));
    assert_true(is_new);
    refused(office_import(at("office"), at("release.pem"), at("chain.pem"), &role, &is_new, &e), RC_CONFLICT,
            "x509.crl-older");
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

    /* The certificates of another station, though it is a good one. */
    s.manifest = "line8.pem";
    refused(try_order(&s, &is_new), RC_INPUT, "office.station-cn");
    assert_non_null(strstr(e.text, "'line8'"));
    s.manifest = NULL;
    s.station = "line9";
    refused(try_order(&s, &is_new), RC_INPUT, "office.station-cn");
    assert_non_null(strstr(e.text, "'line9'"));
    assert_int_equal(sql_int("office/office.db", "SELECT count(*) FROM orders WHERE id = 'S1'"), 0);
}

static void openssl(const char *args)
{
    char *command = mem_printf("cd '%s' && openssl %s 2>/dev/null", folder, args);
    assert_int_equal(system(command), 0);
    free(command);
}

/* A CA is named that could never make a device that anybody believes. */
static void test_order_ca(void **state)
{
    (void)state;
#define NEW " req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 "
#define CA  " -addext basicConstraints=critical,CA:true "
#define BY  " -CA x.pem -CAkey x.key "
    bool is_new = false;
    struct spec s = {.id = "CA1", .prefix = "CA1-", .quantity = 1, .sequence = ++sequence};
    openssl(NEW "-keyout x.key -subj /CN=x -out x.pem" CA "-addext keyUsage=critical,keyCertSign");
    openssl(NEW BY "-keyout y.key -subj /CN=y -out y.pem" CA
                   "-addext keyUsage=critical,keyCertSign -addext extendedKeyUsage=clientAuth");
    openssl(NEW BY "-keyout y.key -subj /CN=n -out no-sign.pem" CA "-addext keyUsage=critical,cRLSign");
    openssl(NEW BY "-keyout y.key -subj /CN=s -out servers.pem" CA
                   "-addext keyUsage=critical,keyCertSign -addext extendedKeyUsage=serverAuth");
#undef NEW
#undef CA
#undef BY
    static const char *const bad[][2] = {{"root.pem", "self-signed"},
                                         {"x.pem", "self-signed"},
                                         {"no-sign.pem", "keyCertSign"},
                                         {"servers.pem", "clientAuth"}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        s.ca = bad[i][0];
        refused(try_order(&s, &is_new), RC_INPUT, "office.ca-cert");
        assert_non_null(strstr(e.text, bad[i][1]));
    }
    s.ca = "y.pem"; /* right in itself, under another root */
    refused(try_order(&s, &is_new), RC_INPUT, "verify.chain");
    assert_int_equal(sql_int("office/office.db", "SELECT count(*) FROM orders WHERE id = 'CA1'"), 0);
}

/* What the devices are given must be of use to them. */
static void test_order_delivery(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "broker.example.com", "mqtts:broker",    "mqtts://",        "://broker",
        "mqtts://br oker",    "mqtts://broker:", "mqtts://b:65536", "mqtts://b:0",
        "mqtts://b:8883x",    "1m://broker",     "mqtts://[::1",    "mqtts://u@b"};
    static const char *const good[] = {"mqtts://[2001:db8::1]:8883", "https://broker.example.com/v1?x=1"};
    bool is_new = false;
    struct spec s = {.id = "D1", .prefix = "D1-", .quantity = 1, .sequence = ++sequence};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        s.endpoint = bad[i];
        if (try_order(&s, &is_new) != RC_INPUT || strcmp(e.key, "doc.value") != 0)
            fail_msg("'%s': %s [%s]", bad[i], e.text, e.key);
        assert_non_null(strstr(e.text, "D1.yaml:10: 'endpoint'"));
    }
    s.endpoint = NULL;
    s.bundle = "online.pem";
    refused(try_order(&s, &is_new), RC_INPUT, "office.trust-bundle");
    assert_non_null(strstr(e.text, "root"));
    s.bundle = NULL;
    assert_int_equal(sql_int("office/office.db", "SELECT count(*) FROM orders WHERE id = 'D1'"), 0);

    for (size_t i = 0; i < 2; i++) {
        s.id = i ? "D3" : "D2";
        s.prefix = i ? "D3-" : "D2-";
        s.sequence = ++sequence;
        s.endpoint = good[i];
        must(try_order(&s, &is_new));
    }
}

/* Whatever is wrong with a specification is said of its file and line, and not of the JSON made from it. */
static void test_spec_places(void **state)
{
    (void)state;
    static const char *const bad[][3] = {
        /* what is replaced, by what, what is said */
        {"order: E1", "order: a/b", "E1.yaml:2: 'order'"},
        {"profile: device", "profile: a/b", "E1.yaml:5: 'profile'"},
        {"- name: line7", "- name: a/b", "E1.yaml:13: 'stations[0].name'"},
        {"digits: 6", "digits: 1", "E1.yaml:18: 'stations[0].ids'"},
        {"prefix: \"E1-\"", "prefix: \"-\"", "E1.yaml:18: 'stations[0].ids'"},
        {"lot-size: 500", "lot-size: 1", "E1.yaml:11: 'lot-size'"},
        {"lot-size: 500", "verify-every: 0", "E1.yaml:11: 'verify-every'"},
        {"lot-size: 500", "verify-every: 1001", "E1.yaml:11: 'verify-every'"},
        {"- name: line8", "- name: line7", "E1.yaml:19: 'stations[1].name'"},
        {"\"T9-\", digits: 7, count: 5000000", "\"E1-\", digits: 6, count: 3",
         "E1.yaml:24: 'stations[1].ids'"},
        {"quantity: 3\n", "quantity: 5000000\n", "E1.yaml:12: 'stations'"},
    };
    struct spec s = {.id = "E1", .prefix = "E1-", .quantity = 30000, .sequence = 1, .lot_size = 500};
    struct bytes text = BYTES_INIT;
    struct office *o = open_office();
    write_spec(&s, "E1.yaml");
    load("E1.yaml", &text);
    bytes_add_str(&text, "  - name: line8\n    manifest: line8.pem\n    seal: seal.pem\n    sequence: 1\n"
                         "    quantity: 3\n    ids: {prefix: \"T9-\", digits: 7, count: 5000000}\n");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *whole = bytes_str(&text), *where = strstr(whole, bad[i][0]);
        bool is_new = false;
        assert_non_null(where);
        char *changed =
            mem_printf("%.*s%s%s", (int)(where - whole), whole, bad[i][1], where + strlen(bad[i][0]));
        put(at("E1.yaml"), changed);
        enum rc rc = office_order_new(o, at("E1.yaml"), at("E1.order"), &is_new, &e);
        if (rc != RC_INPUT || strstr(e.text, bad[i][2]) == NULL)
            fail_msg("%zu: %d [%s] %s", i, (int)rc, e.key, e.text);
        free(changed);
    }
    office_close(o);
    bytes_free(&text);
}

/* No sequence number is spent on a file that cannot be written; what was signed says so. */
static void test_order_out(void **state)
{
    (void)state;
    bool is_new = false;
    struct spec s = {.id = "F1", .prefix = "F1-", .quantity = 1, .sequence = ++sequence};
    struct office *o = open_office();
    write_spec(&s, "F1.yaml");
    refused(office_order_new(o, at("F1.yaml"), at("nowhere/F1"), &is_new, &e), RC_SYSTEM, "file.write");
    refused(office_order_new(o, at("F1.yaml"), at("F1.yaml/F1"), &is_new, &e), RC_SYSTEM, "file.write");
    assert_int_equal(sql_int("office/office.db", "SELECT count(*) FROM orders WHERE id = 'F1'"), 0);
    must(office_order_new(o, at("F1.yaml"), at("F1.order"), &is_new, &e));
    refused(office_order_new(o, at("F1.yaml"), at("nowhere/F1"), &is_new, &e), RC_SYSTEM, "file.write");
    assert_non_null(strstr(e.text, "order 'F1' is signed"));
    assert_non_null(strstr(e.text, "--out"));
    office_close(o);
}

static void test_root(void **state)
{
    (void)state;
    uint8_t got[SHA256_LEN], want[SHA256_LEN];
    must(office_root(at("root.pem"), got, &e));
    hash_file("root.pem", want);
    assert_memory_equal(got, want, SHA256_LEN);
    refused(office_root(at("online.pem"), got, &e), RC_INPUT, "office.root");
    assert_non_null(strstr(e.text, "root"));
}

/* Two stations in one order; the batch must say which. */
static void test_two_stations(void **state)
{
    (void)state;
    struct batch_report report;
    bool is_new = false;
    uint64_t first = ++sequence;
    char *extra = mem_printf(
        "  - name: line8\n    manifest: line8.pem\n    seal: seal8.pem\n    sequence: 1\n    quantity: 3\n"
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
    refused(office_batch_make(o, ca, at("T1.order"), NULL, at("T1.batch"), &report, &e), RC_USAGE,
            "office.station-name");
    refused(office_batch_make(o, ca, at("T1.order"), "line9", at("T1.batch"), &report, &e), RC_USAGE,
            "office.station-name");
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

/* The last test: it takes the order key out. The CRL that does so must come in, and the release key must go
 * on: it signs revocations. */
static void test_order_key_revoked(void **state)
{
    (void)state;
    struct ca *ca = open_ca("online");
    struct cert *c = NULL;
    const char *role = NULL;
    bool is_new = false;
    must(cert_read(at("order.pem"), &c, &e));
    char *serial = hex_new(c->serial);
    must(ca_revoke(ca, serial, "keyCompromise", &is_new, &e));
    ca_close(ca);
    make_crl("online", "online3.crl");
    join("chain3.pem", (const char *const[]){"online.pem", "root.pem", "online3.crl", "root.crl", NULL});
    refused(office_import(at("office"), at("order.pem"), at("chain3.pem"), &role, &is_new, &e), RC_DENIED,
            "verify.revoked");
    must(office_import(at("office"), at("release.pem"), at("chain3.pem"), &role, &is_new, &e));
    struct spec late = {.id = "LATE", .prefix = "LATE-", .quantity = 1, .sequence = 900};
    refused(try_order(&late, &is_new), RC_DENIED, "verify.revoked");
    free(serial);
    cert_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_init),           cmocka_unit_test(test_token_settings),
        cmocka_unit_test(test_home_or_config), cmocka_unit_test(test_init_resumes),
        cmocka_unit_test(test_config_refused), cmocka_unit_test(test_another_key_type),
        cmocka_unit_test(test_import),         cmocka_unit_test(test_no_certificate_yet),
        cmocka_unit_test(test_order),          cmocka_unit_test(test_order_refused),
        cmocka_unit_test(test_order_stations), cmocka_unit_test(test_order_ca),
        cmocka_unit_test(test_order_delivery), cmocka_unit_test(test_spec_places),
        cmocka_unit_test(test_order_out),      cmocka_unit_test(test_root),
        cmocka_unit_test(test_two_stations),   cmocka_unit_test(test_order_key_revoked),
    };
    return cmocka_run_group_tests(tests, world_make, world_remove);
}
