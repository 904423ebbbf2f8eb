/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/text.h"
#include "factory/office/internal.h"
#include "x509/cert.h"

static bool holds(const struct bytes *list, size_t n, struct span der)
{
    for (size_t i = 0; i < n; i++)
        if (span_eq(bytes_span(&list[i]), der))
            return true;
    return false;
}

static enum rc add(struct bytes *list, size_t *n, size_t max, struct span der, const char *what,
                   struct err *e)
{
    if (holds(list, *n, der))
        return RC_OK;
    if (*n == max)
        return err_set(e, RC_INPUT, "office.chain", "too many %s: a chain has at most %zu", what, max);
    bytes_add_span(&list[(*n)++], der);
    return RC_OK;
}

enum rc chain_add_cert(struct cms_chain *c, struct span der, struct err *e)
{
    return add(c->certs, &c->ncerts, CMS_CERTS_MAX, der, "certificates", e);
}

enum rc chain_add_crl(struct cms_chain *c, struct span der, struct err *e)
{
    return add(c->crls, &c->ncrls, CMS_CRLS_MAX, der, "CRLs", e);
}

enum rc chain_add_all(struct cms_chain *c, const struct cms_chain *from, struct span without, struct err *e)
{
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < from->ncerts; i++)
        if (!span_eq(bytes_span(&from->certs[i]), without))
            rc = chain_add_cert(c, bytes_span(&from->certs[i]), e);
    for (size_t i = 0; rc == RC_OK && i < from->ncrls; i++)
        rc = chain_add_crl(c, bytes_span(&from->crls[i]), e);
    return rc;
}

void chain_pem(const struct cms_chain *c, struct bytes *ret)
{
    for (size_t i = 0; i < c->ncerts; i++)
        pem_encode("CERTIFICATE", bytes_span(&c->certs[i]), ret);
    for (size_t i = 0; i < c->ncrls; i++)
        pem_encode("X509 CRL", bytes_span(&c->crls[i]), ret);
}

bool cert_self_signed(const struct cert *c)
{
    struct err no = ERR_INIT;
    return cert_verify_signature(c, c, &no) == RC_OK;
}

enum rc office_root(const char *path, uint8_t ret[static SHA256_LEN], struct err *e)
{
    struct cert *c = NULL;
    enum rc rc = cert_read(path, &c, e);
    if (rc == RC_OK && !cert_self_signed(c))
        rc = err_set(e, RC_INPUT, "office.root",
                     "'%s' is not self-signed, so it is no root: the root's certificate is wanted", path);
    if (rc == RC_OK)
        memcpy(ret, c->sha256, SHA256_LEN);
    cert_free(c);
    return rc;
}

/* The certificate among chain's that signed c. */
static enum rc find_issuer(const struct cert *c, const struct cms_chain *chain, struct cert **ret,
                           struct err *e)
{
    for (size_t i = 0; i < chain->ncerts; i++) {
        struct cert *up = NULL;
        struct err no = ERR_INIT;
        if (cert_parse("chain", bytes_span(&chain->certs[i]), &up, &no) == RC_OK &&
            cert_verify_signature(c, up, &no) == RC_OK) {
            *ret = up;
            return RC_OK;
        }
        cert_free(up);
    }
    return err_set(e, RC_INPUT, "office.chain", "the issuer of '%s' is not in the chain",
                   c->cn ? c->cn : "?");
}

enum rc chain_path_pem(const struct cert *leaf, const struct cms_chain *chain,
                       const uint8_t root[static SHA256_LEN], struct bytes *ret, struct err *e)
{
    struct cert *owned = NULL;
    const struct cert *at = leaf;
    enum rc rc = RC_OK;
    for (int depth = 0; rc == RC_OK && memcmp(at->sha256, root, SHA256_LEN) != 0; depth++) {
        struct cert *up = NULL;
        if (depth > CMS_CERTS_MAX) {
            rc = err_set(e, RC_INPUT, "office.chain", "the chain of '%s' has no end",
                         leaf->cn ? leaf->cn : "?");
            break;
        }
        pem_encode("CERTIFICATE", bytes_span(&at->der), ret);
        rc = find_issuer(at, chain, &up, e);
        cert_free(owned);
        owned = up;
        at = rc == RC_OK ? up : leaf;
    }
    cert_free(owned);
    return rc;
}
