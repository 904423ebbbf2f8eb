/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/worker/worker.h"

#include <stdio.h>
#include <string.h>

#include "base/lock.h"

/* What token_find's walk gathers. */
struct search {
    const struct proto_hello *want;
    struct slot slot;
    struct proto_token token;
    size_t found;
    char others[400]; /* labels that are there, or, with several hits, their serial numbers */
    char serials[400];
};

static void list_add(char *list, size_t size, const char *name)
{
    size_t n = strlen(list);
    if (n + 2 < size)
        snprintf(list + n, size - n, "%s%s", n ? ", " : "", name);
}

static enum proto_status search_visit(void *arg, const struct slot *s, const CK_TOKEN_INFO *info,
                                      struct fault *f)
{
    (void)f;
    struct search *search = arg;
    struct proto_token t;
    token_describe(s, info, &t);
    if (!t.initialised)
        return PROTO_OK;
    list_add(search->others, sizeof search->others, t.label);
    if (!token_matches(search->want, &t))
        return PROTO_OK;
    list_add(search->serials, sizeof search->serials, t.serial);
    search->slot = *s;
    search->token = t;
    search->found++;
    return PROTO_OK;
}

enum proto_status token_find(const struct proto_hello *want, struct token *t, struct proto_token *ret,
                             struct fault *f)
{
    struct search search = {.want = want};
    enum proto_status st = modules_walk(want->module, search_visit, &search, f);
    if (st != PROTO_OK)
        return st;
    if (search.found == 0)
        return fault_set(f, PROTO_NO_TOKEN, "%s", search.others);
    if (search.found > 1)
        return fault_set(f, PROTO_MANY_TOKENS, "%s", search.serials);
    t->slot = search.slot;
    t->login_required = search.token.login_required;
    t->protected_path = search.token.protected_path;
    *ret = search.token;
    return PROTO_OK;
}

struct listing {
    const struct proto_hello *want;
    struct proto_token *tokens;
    size_t n, max;
};

static enum proto_status list_visit(void *arg, const struct slot *s, const CK_TOKEN_INFO *info,
                                    struct fault *f)
{
    (void)f;
    struct listing *list = arg;
    if (list->n == list->max)
        return PROTO_OK;
    struct proto_token *t = &list->tokens[list->n];
    token_describe(s, info, t);
    if (token_matches(list->want, t))
        list->n++;
    return PROTO_OK;
}

enum proto_status tokens_list(const struct proto_hello *want, struct proto_token *ret, size_t max,
                              size_t *ret_n, struct fault *f)
{
    struct listing list = {.want = want, .tokens = ret, .max = max};
    enum proto_status st = modules_walk(want->module, list_visit, &list, f);
    if (st == PROTO_OK)
        *ret_n = list.n;
    return st;
}

/* --- login */

static CK_RV session_open(const struct token *t, CK_FLAGS more, CK_SESSION_HANDLE *ret)
{
    return t->slot.f->C_OpenSession(t->slot.id, CKF_SERIAL_SESSION | more, NULL, NULL, ret);
}

static enum proto_status flags_allow_login(const struct token *t, struct fault *f)
{
    CK_TOKEN_INFO info;
    CK_RV rv = t->slot.f->C_GetTokenInfo(t->slot.id, &info);
    if (rv != CKR_OK)
        return fault_ckr(f, rv, "C_GetTokenInfo");
    if (!(info.flags & CKF_USER_PIN_INITIALIZED))
        return fault_set(f, PROTO_PIN_UNSET, "%s", "");
    if (info.flags & CKF_USER_PIN_LOCKED)
        return fault_set(f, PROTO_PIN_LOCKED, "%s", "");
    if (info.flags & CKF_USER_PIN_FINAL_TRY)
        return fault_set(f, PROTO_PIN_FINAL_TRY, "%s", "");
    if (info.flags & CKF_USER_PIN_TO_BE_CHANGED)
        return fault_set(f, PROTO_PIN_EXPIRED, "%s", "");
    return PROTO_OK;
}

/* How many tries are left, as far as PKCS#11 lets a token say it. */
static const char *pin_count(const struct token *t)
{
    CK_TOKEN_INFO info;
    if (t->slot.f->C_GetTokenInfo(t->slot.id, &info) != CKR_OK)
        return "the token does not say how many tries are left";
    if (info.flags & CKF_USER_PIN_LOCKED)
        return "the PIN is now locked";
    if (info.flags & CKF_USER_PIN_FINAL_TRY)
        return "one try is left before the PIN is locked";
    if (info.flags & CKF_USER_PIN_COUNT_LOW)
        return "the token counts wrong tries since the last good one";
    return "the token gives no warning yet";
}

static CK_RV user_login(const struct token *t, CK_SESSION_HANDLE session, CK_USER_TYPE who)
{
    CK_RV rv = t->slot.f->C_Login(session, who, t->pin ? secret_data(t->pin) : NULL,
                                  t->pin ? secret_len(t->pin) : 0);
    return rv == CKR_USER_ALREADY_LOGGED_IN ? CKR_OK : rv;
}

static void pin_forget(struct token *t)
{
    secret_free(t->pin);
    t->pin = NULL;
}

/* What a rejection means for us: this PIN is gone. */
static enum proto_status login_failed(struct token *t, CK_RV rv, struct fault *f)
{
    enum proto_status st = fault_ckr(f, rv, "C_Login");
    if (st == PROTO_PIN_INCORRECT)
        snprintf(f->error.detail, sizeof f->error.detail, "%s", pin_count(t));
    if (st == PROTO_PIN_INCORRECT || st == PROTO_PIN_LOCKED || st == PROTO_PIN_FORM)
        pin_forget(t);
    return st;
}

bool token_logged_in(const struct token *t)
{
    CK_SESSION_INFO info;
    if (t->slot.f->C_GetSessionInfo(t->anchor, &info) != CKR_OK)
        return false;
    return !t->login_required || info.state == CKS_RO_USER_FUNCTIONS || info.state == CKS_RW_USER_FUNCTIONS;
}

static enum proto_status anchor_login(struct token *t, struct fault *f)
{
    CK_RV rv = session_open(t, 0, &t->anchor);
    if (rv != CKR_OK) {
        t->anchor = CK_INVALID_HANDLE;
        return fault_ckr(f, rv, "C_OpenSession");
    }
    if (!t->login_required || token_logged_in(t))
        return PROTO_OK;
    enum proto_status st = flags_allow_login(t, f);
    if (st != PROTO_OK)
        return st;
    rv = user_login(t, t->anchor, CKU_USER);
    return rv == CKR_OK ? PROTO_OK : login_failed(t, rv, f);
}

/* A token that does not take the question may have such keys. */
static bool has_confirm_keys(const struct token *t)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE want[] = {{CKA_CLASS, &class, sizeof class}, {CKA_ALWAYS_AUTHENTICATE, &yes, sizeof yes}};
    CK_OBJECT_HANDLE found;
    CK_ULONG n = 0;
    CK_RV rv = t->slot.f->C_FindObjectsInit(t->anchor, want, sizeof want / sizeof want[0]);
    if (rv == CKR_OK) {
        rv = t->slot.f->C_FindObjects(t->anchor, &found, 1, &n);
        t->slot.f->C_FindObjectsFinal(t->anchor);
    }
    return rv != CKR_OK || n > 0;
}

enum proto_status token_login(struct token *t, struct secret *pin, struct fault *f)
{
    struct lock *lock = NULL;
    t->pin = pin;
    enum proto_status st = start_lock(t->slot.module, &lock, f);
    if (st == PROTO_OK) {
        st = anchor_login(t, f);
        lock_drop(lock);
    }
    t->confirms = st == PROTO_OK && t->login_required && has_confirm_keys(t);
    if (!t->confirms)
        pin_forget(t);
    return st;
}

/* --- lanes */

enum proto_status lane_open(struct lane *l, struct fault *f)
{
    if (l->session != CK_INVALID_HANDLE)
        return PROTO_OK;
    CK_RV rv = session_open(l->token, 0, &l->session);
    if (rv == CKR_OK)
        return PROTO_OK;
    l->session = CK_INVALID_HANDLE;
    return fault_ckr(f, rv, "C_OpenSession");
}

void lane_close(struct lane *l)
{
    if (l->session != CK_INVALID_HANDLE)
        l->token->slot.f->C_CloseSession(l->session);
    l->session = CK_INVALID_HANDLE;
    l->nhandles = 0;
}

bool lane_recover(struct lane *l, CK_RV rv)
{
    struct fault ignored;
    if (!ckr_of_session(rv) && !ckr_of_login(rv))
        return false;
    lane_close(l);
    return token_logged_in(l->token) && lane_open(l, &ignored) == PROTO_OK;
}

/* The PIN that is to be given at a use. */
static enum proto_status pin_is_there(const struct token *t, struct fault *f)
{
    if (t->pin || t->protected_path)
        return PROTO_OK;
    if (t->confirms)
        return fault_set(f, PROTO_PIN_INCORRECT, "it was rejected before");
    return fault_set(f, PROTO_SICK, "a key that is newer than the login wants the PIN at each use");
}

enum proto_status lane_confirm(struct lane *l, struct fault *f)
{
    struct token *t = l->token;
    pthread_mutex_lock(&t->mutex);
    enum proto_status st = pin_is_there(t, f);
    if (st == PROTO_OK) {
        CK_RV rv = user_login(t, l->session, CKU_CONTEXT_SPECIFIC);
        if (rv != CKR_OK)
            st = login_failed(t, rv, f);
    }
    pthread_mutex_unlock(&t->mutex);
    return st;
}

/* --- a new token */

struct vacancy {
    const char *label;
    struct slot slot;
    CK_TOKEN_INFO info;
    size_t found;
};

static enum proto_status vacancy_visit(void *arg, const struct slot *s, const CK_TOKEN_INFO *info,
                                       struct fault *f)
{
    struct vacancy *v = arg;
    struct proto_token t;
    token_describe(s, info, &t);
    if (t.initialised && strcmp(t.label, v->label) == 0)
        return fault_set(f, PROTO_LABEL_USED, "%s", t.serial);
    if (t.initialised)
        return PROTO_OK;
    v->slot = *s;
    v->info = *info;
    v->found++;
    return PROTO_OK;
}

static enum proto_status pin_length_check(const CK_TOKEN_INFO *info, const char *whose,
                                          const struct secret *pin, struct fault *f)
{
    size_t n = secret_len(pin);
    if (n >= info->ulMinPinLen && n <= info->ulMaxPinLen)
        return PROTO_OK;
    return fault_set(f, PROTO_PIN_FORM, "the %s PIN must have %lu to %lu characters", whose,
                     info->ulMinPinLen, info->ulMaxPinLen);
}

static enum proto_status vacancy_fill(const struct vacancy *v, const struct secret *so_pin,
                                      const struct secret *pin, struct fault *f)
{
    struct token t = {.slot = v->slot};
    CK_FUNCTION_LIST *p11 = v->slot.f;
    CK_UTF8CHAR label[32];
    CK_SESSION_HANDLE session;
    memset(label, ' ', sizeof label);
    memcpy(label, v->label, strlen(v->label)); /* at most 32: checked by the caller */
    CK_RV rv = p11->C_InitToken(v->slot.id, secret_data(so_pin), secret_len(so_pin), label);
    if (rv != CKR_OK)
        return fault_ckr(f, rv, "C_InitToken");
    rv = session_open(&t, CKF_RW_SESSION, &session);
    if (rv != CKR_OK)
        return fault_ckr(f, rv, "C_OpenSession");
    const char *function = "C_Login";
    rv = p11->C_Login(session, CKU_SO, secret_data(so_pin), secret_len(so_pin));
    if (rv == CKR_OK) {
        function = "C_InitPIN";
        rv = p11->C_InitPIN(session, secret_data(pin), secret_len(pin));
    }
    p11->C_CloseSession(session);
    return rv == CKR_OK ? PROTO_OK : fault_ckr(f, rv, function);
}

enum proto_status token_init(const struct proto_hello *want, const struct secret *so_pin,
                             const struct secret *pin, struct proto_token *ret, struct fault *f)
{
    struct vacancy v = {.label = want->token};
    struct lock *lock = NULL;
    CK_TOKEN_INFO info;
    enum proto_status st = modules_walk(want->module, vacancy_visit, &v, f);
    if (st != PROTO_OK)
        return st;
    if (v.found != 1)
        return fault_set(f, PROTO_NO_SLOT, "%s",
                         v.found ? "several uninitialised tokens are there" : "none is there");
    if ((st = pin_length_check(&v.info, "security officer's", so_pin, f)) != PROTO_OK ||
        (st = pin_length_check(&v.info, "user's", pin, f)) != PROTO_OK)
        return st;
    if ((st = start_lock(v.slot.module, &lock, f)) != PROTO_OK)
        return st;
    st = vacancy_fill(&v, so_pin, pin, f);
    lock_drop(lock);
    if (st != PROTO_OK)
        return st;
    CK_RV rv = v.slot.f->C_GetTokenInfo(v.slot.id, &info);
    if (rv != CKR_OK)
        return fault_ckr(f, rv, "C_GetTokenInfo");
    token_describe(&v.slot, &info, ret);
    return PROTO_OK;
}
