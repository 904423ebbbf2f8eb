/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/quirks_local.h"

#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "doc/doc.h"
#include "hsm/quirks.h"

#define BAD "quirks.path"

enum { VARIABLE_MAX = 64 /* octets of an environment variable's name with its NUL */ };

/* How long the name behind '$' is; 0 when there is none. */
static size_t variable_len(const char *s)
{
    size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");
    return s[0] >= '0' && s[0] <= '9' ? 0 : n;
}

static bool form_ok(const char *entry)
{
    if (entry[0] == '/')
        return true;
    if (entry[0] == '~')
        return entry[1] == '/' || entry[1] == '\0';
    if (entry[0] != '$')
        return false;
    size_t n = variable_len(entry + 1);
    return n > 0 && n < VARIABLE_MAX && (entry[1 + n] == '/' || entry[1 + n] == '\0');
}

static bool entry_ok(struct doc_map *m, const char *key, const char *entry)
{
    if (!m->err.rc && !form_ok(entry))
        doc_fail(m, key, BAD, "'%s': a path is absolute, or begins with ~ or with $NAME", entry);
    return !m->err.rc;
}

/* As modules look for it: the variable, then the account's. */
static char *home(void)
{
    const char *env = getenv("HOME");
    if (env && env[0])
        return mem_str(env);
    const struct passwd *pw = getpwuid(getuid());
    return pw && pw->pw_dir && pw->pw_dir[0] ? mem_str(pw->pw_dir) : NULL;
}

/* The module takes a relative path from the folder that it runs in, which is ours. */
static char *absolute(const char *path)
{
    char cwd[PATH_MAX];
    return path[0] == '/' || !getcwd(cwd, sizeof cwd) ? mem_str(path) : path_join(cwd, path);
}

/* The path that the entry stands for, malloc'd; NULL when its variable is not set. */
static char *expand_entry(const char *entry)
{
    char *base = NULL;
    const char *rest = entry + 1;
    if (entry[0] == '/')
        return mem_str(entry);
    if (entry[0] == '~') {
        base = home();
    } else {
        size_t n = variable_len(rest);
        char *name = mem_strn(rest, n);
        const char *value = getenv(name);
        rest += n;
        base = value && value[0] ? absolute(value) : NULL;
        free(name);
    }
    char *path = base ? mem_printf("%s%s", base, rest) : NULL;
    free(base);
    return path;
}

/* Adds path to the list. The whole file system is no confinement, so it is refused as a mistake. */
static void path_add(struct doc_map *m, const char *key, const char *path, bool write, struct quirks *q)
{
    size_t i = 0;
    if (path[0] != '/' || path[strspn(path, "/")] == '\0')
        doc_fail(m, key, BAD, "'%s': a folder or file below / is required", path);
    if (strlen(path) >= PROTO_PATH_MAX)
        doc_fail(m, key, BAD, "'%s': a path has at most %d octets", path, PROTO_PATH_MAX - 1);
    while (i < PROTO_PATHS && q->paths[i].path[0] && strcmp(q->paths[i].path, path) != 0)
        i++;
    if (i == PROTO_PATHS)
        doc_fail(m, key, BAD, "'%s': at most %d paths are possible", path, PROTO_PATHS);
    if (m->err.rc)
        return;
    snprintf(q->paths[i].path, sizeof q->paths[i].path, "%s", path);
    q->paths[i].write |= write;
}

static void read_list(struct doc_map *m, const char *key, bool expand, bool write, struct quirks *q)
{
    size_t n = doc_list_or_empty(m, key);
    for (size_t i = 0; i < n && !m->err.rc; i++) {
        const char *entry = doc_list_str(m, key, i);
        if (!entry_ok(m, key, entry) || !expand)
            continue;
        char *path = expand_entry(entry);
        if (path)
            path_add(m, key, path, write, q);
        free(path);
    }
}

/* --- settings of the module's own configuration file */

static struct span trim(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    while (p < end && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
        end--;
    return (struct span){(const uint8_t *)p, (size_t)(end - p)};
}

/* The value of the last line "name = value" ('#' begins a comment), malloc'd; NULL when there is none. */
static char *setting_value(const char *text, const char *name)
{
    char *value = NULL;
    while (*text) {
        const char *line_end = text + strcspn(text, "\n");
        const char *end = text + strcspn(text, "#\n");
        const char *equals = memchr(text, '=', (size_t)(end - text));
        if (equals && span_eq(trim(text, equals), span_str(name))) {
            struct span v = trim(equals + 1, end);
            if (v.n > 0) {
                free(value);
                value = mem_strn((const char *)v.p, v.n);
            }
        }
        text = *line_end ? line_end + 1 : line_end;
    }
    return value;
}

/* The file's value of the setting; NULL when it has none. */
static char *setting_read(struct doc_map *m, const char *file, const char *name)
{
    struct bytes text = BYTES_INIT;
    struct err why = ERR_INIT;
    char *value = NULL;
    if (file_read(file, FILE_SMALL_MAX, &text, &why) == RC_OK)
        value = setting_value(bytes_str(&text), name);
    else if (!m->err.rc)
        m->err = why;
    bytes_free(&text);
    return value;
}

/* The first of the files that is there and readable, malloc'd; NULL when none is. */
static char *first_file(struct doc_map *m, size_t n)
{
    for (size_t i = 0; i < n && !m->err.rc; i++) {
        char *path = expand_entry(doc_list_str(m, "files", i));
        if (path && access(path, R_OK) == 0)
            return path;
        free(path);
    }
    return NULL;
}

static void setting_add(struct doc_map *m, const char *name, size_t nfiles, const char *fallback, bool write,
                        struct quirks *q)
{
    char *value = NULL;
    char *file = first_file(m, nfiles);
    if (file) {
        path_add(m, "files", file, false, q);
        value = setting_read(m, file, name);
    }
    if (!value && fallback)
        value = expand_entry(fallback);
    if (value && !m->err.rc) {
        char *path = absolute(value);
        path_add(m, "setting", path, write, q);
        free(path);
    }
    free(value);
    free(file);
}

static void read_setting(struct doc_map *m, bool expand, struct quirks *q)
{
    const char *name = doc_str(m, "setting");
    size_t n = doc_list(m, "files");
    const char *fallback = doc_str_or(m, "default", NULL);
    static const char *const accesses[] = {"read", "write", NULL};
    bool write = doc_word(m, "access", accesses) == 1;
    if (n == 0)
        doc_fail(m, "files", BAD, "at least one file is required");
    for (size_t i = 0; i < n && !m->err.rc; i++)
        entry_ok(m, "files", doc_list_str(m, "files", i));
    if (fallback)
        entry_ok(m, "default", fallback);
    if (expand && !m->err.rc)
        setting_add(m, name, n, fallback, write, q);
}

void quirks_paths(struct doc_map *m, bool expand, struct quirks *q)
{
    struct doc_map sub;
    if (!doc_has(m, "confine"))
        return;
    doc_sub(m, "confine", &sub);
    read_list(&sub, "read", expand, false, q);
    read_list(&sub, "write", expand, true, q);
    size_t n = doc_list_or_empty(&sub, "from-settings");
    for (size_t i = 0; i < n && !sub.err.rc; i++) {
        struct doc_map one;
        doc_list_map(&sub, "from-settings", i, &one);
        read_setting(&one, expand, q);
        quirks_close_in(&sub, &one);
    }
    quirks_close_in(m, &sub);
    q->confine = true;
}
