/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIGN_EVP_H
#define SIGN_EVP_H

#include "base/err.h"

struct signer;
struct evp_pkey_st;
struct ossl_lib_ctx_st;

/*
 * The adapter: a built-in provider "keymill" in a private OSSL_LIB_CTX (with the default provider beside it),
 * which turns a signer into an EVP_PKEY, so that libcrypto's own builders (X509_REQ_sign_ctx,
 * X509_CRL_sign_ctx, CMS_final, CMS_decrypt) do the encoding while the signature or the ECDH is the signer's.
 * The private context keeps our provider away from the default one, which a PKCS#11 module or a broker's
 * plugin host shares with us.
 */
/* Made on first use, lives to the end of the process; thread-safe. */
struct ossl_lib_ctx_st *evp_context(void);

/*
 * For the mains of our tools, before anything else of libcrypto: the system's openssl.cnf is not read.
 * libcrypto reads it into the default context, but an engine that it names takes over EC keys in every
 * context. Not for code in somebody else's process, where the configuration is the host's.
 */
void evp_ignore_config(void);

/*
 * The key lives no longer than s. RC_BUG on misuse. Free with EVP_PKEY_free. It signs with the digest of its
 * algorithm's row alone. What is signed must live in evp_context() too (X509_REQ_new_ex, X509_CRL_new_ex,
 * X509_new_ex, or EVP_DigestSignInit_ex with it), or libcrypto goes looking in the default context. As the
 * public key of a request or a certificate use the signer's public_key: our provider has no encoder.
 */
NODISCARD enum rc evp_from_signer(struct signer *s, struct evp_pkey_st **ret, struct err *e);

/*
 * err_set with libcrypto's oldest queued reason put behind the text, and its error queue emptied. When it was
 * a signer that failed under the adapter, on this thread, then code and key are the signer's (RC_TOKEN stays
 * RC_TOKEN) and fmt is put before its text.
 */
enum rc err_ossl(struct err *e, enum rc rc, const char *key, const char *fmt, ...) PRINTF_LIKE(4, 5);

#endif
