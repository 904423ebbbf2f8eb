/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/file.h"
#include "sign/chain.h"
#include "store/store.h"

static const struct migration steps[] = {
    {"CREATE TABLE thing (name TEXT NOT NULL UNIQUE, size INTEGER CHECK (size > 0), raw BLOB) STRICT"},
    {"ALTER TABLE thing ADD COLUMN note TEXT; CREATE INDEX thing_size ON thing (size)"},
    {"INSERT INTO thing (name, size) VALUES ('from step 3', 3)"},
};

/* A folder of its own for every test, with the database's path. */
struct fixture {
    char dir[64];
    char *path;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    strcpy(f->dir, "/tmp/keymill-store-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->path = path_join(f->dir, "t.db");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    assert_int_equal(dir_remove(f->dir, &e), RC_OK);
    free(f->path);
    free(f);
    return 0;
}

static struct store *opened(const struct fixture *f, size_t n)
{
    struct store *s = NULL;
    struct err e = ERR_INIT;
    if (store_open(f->path, steps, n, &s, &e) != RC_OK)
        fail_msg("%s [%s]", e.text, e.key);
    return s;
}

static void must(enum rc rc, const struct err *e)
{
    if (rc != RC_OK)
        fail_msg("%s [%s]", e->text, e->key);
}

/* Changes the database behind the store's back, as somebody with an editor would. */
static void tamper(const struct fixture *f, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    char *text = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK)
        fail_msg("%s", text);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int64_t number(struct store *s, const char *sql)
{
    struct err e = ERR_INIT;
    struct stmt *q = store_stmt(s, sql);
    bool row = false;
    must(stmt_next(q, &row, &e), &e);
    assert_true(row);
    int64_t v = stmt_col_int(q, 0);
    stmt_reset(q);
    return v;
}

static enum rc add(struct store *s, const char *name, int64_t size, struct err *e)
{
    struct stmt *q = store_stmt(s, "INSERT INTO thing (name, size) VALUES (?, ?)");
    stmt_text(q, 1, name);
    stmt_int(q, 2, size);
    return stmt_run(q, e);
}

static void test_open_makes_a_private_wal_database(void **state)
{
    struct fixture *f = *state;
    umask(0);
    struct store *s = opened(f, 3);
    struct err e = ERR_INIT;
    must(add(s, "a", 1, &e), &e);
    char *wal = mem_printf("%s-wal", f->path);
    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(wal, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(number(s, "PRAGMA synchronous"), 2);
    assert_int_equal(number(s, "PRAGMA foreign_keys"), 1);
    assert_int_equal(number(s, "PRAGMA trusted_schema"), 0);
    free(wal);
    store_close(s);
}

static void test_steps_are_applied_once_and_in_order(void **state)
{
    struct fixture *f = *state;
    struct store *s = opened(f, 1);
    assert_int_equal(number(s, "PRAGMA user_version"), 1);
    store_close(s);
    s = opened(f, 3);
    store_close(s);
    s = opened(f, 3);
    assert_int_equal(number(s, "PRAGMA user_version"), 3);
    assert_int_equal(number(s, "SELECT count(*) FROM thing"), 1);
    assert_int_equal(
        number(
            s,
            "SELECT group_concat(number, '') = '0123' FROM (SELECT number FROM schema_step ORDER BY number)"),
        1);
    store_close(s);
}

static void test_a_failing_step_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    const struct migration bad[] = {
        steps[0],
        {"CREATE TABLE other (a INTEGER) STRICT; INSERT INTO thing (name, size) VALUES ('x', 0)"}, /* the
                                                                                                      CHECK
                                                                                                      refuses
                                                                                                      0 */
    };
    struct store *s = NULL;
    struct err e = ERR_INIT;
    assert_int_equal(store_open(f->path, bad, 2, &s, &e), RC_CONFLICT);
    assert_string_equal(e.key, "store.constraint");
    assert_null(s);
    s = opened(f, 1);
    assert_int_equal(number(s, "SELECT count(*) FROM sqlite_schema WHERE name = 'other'"), 0);
    store_close(s);
}

static void test_a_newer_or_foreign_schema_is_refused(void **state)
{
    struct fixture *f = *state;
    store_close(opened(f, 3));
    struct store *s = NULL;
    struct err e = ERR_INIT;
    assert_int_equal(store_open(f->path, steps, 2, &s, &e), RC_CONFLICT);
    assert_string_equal(e.key, "store.newer");
    const struct migration others[] = {steps[0], {"SELECT 1"}, steps[2]};
    assert_int_equal(store_open(f->path, others, 3, &s, &e), RC_SYSTEM);
    assert_string_equal(e.key, "store.corrupt");
    assert_non_null(strstr(e.text, "step 2"));
}

static void test_damage_is_named(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    struct store *s = NULL;
    static const char junk[] = "this is not a database at all, and long enough to be looked at; "
                               "this is not a database at all, and long enough to be looked at";
    must(file_publish(f->path, 0600, SPAN(junk), &e), &e);
    assert_int_equal(store_open(f->path, steps, 3, &s, &e), RC_SYSTEM);
    assert_string_equal(e.key, "store.corrupt");
    char *nowhere = path_join(f->dir, "no/such/t.db");
    assert_int_equal(store_open(nowhere, steps, 3, &s, &e), RC_SYSTEM);
    assert_string_equal(e.key, "store.open");
    free(nowhere);
}

static void test_values_come_back(void **state)
{
    struct fixture *f = *state;
    struct store *s = opened(f, 3);
    struct err e = ERR_INIT;
    struct stmt *q = store_stmt(s, "INSERT INTO thing (name, size, raw, note) VALUES (?, ?, ?, ?)");
    stmt_text(q, 1, "n");
    stmt_int(q, 2, INT64_MAX);
    stmt_blob(q, 3, (struct span){(const uint8_t *)"a\0b", 3});
    stmt_text(q, 4, NULL);
    must(stmt_run(q, &e), &e);
    assert_int_equal(store_changes(s), 1);
    /* unbound again: the values of the first run must not come back */
    q = store_stmt(s, "INSERT INTO thing (name, size, raw, note) VALUES (?, ?, ?, ?)");
    stmt_text(q, 1, "m");
    stmt_blob(q, 3, (struct span){NULL, 0});
    must(stmt_run(q, &e), &e);

    bool row = false;
    q = store_stmt(s, "SELECT name, size, raw, note FROM thing WHERE name IN ('n', 'm') ORDER BY name DESC");
    must(stmt_next(q, &row, &e), &e);
    assert_true(row);
    assert_string_equal(stmt_col_text(q, 0), "n");
    assert_true(stmt_col_int(q, 1) == INT64_MAX);
    assert_true(span_eq(stmt_col_blob(q, 2), (struct span){(const uint8_t *)"a\0b", 3}));
    assert_true(stmt_col_null(q, 3));
    assert_string_equal(stmt_col_text(q, 3), "");
    must(stmt_next(q, &row, &e), &e);
    assert_true(row);
    assert_true(stmt_col_null(q, 1));
    assert_false(stmt_col_null(q, 2));
    assert_int_equal(stmt_col_blob(q, 2).n, 0);
    must(stmt_next(q, &row, &e), &e);
    assert_false(row);
    store_close(s);
}

static void test_constraints_are_conflicts_and_the_transaction_goes_on(void **state)
{
    struct fixture *f = *state;
    struct store *s = opened(f, 3);
    struct err e = ERR_INIT;
    must(store_begin(s, &e), &e);
    must(add(s, "a", 1, &e), &e);
    assert_int_equal(add(s, "a", 1, &e), RC_CONFLICT);
    assert_string_equal(e.key, "store.constraint");
    assert_int_equal(add(s, "b", 0, &e), RC_CONFLICT);
    assert_string_equal(e.key, "store.constraint");
    must(add(s, "c", 1, &e), &e);
    must(store_commit(s, &e), &e);
    assert_int_equal(number(s, "SELECT count(*) FROM thing WHERE name IN ('a', 'c')"), 2);
    store_close(s);
}

static void test_rollback_and_close_leave_nothing(void **state)
{
    struct fixture *f = *state;
    struct store *s = opened(f, 3);
    struct err e = ERR_INIT;
    store_rollback(s); /* safe without one */
    must(store_begin(s, &e), &e);
    must(add(s, "a", 1, &e), &e);
    must(audit_append(s, 1, "x", "{}", &e), &e);
    store_rollback(s);
    must(store_begin(s, &e), &e);
    must(add(s, "b", 1, &e), &e);
    store_close(s);
    s = opened(f, 3);
    assert_int_equal(number(s, "SELECT count(*) FROM thing WHERE name IN ('a', 'b')"), 0);
    assert_int_equal(number(s, "SELECT count(*) FROM audit"), 0);
    store_close(s);
}

static void test_a_second_writer_is_told(void **state)
{
    struct fixture *f = *state;
    struct store *one = opened(f, 3), *two = opened(f, 3);
    struct err e = ERR_INIT;
    must(store_begin(one, &e), &e);
    assert_int_equal(store_begin(two, &e), RC_CONFLICT);
    assert_string_equal(e.key, "store.busy");
    must(store_commit(one, &e), &e);
    must(store_begin(two, &e), &e);
    store_rollback(two);
    store_close(one);
    store_close(two);
}

/* PRAGMA max_page_count makes the same SQLITE_FULL as a full disk. */
static void test_a_full_database_is_told_and_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct store *s = opened(f, 3);
    struct err e = ERR_INIT;
    number(s, "PRAGMA max_page_count=1");
    must(store_begin(s, &e), &e);
    must(add(s, "a", 1, &e), &e);
    struct stmt *q = store_stmt(s, "INSERT INTO thing (name, raw) VALUES ('big', zeroblob(1000000))");
    assert_int_equal(stmt_run(q, &e), RC_SYSTEM);
    assert_string_equal(e.key, "store.full");
    assert_non_null(strstr(e.text, f->dir));
    store_rollback(s);
    assert_int_equal(number(s, "SELECT count(*) FROM thing WHERE name IN ('a', 'big')"), 0);
    store_close(s);
}

/* ---- audit ---- */

static void audit_fill(const struct fixture *f, int n)
{
    struct store *s = opened(f, 3);
    struct err e = ERR_INIT;
    for (int i = 1; i <= n; i++) {
        char detail[64];
        snprintf(detail, sizeof(detail), "{\"n\":%d}", i);
        must(store_begin(s, &e), &e);
        must(audit_append(s, 1000 + i, i % 2 == 0 ? "even" : "odd", detail, &e), &e);
        must(store_commit(s, &e), &e);
    }
    store_close(s);
}

static void audit_must_fail(const struct fixture *f, const char *says)
{
    struct store *s = opened(f, 3);
    struct err e = ERR_INIT;
    uint8_t head[SHA256_LEN];
    int64_t count = -1;
    assert_int_equal(audit_verify(s, head, &count, &e), RC_INPUT);
    assert_string_equal(e.key, "store.audit");
    if (strstr(e.text, says) == NULL)
        fail_msg("'%s' is not in: %s", says, e.text);
    assert_int_equal(count, -1);
    store_close(s);
}

static void test_audit_chain_is_as_documented(void **state)
{
    struct fixture *f = *state;
    audit_fill(f, 2);
    struct store *s = opened(f, 3);
    struct err e = ERR_INIT;
    uint8_t head[SHA256_LEN], want[SHA256_LEN] = {0};
    int64_t count = 0;
    must(audit_verify(s, head, &count, &e), &e);
    assert_int_equal(count, 2);
    static const char one[] = "\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\x03\xe9"
                              "\0\0\0\0\0\0\0\x03odd\0\0\0\0\0\0\0\x07{\"n\":1}";
    static const char two[] = "\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\x03\xea"
                              "\0\0\0\0\0\0\0\x04"
                              "even\0\0\0\0\0\0\0\x07{\"n\":2}";
    uint8_t first[SHA256_LEN];
    hash_chain(want, SPAN(one), first);
    hash_chain(first, SPAN(two), want);
    assert_memory_equal(head, want, SHA256_LEN);
    store_close(s);
}

static void test_audit_of_an_empty_log(void **state)
{
    struct store *s = opened(*state, 3);
    struct err e = ERR_INIT;
    uint8_t head[SHA256_LEN], zero[SHA256_LEN] = {0};
    int64_t count = -1;
    must(audit_verify(s, head, &count, &e), &e);
    assert_int_equal(count, 0);
    assert_memory_equal(head, zero, SHA256_LEN);
    store_close(s);
}

#define UNLOCK "DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete; "

static void test_audit_triggers_refuse_our_own_mistakes(void **state)
{
    struct fixture *f = *state;
    audit_fill(f, 2);
    struct store *s = opened(f, 3);
    struct err e = ERR_INIT;
    assert_int_equal(stmt_run(store_stmt(s, "UPDATE audit SET time = 0"), &e), RC_CONFLICT);
    assert_int_equal(stmt_run(store_stmt(s, "DELETE FROM audit"), &e), RC_CONFLICT);
    store_close(s);
}

static void test_audit_names_a_changed_row(void **state)
{
    struct fixture *f = *state;
    audit_fill(f, 5);
    tamper(f, UNLOCK "UPDATE audit SET detail = '{\"n\":33}' WHERE seq = 3");
    audit_must_fail(f, "row 3 ");
    tamper(
        f,
        "UPDATE audit SET detail = '{\"n\":3}' WHERE seq = 3; UPDATE audit SET time = time + 1 WHERE seq = 1");
    audit_must_fail(f, "row 1 ");
    tamper(f, "UPDATE audit SET time = time - 1 WHERE seq = 1; UPDATE audit SET event = 'eve' WHERE seq = 4");
    audit_must_fail(f, "row 4 ");
}

static void test_audit_sees_what_hides_behind_a_nul(void **state)
{
    struct fixture *f = *state;
    audit_fill(f, 3);
    tamper(f, UNLOCK "UPDATE audit SET detail = detail || char(0) || 'x' WHERE seq = 2");
    audit_must_fail(f, "row 2 ");
}

static void test_audit_names_a_deleted_row(void **state)
{
    struct fixture *f = *state;
    audit_fill(f, 5);
    tamper(f, UNLOCK "DELETE FROM audit WHERE seq = 2");
    audit_must_fail(f, "row 2 is missing");
}

static void test_audit_names_a_row_cut_off_at_the_end(void **state)
{
    struct fixture *f = *state;
    audit_fill(f, 5);
    tamper(f, UNLOCK "DELETE FROM audit WHERE seq >= 4");
    audit_must_fail(f, "row 4 is missing");
}

static void test_audit_names_the_first_of_reordered_rows(void **state)
{
    struct fixture *f = *state;
    audit_fill(f, 5);
    tamper(f, UNLOCK "UPDATE audit SET seq = 99 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 3;"
                     "UPDATE audit SET seq = 3 WHERE seq = 99");
    audit_must_fail(f, "row 2 ");
}

static void test_audit_goes_on_only_from_a_real_head(void **state)
{
    struct fixture *f = *state;
    audit_fill(f, 2);
    tamper(f, UNLOCK "PRAGMA ignore_check_constraints=ON; UPDATE audit SET hash = x'00' WHERE seq = 2");
    struct store *s = opened(f, 3);
    struct err e = ERR_INIT;
    must(store_begin(s, &e), &e);
    assert_int_equal(audit_append(s, 1, "x", "{}", &e), RC_INPUT);
    assert_string_equal(e.key, "store.audit");
    store_close(s);
}

#define UNIT(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(test_open_makes_a_private_wal_database),
        UNIT(test_steps_are_applied_once_and_in_order),
        UNIT(test_a_failing_step_leaves_nothing),
        UNIT(test_a_newer_or_foreign_schema_is_refused),
        UNIT(test_damage_is_named),
        UNIT(test_values_come_back),
        UNIT(test_constraints_are_conflicts_and_the_transaction_goes_on),
        UNIT(test_rollback_and_close_leave_nothing),
        UNIT(test_a_second_writer_is_told),
        UNIT(test_a_full_database_is_told_and_changes_nothing),
        UNIT(test_audit_chain_is_as_documented),
        UNIT(test_audit_of_an_empty_log),
        UNIT(test_audit_triggers_refuse_our_own_mistakes),
        UNIT(test_audit_names_a_changed_row),
        UNIT(test_audit_sees_what_hides_behind_a_nul),
        UNIT(test_audit_names_a_deleted_row),
        UNIT(test_audit_names_a_row_cut_off_at_the_end),
        UNIT(test_audit_names_the_first_of_reordered_rows),
        UNIT(test_audit_goes_on_only_from_a_real_head),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
