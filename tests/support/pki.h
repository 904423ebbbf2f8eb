/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPPORT_PKI_H
#define SUPPORT_PKI_H

#include <stdint.h>

#include "base/bytes.h"
#include "sign/cms.h"
#include "sign/signer.h"
#include "x509/cert.h"

/*
 * A small PKI with software keys for tests: root, online CA, local CA, made with the real profiles of
 * schemas/profiles (tests run in the source directory). Nothing is linted: tests make what must be refused as
 * well. What fails ends the program with the reason.
 */
struct pki_ca {
    struct signer *key;
    struct cert *cert;
    struct bytes crl; /* DER, without entries */
};
struct pki {
    int64_t begin, end; /* what everything in it is valid for, as far as its profile allows */
    struct pki_ca root, online, local;
};
void pki_make(struct pki *p, int64_t begin, int64_t end);
void pki_fini(struct pki *p);

/* A certificate under a profile ("office"), for a name (DER) and key; valid as long as the PKI. */
struct cert *pki_issue(const struct pki *p, const struct pki_ca *ca, const char *profile, struct span name,
                       struct span spki);
/* The same, the name being CN alone. */
struct cert *pki_issue_cn(const struct pki *p, const struct pki_ca *ca, const char *profile, const char *cn,
                          struct span spki);
/* A new CRL of ca with this certificate on it (NULL: none), in the place of the old one. */
void pki_revoke(const struct pki *p, struct pki_ca *ca, const struct cert *revoked);
/* leaf (NULL: none), ca, root, and the CRLs of both. */
void pki_chain(const struct pki *p, const struct pki_ca *ca, const struct cert *leaf, struct cms_chain *ret);
/* A chain as PEM, appended. */
void pki_chain_pem(const struct cms_chain *chain, struct bytes *ret);

/* A key with its certificate and chain: an office, a manifest key. */
struct pki_signer {
    struct signer *key;
    struct cert *cert;
    struct cms_chain chain;
};
void pki_signer_make(struct pki_signer *s, const struct pki *p, const struct pki_ca *ca, const char *profile,
                     const char *cn);
void pki_signer_fini(struct pki_signer *s);

/* Ends the program when something failed. */
void pki_must(enum rc rc, const struct err *e);

#endif
