/* SPDX-License-Identifier: Apache-2.0 */
#ifndef X509_CSR_H
#define X509_CSR_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/err.h"
#include "x509/profile.h"

struct signer;

/* A PKCS#10 request (RFC 2986) signed with its own key. name: the subject, DER. ret: DER, appended. */
NODISCARD enum rc csr_make(struct signer *s, struct span name, struct bytes *ret, struct err *e);
/*
 * A request for a key that can only agree: signed with the requester's signature key, with the attribute
 * privateKeyPossessionStatement (RFC 9883, 1.3.6.1.4.1.22112.2.1) that holds that key's certificate. The
 * subject is that certificate's.
 */
NODISCARD enum rc csr_make_statement(struct span spki, struct signer *statement_key,
                                     struct span statement_cert, struct bytes *ret, struct err *e);

struct csr {
    struct bytes der;
    struct span subject, spki; /* DER, in der */
    const struct alg *key_alg;
    char *cn; /* the one commonName or NULL */
    enum possession possession;
    struct bytes statement_cert; /* POSSESSION_STATEMENT: the certificate whose key signed */
    struct bytes san;            /* GeneralNames of the request's SAN, DER; empty when absent */
};
/*
 * PEM or DER. The signature is verified, with the request's own key or the statement certificate's, and the
 * key is one that spki_check takes. A statement's subject must be the certificate's; whether that
 * certificate is to be believed is the CA's to decide. RC_INPUT x509.csr, x509.possession.
 */
NODISCARD enum rc csr_parse(const char *name, struct span text, struct csr **ret, struct err *e);
void csr_free(struct csr *c);

#endif
