/* SPDX-License-Identifier: Apache-2.0 */
#include "x509/crl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "ca/internal.h"
#include "x509/cert.h"

struct list {
    uint64_t number;
    int64_t this_update, next_update;
    int64_t entries;
    struct bytes der;
};

/* The rows of the list as crl_make asks for them; it cannot be told of a failure, so that is kept. */
struct walk {
    struct stmt *q;
    int64_t entries;
    enum rc rc;
    struct err *e;
};

static bool walk_next(void *arg, struct crl_entry *ret)
{
    struct walk *w = arg;
    bool row = false;
    w->rc = stmt_next(w->q, &row, w->e);
    if (w->rc != RC_OK || !row)
        return false;
    *ret = (struct crl_entry){stmt_col_blob(w->q, 0), stmt_col_int(w->q, 1), (int)stmt_col_int(w->q, 2)};
    w->entries++;
    return true;
}

/* Every revoked certificate stays on the list, the expired ones too: a device's clock may be years behind. */
static enum rc list_sign(struct ca *ca, struct list *l, struct err *e)
{
    struct walk w = {
        store_stmt(
            ca->db,
            "SELECT serial, revoked_at, reason FROM certificate WHERE state = 'revoked' ORDER BY serial"),
        0, RC_OK, e};
    enum rc rc =
        crl_make(ca->signer, ca->cert, l->number, l->this_update, l->next_update, walk_next, &w, &l->der, e);
    stmt_reset(w.q);
    l->entries = w.entries;
    return w.rc != RC_OK ? w.rc : rc;
}

static enum rc list_plan(struct ca *ca, bool last, struct list *l, struct err *e)
{
    struct stmt *q = store_stmt(ca->db, "SELECT number, this_update FROM crl ORDER BY number DESC LIMIT 1");
    bool row = false;
    enum rc rc = stmt_next(q, &row, e);
    if (rc != RC_OK)
        return rc;
    int64_t before = row ? stmt_col_int(q, 1) : 0;
    l->number = 1 + (row ? (uint64_t)stmt_col_int(q, 0) : 0);
    stmt_reset(q);
    l->this_update = clock_now();
    if (l->this_update < before) {
        char now[TIME_TEXT], limit[TIME_TEXT];
        time_format(l->this_update, now);
        time_format(before, limit);
        return err_set(e, RC_DENIED, "ca.clock",
                       "clock '%s' is before the last CRL of this CA, %s; set the clock", now, limit);
    }
    l->next_update = l->this_update + ca->config->crl_days * DAY;
    if (last || l->next_update > ca->cert->not_after)
        l->next_update = ca->cert->not_after;
    return clock_check(ca, l->this_update, e);
}

static enum rc list_audit(struct ca *ca, const struct list *l, struct span hash, struct err *e)
{
    struct bytes detail = BYTES_INIT;
    struct jsonw w;
    jsonw_init(&w, &detail);
    jsonw_object(&w, NULL);
    jsonw_int(&w, "number", (int64_t)l->number);
    jsonw_time(&w, "next_update", l->next_update);
    jsonw_int(&w, "entries", l->entries);
    jsonw_hex(&w, "sha256", hash);
    key_exceptions_tell(&w, ca->signer);
    jsonw_end(&w);
    enum rc rc = audit_append(ca->db, l->this_update, "crl", bytes_str(&detail), e);
    bytes_free(&detail);
    return rc;
}

static enum rc list_record(struct ca *ca, const struct list *l, struct err *e)
{
    uint8_t hash[SHA256_LEN];
    sha256(bytes_span(&l->der), hash);
    struct stmt *q = store_stmt(
        ca->db, "INSERT INTO crl (number, this_update, next_update, entries, sha256) VALUES (?, ?, ?, ?, ?)");
    stmt_int(q, 1, (int64_t)l->number);
    stmt_int(q, 2, l->this_update);
    stmt_int(q, 3, l->next_update);
    stmt_int(q, 4, l->entries);
    stmt_blob(q, 5, (struct span){hash, sizeof(hash)});
    enum rc rc = stmt_run(q, e);
    return rc == RC_OK ? list_audit(ca, l, (struct span){hash, sizeof(hash)}, e) : rc;
}

static enum rc folder_check(const char *out, struct err *e)
{
    char *folder = path_dir(out);
    enum rc rc = access(folder, W_OK | X_OK) == 0
                     ? RC_OK
                     : err_sys(e, "file.write", "cannot write into the folder '%s'", folder);
    free(folder);
    return rc;
}

/* Is the regular file out a CRL of this CA? */
static enum rc own_list(const struct ca *ca, const char *out, bool *ret, struct err *e)
{
    struct bytes text = BYTES_INIT;
    struct crl *crl = NULL;
    struct err none = ERR_INIT;
    enum rc rc = file_read(out, FILE_DOC_MAX, &text, e);
    if (rc == RC_OK)
        *ret = crl_parse(out, bytes_span(&text), &crl, &none) == RC_OK &&
               span_eq(crl->issuer, ca->cert->subject);
    crl_free(crl);
    bytes_free(&text);
    return rc;
}

/* Only an older CRL of this CA is replaced. Judged before a number is used up: a mistyped name must cost
 * neither a certificate nor a number. */
static enum rc out_check(const struct ca *ca, const char *out, struct err *e)
{
    struct stat st;
    bool ours = false;
    if (lstat(out, &st) != 0)
        return errno == ENOENT ? folder_check(out, e) : err_sys(e, "file.read", "cannot look at '%s'", out);
    enum rc rc = S_ISREG(st.st_mode) ? own_list(ca, out, &ours, e) : RC_OK;
    if (rc == RC_OK && !ours)
        rc = err_set(e, RC_CONFLICT, "file.exists",
                     "'%s' exists and is no CRL of this CA, so it is not replaced: move it away first", out);
    return rc == RC_OK ? folder_check(out, e) : rc;
}

static enum rc list_publish(const struct list *l, const char *out, struct err *e)
{
    struct bytes text = BYTES_INIT;
    pem_encode("X509 CRL", bytes_span(&l->der), &text);
    enum rc rc = file_publish(out, 0644, bytes_span(&text), e);
    if (rc != RC_OK)
        err_prefix(
            e, "CRL number %" PRIu64 " was made and recorded, but not written; run again for the next one",
            l->number);
    bytes_free(&text);
    return rc;
}

enum rc ca_crl(struct ca *ca, const char *out, bool last, uint64_t *ret_number, int64_t *ret_next_update,
               struct err *e)
{
    if (ca->signer == NULL)
        bug("ca_crl without a key");
    struct list l = {.number = 0};
    enum rc rc = out_check(ca, out, e);
    /* The list is signed inside the transaction and leaves it only when that is durable: no number names two
     * lists. */
    if (rc == RC_OK)
        rc = store_begin(ca->db, e);
    if (rc == RC_OK)
        rc = list_plan(ca, last, &l, e);
    if (rc == RC_OK)
        rc = list_sign(ca, &l, e);
    if (rc == RC_OK)
        rc = list_record(ca, &l, e);
    if (rc == RC_OK)
        rc = store_commit(ca->db, e);
    store_rollback(ca->db);
    if (rc == RC_OK)
        rc = list_publish(&l, out, e);
    if (rc == RC_OK) {
        *ret_number = l.number;
        *ret_next_update = l.next_update;
    }
    bytes_free(&l.der);
    return rc;
}
