/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/text.h"
#include "sign/cms.h"
#include "x509/cert.h"
#include "x509/crl.h"
#include "x509/internal.h"
#include "x509/name.h"

static enum rc add_cert(const char *path, struct span der, struct cms_chain *ret, struct err *e)
{
    struct cert *c = NULL;
    enum rc rc;

    if (ret->ncerts == CMS_CERTS_MAX)
        return err_set(e, RC_INPUT, "x509.chain", "cannot use '%s': it holds more than %d certificates", path,
                       CMS_CERTS_MAX);
    rc = cert_parse(path, der, &c, e);
    if (!rc)
        bytes_add_span(&ret->certs[ret->ncerts++], der);
    cert_free(c);
    return rc;
}

static enum rc add_crl(const char *path, struct span der, struct cms_chain *ret, struct err *e)
{
    struct crl *c = NULL;
    enum rc rc;

    if (ret->ncrls == CMS_CRLS_MAX)
        return err_set(e, RC_INPUT, "x509.chain", "cannot use '%s': it holds more than %d CRLs", path,
                       CMS_CRLS_MAX);
    rc = crl_parse(path, der, &c, e);
    if (!rc)
        bytes_add_span(&ret->crls[ret->ncrls++], der);
    crl_free(c);
    return rc;
}

static enum rc add_block(const char *path, struct span label, struct span der, struct cms_chain *ret,
                         struct err *e)
{
    if (span_eq(label, SPAN("CERTIFICATE")))
        return add_cert(path, der, ret, e);
    if (span_eq(label, SPAN("X509 CRL")))
        return add_crl(path, der, ret, e);
    return err_set(e, RC_INPUT, "x509.chain",
                   "cannot use '%s': it holds a PEM block '%.*s', certificates and CRLs alone are allowed",
                   path, (int)label.n, (const char *)label.p);
}

/* Drops what was added behind the first certs and crls. */
static void truncate_chain(struct cms_chain *c, size_t certs, size_t crls)
{
    while (c->ncerts > certs)
        bytes_free(&c->certs[--c->ncerts]);
    while (c->ncrls > crls)
        bytes_free(&c->crls[--c->ncrls]);
}

enum rc chain_read(const char *path, struct cms_chain *ret, struct err *e)
{
    struct bytes text = BYTES_INIT, der = BYTES_INIT;
    struct span label;
    size_t pos = 0, certs = ret->ncerts, crls = ret->ncrls;
    bool found = true;
    enum rc rc = file_read(path, FILE_DOC_MAX, &text, e);

    while (!rc && found) {
        bytes_reset(&der);
        rc = pem_next(bytes_span(&text), NULL, &pos, &der, &label, &found, e);
        if (rc)
            (void)err_prefix(e, "cannot use '%s'", path);
        else if (found)
            rc = add_block(path, label, bytes_span(&der), ret, e);
    }
    if (!rc && ret->ncerts == certs && ret->ncrls == crls)
        rc = err_set(e, RC_INPUT, "x509.chain", "cannot use '%s': it holds no certificate and no CRL in PEM",
                     path);
    if (rc)
        truncate_chain(ret, certs, crls);
    bytes_free(&text);
    bytes_free(&der);
    return rc;
}

/* The newest CRL of chain by the issuer (name and key) of held; *ret_found false: there is none. */
static enum rc newest_of(const char *name, const struct cms_chain *chain, const struct crl *held,
                         uint64_t *ret_number, bool *ret_found, struct err *e)
{
    enum rc rc = RC_OK;

    *ret_found = false;
    for (size_t i = 0; i < chain->ncrls && !rc; i++) {
        struct crl *c = NULL;

        rc = crl_parse(name, bytes_span(&chain->crls[i]), &c, e);
        if (!rc && span_eq(c->issuer, held->issuer) && span_eq(c->aki, held->aki) &&
            (!*ret_found || c->number > *ret_number)) {
            *ret_found = true;
            *ret_number = c->number;
        }
        crl_free(c);
    }
    return rc;
}

static enum rc refresh_one(const char *name, struct cms_chain *chain, const struct crl *held, struct err *e)
{
    uint64_t number = 0;
    bool found = false;
    enum rc rc = newest_of(name, chain, held, &number, &found, e);

    if (!rc && !found)
        rc = add_crl(name, bytes_span(&held->der), chain, e);
    if (!rc && found && number < held->number) {
        char *issuer = name_text(held->issuer);

        rc = err_set(e, RC_CONFLICT, "x509.crl-older",
                     "'%s' has CRL number %" PRIu64 " of '%s', but number %" PRIu64
                     " is here already; get the newest CRL of that CA",
                     name, number, issuer, held->number);
        free(issuer);
    }
    return rc;
}

enum rc chain_refresh(const char *name, struct cms_chain *chain, const struct cms_chain *held, struct err *e)
{
    enum rc rc = RC_OK;

    for (size_t i = 0; i < held->ncrls && !rc; i++) {
        struct crl *c = NULL;

        rc = crl_parse("held", bytes_span(&held->crls[i]), &c, e);
        if (!rc)
            rc = refresh_one(name, chain, c, e);
        crl_free(c);
    }
    return rc;
}
