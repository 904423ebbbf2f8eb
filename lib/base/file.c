/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/secret.h"

enum {
    READ_STEP = 64 << 10,  /* octets: read at once when the size is not known */
    WRITE_STEP = 64 << 10, /* octets: small pieces are gathered up to this */
    TEMP_NAME = 40,        /* octets of a temporary name with its NUL */
};

/* ---- reading ---- */

/* As read, but not stopped by a signal. */
static ssize_t read_some(int fd, void *p, size_t n)
{
    ssize_t got;
    do
        got = read(fd, p, n);
    while (got < 0 && errno == EINTR);
    return got;
}

static enum rc too_big(const char *path, size_t max, struct err *e)
{
    return err_set(e, RC_INPUT, "file.too-big", "'%s' is too big: at most %zu octets are read", path, max);
}

/* Reads to the end of fd. More than max may be asked for, to see that it is there; the caller takes it away
 * again. */
static enum rc read_all(int fd, const char *path, size_t max, size_t expected, struct bytes *ret,
                        struct err *e)
{
    size_t before = ret->n;
    size_t step =
        expected + 1; /* the whole file and its end: no growing, and no copies of what may be a secret */
    for (;;) {
        ssize_t got = read_some(fd, bytes_room(ret, step), step);
        if (got < 0)
            return err_sys(e, "file.read", "cannot read '%s'", path);
        if (got == 0)
            return RC_OK;
        ret->n += (size_t)got;
        if (ret->n - before > max)
            return too_big(path, max, e);
        step = READ_STEP;
    }
}

enum rc file_read(const char *path, size_t max, struct bytes *ret, struct err *e)
{
    size_t before = ret->n;
    /* O_NONBLOCK: a pipe in the place of a file is refused below instead of waited for. */
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, "file.read", "cannot open '%s'", path);
    enum rc rc;
    struct stat st;
    if (fstat(fd, &st) < 0)
        rc = err_sys(e, "file.read", "cannot look at '%s'", path);
    else if (!S_ISREG(st.st_mode))
        rc = err_set(e, RC_INPUT, "file.kind", "'%s' is not a regular file", path);
    else if ((uintmax_t)st.st_size > max)
        rc = too_big(path, max, e);
    else
        rc = read_all(fd, path, max, (size_t)st.st_size, ret, e);
    close(fd);
    if (rc != RC_OK && ret->n > before) {
        wipe(ret->p + before, ret->n - before);
        ret->n = before;
    }
    return rc;
}

bool file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

/* ---- making durable ---- */

static int sync_fd(int fd)
{
    int got;
    do
        got = fsync(fd);
    while (got < 0 && errno == EINTR);
    return got;
}

static int open_folder(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* A file system that has no fsync for folders (some network and FUSE ones) says EINVAL: there is nothing more
 * to be had there. */
static int sync_folder_fd(int fd)
{
    return sync_fd(fd) < 0 && errno != EINVAL ? -1 : 0;
}

static int sync_folder(const char *path)
{
    int fd = open_folder(path);
    if (fd < 0)
        return -1;
    int got = sync_folder_fd(fd);
    int saved = errno;
    close(fd);
    errno = saved;
    return got;
}

enum rc dir_sync(const char *path, struct err *e)
{
    if (sync_folder(path) < 0)
        return err_sys(e, "file.sync", "cannot make the folder '%s' durable", path);
    return RC_OK;
}

/* ---- writing ---- */

struct file_writer {
    char *path;           /* as it was given, for messages */
    const char *name;     /* its last part */
    int folder;           /* everything happens relative to it: the folder may be renamed meanwhile */
    int fd;               /* of the temporary file; -1 once it is closed */
    char temp[TEMP_NAME]; /* its name; "" once it is gone */
    struct bytes gathered;
    bool failed;
};

static enum rc write_error(struct file_writer *w, struct err *e)
{
    w->failed = true;
    return err_sys(e, "file.write", "cannot write '%s'", w->path);
}

static void writer_free(struct file_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    if (w->temp[0])
        unlinkat(w->folder, w->temp, 0);
    if (w->folder >= 0)
        close(w->folder);
    bytes_wipe(&w->gathered);
    free(w->path);
    free(w);
}

/* The temporary name does not contain the final one: that may be as long as a name can be. */
static int open_temp(struct file_writer *w, mode_t mode)
{
    uint64_t random;
    ssize_t got;
    do
        got = getrandom(&random, sizeof(random), 0);
    while (got < 0 && errno == EINTR);
    if (got != sizeof(random))
        return -1;
    char temp[TEMP_NAME];
    snprintf(temp, sizeof(temp), ".keymill-%016" PRIx64 ".tmp", random);
    w->fd = openat(w->folder, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (w->fd < 0)
        return -1;
    memcpy(w->temp, temp, sizeof(temp));
    return fchmod(w->fd, mode); /* open's mode is narrowed by the umask */
}

enum rc file_writer_open(const char *path, mode_t mode, struct file_writer **ret, struct err *e)
{
    struct file_writer *w = mem_new(sizeof(*w));
    w->path = mem_str(path);
    const char *slash = strrchr(w->path, '/');
    w->name = slash ? slash + 1 : w->path;
    w->fd = -1;
    char *folder = path_dir(path);
    w->folder = open_folder(folder);
    free(folder);
    bool ok = w->folder >= 0;
    if (ok && !w->name[0]) {
        errno = EISDIR;
        ok = false;
    }
    if (!ok || open_temp(w, mode) < 0) {
        enum rc rc = write_error(w, e);
        writer_free(w);
        return rc;
    }
    *ret = w;
    return RC_OK;
}

static int write_all(int fd, const uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t got = write(fd, p, n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        p += got;
        n -= (size_t)got;
    }
    return 0;
}

static int write_gathered(struct file_writer *w)
{
    int got = write_all(w->fd, w->gathered.p, w->gathered.n);
    bytes_reset(&w->gathered);
    return got;
}

enum rc file_writer_add(struct file_writer *w, const void *p, size_t n, struct err *e)
{
    if (w->failed)
        bug("'%s' is written to after a failure", w->path);
    if (n > WRITE_STEP - w->gathered.n && write_gathered(w) < 0)
        return write_error(w, e);
    if (n >= WRITE_STEP)
        return write_all(w->fd, p, n) < 0 ? write_error(w, e) : RC_OK;
    bytes_add(&w->gathered, p, n);
    return RC_OK;
}

/* Everything but the name. */
static enum rc writer_finish(struct file_writer *w, struct err *e)
{
    if (w->failed)
        bug("'%s' is committed after a failure", w->path);
    if (write_gathered(w) < 0 || sync_fd(w->fd) < 0)
        return write_error(w, e);
    int got = close(w->fd);
    w->fd = -1;
    return got < 0 && errno != EINTR ? write_error(w, e) : RC_OK;
}

/* Behind the rename: the temporary name is gone, and what stands under the final one must survive a power
 * cut. */
static enum rc writer_settle(struct file_writer *w, struct err *e)
{
    w->temp[0] = 0;
    if (sync_folder_fd(w->folder) < 0)
        return err_sys(e, "file.write", "'%s' is written, but its folder cannot be made durable", w->path);
    return RC_OK;
}

enum rc file_writer_commit(struct file_writer *w, struct err *e)
{
    enum rc rc = writer_finish(w, e);
    if (rc == RC_OK && renameat(w->folder, w->temp, w->folder, w->name) < 0)
        rc = write_error(w, e);
    if (rc == RC_OK)
        rc = writer_settle(w, e);
    writer_free(w);
    return rc;
}

void file_writer_abort(struct file_writer *w)
{
    if (w)
        writer_free(w);
}

/* A writer that holds all of content, not yet under its name. */
static enum rc writer_with(const char *path, mode_t mode, struct span content, struct file_writer **ret,
                           struct err *e)
{
    struct file_writer *w = NULL;
    enum rc rc = file_writer_open(path, mode, &w, e);
    if (rc != RC_OK)
        return rc;
    if (write_all(w->fd, content.p, content.n) < 0) {
        rc = write_error(w, e);
        writer_free(w);
        return rc;
    }
    *ret = w;
    return RC_OK;
}

enum rc file_publish(const char *path, mode_t mode, struct span content, struct err *e)
{
    struct file_writer *w = NULL;
    enum rc rc = writer_with(path, mode, content, &w, e);
    return rc == RC_OK ? file_writer_commit(w, e) : rc;
}

/*
 * Gives the file its name unless that is taken (EEXIST), in one step of the kernel. Not every file system has
 * RENAME_NOREPLACE (NFS says EINVAL) and not every one has hard links (FAT): one of the two is there.
 */
static int name_if_free(struct file_writer *w)
{
    if (renameat2(w->folder, w->temp, w->folder, w->name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (linkat(w->folder, w->temp, w->folder, w->name, 0) < 0)
        return -1;
    unlinkat(w->folder, w->temp, 0);
    return 0;
}

static enum rc compare(const char *path, struct span content, struct err *e)
{
    struct bytes there = BYTES_INIT;
    enum rc rc = file_read(path, content.n, &there, e);
    bool differs = rc == RC_INPUT || (rc == RC_OK && !span_eq(bytes_span(&there), content));
    bytes_wipe(&there);
    if (differs)
        return err_set(e, RC_CONFLICT, "file.exists",
                       "'%s' exists with other contents and is never overwritten: move it away first", path);
    return rc;
}

enum rc file_create(const char *path, mode_t mode, struct span content, struct err *e)
{
    struct file_writer *w = NULL;
    enum rc rc = writer_with(path, mode, content, &w, e);
    if (rc == RC_OK)
        rc = writer_finish(w, e);
    if (rc != RC_OK) {
        file_writer_abort(w);
        return rc;
    }
    if (name_if_free(w) == 0) {
        rc = writer_settle(w, e);
    } else if (errno == EEXIST) {
        rc = compare(path, content, e);
        /* Whoever made it may have been stopped before its folder was durable. */
        if (rc == RC_OK && sync_folder_fd(w->folder) < 0)
            rc = write_error(w, e);
    } else {
        rc = write_error(w, e);
    }
    writer_free(w);
    return rc;
}

/* ---- folders ---- */

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* mkdir with a mode that the umask does not narrow. */
static int make_folder(const char *path, mode_t mode)
{
    return mkdir(path, mode & 0700) < 0 ? -1 : fchmodat(AT_FDCWD, path, mode, 0);
}

enum rc dir_make(const char *path, mode_t mode, struct err *e)
{
    bool made = make_folder(path, mode) == 0;
    if (!made && !(errno == EEXIST && is_folder(path)))
        return err_sys(e, "file.mkdir", "cannot make the folder '%s'", path);
    char *parent = path_dir(path);
    /* Also when it was there: whoever made it may have been stopped before this. A parent that may not be
     * read was not ours to write. */
    bool ok = sync_folder(parent) == 0 || (!made && errno == EACCES);
    enum rc rc = ok ? RC_OK : err_sys(e, "file.mkdir", "cannot make the folder '%s' durable", parent);
    free(parent);
    return rc;
}

static int remove_at(int folder, const char *name);

/* Empties the folder behind fd, which is closed. */
static int empty_folder(int fd)
{
    DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return -1;
    }
    int got = 0;
    const struct dirent *entry;
    while (got == 0 && (errno = 0, entry = readdir(d)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            got = remove_at(dirfd(d), entry->d_name);
    if (got == 0 && errno != 0)
        got = -1;
    int saved = errno;
    closedir(d);
    errno = saved;
    return got;
}

/* A link is removed as a link; O_NOFOLLOW sees to it that nobody can put one in a folder's place meanwhile.
 */
static int remove_at(int folder, const char *name)
{
    if (unlinkat(folder, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR)
        return -1;
    int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || empty_folder(fd) < 0)
        return -1;
    return unlinkat(folder, name, AT_REMOVEDIR);
}

enum rc dir_remove(const char *path, struct err *e)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') /* "link/" would name what the link points to */
        n--;
    char *clean = mem_strn(path, n);
    int got = remove_at(AT_FDCWD, clean);
    enum rc rc = got < 0 ? err_sys(e, "file.remove", "cannot remove all of '%s'", path) : RC_OK;
    free(clean);
    return rc;
}
