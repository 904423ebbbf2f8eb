/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/clock.h"
#include "store/db.h"

/*
 * What was applied stands twice: PRAGMA user_version counts the caller's steps (the fast check), schema_step
 * lists each with the SHA-256 of its text, so that a database made by another lineage of the tool is noticed.
 * The store's own tables are step 0.
 */
static const char step_schema[] = "CREATE TABLE schema_step ("
                                  " number INTEGER PRIMARY KEY,"
                                  " sha256 BLOB NOT NULL CHECK (length(sha256) = 32),"
                                  " applied_at INTEGER NOT NULL) STRICT";

static enum rc step_record(struct store *s, int64_t number, const char *sql, struct err *e)
{
    uint8_t hash[SHA256_LEN];
    sha256(span_str(sql), hash);
    struct stmt *q = store_stmt(s, "INSERT INTO schema_step (number, sha256, applied_at) VALUES (?, ?, ?)");
    stmt_int(q, 1, number);
    stmt_blob(q, 2, (struct span){hash, sizeof(hash)});
    stmt_int(q, 3, clock_now());
    return stmt_run(q, e);
}

static enum rc version_read(struct store *s, int64_t *ret, struct err *e)
{
    return store_number(s, "PRAGMA user_version", ret, e);
}

static enum rc has_own_tables(struct store *s, bool *ret, struct err *e)
{
    int64_t n = 0;
    enum rc rc = store_number(s, "SELECT count(*) FROM sqlite_schema WHERE name = 'schema_step'", &n, e);
    *ret = n != 0;
    return rc;
}

/* Step 0, in a transaction of its own. Another process may have been faster: the check is repeated inside. */
static enum rc own_tables(struct store *s, struct err *e)
{
    bool made = false;
    enum rc rc = has_own_tables(s, &made, e);
    if (rc != RC_OK || made)
        return rc;
    rc = store_begin(s, e);
    if (rc != RC_OK)
        return rc;
    rc = has_own_tables(s, &made, e);
    if (rc != RC_OK || made)
        goto out;
    rc = store_exec(s, step_schema, e);
    if (rc == RC_OK)
        rc = store_exec(s, audit_schema, e);
    if (rc == RC_OK)
        rc = step_record(s, 0, audit_schema, e);
    if (rc == RC_OK)
        rc = store_commit(s, e);
out:
    store_rollback(s);
    return rc;
}

static enum rc step_apply(struct store *s, int64_t number, const char *sql, struct err *e)
{
    int64_t version = 0;
    enum rc rc = store_begin(s, e);
    if (rc != RC_OK)
        return rc;
    rc = version_read(s, &version, e);
    if (rc != RC_OK || version >= number)
        goto out;
    rc = store_exec(s, sql, e);
    if (rc == RC_OK)
        rc = step_record(s, number, sql, e);
    if (rc != RC_OK)
        goto out;
    char pragma[64];
    sqlite3_snprintf((int)sizeof(pragma), pragma, "PRAGMA user_version=%lld", (long long)number);
    rc = store_exec(s, pragma, e);
    if (rc == RC_OK)
        rc = store_commit(s, e);
out:
    store_rollback(s);
    return rc;
}

/* The recorded steps 1 to version are the ones this tool knows. */
static enum rc steps_check(struct store *s, const struct migration *steps, int64_t version, struct err *e)
{
    for (int64_t number = 1; number <= version; number++) {
        uint8_t hash[SHA256_LEN];
        sha256(span_str(steps[number - 1].sql), hash);
        struct stmt *q = store_stmt(s, "SELECT sha256 FROM schema_step WHERE number = ?");
        stmt_int(q, 1, number);
        bool row = false;
        enum rc rc = stmt_next(q, &row, e);
        if (rc != RC_OK)
            return rc;
        bool same = row && span_eq(stmt_col_blob(q, 0), (struct span){hash, sizeof(hash)});
        stmt_reset(q);
        if (!same)
            return err_set(
                e, RC_SYSTEM, "store.corrupt",
                "database '%s': its step %lld is not the one this tool knows; it was made by something else",
                s->path, (long long)number);
    }
    return RC_OK;
}

enum rc store_migrate(struct store *s, const struct migration *steps, size_t nsteps, struct err *e)
{
    int64_t version = 0;
    enum rc rc = version_read(s, &version, e);
    if (rc != RC_OK)
        return rc;
    if (version < 0 || (uint64_t)version > nsteps)
        return err_set(
            e, RC_CONFLICT, "store.newer",
            "database '%s' has schema %lld, this tool knows up to %zu; use the tool that last wrote it, or a newer one",
            s->path, (long long)version, nsteps);
    rc = own_tables(s, e);
    if (rc == RC_OK)
        rc = steps_check(s, steps, version, e);
    for (size_t i = (size_t)version; rc == RC_OK && i < nsteps; i++)
        rc = step_apply(s, (int64_t)i + 1, steps[i].sql, e);
    return rc;
}
