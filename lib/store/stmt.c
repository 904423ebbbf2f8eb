/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "store/db.h"

static struct stmt *stmt_cached(struct store *s, const char *sql)
{
    for (size_t i = 0; i < s->nstmts; i++)
        if (s->stmts[i]->sql == sql)
            return s->stmts[i];
    for (size_t i = 0; i < s->nstmts; i++)
        if (strcmp(s->stmts[i]->sql, sql) == 0)
            return s->stmts[i];
    return NULL;
}

/* Preparing reads the schema, so it can fail like any other access; the code is kept for the call that runs
 * the statement. */
static void stmt_prepare(struct stmt *q)
{
    q->code = sqlite3_prepare_v3(q->store->db, q->sql, -1, SQLITE_PREPARE_PERSISTENT, &q->q, NULL);
    if (q->code == SQLITE_ERROR)
        bug("SQL: %s: %s", sqlite3_errmsg(q->store->db), q->sql);
}

struct stmt *store_stmt(struct store *s, const char *sql)
{
    struct stmt *q = stmt_cached(s, sql);
    if (q == NULL) {
        if (s->nstmts == STMTS_MAX)
            bug("more than %d SQL statements", (int)STMTS_MAX);
        q = mem_new(sizeof(*q));
        q->store = s;
        q->sql = sql;
        s->stmts[s->nstmts++] = q;
    }
    if (q->q == NULL)
        stmt_prepare(q);
    sqlite3_reset(q->q);
    sqlite3_clear_bindings(q->q);
    return q;
}

/* A statement that could not be prepared takes no values; the call that runs it reports why. */
static void bound(const struct stmt *q, int code)
{
    if (q->q == NULL)
        return;
    if (code == SQLITE_NOMEM)
        out_of_memory();
    if (code != SQLITE_OK)
        bug("SQL parameter: %s: %s", sqlite3_errstr(code), q->sql);
}

void stmt_int(struct stmt *q, int i, int64_t v)
{
    bound(q, sqlite3_bind_int64(q->q, i, v));
}

void stmt_text(struct stmt *q, int i, const char *v)
{
    bound(q, sqlite3_bind_text(q->q, i, v, -1, SQLITE_TRANSIENT));
}

void stmt_blob(struct stmt *q, int i, struct span v)
{
    const void *p = v.n == 0 ? "" : (const void *)v.p; /* a null pointer would bind null */
    bound(q, sqlite3_bind_blob64(q->q, i, p, v.n, SQLITE_TRANSIENT));
}

static enum rc stmt_fail(struct stmt *q, int code, struct err *e)
{
    enum rc rc = store_fail(q->store, code, e);
    sqlite3_reset(q->q); /* after the message was taken: reset clears it */
    return rc;
}

enum rc stmt_run(struct stmt *q, struct err *e)
{
    if (q->q == NULL)
        return store_fail(q->store, q->code, e);
    int code = sqlite3_step(q->q);
    if (code == SQLITE_ROW)
        bug("SQL returns rows: %s", q->sql);
    if (code != SQLITE_DONE)
        return stmt_fail(q, code, e);
    sqlite3_reset(q->q);
    return RC_OK;
}

enum rc stmt_next(struct stmt *q, bool *ret_row, struct err *e)
{
    if (q->q == NULL)
        return store_fail(q->store, q->code, e);
    int code = sqlite3_step(q->q);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return stmt_fail(q, code, e);
    if (code == SQLITE_DONE)
        sqlite3_reset(q->q);
    *ret_row = code == SQLITE_ROW;
    return RC_OK;
}

void stmt_reset(struct stmt *q)
{
    sqlite3_reset(q->q);
}

int64_t stmt_col_int(struct stmt *q, int i)
{
    return sqlite3_column_int64(q->q, i);
}

const char *stmt_col_text(struct stmt *q, int i)
{
    const unsigned char *v = sqlite3_column_text(q->q, i);
    return v == NULL ? "" : (const char *)v;
}

struct span stmt_col_blob(struct stmt *q, int i)
{
    const void *p = sqlite3_column_blob(q->q, i);
    return (struct span){p, (size_t)sqlite3_column_bytes(q->q, i)};
}

bool stmt_col_null(struct stmt *q, int i)
{
    return sqlite3_column_type(q->q, i) == SQLITE_NULL;
}
