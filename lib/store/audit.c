/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "sign/chain.h"
#include "store/db.h"

/*
 * AUTOINCREMENT keeps the highest sequence number in a table of its own: rows cut off at the end are noticed
 * unless that is changed too, and then only by somebody who kept the head. The triggers are for our own
 * mistakes; the hashes are for other people.
 */
const char audit_schema[] = "CREATE TABLE audit ("
                            " seq INTEGER PRIMARY KEY AUTOINCREMENT,"
                            " time INTEGER NOT NULL,"
                            " event TEXT NOT NULL,"
                            " detail TEXT NOT NULL,"
                            " hash BLOB NOT NULL CHECK (length(hash) = 32)) STRICT;"
                            "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit"
                            " BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END;"
                            "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit"
                            " BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END";

struct audit_row {
    int64_t seq, time;
    struct span event, detail;
};

static void put_number(struct bytes *b, uint64_t v)
{
    for (int shift = 56; shift >= 0; shift -= 8)
        bytes_add_byte(b, (uint8_t)(v >> shift));
}

static void put_field(struct bytes *b, struct span s)
{
    put_number(b, s.n);
    bytes_add_span(b, s);
}

/* head' = SHA-256(head || SHA-256(record)); numbers are 8 octets, big-endian, and every field has its length
 * in front. */
static void row_hash(const uint8_t head[static SHA256_LEN], const struct audit_row *r,
                     uint8_t ret[static SHA256_LEN])
{
    struct bytes record = BYTES_INIT;
    put_number(&record, 8);
    put_number(&record, (uint64_t)r->seq);
    put_number(&record, 8);
    put_number(&record, (uint64_t)r->time);
    put_field(&record, r->event);
    put_field(&record, r->detail);
    hash_chain(head, bytes_span(&record), ret);
    bytes_free(&record);
}

static enum rc audit_head(struct store *s, int64_t *ret_seq, uint8_t ret_head[static SHA256_LEN],
                          struct err *e)
{
    struct stmt *q = store_stmt(s, "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1");
    bool row = false;
    enum rc rc = stmt_next(q, &row, e);
    if (rc != RC_OK)
        return rc;
    *ret_seq = 0;
    memset(ret_head, 0, SHA256_LEN);
    struct span hash = {NULL, 0};
    if (row) {
        *ret_seq = stmt_col_int(q, 0);
        hash = stmt_col_blob(q, 1);
        if (hash.n == SHA256_LEN)
            memcpy(ret_head, hash.p, SHA256_LEN);
    }
    stmt_reset(q);
    if (row && hash.n != SHA256_LEN)
        return err_set(e, RC_INPUT, "store.audit", "audit log of '%s': row %lld has no hash; it was changed",
                       s->path, (long long)*ret_seq);
    return RC_OK;
}

enum rc audit_append(struct store *s, int64_t time, const char *event, const char *detail_json, struct err *e)
{
    if (sqlite3_get_autocommit(s->db) != 0)
        bug("audit row '%s' outside a transaction", event);
    uint8_t head[SHA256_LEN], hash[SHA256_LEN];
    struct audit_row r = {0, time, span_str(event), span_str(detail_json)};
    enum rc rc = audit_head(s, &r.seq, head, e);
    if (rc != RC_OK)
        return rc;
    r.seq++;
    row_hash(head, &r, hash);
    struct stmt *q =
        store_stmt(s, "INSERT INTO audit (seq, time, event, detail, hash) VALUES (?, ?, ?, ?, ?)");
    stmt_int(q, 1, r.seq);
    stmt_int(q, 2, time);
    stmt_text(q, 3, event);
    stmt_text(q, 4, detail_json);
    stmt_blob(q, 5, (struct span){hash, sizeof(hash)});
    return stmt_run(q, e);
}

static enum rc row_missing(const struct store *s, int64_t seq, struct err *e)
{
    return err_set(e, RC_INPUT, "store.audit", "audit log of '%s': row %lld is missing; rows were taken out",
                   s->path, (long long)seq);
}

/* One row against the head before it; head moves on. Text is read as octets, so that nothing hides behind a
 * NUL. */
static enum rc row_check(const struct store *s, struct stmt *q, int64_t expected,
                         uint8_t head[static SHA256_LEN], struct err *e)
{
    struct audit_row r = {stmt_col_int(q, 0), stmt_col_int(q, 1), stmt_col_blob(q, 2), stmt_col_blob(q, 3)};
    if (r.seq != expected)
        return row_missing(s, expected, e);
    uint8_t hash[SHA256_LEN];
    row_hash(head, &r, hash);
    if (!span_eq(stmt_col_blob(q, 4), (struct span){hash, sizeof(hash)}))
        return err_set(e, RC_INPUT, "store.audit",
                       "audit log of '%s': row %lld does not follow from the rows before it; it was changed",
                       s->path, (long long)r.seq);
    memcpy(head, hash, sizeof(hash));
    return RC_OK;
}

enum rc audit_verify(struct store *s, uint8_t ret_head[static SHA256_LEN], int64_t *ret_count, struct err *e)
{
    uint8_t head[SHA256_LEN] = {0};
    int64_t count = 0, highest = 0;
    enum rc rc = store_number(s, "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'audit'",
                              &highest, e);
    if (rc != RC_OK)
        return rc;
    struct stmt *q = store_stmt(s, "SELECT seq, time, event, detail, hash FROM audit ORDER BY seq");
    for (;;) {
        bool row = false;
        rc = stmt_next(q, &row, e);
        if (rc != RC_OK)
            return rc;
        if (!row)
            break;
        rc = row_check(s, q, count + 1, head, e);
        if (rc != RC_OK) {
            stmt_reset(q);
            return rc;
        }
        count++;
    }
    if (count < highest)
        return row_missing(s, count + 1, e);
    memcpy(ret_head, head, sizeof(head));
    *ret_count = count;
    return RC_OK;
}
