/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "ca/ca.h"
#include "factory/office/batch.h"
#include "factory/signed.h"

/* ---- the record in the database ---- */

enum rc batch_record_find(struct batch_job *j, struct batch_record *ret, bool *ret_found, struct err *e)
{
    struct stmt *q = store_stmt(j->office->db, "SELECT json, signature FROM batches WHERE id = ?1");
    bool row = false;
    stmt_text(q, 1, j->id);
    enum rc rc = stmt_next(q, &row, e);
    if (rc == RC_OK && row) {
        bytes_add_span(&ret->json, stmt_col_blob(q, 0));
        bytes_add_span(&ret->signature, stmt_col_blob(q, 1));
    }
    if (rc == RC_OK)
        *ret_found = row;
    stmt_reset(q);
    return rc;
}

void batch_record_free(struct batch_record *r)
{
    bytes_free(&r->json);
    bytes_free(&r->signature);
}

static enum rc insert(struct batch_job *j, const struct batch_record *r, int64_t now, struct err *e)
{
    struct stmt *q =
        store_stmt(j->office->db, "INSERT INTO batches (id, order_id, station, made, count, json, signature)"
                                  " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
    stmt_text(q, 1, j->id);
    stmt_text(q, 2, j->order.id);
    stmt_text(q, 3, j->station->name);
    stmt_int(q, 4, now);
    stmt_int(q, 5, (int64_t)j->station->quantity);
    stmt_blob(q, 6, bytes_span(&r->json));
    stmt_blob(q, 7, bytes_span(&r->signature));
    return stmt_run(q, e);
}

static enum rc record(struct batch_job *j, const struct batch_record *r, int64_t now, struct err *e)
{
    uint8_t hash[SHA256_LEN];
    char verified[VERIFY_TEXT];
    struct bytes detail = BYTES_INIT;
    struct jsonw w;
    sha256(bytes_span(&r->json), hash);
    verify_text((size_t)j->order.verify_every, verified);
    jsonw_init(&w, &detail);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "batch", j->id);
    jsonw_int(&w, "count", (int64_t)j->station->quantity);
    jsonw_hex(&w, "sha256", (struct span){hash, SHA256_LEN});
    jsonw_str(&w, "signatures_verified", verified);
    jsonw_end(&w);

    enum rc rc = store_begin(j->office->db, e);
    if (rc == RC_OK)
        rc = insert(j, r, now, e);
    if (rc == RC_OK)
        rc = audit_append(j->office->db, now, "batch", bytes_str(&detail), e);
    if (rc == RC_OK)
        rc = store_commit(j->office->db, e);
    store_rollback(j->office->db);
    bytes_free(&detail);
    return rc;
}

/* ---- making the documents ---- */

static char *lot_path(const char *folder, uint64_t lot)
{
    return mem_printf("%s/lot-%" PRIu64 ".p7m", folder, lot);
}

/* Sealing is random, so a lot of a run that was killed before its record is sealed again. */
static enum rc seal_lot(struct batch_job *j, struct lot_keys *lots, uint64_t lot,
                        uint8_t ret[static SHA256_LEN], struct err *e)
{
    const struct secret *key = NULL;
    struct bytes p7m = BYTES_INIT;
    char *path = lot_path(j->part, lot);
    enum rc rc = lot_key_get(lots, lot, &key, e);
    if (rc == RC_OK)
        rc = cms_seal(bytes_span(&j->seal), key, &p7m, e);
    if (rc == RC_OK)
        rc = file_publish(path, 0600, bytes_span(&p7m), e);
    if (rc == RC_OK)
        sha256(bytes_span(&p7m), ret);
    lot_keys_drop(lots, lot + 1);
    free(path);
    bytes_free(&p7m);
    return rc;
}

/* Ends l's digest. */
static void describe(const struct batch_job *j, struct batch_lines *l, int64_t now, struct batch *ret)
{
    memcpy(ret->id, j->id, sizeof(ret->id));
    memcpy(ret->order, j->order.id, sizeof(ret->order));
    memcpy(ret->station, j->station->name, sizeof(ret->station));
    memcpy(ret->order_sha256, j->stored.sha256, SHA256_LEN);
    memcpy(ret->seal, j->station->seal, SHA256_LEN);
    memcpy(ret->ca, j->order.ca, SHA256_LEN);
    ret->issued = now;
    ret->count = j->station->quantity;
    ret->lot_size = j->order.lot_size;
    sha256_end(l->digest, ret->devices_sha256);
    l->digest = NULL;
    merkle_root(&l->tree, ret->merkle_root);
    bytes_add_span(&ret->chain, bytes_span(&j->stored.ca_chain));
}

static enum rc sign(struct batch_job *j, int64_t now, struct batch_record *r, struct err *e)
{
    struct cms_chain chain = {0};
    struct signer *s = NULL;
    enum rc rc = office_chain(j->office, OFFICE_ORDER, now, &chain, e);
    if (rc == RC_OK)
        rc = office_signer(j->office, OFFICE_ORDER, &s, e);
    if (rc == RC_OK)
        rc = signed_make_detached(s, &chain, bytes_span(&r->json), now, &r->signature, e);
    cms_chain_free(&chain);
    return rc;
}

static enum rc make_documents(struct batch_job *j, struct batch_lines *l, struct lot_keys *lots,
                              struct batch_record *ret, struct err *e)
{
    struct batch b = {0};
    int64_t now = clock_now();
    enum rc rc = RC_OK;
    describe(j, l, now, &b);
    b.nlots = (size_t)batch_lots(j);
    b.lots = mem_array(b.nlots, sizeof(*b.lots));
    for (uint64_t i = 0; rc == RC_OK && i < b.nlots; i++)
        rc = seal_lot(j, lots, i, b.lots[i].sha256, e);
    if (rc == RC_OK) {
        batch_encode(&b, &ret->json);
        rc = sign(j, now, ret, e);
    }
    if (rc == RC_OK)
        rc = record(j, ret, now, e);
    batch_fini(&b);
    return rc;
}

/* ---- the folder ---- */

static enum rc not_whole(const struct batch_job *j, const char *path, struct err *e)
{
    return err_set(
        e, RC_CONFLICT, "office.out-used",
        "'%s' is not as the office recorded it for batch '%s': a file was changed, removed or comes from "
        "elsewhere; move the folder away and put the right one in its place",
        path, j->id);
}

static enum rc check_hash(const struct batch_job *j, const char *path, const uint8_t sha[static SHA256_LEN],
                          struct err *e)
{
    uint8_t hash[SHA256_LEN];
    if (!file_exists(path))
        return not_whole(j, path, e);
    enum rc rc = sha256_file(path, hash, e);
    if (rc == RC_OK && memcmp(hash, sha, SHA256_LEN) != 0)
        rc = not_whole(j, path, e);
    return rc;
}

static enum rc check_text(const struct batch_job *j, const char *folder, const char *file,
                          struct span content, struct err *e)
{
    uint8_t hash[SHA256_LEN];
    char *path = path_join(folder, file);
    sha256(content, hash);
    enum rc rc = check_hash(j, path, hash, e);
    free(path);
    return rc;
}

enum rc batch_folder_check(const struct batch_job *j, const struct batch_record *r, const char *folder,
                           bool with_documents, struct err *e)
{
    struct batch b = {0};
    enum rc rc = batch_decode(j->id, bytes_span(&r->json), &b, e);
    if (rc != RC_OK)
        return rc;
    char *devices = path_join(folder, "devices.jsonl");
    rc = check_hash(j, devices, b.devices_sha256, e);
    free(devices);
    for (size_t i = 0; rc == RC_OK && i < b.nlots; i++) {
        char *path = lot_path(folder, i);
        rc = check_hash(j, path, b.lots[i].sha256, e);
        free(path);
    }
    if (rc == RC_OK && with_documents)
        rc = check_text(j, folder, "batch.json", bytes_span(&r->json), e);
    if (rc == RC_OK && with_documents)
        rc = check_text(j, folder, "batch.p7s", bytes_span(&r->signature), e);
    batch_fini(&b);
    return rc;
}

static enum rc write_document(const struct batch_job *j, const char *file, struct span content, struct err *e)
{
    char *path = path_join(j->part, file);
    enum rc rc = file_create(path, 0644, content, e);
    free(path);
    return rc;
}

/* Everything in the folder is durable, so its name may be. */
static enum rc name_folder(const struct batch_job *j, struct err *e)
{
    if (renameat2(AT_FDCWD, j->part, AT_FDCWD, j->out, RENAME_NOREPLACE) < 0 &&
        ((errno != EINVAL && errno != ENOSYS) || rename(j->part, j->out) < 0))
        return err_sys(e, "file.write", "cannot rename '%s' to '%s'", j->part, j->out);
    char *parent = path_dir(j->out);
    enum rc rc = dir_sync(parent, e);
    free(parent);
    return rc;
}

enum rc batch_finish(struct batch_job *j, struct batch_lines *l, struct lot_keys *lots, struct err *e)
{
    struct batch_record r = {0};
    bool recorded = false;
    enum rc rc = batch_record_find(j, &r, &recorded, e);
    if (rc == RC_OK)
        rc = recorded ? batch_folder_check(j, &r, j->part, false, e) : make_documents(j, l, lots, &r, e);
    if (rc == RC_OK)
        rc = write_document(j, "batch.json", bytes_span(&r.json), e);
    if (rc == RC_OK)
        rc = write_document(j, "batch.p7s", bytes_span(&r.signature), e);
    if (rc == RC_OK)
        rc = name_folder(j, e);
    batch_record_free(&r);
    return rc;
}
