/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/worker/worker.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/*
 * The recovery ladder, by return code: what the worker tries itself (rung), and what the code means when that
 * did not help (status; PROTO_SICK: the client starts a new worker). Codes that are not here are PROTO_FAILED
 * at once and shown as a number.
 */
struct ckr_row {
    CK_RV rv;
    const char *name;
    enum proto_status status;
    enum rung rung;
};
#define ROW(rv, status)                                                                                      \
    {                                                                                                        \
        rv, #rv, status, RUNG_NONE                                                                           \
    }
#define SAME(rv, status)                                                                                     \
    {                                                                                                        \
        rv, #rv, status, RUNG_SAME                                                                           \
    }
#define SESSION(rv, status)                                                                                  \
    {                                                                                                        \
        rv, #rv, status, RUNG_SESSION                                                                        \
    }

static const struct ckr_row rows[] = {
    SAME(CKR_HOST_MEMORY, PROTO_SICK),
    ROW(CKR_SLOT_ID_INVALID, PROTO_SICK),
    SESSION(CKR_GENERAL_ERROR, PROTO_SICK),
    SESSION(CKR_FUNCTION_FAILED, PROTO_SICK),
    ROW(CKR_ARGUMENTS_BAD, PROTO_FAILED),
    ROW(CKR_CANT_LOCK, PROTO_FAILED),
    ROW(CKR_ATTRIBUTE_READ_ONLY, PROTO_NOT_SUPPORTED),
    ROW(CKR_ATTRIBUTE_SENSITIVE, PROTO_FAILED),
    ROW(CKR_ATTRIBUTE_TYPE_INVALID, PROTO_NOT_SUPPORTED),
    ROW(CKR_ATTRIBUTE_VALUE_INVALID, PROTO_NOT_SUPPORTED),
    ROW(CKR_ACTION_PROHIBITED, PROTO_NOT_SUPPORTED),
    ROW(CKR_DATA_INVALID, PROTO_FAILED),
    ROW(CKR_DATA_LEN_RANGE, PROTO_FAILED),
    SESSION(CKR_DEVICE_ERROR, PROTO_SICK),
    SESSION(CKR_DEVICE_MEMORY, PROTO_SICK),
    ROW(CKR_DEVICE_REMOVED, PROTO_SICK),
    SAME(CKR_FUNCTION_CANCELED, PROTO_SICK),
    ROW(CKR_FUNCTION_NOT_SUPPORTED, PROTO_NOT_SUPPORTED),
    SESSION(CKR_KEY_HANDLE_INVALID, PROTO_SICK),
    ROW(CKR_KEY_SIZE_RANGE, PROTO_NOT_SUPPORTED),
    ROW(CKR_KEY_TYPE_INCONSISTENT, PROTO_NOT_SUPPORTED),
    ROW(CKR_KEY_FUNCTION_NOT_PERMITTED, PROTO_NOT_SUPPORTED),
    ROW(CKR_KEY_UNEXTRACTABLE, PROTO_FAILED),
    ROW(CKR_MECHANISM_INVALID, PROTO_NOT_SUPPORTED),
    ROW(CKR_MECHANISM_PARAM_INVALID, PROTO_NOT_SUPPORTED),
    SESSION(CKR_OBJECT_HANDLE_INVALID, PROTO_SICK),
    SESSION(CKR_OPERATION_ACTIVE, PROTO_SICK),
    SESSION(CKR_OPERATION_NOT_INITIALIZED, PROTO_SICK),
    ROW(CKR_PIN_INCORRECT, PROTO_PIN_INCORRECT),
    ROW(CKR_PIN_INVALID, PROTO_PIN_FORM),
    ROW(CKR_PIN_LEN_RANGE, PROTO_PIN_FORM),
    ROW(CKR_PIN_TOO_WEAK, PROTO_PIN_FORM),
    ROW(CKR_PIN_EXPIRED, PROTO_PIN_EXPIRED),
    ROW(CKR_PIN_LOCKED, PROTO_PIN_LOCKED),
    SESSION(CKR_SESSION_CLOSED, PROTO_SICK),
    SAME(CKR_SESSION_COUNT, PROTO_SICK),
    ROW(CKR_SESSION_EXISTS, PROTO_FAILED),
    SESSION(CKR_SESSION_HANDLE_INVALID, PROTO_SICK),
    ROW(CKR_SESSION_READ_ONLY, PROTO_NOT_SUPPORTED),
    ROW(CKR_TEMPLATE_INCOMPLETE, PROTO_NOT_SUPPORTED),
    ROW(CKR_TEMPLATE_INCONSISTENT, PROTO_NOT_SUPPORTED),
    ROW(CKR_TOKEN_NOT_PRESENT, PROTO_SICK),
    ROW(CKR_TOKEN_NOT_RECOGNIZED, PROTO_SICK),
    ROW(CKR_TOKEN_WRITE_PROTECTED, PROTO_NOT_SUPPORTED),
    SESSION(CKR_USER_NOT_LOGGED_IN, PROTO_SICK),
    ROW(CKR_USER_PIN_NOT_INITIALIZED, PROTO_PIN_UNSET),
    ROW(CKR_USER_TYPE_INVALID, PROTO_FAILED),
    ROW(CKR_USER_ANOTHER_ALREADY_LOGGED_IN, PROTO_FAILED),
    ROW(CKR_USER_TOO_MANY_TYPES, PROTO_FAILED),
    ROW(CKR_RANDOM_NO_RNG, PROTO_NOT_SUPPORTED),
    ROW(CKR_DOMAIN_PARAMS_INVALID, PROTO_NOT_SUPPORTED),
    ROW(CKR_CURVE_NOT_SUPPORTED, PROTO_NOT_SUPPORTED),
    ROW(CKR_BUFFER_TOO_SMALL, PROTO_FAILED),
    ROW(CKR_CRYPTOKI_NOT_INITIALIZED, PROTO_SICK),
    ROW(CKR_FUNCTION_REJECTED, PROTO_FAILED),
};

static const struct ckr_row *row_of(CK_RV rv)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].rv == rv)
            return &rows[i];
    }
    return NULL;
}

enum proto_status fault_set(struct fault *f, enum proto_status status, const char *fmt, ...)
{
    memset(f, 0, sizeof *f);
    f->status = status;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(f->error.detail, sizeof f->error.detail, fmt, ap);
    va_end(ap);
    return status;
}

static bool takes_pin(const char *function)
{
    return strcmp(function, "C_Login") == 0 || strcmp(function, "C_InitToken") == 0 ||
           strcmp(function, "C_InitPIN") == 0;
}

static bool of_pin(enum proto_status st)
{
    return st >= PROTO_PIN_INCORRECT && st <= PROTO_PIN_FORM;
}

enum proto_status fault_ckr(struct fault *f, CK_RV rv, const char *function)
{
    memset(f, 0, sizeof *f);
    const struct ckr_row *row = row_of(rv);
    f->status = row ? row->status : PROTO_FAILED;
    /* Some modules report trouble in their cryptography as a wrong PIN, where nobody gave one. */
    if (of_pin(f->status) && !takes_pin(function))
        f->status = PROTO_SICK;
    if (row)
        snprintf(f->error.ckr, sizeof f->error.ckr, "%s", row->name);
    else
        snprintf(f->error.ckr, sizeof f->error.ckr, "CKR 0x%lx", rv);
    snprintf(f->error.function, sizeof f->error.function, "%s", function);
    return f->status;
}

enum rung ckr_rung(CK_RV rv)
{
    const struct ckr_row *row = row_of(rv);
    return row ? row->rung : RUNG_NONE;
}
