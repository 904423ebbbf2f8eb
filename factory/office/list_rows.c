/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "factory/office/internal.h"

void stored_list_free(struct stored_list *l)
{
    bytes_free(&l->document);
}

enum rc stored_list_find(struct office *o, int kind, const uint8_t request[static SHA256_LEN],
                         struct stored_list *ret, bool *ret_found, struct err *e)
{
    struct stmt *q =
        store_stmt(o->db, "SELECT sequence, devices, document FROM lists WHERE kind = ?1 AND request = ?2");
    bool row = false;
    stmt_int(q, 1, kind);
    stmt_blob(q, 2, (struct span){request, SHA256_LEN});
    enum rc rc = stmt_next(q, &row, e);
    if (rc == RC_OK && row) {
        ret->sequence = (uint64_t)stmt_col_int(q, 0);
        ret->devices = (uint64_t)stmt_col_int(q, 1);
        bytes_add_span(&ret->document, stmt_col_blob(q, 2));
    }
    if (rc == RC_OK)
        *ret_found = row;
    stmt_reset(q);
    return rc;
}

enum rc stored_list_next(struct office *o, int kind, uint64_t *ret_sequence,
                         uint8_t ret_previous[static SHA256_LEN], struct err *e)
{
    struct stmt *q = store_stmt(
        o->db, "SELECT sequence, sha256 FROM lists WHERE kind = ?1 ORDER BY sequence DESC LIMIT 1");
    bool row = false;
    stmt_int(q, 1, kind);
    enum rc rc = stmt_next(q, &row, e);
    memset(ret_previous, 0, SHA256_LEN);
    *ret_sequence = 1;
    if (rc == RC_OK && row) {
        struct span hash = stmt_col_blob(q, 1);
        if (hash.n != SHA256_LEN)
            bug("a hash of %zu octets in the office's database", hash.n);
        memcpy(ret_previous, hash.p, SHA256_LEN);
        *ret_sequence = (uint64_t)stmt_col_int(q, 0) + 1;
    }
    stmt_reset(q);
    return rc;
}

enum rc stored_list_insert(struct office *o, int kind, const uint8_t request[static SHA256_LEN],
                           int64_t issued, const struct stored_list *l, struct err *e)
{
    struct stmt *q =
        store_stmt(o->db, "INSERT INTO lists (kind, sequence, request, issued, devices, document, sha256)"
                          " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
    stmt_int(q, 1, kind);
    stmt_int(q, 2, (int64_t)l->sequence);
    stmt_blob(q, 3, (struct span){request, SHA256_LEN});
    stmt_int(q, 4, issued);
    stmt_int(q, 5, (int64_t)l->devices);
    stmt_blob(q, 6, bytes_span(&l->document));
    stmt_blob(q, 7, (struct span){l->sha256, SHA256_LEN});
    return stmt_run(q, e);
}
