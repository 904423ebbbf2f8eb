/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FACTORY_STATION_H
#define FACTORY_STATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "doc/token.h"
#include "factory/manifest.h"

struct keystore;

/*
 * A flashing station on a contract manufacturer's line, one home directory (0700): station.yaml,
 * journal.jsonl, manifest.csr, seal.csr, manifest.pem, seal.pem, chain.pem, lock and orders/<order>/
 * (order.p7m, batch/, and after close the manifest and checkpoint). Its token holds a manifest key (signs)
 * and a seal key (agrees). The journal is the truth.
 */
struct station;
/* As office_token. */
NODISCARD enum rc station_token(const char *home_or_config, char **ret_pin_source, struct token_settings *ret,
                                struct err *e);

/* Makes home and both keys and writes manifest.csr; repeats what a crash left undone. The seal key cannot
 * sign its own request, so seal.csr is a request with a statement of possession (RFC 9883) signed by the
 * manifest key; it is written by the import of the manifest certificate. RC_CONFLICT station.exists (made
 * with another configuration), station.key-changed (another token). */
NODISCARD enum rc station_init(const char *home, const char *config_path, struct keystore *keys,
                               bool *ret_new, struct err *e);
/* Takes a certificate for one of its keys, verified to the configured root, and its chain in the place of the
 * one before. keys is needed for the manifest certificate (signs seal.csr). ret_role: "station-manifest" or
 * "station-seal". RC_INPUT station.key (for a key of nobody here); RC_CONFLICT station.no-home,
 * station.certified (a key has one certificate for ever); RC_DENIED verify.*. CRLs may come with a later
 * import; station_close needs them. */
NODISCARD enum rc station_import(const char *home, struct keystore *keys, const char *cert_path,
                                 const char *chain_path, const char **ret_role, bool *ret_new, struct err *e);
/* Takes the home's lock until station_close_home and replays the journal. RC_CONFLICT station.no-home,
 * station.not-certified, lock.busy; RC_INPUT journal.broken (factory/journal.h, and also where a record
 * cannot follow from those before it), station.order-changed. */
NODISCARD enum rc station_open(const char *home, struct keystore *keys, struct station **ret, struct err *e);
void station_close_home(struct station *s); /* NULL is allowed */

/*
 * What is below records first and acts then. The clock is gated in all of it: RC_CONFLICT station.clock
 * before the tool's build, the last journal entry or the order's issue. RC_CONFLICT station.no-order for an
 * order that was not accepted.
 */

/* Takes a signed order (a file) or the sealed batch of an accepted order (a folder), checked whole, copied
 * into the home, recorded. The same again: RC_OK, *ret_new false; a batch whose copy was damaged is copied
 * anew. RC_DENIED order.station (for another station), order.expired, order.sequence (older than one
 * accepted), station.ids-taken (gives out ids of an order accepted before), batch.station, verify.*;
 * RC_CONFLICT station.order-differs, station.batch-differs (another one of that name was accepted); RC_INPUT
 * batch.*, lines.*, sign.cms. ret_order: the order's id. */
NODISCARD enum rc station_accept(struct station *s, const char *path, char ret_order[static 65],
                                 bool *ret_new, struct err *e);

/* Delivers one device into folder out (made 0700; files 0600): cert.pem, chain.pem (leaf first, without the
 * root), trust.pem, device.json (id, endpoint, order), and last key.pem. The journal record is durable before
 * the first file is written. id NULL: the next unused one; else one that was delivered and not finished,
 * again. A folder that cannot be written is RC_SYSTEM file.*, one that holds another device RC_CONFLICT
 * station.out-used, both before anything is recorded. RC_DENIED station.quantity, order.expired,
 * order.not-yet; RC_CONFLICT station.not-delivered, station.finished, station.closed, station.no-batch;
 * RC_INPUT station.no-id, station.batch-lost, batch.*, sign.*. */
NODISCARD enum rc station_next(struct station *s, const char *order, const char *id, const char *out,
                               char ret_id[static DEVICE_ID_MAX + 1], struct err *e);
/* Confirms (STATE_GOOD) or scraps (STATE_SCRAPPED) a delivered device. The same word again: RC_OK, *ret_new
 * false, and the first reason stays; the other one: RC_CONFLICT station.finished. A never delivered id may be
 * scrapped too. reason (NULL: none) is for scrap: one line of UTF-8, at most 128 octets, RC_INPUT
 * station.reason. */
NODISCARD enum rc station_finish(struct station *s, const char *id, enum device_state state,
                                 const char *reason, bool *ret_new, struct err *e);
/* Ends an order: manifest and checkpoint into folder out. Delivered and unfinished devices are RC_CONFLICT
 * station.unfinished (names the first and counts them). RC_DENIED verify.* when the office would refuse the
 * checkpoint: no CRL in the chain, or the certificate has ended. Again: the same files; RC_INPUT
 * station.closed-changed when those in the home are not. */
NODISCARD enum rc station_close(struct station *s, const char *order, const char *out, struct checkpoint *ret,
                                struct err *e);

#endif
