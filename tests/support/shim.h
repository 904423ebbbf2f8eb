/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPPORT_SHIM_H
#define SUPPORT_SHIM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>

/*
 * A PKCS#11 module for tests: the real one behind it, with the faults and the vendors' ways that the
 * environment asks for. Everything is read when the module is loaded: later its process may be confined.
 *
 *   KEYMILL_SHIM_REAL    the real module's path
 *   KEYMILL_SHIM_FAULT   what goes wrong: shim_rules.c
 *   KEYMILL_SHIM_QUIRK   how the token differs: shim_quirks.c
 *   KEYMILL_SHIM_DIR     a folder; all processes that name it count together, in its file "state" (shimctl
 *                        reads that), and rules look there for their files. Without it each counts alone
 *   KEYMILL_SHIM_LOG     a file that gets one line for each C_Login
 */

/* What faults can be asked for: all that a worker calls. */
#define SHIM_FUNCTIONS(X)                                                                                    \
    X(C_Initialize)                                                                                          \
    X(C_Finalize)                                                                                            \
    X(C_GetInfo)                                                                                             \
    X(C_GetSlotList)                                                                                         \
    X(C_GetSlotInfo)                                                                                         \
    X(C_GetTokenInfo)                                                                                        \
    X(C_GetMechanismList)                                                                                    \
    X(C_GetMechanismInfo)                                                                                    \
    X(C_InitToken)                                                                                           \
    X(C_InitPIN)                                                                                             \
    X(C_OpenSession)                                                                                         \
    X(C_CloseSession)                                                                                        \
    X(C_CloseAllSessions)                                                                                    \
    X(C_GetSessionInfo)                                                                                      \
    X(C_Login)                                                                                               \
    X(C_Logout)                                                                                              \
    X(C_CreateObject)                                                                                        \
    X(C_CopyObject)                                                                                          \
    X(C_DestroyObject)                                                                                       \
    X(C_GetAttributeValue)                                                                                   \
    X(C_SetAttributeValue)                                                                                   \
    X(C_FindObjectsInit)                                                                                     \
    X(C_FindObjects)                                                                                         \
    X(C_FindObjectsFinal)                                                                                    \
    X(C_SignInit)                                                                                            \
    X(C_Sign)                                                                                                \
    X(C_DecryptInit)                                                                                         \
    X(C_Decrypt)                                                                                             \
    X(C_DecryptUpdate)                                                                                       \
    X(C_DecryptFinal)                                                                                        \
    X(C_GenerateKey)                                                                                         \
    X(C_GenerateKeyPair)                                                                                     \
    X(C_WrapKey)                                                                                             \
    X(C_UnwrapKey)                                                                                           \
    X(C_DeriveKey)                                                                                           \
    X(C_GenerateRandom)

#define SHIM_ENUM(name) SHIM_##name,
enum shim_function { SHIM_FUNCTIONS(SHIM_ENUM) SHIM_FUNCTION_COUNT, SHIM_ANY = SHIM_FUNCTION_COUNT };
#undef SHIM_ENUM

enum shim_action {
    SHIM_PASS,      /* "pass": no fault, and no later rule is asked */
    SHIM_CODE,      /* "CKR_DEVICE_ERROR"; "CKR_OK": not done, and said to be */
    SHIM_DELAY,     /* "ms=20": later rules are asked too */
    SHIM_HANG,      /* "hang" */
    SHIM_CRASH,     /* "crash": SIGSEGV */
    SHIM_KILL,      /* "kill": SIGKILL */
    SHIM_STOP,      /* "stop": SIGSTOP; when continued, the call goes on */
    SHIM_EXIT,      /* "exit" */
    SHIM_LIE,       /* "lie": one bit of the signature is wrong */
    SHIM_OTHER,     /* "other": a good signature, of something else */
    SHIM_EMPTY,     /* "empty": no slots, no objects */
    SHIM_WRONG_PIN, /* "wrong-pin": C_Login gets another PIN, so that the token counts it */
    SHIM_LOGOUT,    /* "logout": the login is lost, then the call is made */
    SHIM_CLOSE,     /* "close": the call's session is closed, then the call is made */
};

enum { SHIM_PROCESSES = 256, SHIM_ARMED = 2 };

/* Shared by the processes of one KEYMILL_SHIM_DIR; all zero in the beginning. */
struct shim_state {
    atomic_ulong calls[SHIM_FUNCTION_COUNT + 1]; /* the last one: of whatever function */
    atomic_ulong fired;                          /* faults that were given */
    /* Rules that a test changes while workers live. function is an enum shim_function plus one; 0: none. */
    struct {
        atomic_uint function, action;
        atomic_ulong from, to; /* numbers of the call, as in calls */
        atomic_ulong code;     /* SHIM_CODE: CKR_; SHIM_DELAY: ms */
    } armed[SHIM_ARMED];
    struct shim_process {
        atomic_int pid; /* 0: free */
        atomic_long sessions;
        atomic_ulong signatures;
    } process[SHIM_PROCESSES];
};

/* --- shim_state.c */

/* The state of folder dir, or one of this process's own; NULL when that fails. */
struct shim_state *shim_state_open(const char *dir);
/* This process's row; a dead one's is taken over. */
struct shim_process *shim_process_own(struct shim_state *s);

/* Also when it may not be asked. */
bool shim_alive(int pid);

/* SHIM_FUNCTION_COUNT when there is none of this name; "*" is SHIM_ANY. */
enum shim_function shim_function_of(const char *name);
const char *shim_function_name(enum shim_function f);
bool shim_code_of(const char *name, CK_RV *ret);
/* All codes there are, by i from 0; NULL behind the last one. */
const char *shim_code_name(size_t i, CK_RV *ret);

/* --- shim_rules.c */

struct shim_verdict {
    enum shim_action action;
    CK_RV code;
    bool after; /* the call is made before it is said to have failed */
};

/* Reads KEYMILL_SHIM_FAULT; an error in it ends the process, loudly. */
void shim_rules_load(struct shim_state *s);
/* One call of f in this session: counted, delayed, ended, or judged: SHIM_PASS, SHIM_CODE, SHIM_LIE,
 * SHIM_OTHER, SHIM_EMPTY, SHIM_WRONG_PIN. */
struct shim_verdict shim_judge(CK_FUNCTION_LIST *real, enum shim_function f, CK_SESSION_HANDLE session);

/* --- shim_quirks.c, shim_objects.c: what a vendor's module does otherwise. Each stands for the real
 * function.
 */

enum { SHIM_ATTRIBUTES_MAX = 8, SHIM_PIN_MAX = 255 };

extern struct shim_quirks {
    CK_FUNCTION_LIST *real;
    bool der_signature, raw_point, wrapped_point, params_name, no_session_copies, no_session_keys,
        no_certificates, no_init, no_destroy, no_ecdh, no_pss, no_oaep, no_eddsa, confirm, protected_path;
    unsigned long session_limit, session_limit_unsaid; /* 0: none */
    CK_FLAGS flags_on, flags_off;
    char user[64]; /* with its colon */
    char keypad[SHIM_PIN_MAX + 1];
    struct shim_attributes {
        CK_ATTRIBUTE_TYPE type[SHIM_ATTRIBUTES_MAX];
        size_t n;
    } refused, hidden, falsified;
} shim_quirks;
bool shim_mechanism_missing(CK_MECHANISM_TYPE type);

void shim_quirks_load(CK_FUNCTION_LIST *module, struct shim_state *s);
CK_RV quirk_get_info(CK_INFO *info);
CK_RV quirk_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info);
CK_RV quirk_mechanisms(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *n);
CK_RV quirk_mechanism(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info);
CK_RV quirk_init_token(CK_SLOT_ID slot, CK_UTF8CHAR *pin, CK_ULONG n, CK_UTF8CHAR *label);
CK_RV quirk_open(CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify, CK_SESSION_HANDLE *ret);
CK_RV quirk_login(CK_SESSION_HANDLE s, CK_USER_TYPE who, CK_UTF8CHAR *pin, CK_ULONG n);
CK_RV quirk_create(CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *ret);
CK_RV quirk_copy(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *ret);
CK_RV quirk_destroy(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o);
CK_RV quirk_attributes(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE *t, CK_ULONG n);
CK_RV quirk_sign_init(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE key);
CK_RV quirk_sign(CK_SESSION_HANDLE s, CK_BYTE *data, CK_ULONG n, CK_BYTE *ret, CK_ULONG *ret_n);
CK_RV quirk_decrypt_init(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE key);
CK_RV quirk_generate_pair(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_ATTRIBUTE *public, CK_ULONG npublic,
                          CK_ATTRIBUTE *private, CK_ULONG nprivate, CK_OBJECT_HANDLE *ret_public,
                          CK_OBJECT_HANDLE *ret_private);
CK_RV quirk_derive(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE key, CK_ATTRIBUTE *t, CK_ULONG n,
                   CK_OBJECT_HANDLE *ret);

#endif
