/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/worker/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/lock.h"

enum {
    MODULES_MAX = 32,
    SLOTS_MAX = 256,
    START_WAIT_MS = 8000, /* for other workers of this user; a start takes some 10 ms with SoftHSM */
};

/* Modules that C_Initialize was called for. */
static CK_FUNCTION_LIST *initialised[MODULES_MAX];
static size_t ninitialised;

static bool folder_private(const char *path)
{
    struct stat st;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return false;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 077) == 0;
}

static bool runtime_folder(char *ret, size_t size)
{
    const char *xdg = getenv("XDG_RUNTIME_DIR");
    if (xdg && xdg[0] == '/') {
        int n = snprintf(ret, size, "%s/keymill", xdg);
        if (n > 0 && (size_t)n < size && folder_private(ret))
            return true;
    }
    snprintf(ret, size, "/tmp/keymill-%lu", (unsigned long)geteuid());
    return folder_private(ret);
}

enum proto_status lock_folder(char ret[static LOCK_FOLDER_MAX], struct fault *f)
{
    if (runtime_folder(ret, LOCK_FOLDER_MAX))
        return PROTO_OK;
    return fault_set(f, PROTO_FAILED,
                     "the folder '%s' for the start lock must be a folder of yours that nobody else may use",
                     ret);
}

enum proto_status start_lock(const char *module, struct lock **ret, struct fault *f)
{
    enum { NAME_LEN = 200 }; /* a file's name has 255 octets */
    char folder[LOCK_FOLDER_MAX], name[NAME_LEN + 1], path[sizeof folder + sizeof name + 16];
    enum proto_status st = lock_folder(folder, f);
    if (st != PROTO_OK)
        return st;
    char *real = realpath(module, NULL);
    const char *known = real ? real : module;
    size_t n = strlen(known);
    /* The end of a long path tells modules apart; two that share one only wait for each other. */
    snprintf(name, sizeof name, "%s", n > NAME_LEN ? known + n - NAME_LEN : known);
    free(real);
    for (char *c = name; *c; c++) {
        if (*c == '/')
            *c = '_';
    }
    snprintf(path, sizeof path, "%s/start%s.lock", folder, name);
    struct err e = ERR_INIT;
    if (lock_take(path, START_WAIT_MS, ret, &e) != RC_OK)
        return fault_set(f, e.rc == RC_CONFLICT ? PROTO_BUSY : PROTO_FAILED, "%s", e.text);
    return PROTO_OK;
}

/* Copies a blank-padded PKCS#11 text of n octets; ret has room for n + 1. */
static void text_trim(const unsigned char *p, size_t n, char *ret)
{
    size_t len = p11_kit_space_strlen(p, n);
    memcpy(ret, p, len);
    ret[len] = '\0';
}

void token_describe(const struct slot *s, const CK_TOKEN_INFO *info, struct proto_token *ret)
{
    memset(ret, 0, sizeof *ret);
    snprintf(ret->module, sizeof ret->module, "%s", s->module);
    text_trim(info->label, sizeof info->label, ret->label);
    text_trim(info->manufacturerID, sizeof info->manufacturerID, ret->manufacturer);
    text_trim(info->model, sizeof info->model, ret->model);
    text_trim(info->serialNumber, sizeof info->serialNumber, ret->serial);
    ret->initialised = (info->flags & CKF_TOKEN_INITIALIZED) != 0;
    ret->login_required = (info->flags & CKF_LOGIN_REQUIRED) != 0;
    ret->protected_path = (info->flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0;
    ret->pin_count_low = (info->flags & CKF_USER_PIN_COUNT_LOW) != 0;
    ret->pin_final_try = (info->flags & CKF_USER_PIN_FINAL_TRY) != 0;
    ret->pin_locked = (info->flags & CKF_USER_PIN_LOCKED) != 0;
    if (info->ulMaxSessionCount != CK_UNAVAILABLE_INFORMATION)
        ret->max_sessions = info->ulMaxSessionCount;
}

static bool matches(const char *want, const char *have)
{
    return want[0] == '\0' || strcmp(want, have) == 0;
}

bool token_matches(const struct proto_hello *want, const struct proto_token *t)
{
    return matches(want->token, t->label) && matches(want->manufacturer, t->manufacturer) &&
           matches(want->model, t->model) && matches(want->serial, t->serial);
}

static enum proto_status visit_slots(struct slot *s, slot_visitor *visit, void *arg, struct fault *f)
{
    CK_SLOT_ID ids[SLOTS_MAX];
    CK_ULONG n = SLOTS_MAX;
    CK_RV rv = s->f->C_GetSlotList(CK_TRUE, ids, &n);
    if (rv != CKR_OK) {
        fault_ckr(f, rv, "C_GetSlotList");
        return f->status = PROTO_NO_MODULE;
    }
    for (CK_ULONG i = 0; i < n; i++) {
        CK_TOKEN_INFO info;
        /* A reader whose card was just pulled must not hide the others. */
        if (s->f->C_GetTokenInfo(ids[i], &info) != CKR_OK)
            continue;
        s->id = ids[i];
        enum proto_status st = visit(arg, s, &info, f);
        if (st != PROTO_OK)
            return st;
    }
    return PROTO_OK;
}

static enum proto_status visit_module(CK_FUNCTION_LIST *module, slot_visitor *visit, void *arg,
                                      struct fault *f)
{
    struct slot s = {.f = module};
    struct lock *lock = NULL;
    char *path = p11_kit_module_get_filename(module);
    snprintf(s.module, sizeof s.module, "%s", path ? path : "?");
    free(path);
    if (ninitialised == MODULES_MAX)
        return fault_set(f, PROTO_NO_MODULE, "more than %d modules are configured: name one", MODULES_MAX);
    enum proto_status st = start_lock(s.module, &lock, f);
    if (st != PROTO_OK)
        return st;
    CK_RV rv = p11_kit_module_initialize(module);
    if (rv != CKR_OK) {
        fault_ckr(f, rv, "C_Initialize");
        st = f->status = PROTO_NO_MODULE;
    } else {
        initialised[ninitialised++] = module;
        st = visit_slots(&s, visit, arg, f);
    }
    lock_drop(lock);
    return st;
}

static bool is_trust_module(CK_FUNCTION_LIST *m)
{
    char *policy = p11_kit_config_option(m, "trust-policy");
    bool is = policy && strcmp(policy, "yes") == 0;
    free(policy);
    return is;
}

/* A configured module that does not start is somebody else's trouble, unless none is left. */
static enum proto_status walk_configured(slot_visitor *visit, void *arg, struct fault *f)
{
    CK_FUNCTION_LIST **all = p11_kit_modules_load(NULL, 0);
    size_t started = 0;
    for (size_t i = 0; all && all[i]; i++) {
        if (is_trust_module(all[i]))
            continue;
        enum proto_status st = visit_module(all[i], visit, arg, f);
        if (st == PROTO_OK)
            started++;
        else if (st != PROTO_NO_MODULE)
            return st;
    }
    if (started == 0)
        return fault_set(f, PROTO_NO_MODULE,
                         "no module is named, and none that p11-kit is configured with starts");
    return PROTO_OK;
}

enum proto_status modules_walk(const char *module, slot_visitor *visit, void *arg, struct fault *f)
{
    const char *name = module[0] ? module : getenv("KEYMILL_PKCS11_MODULE");
    if (!name || !name[0])
        return walk_configured(visit, arg, f);
    CK_FUNCTION_LIST *m = p11_kit_module_load(name, 0);
    if (!m) {
        const char *why = p11_kit_message();
        return fault_set(f, PROTO_NO_MODULE, "%s", why ? why : "it cannot be loaded");
    }
    return visit_module(m, visit, arg, f);
}

void modules_end(void)
{
    while (ninitialised > 0)
        p11_kit_module_finalize(initialised[--ninitialised]);
}
