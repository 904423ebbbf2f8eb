/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "factory/manifest.h"
#include "factory/office/internal.h"
#include "factory/signed.h"
#include "x509/cert.h"

/* A manifest on its way into the inventory. */
struct intake {
    struct office *office;
    const char *path; /* the manifest's, for messages */
    struct trust trust;
    struct cms_chain cas; /* the office's own, with the CRLs it knows */
    struct checkpoint checkpoint;
    uint8_t checkpoint_sha256[SHA256_LEN], signer[SHA256_LEN];
    struct stored_order stored;
    struct order order;
    const struct order_station *station; /* in order */
    struct cert *ca;                     /* whose devices these must be */
};

static void intake_fini(struct intake *in)
{
    cert_free(in->ca);
    order_fini(&in->order);
    stored_order_free(&in->stored);
    cms_chain_free(&in->cas);
}

/* ---- which order and station ---- */

static enum rc read_checkpoint(struct intake *in, const char *path, struct err *e)
{
    struct bytes der = BYTES_INIT;
    struct signed_doc d = {0};
    enum rc rc = file_read(path, FILE_DOC_MAX, &der, e);
    if (rc == RC_OK)
        rc = signed_open(path, bytes_span(&der), &in->trust, ROLE_STATION_MANIFEST, &d, e);
    if (rc == RC_OK)
        rc = checkpoint_decode(path, bytes_span(&d.content), &in->checkpoint, e);
    if (rc == RC_OK) {
        memcpy(in->checkpoint_sha256, d.sha256, SHA256_LEN);
        memcpy(in->signer, d.signer, SHA256_LEN);
    }
    signed_free(&d);
    bytes_free(&der);
    return rc;
}

static enum rc find_order(struct intake *in, struct err *e)
{
    const struct checkpoint *c = &in->checkpoint;
    bool found = false;
    enum rc rc = stored_order_by_id(in->office, c->order, &in->stored, &found, e);
    if (rc != RC_OK)
        return rc;
    if (!found || memcmp(in->stored.sha256, c->order_sha256, SHA256_LEN) != 0)
        return err_set(
            e, RC_CONFLICT, "office.order-unknown",
            "'%s' answers an order '%s' that this office did not make: its SHA-256 is not one of ours",
            in->path, c->order);
    rc = stored_order_decode(&in->stored, &in->order, e);
    if (rc == RC_OK)
        rc = cert_parse(in->order.id, bytes_span(&in->stored.ca), &in->ca, e);
    return rc;
}

/* The order says which key speaks for the station. */
static enum rc find_station(struct intake *in, struct err *e)
{
    for (size_t i = 0; i < in->order.nstations; i++) {
        const struct order_station *s = &in->order.stations[i];
        if (strcmp(s->name, in->checkpoint.station) == 0 &&
            memcmp(s->manifest, in->signer, SHA256_LEN) == 0) {
            in->station = s;
            return RC_OK;
        }
    }
    return err_set(e, RC_DENIED, "office.station",
                   "'%s': order '%s' names no station '%s' with the certificate that signed its checkpoint",
                   in->path, in->order.id, in->checkpoint.station);
}

/* ---- what is known already ---- */

static void reconcile(const struct intake *in, struct reconciliation *ret)
{
    const struct checkpoint *c = &in->checkpoint;
    memset(ret, 0, sizeof(*ret));
    memcpy(ret->order, in->order.id, sizeof(ret->order));
    memcpy(ret->station, in->station->name, sizeof(ret->station));
    ret->ordered = in->station->quantity;
    ret->good = c->counts[STATE_GOOD];
    ret->scrapped = c->counts[STATE_SCRAPPED];
    ret->unused = c->counts[STATE_UNUSED];
    ret->unexplained =
        ret->ordered - (ret->good + ret->scrapped + ret->unused); /* check_quantity was before */
}

static enum rc check_quantity(const struct intake *in, struct err *e)
{
    if (in->checkpoint.count <= in->station->quantity)
        return RC_OK;
    return err_set(e, RC_DENIED, "office.over-production",
                   "'%s': %" PRIu64 " devices for an order of %" PRIu64 ": the station made more than it may",
                   in->path, in->checkpoint.count, in->station->quantity);
}

static enum rc find_manifest(struct intake *in, bool *ret_found, struct err *e)
{
    struct stmt *q = store_stmt(
        in->office->db, "SELECT checkpoint_sha256 FROM manifests WHERE order_id = ?1 AND station = ?2");
    bool row = false;
    stmt_text(q, 1, in->order.id);
    stmt_text(q, 2, in->station->name);
    enum rc rc = stmt_next(q, &row, e);
    if (rc == RC_OK && row && !span_eq(stmt_col_blob(q, 0), (struct span){in->checkpoint_sha256, SHA256_LEN}))
        rc = err_set(
            e, RC_CONFLICT, "office.manifest-differs",
            "'%s': station '%s' has closed order '%s' before, with another manifest: one of the two is "
            "false, and the first one stays",
            in->path, in->station->name, in->order.id);
    if (rc == RC_OK)
        *ret_found = row;
    stmt_reset(q);
    return rc;
}

/* A journal only grows, and taking an order is a record in it. Two orders taken at the same head are two
 * journals: one was put back to an earlier state. */
static enum rc check_journal(struct intake *in, struct err *e)
{
    struct stmt *q =
        store_stmt(in->office->db, "SELECT order_id FROM manifests WHERE signer = ?1 AND journal_before = "
                                   "?2 AND order_id <> ?3");
    bool row = false;
    stmt_blob(q, 1, (struct span){in->signer, SHA256_LEN});
    stmt_blob(q, 2, (struct span){in->checkpoint.journal_before, SHA256_LEN});
    stmt_text(q, 3, in->order.id);
    enum rc rc = stmt_next(q, &row, e);
    if (rc == RC_OK && row)
        rc = err_set(
            e, RC_CONFLICT, "office.journal-fork",
            "'%s': station '%s' took order '%s' at the same journal head as order '%s': its journal was put "
            "back; ask the manufacturer why before anything of it is released",
            in->path, in->station->name, in->order.id, stmt_col_text(q, 0));
    stmt_reset(q);
    return rc;
}

/* ---- the devices ---- */

static enum rc check_device(const struct intake *in, const struct manifest_line *l, const struct cert *c,
                            struct err *e)
{
    uint64_t i = 0;
    struct err why = ERR_INIT;
    if (!id_block_find(&in->station->ids, l->id, &i))
        return err_set(e, RC_DENIED, "office.ids", "'%s': '%s' is not in the id block of station '%s'",
                       in->path, l->id, in->station->name);
    if (cert_verify_signature(c, in->ca, &why) != RC_OK)
        return err_set(e, RC_DENIED, "office.ca",
                       "'%s': the certificate of '%s' is not from '%s', the CA of order '%s'", in->path,
                       l->id, in->ca->cn ? in->ca->cn : "?", in->order.id);
    if (c->ca || c->not_before < in->order.not_before || c->not_after > in->order.not_after)
        return err_set(
            e, RC_DENIED, "office.certificate",
            "'%s': the certificate of '%s' is not what order '%s' allows: no CA, and valid within the "
            "order's times",
            in->path, l->id, in->order.id);
    return RC_OK;
}

/* Says which other manifest has it; *e is as it was when none has. */
static enum rc duplicate(const struct intake *in, const struct manifest_line *l, const struct cert *c,
                         struct err *e)
{
    struct err why = ERR_INIT;
    struct stmt *q =
        store_stmt(in->office->db, "SELECT id, order_id, station FROM devices WHERE id = ?1 OR cert = ?2 OR "
                                   "spki = ?3 OR (issuer = ?4 AND serial = ?5) LIMIT 1");
    bool row = false;
    stmt_text(q, 1, l->id);
    stmt_blob(q, 2, (struct span){l->cert_sha256, SHA256_LEN});
    stmt_blob(q, 3, (struct span){l->spki_sha256, SHA256_LEN});
    stmt_blob(q, 4, (struct span){in->ca->sha256, SHA256_LEN});
    stmt_blob(q, 5, c->serial);
    if (stmt_next(q, &row, &why) == RC_OK && row)
        err_set(
            e, RC_CONFLICT, "office.duplicate",
            "'%s': '%s' shares its id, certificate, key or serial number with '%s' of order '%s', station '%s': "
            "nothing was taken in",
            in->path, l->id, stmt_col_text(q, 0), stmt_col_text(q, 1), stmt_col_text(q, 2));
    stmt_reset(q);
    return e->rc;
}

static enum rc insert_device(const struct intake *in, const struct manifest_line *l, const struct cert *c,
                             struct err *e)
{
    struct stmt *q =
        store_stmt(in->office->db, "INSERT INTO devices (id, order_id, station, state, issuer, serial, cert, "
                                   "spki) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
    stmt_text(q, 1, l->id);
    stmt_text(q, 2, in->order.id);
    stmt_text(q, 3, in->station->name);
    stmt_text(q, 4, device_state_name(l->state));
    stmt_blob(q, 5, (struct span){in->ca->sha256, SHA256_LEN});
    stmt_blob(q, 6, c->serial);
    stmt_blob(q, 7, (struct span){l->cert_sha256, SHA256_LEN});
    stmt_blob(q, 8, (struct span){l->spki_sha256, SHA256_LEN});
    enum rc rc = stmt_run(q, e);
    if (rc == RC_CONFLICT && strcmp(e->key, "store.constraint") == 0)
        rc = duplicate(in, l, c, e);
    return rc;
}

static enum rc take_line(void *arg, const struct manifest_line *l, struct err *e)
{
    const struct intake *in = arg;
    struct cert *c = NULL;
    enum rc rc = cert_parse(l->id, bytes_span(&l->cert), &c, e);
    if (rc == RC_OK)
        rc = check_device(in, l, c, e);
    if (rc == RC_OK)
        rc = insert_device(in, l, c, e);
    cert_free(c);
    return rc;
}

/* ---- taking it in ---- */

/* What manifest_verify found must be what the order book was asked about. */
static enum rc check_view(const struct intake *in, const struct manifest_view *v, struct err *e)
{
    if (memcmp(v->checkpoint_sha256, in->checkpoint_sha256, SHA256_LEN) != 0)
        return err_set(e, RC_CONFLICT, "office.manifest-differs",
                       "'%s': its checkpoint was replaced while it was read", in->path);
    if (memcmp(v->header.ca, in->order.ca, SHA256_LEN) != 0 ||
        memcmp(v->header.trust_bundle, in->order.trust_bundle_sha256, SHA256_LEN) != 0)
        return err_set(e, RC_DENIED, "office.ca",
                       "'%s': it names another CA or trust bundle than order '%s' does", in->path,
                       in->order.id);
    return RC_OK;
}

static enum rc insert_manifest(const struct intake *in, const struct reconciliation *r, int64_t now,
                               struct err *e)
{
    struct stmt *q =
        store_stmt(in->office->db, "INSERT INTO manifests (order_id, station, ingested, checkpoint_sha256, "
                                   "signer, journal_before, ordered, good, scrapped, unused)"
                                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)");
    stmt_text(q, 1, r->order);
    stmt_text(q, 2, r->station);
    stmt_int(q, 3, now);
    stmt_blob(q, 4, (struct span){in->checkpoint_sha256, SHA256_LEN});
    stmt_blob(q, 5, (struct span){in->signer, SHA256_LEN});
    stmt_blob(q, 6, (struct span){in->checkpoint.journal_before, SHA256_LEN});
    stmt_int(q, 7, (int64_t)r->ordered);
    stmt_int(q, 8, (int64_t)r->good);
    stmt_int(q, 9, (int64_t)r->scrapped);
    stmt_int(q, 10, (int64_t)r->unused);
    return stmt_run(q, e);
}

static enum rc audit_intake(const struct intake *in, const struct reconciliation *r, int64_t now,
                            struct err *e)
{
    struct bytes detail = BYTES_INIT;
    struct jsonw w;
    jsonw_init(&w, &detail);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "order", r->order);
    jsonw_str(&w, "station", r->station);
    jsonw_hex(&w, "checkpoint_sha256", (struct span){in->checkpoint_sha256, SHA256_LEN});
    jsonw_int(&w, "ordered", (int64_t)r->ordered);
    jsonw_int(&w, "good", (int64_t)r->good);
    jsonw_int(&w, "scrapped", (int64_t)r->scrapped);
    jsonw_int(&w, "unused", (int64_t)r->unused);
    jsonw_int(&w, "unexplained", (int64_t)r->unexplained);
    jsonw_end(&w);
    enum rc rc = audit_append(in->office->db, now, "ingest", bytes_str(&detail), e);
    bytes_free(&detail);
    return rc;
}

/* All lines or none: they are inserted while they are verified, and stay only when the whole manifest was
 * right. */
static enum rc take_in(struct intake *in, const char *checkpoint_path, const struct reconciliation *r,
                       struct err *e)
{
    struct manifest_view view;
    int64_t now = clock_now();
    enum rc rc = store_begin(in->office->db, e);
    if (rc == RC_OK)
        rc = manifest_verify(in->path, checkpoint_path, &in->trust, take_line, in, &view, e);
    if (rc == RC_OK)
        rc = check_view(in, &view, e);
    if (rc == RC_OK)
        rc = insert_manifest(in, r, now, e);
    if (rc == RC_OK)
        rc = audit_intake(in, r, now, e);
    if (rc == RC_OK)
        rc = store_commit(in->office->db, e);
    store_rollback(in->office->db);
    return rc;
}

static enum rc verify_again(struct intake *in, const char *checkpoint_path, struct err *e)
{
    struct manifest_view view;
    enum rc rc = manifest_verify(in->path, checkpoint_path, &in->trust, NULL, NULL, &view, e);
    return rc == RC_OK ? check_view(in, &view, e) : rc;
}

static enum rc ingest(struct intake *in, const char *checkpoint_path, struct reconciliation *ret,
                      struct err *e)
{
    bool known = false;
    enum rc rc = read_checkpoint(in, checkpoint_path, e);
    if (rc == RC_OK)
        rc = find_order(in, e);
    if (rc == RC_OK)
        rc = find_station(in, e);
    if (rc == RC_OK)
        rc = check_quantity(in, e);
    if (rc == RC_OK)
        rc = find_manifest(in, &known, e);
    if (rc == RC_OK)
        rc = check_journal(in, e);
    if (rc != RC_OK)
        return rc;
    reconcile(in, ret);
    ret->is_new = !known;
    return known ? verify_again(in, checkpoint_path, e) : take_in(in, checkpoint_path, ret, e);
}

enum rc office_ingest(struct office *o, const char *manifest_path, const char *checkpoint_path,
                      struct reconciliation *ret, struct err *e)
{
    struct intake *in = mem_new(sizeof(*in)); /* an order is large */
    struct reconciliation r;
    in->office = o;
    in->path = manifest_path;
    in->trust.has_issuer = true;
    memcpy(in->trust.root, o->config->trust, SHA256_LEN);
    memcpy(in->trust.issuer, o->config->station_issuer, SHA256_LEN);
    in->trust.known = &in->cas;
    enum rc rc = office_cas(o, &in->cas, e);
    if (rc == RC_OK)
        rc = ingest(in, checkpoint_path, &r, e);
    if (rc == RC_OK)
        *ret = r;
    intake_fini(in);
    free(in);
    return rc;
}
