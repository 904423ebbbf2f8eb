/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/cms.h"

#include <limits.h>
#include <openssl/err.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "sign/cms_local.h"
#include "sign/evp.h"
#include "sign/signer.h"

#define KEY "sign.cms"

void cms_chain_free(struct cms_chain *c)
{
    for (size_t i = 0; i < c->ncerts; i++)
        bytes_free(&c->certs[i]);
    for (size_t i = 0; i < c->ncrls; i++)
        bytes_free(&c->crls[i]);
    c->ncerts = 0;
    c->ncrls = 0;
}

void cms_signed_free(struct cms_signed *c)
{
    bytes_free(&c->content);
    cms_chain_free(&c->chain);
    c->signing_time = 0;
}

/* Signing. */

static enum rc signer_cert(const struct signer *s, const struct cms_chain *chain, X509 **ret, struct err *e)
{
    struct bytes spki = BYTES_INIT;
    X509 *cert = NULL;
    enum rc rc = RC_OK;

    if (chain->ncerts == 0 || chain->ncerts > CMS_CERTS_MAX || chain->ncrls > CMS_CRLS_MAX)
        return err_set(e, RC_INPUT, KEY,
                       "key '%s': its chain has %zu certificates and %zu CRLs, 1 to %d and at most %d fit",
                       s->name, chain->ncerts, chain->ncrls, CMS_CERTS_MAX, CMS_CRLS_MAX);
    rc = cms_cert_new(bytes_span(&chain->certs[0]), KEY, "signer", &cert, e);
    if (rc != RC_OK)
        return rc;
    cms_cert_spki(cert, &spki);
    if (!span_eq(bytes_span(&spki), bytes_span(&s->spki))) {
        rc = err_set(e, RC_INPUT, KEY, "key '%s': the signer's certificate is for another key", s->name);
        goto out;
    }
    *ret = cert;
    cert = NULL;
out:
    X509_free(cert);
    bytes_free(&spki);
    return rc;
}

static enum rc add_crl(CMS_ContentInfo *cms, struct span der, struct err *e)
{
    const unsigned char *p = der.p;
    X509_CRL *crl = X509_CRL_new_ex(crypto()->ctx, NULL);

    if (crl == NULL)
        out_of_memory();
    if (der.n > CMS_OCTETS_MAX || d2i_X509_CRL(&crl, &p, (long)der.n) == NULL || p != der.p + der.n ||
        CMS_add1_crl(cms, crl) != 1) {
        X509_CRL_free(crl);
        return err_ossl(e, RC_INPUT, KEY, "CRL of the 'chain': not the DER of an X.509 CRL");
    }
    X509_CRL_free(crl);
    return RC_OK;
}

/* certs[0] goes in with its SignerInfo. */
static enum rc add_chain(CMS_ContentInfo *cms, const struct cms_chain *chain, struct err *e)
{
    enum rc rc = RC_OK;

    for (size_t i = 1; i < chain->ncerts && rc == RC_OK; i++) {
        X509 *cert = NULL;
        rc = cms_cert_new(bytes_span(&chain->certs[i]), KEY, "chain", &cert, e);
        if (rc == RC_OK && CMS_add1_cert(cms, cert) != 1)
            rc = err_ossl(e, RC_INPUT, KEY,
                          "certificate '%zu' of the chain: it cannot be added, is it there twice?", i);
        X509_free(cert);
    }
    for (size_t i = 0; i < chain->ncrls && rc == RC_OK; i++)
        rc = add_crl(cms, bytes_span(&chain->crls[i]), e);
    return rc;
}

static bool add_signing_time(CMS_SignerInfo *si, int64_t at)
{
    ASN1_TIME *t = ASN1_TIME_set(NULL, (time_t)at); /* UTCTime up to 2049, as RFC 5652 11.3 wants it */
    bool ok =
        t != NULL && CMS_signed_add1_attr_by_NID(si, NID_pkcs9_signingTime, ASN1_STRING_type(t), t, -1) == 1;

    ASN1_TIME_free(t);
    return ok;
}

/* Builds the structure and lets libcrypto digest the content and sign the attributes. */
static bool sign_content(CMS_ContentInfo *cms, X509 *cert, EVP_PKEY *key, const struct alg *alg,
                         struct span content, int64_t at)
{
    unsigned flags = CMS_BINARY | CMS_PARTIAL | CMS_NOSMIMECAP;
    BIO *in = BIO_new_mem_buf(content.n == 0 ? "" : (const char *)content.p, (int)content.n);
    CMS_SignerInfo *si = CMS_add1_signer(cms, cert, key, alg_md(alg), flags);
    bool ok = in != NULL && si != NULL && add_signing_time(si, at) && CMS_final(cms, in, NULL, flags) == 1;

    BIO_free(in);
    return ok;
}

/* placement: CMS_DETACHED, or 0 for content inside. */
static enum rc sign_as(struct signer *s, const struct cms_chain *chain, struct span content, int64_t at,
                       unsigned placement, struct bytes *ret, struct err *e)
{
    X509 *cert = NULL;
    EVP_PKEY *key = NULL;
    CMS_ContentInfo *cms = NULL;
    enum rc rc = RC_OK;

    if (content.n > CMS_OCTETS_MAX)
        return err_set(e, RC_INPUT, KEY, "key '%s': a content of %zu octets, at most %d can be signed",
                       s->name, content.n, CMS_OCTETS_MAX);
    rc = signer_cert(s, chain, &cert, e);
    if (rc != RC_OK)
        goto out;
    rc = evp_from_signer(s, &key, e);
    if (rc != RC_OK)
        goto out;
    cms = CMS_sign_ex(NULL, NULL, NULL, NULL, CMS_BINARY | CMS_PARTIAL | placement, crypto()->ctx, NULL);
    if (cms == NULL) {
        rc = err_ossl(e, RC_SYSTEM, KEY, "key '%s': cannot begin a CMS file", s->name);
        goto out;
    }
    rc = add_chain(cms, chain, e);
    if (rc != RC_OK)
        goto out;
    if (!sign_content(cms, cert, key, s->alg, content, at)) {
        rc = err_ossl(e, RC_SYSTEM, KEY, "key '%s': cannot sign a CMS file", s->name);
        goto out;
    }
    rc = cms_encode(cms, KEY, ret, e);
out:
    ERR_clear_error();
    CMS_ContentInfo_free(cms);
    EVP_PKEY_free(key);
    X509_free(cert);
    return rc;
}

enum rc cms_sign(struct signer *s, const struct cms_chain *chain, struct span content, int64_t at,
                 struct bytes *ret, struct err *e)
{
    return sign_as(s, chain, content, at, 0, ret, e);
}

enum rc cms_sign_detached(struct signer *s, const struct cms_chain *chain, struct span content, int64_t at,
                          struct bytes *ret, struct err *e)
{
    return sign_as(s, chain, content, at, CMS_DETACHED, ret, e);
}

/* Verifying. */

/* The one SignerInfo, tied to its certificate inside the file. */
static enum rc only_signer(const char *name, CMS_ContentInfo *cms, CMS_SignerInfo **ret, X509 **ret_cert,
                           struct err *e)
{
    STACK_OF(CMS_SignerInfo) *all = CMS_get0_SignerInfos(cms);
    CMS_SignerInfo *si = NULL;
    X509 *cert = NULL;

    if (all == NULL || sk_CMS_SignerInfo_num(all) != 1)
        return err_set(e, RC_INPUT, KEY, "'%s': %d signers, exactly one is required", name,
                       all == NULL ? 0 : sk_CMS_SignerInfo_num(all));
    si = sk_CMS_SignerInfo_value(all, 0);
    if (CMS_set1_signers_certs(cms, NULL, 0) == 1)
        CMS_SignerInfo_get0_algs(si, NULL, &cert, NULL, NULL);
    if (cert == NULL)
        return err_ossl(e, RC_INPUT, KEY, "'%s': the signer's certificate is not inside", name);
    *ret = si;
    *ret_cert = cert;
    return RC_OK;
}

static bool algid_is(const X509_ALGOR *algor, struct span expected)
{
    unsigned char *der = NULL;
    int n = i2d_X509_ALGOR(algor, &der);
    bool same = n > 0 && span_eq((struct span){der, (size_t)n}, expected);

    OPENSSL_free(der);
    return same;
}

/* The key is one of our rows, and digest and signature are that row's: nothing weaker may be negotiated by
 * the file. */
static enum rc check_algs(const char *name, CMS_SignerInfo *si, const X509 *cert, struct err *e)
{
    struct bytes spki = BYTES_INIT;
    const struct alg *alg = NULL;
    X509_ALGOR *digest = NULL, *sig = NULL;
    const ASN1_OBJECT *oid = NULL;

    cms_cert_spki(cert, &spki);
    enum rc rc = spki_check(bytes_span(&spki), &alg, e);
    bytes_free(&spki);
    if (rc != RC_OK)
        return err_set(e, RC_INPUT, KEY, "'%s': the signer's key is not a valid one of %s", name,
                       alg_names());
    CMS_SignerInfo_get0_algs(si, NULL, NULL, &digest, &sig);
    X509_ALGOR_get0(&oid, NULL, NULL, digest);
    if (OBJ_obj2nid(oid) != EVP_MD_get_type(alg_md(alg)) || !algid_is(sig, alg->sig_algid))
        return err_set(e, RC_INPUT, KEY, "'%s': a key of type %s signs with %s alone", name, alg->name,
                       alg->digest);
    return RC_OK;
}

/* Signed attributes are required: without them, the octets of a file's attributes would pass as signed
 * content themselves. */
static enum rc check_attributes(const char *name, CMS_ContentInfo *cms, CMS_SignerInfo *si, struct err *e)
{
    const ASN1_OBJECT *type = CMS_get0_eContentType(cms);

    if (OBJ_obj2nid(type) != NID_pkcs7_data)
        return err_set(e, RC_INPUT, KEY, "'%s': its content type is not data", name);
    if (CMS_signed_get_attr_count(si) <= 0)
        return err_set(e, RC_INPUT, KEY, "'%s': its signer has no signed attributes", name);
    const ASN1_OBJECT *attr =
        CMS_signed_get0_data_by_OBJ(si, OBJ_nid2obj(NID_pkcs9_contentType), -3, V_ASN1_OBJECT);
    if (attr == NULL || OBJ_cmp(attr, type) != 0)
        return err_set(e, RC_INPUT, KEY, "'%s': its signed content type is not data (RFC 5652 11.1)", name);
    return RC_OK;
}

/* detached NULL: the content is inside. Either way there is one place it may be in. */
static enum rc take_content(const char *name, CMS_ContentInfo *cms, const struct span *detached,
                            struct bytes *ret, struct err *e)
{
    ASN1_OCTET_STRING **content = CMS_get0_content(cms);
    bool inside = content != NULL && *content != NULL;

    if (inside && detached != NULL)
        return err_set(e, RC_INPUT, KEY, "'%s': it has content of its own; a detached signature is required",
                       name);
    if (!inside && detached == NULL)
        return err_set(e, RC_INPUT, KEY, "'%s': it has no content; a detached signature is not accepted",
                       name);
    if (detached != NULL)
        bytes_add_span(ret, *detached);
    else
        bytes_add(ret, ASN1_STRING_get0_data(*content), (size_t)ASN1_STRING_length(*content));
    return RC_OK;
}

static enum rc verify_signature(const char *name, CMS_ContentInfo *cms, const struct span *detached,
                                struct err *e)
{
    BIO *in = NULL;

    if (detached != NULL) {
        if (detached->n > CMS_OCTETS_MAX)
            return err_set(e, RC_INPUT, KEY, "'%s': a content of %zu octets, at most %d are accepted", name,
                           detached->n, CMS_OCTETS_MAX);
        in = BIO_new_mem_buf(detached->n == 0 ? "" : (const char *)detached->p, (int)detached->n);
        if (in == NULL)
            out_of_memory();
    }
    int ok = CMS_verify(cms, NULL, NULL, in, NULL, CMS_BINARY | CMS_NO_SIGNER_CERT_VERIFY);
    BIO_free(in);
    return ok == 1 ? RC_OK : err_ossl(e, RC_INPUT, KEY, "'%s': its signature does not verify", name);
}

static enum rc take_time(const char *name, const CMS_SignerInfo *si, int64_t *ret, struct err *e)
{
    int at = CMS_signed_get_attr_by_NID(si, NID_pkcs9_signingTime, -1);
    struct tm tm;

    *ret = 0;
    if (at < 0)
        return RC_OK;
    const ASN1_TYPE *value = X509_ATTRIBUTE_get0_type(CMS_signed_get_attr(si, at), 0);
    if (value == NULL || (value->type != V_ASN1_UTCTIME && value->type != V_ASN1_GENERALIZEDTIME) ||
        ASN1_TIME_to_tm(value->value.asn1_string, &tm) != 1)
        return err_ossl(e, RC_INPUT, KEY, "'%s': its signing time is not a time", name);
    struct civil c = {tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec};
    if (civil_time(&c, ret, e) != RC_OK)
        return err_set(e, RC_INPUT, KEY, "'%s': its signing time is out of range", name);
    return RC_OK;
}

/* Appends the DER of a certificate or CRL to the next free buffer. */
static enum rc take_der(const char *name, int (*i2d)(const void *, unsigned char **), const void *from,
                        struct bytes *list, size_t max, size_t *n, struct err *e)
{
    unsigned char *der = NULL;
    int len = 0;

    if (*n == max)
        return err_set(e, RC_INPUT, KEY, "'%s': more than %zu certificates or CRLs", name, max);
    len = i2d(from, &der);
    if (len <= 0)
        return err_ossl(e, RC_INPUT, KEY, "'%s': a certificate or CRL inside cannot be read", name);
    bytes_add(&list[(*n)++], der, (size_t)len);
    OPENSSL_free(der);
    return RC_OK;
}

static int cert_i2d(const void *cert, unsigned char **ret)
{
    return i2d_X509(cert, ret);
}

static int crl_i2d(const void *crl, unsigned char **ret)
{
    return i2d_X509_CRL(crl, ret);
}

/* The signer's certificate comes first; the order of the others means nothing: they are a set, sorted by the
 * encoder. */
static enum rc take_chain(const char *name, CMS_ContentInfo *cms, const X509 *signer, struct cms_chain *ret,
                          struct err *e)
{
    STACK_OF(X509) *certs = CMS_get1_certs(cms);
    STACK_OF(X509_CRL) *crls = CMS_get1_crls(cms);
    enum rc rc = take_der(name, cert_i2d, signer, ret->certs, CMS_CERTS_MAX, &ret->ncerts, e);

    for (int i = 0; i < sk_X509_num(certs) && rc == RC_OK; i++) {
        const X509 *cert = sk_X509_value(certs, i);
        if (X509_cmp(cert, signer) != 0)
            rc = take_der(name, cert_i2d, cert, ret->certs, CMS_CERTS_MAX, &ret->ncerts, e);
    }
    for (int i = 0; i < sk_X509_CRL_num(crls) && rc == RC_OK; i++)
        rc = take_der(name, crl_i2d, sk_X509_CRL_value(crls, i), ret->crls, CMS_CRLS_MAX, &ret->ncrls, e);
    sk_X509_CRL_pop_free(crls, X509_CRL_free);
    sk_X509_pop_free(certs, X509_free);
    return rc;
}

static enum rc verify_as(const char *name, struct span der, const struct span *detached,
                         struct cms_signed *ret, struct err *e)
{
    struct cms_signed out = {.content = BYTES_INIT};
    CMS_ContentInfo *cms = NULL;
    CMS_SignerInfo *si = NULL;
    X509 *cert = NULL;
    enum rc rc = cms_parse(name, KEY, der, NID_pkcs7_signed, &cms, e);

    if (rc == RC_OK)
        rc = take_content(name, cms, detached, &out.content, e);
    if (rc == RC_OK)
        rc = only_signer(name, cms, &si, &cert, e);
    if (rc == RC_OK)
        rc = check_algs(name, si, cert, e);
    if (rc == RC_OK)
        rc = check_attributes(name, cms, si, e);
    if (rc == RC_OK)
        rc = verify_signature(name, cms, detached, e);
    if (rc == RC_OK)
        rc = take_chain(name, cms, cert, &out.chain, e);
    if (rc == RC_OK)
        rc = take_time(name, si, &out.signing_time, e);
    if (rc == RC_OK) {
        *ret = out;
        out = (struct cms_signed){.content = BYTES_INIT};
    }
    ERR_clear_error();
    cms_signed_free(&out);
    CMS_ContentInfo_free(cms);
    return rc;
}

enum rc cms_verify(const char *name, struct span der, struct cms_signed *ret, struct err *e)
{
    return verify_as(name, der, NULL, ret, e);
}

enum rc cms_verify_detached(const char *name, struct span der, struct span content, struct cms_signed *ret,
                            struct err *e)
{
    return verify_as(name, der, &content, ret, e);
}
