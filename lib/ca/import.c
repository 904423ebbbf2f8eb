/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "ca/internal.h"
#include "x509/cert.h"
#include "x509/crl.h"
#include "x509/lint.h"
#include "x509/verify.h"

/* The certificate and its issuers as they are collected: path[0] is the CA's own, the last is the root. */
struct path {
    struct cert *cert[CMS_CERTS_MAX];
    size_t n;
};

static void path_free(struct path *p)
{
    for (size_t i = 0; i < p->n; i++)
        cert_free(p->cert[i]);
}

static bool self_signed(const struct cert *c)
{
    return span_eq(c->issuer, c->subject);
}

/* The certificate in file whose name and key made c; NULL when there is none. */
static struct cert *issuer_of(const struct cert *c, const struct cms_chain *file)
{
    for (size_t i = 0; i < file->ncerts; i++) {
        struct cert *candidate = NULL;
        struct err ignored = ERR_INIT;
        if (cert_parse("chain", bytes_span(&file->certs[i]), &candidate, &ignored) == RC_OK &&
            span_eq(c->issuer, candidate->subject) && cert_verify_signature(c, candidate, &ignored) == RC_OK)
            return candidate;
        cert_free(candidate);
    }
    return NULL;
}

/* From path[0] up to the root, in order; certificates of the file that are not on the way are left out. */
static enum rc path_build(const char *chain_path, const struct cms_chain *file, struct path *p, struct err *e)
{
    while (!self_signed(p->cert[p->n - 1])) {
        struct cert *issuer = p->n < CMS_CERTS_MAX ? issuer_of(p->cert[p->n - 1], file) : NULL;
        if (issuer == NULL)
            return err_set(e, RC_INPUT, "ca.chain",
                           "'%s' does not hold the issuer of '%s'; give all certificates up to the root",
                           chain_path,
                           p->cert[p->n - 1]->cn == NULL ? "the certificate" : p->cert[p->n - 1]->cn);
        p->cert[p->n++] = issuer;
    }
    return RC_OK;
}

/* A CRL in the file is from a CA on the path: it will travel with everything this CA signs. */
static enum rc crl_check(const char *chain_path, const struct bytes *der, const struct path *p, struct err *e)
{
    struct crl *crl = NULL;
    enum rc rc = crl_parse(chain_path, bytes_span(der), &crl, e);
    if (rc != RC_OK)
        return rc;
    struct err last = ERR_INIT;
    err_set(&last, RC_INPUT, "ca.chain", "'%s' holds a CRL of none of the CAs above this one", chain_path);
    rc = last.rc;
    for (size_t i = 1; rc != RC_OK && i < p->n; i++)
        if (span_eq(crl->issuer, p->cert[i]->subject))
            rc = crl_verify(crl, p->cert[i], &last);
    if (rc != RC_OK)
        *e = last;
    crl_free(crl);
    return rc;
}

/* Exactly what the profile says, by the same rules that the issuer had to keep: lint judges the certificate's
 * own TBS. */
static enum rc profile_check(const struct ca *ca, const struct path *p, struct err *e)
{
    struct profile *profile = NULL;
    enum rc rc = profile_load(ca->config->profile, &profile, e);
    if (rc != RC_OK)
        return rc;
    struct lint_subject lint = {
        .tbs = p->cert[0]->tbs, .issuer = p->cert[1], .profile = profile, .foreign = true};
    rc = lint_tbs(&lint, e);
    profile_free(profile);
    return rc;
}

static enum rc requested_check(const struct ca *ca, const char *cert_path, const struct cert *c,
                               struct err *e)
{
    if (ca->self.request.n == 0)
        return err_set(e, RC_CONFLICT, "ca.no-request", "'%s' has made no request; make one with 'request'",
                       ca->home);
    if (!span_eq(c->spki, bytes_span(&ca->self.spki)))
        return err_set(e, RC_INPUT, "ca.certificate",
                       "certificate '%s' is for another key than the one '%s' requested it for", cert_path,
                       ca->home);
    if (!span_eq(c->subject, bytes_span(&ca->config->subject)))
        return err_set(e, RC_INPUT, "ca.certificate",
                       "certificate '%s' is for another subject than the one '%s' requested", cert_path,
                       ca->home);
    if (self_signed(c))
        return err_set(e, RC_INPUT, "ca.certificate",
                       "certificate '%s' is signed by itself; the root's signature is required", cert_path);
    if (ca->self.certificate.n > 0 && !span_eq(bytes_span(&c->der), bytes_span(&ca->self.certificate)))
        return err_set(e, RC_CONFLICT, "ca.has-certificate",
                       "'%s' has a certificate already, and '%s' is another one", ca->home, cert_path);
    return RC_OK;
}

static enum rc import_audit(struct ca *ca, const struct path *p, const struct cms_chain *issuers,
                            struct err *e)
{
    struct bytes detail = BYTES_INIT;
    struct jsonw w;
    jsonw_init(&w, &detail);
    jsonw_object(&w, NULL);
    jsonw_hex(&w, "sha256", (struct span){p->cert[0]->sha256, SHA256_LEN});
    jsonw_hex(&w, "root_sha256", (struct span){p->cert[p->n - 1]->sha256, SHA256_LEN});
    jsonw_int(&w, "crls", (int64_t)issuers->ncrls);
    jsonw_end(&w);
    enum rc rc = audit_append(ca->db, clock_now(), "import", bytes_str(&detail), e);
    bytes_free(&detail);
    return rc;
}

static enum rc import_record(struct ca *ca, const struct path *p, const struct cms_chain *issuers,
                             struct err *e)
{
    enum rc rc = store_begin(ca->db, e);
    if (rc == RC_OK)
        rc = authority_set_certificate(ca, bytes_span(&p->cert[0]->der), e);
    if (rc == RC_OK)
        rc = chain_record(ca, issuers, e);
    if (rc == RC_OK)
        rc = import_audit(ca, p, issuers, e);
    if (rc == RC_OK)
        rc = store_commit(ca->db, e);
    store_rollback(ca->db);
    return rc;
}

/* Does the home have this certificate already, under these issuers? */
static bool certificates_same(const struct ca *ca, const struct cms_chain *issuers)
{
    const struct cms_chain *c = &ca->chain;
    if (c->ncerts != issuers->ncerts + 1)
        return false;
    for (size_t i = 0; i < issuers->ncerts; i++)
        if (!span_eq(bytes_span(&c->certs[i + 1]), bytes_span(&issuers->certs[i])))
            return false;
    return true;
}

/* The CRL of this CA with the highest number; *ret stays NULL when the chain holds none. */
static enum rc crl_latest(const char *name, const struct cms_chain *chain, const struct cert *issuer,
                          struct crl **ret, struct err *e)
{
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < chain->ncrls; i++) {
        struct crl *crl = NULL;
        struct err other = ERR_INIT;
        rc = crl_parse(name, bytes_span(&chain->crls[i]), &crl, e);
        if (rc == RC_OK && crl_verify(crl, issuer, &other) == RC_OK &&
            (*ret == NULL || crl->number > (*ret)->number)) {
            struct crl *before = *ret;
            *ret = crl;
            crl = before;
        }
        crl_free(crl);
    }
    return rc;
}

/* Of the CRL that the home has and the one in the file the newer is kept: a CRL is never lost, and an older
 * one would call good again what was revoked. */
static enum rc crl_keep(const char *chain_path, const struct crl *had, const struct crl *now,
                        const struct cert *issuer, struct cms_chain *ret, bool *ret_newer, struct err *e)
{
    if (had != NULL && now != NULL && now->number < had->number)
        return err_set(e, RC_CONFLICT, "ca.crl-older",
                       "'%s' holds CRL number %" PRIu64 " of '%s', number %" PRIu64
                       " is here already: a CRL is never replaced by an older one; take the CA's latest",
                       chain_path, now->number, issuer->cn == NULL ? "a CA above" : issuer->cn, had->number);
    bool newer = now != NULL && (had == NULL || now->number > had->number);
    const struct crl *kept = newer ? now : had;
    if (kept != NULL)
        bytes_add_span(&ret->crls[ret->ncrls++], bytes_span(&kept->der));
    *ret_newer = *ret_newer || newer;
    return RC_OK;
}

static enum rc crls_collect(const struct ca *ca, const char *chain_path, const struct cms_chain *file,
                            const struct path *p, struct cms_chain *ret, bool *ret_newer, struct err *e)
{
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < file->ncrls; i++)
        rc = crl_check(chain_path, &file->crls[i], p, e);
    for (size_t i = 1; rc == RC_OK && i < p->n; i++) {
        struct crl *had = NULL, *now = NULL;
        rc = crl_latest("chain.pem", &ca->chain, p->cert[i], &had, e);
        if (rc == RC_OK)
            rc = crl_latest(chain_path, file, p->cert[i], &now, e);
        if (rc == RC_OK)
            rc = crl_keep(chain_path, had, now, p->cert[i], ret, ret_newer, e);
        crl_free(had);
        crl_free(now);
    }
    return rc;
}

static enum rc import_check(const struct ca *ca, const char *cert_path, const char *chain_path,
                            struct path *p, struct cms_chain *issuers, bool *ret_newer, struct err *e)
{
    struct cms_chain file = {.ncerts = 0};
    enum rc rc = cert_read(cert_path, &p->cert[0], e);
    if (rc != RC_OK)
        return rc;
    p->n = 1;
    rc = requested_check(ca, cert_path, p->cert[0], e);
    if (rc == RC_OK)
        rc = chain_read(chain_path, &file, e);
    if (rc == RC_OK)
        rc = path_build(chain_path, &file, p, e);
    if (rc == RC_OK)
        rc = verify_path(p->cert[0], &file, ca->config->trust, clock_now(), e);
    if (rc == RC_OK)
        rc = profile_check(ca, p, e);
    for (size_t i = 1; rc == RC_OK && i < p->n; i++)
        bytes_add_span(&issuers->certs[issuers->ncerts++], bytes_span(&p->cert[i]->der));
    if (rc == RC_OK)
        rc = crls_collect(ca, chain_path, &file, p, issuers, ret_newer, e);
    cms_chain_free(&file);
    return rc;
}

enum rc ca_import(const char *home, const char *cert_path, const char *chain_path, bool *ret_new,
                  bool *ret_crls, struct err *e)
{
    struct ca *ca = NULL;
    struct path path = {.n = 0};
    struct cms_chain issuers = {.ncerts = 0};
    bool fresh = false, newer = false;
    enum rc rc = home_open(home, &ca, e);
    if (rc == RC_OK && ca->self.certificate.n > 0)
        rc = home_load_certificate(ca, e);
    if (rc == RC_OK)
        rc = import_check(ca, cert_path, chain_path, &path, &issuers, &newer, e);
    if (rc == RC_OK)
        fresh = !certificates_same(ca, &issuers);
    if (rc == RC_OK && (fresh || newer))
        rc = import_record(ca, &path, &issuers, e);
    if (rc == RC_OK && (fresh || newer))
        rc = home_load_certificate(ca, e);
    if (rc == RC_OK)
        rc = home_publish_certificate(ca, e);
    if (rc == RC_OK) {
        *ret_new = fresh;
        *ret_crls = newer;
    }
    path_free(&path);
    cms_chain_free(&issuers);
    ca_close(ca);
    return rc;
}
