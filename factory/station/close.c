/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "factory/signed.h"
#include "factory/station/internal.h"
#include "x509/cert.h"

/* Where the two files of a closed order are. */
struct pair {
    char *manifest, *checkpoint;
};

static struct pair pair_in(const char *dir, const char *order)
{
    return (struct pair){mem_printf("%s/%s.manifest.jsonl", dir, order),
                         mem_printf("%s/%s.checkpoint", dir, order)};
}

static void pair_free(struct pair *p)
{
    free(p->manifest);
    free(p->checkpoint);
}

/* ---- what must hold ---- */

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
    return err_set(e, RC_CONFLICT, "station.unfinished",
                   "order '%s': %" PRIu64
                   " delivered devices are neither good nor scrapped, the first is '%s'; "
                   "say good or scrap for each (next --id delivers it again), then close",
                   j->order.id, open, id);
}

/* Before anything is signed: the files can be put there, and stand in nobody's way. */
static enum rc check_out(const char *out, const struct pair *files, struct err *e)
{
    enum rc rc = folder_usable(out, e);

    if (rc == RC_OK && (file_exists(files->manifest) || file_exists(files->checkpoint)))
        rc = err_set(
            e, RC_CONFLICT, "station.out-used",
            "'%s' holds a manifest or checkpoint of an order of this name already; use another folder", out);
    return rc;
}

/* ---- the manifest ---- */

struct writing {
    const struct job *job;
    struct manifest_writer *writer;
};

static enum rc add_line(void *arg, uint64_t i, uint64_t offset, const struct batch_device *d, struct err *e)
{
    static const enum device_state states[] = {
        [SLOT_UNUSED] = STATE_UNUSED, [SLOT_GOOD] = STATE_GOOD, [SLOT_SCRAPPED] = STATE_SCRAPPED};
    const struct writing *w = arg;
    const struct slot *slot = &w->job->slots[i];
    struct manifest_line l = {.state = states[slot->state],
                              .cert = d->cert,
                              .delivered = slot->delivered,
                              .finished = slot->finished};
    struct cert *c = NULL;
    enum rc rc = cert_parse(d->id, bytes_span(&d->cert), &c, e);

    (void)offset;
    if (rc != RC_OK)
        return rc;
    memcpy(l.id, d->id, sizeof l.id);
    if (slot->reason != NULL)
        memcpy(l.reason, slot->reason, strnlen(slot->reason, sizeof l.reason - 1));
    memcpy(l.cert_sha256, c->sha256, SHA256_LEN);
    sha256(c->spki, l.spki_sha256);
    l.not_before = c->not_before;
    l.not_after = c->not_after;
    rc = manifest_add(w->writer, &l, e);
    cert_free(c);
    return rc;
}

static enum rc add_lines(const struct station *s, const struct job *j, struct manifest_writer *w,
                         struct err *e)
{
    struct writing writing = {j, w};
    struct batch_view v = {0};
    char *dir = job_path(s, j->order.id, "batch");
    enum rc rc = batch_view_stored(s, j, &v, e);

    if (rc == RC_OK) {
        rc = devices_each(j, &v.batch, dir, add_line, &writing, e);
        if (rc == RC_INPUT)
            rc =
                err_prefix(e, "run 'keymill-station accept' with the batch of order '%s' again", j->order.id);
    }
    batch_view_fini(&v);
    free(dir);
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

/* ---- the checkpoint ---- */

/* The manifest certificate and behind it what belongs to it; borrowed, not to be freed. */
static enum rc signer_chain(const struct station *s, struct cms_chain *ret, struct err *e)
{
    const struct cms_chain *c = &s->chain;

    if (c->ncerts == CMS_CERTS_MAX)
        return err_set(e, RC_INPUT, "verify.chain",
                       "the chain of '%s' has more than %d certificates; import with a shorter one", s->home,
                       CMS_CERTS_MAX - 1);
    *ret = *c;
    memcpy(ret->certs + 1, c->certs, c->ncerts * sizeof c->certs[0]);
    ret->certs[0] = s->manifest->der;
    ret->ncerts++;
    return RC_OK;
}

/* Asks what the office will ask of the checkpoint: path, role, a CRL for every link, validity. */
static enum rc judge_signer(const struct station *s, const struct cms_chain *chain, int64_t now,
                            struct err *e)
{
    struct trust trust = {.has_issuer = false};
    enum rc rc;

    memcpy(trust.root, s->config.trust, SHA256_LEN);
    rc = verify_role("manifest.pem", chain, &trust, ROLE_STATION_MANIFEST, now, e);
    if (rc != RC_OK)
        rc = err_prefix(
            e, "the office would refuse this station's checkpoint (a chain with current CRLs is taken "
               "with 'keymill-station import')");
    return rc;
}

/* Signs what the manifest's writer found, with the journal's heads. ret_sha256: of the file. */
static enum rc sign_checkpoint(const struct station *s, const struct job *j, const struct cms_chain *chain,
                               const char *path, struct checkpoint *c, uint8_t ret_sha256[static SHA256_LEN],
                               struct err *e)
{
    struct bytes json = BYTES_INIT, der = BYTES_INIT;
    struct signer *manifest = NULL;
    enum rc rc = station_key(s->keys, &s->config, s->config.manifest_key, KEY_SIGN, &manifest, e);

    memcpy(c->journal_before, j->journal_before, SHA256_LEN);
    journal_head(s->journal, c->journal_after, &c->journal_records);
    checkpoint_encode(c, &json);
    if (rc == RC_OK)
        rc = signed_make(manifest, chain, bytes_span(&json), c->issued, &der, e);
    if (rc == RC_OK)
        rc = file_publish(path, 0600, bytes_span(&der), e);
    sha256(bytes_span(&der), ret_sha256);
    signer_free(manifest);
    bytes_free(&json);
    bytes_free(&der);
    return rc;
}

static enum rc not_ours(const char *path, struct err *e)
{
    return err_set(
        e, RC_INPUT, "station.closed-changed",
        "'%s' is not the file that was written when the order was closed; put that one back from a "
        "copy",
        path);
}

/* An order that was closed before: its checkpoint is read back, so that closing again reports and copies the
 * same. */
static enum rc read_back(const struct job *j, const struct pair *files, struct checkpoint *ret, struct err *e)
{
    struct bytes der = BYTES_INIT;
    struct signed_doc doc = {0};
    uint8_t hash[SHA256_LEN];
    enum rc rc = file_read(files->checkpoint, FILE_DOC_MAX, &der, e);

    sha256(bytes_span(&der), hash);
    if (rc == RC_OK && memcmp(hash, j->checkpoint_sha256, SHA256_LEN) != 0)
        rc = not_ours(files->checkpoint, e);
    if (rc == RC_OK)
        rc = signed_peek(files->checkpoint, bytes_span(&der), &doc, e);
    if (rc == RC_OK)
        rc = checkpoint_decode(files->checkpoint, bytes_span(&doc.content), ret, e);
    if (rc == RC_OK)
        rc = sha256_file(files->manifest, hash, e);
    if (rc == RC_OK && memcmp(hash, ret->manifest_sha256, SHA256_LEN) != 0)
        rc = not_ours(files->manifest, e);
    signed_free(&doc);
    bytes_free(&der);
    return rc;
}

/* ---- closing ---- */

/* Both files are in the home before the record that makes them the order's end, and leave it after. */
static enum rc close_job(struct station *s, struct job *j, const struct pair *files, struct checkpoint *ret,
                         struct err *e)
{
    struct cms_chain chain;
    uint8_t hash[SHA256_LEN];
    char hex[2 * SHA256_LEN + 1];
    enum rc rc = all_finished(j, e);

    if (rc == RC_OK)
        rc = station_clock_gate(s, &j->order, &ret->issued, e);
    if (rc == RC_OK)
        rc = signer_chain(s, &chain, e);
    if (rc == RC_OK)
        rc = judge_signer(s, &chain, ret->issued, e);
    if (rc == RC_OK)
        rc = write_manifest(s, j, files->manifest, ret, e);
    if (rc == RC_OK)
        rc = sign_checkpoint(s, j, &chain, files->checkpoint, ret, hash, e);
    if (rc == RC_OK) {
        hex_encode((struct span){hash, SHA256_LEN}, hex);
        rc = station_record(s, &j->order, "close", NULL, hex, e);
    }
    return rc;
}

static enum rc copy_out(const struct pair *from, const struct pair *to, struct err *e)
{
    enum rc rc = file_copy_create(from->manifest, to->manifest, 0644, e);

    if (rc == RC_OK)
        rc = file_copy_create(from->checkpoint, to->checkpoint, 0644, e);
    if (rc != RC_OK)
        rc = err_prefix(e, "the order is closed, but its files are not all written; run close again");
    return rc;
}

static enum rc close_into(struct station *s, struct job *j, const char *out, struct checkpoint *ret,
                          struct err *e)
{
    char *dir = job_path(s, j->order.id, "");
    struct pair inside = pair_in(dir, j->order.id), outside = pair_in(out, j->order.id);
    enum rc rc;

    if (j->closed) {
        rc = read_back(j, &inside, ret, e);
        if (rc == RC_OK)
            rc = folder_usable(out, e);
    } else {
        rc = check_out(out, &outside, e);
        if (rc == RC_OK)
            rc = close_job(s, j, &inside, ret, e);
    }
    if (rc == RC_OK)
        rc = copy_out(&inside, &outside, e);
    pair_free(&inside);
    pair_free(&outside);
    free(dir);
    return rc;
}

enum rc station_close(struct station *s, const char *order, const char *out, struct checkpoint *ret,
                      struct err *e)
{
    struct job *j = NULL;
    struct checkpoint c = {0};
    enum rc rc = station_find_job(s, order, &j, e);

    if (rc == RC_OK)
        rc = close_into(s, j, out, &c, e);
    if (rc == RC_OK)
        *ret = c;
    return rc;
}
