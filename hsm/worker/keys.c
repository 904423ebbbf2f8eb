/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/worker/worker.h"

#include <string.h>

enum { FIND_MAX = 64 };

CK_RV objects_find(struct lane *l, CK_OBJECT_CLASS class, const struct proto_ref *ref, CK_OBJECT_HANDLE *ret,
                   size_t max, size_t *ret_n)
{
    CK_FUNCTION_LIST *p11 = l->token->slot.f;
    struct proto_ref r = *ref;
    CK_ULONG found = 0;
    CK_BBOOL on_token = ref->session ? CK_FALSE : CK_TRUE; /* our own copies of keys live in sessions */
    CK_ATTRIBUTE t[4] = {{CKA_CLASS, &class, sizeof class}, {CKA_TOKEN, &on_token, sizeof on_token}};
    size_t n = 2;
    if (r.label[0])
        t[n++] = (CK_ATTRIBUTE){CKA_LABEL, r.label, strlen(r.label)};
    if (r.id_len)
        t[n++] = (CK_ATTRIBUTE){CKA_ID, r.id, r.id_len};
    CK_RV rv = p11->C_FindObjectsInit(l->session, t, n);
    if (rv != CKR_OK)
        return rv;
    *ret_n = 0;
    do {
        rv = p11->C_FindObjects(l->session, ret + *ret_n, max - *ret_n, &found);
        if (rv == CKR_OK && found > max - *ret_n)
            rv = CKR_GENERAL_ERROR; /* more than it was given room for */
        if (rv == CKR_OK)
            *ret_n += found;
    } while (rv == CKR_OK && found > 0 && *ret_n < max);
    p11->C_FindObjectsFinal(l->session);
    /* Private objects are hidden from whoever is not logged in. */
    if (rv == CKR_OK && *ret_n == 0 && token_login_state(l->token) != LOGIN_HELD)
        return CKR_USER_NOT_LOGGED_IN;
    return rv;
}

static void trouble_note(struct lane *l, CK_RV rv, const char *function)
{
    if (l->trouble != CKR_OK)
        return;
    l->trouble = rv;
    l->trouble_at = function;
}

/* Not the token's way to say that it does not report an attribute; some modules say the first two. */
static bool is_trouble(CK_RV rv)
{
    struct fault f;
    return rv != CKR_GENERAL_ERROR && rv != CKR_FUNCTION_FAILED &&
           fault_ckr(&f, rv, "C_GetAttributeValue") == PROTO_SICK;
}

/* False: the token does not report it; or it has other trouble, and then the lane too. */
static bool attribute_read(struct lane *l, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type, void *ret, size_t max,
                           size_t *ret_n)
{
    CK_FUNCTION_LIST *p11 = l->token->slot.f;
    CK_ATTRIBUTE a = {type, ret, max};
    CK_RV rv = p11->C_GetAttributeValue(l->session, o, &a, 1);
    if (rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_SENSITIVE)
        return false;
    if (rv != CKR_OK) {
        a = (CK_ATTRIBUTE){type, ret, max};
        rv = p11->C_GetAttributeValue(l->session, o, &a, 1);
    }
    if (rv != CKR_OK && is_trouble(rv))
        trouble_note(l, rv, "C_GetAttributeValue");
    if (rv != CKR_OK || a.ulValueLen > max)
        return false;
    *ret_n = a.ulValueLen;
    return true;
}

static int8_t flag_read(struct lane *l, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type)
{
    CK_BBOOL value = CK_FALSE;
    size_t n = 0;
    if (!attribute_read(l, o, type, &value, sizeof value, &n) || n != sizeof value)
        return -1;
    return value != CK_FALSE;
}

static const CK_ATTRIBUTE_TYPE flag_types[PROTO_FLAGS] = {
    [PROTO_F_TOKEN] = CKA_TOKEN,
    [PROTO_F_PRIVATE] = CKA_PRIVATE,
    [PROTO_F_SENSITIVE] = CKA_SENSITIVE,
    [PROTO_F_ALWAYS_SENSITIVE] = CKA_ALWAYS_SENSITIVE,
    [PROTO_F_EXTRACTABLE] = CKA_EXTRACTABLE,
    [PROTO_F_NEVER_EXTRACTABLE] = CKA_NEVER_EXTRACTABLE,
    [PROTO_F_LOCAL] = CKA_LOCAL,
    [PROTO_F_SIGN] = CKA_SIGN,
    [PROTO_F_SIGN_RECOVER] = CKA_SIGN_RECOVER,
    [PROTO_F_DECRYPT] = CKA_DECRYPT,
    [PROTO_F_UNWRAP] = CKA_UNWRAP,
    [PROTO_F_DERIVE] = CKA_DERIVE,
    [PROTO_F_ALWAYS_AUTHENTICATE] = CKA_ALWAYS_AUTHENTICATE,
    [PROTO_F_MODIFIABLE] = CKA_MODIFIABLE,
};

static void public_attributes(struct lane *l, CK_OBJECT_HANDLE o, struct proto_key *k)
{
    CK_ATTRIBUTE_TYPE type = k->type == CKK_RSA ? CKA_MODULUS : CKA_EC_POINT;
    size_t n = 0;
    if (attribute_read(l, o, type, k->public, sizeof k->public, &n))
        k->public_len = (uint32_t)n;
    if (k->type == CKK_RSA && attribute_read(l, o, CKA_PUBLIC_EXPONENT, k->exponent, sizeof k->exponent, &n))
        k->exponent_len = (uint32_t)n;
}

/* The public half: that of the one public object with the same id (and, failing an id, the same label). Some
 * tokens keep it with the private key. */
static void public_read(struct lane *l, CK_OBJECT_HANDLE private, struct proto_key *k)
{
    struct proto_ref ref = k->ref;
    CK_OBJECT_HANDLE found[2];
    size_t n = 0;
    CK_RV rv = CKR_OK;
    if (ref.id_len)
        ref.label[0] = '\0';
    if (ref.id_len || ref.label[0])
        rv = objects_find(l, CKO_PUBLIC_KEY, &ref, found, 2, &n);
    /* Ids are not always unique: the label then decides. */
    if (rv == CKR_OK && n == 2)
        rv = objects_find(l, CKO_PUBLIC_KEY, &k->ref, found, 2, &n);
    if (rv != CKR_OK) {
        trouble_note(l, rv, "C_FindObjects");
        return;
    }
    if (n == 1)
        public_attributes(l, found[0], k);
    if (n <= 1 && k->public_len == 0)
        public_attributes(l, private, k);
}

CK_RV key_describe(struct lane *l, CK_OBJECT_HANDLE object, bool session, struct proto_key *ret)
{
    CK_KEY_TYPE type = CK_UNAVAILABLE_INFORMATION;
    size_t n = 0;
    memset(ret, 0, sizeof *ret);
    l->trouble = CKR_OK;
    ret->ref.session = session;
    if (attribute_read(l, object, CKA_LABEL, ret->ref.label, sizeof ret->ref.label - 1, &n))
        ret->ref.label[n] = '\0';
    if (attribute_read(l, object, CKA_ID, ret->ref.id, sizeof ret->ref.id, &n))
        ret->ref.id_len = (uint32_t)n;
    if (attribute_read(l, object, CKA_KEY_TYPE, &type, sizeof type, &n))
        ret->type = type;
    for (size_t i = 0; i < PROTO_FLAGS; i++)
        ret->flag[i] = flag_read(l, object, flag_types[i]);
    if (type != CKK_RSA && attribute_read(l, object, CKA_EC_PARAMS, ret->params, sizeof ret->params, &n))
        ret->params_len = (uint32_t)n;
    public_read(l, object, ret);
    return l->trouble;
}

static bool ref_eq(const struct proto_ref *a, const struct proto_ref *b)
{
    return a->id_len == b->id_len && memcmp(a->id, b->id, a->id_len) == 0 &&
           strcmp(a->label, b->label) == 0 && a->tail_len == b->tail_len &&
           memcmp(a->public_tail, b->public_tail, a->tail_len) == 0 && a->session == b->session;
}

/* Whether the private key has the public half that was asked for. */
static CK_RV public_fits(struct lane *l, CK_OBJECT_HANDLE object, const struct proto_ref *ref, bool *ret)
{
    struct proto_key k;
    *ret = ref->tail_len == 0;
    if (*ret)
        return CKR_OK;
    CK_RV rv = key_describe(l, object, ref->session, &k);
    *ret = k.public_len >= ref->tail_len &&
           memcmp(k.public + k.public_len - ref->tail_len, ref->public_tail, ref->tail_len) == 0;
    return rv;
}

/* SoftHSM reads its object file again for each use of a token object. The copy must be as well kept as the
 * key: it is used only when it says so. */
static void handle_copy(struct lane *l, struct handle *h)
{
    CK_FUNCTION_LIST *p11 = l->token->slot.f;
    CK_BBOOL no = CK_FALSE;
    CK_ATTRIBUTE t = {CKA_TOKEN, &no, sizeof no};
    CK_OBJECT_HANDLE copy;
    if (p11->C_CopyObject(l->session, h->object, &t, 1, &copy) != CKR_OK)
        return;
    if (flag_read(l, copy, CKA_SENSITIVE) == 1 && flag_read(l, copy, CKA_EXTRACTABLE) == 0 &&
        flag_read(l, copy, CKA_SIGN) == 1) {
        h->object = copy;
        h->copy = true;
    } else {
        p11->C_DestroyObject(l->session, copy);
    }
}

static void handles_drop(struct lane *l)
{
    for (size_t i = 0; i < l->nhandles; i++) {
        if (l->handles[i].copy)
            l->token->slot.f->C_DestroyObject(l->session, l->handles[i].object);
    }
    l->nhandles = 0;
}

/* The one private key that ref means. */
static enum proto_status match_find(struct lane *l, const struct proto_ref *ref, CK_OBJECT_HANDLE *ret,
                                    CK_RV *ret_rv, struct fault *f)
{
    CK_OBJECT_HANDLE found[FIND_MAX];
    size_t n = 0, fits = 0;
    *ret_rv = objects_find(l, CKO_PRIVATE_KEY, ref, found, FIND_MAX, &n);
    if (*ret_rv != CKR_OK)
        return fault_ckr(f, *ret_rv, "C_FindObjects");
    for (size_t i = 0; i < n; i++) {
        bool fit = false;
        if ((*ret_rv = public_fits(l, found[i], ref, &fit)) != CKR_OK)
            return fault_ckr(f, *ret_rv, l->trouble_at);
        if (fit) {
            *ret = found[i];
            fits++;
        }
    }
    return fits == 1 ? PROTO_OK : fault_set(f, fits ? PROTO_MANY_KEYS : PROTO_NO_KEY, "%s", ref->label);
}

static enum proto_status handle_make(struct lane *l, const struct proto_ref *ref, bool sign,
                                     struct handle **ret, CK_RV *ret_rv, struct fault *f)
{
    CK_OBJECT_HANDLE match = CK_INVALID_HANDLE;
    enum proto_status st = match_find(l, ref, &match, ret_rv, f);
    if (st != PROTO_OK)
        return st;
    l->trouble = CKR_OK;
    bool always_authenticate = flag_read(l, match, CKA_ALWAYS_AUTHENTICATE) == 1;
    if ((*ret_rv = l->trouble) != CKR_OK)
        return fault_ckr(f, *ret_rv, l->trouble_at);
    if (l->nhandles == LANE_HANDLES)
        handles_drop(l);
    struct handle *h = &l->handles[l->nhandles++];
    *h = (struct handle){.ref = *ref, .object = match, .always_authenticate = always_authenticate};
    if (sign && l->token->session_copies && !ref->session && !h->always_authenticate)
        handle_copy(l, h);
    *ret = h;
    return PROTO_OK;
}

enum proto_status key_find(struct lane *l, const struct proto_ref *ref, bool sign, struct handle **ret,
                           CK_RV *ret_rv, struct fault *f)
{
    *ret_rv = CKR_OK;
    for (size_t i = 0; i < l->nhandles; i++) {
        if (ref_eq(&l->handles[i].ref, ref)) {
            *ret = &l->handles[i];
            return PROTO_OK;
        }
    }
    pthread_mutex_lock(&l->token->objects);
    enum proto_status st = handle_make(l, ref, sign, ret, ret_rv, f);
    pthread_mutex_unlock(&l->token->objects);
    return st;
}

/* The handles of a listing, and how many there are. */
struct listed {
    CK_OBJECT_HANDLE found[FIND_MAX * 16];
    size_t n;
};

static enum proto_status list_once(struct lane *l, void *arg, CK_RV *ret_rv, struct fault *f)
{
    static const struct proto_ref all;
    struct listed *list = arg;
    pthread_mutex_lock(&l->token->objects);
    *ret_rv = objects_find(l, CKO_PRIVATE_KEY, &all, list->found, sizeof list->found / sizeof list->found[0],
                           &list->n);
    pthread_mutex_unlock(&l->token->objects);
    return *ret_rv == CKR_OK ? PROTO_OK : fault_ckr(f, *ret_rv, "C_FindObjects");
}

struct described {
    CK_OBJECT_HANDLE object;
    struct proto_key *key;
};

static enum proto_status describe_once(struct lane *l, void *arg, CK_RV *ret_rv, struct fault *f)
{
    const struct described *d = arg;
    *ret_rv = key_describe(l, d->object, false, d->key);
    return *ret_rv == CKR_OK ? PROTO_OK : fault_ckr(f, *ret_rv, l->trouble_at);
}

enum proto_status keys_list(struct lane *l,
                            void (*send)(void *arg, const struct proto_key *items, size_t n, bool more),
                            void *arg, struct fault *f)
{
    struct proto_key page[16];
    struct listed list = {.n = 0};
    size_t filled = 0;
    enum proto_status st = lane_try(l, list_once, &list, f);
    if (st != PROTO_OK)
        return st;
    if (list.n == sizeof list.found / sizeof list.found[0])
        return fault_set(f, PROTO_FAILED, "the token holds %zu private keys or more: too many to check",
                         list.n);
    for (size_t i = 0; i < list.n; i++) {
        struct described d = {list.found[i], &page[filled++]};
        if ((st = lane_try(l, describe_once, &d, f)) != PROTO_OK)
            return st;
        if (filled == sizeof page / sizeof page[0] && i + 1 < list.n) {
            send(arg, page, filled, true);
            filled = 0;
        }
    }
    send(arg, page, filled, false);
    return PROTO_OK;
}
