/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_STATION_WORLD_H
#define UNIT_STATION_WORLD_H

/*
 * A station with an office and CAs around it, all with software keys, made anew for each test. The clock is
 * the test's: the program is linked with --wrap=clock_now. Behind <cmocka.h>, as everything that asserts.
 */
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "factory/manifest.h"
#include "factory/station.h"
#include "folder.h"
#include "sign/softkey.h"
#include "tests/support/orders.h"
#include "tests/support/pki.h"
#include "x509/csr.h"

enum { MINUTE = 60, DAY = 86400 };

static int64_t now; /* what every module takes for the time */
int64_t __wrap_clock_now(void);
int64_t __wrap_clock_now(void)
{
    return now;
}

static struct world {
    struct pki pki;
    struct pki_signer office;
    struct keystore *keys;
    struct station *station;
    struct cert *manifest, *seal;
} w;

static struct err e;

static inline void must(enum rc rc)
{
    if (rc != RC_OK)
        fail_msg("%s [%s]", e.text, e.key);
}

/* ---- files ---- */

static inline void load(const char *path, struct bytes *ret)
{
    must(file_read(path, FILE_DOC_MAX, ret, &e));
}

static inline void store(const char *path, struct span content)
{
    must(file_publish(path, 0600, content, &e));
}

static inline void hash_of(const char *path, uint8_t ret[static SHA256_LEN])
{
    struct bytes b = BYTES_INIT;

    if (file_exists(path))
        load(path, &b);
    sha256(bytes_span(&b), ret);
    bytes_free(&b);
}

static inline void copy_tree(const char *from, const char *to)
{
    char *command = mem_printf("rm -rf '%s' && cp -a '%s' '%s'", to, from, to);

    assert_int_equal(system(command), 0);
    free(command);
}

static inline void store_cert(const char *path, const struct cert *c)
{
    struct bytes pem = BYTES_INIT;

    pem_encode("CERTIFICATE", bytes_span(&c->der), &pem);
    store(path, bytes_span(&pem));
    bytes_free(&pem);
}

/* chain.pem: the online CA and the root with their CRLs. */
static inline void store_chain(void)
{
    struct cms_chain chain;
    struct bytes pem = BYTES_INIT;

    pki_chain(&w.pki, &w.pki.online, NULL, &chain);
    pki_chain_pem(&chain, &pem);
    store(at("chain.pem"), bytes_span(&pem));
    cms_chain_free(&chain);
    bytes_free(&pem);
}

/* What the error must be; nothing was recorded meanwhile. */
#define REFUSED(call, rc, error_key)                                                                         \
    do {                                                                                                     \
        uint8_t before_[SHA256_LEN], after_[SHA256_LEN];                                                     \
        hash_of(at("home/journal.jsonl"), before_);                                                          \
        err_clear(&e);                                                                                       \
        check_refused((call), (rc), (error_key), #call);                                                     \
        hash_of(at("home/journal.jsonl"), after_);                                                           \
        assert_memory_equal(before_, after_, SHA256_LEN);                                                    \
    } while (0)

static inline void check_refused(enum rc got, enum rc want, const char *key, const char *what)
{
    if (got != want || strcmp(e.key, key) != 0)
        fail_msg("%s: %d [%s] expected, got %d: %s [%s]", what, (int)want, key, (int)got, e.text, e.key);
    assert_non_null(strchr(e.text, '\'')); /* a subject */
}

/* ---- setting up ---- */

static inline void store_config(const char *path, const char *name, const struct pki_ca *order_issuer)
{
    char *root = hex_new((struct span){w.pki.root.cert->sha256, SHA256_LEN});
    char *issuer = hex_new((struct span){order_issuer->cert->sha256, SHA256_LEN});
    char *text = mem_printf("schema: keymill.station-config.v1\nname: %s\nalgorithm: ec-p256\n"
                            "keys:\n  manifest: \"soft:manifest\"\n  seal: \"soft:seal\"\n"
                            "subject:\n  O: Example\ntrust: \"%s\"\norder-issuer: \"%s\"\n",
                            name, root, issuer);

    store(path, span_str(text));
    free(root);
    free(issuer);
    free(text);
}

/* What headquarters does with a request: a certificate for it, in a file. */
static inline struct cert *certify(const char *csr_path, const char *profile, const char *out)
{
    struct bytes text = BYTES_INIT;
    struct csr *csr = NULL;
    struct cert *c;

    load(csr_path, &text);
    must(csr_parse(csr_path, bytes_span(&text), &csr, &e));
    c = pki_issue(&w.pki, &w.pki.online, profile, csr->subject, csr->spki);
    store_cert(out, c);
    csr_free(csr);
    bytes_free(&text);
    return c;
}

static inline enum rc import(const char *cert_path, const char **ret_role, bool *ret_new)
{
    return station_import(at("home"), w.keys, cert_path, at("chain.pem"), ret_role, ret_new, &e);
}

static inline void import_ok(const char *cert_path, const char *role, bool is_new)
{
    const char *got = NULL;
    bool got_new = !is_new;

    must(import(cert_path, &got, &got_new));
    assert_string_equal(got, role);
    assert_int_equal(got_new, is_new);
}

static inline void reopen(void)
{
    station_close_home(w.station);
    w.station = NULL;
    must(station_open(at("home"), w.keys, &w.station, &e));
}

/* CAs, office, configuration and keystore; no home yet. */
static inline int world_bare(void **state)
{
    if (folder_make(state) != 0)
        return -1;
    now = (int64_t)time(NULL) + DAY;
    memset(&w, 0, sizeof w);
    pki_make(&w.pki, now - 2 * DAY, now + 3000 * (int64_t)DAY);
    pki_signer_make(&w.office, &w.pki, &w.pki.online, "office", "office");
    w.keys = softstore_new();
    store_config(at("station.yaml"), "line7", &w.pki.online);
    store_chain();
    return 0;
}

/* And a station that has its certificates and is open. */
static inline int world_up(void **state)
{
    bool is_new = false;

    if (world_bare(state) != 0)
        return -1;
    must(station_init(at("home"), at("station.yaml"), w.keys, &is_new, &e));
    w.manifest = certify(at("home/manifest.csr"), "station-manifest", at("m.pem"));
    import_ok(at("m.pem"), "station-manifest", true);
    w.seal = certify(at("home/seal.csr"), "station-seal", at("s.pem"));
    import_ok(at("s.pem"), "station-seal", true);
    must(station_open(at("home"), w.keys, &w.station, &e));
    return 0;
}

static inline int world_down(void **state)
{
    station_close_home(w.station);
    softstore_free(w.keys);
    pki_signer_fini(&w.office);
    cert_free(w.manifest);
    cert_free(w.seal);
    pki_fini(&w.pki);
    return folder_remove(state);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, world_up, world_down)

/* ---- orders and batches ---- */

static char *order_path(const char *id)
{
    return mem_printf("%s/%s.order", folder, id);
}

static char *batch_path(const char *id)
{
    return mem_printf("%s/%s.batch", folder, id);
}

/* An order for this station, not written yet. */
static inline void order_for_us(struct order *o, const char *id, uint64_t sequence, uint64_t quantity)
{
    order_make(o, &w.pki, id, now);
    order_add_station(o, "line7", w.manifest, w.seal, sequence, quantity);
}

static inline void write_order(struct order *o, const struct pki_signer *office)
{
    char *path = order_path(o->id);

    order_write(o, office, path);
    free(path);
}

static inline enum rc accept(const char *path, bool *ret_new)
{
    char id[65] = "";

    return station_accept(w.station, path, id, ret_new, &e);
}

static inline void accept_ok(const char *path, const char *order, bool is_new)
{
    char id[65] = "";
    bool got_new = !is_new;

    must(station_accept(w.station, path, id, &got_new, &e));
    assert_string_equal(id, order);
    assert_int_equal(got_new, is_new);
}

static inline void write_batch(const struct order *o)
{
    struct sealed s;
    char *path = batch_path(o->id);

    sealed_make(&s, o, 0, &w.pki, w.seal);
    sealed_write(&s, &w.office, path);
    sealed_fini(&s);
    free(path);
}

/* Order and batch, made and accepted. */
static inline void give_order(const char *id, uint64_t sequence, uint64_t quantity)
{
    struct order o;
    char *order = order_path(id), *batch = batch_path(id);

    order_for_us(&o, id, sequence, quantity);
    write_order(&o, &w.office);
    write_batch(&o);
    accept_ok(order, id, true);
    accept_ok(batch, id, true);
    order_fini(&o);
    free(order);
    free(batch);
}

/* ---- devices ---- */

static inline enum rc next(const char *order, const char *id, const char *out)
{
    char got[DEVICE_ID_MAX + 1] = "";

    return station_next(w.station, order, id, out, got, &e);
}

static inline void next_ok(const char *order, const char *id, const char *out, const char *want)
{
    char got[DEVICE_ID_MAX + 1] = "";

    must(station_next(w.station, order, id, out, got, &e));
    assert_string_equal(got, want);
}

static inline void finish_ok(const char *id, enum device_state state, const char *reason, bool is_new)
{
    bool got_new = !is_new;

    must(station_finish(w.station, id, state, reason, &got_new, &e));
    assert_int_equal(got_new, is_new);
}

/* The folder of a delivered device: the certificate is the device's, signed by the local CA, and the key
 * belongs to it. ret_cert (may be NULL): the certificate's SHA-256. */
static inline void check_delivery(const char *out, const char *id, uint8_t *ret_cert)
{
    char *cert_path = path_join(out, "cert.pem"), *key_path = path_join(out, "key.pem");
    struct cert *c = NULL;
    struct bytes key = BYTES_INIT;
    struct signer *s = NULL;

    must(cert_read(cert_path, &c, &e));
    assert_string_equal(c->cn, id);
    must(cert_verify_signature(c, w.pki.local.cert, &e));
    load(key_path, &key);
    must(softkey_load(bytes_span(&key), KEY_SIGN, &s, &e));
    assert_true(span_eq(bytes_span(&s->spki), c->spki));
    if (ret_cert != NULL)
        memcpy(ret_cert, c->sha256, SHA256_LEN);
    signer_free(s);
    cert_free(c);
    bytes_free(&key);
    free(cert_path);
    free(key_path);
}

/* The manifest in a folder, as the office would judge it. */
static inline enum rc verify_manifest(const char *dir, const char *order,
                                      enum rc (*line)(void *arg, const struct manifest_line *l,
                                                      struct err *err),
                                      void *arg, struct manifest_view *ret)
{
    char *manifest = mem_printf("%s/%s.manifest.jsonl", dir, order),
         *checkpoint = mem_printf("%s/%s.checkpoint", dir, order);
    struct trust trust = {.has_issuer = true};
    enum rc rc;

    memcpy(trust.root, w.pki.root.cert->sha256, SHA256_LEN);
    memcpy(trust.issuer, w.pki.online.cert->sha256, SHA256_LEN);
    rc = manifest_verify(manifest, checkpoint, &trust, line, arg, ret, &e);
    free(manifest);
    free(checkpoint);
    return rc;
}

#endif
