/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "sign/digest.h"

/*
 * A database file of one home: SQLite in WAL mode with synchronous=FULL, foreign keys on, one writer at a
 * time. Its schema is made by numbered migrations; a database newer than the tool is refused. sqlite3.h stays
 * inside this module. A store is used by one thread at a time.
 */
struct store;
struct stmt;

/* One migration step: SQL text, applied once, in order, each in a transaction of its own. Number = index + 1.
 * Never edited after it shipped. */
struct migration {
    const char *sql;
};

/* Opens or makes (mode 0600) the database and brings it up to date. RC_SYSTEM store.open, store.corrupt
 * (damaged, or its recorded steps are not these), store.read-only, store.full; RC_CONFLICT store.newer,
 * store.busy (5 s). */
NODISCARD enum rc store_open(const char *path, const struct migration *steps, size_t nsteps,
                             struct store **ret, struct err *e);
void store_close(struct store *s); /* NULL is allowed; an open transaction is rolled back */

/* Transactions do not nest. commit returns when the transaction is durable; a failed one is rolled back.
 * rollback is safe when none is open. After any failure but store.constraint the transaction is to be rolled
 * back. */
NODISCARD enum rc store_begin(struct store *s, struct err *e);
NODISCARD enum rc store_commit(struct store *s, struct err *e);
void store_rollback(struct store *s);

/*
 * Statements: prepared once per SQL text and kept by the store; store_stmt returns it reset and unbound. The
 * text is a string constant of ours (the cache is keyed by its address first). Malformed SQL is a bug.
 * Parameters count from 1, columns from 0.
 */
struct stmt *store_stmt(struct store *s, const char *sql);
void stmt_int(struct stmt *q, int i, int64_t v);
void stmt_text(struct stmt *q, int i, const char *v); /* NULL binds null; copied */
void stmt_blob(struct stmt *q, int i, struct span v); /* copied */
/* Runs a statement that returns no rows. RC_CONFLICT store.constraint when a UNIQUE or CHECK constraint
 * refused it; RC_SYSTEM store.full, store.io. */
NODISCARD enum rc stmt_run(struct stmt *q, struct err *e);
/* The next row; *ret_row is false at the end (the statement is then reset). */
NODISCARD enum rc stmt_next(struct stmt *q, bool *ret_row, struct err *e);
void stmt_reset(struct stmt *q); /* ends reading early */
int64_t stmt_col_int(struct stmt *q, int i);
const char *stmt_col_text(struct stmt *q, int i); /* "" for null; valid until the next call on q */
struct span stmt_col_blob(struct stmt *q, int i); /* likewise */
bool stmt_col_null(struct stmt *q, int i);
int64_t store_changes(struct store *s); /* rows the last stmt_run changed */

/*
 * The audit log: rows (seq, time, event, detail JSON, hash) in the same database, where hash =
 * SHA-256(previous hash || SHA-256(seq || time || event || detail)) with the fields length-prefixed. Written
 * in the open transaction of what it describes (without one: a bug), so neither exists without the other.
 * store_open makes its table.
 */
NODISCARD enum rc audit_append(struct store *s, int64_t time, const char *event, const char *detail_json,
                               struct err *e);
/* Recomputes the whole chain. RC_INPUT store.audit names the first row that does not fit. head and count of
 * the intact log. */
NODISCARD enum rc audit_verify(struct store *s, uint8_t ret_head[static SHA256_LEN], int64_t *ret_count,
                               struct err *e);

#endif
