/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPPORT_SOFTPKI_H
#define SUPPORT_SOFTPKI_H

#include <stddef.h>
#include <stdint.h>

#include "sign/cms.h"
#include "sign/signer.h"
#include "x509/cert.h"
#include "x509/verify.h"

/* A small PKI of software keys for tests. What fails ends the test program with the reason. */
struct pki_ca {
    struct signer *key;
    struct cert *cert;
    struct bytes crl; /* DER, without entries */
};
struct pki_leaf {
    struct signer *key;
    struct cert *cert;
};

/* Everything is valid from PKI_BEGIN to PKI_END, CRLs too. */
#define PKI_BEGIN INT64_C(1767225600) /* 2026-01-01 */
#define PKI_END   INT64_C(2082758400) /* 2036-01-01 */

/* parent NULL: a root. */
void pki_ca_make(struct pki_ca *ca, const char *name, const struct pki_ca *parent);
void pki_ca_fini(struct pki_ca *ca);
/* A leaf with this commonName; eku: a dotted OID. */
void pki_leaf_make(struct pki_leaf *leaf, const char *name, const char *eku, const struct pki_ca *issuer);
/* The same for a key that is there already. */
struct cert *pki_cert_for(const struct signer *key, const char *name, const char *eku,
                          const struct pki_ca *issuer);
void pki_leaf_fini(struct pki_leaf *leaf);
/* leaf, issuer, root and the CRLs of both. */
void pki_chain(const struct pki_leaf *leaf, const struct pki_ca *issuer, const struct pki_ca *root,
               struct cms_chain *ret);
/* The SHA-256 of what is signed in a CMS file. */
NODISCARD enum rc content_sha256(const char *path, uint8_t ret[static 32], struct err *e);
struct trust pki_trust(const struct pki_ca *root, const struct pki_ca *issuer);

#endif
