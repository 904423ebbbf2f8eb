/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIGN_JWE_H
#define SIGN_JWE_H

#include "base/bytes.h"
#include "base/err.h"

struct alg;
struct secret;
struct signer;

/*
 * Compact JWE (RFC 7516 3.1), A256GCM with a fresh random IV, the protected header given as finished JSON.
 * "dir": the key is the content key. RC_INPUT sign.jwe on opening failure; the caller compares the header,
 * which is authenticated, with what it expects.
 */
NODISCARD enum rc jwe_seal_dir(const struct secret *key, struct span header, const struct secret *content,
                               struct bytes *ret, struct err *e);
NODISCARD enum rc jwe_open_dir(const struct secret *key, struct span jwe, struct bytes *ret_header,
                               struct secret **ret, struct err *e);

/*
 * "ECDH-ES" (RFC 7518 4.6, Concat KDF) to a derive key's SPKI; the header holds alg, enc, epk and kid, in
 * this order, and any JOSE library reads it. Opened is what jwe_seal_ecdh wrote: another order of members,
 * another member or another kid is RC_INPUT sign.jwe.
 */
NODISCARD enum rc jwe_seal_ecdh(struct span spki, const char *kid, const struct secret *content,
                                struct bytes *ret, struct err *e);
NODISCARD enum rc jwe_open_ecdh(struct signer *s, const char *kid, struct span jwe, struct secret **ret,
                                struct err *e);

/* HKDF-SHA256 (RFC 5869), empty salt, n octets. */
NODISCARD enum rc hkdf_sha256(const struct secret *key, struct span info, size_t n, struct secret **ret,
                              struct err *e);

#endif
