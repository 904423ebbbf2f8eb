/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "lint_vectors.h"

/*
 * Each vector is a TBSCertificate that is right but for one deviation, written by an encoder of its own.
 * lint_findings must find exactly the one rule, so that without this rule the vector would pass. Vectors that
 * openssl or certtool refuse as well, signed by the real issuer, say so: they confirm that the rule is not
 * only ours.
 */

static const struct span none = {NULL, 0};

static const struct base {
    const char *profile;
    const struct node *issuer;
} bases[BASES] = {
    {"root", NULL},      {"local-ca", &root}, {"online-ca", &root},
    {"server", &online}, {"device", &local},  {"ocsp", &local},
};

static const struct node *base_issuer(const char *profile)
{
    for (size_t i = 0; i < BASES; i++)
        if (strcmp(bases[i].profile, profile) == 0)
            return bases[i].issuer;
    return NULL;
}

static uint64_t findings(const struct recipe *r)
{
    struct bytes tbs = BYTES_INIT;
    struct lint_subject s = {.issuer = r->given, .profile = &r->profile};
    uint64_t found = 0;
    struct err e;

    recipe_write(r, &tbs);
    s.tbs = bytes_span(&tbs);
    must(lint_findings(&s, &found, &e), &e);
    bytes_free(&tbs);
    return found;
}

static size_t rule_index(const char *id)
{
    const struct lint_rule_info *rules = lint_rules();

    for (size_t i = 0; rules[i].id; i++)
        if (strcmp(rules[i].id, id) == 0)
            return i;
    fail_msg("no rule '%s'", id);
    return 0;
}

/* ---- tests ---- */

static int hierarchy_make(void **state)
{
    struct err e;

    pki_begin = clock_now() - 30 * PKI_DAY; /* others judge at no other time than now */
    root = node_make("root", "ec-p256", "root-ca", NULL, 4000, none);
    online = node_make("online-ca", "ec-p256", "online-ca", &root, 3000, none);
    local = node_make("local-ca", "ec-p256", "local-ca", &root, 3000, none);
    must(softkey_new(alg_by_name("ec-p256"), KEY_SIGN, &p256, &e), &e);
    must(softkey_new(alg_by_name("ec-p384"), KEY_SIGN, &p384, &e), &e);
    must(softkey_new(alg_by_name("rsa-2048"), KEY_SIGN, &rsa, &e), &e);
    must(softkey_new(alg_by_name("ed25519"), KEY_SIGN, &ed25519, &e), &e);
    return pki_dir_make(state);
}

static int hierarchy_free(void **state)
{
    node_free(&root);
    node_free(&online);
    node_free(&local);
    signer_free(p256);
    signer_free(p384);
    signer_free(rsa);
    signer_free(ed25519);
    return pki_dir_remove(state);
}

/* What tbs_make writes is what the encoder of this test writes, and lint finds nothing in it. */
static void test_bases(void **state)
{
    (void)state;
    for (size_t i = 0; i < BASES; i++) {
        struct recipe r;
        struct bytes mine = BYTES_INIT, theirs = BYTES_INIT;
        struct tbs_template *t = NULL;
        struct tbs_inputs in = {0};
        struct tbs_subject s = {0};
        struct err e;

        recipe_make(&r, bases[i].profile, bases[i].issuer);
        recipe_write(&r, &mine);
        in.profile = &r.profile;
        in.sig_alg = p256->alg;
        in.issuer_name = bytes_span(&r.issuer_name);
        if (r.given)
            in.issuer_key_id = r.given->ski;
        in.not_before = pki_begin + PKI_DAY;
        in.not_after = pki_begin + 300 * PKI_DAY;
        s.serial = SPAN("\x41xxxxxxxxxxxxxxx");
        s.name = bytes_span(&r.subject);
        s.spki = bytes_span(&r.spki);
        if (r.profile.san_from_request)
            s.san = bytes_span(&r.exts[find_ext(&r, OID_SAN)].value);
        must(tbs_template_new(&in, &t, &e), &e);
        must(tbs_make(t, &s, &theirs, &e), &e);
        assert_int_equal(mine.n, theirs.n);
        assert_memory_equal(mine.p, theirs.p, mine.n);
        assert_int_equal(findings(&r), 0);
        must(lint_tbs(
                 &(struct lint_subject){.tbs = bytes_span(&mine), .issuer = r.given, .profile = &r.profile},
                 &e),
             &e);
        tbs_template_free(t);
        bytes_free(&mine);
        bytes_free(&theirs);
        recipe_free(&r);
    }
}

static void test_vectors(void **state)
{
    const struct lint_rule_info *rules = lint_rules();
    uint64_t covered = 0;

    (void)state;
    for (size_t i = 0; i < VECTORS; i++) {
        uint64_t want = UINT64_C(1) << rule_index(vectors[i].rule), found;
        struct recipe r;

        recipe_make(&r, vectors[i].base, base_issuer(vectors[i].base));
        vectors[i].change(&r);
        found = findings(&r);
        if (found != want) {
            print_error("vector %zu for '%s':", i, vectors[i].rule);
            for (size_t k = 0; rules[k].id; k++)
                if (found >> k & 1)
                    print_error(" %s", rules[k].id);
            print_error("\n");
        }
        assert_true(found == want);
        covered |= want;
        recipe_free(&r);
    }
    for (size_t k = 0; rules[k].id; k++)
        if (!(covered >> k & 1))
            fail_msg("rule '%s' has no vector", rules[k].id);
}

/* The finding's error: key, subject, rule and clause. */
static void test_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < VECTORS; i++) {
        struct recipe r;
        struct bytes tbs = BYTES_INIT;
        char *key = mem_printf("lint.%s", vectors[i].rule);
        struct err e;

        recipe_make(&r, vectors[i].base, base_issuer(vectors[i].base));
        vectors[i].change(&r);
        recipe_write(&r, &tbs);
        must_fail(
            lint_tbs(
                &(struct lint_subject){.tbs = bytes_span(&tbs), .issuer = r.given, .profile = &r.profile},
                &e),
            &e, RC_DENIED, key);
        assert_non_null(strstr(e.text, lint_rules()[rule_index(vectors[i].rule)].clause));
        free(key);
        bytes_free(&tbs);
        recipe_free(&r);
    }
}

/* No TBSCertificate at all, or one with something behind it. */
static void test_form(void **state)
{
    struct recipe r;
    struct bytes tbs = BYTES_INIT;
    struct err e;

    (void)state;
    recipe_make(&r, "device", &local);
    recipe_write(&r, &tbs);
    for (size_t n = 0; n < tbs.n; n += 7)
        must_fail(
            lint_tbs(&(struct lint_subject){.tbs = {tbs.p, n}, .issuer = r.given, .profile = &r.profile}, &e),
            &e, RC_DENIED, "lint.form");
    bytes_add_byte(&tbs, 0x05);
    bytes_add_byte(&tbs, 0x00);
    must_fail(
        lint_tbs(&(struct lint_subject){.tbs = bytes_span(&tbs), .issuer = r.given, .profile = &r.profile},
                 &e),
        &e, RC_DENIED, "lint.form");
    must_fail(
        lint_tbs(&(struct lint_subject){.tbs = bytes_span(&tbs), .issuer = NULL, .profile = &r.profile}, &e),
        &e, RC_DENIED, "lint.form");
    bytes_free(&tbs);
    recipe_free(&r);
}

/* The real issuer's signature over a vector, for programs that are not ours. */
static void write_vector(const struct vector *v)
{
    struct recipe r;
    struct bytes tbs = BYTES_INIT, der = BYTES_INIT;
    const struct node *issuer = base_issuer(v->base);

    recipe_make(&r, v->base, issuer);
    if (v->change)
        v->change(&r);
    recipe_write(&r, &tbs);
    pki_sign(issuer ? issuer->key : p256, bytes_span(&tbs), &der);
    pki_file("vector.pem", "CERTIFICATE", bytes_span(&der));
    bytes_free(&tbs);
    bytes_free(&der);
    recipe_free(&r);
}

static const struct {
    char letter;
    const char *command;
} programs[] = {
    {'o', "openssl verify -x509_strict -CAfile root.pem -untrusted cas.pem vector.pem"},
    {'c',
     "cat vector.pem $CA >chain.pem; certtool --verify --load-ca-certificate root.pem --infile chain.pem"},
    {'p', "/usr/bin/python3 read.py vector.pem"},
};
enum { PROGRAMS = sizeof programs / sizeof programs[0] };

static bool accepted(const struct vector *v, size_t program)
{
    const struct node *issuer = base_issuer(v->base);
    char *line =
        mem_printf("CA=%s.pem; %s", issuer ? issuer->cert->cn : "root-ca", programs[program].command);
    bool ok = pki_sh(true, line);

    free(line);
    return ok;
}

/* The right certificates are accepted by others; a vector is refused by those its row names, so the rule is
 * not only ours. */
static void test_others(void **state)
{
    size_t confirmed = 0;

    (void)state;
    pki_cert_file("root.pem", &root);
    pki_cert_file("root-ca.pem", &root);
    pki_cert_file("online-ca.pem", &online);
    pki_cert_file("local-ca.pem", &local);
    CHECK_SH(
        "cat online-ca.pem local-ca.pem >cas.pem; cat >read.py <<'EOT'\n"
        "import sys\n"
        "from cryptography import x509\n"
        "c = x509.load_pem_x509_certificate(open(sys.argv[1], 'rb').read())\n"
        "c.subject, c.issuer, c.not_valid_before, c.not_valid_after, c.serial_number, c.signature_hash_algorithm\n"
        "[e.value for e in c.extensions]\n"
        "c.public_key()\n"
        "EOT");
    for (size_t i = 1; i < BASES; i++) { /* a root cannot be judged but by itself */
        struct vector base = {"", bases[i].profile, NULL, ""};

        write_vector(&base);
        for (size_t k = 0; k < PROGRAMS; k++)
            assert_true(accepted(&base, k));
    }
    for (size_t i = 0; i < VECTORS; i++) {
        write_vector(&vectors[i]);
        for (size_t k = 0; k < PROGRAMS; k++) {
            if (strchr(vectors[i].others, programs[k].letter) && accepted(&vectors[i], k))
                fail_msg("vector %zu for '%s': '%c' accepts it", i, vectors[i].rule, programs[k].letter);
        }
        confirmed += vectors[i].others[0] != '\0';
    }
    assert_true(confirmed * 3 >= VECTORS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bases), cmocka_unit_test(test_vectors), cmocka_unit_test(test_errors),
        cmocka_unit_test(test_form),  cmocka_unit_test(test_others),
    };

    return cmocka_run_group_tests(tests, hierarchy_make, hierarchy_free);
}
