/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/worker/worker.h"

#include <string.h>

/* --- making keys */

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

/* Everything that matters is said, since defaults differ from token to token. */
static CK_RV pair_make(struct lane *l, CK_SESSION_HANDLE session, const struct proto_generate *rq,
                       CK_OBJECT_HANDLE *ret)
{
    struct proto_generate g = *rq;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_BBOOL token = g.session ? CK_FALSE : CK_TRUE, sign = g.derive ? CK_FALSE : CK_TRUE,
             derive = g.derive ? CK_TRUE : CK_FALSE;
    CK_OBJECT_CLASS public_class = CKO_PUBLIC_KEY, private_class = CKO_PRIVATE_KEY;
    CK_KEY_TYPE type = g.type;
    CK_ATTRIBUTE public[] = {
        {CKA_CLASS, &public_class, sizeof public_class},
        {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_EC_PARAMS, g.params, g.params_len},
        {CKA_TOKEN, &token, sizeof token},
        {CKA_PRIVATE, &no, sizeof no},
        {CKA_LABEL, g.ref.label, strlen(g.ref.label)},
        {CKA_ID, g.ref.id, g.ref.id_len},
        {CKA_VERIFY, &sign, sizeof sign},
        {CKA_DERIVE, &derive, sizeof derive},
        {CKA_VERIFY_RECOVER, &no, sizeof no},
        {CKA_ENCRYPT, &no, sizeof no},
        {CKA_WRAP, &no, sizeof no},
    };
    CK_ATTRIBUTE private[] = {
        {CKA_CLASS, &private_class, sizeof private_class},
        {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_TOKEN, &token, sizeof token},
        {CKA_PRIVATE, &yes, sizeof yes},
        {CKA_SENSITIVE, &yes, sizeof yes},
        {CKA_EXTRACTABLE, &no, sizeof no},
        {CKA_LABEL, g.ref.label, strlen(g.ref.label)},
        {CKA_ID, g.ref.id, g.ref.id_len},
        {CKA_SIGN, &sign, sizeof sign},
        {CKA_DERIVE, &derive, sizeof derive},
        {CKA_SIGN_RECOVER, &no, sizeof no},
        {CKA_DECRYPT, &no, sizeof no},
        {CKA_UNWRAP, &no, sizeof no},
        {CKA_MODIFIABLE, &no, sizeof no},
    };
    CK_MECHANISM m = {g.mechanism, NULL, 0};
    CK_OBJECT_HANDLE public_handle;
    size_t nprivate = sizeof private / sizeof private[0];
    CK_FUNCTION_LIST *p11 = l->token->slot.f;
    CK_RV rv = p11->C_GenerateKeyPair(session, &m, public, sizeof public / sizeof public[0], private,
                                      nprivate, &public_handle, ret);
    /* MODIFIABLE comes last: some tokens set it themselves and refuse to be told. */
    if (rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_READ_ONLY || rv == CKR_TEMPLATE_INCONSISTENT)
        rv = p11->C_GenerateKeyPair(session, &m, public, sizeof public / sizeof public[0], private,
                                    nprivate - 1, &public_handle, ret);
    return rv;
}

static enum proto_status key_make(struct lane *l, CK_SESSION_HANDLE session, const struct proto_generate *rq,
                                  struct proto_key *ret, struct fault *f)
{
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    enum proto_status st = earlier_try(l, session, &rq->ref, &made, f);
    if (st == PROTO_OK && made == CK_INVALID_HANDLE) {
        if ((st = label_unused(l, &rq->ref, f)) != PROTO_OK)
            return st;
        CK_RV rv = pair_make(l, session, rq, &made);
        if (rv != CKR_OK)
            return fault_ckr(f, rv, "C_GenerateKeyPair");
    }
    if (st == PROTO_OK)
        key_describe(l, made, ret);
    return st;
}

enum proto_status key_generate(struct lane *l, const struct proto_generate *rq, struct proto_key *ret,
                               struct fault *f)
{
    CK_FUNCTION_LIST *p11 = l->token->slot.f;
    CK_SESSION_HANDLE rw;
    if (rq->session)
        return key_make(l, l->session, rq, ret, f);
    CK_RV rv = p11->C_OpenSession(l->token->slot.id, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &rw);
    if (rv != CKR_OK)
        return fault_ckr(f, rv, "C_OpenSession");
    enum proto_status st = key_make(l, rw, rq, ret, f);
    p11->C_CloseSession(rw);
    return st;
}

/* --- using keys */

static enum proto_status sign_once(struct lane *l, const struct proto_use *rq, const uint8_t *digest,
                                   size_t n, uint8_t *ret, CK_RV *ret_rv, struct fault *f)
{
    CK_FUNCTION_LIST *p11 = l->token->slot.f;
    CK_MECHANISM m = {rq->mechanism, NULL, 0};
    CK_BYTE data[PROTO_SIGNATURE_MAX];
    CK_ULONG len = rq->result;
    struct handle *h = NULL;
    *ret_rv = CKR_OK;
    enum proto_status st = key_find(l, &rq->ref, &h, f);
    if (st != PROTO_OK)
        return st;
    memcpy(data, digest, n);
    *ret_rv = p11->C_SignInit(l->session, &m, h->object);
    if (*ret_rv != CKR_OK)
        return fault_ckr(f, *ret_rv, "C_SignInit");
    if (h->always_authenticate && (st = lane_confirm(l, f)) != PROTO_OK)
        return st;
    *ret_rv = p11->C_Sign(l->session, data, n, ret, &len);
    if (*ret_rv != CKR_OK)
        return fault_ckr(f, *ret_rv, "C_Sign");
    if (len != rq->result)
        return fault_set(f, PROTO_FAILED, "a signature of %lu octets instead of %u", len, rq->result);
    return PROTO_OK;
}

enum proto_status key_sign(struct lane *l, const struct proto_use *rq, const uint8_t *digests, size_t n,
                           size_t digest_len, uint8_t *ret, struct fault *f)
{
    for (size_t i = 0; i < n; i++) {
        const uint8_t *digest = digests + i * digest_len;
        uint8_t *signature = ret + i * rq->result;
        CK_RV rv;
        enum proto_status st = sign_once(l, rq, digest, digest_len, signature, &rv, f);
        if (st != PROTO_OK && lane_recover(l, rv))
            st = sign_once(l, rq, digest, digest_len, signature, &rv, f);
        if (st != PROTO_OK)
            return st;
    }
    return PROTO_OK;
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

static enum proto_status derive_once(struct lane *l, const struct proto_use *rq, const uint8_t *point,
                                     size_t n, uint8_t *ret, CK_RV *ret_rv, struct fault *f)
{
    CK_BYTE wrapped[PROTO_KEY_POINT];
    struct handle *h = NULL;
    *ret_rv = CKR_OK;
    enum proto_status st = key_find(l, &rq->ref, &h, f);
    if (st != PROTO_OK)
        return st;
    memcpy(wrapped + 2, point, n);
    *ret_rv = derive_value(l, h->object, rq, wrapped + 2, n, ret);
    /* PKCS#11 wants the bare point; older tokens want it as a DER OCTET STRING. */
    if ((*ret_rv == CKR_MECHANISM_PARAM_INVALID || *ret_rv == CKR_ARGUMENTS_BAD) && n < 128) {
        wrapped[0] = 0x04;
        wrapped[1] = (CK_BYTE)n;
        *ret_rv = derive_value(l, h->object, rq, wrapped, n + 2, ret);
    }
    return *ret_rv == CKR_OK ? PROTO_OK : fault_ckr(f, *ret_rv, "C_DeriveKey");
}

enum proto_status key_derive(struct lane *l, const struct proto_use *rq, const uint8_t *point, size_t n,
                             uint8_t *ret, struct fault *f)
{
    CK_RV rv;
    enum proto_status st = derive_once(l, rq, point, n, ret, &rv, f);
    if (st != PROTO_OK && lane_recover(l, rv))
        st = derive_once(l, rq, point, n, ret, &rv, f);
    return st;
}

enum proto_status token_random(struct lane *l, uint8_t *ret, size_t n, struct fault *f)
{
    CK_FUNCTION_LIST *p11 = l->token->slot.f;
    CK_RV rv = p11->C_GenerateRandom(l->session, ret, n);
    if (rv != CKR_OK && lane_recover(l, rv))
        rv = p11->C_GenerateRandom(l->session, ret, n);
    return rv == CKR_OK ? PROTO_OK : fault_ckr(f, rv, "C_GenerateRandom");
}

/* Wraps the key out under an AES key made for this: a key that says it cannot be extracted must not let that
 * happen. */
static bool wraps_out(struct lane *l, CK_OBJECT_HANDLE key)
{
    CK_FUNCTION_LIST *p11 = l->token->slot.f;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ULONG len = 32, n = 512;
    CK_BYTE out[512];
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
    CK_BYTE value[PROTO_KEY_POINT];
    enum proto_status st = key_find(l, &rq->ref, &h, f);
    if (st != PROTO_OK)
        return st;
    CK_ATTRIBUTE a = {CKA_VALUE, value, sizeof value};
    CK_RV rv = l->token->slot.f->C_GetAttributeValue(l->session, h->object, &a, 1);
    wipe(value, sizeof value);
    *ret = rv == CKR_OK || wraps_out(l, h->object);
    return PROTO_OK;
}
