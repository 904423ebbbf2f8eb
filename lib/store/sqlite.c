/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "store/db.h"

static bool no_space(struct store *s, int code)
{
    if ((code & 0xff) == SQLITE_FULL || code == SQLITE_IOERR_SHMSIZE)
        return true;
    int os = s->db == NULL ? 0 : sqlite3_system_errno(s->db);
    return (code & 0xff) == SQLITE_IOERR && (os == ENOSPC || os == EDQUOT);
}

enum rc store_fail(struct store *s, int code, struct err *e)
{
    if (no_space(s, code))
        return err_set(e, RC_SYSTEM, "store.full",
                       "database '%s': no space left in '%s'; free some and run again", s->path, s->dir);
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        out_of_memory();
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return err_set(e, RC_SYSTEM, "store.read-only",
                       "database '%s' cannot be written; make it and '%s' writable for this user", s->path,
                       s->dir);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return err_set(e, RC_SYSTEM, "store.corrupt",
                       "database '%s' is damaged or none of ours: %s; restore it from a backup", s->path,
                       sqlite3_errstr(code));
    case SQLITE_CONSTRAINT:
        return err_set(e, RC_CONFLICT, "store.constraint", "database '%s': %s", s->path,
                       sqlite3_errmsg(s->db));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return err_set(e, RC_CONFLICT, "store.busy",
                       "database '%s' is in use by another process, waited %d s", s->path,
                       BUSY_WAIT_MS / 1000);
    case SQLITE_IOERR:
    case SQLITE_INTERRUPT:
    case SQLITE_ABORT:
        return err_set(e, RC_SYSTEM, "store.io", "database '%s': %s", s->path, sqlite3_errstr(code));
    default:
        bug("database: %s", s->db == NULL ? sqlite3_errstr(code) : sqlite3_errmsg(s->db));
    }
}

enum rc store_exec(struct store *s, const char *sql, struct err *e)
{
    int code = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? RC_OK : store_fail(s, code, e);
}

enum rc store_number(struct store *s, const char *sql, int64_t *ret, struct err *e)
{
    struct stmt *q = store_stmt(s, sql);
    bool row = false;
    enum rc rc = stmt_next(q, &row, e);
    if (rc != RC_OK)
        return rc;
    if (!row)
        bug("no row from: %s", sql);
    *ret = stmt_col_int(q, 0);
    stmt_reset(q);
    return RC_OK;
}

/*
 * SQLite gives its log and index files the mode of the database file, so that mode is set before SQLite sees
 * it. Only a file we have just made is closed here: closing any other descriptor of a database would drop the
 * locks this process holds on it.
 */
static enum rc file_prepare(struct store *s, struct err *e)
{
    int fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        close(fd);
        return RC_OK;
    }
    if (errno == EEXIST)
        return RC_OK;
    if (errno == ENOSPC || errno == EDQUOT)
        return store_fail(s, SQLITE_FULL, e);
    if (errno == EROFS || errno == EACCES || errno == EPERM)
        return store_fail(s, SQLITE_READONLY, e);
    return err_sys(e, "store.open", "cannot make database '%s'", s->path);
}

/* WAL with synchronous=FULL: a commit is one append and one fsync, and is durable when it returns. */
static enum rc connection_set_up(struct store *s, struct err *e)
{
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_timeout(s->db, BUSY_WAIT_MS);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if (sqlite3_db_readonly(s->db, "main") != 0)
        return store_fail(s, SQLITE_READONLY, e);
    char sql[256];
    sqlite3_snprintf(
        (int)sizeof(sql), sql,
        "PRAGMA trusted_schema=OFF; PRAGMA foreign_keys=ON; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
        "PRAGMA wal_autocheckpoint=%d; PRAGMA cache_size=-%d; PRAGMA temp_store=MEMORY;",
        (int)WAL_PAGES, (int)PAGE_CACHE_KIB);
    return store_exec(s, sql, e);
}

static enum rc connection_check(struct store *s, struct err *e)
{
    struct stmt *q = store_stmt(s, "PRAGMA journal_mode");
    bool row = false;
    enum rc rc = stmt_next(q, &row, e);
    if (rc != RC_OK)
        return rc;
    bool wal = row && strcmp(stmt_col_text(q, 0), "wal") == 0;
    stmt_reset(q);
    if (!wal)
        return err_set(e, RC_SYSTEM, "store.open",
                       "database '%s' cannot use a write-ahead log here; put it on a local file system",
                       s->path);
    return RC_OK;
}

enum rc store_open(const char *path, const struct migration *steps, size_t nsteps, struct store **ret,
                   struct err *e)
{
    struct store *s = mem_new(sizeof(*s));
    s->path = mem_str(path);
    s->dir = path_dir(path);
    int code = SQLITE_OK;
    enum rc rc = file_prepare(s, e);
    if (rc != RC_OK)
        goto out;
    /* One thread at a time uses a store, so SQLite's own mutexes would only cost. */
    code = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK) {
        rc = store_fail(s, code, e);
        goto out;
    }
    rc = connection_set_up(s, e);
    if (rc == RC_OK)
        rc = connection_check(s, e);
    if (rc == RC_OK)
        rc = store_migrate(s, steps, nsteps, e);
    if (rc != RC_OK)
        goto out;
    *ret = s;
    s = NULL;
out:
    store_close(s);
    return rc;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->nstmts; i++) {
        sqlite3_finalize(s->stmts[i]->q);
        free(s->stmts[i]);
    }
    sqlite3_close(s->db); /* rolls an open transaction back */
    free(s->path);
    free(s->dir);
    free(s);
}

enum rc store_begin(struct store *s, struct err *e)
{
    if (sqlite3_get_autocommit(s->db) == 0)
        bug("transaction inside a transaction");
    return store_exec(s, "BEGIN IMMEDIATE", e);
}

enum rc store_commit(struct store *s, struct err *e)
{
    if (sqlite3_get_autocommit(s->db) != 0)
        bug("commit without a transaction");
    enum rc rc = store_exec(s, "COMMIT", e);
    if (rc != RC_OK)
        store_rollback(s);
    return rc;
}

void store_rollback(struct store *s)
{
    /* SQLite rolls back by itself after some failures (a full disk, say); asking again would be an error of
     * ours. */
    if (sqlite3_get_autocommit(s->db) == 0)
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

int64_t store_changes(struct store *s)
{
    return sqlite3_changes64(s->db);
}
