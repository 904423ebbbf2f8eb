/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIGN_EVP_H
#define SIGN_EVP_H

#include "base/err.h"

struct signer;
struct evp_pkey_st;
struct ossl_lib_ctx_st;

/*
 * The adapter: a built-in provider "keymill" in a private OSSL_LIB_CTX (with the default provider beside it), which turns a signer into an EVP_PKEY, so that
 * libcrypto's own builders (X509_REQ_sign_ctx, X509_CRL_sign_ctx, CMS_final, CMS_decrypt) do the encoding while the signature or the ECDH is the signer's.
 * The private context keeps our provider away from the default one, which a PKCS#11 module or a broker's plugin host shares with us.
 */
struct ossl_lib_ctx_st *evp_context(void); /* made on first use, lives to the end of the process; thread-safe */

/* The key lives no longer than s. RC_BUG on misuse. Free with EVP_PKEY_free. */
NODISCARD enum rc evp_from_signer(struct signer *s, struct evp_pkey_st **ret, struct err *e);

/* err_set with libcrypto's oldest queued reason put behind the text, and its error queue emptied. */
enum rc err_ossl(struct err *e, enum rc rc, const char *key, const char *fmt, ...) PRINTF_LIKE(4, 5);

#endif
