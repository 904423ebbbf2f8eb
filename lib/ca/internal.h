/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CA_INTERNAL_H
#define CA_INTERNAL_H

#include "ca/ca.h"
#include "sign/cms.h"
#include "store/store.h"
#include "x509/profile.h"

/* Private to this module. */

struct jsonw;
struct lock;

enum {
    DAY = 86400,         /* seconds */
    DAYS_MAX = 36525,    /* a century: the longest validity that is not a mistake */
    LOCK_WAIT_MS = 5000, /* how long a command waits for another one in the same home */
    SIGN_CHUNK = 64,     /* digests handed to the signer at a time: one message to the token worker */
};

/* The row of table authority: what the home knows about its own key. */
struct authority {
    bool begun;                        /* the row exists: this home has begun to make its key */
    struct bytes spki;                 /* empty until the key was seen */
    struct bytes request, certificate; /* DER, empty when there is none */
    uint8_t config_sha256[SHA256_LEN];
};

struct ca {
    char *home;
    struct lock *lock;
    struct store *db;
    struct ca_config *config;
    struct bytes config_text; /* ca.yaml, octet by octet */
    struct authority self;
    struct signer *signer;
    struct cert *cert;
    struct cms_chain chain;
};

/* schema.c */
extern const struct migration ca_schema[];
extern const size_t ca_schema_steps;

/* config.c */
NODISCARD enum rc config_parse(const char *name, struct span yaml, struct ca_config **ret, struct err *e);
/* The configuration fits this kind of CA, and every profile it names exists. RC_INPUT ca.config. */
NODISCARD enum rc config_check(const char *path, const struct ca_config *c, enum profile_kind kind,
                               struct err *e);

/* home.c */
/* For the verbs that make a home: everything that can be judged is judged before the folder is touched; then
 * folder, lock, database, ca.yaml. */
NODISCARD enum rc home_begin(const char *home, const char *config_path, enum profile_kind kind,
                             struct ca **ret, struct err *e);
/* For all others: the home exists. RC_CONFLICT ca.no-home. */
NODISCARD enum rc home_open(const char *home, struct ca **ret, struct err *e);
/* Writes home/name as PEM of what the database says; the file is a copy and may be replaced. */
NODISCARD enum rc home_publish(const struct ca *ca, const char *name, struct span text, struct err *e);
NODISCARD enum rc home_publish_certificate(const struct ca *ca, struct err *e); /* cert.pem, chain.pem */
/* Fills cert and chain from the database. */
NODISCARD enum rc home_load_certificate(struct ca *ca, struct err *e);
/* In the open transaction: chain (certificates of the issuers, root last, then CRLs) replaces what was there.
 */
NODISCARD enum rc chain_record(struct ca *ca, const struct cms_chain *issuers, struct err *e);
NODISCARD enum rc authority_set_certificate(struct ca *ca, struct span der, struct err *e);

/* key.c: finds or makes the key that the configuration names, into ca->signer. RC_CONFLICT ca.key-exists,
 * ca.key-changed. */
NODISCARD enum rc key_obtain(struct ca *ca, struct keystore *keys, struct err *e);
/* The key is of the configured type, and signs under the configured row from now on. RC_CONFLICT
 * ca.key-changed. */
NODISCARD enum rc key_of_config(const struct ca *ca, struct signer *key, struct err *e);
/* Member key_exceptions of an audit row, when the key breaks a rule by exception. */
void key_exceptions_tell(struct jsonw *w, const struct signer *key);

/* rows.c: table certificate. All of them need an open transaction, except the last. */
struct row {
    const char *order;     /* NULL: issued one by one */
    const char *device_id; /* NULL: no device */
    const char *profile;
    struct span serial, subject, spki;
    const uint8_t *request_sha256; /* NULL: no request */
    int64_t not_before, not_after, now;
};
/* RC_CONFLICT ca.key-reused, ca.revoked, ca.id-reused. */
NODISCARD enum rc row_reserve(struct ca *ca, const struct row *r, struct err *e);
/* RC_CONFLICT ca.not-reserved. */
NODISCARD enum rc row_issued(struct ca *ca, struct span serial, struct span der,
                             const uint8_t hash[static SHA256_LEN], int64_t now, struct err *e);
/* What a crash left reserved (order NULL: of the one by one kind) becomes void, with an audit row. */
NODISCARD enum rc rows_void(struct ca *ca, const char *order, int64_t now, struct err *e);

/* certify.c: one certificate, from what it shall say to its verified DER. */
struct cert_job {
    const struct profile *profile;
    struct span subject, spki, san; /* san empty: none */
    const char *device_id;
    const uint8_t *request_sha256;
    int64_t now, not_before, not_after;
    uint8_t serial[SERIAL_LEN]; /* out */
    struct bytes der;           /* out */
    uint8_t sha256[SHA256_LEN]; /* out */
};
/* Encodes, lints, reserves (durable), signs, verifies. ca->cert NULL: self-signed. */
NODISCARD enum rc certify(struct ca *ca, struct cert_job *job, struct err *e);
/* In the open transaction: the row is issued, with an audit row named event. */
NODISCARD enum rc certify_record(struct ca *ca, const struct cert_job *job, const char *event, struct err *e);
/* Sets not_before and not_after of a certificate that begins now and lasts this long, clipped to nothing but
 * the issuer's beginning. */
void job_validity(const struct ca *ca, struct cert_job *job, int64_t days);

/* issue.c */
/* Loads a profile that this CA may issue. RC_INPUT x509.profile; RC_DENIED ca.profile. */
NODISCARD enum rc issuable_profile(const struct ca *ca, const char *name, struct profile **ret,
                                   struct err *e);
/* The clock is not before this CA's certificate and not behind it. RC_DENIED ca.clock, ca.expired. */
NODISCARD enum rc clock_check(const struct ca *ca, int64_t now, struct err *e);

#endif
