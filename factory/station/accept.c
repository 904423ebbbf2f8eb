/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "factory/signed.h"
#include "factory/station/internal.h"
#include "x509/cert.h"

static struct trust order_trust(const struct station *s)
{
    struct trust t = {.has_issuer = true};

    memcpy(t.root, s->config.trust, SHA256_LEN);
    memcpy(t.issuer, s->config.order_issuer, SHA256_LEN);
    return t;
}

/* ---- orders ---- */

/* An order is for this station when it names both its certificates, and newer than every order accepted
 * before. */
static enum rc order_check(const struct station *s, const struct order *o, int64_t now, struct err *e)
{
    const struct order_station *me = NULL;
    enum rc rc = order_station_find(o, s->manifest->sha256, s->seal->sha256, &me, e);

    if (rc == RC_OK && strcmp(me->name, s->config.name) != 0)
        rc = err_set(e, RC_DENIED, "order.station", "order '%s' calls this station '%s'; it is '%s'", o->id,
                     me->name, s->config.name);
    for (size_t i = 0; rc == RC_OK && i < s->njobs; i++)
        if (me->sequence <= s->jobs[i].me.sequence)
            rc = err_set(e, RC_DENIED, "order.sequence",
                         "order '%s' has sequence %" PRIu64
                         " for this station, but order '%s' with sequence %" PRIu64
                         " was accepted before; older orders are refused",
                         o->id, me->sequence, s->jobs[i].order.id, s->jobs[i].me.sequence);
    if (rc == RC_OK)
        rc = station_clock_gate(o, now, e);
    if (rc == RC_OK && now > o->window_until)
        rc = station_window_gate(o, now, e);
    return rc;
}

static enum rc order_keep(struct station *s, const struct order *o, struct span der, struct err *e)
{
    char *dir = job_path(s, o->id, ""), *path = job_path(s, o->id, "order.p7m");
    char hex[2 * SHA256_LEN + 1];
    enum rc rc = dir_make(dir, 0700, e);

    hex_encode((struct span){o->sha256, SHA256_LEN}, hex);
    if (rc == RC_OK)
        rc = file_publish(path, 0600, der, e);
    if (rc == RC_OK)
        rc = station_record(s, "order", o->id, NULL, hex, e);
    free(dir);
    free(path);
    return rc;
}

static enum rc accept_order(struct station *s, const char *path, char ret_order[static 65], bool *ret_new,
                            struct err *e)
{
    struct trust trust = order_trust(s);
    struct signed_doc doc = {0};
    struct order o = {0};
    struct bytes der = BYTES_INIT;
    enum rc rc = file_read(path, FILE_DOC_MAX, &der, e);

    if (rc == RC_OK)
        rc = signed_open(path, bytes_span(&der), &trust, ROLE_OFFICE, &doc, e);
    if (rc == RC_OK)
        rc = order_decode(path, bytes_span(&doc.content), &o, e);
    if (rc != RC_OK)
        goto out;
    memcpy(o.sha256, doc.sha256, SHA256_LEN);
    *ret_new = true;
    for (size_t i = 0; i < s->njobs; i++) {
        if (strcmp(s->jobs[i].order.id, o.id) != 0)
            continue;
        *ret_new = false;
        if (memcmp(s->jobs[i].order.sha256, o.sha256, SHA256_LEN) != 0)
            rc = err_set(e, RC_CONFLICT, "station.order-differs",
                         "another order '%s' was accepted before; an order cannot be exchanged", o.id);
    }
    if (rc == RC_OK && *ret_new)
        rc = order_check(s, &o, clock_now(), e);
    if (rc == RC_OK && *ret_new)
        rc = order_keep(s, &o, bytes_span(&der), e);
    if (rc == RC_OK)
        memcpy(ret_order, o.id, sizeof o.id);
out:
    order_fini(&o);
    signed_free(&doc);
    bytes_free(&der);
    return rc;
}

/* ---- batches ---- */

static enum rc batch_mismatch(const char *dir, const char *what, struct err *e)
{
    return err_set(e, RC_INPUT, "batch.mismatch",
                   "'%s': %s is not the order's; this batch was made for something else", dir, what);
}

static enum rc batch_belongs(const struct station *s, const struct job *j, const char *dir,
                             const struct batch *b, struct err *e)
{
    if (memcmp(b->order_sha256, j->order.sha256, SHA256_LEN) != 0)
        return batch_mismatch(dir, "the order's hash", e);
    if (strcmp(b->station, s->config.name) != 0 || memcmp(b->seal, s->seal->sha256, SHA256_LEN) != 0)
        return err_set(e, RC_DENIED, "batch.station",
                       "'%s' is sealed for station '%s' with another seal certificate", dir, b->station);
    if (memcmp(b->ca, j->order.ca, SHA256_LEN) != 0)
        return batch_mismatch(dir, "the CA", e);
    if (b->count != j->me.quantity)
        return batch_mismatch(dir, "the number of devices", e);
    if (b->lot_size == 0 || b->nlots != (b->count + b->lot_size - 1) / b->lot_size)
        return batch_mismatch(dir, "the number of lots", e);
    return RC_OK;
}

/* The CA certificate that the batch carries, which must be the one the order names. */
static enum rc batch_issuer(const char *dir, const struct batch *b, struct cert **ret, struct err *e)
{
    struct bytes der = BYTES_INIT;
    size_t pos = 0;
    bool found = false;
    enum rc rc = pem_next(bytes_span(&b->chain), "CERTIFICATE", &pos, &der, NULL, &found, e);

    if (rc == RC_OK && !found)
        rc = err_set(e, RC_INPUT, "batch.chain", "'%s': batch.json carries no issuer certificate", dir);
    if (rc == RC_OK)
        rc = cert_parse(dir, bytes_span(&der), ret, e);
    if (rc == RC_OK && memcmp((*ret)->sha256, b->ca, SHA256_LEN) != 0)
        rc = batch_mismatch(dir, "the first certificate of the chain", e);
    bytes_free(&der);
    return rc;
}

enum rc batch_view_read(const struct station *s, const struct job *j, const char *dir, bool judge,
                        struct batch_view *ret, struct err *e)
{
    struct trust trust = order_trust(s);
    struct signed_doc doc = {0};
    struct bytes json = BYTES_INIT, p7s = BYTES_INIT;
    char *json_path = path_join(dir, "batch.json"), *p7s_path = path_join(dir, "batch.p7s");
    struct batch_view v = {0};
    enum rc rc = file_read(json_path, FILE_DOC_MAX, &json, e);

    if (rc == RC_OK && judge)
        rc = file_read(p7s_path, FILE_DOC_MAX, &p7s, e);
    if (rc == RC_OK && judge)
        rc =
            signed_open_detached(p7s_path, bytes_span(&p7s), bytes_span(&json), &trust, ROLE_OFFICE, &doc, e);
    if (rc == RC_OK)
        rc = batch_decode(json_path, bytes_span(&json), &v.batch, e);
    if (rc == RC_OK)
        rc = batch_belongs(s, j, dir, &v.batch, e);
    if (rc == RC_OK)
        rc = batch_issuer(dir, &v.batch, &v.ca, e);
    if (rc == RC_OK) {
        sha256(bytes_span(&json), v.sha256);
        *ret = v;
    } else {
        batch_view_fini(&v);
    }
    signed_free(&doc);
    bytes_free(&json);
    bytes_free(&p7s);
    free(json_path);
    free(p7s_path);
    return rc;
}

void batch_view_fini(struct batch_view *v)
{
    batch_fini(&v->batch);
    cert_free(v->ca);
    memset(v, 0, sizeof *v);
}

static enum rc check_lots(const struct batch *b, const char *dir, struct err *e)
{
    for (size_t i = 0; i < b->nlots; i++) {
        char *path = mem_printf("%s/lot-%zu.p7m", dir, i);
        uint8_t have[SHA256_LEN];
        enum rc rc = sha256_file(path, have, e);

        if (rc == RC_OK && memcmp(have, b->lots[i].sha256, SHA256_LEN) != 0)
            rc = err_set(e, RC_INPUT, "batch.lot",
                         "'%s' is not the file that batch.json names (another SHA-256); get the batch again",
                         path);
        free(path);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

/* One pass over devices.jsonl: every line well-formed and with the id that its place in the order's block
 * has, file hash and Merkle root as signed. The offsets of the lines become devices.idx, so that "next" reads
 * one line of a file of any size. */
static enum rc check_devices(const struct job *j, const struct batch *b, const char *path,
                             struct bytes *ret_index, struct err *e)
{
    FILE *f = fopen(path, "re");
    char *line = NULL, id[DEVICE_ID_MAX + 1];
    size_t cap = 0;
    ssize_t n;
    uint64_t i = 0, at = 0;
    uint8_t have[SHA256_LEN];
    struct merkle tree;
    struct sha256_ctx *whole = sha256_new();
    enum rc rc = RC_OK;

    if (f == NULL)
        rc = err_sys(e, "file.read", "cannot open '%s'", path);
    merkle_init(&tree);
    while (rc == RC_OK && (n = getline(&line, &cap, f)) > 0) {
        struct span text = {(const uint8_t *)line, (size_t)n - 1};
        struct batch_device d = {0};

        if (line[n - 1] != '\n' || i >= b->count)
            rc = err_set(e, RC_INPUT, "batch.devices",
                         "'%s' line %" PRIu64 ": more, or less, than batch.json says; get the batch again",
                         path, i + 1);
        else
            rc = batch_line_decode(path, (int64_t)i + 1, text, &d, e);
        if (rc == RC_OK) {
            id_block_id(&j->me.ids, i, id);
            if (strcmp(d.id, id) != 0)
                rc = err_set(e, RC_INPUT, "batch.id",
                             "'%s' line %" PRIu64 ": '%s' stands where the order has '%s'", path, i + 1, d.id,
                             id);
        }
        batch_device_fini(&d);
        merkle_add(&tree, text);
        sha256_add(whole, (struct span){(const uint8_t *)line, (size_t)n});
        bytes_add(ret_index, &at, sizeof at);
        at += (uint64_t)n;
        i++;
    }
    if (rc == RC_OK && ferror(f))
        rc = err_sys(e, "file.read", "cannot read '%s'", path);
    sha256_end(whole, have);
    if (rc == RC_OK && (i != b->count || memcmp(have, b->devices_sha256, SHA256_LEN) != 0))
        rc = err_set(e, RC_INPUT, "batch.devices",
                     "'%s' is not the file that batch.json names; get the batch again", path);
    merkle_root(&tree, have);
    if (rc == RC_OK && memcmp(have, b->merkle_root, SHA256_LEN) != 0)
        rc = err_set(e, RC_INPUT, "batch.merkle",
                     "'%s' has another Merkle root than batch.json says; get the batch again", path);
    if (f != NULL)
        fclose(f);
    free(line);
    return rc;
}

static enum rc copy_batch(const struct batch *b, const char *from, const char *to, struct err *e)
{
    static const char *const fixed[] = {"batch.json", "batch.p7s", "devices.jsonl"};
    const size_t nfixed = sizeof fixed / sizeof fixed[0];
    enum rc rc = dir_make(to, 0700, e);

    for (size_t i = 0; rc == RC_OK && i < nfixed + b->nlots; i++) {
        char *name = i < nfixed ? mem_str(fixed[i]) : mem_printf("lot-%zu.p7m", i - nfixed);
        char *src = path_join(from, name), *dst = path_join(to, name);

        rc = file_copy_create(src, dst, 0600, e);
        free(name);
        free(src);
        free(dst);
    }
    return rc;
}

/* Checks the copy, not what lies on somebody's stick, and gives it its name. */
static enum rc adopt_batch(struct job *j, struct batch_view *v, const char *part, const char *final,
                           struct err *e)
{
    struct bytes index = BYTES_INIT;
    char *devices = path_join(part, "devices.jsonl"), *index_path = path_join(part, "devices.idx"),
         *parent = path_dir(final);
    enum rc rc = check_lots(&v->batch, part, e);

    if (rc == RC_OK)
        rc = check_devices(j, &v->batch, devices, &index, e);
    if (rc == RC_OK)
        rc = file_create(index_path, 0600, bytes_span(&index), e);
    if (rc == RC_OK)
        rc = dir_remove(final, e);
    if (rc == RC_OK && rename(part, final) != 0)
        rc = err_sys(e, "file.write", "cannot rename '%s'", part);
    if (rc == RC_OK)
        rc = dir_sync(parent, e);
    bytes_free(&index);
    free(devices);
    free(index_path);
    free(parent);
    return rc;
}

/* Which accepted order a batch is for, before anything in it is believed. */
static enum rc batch_order(struct station *s, const char *dir, struct job **ret, struct err *e)
{
    struct bytes json = BYTES_INIT;
    struct batch b = {0};
    char *path = path_join(dir, "batch.json");
    enum rc rc = file_read(path, FILE_DOC_MAX, &json, e);

    if (rc == RC_OK)
        rc = batch_decode(path, bytes_span(&json), &b, e);
    if (rc == RC_OK)
        rc = station_find_job(s, b.order, ret, e);
    batch_fini(&b);
    bytes_free(&json);
    free(path);
    return rc;
}

static enum rc accept_batch(struct station *s, const char *dir, char ret_order[static 65], bool *ret_new,
                            struct err *e)
{
    struct job *j = NULL;
    struct batch_view source = {0}, copy = {0};
    char *part = NULL, *final = NULL, hex[2 * SHA256_LEN + 1];
    enum rc rc = batch_order(s, dir, &j, e);

    if (rc != RC_OK)
        return rc;
    part = job_path(s, j->order.id, "batch.part");
    final = job_path(s, j->order.id, "batch");
    rc = batch_view_read(s, j, dir, true, &source, e);
    if (rc == RC_OK && j->has_batch && memcmp(source.sha256, j->batch_sha256, SHA256_LEN) != 0)
        rc = err_set(e, RC_CONFLICT, "station.batch-differs",
                     "another batch of order '%s' was accepted before", j->order.id);
    *ret_new = !j->has_batch;
    if (rc == RC_OK && *ret_new) {
        rc = station_clock_gate(&j->order, clock_now(), e);
        if (rc == RC_OK)
            rc = dir_remove(part, e);
        if (rc == RC_OK)
            rc = copy_batch(&source.batch, dir, part, e);
        if (rc == RC_OK)
            rc = batch_view_read(s, j, part, true, &copy, e);
        if (rc == RC_OK)
            rc = adopt_batch(j, &copy, part, final, e);
        if (rc == RC_OK) {
            hex_encode((struct span){copy.sha256, SHA256_LEN}, hex);
            rc = station_record(s, "batch", j->order.id, NULL, hex, e);
        }
    }
    if (rc == RC_OK)
        memcpy(ret_order, j->order.id, sizeof j->order.id);
    batch_view_fini(&source);
    batch_view_fini(&copy);
    free(part);
    free(final);
    return rc;
}

enum rc station_accept(struct station *s, const char *path, char ret_order[static 65], bool *ret_new,
                       struct err *e)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return err_sys(e, "file.read", "cannot read '%s'", path);
    if (S_ISDIR(st.st_mode))
        return accept_batch(s, path, ret_order, ret_new, e);
    return accept_order(s, path, ret_order, ret_new, e);
}
