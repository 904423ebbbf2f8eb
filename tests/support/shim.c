/* SPDX-License-Identifier: Apache-2.0 */

/* The module itself: each function is judged by the rules, and if it is to succeed, done as the quirks say.
 */
#include "shim.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST shim;
static struct shim_state *state;
static struct shim_process *process;
static int login_log = -1;
static atomic_ulong last_session; /* for faults in functions that have none */

static struct shim_verdict judge(enum shim_function f, CK_SESSION_HANDLE session)
{
    return shim_judge(real, f, session ? session : last_session);
}

/* A function that is only judged. */
#define CALL(name, session, call)                                                                            \
    do {                                                                                                     \
        struct shim_verdict v = judge(SHIM_##name, session);                                                 \
        if (v.action == SHIM_CODE && !v.after)                                                               \
            return v.code;                                                                                   \
        CK_RV rv = call;                                                                                     \
        return v.action == SHIM_CODE ? v.code : rv;                                                          \
    } while (0)

static CK_RV shim_C_Initialize(void *args)
{
    CALL(C_Initialize, 0, real->C_Initialize(args));
}

static CK_RV shim_C_GetInfo(CK_INFO *info)
{
    CALL(C_GetInfo, 0, quirk_get_info(info));
}

static CK_RV shim_C_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
    CALL(C_GetSlotInfo, 0, real->C_GetSlotInfo(slot, info));
}

static CK_RV shim_C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    CALL(C_GetTokenInfo, 0, quirk_token_info(slot, info));
}

static CK_RV shim_C_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *n)
{
    CALL(C_GetMechanismList, 0, quirk_mechanisms(slot, list, n));
}

static CK_RV shim_C_GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
    CALL(C_GetMechanismInfo, 0, quirk_mechanism(slot, type, info));
}

static CK_RV shim_C_InitToken(CK_SLOT_ID slot, CK_UTF8CHAR *pin, CK_ULONG n, CK_UTF8CHAR *label)
{
    CALL(C_InitToken, 0, quirk_init_token(slot, pin, n, label));
}

static CK_RV shim_C_InitPIN(CK_SESSION_HANDLE s, CK_UTF8CHAR *pin, CK_ULONG n)
{
    CALL(C_InitPIN, s, real->C_InitPIN(s, pin, n));
}

static CK_RV shim_C_GetSessionInfo(CK_SESSION_HANDLE s, CK_SESSION_INFO *info)
{
    CALL(C_GetSessionInfo, s, real->C_GetSessionInfo(s, info));
}

static CK_RV shim_C_Logout(CK_SESSION_HANDLE s)
{
    CALL(C_Logout, s, real->C_Logout(s));
}

static CK_RV shim_C_CreateObject(CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *ret)
{
    CALL(C_CreateObject, s, quirk_create(s, t, n, ret));
}

static CK_RV shim_C_CopyObject(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE *t, CK_ULONG n,
                               CK_OBJECT_HANDLE *ret)
{
    CALL(C_CopyObject, s, quirk_copy(s, o, t, n, ret));
}

static CK_RV shim_C_DestroyObject(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o)
{
    CALL(C_DestroyObject, s, quirk_destroy(s, o));
}

static CK_RV shim_C_GetAttributeValue(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE *t, CK_ULONG n)
{
    CALL(C_GetAttributeValue, s, quirk_attributes(s, o, t, n));
}

static CK_RV shim_C_SetAttributeValue(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE *t, CK_ULONG n)
{
    CALL(C_SetAttributeValue, s, real->C_SetAttributeValue(s, o, t, n));
}

static CK_RV shim_C_FindObjectsInit(CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG n)
{
    CALL(C_FindObjectsInit, s, real->C_FindObjectsInit(s, t, n));
}

static CK_RV shim_C_FindObjectsFinal(CK_SESSION_HANDLE s)
{
    CALL(C_FindObjectsFinal, s, real->C_FindObjectsFinal(s));
}

static CK_RV shim_C_SignInit(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    CALL(C_SignInit, s, quirk_sign_init(s, m, key));
}

static CK_RV shim_C_DecryptInit(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    CALL(C_DecryptInit, s, quirk_decrypt_init(s, m, key));
}

static CK_RV shim_C_Decrypt(CK_SESSION_HANDLE s, CK_BYTE *data, CK_ULONG n, CK_BYTE *ret, CK_ULONG *ret_n)
{
    CALL(C_Decrypt, s, real->C_Decrypt(s, data, n, ret, ret_n));
}

static CK_RV shim_C_DecryptUpdate(CK_SESSION_HANDLE s, CK_BYTE *data, CK_ULONG n, CK_BYTE *ret,
                                  CK_ULONG *ret_n)
{
    CALL(C_DecryptUpdate, s, real->C_DecryptUpdate(s, data, n, ret, ret_n));
}

static CK_RV shim_C_DecryptFinal(CK_SESSION_HANDLE s, CK_BYTE *ret, CK_ULONG *ret_n)
{
    CALL(C_DecryptFinal, s, real->C_DecryptFinal(s, ret, ret_n));
}

static CK_RV shim_C_GenerateKey(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_ATTRIBUTE *t, CK_ULONG n,
                                CK_OBJECT_HANDLE *ret)
{
    CALL(C_GenerateKey, s, real->C_GenerateKey(s, m, t, n, ret));
}

static CK_RV shim_C_GenerateKeyPair(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_ATTRIBUTE *public,
                                    CK_ULONG npublic, CK_ATTRIBUTE *private, CK_ULONG nprivate,
                                    CK_OBJECT_HANDLE *ret_public, CK_OBJECT_HANDLE *ret_private)
{
    CALL(C_GenerateKeyPair, s,
         quirk_generate_pair(s, m, public, npublic, private, nprivate, ret_public, ret_private));
}

static CK_RV shim_C_WrapKey(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE wrapper,
                            CK_OBJECT_HANDLE key, CK_BYTE *ret, CK_ULONG *ret_n)
{
    CALL(C_WrapKey, s, real->C_WrapKey(s, m, wrapper, key, ret, ret_n));
}

static CK_RV shim_C_UnwrapKey(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE wrapper, CK_BYTE *in,
                              CK_ULONG in_n, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *ret)
{
    CALL(C_UnwrapKey, s, real->C_UnwrapKey(s, m, wrapper, in, in_n, t, n, ret));
}

static CK_RV shim_C_DeriveKey(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE key, CK_ATTRIBUTE *t,
                              CK_ULONG n, CK_OBJECT_HANDLE *ret)
{
    CALL(C_DeriveKey, s, quirk_derive(s, m, key, t, n, ret));
}

static CK_RV shim_C_GenerateRandom(CK_SESSION_HANDLE s, CK_BYTE *ret, CK_ULONG n)
{
    CALL(C_GenerateRandom, s, real->C_GenerateRandom(s, ret, n));
}

/* --- those that are more than judged */

static CK_RV shim_C_Finalize(void *reserved)
{
    struct shim_verdict v = judge(SHIM_C_Finalize, 0);
    if (v.action == SHIM_CODE && !v.after)
        return v.code;
    CK_RV rv = real->C_Finalize(reserved);
    process->sessions = 0;
    return v.action == SHIM_CODE ? v.code : rv;
}

static CK_RV shim_C_GetSlotList(CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *n)
{
    struct shim_verdict v = judge(SHIM_C_GetSlotList, 0);
    if (v.action == SHIM_CODE)
        return v.code;
    if (v.action == SHIM_EMPTY) {
        *n = 0;
        return CKR_OK;
    }
    return real->C_GetSlotList(present, slots, n);
}

static CK_RV shim_C_FindObjects(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE *ret, CK_ULONG max, CK_ULONG *n)
{
    struct shim_verdict v = judge(SHIM_C_FindObjects, s);
    if (v.action == SHIM_CODE)
        return v.code;
    if (v.action == SHIM_EMPTY) {
        *n = 0;
        return CKR_OK;
    }
    return real->C_FindObjects(s, ret, max, n);
}

static CK_RV shim_C_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify,
                                CK_SESSION_HANDLE *ret)
{
    struct shim_verdict v = judge(SHIM_C_OpenSession, 0);
    if (v.action == SHIM_CODE)
        return v.code;
    CK_RV rv = quirk_open(slot, flags, app, notify, ret);
    if (rv == CKR_OK) {
        last_session = *ret;
        process->sessions++;
    }
    return rv;
}

static CK_RV shim_C_CloseSession(CK_SESSION_HANDLE s)
{
    struct shim_verdict v = judge(SHIM_C_CloseSession, s);
    if (v.action == SHIM_CODE && !v.after)
        return v.code;
    CK_RV rv = real->C_CloseSession(s);
    if (rv == CKR_OK)
        process->sessions--;
    return v.action == SHIM_CODE ? v.code : rv;
}

static CK_RV shim_C_CloseAllSessions(CK_SLOT_ID slot)
{
    struct shim_verdict v = judge(SHIM_C_CloseAllSessions, 0);
    if (v.action == SHIM_CODE && !v.after)
        return v.code;
    CK_RV rv = real->C_CloseAllSessions(slot);
    if (rv == CKR_OK)
        process->sessions = 0;
    return v.action == SHIM_CODE ? v.code : rv;
}

static CK_RV shim_C_Login(CK_SESSION_HANDLE s, CK_USER_TYPE who, CK_UTF8CHAR *pin, CK_ULONG n)
{
    static CK_UTF8CHAR wrong[] = "not it";
    static const char line[] = "C_Login\n";
    if (login_log >= 0 && write(login_log, line, sizeof line - 1) != (ssize_t)sizeof line - 1)
        abort();
    struct shim_verdict v = judge(SHIM_C_Login, s);
    if (v.action == SHIM_CODE && !v.after)
        return v.code;
    if (v.action == SHIM_WRONG_PIN)
        return real->C_Login(s, who, wrong, sizeof wrong - 1);
    CK_RV rv = quirk_login(s, who, pin, n);
    return v.action == SHIM_CODE ? v.code : rv;
}

static CK_RV shim_C_Sign(CK_SESSION_HANDLE s, CK_BYTE *data, CK_ULONG n, CK_BYTE *ret, CK_ULONG *ret_n)
{
    CK_BYTE other[4096], unused[4096];
    CK_ULONG unused_n = sizeof unused;
    struct shim_verdict v = judge(SHIM_C_Sign, s);
    if (v.action == SHIM_CODE) {
        if (v.after)
            quirk_sign(s, data, n, unused, &unused_n);
        if (v.code == CKR_OK)
            *ret_n = unused_n;
        return v.code;
    }
    if (v.action == SHIM_OTHER && n > 0 && n <= sizeof other) {
        memcpy(other, data, n);
        other[n - 1] ^= 1;
        data = other;
    }
    CK_RV rv = quirk_sign(s, data, n, ret, ret_n);
    if (rv == CKR_OK && ret) {
        process->signatures++;
        if (v.action == SHIM_LIE)
            ret[*ret_n - 1] ^= 1;
    }
    return rv;
}

#define PUT(name) shim.name = shim_##name;
CK_RV C_GetFunctionList(CK_FUNCTION_LIST **ret)
{
    const char *path = getenv("KEYMILL_SHIM_REAL"), *log = getenv("KEYMILL_SHIM_LOG");
    void *lib = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    CK_RV (*get)(CK_FUNCTION_LIST **) = NULL;
    if (lib)
        *(void **)(void *)&get = dlsym(lib, "C_GetFunctionList");
    if (!get || get(&real) != CKR_OK)
        return CKR_GENERAL_ERROR;
    if (!state) {
        state = shim_state_open(getenv("KEYMILL_SHIM_DIR"));
        process = state ? shim_process_own(state) : NULL;
        if (!process)
            return CKR_GENERAL_ERROR;
        shim_rules_load(state);
        shim_quirks_load(real, state);
        if (log)
            login_log = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
    shim = *real;
    shim.C_GetFunctionList = C_GetFunctionList;
    SHIM_FUNCTIONS(PUT)
    *ret = &shim;
    return CKR_OK;
}
