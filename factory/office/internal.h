/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FACTORY_OFFICE_INTERNAL_H
#define FACTORY_OFFICE_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "factory/office.h"
#include "factory/order.h"
#include "sign/cms.h"
#include "sign/digest.h"
#include "store/store.h"
#include "x509/verify.h"

/* What the files of the office share; private to factory/office. The batch has its own: batch.h here. */

struct alg;
struct cert;
struct keystore;
struct lock;
struct signer;

/* ---- configuration (config.c) ---- */

/* The office's three keys; the first two have certificates. */
enum office_key { OFFICE_ORDER, OFFICE_RELEASE, OFFICE_WRAP, OFFICE_KEYS };
enum { OFFICE_CERTS = OFFICE_WRAP };
const char *office_key_name(enum office_key k); /* "order", "release", "wrap" */
enum role office_key_role(enum office_key k);   /* of the first two */

/* Schema keymill.office-config.v1, docs/examples/office.yaml. */
struct office_config {
    char *name;
    char *pin_source; /* NULL: the terminal */
    struct token_settings token;
    const struct alg *alg;
    char *keys[OFFICE_KEYS];             /* RFC 7512 URIs */
    struct bytes subjects[OFFICE_CERTS]; /* Name, DER */
    uint8_t trust[SHA256_LEN];           /* the root */
    uint8_t station_issuer[SHA256_LEN];  /* the CA that certifies stations */
};
NODISCARD enum rc office_config_parse(const char *name, struct span yaml, struct office_config **ret,
                                      struct err *e);
/* The one in a home. RC_CONFLICT office.no-home when there is none. */
NODISCARD enum rc office_config_of(const char *home, struct office_config **ret, struct err *e);
void office_config_free(struct office_config *c);

/* ---- the open home (home.c) ---- */

struct office {
    char *home;
    struct lock *lock;
    struct office_config *config;
    struct store *db;
    struct keystore *keys;               /* borrowed; NULL: no key may be used */
    struct signer *signers[OFFICE_KEYS]; /* found on first use */
};
/* "order.csr", "chain.pem" in a home, malloc'd. */
char *office_path(const char *home, const char *file);
NODISCARD enum rc office_lock(const char *home, struct lock **ret, struct err *e);
/* Can a new file be made there? Asked before a number is spent on what goes into it. RC_CONFLICT file.exists,
 * RC_SYSTEM file.write. */
NODISCARD enum rc office_out_check(const char *out, struct err *e);
NODISCARD enum rc office_db_open(const char *home, struct store **ret, struct err *e);
/* One of the keys; lives as long as o. RC_CONFLICT office.key-changed when it is not of the configured type.
 */
NODISCARD enum rc office_signer(struct office *o, enum office_key k, struct signer **ret, struct err *e);
/* The certificate of a key with all that is above it, judged to be good for signing in its role now: what the
 * office signs will be believed. RC_CONFLICT office.no-cert before it was imported; RC_DENIED verify.*. */
NODISCARD enum rc office_chain(struct office *o, enum office_key k, int64_t now, struct cms_chain *ret,
                               struct err *e);
/* chain.pem alone: the CAs and CRLs that other certificates are judged by. RC_CONFLICT office.no-cert. */
NODISCARD enum rc office_cas(struct office *o, struct cms_chain *ret, struct err *e);

/* ---- chains (certs.c) ---- */

/* Appends what is not there yet. RC_INPUT office.chain when there is no more room. */
NODISCARD enum rc chain_add_cert(struct cms_chain *c, struct span der, struct err *e);
NODISCARD enum rc chain_add_crl(struct cms_chain *c, struct span der, struct err *e);
/* All of from but the certificate without (empty span: all). */
NODISCARD enum rc chain_add_all(struct cms_chain *c, const struct cms_chain *from, struct span without,
                                struct err *e);
void chain_pem(const struct cms_chain *c, struct bytes *ret);
bool cert_self_signed(const struct cert *c);
/* The certificates from leaf (included) up to the root (left out), as PEM. The path was verified before. */
NODISCARD enum rc chain_path_pem(const struct cert *leaf, const struct cms_chain *chain,
                                 const uint8_t root[static SHA256_LEN], struct bytes *ret, struct err *e);

/* ---- the CA of an order (ca_check.c) ---- */

/* A certificate that may stand above devices. RC_INPUT office.ca-cert: no CA's, the root's, no keyCertSign,
 * confined to other purposes than clientAuth. */
NODISCARD enum rc ca_may_issue(const char *path, const struct cert *ca, struct err *e);
/* A CA that is out makes no more devices. RC_DENIED office.ca-revoked when a revocation list of this office
 * names it, or a CRL of its chain.pem. */
NODISCARD enum rc ca_in_service(struct office *o, const struct cert *ca, struct err *e);
/* The same of every certificate in a PEM text. */
NODISCARD enum rc ca_chain_in_service(struct office *o, struct span pem, struct err *e);

/* ---- orders: specification, checks, rows ---- */

enum { LOT_SIZE_DEFAULT = 500, DAY = 86400 /* seconds */ };

/* Schema keymill.order-spec.v1 (spec.c). order holds what the text says; the sequence, times given in days
 * and everything that stands in other files come later. */
struct order_spec {
    char *path;                 /* its own, for messages */
    uint8_t sha256[SHA256_LEN]; /* of its text: decides whether it is the same specification */
    struct order order;
    int64_t validity_days, window_days; /* 0: the times stand in order */
    char *ca_path, *trust_path;
    char *manifest_paths[ORDER_STATIONS_MAX], *seal_paths[ORDER_STATIONS_MAX];
};
NODISCARD enum rc order_spec_read(const char *path, struct order_spec **ret, struct err *e);
void order_spec_free(struct order_spec *s);

/* The certificates that a specification names, judged (order_files.c). */
struct order_files {
    struct cert *ca;
    struct bytes ca_chain; /* PEM: the CA and above, without the root */
    struct cert *manifest[ORDER_STATIONS_MAX], *seal[ORDER_STATIONS_MAX];
};
/* Fills also the hashes and the trust bundle in spec->order. RC_DENIED office.station-issuer,
 * office.station-role, office.ca-revoked, verify.*; RC_INPUT office.ca-cert, office.station-cn,
 * office.trust-bundle. */
NODISCARD enum rc order_files_load(struct office *o, struct order_spec *spec, int64_t now,
                                   struct order_files *ret, struct err *e);
void order_files_free(struct order_files *f);

/* What the rest of the order book and the CA say to a new order (order_check.c). RC_CONFLICT
 * office.ids-taken; RC_DENIED office.sequence, office.validity; RC_INPUT office.profile. The order was read
 * back by order_decode before. */
NODISCARD enum rc order_check(struct office *o, const struct order *order, const struct order_files *files,
                              struct err *e);

/* An order as it stands in the database (order_rows.c). */
struct stored_order {
    char id[65];
    uint8_t spec[SHA256_LEN], sha256[SHA256_LEN]; /* of the specification's text, of the signed file */
    struct bytes document;                        /* the signed file */
    struct bytes ca;                              /* the CA's certificate, DER */
    struct bytes ca_chain;                        /* PEM */
};
NODISCARD enum rc stored_order_by_id(struct office *o, const char *id, struct stored_order *ret,
                                     bool *ret_found, struct err *e);
NODISCARD enum rc stored_order_by_sha256(struct office *o, const uint8_t sha256[static SHA256_LEN],
                                         struct stored_order *ret, bool *ret_found, struct err *e);
void stored_order_free(struct stored_order *s);
/* Reads the document; the database is the office's own, so nobody's signature is judged again. */
NODISCARD enum rc stored_order_decode(const struct stored_order *s, struct order *ret, struct err *e);
/* The seal certificate of one of its stations, DER. */
NODISCARD enum rc stored_order_seal(struct office *o, const char *order, const char *station,
                                    struct bytes *ret, struct err *e);
/* In the open transaction: the order and its stations. */
NODISCARD enum rc stored_order_insert(struct office *o, const struct stored_order *s,
                                      const struct order *order, const struct order_files *files,
                                      struct err *e);

/* ---- lists (list_rows.c, ids_file.c) ---- */

/* Ids from a file, one a line, sorted. RC_INPUT office.ids: not an id, twice, none at all. */
struct id_list {
    char **ids;
    size_t n;
};
NODISCARD enum rc id_list_read(const char *path, struct id_list *ret, struct err *e);
void id_list_free(struct id_list *l);

struct device_list;
struct list_device;
/* A list as it was signed. request: a hash of what was asked for; the same request is the same list. */
struct stored_list {
    uint64_t sequence, devices;
    struct bytes document;
    uint8_t sha256[SHA256_LEN]; /* of what is signed in it; set when it is made */
};
NODISCARD enum rc stored_list_find(struct office *o, int kind, const uint8_t request[static SHA256_LEN],
                                   struct stored_list *ret, bool *ret_found, struct err *e);
/* The next sequence number and the hash of the list before it (zeros for the first). */
NODISCARD enum rc stored_list_next(struct office *o, int kind, uint64_t *ret_sequence,
                                   uint8_t ret_previous[static SHA256_LEN], struct err *e);
NODISCARD enum rc stored_list_insert(struct office *o, int kind, const uint8_t request[static SHA256_LEN],
                                     int64_t issued, const struct stored_list *l, struct err *e);
void stored_list_free(struct stored_list *l);

/* schema.c */
extern const struct migration office_schema[];
extern const size_t office_schema_steps;

#endif
