/* SPDX-License-Identifier: Apache-2.0 */
#ifndef X509_PROFILE_H
#define X509_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "x509/name.h"

struct alg;

enum { PROFILE_ATTRS_MAX = 8, PROFILE_EKUS_MAX = 8, PROFILE_ALGS_MAX = 6 };

enum profile_kind { PROFILE_ROOT, PROFILE_CA, PROFILE_LEAF };
enum ski_method { SKI_SHA1, SKI_RFC7093, SKI_NONE };
/* How a request proves that its sender holds the key: its own signature (RFC 2986), or a statement signed
 * with the requester's certified signature key, for keys that can only agree (RFC 9883). */
enum possession { POSSESSION_SIGNATURE, POSSESSION_STATEMENT };
enum subject_rule { SUBJECT_FIXED, SUBJECT_FROM_REQUEST, SUBJECT_FROM_DEVICE_ID };

/* keyUsage bits (RFC 5280 4.2.1.3) in the order of the BIT STRING, bit 0 first. */
enum {
    KU_DIGITAL_SIGNATURE = 1 << 0,
    KU_KEY_ENCIPHERMENT = 1 << 2,
    KU_KEY_AGREEMENT = 1 << 4,
    KU_KEY_CERT_SIGN = 1 << 5,
    KU_CRL_SIGN = 1 << 6,
};

/*
 * What a certificate of a kind looks like: a reviewed YAML file in schemas/profiles/ (share/keymill/profiles
 * when installed), schema keymill.profile.v1. Everything in a certificate comes from here, from the CA's
 * configuration or from the order; from a request only what the profile lets through.
 */
struct profile {
    char *name;
    enum profile_kind kind;
    enum subject_rule subject;
    struct name_attr attrs[PROFILE_ATTRS_MAX]; /* attributes the profile adds (SUBJECT_FROM_DEVICE_ID) */
    size_t nattrs;
    const struct alg *algs[PROFILE_ALGS_MAX]; /* key types allowed (alg_key) */
    size_t nalgs;
    int path_len;                 /* CA: pathLenConstraint, -1 for none */
    unsigned key_usage;           /* KU_ bits; critical always */
    char *ekus[PROFILE_EKUS_MAX]; /* dotted OIDs; extension absent when none; never critical */
    size_t nekus;
    enum ski_method ski;
    enum possession possession;
    bool san_from_request; /* dNSName and iPAddress entries of the request are let through */
    bool ocsp_nocheck;     /* id-pkix-ocsp-nocheck (RFC 6960 4.2.2.2.1) */
    int64_t
        max_days; /* validity given by the caller is at most this; 0: only the issuer's notAfter bounds it */
    int64_t default_days; /* validity when the caller gives none; 0: caller must give it */
};

/* By name from the profile folder, or, with a '/' in it, from that path. RC_INPUT doc.* or x509.profile. */
NODISCARD enum rc profile_load(const char *name, struct profile **ret, struct err *e);
NODISCARD enum rc profile_parse(const char *name, struct span yaml, struct profile **ret, struct err *e);
void profile_free(struct profile *p);
/* RC_INPUT x509.key-type when the profile does not allow keys of this row; which of its schemes an RSA key
 * signs with does not matter. subject is for the message. */
NODISCARD enum rc profile_allows_key(const struct profile *p, const struct alg *a, const char *subject,
                                     struct err *e);

#endif
