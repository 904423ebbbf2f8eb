/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_DB_H
#define STORE_DB_H

#include <sqlite3.h>

#include "store/store.h"

/* Private to this module. */

enum {
    STMTS_MAX = 64,      /* statements one store keeps; we have some thirty SQL texts */
    BUSY_WAIT_MS = 5000, /* how long a writer waits for another process */
    WAL_PAGES =
        10000, /* 40 MB of log between checkpoints: a group of certificates then costs one fsync, not two */
    PAGE_CACHE_KIB = 65536, /* serials are random: the index over a million of them has to stay in memory */
};

struct stmt {
    struct store *store;
    const char *sql;
    sqlite3_stmt *q; /* NULL while preparing failed; code then says why */
    int code;
};

struct store {
    sqlite3 *db;
    char *path;
    char *dir;
    struct stmt *stmts[STMTS_MAX];
    size_t nstmts;
};

/* The one place where SQLite's result codes become ours. code is not SQLITE_OK. */
enum rc store_fail(struct store *s, int code, struct err *e);
/* Runs SQL text of one or more statements that return no rows. */
NODISCARD enum rc store_exec(struct store *s, const char *sql, struct err *e);
/* Runs SQL that returns one integer in one row. */
NODISCARD enum rc store_number(struct store *s, const char *sql, int64_t *ret, struct err *e);
/* Brings the schema up to date (migrate.c). */
NODISCARD enum rc store_migrate(struct store *s, const struct migration *steps, size_t nsteps, struct err *e);

/* The audit log's table, part of the store's own step (audit.c). */
extern const char audit_schema[];

#endif
