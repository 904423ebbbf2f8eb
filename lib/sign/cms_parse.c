/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "sign/cms_local.h"
#include "sign/der.h"
#include "sign/evp.h"

enum rc cms_cert_new(struct span der, const char *key, const char *what, X509 **ret, struct err *e)
{
    const unsigned char *p = der.p;
    X509 *cert = X509_new_ex(crypto()->ctx, NULL);

    if (cert == NULL)
        out_of_memory();
    /* On failure d2i_X509 frees cert and sets it to NULL. */
    if (der.n > CMS_OCTETS_MAX || d2i_X509(&cert, &p, (long)der.n) == NULL || p != der.p + der.n) {
        X509_free(cert);
        return err_ossl(e, RC_INPUT, key, "certificate of the %s: not the DER of an X.509 certificate", what);
    }
    *ret = cert;
    return RC_OK;
}

void cms_cert_spki(const X509 *cert, struct bytes *ret)
{
    unsigned char *der = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);

    if (n <= 0)
        out_of_memory();
    bytes_add(ret, der, (size_t)n);
    OPENSSL_free(der);
}

/* DER has one encoding: what libcrypto, which reads BER too, writes again must be what it read. */
static bool encodes_to(CMS_ContentInfo *cms, struct span der)
{
    unsigned char *again = NULL;
    int n = i2d_CMS_ContentInfo(cms, &again);
    bool same = n > 0 && span_eq((struct span){again, (size_t)n}, der);

    OPENSSL_free(again);
    return same;
}

/* What a person is told about something else altogether; libcrypto's reason comes behind it. */
static const char *no_cms(int type)
{
    return type == NID_pkcs7_signed
               ? "is no signed document of keymill (not a CMS file with SignedData, RFC 5652)"
               : "is not a CMS file in DER (RFC 5652)";
}

enum rc cms_parse(const char *name, const char *key, struct span der, int type, CMS_ContentInfo **ret,
                  struct err *e)
{
    const unsigned char *p = der.p;
    CMS_ContentInfo *cms = NULL;
    enum rc rc = RC_OK;

    if (der.n > CMS_OCTETS_MAX)
        return err_set(e, RC_INPUT, key, "'%s': a CMS file of %zu octets, at most %d are accepted", name,
                       der.n, CMS_OCTETS_MAX);
    cms = CMS_ContentInfo_new_ex(crypto()->ctx, NULL);
    if (cms == NULL)
        out_of_memory();
    if (d2i_CMS_ContentInfo(&cms, &p, (long)der.n) == NULL) {
        rc = err_ossl(e, RC_INPUT, key, "'%s' %s", name, no_cms(type));
        goto out;
    }
    if (p != der.p + der.n) {
        rc = err_set(e, RC_INPUT, key, "'%s': %zu octets behind the CMS structure", name,
                     (size_t)(der.p + der.n - p));
        goto out;
    }
    if (OBJ_obj2nid(CMS_get0_type(cms)) != type) {
        if (type == NID_pkcs7_signed)
            rc = err_set(e, RC_INPUT, key, "'%s' %s", name, no_cms(type));
        else
            rc = err_set(e, RC_INPUT, key, "'%s': not a CMS structure of type %s", name, OBJ_nid2sn(type));
        goto out;
    }
    if (!encodes_to(cms, der)) {
        rc = err_set(e, RC_INPUT, key, "'%s': encoded in BER, DER is required", name);
        goto out;
    }
    *ret = cms;
    cms = NULL;
out:
    ERR_clear_error();
    CMS_ContentInfo_free(cms);
    return rc;
}

/* X.690 11.6: as octet strings, the shorter one filled up with zeros; one attribute is never the beginning of
 * another. */
static int by_octets(const void *a, const void *b)
{
    const struct bytes *x = a, *y = b;
    int order = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);

    return order != 0 ? order : (x->n > y->n) - (x->n < y->n);
}

enum rc cms_attributes(const char *name, const char *key, CMS_SignerInfo *si, struct bytes *ret,
                       struct err *e)
{
    struct bytes list[CMS_ATTRIBUTES_MAX] = {{NULL, 0, 0}};
    int n = CMS_signed_get_attr_count(si);
    size_t octets = 0;
    enum rc rc = RC_OK;

    if (n < 1 || n > CMS_ATTRIBUTES_MAX)
        return err_set(e, RC_INPUT, key, "'%s': %d signed attributes, 1 to %d are accepted", name, n,
                       CMS_ATTRIBUTES_MAX);
    for (int i = 0; i < n; i++) {
        unsigned char *der = NULL;
        int len = i2d_X509_ATTRIBUTE(CMS_signed_get_attr(si, i), &der);
        if (len <= 0)
            out_of_memory();
        bytes_add(&list[i], der, (size_t)len);
        octets += (size_t)len;
        OPENSSL_free(der);
    }
    if (octets > UINT16_MAX) {
        rc = err_set(e, RC_INPUT, key, "'%s': signed attributes of %zu octets, at most %d are accepted", name,
                     octets, UINT16_MAX);
        goto out;
    }
    qsort(list, (size_t)n, sizeof(list[0]), by_octets);
    (void)der_head(bytes_room(ret, der_head_len(octets)), V_ASN1_SET | V_ASN1_CONSTRUCTED, octets);
    ret->n += der_head_len(octets);
    for (int i = 0; i < n; i++)
        bytes_add_span(ret, bytes_span(&list[i]));
out:
    for (int i = 0; i < n; i++)
        bytes_free(&list[i]);
    return rc;
}

enum rc cms_encode(CMS_ContentInfo *cms, const char *key, struct bytes *ret, struct err *e)
{
    unsigned char *der = NULL;
    int n = i2d_CMS_ContentInfo(cms, &der);

    if (n <= 0)
        return err_ossl(e, RC_SYSTEM, key, "cannot encode a CMS file");
    bytes_add(ret, der, (size_t)n);
    OPENSSL_free(der);
    return RC_OK;
}
