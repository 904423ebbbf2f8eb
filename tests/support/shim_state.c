/* SPDX-License-Identifier: Apache-2.0 */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct shim_state *shim_state_open(const char *dir)
{
    char path[512];
    int fd = -1, flags = MAP_SHARED | MAP_ANONYMOUS;
    if (dir) {
        snprintf(path, sizeof path, "%s/state", dir);
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0 || ftruncate(fd, sizeof(struct shim_state)) != 0)
            return NULL;
        flags = MAP_SHARED;
    }
    void *p = mmap(NULL, sizeof(struct shim_state), PROT_READ | PROT_WRITE, flags, fd, 0);
    if (fd >= 0)
        close(fd);
    return p == MAP_FAILED ? NULL : p;
}

bool shim_alive(int pid)
{
    return kill(pid, 0) == 0 || errno != ESRCH;
}

struct shim_process *shim_process_own(struct shim_state *s)
{
    for (size_t i = 0; i < SHIM_PROCESSES; i++) {
        struct shim_process *p = &s->process[i];
        int pid = p->pid;
        if (pid > 0 && shim_alive(pid))
            continue;
        if (!atomic_compare_exchange_strong(&p->pid, &pid, (int)getpid()))
            continue;
        p->sessions = 0;
        p->signatures = 0;
        return p;
    }
    return NULL;
}

#define NAME(name) [SHIM_##name] = #name,
static const char *const functions[] = {SHIM_FUNCTIONS(NAME)[SHIM_ANY] = "*"};
#undef NAME

enum shim_function shim_function_of(const char *name)
{
    unsigned f = 0;
    while (f < SHIM_FUNCTION_COUNT && strcmp(functions[f], name) != 0)
        f++;
    return f;
}

const char *shim_function_name(enum shim_function f)
{
    return functions[f];
}

#define CODE(name)                                                                                           \
    {                                                                                                        \
#name, name                                                                                          \
    }
static const struct {
    const char *name;
    CK_RV code;
} codes[] = {
    CODE(CKR_ACTION_PROHIBITED),
    CODE(CKR_ARGUMENTS_BAD),
    CODE(CKR_ATTRIBUTE_READ_ONLY),
    CODE(CKR_ATTRIBUTE_SENSITIVE),
    CODE(CKR_ATTRIBUTE_TYPE_INVALID),
    CODE(CKR_ATTRIBUTE_VALUE_INVALID),
    CODE(CKR_BUFFER_TOO_SMALL),
    CODE(CKR_CANCEL),
    CODE(CKR_CANT_LOCK),
    CODE(CKR_CRYPTOKI_ALREADY_INITIALIZED),
    CODE(CKR_CRYPTOKI_NOT_INITIALIZED),
    CODE(CKR_CURVE_NOT_SUPPORTED),
    CODE(CKR_DATA_INVALID),
    CODE(CKR_DATA_LEN_RANGE),
    CODE(CKR_DEVICE_ERROR),
    CODE(CKR_DEVICE_MEMORY),
    CODE(CKR_DEVICE_REMOVED),
    CODE(CKR_DOMAIN_PARAMS_INVALID),
    CODE(CKR_ENCRYPTED_DATA_INVALID),
    CODE(CKR_ENCRYPTED_DATA_LEN_RANGE),
    CODE(CKR_EXCEEDED_MAX_ITERATIONS),
    CODE(CKR_FIPS_SELF_TEST_FAILED),
    CODE(CKR_FUNCTION_CANCELED),
    CODE(CKR_FUNCTION_FAILED),
    CODE(CKR_FUNCTION_NOT_PARALLEL),
    CODE(CKR_FUNCTION_NOT_SUPPORTED),
    CODE(CKR_FUNCTION_REJECTED),
    CODE(CKR_GENERAL_ERROR),
    CODE(CKR_HOST_MEMORY),
    CODE(CKR_INFORMATION_SENSITIVE),
    CODE(CKR_KEY_CHANGED),
    CODE(CKR_KEY_FUNCTION_NOT_PERMITTED),
    CODE(CKR_KEY_HANDLE_INVALID),
    CODE(CKR_KEY_INDIGESTIBLE),
    CODE(CKR_KEY_NEEDED),
    CODE(CKR_KEY_NOT_NEEDED),
    CODE(CKR_KEY_NOT_WRAPPABLE),
    CODE(CKR_KEY_SIZE_RANGE),
    CODE(CKR_KEY_TYPE_INCONSISTENT),
    CODE(CKR_KEY_UNEXTRACTABLE),
    CODE(CKR_LIBRARY_LOAD_FAILED),
    CODE(CKR_MECHANISM_INVALID),
    CODE(CKR_MECHANISM_PARAM_INVALID),
    CODE(CKR_MUTEX_BAD),
    CODE(CKR_MUTEX_NOT_LOCKED),
    CODE(CKR_NEED_TO_CREATE_THREADS),
    CODE(CKR_NEW_PIN_MODE),
    CODE(CKR_NEXT_OTP),
    CODE(CKR_NO_EVENT),
    CODE(CKR_OBJECT_HANDLE_INVALID),
    CODE(CKR_OPERATION_ACTIVE),
    CODE(CKR_OPERATION_NOT_INITIALIZED),
    CODE(CKR_PIN_EXPIRED),
    CODE(CKR_PIN_INCORRECT),
    CODE(CKR_PIN_INVALID),
    CODE(CKR_PIN_LEN_RANGE),
    CODE(CKR_PIN_LOCKED),
    CODE(CKR_PIN_TOO_WEAK),
    CODE(CKR_PUBLIC_KEY_INVALID),
    CODE(CKR_RANDOM_NO_RNG),
    CODE(CKR_RANDOM_SEED_NOT_SUPPORTED),
    CODE(CKR_SAVED_STATE_INVALID),
    CODE(CKR_SESSION_CLOSED),
    CODE(CKR_SESSION_COUNT),
    CODE(CKR_SESSION_EXISTS),
    CODE(CKR_SESSION_HANDLE_INVALID),
    CODE(CKR_SESSION_PARALLEL_NOT_SUPPORTED),
    CODE(CKR_SESSION_READ_ONLY),
    CODE(CKR_SESSION_READ_ONLY_EXISTS),
    CODE(CKR_SESSION_READ_WRITE_SO_EXISTS),
    CODE(CKR_SIGNATURE_INVALID),
    CODE(CKR_SIGNATURE_LEN_RANGE),
    CODE(CKR_SLOT_ID_INVALID),
    CODE(CKR_STATE_UNSAVEABLE),
    CODE(CKR_TEMPLATE_INCOMPLETE),
    CODE(CKR_TEMPLATE_INCONSISTENT),
    CODE(CKR_TOKEN_NOT_PRESENT),
    CODE(CKR_TOKEN_NOT_RECOGNIZED),
    CODE(CKR_TOKEN_WRITE_PROTECTED),
    CODE(CKR_UNWRAPPING_KEY_SIZE_RANGE),
    CODE(CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT),
    CODE(CKR_USER_ALREADY_LOGGED_IN),
    CODE(CKR_USER_ANOTHER_ALREADY_LOGGED_IN),
    CODE(CKR_USER_NOT_LOGGED_IN),
    CODE(CKR_USER_PIN_NOT_INITIALIZED),
    CODE(CKR_USER_TOO_MANY_TYPES),
    CODE(CKR_USER_TYPE_INVALID),
    CODE(CKR_WRAPPED_KEY_INVALID),
    CODE(CKR_WRAPPED_KEY_LEN_RANGE),
    CODE(CKR_WRAPPING_KEY_HANDLE_INVALID),
    CODE(CKR_WRAPPING_KEY_SIZE_RANGE),
    CODE(CKR_WRAPPING_KEY_TYPE_INCONSISTENT),
};

bool shim_code_of(const char *name, CK_RV *ret)
{
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (strcmp(codes[i].name, name) == 0) {
            *ret = codes[i].code;
            return true;
        }
    }
    return false;
}

const char *shim_code_name(size_t i, CK_RV *ret)
{
    if (i >= sizeof codes / sizeof codes[0])
        return NULL;
    *ret = codes[i].code;
    return codes[i].name;
}
