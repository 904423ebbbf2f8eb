/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/oaep.h"

#include <openssl/rsa.h>

#include "sign/crypto.h"
#include "sign/evp.h"

enum rc oaep_encrypt(struct span spki, enum oaep_digest digest, struct span plain, struct bytes *ret,
                     struct err *e)
{
    const EVP_MD *md = digest == OAEP_SHA1 ? crypto()->sha1 : crypto()->sha256;
    const struct alg *alg = NULL;
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = NULL;
    size_t len = RSA_MAX;
    enum rc rc = public_key_new(spki, &alg, &key, e);

    if (rc != RC_OK)
        return rc;
    if (alg->family != ALG_RSA) {
        rc = err_set(e, RC_INPUT, "sign.key-type",
                     "a key of type '%s' is not encrypted to: an RSA key is required", alg->name);
        goto out;
    }
    ctx = EVP_PKEY_CTX_new_from_pkey(crypto()->ctx, key, NULL);
    if (ctx == NULL || EVP_PKEY_encrypt_init(ctx) <= 0 ||
        EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) <= 0 ||
        EVP_PKEY_CTX_set_rsa_oaep_md(ctx, md) <= 0 || EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md) <= 0 ||
        EVP_PKEY_encrypt(ctx, bytes_room(ret, len), &len, plain.p, plain.n) <= 0)
        rc = err_ossl(e, RC_INPUT, "sign.encrypt", "cannot encrypt '%zu' octets to a key of type '%s'",
                      plain.n, alg->name);
    else
        ret->n += len;
out:
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    return rc;
}
