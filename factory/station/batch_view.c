/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "factory/lines.h"
#include "factory/signed.h"
#include "factory/station/internal.h"
#include "x509/cert.h"
#include "x509/verify.h"

/* ---- batch.json ---- */

static enum rc mismatch(const char *dir, const char *what, struct err *e)
{
    return err_set(e, RC_INPUT, "batch.mismatch",
                   "'%s' was made for another order: %s differs; get the batch that belongs to this order",
                   dir, what);
}

static enum rc belongs(const struct station *s, const struct job *j, const char *dir, const struct batch *b,
                       struct err *e)
{
    if (strcmp(b->station, s->config.name) != 0 || memcmp(b->seal, s->seal->sha256, SHA256_LEN) != 0)
        return err_set(
            e, RC_DENIED, "batch.station",
            "'%s' is sealed for a station '%s' with another seal certificate than this one; get the "
            "batch for '%s'",
            dir, b->station, s->config.name);
    if (memcmp(b->order_sha256, j->order.sha256, SHA256_LEN) != 0)
        return mismatch(dir, "the order's hash", e);
    if (memcmp(b->ca, j->order.ca, SHA256_LEN) != 0)
        return mismatch(dir, "the CA", e);
    if (b->count != j->me.quantity)
        return mismatch(dir, "the number of devices", e);
    return RC_OK;
}

/* The first certificate of its chain, which is the CA that the order names: batch_decode compares the two. */
static enum rc issuer(const char *dir, const struct batch *b, struct cert **ret, struct err *e)
{
    struct bytes der = BYTES_INIT;
    size_t pos = 0;
    bool found = false;
    enum rc rc = pem_next(bytes_span(&b->chain), "CERTIFICATE", &pos, &der, NULL, &found, e);

    if (rc == RC_OK)
        rc = cert_parse(dir, bytes_span(&der), ret, e);
    bytes_free(&der);
    return rc;
}

/* batch.p7s in dir signs these octets, and an office made it. */
static enum rc judge_batch(const struct station *s, const char *dir, struct span json, struct err *e)
{
    struct trust trust = station_office_trust(s);
    struct signed_doc doc = {0};
    struct bytes p7s = BYTES_INIT;
    char *path = path_join(dir, "batch.p7s");
    enum rc rc = file_read(path, FILE_DOC_MAX, &p7s, e);

    if (rc == RC_OK)
        rc = signed_open_detached(path, bytes_span(&p7s), json, &trust, ROLE_OFFICE, &doc, e);
    signed_free(&doc);
    bytes_free(&p7s);
    free(path);
    return rc;
}

/* Certificates of the batch's own chain, behind those that the station has. */
static enum rc add_batch_chain(const char *dir, const struct batch *b, struct cms_chain *chain, struct err *e)
{
    size_t pos = 0;
    bool found = true;
    enum rc rc = RC_OK;

    while (rc == RC_OK && found) {
        struct bytes der = BYTES_INIT;

        rc = pem_next(bytes_span(&b->chain), "CERTIFICATE", &pos, &der, NULL, &found, e);
        if (rc == RC_OK && found && chain->ncerts == CMS_CERTS_MAX)
            rc = err_set(e, RC_INPUT, "batch.chain", "'%s': more than %d certificates in its chain", dir,
                         CMS_CERTS_MAX);
        if (rc == RC_OK && found)
            chain->certs[chain->ncerts++] = der;
        else
            bytes_free(&der);
    }
    return rc;
}

/* The devices' CA is under the root, and on no CRL that was imported here. */
static enum rc judge_ca(const struct station *s, const char *dir, const struct batch_view *v, struct err *e)
{
    struct cms_chain chain = {0};
    enum rc rc;

    for (; chain.ncerts < s->chain.ncerts; chain.ncerts++)
        bytes_add_span(&chain.certs[chain.ncerts], bytes_span(&s->chain.certs[chain.ncerts]));
    for (; chain.ncrls < s->chain.ncrls; chain.ncrls++)
        bytes_add_span(&chain.crls[chain.ncrls], bytes_span(&s->chain.crls[chain.ncrls]));
    rc = add_batch_chain(dir, &v->batch, &chain, e);
    if (rc == RC_OK)
        rc = verify_path(v->ca, &chain, s->config.trust, clock_now(), e);
    cms_chain_free(&chain);
    return rc;
}

enum rc batch_view_read(const struct station *s, const struct job *j, const char *dir, bool judge,
                        struct batch_view *ret, struct err *e)
{
    struct bytes json = BYTES_INIT;
    char *path = path_join(dir, "batch.json");
    struct batch_view v = {0};
    enum rc rc = file_read(path, FILE_DOC_MAX, &json, e);

    if (rc == RC_OK && judge)
        rc = judge_batch(s, dir, bytes_span(&json), e);
    if (rc == RC_OK)
        rc = batch_decode(path, bytes_span(&json), &v.batch, e);
    if (rc == RC_OK)
        rc = belongs(s, j, dir, &v.batch, e);
    if (rc == RC_OK)
        rc = issuer(dir, &v.batch, &v.ca, e);
    if (rc == RC_OK && judge)
        rc = judge_ca(s, dir, &v, e);
    if (rc == RC_OK) {
        sha256(bytes_span(&json), v.sha256);
        *ret = v;
    } else {
        batch_view_fini(&v);
    }
    bytes_free(&json);
    free(path);
    return rc;
}

static enum rc lost(const char *dir, const struct job *j, const char *why, struct err *e)
{
    return err_set(
        e, RC_INPUT, "station.batch-lost",
        "'%s' is not the batch that was accepted (%s); run 'keymill-station accept' with the batch "
        "of order '%s' again",
        dir, why, j->order.id);
}

enum rc batch_view_stored(const struct station *s, const struct job *j, struct batch_view *ret, struct err *e)
{
    char *dir = job_path(s, j->order.id, "batch");
    struct batch_view v = {0};
    struct err why = ERR_INIT;
    enum rc rc = RC_OK;

    if (!j->has_batch)
        rc = err_set(e, RC_CONFLICT, "station.no-batch",
                     "the sealed batch of order '%s' was not accepted yet; run 'keymill-station accept' with "
                     "its folder first",
                     j->order.id);
    else if (batch_view_read(s, j, dir, false, &v, &why) != RC_OK)
        rc = lost(dir, j, why.text, e);
    else if (memcmp(v.sha256, j->batch_sha256, SHA256_LEN) != 0)
        rc = lost(dir, j, "batch.json was changed", e);
    if (rc == RC_OK)
        *ret = v;
    else
        batch_view_fini(&v);
    free(dir);
    return rc;
}

void batch_view_fini(struct batch_view *v)
{
    batch_fini(&v->batch);
    cert_free(v->ca);
    *v = (struct batch_view){0};
}

/* ---- lots ---- */

char *lot_path(const char *dir, uint64_t lot)
{
    return mem_printf("%s/lot-%" PRIu64 ".p7m", dir, lot);
}

enum rc lot_check(const struct batch *b, const char *dir, uint64_t lot, struct err *e)
{
    char *path = lot_path(dir, lot);
    uint8_t have[SHA256_LEN];
    enum rc rc = sha256_file(path, have, e);

    if (rc == RC_OK && memcmp(have, b->lots[lot].sha256, SHA256_LEN) != 0)
        rc = err_set(e, RC_INPUT, "batch.lot", "'%s' is not the file that batch.json names (another SHA-256)",
                     path);
    free(path);
    return rc;
}

/* ---- devices.jsonl ---- */

enum rc device_decode(const struct job *j, const char *path, uint64_t i, struct span line,
                      struct batch_device *ret, struct err *e)
{
    char id[DEVICE_ID_MAX + 1];
    struct batch_device d = {0};
    enum rc rc = batch_line_decode(path, (int64_t)i + 1, line, &d, e);

    id_block_id(&j->me.ids, i, id);
    if (rc == RC_OK && strcmp(d.id, id) != 0)
        rc = err_set(e, RC_INPUT, "batch.id", "'%s' line %" PRIu64 ": '%s' stands where the order has '%s'",
                     path, i + 1, d.id, id);
    if (rc == RC_OK)
        *ret = d;
    else
        batch_device_fini(&d);
    return rc;
}

/* A pass over the lines, in progress. */
struct pass {
    const struct job *job;
    const struct batch *batch;
    const char *path;
    device_reader *take;
    void *arg;
    uint64_t i, offset;
    struct merkle tree;
    struct sha256_ctx *whole;
};

static enum rc other_file(const struct pass *p, struct err *e)
{
    return err_set(e, RC_INPUT, "batch.devices", "'%s' is not the file that batch.json names", p->path);
}

static enum rc pass_line(struct pass *p, struct span line, struct err *e)
{
    struct batch_device d = {0};
    enum rc rc;

    if (p->i == p->batch->count)
        return other_file(p, e);
    rc = device_decode(p->job, p->path, p->i, line, &d, e);
    if (rc == RC_OK)
        rc = p->take(p->arg, p->i, p->offset, &d, e);
    batch_device_fini(&d);
    merkle_add(&p->tree, line);
    sha256_add(p->whole, line);
    sha256_add(p->whole, SPAN("\n"));
    p->offset += line.n + 1;
    p->i++;
    return rc;
}

static enum rc pass_end(struct pass *p, struct err *e)
{
    uint8_t hash[SHA256_LEN], root[SHA256_LEN];

    sha256_end(p->whole, hash);
    p->whole = NULL;
    merkle_root(&p->tree, root);
    if (p->i != p->batch->count || memcmp(hash, p->batch->devices_sha256, SHA256_LEN) != 0)
        return other_file(p, e);
    if (memcmp(root, p->batch->merkle_root, SHA256_LEN) != 0)
        return err_set(e, RC_INPUT, "batch.merkle", "'%s' has another Merkle root than batch.json says",
                       p->path);
    return RC_OK;
}

enum rc devices_each(const struct job *j, const struct batch *b, const char *dir, device_reader *take,
                     void *arg, struct err *e)
{
    char *path = path_join(dir, "devices.jsonl");
    struct pass p = {.job = j, .batch = b, .path = path, .take = take, .arg = arg};
    struct lines *lines = NULL;
    struct span line;
    bool end = false;
    uint8_t unused[SHA256_LEN];
    enum rc rc = lines_open(path, &lines, e);

    merkle_init(&p.tree);
    p.whole = sha256_new();
    while (rc == RC_OK && !end) {
        rc = lines_next(lines, &line, &end, e);
        if (rc == RC_OK)
            rc = end ? pass_end(&p, e) : pass_line(&p, line, e);
    }
    if (p.whole != NULL)
        sha256_end(p.whole, unused);
    lines_close(lines);
    free(path);
    return rc;
}
