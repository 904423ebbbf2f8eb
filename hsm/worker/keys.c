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
    CK_ATTRIBUTE t[3] = {{CKA_CLASS, &class, sizeof class}};
    size_t n = 1;
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
        if (rv == CKR_OK)
            *ret_n += found;
    } while (rv == CKR_OK && found > 0 && *ret_n < max);
    p11->C_FindObjectsFinal(l->session);
    /* Private objects are hidden from whoever is not logged in. */
    if (rv == CKR_OK && *ret_n == 0 && !token_logged_in(l->token))
        return CKR_USER_NOT_LOGGED_IN;
    return rv;
}

static bool attribute_read(struct lane *l, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type, void *ret, size_t max,
                           size_t *ret_n)
{
    CK_ATTRIBUTE a = {type, ret, max};
    if (l->token->slot.f->C_GetAttributeValue(l->session, o, &a, 1) != CKR_OK || a.ulValueLen > max)
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

/* The public half: EC_POINT of the one public object with the same id (and, failing an id, the same label).
 * Some tokens keep it with the private key. */
static void point_read(struct lane *l, CK_OBJECT_HANDLE private, struct proto_key *k)
{
    struct proto_ref ref = k->ref;
    CK_OBJECT_HANDLE found[2];
    size_t n = 0, len = 0;
    if (ref.id_len)
        ref.label[0] = '\0';
    if ((ref.id_len || ref.label[0]) && objects_find(l, CKO_PUBLIC_KEY, &ref, found, 2, &n) == CKR_OK &&
        n == 2) {
        /* Ids are not always unique: the label then decides. */
        ref = k->ref;
        if (objects_find(l, CKO_PUBLIC_KEY, &ref, found, 2, &n) != CKR_OK)
            n = 0;
    }
    CK_OBJECT_HANDLE o = n == 1 ? found[0] : private;
    if (n <= 1 && attribute_read(l, o, CKA_EC_POINT, k->point, sizeof k->point, &len))
        k->point_len = (uint32_t)len;
}

void key_describe(struct lane *l, CK_OBJECT_HANDLE object, struct proto_key *ret)
{
    CK_KEY_TYPE type = CK_UNAVAILABLE_INFORMATION;
    size_t n = 0;
    memset(ret, 0, sizeof *ret);
    if (attribute_read(l, object, CKA_LABEL, ret->ref.label, sizeof ret->ref.label - 1, &n))
        ret->ref.label[n] = '\0';
    if (attribute_read(l, object, CKA_ID, ret->ref.id, sizeof ret->ref.id, &n))
        ret->ref.id_len = (uint32_t)n;
    if (attribute_read(l, object, CKA_KEY_TYPE, &type, sizeof type, &n))
        ret->type = type;
    for (size_t i = 0; i < PROTO_FLAGS; i++)
        ret->flag[i] = flag_read(l, object, flag_types[i]);
    if (type != CKK_EC)
        return;
    if (attribute_read(l, object, CKA_EC_PARAMS, ret->params, sizeof ret->params, &n))
        ret->params_len = (uint32_t)n;
    point_read(l, object, ret);
}

static bool ref_eq(const struct proto_ref *a, const struct proto_ref *b)
{
    return a->id_len == b->id_len && memcmp(a->id, b->id, a->id_len) == 0 && strcmp(a->label, b->label) == 0;
}

enum proto_status key_find(struct lane *l, const struct proto_ref *ref, struct handle **ret, struct fault *f)
{
    CK_OBJECT_HANDLE found[2];
    size_t n = 0;
    for (size_t i = 0; i < l->nhandles; i++) {
        if (ref_eq(&l->handles[i].ref, ref)) {
            *ret = &l->handles[i];
            return PROTO_OK;
        }
    }
    CK_RV rv = objects_find(l, CKO_PRIVATE_KEY, ref, found, 2, &n);
    if (rv != CKR_OK)
        return fault_ckr(f, rv, "C_FindObjects");
    if (n != 1)
        return fault_set(f, n ? PROTO_MANY_KEYS : PROTO_NO_KEY, "%s", ref->label);
    if (l->nhandles == LANE_HANDLES)
        l->nhandles = 0;
    struct handle *h = &l->handles[l->nhandles++];
    h->ref = *ref;
    h->object = found[0];
    h->always_authenticate = flag_read(l, found[0], CKA_ALWAYS_AUTHENTICATE) == 1;
    *ret = h;
    return PROTO_OK;
}

enum proto_status keys_list(struct lane *l,
                            void (*send)(void *arg, const struct proto_key *items, size_t n, bool more),
                            void *arg, struct fault *f)
{
    static const struct proto_ref all;
    struct proto_key page[16];
    CK_OBJECT_HANDLE found[FIND_MAX * 16];
    size_t n = 0, filled = 0;
    CK_RV rv = objects_find(l, CKO_PRIVATE_KEY, &all, found, sizeof found / sizeof found[0], &n);
    if (rv != CKR_OK && lane_recover(l, rv))
        rv = objects_find(l, CKO_PRIVATE_KEY, &all, found, sizeof found / sizeof found[0], &n);
    if (rv != CKR_OK)
        return fault_ckr(f, rv, "C_FindObjects");
    if (n == sizeof found / sizeof found[0])
        return fault_set(f, PROTO_FAILED, "the token holds %zu private keys or more: too many to check", n);
    for (size_t i = 0; i < n; i++) {
        key_describe(l, found[i], &page[filled++]);
        if (filled == sizeof page / sizeof page[0] && i + 1 < n) {
            send(arg, page, filled, true);
            filled = 0;
        }
    }
    send(arg, page, filled, false);
    return PROTO_OK;
}
