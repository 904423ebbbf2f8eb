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

enum { JOURNAL_LINE_MAX = 4096 /* octets of a record */ };

struct journal {
    int fd;
    char *path;
    off_t size;  /* octets that are known to be durable */
    bool spoilt; /* a write failed and could not be undone: nothing may be appended */
    uint8_t head[SHA256_LEN];
    uint64_t records;
    int64_t last_time;
};

static enum rc broken(const struct journal *j, uint64_t line, const char *why, struct err *e)
{
    return err_set(e, RC_INPUT, "journal.broken",
                   "'%s' line %" PRIu64
                   ": %s; the journal was changed behind the tool's back: stop the line, keep the file, and "
                   "call headquarters",
                   j->path, line, why);
}

/* Reads one record's members; strings live as long as *ret_doc. */
static enum rc record_parse(const struct journal *j, uint64_t line, struct span text, struct doc **ret_doc,
                            struct journal_record *ret, uint8_t prev[static SHA256_LEN], struct err *e)
{
    struct doc *doc = NULL;
    struct doc_map m;
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
        rc = doc_close(&m, e);
    }
    if (rc != RC_OK) {
        doc_free(doc);
        return broken(j, line, "is not a journal record", e);
    }
    *ret_doc = doc;
    return RC_OK;
}

static enum rc record_take(struct journal *j, struct span text, journal_reader *record, void *arg,
                           struct err *e)
{
    struct journal_record r;
    uint8_t prev[SHA256_LEN], next[SHA256_LEN];
    struct doc *doc = NULL;
    uint64_t line = j->records + 1;
    enum rc rc = record_parse(j, line, text, &doc, &r, prev, e);

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
    if (rc == RC_OK) {
        hash_chain(j->head, text, next);
        memcpy(j->head, next, SHA256_LEN);
        j->records = line;
        j->last_time = r.time;
        j->size += (off_t)text.n + 1;
    }
    doc_free(doc);
    return rc;
}

static enum rc journal_replay(struct journal *j, FILE *f, journal_reader *record, void *arg, struct err *e)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    enum rc rc = RC_OK;

    while (rc == RC_OK && (n = getline(&line, &cap, f)) > 0) {
        /* Only an append that was cut short can leave a line without its LF, and nobody was told of that
         * record. */
        if (line[n - 1] != '\n')
            break;
        rc = record_take(j, (struct span){(const uint8_t *)line, (size_t)n - 1}, record, arg, e);
    }
    if (rc == RC_OK && ferror(f))
        rc = err_sys(e, "file.read", "cannot read '%s'", j->path);
    free(line);
    return rc;
}

enum rc journal_open(const char *path, journal_reader *record, void *arg, struct journal **ret, struct err *e)
{
    struct journal *j = mem_new(sizeof *j);
    FILE *f = NULL;
    char *dir = path_dir(path);
    int fd = -1;
    enum rc rc = RC_OK;

    j->path = mem_str(path);
    j->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (j->fd < 0 || (fd = dup(j->fd)) < 0 || (f = fdopen(fd, "r")) == NULL) {
        rc = err_sys(e, "journal.open", "cannot open '%s'", path);
        goto out;
    }
    fd = -1;
    rc = dir_sync(dir, e);
    if (rc == RC_OK)
        rc = journal_replay(j, f, record, arg, e);
    if (rc == RC_OK && (ftruncate(j->fd, j->size) != 0 || fsync(j->fd) != 0))
        rc = err_sys(e, "journal.open", "cannot cut the unfinished last line off '%s'", path);
    if (rc == RC_OK) {
        *ret = j;
        j = NULL;
    }
out:
    if (f != NULL)
        fclose(f);
    if (fd >= 0)
        close(fd);
    free(dir);
    journal_close(j);
    return rc;
}

static enum rc clock_runs_back(const struct journal *j, int64_t now, struct err *e)
{
    char last[TIME_TEXT], text[TIME_TEXT];

    time_format(j->last_time, last);
    time_format(now, text);
    return err_set(e, RC_CONFLICT, "journal.clock",
                   "the clock says %s, but the last entry of '%s' was made at %s (%" PRId64
                   " s later); set this computer's clock and go on",
                   text, j->path, last, j->last_time - now);
}

static enum rc write_durably(struct journal *j, struct span line, struct err *e)
{
    size_t done = 0;

    if (j->spoilt)
        return err_set(e, RC_SYSTEM, "journal.write", "'%s': an earlier write failed; start the tool again",
                       j->path);
    while (done < line.n) {
        ssize_t n = write(j->fd, line.p + done, line.n - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    if (done == line.n && fdatasync(j->fd) == 0) {
        j->size += (off_t)line.n;
        return RC_OK;
    }
    err_sys(e, "journal.write", "cannot write '%s'; nothing was recorded", j->path);
    /* What did get through must not be mistaken for a record; if even that fails the next start cuts it off
     * or counts it. */
    if (ftruncate(j->fd, j->size) != 0)
        j->spoilt = true;
    return e->rc;
}

enum rc journal_append(struct journal *j, const struct journal_record *r, struct err *e)
{
    struct bytes line = BYTES_INIT;
    struct jsonw w;
    uint8_t next[SHA256_LEN];
    enum rc rc;

    if (r->time < j->last_time)
        return clock_runs_back(j, r->time, e);
    jsonw_init(&w, &line);
    jsonw_object(&w, NULL);
    jsonw_int(&w, "n", (int64_t)(j->records + 1));
    jsonw_time(&w, "time", r->time);
    jsonw_str(&w, "kind", r->kind);
    if (r->order != NULL && r->order[0] != '\0')
        jsonw_str(&w, "order", r->order);
    if (r->id != NULL && r->id[0] != '\0')
        jsonw_str(&w, "id", r->id);
    if (r->detail != NULL && r->detail[0] != '\0')
        jsonw_str(&w, "detail", r->detail);
    jsonw_hex(&w, "prev", (struct span){j->head, SHA256_LEN});
    jsonw_end(&w);
    if (line.n > JOURNAL_LINE_MAX)
        bug("journal record of %zu octets", line.n);
    hash_chain(j->head, bytes_span(&line), next);
    bytes_add_byte(&line, '\n');
    rc = write_durably(j, bytes_span(&line), e);
    if (rc == RC_OK) {
        memcpy(j->head, next, SHA256_LEN);
        j->records++;
        j->last_time = r->time;
    }
    bytes_free(&line);
    return rc;
}

void journal_head(const struct journal *j, uint8_t ret[static SHA256_LEN], uint64_t *ret_records)
{
    memcpy(ret, j->head, SHA256_LEN);
    *ret_records = j->records;
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
