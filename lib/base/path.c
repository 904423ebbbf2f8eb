/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

char *path_join(const char *a, const char *b)
{
    if (b[0] == '/' || a[0] == 0)
        return mem_str(b);
    if (b[0] == 0)
        return mem_str(a);
    return mem_printf(a[strlen(a) - 1] == '/' ? "%s%s" : "%s/%s", a, b);
}

char *path_dir(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') /* "a/b/" names the same as "a/b" */
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    if (n == 0)
        return mem_str(".");
    while (n > 1 && path[n - 1] == '/')
        n--;
    return mem_strn(path, n);
}

/* The running executable's path as the kernel knows it: no links left in it, so ".." can be cut off by text.
 */
static enum rc path_exe(char ret[static PATH_MAX], struct err *e)
{
    ssize_t n = readlink("/proc/self/exe", ret, PATH_MAX);

    if (n < 0)
        return err_sys(e, "file.exe",
                       "cannot find the running executable by '/proc/self/exe' (is /proc mounted?)");
    if ((size_t)n == PATH_MAX)
        return err_set(e, RC_SYSTEM, "file.exe",
                       "the path of the running executable is longer than %d octets", PATH_MAX);
    ret[n] = 0;
    return RC_OK;
}

enum rc path_sibling(const char *rel, char **ret, struct err *e)
{
    char exe[PATH_MAX];
    char *bin = NULL;

    if (path_exe(exe, e) != RC_OK)
        return e->rc;
    bin = path_dir(exe);
    *ret = path_join(bin, rel);
    free(bin);
    return RC_OK;
}

/* <prefix>/<where>/keymill/<rel> for the executable <prefix>/bin/tool. */
static enum rc path_beside(const char *where, const char *rel, char **ret, struct err *e)
{
    char exe[PATH_MAX];
    if (path_exe(exe, e) != RC_OK)
        return e->rc;
    char *bin = path_dir(exe);
    char *prefix = path_dir(bin);
    *ret = mem_printf("%s/%s/keymill/%s", strcmp(prefix, "/") == 0 ? "" : prefix, where, rel);
    free(prefix);
    free(bin);
    return RC_OK;
}

enum rc path_data(const char *rel, char **ret, struct err *e)
{
    return path_beside("share", rel, ret, e);
}

enum rc path_libexec(const char *rel, char **ret, struct err *e)
{
    return path_beside("libexec", rel, ret, e);
}
