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
 * X509_CRL_sign_ctx, OCSP_basic_sign_ctx, CMS_final, CMS_decrypt, a TLS server) do the encoding while the
 * signature, the ECDH or the decryption is the signer's.
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
 * The key lives no longer than s. RC_BUG on misuse. Free with EVP_PKEY_free. Of its type by libcrypto's name
 * ("EC", "RSA", "ED25519") it does what s is for, and nothing else:
 *   sign     EVP_DigestSign* with the digest of its row alone; Ed25519 at once (EVP_DigestSign), without a
 *            digest. An RSA key signs under the row of s until PKCS #1 v1.5 or PSS is asked for
 *            (EVP_PKEY_CTX_set_rsa_padding), as libssl does; PSS with a salt as long as the digest.
 *   derive   EVP_PKEY_derive, EC.
 *   decrypt  EVP_PKEY_decrypt with RSAES-OAEP, RSA.
 * Refused: RC_INPUT sign.digest, sign.padding, sign.one-shot, sign.decrypt, by way of err_ossl.
 *
 * What is signed must live in evp_context() too (X509_REQ_new_ex, X509_CRL_new_ex, X509_new_ex,
 * SSL_CTX_new_ex, or EVP_DigestSignInit_ex with it), or libcrypto goes looking in the default context. As the
 * public key of a request or a certificate use the signer's public_key: our provider has no encoder.
 * libcrypto's CMS builder knows of PSS only when CMS_KEY_PARAM lets it ask; libssl takes an RSA key for one
 * that signs PKCS #1 v1.5 unless it says PSS, so a signer that was set to PSS is for TLS 1.3 alone.
 *
 * A sign key never decrypts for TLS: a server for TLS 1.2 offers key exchange by ECDHE alone
 * (SSL_CTX_set_cipher_list).
 */
NODISCARD enum rc evp_from_signer(struct signer *s, struct evp_pkey_st **ret, struct err *e);

/*
 * TLS without blocking an event loop: with SSL_MODE_ASYNC, a signature pauses the handshake
 * (SSL_ERROR_WANT_ASYNC) and one of at most EVP_ASYNC_THREADS helper threads makes it. The loop waits for the
 * descriptor that SSL_get_all_async_fds names to become readable, and calls SSL_do_handshake again; it need
 * not read it. Without SSL_MODE_ASYNC a signature blocks. A paused connection must be run to its end, by the
 * thread that began it, before SSL_free: libcrypto never gives back the stack of a job that was left.
 */
enum { EVP_ASYNC_THREADS = 16 };
/* Waits for what the helpers have in hand, and ends them. Before a signer that signed for TLS is freed, and
 * never while a handshake is under way in another thread. They start again when they are needed. A
 * child of fork has none of them and would wait for ever: end them before a fork whose child signs. */
void evp_async_end(void);

/*
 * err_set with libcrypto's oldest queued reason put behind the text, and its error queue emptied. When it was
 * a signer that failed under the adapter, on this thread, then code and key are the signer's (RC_TOKEN stays
 * RC_TOKEN) and fmt is put before its text.
 */
enum rc err_ossl(struct err *e, enum rc rc, const char *key, const char *fmt, ...) PRINTF_LIKE(4, 5);

#endif
