/* SPDX-License-Identifier: Apache-2.0 */
#include "factory/lists.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "factory/office/internal.h"
#include "factory/signed.h"
#include "sign/signer.h"
#include "x509/cert.h"
#include "x509/crl.h"

/* What was asked for: ids, an order or an issuer. */
struct request {
    enum list_kind kind;
    struct id_list ids;
    const char *order;   /* NULL: not a whole order */
    struct cert *issuer; /* NULL: not a whole issuer */
    const char *reason;  /* "" for a release */
};

static void request_fini(struct request *r)
{
    id_list_free(&r->ids);
    cert_free(r->issuer);
}

/* Ids are sorted, so their order in the file makes no difference. */
static void request_hash(const struct request *r, uint8_t ret[static SHA256_LEN])
{
    struct bytes b = BYTES_INIT;
    bytes_printf(&b, "%d\n%s\n%s\n", (int)r->kind, r->reason, r->order ? r->order : "");
    if (r->issuer)
        bytes_add(&b, r->issuer->sha256, SHA256_LEN);
    for (size_t i = 0; i < r->ids.n; i++)
        bytes_printf(&b, "\n%s", r->ids.ids[i]);
    sha256(bytes_span(&b), ret);
    bytes_free(&b);
}

/* ---- the devices of a list ---- */

static void take_hash(struct stmt *q, int col, uint8_t ret[static SHA256_LEN])
{
    struct span v = stmt_col_blob(q, col);
    if (v.n != SHA256_LEN)
        bug("a hash of %zu octets in the office's database", v.n);
    memcpy(ret, v.p, SHA256_LEN);
}

static enum rc not_good(const char *id, const char *why, struct err *e)
{
    return err_set(
        e, RC_DENIED, "office.not-good",
        "cannot release '%s': %s; only good devices that are not revoked are released, and nothing was "
        "signed",
        id, why);
}

/* q stands on the device's row: cert, issuer, state, and where a revocation took it out. */
static enum rc judge_release(struct stmt *q, const char *id, struct err *e)
{
    char why[64];
    if (!stmt_col_null(q, 3) || !stmt_col_null(q, 4) || !stmt_col_null(q, 5))
        return not_good(id, "it is revoked", e);
    if (strcmp(stmt_col_text(q, 2), "good") == 0)
        return RC_OK;
    snprintf(why, sizeof(why), "its manifest says '%s'", stmt_col_text(q, 2));
    return not_good(id, why, e);
}

static enum rc unknown(const struct request *r, const char *id, struct err *e)
{
    if (r->kind == LIST_RELEASE)
        return not_good(id, "no manifest has it", e);
    return err_set(e, RC_INPUT, "office.unknown-device",
                   "cannot revoke '%s': no manifest has it; revoke its order instead", id);
}

static enum rc add_device(struct office *o, const struct request *r, const char *id, struct list_device *ret,
                          struct err *e)
{
    struct stmt *q = store_stmt(
        o->db,
        "SELECT d.cert, d.issuer, d.state, d.revoked, o.revoked, i.sequence FROM devices d"
        " JOIN orders o ON o.id = d.order_id LEFT JOIN revoked_issuers i ON i.sha256 = d.issuer WHERE d.id = ?1");
    bool row = false;
    stmt_text(q, 1, id);
    enum rc rc = stmt_next(q, &row, e);
    if (rc == RC_OK && !row)
        rc = unknown(r, id, e);
    if (rc == RC_OK && r->kind == LIST_RELEASE)
        rc = judge_release(q, id, e);
    if (rc == RC_OK) {
        memcpy(ret->id, id, strlen(id) + 1);
        take_hash(q, 0, ret->cert);
        take_hash(q, 1, ret->issuer);
    }
    stmt_reset(q);
    return rc;
}

static enum rc add_order(struct office *o, struct device_list *l, struct err *e)
{
    struct stmt *q =
        store_stmt(o->db, "SELECT id, cert, issuer FROM devices WHERE order_id = ?1 ORDER BY id");
    size_t cap = 0;
    bool row = true;
    enum rc rc;
    stmt_text(q, 1, l->order);
    while ((rc = stmt_next(q, &row, e)) == RC_OK && row) {
        if (l->ndevices == cap) {
            cap = cap ? 2 * cap : 1024;
            l->devices = mem_grow(l->devices, cap, sizeof(*l->devices));
        }
        struct list_device *d = &l->devices[l->ndevices++];
        memset(d, 0, sizeof(*d));
        strncpy(d->id, stmt_col_text(q, 0), sizeof(d->id) - 1);
        take_hash(q, 1, d->cert);
        take_hash(q, 2, d->issuer);
    }
    return rc;
}

/* An issuer stands for all its devices, known and unknown: none is listed. */
static enum rc add_issuer(struct office *o, const struct cert *issuer, struct device_list *l,
                          uint64_t *ret_devices, struct err *e)
{
    l->issuers = mem_array(1, sizeof(*l->issuers));
    l->nissuers = 1;
    memcpy(l->issuers[0], issuer->sha256, SHA256_LEN);

    struct stmt *q = store_stmt(o->db, "SELECT count(*) FROM devices WHERE issuer = ?1");
    bool row = false;
    stmt_blob(q, 1, (struct span){issuer->sha256, SHA256_LEN});
    enum rc rc = stmt_next(q, &row, e);
    if (rc == RC_OK)
        *ret_devices = (uint64_t)stmt_col_int(q, 0);
    stmt_reset(q);
    return rc;
}

static enum rc fill(struct office *o, const struct request *r, struct device_list *l, uint64_t *ret_devices,
                    struct err *e)
{
    enum rc rc = RC_OK;
    if (r->order) {
        strncpy(l->order, r->order, sizeof(l->order) - 1);
        rc = add_order(o, l, e);
    } else if (!r->issuer) {
        l->devices = mem_array(r->ids.n, sizeof(*l->devices));
        l->ndevices = r->ids.n;
        for (size_t i = 0; rc == RC_OK && i < r->ids.n; i++)
            rc = add_device(o, r, r->ids.ids[i], &l->devices[i], e);
    }
    *ret_devices = l->ndevices;
    return rc == RC_OK && r->issuer ? add_issuer(o, r->issuer, l, ret_devices, e) : rc;
}

/* ---- signing and recording ---- */

static enum rc sign_list(struct office *o, const struct device_list *l, struct stored_list *ret,
                         struct err *e)
{
    struct bytes json = BYTES_INIT;
    struct cms_chain chain = {0};
    struct signer *s = NULL;
    list_encode(l, &json);
    enum rc rc = office_chain(o, OFFICE_RELEASE, l->issued, &chain, e);
    if (rc == RC_OK)
        rc = office_signer(o, OFFICE_RELEASE, &s, e);
    if (rc == RC_OK)
        rc = signed_make(s, &chain, bytes_span(&json), l->issued, &ret->document, e);
    sha256(bytes_span(&json), ret->sha256);
    cms_chain_free(&chain);
    bytes_free(&json);
    return rc;
}

static enum rc mark_ids(struct office *o, const struct device_list *l, struct err *e)
{
    const char *sql = l->kind == LIST_RELEASE
                          ? "UPDATE devices SET released = coalesce(released, ?1) WHERE id = ?2"
                          : "UPDATE devices SET revoked = coalesce(revoked, ?1) WHERE id = ?2";
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < l->ndevices; i++) {
        struct stmt *q = store_stmt(o->db, sql);
        stmt_int(q, 1, (int64_t)l->sequence);
        stmt_text(q, 2, l->devices[i].id);
        rc = stmt_run(q, e);
    }
    return rc;
}

/* Orders and issuers are out as a whole: devices that come in later are out too. */
static enum rc mark_whole(struct office *o, const struct device_list *l, struct err *e)
{
    enum rc rc = RC_OK;
    if (l->order[0]) {
        struct stmt *q = store_stmt(o->db, "UPDATE orders SET revoked = coalesce(revoked, ?1) WHERE id = ?2");
        stmt_int(q, 1, (int64_t)l->sequence);
        stmt_text(q, 2, l->order);
        rc = stmt_run(q, e);
    }
    for (size_t i = 0; rc == RC_OK && i < l->nissuers; i++) {
        struct stmt *q = store_stmt(
            o->db, "INSERT INTO revoked_issuers (sha256, sequence) VALUES (?1, ?2) ON CONFLICT DO NOTHING");
        stmt_blob(q, 1, (struct span){l->issuers[i], SHA256_LEN});
        stmt_int(q, 2, (int64_t)l->sequence);
        rc = stmt_run(q, e);
    }
    return rc;
}

static enum rc audit_list(struct office *o, const struct device_list *l, const struct stored_list *s,
                          struct err *e)
{
    struct bytes detail = BYTES_INIT;
    struct jsonw w;
    jsonw_init(&w, &detail);
    jsonw_object(&w, NULL);
    jsonw_int(&w, "sequence", (int64_t)s->sequence);
    jsonw_int(&w, "devices", (int64_t)s->devices);
    if (l->kind == LIST_REVOCATION)
        jsonw_str(&w, "reason", l->reason);
    if (l->order[0])
        jsonw_str(&w, "order", l->order);
    if (l->nissuers > 0)
        jsonw_hex(&w, "issuer", (struct span){l->issuers[0], SHA256_LEN});
    jsonw_hex(&w, "sha256", (struct span){s->sha256, SHA256_LEN});
    jsonw_end(&w);
    enum rc rc =
        audit_append(o->db, l->issued, l->kind == LIST_RELEASE ? "release" : "revoke", bytes_str(&detail), e);
    bytes_free(&detail);
    return rc;
}

static enum rc record(struct office *o, const uint8_t request[static SHA256_LEN], const struct device_list *l,
                      const struct stored_list *s, struct err *e)
{
    enum rc rc = store_begin(o->db, e);
    if (rc == RC_OK)
        rc = stored_list_insert(o, (int)l->kind, request, l->issued, s, e);
    if (rc == RC_OK)
        rc = mark_ids(o, l, e);
    if (rc == RC_OK)
        rc = mark_whole(o, l, e);
    if (rc == RC_OK)
        rc = audit_list(o, l, s, e);
    if (rc == RC_OK)
        rc = store_commit(o->db, e);
    store_rollback(o->db);
    return rc;
}

static enum rc make_list(struct office *o, const struct request *r, const uint8_t request[static SHA256_LEN],
                         struct stored_list *ret, struct err *e)
{
    struct device_list l = {.kind = r->kind, .issued = clock_now()};
    struct stored_list s = {0};
    strncpy(l.reason, r->reason, sizeof(l.reason) - 1);
    enum rc rc = fill(o, r, &l, &s.devices, e);
    if (rc == RC_OK)
        rc = stored_list_next(o, (int)r->kind, &l.sequence, l.previous, e);
    if (rc == RC_OK)
        rc = sign_list(o, &l, &s, e);
    if (rc == RC_OK) {
        s.sequence = l.sequence;
        rc = record(o, request, &l, &s, e);
    }
    list_fini(&l);
    if (rc == RC_OK)
        *ret = s;
    else
        stored_list_free(&s);
    return rc;
}

static enum rc write_list(enum list_kind kind, const struct stored_list *s, const char *out, struct err *e)
{
    enum rc rc = file_create(out, 0644, bytes_span(&s->document), e);
    if (rc != RC_OK)
        rc = err_prefix(
            e, "%s list %" PRIu64 " is signed, but not written; run the same command with another --out",
            kind == LIST_RELEASE ? "release" : "revocation", s->sequence);
    return rc;
}

/* A list that was signed is part of the chain of lists for ever, so it can always be written again, whatever
 * became of its devices. */
static enum rc publish(struct office *o, const struct request *r, const char *out, struct list_report *ret,
                       struct err *e)
{
    uint8_t hash[SHA256_LEN];
    struct stored_list s = {0};
    bool found = false;
    request_hash(r, hash);
    enum rc rc = stored_list_find(o, (int)r->kind, hash, &s, &found, e);
    if (rc == RC_OK && !found)
        rc = office_out_check(out, e);
    if (rc == RC_OK && !found)
        rc = make_list(o, r, hash, &s, e);
    if (rc == RC_OK)
        rc = write_list(r->kind, &s, out, e);
    if (rc == RC_OK)
        *ret = (struct list_report){.sequence = s.sequence, .devices = s.devices, .is_new = !found};
    stored_list_free(&s);
    return rc;
}

/* ---- the two verbs ---- */

enum rc office_release(struct office *o, const char *ids_path, const char *out, struct list_report *ret,
                       struct err *e)
{
    struct request r = {.kind = LIST_RELEASE, .reason = ""};
    enum rc rc = id_list_read(ids_path, &r.ids, e);
    if (rc == RC_OK)
        rc = publish(o, &r, out, ret, e);
    request_fini(&r);
    return rc;
}

static enum rc check_reason(const char *reason, struct err *e)
{
    if (crl_reason(reason) >= 0 && strcmp(reason, "certificateHold") != 0 &&
        strcmp(reason, "removeFromCRL") != 0)
        return RC_OK;
    return err_set(
        e, RC_USAGE, "office.reason",
        "'%s' is no reason: a CRLReason of RFC 5280 5.3.1 is required (keyCompromise, cACompromise, "
        "affiliationChanged, superseded, cessationOfOperation, privilegeWithdrawn, unspecified); a revocation "
        "is for ever, so certificateHold and removeFromCRL are none",
        reason);
}

static enum rc check_order_known(struct office *o, const char *id, struct err *e)
{
    struct stored_order s = {0};
    bool found = false;
    enum rc rc = stored_order_by_id(o, id, &s, &found, e);
    if (rc == RC_OK && !found)
        rc = err_set(e, RC_CONFLICT, "office.order-unknown", "order '%s' is not one that this office made",
                     id);
    stored_order_free(&s);
    return rc;
}

/* Devices that come in after their order was revoked are not on the list, but never released either. */
static enum rc count_no_manifest(struct office *o, const char *order, uint64_t *ret, struct err *e)
{
    struct stmt *q = store_stmt(
        o->db,
        "SELECT count(*) FROM stations s WHERE s.order_id = ?1 AND NOT EXISTS (SELECT 1 FROM manifests m "
        "WHERE m.order_id = s.order_id AND m.station = s.name)");
    bool row = false;
    stmt_text(q, 1, order);
    enum rc rc = stmt_next(q, &row, e);
    if (rc == RC_OK)
        *ret = (uint64_t)stmt_col_int(q, 0);
    stmt_reset(q);
    return rc;
}

static enum rc read_issuer(const char *path, struct cert **ret, struct err *e)
{
    struct cert *c = NULL;
    enum rc rc = cert_read(path, &c, e);
    if (rc == RC_OK && !c->ca)
        rc = err_set(e, RC_INPUT, "office.ca-cert",
                     "'%s' is not a CA's certificate: a single device is revoked by its id", path);
    if (rc == RC_OK) {
        *ret = c;
        c = NULL;
    }
    cert_free(c);
    return rc;
}

enum rc office_revoke(struct office *o, const char *ids_path, const char *order_id, const char *issuer_path,
                      const char *reason, const char *out, struct list_report *ret, struct err *e)
{
    struct request r = {.kind = LIST_REVOCATION, .order = order_id, .reason = reason};
    if ((ids_path != NULL) + (order_id != NULL) + (issuer_path != NULL) != 1)
        return err_set(e, RC_USAGE, "office.revoke-what",
                       "cannot revoke: exactly one of '--ids', '--order' and '--issuer' is required");
    uint64_t no_manifest = 0;
    enum rc rc = check_reason(reason, e);
    if (rc == RC_OK && ids_path)
        rc = id_list_read(ids_path, &r.ids, e);
    if (rc == RC_OK && order_id)
        rc = check_order_known(o, order_id, e);
    if (rc == RC_OK && order_id)
        rc = count_no_manifest(o, order_id, &no_manifest, e);
    if (rc == RC_OK && issuer_path)
        rc = read_issuer(issuer_path, &r.issuer, e);
    if (rc == RC_OK)
        rc = publish(o, &r, out, ret, e);
    if (rc == RC_OK)
        ret->no_manifest = no_manifest;
    request_fini(&r);
    return rc;
}
