/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIGN_SIGNER_H
#define SIGN_SIGNER_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/err.h"

struct alg;
struct secret;
struct evp_pkey_st;

/* A key does one thing. Sign keys sign; derive keys agree (EC: seal, wrap); decrypt keys open what was
 * encrypted to them (RSA, where a token has no ECDH). */
enum key_usage { KEY_SIGN, KEY_DERIVE, KEY_DECRYPT };
const char *key_usage_name(enum key_usage u); /* "sign", "derive", "decrypt" */

enum oaep_digest { OAEP_SHA1, OAEP_SHA256 }; /* of RSAES-OAEP and its MGF1 alike, with an empty label */

/*
 * The one door that every use of a private key goes through. Two implementations: a key in a token
 * (hsm/token.h) and a software key (sign/softkey.h: lint's throw-away keys, and tests). A signer is safe to
 * use from several threads at once.
 */
struct signer;

struct signer_ops {
    /* Signs n inputs under row a, which is s->alg or the other row of the same RSA key: digests of
     * a->digest_len octets each or, where that is 0, messages. ret[0..n) are filled with signatures as X.509
     * has them, appended to empty buffers. */
    enum rc (*sign)(struct signer *s, const struct alg *a, const struct span *inputs, size_t n,
                    struct bytes *ret, struct err *e);
    /* ECDH (SP 800-56A 5.7.1.2, cofactor 1): the shared X coordinate with an uncompressed peer point. */
    enum rc (*derive)(struct signer *s, struct span peer_point, struct secret **ret, struct err *e);
    /* RSAES-OAEP (RFC 8017 7.1) with an empty label. */
    enum rc (*decrypt)(struct signer *s, enum oaep_digest digest, struct span ciphertext, struct secret **ret,
                       struct err *e);
    void (*free)(struct signer *s);
};

/* First member of every implementation, set up by signer_init. */
struct signer {
    const struct signer_ops *ops;
    const struct alg *alg; /* the row it signs under */
    enum key_usage usage;
    char *name;        /* for messages: "root-ca" */
    char *exceptions;  /* rules of the key policy that it breaks by a named exception: "generated-on-token
                          (reason)"; NULL: none */
    struct bytes spki; /* SubjectPublicKeyInfo, DER */
    struct evp_pkey_st *public_key; /* the same, for verification */
};

/* RC_INPUT sign.key-type, sign.key-point when spki is not one of ours, or its type is not for this usage: EC
 * keys sign or derive, RSA keys sign or decrypt, Ed25519 keys sign. On failure *s needs no clean-up. */
NODISCARD enum rc signer_init(struct signer *s, const struct signer_ops *ops, enum key_usage usage,
                              const char *name, struct span spki, struct err *e);
void signer_fini(struct signer *s);

/* Signs and then verifies every signature in software with the public key; a signature that does not verify
 * is RC_TOKEN sign.self-check and none of the n is returned. inputs: digests of alg->digest_len octets each
 * or, where that is 0, messages. A key that is not for signing is RC_DENIED sign.usage. ret[0..n) must be
 * empty buffers; on failure they are empty again. */
NODISCARD enum rc signer_sign(struct signer *s, const struct span *inputs, size_t n, struct bytes *ret,
                              struct err *e);
/* The same, but only every every-th signature is verified, and the first and the last of the n: for what a
 * signed order allows it. every 1 is signer_sign. */
NODISCARD enum rc signer_sign_sampled(struct signer *s, const struct span *inputs, size_t n, size_t every,
                                      struct bytes *ret, struct err *e);
/* The same under row a, which is the signer's own or the other row of its RSA key: TLS 1.3 asks for PSS
 * whatever the certificates are signed with. Any other row is a bug. */
NODISCARD enum rc signer_sign_as(struct signer *s, const struct alg *a, const struct span *inputs, size_t n,
                                 size_t every, struct bytes *ret, struct err *e);
/* Digests each message with the key's own digest, where it has one, and signs (signer_sign_sampled). */
NODISCARD enum rc signer_sign_messages(struct signer *s, const struct span *messages, size_t n, size_t every,
                                       struct bytes *ret, struct err *e);
NODISCARD enum rc signer_sign_message(struct signer *s, struct span message, struct bytes *ret,
                                      struct err *e);
/* A key that is not for deriving is RC_DENIED sign.usage; a point off the curve RC_INPUT sign.key-point. */
NODISCARD enum rc signer_derive(struct signer *s, struct span peer_point, struct secret **ret, struct err *e);
/* A key that is not for decrypting is RC_DENIED sign.usage; a ciphertext that was not made for the key, or is
 * of another length, RC_INPUT sign.decrypt. */
NODISCARD enum rc signer_decrypt(struct signer *s, enum oaep_digest digest, struct span ciphertext,
                                 struct secret **ret, struct err *e);
/* From here on the signer of an RSA key signs under its PSS row. RC_INPUT sign.key-type for other keys.
 * Before the signer is used; evp_from_signer and templates look at s->alg. */
NODISCARD enum rc signer_use_pss(struct signer *s, struct err *e);
/* From here on the signer signs under row a, which may be the PSS row of its key. False when its key is of
 * another type than a's. Before the signer is used. */
NODISCARD bool signer_take_alg(struct signer *s, const struct alg *a);
void signer_free(struct signer *s); /* NULL is allowed */

/* Verifies a signature under row a over a digest (or the message, where a has none) with a SPKI of that row's
 * key type. RC_INPUT sign.bad-signature, sign.key-type, sign.key-point. */
NODISCARD enum rc signature_verify(const struct alg *a, struct span spki, struct span input, struct span sig,
                                   struct err *e);
/* The same over a message. */
NODISCARD enum rc signature_verify_message(const struct alg *a, struct span spki, struct span message,
                                           struct span sig, struct err *e);

/*
 * Where keys are found and made: by RFC 7512 URI in a token, by file name in tests. Handed to lib/ca and
 * factory, which never see PKCS#11.
 */
struct keystore;
/* The rules of the key policy (hsm/policy.c), by name, ended by NULL: what an exception may name. */
extern const char *const key_rules[];
bool key_rule_known(const char *rule);
/* Rules of the key policy that a configuration allows one key to break, each with its reason. */
struct key_exceptions {
    const struct key_exception {
        char *rule, *reason;
    } * list;
    size_t n;
};
struct keystore_ops {
    /* The key that uri names, checked against the key policy for this usage; an RSA key under its PKCS #1
     * v1.5 row (signer_use_pss). What allowed names may be broken
     * (NULL: nothing), and the signer then says so in its exceptions. RC_TOKEN hsm.no-key when it does not
     * exist, RC_DENIED hsm.key-policy. */
    enum rc (*find)(struct keystore *k, const char *uri, enum key_usage usage,
                    const struct key_exceptions *allowed, struct signer **ret, struct err *e);
    /* Makes it, and the signer signs under alg; a label in use is RC_CONFLICT hsm.key-exists. */
    enum rc (*generate)(struct keystore *k, const char *uri, const struct alg *alg, enum key_usage usage,
                        const struct key_exceptions *allowed, struct signer **ret, struct err *e);
};
struct keystore {
    const struct keystore_ops *ops;
};

#endif
