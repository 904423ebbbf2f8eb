/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "factory/office/internal.h"

void id_list_free(struct id_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->ids[i]);
    free(l->ids);
    *l = (struct id_list){0};
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum rc add_line(const char *path, int64_t number, const char *line, size_t n, struct id_list *l,
                        size_t *cap, struct err *e)
{
    if (n > 0 && line[n - 1] == '\r')
        n--;
    if (n == 0)
        return RC_OK;
    char *id = mem_strn(line, n);
    if (!device_id_valid(id)) {
        free(id);
        return err_set(e, RC_INPUT, "office.ids",
                       "'%s', line %" PRId64 ": not a device id: one id a line is required", path, number);
    }
    if (l->n == *cap) {
        *cap = *cap ? 2 * *cap : 1024;
        l->ids = mem_grow(l->ids, *cap, sizeof(char *));
    }
    l->ids[l->n++] = id;
    return RC_OK;
}

static enum rc check_unique(const char *path, const struct id_list *l, struct err *e)
{
    if (l->n == 0)
        return err_set(e, RC_INPUT, "office.ids", "'%s' holds no device id", path);
    for (size_t i = 1; i < l->n; i++)
        if (strcmp(l->ids[i - 1], l->ids[i]) == 0)
            return err_set(e, RC_INPUT, "office.ids", "'%s': the id '%s' stands twice", path, l->ids[i]);
    return RC_OK;
}

enum rc id_list_read(const char *path, struct id_list *ret, struct err *e)
{
    struct bytes text = BYTES_INIT;
    struct id_list l = {0};
    size_t cap = 0;
    int64_t number = 1;
    enum rc rc = file_read(path, FILE_DOC_MAX, &text, e);
    const char *at = bytes_str(&text), *end = at + text.n;
    for (; rc == RC_OK && at < end; number++) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        const char *stop = lf ? lf : end;
        rc = add_line(path, number, at, (size_t)(stop - at), &l, &cap, e);
        at = stop + 1;
    }
    if (rc == RC_OK && l.n > 0)
        qsort(l.ids, l.n, sizeof(char *), compare);
    if (rc == RC_OK)
        rc = check_unique(path, &l, e);
    bytes_free(&text);
    if (rc == RC_OK)
        *ret = l;
    else
        id_list_free(&l);
    return rc;
}
