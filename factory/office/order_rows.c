/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "factory/office/internal.h"
#include "factory/signed.h"
#include "x509/cert.h"

void stored_order_free(struct stored_order *s)
{
    bytes_free(&s->document);
    bytes_free(&s->ca);
    bytes_free(&s->ca_chain);
}

static void take_hash(struct stmt *q, int col, uint8_t ret[static SHA256_LEN])
{
    struct span v = stmt_col_blob(q, col);
    if (v.n != SHA256_LEN)
        bug("a hash of %zu octets in the office's database", v.n);
    memcpy(ret, v.p, SHA256_LEN);
}

/* q selects id, spec, sha256, document, ca, ca_chain. */
static enum rc read_order(struct stmt *q, struct stored_order *ret, bool *ret_found, struct err *e)
{
    struct stored_order s = {0};
    bool row = false;
    enum rc rc = stmt_next(q, &row, e);
    if (rc == RC_OK && row) {
        strncpy(s.id, stmt_col_text(q, 0), sizeof(s.id) - 1);
        take_hash(q, 1, s.spec);
        take_hash(q, 2, s.sha256);
        bytes_add_span(&s.document, stmt_col_blob(q, 3));
        bytes_add_span(&s.ca, stmt_col_blob(q, 4));
        bytes_add_span(&s.ca_chain, stmt_col_blob(q, 5));
        *ret = s;
    }
    if (rc == RC_OK)
        *ret_found = row;
    stmt_reset(q);
    return rc;
}

enum rc stored_order_by_id(struct office *o, const char *id, struct stored_order *ret, bool *ret_found,
                           struct err *e)
{
    struct stmt *q =
        store_stmt(o->db, "SELECT id, spec, sha256, document, ca, ca_chain FROM orders WHERE id = ?1");
    stmt_text(q, 1, id);
    return read_order(q, ret, ret_found, e);
}

enum rc stored_order_by_sha256(struct office *o, const uint8_t sha256[static SHA256_LEN],
                               struct stored_order *ret, bool *ret_found, struct err *e)
{
    struct stmt *q =
        store_stmt(o->db, "SELECT id, spec, sha256, document, ca, ca_chain FROM orders WHERE sha256 = ?1");
    stmt_blob(q, 1, (struct span){sha256, SHA256_LEN});
    return read_order(q, ret, ret_found, e);
}

enum rc stored_order_decode(const struct stored_order *s, struct order *ret, struct err *e)
{
    struct signed_doc d = {0};
    enum rc rc = signed_peek(s->id, bytes_span(&s->document), &d, e);
    if (rc != RC_OK)
        return rc;
    rc = order_decode(s->id, bytes_span(&d.content), ret, e);
    if (rc == RC_OK)
        memcpy(ret->sha256, s->sha256, SHA256_LEN);
    signed_free(&d);
    return rc;
}

enum rc stored_order_seal(struct office *o, const char *order, const char *station, struct bytes *ret,
                          struct err *e)
{
    struct stmt *q = store_stmt(o->db, "SELECT seal FROM stations WHERE order_id = ?1 AND name = ?2");
    stmt_text(q, 1, order);
    stmt_text(q, 2, station);
    bool row = false;
    enum rc rc = stmt_next(q, &row, e);
    if (rc == RC_OK && !row)
        bug("order '%s' has no row for its station '%s'", order, station);
    if (rc == RC_OK)
        bytes_add_span(ret, stmt_col_blob(q, 0));
    stmt_reset(q);
    return rc;
}

static enum rc insert_station(struct office *o, const char *order, const struct order_station *s,
                              const struct cert *seal, struct err *e)
{
    struct stmt *q =
        store_stmt(o->db, "INSERT INTO stations (order_id, name, manifest_sha256, seal_sha256, seal, "
                          "sequence, quantity, prefix, digits, first, count)"
                          " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)");
    stmt_text(q, 1, order);
    stmt_text(q, 2, s->name);
    stmt_blob(q, 3, (struct span){s->manifest, SHA256_LEN});
    stmt_blob(q, 4, (struct span){s->seal, SHA256_LEN});
    stmt_blob(q, 5, bytes_span(&seal->der));
    stmt_int(q, 6, (int64_t)s->sequence);
    stmt_int(q, 7, (int64_t)s->quantity);
    stmt_text(q, 8, s->ids.prefix);
    stmt_int(q, 9, s->ids.digits);
    stmt_int(q, 10, (int64_t)s->ids.first);
    stmt_int(q, 11, (int64_t)s->ids.count);
    return stmt_run(q, e);
}

enum rc stored_order_insert(struct office *o, const struct stored_order *s, const struct order *order,
                            const struct order_files *files, struct err *e)
{
    struct stmt *q =
        store_stmt(o->db, "INSERT INTO orders (id, sequence, issued, spec, document, sha256, ca, ca_chain)"
                          " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
    stmt_text(q, 1, s->id);
    stmt_int(q, 2, (int64_t)order->sequence);
    stmt_int(q, 3, order->issued);
    stmt_blob(q, 4, (struct span){s->spec, SHA256_LEN});
    stmt_blob(q, 5, bytes_span(&s->document));
    stmt_blob(q, 6, (struct span){s->sha256, SHA256_LEN});
    stmt_blob(q, 7, bytes_span(&s->ca));
    stmt_blob(q, 8, bytes_span(&s->ca_chain));
    enum rc rc = stmt_run(q, e);
    for (size_t i = 0; rc == RC_OK && i < order->nstations; i++)
        rc = insert_station(o, s->id, &order->stations[i], files->seal[i], e);
    return rc;
}
