/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "factory/station/internal.h"

/* Which accepted order a batch says it is for: nothing else in it is believed yet. */
static enum rc find_order(struct station *s, const char *dir, struct job **ret, struct err *e)
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

/* ---- taking it ---- */

static enum rc copy_file(const char *from, const char *to, const char *name, struct err *e)
{
    char *src = path_join(from, name), *dst = path_join(to, name);
    enum rc rc = file_copy_create(src, dst, 0600, e);

    free(src);
    free(dst);
    return rc;
}

static enum rc copy_all(const struct batch *b, const char *from, const char *to, struct err *e)
{
    static const char *const names[] = {"batch.json", "batch.p7s", "devices.jsonl"};
    enum rc rc = dir_remove(to, e); /* what a crash left */

    if (rc == RC_OK)
        rc = dir_make(to, 0700, e);
    for (size_t i = 0; rc == RC_OK && i < sizeof names / sizeof names[0]; i++)
        rc = copy_file(from, to, names[i], e);
    for (size_t i = 0; rc == RC_OK && i < b->nlots; i++) {
        char *src = lot_path(from, i), *dst = lot_path(to, i);

        rc = file_copy_create(src, dst, 0600, e);
        free(src);
        free(dst);
    }
    return rc;
}

static enum rc note_offset(void *arg, uint64_t i, uint64_t offset, const struct batch_device *d,
                           struct err *e)
{
    (void)i;
    (void)d;
    (void)e;
    bytes_add(arg, &offset, sizeof offset);
    return RC_OK;
}

/* Everything in the folder but batch.json; ret_index: the offsets of the device lines. */
static enum rc check_whole(const struct job *j, const struct batch *b, const char *dir,
                           struct bytes *ret_index, struct err *e)
{
    enum rc rc = RC_OK;

    for (uint64_t lot = 0; rc == RC_OK && lot < b->nlots; lot++)
        rc = lot_check(b, dir, lot, e);
    if (rc == RC_OK)
        rc = devices_each(j, b, dir, note_offset, ret_index, e);
    return rc;
}

/* What is checked is the copy, not what lies on somebody's stick; its batch.json must be the one that was
 * judged there. devices.idx, our own, lets "next" read one
 * line of a file of any size. */
static enum rc check_copy(const struct station *s, const struct job *j, const struct batch_view *source,
                          const char *part, struct err *e)
{
    struct batch_view copy = {0};
    struct bytes index = BYTES_INIT;
    char *index_path = path_join(part, "devices.idx");
    enum rc rc = batch_view_read(s, j, part, false, &copy, e);

    if (rc == RC_OK && memcmp(copy.sha256, source->sha256, SHA256_LEN) != 0)
        rc = err_set(e, RC_INPUT, "batch.changed",
                     "batch.json was changed while it was copied to '%s'; accept the batch again", part);
    if (rc == RC_OK)
        rc = check_whole(j, &copy.batch, part, &index, e);
    if (rc == RC_OK)
        rc = file_create(index_path, 0600, bytes_span(&index), e);
    batch_view_fini(&copy);
    bytes_free(&index);
    free(index_path);
    return rc;
}

static enum rc rename_folder(const char *from, const char *to, struct err *e)
{
    char *parent = path_dir(to);
    enum rc rc = dir_remove(to, e);

    if (rc == RC_OK && rename(from, to) != 0)
        rc = err_sys(e, "file.write", "cannot rename '%s' to '%s'", from, to);
    if (rc == RC_OK)
        rc = dir_sync(parent, e);
    free(parent);
    return rc;
}

/* The batch under its name in the home, whole or not at all. */
static enum rc store(const struct station *s, const struct job *j, const struct batch_view *source,
                     const char *dir, struct err *e)
{
    char *part = job_path(s, j->order.id, "batch.part"), *final = job_path(s, j->order.id, "batch");
    struct err ignored = ERR_INIT;
    enum rc rc = copy_all(&source->batch, dir, part, e);

    if (rc == RC_OK) {
        rc = check_copy(s, j, source, part, e);
        if (rc == RC_INPUT)
            rc = err_prefix(e, "the batch in '%s' is damaged; get it again", dir);
    }
    if (rc == RC_OK)
        rc = rename_folder(part, final, e);
    if (rc != RC_OK && dir_remove(part, &ignored) != RC_OK)
        err_prefix(e, "%s", ignored.text);
    free(part);
    free(final);
    return rc;
}

/* ---- again ---- */

/* Is the batch that was accepted before still there, whole? */
static bool is_stored(const struct station *s, const struct job *j)
{
    char *dir = job_path(s, j->order.id, "batch"), *index_path = path_join(dir, "devices.idx");
    struct batch_view v = {0};
    struct bytes want = BYTES_INIT, have = BYTES_INIT;
    struct err e = ERR_INIT;
    bool whole =
        batch_view_stored(s, j, &v, &e) == RC_OK && check_whole(j, &v.batch, dir, &want, &e) == RC_OK &&
        file_read(index_path, want.n, &have, &e) == RC_OK && span_eq(bytes_span(&have), bytes_span(&want));

    batch_view_fini(&v);
    bytes_free(&want);
    bytes_free(&have);
    free(dir);
    free(index_path);
    return whole;
}

static enum rc take(struct station *s, struct job *j, const struct batch_view *source, const char *dir,
                    bool *ret_new, struct err *e)
{
    int64_t now;
    char hex[2 * SHA256_LEN + 1];
    enum rc rc;

    *ret_new = !j->has_batch;
    if (j->has_batch && memcmp(source->sha256, j->batch_sha256, SHA256_LEN) != 0)
        return err_set(
            e, RC_CONFLICT, "station.batch-differs",
            "another batch of order '%s' was accepted before, and a batch cannot be exchanged; go on "
            "with that one, or ask the office for a new order",
            j->order.id);
    if (j->has_batch)
        return is_stored(s, j) ? RC_OK : store(s, j, source, dir, e);
    rc = station_clock_gate(s, &j->order, &now, e);
    if (rc == RC_OK)
        rc = store(s, j, source, dir, e);
    if (rc == RC_OK) {
        hex_encode((struct span){source->sha256, SHA256_LEN}, hex);
        rc = station_record(s, &j->order, "batch", NULL, hex, e);
    }
    return rc;
}

enum rc station_take_batch(struct station *s, const char *dir, char ret_order[static 65], bool *ret_new,
                           struct err *e)
{
    struct job *j = NULL;
    struct batch_view source = {0};
    enum rc rc = find_order(s, dir, &j, e);

    if (rc == RC_OK)
        rc = batch_view_read(s, j, dir, true, &source, e);
    if (rc == RC_OK)
        rc = take(s, j, &source, dir, ret_new, e);
    if (rc == RC_OK)
        memcpy(ret_order, j->order.id, sizeof j->order.id);
    batch_view_fini(&source);
    return rc;
}
