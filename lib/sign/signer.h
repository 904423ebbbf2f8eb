/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIGN_SIGNER_H
#define SIGN_SIGNER_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/err.h"

struct alg;
struct secret;
struct evp_pkey_st;

/* A key does one thing. Sign keys sign; derive keys agree (seal, wrap). */
enum key_usage { KEY_SIGN, KEY_DERIVE };

/*
 * The one door that every use of a private key goes through. Two implementations: a key in a token
 * (hsm/token.h) and a software key (sign/softkey.h: lint's throw-away keys, and tests). A signer is safe to
 * use from several threads at once.
 */
struct signer;

struct signer_ops {
    /* Signs n digests of alg->digest_len octets each, laid end to end. ret[0..n) are filled with DER
     * signatures, appended to empty buffers. */
    enum rc (*sign)(struct signer *s, const uint8_t *digests, size_t n, struct bytes *ret, struct err *e);
    /* ECDH (SP 800-56A 5.7.1.2, cofactor 1): the shared X coordinate with an uncompressed peer point. */
    enum rc (*derive)(struct signer *s, struct span peer_point, struct secret **ret, struct err *e);
    void (*free)(struct signer *s);
};

/* First member of every implementation, set up by signer_init. */
struct signer {
    const struct signer_ops *ops;
    const struct alg *alg;
    enum key_usage usage;
    char *name;                     /* for messages: "root-ca" */
    struct bytes spki;              /* SubjectPublicKeyInfo, DER */
    struct evp_pkey_st *public_key; /* the same, for verification */
};

/* RC_INPUT sign.key-type, sign.key-point when spki is not one of ours. On failure *s needs no clean-up. */
NODISCARD enum rc signer_init(struct signer *s, const struct signer_ops *ops, enum key_usage usage,
                              const char *name, struct span spki, struct err *e);
void signer_fini(struct signer *s);

/* Signs and then verifies every signature in software with the public key; a signature that does not verify
 * is RC_TOKEN sign.self-check and none of the n is returned. A derive key is RC_DENIED sign.usage. ret[0..n)
 * must be empty buffers; on failure they are empty again. */
NODISCARD enum rc signer_sign(struct signer *s, const uint8_t *digests, size_t n, struct bytes *ret,
                              struct err *e);
/* Digests the message with the key's own digest and signs it. */
NODISCARD enum rc signer_sign_message(struct signer *s, struct span message, struct bytes *ret,
                                      struct err *e);
/* A sign key is RC_DENIED sign.usage; a point off the curve RC_INPUT sign.key-point. */
NODISCARD enum rc signer_derive(struct signer *s, struct span peer_point, struct secret **ret, struct err *e);
void signer_free(struct signer *s); /* NULL is allowed */

/* Verifies one signature over a digest with any SPKI. RC_INPUT sign.bad-signature. */
NODISCARD enum rc signature_verify(struct span spki, const uint8_t *digest, struct span sig, struct err *e);
/* Checks that a SPKI signed this message under the row sig_alg. */
NODISCARD enum rc signature_verify_message(struct span spki, struct span message, struct span sig,
                                           struct err *e);

/*
 * Where keys are found and made: by RFC 7512 URI in a token, by file name in tests. Handed to lib/ca and
 * factory, which never see PKCS#11.
 */
struct keystore;
struct keystore_ops {
    /* The key that uri names, checked against the key policy for this usage. RC_TOKEN hsm.no-key when it does
     * not exist. */
    enum rc (*find)(struct keystore *k, const char *uri, enum key_usage usage, struct signer **ret,
                    struct err *e);
    /* Makes it; a label in use is RC_CONFLICT hsm.key-exists. */
    enum rc (*generate)(struct keystore *k, const char *uri, const struct alg *alg, enum key_usage usage,
                        struct signer **ret, struct err *e);
};
struct keystore {
    const struct keystore_ops *ops;
};

#endif
