/* SPDX-License-Identifier: Apache-2.0 */
#include "factory/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINES_BUFFER = 4 * LINE_MAX_OCTETS };

struct lines {
    int fd;
    char *path;
    int64_t number;
    size_t at, end; /* unread octets in buf */
    bool eof;
    uint8_t buf[LINES_BUFFER];
};

enum rc lines_open(const char *path, struct lines **ret, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return err_sys(e, "file.read", "cannot read '%s'", path);
    struct lines *l = mem_new(sizeof(*l));
    l->fd = fd;
    l->path = mem_str(path);
    *ret = l;
    return RC_OK;
}

/* Moves what is unread to the front and reads on behind it. */
static enum rc fill(struct lines *l, struct err *e)
{
    memmove(l->buf, l->buf + l->at, l->end - l->at);
    l->end -= l->at;
    l->at = 0;
    ssize_t n;
    do
        n = read(l->fd, l->buf + l->end, sizeof(l->buf) - l->end);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_sys(e, "file.read", "cannot read '%s'", l->path);
    l->eof = n == 0;
    l->end += (size_t)n;
    return RC_OK;
}

static enum rc reject(const struct lines *l, const char *key, const char *text, struct err *e)
{
    return err_set(e, RC_INPUT, key, "%s:%" PRId64 ": %s", l->path, l->number, text);
}

enum rc lines_next(struct lines *l, struct span *ret, bool *ret_end, struct err *e)
{
    const uint8_t *lf = NULL;
    while ((lf = memchr(l->buf + l->at, '\n', l->end - l->at)) == NULL && !l->eof &&
           l->end - l->at <= LINE_MAX_OCTETS) {
        enum rc rc = fill(l, e);
        if (rc != RC_OK)
            return rc;
    }
    size_t left = l->end - l->at;
    if (left == 0) {
        *ret_end = true;
        return RC_OK;
    }
    l->number++;
    size_t n = lf == NULL ? left : (size_t)(lf - (l->buf + l->at));
    if (n > LINE_MAX_OCTETS)
        return reject(l, "lines.long", "the line is too long: at most 65536 octets", e);
    if (lf == NULL)
        return reject(l, "lines.cut", "the last line does not end in a line feed: the file was cut off", e);
    if (n == 0)
        return reject(l, "lines.empty", "the line is empty", e);
    *ret = (struct span){l->buf + l->at, n};
    *ret_end = false;
    l->at += n + 1;
    return RC_OK;
}

int64_t lines_number(const struct lines *l)
{
    return l->number;
}

void lines_close(struct lines *l)
{
    if (l == NULL)
        return;
    close(l->fd);
    free(l->path);
    free(l);
}
