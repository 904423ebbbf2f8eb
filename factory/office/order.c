/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "factory/office/internal.h"
#include "factory/signed.h"
#include "sign/signer.h"
#include "x509/cert.h"

/* Times given in days count from the issue, once: the same specification later is still the same order. */
static void settle_times(struct order_spec *spec, int64_t now)
{
    struct order *o = &spec->order;
    o->issued = now;
    if (spec->validity_days > 0) {
        o->not_before = now;
        o->not_after = now + spec->validity_days * DAY - 1; /* both ends belong to it, RFC 5280 4.1.2.5 */
    }
    if (spec->window_days > 0) {
        o->window_from = now;
        o->window_until = now + spec->window_days * DAY;
    }
}

static enum rc next_sequence(struct office *o, uint64_t *ret, struct err *e)
{
    struct stmt *q = store_stmt(o->db, "SELECT coalesce(max(sequence), 0) + 1 FROM orders");
    bool row = false;
    enum rc rc = stmt_next(q, &row, e);
    if (rc == RC_OK)
        *ret = (uint64_t)stmt_col_int(q, 0);
    stmt_reset(q);
    return rc;
}

/* The order's JSON, read back with the rules of those who will read it. */
static enum rc encode_checked(const struct order_spec *s, struct bytes *ret, struct err *e)
{
    struct order *back = mem_new(sizeof(*back));
    order_encode(&s->order, ret);
    enum rc rc = order_decode(s->order.id, bytes_span(ret), back, e);
    if (rc == RC_OK)
        order_fini(back);
    else
        rc = err_prefix(e, "'%s' makes an order that nobody would take", s->path);
    free(back);
    return rc;
}

static enum rc sign_order(struct office *o, const struct order *order, struct span json, struct bytes *ret,
                          struct err *e)
{
    struct cms_chain chain = {0};
    struct signer *s = NULL;
    enum rc rc = office_chain(o, OFFICE_ORDER, order->issued, &chain, e);
    if (rc == RC_OK)
        rc = office_signer(o, OFFICE_ORDER, &s, e);
    if (rc == RC_OK)
        rc = signed_make(s, &chain, json, order->issued, ret, e);
    cms_chain_free(&chain);
    return rc;
}

static enum rc record(struct office *o, const struct stored_order *s, const struct order *order,
                      const struct order_files *files, struct err *e)
{
    struct bytes detail = BYTES_INIT;
    struct jsonw w;
    jsonw_init(&w, &detail);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "order", s->id);
    jsonw_int(&w, "sequence", (int64_t)order->sequence);
    jsonw_hex(&w, "sha256", (struct span){s->sha256, SHA256_LEN});
    jsonw_hex(&w, "spec_sha256", (struct span){s->spec, SHA256_LEN});
    jsonw_end(&w);

    enum rc rc = store_begin(o->db, e);
    if (rc == RC_OK)
        rc = stored_order_insert(o, s, order, files, e);
    if (rc == RC_OK)
        rc = audit_append(o->db, order->issued, "order", bytes_str(&detail), e);
    if (rc == RC_OK)
        rc = store_commit(o->db, e);
    store_rollback(o->db);
    bytes_free(&detail);
    return rc;
}

static enum rc make_order(struct office *o, struct order_spec *spec, struct stored_order *ret, struct err *e)
{
    struct order_files files = {0};
    struct stored_order s = {0};
    struct bytes json = BYTES_INIT;
    int64_t now = clock_now();

    settle_times(spec, now);
    enum rc rc = order_files_load(o, spec, now, &files, e);
    if (rc == RC_OK)
        rc = next_sequence(o, &spec->order.sequence, e);
    if (rc == RC_OK)
        rc = encode_checked(spec, &json, e);
    if (rc == RC_OK)
        rc = order_check(o, &spec->order, &files, e);
    if (rc == RC_OK)
        rc = sign_order(o, &spec->order, bytes_span(&json), &s.document, e);
    if (rc == RC_OK) {
        memcpy(s.id, spec->order.id, sizeof(s.id));
        memcpy(s.spec, spec->sha256, SHA256_LEN);
        sha256(bytes_span(&json), s.sha256);
        bytes_add_span(&s.ca, bytes_span(&files.ca->der));
        bytes_add_span(&s.ca_chain, bytes_span(&files.ca_chain));
        rc = record(o, &s, &spec->order, &files, e);
    }
    order_files_free(&files);
    bytes_free(&json);
    if (rc == RC_OK)
        *ret = s;
    else
        stored_order_free(&s);
    return rc;
}

/* The same text is the same order, whatever the files that it names have become meanwhile. */
static enum rc check_same(const struct stored_order *s, const struct order_spec *spec, const char *path,
                          struct err *e)
{
    if (memcmp(s->spec, spec->sha256, SHA256_LEN) == 0)
        return RC_OK;
    return err_set(
        e, RC_CONFLICT, "office.order-exists",
        "'%s': order '%s' was made from another specification: orders are never changed, so use another "
        "order id",
        path, s->id);
}

static enum rc write_order(const struct stored_order *s, const char *out, struct err *e)
{
    enum rc rc = file_create(out, 0644, bytes_span(&s->document), e);
    if (rc != RC_OK)
        rc = err_prefix(e, "order '%s' is signed, but not written; run the same command with another --out",
                        s->id);
    return rc;
}

enum rc office_order_new(struct office *o, const char *spec_path, const char *out, bool *ret_new,
                         struct err *e)
{
    struct order_spec *spec = NULL;
    struct stored_order stored = {0};
    bool found = false;

    enum rc rc = order_spec_read(spec_path, &spec, e);
    if (rc == RC_OK)
        rc = stored_order_by_id(o, spec->order.id, &stored, &found, e);
    if (rc == RC_OK && found)
        rc = check_same(&stored, spec, spec_path, e);
    if (rc == RC_OK && !found)
        rc = office_out_check(out, e);
    if (rc == RC_OK && !found)
        rc = make_order(o, spec, &stored, e);
    if (rc == RC_OK)
        rc = write_order(&stored, out, e);
    if (rc == RC_OK)
        *ret_new = !found;
    stored_order_free(&stored);
    order_spec_free(spec);
    return rc;
}
