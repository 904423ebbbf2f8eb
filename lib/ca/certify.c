/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/jsonw.h"
#include "ca/internal.h"
#include "sign/alg.h"
#include "sign/signer.h"
#include "x509/cert.h"
#include "x509/lint.h"
#include "x509/name.h"

/* Seconds by which a certificate begins before it is made: a verifier whose clock is a little behind accepts
 * it at once. */
enum { BACKDATE = 60 };

void job_validity(const struct ca *ca, struct cert_job *job, int64_t days)
{
    job->not_before = job->now - BACKDATE;
    if (ca->cert != NULL && job->not_before < ca->cert->not_before)
        job->not_before = ca->cert->not_before;
    /* Both ends belong to the validity (RFC 5280 4.1.2.5), so a day ends one second before the next begins.
     */
    job->not_after = job->not_before + days * DAY - 1;
}

static enum rc tbs_encode(const struct ca *ca, const struct cert_job *job, struct bytes *ret, struct err *e)
{
    struct tbs_inputs in = {
        .profile = job->profile,
        .sig_alg = ca->signer->alg,
        .issuer_name = ca->cert == NULL ? job->subject : ca->cert->subject,
        .not_before = job->not_before,
        .not_after = job->not_after,
    };
    if (ca->cert != NULL)
        in.issuer_key_id = ca->cert->ski;
    struct tbs_subject subject = {{job->serial, sizeof(job->serial)}, job->subject, job->spki, job->san};
    struct tbs_template *t = NULL;
    enum rc rc = tbs_template_new(&in, &t, e);
    if (rc == RC_OK)
        rc = tbs_make(t, &subject, ret, e);
    tbs_template_free(t);
    return rc;
}

/* The row is durable before the signature is made: no serial twice, no certificate that the database does not
 * know. */
static enum rc reserve(struct ca *ca, const struct cert_job *job, struct err *e)
{
    struct row r = {
        .device_id = job->device_id,
        .profile = job->profile->name,
        .serial = {job->serial, sizeof(job->serial)},
        .subject = job->subject,
        .spki = job->spki,
        .request_sha256 = job->request_sha256,
        .not_before = job->not_before,
        .not_after = job->not_after,
        .now = job->now,
    };
    enum rc rc = store_begin(ca->db, e);
    if (rc == RC_OK)
        rc = rows_void(ca, NULL, job->now, e);
    if (rc == RC_OK)
        rc = row_reserve(ca, &r, e);
    if (rc == RC_OK)
        rc = store_commit(ca->db, e);
    store_rollback(ca->db);
    return rc;
}

/* Read back what was assembled: it is a certificate, and it verifies with the issuer's certificate. */
static enum rc check(const struct ca *ca, struct cert_job *job, struct err *e)
{
    struct cert *c = NULL;
    enum rc rc = cert_parse("the new certificate", bytes_span(&job->der), &c, e);
    if (rc == RC_OK)
        rc = cert_verify_signature(c, ca->cert == NULL ? c : ca->cert, e);
    if (rc == RC_OK)
        memcpy(job->sha256, c->sha256, sizeof(job->sha256));
    cert_free(c);
    return rc;
}

static enum rc sign(const struct ca *ca, struct cert_job *job, struct span tbs, struct err *e)
{
    struct bytes sig = BYTES_INIT;
    enum rc rc = signer_sign_message(ca->signer, tbs, &sig, e);
    if (rc == RC_OK)
        signed_assemble(ca->signer->alg, tbs, bytes_span(&sig), &job->der);
    if (rc == RC_OK)
        rc = check(ca, job, e);
    bytes_free(&sig);
    return rc;
}

enum rc certify(struct ca *ca, struct cert_job *job, struct err *e)
{
    struct bytes tbs = BYTES_INIT;
    enum rc rc = serial_new(job->serial, e);
    if (rc == RC_OK && tbs_encode(ca, job, &tbs, e) != RC_OK) {
        char *subject = name_text(job->subject);
        rc = err_prefix(e, "cannot issue '%s'", subject);
        free(subject);
    }
    if (rc == RC_OK) {
        struct lint_subject lint = {.tbs = bytes_span(&tbs), .issuer = ca->cert, .profile = job->profile};
        rc = lint_tbs(&lint, e);
    }
    if (rc == RC_OK)
        rc = reserve(ca, job, e);
    if (rc == RC_OK)
        rc = sign(ca, job, bytes_span(&tbs), e);
    bytes_free(&tbs);
    return rc;
}

enum rc certify_record(struct ca *ca, const struct cert_job *job, const char *event, struct err *e)
{
    struct span serial = {job->serial, sizeof(job->serial)};
    enum rc rc = row_issued(ca, serial, bytes_span(&job->der), job->sha256, job->now, e);
    if (rc != RC_OK)
        return rc;
    struct bytes detail = BYTES_INIT;
    struct jsonw w;
    char *subject = name_text(job->subject);
    jsonw_init(&w, &detail);
    jsonw_object(&w, NULL);
    jsonw_hex(&w, "serial", serial);
    jsonw_str(&w, "subject", subject);
    jsonw_str(&w, "profile", job->profile->name);
    jsonw_time(&w, "not_after", job->not_after);
    jsonw_hex(&w, "sha256", (struct span){job->sha256, sizeof(job->sha256)});
    key_exceptions_tell(&w, ca->signer);
    jsonw_end(&w);
    rc = audit_append(ca->db, job->now, event, bytes_str(&detail), e);
    free(subject);
    bytes_free(&detail);
    return rc;
}
