/* SPDX-License-Identifier: Apache-2.0 */

/*
 * KEYMILL_SHIM_QUIRK: how the token differs from the real one behind it, words separated by blanks.
 *
 *   der-signature        C_Sign(CKM_ECDSA) gives DER
 *   raw-point            CKA_EC_POINT without its OCTET STRING
 *   wrapped-point        C_DeriveKey wants the peer's point as an OCTET STRING
 *   params-name          CKA_EC_PARAMS is a PrintableString, and nothing else is taken
 *   no-session-copies    C_CopyObject does not exist
 *   no-session-keys      key pairs are token objects
 *   no-certificates      no certificate objects
 *   no-init, no-destroy  C_InitToken, C_DestroyObject do not exist
 *   no-ecdh, no-pss, no-oaep, no-eddsa   mechanisms that are not there
 *   session-limit=N      more sessions, of all processes together, are refused; the token says so
 *   session-limit-unsaid=N   and the token does not say so
 *   user-password=NAME   the PIN is "NAME:" and the real PIN
 *   confirm              new private keys want the PIN at each use
 *   protected-path       C_Login takes no PIN; the file that KEYMILL_SHIM_KEYPAD names holds it
 *   refuse=MODIFIABLE    a template for new keys must not name this attribute; hide=LOCAL: it is not told;
 *                        false=LOCAL: it is told wrong
 *   flags=10000          C_GetTokenInfo reports these (hex) besides; flags-off=10000: never these
 *
 * KEYMILL_SHIM_MANUFACTURER and KEYMILL_SHIM_MODEL replace what the token is called.
 */
#include "shim.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MECHANISMS_MAX = 512 };

struct shim_quirks shim_quirks;
static const struct shim_quirks *const q = &shim_quirks;
static struct shim_state *state;

static const struct {
    const char *word;
    bool *set;
} words[] = {
    {"der-signature", &shim_quirks.der_signature},
    {"raw-point", &shim_quirks.raw_point},
    {"wrapped-point", &shim_quirks.wrapped_point},
    {"params-name", &shim_quirks.params_name},
    {"no-session-copies", &shim_quirks.no_session_copies},
    {"no-session-keys", &shim_quirks.no_session_keys},
    {"no-certificates", &shim_quirks.no_certificates},
    {"no-init", &shim_quirks.no_init},
    {"no-destroy", &shim_quirks.no_destroy},
    {"no-ecdh", &shim_quirks.no_ecdh},
    {"no-pss", &shim_quirks.no_pss},
    {"no-oaep", &shim_quirks.no_oaep},
    {"no-eddsa", &shim_quirks.no_eddsa},
    {"confirm", &shim_quirks.confirm},
    {"protected-path", &shim_quirks.protected_path},
};

static const struct {
    const char *name;
    CK_ATTRIBUTE_TYPE type;
} attribute_names[] = {
    {"TOKEN", CKA_TOKEN},
    {"PRIVATE", CKA_PRIVATE},
    {"SENSITIVE", CKA_SENSITIVE},
    {"ALWAYS_SENSITIVE", CKA_ALWAYS_SENSITIVE},
    {"EXTRACTABLE", CKA_EXTRACTABLE},
    {"NEVER_EXTRACTABLE", CKA_NEVER_EXTRACTABLE},
    {"LOCAL", CKA_LOCAL},
    {"SIGN", CKA_SIGN},
    {"SIGN_RECOVER", CKA_SIGN_RECOVER},
    {"DECRYPT", CKA_DECRYPT},
    {"UNWRAP", CKA_UNWRAP},
    {"DERIVE", CKA_DERIVE},
    {"ALWAYS_AUTHENTICATE", CKA_ALWAYS_AUTHENTICATE},
    {"MODIFIABLE", CKA_MODIFIABLE},
    {"EC_POINT", CKA_EC_POINT},
};

/* --- reading the setting */

static bool attribute_add(struct shim_attributes *a, const char *name)
{
    for (size_t i = 0; i < sizeof attribute_names / sizeof attribute_names[0]; i++) {
        if (strcmp(attribute_names[i].name, name) == 0 && a->n < SHIM_ATTRIBUTES_MAX) {
            a->type[a->n++] = attribute_names[i].type;
            return true;
        }
    }
    return false;
}

static bool value_take(const char *word, const char *value)
{
    size_t n = (size_t)(value - word);
#define IS(name) (n == sizeof(name) && strncmp(word, name "=", n) == 0)
    if (IS("session-limit"))
        shim_quirks.session_limit = strtoul(value, NULL, 10);
    else if (IS("session-limit-unsaid"))
        shim_quirks.session_limit_unsaid = strtoul(value, NULL, 10);
    else if (IS("user-password"))
        snprintf(shim_quirks.user, sizeof shim_quirks.user, "%s:", value);
    else if (IS("flags"))
        shim_quirks.flags_on = strtoul(value, NULL, 16);
    else if (IS("flags-off"))
        shim_quirks.flags_off = strtoul(value, NULL, 16);
    else if (IS("refuse"))
        return attribute_add(&shim_quirks.refused, value);
    else if (IS("hide"))
        return attribute_add(&shim_quirks.hidden, value);
    else if (IS("false"))
        return attribute_add(&shim_quirks.falsified, value);
    else
        return false;
    return true;
#undef IS
}

static bool word_take(const char *word)
{
    const char *equals = strchr(word, '=');
    if (equals)
        return value_take(word, equals + 1);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i].word, word) == 0)
            return *words[i].set = true;
    }
    return false;
}

static void keypad_read(void)
{
    const char *path = getenv("KEYMILL_SHIM_KEYPAD");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t n = fd >= 0 ? read(fd, shim_quirks.keypad, sizeof shim_quirks.keypad - 1) : 0;
    if (n > 0 && q->keypad[n - 1] == '\n')
        shim_quirks.keypad[n - 1] = '\0';
    if (fd >= 0)
        close(fd);
}

void shim_quirks_load(CK_FUNCTION_LIST *module, struct shim_state *s)
{
    const char *all = getenv("KEYMILL_SHIM_QUIRK");
    char *text = strdup(all ? all : ""), *rest = NULL;
    shim_quirks.real = module;
    state = s;
    for (char *word = strtok_r(text, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
        if (!word_take(word)) {
            fprintf(stderr, "p11shim: KEYMILL_SHIM_QUIRK: '%s' is not understood\n", word);
            abort();
        }
    }
    free(text);
    keypad_read();
}

/* --- the token and its mechanisms */

static void name_put(CK_UTF8CHAR *field, size_t size, const char *variable)
{
    const char *name = getenv(variable);
    size_t n = name ? strlen(name) : 0;
    if (!name)
        return;
    memset(field, ' ', size);
    memcpy(field, name, n < size ? n : size);
}

CK_RV quirk_get_info(CK_INFO *info)
{
    CK_RV rv = q->real->C_GetInfo(info);
    if (rv == CKR_OK)
        name_put(info->manufacturerID, sizeof info->manufacturerID, "KEYMILL_SHIM_MANUFACTURER");
    return rv;
}

CK_RV quirk_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    CK_RV rv = q->real->C_GetTokenInfo(slot, info);
    if (rv != CKR_OK)
        return rv;
    name_put(info->manufacturerID, sizeof info->manufacturerID, "KEYMILL_SHIM_MANUFACTURER");
    name_put(info->model, sizeof info->model, "KEYMILL_SHIM_MODEL");
    info->flags = (info->flags | q->flags_on) & ~q->flags_off;
    if (q->protected_path)
        info->flags |= CKF_PROTECTED_AUTHENTICATION_PATH;
    if (q->session_limit)
        info->ulMaxSessionCount = q->session_limit;
    return rv;
}

bool shim_mechanism_missing(CK_MECHANISM_TYPE type)
{
    switch (type) {
    case CKM_ECDH1_DERIVE:
        return q->no_ecdh;
    case CKM_RSA_PKCS_PSS:
    case CKM_SHA256_RSA_PKCS_PSS:
        return q->no_pss;
    case CKM_RSA_PKCS_OAEP:
        return q->no_oaep;
    case 0x1055: /* CKM_EC_EDWARDS_KEY_PAIR_GEN */
    case 0x1057: /* CKM_EDDSA */
        return q->no_eddsa;
    default:
        return false;
    }
}

CK_RV quirk_mechanisms(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *n)
{
    CK_MECHANISM_TYPE all[MECHANISMS_MAX];
    CK_ULONG nall = MECHANISMS_MAX, kept = 0;
    CK_RV rv = q->real->C_GetMechanismList(slot, all, &nall);
    for (CK_ULONG i = 0; rv == CKR_OK && i < nall; i++) {
        if (!shim_mechanism_missing(all[i]))
            all[kept++] = all[i];
    }
    if (rv == CKR_OK && list && *n < kept)
        rv = CKR_BUFFER_TOO_SMALL;
    if (rv == CKR_OK && list)
        memcpy(list, all, kept * sizeof *list);
    *n = kept;
    return rv;
}

CK_RV quirk_mechanism(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
    return shim_mechanism_missing(type) ? CKR_MECHANISM_INVALID
                                        : q->real->C_GetMechanismInfo(slot, type, info);
}

CK_RV quirk_init_token(CK_SLOT_ID slot, CK_UTF8CHAR *pin, CK_ULONG n, CK_UTF8CHAR *label)
{
    return q->no_init ? CKR_FUNCTION_NOT_SUPPORTED : q->real->C_InitToken(slot, pin, n, label);
}

/* --- sessions and login */

static unsigned long sessions_open(void)
{
    long n = 0;
    for (size_t i = 0; i < SHIM_PROCESSES; i++) {
        int pid = state->process[i].pid;
        if (pid > 0 && shim_alive(pid))
            n += state->process[i].sessions;
    }
    return n > 0 ? (unsigned long)n : 0;
}

CK_RV quirk_open(CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify, CK_SESSION_HANDLE *ret)
{
    unsigned long limit = q->session_limit ? q->session_limit : q->session_limit_unsaid;
    if (limit && sessions_open() >= limit)
        return CKR_SESSION_COUNT;
    return q->real->C_OpenSession(slot, flags, app, notify, ret);
}

CK_RV quirk_login(CK_SESSION_HANDLE s, CK_USER_TYPE who, CK_UTF8CHAR *pin, CK_ULONG n)
{
    CK_UTF8CHAR typed[SHIM_PIN_MAX + 1];
    size_t skip = strlen(q->user);
    if (q->protected_path && pin)
        return CKR_ARGUMENTS_BAD;
    if (q->protected_path) {
        n = strlen(q->keypad);
        memcpy(typed, q->keypad, n);
        pin = typed;
    } else if (skip && who != CKU_SO) {
        if (n < skip || memcmp(pin, q->user, skip) != 0)
            return CKR_PIN_INCORRECT;
        pin += skip;
        n -= skip;
    }
    return q->real->C_Login(s, who, pin, n);
}
