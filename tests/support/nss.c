/* SPDX-License-Identifier: Apache-2.0 */

/*
 * NSS softokn as a PKCS#11 module that starts by itself: its C_Initialize wants to be told where its
 * databases are, in a string of its own.
 *
 *   KEYMILL_NSS_DIR   the folder of the tokens: each folder in it is a database, and its name is the label
 *   KEYMILL_NSS_REAL  softokn's path; without it the system is searched
 */
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include <p11-kit/pkcs11.h>

enum { FIRST_SLOT = 4 }; /* softokn keeps the slots below for itself */

/* The token that every NSS has: session objects only, no login. softokn crashes when it is given none. */
static const char crypto_token[] = "0x1=[flags=noCertDB,noKeyDB] ";

/* What softokn takes C_Initialize's argument for: the string stands where pReserved is, and that comes after
 * it. */
struct initialize_args {
    CK_C_INITIALIZE_ARGS standard;
    void *reserved;
};

static CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST shim;

static int not_hidden(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

/* All tokens; free() it. */
static char *parameters_make(const char *dir)
{
    struct dirent **tokens = NULL;
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    int n = scandir(dir, &tokens, not_hidden, alphasort);
    if (!f || n < 0)
        abort();
    fprintf(f, "tokens=<%s", crypto_token);
    for (int i = 0; i < n; i++) {
        const char *label = tokens[i]->d_name;
        fprintf(f, "0x%x=[configdir='sql:%s/%s' tokenDescription='%s'] ", (unsigned)(FIRST_SLOT + i), dir,
                label, label);
        free(tokens[i]);
    }
    fputs(">", f);
    free(tokens);
    if (fclose(f) != 0)
        abort();
    return text;
}

static CK_RV shim_initialize(void *ignored)
{
    struct initialize_args args = {.standard = {.flags = CKF_OS_LOCKING_OK}};
    const char *dir = getenv("KEYMILL_NSS_DIR");
    (void)ignored;
    if (!dir)
        return CKR_ARGUMENTS_BAD;
    char *parameters = parameters_make(dir);
    args.standard.pReserved = parameters;
    CK_RV rv = real->C_Initialize(&args);
    free(parameters);
    return rv;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **ret)
{
    const char *path = getenv("KEYMILL_NSS_REAL");
    void *lib = dlopen(path ? path : "libsoftokn3.so", RTLD_NOW | RTLD_LOCAL);
    CK_RV (*get)(CK_FUNCTION_LIST **) = NULL;
    if (lib)
        *(void **)(void *)&get = dlsym(lib, "C_GetFunctionList");
    if (!get || get(&real) != CKR_OK)
        return CKR_GENERAL_ERROR;
    shim = *real;
    shim.C_GetFunctionList = C_GetFunctionList;
    shim.C_Initialize = shim_initialize;
    *ret = &shim;
    return CKR_OK;
}
