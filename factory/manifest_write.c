/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/jsonw.h"
#include "factory/internal.h"

struct manifest_writer {
    struct file_writer *file;
    struct sha256_ctx *hash;
    struct merkle merkle;
    struct bytes line;
    struct checkpoint checkpoint;
};

const char *device_state_name(enum device_state s)
{
    static const char *const names[STATE_COUNT] = {"unused", "good", "scrapped"};
    if ((unsigned)s >= STATE_COUNT)
        bug("device state %d", (int)s);
    return names[s];
}

/* Frees w; the file must be committed or aborted. */
static void writer_free(struct manifest_writer *w)
{
    uint8_t unused[SHA256_LEN];
    if (w->hash != NULL)
        sha256_end(w->hash, unused);
    bytes_free(&w->line);
    free(w);
}

/* Writes w->line, and counts it in. */
static enum rc put_line(struct manifest_writer *w, struct err *e)
{
    merkle_add(&w->merkle, bytes_span(&w->line));
    bytes_add_byte(&w->line, '\n');
    sha256_add(w->hash, bytes_span(&w->line));
    enum rc rc = file_writer_add(w->file, w->line.p, w->line.n, e);
    bytes_reset(&w->line);
    return rc;
}

static void header_write(const struct manifest_header *h, struct bytes *ret)
{
    struct jsonw w;
    jsonw_init(&w, ret);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "type", "header");
    jsonw_str(&w, "schema", "keymill.manifest.v1");
    jsonw_str(&w, "order", h->order);
    jsonw_hex(&w, "order_sha256", (struct span){h->order_sha256, SHA256_LEN});
    jsonw_str(&w, "station", h->station);
    jsonw_hex(&w, "ca_sha256", (struct span){h->ca, SHA256_LEN});
    jsonw_hex(&w, "trust_bundle_sha256", (struct span){h->trust_bundle, SHA256_LEN});
    jsonw_time(&w, "started", h->started);
    jsonw_end(&w);
}

enum rc manifest_begin(const char *path, const struct manifest_header *h, struct manifest_writer **ret,
                       struct err *e)
{
    struct file_writer *file = NULL;
    enum rc rc = file_writer_open(path, 0644, &file, e);
    if (rc != RC_OK)
        return rc;
    struct manifest_writer *w = mem_new(sizeof(*w));
    w->file = file;
    w->hash = sha256_new();
    merkle_init(&w->merkle);
    memcpy(w->checkpoint.order, h->order, sizeof(h->order));
    memcpy(w->checkpoint.station, h->station, sizeof(h->station));
    memcpy(w->checkpoint.order_sha256, h->order_sha256, SHA256_LEN);
    header_write(h, &w->line);
    sha256(bytes_span(&w->line), w->checkpoint.header_sha256);
    rc = put_line(w, e);
    if (rc != RC_OK) {
        manifest_abort(w);
        return rc;
    }
    *ret = w;
    return RC_OK;
}

enum rc manifest_add(struct manifest_writer *mw, const struct manifest_line *l, struct err *e)
{
    struct jsonw w;
    jsonw_init(&w, &mw->line);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "type", "device");
    jsonw_str(&w, "id", l->id);
    jsonw_str(&w, "state", device_state_name(l->state));
    jsonw_b64(&w, "cert", bytes_span(&l->cert));
    jsonw_hex(&w, "cert_sha256", (struct span){l->cert_sha256, SHA256_LEN});
    jsonw_hex(&w, "spki_sha256", (struct span){l->spki_sha256, SHA256_LEN});
    jsonw_time(&w, "not_before", l->not_before);
    jsonw_time(&w, "not_after", l->not_after);
    if (l->delivered != 0)
        jsonw_time(&w, "delivered", l->delivered);
    if (l->finished != 0)
        jsonw_time(&w, "finished", l->finished);
    if (l->reason[0] != '\0')
        jsonw_str(&w, "reason", l->reason);
    jsonw_end(&w);
    mw->checkpoint.count++;
    mw->checkpoint.counts[l->state]++;
    return put_line(mw, e);
}

static void trailer_write(const struct checkpoint *c, struct bytes *ret)
{
    struct jsonw w;
    jsonw_init(&w, ret);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "type", "trailer");
    jsonw_int(&w, "count", (int64_t)c->count);
    counts_write(&w, c->counts);
    jsonw_end(&w);
}

/* What the lines came to; the rest of *ret is the caller's. */
static void copy_result(const struct checkpoint *from, struct checkpoint *ret)
{
    memcpy(ret->order, from->order, sizeof(ret->order));
    memcpy(ret->order_sha256, from->order_sha256, SHA256_LEN);
    memcpy(ret->station, from->station, sizeof(ret->station));
    memcpy(ret->header_sha256, from->header_sha256, SHA256_LEN);
    memcpy(ret->manifest_sha256, from->manifest_sha256, SHA256_LEN);
    memcpy(ret->merkle_root, from->merkle_root, SHA256_LEN);
    memcpy(ret->counts, from->counts, sizeof(ret->counts));
    ret->count = from->count;
}

enum rc manifest_end(struct manifest_writer *w, struct checkpoint *ret, struct err *e)
{
    trailer_write(&w->checkpoint, &w->line);
    enum rc rc = put_line(w, e);
    if (rc != RC_OK) {
        manifest_abort(w);
        return rc;
    }
    merkle_root(&w->merkle, w->checkpoint.merkle_root);
    sha256_end(w->hash, w->checkpoint.manifest_sha256);
    w->hash = NULL;
    rc = file_writer_commit(w->file, e);
    if (rc == RC_OK)
        copy_result(&w->checkpoint, ret);
    writer_free(w);
    return rc;
}

void manifest_abort(struct manifest_writer *w)
{
    if (w == NULL)
        return;
    file_writer_abort(w->file);
    writer_free(w);
}
