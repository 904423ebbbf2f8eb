/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/status.h"

#include <stdio.h>

bool status_of_pin(enum proto_status status)
{
    return status == PROTO_PIN_INCORRECT || status == PROTO_PIN_LOCKED || status == PROTO_PIN_FINAL_TRY ||
           status == PROTO_PIN_UNSET || status == PROTO_PIN_EXPIRED || status == PROTO_PIN_FORM ||
           status == PROTO_LOGIN_FAILED || status == PROTO_LOGIN_DOUBTFUL;
}

static enum rc pin_err(enum proto_status status, const struct proto_error *why, const char *token,
                       struct err *e)
{
    switch (status) {
    case PROTO_PIN_INCORRECT:
        return err_set(e, RC_TOKEN, "hsm.pin-incorrect",
                       "the PIN of %s was rejected; it was not tried again%s%s; correct the PIN source first",
                       token, why->detail[0] ? ": " : "", why->detail);
    case PROTO_LOGIN_FAILED:
        return err_set(
            e, RC_TOKEN, "hsm.login-failed",
            "the module of %s reports a wrong PIN (%s gives %s), but the token has counted none: something else fails inside the module; the PIN was not tried again",
            token, why->function, why->ckr);
    case PROTO_LOGIN_DOUBTFUL:
        return err_set(
            e, RC_TOKEN, "hsm.login-doubtful",
            "the PIN was not tried again: an earlier login to %s ended without an answer, and the token counts a wrong try since; log in once with the vendor's tool, which resets the count",
            token);
    case PROTO_PIN_LOCKED:
        return err_set(
            e, RC_TOKEN, "hsm.pin-locked",
            "the PIN of %s is locked after too many wrong tries; the security officer must set a new one with the vendor's tool",
            token);
    case PROTO_PIN_FINAL_TRY:
        return err_set(
            e, RC_TOKEN, "hsm.pin-final-try",
            "the PIN was not tried: %s has one try left before it locks; log in once with the vendor's tool, which resets the count",
            token);
    case PROTO_PIN_UNSET:
        return err_set(e, RC_TOKEN, "hsm.pin-unset",
                       "%s has no user PIN yet; the security officer must set one with the vendor's tool",
                       token);
    case PROTO_PIN_EXPIRED:
        return err_set(e, RC_TOKEN, "hsm.pin-expired",
                       "the PIN of %s must be changed first, with the vendor's tool", token);
    default:
        return err_set(e, RC_TOKEN, "hsm.pin-form", "a PIN of %s has a form that the token does not take%s%s",
                       token, why->detail[0] ? ": " : "", why->detail);
    }
}

static enum rc module_err(const struct proto_error *why, const struct subject *about, struct err *e)
{
    static const char advice[] =
        "name the vendor's library by its path, with module-path= in the URI or in the environment variable "
        "KEYMILL_PKCS11_MODULE";
    if (why->function[0])
        return err_set(e, RC_TOKEN, "hsm.no-module", "module '%s' does not start: %s gives %s", about->module,
                       why->function, why->ckr);
    if (about->module[0])
        return err_set(e, RC_TOKEN, "hsm.no-module", "cannot load module '%s': %s; %s", about->module,
                       why->detail, advice);
    return err_set(e, RC_TOKEN, "hsm.no-module", "no PKCS#11 module: %s; %s", why->detail, advice);
}

/* A module's own no, as "C_Sign gives CKR_X", or the worker's. */
static const char *reason(const struct proto_error *why, char *buf, size_t n)
{
    if (!why->function[0])
        return why->detail;
    snprintf(buf, n, "%s gives %s", why->function, why->ckr);
    return buf;
}

static enum rc token_err(enum proto_status status, const struct proto_error *why, const struct subject *about,
                         struct err *e)
{
    char module[PROTO_MODULE_MAX + 16];
    snprintf(module, sizeof module, about->module[0] ? "module '%s'" : "the configured modules%s",
             about->module);
    if (status == PROTO_NO_TOKEN)
        return err_set(e, RC_TOKEN, "hsm.no-token", "no %s in %s; tokens there: %s", about->token, module,
                       why->detail[0] ? why->detail : "none");
    if (status == PROTO_MANY_TOKENS)
        return err_set(e, RC_TOKEN, "hsm.many-tokens",
                       "%s is not the only one in %s: add serial= to the URI; serial numbers: %s",
                       about->token, module, why->detail);
    return err_set(e, RC_TOKEN, "hsm.no-slot",
                   "no place for %s in %s: %s; exactly one uninitialised token is needed: name its module",
                   about->token, module, why->detail);
}

enum rc status_err(enum proto_status status, const struct proto_error *why, const struct subject *about,
                   struct err *e)
{
    char buf[sizeof why->function + sizeof why->ckr + 8];
    const char *label = about->label ? about->label : "";
    if (status_of_pin(status))
        return pin_err(status, why, about->token, e);
    switch (status) {
    case PROTO_NO_MODULE:
        return module_err(why, about, e);
    case PROTO_NO_TOKEN:
    case PROTO_MANY_TOKENS:
    case PROTO_NO_SLOT:
        return token_err(status, why, about, e);
    case PROTO_LABEL_USED:
        if (!about->label)
            return err_set(e, RC_CONFLICT, "hsm.label-exists",
                           "%s exists already, with serial number '%s': choose another label", about->token,
                           why->detail);
        return err_set(e, RC_CONFLICT, "hsm.key-exists",
                       "%s holds a key '%s' already: labels must be unique, choose another", about->token,
                       label);
    case PROTO_NO_KEY:
        return err_set(e, RC_TOKEN, "hsm.no-key", "no private key '%s' in %s any more", label, about->token);
    case PROTO_MANY_KEYS:
        return err_set(e, RC_TOKEN, "hsm.many-keys", "several private keys '%s' with the same id are in %s",
                       label, about->token);
    case PROTO_NOT_SUPPORTED:
        return err_set(e, RC_TOKEN, "hsm.not-supported", "%s cannot do this%s%s%s: %s", about->token,
                       about->label ? " with key '" : "", label, about->label ? "'" : "",
                       reason(why, buf, sizeof buf));
    case PROTO_BUSY:
        return err_set(e, RC_TOKEN, "hsm.start-busy", "another process takes too long to log in to %s: %s",
                       about->token, why->detail);
    case PROTO_LOGIN_LOST:
    case PROTO_SICK:
        return err_set(e, RC_TOKEN, "hsm.token-failed", "%s fails: %s; check that it is connected and ready",
                       about->token, reason(why, buf, sizeof buf));
    default:
        return err_set(e, RC_TOKEN, "hsm.operation-failed", "%s refuses: %s", about->token,
                       reason(why, buf, sizeof buf));
    }
}
