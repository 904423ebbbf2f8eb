/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/quirks.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/text.h"
#include "hsm/quirks_local.h"

#define ENV_FOLDER    "KEYMILL_QUIRKS"
#define SYSTEM_FOLDER "/etc/keymill/quirks"
#define SUFFIX        ".yaml"

const char *capability_name(enum capability c)
{
    static const char *const names[CAPABILITIES] = {
        [CAN_DERIVE] = "ecdh",
        [CAN_PSS] = "rsa-pss",
        [CAN_PKCS1] = "rsa-pkcs",
        [CAN_OAEP_SHA1] = "rsa-oaep-sha1",
        [CAN_OAEP_SHA256] = "rsa-oaep-sha256",
        [CAN_EDDSA] = "eddsa",
        [CAN_SESSION_KEYS] = "session-keys",
        [CAN_INIT] = "init-token",
        [CAN_DESTROY] = "destroy",
    };
    return names[c];
}

const char *flag_name(enum proto_flag f)
{
    static const char *const names[PROTO_FLAGS] = {
        [PROTO_F_TOKEN] = "token",
        [PROTO_F_PRIVATE] = "private",
        [PROTO_F_SENSITIVE] = "sensitive",
        [PROTO_F_ALWAYS_SENSITIVE] = "always-sensitive",
        [PROTO_F_EXTRACTABLE] = "extractable",
        [PROTO_F_NEVER_EXTRACTABLE] = "never-extractable",
        [PROTO_F_LOCAL] = "local",
        [PROTO_F_SIGN] = "sign",
        [PROTO_F_SIGN_RECOVER] = "sign-recover",
        [PROTO_F_DECRYPT] = "decrypt",
        [PROTO_F_UNWRAP] = "unwrap",
        [PROTO_F_DERIVE] = "derive",
        [PROTO_F_ALWAYS_AUTHENTICATE] = "always-authenticate",
        [PROTO_F_MODIFIABLE] = "modifiable",
    };
    return names[f];
}

void quirks_free(struct quirks *q)
{
    if (!q)
        return;
    free(q->name);
    free(q->path);
    free(q->note);
    for (int f = 0; f < PROTO_FLAGS; f++)
        free(q->unreliable_why[f]);
    memset(q, 0, sizeof *q);
}

bool quirks_pattern_fits(const char *pattern, const char *text)
{
    const char *star = NULL, *resume = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            resume = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

/* Files that an editor or a package manager leaves beside others are not meant; a file with the wrong ending
 * is. */
static int is_meant(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);
    return entry->d_name[0] != '.' && ((n >= 5 && strcmp(entry->d_name + n - 5, SUFFIX) == 0) ||
                                       (n >= 4 && strcmp(entry->d_name + n - 4, ".yml") == 0));
}

static int by_octets(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* "softhsm2.yaml" -> "softhsm2" */
static enum rc name_of(const char *path, const char *file, char **ret, struct err *e)
{
    size_t n = strlen(file);
    if (n > strlen(SUFFIX) && strcmp(file + n - strlen(SUFFIX), SUFFIX) == 0) {
        *ret = mem_strn(file, n - strlen(SUFFIX));
        if (name_valid(*ret))
            return RC_OK;
        free(*ret);
        *ret = NULL;
    }
    return err_set(e, RC_INPUT, "quirks.name",
                   "'%s': a quirk file is called NAME.yaml; NAME is 1 to 64 of letters, digits, _ and -, a "
                   "letter or digit first",
                   path);
}

/* Reads the file and keeps what it says when it fits and no file before it did. */
static enum rc read_one(const char *folder, const char *file, const struct proto_token *t, struct quirks *ret,
                        struct err *e)
{
    struct quirks q = {.name = NULL};
    bool fits = false;
    char *path = path_join(folder, file);
    char *name = NULL;
    enum rc rc = name_of(path, file, &name, e);
    if (rc == RC_OK)
        rc = quirks_read(path, t, &q, &fits, e);
    if (rc == RC_OK && fits && !ret->name) {
        *ret = q;
        ret->name = name;
        ret->path = path;
        return RC_OK;
    }
    if (fits)
        quirks_free(&q);
    free(name);
    free(path);
    return rc;
}

/* Every file of the folder is read, also those behind the one that fits: a broken one is found on the day
 * that it breaks. */
static enum rc search(const char *folder, bool may_be_absent, const struct proto_token *t, struct quirks *ret,
                      struct err *e)
{
    struct dirent **list = NULL;
    int n = scandir(folder, &list, is_meant, by_octets);
    if (n < 0 && may_be_absent && errno == ENOENT)
        return RC_OK;
    if (n < 0)
        return err_sys(e, "quirks.folder", "cannot read the folder of quirk files '%s'", folder);
    enum rc rc = RC_OK;
    for (int i = 0; i < n; i++) {
        if (rc == RC_OK)
            rc = read_one(folder, list[i]->d_name, t, ret, e);
        free(list[i]);
    }
    free(list);
    return rc;
}

enum rc quirks_find(const struct proto_token *t, struct quirks *ret, struct err *e)
{
    struct quirks found = {.name = NULL};
    char *installed = NULL;
    const char *named = getenv(ENV_FOLDER);
    enum rc rc = path_data("quirks", &installed, e);
    if (rc == RC_OK && named && named[0])
        rc = search(named, false, t, &found, e);
    if (rc == RC_OK && !found.name)
        rc = search(SYSTEM_FOLDER, true, t, &found, e);
    if (rc == RC_OK && !found.name)
        rc = search(installed, false, t, &found, e);
    free(installed);
    if (rc == RC_OK)
        *ret = found;
    else
        quirks_free(&found);
    return rc;
}
