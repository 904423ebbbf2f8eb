/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/worker/worker.h"

#include <string.h>

/* One use of a private key: what goes in, and what comes out. */
struct use {
    const struct proto_use *rq;
    CK_BYTE *in;
    CK_ULONG in_len;
    uint8_t *out;
    CK_ULONG out_len;
};

union params {
    CK_RSA_PKCS_PSS_PARAMS pss;
    CK_RSA_PKCS_OAEP_PARAMS oaep;
};

static CK_MECHANISM mechanism_of(const struct proto_use *rq, union params *p)
{
    switch ((enum proto_param)rq->param) {
    case PROTO_PARAM_PSS_SHA256:
        p->pss = (CK_RSA_PKCS_PSS_PARAMS){CKM_SHA256, CKG_MGF1_SHA256, 32};
        return (CK_MECHANISM){rq->mechanism, &p->pss, sizeof p->pss};
    case PROTO_PARAM_OAEP_SHA1:
        p->oaep = (CK_RSA_PKCS_OAEP_PARAMS){CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0};
        return (CK_MECHANISM){rq->mechanism, &p->oaep, sizeof p->oaep};
    case PROTO_PARAM_OAEP_SHA256:
        p->oaep = (CK_RSA_PKCS_OAEP_PARAMS){CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, NULL, 0};
        return (CK_MECHANISM){rq->mechanism, &p->oaep, sizeof p->oaep};
    case PROTO_PARAM_NONE:
    default:
        return (CK_MECHANISM){rq->mechanism, NULL, 0};
    }
}

static enum proto_status sign_once(struct lane *l, void *arg, CK_RV *ret_rv, struct fault *f)
{
    const struct use *u = arg;
    CK_FUNCTION_LIST *p11 = l->token->slot.f;
    union params params;
    CK_MECHANISM m = mechanism_of(u->rq, &params);
    CK_BYTE signature[2 * PROTO_SIGNATURE_MAX] = {0}; /* some modules want more room than they use */
    CK_ULONG len = sizeof signature;
    struct handle *h = NULL;
    enum proto_status st = key_find(l, &u->rq->ref, true, &h, ret_rv, f);
    if (st != PROTO_OK)
        return st;
    *ret_rv = p11->C_SignInit(l->session, &m, h->object);
    if (*ret_rv != CKR_OK)
        return fault_ckr(f, *ret_rv, "C_SignInit");
    if (h->always_authenticate && (st = lane_confirm(l, f)) != PROTO_OK)
        return st;
    *ret_rv = p11->C_Sign(l->session, u->in, u->in_len, signature, &len);
    if (*ret_rv != CKR_OK)
        return fault_ckr(f, *ret_rv, "C_Sign");
    if (len > u->out_len || (len < u->out_len && !u->rq->shorter))
        return fault_set(f, PROTO_FAILED, "a signature of %lu octets instead of %lu", len, u->out_len);
    memcpy(u->out, signature, len);
    memset(u->out + len, 0, u->out_len - len);
    return PROTO_OK;
}

enum proto_status key_sign(struct lane *l, const struct proto_use *rq, const uint8_t *input, size_t n,
                           uint8_t *ret, struct fault *f)
{
    /* Modules take what they only read as not constant. */
    struct use u = {
        .rq = rq, .in = (CK_BYTE *)(uintptr_t)input, .in_len = n, .out = ret, .out_len = rq->result};
    return lane_try(l, sign_once, &u, f);
}

static enum proto_status decrypt_once(struct lane *l, void *arg, CK_RV *ret_rv, struct fault *f)
{
    struct use *u = arg;
    CK_FUNCTION_LIST *p11 = l->token->slot.f;
    union params params;
    CK_MECHANISM m = mechanism_of(u->rq, &params);
    struct handle *h = NULL;
    enum proto_status st = key_find(l, &u->rq->ref, false, &h, ret_rv, f);
    if (st != PROTO_OK)
        return st;
    u->out_len = u->rq->result;
    *ret_rv = p11->C_DecryptInit(l->session, &m, h->object);
    if (*ret_rv != CKR_OK)
        return fault_ckr(f, *ret_rv, "C_DecryptInit");
    if (h->always_authenticate && (st = lane_confirm(l, f)) != PROTO_OK)
        return st;
    *ret_rv = p11->C_Decrypt(l->session, u->in, u->in_len, u->out, &u->out_len);
    if (*ret_rv != CKR_OK)
        return fault_ckr(f, *ret_rv, "C_Decrypt");
    if (u->out_len > u->rq->result)
        return fault_set(f, PROTO_FAILED, "a plaintext of %lu octets, and there is room for %u", u->out_len,
                         u->rq->result);
    return PROTO_OK;
}

enum proto_status key_decrypt(struct lane *l, const struct proto_use *rq, const uint8_t *ciphertext, size_t n,
                              uint8_t *ret, size_t *ret_n, struct fault *f)
{
    struct use u = {.rq = rq, .in = (CK_BYTE *)(uintptr_t)ciphertext, .in_len = n, .out = ret};
    enum proto_status st = lane_try(l, decrypt_once, &u, f);
    if (st == PROTO_OK)
        *ret_n = u.out_len;
    return st;
}

/* The secret is made as a session object that can be read, read, and destroyed in the same breath. */
static CK_RV derive_value(struct lane *l, CK_OBJECT_HANDLE key, const struct proto_use *rq, CK_BYTE *point,
                          CK_ULONG n, uint8_t *ret)
{
    CK_FUNCTION_LIST *p11 = l->token->slot.f;
    CK_ECDH1_DERIVE_PARAMS params = {CKD_NULL, 0, NULL, n, point};
    CK_MECHANISM m = {rq->mechanism, &params, sizeof params};
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ULONG len = rq->result;
    CK_ATTRIBUTE secret[] = {
        {CKA_CLASS, &class, sizeof class},   {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_TOKEN, &no, sizeof no},         {CKA_SENSITIVE, &no, sizeof no},
        {CKA_EXTRACTABLE, &yes, sizeof yes}, {CKA_VALUE_LEN, &len, sizeof len},
    };
    CK_OBJECT_HANDLE made;
    CK_RV rv = p11->C_DeriveKey(l->session, &m, key, secret, sizeof secret / sizeof secret[0], &made);
    if (rv != CKR_OK)
        return rv;
    CK_ATTRIBUTE value = {CKA_VALUE, ret, rq->result};
    rv = p11->C_GetAttributeValue(l->session, made, &value, 1);
    CK_RV destroyed = p11->C_DestroyObject(l->session, made);
    if (rv == CKR_OK && value.ulValueLen != rq->result)
        rv = CKR_DATA_LEN_RANGE;
    return rv == CKR_OK ? destroyed : rv;
}

static enum proto_status derive_once(struct lane *l, void *arg, CK_RV *ret_rv, struct fault *f)
{
    const struct use *u = arg;
    struct handle *h = NULL;
    enum proto_status st = key_find(l, &u->rq->ref, false, &h, ret_rv, f);
    if (st != PROTO_OK)
        return st;
    *ret_rv = derive_value(l, h->object, u->rq, u->in, u->in_len, u->out);
    return *ret_rv == CKR_OK ? PROTO_OK : fault_ckr(f, *ret_rv, "C_DeriveKey");
}

enum proto_status key_derive(struct lane *l, const struct proto_use *rq, const uint8_t *point, size_t n,
                             uint8_t *ret, struct fault *f)
{
    struct use u = {.rq = rq, .in = (CK_BYTE *)(uintptr_t)point, .in_len = n, .out = ret};
    return lane_try(l, derive_once, &u, f);
}

static enum proto_status random_once(struct lane *l, void *arg, CK_RV *ret_rv, struct fault *f)
{
    const struct use *u = arg;
    *ret_rv = l->token->slot.f->C_GenerateRandom(l->session, u->out, u->out_len);
    return *ret_rv == CKR_OK ? PROTO_OK : fault_ckr(f, *ret_rv, "C_GenerateRandom");
}

enum proto_status token_random(struct lane *l, uint8_t *ret, size_t n, struct fault *f)
{
    struct use u = {.out = ret, .out_len = n};
    return lane_try(l, random_once, &u, f);
}

enum proto_status token_mechanisms(struct lane *l, struct proto_mechanism *ret, size_t max, size_t *ret_n,
                                   struct fault *f)
{
    enum { LIST_MAX = 512 };
    const struct slot *s = &l->token->slot;
    CK_MECHANISM_TYPE types[LIST_MAX];
    CK_MECHANISM_INFO info;
    CK_ULONG n = LIST_MAX;
    CK_RV rv = s->f->C_GetMechanismList(s->id, types, &n);
    if (rv != CKR_OK)
        return fault_ckr(f, rv, "C_GetMechanismList");
    *ret_n = 0;
    for (CK_ULONG i = 0; i < n && *ret_n < max; i++) {
        if (s->f->C_GetMechanismInfo(s->id, types[i], &info) != CKR_OK)
            continue;
        ret[(*ret_n)++] = (struct proto_mechanism){
            .type = types[i], .min = info.ulMinKeySize, .max = info.ulMaxKeySize, .flags = info.flags};
    }
    return PROTO_OK;
}

/* Wraps the key out under an AES key made for this: a key that says it cannot be extracted must not let that
 * happen. */
static bool wraps_out(struct lane *l, CK_OBJECT_HANDLE key)
{
    CK_FUNCTION_LIST *p11 = l->token->slot.f;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_BYTE out[4096]; /* a PKCS #8 of RSA-4096 */
    CK_ULONG len = 32, n = sizeof out;
    CK_MECHANISM make = {CKM_AES_KEY_GEN, NULL, 0}, wrap = {CKM_AES_KEY_WRAP_PAD, NULL, 0};
    CK_ATTRIBUTE t[] = {
        {CKA_TOKEN, &no, sizeof no}, {CKA_WRAP, &yes, sizeof yes}, {CKA_VALUE_LEN, &len, sizeof len}};
    CK_OBJECT_HANDLE wrapper;
    if (p11->C_GenerateKey(l->session, &make, t, sizeof t / sizeof t[0], &wrapper) != CKR_OK)
        return false;
    CK_RV rv = p11->C_WrapKey(l->session, &wrap, wrapper, key, out, &n);
    wipe(out, sizeof out);
    p11->C_DestroyObject(l->session, wrapper);
    return rv == CKR_OK;
}

enum proto_status key_read_private(struct lane *l, const struct proto_use *rq, bool *ret, struct fault *f)
{
    struct handle *h = NULL;
    CK_BYTE value[PROTO_KEY_PUBLIC];
    CK_RV ignored;
    enum proto_status st = key_find(l, &rq->ref, false, &h, &ignored, f);
    if (st != PROTO_OK)
        return st;
    /* CKA_VALUE of EC keys; the private exponent of RSA keys. */
    CK_ATTRIBUTE a = {CKA_VALUE, value, sizeof value}, d = {CKA_PRIVATE_EXPONENT, value, sizeof value};
    CK_FUNCTION_LIST *p11 = l->token->slot.f;
    *ret = p11->C_GetAttributeValue(l->session, h->object, &a, 1) == CKR_OK ||
           p11->C_GetAttributeValue(l->session, h->object, &d, 1) == CKR_OK || wraps_out(l, h->object);
    wipe(value, sizeof value);
    return PROTO_OK;
}
