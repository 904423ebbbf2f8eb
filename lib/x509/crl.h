/* SPDX-License-Identifier: Apache-2.0 */
#ifndef X509_CRL_H
#define X509_CRL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

struct cert;
struct signer;

/* CRLReason (RFC 5280 5.3.1) by its name there: "keyCompromise", "superseded"...; -1 when there is none. NULL
 * for an unknown number. */
int crl_reason(const char *name);
const char *crl_reason_name(int reason);

struct crl_entry {
    struct span serial; /* magnitude */
    int64_t revoked_at;
    int reason; /* 0 (unspecified) is left out of the entry, RFC 5280 5.3.1 */
};
/*
 * A v2 CRL written as DER directly: AKI and CRL number; no revokedCertificates at all when n is 0. next is
 * called for each entry (returns false at the end). Signed by s, whose certificate issuer is. ret: DER,
 * appended. RC_INPUT x509.crl-issuer: not the certificate of s, or not a CA's with cRLSign and SKI; x509.crl:
 * times, a serial or a reason.
 */
NODISCARD enum rc crl_make(struct signer *s, const struct cert *issuer, uint64_t number, int64_t this_update,
                           int64_t next_update, bool (*next)(void *arg, struct crl_entry *ret), void *arg,
                           struct bytes *ret, struct err *e);

struct crl {
    struct bytes der;
    struct span tbs, issuer, sig_algid, signature, aki;
    struct span revoked; /* contents of revokedCertificates, may be empty */
    uint64_t number;
    int64_t this_update, next_update;
};
/* RC_INPUT x509.crl: not v2, no number, no nextUpdate, an unknown critical extension, an empty list. PEM or
 * DER. */
NODISCARD enum rc crl_parse(const char *name, struct span text, struct crl **ret, struct err *e);
void crl_free(struct crl *c);
/* Issuer name, AKI and signature match; issuer may sign CRLs. RC_INPUT x509.crl-signature. */
NODISCARD enum rc crl_verify(const struct crl *c, const struct cert *issuer, struct err *e);
/* Is this serial on the list? */
bool crl_lists(const struct crl *c, struct span serial, struct crl_entry *ret);

#endif
