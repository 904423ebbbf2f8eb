/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "sign/alg.h"
#include "sign/signer.h"
#include "x509/cert.h"
#include "x509/csr.h"
#include "x509/internal.h"
#include "x509/name.h"

/* What a request consists of besides what struct csr shows. */
struct parts {
    struct span info, sig_algid, signature;
    struct span statement; /* PrivateKeyPossessionStatement, empty when absent */
    struct span san;
    struct cert *signer; /* the statement's certificate */
};

/* extensionRequest (RFC 2985 5.4.2): the subject alternative names are looked at, the rest is the profile's
 * affair. */
static enum rc read_extension_request(struct span value, struct parts *p, struct err *e)
{
    struct span in;
    struct ext x;
    enum rc rc = der_only(value, DER_SEQUENCE, &in, e);

    while (!rc && in.n) {
        rc = ext_next(&in, &x, e);
        if (rc || !span_eq(x.oid, OID_SAN))
            continue;
        if (p->san.n)
            return der_bad(e, "it asks for subject alternative names twice");
        if (!der_peek(x.value, DER_SEQUENCE))
            return der_bad(e, "its subject alternative names are not readable");
        p->san = x.value;
    }
    return rc;
}

/* Attribute ::= SEQUENCE { type, values SET }; the two that we read have one value each. */
static enum rc read_attribute(struct span *in, struct parts *p, struct err *e)
{
    struct der_value seq, type, values;
    enum rc rc = der_expect(in, DER_SEQUENCE, &seq, e);

    if (!rc)
        rc = der_expect(&seq.content, DER_OID, &type, e);
    if (!rc)
        rc = der_expect(&seq.content, DER_SET, &values, e);
    if (!rc)
        rc = der_end(seq.content, "attribute", e);
    if (rc)
        return rc;
    if (span_eq(type.content, OID_EXTENSION_REQUEST))
        return read_extension_request(values.content, p, e);
    if (!span_eq(type.content, OID_POSSESSION))
        return RC_OK;
    if (p->statement.n)
        return der_bad(e, "it has two statements of possession");
    if (values.content.n == 0)
        return der_bad(e, "its statement of possession is empty");
    p->statement = values.content;
    return RC_OK;
}

static enum rc read_spki(struct span *in, struct span *ret, struct err *e)
{
    struct der_value v;
    enum rc rc = der_expect(in, DER_SEQUENCE, &v, e);

    if (!rc)
        *ret = v.whole;
    return rc;
}

/* CertificationRequestInfo ::= SEQUENCE { version, subject, subjectPKInfo, attributes [0] IMPLICIT SET OF
 * Attribute } */
static enum rc read_info(struct span in, struct csr *c, struct parts *p, struct err *e)
{
    struct der_value v;
    uint64_t version = 0;
    enum rc rc = der_small(&in, &version, e);

    if (!rc && version != 0)
        rc = der_bad(e, "it is not of version 1 (RFC 2986 4.1)");
    if (!rc)
        rc = der_expect(&in, DER_SEQUENCE, &v, e);
    if (!rc)
        rc = name_check(v.whole, e);
    if (rc)
        return rc;
    c->subject = v.whole;
    rc = read_spki(&in, &c->spki, e);
    if (!rc)
        rc = der_expect(&in, DER_CONTEXT_0, &v, e);
    if (!rc)
        rc = der_end(in, "attributes", e);
    while (!rc && v.content.n)
        rc = read_attribute(&v.content, p, e);
    return rc;
}

static enum rc read_request(struct csr *c, struct parts *p, struct err *e)
{
    struct der_value info, algid;
    struct span in;
    enum rc rc = der_only(bytes_span(&c->der), DER_SEQUENCE, &in, e);

    if (!rc)
        rc = der_expect(&in, DER_SEQUENCE, &info, e);
    if (!rc)
        rc = der_expect(&in, DER_SEQUENCE, &algid, e);
    if (!rc)
        rc = der_bits(&in, &p->signature, e);
    if (!rc)
        rc = der_end(in, "signature", e);
    if (rc)
        return rc;
    p->info = info.whole;
    p->sig_algid = algid.whole;
    return read_info(info.content, c, p, e);
}

static enum rc unproven(struct err *e, const char *text)
{
    return err_set(e, RC_INPUT, "x509.possession", "%s", text);
}

/* signer IssuerAndSerialNumber, cert Certificate: both must mean the same certificate. */
static enum rc read_statement(const struct csr *c, struct parts *p, struct err *e)
{
    struct span in, serial;
    struct der_value name, cert;
    bool negative = false;
    struct err why;

    if (der_only(p->statement, DER_SEQUENCE, &in, &why) || der_expect(&in, DER_SEQUENCE, &name, &why))
        return unproven(e, "its statement of possession is not readable (RFC 9883 3)");
    if (in.n == 0)
        return unproven(
            e,
            "its statement of possession is without the certificate of the key that signed; it must be included");
    if (der_next(&in, &cert, &why) || der_end(in, "statement", &why) ||
        cert_parse("of the statement of possession", cert.whole, &p->signer, &why))
        return unproven(e, why.text);
    in = name.content;
    if (der_expect(&in, DER_SEQUENCE, &name, &why) || der_integer(&in, &serial, &negative, &why) ||
        der_end(in, "serial number", &why))
        return unproven(e, why.text);
    if (negative || !span_eq(name.whole, p->signer->issuer) || !span_eq(serial, p->signer->serial))
        return unproven(e, "its statement of possession names another certificate than the one it includes");
    if (!span_eq(c->subject, p->signer->subject))
        return unproven(
            e, "its subject is not that of the certificate in its statement of possession (RFC 9883)");
    if (p->signer->has_ku && !(p->signer->key_usage & KU_DIGITAL_SIGNATURE))
        return unproven(e, "the certificate in its statement of possession is not for signatures");
    return RC_OK;
}

/* The signature is the request's own key's, or the statement's certificate's. */
static enum rc verify_request(struct csr *c, const struct parts *p, struct err *e)
{
    const struct alg *a = NULL, *scheme = NULL;
    struct err why;

    if (spki_check(c->spki, &c->key_alg, e))
        return RC_INPUT;
    a = p->signer ? p->signer->key_alg : c->key_alg;
    scheme = a ? alg_for_signature(a, p->sig_algid) : NULL;
    if (!scheme)
        return unproven(e, "its signature algorithm is not that of the key which must have signed it");
    if (signature_verify_message(scheme, p->signer ? p->signer->spki : c->spki, p->info, p->signature, &why))
        return unproven(
            e,
            p->signer
                ? "its signature does not verify with the key of its statement of possession"
                : "its signature does not verify with its own key: the sender did not prove that it holds it");
    return RC_OK;
}

static enum rc parse(struct csr *c, struct parts *p, struct err *e)
{
    enum rc rc = read_request(c, p, e);

    if (!rc && p->statement.n)
        rc = read_statement(c, p, e);
    if (!rc)
        rc = verify_request(c, p, e);
    if (rc)
        return rc;
    c->possession = p->signer ? POSSESSION_STATEMENT : POSSESSION_SIGNATURE;
    if (p->signer)
        bytes_add_span(&c->statement_cert, bytes_span(&p->signer->der));
    bytes_add_span(&c->san, p->san);
    c->cn = name_cn(c->subject);
    return RC_OK;
}

enum rc csr_parse(const char *name, struct span text, struct csr **ret, struct err *e)
{
    struct csr *c = mem_new(sizeof *c);
    struct parts p = {.signer = NULL};
    struct err why;
    enum rc rc = armour_open(text, "CERTIFICATE REQUEST", true, &c->der, &why);

    if (!rc)
        rc = parse(c, &p, &why);
    if (rc) {
        bool possession = span_eq(span_str(why.key), SPAN("x509.possession"));

        rc = err_set(e, RC_INPUT, possession ? "x509.possession" : "x509.csr", "cannot use request '%s': %s",
                     name, why.text);
        goto out;
    }
    *ret = c;
    c = NULL;
out:
    cert_free(p.signer);
    csr_free(c);
    return rc;
}

void csr_free(struct csr *c)
{
    if (!c)
        return;
    bytes_free(&c->der);
    bytes_free(&c->statement_cert);
    bytes_free(&c->san);
    free(c->cn);
    free(c);
}
