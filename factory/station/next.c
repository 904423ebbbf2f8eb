/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "base/secret.h"
#include "base/text.h"
#include "factory/station/internal.h"
#include "x509/cert.h"

/* What a device is given, complete in memory before anything is recorded. */
enum { DELIVERY_FILES = 5 };
static const char *const file_names[DELIVERY_FILES] = {"cert.pem", "chain.pem", "trust.pem", "device.json",
                                                       "key.pem"};
struct delivery {
    char id[DEVICE_ID_MAX + 1];
    struct bytes file[DELIVERY_FILES]; /* in the order of file_names */
};

static void delivery_fini(struct delivery *d)
{
    for (size_t i = 0; i < DELIVERY_FILES; i++)
        bytes_wipe(&d->file[i]);
}

/* Line i of devices.jsonl, by the index that accept made. The line itself says which id it is, so a wrong
 * index cannot deliver a wrong device. */
static enum rc read_line(const struct station *s, const struct job *j, uint64_t i, struct batch_device *ret,
                         struct err *e)
{
    char *path = job_path(s, j->order.id, "batch/devices.jsonl"),
         *index = job_path(s, j->order.id, "batch/devices.idx");
    FILE *f = fopen(path, "re"), *x = fopen(index, "re");
    uint64_t at = 0;
    char *line = NULL, id[DEVICE_ID_MAX + 1];
    size_t cap = 0;
    ssize_t n = -1;
    enum rc rc = RC_OK;

    if (f != NULL && x != NULL && fseeko(x, (off_t)(i * sizeof at), SEEK_SET) == 0 &&
        fread(&at, sizeof at, 1, x) == 1 && fseeko(f, (off_t)at, SEEK_SET) == 0)
        n = getline(&line, &cap, f);
    if (n < 1)
        rc = err_set(e, RC_SYSTEM, "station.batch-lost",
                     "'%s' cannot be read; accept the batch of order '%s' again", path, j->order.id);
    else
        rc = batch_line_decode(path, (int64_t)i + 1, (struct span){(const uint8_t *)line, (size_t)n - 1}, ret,
                               e);
    id_block_id(&j->me.ids, i, id);
    if (rc == RC_OK && strcmp(ret->id, id) != 0) {
        rc = err_set(e, RC_INPUT, "batch.id", "'%s' line %" PRIu64 ": '%s' stands where the order has '%s'",
                     path, i + 1, ret->id, id);
        batch_device_fini(ret);
    }
    if (f != NULL)
        fclose(f);
    if (x != NULL)
        fclose(x);
    free(line);
    free(path);
    free(index);
    return rc;
}

static enum rc open_lot(const struct station *s, const struct job *j, uint64_t lot, struct secret **ret,
                        struct err *e)
{
    char name[64];
    char *path;
    struct bytes der = BYTES_INIT;
    struct signer *seal = NULL;
    enum rc rc;

    snprintf(name, sizeof name, "batch/lot-%" PRIu64 ".p7m", lot);
    path = job_path(s, j->order.id, name);
    rc = file_read(path, FILE_SMALL_MAX, &der, e);
    if (rc == RC_OK)
        rc = s->keys->ops->find(s->keys, s->config.seal_key, KEY_DERIVE, &seal, e);
    if (rc == RC_OK)
        rc = cms_open(seal, bytes_span(&s->seal->der), bytes_span(&der), ret, e);
    if (rc == RC_OK && secret_len(*ret) != LOT_KEY_LEN) {
        secret_free(*ret);
        *ret = NULL;
        rc = err_set(e, RC_INPUT, "batch.lot", "'%s' holds no lot key", path);
    }
    signer_free(seal);
    bytes_free(&der);
    free(path);
    return rc;
}

static void describe(const struct job *j, const struct cert *c, const char *id, struct bytes *ret)
{
    struct jsonw w;

    jsonw_init(&w, ret);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "schema", "keymill.device.v1");
    jsonw_str(&w, "id", id);
    jsonw_str(&w, "order", j->order.id);
    jsonw_str(&w, "endpoint", j->order.endpoint);
    jsonw_hex(&w, "cert_sha256", (struct span){c->sha256, SHA256_LEN});
    jsonw_hex(&w, "trust_bundle_sha256", (struct span){j->order.trust_bundle_sha256, SHA256_LEN});
    jsonw_end(&w);
    bytes_add_byte(ret, '\n');
}

/* Opens one device: its key belongs to its certificate, and the certificate was signed by the CA that the
 * order names. */
static enum rc open_device(const struct station *s, const struct job *j, uint64_t i, struct delivery *ret,
                           struct err *e)
{
    struct batch_view v = {0};
    struct batch_device d = {0};
    struct secret *lot_key = NULL, *pkcs8 = NULL;
    struct cert *cert = NULL;
    char *dir = job_path(s, j->order.id, "batch");
    uint64_t lot = 0;
    enum rc rc = batch_view_read(s, j, dir, false, &v, e);

    if (rc == RC_OK)
        rc = read_line(s, j, i, &d, e);
    if (rc == RC_OK)
        rc = cert_parse(d.id, bytes_span(&d.cert), &cert, e);
    if (rc == RC_OK)
        rc = cert_verify_signature(cert, v.ca, e);
    if (rc == RC_OK) {
        lot = i / v.batch.lot_size;
        rc = open_lot(s, j, lot, &lot_key, e);
    }
    if (rc == RC_OK)
        rc = batch_line_open(lot_key, v.batch.id, lot, &d, &pkcs8, e);
    if (rc == RC_OK) {
        strncpy(ret->id, d.id, DEVICE_ID_MAX);
        pem_encode("CERTIFICATE", bytes_span(&d.cert), &ret->file[0]);
        bytes_add_span(&ret->file[1], bytes_span(&ret->file[0]));
        bytes_add_span(&ret->file[1], bytes_span(&v.batch.chain));
        bytes_add_span(&ret->file[2], bytes_span(&j->order.trust_bundle));
        describe(j, cert, d.id, &ret->file[3]);
        pem_encode("PRIVATE KEY", (struct span){secret_data(pkcs8), secret_len(pkcs8)}, &ret->file[4]);
    }
    secret_free(lot_key);
    secret_free(pkcs8);
    cert_free(cert);
    batch_device_fini(&d);
    batch_view_fini(&v);
    free(dir);
    return rc;
}

/* Nothing is recorded before the folder is known to be usable: there, writable, and empty or this very
 * device's. */
static enum rc check_folder(const struct delivery *d, const char *out, struct err *e)
{
    enum rc rc = dir_make(out, 0700, e);

    if (rc == RC_OK && access(out, W_OK | X_OK) != 0)
        rc = err_sys(e, "file.write", "cannot write to '%s'", out);
    for (size_t i = 0; rc == RC_OK && i < DELIVERY_FILES; i++) {
        char *path = path_join(out, file_names[i]);
        struct bytes have = BYTES_INIT;

        if (file_exists(path)) {
            rc = file_read(path, FILE_SMALL_MAX, &have, e);
            if (rc == RC_OK && !span_eq(bytes_span(&have), bytes_span(&d->file[i])))
                rc = err_set(e, RC_CONFLICT, "station.out-used",
                             "'%s' holds another device's '%s'; give each device a folder of its own", out,
                             file_names[i]);
        }
        bytes_wipe(&have);
        free(path);
    }
    return rc;
}

static enum rc write_files(const struct delivery *d, const char *out, struct err *e)
{
    for (size_t i = 0; i < DELIVERY_FILES; i++) {
        char *path = path_join(out, file_names[i]);
        enum rc rc = file_create(path, 0600, bytes_span(&d->file[i]), e);

        free(path);
        if (rc != RC_OK)
            return err_prefix(e, "device '%s' is recorded as delivered; make room and run next with --id %s",
                              d->id, d->id);
    }
    return RC_OK;
}

/* Which slot: the named one, delivered and unfinished; or the next unused. */
static enum rc choose(const struct job *j, const char *id, uint64_t *ret, struct err *e)
{
    if (id == NULL) {
        *ret = j->cursor;
        if (j->cursor >= j->me.quantity)
            return err_set(e, RC_DENIED, "station.quantity",
                           "order '%s' allows %" PRIu64 " devices here and all were taken", j->order.id,
                           j->me.quantity);
        return RC_OK;
    }
    if (!id_block_find(&j->me.ids, id, ret) || *ret >= j->me.quantity)
        return err_set(e, RC_INPUT, "station.no-id", "id '%s' is none of order '%s'", id, j->order.id);
    switch ((enum slot_state)j->slots[*ret].state) {
    case SLOT_DELIVERED:
        return RC_OK;
    case SLOT_UNUSED:
        return err_set(
            e, RC_CONFLICT, "station.not-delivered",
            "'%s' was not delivered yet; --id repeats a delivery, leave it out for the next device", id);
    case SLOT_GOOD:
    case SLOT_SCRAPPED:
        break;
    }
    return err_set(e, RC_CONFLICT, "station.finished",
                   "'%s' is finished (%s); its key is not given out again", id,
                   j->slots[*ret].state == SLOT_GOOD ? "good" : "scrapped");
}

static enum rc may_deliver(const struct job *j, struct err *e)
{
    int64_t now = clock_now();
    enum rc rc = station_clock_gate(&j->order, now, e);

    if (rc == RC_OK)
        rc = station_window_gate(&j->order, now, e);
    if (rc == RC_OK && j->closed)
        rc = err_set(e, RC_CONFLICT, "station.closed", "order '%s' is closed", j->order.id);
    if (rc == RC_OK && !j->has_batch)
        rc = err_set(e, RC_CONFLICT, "station.no-batch",
                     "the sealed batch of order '%s' was not accepted yet", j->order.id);
    return rc;
}

enum rc station_next(struct station *s, const char *order, const char *id, const char *out,
                     char ret_id[static DEVICE_ID_MAX + 1], struct err *e)
{
    struct delivery d = {0};
    struct job *j = NULL;
    uint64_t i = 0;
    enum rc rc = station_find_job(s, order, &j, e);

    if (rc == RC_OK)
        rc = may_deliver(j, e);
    if (rc == RC_OK)
        rc = choose(j, id, &i, e);
    if (rc == RC_OK)
        rc = open_device(s, j, i, &d, e);
    if (rc == RC_OK)
        rc = check_folder(&d, out, e);
    if (rc == RC_OK && j->slots[i].state == SLOT_UNUSED)
        rc = station_record(s, "deliver", order, d.id, NULL, e);
    if (rc == RC_OK)
        rc = write_files(&d, out, e);
    if (rc == RC_OK)
        memcpy(ret_id, d.id, sizeof d.id);
    delivery_fini(&d);
    return rc;
}
