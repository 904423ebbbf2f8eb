/* SPDX-License-Identifier: Apache-2.0 */

/* What a vendor's module does otherwise with objects and keys. */
#include "shim.h"

#include <stdint.h>
#include <string.h>

enum { TEMPLATE_MAX = 32, VALUE_MAX = 1024 };

static const struct shim_quirks *const q = &shim_quirks;

static bool attribute_in(const struct shim_attributes *a, CK_ATTRIBUTE_TYPE type)
{
    for (size_t i = 0; i < a->n; i++) {
        if (a->type[i] == type)
            return true;
    }
    return false;
}

/* --- objects */

static const CK_ATTRIBUTE *attribute_of(const CK_ATTRIBUTE *t, CK_ULONG n, CK_ATTRIBUTE_TYPE type)
{
    for (CK_ULONG i = 0; i < n; i++) {
        if (t[i].type == type)
            return &t[i];
    }
    return NULL;
}

CK_RV quirk_create(CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *ret)
{
    const CK_ATTRIBUTE *class = attribute_of(t, n, CKA_CLASS);
    if (q->no_certificates && class && *(const CK_OBJECT_CLASS *)class->pValue == CKO_CERTIFICATE)
        return CKR_ATTRIBUTE_VALUE_INVALID;
    return q->real->C_CreateObject(s, t, n, ret);
}

CK_RV quirk_copy(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *ret)
{
    return q->no_session_copies ? CKR_FUNCTION_NOT_SUPPORTED : q->real->C_CopyObject(s, o, t, n, ret);
}

CK_RV quirk_destroy(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o)
{
    return q->no_destroy ? CKR_FUNCTION_NOT_SUPPORTED : q->real->C_DestroyObject(s, o);
}

static const struct curve {
    const char *oid; /* DER, behind the tag and the length */
    size_t oid_len;
    const char *name;
} curves[] = {
    {"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 10, "secp256r1"},
    {"\x06\x05\x2b\x81\x04\x00\x22", 7, "secp384r1"},
    {"\x06\x05\x2b\x81\x04\x00\x23", 7, "secp521r1"},
};

/* OID -> PrintableString; what is not known stays. */
static CK_ULONG params_to_name(CK_BYTE *p, CK_ULONG n)
{
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        if (curves[i].oid_len == n && memcmp(curves[i].oid, p, n) == 0) {
            size_t len = strlen(curves[i].name);
            p[0] = 0x13;
            p[1] = (CK_BYTE)len;
            memcpy(p + 2, curves[i].name, len);
            return len + 2;
        }
    }
    return n;
}

/* OCTET STRING -> what is in it. */
static CK_ULONG point_unwrap(CK_BYTE *p, CK_ULONG n)
{
    size_t head = n > 2 && p[1] == 0x81 ? 3 : 2;
    if (n <= head || p[0] != 0x04 || p[head - 1] != n - head)
        return n;
    memmove(p, p + head, n - head);
    return n - head;
}

static CK_RV attribute_put(CK_ATTRIBUTE *a, const CK_BYTE *value, CK_ULONG n)
{
    if (a->pValue && a->ulValueLen < n) {
        a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return CKR_BUFFER_TOO_SMALL;
    }
    if (a->pValue)
        memcpy(a->pValue, value, n);
    a->ulValueLen = n;
    return CKR_OK;
}

static CK_RV attribute_get(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE *a)
{
    CK_BYTE value[VALUE_MAX];
    CK_ATTRIBUTE all = {a->type, value, sizeof value};
    bool point = q->raw_point && a->type == CKA_EC_POINT, params = q->params_name && a->type == CKA_EC_PARAMS;
    if (attribute_in(&q->hidden, a->type)) {
        a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return CKR_ATTRIBUTE_TYPE_INVALID;
    }
    if (!point && !params && !attribute_in(&q->falsified, a->type))
        return q->real->C_GetAttributeValue(s, o, a, 1);
    CK_RV rv = q->real->C_GetAttributeValue(s, o, &all, 1);
    if (rv != CKR_OK) {
        a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return rv;
    }
    if (point)
        all.ulValueLen = point_unwrap(value, all.ulValueLen);
    else if (params)
        all.ulValueLen = params_to_name(value, all.ulValueLen);
    else
        value[0] = !value[0];
    return attribute_put(a, value, all.ulValueLen);
}

CK_RV quirk_attributes(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE *t, CK_ULONG n)
{
    CK_RV rv = CKR_OK;
    if (!q->raw_point && !q->params_name && q->hidden.n == 0 && q->falsified.n == 0)
        return q->real->C_GetAttributeValue(s, o, t, n);
    for (CK_ULONG i = 0; i < n; i++) {
        CK_RV one = attribute_get(s, o, &t[i]);
        if (rv == CKR_OK)
            rv = one;
    }
    return rv;
}

/* --- keys in use */

/* What C_SignInit was told, for the C_Sign of the same session. */
static _Thread_local CK_MECHANISM_TYPE signing;

CK_RV quirk_sign_init(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    signing = m->mechanism;
    return shim_mechanism_missing(m->mechanism) ? CKR_MECHANISM_INVALID : q->real->C_SignInit(s, m, key);
}

CK_RV quirk_decrypt_init(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
    return shim_mechanism_missing(m->mechanism) ? CKR_MECHANISM_INVALID : q->real->C_DecryptInit(s, m, key);
}

/* One INTEGER from n octets without sign; returns how long it is. */
static size_t integer_put(const CK_BYTE *p, size_t n, CK_BYTE *ret)
{
    while (n > 1 && *p == 0) {
        p++;
        n--;
    }
    size_t zero = *p & 0x80 ? 1 : 0;
    ret[0] = 0x02;
    ret[1] = (CK_BYTE)(n + zero);
    ret[2] = 0;
    memcpy(ret + 2 + zero, p, n);
    return 2 + zero + n;
}

static CK_ULONG signature_to_der(const CK_BYTE *raw, CK_ULONG n, CK_BYTE *ret)
{
    CK_BYTE body[VALUE_MAX];
    size_t len = integer_put(raw, n / 2, body), head = 2;
    len += integer_put(raw + n / 2, n / 2, body + len);
    ret[0] = 0x30;
    ret[1] = (CK_BYTE)len;
    if (len >= 128) {
        ret[1] = 0x81;
        ret[2] = (CK_BYTE)len;
        head = 3;
    }
    memcpy(ret + head, body, len);
    return head + len;
}

CK_RV quirk_sign(CK_SESSION_HANDLE s, CK_BYTE *data, CK_ULONG n, CK_BYTE *ret, CK_ULONG *ret_n)
{
    CK_BYTE raw[VALUE_MAX], der[VALUE_MAX];
    CK_ULONG len = sizeof raw;
    if (!q->der_signature || signing != CKM_ECDSA)
        return q->real->C_Sign(s, data, n, ret, ret_n);
    CK_RV rv = q->real->C_Sign(s, data, n, NULL, &len);
    if (rv != CKR_OK)
        return rv;
    CK_ULONG most = len + 9; /* three heads, two signs */
    if (!ret || *ret_n < most) {
        *ret_n = most;
        return ret ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    }
    rv = q->real->C_Sign(s, data, n, raw, &len);
    if (rv == CKR_OK) {
        *ret_n = signature_to_der(raw, len, der);
        memcpy(ret, der, *ret_n);
    }
    return rv;
}

/* A curve's name in a template, as its OID. False: it is not a name. */
static bool params_from_name(CK_ATTRIBUTE *a)
{
    const CK_BYTE *p = a->pValue;
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        size_t n = strlen(curves[i].name);
        if (a->ulValueLen == n + 2 && p[0] == 0x13 && memcmp(p + 2, curves[i].name, n) == 0) {
            a->pValue = (void *)(uintptr_t)curves[i].oid;
            a->ulValueLen = curves[i].oid_len;
            return true;
        }
    }
    return false;
}

static CK_RV template_check(const CK_ATTRIBUTE *t, CK_ULONG n)
{
    const CK_ATTRIBUTE *token = attribute_of(t, n, CKA_TOKEN);
    for (CK_ULONG i = 0; i < n; i++) {
        if (attribute_in(&q->refused, t[i].type))
            return CKR_ATTRIBUTE_TYPE_INVALID;
    }
    if (q->no_session_keys && (!token || !*(const CK_BBOOL *)token->pValue))
        return CKR_TEMPLATE_INCONSISTENT;
    return CKR_OK;
}

CK_RV quirk_generate_pair(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_ATTRIBUTE *public, CK_ULONG npublic,
                          CK_ATTRIBUTE *private, CK_ULONG nprivate, CK_OBJECT_HANDLE *ret_public,
                          CK_OBJECT_HANDLE *ret_private)
{
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE a[TEMPLATE_MAX], b[TEMPLATE_MAX];
    CK_RV rv = template_check(public, npublic);
    if (rv == CKR_OK)
        rv = template_check(private, nprivate);
    if (rv == CKR_OK && (npublic > TEMPLATE_MAX || nprivate >= TEMPLATE_MAX))
        rv = CKR_TEMPLATE_INCONSISTENT;
    if (rv == CKR_OK && shim_mechanism_missing(m->mechanism))
        rv = CKR_MECHANISM_INVALID;
    if (rv != CKR_OK)
        return rv;
    memcpy(a, public, npublic * sizeof *public);
    memcpy(b, private, nprivate * sizeof *private);
    for (CK_ULONG i = 0; i < npublic; i++) {
        if (q->params_name && a[i].type == CKA_EC_PARAMS && !params_from_name(&a[i]))
            return CKR_DOMAIN_PARAMS_INVALID;
    }
    if (q->confirm)
        b[nprivate++] = (CK_ATTRIBUTE){CKA_ALWAYS_AUTHENTICATE, &yes, sizeof yes};
    return q->real->C_GenerateKeyPair(s, m, a, npublic, b, nprivate, ret_public, ret_private);
}

CK_RV quirk_derive(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE key, CK_ATTRIBUTE *t, CK_ULONG n,
                   CK_OBJECT_HANDLE *ret)
{
    CK_BYTE point[VALUE_MAX];
    if (shim_mechanism_missing(m->mechanism))
        return CKR_MECHANISM_INVALID;
    if (!q->wrapped_point || m->mechanism != CKM_ECDH1_DERIVE)
        return q->real->C_DeriveKey(s, m, key, t, n, ret);
    CK_ECDH1_DERIVE_PARAMS params = *(const CK_ECDH1_DERIVE_PARAMS *)m->pParameter;
    CK_ULONG len = params.ulPublicDataLen;
    if (len > sizeof point)
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(point, params.pPublicData, len);
    params.ulPublicDataLen = point_unwrap(point, len);
    if (params.ulPublicDataLen == len)
        return CKR_MECHANISM_PARAM_INVALID;
    params.pPublicData = point;
    CK_MECHANISM unwrapped = {m->mechanism, &params, sizeof params};
    return q->real->C_DeriveKey(s, &unwrapped, key, t, n, ret);
}
