/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "factory/signed.h"
#include "factory/station/internal.h"
#include "x509/cert.h"

static enum rc all_finished(const struct job *j, struct err *e)
{
    uint64_t open = 0, first = 0;
    char id[DEVICE_ID_MAX + 1];

    for (uint64_t i = j->me.quantity; i-- > 0;)
        if (j->slots[i].state == SLOT_DELIVERED) {
            open++;
            first = i;
        }
    if (open == 0)
        return RC_OK;
    id_block_id(&j->me.ids, first, id);
    return err_set(
        e, RC_CONFLICT, "station.unfinished",
        "order '%s': %" PRIu64
        " delivered devices are neither good nor scrapped (the first is '%s'); finish them, then close",
        j->order.id, open, id);
}

static enum rc add_line(const struct job *j, uint64_t i, const struct batch_device *d,
                        struct manifest_writer *w, struct err *e)
{
    static const enum device_state states[] = {
        [SLOT_UNUSED] = STATE_UNUSED, [SLOT_GOOD] = STATE_GOOD, [SLOT_SCRAPPED] = STATE_SCRAPPED};
    const struct slot *slot = &j->slots[i];
    struct manifest_line l = {.state = states[slot->state],
                              .cert = d->cert,
                              .delivered = slot->delivered,
                              .finished = slot->finished};
    struct cert *c = NULL;
    enum rc rc = cert_parse(d->id, bytes_span(&d->cert), &c, e);

    if (rc != RC_OK)
        return rc;
    strncpy(l.id, d->id, DEVICE_ID_MAX);
    if (slot->reason != NULL)
        strncpy(l.reason, slot->reason, sizeof l.reason - 1);
    memcpy(l.cert_sha256, c->sha256, SHA256_LEN);
    sha256(c->spki, l.spki_sha256);
    l.not_before = c->not_before;
    l.not_after = c->not_after;
    rc = manifest_add(w, &l, e);
    cert_free(c);
    return rc;
}

static enum rc add_lines(const struct station *s, const struct job *j, struct manifest_writer *w,
                         struct err *e)
{
    char *path = job_path(s, j->order.id, "batch/devices.jsonl");
    FILE *f = fopen(path, "re");
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    uint64_t i = 0;
    enum rc rc = RC_OK;

    if (f == NULL)
        rc = err_sys(e, "file.read", "cannot open '%s'", path);
    while (rc == RC_OK && i < j->me.quantity && (n = getline(&line, &cap, f)) > 0) {
        struct batch_device d = {0};
        char id[DEVICE_ID_MAX + 1];

        rc = batch_line_decode(path, (int64_t)i + 1, (struct span){(const uint8_t *)line, (size_t)n - 1}, &d,
                               e);
        id_block_id(&j->me.ids, i, id);
        if (rc == RC_OK && strcmp(d.id, id) != 0)
            rc =
                err_set(e, RC_INPUT, "batch.id",
                        "'%s' line %" PRIu64 ": '%s' stands where the order has '%s'", path, i + 1, d.id, id);
        if (rc == RC_OK)
            rc = add_line(j, i, &d, w, e);
        batch_device_fini(&d);
        i++;
    }
    if (rc == RC_OK && i != j->me.quantity)
        rc = err_set(e, RC_INPUT, "station.batch-lost",
                     "'%s' ends after %" PRIu64 " lines; accept the batch again", path, i);
    if (f != NULL)
        fclose(f);
    free(line);
    free(path);
    return rc;
}

static enum rc write_manifest(const struct station *s, const struct job *j, const char *path,
                              struct checkpoint *ret, struct err *e)
{
    struct manifest_header h = {.started = j->accepted};
    struct manifest_writer *w = NULL;
    enum rc rc;

    memcpy(h.order, j->order.id, sizeof h.order);
    memcpy(h.order_sha256, j->order.sha256, SHA256_LEN);
    memcpy(h.station, j->me.name, sizeof h.station);
    memcpy(h.ca, j->order.ca, SHA256_LEN);
    memcpy(h.trust_bundle, j->order.trust_bundle_sha256, SHA256_LEN);
    rc = manifest_begin(path, &h, &w, e);
    if (rc == RC_OK)
        rc = add_lines(s, j, w, e);
    if (rc != RC_OK) {
        manifest_abort(w);
        return rc;
    }
    return manifest_end(w, ret, e);
}

static enum rc sign_checkpoint(struct station *s, const struct job *j, struct checkpoint *c, const char *path,
                               char hex[static 65], struct err *e)
{
    struct bytes json = BYTES_INIT, der = BYTES_INIT;
    struct signer *manifest = NULL;
    uint8_t hash[SHA256_LEN];
    enum rc rc;

    memcpy(c->order, j->order.id, sizeof c->order);
    memcpy(c->order_sha256, j->order.sha256, SHA256_LEN);
    memcpy(c->station, j->me.name, sizeof c->station);
    c->issued = clock_now();
    memcpy(c->journal_before, j->journal_before, SHA256_LEN);
    journal_head(s->journal, c->journal_after, &c->journal_records);
    checkpoint_encode(c, &json);
    rc = s->keys->ops->find(s->keys, s->config.manifest_key, KEY_SIGN, &manifest, e);
    if (rc == RC_OK)
        rc = signed_make(manifest, &s->chain, bytes_span(&json), c->issued, &der, e);
    if (rc == RC_OK)
        rc = file_publish(path, 0600, bytes_span(&der), e);
    sha256(bytes_span(&der), hash);
    hex_encode((struct span){hash, SHA256_LEN}, hex);
    signer_free(manifest);
    bytes_free(&json);
    bytes_free(&der);
    return rc;
}

/* An order that was closed before: its checkpoint is read back, so that closing again reports and copies the
 * same. */
static enum rc read_back(const struct job *j, const char *path, struct checkpoint *ret, struct err *e)
{
    struct bytes der = BYTES_INIT;
    struct signed_doc doc = {0};
    char hex[2 * SHA256_LEN + 1];
    enum rc rc = file_read(path, FILE_DOC_MAX, &der, e);

    if (rc == RC_OK)
        rc = signed_peek(path, bytes_span(&der), &doc, e);
    if (rc == RC_OK) {
        hex_encode((struct span){doc.sha256, SHA256_LEN}, hex);
        if (strcmp(hex, j->close_detail) != 0)
            rc = err_set(e, RC_INPUT, "station.checkpoint-changed",
                         "'%s' is not the checkpoint that the journal names", path);
    }
    if (rc == RC_OK)
        rc = checkpoint_decode(path, bytes_span(&doc.content), ret, e);
    signed_free(&doc);
    bytes_free(&der);
    return rc;
}

static enum rc close_job(struct station *s, struct job *j, const char *manifest, const char *checkpoint,
                         struct checkpoint *ret, struct err *e)
{
    char hex[2 * SHA256_LEN + 1];
    enum rc rc;

    if (j->closed)
        return read_back(j, checkpoint, ret, e);
    if (!j->has_batch)
        return err_set(e, RC_CONFLICT, "station.no-batch",
                       "the sealed batch of order '%s' was not accepted yet", j->order.id);
    rc = all_finished(j, e);
    if (rc == RC_OK)
        rc = write_manifest(s, j, manifest, ret, e);
    if (rc == RC_OK)
        rc = sign_checkpoint(s, j, ret, checkpoint, hex, e);
    if (rc == RC_OK)
        rc = station_record(s, "close", j->order.id, NULL, hex, e);
    return rc;
}

enum rc station_close(struct station *s, const char *order, const char *out, struct checkpoint *ret,
                      struct err *e)
{
    struct job *j = NULL;
    struct checkpoint c = {0};
    char *names[2], *inside[2] = {NULL, NULL};
    enum rc rc = station_find_job(s, order, &j, e);

    names[0] = mem_printf("%s.manifest.jsonl", order);
    names[1] = mem_printf("%s.checkpoint", order);
    if (rc == RC_OK) {
        inside[0] = job_path(s, order, names[0]);
        inside[1] = job_path(s, order, names[1]);
        rc = close_job(s, j, inside[0], inside[1], &c, e);
    }
    if (rc == RC_OK)
        rc = dir_make(out, 0700, e);
    for (size_t i = 0; rc == RC_OK && i < 2; i++) {
        char *to = path_join(out, names[i]);

        rc = file_copy_create(inside[i], to, 0644, e);
        free(to);
    }
    if (rc == RC_OK)
        *ret = c;
    for (size_t i = 0; i < 2; i++) {
        free(names[i]);
        free(inside[i]);
    }
    return rc;
}
