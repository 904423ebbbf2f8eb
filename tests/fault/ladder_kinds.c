/* SPDX-License-Identifier: Apache-2.0 */
#include "fault/ladder_kinds.h"

#include <string.h>

/* The ladder as it is documented: what is not in these is refused. */
static const char *const cured[] = {
    "CKR_HOST_MEMORY",
    "CKR_SLOT_ID_INVALID",
    "CKR_GENERAL_ERROR",
    "CKR_FUNCTION_FAILED",
    "CKR_FUNCTION_CANCELED",
    "CKR_DEVICE_ERROR",
    "CKR_DEVICE_MEMORY",
    "CKR_DEVICE_REMOVED",
    "CKR_KEY_HANDLE_INVALID",
    "CKR_OBJECT_HANDLE_INVALID",
    "CKR_OPERATION_ACTIVE",
    "CKR_OPERATION_NOT_INITIALIZED",
    "CKR_SESSION_CLOSED",
    "CKR_SESSION_COUNT",
    "CKR_SESSION_HANDLE_INVALID",
    "CKR_TOKEN_NOT_PRESENT",
    "CKR_TOKEN_NOT_RECOGNIZED",
    "CKR_USER_NOT_LOGGED_IN",
    "CKR_CRYPTOKI_NOT_INITIALIZED",
    /* of the PIN, where nobody gave one */
    "CKR_PIN_INCORRECT",
    "CKR_PIN_INVALID",
    "CKR_PIN_LEN_RANGE",
    "CKR_PIN_TOO_WEAK",
    "CKR_PIN_EXPIRED",
    "CKR_PIN_LOCKED",
    "CKR_USER_PIN_NOT_INITIALIZED",
};
static const char *const not_supported[] = {
    "CKR_ATTRIBUTE_READ_ONLY",     "CKR_ATTRIBUTE_TYPE_INVALID",     "CKR_ATTRIBUTE_VALUE_INVALID",
    "CKR_ACTION_PROHIBITED",       "CKR_FUNCTION_NOT_SUPPORTED",     "CKR_KEY_SIZE_RANGE",
    "CKR_KEY_TYPE_INCONSISTENT",   "CKR_KEY_FUNCTION_NOT_PERMITTED", "CKR_MECHANISM_INVALID",
    "CKR_MECHANISM_PARAM_INVALID", "CKR_SESSION_READ_ONLY",          "CKR_TEMPLATE_INCOMPLETE",
    "CKR_TEMPLATE_INCONSISTENT",   "CKR_TOKEN_WRITE_PROTECTED",      "CKR_RANDOM_NO_RNG",
    "CKR_DOMAIN_PARAMS_INVALID",   "CKR_CURVE_NOT_SUPPORTED",
};

static const struct kind others[] = {
    {"a crash", SHIM_CRASH, 0, CURED},
    {"SIGKILL", SHIM_KILL, 0, CURED},
    {"an exit", SHIM_EXIT, 0, CURED},
    {"a delay", SHIM_DELAY, 5, CURED},
    {"a lost login", SHIM_LOGOUT, 0, CURED},
    {"a closed session", SHIM_CLOSE, 0, CURED},
    {"a wrong signature", SHIM_LIE, 0, LIE},
    {"a signature of something else", SHIM_OTHER, 0, LIE},
    {"CKR_OK and no signature", SHIM_CODE, CKR_OK, NOTHING},
    {"silence", SHIM_HANG, 0, CURED},
    {"SIGSTOP", SHIM_STOP, 0, CURED},
};

bool listed(const char *const *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i], name) == 0)
            return true;
    }
    return false;
}

bool kind_get(size_t i, struct kind *ret)
{
    CK_RV code = 0;
    const char *name = shim_code_name(i, &code);
    if (name) {
        *ret = (struct kind){name, SHIM_CODE, code, REFUSED};
        if (LISTED(cured, name))
            ret->cure = CURED;
        else if (LISTED(not_supported, name))
            ret->cure = NOT_SUPPORTED;
        return true;
    }
    size_t ncodes = 0;
    while (shim_code_name(ncodes, &code))
        ncodes++;
    if (i - ncodes >= sizeof others / sizeof others[0])
        return false;
    *ret = others[i - ncodes];
    return true;
}
