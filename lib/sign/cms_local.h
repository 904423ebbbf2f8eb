/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIGN_CMS_LOCAL_H
#define SIGN_CMS_LOCAL_H

#include <openssl/cms.h>
#include <openssl/x509.h>

#include "sign/crypto.h"

/* Private to lib/sign: what cms.c and cms_seal.c share. */
enum { CMS_OCTETS_MAX = 64 << 20 /* a CMS file */, CMS_ATTRIBUTES_MAX = 64 };

/* A certificate in our context. RC_INPUT key, with what ("signer", "recipient") as its name. */
NODISCARD enum rc cms_cert_new(struct span der, const char *key, const char *what, X509 **ret, struct err *e);
/* Its SubjectPublicKeyInfo, exactly as it stands in the certificate, appended. */
void cms_cert_spki(const X509 *cert, struct bytes *ret);
/* A ContentInfo of this type (a NID), in DER and with nothing behind it. RC_INPUT key. */
NODISCARD enum rc cms_parse(const char *name, const char *key, struct span der, int type,
                            CMS_ContentInfo **ret, struct err *e);
/* The SET OF Attribute of a signer, sorted, as it is signed (RFC 5652 5.4), appended. RC_INPUT key when there
 * is too much of it. */
NODISCARD enum rc cms_attributes(const char *name, const char *key, CMS_SignerInfo *si, struct bytes *ret,
                                 struct err *e);
/* Appends the DER. */
NODISCARD enum rc cms_encode(CMS_ContentInfo *cms, const char *key, struct bytes *ret, struct err *e);

#endif
