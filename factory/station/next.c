/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/jsonw.h"
#include "base/secret.h"
#include "base/text.h"
#include "factory/station/internal.h"
#include "x509/cert.h"

/* What a device is given, complete in memory before anything is recorded. key.pem is written last: where it
 * is, all is. */
enum { FILE_CERT, FILE_CHAIN, FILE_TRUST, FILE_DEVICE, FILE_KEY, DELIVERY_FILES };
static const char *const file_names[DELIVERY_FILES] = {"cert.pem", "chain.pem", "trust.pem", "device.json",
                                                       "key.pem"};
struct delivery {
    char id[DEVICE_ID_MAX + 1];
    struct bytes file[DELIVERY_FILES];
};

static void delivery_fini(struct delivery *d)
{
    for (size_t i = 0; i < DELIVERY_FILES; i++)
        bytes_wipe(&d->file[i]);
}

/* ---- opening ---- */

/* The raw line that devices.idx points to; false when it cannot be had. */
static bool seek_line(const char *index, const char *path, uint64_t i, struct bytes *ret)
{
    FILE *x = fopen(index, "re"), *f = fopen(path, "re");
    uint64_t at = 0;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n = -1;

    if (f != NULL && x != NULL && fseeko(x, (off_t)(i * sizeof at), SEEK_SET) == 0 &&
        fread(&at, sizeof at, 1, x) == 1 && fseeko(f, (off_t)at, SEEK_SET) == 0)
        n = getline(&line, &cap, f);
    if (n > 0)
        bytes_add(ret, line, (size_t)n - 1);
    if (f != NULL)
        fclose(f);
    if (x != NULL)
        fclose(x);
    free(line);
    return n > 0;
}

/* Device line i. The line says itself which id it is, so a wrong index cannot deliver a wrong device. */
static enum rc read_device(const struct station *s, const struct job *j, uint64_t i, struct batch_device *ret,
                           struct err *e)
{
    char *path = job_path(s, j->order.id, "batch/devices.jsonl"),
         *index = job_path(s, j->order.id, "batch/devices.idx");
    struct bytes line = BYTES_INIT;
    enum rc rc = RC_INPUT;

    if (seek_line(index, path, i, &line))
        rc = device_decode(j, path, i, bytes_span(&line), ret, e);
    else
        err_set(e, RC_INPUT, "station.batch-lost", "'%s' cannot be read at line %" PRIu64, path, i + 1);
    if (rc != RC_OK)
        err_prefix(e, "run 'keymill-station accept' with the batch of order '%s' again", j->order.id);
    bytes_free(&line);
    free(path);
    free(index);
    return rc;
}

static enum rc open_lot(const struct station *s, const struct job *j, const struct batch *b, uint64_t lot,
                        struct secret **ret, struct err *e)
{
    char *dir = job_path(s, j->order.id, "batch"), *path = lot_path(dir, lot);
    struct bytes der = BYTES_INIT;
    struct signer *seal = NULL;
    struct secret *key = NULL;
    enum rc rc = lot_check(b, dir, lot, e);

    if (rc != RC_OK)
        rc = err_prefix(e, "run 'keymill-station accept' with the batch of order '%s' again", j->order.id);
    if (rc == RC_OK)
        rc = file_read(path, FILE_SMALL_MAX, &der, e);
    if (rc == RC_OK)
        rc = station_key(s->keys, &s->config, s->config.seal_key, KEY_DERIVE, &seal, e);
    if (rc == RC_OK)
        rc = cms_open(seal, bytes_span(&s->seal->der), bytes_span(&der), &key, e);
    if (rc == RC_OK && secret_len(key) != LOT_KEY_LEN)
        rc = err_set(e, RC_INPUT, "batch.lot", "'%s' holds no lot key; ask the office for a new order", path);
    if (rc == RC_OK) {
        *ret = key;
        key = NULL;
    }
    secret_free(key);
    signer_free(seal);
    bytes_free(&der);
    free(dir);
    free(path);
    return rc;
}

/* The key in the clear, which belongs to the device's certificate, which the CA that the order names has
 * signed. What the office made wrong stays wrong: the line goes on without this device. */
static enum rc open_identity(const struct batch_view *v, const struct secret *lot_key, uint64_t lot,
                             const struct batch_device *d, const struct cert *cert, struct secret **ret,
                             struct err *e)
{
    enum rc rc = cert_verify_signature(cert, v->ca, e);

    if (rc == RC_OK)
        rc = batch_line_open(lot_key, v->batch.id, lot, d, ret, e);
    if (rc != RC_OK)
        rc = err_prefix(e, "device '%s' was made wrongly; scrap it, go on, and tell the office", d->id);
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

static void compose(const struct job *j, const struct batch *b, const struct cert *c, const char *id,
                    const struct secret *key, struct delivery *ret)
{
    struct bytes *file = ret->file;

    memcpy(ret->id, id, sizeof ret->id);
    pem_encode("CERTIFICATE", bytes_span(&c->der), &file[FILE_CERT]);
    bytes_add_span(&file[FILE_CHAIN], bytes_span(&file[FILE_CERT]));
    bytes_add_span(&file[FILE_CHAIN], bytes_span(&b->chain));
    bytes_add_span(&file[FILE_TRUST], bytes_span(&j->order.trust_bundle));
    describe(j, c, id, &file[FILE_DEVICE]);
    pem_encode("PRIVATE KEY", (struct span){secret_data(key), secret_len(key)}, &file[FILE_KEY]);
}

static enum rc open_device(const struct station *s, const struct job *j, uint64_t i, struct delivery *ret,
                           struct err *e)
{
    struct batch_view v = {0};
    struct batch_device d = {0};
    struct secret *lot_key = NULL, *key = NULL;
    struct cert *cert = NULL;
    uint64_t lot = 0;
    enum rc rc = batch_view_stored(s, j, &v, e);

    if (rc == RC_OK)
        rc = read_device(s, j, i, &d, e);
    if (rc == RC_OK)
        rc = cert_parse(d.id, bytes_span(&d.cert), &cert, e);
    if (rc == RC_OK) {
        lot = i / v.batch.lot_size;
        rc = open_lot(s, j, &v.batch, lot, &lot_key, e);
    }
    if (rc == RC_OK)
        rc = open_identity(&v, lot_key, lot, &d, cert, &key, e);
    if (rc == RC_OK)
        compose(j, &v.batch, cert, d.id, key, ret);
    secret_free(lot_key);
    secret_free(key);
    cert_free(cert);
    batch_device_fini(&d);
    batch_view_fini(&v);
    return rc;
}

/* ---- the folder ---- */

/* One file that is there already: the same, from an earlier delivery of this device? */
static enum rc check_file(const char *out, const char *name, const struct bytes *want, struct err *e)
{
    char *path = path_join(out, name);
    struct bytes have = BYTES_INIT;
    enum rc rc = RC_OK;

    if (file_exists(path))
        rc = file_read(path, FILE_SMALL_MAX, &have, e);
    if (rc == RC_OK && have.p != NULL && !span_eq(bytes_span(&have), bytes_span(want)))
        rc = err_set(e, RC_CONFLICT, "station.out-used",
                     "'%s' holds another device's '%s'; give each device a folder of its own (a device whose "
                     "delivery was interrupted is delivered again with --id)",
                     out, name);
    bytes_wipe(&have);
    free(path);
    return rc;
}

/* Nothing is recorded before the folder is known to be usable: there, writable, and empty or this very
 * device's. */
static enum rc check_folder(const struct delivery *d, const char *out, struct err *e)
{
    enum rc rc = folder_usable(out, e);

    for (size_t i = 0; rc == RC_OK && i < DELIVERY_FILES; i++)
        rc = check_file(out, file_names[i], &d->file[i], e);
    return rc;
}

static enum rc write_files(const struct delivery *d, const char *out, struct err *e)
{
    for (size_t i = 0; i < DELIVERY_FILES; i++) {
        char *path = path_join(out, file_names[i]);
        enum rc rc = file_create(path, 0600, bytes_span(&d->file[i]), e);

        free(path);
        if (rc != RC_OK)
            return err_prefix(e,
                              "device '%s' is recorded as delivered, but its files are not all written; make "
                              "room and run 'keymill-station next' with --id %s",
                              d->id, d->id);
    }
    return RC_OK;
}

/* ---- which device ---- */

/* The one that is asked for by id must be delivered and unfinished. */
static enum rc choose_again(const struct job *j, const char *id, uint64_t *ret, struct err *e)
{
    if (!id_block_find(&j->me.ids, id, ret) || *ret >= j->me.quantity)
        return err_set(e, RC_INPUT, "station.no-id", "id '%s' is none of order '%s'; check the id", id,
                       j->order.id);
    switch ((enum slot_state)j->slots[*ret].state) {
    case SLOT_DELIVERED:
        return RC_OK;
    case SLOT_UNUSED:
        return err_set(e, RC_CONFLICT, "station.not-delivered",
                       "'%s' was not delivered yet; --id only repeats a delivery, leave it out for the next "
                       "device",
                       id);
    case SLOT_GOOD:
    case SLOT_SCRAPPED:
        break;
    }
    return err_set(
        e, RC_CONFLICT, "station.finished",
        "'%s' is finished (%s); its key is not given out again, leave --id out for the next device", id,
        j->slots[*ret].state == SLOT_GOOD ? "good" : "scrapped");
}

static enum rc choose(const struct job *j, const char *id, uint64_t *ret, struct err *e)
{
    if (id != NULL)
        return choose_again(j, id, ret, e);
    *ret = j->cursor;
    if (j->cursor < j->me.quantity)
        return RC_OK;
    return err_set(e, RC_DENIED, "station.quantity",
                   "order '%s' allows %" PRIu64
                   " devices here and all are taken; close it, and ask the office "
                   "for another order",
                   j->order.id, j->me.quantity);
}

static enum rc may_deliver(const struct station *s, const struct job *j, struct err *e)
{
    int64_t now = 0;
    enum rc rc;

    if (j->closed)
        return err_set(e, RC_CONFLICT, "station.closed",
                       "order '%s' is closed; ask the office for another order", j->order.id);
    rc = station_clock_gate(s, &j->order, &now, e);
    if (rc == RC_OK)
        rc = station_window_gate(&j->order, now, e);
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
        rc = may_deliver(s, j, e);
    if (rc == RC_OK)
        rc = choose(j, id, &i, e);
    if (rc == RC_OK)
        rc = open_device(s, j, i, &d, e);
    if (rc == RC_OK)
        rc = check_folder(&d, out, e);
    if (rc == RC_OK && j->slots[i].state == SLOT_UNUSED)
        rc = station_record(s, &j->order, "deliver", d.id, NULL, e);
    if (rc == RC_OK)
        rc = write_files(&d, out, e);
    if (rc == RC_OK)
        memcpy(ret_id, d.id, sizeof d.id);
    delivery_fini(&d);
    return rc;
}
