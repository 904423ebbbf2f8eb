/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "sign/alg.h"
#include "sign/signer.h"
#include "x509/cert.h"
#include "x509/crl.h"
#include "x509/internal.h"
#include "x509/name.h"
#include "x509/profile.h"

enum { VERSION_2 = 1 };

static enum rc read_reason(struct span value, int *ret, struct err *e)
{
    struct span reason;
    enum rc rc = der_only(value, DER_ENUMERATED, &reason, e);

    if (!rc && (reason.n != 1 || !crl_reason_name(reason.p[0])))
        rc = der_bad(e, "an entry's reason is none of RFC 5280 5.3.1");
    if (!rc)
        *ret = reason.p[0];
    return rc;
}

/* crlEntryExtensions: of interest is the reason; what is critical must be known. */
static enum rc read_entry_extensions(struct span in, int *ret_reason, struct err *e)
{
    struct ext x;
    enum rc rc = RC_OK;

    if (in.n == 0)
        return der_bad(e, "an entry's list of extensions is empty");
    while (!rc && in.n) {
        rc = ext_next(&in, &x, e);
        if (rc)
            return rc;
        if (span_eq(x.oid, OID_CRL_REASON))
            rc = read_reason(x.value, ret_reason, e);
        else if (x.critical)
            rc = der_bad(e, "an entry has an unknown critical extension");
    }
    return rc;
}

/* The next of revokedCertificates. */
static enum rc next_entry(struct span *in, struct crl_entry *ret, struct err *e)
{
    struct der_value seq, v;
    struct span exts;
    bool negative = false;
    enum rc rc = der_expect(in, DER_SEQUENCE, &seq, e);

    ret->reason = 0;
    if (!rc)
        rc = der_integer(&seq.content, &ret->serial, &negative, e);
    if (!rc && negative)
        rc = der_bad(e, "an entry's serial number is negative");
    if (!rc)
        rc = der_next(&seq.content, &v, e);
    if (!rc && !der_time(&v, &ret->revoked_at))
        rc = der_bad(e, "an entry's date is not in the form of RFC 5280 4.1.2.5");
    if (rc || seq.content.n == 0)
        return rc;
    rc = der_only(seq.content, DER_SEQUENCE, &exts, e);
    return rc ? rc : read_entry_extensions(exts, &ret->reason, e);
}

static enum rc read_list(struct span *in, struct span *ret, struct err *e)
{
    struct der_value v;
    struct crl_entry entry;
    struct span left;
    enum rc rc = der_next(in, &v, e);

    if (rc)
        return rc;
    if (v.content.n == 0)
        return der_bad(
            e, "its list of revoked certificates is empty; it must be left out then (RFC 5280 5.1.2.6)");
    for (left = v.content; !rc && left.n;)
        rc = next_entry(&left, &entry, e);
    *ret = v.content;
    return rc;
}

static enum rc read_extensions(struct span in, struct crl *c, struct err *e)
{
    struct ext x;
    struct span content;
    bool has_number = false, has_aki = false, more, duplicate = false;
    enum rc rc = der_only(in, DER_SEQUENCE, &content, e);

    while (!rc && content.n) {
        rc = ext_next(&content, &x, e);
        if (rc)
            return rc;
        if (span_eq(x.oid, OID_AKI)) {
            duplicate |= has_aki;
            has_aki = true;
            rc = ext_aki(x.value, &c->aki, &more, e);
        } else if (span_eq(x.oid, OID_CRL_NUMBER)) {
            duplicate |= has_number;
            has_number = true;
            rc = der_small(&x.value, &c->number, e);
            if (!rc)
                rc = der_end(x.value, "number", e);
        } else if (x.critical) {
            rc = der_bad(e,
                         "it has an unknown critical extension: delta CRLs and partitions are not supported");
        }
    }
    if (!rc && duplicate)
        rc = der_bad(e, "an extension is there twice");
    if (!rc && (!has_number || c->aki.n == 0))
        rc = der_bad(e, "it has no number or no authority key identifier (RFC 5280 5.2)");
    return rc;
}

/* TBSCertList; inner: its signature algorithm. */
static enum rc read_tbs(struct span in, struct crl *c, struct span *inner, struct err *e)
{
    struct der_value v;
    uint64_t version = 0;
    enum rc rc = der_small(&in, &version, e);

    if (!rc && version != VERSION_2)
        rc = der_bad(e, "it is not of version 2 (RFC 5280 5.1.2.1)");
    if (!rc)
        rc = der_expect(&in, DER_SEQUENCE, &v, e);
    if (rc)
        return rc;
    *inner = v.whole;
    rc = der_expect(&in, DER_SEQUENCE, &v, e);
    if (!rc)
        rc = name_check(v.whole, e);
    if (rc)
        return rc;
    c->issuer = v.whole;
    rc = der_next(&in, &v, e);
    if (!rc && !der_time(&v, &c->this_update))
        rc = der_bad(e, "thisUpdate is not in the form of RFC 5280 4.1.2.5");
    if (!rc)
        rc = der_next(&in, &v, e);
    if (!rc && !der_time(&v, &c->next_update))
        rc = der_bad(e, "nextUpdate is missing or not in the form of RFC 5280 4.1.2.5");
    if (!rc && der_peek(in, DER_SEQUENCE))
        rc = read_list(&in, &c->revoked, e);
    if (!rc)
        rc = der_expect(&in, DER_CONTEXT_0, &v, e);
    if (!rc)
        rc = der_end(in, "extensions", e);
    return rc ? rc : read_extensions(v.content, c, e);
}

static enum rc read_crl(struct crl *c, struct err *e)
{
    struct der_value tbs, algid;
    struct span in, inner = {NULL, 0};
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
    rc = read_tbs(tbs.content, c, &inner, e);
    if (!rc && !span_eq(inner, c->sig_algid))
        rc = der_bad(e, "its two signature algorithms differ (RFC 5280 5.1.1.2)");
    return rc;
}

enum rc crl_parse(const char *name, struct span text, struct crl **ret, struct err *e)
{
    struct crl *c = mem_new(sizeof *c);
    struct err why;
    enum rc rc = armour_open(text, "X509 CRL", true, &c->der, &why);

    if (!rc)
        rc = read_crl(c, &why);
    if (rc) {
        rc = err_set(e, RC_INPUT, "x509.crl", "cannot use CRL '%s': %s", name, why.text);
        goto out;
    }
    *ret = c;
    c = NULL;
out:
    crl_free(c);
    return rc;
}

void crl_free(struct crl *c)
{
    if (!c)
        return;
    bytes_free(&c->der);
    free(c);
}

static enum rc check_signature(const struct crl *c, const struct cert *issuer, const char **ret_text)
{
    const struct alg *scheme = issuer->key_alg ? alg_for_signature(issuer->key_alg, c->sig_algid) : NULL;
    struct err why;

    if (!span_eq(c->issuer, issuer->subject))
        *ret_text = "it names another issuer";
    else if (!span_eq(c->aki, issuer->ski))
        *ret_text = "it is of another key of this issuer";
    else if (!issuer->ca || !(issuer->key_usage & KU_CRL_SIGN))
        *ret_text = "the issuer is no CA with keyUsage cRLSign";
    else if (!scheme)
        *ret_text = "its signature algorithm is not that of the issuer's key, or unknown";
    else if (signature_verify_message(scheme, issuer->spki, c->tbs, c->signature, &why))
        *ret_text = "its signature is not the issuer's: it was changed, or is another CA's";
    else
        return RC_OK;
    return RC_INPUT;
}

enum rc crl_verify(const struct crl *c, const struct cert *issuer, struct err *e)
{
    const char *text = NULL;
    char *name;

    if (check_signature(c, issuer, &text) == RC_OK)
        return RC_OK;
    name = name_text(issuer->subject);
    (void)err_set(e, RC_INPUT, "x509.crl-signature", "cannot use CRL %llu as that of '%s': %s",
                  (unsigned long long)c->number, name, text);
    free(name);
    return RC_INPUT;
}

bool crl_lists(const struct crl *c, struct span serial, struct crl_entry *ret)
{
    struct span in = c->revoked;
    struct err why;

    while (in.n) {
        struct crl_entry entry;

        if (next_entry(&in, &entry, &why))
            bug("a CRL changed after it was read: %s", why.text);
        if (span_eq(entry.serial, serial)) {
            *ret = entry;
            return true;
        }
    }
    return false;
}
