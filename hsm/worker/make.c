/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/worker/worker.h"

#include <string.h>

static enum proto_status label_unused(struct lane *l, const struct proto_ref *ref, struct fault *f)
{
    static const CK_OBJECT_CLASS classes[] = {CKO_PRIVATE_KEY, CKO_PUBLIC_KEY};
    struct proto_ref label = *ref;
    label.id_len = 0;
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        CK_OBJECT_HANDLE found[1];
        size_t n = 0;
        CK_RV rv = objects_find(l, classes[i], &label, found, 1, &n);
        if (rv != CKR_OK)
            return fault_ckr(f, rv, "C_FindObjects");
        if (n > 0)
            return fault_set(f, PROTO_LABEL_USED, "%s", ref->label);
    }
    return PROTO_OK;
}

/*
 * The worker before us may have died after making the key and before saying so, or between its two halves.
 * The id is random, so what bears it is ours: a whole pair is the answer, a public half alone is removed.
 * *ret is the private key, or CK_INVALID_HANDLE.
 */
static enum proto_status earlier_try(struct lane *l, CK_SESSION_HANDLE rw, const struct proto_ref *ref,
                                     CK_OBJECT_HANDLE *ret, struct fault *f)
{
    CK_OBJECT_HANDLE private[1], public[1];
    size_t nprivate = 0, npublic = 0;
    CK_RV rv = objects_find(l, CKO_PRIVATE_KEY, ref, private, 1, &nprivate);
    if (rv == CKR_OK)
        rv = objects_find(l, CKO_PUBLIC_KEY, ref, public, 1, &npublic);
    if (rv != CKR_OK)
        return fault_ckr(f, rv, "C_FindObjects");
    *ret = nprivate && npublic ? private[0] : CK_INVALID_HANDLE;
    if (*ret != CK_INVALID_HANDLE)
        return PROTO_OK;
    if (nprivate && (rv = l->token->slot.f->C_DestroyObject(rw, private[0])) != CKR_OK)
        return fault_ckr(f, rv, "C_DestroyObject");
    if (npublic && (rv = l->token->slot.f->C_DestroyObject(rw, public[0])) != CKR_OK)
        return fault_ckr(f, rv, "C_DestroyObject");
    return PROTO_OK;
}

/* A template as it grows; attributes point into the maker below it. */
struct template
{
    CK_ATTRIBUTE list[20];
    CK_ULONG n;
    CK_ULONG bits; /* the value of CKA_MODULUS_BITS */
    uint32_t omit; /* proto_generate */
};

static void template_add(struct template *t, CK_ATTRIBUTE_TYPE type, void *value, size_t n)
{
    t->list[t->n++] = (CK_ATTRIBUTE){type, value, n};
}

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

static void template_flag(struct template *t, CK_ATTRIBUTE_TYPE type, enum proto_flag flag, bool value)
{
    if ((t->omit & (1U << flag)) == 0)
        template_add(t, type, value ? &yes : &no, sizeof yes);
}

static void template_name(struct template *t, struct proto_generate *g)
{
    template_add(t, CKA_TOKEN, g->ref.session ? &no : &yes, sizeof yes);
    template_add(t, CKA_LABEL, g->ref.label, strlen(g->ref.label));
    template_add(t, CKA_ID, g->ref.id, g->ref.id_len);
}

static void public_usage(struct template *t, const struct proto_generate *g)
{
    template_add(t, CKA_VERIFY, g->usage == PROTO_FOR_SIGN ? &yes : &no, sizeof yes);
    template_add(t, CKA_ENCRYPT, g->usage == PROTO_FOR_DECRYPT ? &yes : &no, sizeof yes);
    template_flag(t, CKA_VERIFY_RECOVER, PROTO_F_SIGN_RECOVER, false);
    template_flag(t, CKA_WRAP, PROTO_F_UNWRAP, false);
    template_flag(t, CKA_DERIVE, PROTO_F_DERIVE, g->usage == PROTO_FOR_DERIVE);
}

/* Everything that matters is said, since defaults differ from token to token. */
static void public_template(struct template *t, struct proto_generate *g)
{
    static CK_BYTE f4[] = {1, 0, 1}; /* 65537 */
    template_name(t, g);
    template_add(t, CKA_PRIVATE, &no, sizeof no);
    if ((g->omit & (1U << PROTO_OMIT_PUBLIC_USAGE)) == 0)
        public_usage(t, g);
    if (g->bits) {
        t->bits = g->bits;
        template_add(t, CKA_MODULUS_BITS, &t->bits, sizeof t->bits);
        template_add(t, CKA_PUBLIC_EXPONENT, f4, sizeof f4);
    } else {
        template_add(t, CKA_EC_PARAMS, g->params, g->params_len);
    }
}

static void private_template(struct template *t, struct proto_generate *g)
{
    template_name(t, g);
    template_add(t, CKA_PRIVATE, &yes, sizeof yes);
    template_add(t, CKA_SENSITIVE, &yes, sizeof yes);
    template_add(t, CKA_EXTRACTABLE, &no, sizeof no);
    template_flag(t, CKA_SIGN, PROTO_F_SIGN, g->usage == PROTO_FOR_SIGN);
    template_flag(t, CKA_DERIVE, PROTO_F_DERIVE, g->usage == PROTO_FOR_DERIVE);
    template_flag(t, CKA_DECRYPT, PROTO_F_DECRYPT, g->usage == PROTO_FOR_DECRYPT);
    template_flag(t, CKA_SIGN_RECOVER, PROTO_F_SIGN_RECOVER, false);
    template_flag(t, CKA_UNWRAP, PROTO_F_UNWRAP, false);
    template_flag(t, CKA_MODIFIABLE, PROTO_F_MODIFIABLE, false);
}

static CK_RV pair_make(struct lane *l, CK_SESSION_HANDLE session, const struct proto_generate *rq,
                       CK_OBJECT_HANDLE *ret)
{
    struct proto_generate g = *rq;
    struct template public = {.omit = g.omit}, private = {.omit = g.omit};
    CK_MECHANISM m = {g.mechanism, NULL, 0};
    CK_OBJECT_HANDLE public_handle;
    CK_FUNCTION_LIST *p11 = l->token->slot.f;
    public_template(&public, &g);
    private_template(&private, &g);
    return p11->C_GenerateKeyPair(session, &m, public.list, public.n, private.list, private.n, &public_handle,
                                  ret);
}

static enum proto_status key_make(struct lane *l, CK_SESSION_HANDLE session, const struct proto_generate *rq,
                                  CK_OBJECT_HANDLE *ret, struct fault *f)
{
    enum proto_status st = earlier_try(l, session, &rq->ref, ret, f);
    if (st != PROTO_OK || *ret != CK_INVALID_HANDLE)
        return st;
    if ((st = label_unused(l, &rq->ref, f)) != PROTO_OK)
        return st;
    CK_RV rv = pair_make(l, session, rq, ret);
    return rv == CKR_OK ? PROTO_OK : fault_ckr(f, rv, "C_GenerateKeyPair");
}

static CK_RV rw_open(const struct token *t, CK_SESSION_HANDLE *ret)
{
    return t->slot.f->C_OpenSession(t->slot.id, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, ret);
}

enum proto_status key_generate(struct lane *l, const struct proto_generate *rq, struct proto_key *ret,
                               struct fault *f)
{
    CK_SESSION_HANDLE rw = l->session;
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    CK_RV rv = rq->ref.session ? CKR_OK : rw_open(l->token, &rw);
    if (rv != CKR_OK)
        return fault_ckr(f, rv, "C_OpenSession");
    enum proto_status st = key_make(l, rw, rq, &made, f);
    if (st == PROTO_OK && (rv = key_describe(l, made, rq->ref.session, ret)) != CKR_OK)
        st = fault_ckr(f, rv, l->trouble_at);
    if (!rq->ref.session)
        l->token->slot.f->C_CloseSession(rw);
    return st;
}

/* *ret_gone counts what was there. */
static enum proto_status class_destroy(struct lane *l, CK_SESSION_HANDLE rw, CK_OBJECT_CLASS class,
                                       const struct proto_ref *ref, size_t *ret_gone, struct fault *f)
{
    CK_OBJECT_HANDLE found[2];
    size_t n = 0;
    CK_RV rv = objects_find(l, class, ref, found, 2, &n);
    if (rv != CKR_OK)
        return fault_ckr(f, rv, "C_FindObjects");
    if (n > 1)
        return fault_set(f, PROTO_MANY_KEYS, "%s", ref->label);
    if (n == 1 && (rv = l->token->slot.f->C_DestroyObject(rw, found[0])) != CKR_OK)
        return fault_ckr(f, rv, "C_DestroyObject");
    *ret_gone += n;
    return PROTO_OK;
}

enum proto_status key_destroy(struct lane *l, const struct proto_use *rq, struct fault *f)
{
    CK_SESSION_HANDLE rw;
    size_t gone = 0;
    CK_RV rv = rw_open(l->token, &rw);
    if (rv != CKR_OK)
        return fault_ckr(f, rv, "C_OpenSession");
    enum proto_status st = class_destroy(l, rw, CKO_PRIVATE_KEY, &rq->ref, &gone, f);
    if (st == PROTO_OK)
        st = class_destroy(l, rw, CKO_PUBLIC_KEY, &rq->ref, &gone, f);
    l->token->slot.f->C_CloseSession(rw);
    if (st == PROTO_OK && gone == 0)
        return fault_set(f, PROTO_NO_KEY, "%s", rq->ref.label);
    return st;
}
