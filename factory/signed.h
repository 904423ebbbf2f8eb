/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FACTORY_SIGNED_H
#define FACTORY_SIGNED_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "sign/cms.h"
#include "x509/verify.h"

struct cert;
struct signer;

/*
 * Documents that pass between zones: JSON, signed as exact bytes in a CMS SignedData that carries its
 * signer's chain and CRLs. Nothing is read from a document before its signature, its signer's path, role and
 * issuer were checked; the time it is judged at is the one it names ("issued").
 */
struct signed_doc {
    struct bytes content;       /* the JSON */
    uint8_t sha256[SHA256_LEN]; /* of the content: how other documents refer to it (docs/decisions/0003) */
    struct cms_chain chain;
    uint8_t signer[SHA256_LEN]; /* the signer's certificate */
};

/* Signs content (JSON whose "issued" is at) with s, whose certificate is chain->certs[0]. ret: DER, appended.
 */
NODISCARD enum rc signed_make(struct signer *s, const struct cms_chain *chain, struct span content,
                              int64_t at, struct bytes *ret, struct err *e);
/* Opens DER bytes called name in messages. RC_INPUT sign.cms, doc.*; RC_DENIED verify.*. */
NODISCARD enum rc signed_open(const char *name, struct span der, const struct trust *trust, enum role role,
                              struct signed_doc *ret, struct err *e);
/* The same with the content beside it (detached): batch.json and batch.p7s. */
NODISCARD enum rc signed_make_detached(struct signer *s, const struct cms_chain *chain, struct span content,
                                       int64_t at, struct bytes *ret, struct err *e);
NODISCARD enum rc signed_open_detached(const char *name, struct span der, struct span content,
                                       const struct trust *trust, enum role role, struct signed_doc *ret,
                                       struct err *e);
/* The content of an attached document whose signature is right, whoever signed it: for "order show" of a
 * stranger's file. Trust is not judged. */
NODISCARD enum rc signed_peek(const char *name, struct span der, struct signed_doc *ret, struct err *e);
void signed_free(struct signed_doc *d);

#endif
