/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>

#include "base/secret.h"
#include "sign/cms.h"
#include "sign/cms_local.h"
#include "sign/evp.h"
#include "sign/signer.h"

/*
 * CMS_final and CMS_decrypt copy the content through buffers of their own that are not wiped. So the content
 * is written to and read from the structure's cipher BIO directly, whose buffer libcrypto does wipe.
 */

enum { GCM_TAG_LEN = 16 };

static enum rc recipient_cert(struct span der, const char *key, X509 **ret, struct bytes *ret_spki,
                              const struct alg **ret_alg, struct err *e)
{
    const struct alg *alg = NULL;
    X509 *cert = NULL;
    enum rc rc = cms_cert_new(der, key, "recipient", &cert, e);

    if (rc != RC_OK)
        return rc;
    cms_cert_spki(cert, ret_spki);
    rc = spki_check(bytes_span(ret_spki), &alg, e);
    if (rc != RC_OK) {
        X509_free(cert);
        return err_prefix(e, "certificate of the recipient");
    }
    if (alg->p11_derive == 0 && alg->p11_decrypt == 0) {
        X509_free(cert);
        return err_set(e, RC_INPUT, "sign.key-type",
                       "certificate of the recipient: nothing can be sealed to keys of type '%s'", alg->name);
    }
    *ret_alg = alg;
    *ret = cert;
    return RC_OK;
}

/* EC: the key encryption is libcrypto's choice of AES wrap for a 256-bit content key; the KDF's digest would
 * be SHA-1. RSA: the padding would be PKCS #1 v1.5. */
static bool add_recipient(CMS_ContentInfo *cms, X509 *cert, const struct alg *alg, enum oaep_digest digest)
{
    CMS_RecipientInfo *ri = CMS_add1_recipient_cert(cms, cert, alg->family == ALG_RSA ? CMS_KEY_PARAM : 0);
    EVP_PKEY_CTX *ctx = ri == NULL ? NULL : CMS_RecipientInfo_get0_pkey_ctx(ri);
    const EVP_MD *md = digest == OAEP_SHA1 ? crypto()->sha1 : crypto()->sha256;

    if (ctx == NULL)
        return false;
    if (alg->family != ALG_RSA)
        return EVP_PKEY_CTX_set_ecdh_kdf_md(ctx, crypto()->sha256) > 0;
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) > 0 &&
           EVP_PKEY_CTX_set_rsa_oaep_md(ctx, md) > 0 && EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md) > 0;
}

static bool write_content(CMS_ContentInfo *cms, const struct secret *content)
{
    size_t len = secret_len(content);
    size_t n = 0;
    bool ok = false;
    BIO *bio = CMS_set_detached(cms, 0) == 1 ? CMS_dataInit(cms, NULL) : NULL;

    if (bio != NULL && (len == 0 || BIO_write_ex(bio, secret_data(content), len, &n) == 1))
        ok = n == len && BIO_flush(bio) == 1 && CMS_dataFinal(cms, bio) == 1;
    BIO_free_all(bio);
    return ok;
}

enum rc cms_seal(struct span recipient, const struct secret *content, struct bytes *ret, struct err *e)
{
    return cms_seal_oaep(recipient, OAEP_SHA256, content, ret, e);
}

enum rc cms_seal_oaep(struct span recipient, enum oaep_digest digest, const struct secret *content,
                      struct bytes *ret, struct err *e)
{
    const struct alg *alg = NULL;
    struct bytes spki = BYTES_INIT;
    X509 *cert = NULL;
    CMS_ContentInfo *cms = NULL;
    enum rc rc = recipient_cert(recipient, "sign.cms-seal", &cert, &spki, &alg, e);

    if (rc != RC_OK)
        goto out;
    if (secret_len(content) > CMS_OCTETS_MAX) {
        rc = err_set(e, RC_INPUT, "sign.cms-seal", "content of '%zu' octets: at most %d can be sealed",
                     secret_len(content), CMS_OCTETS_MAX);
        goto out;
    }
    cms = CMS_AuthEnvelopedData_create_ex(crypto()->aes256gcm, crypto()->ctx, NULL);
    if (cms == NULL || !add_recipient(cms, cert, alg, digest) || !write_content(cms, content)) {
        rc = err_ossl(e, RC_SYSTEM, "sign.cms-seal",
                      "cannot seal '%zu' octets for the recipient's certificate", secret_len(content));
        goto out;
    }
    rc = cms_encode(cms, "sign.cms-seal", ret, e);
out:
    ERR_clear_error();
    CMS_ContentInfo_free(cms);
    X509_free(cert);
    bytes_free(&spki);
    return rc;
}

/* AES-256-GCM with a whole tag: a tag of 4 octets, which libcrypto accepts, could be guessed. */
static bool cipher_good(BIO *bio)
{
    EVP_CIPHER_CTX *ctx = NULL;

    return BIO_get_cipher_ctx(bio, &ctx) == 1 && ctx != NULL &&
           EVP_CIPHER_is_a(EVP_CIPHER_CTX_get0_cipher(ctx), "AES-256-GCM") &&
           EVP_CIPHER_CTX_get_tag_length(ctx) == GCM_TAG_LEN;
}

/* Fills content, whose capacity is the length of the ciphertext. False when the tag does not fit. */
static bool read_content(BIO *bio, struct secret *content)
{
    size_t done = 0;
    size_t n = 0;
    uint8_t beyond = 0;

    while (done < secret_cap(content) &&
           BIO_read_ex(bio, secret_data(content) + done, secret_cap(content) - done, &n) == 1)
        done += n;
    /* The tag is looked at when the end is reached. */
    if (BIO_read_ex(bio, &beyond, 1, &n) == 1 || BIO_get_cipher_status(bio) != 1)
        return false;
    secret_set_len(content, done);
    return done == secret_cap(content);
}

/* For RSA, CMS_decrypt_set1_pkey hides every failure behind a random key, a token's too. That is against an
 * oracle in PKCS #1 v1.5, which the adapter refuses. */
static enum rc open_transport(const struct signer *s, CMS_ContentInfo *cms, EVP_PKEY *key, X509 *cert,
                              struct err *e)
{
    STACK_OF(CMS_RecipientInfo) *all = CMS_get0_RecipientInfos(cms);
    CMS_RecipientInfo *mine = NULL;

    for (int i = 0; i < sk_CMS_RecipientInfo_num(all) && mine == NULL; i++) {
        CMS_RecipientInfo *ri = sk_CMS_RecipientInfo_value(all, i);
        if (CMS_RecipientInfo_type(ri) == CMS_RECIPINFO_TRANS &&
            CMS_RecipientInfo_ktri_cert_cmp(ri, cert) == 0)
            mine = ri;
    }
    if (mine == NULL)
        return err_set(e, RC_INPUT, "sign.cms-open", "key '%s': the file is not sealed for it", s->name);
    if (EVP_PKEY_up_ref(key) != 1)
        bug("cms: up_ref");
    if (CMS_RecipientInfo_set0_pkey(mine, key) != 1)
        bug("cms: set0_pkey");
    if (CMS_RecipientInfo_decrypt(cms, mine) != 1)
        return err_ossl(e, RC_INPUT, "sign.cms-open",
                        "key '%s': the file is not sealed for it, or was changed", s->name);
    return RC_OK;
}

static enum rc open_agreement(const struct signer *s, CMS_ContentInfo *cms, EVP_PKEY *key, X509 *cert,
                              struct err *e)
{
    if (CMS_decrypt_set1_pkey(cms, key, cert) != 1)
        return err_ossl(e, RC_INPUT, "sign.cms-open",
                        "key '%s': the file is not sealed for it, or was changed", s->name);
    return RC_OK;
}

static enum rc open_content(const struct signer *s, CMS_ContentInfo *cms, EVP_PKEY *key, X509 *cert,
                            struct secret **ret, struct err *e)
{
    ASN1_OCTET_STRING **sealed = CMS_get0_content(cms);
    struct secret *content = NULL;
    BIO *bio = NULL;
    enum rc rc = RC_OK;

    if (sealed == NULL || *sealed == NULL)
        return err_set(e, RC_INPUT, "sign.cms-open", "key '%s': the sealed file has no content", s->name);
    rc = s->alg->family == ALG_RSA ? open_transport(s, cms, key, cert, e)
                                   : open_agreement(s, cms, key, cert, e);
    if (rc != RC_OK)
        return rc;
    content = secret_new((size_t)ASN1_STRING_length(*sealed));
    bio = CMS_dataInit(cms, NULL);
    if (bio == NULL || !cipher_good(bio))
        rc = err_ossl(e, RC_INPUT, "sign.cms-open",
                      "key '%s': the file is not sealed with AES-256-GCM and a tag of %d octets", s->name,
                      GCM_TAG_LEN);
    else if (!read_content(bio, content))
        rc = err_ossl(e, RC_INPUT, "sign.cms-open", "key '%s': the sealed file was changed", s->name);
    if (rc == RC_OK) {
        *ret = content;
        content = NULL;
    }
    BIO_free_all(bio);
    secret_free(content);
    return rc;
}

enum rc cms_open(struct signer *s, struct span recipient, struct span der, struct secret **ret, struct err *e)
{
    struct bytes spki = BYTES_INIT;
    X509 *cert = NULL;
    EVP_PKEY *key = NULL;
    CMS_ContentInfo *cms = NULL;
    const struct alg *alg = NULL;
    enum rc rc = recipient_cert(recipient, "sign.cms-open", &cert, &spki, &alg, e);

    if (rc != RC_OK)
        goto out;
    if (!span_eq(bytes_span(&spki), bytes_span(&s->spki))) {
        rc = err_set(e, RC_INPUT, "sign.cms-open", "key '%s': the recipient's certificate is for another key",
                     s->name);
        goto out;
    }
    rc = cms_parse("sealed file", "sign.cms-open", der, NID_id_smime_ct_authEnvelopedData, &cms, e);
    if (rc != RC_OK)
        goto out;
    rc = evp_from_signer(s, &key, e);
    if (rc == RC_OK)
        rc = open_content(s, cms, key, cert, ret, e);
out:
    ERR_clear_error();
    CMS_ContentInfo_free(cms);
    EVP_PKEY_free(key);
    X509_free(cert);
    bytes_free(&spki);
    return rc;
}
