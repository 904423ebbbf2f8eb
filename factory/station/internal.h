/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FACTORY_STATION_INTERNAL_H
#define FACTORY_STATION_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/bytes.h"
#include "base/err.h"
#include "factory/batch.h"
#include "factory/journal.h"
#include "factory/order.h"
#include "factory/station.h"
#include "sign/cms.h"
#include "sign/signer.h"
#include "x509/verify.h"

struct cert;
struct lock;

/* What the files of this module share. */

enum {
    STATION_LOCK_WAIT_MS = 10000, /* two jigs on one home take turns */
    STATION_CLOCK_SLACK = 300,    /* seconds a line's clock may be behind headquarters' */
};

/* ---- configuration (config.c) ---- */

/* station.yaml, schema keymill.station-config.v1. */
struct station_config {
    char *name, *pin_source;
    struct token_settings token;
    const struct alg *alg;
    char *manifest_key, *seal_key; /* RFC 7512 URIs */
    struct bytes subject;          /* Name, DER: the configured attributes and CN = name */
    uint8_t trust[SHA256_LEN], order_issuer[SHA256_LEN];
};
NODISCARD enum rc station_config_read(const char *path, struct station_config *ret, struct err *e);
/* A key that is there, of the configured type; it signs under the configured row. RC_CONFLICT
 * station.key-changed; the keystore's. */
NODISCARD enum rc station_key(struct keystore *keys, const struct station_config *c, const char *uri,
                              enum key_usage usage, struct signer **ret, struct err *e);
void station_config_fini(struct station_config *c);

/* ---- an open station (open.c) ---- */

/* What the journal says about a serial. */
enum slot_state { SLOT_UNUSED, SLOT_DELIVERED, SLOT_GOOD, SLOT_SCRAPPED };
struct slot {
    uint8_t state; /* enum slot_state */
    int64_t delivered, finished;
    char *reason; /* scrapped: why; "" when nobody said */
};

/* An accepted order, as the journal tells it. */
struct job {
    struct order order;
    struct order_station me; /* this station's entry */
    int64_t accepted;
    uint8_t journal_before[SHA256_LEN];
    bool has_batch, closed;
    uint8_t batch_sha256[SHA256_LEN];      /* of batch.json */
    uint8_t checkpoint_sha256[SHA256_LEN]; /* of the checkpoint's file, when closed */
    struct slot *slots;                    /* me.quantity of them */
    uint64_t cursor;                       /* no unused slot lies before it */
};

struct station {
    char *home;
    struct lock *lock;
    struct station_config config;
    struct keystore *keys;
    struct cert *manifest, *seal;
    struct cms_chain chain; /* of both, without them */
    struct journal *journal;
    struct job *jobs;
    size_t njobs;
};

/* Paths inside the home, malloc'd. */
char *station_path(const char *home, const char *file);
char *job_path(const struct station *s, const char *order, const char *file); /* file "": the folder */

/* RC_CONFLICT station.no-home when there is none. */
NODISCARD enum rc station_home_check(const char *home, struct err *e);
/* Who may sign orders and batches for this station. */
struct trust station_office_trust(const struct station *s);

/* ---- the jobs (jobs.c) ---- */

/* RC_CONFLICT station.no-order. *ret is valid until the next order is accepted. */
NODISCARD enum rc station_find_job(struct station *s, const char *order, struct job **ret, struct err *e);
/* A journal_reader: takes one record up into the jobs of the station that arg is. RC_INPUT journal.broken for
 * one that cannot follow from those before it. */
NODISCARD enum rc station_apply(void *arg, const struct journal_record *r,
                                const uint8_t head[static SHA256_LEN], struct err *e);
/* Appends a record about an order and brings the jobs up to date with it. The clock is gated for o. */
NODISCARD enum rc station_record(struct station *s, const struct order *o, const char *kind, const char *id,
                                 const char *detail, struct err *e);
void job_fini(struct job *j);

/* ---- the clock (gate.c) ---- */

/* The time, when the station's clock is behind nothing that must be past: the tool's build, the last journal
 * entry, the order's issue. RC_CONFLICT station.clock. */
NODISCARD enum rc station_clock_gate(const struct station *s, const struct order *o, int64_t *ret_now,
                                     struct err *e);
/* RC_DENIED order.not-yet, order.expired. */
NODISCARD enum rc station_window_gate(const struct order *o, int64_t now, struct err *e);

/* ---- batches (batch_view.c, batch_take.c) ---- */

/* batch.json of a folder, checked to belong to the job. Its device lines and lots are not looked at. */
struct batch_view {
    struct batch batch;
    uint8_t sha256[SHA256_LEN]; /* of batch.json */
    struct cert *ca;            /* the devices' issuer */
};
/* judge: its signature too, on the very octets that are read; where it was judged before, the caller compares
 * sha256 with what was. RC_INPUT batch.*; RC_DENIED batch.station, verify.*. */
NODISCARD enum rc batch_view_read(const struct station *s, const struct job *j, const char *dir, bool judge,
                                  struct batch_view *ret, struct err *e);
/* The batch that was accepted: RC_CONFLICT station.no-batch; RC_INPUT station.batch-lost when it is not that
 * one any more. */
NODISCARD enum rc batch_view_stored(const struct station *s, const struct job *j, struct batch_view *ret,
                                    struct err *e);
void batch_view_fini(struct batch_view *v);
/* lot-N.p7m in dir, malloc'd; lots count from 0. */
char *lot_path(const char *dir, uint64_t lot);
/* RC_INPUT batch.lot when the file is not the one that batch.json names. */
NODISCARD enum rc lot_check(const struct batch *b, const char *dir, uint64_t lot, struct err *e);

/* Device line i, from 0: well-formed, and with the id that the order has there. RC_INPUT batch.id. */
NODISCARD enum rc device_decode(const struct job *j, const char *path, uint64_t i, struct span line,
                                struct batch_device *ret, struct err *e);
/* One pass over dir's devices.jsonl: every line as device_decode has it, their number, the file's hash and
 * the Merkle root as signed. take sees each line and where in the file it begins; what it made of them counts
 * only when the whole returns RC_OK. RC_INPUT batch.devices, batch.merkle, lines.*. */
typedef enum rc device_reader(void *arg, uint64_t i, uint64_t offset, const struct batch_device *d,
                              struct err *e);
NODISCARD enum rc devices_each(const struct job *j, const struct batch *b, const char *dir,
                               device_reader *take, void *arg, struct err *e);

/* Takes the sealed batch in a folder; see station_accept. */
NODISCARD enum rc station_take_batch(struct station *s, const char *dir, char ret_order[static 65],
                                     bool *ret_new, struct err *e);

/* ---- files (copy.c) ---- */

/* Streams src to dst, which is made durable: dst with other contents is RC_CONFLICT file.exists, with
 * the same it is left. */
NODISCARD enum rc file_copy_create(const char *src, const char *dst, mode_t mode, struct err *e);
/* Makes the folder, and tries that a file can be made in it. RC_SYSTEM file.mkdir, file.write. */
NODISCARD enum rc folder_usable(const char *path, struct err *e);

#endif
