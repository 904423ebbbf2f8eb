/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/jsonw.h"
#include "base/text.h"
#include "ca/internal.h"
#include "x509/cert.h"
#include "x509/name.h"

/* Says which certificate, the row that q stands on, is in the way. */
static enum rc key_taken(const struct row *r, struct stmt *q, struct err *e)
{
    char *subject = name_text(r->subject), *holder = name_text(stmt_col_blob(q, 0)),
         *serial = hex_new(stmt_col_blob(q, 1)), *profile = mem_str(stmt_col_text(q, 2));
    enum rc rc;
    if (strcmp(stmt_col_text(q, 3), "revoked") == 0)
        rc = err_set(
            e, RC_CONFLICT, "ca.revoked",
            "cannot issue '%s': its key's certificate for '%s' with profile '%s' (serial %s) was revoked; a new key is required",
            subject, holder, profile, serial);
    else
        rc = err_set(
            e, RC_CONFLICT, "ca.key-reused",
            "cannot issue '%s' with profile '%s': its key is certified for '%s' with profile '%s' (serial %s); a key has one subject and one purpose, so a new key is required",
            subject, r->profile, holder, profile, serial);
    free(subject);
    free(holder);
    free(serial);
    free(profile);
    return rc;
}

static enum rc own_key(const struct row *r, struct err *e)
{
    char *subject = name_text(r->subject);
    enum rc rc = err_set(e, RC_CONFLICT, "ca.key-reused",
                         "cannot issue '%s': its key is this CA's own; a new key is required", subject);
    free(subject);
    return rc;
}

/* A key may be certified again for the same subject and purpose (a renewal) and for nothing else, and never
 * after one of its certificates was revoked: a stolen key stays stolen under another profile. */
static enum rc key_check(struct ca *ca, const struct row *r, const uint8_t hash[static SHA256_LEN],
                         struct err *e)
{
    if (ca->cert != NULL && span_eq(r->spki, ca->cert->spki))
        return own_key(r, e);
    struct stmt *q = store_stmt(
        ca->db,
        "SELECT subject, serial, profile, state FROM certificate WHERE spki_sha256 = ? AND state <> 'void'"
        " AND (state = 'revoked' OR subject <> ? OR profile <> ?) ORDER BY state = 'revoked' DESC LIMIT 1");
    stmt_blob(q, 1, (struct span){hash, SHA256_LEN});
    stmt_blob(q, 2, r->subject);
    stmt_text(q, 3, r->profile);
    bool taken = false;
    enum rc rc = stmt_next(q, &taken, e);
    if (rc == RC_OK && taken)
        rc = key_taken(r, q, e);
    stmt_reset(q);
    return rc;
}

/* Says what the database refused: with serials of 126 random bits that is the device id. */
static enum rc id_reused(struct ca *ca, const struct row *r, struct err *e)
{
    if (r->device_id == NULL)
        return e->rc;
    struct stmt *q = store_stmt(
        ca->db, "SELECT state, order_name FROM certificate WHERE device_id = ? AND state <> 'void'");
    stmt_text(q, 1, r->device_id);
    bool taken = false;
    struct err ignored = ERR_INIT;
    if (stmt_next(q, &taken, &ignored) == RC_OK && taken)
        err_set(e, RC_CONFLICT, "ca.id-reused",
                "cannot issue '%s': this id has a certificate (%s%s%s) already; an id is used once",
                r->device_id, stmt_col_text(q, 0), stmt_col_null(q, 1) ? "" : ", order ",
                stmt_col_text(q, 1));
    stmt_reset(q);
    return e->rc;
}

enum rc row_reserve(struct ca *ca, const struct row *r, struct err *e)
{
    uint8_t hash[SHA256_LEN];
    sha256(r->spki, hash);
    enum rc rc = key_check(ca, r, hash, e);
    if (rc != RC_OK)
        return rc;
    struct stmt *q = store_stmt(
        ca->db,
        "INSERT INTO certificate (serial, state, order_name, device_id, profile, subject, spki_sha256,"
        " request_sha256, not_before, not_after, reserved_at)"
        " VALUES (?, 'reserved', ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    stmt_blob(q, 1, r->serial);
    stmt_text(q, 2, r->order);
    stmt_text(q, 3, r->device_id);
    stmt_text(q, 4, r->profile);
    stmt_blob(q, 5, r->subject);
    stmt_blob(q, 6, (struct span){hash, sizeof(hash)});
    if (r->request_sha256 != NULL)
        stmt_blob(q, 7, (struct span){r->request_sha256, SHA256_LEN});
    stmt_int(q, 8, r->not_before);
    stmt_int(q, 9, r->not_after);
    stmt_int(q, 10, r->now);
    rc = stmt_run(q, e);
    return rc == RC_CONFLICT && strcmp(e->key, "store.constraint") == 0 ? id_reused(ca, r, e) : rc;
}

enum rc row_issued(struct ca *ca, struct span serial, struct span der, const uint8_t hash[static SHA256_LEN],
                   int64_t now, struct err *e)
{
    struct stmt *q =
        store_stmt(ca->db, "UPDATE certificate SET state = 'issued', issued_at = ?, sha256 = ?, der = ?"
                           " WHERE serial = ? AND state = 'reserved'");
    stmt_int(q, 1, now);
    stmt_blob(q, 2, (struct span){hash, SHA256_LEN});
    stmt_blob(q, 3, der);
    stmt_blob(q, 4, serial);
    enum rc rc = stmt_run(q, e);
    if (rc != RC_OK || store_changes(ca->db) == 1)
        return rc;
    char *hex = hex_new(serial);
    rc = err_set(e, RC_CONFLICT, "ca.not-reserved",
                 "serial '%s' is not reserved, so its certificate cannot be recorded as issued", hex);
    free(hex);
    return rc;
}

static enum rc void_audit(struct ca *ca, const char *order, int64_t now, int64_t count, struct err *e)
{
    struct bytes detail = BYTES_INIT;
    struct jsonw w;
    jsonw_init(&w, &detail);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "order", order);
    jsonw_int(&w, "count", count);
    jsonw_str(&w, "why", "reserved and never issued");
    jsonw_end(&w);
    enum rc rc = audit_append(ca->db, now, "void", bytes_str(&detail), e);
    bytes_free(&detail);
    return rc;
}

enum rc rows_void(struct ca *ca, const char *order, int64_t now, struct err *e)
{
    struct stmt *q = store_stmt(
        ca->db, "UPDATE certificate SET state = 'void' WHERE state = 'reserved' AND order_name IS ?");
    stmt_text(q, 1, order);
    enum rc rc = stmt_run(q, e);
    int64_t count = rc == RC_OK ? store_changes(ca->db) : 0;
    return count > 0 ? void_audit(ca, order, now, count, e) : rc;
}
