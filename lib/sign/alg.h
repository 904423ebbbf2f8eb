/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIGN_ALG_H
#define SIGN_ALG_H

#include "base/bytes.h"
#include "base/err.h"

/*
 * An algorithm is a row: everything that another layer needs to know about a key type and the one signature
 * scheme we use it with. A new algorithm is a new row; nothing assumes a signature length.
 */
struct alg {
    const char *name;           /* "ec-p256": what configuration and command lines call it */
    const char *group;          /* libcrypto's group name, "P-256" */
    const char *digest;         /* libcrypto's digest name, "SHA256" */
    size_t digest_len;          /* octets */
    size_t field_len;           /* octets of a coordinate and of a private scalar */
    size_t signature_max;       /* octets of a DER signature */
    struct span sig_algid;      /* AlgorithmIdentifier of the signature, DER (RFC 5758 3.2: no parameters) */
    struct span key_algid;      /* AlgorithmIdentifier of the SPKI, DER (RFC 5480 2.1.1: named curve) */
    struct span params;         /* the curve OID alone, DER: CKA_EC_PARAMS */
    unsigned long p11_key_type; /* CKK_EC */
    unsigned long p11_keygen;   /* CKM_EC_KEY_PAIR_GEN */
    unsigned long p11_sign;     /* CKM_ECDSA */
    unsigned long p11_derive;   /* CKM_ECDH1_DERIVE */
};

/* NULL when there is no such row. */
const struct alg *alg_by_name(const char *name);
const struct alg *alg_by_sig_algid(struct span der);
const struct alg *alg_by_params(struct span der);
/* The row of a SubjectPublicKeyInfo, by its exact AlgorithmIdentifier. RC_INPUT sign.key-type names what was
 * found. */
NODISCARD enum rc alg_of_spki(struct span spki, const struct alg **ret, struct err *e);
/* "ec-p256, ec-p384": for messages. */
const char *alg_names(void);

/* SPKI of an uncompressed point 04||X||Y and back (the point lies inside spki). The point is not checked to
 * be on the curve: spki_check does. */
void spki_from_point(const struct alg *a, struct span point, struct bytes *ret);
NODISCARD enum rc spki_point(const struct alg *a, struct span spki, struct span *ret_point, struct err *e);
/* The public key is a valid point of its named curve, uncompressed (RFC 5480 2.2, SP 800-56A 5.6.2.3.3).
 * RC_INPUT sign.key-point. */
NODISCARD enum rc spki_check(struct span spki, const struct alg **ret, struct err *e);

/* Raw r||s (PKCS#11) to DER Ecdsa-Sig-Value (RFC 3279 2.2.3) and back; r and s have field_len octets each.
 * RC_INPUT sign.ecdsa-sig. */
NODISCARD enum rc ecdsa_to_der(const struct alg *a, struct span raw, struct bytes *ret, struct err *e);

#endif
