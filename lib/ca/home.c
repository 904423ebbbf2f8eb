/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/lock.h"
#include "base/text.h"
#include "ca/internal.h"
#include "sign/signer.h"
#include "x509/cert.h"

/* ---- the authority row ---- */

static void keep(struct bytes *b, struct span s)
{
    bytes_reset(b);
    bytes_add_span(b, s);
}

static enum rc authority_read(struct ca *ca, struct err *e)
{
    struct stmt *q = store_stmt(ca->db, "SELECT config_sha256, spki, request, certificate FROM authority");
    struct authority *a = &ca->self;
    enum rc rc = stmt_next(q, &a->begun, e);
    if (rc != RC_OK || !a->begun)
        return rc;
    struct span config = stmt_col_blob(q, 0);
    if (config.n == SHA256_LEN)
        memcpy(a->config_sha256, config.p, SHA256_LEN);
    keep(&a->spki, stmt_col_blob(q, 1));
    keep(&a->request, stmt_col_blob(q, 2));
    keep(&a->certificate, stmt_col_blob(q, 3));
    stmt_reset(q);
    return RC_OK;
}

enum rc authority_set_certificate(struct ca *ca, struct span der, struct err *e)
{
    struct stmt *q = store_stmt(ca->db, "UPDATE authority SET certificate = ?");
    stmt_blob(q, 1, der);
    enum rc rc = stmt_run(q, e);
    if (rc == RC_OK)
        keep(&ca->self.certificate, der);
    return rc;
}

/* ---- the chain ---- */

static enum rc chain_row(struct ca *ca, int64_t position, const char *kind, const struct bytes *der,
                         struct err *e)
{
    struct stmt *q = store_stmt(ca->db, "INSERT INTO chain (position, kind, der) VALUES (?, ?, ?)");
    stmt_int(q, 1, position);
    stmt_text(q, 2, kind);
    stmt_blob(q, 3, bytes_span(der));
    return stmt_run(q, e);
}

enum rc chain_record(struct ca *ca, const struct cms_chain *issuers, struct err *e)
{
    int64_t position = 0;
    enum rc rc = stmt_run(store_stmt(ca->db, "DELETE FROM chain"), e);
    for (size_t i = 0; rc == RC_OK && i < issuers->ncerts; i++)
        rc = chain_row(ca, ++position, "certificate", &issuers->certs[i], e);
    for (size_t i = 0; rc == RC_OK && i < issuers->ncrls; i++)
        rc = chain_row(ca, ++position, "crl", &issuers->crls[i], e);
    return rc;
}

static enum rc chain_load(struct ca *ca, struct err *e)
{
    struct cms_chain *c = &ca->chain;
    cms_chain_free(c);
    memset(c, 0, sizeof(*c));
    bytes_add_span(&c->certs[c->ncerts++], bytes_span(&ca->self.certificate));
    struct stmt *q = store_stmt(ca->db, "SELECT kind, der FROM chain ORDER BY position");
    for (;;) {
        bool row = false;
        enum rc rc = stmt_next(q, &row, e);
        if (rc != RC_OK || !row)
            return rc;
        bool crl = strcmp(stmt_col_text(q, 0), "crl") == 0;
        if (crl && c->ncrls < CMS_CRLS_MAX)
            bytes_add_span(&c->crls[c->ncrls++], stmt_col_blob(q, 1));
        else if (!crl && c->ncerts < CMS_CERTS_MAX)
            bytes_add_span(&c->certs[c->ncerts++], stmt_col_blob(q, 1));
        else
            bug("chain of '%s' is longer than was checked", ca->home);
    }
}

enum rc home_load_certificate(struct ca *ca, struct err *e)
{
    cert_free(ca->cert);
    ca->cert = NULL;
    enum rc rc = cert_parse("this CA's certificate", bytes_span(&ca->self.certificate), &ca->cert, e);
    return rc == RC_OK ? chain_load(ca, e) : rc;
}

/* ---- files ---- */

enum rc home_publish(const struct ca *ca, const char *name, struct span text, struct err *e)
{
    char *path = path_join(ca->home, name);
    struct bytes there = BYTES_INIT;
    struct err absent = ERR_INIT;
    enum rc rc = RC_OK;
    bool same = file_exists(path) && file_read(path, FILE_DOC_MAX, &there, &absent) == RC_OK &&
                span_eq(bytes_span(&there), text);
    if (!same)
        rc = file_publish(path, 0644, text, e);
    bytes_free(&there);
    free(path);
    return rc;
}

enum rc home_publish_certificate(const struct ca *ca, struct err *e)
{
    struct bytes text = BYTES_INIT;
    pem_encode("CERTIFICATE", bytes_span(&ca->chain.certs[0]), &text);
    enum rc rc = home_publish(ca, "cert.pem", bytes_span(&text), e);
    for (size_t i = 1; i < ca->chain.ncerts; i++)
        pem_encode("CERTIFICATE", bytes_span(&ca->chain.certs[i]), &text);
    for (size_t i = 0; i < ca->chain.ncrls; i++)
        pem_encode("X509 CRL", bytes_span(&ca->chain.crls[i]), &text);
    if (rc == RC_OK)
        rc = home_publish(ca, "chain.pem", bytes_span(&text), e);
    bytes_free(&text);
    return rc;
}

/* ---- opening ---- */

/* As file_exists, but what we may not look at is not taken for absent. */
static enum rc file_look(const char *path, bool *ret_exists, struct err *e)
{
    struct stat st;
    bool exists = stat(path, &st) == 0;
    if (!exists && errno != ENOENT && errno != ENOTDIR)
        return err_sys(e, "file.read", "cannot look at '%s'", path);
    *ret_exists = exists;
    return RC_OK;
}

static enum rc config_load(struct ca *ca, const char *path, struct err *e)
{
    enum rc rc = file_read(path, FILE_SMALL_MAX, &ca->config_text, e);
    return rc == RC_OK ? config_parse(path, bytes_span(&ca->config_text), &ca->config, e) : rc;
}

/* One command at a time works in a home: what is reserved when the lock is ours was left by a crash. */
static enum rc home_take(struct ca *ca, struct err *e)
{
    char *lock_path = path_join(ca->home, "lock");
    char *db_path = path_join(ca->home, "ca.db");
    enum rc rc = lock_take(lock_path, LOCK_WAIT_MS, &ca->lock, e);
    if (rc == RC_OK)
        rc = store_open(db_path, ca_schema, ca_schema_steps, &ca->db, e);
    if (rc == RC_OK)
        rc = authority_read(ca, e);
    free(lock_path);
    free(db_path);
    return rc;
}

/* The given configuration becomes the home's, unless the home has begun to make a key with another one. */
static enum rc config_keep(struct ca *ca, const char *given, struct err *e)
{
    char *path = path_join(ca->home, "ca.yaml");
    struct bytes there = BYTES_INIT;
    bool exists = false;
    enum rc rc = file_look(path, &exists, e);
    if (rc == RC_OK && exists)
        rc = file_read(path, FILE_SMALL_MAX, &there, e);
    if (rc != RC_OK)
        goto out;
    bool same = exists && span_eq(bytes_span(&there), bytes_span(&ca->config_text));
    if (!same && ca->self.begun)
        rc = err_set(
            e, RC_CONFLICT, "ca.exists",
            "'%s' already holds a CA made with another configuration than '%s'; correct '%s', or '%s' "
            "if the mistake is there; only another CA needs another home",
            ca->home, given, given, path);
    else if (!same)
        rc = file_publish(path, 0600, bytes_span(&ca->config_text), e);
out:
    bytes_free(&there);
    free(path);
    return rc;
}

enum rc home_begin(const char *home, const char *config_path, enum profile_kind kind, struct ca **ret,
                   struct err *e)
{
    struct ca *ca = mem_new(sizeof(*ca));
    ca->home = mem_str(home);
    enum rc rc = config_load(ca, config_path, e);
    if (rc == RC_OK)
        rc = config_check(config_path, ca->config, kind, e);
    if (rc == RC_OK)
        rc = dir_make(home, 0700, e);
    if (rc == RC_OK)
        rc = home_take(ca, e);
    if (rc == RC_OK)
        rc = config_keep(ca, config_path, e);
    if (rc != RC_OK)
        goto out;
    *ret = ca;
    ca = NULL;
out:
    ca_close(ca);
    return rc;
}

static enum rc config_path_of(const char *home, char **ret, struct err *e)
{
    char *path = path_join(home, "ca.yaml");
    bool exists = false;
    enum rc rc = file_look(path, &exists, e);
    if (rc == RC_OK && !exists)
        rc = err_set(e, RC_CONFLICT, "ca.no-home", "'%s' holds no CA; make one with 'init' or 'request'",
                     home);
    if (rc != RC_OK)
        free(path);
    else
        *ret = path;
    return rc;
}

enum rc ca_home_config(const char *home, struct ca_config **ret, struct err *e)
{
    char *path = NULL;
    enum rc rc = config_path_of(home, &path, e);
    if (rc == RC_OK)
        rc = ca_config_read(path, ret, e);
    free(path);
    return rc;
}

enum rc home_open(const char *home, struct ca **ret, struct err *e)
{
    struct ca *ca = mem_new(sizeof(*ca));
    ca->home = mem_str(home);
    char *path = NULL;
    enum rc rc = config_path_of(home, &path, e);
    if (rc == RC_OK)
        rc = home_take(ca, e);
    if (rc == RC_OK)
        rc = config_load(ca, path, e);
    if (rc != RC_OK)
        goto out;
    *ret = ca;
    ca = NULL;
out:
    free(path);
    ca_close(ca);
    return rc;
}

void ca_close(struct ca *ca)
{
    if (ca == NULL)
        return;
    signer_free(ca->signer);
    cert_free(ca->cert);
    cms_chain_free(&ca->chain);
    store_close(ca->db);
    lock_drop(ca->lock);
    ca_config_free(ca->config);
    bytes_free(&ca->config_text);
    bytes_free(&ca->self.spki);
    bytes_free(&ca->self.request);
    bytes_free(&ca->self.certificate);
    free(ca->home);
    free(ca);
}
