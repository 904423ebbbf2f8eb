/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FACTORY_OFFICE_H
#define FACTORY_OFFICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "doc/token.h"
#include "sign/digest.h"

struct ca;
struct keystore;

/*
 * The production office, one home directory (0700): office.yaml, office.db (orders, lots, inventory, lists,
 * audit), order.csr, release.csr, order.pem, release.pem, chain.pem, lock. Its token holds three keys: order
 * and release sign, wrap agrees (the office's own copies of lot keys).
 */
struct office;
/* What the configuration of a home, or a configuration file, says about its token: what cmd needs to open a
 * keystore. *ret_pin_source: malloc'd, NULL: the terminal. RC_CONFLICT office.no-home when there is none. */
NODISCARD enum rc office_token(const char *home, char **ret_pin_source, struct token_settings *ret,
                               struct err *e);
NODISCARD enum rc office_config_token(const char *path, char **ret_pin_source, struct token_settings *ret,
                                      struct err *e);
/* The SHA-256 of the root's certificate in a file. RC_INPUT office.root: it is not self-signed. */
NODISCARD enum rc office_root(const char *path, uint8_t ret[static SHA256_LEN], struct err *e);

/* Makes home, keys and requests; repeats what a crash left undone. RC_CONFLICT office.exists for another
 * configuration. */
NODISCARD enum rc office_init(const char *home, const char *config_path, struct keystore *keys, bool *ret_new,
                              struct err *e);
/* Takes a certificate for one of its keys (told apart by public key and role); chain: PEM with the CAs up to
 * the root and their CRLs. The same certificate again with a newer chain refreshes the chain; an older CRL
 * number is RC_CONFLICT x509.crl-older. ret_role: "office" or "release". */
NODISCARD enum rc office_import(const char *home, const char *cert_path, const char *chain_path,
                                const char **ret_role, bool *ret_new, struct err *e);
/* keys NULL: only what needs no key. */
NODISCARD enum rc office_open(const char *home, struct keystore *keys, struct office **ret, struct err *e);
void office_close(struct office *o);

/* Makes and signs an order from a specification (schema keymill.order-spec.v1, docs/examples/order.yaml; its
 * paths are relative to it). The same specification again writes the same order. RC_CONFLICT
 * office.order-exists (same id, other content), office.ids-taken (names the other order), RC_DENIED
 * office.sequence, office.ca-revoked; RC_INPUT office.ca-cert, office.station-cn, office.trust-bundle. Once
 * it is recorded, a failure to write out says that it is signed. */
NODISCARD enum rc office_order_new(struct office *o, const char *spec_path, const char *out, bool *ret_new,
                                   struct err *e);

/* Makes the sealed batch of one station of an order in folder out: keys, certificates from the CA the order
 * names, lots sealed. Works in out.part and renames at the end; a killed run is taken up where it stood.
 * station NULL: the order's only one. RC_OK and *ret_made 0 when the batch was whole already. RC_CONFLICT
 * office.order-unknown: not this office's order; RC_DENIED office.ca-revoked. */
struct batch_report {
    uint64_t count, made, resumed;
    uint64_t verify_every; /* as the order says */
    int64_t elapsed_ms;
};
NODISCARD enum rc office_batch_make(struct office *o, struct ca *ca, const char *order_path,
                                    const char *station, const char *out, struct batch_report *ret,
                                    struct err *e);

/* Ordered = good + scrapped + unused + unexplained. */
struct reconciliation {
    char order[65], station[65];
    uint64_t ordered, good, scrapped, unused, unexplained;
    bool is_new;
};
/* Verifies manifest and checkpoint against the stored order and takes them into the inventory. The same
 * again: RC_OK, is_new false. RC_DENIED office.station (not the order's), RC_CONFLICT office.duplicate (a
 * serial, key or id that another manifest has), office.manifest-differs, office.order-unknown. */
NODISCARD enum rc office_ingest(struct office *o, const char *manifest_path, const char *checkpoint_path,
                                struct reconciliation *ret, struct err *e);

struct list_report {
    uint64_t sequence, devices;
    uint64_t no_manifest; /* of a revoked order: stations whose manifest is not in yet */
    bool is_new;
};
/* Signs the next release list for the ids in a file (one a line). All must be in the inventory, good, not
 * revoked (RC_DENIED office.not-good names the first; nothing is signed). The same ids again write the same
 * list. A failure to write out before it is signed changes nothing; after it, the text says so. */
NODISCARD enum rc office_release(struct office *o, const char *ids_path, const char *out,
                                 struct list_report *ret, struct err *e);
/* Signs the next revocation list: for ids, a whole order or a whole issuer (exactly one is given).
 * RC_CONFLICT office.order-unknown. */
NODISCARD enum rc office_revoke(struct office *o, const char *ids_path, const char *order_id,
                                const char *issuer_path, const char *reason, const char *out,
                                struct list_report *ret, struct err *e);

#endif
