/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "base/file.h"
#include "factory/internal.h"
#include "factory/lines.h"
#include "factory/shamap.h"
#include "factory/signed.h"
#include "x509/cert.h"

enum part { PART_HEADER, PART_DEVICES, PART_END };

struct reading {
    const char *path;
    struct lines *lines;
    struct sha256_ctx *hash;
    struct merkle merkle;
    struct shamap ids, certs; /* seen so far, ids by their SHA-256 */
    enum part part;
    uint64_t count, counts[STATE_COUNT];
    enum rc (*line)(void *arg, const struct manifest_line *l, struct err *e);
    void *arg;
    struct manifest_view *view;
};

static enum rc read_checkpoint(const char *path, const struct trust *trust, struct manifest_view *ret,
                               struct err *e)
{
    struct bytes der = BYTES_INIT;
    struct signed_doc doc = {0};

    enum rc rc = file_read(path, FILE_SMALL_MAX, &der, e);
    if (rc == RC_OK)
        rc = signed_open(path, bytes_span(&der), trust, ROLE_STATION_MANIFEST, &doc, e);
    if (rc == RC_OK)
        rc = checkpoint_decode(path, bytes_span(&doc.content), &ret->checkpoint, e);
    if (rc == RC_OK) {
        memcpy(ret->signer, doc.signer, SHA256_LEN);
        memcpy(ret->checkpoint_sha256, doc.sha256, SHA256_LEN);
    }
    signed_free(&doc);
    bytes_free(&der);
    return rc;
}

static enum rc reject(const struct reading *r, const char *key, const char *text, struct err *e)
{
    return err_set(e, RC_INPUT, key, "%s:%" PRId64 ": %s", r->path, lines_number(r->lines), text);
}

static enum rc read_header(struct reading *r, struct span line, struct doc_map *m, struct err *e)
{
    struct manifest_header *h = &r->view->header;
    const struct checkpoint *c = &r->view->checkpoint;
    uint8_t hash[SHA256_LEN];

    doc_schema(m, "keymill.manifest.v1");
    doc_name(m, "order", h->order);
    doc_hex(m, "order_sha256", h->order_sha256, SHA256_LEN);
    doc_name(m, "station", h->station);
    doc_hex(m, "ca_sha256", h->ca, SHA256_LEN);
    doc_hex(m, "trust_bundle_sha256", h->trust_bundle, SHA256_LEN);
    h->started = doc_time(m, "started");
    enum rc rc = doc_close(m, e);
    if (rc != RC_OK)
        return rc;
    sha256(line, hash);
    if (strcmp(h->order, c->order) != 0 || strcmp(h->station, c->station) != 0 ||
        memcmp(h->order_sha256, c->order_sha256, SHA256_LEN) != 0 ||
        memcmp(hash, c->header_sha256, SHA256_LEN) != 0)
        return reject(r, "manifest.header", "the header is not the one that the checkpoint signs", e);
    r->part = PART_DEVICES;
    return RC_OK;
}

/* Which times and texts a state has. */
static void check_state(struct doc_map *m, const struct manifest_line *l)
{
    if (l->state == STATE_UNUSED && (l->delivered != 0 || l->finished != 0))
        doc_fail(m, "state", "manifest.state", "an unused device was neither delivered nor finished");
    if (l->state == STATE_GOOD && (l->delivered == 0 || l->finished == 0))
        doc_fail(m, "state", "manifest.state", "a good device was delivered and finished");
    if (l->state == STATE_SCRAPPED && l->finished == 0)
        doc_fail(m, "state", "manifest.state", "a scrapped device was finished");
    if (l->finished != 0 && l->finished < l->delivered)
        doc_fail(m, "finished", "manifest.state", "finished before it was delivered");
    if (l->state != STATE_SCRAPPED && l->reason[0] != '\0')
        doc_fail(m, "reason", "manifest.state", "only a scrapped device has a reason");
}

/* Everything that the line repeats must be what its certificate says. */
static void check_cert(struct doc_map *m, const struct manifest_line *l)
{
    struct cert *c = NULL;
    struct err bad = ERR_INIT;
    uint8_t spki[SHA256_LEN];

    if (m->err.rc != RC_OK)
        return;
    if (cert_parse(l->id, bytes_span(&l->cert), &c, &bad) != RC_OK) {
        doc_fail(m, "cert", "manifest.cert", "%s", bad.text);
        return;
    }
    sha256(c->spki, spki);
    if (c->cn == NULL || strcmp(c->cn, l->id) != 0)
        doc_fail(m, "cert", "manifest.cert", "the certificate's name is not '%s'", l->id);
    if (memcmp(c->sha256, l->cert_sha256, SHA256_LEN) != 0)
        doc_fail(m, "cert_sha256", "manifest.cert", "this is not the certificate's SHA-256");
    if (memcmp(spki, l->spki_sha256, SHA256_LEN) != 0)
        doc_fail(m, "spki_sha256", "manifest.cert",
                 "this is not the SHA-256 of the certificate's SubjectPublicKeyInfo");
    if (c->not_before != l->not_before || c->not_after != l->not_after)
        doc_fail(m, "not_before", "manifest.cert", "the validity is not the certificate's");
    cert_free(c);
}

static void check_new(struct reading *r, struct doc_map *m, const struct manifest_line *l)
{
    uint8_t id[SHA256_LEN];
    if (m->err.rc != RC_OK)
        return;
    sha256(span_str(l->id), id);
    if (!shamap_add(&r->ids, id, 0))
        doc_fail(m, "id", "manifest.duplicate", "'%s' stood on an earlier line", l->id);
    if (!shamap_add(&r->certs, l->cert_sha256, 0))
        doc_fail(m, "cert", "manifest.duplicate", "this certificate stood on an earlier line");
}

static enum rc read_device(struct reading *r, struct doc_map *m, struct err *e)
{
    static const char *const states[] = {"unused", "good", "scrapped", NULL};
    struct manifest_line l = {0};

    doc_id(m, "id", l.id);
    l.state = (enum device_state)doc_word(m, "state", states);
    doc_b64(m, "cert", &l.cert);
    doc_hex(m, "cert_sha256", l.cert_sha256, SHA256_LEN);
    doc_hex(m, "spki_sha256", l.spki_sha256, SHA256_LEN);
    l.not_before = doc_time(m, "not_before");
    l.not_after = doc_time(m, "not_after");
    if (doc_has(m, "delivered"))
        l.delivered = doc_time(m, "delivered");
    if (doc_has(m, "finished"))
        l.finished = doc_time(m, "finished");
    if (doc_has(m, "reason"))
        doc_copy(m, "reason", l.reason, sizeof(l.reason));
    check_state(m, &l);
    check_cert(m, &l);
    check_new(r, m, &l);
    enum rc rc = doc_close(m, e);
    if (rc == RC_OK) {
        r->count++;
        r->counts[l.state]++;
        if (r->line != NULL)
            rc = r->line(r->arg, &l, e);
    }
    bytes_free(&l.cert);
    return rc;
}

static enum rc read_trailer(struct reading *r, struct doc_map *m, struct err *e)
{
    uint64_t counts[STATE_COUNT];
    uint64_t count = (uint64_t)doc_int(m, "count", 0, COUNTER_MAX);
    counts_read(m, counts);
    enum rc rc = doc_close(m, e);
    if (rc != RC_OK)
        return rc;
    if (count != r->count || memcmp(counts, r->counts, sizeof(counts)) != 0)
        return reject(r, "manifest.counts", "the trailer does not count the lines before it", e);
    r->part = PART_END;
    return RC_OK;
}

/* What kind of line stands where: one header, devices, one trailer. */
static enum rc read_typed(struct reading *r, struct span line, struct doc_map *m, struct err *e)
{
    static const char *const types[] = {"header", "device", "trailer", NULL};
    int type = doc_word(m, "type", types);
    if (m->err.rc != RC_OK)
        return doc_close(m, e);
    if ((type == 0) != (r->part == PART_HEADER))
        return reject(r, "manifest.order", "the header is the first line, and there is only one", e);
    switch (type) {
    case 0:
        return read_header(r, line, m, e);
    case 1:
        return read_device(r, m, e);
    default:
        return read_trailer(r, m, e);
    }
}

static enum rc read_line(struct reading *r, struct span line, struct err *e)
{
    struct doc *d = NULL;
    struct doc_map m;

    if (r->part == PART_END)
        return reject(r, "manifest.trailing", "there is a line behind the trailer", e);
    merkle_add(&r->merkle, line);
    sha256_add(r->hash, line);
    sha256_add(r->hash, SPAN("\n"));
    enum rc rc = doc_parse_jsonl(r->path, lines_number(r->lines), line, &d, e);
    if (rc != RC_OK)
        return rc;
    doc_open(&m, d, doc_root(d));
    rc = read_typed(r, line, &m, e);
    doc_free(d);
    return rc;
}

/* The whole file against what the station signed. */
static enum rc check_whole(struct reading *r, struct err *e)
{
    const struct checkpoint *c = &r->view->checkpoint;
    uint8_t root[SHA256_LEN];
    uint8_t file[SHA256_LEN];

    if (r->part != PART_END)
        return reject(r, "manifest.cut", "the trailer is missing: the file was cut off", e);
    merkle_root(&r->merkle, root);
    sha256_end(r->hash, file);
    r->hash = NULL;
    if (c->count != r->count || memcmp(c->counts, r->counts, sizeof(r->counts)) != 0)
        return err_set(e, RC_INPUT, "manifest.counts",
                       "'%s': %" PRIu64 " devices, %" PRIu64 " good, %" PRIu64
                       " scrapped, but the checkpoint signs %" PRIu64 ", %" PRIu64 ", %" PRIu64,
                       r->path, r->count, r->counts[STATE_GOOD], r->counts[STATE_SCRAPPED], c->count,
                       c->counts[STATE_GOOD], c->counts[STATE_SCRAPPED]);
    if (memcmp(root, c->merkle_root, SHA256_LEN) != 0)
        return err_set(e, RC_INPUT, "manifest.root",
                       "'%s': its lines are not those that the checkpoint signs (Merkle root)", r->path);
    if (memcmp(file, c->manifest_sha256, SHA256_LEN) != 0)
        return err_set(e, RC_INPUT, "manifest.root",
                       "'%s': its SHA-256 is not the one that the checkpoint signs", r->path);
    return RC_OK;
}

static enum rc read_manifest(struct reading *r, struct err *e)
{
    for (;;) {
        struct span line;
        bool end = false;
        enum rc rc = lines_next(r->lines, &line, &end, e);
        if (rc == RC_OK && end)
            return check_whole(r, e);
        if (rc == RC_OK)
            rc = read_line(r, line, e);
        if (rc != RC_OK)
            return rc;
    }
}

enum rc manifest_verify(const char *manifest_path, const char *checkpoint_path, const struct trust *trust,
                        enum rc (*line)(void *arg, const struct manifest_line *l, struct err *e), void *arg,
                        struct manifest_view *ret, struct err *e)
{
    struct manifest_view view = {0};
    struct reading r = {.path = manifest_path, .line = line, .arg = arg, .view = &view};

    enum rc rc = read_checkpoint(checkpoint_path, trust, &view, e);
    if (rc == RC_OK)
        rc = lines_open(manifest_path, &r.lines, e);
    if (rc != RC_OK)
        return rc;
    r.hash = sha256_new();
    merkle_init(&r.merkle);
    rc = read_manifest(&r, e);
    if (rc == RC_OK)
        *ret = view;
    if (r.hash != NULL)
        sha256_end(r.hash, view.signer);
    shamap_fini(&r.ids);
    shamap_fini(&r.certs);
    lines_close(r.lines);
    return rc;
}
