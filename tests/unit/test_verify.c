/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pki.h"

static const struct span none = {NULL, 0};

/* One hierarchy for all tests: root -> online, office CA and local CA -> leaves. */
static struct node root, online, local, office, device, manifest, seal;

static int hierarchy_make(void **state)
{
    root = node_make("root", "ec-p384", "root-ca", NULL, 4000, none);
    online = node_make("online-ca", "ec-p256", "online-ca", &root, 3000, none);
    local = node_make("local-ca", "ec-p256", "local-ca", &root, 3000, none);
    office = node_make("office", "ec-p256", "office", &online, 0, none);
    device = node_make("device", "ec-p256", "MX1-000123", &local, 0, none);
    manifest = node_make("station-manifest", "ec-p384", "line-1", &online, 0, none);
    seal = node_make("station-seal", "ec-p256", "line-1", &online, 0, none);
    return pki_dir_make(state);
}

static int hierarchy_free(void **state)
{
    node_free(&root);
    node_free(&online);
    node_free(&local);
    node_free(&office);
    node_free(&device);
    node_free(&manifest);
    node_free(&seal);
    return pki_dir_remove(state);
}

static struct trust trust_in(const struct node *r, const struct node *issuer)
{
    struct trust t = {.has_issuer = issuer != NULL};

    memcpy(t.root, r->cert->sha256, SHA256_LEN);
    if (issuer)
        memcpy(t.issuer, issuer->cert->sha256, SHA256_LEN);
    return t;
}

/* leaf, its CA, the root; CRLs of both that list nothing. */
static struct cms_chain chain_make(const struct node *leaf, const struct node *ca, const struct node *top)
{
    struct cms_chain c = {.ncerts = 0};

    chain_cert(&c, leaf);
    chain_cert(&c, ca);
    chain_cert(&c, top);
    chain_crl(&c, ca, NULL);
    chain_crl(&c, top, NULL);
    return c;
}

static const int64_t now = PKI_BEGIN + 5 * PKI_DAY;

/* Judges and frees. key NULL: accepted. */
static void judge_at(struct cms_chain *c, const struct trust *t, enum role role, int64_t at, enum rc want,
                     const char *key)
{
    struct err e = ERR_INIT;
    enum rc rc = verify_role("A1.order", c, t, role, at, &e);

    if (key) {
        must_fail(rc, &e, want, key);
        assert_non_null(strstr(e.text, "A1.order"));
    } else {
        must(rc, &e);
    }
    cms_chain_free(c);
}

static void judge(struct cms_chain c, const struct node *top, const struct node *issuer, enum role role,
                  enum rc want, const char *key)
{
    struct trust t = trust_in(top, issuer);

    judge_at(&c, &t, role, now, want, key);
}

static void test_accepted(void **state)
{
    struct cms_chain c;

    (void)state;
    judge(chain_make(&office, &online, &root), &root, &online, ROLE_OFFICE, RC_OK, NULL);
    judge(chain_make(&office, &online, &root), &root, NULL, ROLE_OFFICE, RC_OK, NULL);
    judge(chain_make(&manifest, &online, &root), &root, &online, ROLE_STATION_MANIFEST, RC_OK, NULL);
    judge(chain_make(&seal, &online, &root), &root, &online, ROLE_STATION_SEAL, RC_OK, NULL);
    /* In any order behind the leaf, with other certificates between, and one of them twice. */
    c = (struct cms_chain){.ncerts = 0};
    chain_cert(&c, &office);
    chain_cert(&c, &root);
    chain_cert(&c, &local);
    chain_cert(&c, &online);
    chain_cert(&c, &online);
    chain_crl(&c, &local, &device);
    chain_crl(&c, &root, NULL);
    chain_crl(&c, &online, &manifest);
    judge(c, &root, &online, ROLE_OFFICE, RC_OK, NULL);
}

static void test_wrong_root(void **state)
{
    struct node twin = node_make("root", "ec-p384", "root-ca", NULL, 4000, none);
    struct node twin_online = node_make("online-ca", "ec-p256", "online-ca", &twin, 3000, none);
    struct node twin_office = node_make("office", "ec-p256", "office", &twin_online, 0, none);
    struct cms_chain c;

    (void)state;
    judge(chain_make(&twin_office, &twin_online, &twin), &root, NULL, ROLE_OFFICE, RC_DENIED, "verify.root");
    judge(chain_make(&office, &online, &root), &twin, NULL, ROLE_OFFICE, RC_DENIED, "verify.root");
    /* The trusted root lies in the file, but nothing leads to it. */
    c = chain_make(&twin_office, &twin_online, &twin);
    chain_cert(&c, &root);
    judge(c, &root, NULL, ROLE_OFFICE, RC_INPUT, "verify.chain");
    judge(chain_make(&twin_office, &twin_online, &root), &root, NULL, ROLE_OFFICE, RC_INPUT, "verify.chain");
    node_free(&twin);
    node_free(&twin_online);
    node_free(&twin_office);
}

static void test_wrong_issuer(void **state)
{
    struct node second = node_make("online-ca", "ec-p256", "second-ca", &root, 3000, none);
    struct node minted = node_make("office", "ec-p256", "office", &second, 0, none);

    (void)state;
    judge(chain_make(&minted, &second, &root), &root, &online, ROLE_OFFICE, RC_DENIED, "verify.issuer");
    judge(chain_make(&minted, &second, &root), &root, &second, ROLE_OFFICE, RC_OK, NULL);
    node_free(&second);
    node_free(&minted);
}

static void test_no_role(void **state)
{
    (void)state;
    judge(chain_make(&manifest, &online, &root), &root, &online, ROLE_OFFICE, RC_DENIED, "verify.role");
    judge(chain_make(&office, &online, &root), &root, &online, ROLE_RELEASE, RC_DENIED, "verify.role");
    judge(chain_make(&seal, &online, &root), &root, &online, ROLE_OFFICE, RC_DENIED, "verify.role");
    judge(chain_make(&device, &local, &root), &root, NULL, ROLE_OFFICE, RC_DENIED,
          "verify.role"); /* a device signs an order */
    judge(chain_make(&device, &local, &root), &root, &local, ROLE_STATION_MANIFEST, RC_DENIED, "verify.role");
}

/* The local CA's key can mint an office certificate; its own certificate says that it may not. */
static void test_role_from_local_ca(void **state)
{
    struct node minted = node_make("office", "ec-p256", "office", &local, 0, none);

    (void)state;
    judge(chain_make(&minted, &local, &root), &root, NULL, ROLE_OFFICE, RC_DENIED, "verify.role-ca");
    judge(chain_make(&minted, &local, &root), &root, &local, ROLE_OFFICE, RC_DENIED, "verify.role-ca");
    judge(chain_make(&minted, &local, &root), &root, &online, ROLE_OFFICE, RC_DENIED, "verify.issuer");
    node_free(&minted);
}

static void test_revoked(void **state)
{
    struct cms_chain c;

    (void)state;
    c = chain_make(&office, &online, &root);
    bytes_reset(&c.crls[0]);
    pki_crl(&online, office.cert, PKI_BEGIN, &c.crls[0]);
    judge(c, &root, &online, ROLE_OFFICE, RC_DENIED, "verify.revoked");
    c = chain_make(&office, &online, &root);
    bytes_reset(&c.crls[1]);
    pki_crl(&root, online.cert, PKI_BEGIN, &c.crls[1]);
    judge(c, &root, &online, ROLE_OFFICE, RC_DENIED, "verify.revoked");
    /* An older list beside it does not help, nor that the newer one had not begun. */
    c = chain_make(&office, &online, &root);
    pki_crl(&online, office.cert, now + PKI_DAY, &c.crls[c.ncrls++]);
    judge(c, &root, &online, ROLE_OFFICE, RC_DENIED, "verify.revoked");
}

/* What the verifier holds itself counts, whatever CRLs and time the file names. */
static void test_known(void **state)
{
    struct trust t = trust_in(&root, &online);
    struct cms_chain c, known = {.ncrls = 1};

    (void)state;
    t.known = &known;
    pki_crl(&online, NULL, PKI_BEGIN, &known.crls[0]);
    c = chain_make(&office, &online, &root);
    judge_at(&c, &t, ROLE_OFFICE, now, RC_OK, NULL);
    bytes_reset(&known.crls[0]);
    pki_crl(&online, office.cert, now + PKI_DAY, &known.crls[0]);
    c = chain_make(&office, &online, &root);
    judge_at(&c, &t, ROLE_OFFICE, now, RC_DENIED, "verify.revoked");
    bytes_reset(&known.crls[0]);
    pki_crl(&root, online.cert, now + PKI_DAY, &known.crls[0]);
    c = chain_make(&office, &online, &root);
    judge_at(&c, &t, ROLE_OFFICE, now, RC_DENIED, "verify.revoked");
    bytes_free(&known.crls[0]);
}

static void test_no_crl(void **state)
{
    struct cms_chain c;

    (void)state;
    c = chain_make(&office, &online, &root);
    bytes_free(&c.crls[--c.ncrls]); /* the root's */
    judge(c, &root, &online, ROLE_OFFICE, RC_DENIED, "verify.no-crl");
    c = chain_make(&office, &online, &root);
    bytes_free(&c.crls[0]); /* its issuer's */
    c.crls[0] = c.crls[--c.ncrls];
    c.crls[1] = (struct bytes)BYTES_INIT;
    judge(c, &root, &online, ROLE_OFFICE, RC_DENIED, "verify.no-crl");
    c = chain_make(&office, &online, &root);
    bytes_reset(&c.crls[0]);
    pki_crl(&online, NULL, now + 1, &c.crls[0]); /* begins later */
    judge(c, &root, &online, ROLE_OFFICE, RC_DENIED, "verify.no-crl");
    c = chain_make(&office, &online, &root);
    bytes_reset(&c.crls[0]);
    pki_crl(&online, NULL, now - 400 * PKI_DAY, &c.crls[0]); /* over */
    judge(c, &root, &online, ROLE_OFFICE, RC_DENIED, "verify.no-crl");
    c = chain_make(&manifest, &online, &root); /* a station's may be over */
    bytes_reset(&c.crls[0]);
    pki_crl(&online, NULL, now - 400 * PKI_DAY, &c.crls[0]);
    judge(c, &root, &online, ROLE_STATION_MANIFEST, RC_OK, NULL);
    c = chain_make(&office, &online, &root);
    c.crls[0].p[c.crls[0].n - 1] ^= 1; /* changed */
    judge(c, &root, &online, ROLE_OFFICE, RC_INPUT, "verify.chain");
}

static void test_expired(void **state)
{
    struct trust t = trust_in(&root, &online);
    struct cms_chain c;

    (void)state;
    c = chain_make(&office, &online, &root);
    judge_at(&c, &t, ROLE_OFFICE, office.cert->not_after + 1, RC_DENIED, "verify.expired");
    c = chain_make(&office, &online, &root);
    bytes_reset(&c.crls[0]);
    bytes_reset(&c.crls[1]);
    pki_crl(&online, NULL, office.cert->not_after - PKI_DAY, &c.crls[0]);
    pki_crl(&root, NULL, office.cert->not_after - PKI_DAY, &c.crls[1]);
    judge_at(&c, &t, ROLE_OFFICE, office.cert->not_after, RC_OK, NULL);
    c = chain_make(&office, &online, &root);
    judge_at(&c, &t, ROLE_OFFICE, PKI_BEGIN - 1, RC_DENIED, "verify.expired");
    c = chain_make(&office, &online, &root);
    judge_at(&c, &t, ROLE_OFFICE, -1, RC_INPUT, "verify.chain");
}

static void test_expired_ca(void **state)
{
    struct node brief = node_make("online-ca", "ec-p256", "brief-ca", &root, 3, none);
    struct node leaf = node_make("office", "ec-p256", "office", &brief, 0, none);

    (void)state;
    judge(chain_make(&leaf, &brief, &root), &root, &brief, ROLE_OFFICE, RC_DENIED, "verify.expired");
    node_free(&brief);
    node_free(&leaf);
}

/* certs in this order, no CRLs. */
static struct cms_chain bare_chain(const struct node *a, const struct node *b, const struct node *c,
                                   const struct node *d)
{
    const struct node *all[] = {a, b, c, d};
    struct cms_chain ret = {.ncerts = 0};

    for (size_t i = 0; i < 4 && all[i]; i++)
        chain_cert(&ret, all[i]);
    return ret;
}

static void test_swapped(void **state)
{
    (void)state;
    judge((struct cms_chain){.ncerts = 0}, &root, NULL, ROLE_OFFICE, RC_INPUT, "verify.chain");
    /* A CA is no signer. */
    judge(bare_chain(&online, &office, &root, NULL), &root, NULL, ROLE_OFFICE, RC_DENIED, "verify.role");
    judge(bare_chain(&root, &online, &office, NULL), &root, NULL, ROLE_OFFICE, RC_DENIED, "verify.role");
    /* Its own CA is missing. */
    judge(bare_chain(&office, &local, &root, NULL), &root, NULL, ROLE_OFFICE, RC_INPUT, "verify.chain");
}

/* A device signs an office certificate, as if it were a CA. */
static void test_leaf_as_ca(void **state)
{
    struct node by_device = node_make("office", "ec-p256", "office", &device, 0, none);
    struct node by_manifest = node_make("office", "ec-p256", "office", &manifest, 0, none);
    struct cms_chain c = bare_chain(&by_device, &device, &local, &root);
    struct err e;

    (void)state;
    must_fail(verify_path(by_device.cert, &c, root.cert->sha256, now, &e), &e, RC_INPUT, "verify.chain");
    judge(c, &root, NULL, ROLE_OFFICE, RC_DENIED, "verify.role-ca");
    c = bare_chain(&by_manifest, &manifest, &online, &root);
    must_fail(verify_path(by_manifest.cert, &c, root.cert->sha256, now, &e), &e, RC_INPUT, "verify.chain");
    judge(c, &root, NULL, ROLE_OFFICE, RC_DENIED, "verify.role-ca");
    node_free(&by_device);
    node_free(&by_manifest);
}

/* An online CA has path length 0, so a CA below it must not be believed. */
static void test_path_length(void **state)
{
    struct node sub = node_make("online-ca", "ec-p256", "sub-ca", &online, 2000, none);
    struct node leaf = node_make("office", "ec-p256", "office", &sub, 0, none);
    struct cms_chain c = chain_make(&leaf, &sub, &root);
    struct err e;

    (void)state;
    chain_cert(&c, &online);
    chain_crl(&c, &online, NULL);
    must_fail(verify_path(sub.cert, &c, root.cert->sha256, now, &e), &e, RC_INPUT, "verify.chain");
    judge(c, &root, NULL, ROLE_OFFICE, RC_INPUT, "verify.chain");
    node_free(&sub);
    node_free(&leaf);
}

/* A root's key certified by another root, as in a rollover: each root alone is reached in one way. */
static void test_cross(void **state)
{
    struct node next = node_make("root", "ec-p256", "next-root", NULL, 4000, none);
    struct node ca = node_make("online-ca", "ec-p256", "ca", &next, 3000, none);
    struct node leaf = node_make("office", "ec-p256", "office", &ca, 0, none);
    struct node cross[2];
    struct cms_chain c;

    (void)state;
    /* The next root's name and key under the present root. */
    for (size_t i = 0; i < 2; i++) {
        struct tbs_template *t = NULL;
        struct tbs_inputs in = {next.profile,   root.key->alg, root.cert->subject,
                                root.cert->ski, PKI_BEGIN,     next.cert->not_after};
        uint8_t serial[SERIAL_LEN];
        struct bytes tbs = BYTES_INIT, der = BYTES_INIT;
        struct err e;

        must(serial_new(serial, &e), &e);
        must(tbs_template_new(&in, &t, &e), &e);
        must(tbs_make(
                 t, &(struct tbs_subject){{serial, sizeof serial}, next.cert->subject, next.cert->spki, none},
                 &tbs, &e),
             &e);
        pki_sign(root.key, bytes_span(&tbs), &der);
        memset(&cross[i], 0, sizeof cross[i]);
        must(cert_parse("cross", bytes_span(&der), &cross[i].cert, &e), &e);
        tbs_template_free(t);
        bytes_free(&tbs);
        bytes_free(&der);
    }
    for (size_t i = 0; i < 2; i++) { /* trust in the old root, then in the new */
        c = chain_make(&leaf, &ca, &next);
        chain_cert(&c, &cross[0]);
        chain_cert(&c, &root);
        chain_crl(&c, &root, NULL);
        judge(c, i ? &next : &root, &ca, ROLE_OFFICE, RC_OK, NULL);
    }
    c = chain_make(&leaf, &ca, &root);
    chain_cert(&c, &cross[0]);
    chain_cert(&c, &cross[1]);
    chain_crl(&c, &next, NULL);
    judge(c, &root, &ca, ROLE_OFFICE, RC_INPUT, "verify.chain"); /* two ways */
    node_free(&next);
    node_free(&ca);
    node_free(&leaf);
    node_free(&cross[0]);
    node_free(&cross[1]);
}

/* A certificate with the right signature in whose extensions `from` was replaced by `to`, or, without `from`,
 * to which a critical extension was added. */
static void altered(const struct node *n, const struct node *issuer, struct span from, struct span to,
                    struct bytes *ret)
{
    struct der_writer w;
    struct span in, before = none;
    struct der_value v;
    struct err e;

    der_init(&w);
    if (!from.n) {
        der_put_null(&w);
        ext_wrap(&w, SPAN("\x2a\x03\x04"), true, 0);
    }
    der_put(&w, n->cert->extensions);
    if (from.n) {
        uint8_t *p = memmem(w.buf + w.at, der_span(&w).n, from.p, from.n);

        assert_non_null(p);
        assert_int_equal(from.n, to.n);
        memcpy(p, to.p, to.n);
    }
    der_wrap(&w, DER_SEQUENCE, 0);
    der_wrap(&w, DER_CONTEXT_3, 0);
    must(der_only(n->cert->tbs, DER_SEQUENCE, &in, &e), &e);
    before.p = in.p;
    while (in.n && in.p[0] != DER_CONTEXT_3) {
        must(der_next(&in, &v, &e), &e);
        before.n = (size_t)(in.p - before.p);
    }
    der_put(&w, before);
    der_wrap(&w, DER_SEQUENCE, 0);
    pki_sign(issuer->key, der_span(&w), ret);
    der_fini(&w);
}

static void judge_altered(struct span from, struct span to, enum rc want, const char *key)
{
    struct cms_chain c = chain_make(&office, &online, &root);

    bytes_reset(&c.certs[0]);
    altered(&office, &online, from, to, &c.certs[0]);
    judge(c, &root, &online, ROLE_OFFICE, want, key);
}

static void test_unfit_leaf(void **state)
{
    struct span usage = SPAN("\x03\x02\x07\x80");

    (void)state;
    judge_altered(usage, usage, RC_OK, NULL);
    judge_altered(none, none, RC_INPUT, "verify.chain");
    judge_altered(usage, SPAN("\x03\x02\x03\x08"), RC_DENIED, "verify.role"); /* keyAgreement alone */
    /* The signature is right, but another key of the issuer's name is meant. */
    judge_altered(office.cert->aki, local.cert->ski, RC_INPUT, "verify.chain");
}

/* A CA that has the role in its own certificate, as no profile allows. */
static void test_ca_with_role(void **state)
{
    struct profile *p = pki_profile("office");
    struct node ca;

    (void)state;
    p->kind = PROFILE_CA;
    p->key_usage |= KU_KEY_CERT_SIGN | KU_CRL_SIGN;
    ca = node_with(p, "ec-p256", "office", &online, 0, none);
    judge(chain_make(&ca, &online, &root), &root, &online, ROLE_OFFICE, RC_DENIED, "verify.role");
    node_free(&ca);
}

/* Issuers that may not issue: without cA, without keyCertSign. */
static void test_unfit_ca(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct profile *p = pki_profile("online-ca");
        struct node ca, leaf;
        struct cms_chain c;

        if (i == 0)
            p->kind = PROFILE_LEAF;
        else
            p->key_usage = KU_CRL_SIGN;
        ca = node_with(p, "ec-p256", "ca", &root, 0, none);
        leaf = node_make("office", "ec-p256", "office", &ca, 0, none);
        c = bare_chain(&leaf, &ca, &root, NULL);
        judge(c, &root, &ca, ROLE_OFFICE, RC_INPUT, "verify.chain");
        node_free(&ca);
        node_free(&leaf);
    }
}

static void test_path(void **state)
{
    struct cms_chain c = {.ncerts = 0}, only_root = {.ncerts = 0};
    struct err e;

    (void)state;
    chain_cert(&c, &local);
    chain_cert(&c, &root);
    chain_cert(&only_root, &root);
    must(verify_path(device.cert, &c, root.cert->sha256, now, &e), &e);
    must(verify_path(local.cert, &c, root.cert->sha256, now, &e), &e);
    must(verify_path(root.cert, &only_root, root.cert->sha256, now, &e), &e);
    must_fail(verify_path(device.cert, &only_root, root.cert->sha256, now, &e), &e, RC_INPUT, "verify.chain");
    must_fail(verify_path(device.cert, &c, online.cert->sha256, now, &e), &e, RC_DENIED, "verify.root");
    must_fail(verify_path(device.cert, &c, root.cert->sha256, device.cert->not_after + 1, &e), &e, RC_DENIED,
              "verify.expired");
    chain_crl(&c, &local, &office);
    must(verify_path(device.cert, &c, root.cert->sha256, now, &e), &e);
    chain_crl(&c, &local, &device);
    must_fail(verify_path(device.cert, &c, root.cert->sha256, now, &e), &e, RC_DENIED, "verify.revoked");
    cms_chain_free(&c);
    cms_chain_free(&only_root);
}

/* No changed octet in any certificate or CRL gives a chain that verifies. */
static void test_changed_octets(void **state)
{
    static const uint8_t masks[] = {0x01, 0x80, 0xff};
    struct cms_chain c = chain_make(&office, &online, &root);
    struct trust t = trust_in(&root, &online);
    struct bytes *parts[] = {&c.certs[0], &c.certs[1], &c.certs[2], &c.crls[0], &c.crls[1]};
    struct err e;

    (void)state;
    for (size_t p = 0; p < 5; p++) {
        for (size_t i = 0; i < parts[p]->n; i++) {
            uint8_t mask = masks[i % 3];

            parts[p]->p[i] ^= mask;
            if (verify_role("changed", &c, &t, ROLE_OFFICE, now, &e) == RC_OK)
                fail_msg("part %zu: octet %zu changed by 0x%02x is accepted", p, i, mask);
            parts[p]->p[i] ^= mask;
        }
    }
    judge(c, &root, &online, ROLE_OFFICE, RC_OK, NULL);
}

/* The same judgement by openssl, where it can be asked. */
static void test_openssl_agrees(void **state)
{
    struct cms_chain c = chain_make(&office, &online, &root);

    (void)state;
    pki_cert_file("root.pem", &root);
    pki_cert_file("online.pem", &online);
    pki_cert_file("office.pem", &office);
    pki_file("a.crl", "X509 CRL", bytes_span(&c.crls[0]));
    pki_file("b.crl", "X509 CRL", bytes_span(&c.crls[1]));
    CHECK_SH(
        "cat a.crl b.crl >crls.pem && openssl verify -x509_strict -crl_check_all -attime 1767657600 -CAfile root.pem -untrusted "
        "online.pem -CRLfile crls.pem office.pem");
    CHECK_SH(
        "openssl x509 -in office.pem -noout -ext extendedKeyUsage | grep -q 2.25.67055011817518250399580807217873608514.1");
    cms_chain_free(&c);
}

static void test_roles(void **state)
{
    (void)state;
    assert_string_equal(role_oid(ROLE_CEREMONY_OFFICER), "2.25.67055011817518250399580807217873608514.5");
    assert_string_equal(role_name(ROLE_STATION_SEAL), "station-seal");
    for (int r = ROLE_OFFICE; r <= ROLE_CEREMONY_OFFICER; r++)
        assert_int_equal(role_of_oid(role_oid((enum role)r)), r);
    assert_int_equal(role_of_oid("1.3.6.1.5.5.7.3.2"), -1);
    assert_int_equal(role_of_oid("2.25.67055011817518250399580807217873608514"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_wrong_root),
        cmocka_unit_test(test_wrong_issuer),
        cmocka_unit_test(test_no_role),
        cmocka_unit_test(test_role_from_local_ca),
        cmocka_unit_test(test_revoked),
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_no_crl),
        cmocka_unit_test(test_expired),
        cmocka_unit_test(test_expired_ca),
        cmocka_unit_test(test_swapped),
        cmocka_unit_test(test_leaf_as_ca),
        cmocka_unit_test(test_path_length),
        cmocka_unit_test(test_cross),
        cmocka_unit_test(test_unfit_leaf),
        cmocka_unit_test(test_ca_with_role),
        cmocka_unit_test(test_unfit_ca),
        cmocka_unit_test(test_path),
        cmocka_unit_test(test_changed_octets),
        cmocka_unit_test(test_openssl_agrees),
        cmocka_unit_test(test_roles),
    };

    return cmocka_run_group_tests(tests, hierarchy_make, hierarchy_free);
}
