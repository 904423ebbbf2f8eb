/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/bytes.h"
#include "base/err.h"

struct secret;

enum {
    FILE_SMALL_MAX = 1 << 20, /* octets: configuration, certificates, chains */
    FILE_DOC_MAX = 16 << 20,  /* octets: orders, lists, CRLs */
};

/* Reads a whole regular file of at most max octets, appended to *ret (left as it was on failure).
 * RC_SYSTEM file.read; RC_INPUT file.too-big; RC_INPUT file.kind when it is no regular file. */
NODISCARD enum rc file_read(const char *path, size_t max, struct bytes *ret, struct err *e);

/* Publishes: temporary name in the same folder, O_EXCL and the final mode, write, fsync, rename, fsync of the
 * folder. A reader sees the old file or the new one, whatever happens; on failure the temporary file is gone
 * and path is as it was (or as it shall be, when only the last fsync failed). RC_SYSTEM file.write. A process
 * that dies in between leaves ".keymill-<16 hex>.tmp" in the folder, which anyone may delete. */
NODISCARD enum rc file_publish(const char *path, mode_t mode, struct span content, struct err *e);

/* As file_publish, but nothing is ever overwritten: the same octets already there are success, others are
 * RC_CONFLICT file.exists. */
NODISCARD enum rc file_create(const char *path, mode_t mode, struct span content, struct err *e);

/* Publishing in pieces, as file_publish. After a failing add only abort is left. Between open and commit the
 * file has a temporary name; abort (NULL allowed) removes it. */
struct file_writer;
NODISCARD enum rc file_writer_open(const char *path, mode_t mode, struct file_writer **ret, struct err *e);
NODISCARD enum rc file_writer_add(struct file_writer *w, const void *p, size_t n, struct err *e);
/* Makes it durable and gives it its name; frees w in every case. */
NODISCARD enum rc file_writer_commit(struct file_writer *w, struct err *e);
void file_writer_abort(struct file_writer *w);

/* Makes a folder; one that is there already is success. The parent is fsynced. RC_SYSTEM file.mkdir. */
NODISCARD enum rc dir_make(const char *path, mode_t mode, struct err *e);
/* fsync of a folder, so that names made in it survive a power cut. RC_SYSTEM file.sync. */
NODISCARD enum rc dir_sync(const char *path, struct err *e);
bool file_exists(const char *path); /* something is there, links followed */
/* Removes a tree of files and folders (no links followed); absent is success. For temporary folders of our
 * own. RC_SYSTEM file.remove. */
NODISCARD enum rc dir_remove(const char *path, struct err *e);

/* "a/b", malloc'd; b absolute gives b. */
char *path_join(const char *a, const char *b);
/* The folder part of path ("." when there is none), malloc'd; slashes at the end do not count: "a/b/" gives
 * "a". */
char *path_dir(const char *path);

/* Paths beside the running executable, malloc'd: <exe>/../share/keymill/<rel>,
 * <exe>/../libexec/keymill/<rel>. The build tree has the same layout. RC_SYSTEM file.exe. */
NODISCARD enum rc path_data(const char *rel, char **ret, struct err *e);
NODISCARD enum rc path_libexec(const char *rel, char **ret, struct err *e);
/* <folder of exe>/<rel>: another tool of ours. */
NODISCARD enum rc path_sibling(const char *rel, char **ret, struct err *e);

#endif
