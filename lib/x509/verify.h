/* SPDX-License-Identifier: Apache-2.0 */
#ifndef X509_VERIFY_H
#define X509_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "sign/digest.h"

struct cert;
struct cms_chain;

/*
 * Roles (design section 7): an extended key usage under keymill's arc, in leaves only. A certificate under
 * the root is not yet a permission.
 */
enum role { ROLE_OFFICE, ROLE_RELEASE, ROLE_STATION_MANIFEST, ROLE_STATION_SEAL, ROLE_CEREMONY_OFFICER };
const char *role_oid(enum role r);  /* "2.25.<uuid>.1" ... */
const char *role_name(enum role r); /* "office", "release", "station-manifest", ... */
int role_of_oid(const char *oid);   /* -1 when it is none of ours */

/* Who is believed: the root, and for documents the CA that may make such signers, each as the SHA-256 of its
 * certificate. Initialise with {0}. */
struct trust {
    uint8_t root[SHA256_LEN];
    bool has_issuer; /* false: any CA under the root whose certificate allows the role */
    uint8_t issuer[SHA256_LEN];
    /* CRLs that the verifier holds itself; NULL: none. A signer chooses the CRLs in its file and the time it
     * names, so a certificate that is listed on any of these is refused whatever the file says. Not owned. */
    const struct cms_chain *known;
};

/*
 * Judges chain->certs[0] as a signer in this role at this time: exactly one path leaf, issuer(s), root among
 * chain->certs, each signature, name and key identifier right; every certificate valid at `at`; CAs:
 * basicConstraints, path length, keyCertSign; a CA whose EKU extension lacks the role refuses it; the leaf is
 * no CA, has digitalSignature (ROLE_STATION_SEAL: keyAgreement, of an RSA key
 * keyEncipherment) and the role; issuer and root are as named;
 * no unknown critical extension. Every link's CRL must be among chain->crls, verify, cover `at` (thisUpdate
 * to nextUpdate; for ROLE_STATION_MANIFEST, whose signer is offline, begun by `at` is enough), and not list
 * the certificate; nor may one of trust->known. RC_DENIED verify.root, verify.issuer, verify.role,
 * verify.role-ca, verify.revoked, verify.no-crl, verify.expired; RC_INPUT verify.chain.
 */
NODISCARD enum rc verify_role(const char *what, const struct cms_chain *chain, const struct trust *trust,
                              enum role role, int64_t at, struct err *e);

/*
 * A certificate that no CMS file carries (an imported CA, a role certificate, a device): path from leaf
 * through chain to the root, same checks, no role; CRLs are applied where present and not required.
 */
NODISCARD enum rc verify_path(const struct cert *leaf, const struct cms_chain *chain,
                              const uint8_t root_sha256[static SHA256_LEN], int64_t at, struct err *e);

#endif
