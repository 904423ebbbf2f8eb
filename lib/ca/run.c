/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "ca/internal.h"
#include "sign/alg.h"
#include "sign/signer.h"
#include "sign/softkey.h"
#include "x509/cert.h"
#include "x509/lint.h"
#include "x509/name.h"

struct ca_run {
    struct ca *ca;
    char *order;
    struct profile *profile;
    struct tbs_template *template;
    int64_t not_before, not_after;
    size_t verify_every;
};

/* ---- beginning ---- */

static enum rc template_make(struct ca_run *r, struct err *e)
{
    struct tbs_inputs in = {
        .profile = r->profile,
        .sig_alg = r->ca->signer->alg,
        .issuer_name = r->ca->cert->subject,
        .issuer_key_id = r->ca->cert->ski,
        .not_before = r->not_before,
        .not_after = r->not_after,
    };
    return tbs_template_new(&in, &r->template, e);
}

/* A name such as the run's devices will have. */
static enum rc sample_name(const struct profile *p, struct bytes *ret, struct err *e)
{
    struct name_attr attrs[PROFILE_ATTRS_MAX + 1] = {{"CN", "LINT-0"}};
    memcpy(attrs + 1, p->attrs, p->nattrs * sizeof(attrs[0]));
    return name_encode(attrs, p->nattrs + 1, ret, e);
}

/* Everything in the run's certificates but serial, name and key is in the template, so one lint of a
 * throw-away subject judges all of them. */
static enum rc template_lint(const struct ca_run *r, struct err *e)
{
    struct signer *key = NULL;
    struct bytes name = BYTES_INIT, tbs = BYTES_INIT;
    uint8_t serial[SERIAL_LEN];
    enum rc rc = softkey_new(r->profile->algs[0], KEY_SIGN, &key, e);
    if (rc == RC_OK)
        rc = sample_name(r->profile, &name, e);
    if (rc == RC_OK)
        rc = serial_new(serial, e);
    if (rc == RC_OK) {
        struct tbs_subject subject = {
            .serial = {serial, sizeof(serial)}, .name = bytes_span(&name), .spki = bytes_span(&key->spki)};
        rc = tbs_make(r->template, &subject, &tbs, e);
    }
    if (rc == RC_OK) {
        struct lint_subject lint = {.tbs = bytes_span(&tbs), .issuer = r->ca->cert, .profile = r->profile};
        rc = lint_tbs(&lint, e);
    }
    signer_free(key);
    bytes_free(&name);
    bytes_free(&tbs);
    return rc == RC_OK ? RC_OK : err_prefix(e, "cannot begin order '%s'", r->order);
}

static enum rc leftovers_void(struct ca_run *r, struct err *e)
{
    enum rc rc = store_begin(r->ca->db, e);
    if (rc == RC_OK)
        rc = rows_void(r->ca, r->order, clock_now(), e);
    if (rc == RC_OK)
        rc = store_commit(r->ca->db, e);
    store_rollback(r->ca->db);
    return rc;
}

enum rc ca_run_begin(struct ca *ca, const char *order, const char *profile, int64_t not_before,
                     int64_t not_after, size_t verify_every, struct ca_run **ret, struct err *e)
{
    if (ca->signer == NULL)
        bug("ca_run_begin without a key");
    if (verify_every == 0)
        bug("ca_run_begin: every 0th signature");
    if (!name_valid(order))
        return err_set(e, RC_INPUT, "ca.order",
                       "order '%s': 1 to 64 of A-Z, a-z, 0-9, _ and - are required, alphanumeric first",
                       order);
    struct ca_run *r = mem_new(sizeof(*r));
    *r = (struct ca_run){.ca = ca,
                         .order = mem_str(order),
                         .not_before = not_before,
                         .not_after = not_after,
                         .verify_every = verify_every};
    enum rc rc = issuable_profile(ca, profile, &r->profile, e);
    if (rc != RC_OK)
        goto out;
    if (r->profile->kind != PROFILE_LEAF) {
        rc = err_set(e, RC_USAGE, "ca.kind", "profile '%s' is for CAs; a batch is made of leaves", profile);
        goto out;
    }
    rc = clock_check(ca, clock_now(), e);
    if (rc == RC_OK)
        rc = template_make(r, e);
    if (rc == RC_OK)
        rc = template_lint(r, e);
    if (rc == RC_OK)
        rc = leftovers_void(r, e);
    if (rc != RC_OK)
        goto out;
    *ret = r;
    r = NULL;
out:
    ca_run_end(r);
    return rc;
}

void verify_text(size_t verify_every, char ret[static VERIFY_TEXT])
{
    if (verify_every == 1)
        (void)snprintf(ret, VERIFY_TEXT, "every");
    else
        (void)snprintf(ret, VERIFY_TEXT, "1 in %zu", verify_every);
}

void ca_run_end(struct ca_run *r)
{
    if (r == NULL)
        return;
    tbs_template_free(r->template);
    profile_free(r->profile);
    free(r->order);
    free(r);
}

/* ---- groups ---- */

static struct span item_serial(const struct ca_item *i)
{
    return (struct span){i->serial, sizeof(i->serial)};
}

static enum rc item_tbs(const struct ca_run *r, const struct ca_item *i, struct bytes *ret, struct err *e)
{
    struct tbs_subject subject = {.serial = item_serial(i), .name = i->name, .spki = i->spki};
    if (tbs_make(r->template, &subject, ret, e) != RC_OK)
        return err_prefix(e, "cannot issue '%s'", i->id);
    return RC_OK;
}

/* What cannot be encoded is refused before it has a row. */
static enum rc item_check(const struct ca_run *r, struct ca_item *i, struct bytes *scratch, struct err *e)
{
    if (!device_id_valid(i->id))
        return err_set(
            e, RC_INPUT, "ca.id",
            "device id '%s': 1 to %d of A-Z, a-z, 0-9, :, _ and - are required, alphanumeric at both ends",
            i->id, (int)DEVICE_ID_MAX);
    enum rc rc = serial_new(i->serial, e);
    if (rc != RC_OK)
        return rc;
    bytes_reset(scratch);
    return item_tbs(r, i, scratch, e);
}

static enum rc item_reserve(const struct ca_run *r, const struct ca_item *i, int64_t now, struct err *e)
{
    struct row row = {
        .order = r->order,
        .device_id = i->id,
        .profile = r->profile->name,
        .serial = item_serial(i),
        .subject = i->name,
        .spki = i->spki,
        .not_before = r->not_before,
        .not_after = r->not_after,
        .now = now,
    };
    return row_reserve(r->ca, &row, e);
}

static enum rc group_audit(const struct ca_run *r, const struct ca_item *items, size_t n, int64_t now,
                           struct err *e)
{
    uint8_t serials[SHA256_LEN];
    struct sha256_ctx *c = sha256_new();
    for (size_t i = 0; i < n; i++)
        sha256_add(c, item_serial(&items[i]));
    sha256_end(c, serials);
    char verified[VERIFY_TEXT];
    struct bytes detail = BYTES_INIT;
    struct jsonw w;
    verify_text(r->verify_every, verified);
    jsonw_init(&w, &detail);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "order", r->order);
    jsonw_str(&w, "profile", r->profile->name);
    jsonw_int(&w, "count", (int64_t)n);
    jsonw_str(&w, "first", items[0].id);
    jsonw_str(&w, "last", items[n - 1].id);
    jsonw_hex(&w, "serials_sha256", (struct span){serials, sizeof(serials)});
    jsonw_str(&w, "signatures_verified", verified);
    key_exceptions_tell(&w, r->ca->signer);
    jsonw_end(&w);
    enum rc rc = audit_append(r->ca->db, now, "reserve", bytes_str(&detail), e);
    bytes_free(&detail);
    return rc;
}

enum rc ca_group_reserve(struct ca_run *r, struct ca_item *items, size_t n, struct err *e)
{
    struct bytes scratch = BYTES_INIT;
    int64_t now = clock_now();
    enum rc rc = RC_OK;
    if (n == 0)
        return RC_OK;
    for (size_t i = 0; rc == RC_OK && i < n; i++)
        rc = item_check(r, &items[i], &scratch, e);
    bytes_free(&scratch);
    if (rc == RC_OK)
        rc = store_begin(r->ca->db, e);
    for (size_t i = 0; rc == RC_OK && i < n; i++)
        rc = item_reserve(r, &items[i], now, e);
    if (rc == RC_OK)
        rc = group_audit(r, items, n, now, e);
    if (rc == RC_OK)
        rc = store_commit(r->ca->db, e);
    store_rollback(r->ca->db);
    return rc;
}

/* At most SIGN_CHUNK items. The signatures come back verified, as many of them as the order says. */
static enum rc chunk_sign(const struct ca_run *r, struct ca_item *items, size_t n, struct err *e)
{
    struct bytes tbs[SIGN_CHUNK] = {BYTES_INIT}, sig[SIGN_CHUNK] = {BYTES_INIT};
    struct span messages[SIGN_CHUNK];
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        rc = item_tbs(r, &items[i], &tbs[i], e);
        messages[i] = bytes_span(&tbs[i]);
    }
    if (rc == RC_OK)
        rc = signer_sign_messages(r->ca->signer, messages, n, r->verify_every, sig, e);
    for (size_t i = 0; i < n; i++) {
        if (rc == RC_OK) {
            signed_assemble(r->ca->signer->alg, bytes_span(&tbs[i]), bytes_span(&sig[i]), &items[i].der);
            sha256(bytes_span(&items[i].der), items[i].sha256);
        }
        bytes_free(&tbs[i]);
        bytes_free(&sig[i]);
    }
    return rc;
}

enum rc ca_group_sign(struct ca_run *r, struct ca_item *items, size_t n, struct err *e)
{
    enum rc rc = RC_OK;
    for (size_t i = 0; i < n; i++)
        bytes_reset(&items[i].der);
    for (size_t done = 0; rc == RC_OK && done < n; done += SIGN_CHUNK)
        rc = chunk_sign(r, items + done, n - done < SIGN_CHUNK ? n - done : SIGN_CHUNK, e);
    for (size_t i = 0; rc != RC_OK && i < n; i++)
        bytes_reset(&items[i].der);
    return rc;
}

enum rc ca_group_commit(struct ca_run *r, struct ca_item *items, size_t n, struct err *e)
{
    int64_t now = clock_now();
    enum rc rc = n == 0 ? RC_OK : store_begin(r->ca->db, e);
    if (rc != RC_OK || n == 0)
        return rc;
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        if (items[i].der.n == 0)
            bug("group commit of '%s', which is not signed", items[i].id);
        rc = row_issued(r->ca, item_serial(&items[i]), bytes_span(&items[i].der), items[i].sha256, now, e);
    }
    if (rc == RC_OK)
        rc = store_commit(r->ca->db, e);
    store_rollback(r->ca->db);
    return rc;
}

enum rc ca_find_id(struct ca *ca, const char *order, const char *id, struct bytes *ret_der, struct err *e)
{
    /* "<> 'void'" is what the index on device ids is made for; without it this is a scan of all certificates.
     */
    struct stmt *q = store_stmt(ca->db, "SELECT der FROM certificate WHERE device_id = ? AND order_name = ?"
                                        " AND state = 'issued' AND state <> 'void'");
    stmt_text(q, 1, id);
    stmt_text(q, 2, order);
    bool row = false;
    enum rc rc = stmt_next(q, &row, e);
    if (rc == RC_OK && row)
        bytes_add_span(ret_der, stmt_col_blob(q, 0));
    stmt_reset(q);
    return rc;
}
