/* SPDX-License-Identifier: Apache-2.0 */
#include "factory/signed.h"

#include "base/file.h"
#include "doc/doc.h"
#include "sign/digest.h"

/* What is signed must stay readable with its chain and CRLs around it. */
enum { CONTENT_MAX = FILE_DOC_MAX - FILE_SMALL_MAX };

/* Member "issued" alone; the caller decodes the document strictly afterwards. */
static enum rc issued_of(const char *name, struct span json, int64_t *ret, struct err *e)
{
    struct doc *d = NULL;
    struct doc_map m;

    enum rc rc = doc_parse_json(name, json, &d, e);
    if (rc != RC_OK)
        return rc;
    doc_open(&m, d, doc_root(d));
    int64_t at = doc_time(&m, "issued");
    rc = m.err.rc;
    if (rc != RC_OK)
        *e = m.err;
    else
        *ret = at;
    doc_free(d);
    return rc;
}

static enum rc check_size(struct span content, struct err *e)
{
    if (content.n <= CONTENT_MAX)
        return RC_OK;
    return err_set(e, RC_INPUT, "doc.too-big",
                   "cannot sign a document of %zu octets: at most %d are allowed; split it", content.n,
                   CONTENT_MAX);
}

enum rc signed_make(struct signer *s, const struct cms_chain *chain, struct span content, int64_t at,
                    struct bytes *ret, struct err *e)
{
    enum rc rc = check_size(content, e);
    return rc != RC_OK ? rc : cms_sign(s, chain, content, at, ret, e);
}

enum rc signed_make_detached(struct signer *s, const struct cms_chain *chain, struct span content, int64_t at,
                             struct bytes *ret, struct err *e)
{
    enum rc rc = check_size(content, e);
    return rc != RC_OK ? rc : cms_sign_detached(s, chain, content, at, ret, e);
}

/* Takes what is in c over; c is empty afterwards. */
static void take(struct cms_signed *c, struct signed_doc *ret)
{
    *ret = (struct signed_doc){.content = c->content, .chain = c->chain};
    sha256(bytes_span(&ret->content), ret->sha256);
    sha256(bytes_span(&ret->chain.certs[0]), ret->signer);
    *c = (struct cms_signed){0};
}

/* The signature is right; is the signer one to be believed at the time that the document names? */
static enum rc judge(const char *name, const struct cms_signed *c, const struct trust *trust, enum role role,
                     struct err *e)
{
    int64_t issued;
    enum rc rc = issued_of(name, bytes_span(&c->content), &issued, e);
    return rc != RC_OK ? rc : verify_role(name, &c->chain, trust, role, issued, e);
}

enum rc signed_open(const char *name, struct span der, const struct trust *trust, enum role role,
                    struct signed_doc *ret, struct err *e)
{
    struct cms_signed c = {0};
    enum rc rc = cms_verify(name, der, &c, e);
    if (rc == RC_OK)
        rc = judge(name, &c, trust, role, e);
    if (rc == RC_OK)
        take(&c, ret);
    cms_signed_free(&c);
    return rc;
}

enum rc signed_open_detached(const char *name, struct span der, struct span content,
                             const struct trust *trust, enum role role, struct signed_doc *ret, struct err *e)
{
    struct cms_signed c = {0};
    enum rc rc = cms_verify_detached(name, der, content, &c, e);
    if (rc == RC_OK)
        rc = judge(name, &c, trust, role, e);
    if (rc == RC_OK)
        take(&c, ret);
    cms_signed_free(&c);
    return rc;
}

enum rc signed_peek(const char *name, struct span der, struct signed_doc *ret, struct err *e)
{
    struct cms_signed c = {0};
    enum rc rc = cms_verify(name, der, &c, e);
    if (rc == RC_OK)
        take(&c, ret);
    cms_signed_free(&c);
    return rc;
}

void signed_free(struct signed_doc *d)
{
    bytes_free(&d->content);
    cms_chain_free(&d->chain);
    *d = (struct signed_doc){0};
}
