/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_FOLDER_H
#define UNIT_FOLDER_H

/* A folder of its own for each test, and questions about what is in it. Behind <cmocka.h>, as everything that
 * asserts. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"

static char folder[64];

static inline int folder_make(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/keymill-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static inline int folder_remove(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    return dir_remove(folder, &e) == RC_OK ? 0 : -1;
}

/* A path in the folder; valid until four more were made. */
static inline const char *at(const char *name)
{
    static char paths[4][512];
    static int next;
    char *p = paths[next++ % 4];
    snprintf(p, sizeof(paths[0]), "%s/%s", folder, name);
    return p;
}

/* How many names are in the folder, hidden ones included. */
static inline int names(const char *path)
{
    DIR *d = opendir(path);
    assert_non_null(d);
    int n = 0;
    const struct dirent *entry;
    while ((entry = readdir(d)) != NULL)
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(d);
    return n;
}

static inline int open_descriptors(void)
{
    return names("/proc/self/fd");
}

static inline void assert_content(const char *path, struct span expected)
{
    struct bytes b = BYTES_INIT;
    struct err e = ERR_INIT;
    if (file_read(path, FILE_DOC_MAX, &b, &e) != RC_OK)
        fail_msg("%s", e.text);
    assert_true(span_eq(bytes_span(&b), expected));
    bytes_free(&b);
}

static inline mode_t mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static inline void put(const char *path, const char *text)
{
    struct err e = ERR_INIT;
    if (file_publish(path, 0600, span_str(text), &e) != RC_OK)
        fail_msg("%s", e.text);
}

static inline void assert_system(enum rc rc, const struct err *e, const char *key, const char *path,
                                 int number)
{
    assert_int_equal(rc, RC_SYSTEM);
    assert_string_equal(e->key, key);
    assert_non_null(strstr(e->text, path));
    assert_non_null(strstr(e->text, strerror(number)));
}

#endif
