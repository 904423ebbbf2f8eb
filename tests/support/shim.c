/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A PKCS#11 module for tests: the real one behind it, with faults that the environment asks for.
 *
 *   KEYMILL_SHIM_REAL       the real module's path
 *   KEYMILL_SHIM_LOG        a file that gets one line for each C_Login
 *   KEYMILL_SHIM_ENDS       a file that gets one line for each C_Finalize
 *   KEYMILL_SHIM_LOGINS     N: the PIN is wrong when the log has more than N lines
 *   KEYMILL_SHIM_LOGIN_ERROR any value: C_Login gives CKR_DEVICE_ERROR
 *   KEYMILL_SHIM_LOGIN_CRASH any value: C_Login ends the process
 *   KEYMILL_SHIM_OPEN_ERROR a file: while it is there, C_OpenSession removes it and gives CKR_DEVICE_ERROR
 *   KEYMILL_SHIM_FLAGS      flags (hex) that C_GetTokenInfo reports besides
 *   KEYMILL_SHIM_CONFIRM    any value: new keys want the PIN at each use
 *   KEYMILL_SHIM_HANG       any value: C_OpenSession never returns
 *   KEYMILL_SHIM_LOGOUT_AT  N: the login is lost before the Nth C_SignInit
 *   KEYMILL_SHIM_CLOSE_AT   N: the session is closed before the Nth C_SignInit
 *   KEYMILL_SHIM_REMOVED_AT N: the Nth C_SignInit gives CKR_DEVICE_REMOVED
 *   KEYMILL_SHIM_SIGN_MS    C_Sign takes that long
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>

static CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST shim;
static atomic_long signs;

static long setting(const char *name, int base)
{
    const char *s = getenv(name);
    return s ? strtol(s, NULL, base) : 0;
}

/* Returns how many lines the file then has; all of its lines are equal. */
static long line_add(const char *setting_name, const char *line)
{
    const char *path = getenv(setting_name);
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    size_t n = strlen(line);
    off_t size = 0;
    if (fd >= 0) {
        if (write(fd, line, n) != (ssize_t)n || (size = lseek(fd, 0, SEEK_END)) < 0)
            abort();
        close(fd);
    }
    return (long)size / (long)n;
}

static CK_RV shim_login(CK_SESSION_HANDLE s, CK_USER_TYPE who, CK_UTF8CHAR *pin, CK_ULONG n)
{
    long logins = line_add("KEYMILL_SHIM_LOG", "C_Login\n");
    if (getenv("KEYMILL_SHIM_LOGIN_CRASH"))
        _exit(1);
    if (getenv("KEYMILL_SHIM_LOGIN_ERROR"))
        return CKR_DEVICE_ERROR;
    if (getenv("KEYMILL_SHIM_LOGINS") && logins > setting("KEYMILL_SHIM_LOGINS", 10))
        return CKR_PIN_INCORRECT;
    return real->C_Login(s, who, pin, n);
}

static CK_RV shim_finalize(void *reserved)
{
    line_add("KEYMILL_SHIM_ENDS", "C_Finalize\n");
    return real->C_Finalize(reserved);
}

static CK_RV shim_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    CK_RV rv = real->C_GetTokenInfo(slot, info);
    if (rv == CKR_OK)
        info->flags |= (CK_FLAGS)setting("KEYMILL_SHIM_FLAGS", 16);
    return rv;
}

static CK_RV shim_open(CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify, CK_SESSION_HANDLE *ret)
{
    while (getenv("KEYMILL_SHIM_HANG"))
        pause();
    const char *error = getenv("KEYMILL_SHIM_OPEN_ERROR");
    if (error && unlink(error) == 0)
        return CKR_DEVICE_ERROR;
    return real->C_OpenSession(slot, flags, app, notify, ret);
}

static CK_RV shim_generate_pair(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_ATTRIBUTE *public, CK_ULONG npublic,
                                CK_ATTRIBUTE *private, CK_ULONG nprivate, CK_OBJECT_HANDLE *ret_public,
                                CK_OBJECT_HANDLE *ret_private)
{
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE all[32];
    if (!getenv("KEYMILL_SHIM_CONFIRM") || nprivate >= sizeof all / sizeof all[0])
        return real->C_GenerateKeyPair(s, m, public, npublic, private, nprivate, ret_public, ret_private);
    memcpy(all, private, nprivate * sizeof *private);
    all[nprivate] = (CK_ATTRIBUTE){CKA_ALWAYS_AUTHENTICATE, &yes, sizeof yes};
    return real->C_GenerateKeyPair(s, m, public, npublic, all, nprivate + 1, ret_public, ret_private);
}

static CK_RV shim_sign_init(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    long n = ++signs;
    if (n == setting("KEYMILL_SHIM_REMOVED_AT", 10))
        return CKR_DEVICE_REMOVED;
    if (n == setting("KEYMILL_SHIM_LOGOUT_AT", 10))
        real->C_Logout(s);
    if (n == setting("KEYMILL_SHIM_CLOSE_AT", 10))
        real->C_CloseSession(s);
    return real->C_SignInit(s, m, key);
}

static CK_RV shim_sign(CK_SESSION_HANDLE s, CK_BYTE *data, CK_ULONG n, CK_BYTE *ret, CK_ULONG *ret_n)
{
    long ms = setting("KEYMILL_SHIM_SIGN_MS", 10);
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
    return real->C_Sign(s, data, n, ret, ret_n);
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **ret)
{
    const char *path = getenv("KEYMILL_SHIM_REAL");
    void *lib = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    CK_RV (*get)(CK_FUNCTION_LIST **) = NULL;
    if (lib)
        *(void **)(void *)&get = dlsym(lib, "C_GetFunctionList");
    if (!get || get(&real) != CKR_OK)
        return CKR_GENERAL_ERROR;
    shim = *real;
    shim.C_GetFunctionList = C_GetFunctionList;
    shim.C_Finalize = shim_finalize;
    shim.C_Login = shim_login;
    shim.C_GetTokenInfo = shim_token_info;
    shim.C_GenerateKeyPair = shim_generate_pair;
    shim.C_OpenSession = shim_open;
    shim.C_SignInit = shim_sign_init;
    shim.C_Sign = shim_sign;
    *ret = &shim;
    return CKR_OK;
}
