/* SPDX-License-Identifier: Apache-2.0 */
#include "x509/csr.h"

#include "sign/alg.h"
#include "sign/signer.h"
#include "x509/cert.h"
#include "x509/internal.h"
#include "x509/tbs.h"

/* Wraps the attributes that w holds into a CertificationRequestInfo (RFC 2986 4.1), signs it and puts the
 * request onto ret. */
static enum rc finish(struct der_writer *w, struct span name, struct span spki, struct signer *s,
                      struct bytes *ret, struct err *e)
{
    struct bytes signature = BYTES_INIT;
    enum rc rc;

    der_wrap(w, DER_CONTEXT_0, 0);
    der_put(w, spki);
    der_put(w, name);
    der_put_small(w, 0);
    der_wrap(w, DER_SEQUENCE, 0);
    rc = signer_sign_message(s, der_span(w), &signature, e);
    if (!rc)
        signed_assemble(s->alg, der_span(w), bytes_span(&signature), ret);
    bytes_free(&signature);
    return rc;
}

enum rc csr_make(struct signer *s, struct span name, struct bytes *ret, struct err *e)
{
    struct der_writer w;
    enum rc rc;

    der_init(&w);
    rc = finish(&w, name, bytes_span(&s->spki), s, ret, e);
    der_fini(&w);
    return rc;
}

/* PrivateKeyPossessionStatement ::= SEQUENCE { signer IssuerAndSerialNumber, cert Certificate OPTIONAL } (RFC
 * 9883 3) */
static void put_statement(struct der_writer *w, const struct cert *c)
{
    size_t mark;

    der_put(w, bytes_span(&c->der));
    mark = der_mark(w);
    der_put_uint(w, c->serial);
    der_put(w, c->issuer);
    der_wrap(w, DER_SEQUENCE, mark);
    der_wrap(w, DER_SEQUENCE, 0);
    der_wrap(w, DER_SET, 0);
    der_put_value(w, DER_OID, OID_POSSESSION);
    der_wrap(w, DER_SEQUENCE, 0);
}

enum rc csr_make_statement(struct span spki, struct signer *statement_key, struct span statement_cert,
                           struct bytes *ret, struct err *e)
{
    struct cert *c = NULL;
    struct der_writer w;
    enum rc rc = cert_parse("of the statement", statement_cert, &c, e);

    if (rc)
        return rc;
    der_init(&w);
    if (!span_eq(c->spki, bytes_span(&statement_key->spki))) {
        rc = err_set(e, RC_INPUT, "x509.possession",
                     "cannot make a statement of possession: the certificate '%s' is not that of key '%s'",
                     c->cn ? c->cn : "", statement_key->name);
        goto out;
    }
    put_statement(&w, c);
    rc = finish(&w, c->subject, spki, statement_key, ret, e);
out:
    der_fini(&w);
    cert_free(c);
    return rc;
}
