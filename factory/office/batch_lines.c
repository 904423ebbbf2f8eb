/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "ca/ca.h"
#include "factory/lines.h"
#include "factory/office/batch.h"

/* The one file that grows in place: base/file.h publishes whole files, and a million devices are made group
 * by group. */

void batch_lines_close(struct batch_lines *l)
{
    uint8_t unused[SHA256_LEN];
    if (!l)
        return;
    if (l->fd >= 0)
        close(l->fd);
    if (l->digest)
        sha256_end(l->digest, unused);
    free(l->path);
    free(l);
}

static void count_line(struct batch_lines *l, struct span line)
{
    merkle_add(&l->tree, line);
    sha256_add(l->digest, line);
    sha256_add(l->digest, SPAN("\n"));
    l->count++;
}

/* ---- taking up what is there ---- */

/* Is this line the device i, with the certificate that the CA has issued? One that it signed and,
 * interrupted, did not record is recorded now: it lay on a disk. A line that cannot be read is no. */
static enum rc line_fits(struct batch_job *j, const struct batch_lines *l, uint64_t i, struct span line,
                         bool *ret, struct err *e)
{
    char id[DEVICE_ID_MAX + 1];
    struct batch_device d = {0};
    struct bytes issued = BYTES_INIT;
    struct err bad = ERR_INIT;

    *ret = false;
    if (i >= j->station->quantity || batch_line_decode(l->path, (int64_t)i + 1, line, &d, &bad) != RC_OK)
        return RC_OK;
    id_block_id(&j->station->ids, i, id);
    enum rc rc = RC_OK;
    if (strcmp(d.id, id) == 0) {
        rc = ca_find_id(j->ca, j->order.id, id, &issued, e);
        *ret = rc == RC_OK && issued.n > 0 && span_eq(bytes_span(&issued), bytes_span(&d.cert));
        if (rc == RC_OK && issued.n == 0)
            rc = ca_adopt(j->ca, j->order.id, id, bytes_span(&d.cert), ret, e);
    }
    bytes_free(&issued);
    batch_device_fini(&d);
    return rc;
}

static enum rc lost(struct batch_job *j, uint64_t i, struct err *e)
{
    char id[DEVICE_ID_MAX + 1];
    id_block_id(&j->station->ids, i, id);
    return err_set(
        e, RC_CONFLICT, "office.batch-lost",
        "the CA has issued certificates of order '%s' that '%s' does not hold, from '%s' on: a batch of this "
        "order was made in another folder, or its folder was deleted or changed. Find that folder and give "
        "its name (DIR, with DIR.part beside it); if it is gone, revoke the order and make a new one with "
        "other ids",
        j->order.id, j->part, id);
}

/* The next id has no certificate yet: its line is durable before its row is issued, so an issued row without
 * a line means that a folder was lost or is elsewhere. */
static enum rc check_next(struct batch_job *j, uint64_t i, struct err *e)
{
    char id[DEVICE_ID_MAX + 1];
    struct bytes issued = BYTES_INIT;
    if (i >= j->station->quantity)
        return RC_OK;
    id_block_id(&j->station->ids, i, id);
    enum rc rc = ca_find_id(j->ca, j->order.id, id, &issued, e);
    if (rc == RC_OK && issued.n > 0)
        rc = lost(j, i, e);
    bytes_free(&issued);
    return rc;
}

/* The next line, or none: a torn last line reads as RC_INPUT and is no line. */
static enum rc next_line(struct lines *in, struct span *ret, bool *ret_some, struct err *e)
{
    struct err why = ERR_INIT;
    bool end = false;
    enum rc rc = lines_next(in, ret, &end, &why);
    *ret_some = rc == RC_OK && !end;
    if (rc == RC_OK || rc == RC_INPUT)
        return RC_OK;
    *e = why;
    return rc;
}

/* Counts the lines that stay; *ret_octets is where they end. Behind the first that does not fit no line may
 * fit: the file was not written in that order. */
static enum rc keep_lines(struct batch_job *j, struct batch_lines *l, off_t *ret_octets, struct err *e)
{
    struct lines *in = NULL;
    struct span line = {0};
    bool some = true, keep = true;
    enum rc rc = lines_open(l->path, &in, e);
    *ret_octets = 0;
    for (uint64_t i = 0; rc == RC_OK && some; i++) {
        bool fits = false;
        rc = next_line(in, &line, &some, e);
        if (rc == RC_OK && some)
            rc = line_fits(j, l, i, line, &fits, e);
        if (rc == RC_OK && fits && !keep)
            rc = lost(j, l->count, e);
        keep = keep && fits;
        if (rc == RC_OK && keep) {
            count_line(l, line);
            *ret_octets += (off_t)line.n + 1;
        }
    }
    lines_close(in);
    return rc;
}

static enum rc cut(struct batch_lines *l, off_t octets, struct err *e)
{
    off_t end = lseek(l->fd, 0, SEEK_END);
    if (end == octets)
        return RC_OK;
    if (end < 0 || ftruncate(l->fd, octets) < 0 || lseek(l->fd, octets, SEEK_SET) < 0 || fsync(l->fd) < 0)
        return err_sys(e, "file.write", "cannot cut off the end of '%s'", l->path);
    return RC_OK;
}

static enum rc open_file(struct batch_job *j, struct batch_lines *l, struct err *e)
{
    enum rc rc = dir_make(j->part, 0700, e);
    if (rc != RC_OK)
        return rc;
    l->fd = open(l->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (l->fd < 0)
        return err_sys(e, "file.write", "cannot open '%s'", l->path);
    return dir_sync(j->part, e); /* its name must survive as its lines do */
}

enum rc batch_lines_open(struct batch_job *j, struct batch_lines **ret, struct err *e)
{
    off_t octets = 0;
    if (!file_exists(j->part)) { /* no folder is left behind for a batch that is lost */
        enum rc rc = check_next(j, 0, e);
        if (rc != RC_OK)
            return rc;
    }
    struct batch_lines *l = mem_new(sizeof(*l));
    l->path = path_join(j->part, "devices.jsonl");
    l->fd = -1;
    l->digest = sha256_new();
    merkle_init(&l->tree);

    enum rc rc = open_file(j, l, e);
    if (rc == RC_OK)
        rc = keep_lines(j, l, &octets, e);
    if (rc == RC_OK)
        rc = check_next(j, l->count, e);
    if (rc == RC_OK)
        rc = cut(l, octets, e);
    if (rc == RC_OK) {
        *ret = l;
        l = NULL;
    }
    batch_lines_close(l);
    return rc;
}

/* ---- adding ---- */

static int write_all(int fd, struct span s)
{
    while (s.n > 0) {
        ssize_t got = write(fd, s.p, s.n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        s.p += got;
        s.n -= (size_t)got;
    }
    return 0;
}

enum rc batch_lines_append(struct batch_lines *l, const struct bytes *lines, size_t n, struct err *e)
{
    struct bytes text = BYTES_INIT;
    for (size_t i = 0; i < n; i++) {
        bytes_add_span(&text, bytes_span(&lines[i]));
        bytes_add_byte(&text, '\n');
    }
    enum rc rc = RC_OK;
    if (write_all(l->fd, bytes_span(&text)) < 0 || fsync(l->fd) < 0)
        rc = err_sys(e, "file.write", "cannot write '%s'", l->path);
    for (size_t i = 0; rc == RC_OK && i < n; i++)
        count_line(l, bytes_span(&lines[i]));
    bytes_free(&text);
    return rc;
}
