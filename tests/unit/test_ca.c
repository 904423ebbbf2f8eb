/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "ca/ca.h"
#include "folder.h"
#include "sign/alg.h"
#include "sign/cms.h"
#include "sign/signer.h"
#include "sign/softkey.h"
#include "x509/cert.h"
#include "x509/crl.h"
#include "x509/csr.h"
#include "x509/name.h"
#include "x509/profile.h"

enum { DAY = 86400, NOBODY = 65534 };

/* ---- a keystore that can break ---- */

/* Software keys; "lose_key" makes a key and then fails, as a crash between the token and the database looks;
 * "signs" is how many requests a signer answers before its token is gone; "breaks" is a rule of the key
 * policy that every key breaks; "lie" is the place in each request where the signature is wrong. */
struct shaky {
    struct keystore base;
    struct keystore *soft;
    bool lose_key;
    int signs;
    const char *breaks;
    int lie;
};
enum { ALWAYS = 1000000, NEVER = -1 };
static struct shaky keys;

struct shaky_signer {
    struct signer base;
    struct signer *real;
};

static enum rc shaky_sign(struct signer *s, const struct alg *a, const struct span *inputs, size_t n,
                          struct bytes *ret, struct err *err)
{
    struct signer *real = ((struct shaky_signer *)s)->real;
    if (keys.signs == 0)
        return err_set(err, RC_TOKEN, "hsm.gone", "key '%s': the token is gone", s->name);
    if (keys.signs != ALWAYS)
        keys.signs--;
    enum rc rc = real->ops->sign(real, a, inputs, n, ret, err);
    if (rc == RC_OK && keys.lie != NEVER && (size_t)keys.lie < n)
        ret[keys.lie].p[ret[keys.lie].n - 1] ^= 1;
    return rc;
}

/* What a keystore over tokens does with a key that breaks a rule. */
static enum rc shaky_judge(const struct key_exceptions *allowed, struct signer *s, struct err *err)
{
    if (keys.breaks == NULL)
        return RC_OK;
    for (size_t i = 0; i < allowed->n; i++)
        if (strcmp(allowed->list[i].rule, keys.breaks) == 0)
            s->exceptions = mem_printf("%s (%s)", allowed->list[i].rule, allowed->list[i].reason);
    return s->exceptions != NULL
               ? RC_OK
               : err_set(err, RC_DENIED, "hsm.key-policy", "key '%s' breaks %s", s->name, keys.breaks);
}

static void shaky_free(struct signer *s)
{
    signer_free(((struct shaky_signer *)s)->real);
    signer_fini(s);
    free(s);
}

static enum rc shaky_find(struct keystore *k, const char *uri, enum key_usage usage,
                          const struct key_exceptions *allowed, struct signer **ret, struct err *err)
{
    static const struct signer_ops ops = {.sign = shaky_sign, .free = shaky_free};
    struct signer *real = NULL;
    enum rc rc = ((struct shaky *)k)->soft->ops->find(keys.soft, uri, usage, allowed, &real, err);
    if (rc != RC_OK)
        return rc;
    struct shaky_signer *s = mem_new(sizeof(*s));
    s->real = real;
    assert_int_equal(signer_init(&s->base, &ops, usage, uri, bytes_span(&real->spki), err), RC_OK);
    rc = shaky_judge(allowed, &s->base, err);
    if (rc == RC_OK)
        *ret = &s->base;
    else
        shaky_free(&s->base);
    return rc;
}

static enum rc shaky_generate(struct keystore *k, const char *uri, const struct alg *alg,
                              enum key_usage usage, const struct key_exceptions *allowed, struct signer **ret,
                              struct err *e)
{
    struct shaky *s = (struct shaky *)k;
    enum rc rc = s->soft->ops->generate(s->soft, uri, alg, usage, allowed, ret, e);
    if (rc == RC_OK && s->lose_key)
        rc = err_set(e, RC_TOKEN, "hsm.gone", "the token is gone");
    else if (rc == RC_OK)
        rc = shaky_judge(allowed, *ret, e);
    if (rc != RC_OK) {
        signer_free(*ret);
        *ret = NULL;
    }
    return rc;
}

static const struct keystore_ops shaky_ops = {shaky_find, shaky_generate};
static int set_up(void **state)
{
    keys = (struct shaky){.base = {&shaky_ops}, .soft = softstore_new(), .signs = ALWAYS, .lie = NEVER};
    return folder_make(state);
}

static int tear_down(void **state)
{
    softstore_free(keys.soft);
    return folder_remove(state);
}

/* ---- helpers ---- */

static struct err e;

static void must(enum rc rc)
{
    if (rc != RC_OK)
        fail_msg("%s [%s]", e.text, e.key);
}

static void refused(enum rc rc, enum rc want, const char *key)
{
    if (rc != want || strcmp(e.key, key) != 0)
        fail_msg("%d [%s] expected, got %d: %s [%s]", (int)want, key, (int)rc, e.text, e.key);
}

static int sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int sh(const char *fmt, ...)
{
    struct bytes b = BYTES_INIT;
    bytes_printf(&b, "cd %s && exec >log 2>&1; ", folder);
    va_list ap;
    va_start(ap, fmt);
    bytes_vprintf(&b, fmt, ap);
    va_end(ap);
    int status = system(bytes_str(&b));
    bytes_free(&b);
    return status;
}

static bool log_says(const char *text)
{
    struct bytes b = BYTES_INIT;
    must(file_read(at("log"), FILE_DOC_MAX, &b, &e));
    bool found = strstr(bytes_str(&b), text) != NULL;
    bytes_free(&b);
    return found;
}

static const char root_yaml[] =
    "schema: keymill.ca-config.v1\nname: root\nkey: soft:root\nalgorithm: ec-p384\nprofile: root\n"
    "subject: {O: Example, CN: Example Root CA}\nvalidity-days: 7300\ncrl-days: 365\n"
    "issues: [online-ca, local-ca]\n";

static void write_sub(const char *name, const char *root_sha256, const char *issues)
{
    char *text = mem_printf(
        "schema: keymill.ca-config.v1\nname: %s\nkey: soft:%s\nalgorithm: ec-p256\nprofile: %s-ca\n"
        "subject:\n  O: Example\n  CN: Example %s CA\ntrust: \"%s\"\ncrl-days: 7\nissues: [%s]\n",
        name, name, name, name, root_sha256, issues);
    char *file = mem_printf("%s.yaml", name);
    put(at(file), text);
    free(text);
    free(file);
}

static void make_root(void)
{
    bool fresh = false;
    put(at("root.yaml"), root_yaml);
    must(ca_init(at("root"), at("root.yaml"), &keys.base, &fresh, &e));
    assert_true(fresh);
}

static struct ca *open_ca(const char *home)
{
    struct ca *ca = NULL;
    must(ca_open(at(home), &keys.base, &ca, &e));
    return ca;
}

/* Issues with a CA opened for this alone; request and certificate are named in the test's folder. */
static enum rc issue(const char *home, const struct ca_issue *in, const char *out, bool *ret_new)
{
    struct ca *ca = open_ca(home);
    struct bytes der = BYTES_INIT, pem = BYTES_INIT;
    bool fresh = false;
    struct ca_issue placed = *in;
    char *csr = path_join(folder, in->csr_path);
    placed.csr_path = csr;
    enum rc rc = ca_issue(ca, &placed, &der, &fresh, &e);
    free(csr);
    if (rc == RC_OK) {
        pem_encode("CERTIFICATE", bytes_span(&der), &pem);
        must(file_publish(at(out), 0600, bytes_span(&pem), &e));
    } else {
        assert_int_equal(der.n, 0);
    }
    if (ret_new != NULL)
        *ret_new = fresh;
    bytes_free(&der);
    bytes_free(&pem);
    ca_close(ca);
    return rc;
}

static enum rc request(const char *name)
{
    char *home = mem_printf("%s", name), *yaml = mem_printf("%s.yaml", name),
         *csr = mem_printf("%s.csr", name);
    bool fresh = false;
    enum rc rc = ca_request(at(home), at(yaml), &keys.base, at(csr), &fresh, &e);
    free(home);
    free(yaml);
    free(csr);
    return rc;
}

static enum rc sign_ca(const char *name, const char *profile)
{
    char *csr = mem_printf("%s.csr", name), *pem = mem_printf("%s.pem", name);
    struct ca_issue in = {.profile = profile, .csr_path = csr, .sub_ca = true};
    enum rc rc = issue("root", &in, pem, NULL);
    free(csr);
    free(pem);
    return rc;
}

/* Root, and under it "online" or "local", with its certificate imported. */
static void make_sub(const char *name, const char *issues)
{
    struct ca *root = open_ca("root");
    char *sha = hex_new((struct span){ca_cert(root)->sha256, SHA256_LEN});
    ca_close(root);
    write_sub(name, sha, issues);
    free(sha);
    must(request(name));
    char *profile = mem_printf("%s-ca", name), *pem = mem_printf("%s.pem", name);
    must(sign_ca(name, profile));
    bool fresh = false, crls = true;
    must(ca_import(at(name), at(pem), at("root/cert.pem"), &fresh, &crls, &e));
    assert_true(fresh);
    assert_false(crls);
    free(profile);
    free(pem);
}

static void make_online(void)
{
    make_root();
    make_sub("online", "server, office, release, station-manifest, station-seal, ocsp");
}

static void make_local(void)
{
    make_root();
    make_sub("local", "device, ocsp");
}

static struct signer *new_key(enum key_usage usage)
{
    struct signer *s = NULL;
    must(softkey_new(alg_by_name("ec-p256"), usage, &s, &e));
    return s;
}

static void make_name(const char *cn, struct bytes *ret)
{
    const struct name_attr attrs[] = {{"O", "Example"}, {"CN", cn}};
    must(name_encode(attrs, 2, ret, &e));
}

static void write_csr(struct signer *key, const char *cn, const char *file)
{
    struct bytes name = BYTES_INIT, der = BYTES_INIT, pem = BYTES_INIT;
    make_name(cn, &name);
    must(csr_make(key, bytes_span(&name), &der, &e));
    pem_encode("CERTIFICATE REQUEST", bytes_span(&der), &pem);
    must(file_publish(at(file), 0600, bytes_span(&pem), &e));
    bytes_free(&name);
    bytes_free(&der);
    bytes_free(&pem);
}

/* A request with a new key; issues it. */
static enum rc issue_new(const char *home, const char *profile, const char *cn, const char *out)
{
    struct signer *key = new_key(KEY_SIGN);
    write_csr(key, cn, "x.csr");
    signer_free(key);
    struct ca_issue in = {.profile = profile, .csr_path = "x.csr", .days = 30};
    return issue(home, &in, out, NULL);
}

static void serial_of(const char *pem, char ret[64])
{
    struct cert *c = NULL;
    must(cert_read(at(pem), &c, &e));
    hex_encode(c->serial, ret);
    cert_free(c);
}

static enum rc revoke_pem(const char *home, const char *pem, const char *reason, bool *ret_new)
{
    char serial[64];
    bool fresh = false;
    struct ca *ca = NULL;
    serial_of(pem, serial);
    must(ca_open(at(home), NULL, &ca, &e));
    enum rc rc = ca_revoke(ca, serial, reason, &fresh, &e);
    ca_close(ca);
    if (ret_new != NULL)
        *ret_new = fresh;
    return rc;
}

static struct crl *make_crl(const char *home, const char *out, bool last)
{
    struct ca *ca = open_ca(home);
    struct bytes text = BYTES_INIT;
    struct crl *crl = NULL;
    uint64_t number = 0;
    int64_t next = 0;
    must(ca_crl(ca, at(out), last, &number, &next, &e));
    must(file_read(at(out), FILE_DOC_MAX, &text, &e));
    must(crl_parse(out, bytes_span(&text), &crl, &e));
    must(crl_verify(crl, ca_cert(ca), &e));
    assert_true(crl->number == number && crl->next_update == next);
    bytes_free(&text);
    ca_close(ca);
    return crl;
}

static struct ca_summary summary(const char *home)
{
    struct ca *ca = NULL;
    struct ca_summary s = {.issued = 0};
    must(ca_open(at(home), NULL, &ca, &e));
    must(ca_show(ca, &s, &e));
    ca_close(ca);
    return s;
}

/* One number out of a home's database, read or changed behind its back. */
static int64_t sql(const char *home, const char *text)
{
    char *path = mem_printf("%s/%s/ca.db", folder, home);
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_prepare_v2(db, text, -1, &q, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(db));
    int64_t v = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
    sqlite3_finalize(q);
    sqlite3_close(db);
    free(path);
    return v;
}

/* ---- making CAs ---- */

static void test_root_is_made_once(void **state)
{
    (void)state;
    make_root();
    assert_int_equal(mode_of(at("root")), 0700);
    assert_int_equal(mode_of(at("root/ca.db")), 0600);
    assert_int_equal(sh("openssl verify -check_ss_sig -CAfile root/cert.pem root/cert.pem"), 0);
    assert_int_equal(sh("openssl x509 -in root/cert.pem -noout -text"), 0);
    assert_true(log_says("Subject: O = Example, CN = Example Root CA"));
    assert_true(log_says("ecdsa-with-SHA384"));

    struct cert *before = NULL, *after = NULL;
    must(cert_read(at("root/cert.pem"), &before, &e));
    int64_t now = clock_now();
    assert_true(before->not_before <= now - 60 && before->not_before > now - 120);
    assert_int_equal(before->not_after - before->not_before + 1, INT64_C(7300) * DAY);
    assert_int_equal(sh("rm root/cert.pem root/chain.pem"), 0);
    bool fresh = true;
    must(ca_init(at("root"), at("root.yaml"), &keys.base, &fresh,
                 &e)); /* and what was lost is written again */
    assert_false(fresh);
    must(cert_read(at("root/cert.pem"), &after, &e));
    assert_memory_equal(before->sha256, after->sha256, SHA256_LEN);
    cert_free(before);
    cert_free(after);
    assert_int_equal(summary("root").issued, 1);
}

static void test_another_configuration_is_a_conflict(void **state)
{
    (void)state;
    bool fresh = false;
    make_root();
    char *other = mem_printf("%s# changed\n", root_yaml);
    put(at("root.yaml"), other);
    free(other);
    refused(ca_init(at("root"), at("root.yaml"), &keys.base, &fresh, &e), RC_CONFLICT, "ca.exists");
    assert_content(at("root/ca.yaml"), span_str(root_yaml));
}

static void test_a_key_of_somebody_else_is_left_alone(void **state)
{
    (void)state;
    bool fresh = false;
    struct signer *theirs = NULL;
    must(keys.soft->ops->generate(keys.soft, "soft:root", alg_by_name("ec-p384"), KEY_SIGN, NULL, &theirs,
                                  &e));
    signer_free(theirs);
    put(at("root.yaml"), root_yaml);
    for (int i = 0; i < 2; i++) /* asking twice does not make it ours */
        refused(ca_init(at("root"), at("root.yaml"), &keys.base, &fresh, &e), RC_CONFLICT, "ca.key-exists");
    /* nothing was begun, so a better configuration is taken */
    char *other = mem_printf("%s", root_yaml);
    memcpy(strstr(other, "soft:root"), "soft:tree", 9);
    put(at("root.yaml"), other);
    free(other);
    must(ca_init(at("root"), at("root.yaml"), &keys.base, &fresh, &e));
    assert_true(fresh);
}

static void test_a_crash_after_the_key_is_finished(void **state)
{
    (void)state;
    bool fresh = false;
    put(at("root.yaml"), root_yaml);
    keys.lose_key = true;
    refused(ca_init(at("root"), at("root.yaml"), &keys.base, &fresh, &e), RC_TOKEN, "hsm.gone");
    keys.lose_key = false;
    struct ca *ca = NULL;
    refused(ca_open(at("root"), &keys.base, &ca, &e), RC_CONFLICT, "ca.no-certificate");
    must(ca_init(at("root"), at("root.yaml"), &keys.base, &fresh, &e));
    assert_true(fresh);
}

static void test_a_crash_before_the_signature_leaves_a_void_serial(void **state)
{
    (void)state;
    bool fresh = false;
    put(at("root.yaml"), root_yaml);
    keys.lose_key = true;
    assert_int_equal(ca_init(at("root"), at("root.yaml"), &keys.base, &fresh, &e), RC_TOKEN);
    keys.lose_key = false;
    keys.signs = 0;
    refused(ca_init(at("root"), at("root.yaml"), &keys.base, &fresh, &e), RC_TOKEN, "hsm.gone");
    assert_int_equal(sql("root", "SELECT count(*) FROM certificate WHERE state = 'reserved'"), 1);
    assert_false(file_exists(at("root/cert.pem")));
    keys.signs = ALWAYS;
    must(ca_init(at("root"), at("root.yaml"), &keys.base, &fresh, &e));
    struct ca_summary s = summary("root");
    assert_int_equal(s.issued, 1);
    assert_int_equal(s.voided, 1);
    assert_int_equal(sql("root", "SELECT count(*) FROM audit WHERE event = 'void'"), 1);
}

static void test_a_replaced_key_is_noticed(void **state)
{
    (void)state;
    make_root();
    softstore_free(keys.soft);
    keys.soft = softstore_new();
    struct signer *other = NULL;
    struct ca *ca = NULL;
    must(
        keys.soft->ops->generate(keys.soft, "soft:root", alg_by_name("ec-p384"), KEY_SIGN, NULL, &other, &e));
    signer_free(other);
    refused(ca_open(at("root"), &keys.base, &ca, &e), RC_CONFLICT, "ca.key-changed");
}

static void test_configurations_are_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *key;
    } cases[] = {
        {"name: root", "name: ro ot", "ca.config"},
        {"algorithm: ec-p384", "algorithm: ec-p521", "ca.config"},
        {"algorithm: ec-p384", "algorithm: rsa-2048", "x509.key-type"},
        {"crl-days: 365", "crl-days: 0", "doc.value"},
        {"validity-days: 7300", "colour: red", "doc.missing"},
        {"crl-days: 365", "crl-days: 365\ncolour: red", "doc.unknown-key"},
        {"CN: Example Root CA", "OU: x", "doc.missing"},
        {"O: Example,", "O: Example, C: Germany,", "x509.name"},
        {"profile: root", "profile: no-such", "x509.profile"},
        {"profile: root", "profile: online-ca", "ca.config"},
        {"local-ca]", "root]", "ca.config"},
        {"local-ca]", "no-such]", "x509.profile"},
        {"[online-ca, local-ca]", "[]", "ca.config"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *where = strstr(root_yaml, cases[i].from);
        assert_non_null(where);
        char *text = mem_printf("%.*s%s%s", (int)(where - root_yaml), root_yaml, cases[i].to,
                                where + strlen(cases[i].from));
        put(at("bad.yaml"), text);
        free(text);
        bool fresh = false;
        enum rc rc = ca_init(at("bad"), at("bad.yaml"), &keys.base, &fresh, &e);
        if (rc != RC_INPUT || strcmp(e.key, cases[i].key) != 0)
            fail_msg("'%s': %d %s [%s]", cases[i].to, (int)rc, e.text, e.key);
        assert_false(file_exists(at("bad")));
    }
}

/* ---- exceptions from the key policy ---- */

#define EXCEPTION "key-exceptions:\n  - rule: generated-on-token\n    reason: moved here in 2019\n"

static char *key_exceptions(const char *home)
{
    struct ca *ca = NULL;
    char *text = NULL;
    must(ca_open(at(home), NULL, &ca, &e));
    must(ca_key_exceptions(ca, &text, &e));
    ca_close(ca);
    return text;
}

/* Writes the configuration in a CA's home, as an operator may. */
static void edit(const char *home, const char *text, const char *more)
{
    char *path = mem_printf("%s/ca.yaml", home), *all = mem_printf("%s%s", text, more);
    put(at(path), all);
    free(all);
    free(path);
}

static int64_t told(const char *home, const char *event)
{
    char *text = mem_printf("SELECT count(*) FROM audit WHERE event = '%s' AND"
                            " json_extract(detail, '$.key_exceptions') ="
                            " 'generated-on-token (moved here in 2019)'",
                            event);
    int64_t n = sql(home, text);
    free(text);
    return n;
}

static void test_a_key_that_breaks_the_policy(void **state)
{
    (void)state;
    bool fresh = false;
    struct ca *ca = NULL;
    keys.breaks = "generated-on-token";
    put(at("root.yaml"), root_yaml);
    refused(ca_init(at("root"), at("root.yaml"), &keys.base, &fresh, &e), RC_DENIED, "hsm.key-policy");
    char *text = mem_printf("%skey-exceptions: [{rule: never-extractable, reason: another}]\n", root_yaml);
    edit("root", text, "");
    put(at("root.yaml"), text);
    free(text);
    refused(ca_init(at("root"), at("root.yaml"), &keys.base, &fresh, &e), RC_DENIED, "hsm.key-policy");
    assert_false(file_exists(at("root/cert.pem")));

    edit("root", root_yaml, EXCEPTION);
    text = mem_printf("%s" EXCEPTION, root_yaml);
    put(at("root.yaml"), text);
    free(text);
    must(ca_init(at("root"), at("root.yaml"), &keys.base, &fresh, &e));
    assert_int_equal(told("root", "key"), 1);
    assert_int_equal(told("root", "init"), 1);
    crl_free(make_crl("root", "r.crl", false));
    assert_int_equal(told("root", "crl"), 1);
    text = key_exceptions("root");
    assert_string_equal(text, "generated-on-token (moved here in 2019)");
    free(text);

    /* Without the exception the key signs nothing more; what needs no key goes on. */
    edit("root", root_yaml, "");
    refused(ca_open(at("root"), &keys.base, &ca, &e), RC_DENIED, "hsm.key-policy");
    must(ca_open(at("root"), NULL, &ca, &e));
    ca_close(ca);
    /* A good key says nothing of it. */
    keys.breaks = NULL;
    crl_free(make_crl("root", "r.crl", false));
    assert_null(key_exceptions("root"));
    assert_int_equal(told("root", "crl"), 1);
}

static void test_exceptions_are_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text, *key, *says;
    } cases[] = {
        {"key-exceptions:\n  - rule: made-at-home\n    reason: x\n", "ca.key-exception", ":11: "},
        {"key-exceptions:\n  - rule: sensitive\n", "doc.missing", ":11: "},
        {"key-exceptions:\n  - rule: sensitive\n    reason: \"\"\n", "doc.value", ":12: "},
        {"key-exceptions:\n  - rule: sensitive\n    reason: \"  \"\n", "ca.key-exception", ":12: "},
        {"key-exceptions:\n  - rule: sensitive\n    reason: \"a\\nb\"\n", "ca.key-exception", ":12: "},
        {"key-exceptions:\n  - reason: x\n", "doc.missing", "'key-exceptions"},
        {"key-exceptions:\n  - rule: sensitive\n    reason: x\n    until: y\n", "doc.unknown-key", ":13: "},
        {"key-exceptions:\n  - rule: sensitive\n    reason: x\n  - rule: sensitive\n    reason: y\n",
         "ca.key-exception", ":13: "},
        {"key-exceptions: sensitive\n", "doc.value", ":10: "},
        {"token: {workers: 0}\n", "doc.value", ":10: "},
        {"token: {sessions: 65}\n", "doc.value", ":10: "},
        {"token: {deadline: 5}\n", "doc.unknown-key", ":10: "},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ca_config *c = NULL;
        char *text = mem_printf("%s%s", root_yaml, cases[i].text);
        put(at("bad.yaml"), text);
        free(text);
        enum rc rc = ca_config_read(at("bad.yaml"), &c, &e);
        if (rc != RC_INPUT || strcmp(e.key, cases[i].key) != 0 || strstr(e.text, cases[i].says) == NULL ||
            strstr(e.text, "bad.yaml:") == NULL)
            fail_msg("'%s': %d %s [%s]", cases[i].text, (int)rc, e.text, e.key);
    }
    struct ca_config *c = NULL;
    char *text =
        mem_printf("%s" EXCEPTION "token: {workers: 2, sessions: 64, deadline-seconds: 3}\n", root_yaml);
    put(at("good.yaml"), text);
    free(text);
    must(ca_config_read(at("good.yaml"), &c, &e));
    assert_int_equal(c->exceptions.n, 1);
    assert_string_equal(c->exceptions.list[0].reason, "moved here in 2019");
    assert_true(c->token.workers == 2 && c->token.sessions == 64 && c->token.deadline_ms == 3000 &&
                c->token.patience_ms == 0);
    ca_config_free(c);
}

/* The schema lists the rules that the program knows, and no others. */
static void test_the_schema_knows_the_rules(void **state)
{
    (void)state;
    struct bytes text = BYTES_INIT, list = BYTES_INIT;
    must(file_read("schemas/ca-config.schema.json", FILE_SMALL_MAX, &text, &e));
    for (const char *const *r = key_rules; *r != NULL; r++)
        bytes_printf(&list, "%s\"%s\"", r == key_rules ? "\"rule\": {\"enum\": [" : ", ", *r);
    bytes_printf(&list, "]}");
    assert_non_null(strstr(bytes_str(&text), bytes_str(&list)));
    bytes_free(&list);
    bytes_free(&text);
}

/* ---- RSA ---- */

/* The shipped profiles with other keys. */
static void write_profile(const char *name, const char *algs)
{
    struct bytes text = BYTES_INIT;
    char *from = mem_printf("schemas/profiles/%s.yaml", name), *to = mem_printf("%s-rsa.yaml", name);
    must(file_read(from, FILE_SMALL_MAX, &text, &e));
    const char *keys_line = strstr(bytes_str(&text), "keys: ["), *end = strchr(keys_line, ']');
    char *changed =
        mem_printf("%.*skeys: [%s%s", (int)(keys_line - bytes_str(&text)), bytes_str(&text), algs, end);
    put(at(to), changed);
    free(changed);
    free(from);
    free(to);
    bytes_free(&text);
}

static char *rsa_yaml(const char *alg)
{
    return mem_printf(
        "schema: keymill.ca-config.v1\nname: root\nkey: soft:root\nalgorithm: %s\nprofile: %s/root-rsa.yaml\n"
        "subject: {O: Example, CN: Example Root CA}\nvalidity-days: 7300\ncrl-days: 365\n"
        "issues: [online-ca, local-ca]\n",
        alg, folder);
}

static void test_an_rsa_key_signs_with_pss(void **state)
{
    (void)state;
    bool fresh = false;
    struct ca *ca = NULL;
    write_profile("root", "rsa-2048");
    char *text = rsa_yaml("rsa-2048-pss");
    put(at("root.yaml"), text);
    free(text);
    must(ca_init(at("root"), at("root.yaml"), &keys.base, &fresh, &e));
    assert_int_equal(sh("openssl verify -check_ss_sig -CAfile root/cert.pem root/cert.pem"), 0);
    assert_int_equal(sh("openssl x509 -in root/cert.pem -noout -text"), 0);
    assert_true(log_says("rsassaPss") && log_says("Public-Key: (2048 bit)"));
    crl_free(make_crl("root", "r.crl", false)); /* the key found again signs the same way */
    assert_int_equal(sh("openssl crl -in r.crl -noout -text -CAfile root/cert.pem"), 0);
    assert_true(log_says("rsassaPss") && log_says("verify OK"));
    assert_int_equal(sql("root", "SELECT count(*) FROM audit WHERE event = 'key' AND"
                                 " json_extract(detail, '$.algorithm') = 'rsa-2048-pss'"),
                     1);
    make_sub("online", "server"); /* and what it signs is taken */

    text = rsa_yaml("rsa-2048"); /* the same key, PKCS #1 from now on */
    edit("root", text, "");
    free(text);
    crl_free(make_crl("root", "r.crl", false));
    assert_int_equal(sh("openssl crl -in r.crl -noout -text -CAfile root/cert.pem"), 0);
    assert_true(log_says("sha256WithRSAEncryption") && log_says("verify OK"));

    static const char *const others[] = {"rsa-3072", "rsa-3072-pss", "ec-p384", "ed25519"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        text = rsa_yaml(others[i]);
        edit("root", text, "");
        free(text);
        refused(ca_open(at("root"), &keys.base, &ca, &e), RC_CONFLICT, "ca.key-changed");
    }
}

static void test_a_home_that_is_not_there(void **state)
{
    (void)state;
    struct ca_config *c = NULL;
    struct ca *ca = NULL;
    refused(ca_home_config(at("nowhere"), &c, &e), RC_CONFLICT, "ca.no-home");
    refused(ca_open(at("nowhere"), NULL, &ca, &e), RC_CONFLICT, "ca.no-home");
    assert_false(file_exists(at("nowhere")));
}

/* A folder of somebody else is not an absent one. */
static void test_a_home_that_cannot_be_looked_into(void **state)
{
    (void)state;
    struct ca_config *c = NULL;
    struct ca *ca = NULL;
    make_root();
    assert_int_equal(sh("ln -s loop loop"), 0);
    refused(ca_home_config(at("loop"), &c, &e), RC_SYSTEM, "file.read");
    bool root = geteuid() == 0;
    assert_int_equal(root ? chmod(folder, 0755) | seteuid(NOBODY) : chmod(at("root"), 0), 0);
    refused(ca_home_config(at("root"), &c, &e), RC_SYSTEM, "file.read");
    assert_non_null(strstr(e.text, "Permission denied"));
    refused(ca_open(at("root"), NULL, &ca, &e), RC_SYSTEM, "file.read");
    assert_int_equal(root ? seteuid(0) : chmod(at("root"), 0700), 0);
}

static void test_one_command_at_a_time(void **state)
{
    (void)state;
    make_root();
    struct ca *one = open_ca("root"), *two = NULL;
    refused(ca_open(at("root"), NULL, &two, &e), RC_CONFLICT, "lock.busy");
    ca_close(one);
}

/* ---- subordinates ---- */

static void test_a_request_is_the_same_again(void **state)
{
    (void)state;
    make_root();
    write_sub("online", "0000000000000000000000000000000000000000000000000000000000000000", "server");
    refused(request("online"), RC_INPUT, "doc.placeholder");
    write_sub("online", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "server");
    refused(request("online"), RC_INPUT, "doc.placeholder");
    assert_false(file_exists(at("online")));
    write_sub("online", "1111111111111111111111111111111111111111111111111111111111111111", "server");
    must(request("online"));
    assert_int_equal(
        sh("openssl req -in online.csr -verify -noout -subject && cp online.csr first.csr && cmp online.csr online/request.csr"),
        0);
    must(request("online"));
    assert_int_equal(sh("cmp online.csr first.csr"), 0);
    put(at("online.csr"), "something else");
    refused(request("online"), RC_CONFLICT, "file.exists");
}

static void test_import_takes_only_what_was_requested(void **state)
{
    (void)state;
    bool fresh = false, crls = false;
    make_root();
    struct ca *root = open_ca("root");
    char *sha = hex_new((struct span){ca_cert(root)->sha256, SHA256_LEN});
    ca_close(root);
    write_sub("online", sha, "server");
    write_sub("local", sha, "device");
    must(request("online"));
    must(request("local"));
    free(sha);
    must(sign_ca("local", "local-ca"));
    refused(ca_import(at("online"), at("local.pem"), at("root/cert.pem"), &fresh, &crls, &e), RC_INPUT,
            "ca.certificate");
    refused(ca_import(at("root"), at("local.pem"), at("root/cert.pem"), &fresh, &crls, &e), RC_CONFLICT,
            "ca.no-request");

    /* another key under the right name */
    struct signer *other = new_key(KEY_SIGN);
    write_csr(other, "Example online CA", "other.csr");
    signer_free(other);
    struct ca_issue in = {.profile = "online-ca", .csr_path = "other.csr", .sub_ca = true};
    must(issue("root", &in, "other.pem", NULL));
    refused(ca_import(at("online"), at("other.pem"), at("root/cert.pem"), &fresh, &crls, &e), RC_INPUT,
            "ca.certificate");
    assert_non_null(strstr(e.text, "another key"));

    /* the right key in a certificate of another profile */
    in = (struct ca_issue){.profile = "local-ca", .csr_path = "online.csr", .sub_ca = true};
    must(issue("root", &in, "wrong.pem", NULL));
    assert_int_equal(ca_import(at("online"), at("wrong.pem"), at("root/cert.pem"), &fresh, &crls, &e),
                     RC_DENIED);
    assert_string_equal(e.key, "lint.eku");
    refused(sign_ca("online", "online-ca"), RC_CONFLICT, "ca.key-reused");
    sql("root", "DELETE FROM certificate WHERE profile = 'local-ca'"); /* as another root would have it */

    must(sign_ca("online", "online-ca"));
    refused(ca_import(at("online"), at("online.pem"), at("local.pem"), &fresh, &crls, &e), RC_INPUT,
            "ca.chain");
    struct ca *none = NULL;
    refused(ca_open(at("online"), &keys.base, &none, &e), RC_CONFLICT, "ca.no-certificate");
    must(ca_import(at("online"), at("online.pem"), at("root/cert.pem"), &fresh, &crls, &e));
    assert_true(fresh);
    must(ca_import(at("online"), at("online.pem"), at("root/cert.pem"), &fresh, &crls, &e));
    assert_false(fresh);
    assert_int_equal(
        sh("openssl verify -CAfile root/cert.pem online/cert.pem && cat online.pem root/cert.pem | cmp - online/chain.pem"),
        0);
    refused(ca_import(at("online"), at("wrong.pem"), at("root/cert.pem"), &fresh, &crls, &e), RC_CONFLICT,
            "ca.has-certificate");
}

static void test_import_wants_the_root_that_was_named(void **state)
{
    (void)state;
    bool fresh = false, crls = false;
    make_root();
    write_sub("online", "1111111111111111111111111111111111111111111111111111111111111111", "server");
    must(request("online"));
    must(sign_ca("online", "online-ca"));
    assert_int_not_equal(ca_import(at("online"), at("online.pem"), at("root/cert.pem"), &fresh, &crls, &e),
                         RC_OK);
    assert_string_equal(e.key, "verify.root");
}

static void test_import_again_brings_newer_crls(void **state)
{
    (void)state;
    bool fresh = false, crls = false;
    make_online();
    crl_free(make_crl("root", "root.crl", false));
    assert_int_equal(sh("cat root/cert.pem root.crl >chain.pem"), 0);
    must(ca_import(at("online"), at("online.pem"), at("chain.pem"), &fresh, &crls, &e));
    assert_false(fresh);
    assert_true(crls);
    must(ca_import(at("online"), at("online.pem"), at("chain.pem"), &fresh, &crls, &e));
    assert_false(fresh || crls);
    struct ca *ca = open_ca("online");
    assert_int_equal(ca_chain(ca)->ncerts, 2);
    assert_int_equal(ca_chain(ca)->ncrls, 1);
    assert_true(span_eq(bytes_span(&ca_chain(ca)->certs[0]), bytes_span(&ca_cert(ca)->der)));
    ca_close(ca);
    /* a CRL of somebody below does not belong there */
    crl_free(make_crl("online", "online.crl", false));
    assert_int_equal(sh("cat root/cert.pem online.crl >chain.pem"), 0);
    refused(ca_import(at("online"), at("online.pem"), at("chain.pem"), &fresh, &crls, &e), RC_INPUT,
            "ca.chain");
    /* nor does one of a namesake with another key */
    char *twin = mem_printf("%s", root_yaml);
    memcpy(strstr(twin, "soft:root"), "soft:twin", 9);
    put(at("twin.yaml"), twin);
    free(twin);
    must(ca_init(at("twin"), at("twin.yaml"), &keys.base, &fresh, &e));
    crl_free(make_crl("twin", "twin.crl", false));
    assert_int_equal(sh("cat root/cert.pem twin.crl >chain.pem"), 0);
    assert_int_equal(ca_import(at("online"), at("online.pem"), at("chain.pem"), &fresh, &crls, &e), RC_INPUT);
    /* nor one whose signature was changed */
    assert_int_equal(
        sh("openssl crl -in root.crl -badsig -out root.crl && cat root/cert.pem root.crl >chain.pem"), 0);
    assert_int_equal(ca_import(at("online"), at("online.pem"), at("chain.pem"), &fresh, &crls, &e), RC_INPUT);
}

/* The number of the one CRL in a home's chain. */
static uint64_t held_crl(const char *home)
{
    struct ca *ca = open_ca(home);
    struct crl *crl = NULL;
    assert_int_equal(ca_chain(ca)->ncrls, 1);
    must(crl_parse("held", bytes_span(&ca_chain(ca)->crls[0]), &crl, &e));
    uint64_t number = crl->number;
    crl_free(crl);
    ca_close(ca);
    return number;
}

static enum rc import_chain(const char *files, bool *ret_crls)
{
    bool fresh = true;
    assert_int_equal(sh("cat root/cert.pem %s >chain.pem", files), 0);
    enum rc rc = ca_import(at("online"), at("online.pem"), at("chain.pem"), &fresh, ret_crls, &e);
    if (rc == RC_OK)
        assert_false(fresh);
    return rc;
}

static void test_import_never_goes_back_to_an_older_crl(void **state)
{
    (void)state;
    bool crls = false;
    make_online();
    for (int i = 1; i <= 3; i++) {
        char *name = mem_printf("%d.crl", i);
        crl_free(make_crl("root", name, false));
        free(name);
    }
    must(import_chain("1.crl 2.crl", &crls)); /* the highest of them counts */
    assert_true(crls);
    assert_true(held_crl("online") == 2);
    must(import_chain("", &crls));
    assert_false(crls);
    assert_true(held_crl("online") == 2);
    refused(import_chain("1.crl", &crls), RC_CONFLICT, "ca.crl-older");
    assert_non_null(strstr(e.text, "CRL number 1 of 'Example Root CA', number 2"));
    assert_true(held_crl("online") == 2);
    must(import_chain("3.crl 2.crl", &crls));
    assert_true(crls);
    assert_true(held_crl("online") == 3);
}

/* Two CAs of somebody else's above ours, each with a CRL: 1.crl and 2.crl of "top", a.crl and b.crl of "mid".
 */
static const char two_above[] =
    "cat >x.cnf <<'END'\n"
    "[ca]\ndefault_ca=d\n[d]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\ndefault_crl_days=30\n"
    "[crl]\nauthorityKeyIdentifier=keyid\n"
    "[top]\nbasicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n"
    "subjectKeyIdentifier=hash\n"
    "[mid]\nbasicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n"
    "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    "[sub]\nbasicConstraints=critical,CA:true,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n"
    "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    "[req]\ndistinguished_name=dn\n[dn]\nEND\n"
    "set -e; touch index; echo 01 >number\n"
    "for ca in top mid; do openssl ecparam -name prime256v1 -genkey -noout -out $ca.key; done\n"
    "openssl req -config x.cnf -x509 -new -key top.key -subj /CN=top -days 90 -extensions top -out top.pem\n"
    "openssl req -config x.cnf -new -key mid.key -subj /CN=mid -out mid.csr\n"
    "openssl x509 -req -in mid.csr -CA top.pem -CAkey top.key -days 80 -extfile x.cnf -extensions mid -out mid.pem\n"
    "crl() { openssl ca -config x.cnf -gencrl -crlexts crl -keyfile $1.key -cert $1.pem -out $2.crl; }\n"
    "crl top 1; crl top 2; crl mid a; crl mid b\n";

static void test_import_keeps_a_crl_of_each_ca(void **state)
{
    (void)state;
    bool fresh = false, crls = false;
    assert_int_equal(sh("%s", two_above), 0);
    struct cert *top = NULL;
    must(cert_read(at("top.pem"), &top, &e));
    char *sha = hex_new((struct span){top->sha256, SHA256_LEN});
    write_sub("online", sha, "server");
    free(sha);
    cert_free(top);
    must(request("online"));
    assert_int_equal(sh("openssl x509 -req -in online.csr -CA mid.pem -CAkey mid.key -days 70 -extfile x.cnf "
                        "-extensions sub -out online.pem && cat mid.pem top.pem 1.crl a.crl >1a.pem && "
                        "cat mid.pem top.pem b.crl >b.pem && cat mid.pem top.pem 2.crl a.crl >2a.pem"),
                     0);
    must(ca_import(at("online"), at("online.pem"), at("1a.pem"), &fresh, &crls, &e));
    assert_true(fresh && crls);
    must(ca_import(at("online"), at("online.pem"), at("b.pem"), &fresh, &crls, &e));
    assert_true(!fresh && crls);
    struct ca *ca = open_ca("online");
    assert_int_equal(ca_chain(ca)->ncrls, 2); /* a newer one of mid does not take away top's */
    ca_close(ca);
    assert_int_equal(sh("for f in b 1; do openssl crl -in $f.crl; done >crls && "
                        "sed -n '/X509 CRL/,/X509 CRL/p' online/chain.pem | cmp - crls"),
                     0);
    refused(ca_import(at("online"), at("online.pem"), at("2a.pem"), &fresh, &crls, &e), RC_CONFLICT,
            "ca.crl-older");
    assert_non_null(strstr(e.text, "'mid'"));
}

/* ---- issuing ---- */

static void test_every_profile_is_issued(void **state)
{
    (void)state;
    static const char *const online[] = {"server", "office", "release", "station-manifest", "ocsp"};
    make_online();
    for (size_t i = 0; i < sizeof(online) / sizeof(online[0]); i++) {
        must(issue_new("online", online[i], online[i], "leaf.pem"));
        assert_int_equal(sh("openssl verify -CAfile root/cert.pem -untrusted online/cert.pem leaf.pem"), 0);
    }
    struct ca_summary s = summary("online");
    assert_int_equal(s.issued, 5);
    assert_int_equal(s.audit_rows, 3 + 5); /* key, request, import */
}

static void test_a_device_is_named_by_its_id(void **state)
{
    (void)state;
    make_local();
    struct signer *key = new_key(KEY_SIGN);
    write_csr(key, "not used", "d.csr");
    struct ca_issue in = {.profile = "device", .csr_path = "d.csr", .id = "MX1-000123", .ou = "Factory 7"};
    must(issue("local", &in, "d.pem", NULL));
    assert_int_equal(sql("local", "SELECT (not_after - not_before + 1) / 86400 FROM certificate"),
                     1095); /* the profile's */
    assert_int_equal(sh("openssl x509 -in d.pem -noout -subject"), 0);
    assert_true(log_says("subject=CN = MX1-000123, OU = Factory 7\n"));
    assert_int_equal(sql("local", "SELECT count(*) FROM certificate WHERE device_id = 'MX1-000123'"), 1);

    in.id = NULL; /* then the request's CN is the id, and this one cannot be */
    refused(issue("local", &in, "d.pem", NULL), RC_INPUT, "ca.id");
    in.id = "MX1-000124";
    refused(issue("local", &in, "d.pem", NULL), RC_CONFLICT, "ca.key-reused");
    signer_free(key);
    key = new_key(KEY_SIGN);
    write_csr(key, "MX1-000123", "d2.csr");
    in = (struct ca_issue){.profile = "device", .csr_path = "d2.csr", .days = 365};
    refused(issue("local", &in, "d2.pem", NULL), RC_CONFLICT, "ca.id-reused");
    signer_free(key);
}

static void test_the_same_request_gives_the_same_certificate(void **state)
{
    (void)state;
    make_online();
    struct signer *key = new_key(KEY_SIGN);
    write_csr(key, "office", "o.csr");
    struct ca_issue in = {.profile = "office", .csr_path = "o.csr"};
    bool fresh = false;
    must(issue("online", &in, "1.pem", &fresh));
    assert_true(fresh);
    must(issue("online", &in, "2.pem", &fresh));
    assert_false(fresh);
    assert_int_equal(sh("cmp 1.pem 2.pem"), 0);
    assert_int_equal(summary("online").issued, 1);

    sql("online", "UPDATE certificate SET not_after = 1000"); /* as if it had expired */
    must(issue("online", &in, "3.pem", &fresh));
    assert_true(fresh);
    assert_int_not_equal(sh("cmp 1.pem 3.pem"), 0);

    must(revoke_pem("online", "3.pem", "superseded", NULL));
    refused(issue("online", &in, "4.pem", NULL), RC_CONFLICT, "ca.revoked");
    signer_free(key);
}

static void test_days_are_never_ignored(void **state)
{
    (void)state;
    make_online();
    struct signer *key = new_key(KEY_SIGN);
    write_csr(key, "office", "o.csr");
    signer_free(key);
    struct ca_issue in = {.profile = "office", .csr_path = "o.csr", .days = 30};
    bool fresh = false;
    must(issue("online", &in, "1.pem", NULL));
    must(issue("online", &in, "2.pem", &fresh));
    assert_false(fresh);
    in.days = 0;
    must(issue("online", &in, "2.pem", &fresh));
    assert_false(fresh);
    in.days = 31;
    refused(issue("online", &in, "2.pem", NULL), RC_CONFLICT, "ca.days-differ");
    struct cert *c = NULL;
    char end[TIME_TEXT];
    must(cert_read(at("1.pem"), &c, &e));
    time_format(c->not_after, end);
    in.days = 29;
    refused(issue("online", &in, "2.pem", NULL), RC_CONFLICT, "ca.days-differ");
    assert_non_null(strstr(e.text, end));
    cert_free(c);
}

static void test_a_key_has_one_purpose(void **state)
{
    (void)state;
    make_online();
    struct signer *key = new_key(KEY_SIGN);
    char serial[64];
    write_csr(key, "one", "1.csr");
    write_csr(key, "one", "2.csr");
    struct ca_issue office = {.profile = "office", .csr_path = "1.csr"};
    struct ca_issue release = {.profile = "release", .csr_path = "1.csr"};
    must(issue("online", &office, "1.pem", NULL));
    serial_of("1.pem", serial);
    refused(issue("online", &release, "x.pem", NULL), RC_CONFLICT, "ca.key-reused");
    assert_non_null(strstr(e.text, "'CN=one,O=Example' with profile 'office'"));
    assert_non_null(strstr(e.text, serial));

    /* an expired certificate does not free the key, a revoked one condemns it */
    sql("online", "UPDATE certificate SET not_after = 1000");
    refused(issue("online", &release, "x.pem", NULL), RC_CONFLICT, "ca.key-reused");
    office.csr_path = "2.csr";
    must(issue("online", &office, "2.pem", NULL));
    serial_of("2.pem", serial);
    must(revoke_pem("online", "2.pem", "keyCompromise", NULL));
    refused(issue("online", &office, "x.pem", NULL), RC_CONFLICT, "ca.revoked");
    refused(issue("online", &release, "x.pem", NULL), RC_CONFLICT, "ca.revoked");
    assert_non_null(strstr(e.text, serial));
    write_csr(key, "one", "3.csr");
    office.csr_path = "3.csr";
    refused(issue("online", &office, "x.pem", NULL), RC_CONFLICT, "ca.revoked");
    assert_int_equal(sql("online", "SELECT count(*) FROM certificate"), 2);
    signer_free(key);

    must(keys.soft->ops->find(keys.soft, "soft:online", KEY_SIGN, NULL, &key, &e));
    write_csr(key, "Example online CA", "4.csr"); /* its own name does not help */
    office.csr_path = "4.csr";
    refused(issue("online", &office, "x.pem", NULL), RC_CONFLICT, "ca.key-reused");
    signer_free(key);
}

static void test_a_key_belongs_to_one_subject(void **state)
{
    (void)state;
    make_online();
    struct signer *key = new_key(KEY_SIGN);
    write_csr(key, "one", "1.csr");
    write_csr(key, "two", "2.csr");
    struct ca_issue one = {.profile = "office", .csr_path = "1.csr"};
    struct ca_issue two = {.profile = "office", .csr_path = "2.csr"};
    must(issue("online", &one, "1.pem", NULL));
    refused(issue("online", &two, "2.pem", NULL), RC_CONFLICT, "ca.key-reused");
    assert_non_null(strstr(e.text, "CN=one"));
    write_csr(key, "one", "3.csr"); /* a renewal: same key, same subject, another request */
    struct ca_issue again = {.profile = "office", .csr_path = "3.csr"};
    must(issue("online", &again, "3.pem", NULL));
    signer_free(key);

    must(keys.soft->ops->find(keys.soft, "soft:online", KEY_SIGN, NULL, &key, &e));
    write_csr(key, "disguise", "4.csr");
    struct ca_issue own = {.profile = "office", .csr_path = "4.csr"};
    refused(issue("online", &own, "4.pem", NULL), RC_CONFLICT, "ca.key-reused");
    signer_free(key);
}

static void test_profiles_are_kept_apart(void **state)
{
    (void)state;
    make_local();
    refused(issue_new("local", "office", "x", "x.pem"), RC_DENIED, "ca.profile");
    assert_non_null(strstr(e.text, "device, ocsp"));
    refused(issue_new("local", "no-such", "x", "x.pem"), RC_INPUT, "x509.profile");
    struct ca_issue in = {.profile = "ocsp", .csr_path = "x.csr", .sub_ca = true};
    refused(issue("local", &in, "x.pem", NULL), RC_USAGE, "ca.kind");
    in = (struct ca_issue){.profile = "local-ca", .csr_path = "x.csr"};
    refused(issue("root", &in, "x.pem", NULL), RC_USAGE, "ca.kind");
    in = (struct ca_issue){.profile = "ocsp", .csr_path = "x.csr", .id = "A1"};
    refused(issue("local", &in, "x.pem", NULL), RC_USAGE, "ca.id");
    assert_int_equal(sql("local", "SELECT count(*) FROM certificate"), 0);
}

static void test_nothing_outlives_its_issuer(void **state)
{
    (void)state;
    make_local();
    struct signer *key = new_key(KEY_SIGN);
    write_csr(key, "MX1-1", "d.csr");
    signer_free(key);
    struct ca_issue in = {.profile = "device", .csr_path = "d.csr", .days = 3651};
    refused(issue("local", &in, "d.pem", NULL), RC_DENIED, "lint.issuer-end");
    in.days = INT64_MAX;
    refused(issue("local", &in, "d.pem", NULL), RC_INPUT, "ca.days");
    assert_int_equal(sql("local", "SELECT count(*) FROM certificate"), 0);
    in.days = 3649;
    must(issue("local", &in, "d.pem", NULL));
}

/* ---- possession by statement ---- */

static void write_statement_csr(struct signer *statement_key, const char *cert_pem, const char *file)
{
    struct signer *seal = new_key(KEY_DERIVE);
    struct cert *c = NULL;
    struct bytes der = BYTES_INIT, pem = BYTES_INIT;
    must(cert_read(at(cert_pem), &c, &e));
    must(csr_make_statement(bytes_span(&seal->spki), statement_key, bytes_span(&c->der), &der, &e));
    pem_encode("CERTIFICATE REQUEST", bytes_span(&der), &pem);
    must(file_publish(at(file), 0600, bytes_span(&pem), &e));
    cert_free(c);
    bytes_free(&der);
    bytes_free(&pem);
    signer_free(seal);
}

static void test_a_seal_key_is_certified_by_statement(void **state)
{
    (void)state;
    make_online();
    struct signer *key = new_key(KEY_SIGN);
    write_csr(key, "line7", "m.csr");
    struct ca_issue in = {.profile = "station-manifest", .csr_path = "m.csr"};
    must(issue("online", &in, "m.pem", NULL));
    write_statement_csr(key, "m.pem", "s.csr");

    struct ca_issue seal = {.profile = "station-seal", .csr_path = "s.csr"};
    must(issue("online", &seal, "s.pem", NULL));
    assert_int_equal(sh("openssl x509 -in s.pem -noout -text -nameopt RFC2253"), 0);
    assert_true(log_says("Subject: CN=line7,O=Example"));
    assert_true(log_says("Key Agreement"));

    /* neither kind of request is taken for the other profile */
    in.profile = "station-seal";
    refused(issue("online", &in, "x.pem", NULL), RC_DENIED, "ca.possession");
    seal.profile = "station-manifest";
    refused(issue("online", &seal, "x.pem", NULL), RC_DENIED, "ca.possession");

    /* and a statement dies with its certificate */
    write_statement_csr(key, "m.pem", "s2.csr");
    must(revoke_pem("online", "m.pem", "keyCompromise", NULL));
    struct ca_issue late = {.profile = "station-seal", .csr_path = "s2.csr"};
    refused(issue("online", &late, "x.pem", NULL), RC_DENIED, "ca.possession");
    signer_free(key);
}

static void test_a_statement_of_another_ca_is_not_believed(void **state)
{
    (void)state;
    make_online();
    make_sub("local", "device, ocsp");
    struct signer *key = new_key(KEY_SIGN);
    write_csr(key, "line7", "m.csr");
    struct ca_issue in = {.profile = "ocsp", .csr_path = "m.csr"};
    must(issue("local", &in, "m.pem", NULL));
    write_statement_csr(key, "m.pem", "s.csr");
    struct ca_issue seal = {.profile = "station-seal", .csr_path = "s.csr"};
    refused(issue("online", &seal, "s.pem", NULL), RC_DENIED, "ca.possession");
    signer_free(key);
}

/* ---- revocation ---- */

static void test_revoked_is_on_the_list_and_stays(void **state)
{
    (void)state;
    make_online();
    must(issue_new("online", "office", "good", "good.pem"));
    must(issue_new("online", "office", "bad", "bad.pem"));
    bool fresh = false;
    must(revoke_pem("online", "bad.pem", "keyCompromise", &fresh));
    assert_true(fresh);
    must(revoke_pem("online", "bad.pem", "keyCompromise", &fresh));
    assert_false(fresh);
    refused(revoke_pem("online", "bad.pem", "superseded", NULL), RC_CONFLICT, "ca.revoked");
    refused(revoke_pem("online", "good.pem", "because", NULL), RC_INPUT, "ca.reason");
    refused(revoke_pem("online", "good.pem", "certificateHold", NULL), RC_INPUT, "ca.reason");

    struct crl *crl = make_crl("online", "online.crl", false);
    assert_true(crl->number == 1);
    assert_int_equal(crl->next_update - crl->this_update, 7 * DAY);
    crl_free(crl);
    crl_free(make_crl("root", "root.crl", false));
    assert_int_equal(sh("openssl crl -in online.crl -CAfile online/cert.pem -noout"), 0);
    assert_true(log_says("verify OK"));
    static const char check[] =
        "openssl verify -crl_check_all -CAfile root/cert.pem -untrusted online/cert.pem -CRLfile online.crl -CRLfile root.crl";
    assert_int_equal(sh("%s good.pem", check), 0);
    assert_int_not_equal(sh("%s bad.pem", check), 0);
    assert_true(log_says("certificate revoked"));

    crl = make_crl("online", "online.crl", false);
    assert_true(crl->number == 2);
    crl_free(crl);
    assert_int_equal(summary("online").crl_number, 2);
}

static void test_the_root_takes_a_whole_ca_out(void **state)
{
    (void)state;
    make_local();
    must(revoke_pem("root", "local.pem", "cACompromise", NULL));
    crl_free(make_crl("root", "root.crl", false));
    assert_int_not_equal(sh("openssl verify -crl_check -CAfile root/cert.pem -CRLfile root.crl local.pem"),
                         0);
    assert_true(log_says("certificate revoked"));
    refused(revoke_pem("root", "root/cert.pem", "cACompromise", NULL), RC_DENIED, "ca.revoke-self");
    refused(revoke_pem("local", "local.pem", "cACompromise", NULL), RC_INPUT, "ca.no-serial");
}

static void test_serials_are_read_leniently_and_exactly(void **state)
{
    (void)state;
    make_online();
    must(issue_new("online", "office", "x", "x.pem"));
    char serial[64], text[80];
    bool fresh = false;
    struct ca *ca = NULL;
    serial_of("x.pem", serial);
    must(ca_open(at("online"), NULL, &ca, &e));
    static const char *const bad[] = {"xyz", "4g", "0x4711", "47 11", "471"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        refused(ca_revoke(ca, bad[i], "superseded", &fresh, &e), RC_INPUT, "text.hex");
    refused(ca_revoke(ca, "zz", "superseded", &fresh, &e), RC_INPUT, "text.hex");
    assert_non_null(strstr(e.text, "'zz' is not hexadecimal"));
    refused(ca_revoke(ca, "", "superseded", &fresh, &e), RC_INPUT, "ca.no-serial");
    refused(ca_revoke(ca, "4000000000000000", "superseded", &fresh, &e), RC_INPUT, "ca.no-serial");
    snprintf(text, sizeof(text), "00%s", serial);
    for (char *c = text; *c != '\0'; c++)
        *c = *c >= 'a' ? (char)(*c - 'a' + 'A') : *c;
    must(ca_revoke(ca, text, "superseded", &fresh, &e));
    assert_true(fresh);
    char colons[80], *to = colons; /* as "openssl x509 -text" prints it */
    for (size_t i = 0; serial[i] != '\0'; i++) {
        if (i > 0 && i % 2 == 0)
            *to++ = ':';
        *to++ = serial[i];
    }
    *to = '\0';
    must(ca_revoke(ca, colons, "superseded", &fresh, &e));
    assert_false(fresh);
    ca_close(ca);
}

static enum rc crl_into(const char *home, const char *out)
{
    struct ca *ca = open_ca(home);
    uint64_t number = 0;
    int64_t next = 0;
    enum rc rc = ca_crl(ca, at(out), false, &number, &next, &e);
    ca_close(ca);
    return rc;
}

static void test_a_crl_replaces_only_its_elders(void **state)
{
    (void)state;
    make_online();
    crl_free(make_crl("root", "root.crl", false));
    crl_free(make_crl("online", "online.crl", false));
    put(at("mine"), "mine");
    put(at("empty"), "");
    assert_int_equal(sh("ln -s online.crl link && ln -s nowhere dangling && mkdir dir && cp root.crl before"),
                     0);
    static const char *const taken[] = {"mine", "empty", "root.crl", "online.pem", "link", "dangling", "dir"};
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
        refused(crl_into("online", taken[i]), RC_CONFLICT, "file.exists");
    refused(crl_into("online", "no-such-folder/online.crl"), RC_SYSTEM, "file.write");
    assert_content(at("mine"), span_str("mine"));
    assert_int_equal(sh("cmp root.crl before && test -L link && test -L dangling"), 0);
    assert_int_equal(summary("online").crl_number, 1);
    struct crl *crl = make_crl("online", "online.crl", false);
    assert_true(crl->number == 2);
    crl_free(crl);
}

static void test_a_crl_never_outlives_its_ca(void **state)
{
    (void)state;
    make_online();
    struct crl *crl = make_crl("online", "c.crl", true);
    struct ca *ca = open_ca("online");
    assert_true(crl->next_update == ca_cert(ca)->not_after);
    crl_free(crl);
    ca_close(ca);
    assert_int_equal(sh("sed -i 's/^crl-days: 7$/crl-days: 3650/' online/ca.yaml"), 0);
    sql("online", "UPDATE crl SET this_update = this_update + 1000");
    ca = open_ca("online");
    uint64_t number = 0;
    int64_t next = 0;
    refused(ca_crl(ca, at("c.crl"), false, &number, &next, &e), RC_DENIED, "ca.clock");
    ca_close(ca);
    sql("online", "DELETE FROM crl");
    crl = make_crl("online", "c.crl", false);
    ca = open_ca("online");
    assert_true(crl->next_update == ca_cert(ca)->not_after);
    crl_free(crl);
    ca_close(ca);
    assert_int_equal(sql("online", "SELECT count(*) FROM audit WHERE event = 'config'"), 1);
}

/* ---- batches ---- */

enum { GROUP = 150 };

struct group {
    struct ca_item items[GROUP];
    struct bytes names[GROUP];
    struct bytes spkis[GROUP];
    char ids[GROUP][32];
};

static struct group *group_new(int first)
{
    struct group *g = calloc(1, sizeof(*g));
    assert_non_null(g);
    for (int i = 0; i < GROUP; i++) {
        snprintf(g->ids[i], sizeof(g->ids[i]), "MX1-%06d", first + i);
        const struct name_attr attrs[] = {{"CN", g->ids[i]}, {"OU", "Factory 7"}};
        must(name_encode(attrs, 2, &g->names[i], &e));
        struct signer *key = new_key(KEY_SIGN);
        bytes_add_span(&g->spkis[i], bytes_span(&key->spki));
        signer_free(key);
        g->items[i] = (struct ca_item){
            .id = g->ids[i], .name = bytes_span(&g->names[i]), .spki = bytes_span(&g->spkis[i])};
    }
    return g;
}

static void group_free(struct group *g)
{
    for (int i = 0; i < GROUP; i++) {
        bytes_free(&g->names[i]);
        bytes_free(&g->spkis[i]);
        bytes_free(&g->items[i].der);
    }
    free(g);
}

static struct ca_run *begin(struct ca *ca, const char *order, size_t verify_every)
{
    struct ca_run *r = NULL;
    int64_t nb = ca_cert(ca)->not_before;
    must(ca_run_begin(ca, order, "device", nb, nb + 1000 * (int64_t)DAY, verify_every, &r, &e));
    return r;
}

static void test_a_batch_is_reserved_signed_and_issued(void **state)
{
    (void)state;
    make_local();
    struct group *g = group_new(1);
    struct ca *ca = open_ca("local");
    struct ca_run *r = begin(ca, "A1", 1);
    must(ca_group_reserve(r, g->items, GROUP, &e));
    assert_int_equal(
        sql("local", "SELECT count(*) FROM certificate WHERE state = 'reserved' AND order_name = 'A1'"),
        GROUP);
    must(ca_group_sign(r, g->items, GROUP, &e));
    must(ca_group_commit(r, g->items, GROUP, &e));
    refused(ca_group_commit(r, g->items, GROUP, &e), RC_CONFLICT, "ca.not-reserved");
    ca_run_end(r);
    for (int i = 0; i < GROUP; i++) {
        struct cert *c = NULL;
        struct bytes der = BYTES_INIT;
        must(cert_parse(g->ids[i], bytes_span(&g->items[i].der), &c, &e));
        must(cert_verify_signature(c, ca_cert(ca), &e));
        assert_true(span_eq(c->subject, g->items[i].name) && span_eq(c->spki, g->items[i].spki));
        assert_true(span_eq(c->serial, (struct span){g->items[i].serial, SERIAL_LEN}));
        assert_memory_equal(c->sha256, g->items[i].sha256, SHA256_LEN);
        must(ca_find_id(ca, "A1", g->ids[i], &der, &e));
        assert_true(span_eq(bytes_span(&der), bytes_span(&c->der)));
        bytes_reset(&der);
        must(ca_find_id(ca, "A2", g->ids[i], &der, &e));
        assert_int_equal(der.n, 0);
        bytes_free(&der);
        cert_free(c);
    }
    struct bytes pem = BYTES_INIT;
    pem_encode("CERTIFICATE", bytes_span(&g->items[GROUP - 1].der), &pem);
    must(file_publish(at("d.pem"), 0600, bytes_span(&pem), &e));
    bytes_free(&pem);
    assert_int_equal(
        sh("openssl verify -purpose sslclient -CAfile root/cert.pem -untrusted local/cert.pem d.pem"), 0);
    ca_close(ca);
    assert_int_equal(
        sql("local",
            "SELECT count(*) FROM audit WHERE event = 'reserve' AND json_extract(detail, '$.count') = 150"
            " AND json_extract(detail, '$.first') = 'MX1-000001' AND json_extract(detail, '$.last') = 'MX1-000150'"),
        1);
    group_free(g);
}

static void test_a_group_left_by_a_crash_becomes_void(void **state)
{
    (void)state;
    make_local();
    struct group *g = group_new(1);
    struct ca *ca = open_ca("local");
    struct ca_run *r = begin(ca, "A1", 1);
    uint8_t serial[SERIAL_LEN];
    must(ca_group_reserve(r, g->items, GROUP, &e));
    must(ca_group_sign(r, g->items, GROUP, &e));
    memcpy(serial, g->items[0].serial, sizeof(serial));
    ca_run_end(r); /* and no commit: as far as the database knows, we died here */
    ca_close(ca);

    ca = open_ca("local");
    r = begin(ca, "B2", 1); /* another order's leftovers are not its business */
    ca_run_end(r);
    assert_int_equal(sql("local", "SELECT count(*) FROM certificate WHERE state = 'reserved'"), GROUP);
    r = begin(ca, "A1", 1);
    assert_int_equal(sql("local", "SELECT count(*) FROM certificate WHERE state = 'void'"), GROUP);
    assert_int_equal(
        sql("local",
            "SELECT count(*) FROM audit WHERE event = 'void' AND json_extract(detail, '$.count') = 150"),
        1);
    refused(ca_group_commit(r, g->items, GROUP, &e), RC_CONFLICT, "ca.not-reserved");
    /* the same ids may be done again, with other serials and any of the keys */
    struct span swapped = g->items[0].spki;
    g->items[0].spki = g->items[1].spki;
    g->items[1].spki = swapped;
    must(ca_group_reserve(r, g->items, GROUP, &e));
    assert_memory_not_equal(serial, g->items[0].serial, sizeof(serial));
    must(ca_group_sign(r, g->items, GROUP, &e));
    must(ca_group_commit(r, g->items, GROUP, &e));
    ca_run_end(r);
    ca_close(ca);
    struct ca_summary s = summary("local");
    assert_int_equal(s.issued, GROUP);
    assert_int_equal(s.voided, GROUP);
    group_free(g);
}

static void test_ids_and_keys_are_unique_over_orders(void **state)
{
    (void)state;
    make_local();
    struct group *g = group_new(1), *h = group_new(GROUP); /* the first of h is the last of g */
    struct ca *ca = open_ca("local");
    struct ca_run *r = begin(ca, "A1", 1), *s = NULL;
    must(ca_group_reserve(r, g->items, GROUP, &e));
    s = begin(ca, "A2", 1);
    refused(ca_group_reserve(s, h->items, GROUP, &e), RC_CONFLICT, "ca.id-reused");
    assert_non_null(strstr(e.text, "'MX1-000150'"));
    assert_int_equal(sql("local", "SELECT count(*) FROM certificate WHERE order_name = 'A2'"), 0);
    h->items[7].spki = g->items[3].spki;
    refused(ca_group_reserve(s, h->items + 1, GROUP - 1, &e), RC_CONFLICT, "ca.key-reused");
    h->items[7].spki = h->items[8].spki; /* twice in one group */
    refused(ca_group_reserve(s, h->items + 1, GROUP - 1, &e), RC_CONFLICT, "ca.key-reused");
    h->items[7].spki = ca_cert(ca)->spki;
    refused(ca_group_reserve(s, h->items + 1, GROUP - 1, &e), RC_CONFLICT, "ca.key-reused");
    h->items[7].id = "no good!";
    refused(ca_group_reserve(s, h->items + 1, GROUP - 1, &e), RC_INPUT, "ca.id");
    assert_int_equal(sql("local", "SELECT count(*) FROM certificate WHERE order_name = 'A2'"), 0);
    ca_run_end(r);
    ca_run_end(s);
    ca_close(ca);
    group_free(g);
    group_free(h);
}

static void test_a_run_is_judged_before_it_begins(void **state)
{
    (void)state;
    make_local();
    struct ca *ca = open_ca("local");
    struct ca_run *r = NULL;
    int64_t nb = ca_cert(ca)->not_before, na = ca_cert(ca)->not_after;
    refused(ca_run_begin(ca, "A1", "office", nb, na, 1, &r, &e), RC_DENIED, "ca.profile");
    refused(ca_run_begin(ca, "../A1", "device", nb, na, 1, &r, &e), RC_INPUT, "ca.order");
    refused(ca_run_begin(ca, "A1", "device", nb, na + 1, 1, &r, &e), RC_DENIED, "lint.issuer-end");
    refused(ca_run_begin(ca, "A1", "device", nb - 1, na, 1, &r, &e), RC_DENIED, "lint.issuer-begin");
    refused(ca_run_begin(ca, "A1", "device", na, nb, 1, &r, &e), RC_INPUT, "x509.validity");
    must(ca_run_begin(ca, "A1", "device", nb, na, 1, &r, &e));
    ca_run_end(r);
    ca_close(ca);
}

struct worker {
    struct ca_run *run;
    struct ca_item *items;
    size_t n;
    enum rc rc;
    struct err e;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    w->rc = ca_group_sign(w->run, w->items, w->n, &w->e);
    return NULL;
}

static void test_groups_are_signed_by_several_threads(void **state)
{
    (void)state;
    enum { THREADS = 3, EACH = GROUP / THREADS };
    make_local();
    struct group *g = group_new(1);
    struct ca *ca = open_ca("local");
    struct ca_run *r = begin(ca, "A1", 1);
    must(ca_group_reserve(r, g->items, GROUP, &e));
    struct worker w[THREADS];
    pthread_t t[THREADS];
    for (int i = 0; i < THREADS; i++) {
        w[i] = (struct worker){.run = r, .items = g->items + i * EACH, .n = EACH};
        assert_int_equal(pthread_create(&t[i], NULL, work, &w[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
        assert_int_equal(w[i].rc, RC_OK);
    }
    must(ca_group_commit(r, g->items, GROUP, &e));
    for (int i = 0; i < GROUP; i++) {
        struct cert *c = NULL;
        must(cert_parse(g->ids[i], bytes_span(&g->items[i].der), &c, &e));
        must(cert_verify_signature(c, ca_cert(ca), &e));
        assert_string_equal(c->cn, g->ids[i]);
        cert_free(c);
    }
    ca_run_end(r);
    ca_close(ca);
    group_free(g);
}

static void test_a_token_that_fails_leaves_no_certificate(void **state)
{
    (void)state;
    make_local();
    struct group *g = group_new(1);
    keys.signs = 1; /* the first 64 of the group are signed */
    struct ca *ca = open_ca("local");
    struct ca_run *r = begin(ca, "A1", 1);
    must(ca_group_reserve(r, g->items, GROUP, &e));
    refused(ca_group_sign(r, g->items, GROUP, &e), RC_TOKEN, "hsm.gone");
    for (int i = 0; i < GROUP; i++)
        assert_int_equal(g->items[i].der.n, 0);
    ca_run_end(r);
    ca_close(ca);
    keys.signs = ALWAYS;
    group_free(g);
}

static void test_an_exception_in_every_act(void **state)
{
    (void)state;
    make_local();
    struct bytes text = BYTES_INIT;
    must(file_read(at("local/ca.yaml"), FILE_SMALL_MAX, &text, &e));
    edit("local", bytes_str(&text), EXCEPTION);
    bytes_free(&text);
    keys.breaks = "generated-on-token";
    must(issue_new("local", "device", "MX1-1", "d.pem"));
    assert_int_equal(told("local", "issue"), 1);
    struct ca *ca = open_ca("local");
    struct ca_run *r = begin(ca, "A1", 1);
    struct group *g = group_new(1);
    must(ca_group_reserve(r, g->items, GROUP, &e));
    assert_int_equal(told("local", "reserve"), 1);
    ca_run_end(r);
    ca_close(ca);
    group_free(g);
}

static bool verifies(const struct ca *ca, const struct ca_item *i)
{
    struct cert *c = NULL;
    struct err why = ERR_INIT;
    must(cert_parse(i->id, bytes_span(&i->der), &c, &e));
    bool good = cert_verify_signature(c, ca_cert(ca), &why) == RC_OK;
    cert_free(c);
    return good;
}

/* A group of 150 goes to the token as 64, 64 and 22. */
static void test_a_lie_is_caught_where_it_is_looked_for(void **state)
{
    (void)state;
    static const struct {
        size_t every;
        int lie;
        bool caught;
    } cases[] = {
        {1, 0, true},   {1, 3, true},     {1, 62, true},    {7, 0, true},     {7, 7, true},
        {7, 56, true},  {7, 63, true},    {7, 3, false},    {7, 62, false},   {1000, 0, true},
        {63, 21, true}, {1000, 21, true}, {1000, 63, true}, {1000, 1, false},
    };
    make_local();
    struct group *g = group_new(1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ca *ca = open_ca("local");
        struct ca_run *r = begin(ca, "A1", cases[i].every); /* what the last round left reserved is void */
        must(ca_group_reserve(r, g->items, GROUP, &e));
        keys.lie = cases[i].lie;
        enum rc rc = ca_group_sign(r, g->items, GROUP, &e);
        keys.lie = NEVER;
        if ((rc != RC_OK) != cases[i].caught)
            fail_msg("1 in %zu, a lie at %d: %d", cases[i].every, cases[i].lie, (int)rc);
        if (rc != RC_OK)
            assert_string_equal(e.key, "sign.self-check");
        for (int k = 0; k < GROUP; k++) {
            if (rc != RC_OK)
                assert_int_equal(g->items[k].der.n, 0);
            else
                assert_int_equal(verifies(ca, &g->items[k]), k % 64 != cases[i].lie);
        }
        ca_run_end(r);
        ca_close(ca);
    }
    assert_int_equal(sql("local", "SELECT count(*) FROM audit WHERE event = 'reserve' AND"
                                  " json_extract(detail, '$.signatures_verified') = 'every'"),
                     3);
    assert_int_equal(sql("local", "SELECT count(*) FROM audit WHERE event = 'reserve' AND"
                                  " json_extract(detail, '$.signatures_verified') = '1 in 7'"),
                     6);
    group_free(g);
}

/* ---- looking ---- */

struct seen {
    int rows;
    char states[256];
};

static void see(void *arg, const struct ca_row *r)
{
    struct seen *s = arg;
    s->rows++;
    strncat(s->states, r->state, sizeof(s->states) - strlen(s->states) - 1);
    strncat(s->states, r->reason == NULL ? "," : r->reason, sizeof(s->states) - strlen(s->states) - 1);
    assert_true(strlen(r->serial_hex) == 2 * SERIAL_LEN);
    assert_non_null(strstr(r->subject, "O=Example"));
    assert_true(r->issued_at >= r->not_before);
}

static void test_list_and_show(void **state)
{
    (void)state;
    make_online();
    must(issue_new("online", "office", "one", "1.pem"));
    must(issue_new("online", "office", "two", "2.pem"));
    must(revoke_pem("online", "2.pem", "superseded", NULL));
    struct ca *ca = NULL;
    struct seen s = {0, ""};
    must(ca_open(at("online"), NULL, &ca, &e));
    assert_null(ca_signer(ca));
    must(ca_list(ca, see, &s, &e));
    assert_int_equal(s.rows, 2);
    assert_string_equal(s.states, "issued,revokedsuperseded");
    ca_close(ca);
    struct ca_summary sum = summary("online");
    assert_int_equal(sum.issued, 1);
    assert_int_equal(sum.revoked, 1);
    assert_int_equal(sum.audit_rows, 6); /* key, request, import, issue, issue, revoke */

    sql("online", "DROP TRIGGER audit_no_update");
    sql("online", "UPDATE audit SET detail = '{}' WHERE seq = 4");
    must(ca_open(at("online"), NULL, &ca, &e));
    refused(ca_show(ca, &sum, &e), RC_INPUT, "store.audit");
    assert_non_null(strstr(e.text, "row 4 "));
    ca_close(ca);
}

#define UNIT(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(test_root_is_made_once),
        UNIT(test_another_configuration_is_a_conflict),
        UNIT(test_a_key_of_somebody_else_is_left_alone),
        UNIT(test_a_crash_after_the_key_is_finished),
        UNIT(test_a_crash_before_the_signature_leaves_a_void_serial),
        UNIT(test_a_replaced_key_is_noticed),
        UNIT(test_configurations_are_read_strictly),
        UNIT(test_a_key_that_breaks_the_policy),
        UNIT(test_an_exception_in_every_act),
        UNIT(test_exceptions_are_read_strictly),
        UNIT(test_the_schema_knows_the_rules),
        UNIT(test_an_rsa_key_signs_with_pss),
        UNIT(test_a_home_that_is_not_there),
        UNIT(test_a_home_that_cannot_be_looked_into),
        UNIT(test_one_command_at_a_time),
        UNIT(test_a_request_is_the_same_again),
        UNIT(test_import_takes_only_what_was_requested),
        UNIT(test_import_wants_the_root_that_was_named),
        UNIT(test_import_again_brings_newer_crls),
        UNIT(test_import_never_goes_back_to_an_older_crl),
        UNIT(test_import_keeps_a_crl_of_each_ca),
        UNIT(test_every_profile_is_issued),
        UNIT(test_a_device_is_named_by_its_id),
        UNIT(test_the_same_request_gives_the_same_certificate),
        UNIT(test_days_are_never_ignored),
        UNIT(test_a_key_has_one_purpose),
        UNIT(test_a_key_belongs_to_one_subject),
        UNIT(test_profiles_are_kept_apart),
        UNIT(test_nothing_outlives_its_issuer),
        UNIT(test_a_seal_key_is_certified_by_statement),
        UNIT(test_a_statement_of_another_ca_is_not_believed),
        UNIT(test_revoked_is_on_the_list_and_stays),
        UNIT(test_the_root_takes_a_whole_ca_out),
        UNIT(test_serials_are_read_leniently_and_exactly),
        UNIT(test_a_crl_replaces_only_its_elders),
        UNIT(test_a_crl_never_outlives_its_ca),
        UNIT(test_a_batch_is_reserved_signed_and_issued),
        UNIT(test_a_group_left_by_a_crash_becomes_void),
        UNIT(test_ids_and_keys_are_unique_over_orders),
        UNIT(test_a_run_is_judged_before_it_begins),
        UNIT(test_groups_are_signed_by_several_threads),
        UNIT(test_a_token_that_fails_leaves_no_certificate),
        UNIT(test_a_lie_is_caught_where_it_is_looked_for),
        UNIT(test_list_and_show),
    };
    return cmocka_run_group_tests_name("ca", tests, NULL, NULL);
}
