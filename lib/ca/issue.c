/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "ca/internal.h"
#include "x509/cert.h"
#include "x509/csr.h"
#include "x509/name.h"

/* ---- what may be issued ---- */

static enum rc not_issuable(const struct ca *ca, const char *name, struct err *e)
{
    struct bytes list = BYTES_INIT;
    for (size_t i = 0; i < ca->config->nissues; i++)
        bytes_printf(&list, "%s%s", i == 0 ? "" : ", ", ca->config->issues[i]);
    enum rc rc = err_set(e, RC_DENIED, "ca.profile", "cannot issue with profile '%s': CA '%s' issues only %s",
                         name, ca->config->name, bytes_str(&list));
    bytes_free(&list);
    return rc;
}

enum rc issuable_profile(const struct ca *ca, const char *name, struct profile **ret, struct err *e)
{
    struct profile *p = NULL;
    enum rc rc = profile_load(name, &p, e);
    if (rc != RC_OK)
        return rc;
    bool listed = false;
    for (size_t i = 0; i < ca->config->nissues; i++)
        listed = listed || strcmp(ca->config->issues[i], name) == 0;
    if (!listed) {
        profile_free(p);
        return not_issuable(ca, name, e);
    }
    *ret = p;
    return RC_OK;
}

enum rc clock_check(const struct ca *ca, int64_t now, struct err *e)
{
    char at[TIME_TEXT], limit[TIME_TEXT];
    time_format(now, at);
    if (now < ca->cert->not_before) {
        time_format(ca->cert->not_before, limit);
        return err_set(e, RC_DENIED, "ca.clock",
                       "clock '%s' is before the beginning of this CA's certificate, %s; set the clock", at,
                       limit);
    }
    if (now > ca->cert->not_after) {
        time_format(ca->cert->not_after, limit);
        return err_set(e, RC_DENIED, "ca.expired",
                       "CA '%s': its certificate ended %s, it can sign nothing any more", ca->config->name,
                       limit);
    }
    return RC_OK;
}

/* ---- one request ---- */

struct issue {
    struct profile *profile;
    struct csr *csr;
    struct bytes subject;
    char *device_id;
    uint8_t request_sha256[SHA256_LEN];
};

static void issue_fini(struct issue *i)
{
    profile_free(i->profile);
    csr_free(i->csr);
    bytes_free(&i->subject);
    free(i->device_id);
}

static enum rc profile_choose(const struct ca *ca, const struct ca_issue *in, struct issue *i, struct err *e)
{
    enum rc rc = issuable_profile(ca, in->profile, &i->profile, e);
    if (rc != RC_OK)
        return rc;
    if (in->sub_ca != (i->profile->kind == PROFILE_CA))
        return err_set(e, RC_USAGE, "ca.kind", "profile '%s' is for %s; use '%s'", in->profile,
                       in->sub_ca ? "leaves" : "CAs", in->sub_ca ? "issue" : "sign-ca");
    if (i->profile->subject != SUBJECT_FROM_DEVICE_ID && (in->id != NULL || in->ou != NULL))
        return err_set(e, RC_USAGE, "ca.id", "profile '%s' is not for devices; an id or OU cannot be given",
                       in->profile);
    return RC_OK;
}

static enum rc request_read(const struct ca_issue *in, struct issue *i, struct err *e)
{
    struct bytes text = BYTES_INIT;
    enum rc rc = file_read(in->csr_path, FILE_SMALL_MAX, &text, e);
    if (rc == RC_OK)
        rc = csr_parse(in->csr_path, bytes_span(&text), &i->csr, e);
    if (rc == RC_OK)
        sha256(bytes_span(&i->csr->der), i->request_sha256);
    bytes_free(&text);
    return rc;
}

/* A statement is believed when this CA itself certified the key that made it, for the same subject, and
 * stands by that today. */
static enum rc statement_check(struct ca *ca, const char *path, const struct csr *csr, int64_t now,
                               struct err *e)
{
    struct cert *c = NULL;
    enum rc rc = cert_parse("statement certificate", bytes_span(&csr->statement_cert), &c, e);
    if (rc != RC_OK)
        return err_prefix(e, "request '%s'", path);
    struct stmt *q = store_stmt(ca->db, "SELECT der FROM certificate WHERE serial = ? AND state = 'issued'");
    stmt_blob(q, 1, c->serial);
    bool row = false;
    rc = stmt_next(q, &row, e);
    bool ours = rc == RC_OK && row && span_eq(stmt_col_blob(q, 0), bytes_span(&csr->statement_cert));
    stmt_reset(q);
    bool valid = now >= c->not_before && now <= c->not_after && span_eq(c->subject, csr->subject);
    cert_free(c);
    if (rc == RC_OK && !(ours && valid))
        rc = err_set(
            e, RC_DENIED, "ca.possession",
            "request '%s': the certificate behind its statement of possession must be one of this CA, in force and for the same subject",
            path);
    return rc;
}

static enum rc possession_check(struct ca *ca, const struct ca_issue *in, const struct issue *i, int64_t now,
                                struct err *e)
{
    if (i->csr->possession != i->profile->possession)
        return err_set(e, RC_DENIED, "ca.possession",
                       "request '%s': profile '%s' wants possession proven by %s", in->csr_path, in->profile,
                       i->profile->possession == POSSESSION_SIGNATURE ? "the key's own signature"
                                                                      : "a statement (RFC 9883)");
    return i->csr->possession == POSSESSION_STATEMENT ? statement_check(ca, in->csr_path, i->csr, now, e)
                                                      : RC_OK;
}

/* The id as CN, the profile's own attributes, then OU: the request's subject is not used. */
static enum rc device_subject(const struct ca_issue *in, struct issue *i, struct err *e)
{
    const char *id = in->id != NULL ? in->id : i->csr->cn;
    if (id == NULL || !device_id_valid(id))
        return err_set(
            e, RC_INPUT, "ca.id",
            "device id '%s': 1 to %d of A-Z, a-z, 0-9, :, _ and - are required, alphanumeric at both ends",
            id == NULL ? "" : id, (int)DEVICE_ID_MAX);
    struct name_attr attrs[PROFILE_ATTRS_MAX + 2] = {{"CN", id}};
    size_t n = i->profile->nattrs;
    memcpy(attrs + 1, i->profile->attrs, n * sizeof(attrs[0]));
    n++;
    if (in->ou != NULL)
        attrs[n++] = (struct name_attr){"OU", in->ou};
    i->device_id = mem_str(id);
    return name_encode(attrs, n, &i->subject, e);
}

static enum rc subject_make(const struct ca_issue *in, struct issue *i, struct err *e)
{
    switch (i->profile->subject) {
    case SUBJECT_FROM_DEVICE_ID:
        return device_subject(in, i, e);
    case SUBJECT_FROM_REQUEST:
        bytes_add_span(&i->subject, i->csr->subject);
        return RC_OK;
    case SUBJECT_FIXED:
        break;
    }
    return err_set(
        e, RC_DENIED, "ca.profile",
        "profile '%s' takes the subject from a root's own configuration; no request can be answered with it",
        in->profile);
}

/* The row that q stands on answers the request, unless it was revoked or is not what is asked for today. */
static enum rc answer_check(const struct ca_issue *in, struct stmt *q, struct err *e)
{
    if (strcmp(stmt_col_text(q, 1), "revoked") == 0)
        return err_set(
            e, RC_CONFLICT, "ca.revoked",
            "request '%s' was answered before and that certificate was revoked; make a request with a new key",
            in->csr_path);
    int64_t not_after = stmt_col_int(q, 3), days = (not_after - stmt_col_int(q, 2) + 1) / DAY;
    if (in->days == 0 || in->days == days)
        return RC_OK;
    char end[TIME_TEXT];
    time_format(not_after, end);
    return err_set(
        e, RC_CONFLICT, "ca.days-differ",
        "request '%s' was answered before: its certificate lasts %lld days, to %s, and not %lld; leave '--days' out to get it again, or make another request to renew it",
        in->csr_path, (long long)days, end, (long long)in->days);
}

/* Has this been asked before? Then the answer is the same; *ret_der stays empty when it has not. */
static enum rc answered(struct ca *ca, const struct ca_issue *in, const struct issue *i, int64_t now,
                        struct bytes *ret_der, struct err *e)
{
    struct stmt *q = store_stmt(
        ca->db, "SELECT der, state, not_before, not_after FROM certificate"
                " WHERE request_sha256 = ? AND profile = ? AND subject = ?"
                " AND state IN ('issued', 'revoked') AND not_after >= ? ORDER BY number DESC LIMIT 1");
    stmt_blob(q, 1, (struct span){i->request_sha256, SHA256_LEN});
    stmt_text(q, 2, i->profile->name);
    stmt_blob(q, 3, bytes_span(&i->subject));
    stmt_int(q, 4, now);
    bool row = false;
    enum rc rc = stmt_next(q, &row, e);
    if (rc == RC_OK && row)
        rc = answer_check(in, q, e);
    if (rc == RC_OK && row)
        bytes_add_span(ret_der, stmt_col_blob(q, 0));
    stmt_reset(q);
    return rc;
}

static enum rc issue_record(struct ca *ca, const struct cert_job *job, struct err *e)
{
    enum rc rc = store_begin(ca->db, e);
    if (rc == RC_OK)
        rc = certify_record(ca, job, "issue", e);
    if (rc == RC_OK)
        rc = store_commit(ca->db, e);
    store_rollback(ca->db);
    return rc;
}

static enum rc issue_sign(struct ca *ca, const struct ca_issue *in, const struct issue *i, int64_t now,
                          struct bytes *ret_der, struct err *e)
{
    int64_t days = in->days != 0 ? in->days : i->profile->default_days;
    if (days <= 0)
        return err_set(e, RC_INPUT, "ca.days",
                       "profile '%s' has no validity of its own; give one with '--days'", in->profile);
    if (days > DAYS_MAX)
        return err_set(e, RC_INPUT, "ca.days", "validity '%lld' days: at most %d are possible",
                       (long long)days, (int)DAYS_MAX);
    struct cert_job job = {
        .profile = i->profile,
        .subject = bytes_span(&i->subject),
        .spki = i->csr->spki,
        .device_id = i->device_id,
        .request_sha256 = i->request_sha256,
        .now = now,
    };
    if (i->profile->san_from_request)
        job.san = bytes_span(&i->csr->san);
    job_validity(ca, &job, days);
    enum rc rc = certify(ca, &job, e);
    if (rc == RC_OK)
        rc = issue_record(ca, &job, e);
    if (rc == RC_OK)
        bytes_add_span(ret_der, bytes_span(&job.der));
    bytes_free(&job.der);
    return rc;
}

enum rc ca_issue(struct ca *ca, const struct ca_issue *in, struct bytes *ret_der, bool *ret_new,
                 struct err *e)
{
    if (ca->signer == NULL)
        bug("ca_issue without a key");
    struct issue i = {.profile = NULL};
    struct bytes der = BYTES_INIT;
    int64_t now = clock_now();
    bool fresh = false;
    enum rc rc = profile_choose(ca, in, &i, e);
    if (rc == RC_OK)
        rc = clock_check(ca, now, e);
    if (rc == RC_OK)
        rc = request_read(in, &i, e);
    if (rc == RC_OK)
        rc = possession_check(ca, in, &i, now, e);
    if (rc == RC_OK)
        rc = subject_make(in, &i, e);
    if (rc == RC_OK)
        rc = answered(ca, in, &i, now, &der, e);
    if (rc == RC_OK && der.n == 0) {
        fresh = true;
        rc = issue_sign(ca, in, &i, now, &der, e);
    }
    if (rc == RC_OK) {
        bytes_add_span(ret_der, bytes_span(&der));
        *ret_new = fresh;
    }
    bytes_free(&der);
    issue_fini(&i);
    return rc;
}
