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

/* The digest of a content that a key of this row signs. */
static const EVP_MD *content_md(const struct alg *a)
{
    return a->digest == NULL ? crypto()->sha512 : alg_md(a);
}

/* As RFC 3370 3.2 names PKCS #1 v1.5 in CMS, where the digest has a field of its own. */
static struct span cms_algid(const struct alg *a)
{
    return a->family == ALG_RSA && !a->pss ? a->key_algid : a->sig_algid;
}

static bool add_attributes(CMS_SignerInfo *si, const struct alg *a, struct span content, int64_t at)
{
    ASN1_TIME *t = ASN1_TIME_set(NULL, (time_t)at); /* UTCTime up to 2049, as RFC 5652 11.3 wants it */
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    bool ok =
        t != NULL && EVP_Digest(content.p, content.n, digest, &n, content_md(a), NULL) == 1 &&
        CMS_signed_add1_attr_by_NID(si, NID_pkcs9_contentType, V_ASN1_OBJECT, OBJ_nid2obj(NID_pkcs7_data),
                                    -1) == 1 &&
        CMS_signed_add1_attr_by_NID(si, NID_pkcs9_messageDigest, V_ASN1_OCTET_STRING, digest, (int)n) == 1 &&
        CMS_signed_add1_attr_by_NID(si, NID_pkcs9_signingTime, ASN1_STRING_type(t), t, -1) == 1;

    ASN1_TIME_free(t);
    return ok;
}

static bool set_algid(CMS_SignerInfo *si, struct span der)
{
    const unsigned char *p = der.p;
    X509_ALGOR *from = d2i_X509_ALGOR(NULL, &p, (long)der.n), *to = NULL;

    CMS_SignerInfo_get0_algs(si, NULL, NULL, NULL, &to);
    bool ok = from != NULL && X509_ALGOR_copy(to, from) == 1;
    X509_ALGOR_free(from);
    return ok;
}

static bool put_content(CMS_ContentInfo *cms, struct span content)
{
    ASN1_OCTET_STRING **at = CMS_get0_content(cms);

    return at != NULL && *at != NULL && ASN1_STRING_set(*at, content.p, (int)content.n) == 1;
}

/* libcrypto builds the structure. The signature over its attributes is made here: its own builder has no
 * Ed25519, and asks for PSS in the key's parameters alone. */
static enum rc sign_content(CMS_ContentInfo *cms, X509 *cert, struct signer *s, struct span content,
                            int64_t at, bool inside, struct err *e)
{
    unsigned flags = CMS_BINARY | CMS_PARTIAL | CMS_NOSMIMECAP;
    CMS_SignerInfo *si = CMS_add1_signer(cms, cert, s->public_key, unconst(content_md(s->alg)), flags);
    struct bytes attributes = BYTES_INIT, sig = BYTES_INIT;
    enum rc rc = RC_OK;

    if (si == NULL || !add_attributes(si, s->alg, content, at) || !set_algid(si, cms_algid(s->alg)) ||
        (inside && !put_content(cms, content)))
        return err_ossl(e, RC_SYSTEM, KEY, "key '%s': cannot sign a CMS file", s->name);
    rc = cms_attributes("the CMS file", KEY, si, &attributes, e);
    if (rc == RC_OK)
        rc = signer_sign_message(s, bytes_span(&attributes), &sig, e);
    if (rc == RC_OK && ASN1_STRING_set(CMS_SignerInfo_get0_signature(si), sig.p, (int)sig.n) != 1)
        out_of_memory();
    bytes_free(&attributes);
    bytes_free(&sig);
    return rc == RC_OK ? rc : err_prefix(e, "key '%s': cannot sign a CMS file", s->name);
}

/* placement: CMS_DETACHED, or 0 for content inside. */
static enum rc sign_as(struct signer *s, const struct cms_chain *chain, struct span content, int64_t at,
                       unsigned placement, struct bytes *ret, struct err *e)
{
    X509 *cert = NULL;
    CMS_ContentInfo *cms = NULL;
    enum rc rc = RC_OK;

    if (content.n > CMS_OCTETS_MAX)
        return err_set(e, RC_INPUT, KEY, "key '%s': a content of %zu octets, at most %d can be signed",
                       s->name, content.n, CMS_OCTETS_MAX);
    rc = signer_cert(s, chain, &cert, e);
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
    rc = sign_content(cms, cert, s, content, at, placement == 0, e);
    if (rc == RC_OK)
        rc = cms_encode(cms, KEY, ret, e);
out:
    ERR_clear_error();
    CMS_ContentInfo_free(cms);
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

/* The row under which a key of row key signed. CMS may name PKCS #1 v1.5 with its digest or without. */
static const struct alg *cms_scheme(const struct alg *key, const X509_ALGOR *algor)
{
    unsigned char *der = NULL;
    int n = i2d_X509_ALGOR(algor, &der);
    struct span id = {der, n > 0 ? (size_t)n : 0};
    const struct alg *a = span_eq(id, cms_algid(alg_key(key))) ? alg_key(key) : alg_for_signature(key, id);

    OPENSSL_free(der);
    return a;
}

/* What the signer's key is, and under which of its rows the file is signed. */
struct scheme {
    struct bytes spki;
    const struct alg *alg;
};

/* The key is one of our rows, and digest and signature are that row's: nothing weaker may be negotiated by
 * the file. */
static enum rc check_algs(const char *name, CMS_SignerInfo *si, const X509 *cert, struct scheme *ret,
                          struct err *e)
{
    const struct alg *alg = NULL;
    X509_ALGOR *digest = NULL, *sig = NULL;
    const ASN1_OBJECT *oid = NULL;
    int parameters = V_ASN1_UNDEF;

    cms_cert_spki(cert, &ret->spki);
    if (spki_check(bytes_span(&ret->spki), &alg, e) != RC_OK)
        return err_set(e, RC_INPUT, KEY, "'%s': the signer's key is not a valid one of %s", name,
                       alg_key_names());
    CMS_SignerInfo_get0_algs(si, NULL, NULL, &digest, &sig);
    X509_ALGOR_get0(&oid, &parameters, NULL, digest);
    ret->alg = cms_scheme(alg, sig);
    if (ret->alg == NULL || OBJ_obj2nid(oid) != EVP_MD_get_type(content_md(alg)) ||
        (parameters != V_ASN1_UNDEF && parameters != V_ASN1_NULL)) /* RFC 5754 2 */
        return err_set(e, RC_INPUT, KEY, "'%s': a key of type %s signs with %s alone", name, alg->name,
                       alg->digest == NULL ? "SHA512" : alg->digest);
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

/* The content is what the attributes say, and the attributes are what was signed (RFC 5652 5.4). */
static enum rc verify_signature(const char *name, CMS_SignerInfo *si, const struct scheme *scheme,
                                struct span content, struct err *e)
{
    const ASN1_OCTET_STRING *said =
        CMS_signed_get0_data_by_OBJ(si, OBJ_nid2obj(NID_pkcs9_messageDigest), -3, V_ASN1_OCTET_STRING);
    const ASN1_OCTET_STRING *sig = CMS_SignerInfo_get0_signature(si);
    struct bytes attributes = BYTES_INIT;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    struct err why;

    if (EVP_Digest(content.p, content.n, digest, &n, content_md(scheme->alg), NULL) != 1)
        out_of_memory();
    if (said == NULL || !span_eq((struct span){ASN1_STRING_get0_data(said), (size_t)ASN1_STRING_length(said)},
                                 (struct span){digest, n}))
        return err_set(e, RC_INPUT, KEY, "'%s': its signature does not verify: it is over another content",
                       name);
    enum rc rc = cms_attributes(name, KEY, si, &attributes, e);
    if (rc == RC_OK &&
        signature_verify_message(scheme->alg, bytes_span(&scheme->spki), bytes_span(&attributes),
                                 (struct span){ASN1_STRING_get0_data(sig), (size_t)ASN1_STRING_length(sig)},
                                 &why) != RC_OK)
        rc = err_set(e, RC_INPUT, KEY, "'%s': its signature does not verify", name);
    bytes_free(&attributes);
    return rc;
}

static enum rc take_time(const char *name, const CMS_SignerInfo *si, int64_t *ret, struct err *e)
{
    int at = CMS_signed_get_attr_by_NID(si, NID_pkcs9_signingTime, -1);
    struct tm tm;

    *ret = 0;
    if (at < 0)
        return RC_OK;
    X509_ATTRIBUTE *attr = CMS_signed_get_attr(si, at);
    const ASN1_TYPE *value = X509_ATTRIBUTE_get0_type(attr, 0);
    if (value == NULL || X509_ATTRIBUTE_count(attr) != 1 ||
        CMS_signed_get_attr_by_NID(si, NID_pkcs9_signingTime, at) >= 0 ||
        (value->type != V_ASN1_UTCTIME && value->type != V_ASN1_GENERALIZEDTIME) ||
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
    struct scheme scheme = {.spki = BYTES_INIT};
    enum rc rc = RC_OK;

    if (detached != NULL && detached->n > CMS_OCTETS_MAX)
        return err_set(e, RC_INPUT, KEY, "'%s': a content of %zu octets, at most %d are accepted", name,
                       detached->n, CMS_OCTETS_MAX);
    rc = cms_parse(name, KEY, der, NID_pkcs7_signed, &cms, e);

    if (rc == RC_OK)
        rc = take_content(name, cms, detached, &out.content, e);
    if (rc == RC_OK)
        rc = only_signer(name, cms, &si, &cert, e);
    if (rc == RC_OK)
        rc = check_algs(name, si, cert, &scheme, e);
    if (rc == RC_OK)
        rc = check_attributes(name, cms, si, e);
    if (rc == RC_OK)
        rc = verify_signature(name, si, &scheme, bytes_span(&out.content), e);
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
    bytes_free(&scheme.spki);
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
