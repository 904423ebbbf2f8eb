/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIGN_ALG_H
#define SIGN_ALG_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/err.h"

enum alg_family { ALG_EC, ALG_EDWARDS, ALG_RSA };

/*
 * An algorithm is a row: everything that another layer needs to know about a key type and the one signature
 * scheme we use it with. A new algorithm is a new row; nothing assumes a signature length. An RSA key has two
 * rows, PKCS #1 v1.5 and PSS, with one SPKI (rsaEncryption, RFC 4055 1.2: the certificate does not restrict
 * the key); every other key has one.
 */
struct alg {
    const char *name; /* "ec-p256": what configuration and command lines call it */
    enum alg_family family;
    const char *key_type; /* libcrypto's: "EC", "ED25519", "RSA" */
    const char *group;    /* EC: libcrypto's group name, "P-256"; NULL otherwise */
    const char *digest; /* libcrypto's digest name, "SHA256"; NULL: the message itself is signed (RFC 8032) */
    size_t digest_len;  /* octets; 0: the message itself is signed */
    size_t key_bits;    /* of the field or the modulus */
    size_t field_len; /* EC: octets of a coordinate and of a private scalar; Ed25519: of the public key; RSA:
                         0 */
    size_t signature_max;  /* octets of a signature as X.509 and CMS have it */
    size_t signature_raw;  /* octets of one as PKCS#11 has it: r||s for EC, else the same */
    bool pss;              /* RSASSA-PSS, salt as long as the digest (RFC 4055 3.1) */
    struct span sig_algid; /* AlgorithmIdentifier of the signature, DER (RFC 5758 3.2, RFC 4055, RFC 8410) */
    struct span
        key_algid;      /* AlgorithmIdentifier of the SPKI, DER (RFC 5480 2.1.1, RFC 3279 2.3.1, RFC 8410) */
    struct span params; /* EC and Ed25519: the curve OID alone, DER: CKA_EC_PARAMS */
    unsigned long p11_key_type; /* CKK_EC */
    unsigned long p11_keygen;   /* CKM_EC_KEY_PAIR_GEN */
    unsigned long p11_sign;     /* CKM_ECDSA */
    unsigned long p11_derive;   /* CKM_ECDH1_DERIVE; 0: such keys do not agree on secrets */
    unsigned long p11_decrypt;  /* CKM_RSA_PKCS_OAEP; 0: such keys do not decrypt */
};

/* NULL when there is no such row. */
const struct alg *alg_by_name(const char *name);
/* An RSA signature does not tell the size of its key: of these rows the first. */
const struct alg *alg_by_sig_algid(struct span der);
const struct alg *alg_by_params(struct span der);
const struct alg *alg_by_rsa_bits(size_t bits); /* the PKCS #1 v1.5 row */
/* The row under which a key of row key makes signatures with this AlgorithmIdentifier: key itself or, for
 * RSA, its other row. NULL: it makes none such. */
const struct alg *alg_for_signature(const struct alg *key, struct span sig_algid);
/* The row of a key's type, whatever its scheme: an RSA key's PKCS #1 v1.5 row, else the row itself. */
const struct alg *alg_key(const struct alg *a);
/* The PSS row of an RSA key of either row; NULL for other keys. */
const struct alg *alg_pss(const struct alg *key);
/* The row of a SubjectPublicKeyInfo, by its exact AlgorithmIdentifier and for RSA by the length of the
 * modulus: the PKCS #1 v1.5 row. RC_INPUT sign.key-type names what was found. */
NODISCARD enum rc alg_of_spki(struct span spki, const struct alg **ret, struct err *e);
/* The rows in their order; NULL behind the last. */
const struct alg *alg_at(size_t i);
/* "ec-p256, ec-p384, ...": for messages. All rows, and the types of keys alone (alg_key). */
const char *alg_names(void);
const char *alg_key_names(void);

/* SPKI of a public key as PKCS#11 has it, and back (the point lies inside spki): for EC an uncompressed point
 * 04||X||Y, for Ed25519 its 32 octets. The point is not checked to be on the curve: spki_check does. */
void spki_from_point(const struct alg *a, struct span point, struct bytes *ret);
NODISCARD enum rc spki_point(const struct alg *a, struct span spki, struct span *ret_point, struct err *e);
/* SPKI of an RSA key from modulus and exponent, big-endian, leading zeros allowed. */
void spki_from_rsa(struct span modulus, struct span exponent, struct bytes *ret);
/* Modulus and exponent, without leading zeros, inside spki. RC_INPUT sign.key-type. */
NODISCARD enum rc spki_rsa(struct span spki, struct span *ret_modulus, struct span *ret_exponent,
                           struct err *e);
/* The public key is a valid one: EC: a point of its named curve, uncompressed (RFC 5480 2.2, SP 800-56A
 * 5.6.2.3.3); RSA: an odd modulus without small factors, an odd exponent from 65537 to 2^256 (FIPS 186-5
 * A.1.1); Ed25519: an encoding that is the only one of its point, which is not of small order (whether there
 * is a point at all its first signature shows). RC_INPUT sign.key-point. */
NODISCARD enum rc spki_check(struct span spki, const struct alg **ret, struct err *e);

/* Raw r||s (PKCS#11) to DER Ecdsa-Sig-Value (RFC 3279 2.2.3); r and s have field_len octets each. RC_INPUT
 * sign.ecdsa-sig. */
NODISCARD enum rc ecdsa_to_der(const struct alg *a, struct span raw, struct bytes *ret, struct err *e);
/* A signature as a token returns it, signature_raw octets, as X.509 and CMS have it; appended to ret.
 * RC_INPUT sign.ecdsa-sig, sign.signature-length. */
NODISCARD enum rc signature_from_raw(const struct alg *a, struct span raw, struct bytes *ret, struct err *e);

#endif
