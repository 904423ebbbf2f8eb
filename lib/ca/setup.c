/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "ca/internal.h"
#include "sign/signer.h"
#include "x509/csr.h"

/*
 * Every step leaves something that the next run finds: folder, database, ca.yaml, the authority row, the key,
 * its public half, the reserved row, the certificate. A run that was killed anywhere is finished by the same
 * command.
 */

static enum rc root_record(struct ca *ca, const struct cert_job *job, struct err *e)
{
    const struct cms_chain none = {.ncerts = 0};
    enum rc rc = store_begin(ca->db, e);
    if (rc == RC_OK)
        rc = certify_record(ca, job, "init", e);
    if (rc == RC_OK)
        rc = authority_set_certificate(ca, bytes_span(&job->der), e);
    if (rc == RC_OK)
        rc = chain_record(ca, &none, e);
    if (rc == RC_OK)
        rc = store_commit(ca->db, e);
    store_rollback(ca->db);
    return rc;
}

static enum rc root_certify(struct ca *ca, struct err *e)
{
    struct profile *profile = NULL;
    struct cert_job job = {
        .subject = bytes_span(&ca->config->subject),
        .spki = bytes_span(&ca->signer->spki),
        .now = clock_now(),
    };
    enum rc rc = profile_load(ca->config->profile, &profile, e);
    if (rc != RC_OK)
        return rc;
    job.profile = profile;
    job_validity(ca, &job, ca->config->validity_days);
    rc = certify(ca, &job, e);
    if (rc == RC_OK)
        rc = root_record(ca, &job, e);
    bytes_free(&job.der);
    profile_free(profile);
    return rc;
}

enum rc ca_init(const char *home, const char *config_path, struct keystore *keys, bool *ret_new,
                struct err *e)
{
    struct ca *ca = NULL;
    enum rc rc = home_begin(home, config_path, PROFILE_ROOT, &ca, e);
    if (rc != RC_OK)
        goto out;
    bool certified = ca->self.certificate.n > 0;
    if (!certified)
        rc = key_obtain(ca, keys, e);
    if (rc == RC_OK && !certified)
        rc = root_certify(ca, e);
    if (rc == RC_OK)
        rc = home_load_certificate(ca, e);
    if (rc == RC_OK)
        rc = home_publish_certificate(ca, e);
    if (rc == RC_OK)
        *ret_new = !certified;
out:
    ca_close(ca);
    return rc;
}

static enum rc request_audit(struct ca *ca, struct err *e)
{
    struct bytes detail = BYTES_INIT;
    struct jsonw w;
    uint8_t hash[SHA256_LEN];
    sha256(bytes_span(&ca->self.request), hash);
    jsonw_init(&w, &detail);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "profile", ca->config->profile);
    jsonw_hex(&w, "sha256", (struct span){hash, sizeof(hash)});
    key_exceptions_tell(&w, ca->signer);
    jsonw_end(&w);
    enum rc rc = audit_append(ca->db, clock_now(), "request", bytes_str(&detail), e);
    bytes_free(&detail);
    return rc;
}

/* The request is kept: an ECDSA signature made again would be another request, and the root would certify
 * both. */
static enum rc request_make(struct ca *ca, struct err *e)
{
    enum rc rc = csr_make(ca->signer, bytes_span(&ca->config->subject), &ca->self.request, e);
    if (rc == RC_OK)
        rc = store_begin(ca->db, e);
    if (rc != RC_OK)
        return rc;
    struct stmt *q = store_stmt(ca->db, "UPDATE authority SET request = ?");
    stmt_blob(q, 1, bytes_span(&ca->self.request));
    rc = stmt_run(q, e);
    if (rc == RC_OK)
        rc = request_audit(ca, e);
    if (rc == RC_OK)
        rc = store_commit(ca->db, e);
    store_rollback(ca->db);
    return rc;
}

static enum rc request_publish(const struct ca *ca, const char *out, struct err *e)
{
    struct bytes text = BYTES_INIT;
    pem_encode("CERTIFICATE REQUEST", bytes_span(&ca->self.request), &text);
    enum rc rc = home_publish(ca, "request.csr", bytes_span(&text), e);
    if (rc == RC_OK)
        rc = file_create(out, 0644, bytes_span(&text), e);
    bytes_free(&text);
    return rc;
}

enum rc ca_request(const char *home, const char *config_path, struct keystore *keys, const char *out,
                   bool *ret_new, struct err *e)
{
    struct ca *ca = NULL;
    enum rc rc = home_begin(home, config_path, PROFILE_CA, &ca, e);
    if (rc != RC_OK)
        goto out;
    bool requested = ca->self.request.n > 0;
    if (!requested)
        rc = key_obtain(ca, keys, e);
    if (rc == RC_OK && !requested)
        rc = request_make(ca, e);
    if (rc == RC_OK)
        rc = request_publish(ca, out, e);
    if (rc == RC_OK)
        *ret_new = !requested;
out:
    ca_close(ca);
    return rc;
}
