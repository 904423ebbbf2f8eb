/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_LINT_VECTORS_H
#define TEST_LINT_VECTORS_H

#include "pki.h"

/* The TBSCertificates that lint must refuse. Included behind cmocka.h by test_lint.c alone. */

enum { EXTS_MAX = 10, BASES = 6 };

/* What a certificate is written from; the pieces are finished DER, so a vector can put anything there. */
struct recipe {
    struct profile profile; /* a shallow copy that vectors may change */
    const struct node *issuer;
    struct node shadow;       /* another issuer, made by a vector */
    struct cert issuer_cert;  /* a shallow copy likewise */
    const struct cert *given; /* what lint is told; NULL: self-signed */
    struct bytes version, serial, algid, issuer_name, not_before, not_after, subject, spki;
    struct {
        struct span oid;
        bool critical;
        struct bytes value;
    } exts[EXTS_MAX];
    size_t nexts;
};

/* The hierarchy that all vectors share. */
static struct node root, online, local;
static struct signer *p256, *p384, *rsa, *ed25519;

static void set(struct bytes *b, struct span s)
{
    bytes_reset(b);
    bytes_add_span(b, s);
}

static void set_time(struct bytes *b, int64_t t)
{
    struct der_writer w;

    der_init(&w);
    der_put_time(&w, t);
    set(b, der_span(&w));
    der_fini(&w);
}

static void set_serial(struct recipe *r, struct span content)
{
    struct der_writer w;

    der_init(&w);
    der_put_value(&w, DER_INTEGER, content);
    set(&r->serial, der_span(&w));
    der_fini(&w);
}

static void set_name(struct bytes *b, const char *cn)
{
    bytes_reset(b);
    pki_name(cn, b);
}

static struct bytes *add_ext(struct recipe *r, struct span oid, bool critical, struct span value)
{
    assert_true(r->nexts < EXTS_MAX);
    r->exts[r->nexts].oid = oid;
    r->exts[r->nexts].critical = critical;
    set(&r->exts[r->nexts].value, value);
    return &r->exts[r->nexts++].value;
}

static size_t find_ext(const struct recipe *r, struct span oid)
{
    for (size_t i = 0; i < r->nexts; i++)
        if (span_eq(r->exts[i].oid, oid))
            return i;
    fail_msg("the base has no such extension");
    return 0;
}

static void set_ext(struct recipe *r, struct span oid, struct span value)
{
    set(&r->exts[find_ext(r, oid)].value, value);
}

static void drop_ext(struct recipe *r, struct span oid)
{
    size_t i = find_ext(r, oid);

    bytes_free(&r->exts[i].value);
    r->nexts--;
    memmove(&r->exts[i], &r->exts[i + 1], (r->nexts - i) * sizeof r->exts[0]);
    memset(&r->exts[r->nexts], 0, sizeof r->exts[0]);
}

static void add_key_ids(struct recipe *r, struct span spki)
{
    uint8_t id[22] = {DER_OCTET_STRING, 20};
    uint8_t aki[24] = {DER_SEQUENCE, 22, DER_CONTEXT_0_PRIMITIVE, 20};

    if (r->profile.ski == SKI_SHA1)
        key_id_sha1(spki, id + 2);
    else
        key_id_rfc7093(spki, id + 2);
    add_ext(r, OID_SKI, false, (struct span){id, sizeof id});
    if (!r->given)
        return;
    memcpy(aki + 4, r->given->ski.p, 20);
    add_ext(r, OID_AKI, false, (struct span){aki, sizeof aki});
}

/* The right certificate of a profile. */
static void recipe_make(struct recipe *r, const char *profile, const struct node *issuer)
{
    static const struct span bc[] = {{(const uint8_t *)"\x30\x03\x01\x01\xff", 5},
                                     {(const uint8_t *)"\x30\x06\x01\x01\xff\x02\x01\x00", 8},
                                     {(const uint8_t *)"\x30\x00", 2}};
    bool leaf, server = strcmp(profile, "server") == 0;
    struct profile *p = NULL;
    struct der_writer w;
    struct err e;

    memset(r, 0, sizeof *r);
    must(profile_load(profile, &p, &e), &e);
    r->profile = *p;
    free(p);
    leaf = r->profile.kind == PROFILE_LEAF;
    r->issuer = issuer;
    if (issuer) {
        r->issuer_cert = *issuer->cert;
        r->given = &r->issuer_cert;
    }
    set(&r->version, SPAN("\xa0\x03\x02\x01\x02"));
    set_serial(r, SPAN("\x41xxxxxxxxxxxxxxx"));
    set_name(&r->subject, leaf ? "MX1-000123" : "some-ca");
    set(&r->algid, issuer ? issuer->key->alg->sig_algid : p256->alg->sig_algid);
    set(&r->issuer_name, issuer ? issuer->cert->subject : bytes_span(&r->subject));
    set_time(&r->not_before, pki_begin + PKI_DAY);
    set_time(&r->not_after, pki_begin + 300 * PKI_DAY);
    set(&r->spki, bytes_span(&p256->spki));
    add_key_ids(r, bytes_span(&p256->spki));
    add_ext(r, OID_BC, true, bc[r->profile.kind]);
    add_ext(r, OID_KEY_USAGE, true, leaf ? SPAN("\x03\x02\x07\x80") : SPAN("\x03\x02\x01\x06"));
    if (r->profile.nekus) {
        der_init(&w);
        der_put_oid(&w, r->profile.ekus[0]);
        der_wrap(&w, DER_SEQUENCE, 0);
        add_ext(r, OID_EKU, false, der_span(&w));
        der_fini(&w);
    }
    if (server)
        add_ext(r, OID_SAN, false, SPAN("\x30\x0c\x82\x0agw.example"));
    if (r->profile.ocsp_nocheck)
        add_ext(r, OID_OCSP_NOCHECK, false, SPAN("\x05\x00"));
}

static void recipe_free(struct recipe *r)
{
    struct bytes *all[] = {&r->version,    &r->serial,    &r->algid,   &r->issuer_name,
                           &r->not_before, &r->not_after, &r->subject, &r->spki};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        bytes_free(all[i]);
    for (size_t i = 0; i < EXTS_MAX; i++)
        bytes_free(&r->exts[i].value);
    for (size_t i = 0; i < r->profile.nekus; i++)
        free(r->profile.ekus[i]);
    free(r->profile.name);
    if (r->shadow.cert)
        node_free(&r->shadow);
}

static void recipe_write(const struct recipe *r, struct bytes *ret)
{
    struct der_writer w;
    size_t mark;

    der_init(&w);
    for (size_t i = r->nexts; i-- > 0;) {
        mark = der_mark(&w);
        der_put(&w, bytes_span(&r->exts[i].value));
        ext_wrap(&w, r->exts[i].oid, r->exts[i].critical, mark);
    }
    if (r->nexts) {
        der_wrap(&w, DER_SEQUENCE, 0);
        der_wrap(&w, DER_CONTEXT_3, 0);
    }
    der_put(&w, bytes_span(&r->spki));
    der_put(&w, bytes_span(&r->subject));
    mark = der_mark(&w);
    der_put(&w, bytes_span(&r->not_after));
    der_put(&w, bytes_span(&r->not_before));
    der_wrap(&w, DER_SEQUENCE, mark);
    der_put(&w, bytes_span(&r->issuer_name));
    der_put(&w, bytes_span(&r->algid));
    der_put(&w, bytes_span(&r->serial));
    der_put(&w, bytes_span(&r->version));
    der_wrap(&w, DER_SEQUENCE, 0);
    bytes_add_span(ret, der_span(&w));
    der_fini(&w);
}

/* ---- the vectors ---- */

static void v_version(struct recipe *r)
{
    set(&r->version, SPAN("\xa0\x03\x02\x01\x01"));
}

static void v_version_absent(struct recipe *r)
{
    bytes_reset(&r->version);
}

static void v_serial_zero(struct recipe *r)
{
    set_serial(r, SPAN("\0"));
}

static void v_serial_negative(struct recipe *r)
{
    set_serial(r, SPAN("\x81xxxxxxxxxxxxxxx"));
}

static void v_serial_long(struct recipe *r)
{
    set_serial(r, SPAN("\x41xxxxxxxxxxxxxxxxxxxx"));
}

/* 20 octets whose top bit is set take 21. */
static void v_serial_top_bit(struct recipe *r)
{
    set_serial(r, SPAN("\0\x80xxxxxxxxxxxxxxxxxxx"));
}

static void v_serial_short(struct recipe *r)
{
    set_serial(r, SPAN("\x41xxxxxx"));
}

static void v_algorithm(struct recipe *r)
{
    set(&r->algid, p384->alg->sig_algid);
}

/* ecdsa-with-SHA256 with parameters NULL (RFC 5758 3.2: none). */
static void v_algorithm_null(struct recipe *r)
{
    set(&r->algid, SPAN("\x30\x0c\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02\x05\x00"));
}

static void v_time_generalized(struct recipe *r)
{
    set(&r->not_after, SPAN("\x18\x0f"
                            "20491001000000Z"));
}

static void v_time_no_seconds(struct recipe *r)
{
    set(&r->not_before, SPAN("\x17\x0b"
                             "2601020000Z"));
}

static void v_time_offset(struct recipe *r)
{
    set(&r->not_before, SPAN("\x17\x11"
                             "260102000000+0100"));
}

static void v_time_fraction(struct recipe *r)
{
    set(&r->not_after, SPAN("\x18\x11"
                            "20510101000000.5Z"));
}

static void v_time_order(struct recipe *r)
{
    set_time(&r->not_after, pki_begin + PKI_DAY - 1);
}

static void v_max_days(struct recipe *r)
{
    r->profile.max_days = 298;
}

static void v_outlives(struct recipe *r)
{
    set_time(&r->not_after, r->issuer->cert->not_after + 1);
    r->profile.max_days = 0;
}

static void v_too_early(struct recipe *r)
{
    set_time(&r->not_before, pki_begin - 1);
    r->profile.max_days = 0;
}

/* The same name in another string type: equal to some, not octet by octet. */
static void v_issuer_name(struct recipe *r)
{
    for (size_t i = 0; i + 1 < r->issuer_name.n; i++) {
        if (r->issuer_name.p[i] == DER_UTF8STRING && r->issuer_name.p[i + 1] == strlen(r->issuer->cert->cn)) {
            r->issuer_name.p[i] = DER_PRINTABLESTRING;
            return;
        }
    }
    fail();
}

static void v_not_self_issued(struct recipe *r)
{
    set_name(&r->issuer_name, "another-ca");
}

static void v_issuer_no_ca(struct recipe *r)
{
    r->issuer_cert.ca = false;
}

static void v_issuer_no_cert_sign(struct recipe *r)
{
    r->issuer_cert.key_usage = KU_CRL_SIGN;
}

static void v_ca_no_subject(struct recipe *r)
{
    set(&r->subject, SPAN("\x30\x00"));
}

static void v_cn_long(struct recipe *r)
{
    uint8_t name[13 + 65] = {0x30, 11 + 65, 0x31, 9 + 65, 0x30, 7 + 65, 0x06,
                             0x03, 0x55,    0x04, 0x03,   0x0c, 65};

    memset(name + 13, 'a', 65);
    set(&r->subject, (struct span){name, sizeof name});
}

static void v_device_id(struct recipe *r)
{
    set_name(&r->subject, "MX1 000123");
}

static void v_device_no_id(struct recipe *r)
{
    struct name_attr attr = {"OU", "x"};
    struct err e;

    bytes_reset(&r->subject);
    must(name_encode(&attr, 1, &r->subject, &e), &e);
}

static void v_bc_absent(struct recipe *r)
{
    drop_ext(r, OID_BC);
}

static void v_bc_ca(struct recipe *r)
{
    set_ext(r, OID_BC, SPAN("\x30\x03\x01\x01\xff"));
}

static void v_bc_no_ca(struct recipe *r)
{
    set_ext(r, OID_BC, SPAN("\x30\x00"));
}

static void v_bc_critical(struct recipe *r)
{
    r->exts[find_ext(r, OID_BC)].critical = false;
}

static void v_path_length(struct recipe *r)
{
    set_ext(r, OID_BC, SPAN("\x30\x06\x01\x01\xff\x02\x01\x01"));
}

static void v_path_length_leaf(struct recipe *r)
{
    set_ext(r, OID_BC, SPAN("\x30\x03\x02\x01\x00"));
}

static void v_path_length_absent(struct recipe *r)
{
    set_ext(r, OID_BC, SPAN("\x30\x03\x01\x01\xff"));
}

static void v_issuer_path_length(struct recipe *r)
{
    r->issuer_cert.path_len = 0;
}

static void v_issuer_path_length_equal(struct recipe *r)
{
    r->issuer_cert.path_len = 1;
    r->profile.path_len = 1;
    v_path_length(r);
}

static void v_ku_critical(struct recipe *r)
{
    r->exts[find_ext(r, OID_KEY_USAGE)].critical = false;
}

static void v_ku_absent(struct recipe *r)
{
    drop_ext(r, OID_KEY_USAGE);
}

static void v_ku_other(struct recipe *r)
{
    set_ext(r, OID_KEY_USAGE, SPAN("\x03\x02\x03\x08"));
}

/* A CA that could sign anything. */
static void v_ku_more(struct recipe *r)
{
    set_ext(r, OID_KEY_USAGE, SPAN("\x03\x02\x01\x86"));
}

static void v_ku_trailing(struct recipe *r)
{
    set_ext(r, OID_KEY_USAGE, SPAN("\x03\x02\x00\x80"));
}

static void v_ku_trailing_octet(struct recipe *r)
{
    set_ext(r, OID_KEY_USAGE, SPAN("\x03\x03\x07\x80\x00"));
}

static void v_ku_ec(struct recipe *r)
{
    r->profile.key_usage = KU_DIGITAL_SIGNATURE | 1 << 2; /* keyEncipherment */
    set_ext(r, OID_KEY_USAGE, SPAN("\x03\x02\x05\xa0"));
}

/* The base with another key inside, which its profile allows and is for these usages. */
static void other_key(struct recipe *r, const struct signer *key, unsigned usage, struct span bits)
{
    set(&r->spki, bytes_span(&key->spki));
    key_id_sha1(bytes_span(&r->spki), r->exts[find_ext(r, OID_SKI)].value.p + 2);
    r->profile.algs[0] = alg_key(key->alg);
    r->profile.nalgs = 1;
    r->profile.key_usage = usage;
    set_ext(r, OID_KEY_USAGE, bits);
}

static void v_ku_rsa(struct recipe *r)
{
    other_key(r, rsa, KU_DIGITAL_SIGNATURE | KU_KEY_AGREEMENT, SPAN("\x03\x02\x03\x88"));
}

static void v_ku_ed25519(struct recipe *r)
{
    other_key(r, ed25519, KU_DIGITAL_SIGNATURE | KU_KEY_AGREEMENT, SPAN("\x03\x02\x03\x88"));
}

static void v_ku_ed25519_encipher(struct recipe *r)
{
    other_key(r, ed25519, KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT, SPAN("\x03\x02\x05\xa0"));
}

/* Exponent 3 in place of 65537. */
static void v_key_exponent(struct recipe *r)
{
    struct span modulus, exponent;
    struct err e;

    other_key(r, rsa, KU_DIGITAL_SIGNATURE, SPAN("\x03\x02\x07\x80"));
    must(spki_rsa(bytes_span(&rsa->spki), &modulus, &exponent, &e), &e);
    bytes_reset(&r->spki);
    spki_from_rsa(modulus, SPAN("\x03"), &r->spki);
    key_id_sha1(bytes_span(&r->spki), r->exts[find_ext(r, OID_SKI)].value.p + 2);
}

static void v_eku_absent(struct recipe *r)
{
    drop_ext(r, OID_EKU);
}

static void v_eku_other(struct recipe *r)
{
    set_ext(r, OID_EKU, SPAN("\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01"));
}

static void v_eku_more(struct recipe *r)
{
    set_ext(r, OID_EKU,
            SPAN("\x30\x14\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01"));
}

/* A profile that somebody built past profile_parse. */
static void v_eku_ca(struct recipe *r)
{
    free(r->profile.ekus[0]);
    r->profile.ekus[0] = mem_str("1.3.6.1.5.5.7.3.9");
    set_ext(r, OID_EKU, SPAN("\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x09"));
}

static void v_eku_ca_role(struct recipe *r)
{
    struct der_writer w;

    free(r->profile.ekus[0]);
    r->profile.ekus[0] = mem_str(role_oid(ROLE_OFFICE));
    der_init(&w);
    der_put_oid(&w, role_oid(ROLE_OFFICE));
    der_wrap(&w, DER_SEQUENCE, 0);
    set_ext(r, OID_EKU, der_span(&w));
    der_fini(&w);
}

static void v_ski_absent(struct recipe *r)
{
    drop_ext(r, OID_SKI);
}

static void v_ski_wrong(struct recipe *r)
{
    r->exts[find_ext(r, OID_SKI)].value.p[5] ^= 1;
}

/* The right key, hashed by the other method. */
static void v_ski_method(struct recipe *r)
{
    key_id_sha1(bytes_span(&r->spki), r->exts[find_ext(r, OID_SKI)].value.p + 2);
}

static void v_aki_absent(struct recipe *r)
{
    drop_ext(r, OID_AKI);
}

static void v_aki_wrong(struct recipe *r)
{
    r->exts[find_ext(r, OID_AKI)].value.p[7] ^= 1;
}

static void v_aki_root(struct recipe *r)
{
    add_ext(r, OID_AKI, false, SPAN("\x30\x06\x80\x04xxxx"));
}

static void v_aki_more(struct recipe *r)
{
    struct bytes *aki = &r->exts[find_ext(r, OID_AKI)].value;

    bytes_add_span(aki, SPAN("\xa1\x04\x82\x02xx\x82\x01\x05"));
    aki->p[1] = (uint8_t)(aki->n - 2);
}

static void v_eku_critical(struct recipe *r)
{
    r->exts[find_ext(r, OID_EKU)].critical = true;
}

static void v_ski_critical(struct recipe *r)
{
    r->exts[find_ext(r, OID_SKI)].critical = true;
}

static void v_aki_critical(struct recipe *r)
{
    r->exts[find_ext(r, OID_AKI)].critical = true;
}

static void v_san_not_allowed(struct recipe *r)
{
    add_ext(r, OID_SAN, false, SPAN("\x30\x0c\x82\x0agw.example"));
}

static void v_san_email(struct recipe *r)
{
    set_ext(r, OID_SAN,
            SPAN("\x30\x05\x81\x03"
                 "a@b"));
}

static void v_san_needed(struct recipe *r)
{
    set(&r->subject, SPAN("\x30\x00"));
    drop_ext(r, OID_SAN);
}

static void v_san_critical(struct recipe *r)
{
    r->exts[find_ext(r, OID_SAN)].critical = true;
}

static void v_san_not_critical(struct recipe *r)
{
    set(&r->subject, SPAN("\x30\x00"));
}

static void v_nocheck_absent(struct recipe *r)
{
    drop_ext(r, OID_OCSP_NOCHECK);
}

static void v_nocheck(struct recipe *r)
{
    add_ext(r, OID_OCSP_NOCHECK, false, SPAN("\x05\x00"));
}

static void v_duplicate(struct recipe *r)
{
    add_ext(r, OID_BC, true, SPAN("\x30\x03\x01\x01\xff"));
}

static void v_duplicate_unknown(struct recipe *r)
{
    v_duplicate(r);
    r->exts[r->nexts - 1].oid = OID_EKU;
}

static void v_unknown_critical(struct recipe *r)
{
    add_ext(r, SPAN("\x2a\x03\x04"), true, SPAN("\x05\x00"));
}

static void v_unknown(struct recipe *r)
{
    add_ext(r, SPAN("\x2a\x03\x04"), false, SPAN("\x05\x00"));
}

static void v_key_type(struct recipe *r)
{
    r->profile.algs[0] = p384->alg;
    r->profile.nalgs = 1;
}

/* A P-521 key in shape; nobody signs with it. */
static void v_key_foreign(struct recipe *r)
{
    set(&r->spki,
        SPAN(
            "\x30\x18\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23\x03\x04\x00\x04xx"));
    r->nexts -= r->nexts; /* its key identifier is made anew */
    add_key_ids(r, bytes_span(&r->spki));
    add_ext(r, OID_BC, true, SPAN("\x30\x00"));
    add_ext(r, OID_KEY_USAGE, true, SPAN("\x03\x02\x07\x80"));
    add_ext(r, OID_EKU, false, SPAN("\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02"));
}

static void v_key_point(struct recipe *r)
{
    r->spki.p[r->spki.n - 1] ^= 1;
    key_id_sha1(bytes_span(&r->spki), r->exts[find_ext(r, OID_SKI)].value.p + 2);
}

/* others: who refuses the vector too; o: openssl verify -x509_strict, c: certtool --verify, p:
 * python3-cryptography cannot read it. */
static const struct vector {
    const char *rule, *base;
    void (*change)(struct recipe *r);
    const char *others;
} vectors[] = {
    {"version", "device", v_version, "ocp"},
    {"version", "device", v_version_absent, "oc"},
    {"serial-positive", "device", v_serial_zero, ""},
    {"serial-positive", "device", v_serial_negative, ""},
    {"serial-length", "device", v_serial_long, ""},
    {"serial-length", "device", v_serial_top_bit, ""},
    {"serial-bits", "device", v_serial_short, ""},
    {"algorithm", "device", v_algorithm, "oc"},
    {"algorithm", "device", v_algorithm_null, "o"},
    {"time-form", "device", v_time_generalized, ""},
    {"time-form", "device", v_time_no_seconds, "op"},
    {"time-form", "device", v_time_offset, "ocp"},
    {"time-form", "device", v_time_fraction, "ocp"},
    {"time-order", "device", v_time_order, "oc"},
    {"max-days", "device", v_max_days, ""},
    {"issuer-end", "device", v_outlives, ""},
    {"issuer-end", "local-ca", v_outlives, ""},
    {"issuer-begin", "device", v_too_early, ""},
    {"issuer-name", "device", v_issuer_name, ""},
    {"issuer-name", "root", v_not_self_issued, "oc"},
    {"issuer-ca", "device", v_issuer_no_ca, ""},
    {"issuer-ca", "device", v_issuer_no_cert_sign, ""},
    {"ca-subject", "local-ca", v_ca_no_subject, "o"},
    {"cn-length", "device", v_cn_long, ""},
    {"device-id", "device", v_device_id, ""},
    {"device-id", "device", v_device_no_id, ""},
    {"basic-constraints", "device", v_bc_absent, ""},
    {"basic-constraints", "device", v_bc_ca, ""},
    {"basic-constraints", "local-ca", v_bc_no_ca, "o"},
    {"basic-constraints-critical", "local-ca", v_bc_critical, "o"},
    {"path-length", "local-ca", v_path_length, ""},
    {"path-length", "local-ca", v_path_length_absent, ""},
    {"path-length", "device", v_path_length_leaf, "op"},
    {"issuer-path-length", "local-ca", v_issuer_path_length, ""},
    {"issuer-path-length", "local-ca", v_issuer_path_length_equal, ""},
    {"key-usage-critical", "device", v_ku_critical, ""},
    {"key-usage", "device", v_ku_absent, ""},
    {"key-usage", "device", v_ku_other, ""},
    {"key-usage", "local-ca", v_ku_more, ""},
    {"key-usage-bits", "device", v_ku_trailing, ""},
    {"key-usage-bits", "device", v_ku_trailing_octet, ""},
    {"key-usage-ec", "device", v_ku_ec, ""},
    {"key-usage-rsa", "device", v_ku_rsa, ""},
    {"key-usage-ed25519", "device", v_ku_ed25519, ""},
    {"key-usage-ed25519", "device", v_ku_ed25519_encipher, ""},
    {"eku", "device", v_eku_absent, ""},
    {"eku", "device", v_eku_other, ""},
    {"eku", "device", v_eku_more, ""},
    {"eku-ca", "local-ca", v_eku_ca, ""},
    {"eku-ca", "local-ca", v_eku_ca_role, "p"},
    {"ski", "local-ca", v_ski_absent, "o"},
    {"ski", "device", v_ski_wrong, ""},
    {"ski", "local-ca", v_ski_method, ""},
    {"aki", "device", v_aki_absent, "o"},
    {"aki", "device", v_aki_wrong, "oc"},
    {"aki", "root", v_aki_root, "oc"},
    {"aki-form", "device", v_aki_more, "o"},
    {"criticality", "device", v_eku_critical, ""},
    {"criticality", "device", v_ski_critical, "o"},
    {"criticality", "device", v_aki_critical, "o"},
    {"san", "device", v_san_not_allowed, ""},
    {"san", "server", v_san_email, ""},
    {"san", "server", v_san_needed, "o"},
    {"san-critical", "server", v_san_critical, ""},
    {"san-critical", "server", v_san_not_critical, "o"},
    {"ocsp-nocheck", "ocsp", v_nocheck_absent, ""},
    {"ocsp-nocheck", "device", v_nocheck, ""},
    {"duplicate-extension", "device", v_duplicate, "ocp"},
    {"duplicate-extension", "device", v_duplicate_unknown, "ocp"},
    {"unknown-extension", "device", v_unknown_critical, "oc"},
    {"unknown-extension", "device", v_unknown, ""},
    {"key-type", "device", v_key_type, ""},
    {"key-type", "device", v_key_foreign, "op"},
    {"key-point", "device", v_key_point, "op"},
    {"key-point", "device", v_key_exponent, ""},
};
enum { VECTORS = sizeof vectors / sizeof vectors[0] };

#endif
