/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FACTORY_STATION_H
#define FACTORY_STATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "factory/manifest.h"

struct keystore;

/*
 * A flashing station on a contract manufacturer's line, one home directory (0700): station.yaml,
 * journal.jsonl, manifest.csr, seal.csr, manifest.pem, seal.pem, chain.pem, lock and orders/<order>/
 * (order.p7m, batch/, and after close the manifest and checkpoint). Its token holds a manifest key (signs)
 * and a seal key (agrees). The journal is the truth.
 */
struct station;
/* As office_pin_source. */
NODISCARD enum rc station_pin_source(const char *home_or_config, char **ret, struct err *e);

/* Makes home and both keys and writes manifest.csr. The seal key cannot sign its own request, so seal.csr is
 * a request with a statement of possession (RFC 9883) signed by the manifest key; it is written by the import
 * of the manifest certificate. */
NODISCARD enum rc station_init(const char *home, const char *config_path, struct keystore *keys,
                               bool *ret_new, struct err *e);
/* Takes a certificate for one of its keys, verified to the configured root. keys is needed for the manifest
 * certificate (signs seal.csr). ret_role: "station-manifest" or "station-seal". */
NODISCARD enum rc station_import(const char *home, struct keystore *keys, const char *cert_path,
                                 const char *chain_path, const char **ret_role, bool *ret_new, struct err *e);
NODISCARD enum rc station_open(const char *home, struct keystore *keys, struct station **ret, struct err *e);
void station_close_home(struct station *s);

/* Takes a signed order (a file) or the sealed batch of an accepted order (a folder), checked whole, copied
 * into the home, recorded. The same again: RC_OK, *ret_new false. The clock is gated: RC_CONFLICT
 * station.clock before the order's issue, the last journal entry or the tool's build. RC_DENIED order.station
 * (for another station), order.expired, order.sequence (older than one accepted), verify.*; RC_INPUT batch.*.
 * ret_order: the order's id. */
NODISCARD enum rc station_accept(struct station *s, const char *path, char ret_order[static 65],
                                 bool *ret_new, struct err *e);

/* Delivers one device into folder out (made 0700; files 0600): cert.pem, chain.pem (leaf first, without the
 * root), key.pem, trust.pem, device.json (id, endpoint, order). The journal record is durable before the
 * first file is written. id NULL: the next unused one; else one that was delivered and not finished, again. A
 * folder that holds another device is RC_CONFLICT station.out-used before anything is recorded. RC_DENIED
 * station.quantity, order.expired; RC_CONFLICT station.finished, station.closed. */
NODISCARD enum rc station_next(struct station *s, const char *order, const char *id, const char *out,
                               char ret_id[static DEVICE_ID_MAX + 1], struct err *e);
/* Confirms or scraps a delivered device. The same word again: RC_OK, *ret_new false; the other one:
 * RC_CONFLICT station.finished. A never delivered id may be scrapped too. */
NODISCARD enum rc station_finish(struct station *s, const char *id, enum device_state state,
                                 const char *reason, bool *ret_new, struct err *e);
/* Ends an order: manifest and checkpoint into folder out. Delivered and unfinished devices are RC_CONFLICT
 * station.unfinished (names the first and counts them). Again: the same files. */
NODISCARD enum rc station_close(struct station *s, const char *order, const char *out, struct checkpoint *ret,
                                struct err *e);

#endif
