/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CA_CA_H
#define CA_CA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "sign/digest.h"
#include "x509/tbs.h"

struct alg;
struct cert;
struct cms_chain;
struct keystore;
struct profile;
struct signer;

/*
 * One CA in one home directory; root, online and local CA differ by configuration alone. The home (0700)
 * holds ca.yaml (the configuration it was made with), ca.db (lib/store: certificates, CRLs, audit), cert.pem,
 * chain.pem, request.csr and lock. The key is in a token, named by the configuration's URI; this module is
 * handed a keystore and never sees PKCS#11.
 *
 * Every certificate this CA signs has its row before the signature is made (state reserved) and is returned
 * only after its row is durable as issued; so no serial is used twice and no certificate exists outside the
 * database.
 */

/* Configuration, schema keymill.ca-config.v1 (docs/examples/root.yaml, online.yaml, local.yaml). */
enum { CA_PROFILES_MAX = 16 };
struct ca_config {
    char *name;
    char *key;        /* RFC 7512 URI */
    char *pin_source; /* NULL: terminal */
    const struct alg *alg;
    char *profile;             /* the profile of its own certificate: root, online-ca, local-ca */
    struct bytes subject;      /* Name, DER */
    int64_t validity_days;     /* root alone: of its own certificate */
    int64_t crl_days;          /* thisUpdate to nextUpdate */
    uint8_t trust[SHA256_LEN]; /* subordinate: the root that import requires */
    bool has_trust;
    char *issues[CA_PROFILES_MAX]; /* profiles it may sign; others are RC_DENIED ca.profile */
    size_t nissues;
};
NODISCARD enum rc ca_config_read(const char *path, struct ca_config **ret, struct err *e);
void ca_config_free(struct ca_config *c);
/* The configuration stored in a home. RC_CONFLICT ca.no-home when there is none. */
NODISCARD enum rc ca_home_config(const char *home, struct ca_config **ret, struct err *e);

/*
 * Makes a root: home, key, self-signed certificate (linted first), audit. Run again with the same
 * configuration it finishes what was begun or reports what is there (RC_OK, *ret_done false when nothing was
 * left to do); another configuration in the same home is RC_CONFLICT ca.exists.
 */
NODISCARD enum rc ca_init(const char *home, const char *config_path, struct keystore *keys, bool *ret_new,
                          struct err *e);
/* Makes a subordinate's home and key and writes its PKCS#10 request (PEM). Repeats as ca_init does. */
NODISCARD enum rc ca_request(const char *home, const char *config_path, struct keystore *keys,
                             const char *out, bool *ret_new, struct err *e);
/* Takes the certificate for the request's key: verified to the trusted root, profile and key as requested.
 * chain: PEM with root (and CRLs). */
NODISCARD enum rc ca_import(const char *home, const char *cert_path, const char *chain_path, bool *ret_new,
                            struct err *e);

/* An open CA. keys may be NULL for what needs no key (list, show, revoke). Takes the home's lock until
 * ca_close. RC_CONFLICT ca.no-home, ca.no-certificate, ca.key-changed, lock.busy. A ca.yaml that was edited
 * since is used and recorded in the audit log. One thread at a time, but for ca_group_sign. */
struct ca;
NODISCARD enum rc ca_open(const char *home, struct keystore *keys, struct ca **ret, struct err *e);
void ca_close(struct ca *ca); /* NULL is allowed */
const struct cert *ca_cert(const struct ca *ca);
const struct ca_config *ca_configuration(const struct ca *ca);
const struct cms_chain *ca_chain(const struct ca *ca); /* its certificate first, root last */
struct signer *ca_signer(const struct ca *ca);         /* NULL when opened for reading */

/* Signs one request. CA profiles (sign-ca) and leaf profiles alike; validity in days, 0: the profile's
 * default, always clipped to nothing - a leaf or CA that would outlive this CA is RC_DENIED by lint. A
 * statement-of-possession request needs its statement certificate to be one this CA issued, not revoked, same
 * subject. Same request and profile again: the same certificate, *ret_new false. Key already certified for
 * another subject: RC_CONFLICT ca.key-reused. */
struct ca_issue {
    const char *profile;
    const char *csr_path;
    int64_t days;   /* 0: default */
    const char *id; /* device profile: the device id; NULL: the request's CN */
    const char
        *ou; /* device profile: OU of the subject; NULL: the request's subject is not used, none is put */
};
NODISCARD enum rc ca_issue(struct ca *ca, const struct ca_issue *in, struct bytes *ret_der, bool *ret_new,
                           struct err *e);

/*
 * The hot path, for batches: rows are reserved, then signed, then marked issued, a group at a time. Fill id,
 * name, spki; ca_group_reserve picks serials, checks ids and keys for uniqueness (RC_CONFLICT ca.id-reused
 * names the id), encodes and commits; ca_group_sign fills der with verified certificates; ca_group_commit
 * makes them issued. A group that was reserved and not committed (a crash) is marked void by the next
 * ca_run_begin, and its serials never come back.
 */
struct ca_item {
    const char *id;
    struct span name; /* Name, DER */
    struct span spki;
    uint8_t serial[SERIAL_LEN]; /* out */
    struct bytes der;           /* out: the certificate */
    uint8_t sha256[SHA256_LEN]; /* out */
};
struct ca_run;
/* order must be a name (text.h). RC_DENIED ca.profile, lint.*; RC_USAGE ca.kind. */
NODISCARD enum rc ca_run_begin(struct ca *ca, const char *order, const char *profile, int64_t not_before,
                               int64_t not_after, struct ca_run **ret, struct err *e);
NODISCARD enum rc ca_group_reserve(struct ca_run *r, struct ca_item *items, size_t n, struct err *e);
NODISCARD enum rc ca_group_sign(struct ca_run *r, struct ca_item *items, size_t n,
                                struct err *e); /* touches no database: any thread */
NODISCARD enum rc ca_group_commit(struct ca_run *r, struct ca_item *items, size_t n, struct err *e);
void ca_run_end(struct ca_run *r);
/* The issued certificate of a device id in an order; empty *ret when there is none. */
NODISCARD enum rc ca_find_id(struct ca *ca, const char *order, const char *id, struct bytes *ret_der,
                             struct err *e);

/* Revokes by serial (hex), for good: certificateHold and removeFromCRL are RC_INPUT ca.reason, a root's own
 * certificate RC_DENIED ca.revoke-self. Already revoked with the same reason: RC_OK; another reason:
 * RC_CONFLICT ca.revoked. Unknown serial: RC_INPUT ca.no-serial. */
NODISCARD enum rc ca_revoke(struct ca *ca, const char *serial_hex, const char *reason, bool *ret_new,
                            struct err *e);
/* The next CRL: number one above the last, signed, recorded, written to out (PEM, replaced atomically). */
NODISCARD enum rc ca_crl(struct ca *ca, const char *out, uint64_t *ret_number, int64_t *ret_next_update,
                         struct err *e);

struct ca_row {
    const char *serial_hex, *subject, *id, *profile, *state,
        *reason; /* state: issued, revoked, void, reserved */
    int64_t not_before, not_after, issued_at, revoked_at;
};
NODISCARD enum rc ca_list(struct ca *ca, void (*row)(void *arg, const struct ca_row *r), void *arg,
                          struct err *e);
struct ca_summary {
    int64_t issued, revoked, voided, crl_number, audit_rows;
    uint8_t audit_head[SHA256_LEN];
};
/* Verifies the audit chain on the way. */
NODISCARD enum rc ca_show(struct ca *ca, struct ca_summary *ret, struct err *e);

#endif
