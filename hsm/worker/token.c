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
    CK_FLAGS mode = t->rw_sessions ? CKF_RW_SESSION : 0;
    return t->slot.f->C_OpenSession(t->slot.id, CKF_SERIAL_SESSION | mode | more, NULL, NULL, ret);
}

static enum proto_status flags_allow_login(const struct token *t, bool careful, CK_FLAGS *ret,
                                           struct fault *f)
{
    CK_TOKEN_INFO info;
    CK_RV rv = t->slot.f->C_GetTokenInfo(t->slot.id, &info);
    if (rv != CKR_OK)
        return fault_ckr(f, rv, "C_GetTokenInfo");
    *ret = info.flags;
    if (!(info.flags & CKF_USER_PIN_INITIALIZED))
        return fault_set(f, PROTO_PIN_UNSET, "%s", "");
    if (info.flags & CKF_USER_PIN_LOCKED)
        return fault_set(f, PROTO_PIN_LOCKED, "%s", "");
    if (info.flags & CKF_USER_PIN_FINAL_TRY)
        return fault_set(f, PROTO_PIN_FINAL_TRY, "%s", "");
    if (info.flags & CKF_USER_PIN_TO_BE_CHANGED)
        return fault_set(f, PROTO_PIN_EXPIRED, "%s", "");
    if (careful && (info.flags & CKF_USER_PIN_COUNT_LOW))
        return fault_set(f, PROTO_LOGIN_DOUBTFUL, "%s", "");
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

/* A wrong PIN moves the token's counter; trouble inside the module that it calls a wrong PIN does not. */
static bool pin_was_counted(const struct token *t, CK_FLAGS before)
{
    static const CK_FLAGS signs = CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED;
    CK_TOKEN_INFO info;
    if (!t->counts_pins || (before & signs) || t->slot.f->C_GetTokenInfo(t->slot.id, &info) != CKR_OK)
        return true;
    return (info.flags & signs) != 0;
}

/* What a rejection means for us: this PIN is gone. */
static enum proto_status login_failed(struct token *t, CK_RV rv, CK_FLAGS before, struct fault *f)
{
    enum proto_status st = fault_ckr(f, rv, "C_Login");
    if (st == PROTO_PIN_INCORRECT && !pin_was_counted(t, before))
        st = f->status = PROTO_LOGIN_FAILED;
    if (st == PROTO_PIN_INCORRECT)
        snprintf(f->error.detail, sizeof f->error.detail, "%s", pin_count(t));
    if (st == PROTO_PIN_INCORRECT || st == PROTO_PIN_LOCKED || st == PROTO_PIN_FORM ||
        st == PROTO_LOGIN_FAILED)
        pin_forget(t);
    return st;
}

static enum login_state anchor_state(const struct token *t)
{
    CK_SESSION_INFO info;
    if (t->anchor == CK_INVALID_HANDLE)
        return LOGIN_GONE;
    CK_RV rv = t->slot.f->C_GetSessionInfo(t->anchor, &info);
    if (rv == CKR_SESSION_HANDLE_INVALID || rv == CKR_SESSION_CLOSED)
        return LOGIN_GONE;
    if (rv != CKR_OK)
        return LOGIN_SICK;
    return !t->login_required || info.state == CKS_RO_USER_FUNCTIONS || info.state == CKS_RW_USER_FUNCTIONS
               ? LOGIN_HELD
               : LOGIN_GONE;
}

enum login_state token_login_state(struct token *t)
{
    pthread_mutex_lock(&t->mutex);
    enum login_state state = anchor_state(t);
    pthread_mutex_unlock(&t->mutex);
    return state;
}

/* The anchor, when it lives, else a new one: then the module has dropped all sessions, and their numbers may
 * be others' soon. Living ones are not closed here: SoftHSM crashes when a session is closed under another
 * thread that uses it, and a crash at a login costs the token. */
static enum proto_status anchor_open(struct token *t, struct fault *f)
{
    CK_SESSION_INFO info;
    if (t->anchor != CK_INVALID_HANDLE && t->slot.f->C_GetSessionInfo(t->anchor, &info) == CKR_OK)
        return PROTO_OK;
    if (t->anchor != CK_INVALID_HANDLE)
        t->generation++;
    CK_RV rv = session_open(t, 0, &t->anchor);
    if (rv == CKR_OK)
        return PROTO_OK;
    t->anchor = CK_INVALID_HANDLE;
    return fault_ckr(f, rv, "C_OpenSession");
}

static enum proto_status anchor_login(struct token *t, bool careful, struct fault *f)
{
    CK_FLAGS before = 0;
    enum proto_status st = anchor_open(t, f);
    if (st != PROTO_OK || anchor_state(t) == LOGIN_HELD)
        return st;
    if ((st = flags_allow_login(t, careful, &before, f)) != PROTO_OK)
        return st;
    CK_RV rv = user_login(t, t->anchor, CKU_USER);
    t->logins++;
    return rv == CKR_OK ? PROTO_OK : login_failed(t, rv, before, f);
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

enum proto_status token_login(struct token *t, const struct proto_login *rq, struct secret *pin,
                              struct fault *f)
{
    struct lock *lock = NULL;
    pthread_mutex_lock(&t->mutex);
    pin_forget(t);
    t->pin = pin;
    t->counts_pins = rq->counts_pins;
    if (!t->known) {
        /* Lanes read these without the mutex, and a login in the middle of their work says the same. */
        t->known = true;
        t->session_copies = rq->session_copies;
        t->rw_sessions = rq->rw_sessions;
    }
    enum proto_status st = start_lock(t->slot.module, &lock, f);
    if (st == PROTO_OK) {
        st = anchor_login(t, rq->careful, f);
        lock_drop(lock);
    }
    t->confirms = st == PROTO_OK && t->login_required && has_confirm_keys(t);
    if (!t->confirms)
        pin_forget(t);
    pthread_mutex_unlock(&t->mutex);
    return st;
}

/* --- lanes */

/* Its session is no more, and its number may be another's. */
static void lane_forget(struct lane *l)
{
    l->session = CK_INVALID_HANDLE;
    l->nhandles = 0;
}

enum proto_status lane_open(struct lane *l, struct fault *f)
{
    unsigned generation = l->token->generation, logins = l->token->logins;
    if (l->generation != generation)
        lane_forget(l);
    if (l->logins != logins) /* private objects went with the login, and may have other handles now */
        l->nhandles = 0;
    l->logins = logins;
    if (l->session != CK_INVALID_HANDLE)
        return PROTO_OK;
    l->generation = generation;
    CK_RV rv = session_open(l->token, 0, &l->session);
    if (rv == CKR_OK)
        return PROTO_OK;
    l->session = CK_INVALID_HANDLE;
    return fault_ckr(f, rv, "C_OpenSession");
}

void lane_close(struct lane *l)
{
    if (l->session != CK_INVALID_HANDLE && l->generation == l->token->generation)
        l->token->slot.f->C_CloseSession(l->session);
    lane_forget(l);
}

/* After rv and all that was tried inside the worker: only a login, or a new worker, can help. */
static enum proto_status lane_lost(struct lane *l, struct fault *f)
{
    if (f->status == PROTO_SICK && token_login_state(l->token) == LOGIN_GONE)
        f->status = PROTO_LOGIN_LOST;
    return f->status;
}

static bool lane_renew(struct lane *l)
{
    struct fault ignored;
    lane_close(l);
    return token_login_state(l->token) == LOGIN_HELD && lane_open(l, &ignored) == PROTO_OK;
}

enum proto_status lane_try(struct lane *l, lane_op *op, void *arg, struct fault *f)
{
    bool same = false, renewed = false;
    for (;;) {
        CK_RV rv = CKR_OK;
        enum proto_status st = op(l, arg, &rv, f);
        enum rung rung = ckr_rung(rv);
        if (st == PROTO_OK || rv == CKR_OK || rung == RUNG_NONE)
            return st;
        if (rung == RUNG_SAME && !same && !renewed) {
            same = true;
            continue;
        }
        if (renewed || !lane_renew(l))
            return lane_lost(l, f);
        renewed = true;
    }
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
        CK_FLAGS before = 0;
        if ((st = flags_allow_login(t, false, &before, f)) == PROTO_OK) {
            CK_RV rv = user_login(t, l->session, CKU_CONTEXT_SPECIFIC);
            if (rv != CKR_OK)
                st = login_failed(t, rv, before, f);
        }
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
    CK_UTF8CHAR label[33] = {0}; /* p11-kit's client module wants the NUL that PKCS#11 does without */
    CK_SESSION_HANDLE session;
    memset(label, ' ', sizeof label - 1);
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
