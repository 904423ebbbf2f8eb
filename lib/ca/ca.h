/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CA_CA_H
#define CA_CA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "doc/token.h"
#include "sign/digest.h"
#include "sign/signer.h"
#include "x509/tbs.h"

struct alg;
struct cert;
struct cms_chain;
struct profile;

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

/* Configuration, schema keymill.ca-config.v1 (docs/examples/root.yaml, online.yaml, local.yaml). A trust that
 * is still the example's placeholder is RC_INPUT doc.placeholder. */
enum { CA_PROFILES_MAX = 16, CA_REASON_MAX = 200 /* octets of an exception's reason */ };
struct ca_config {
    char *name;
    char *key;        /* RFC 7512 URI */
    char *pin_source; /* NULL: terminal */
    struct token_settings token;
    const struct alg *alg;            /* a PSS row: an RSA key that signs with PSS */
    struct key_exceptions exceptions; /* rules of the key policy that the key may break */
    char *profile;                    /* the profile of its own certificate: root, online-ca, local-ca */
    struct bytes subject;             /* Name, DER */
    int64_t validity_days;            /* root alone: of its own certificate */
    int64_t crl_days;                 /* thisUpdate to nextUpdate */
    uint8_t trust[SHA256_LEN];        /* subordinate: the root that import requires */
    bool has_trust;
    char *issues[CA_PROFILES_MAX]; /* profiles it may sign; others are RC_DENIED ca.profile */
    size_t nissues;
};
/* RC_INPUT doc.*, ca.config, x509.name. */
NODISCARD enum rc ca_config_read(const char *path, struct ca_config **ret, struct err *e);
void ca_config_free(struct ca_config *c);
/* The configuration stored in a home. RC_CONFLICT ca.no-home when there is none, RC_SYSTEM file.read when
 * that cannot be told. */
NODISCARD enum rc ca_home_config(const char *home, struct ca_config **ret, struct err *e);

/*
 * Makes a root: home, key, self-signed certificate (linted first), audit. Run again with the same
 * configuration it finishes what was begun or reports what is there (RC_OK, *ret_new false when nothing was
 * left to do); another configuration in the same home is RC_CONFLICT ca.exists, unless it has not begun to
 * make its key yet. The key is made here: one that is there already and that this home did not begin to make
 * may be another CA's and is RC_CONFLICT ca.key-exists.
 */
NODISCARD enum rc ca_init(const char *home, const char *config_path, struct keystore *keys, bool *ret_new,
                          struct err *e);
/* Makes a subordinate's home and key and writes its PKCS#10 request (PEM, file_create). Repeats as ca_init
 * does, and writes the same request. */
NODISCARD enum rc ca_request(const char *home, const char *config_path, struct keystore *keys,
                             const char *out, bool *ret_new, struct err *e);
/*
 * Takes the certificate for the request's key: verified to the trusted root, profile and key as requested.
 * chain: PEM with root (and CRLs). The same certificate again with newer CRLs brings those in; a CRL that the
 * chain lacks is kept. *ret_new: this certificate, or one above it, was not there; *ret_crls: a newer CRL
 * came in. RC_CONFLICT ca.no-request, ca.has-certificate, ca.crl-older; RC_INPUT ca.certificate, ca.chain;
 * verify_path's.
 */
NODISCARD enum rc ca_import(const char *home, const char *cert_path, const char *chain_path, bool *ret_new,
                            bool *ret_crls, struct err *e);

/*
 * An open CA. keys may be NULL for what needs no key (list, show, revoke). Holds the home's lock until
 * ca_close. A ca.yaml that was edited is used, and recorded in the audit log before anything is signed under
 * it. Every audit row of an act that the key takes part in has a member key_exceptions when the key breaks a
 * rule of the key policy by exception. One thread at a time, but for ca_group_sign. RC_CONFLICT ca.no-home,
 * ca.no-certificate, ca.key-changed, lock.busy; RC_DENIED hsm.key-policy.
 */
struct ca;
NODISCARD enum rc ca_open(const char *home, struct keystore *keys, struct ca **ret, struct err *e);
void ca_close(struct ca *ca); /* NULL is allowed */
const struct cert *ca_cert(const struct ca *ca);
const struct ca_config *ca_configuration(const struct ca *ca);
const struct cms_chain *ca_chain(const struct ca *ca); /* its certificate first, root last */
struct signer *ca_signer(const struct ca *ca);         /* NULL when opened without keys */

/*
 * Signs one request, by a CA profile (sign-ca) or a leaf profile. Nothing is clipped: what would outlive this
 * CA is RC_DENIED by lint. A statement of possession must rest on a certificate this CA issued, in force now
 * and for the same subject: RC_DENIED ca.possession. Same request, profile and subject again: the same
 * certificate, *ret_new false; RC_CONFLICT ca.days-differ when other days are given than it has; made anew
 * when it expired. A key has one subject and one profile in a CA: RC_CONFLICT ca.key-reused; a key of which a
 * certificate was revoked gets no other: RC_CONFLICT ca.revoked; a device id already used: RC_CONFLICT
 * ca.id-reused. Not one of the configuration's profiles: RC_DENIED ca.profile; a CA profile where a leaf was
 * meant, or the other way round: RC_USAGE ca.kind. The clock is before this CA's certificate or behind it:
 * RC_DENIED ca.clock, ca.expired.
 */
struct ca_issue {
    const char *profile;
    const char *csr_path;
    bool sub_ca;    /* the profile must be one for CAs; false: one for leaves */
    int64_t days;   /* 0: the profile's default */
    const char *id; /* device profile: the device id; NULL: the request's CN. Other profiles: NULL */
    const char *ou; /* device profile: OU of the subject; NULL: none is put. Other profiles: NULL */
};
NODISCARD enum rc ca_issue(struct ca *ca, const struct ca_issue *in, struct bytes *ret_der, bool *ret_new,
                           struct err *e);

/*
 * The hot path, for batches: rows are reserved, then signed, then marked issued, a group at a time. Fill id,
 * name, spki; ca_group_reserve picks serials, encodes, checks ids and keys for uniqueness (RC_CONFLICT
 * ca.id-reused names the id, ca.key-reused, ca.revoked) and commits; ca_group_sign fills der with
 * certificates, verified as ca_run_begin was told; ca_group_commit makes them issued (RC_CONFLICT
 * ca.not-reserved). Each is all or nothing. A group that was reserved and not committed (a crash) is marked
 * void by the next ca_run_begin of that order: its serials never come back, its ids may be done again.
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
/* order: a name (text.h). verify_every: 1: every signature is verified in software before it is used; n: one
 * in n, and the first and the last of what the token is given at a time (at most 64), which the audit log
 * then says. RC_INPUT ca.order; RC_DENIED ca.profile, ca.clock, ca.expired, lint.*; RC_USAGE ca.kind. */
NODISCARD enum rc ca_run_begin(struct ca *ca, const char *order, const char *profile, int64_t not_before,
                               int64_t not_after, size_t verify_every, struct ca_run **ret, struct err *e);
/* "every", "1 in 7": what audit logs and reports say. */
enum { VERIFY_TEXT = 32 };
void verify_text(size_t verify_every, char ret[static VERIFY_TEXT]);
NODISCARD enum rc ca_group_reserve(struct ca_run *r, struct ca_item *items, size_t n, struct err *e);
/* Touches no database: several threads may sign different groups at once. After a failure no item has a der.
 */
NODISCARD enum rc ca_group_sign(struct ca_run *r, struct ca_item *items, size_t n, struct err *e);
NODISCARD enum rc ca_group_commit(struct ca_run *r, struct ca_item *items, size_t n, struct err *e);
void ca_run_end(struct ca_run *r); /* NULL is allowed */
/*
 * A certificate that was signed and written down elsewhere (a batch's lines) when a crash kept
 * ca_group_commit from recording it: recorded as issued when its row is still reserved for this order, id and
 * key and its signature is this CA's. So no certificate that exists is unknown here and cannot be revoked.
 * *ret_adopted false (RC_OK) when there is no such row. For before ca_run_begin, which makes void what stays
 * reserved.
 */
NODISCARD enum rc ca_adopt(struct ca *ca, const char *order, const char *id, struct span der,
                           bool *ret_adopted, struct err *e);
/* The issued certificate of a device id in an order; empty *ret when there is none. */
NODISCARD enum rc ca_find_id(struct ca *ca, const char *order, const char *id, struct bytes *ret_der,
                             struct err *e);

/*
 * Revokes by serial (hex, colons between octets allowed), for good: certificateHold and removeFromCRL are
 * RC_INPUT ca.reason, a root's own certificate RC_DENIED ca.revoke-self. Already revoked with the same
 * reason: RC_OK, *ret_new false; another reason: RC_CONFLICT ca.revoked. Unknown serial: RC_INPUT
 * ca.no-serial.
 */
NODISCARD enum rc ca_revoke(struct ca *ca, const char *serial_hex, const char *reason, bool *ret_new,
                            struct err *e);
/*
 * The next CRL: number one above the last, signed, recorded, written to out (PEM, replaced atomically). What
 * out names must be absent or a CRL of this CA: RC_CONFLICT file.exists, and no number is used up. When only
 * the writing fails, the text says which number was made and recorded.
 * nextUpdate is crl_days later, or, for the last list this CA will ever sign, the end of its certificate,
 * which is never exceeded. RC_DENIED ca.clock when the clock is before the list before; ca.expired.
 */
NODISCARD enum rc ca_crl(struct ca *ca, const char *out, bool last, uint64_t *ret_number,
                         int64_t *ret_next_update, struct err *e);

struct ca_row {
    const char *serial_hex, *subject, *id, *profile, *state,
        *reason; /* state: issued, revoked, void, reserved; id, reason: or NULL */
    int64_t not_before, not_after, issued_at, revoked_at; /* 0: not (yet) */
};
/* In the order they were reserved. What r points to lives during the call. */
NODISCARD enum rc ca_list(struct ca *ca, void (*row)(void *arg, const struct ca_row *r), void *arg,
                          struct err *e);
struct ca_summary {
    int64_t issued, revoked, voided, crl_number, audit_rows; /* crl_number 0: none yet */
    uint8_t audit_head[SHA256_LEN];
};
/* Verifies the audit chain on the way. RC_INPUT store.audit. */
NODISCARD enum rc ca_show(struct ca *ca, struct ca_summary *ret, struct err *e);
/* The rules of the key policy that the key broke by exception in the last act that the audit log tells of
 * (signer.h: exceptions); malloc'd, NULL: none. */
NODISCARD enum rc ca_key_exceptions(struct ca *ca, char **ret, struct err *e);

#endif
