/* SPDX-License-Identifier: Apache-2.0 */
#include "factory/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "doc/doc.h"

/* The end of every line: ,"sum":"<64 hex digits>"} */
#define SUM_FORMAT ",\"sum\":\"%s\"}"
enum {
    JOURNAL_LINE_MAX = 4096,                         /* octets of a record */
    HASH_TEXT = 2 * SHA256_LEN + 1,                  /* octets of a hash in hex with its NUL */
    SUM_LEN = sizeof SUM_FORMAT - 3 + HASH_TEXT - 1, /* octets of that end: without NUL and "%s" */
};

struct journal {
    int fd;
    char *path;
    off_t size;  /* octets that are records */
    bool spoilt; /* a write failed and what is on the disk is not known: nothing may be appended */
    uint8_t head[SHA256_LEN];
    uint64_t records;
    int64_t last_time;
};

static enum rc broken(const struct journal *j, uint64_t line, const char *why, struct err *e)
{
    return err_set(e, RC_INPUT, "journal.broken",
                   "'%s' line %" PRIu64 " %s: the journal was changed behind the tool's back, or the disk is "
                   "failing; stop the line, keep the file as it is, and call headquarters",
                   j->path, line, why);
}

/* ---- a line ---- */

/* What stands behind text, a record up to its last member. */
static void sum_end(struct span text, char ret[static SUM_LEN + 1])
{
    uint8_t hash[SHA256_LEN];
    char hex[HASH_TEXT];

    sha256(text, hash);
    hex_encode((struct span){hash, sizeof hash}, hex);
    snprintf(ret, SUM_LEN + 1, SUM_FORMAT, hex);
}

static bool sum_holds(struct span line)
{
    char end[SUM_LEN + 1];

    if (line.n <= SUM_LEN)
        return false;
    sum_end((struct span){line.p, line.n - SUM_LEN}, end);
    return memcmp(line.p + line.n - SUM_LEN, end, SUM_LEN) == 0;
}

/* Reads one record's members; strings live as long as *ret_doc. */
static enum rc record_parse(const struct journal *j, uint64_t line, struct span text, struct doc **ret_doc,
                            struct journal_record *ret, uint8_t prev[static SHA256_LEN], struct err *e)
{
    struct doc *doc = NULL;
    struct doc_map m;
    uint8_t sum[SHA256_LEN];
    enum rc rc = doc_parse_jsonl(j->path, (int64_t)line, text, &doc, e);

    if (rc == RC_OK) {
        doc_open(&m, doc, doc_root(doc));
        ret->n = (uint64_t)doc_int(&m, "n", 1, INT64_MAX);
        ret->time = doc_time(&m, "time");
        ret->kind = doc_str(&m, "kind");
        ret->order = doc_str_or(&m, "order", "");
        ret->id = doc_str_or(&m, "id", "");
        ret->detail = doc_str_or(&m, "detail", "");
        doc_hex(&m, "prev", prev, SHA256_LEN);
        doc_hex(&m, "sum", sum, SHA256_LEN);
        rc = doc_close(&m, e);
    }
    if (rc != RC_OK) {
        doc_free(doc);
        return broken(j, line, "is not a journal record", e);
    }
    *ret_doc = doc;
    return RC_OK;
}

/* Counts a line in: it is part of the chain from here on. */
static void advance(struct journal *j, struct span line, int64_t time)
{
    uint8_t next[SHA256_LEN];

    hash_chain(j->head, line, next);
    memcpy(j->head, next, SHA256_LEN);
    j->records++;
    j->last_time = time;
    j->size += (off_t)line.n + 1;
}

static enum rc record_take(struct journal *j, struct span text, journal_reader *record, void *arg,
                           struct err *e)
{
    struct journal_record r;
    uint8_t prev[SHA256_LEN];
    struct doc *doc = NULL;
    uint64_t line = j->records + 1;
    enum rc rc;

    if (!sum_holds(text))
        return broken(j, line, "does not agree with its checksum", e);
    rc = record_parse(j, line, text, &doc, &r, prev, e);
    if (rc != RC_OK)
        return rc;
    if (r.n != line)
        rc = broken(j, line, "has another record's number", e);
    else if (memcmp(prev, j->head, SHA256_LEN) != 0)
        rc = broken(j, line, "does not continue the hash chain", e);
    else if (r.time < j->last_time)
        rc = broken(j, line, "is older than the record before it", e);
    else
        rc = record(arg, &r, j->head, e);
    if (rc == RC_OK)
        advance(j, text, r.time);
    doc_free(doc);
    return rc;
}

/* ---- opening ---- */

/* An append that was cut short leaves the beginning of a record. Where a whole one is followed by an octet
 * that is no LF, the LF was changed. */
static enum rc tail_check(const struct journal *j, struct span tail, struct err *e)
{
    if (sum_holds((struct span){tail.p, tail.n - 1}))
        return broken(j, j->records + 1, "does not end in a line feed", e);
    return RC_OK;
}

static enum rc journal_replay(struct journal *j, FILE *f, journal_reader *record, void *arg, struct err *e)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    enum rc rc = RC_OK;

    while (rc == RC_OK && (n = getline(&line, &cap, f)) > 0) {
        struct span text = {(const uint8_t *)line, (size_t)n};

        if (line[n - 1] != '\n') {
            rc = tail_check(j, text, e);
            break;
        }
        text.n--;
        rc = record_take(j, text, record, arg, e);
    }
    if (rc == RC_OK && ferror(f))
        rc = err_sys(e, "file.read", "cannot read '%s'", j->path);
    free(line);
    return rc;
}

/* Cuts the tail off, and makes durable what was read: a process that was killed between its write and its
 * sync leaves whole records that a power cut would still take away, and from here on others act on them. */
static enum rc settle(struct journal *j, struct err *e)
{
    char *dir = path_dir(j->path);
    off_t end = lseek(j->fd, 0, SEEK_END);
    enum rc rc = RC_OK;

    if (end < 0 || (end > j->size && ftruncate(j->fd, j->size) != 0) || fsync(j->fd) != 0)
        rc = err_sys(e, "journal.open", "cannot make '%s' durable", j->path);
    if (rc == RC_OK)
        rc = dir_sync(dir, e);
    free(dir);
    return rc;
}

/* For reading; closing it leaves fd open. */
static FILE *reader(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    FILE *f = copy < 0 ? NULL : fdopen(copy, "r");

    if (f == NULL && copy >= 0)
        close(copy);
    return f;
}

enum rc journal_open(const char *path, journal_reader *record, void *arg, struct journal **ret, struct err *e)
{
    struct journal *j = mem_new(sizeof *j);
    FILE *f = NULL;
    enum rc rc = RC_OK;

    j->path = mem_str(path);
    j->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (j->fd < 0 || (f = reader(j->fd)) == NULL) {
        rc = err_sys(e, "journal.open", "cannot open '%s'", path);
        goto out;
    }
    rc = journal_replay(j, f, record, arg, e);
    if (rc == RC_OK)
        rc = settle(j, e);
    if (rc == RC_OK) {
        *ret = j;
        j = NULL;
    }
out:
    if (f != NULL)
        fclose(f);
    journal_close(j);
    return rc;
}

/* ---- appending ---- */

static enum rc clock_runs_back(const struct journal *j, int64_t now, struct err *e)
{
    char last[TIME_TEXT], text[TIME_TEXT];

    time_format(j->last_time, last);
    time_format(now, text);
    return err_set(e, RC_CONFLICT, "journal.clock",
                   "the clock says %s, but the last entry of '%s' was made at %s (%" PRId64
                   " s later); set this computer's clock and run the command again",
                   text, j->path, last, j->last_time - now);
}

static bool write_all(int fd, struct span s)
{
    while (s.n > 0) {
        ssize_t n = write(fd, s.p, s.n);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        s.p += n;
        s.n -= (size_t)n;
    }
    return true;
}

static enum rc write_durably(struct journal *j, struct span line, struct err *e)
{
    bool written;

    if (j->spoilt)
        return err_set(e, RC_SYSTEM, "journal.write",
                       "'%s' could not be written before; check the disk, and start the tool again", j->path);
    written = write_all(j->fd, line);
    if (written && fdatasync(j->fd) == 0)
        return RC_OK;
    err_sys(e, "journal.write",
            "nothing was recorded, because '%s' cannot be written; make room or check the disk, and run the "
            "command again",
            j->path);
    /* What did get through must not be mistaken for a record. After a failed sync the kernel has forgotten
     * what it could not write, and what it says about the next one is worth nothing. */
    if (ftruncate(j->fd, j->size) != 0 || written)
        j->spoilt = true;
    return e->rc;
}

static void put_member(struct jsonw *w, const char *key, const char *value)
{
    if (value != NULL && value[0] != '\0')
        jsonw_str(w, key, value);
}

static void record_encode(const struct journal *j, const struct journal_record *r, struct bytes *ret)
{
    struct jsonw w;
    char end[SUM_LEN + 1];

    jsonw_init(&w, ret);
    jsonw_object(&w, NULL);
    jsonw_int(&w, "n", (int64_t)(j->records + 1));
    jsonw_time(&w, "time", r->time);
    jsonw_str(&w, "kind", r->kind);
    put_member(&w, "order", r->order);
    put_member(&w, "id", r->id);
    put_member(&w, "detail", r->detail);
    jsonw_hex(&w, "prev", (struct span){j->head, SHA256_LEN});
    jsonw_end(&w);
    ret->n--; /* the brace: the sum is the last member */
    sum_end(bytes_span(ret), end);
    bytes_add_str(ret, end);
}

enum rc journal_append(struct journal *j, const struct journal_record *r, struct err *e)
{
    struct bytes line = BYTES_INIT;
    enum rc rc;

    if (r->time < j->last_time)
        return clock_runs_back(j, r->time, e);
    record_encode(j, r, &line);
    if (line.n > JOURNAL_LINE_MAX)
        bug("journal record of %zu octets", line.n);
    bytes_add_byte(&line, '\n');
    rc = write_durably(j, bytes_span(&line), e);
    if (rc == RC_OK)
        advance(j, (struct span){line.p, line.n - 1}, r->time);
    bytes_free(&line);
    return rc;
}

void journal_head(const struct journal *j, uint8_t ret[static SHA256_LEN], uint64_t *ret_records)
{
    memcpy(ret, j->head, SHA256_LEN);
    *ret_records = j->records;
}

int64_t journal_last_time(const struct journal *j)
{
    return j->last_time;
}

void journal_close(struct journal *j)
{
    if (j == NULL)
        return;
    if (j->fd >= 0)
        close(j->fd);
    free(j->path);
    free(j);
}
