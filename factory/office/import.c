/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "factory/office/internal.h"
#include "x509/cert.h"
#include "x509/csr.h"

/* Is cert for the key that this request was made for? */
static enum rc request_matches(const char *home, enum office_key k, const struct cert *cert, bool *ret,
                               struct err *e)
{
    struct bytes text = BYTES_INIT;
    struct csr *csr = NULL;
    char *file = mem_printf("%s.csr", office_key_name(k));
    char *path = office_path(home, file);
    enum rc rc = file_read(path, FILE_SMALL_MAX, &text, e);
    if (rc == RC_OK)
        rc = csr_parse(path, bytes_span(&text), &csr, e);
    if (rc == RC_OK)
        *ret = span_eq(csr->spki, cert->spki);
    csr_free(csr);
    bytes_free(&text);
    free(path);
    free(file);
    return rc;
}

static enum rc which_key(struct office *o, const char *cert_path, const struct cert *cert,
                         enum office_key *ret, struct err *e)
{
    for (int k = 0; k < OFFICE_CERTS; k++) {
        bool match = false;
        enum rc rc = request_matches(o->home, (enum office_key)k, cert, &match, e);
        if (rc != RC_OK)
            return rc;
        if (match) {
            *ret = (enum office_key)k;
            return RC_OK;
        }
    }
    return err_set(
        e, RC_INPUT, "office.cert",
        "'%s' is for none of this office's keys: it must be issued for order.csr or release.csr of '%s'",
        cert_path, o->home);
}

/* ---- judging ---- */

/* cert must be good for its role under this chain, now. */
static enum rc judge(struct office *o, const char *what, struct span cert, const struct cms_chain *cas,
                     enum office_key k, struct err *e)
{
    struct cms_chain chain = {0};
    struct trust trust = {.has_issuer = false};
    memcpy(trust.root, o->config->trust, SHA256_LEN);
    enum rc rc = chain_add_cert(&chain, cert, e);
    if (rc == RC_OK)
        rc = chain_add_all(&chain, cas, cert, e);
    if (rc == RC_OK)
        rc = verify_role(what, &chain, &trust, office_key_role(k), clock_now(), e);
    cms_chain_free(&chain);
    return rc;
}

/* Both certificates share chain.pem: what the new chain does to the other one is seen now and not at the next
 * order. */
static enum rc judge_other(struct office *o, enum office_key k, const struct cms_chain *cas, struct err *e)
{
    enum office_key other = k == OFFICE_ORDER ? OFFICE_RELEASE : OFFICE_ORDER;
    char *file = mem_printf("%s.pem", office_key_name(other));
    char *path = office_path(o->home, file);
    struct cert *cert = NULL;
    enum rc rc = RC_OK;
    if (file_exists(path)) {
        rc = cert_read(path, &cert, e);
        if (rc == RC_OK)
            rc = judge(o, path, bytes_span(&cert->der), cas, other, e);
        /* A CRL that takes the other key out must come in: with the one that is left its documents are
         * revoked. */
        if (rc == RC_DENIED && strcmp(e->key, "verify.revoked") == 0) {
            err_clear(e);
            rc = RC_OK;
        }
        if (rc != RC_OK)
            rc = err_prefix(e, "the chain does not suit the office's other certificate");
    }
    cert_free(cert);
    free(path);
    free(file);
    return rc;
}

/* ---- keeping ---- */

static bool same_file(const char *path, struct span content)
{
    struct bytes there = BYTES_INIT;
    struct err no = ERR_INIT;
    bool same = file_read(path, FILE_SMALL_MAX, &there, &no) == RC_OK && span_eq(bytes_span(&there), content);
    bytes_free(&there);
    return same;
}

static enum rc audit_import(struct office *o, const struct cert *cert, enum office_key k, struct span chain,
                            struct err *e)
{
    uint8_t chain_sha256[SHA256_LEN];
    struct bytes detail = BYTES_INIT;
    struct jsonw w;
    sha256(chain, chain_sha256);
    jsonw_init(&w, &detail);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "role", role_name(office_key_role(k)));
    jsonw_hex(&w, "certificate", (struct span){cert->sha256, SHA256_LEN});
    jsonw_hex(&w, "chain", (struct span){chain_sha256, SHA256_LEN});
    jsonw_end(&w);

    enum rc rc = store_begin(o->db, e);
    if (rc == RC_OK)
        rc = audit_append(o->db, clock_now(), "import", bytes_str(&detail), e);
    if (rc == RC_OK)
        rc = store_commit(o->db, e);
    store_rollback(o->db);
    bytes_free(&detail);
    return rc;
}

/* The files follow their audit row; a crash between is made good by importing again. The chain goes first: it
 * suits the old certificate too. */
static enum rc keep(struct office *o, const struct cert *cert, enum office_key k, const struct cms_chain *cas,
                    bool *ret_new, struct err *e)
{
    struct bytes leaf = BYTES_INIT, chain = BYTES_INIT;
    char *file = mem_printf("%s.pem", office_key_name(k));
    char *leaf_path = office_path(o->home, file);
    char *chain_path = office_path(o->home, "chain.pem");
    pem_encode("CERTIFICATE", bytes_span(&cert->der), &leaf);
    chain_pem(cas, &chain);

    enum rc rc = RC_OK;
    bool same = same_file(leaf_path, bytes_span(&leaf)) && same_file(chain_path, bytes_span(&chain));
    if (!same) {
        rc = audit_import(o, cert, k, bytes_span(&chain), e);
        if (rc == RC_OK)
            rc = file_publish(chain_path, 0644, bytes_span(&chain), e);
        if (rc == RC_OK)
            rc = file_publish(leaf_path, 0644, bytes_span(&leaf), e);
    }
    if (rc == RC_OK)
        *ret_new = !same;
    free(chain_path);
    free(leaf_path);
    free(file);
    bytes_free(&chain);
    bytes_free(&leaf);
    return rc;
}

/* The stored chain; empty before the first import. */
static enum rc stored_cas(struct office *o, struct cms_chain *ret, struct err *e)
{
    char *path = office_path(o->home, "chain.pem");
    enum rc rc = file_exists(path) ? chain_read(path, ret, e) : RC_OK;
    free(path);
    return rc;
}

static enum rc import(struct office *o, const char *cert_path, const char *chain_path,
                      enum office_key *ret_key, bool *ret_new, struct err *e)
{
    struct cert *cert = NULL;
    struct cms_chain given = {0}, had = {0}, cas = {0};
    enum rc rc = cert_read(cert_path, &cert, e);
    if (rc == RC_OK)
        rc = chain_read(chain_path, &given, e);
    if (rc == RC_OK)
        rc = which_key(o, cert_path, cert, ret_key, e);
    if (rc == RC_OK)
        rc = chain_add_all(&cas, &given, bytes_span(&cert->der), e);
    if (rc == RC_OK)
        rc = judge(o, cert_path, bytes_span(&cert->der), &cas, *ret_key, e);
    if (rc == RC_OK)
        rc = judge_other(o, *ret_key, &cas, e);
    if (rc == RC_OK)
        rc = stored_cas(o, &had, e);
    if (rc == RC_OK)
        rc = chain_refresh(chain_path, &cas, &had, e);
    if (rc == RC_OK)
        rc = keep(o, cert, *ret_key, &cas, ret_new, e);
    cms_chain_free(&cas);
    cms_chain_free(&had);
    cms_chain_free(&given);
    cert_free(cert);
    return rc;
}

enum rc office_import(const char *home, const char *cert_path, const char *chain_path, const char **ret_role,
                      bool *ret_new, struct err *e)
{
    struct office *o = NULL;
    enum office_key k = OFFICE_ORDER;
    bool is_new = false;
    enum rc rc = office_open(home, NULL, &o, e);
    if (rc == RC_OK)
        rc = import(o, cert_path, chain_path, &k, &is_new, e);
    office_close(o);
    if (rc == RC_OK) {
        *ret_role = role_name(office_key_role(k));
        *ret_new = is_new;
    }
    return rc;
}
