/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "factory/station/internal.h"
#include "sign/digest.h"

enum { COPY_CHUNK = 1 << 16 /* octets */ };

static enum rc pour(FILE *from, const char *src, struct file_writer *to, struct err *e)
{
    uint8_t *buf = mem_new(COPY_CHUNK);
    size_t n;
    enum rc rc = RC_OK;

    while (rc == RC_OK && (n = fread(buf, 1, COPY_CHUNK, from)) > 0)
        rc = file_writer_add(to, buf, n, e);
    if (rc == RC_OK && ferror(from))
        rc = err_sys(e, "file.read", "cannot read '%s'", src);
    free(buf);
    return rc;
}

static enum rc copy_stream(const char *src, const char *dst, mode_t mode, struct err *e)
{
    FILE *f = fopen(src, "re");
    struct file_writer *w = NULL;
    enum rc rc;

    if (f == NULL)
        return err_sys(e, "file.read", "cannot open '%s'", src);
    rc = file_writer_open(dst, mode, &w, e);
    if (rc == RC_OK)
        rc = pour(f, src, w, e);
    if (rc == RC_OK) {
        rc = file_writer_commit(w, e);
        w = NULL;
    }
    file_writer_abort(w);
    fclose(f);
    return rc;
}

enum rc file_copy_create(const char *src, const char *dst, mode_t mode, struct err *e)
{
    uint8_t a[SHA256_LEN], b[SHA256_LEN];
    enum rc rc;

    if (!file_exists(dst))
        return copy_stream(src, dst, mode, e);
    rc = sha256_file(src, a, e);
    if (rc == RC_OK)
        rc = sha256_file(dst, b, e);
    if (rc == RC_OK && memcmp(a, b, SHA256_LEN) != 0)
        rc = err_set(e, RC_CONFLICT, "file.exists",
                     "'%s' is there already with other contents and is never overwritten; use another folder",
                     dst);
    return rc;
}

enum rc folder_usable(const char *path, struct err *e)
{
    struct file_writer *w = NULL;
    char *probe = path_join(path, "probe"); /* never given its name */
    enum rc rc = dir_make(path, 0700, e);

    if (rc == RC_OK && file_writer_open(probe, 0600, &w, e) != RC_OK)
        rc = err_prefix(e, "the folder '%s' cannot be used", path);
    file_writer_abort(w);
    free(probe);
    return rc;
}
