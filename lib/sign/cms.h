/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIGN_CMS_H
#define SIGN_CMS_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "sign/signer.h"

struct secret;

enum { CMS_CERTS_MAX = 8, CMS_CRLS_MAX = 8 };

/* A chain as it travels in a CMS file: DER certificates (the signer's first when produced by us) and DER
 * CRLs. Owned copies. */
struct cms_chain {
    struct bytes certs[CMS_CERTS_MAX];
    size_t ncerts;
    struct bytes crls[CMS_CRLS_MAX];
    size_t ncrls;
};
void cms_chain_free(struct cms_chain *c);

/*
 * SignedData (RFC 5652 5), content embedded, one signer, signed attributes with signingTime at, certificates
 * and CRLs of chain inside. chain->certs[0] is the signer's certificate. The content's digest is that of the
 * signer's row, SHA-512 for Ed25519 (RFC 8419); RSA signs by PKCS #1 v1.5 (RFC 3370) or PSS (RFC 4056), as
 * the signer's row says. Opens with "openssl cms -verify -purpose any", Ed25519 only with other programs or a
 * later OpenSSL. ret is appended to. RC_INPUT sign.cms when certificate and key differ.
 */
NODISCARD enum rc cms_sign(struct signer *s, const struct cms_chain *chain, struct span content, int64_t at,
                           struct bytes *ret, struct err *e);

/* What a SignedData holds, after its one signature was verified with the signer's certificate inside it.
 * Nothing is said about trust: verify_role does (x509/verify.h). */
struct cms_signed {
    struct bytes content;
    struct cms_chain chain; /* certs[0]: the signer's */
    int64_t signing_time;   /* 0 when absent */
};
/* RC_INPUT sign.cms: not DER, trailing octets, not SignedData, no or more than one signer, no content, no
 * signed attributes, a key that is no row of alg.h, another digest than its row's or another scheme than one
 * of its rows', bad signature, too many certificates. *ret is overwritten; its chain holds the other
 * certificates in no order. */
NODISCARD enum rc cms_verify(const char *name, struct span der, struct cms_signed *ret, struct err *e);
void cms_signed_free(struct cms_signed *c);

/* The same with the content beside the file instead of in it (RFC 5652 5.2). "openssl cms -verify -content
 * FILE" opens it. On verifying, a file that holds content of its own is refused, and ret->content is a copy
 * of content. */
NODISCARD enum rc cms_sign_detached(struct signer *s, const struct cms_chain *chain, struct span content,
                                    int64_t at, struct bytes *ret, struct err *e);
NODISCARD enum rc cms_verify_detached(const char *name, struct span der, struct span content,
                                      struct cms_signed *ret, struct err *e);

/*
 * AuthEnvelopedData (RFC 5083, RFC 5084 AES-256-GCM) for one recipient, whose certificate's DER recipient is:
 *   EC   ephemeral-static ECDH (RFC 5753) with the X9.63 KDF over SHA-256 and AES-256 key wrap
 *   RSA  key transport by RSAES-OAEP (RFC 3560) with SHA-256 in both places and no label
 * Opens with "openssl cms -decrypt". ret is appended to. RC_INPUT sign.cms-seal, sign.key-type (Ed25519 keys
 * receive nothing), sign.key-point.
 */
NODISCARD enum rc cms_seal(struct span recipient, const struct secret *content, struct bytes *ret,
                           struct err *e);
/* The same with another digest in RSAES-OAEP: SHA-1 where the recipient's token has no other (it is sound
 * there). For EC recipients digest means nothing. */
NODISCARD enum rc cms_seal_oaep(struct span recipient, enum oaep_digest digest, const struct secret *content,
                                struct bytes *ret, struct err *e);
/* Opens with a derive key (EC) or decrypt key (RSA) and its certificate. RC_INPUT sign.cms-open,
 * sign.decrypt, sign.kdf-digest. Anything but AES-256-GCM with a tag of 16 octets, a KDF of at least SHA-256,
 * or RSAES-OAEP with one digest of SHA-1 and SHA-256 in both places, is refused, PKCS #1 v1.5 key transport
 * included, and so is what stands behind the structure. A failing token keeps its own code and key. */
NODISCARD enum rc cms_open(struct signer *s, struct span recipient, struct span der, struct secret **ret,
                           struct err *e);

#endif
