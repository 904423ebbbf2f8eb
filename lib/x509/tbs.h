/* SPDX-License-Identifier: Apache-2.0 */
#ifndef X509_TBS_H
#define X509_TBS_H

#include "base/bytes.h"
#include "base/err.h"

struct alg;
struct cert;
struct profile;
struct signer;
struct tbs_template;

/*
 * Every certificate keymill issues is made here, a root as well as the millionth device: a template holds,
 * encoded once, all that is the same for a run (version, algorithm, issuer, validity, constant extensions);
 * tbs_make puts serial, subject, SPKI, SKI and SAN in between.
 */
struct tbs_inputs {
    const struct profile *profile;
    const struct alg *sig_alg; /* the row that the issuer's signer signs under */
    struct span issuer_name;   /* Name, DER */
    struct span issuer_key_id; /* for AKI; empty: self-signed, AKI is left out (RFC 5280 4.2.1.1) */
    int64_t not_before, not_after;
};
/* The profile must live as long as the template. RC_INPUT x509.validity: ends before it begins, or over the
 * profile's max_days. */
NODISCARD enum rc tbs_template_new(const struct tbs_inputs *in, struct tbs_template **ret, struct err *e);
void tbs_template_free(struct tbs_template *t);

struct tbs_subject {
    struct span serial; /* magnitude, 1 to 20 octets, top bit clear */
    struct span name;   /* Name, DER */
    struct span spki;   /* DER; must be of a row the profile allows */
    struct span san;    /* GeneralNames, DER; empty: no SAN */
};
/* TBSCertificate (RFC 5280 4.1) onto ret. One template may be used by several threads. RC_INPUT x509.serial,
 * x509.key-type. */
NODISCARD enum rc tbs_make(const struct tbs_template *t, const struct tbs_subject *s, struct bytes *ret,
                           struct err *e);
/* SEQUENCE { tbs, algorithm, BIT STRING signature }: certificates and CRLs alike. */
void signed_assemble(const struct alg *a, struct span tbs, struct span signature, struct bytes *ret);

/* The key identifier of a SPKI: SHA-1 of the public key bits (RFC 5280 4.2.1.2 method 1) or leftmost 160 bits
 * of their SHA-256 (RFC 7093 2 method 1). 20 octets. */
void key_id_sha1(struct span spki, uint8_t ret[static 20]);
void key_id_rfc7093(struct span spki, uint8_t ret[static 20]);

/* A serial: 16 octets, first octet 0x40 to 0x7f, so it is positive and of one length; 126 random bits.
 * RC_SYSTEM sign.random. */
enum { SERIAL_LEN = 16 };
NODISCARD enum rc serial_new(uint8_t ret[static SERIAL_LEN], struct err *e);

#endif
