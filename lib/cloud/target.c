/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/target.h"

#include <stdlib.h>

#include "base/file.h"
#include "doc/doc.h"
#include "x509/cert.h"

static void read_trust(struct doc_map *m, struct target *t)
{
    t->release_trust.known = &t->crls;
    doc_sha256(m, "trust", t->release_trust.root);
    t->manifest_trust = t->release_trust;
    t->release_trust.has_issuer = true;
    doc_sha256(m, "release-issuer", t->release_trust.issuer);
    t->manifest_trust.has_issuer = doc_has(m, "manifest-issuer");
    if (t->manifest_trust.has_issuer)
        doc_sha256(m, "manifest-issuer", t->manifest_trust.issuer);
}

static void read_crl_paths(struct doc_map *m, const char *base, struct target *t)
{
    size_t n = doc_list_or_empty(m, "crls");
    t->crl_paths = mem_array(n, sizeof(*t->crl_paths));
    for (; t->ncrl_paths < n; t->ncrl_paths++)
        t->crl_paths[t->ncrl_paths] = path_join(base, doc_list_str(m, "crls", t->ncrl_paths));
}

static enum rc read_members(const char *path, struct doc_map *m, struct target *t, struct err *e)
{
    static const char *const kinds[] = {"mosquitto", NULL};
    doc_schema(m, "keymill.target.v1");
    t->kind = mem_str(kinds[doc_word(m, "kind", kinds)]);
    t->name = mem_str(doc_str(m, "name"));
    char *base = path_dir(path);
    t->directory = path_join(base, doc_str(m, "directory"));
    read_trust(m, t);
    read_crl_paths(m, base, t);
    free(base);
    return doc_close(m, e);
}

enum rc target_reread_crls(struct target *t, struct err *e)
{
    struct cms_chain crls = {0};
    enum rc rc = RC_OK;
    for (size_t i = 0; i < t->ncrl_paths && rc == RC_OK; i++) {
        rc = chain_read(t->crl_paths[i], &crls, e);
        if (rc == RC_OK && crls.ncerts != 0)
            rc = err_set(e, RC_INPUT, "target.crls", "'%s' holds a certificate; only CRLs belong here",
                         t->crl_paths[i]);
    }
    if (rc == RC_OK) {
        cms_chain_free(&t->crls);
        t->crls = crls;
        crls = (struct cms_chain){0};
    }
    cms_chain_free(&crls);
    return rc;
}

enum rc target_read(const char *path, struct target **ret, struct err *e)
{
    struct doc *d = NULL;
    struct doc_map m;

    enum rc rc = doc_read_yaml(path, &d, e);
    if (rc != RC_OK)
        return rc;
    struct target *t = mem_new(sizeof(*t));
    doc_open(&m, d, doc_root(d));
    rc = read_members(path, &m, t, e);
    doc_free(d);
    if (rc == RC_OK)
        rc = target_reread_crls(t, e);
    if (rc != RC_OK) {
        target_free(t);
        return rc;
    }
    *ret = t;
    return RC_OK;
}

void target_free(struct target *t)
{
    if (t == NULL)
        return;
    free(t->name);
    free(t->kind);
    free(t->directory);
    for (size_t i = 0; i < t->ncrl_paths; i++)
        free(t->crl_paths[i]);
    free(t->crl_paths);
    cms_chain_free(&t->crls);
    free(t);
}
