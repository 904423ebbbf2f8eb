/* SPDX-License-Identifier: Apache-2.0 */
#ifndef X509_CERT_H
#define X509_CERT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "sign/digest.h"

struct alg;
struct cms_chain;

enum { CERT_EKUS_MAX = 16, SERIAL_MAX = 20 /* octets, RFC 5280 4.1.2.2 */ };

/* A parsed certificate; all spans lie in der. Read by our own DER reader: nothing of libcrypto's object
 * model, 5 us instead of 100. */
struct cert {
    struct bytes der;
    uint8_t sha256[SHA256_LEN];
    struct span tbs, serial;           /* serial: magnitude, no leading zero */
    struct span issuer, subject, spki; /* whole DER values */
    struct span sig_algid, tbs_sig_algid, signature;
    int64_t not_before, not_after;
    const struct alg *key_alg; /* NULL: a key type that is not ours */
    const struct alg *sig_alg; /* NULL likewise; of the RSA rows with this scheme the first */
    bool has_bc, ca, bc_critical;
    int path_len; /* -1: absent */
    bool has_ku, ku_critical;
    unsigned key_usage; /* KU_ bits */
    bool has_eku;
    char ekus[CERT_EKUS_MAX][64];
    size_t nekus;
    struct span ski, aki;   /* key identifiers, empty when absent */
    struct span san;        /* extnValue contents, empty when absent */
    struct span extensions; /* the SEQUENCE OF Extension contents */
    bool unknown_critical;  /* a critical extension we do not know */
    char *cn;               /* the one commonName or NULL */
};

/* name is for messages. RC_INPUT x509.cert: not exactly one well-formed v3 certificate, duplicate extension,
 * serial over 20 octets or not positive. */
NODISCARD enum rc cert_parse(const char *name, struct span der, struct cert **ret, struct err *e);
void cert_free(struct cert *c); /* NULL is allowed */
/* The first certificate of a PEM or DER file. */
NODISCARD enum rc cert_read(const char *path, struct cert **ret, struct err *e);
/* All certificates and CRLs of a PEM file, each parsed, appended in their order; ret is as it was on failure.
 * RC_INPUT x509.chain: none, too many for the chain, or another PEM block. */
NODISCARD enum rc chain_read(const char *path, struct cms_chain *ret, struct err *e);
/*
 * A chain that shall replace the one that is held never takes a CRL back: RC_CONFLICT x509.crl-older when it
 * has a lower number than the held CRL of the same issuer; a held CRL whose issuer has none in chain is added
 * to it. name is the new chain's, for messages.
 */
NODISCARD enum rc chain_refresh(const char *name, struct cms_chain *chain, const struct cms_chain *held,
                                struct err *e);
bool cert_has_eku(const struct cert *c, const char *oid);
/* The signature of c verifies with the issuer's key and names match octet by octet (RFC 5280 6.1.3 a 1, a 4).
 * RC_INPUT x509.signature. */
NODISCARD enum rc cert_verify_signature(const struct cert *c, const struct cert *issuer, struct err *e);

#endif
