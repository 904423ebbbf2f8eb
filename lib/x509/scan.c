/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "sign/alg.h"
#include "x509/cert.h"
#include "x509/internal.h"
#include "x509/name.h"

/* Certificate and TBSCertificate (RFC 5280 4.1), value after value. Text and clause of a refusal are the
 * caller's. */

enum {
    EXTENSIONS_MAX = 32, /* in one certificate */
    VERSION_3 = 2,
};

typedef enum rc ext_reader(struct cert *c, struct scan *s, const struct ext *x, struct err *e);

static enum rc read_ski(struct cert *c, struct scan *s, const struct ext *x, struct err *e)
{
    (void)s;
    return der_only(x->value, DER_OCTET_STRING, &c->ski, e);
}

static enum rc read_aki(struct cert *c, struct scan *s, const struct ext *x, struct err *e)
{
    return ext_aki(x->value, &c->aki, &s->aki_more, e);
}

/* BasicConstraints ::= SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER OPTIONAL } */
static enum rc read_bc(struct cert *c, struct scan *s, const struct ext *x, struct err *e)
{
    struct der_value v;
    struct span in;
    uint64_t len = 0;
    enum rc rc = der_only(x->value, DER_SEQUENCE, &in, e);

    if (!rc && der_peek(in, DER_BOOLEAN)) {
        rc = der_next(&in, &v, e);
        if (!rc && (v.content.n != 1 || v.content.p[0] != 0xff))
            rc = der_bad(e, "basicConstraints writes cA as something else than TRUE");
        c->ca = true;
    }
    if (!rc && in.n) {
        rc = der_small(&in, &len, e);
        c->path_len = len > INT16_MAX ? INT16_MAX : (int)len;
        if (!c->ca)
            s->flaws |= FLAW_PATH_LENGTH;
    }
    if (!rc)
        rc = der_end(in, "basic constraints", e);
    c->has_bc = true;
    c->bc_critical = x->critical;
    return rc;
}

/* A named bit list: in DER its last bit is a one (X.690 11.2.2), and RFC 5280 4.2.1.3 wants at least one. */
static enum rc read_key_usage(struct cert *c, struct scan *s, const struct ext *x, struct err *e)
{
    struct span bits;
    unsigned unused, last;
    enum rc rc = der_only(x->value, DER_BIT_STRING, &bits, e);

    if (rc)
        return rc;
    if (bits.n < 1 || bits.n > 3 || bits.p[0] > 7 || (bits.n == 1 && bits.p[0]))
        return der_bad(e, "keyUsage is no list of its nine bits");
    unused = bits.p[0];
    last = bits.n > 1 ? bits.p[bits.n - 1] : 0;
    if (last & ((1U << unused) - 1))
        return der_bad(e, "keyUsage has unused bits that are not zero, as DER requires");
    if (!(last >> unused & 1))
        s->flaws |= FLAW_KEY_USAGE;
    for (unsigned i = 0; i < (bits.n - 1) * 8; i++)
        if (bits.p[1 + i / 8] & (0x80U >> i % 8))
            c->key_usage |= 1U << i;
    c->has_ku = true;
    c->ku_critical = x->critical;
    return RC_OK;
}

static enum rc read_eku(struct cert *c, struct scan *s, const struct ext *x, struct err *e)
{
    struct der_value v;
    struct span in;
    enum rc rc = der_only(x->value, DER_SEQUENCE, &in, e);

    (void)s;
    if (!rc && in.n == 0)
        rc = der_bad(e, "extendedKeyUsage is empty");
    c->nekus = 0;
    while (!rc && in.n) {
        if (c->nekus == CERT_EKUS_MAX)
            return der_bad(e, "extendedKeyUsage lists more than 16 purposes");
        rc = der_expect(&in, DER_OID, &v, e);
        if (!rc && !oid_text(v.content, c->ekus[c->nekus], sizeof c->ekus[0]))
            rc = der_bad(e, "a purpose in extendedKeyUsage is no object identifier of at most 63 characters");
        if (!rc)
            c->nekus++;
    }
    c->has_eku = true;
    return rc;
}

static enum rc read_san(struct cert *c, struct scan *s, const struct ext *x, struct err *e)
{
    struct span in;
    struct der_value v;
    enum rc rc = der_only(x->value, DER_SEQUENCE, &in, e);

    (void)s;
    if (!rc && in.n == 0)
        rc = der_bad(e, "subjectAltName is empty");
    while (!rc && in.n)
        rc = der_next(&in, &v, e);
    c->san = x->value;
    return rc;
}

static enum rc read_nocheck(struct cert *c, struct scan *s, const struct ext *x, struct err *e)
{
    struct span content;
    enum rc rc = der_only(x->value, DER_NULL, &content, e);

    (void)c;
    (void)s;
    if (!rc && content.n)
        rc = der_bad(e, "ocsp-nocheck is no NULL");
    return rc;
}

static const struct known {
    struct span oid;
    unsigned bit;
    ext_reader *read;
} * known_ext(struct span oid)
{
    static const struct known table[] = {
        {{(const uint8_t *)"\x55\x1d\x0e", 3}, EXT_SKI, read_ski},
        {{(const uint8_t *)"\x55\x1d\x0f", 3}, EXT_KEY_USAGE, read_key_usage},
        {{(const uint8_t *)"\x55\x1d\x11", 3}, EXT_SAN, read_san},
        {{(const uint8_t *)"\x55\x1d\x13", 3}, EXT_BC, read_bc},
        {{(const uint8_t *)"\x55\x1d\x23", 3}, EXT_AKI, read_aki},
        {{(const uint8_t *)"\x55\x1d\x25", 3}, EXT_EKU, read_eku},
        {{(const uint8_t *)"\x2b\x06\x01\x05\x05\x07\x30\x01\x05", 9}, EXT_OCSP_NOCHECK, read_nocheck},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (span_eq(table[i].oid, oid))
            return &table[i];
    return NULL;
}

/* The first of two extensions of a kind is the one that is read; that there are two is the flaw. */
static enum rc scan_extension(struct cert *c, struct scan *s, const struct ext *x, bool seen, struct err *e)
{
    const struct known *k = known_ext(x->oid);
    unsigned bit = k ? k->bit : EXT_OTHER;

    if (seen) {
        s->flaws |= FLAW_DUPLICATE;
        return RC_OK;
    }
    s->present |= bit;
    if (x->critical)
        s->critical |= bit;
    if (k)
        return k->read(c, s, x, e);
    c->unknown_critical |= x->critical;
    return RC_OK;
}

static enum rc scan_extensions(struct cert *c, struct scan *s, struct span in, struct err *e)
{
    struct span oids[EXTENSIONS_MAX];
    struct ext x;
    enum rc rc = RC_OK;

    if (in.n == 0)
        return der_bad(e, "the list of extensions is empty");
    c->extensions = in;
    for (size_t n = 0; in.n && !rc; n++) {
        bool seen = false;

        if (n == EXTENSIONS_MAX)
            return der_bad(e, "it has more than 32 extensions");
        rc = ext_next(&in, &x, e);
        if (rc)
            return rc;
        for (size_t i = 0; i < n; i++)
            seen |= span_eq(oids[i], x.oid);
        oids[n] = x.oid;
        rc = scan_extension(c, s, &x, seen, e);
    }
    return rc;
}

static enum rc scan_version(struct span *in, struct scan *s, struct err *e)
{
    struct der_value v;
    uint64_t version = 0;
    enum rc rc = RC_OK;

    if (der_peek(*in, DER_CONTEXT_0)) {
        rc = der_next(in, &v, e);
        if (!rc)
            rc = der_small(&v.content, &version, e);
        if (!rc)
            rc = der_end(v.content, "version", e);
    }
    if (version != VERSION_3)
        s->flaws |= FLAW_VERSION;
    return rc;
}

static enum rc scan_serial(struct span *in, struct cert *c, struct scan *s, struct err *e)
{
    bool negative = false;
    enum rc rc = der_integer(in, &c->serial, &negative, e);

    if (rc)
        return rc;
    if (negative || c->serial.n == 0)
        s->flaws |= FLAW_SERIAL_SIGN;
    /* A magnitude of 20 octets with its top bit set takes 21 as INTEGER. */
    if (c->serial.n > SERIAL_MAX || (c->serial.n == SERIAL_MAX && !negative && c->serial.p[0] & 0x80))
        s->flaws |= FLAW_SERIAL_LENGTH;
    return RC_OK;
}

static enum rc scan_validity(struct span *in, struct cert *c, struct scan *s, struct err *e)
{
    struct der_value seq, begin, end;
    enum rc rc = der_expect(in, DER_SEQUENCE, &seq, e);

    if (!rc)
        rc = der_next(&seq.content, &begin, e);
    if (!rc)
        rc = der_next(&seq.content, &end, e);
    if (!rc)
        rc = der_end(seq.content, "validity", e);
    if (!rc && (!der_time(&begin, &c->not_before) || !der_time(&end, &c->not_after)))
        s->flaws |= FLAW_TIME;
    return rc;
}

/* SubjectPublicKeyInfo ::= SEQUENCE { algorithm, subjectPublicKey BIT STRING }; the key itself is for
 * spki_check. */
static enum rc scan_spki(struct span *in, struct span *ret, const struct alg **ret_alg, struct err *e)
{
    struct der_value whole, v;
    struct span bits;
    struct err ignored;
    enum rc rc = der_expect(in, DER_SEQUENCE, &whole, e);

    if (!rc)
        rc = der_expect(&whole.content, DER_SEQUENCE, &v, e);
    if (!rc)
        rc = der_bits(&whole.content, &bits, e);
    if (!rc)
        rc = der_end(whole.content, "public key", e);
    if (rc)
        return rc;
    *ret = whole.whole;
    if (alg_of_spki(whole.whole, ret_alg, &ignored))
        *ret_alg = NULL;
    return RC_OK;
}

static enum rc scan_name(struct span *in, struct span *ret, struct err *e)
{
    struct der_value v;
    enum rc rc = der_expect(in, DER_SEQUENCE, &v, e);

    if (!rc)
        rc = name_check(v.whole, e);
    if (!rc)
        *ret = v.whole;
    return rc;
}

static enum rc scan_tbs(struct span in, struct cert *c, struct scan *s, struct err *e)
{
    struct der_value v;
    struct span exts;
    enum rc rc = scan_version(&in, s, e);

    if (!rc)
        rc = scan_serial(&in, c, s, e);
    if (!rc)
        rc = der_expect(&in, DER_SEQUENCE, &v, e);
    if (!rc) {
        c->tbs_sig_algid = v.whole;
        rc = scan_name(&in, &c->issuer, e);
    }
    if (!rc)
        rc = scan_validity(&in, c, s, e);
    if (!rc)
        rc = scan_name(&in, &c->subject, e);
    if (!rc)
        rc = scan_spki(&in, &c->spki, &c->key_alg, e);
    if (rc || in.n == 0)
        return rc;
    rc = der_expect(&in, DER_CONTEXT_3, &v,
                    e); /* unique identifiers ([1], [2]) must not be there: RFC 5280 4.1.2.8 */
    if (!rc)
        rc = der_end(in, "extensions", e);
    if (!rc)
        rc = der_only(v.content, DER_SEQUENCE, &exts, e);
    return rc ? rc : scan_extensions(c, s, exts, e);
}

static enum rc scan_certificate(struct cert *c, struct scan *s, struct err *e)
{
    struct der_value tbs, algid;
    struct span in;
    enum rc rc = der_only(bytes_span(&c->der), DER_SEQUENCE, &in, e);

    if (!rc)
        rc = der_expect(&in, DER_SEQUENCE, &tbs, e);
    if (!rc)
        rc = der_expect(&in, DER_SEQUENCE, &algid, e);
    if (!rc)
        rc = der_bits(&in, &c->signature, e);
    if (!rc)
        rc = der_end(in, "signature", e);
    if (rc)
        return rc;
    c->tbs = tbs.whole;
    c->sig_algid = algid.whole;
    c->sig_alg = alg_by_sig_algid(algid.whole);
    rc = scan_tbs(tbs.content, c, s, e);
    if (!rc && !span_eq(c->sig_algid, c->tbs_sig_algid))
        s->flaws |= FLAW_ALGORITHM;
    return rc;
}

enum rc cert_scan(struct span der, struct cert **ret, struct scan *ret_scan, struct err *e)
{
    struct cert *c = mem_new(sizeof *c);
    struct scan s = {0};
    enum rc rc;

    c->path_len = -1;
    bytes_add_span(&c->der, der);
    rc = scan_certificate(c, &s, e);
    if (rc)
        goto out;
    sha256(der, c->sha256);
    c->cn = name_cn(c->subject);
    *ret_scan = s;
    *ret = c;
    c = NULL;
out:
    cert_free(c);
    return rc;
}
