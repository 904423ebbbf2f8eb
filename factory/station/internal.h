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

struct cert;
struct lock;

enum {
    STATION_LOCK_WAIT_MS = 10000, /* two jigs on one home take turns */
    STATION_CLOCK_SLACK = 300,    /* seconds a line's clock may be behind headquarters' */
};

/* station.yaml, schema keymill.station-config.v1. */
struct station_config {
    char *name, *pin_source;
    const struct alg *alg;
    char *manifest_key, *seal_key; /* RFC 7512 URIs */
    struct bytes subject;          /* Name, DER: the configured attributes and CN = name */
    uint8_t trust[SHA256_LEN], order_issuer[SHA256_LEN];
};
NODISCARD enum rc station_config_read(const char *path, struct station_config *ret, struct err *e);
void station_config_fini(struct station_config *c);

/* What the journal says about a serial. */
enum slot_state { SLOT_UNUSED, SLOT_DELIVERED, SLOT_GOOD, SLOT_SCRAPPED };
struct slot {
    uint8_t state; /* enum slot_state */
    int64_t delivered, finished;
    char *reason;
};

/* An accepted order, as replayed from the journal. */
struct job {
    struct order order;
    struct order_station me; /* this station's entry */
    int64_t accepted;
    uint8_t journal_before[SHA256_LEN];
    bool has_batch, closed;
    uint8_t batch_sha256[SHA256_LEN]; /* of batch.json */
    char close_detail[65];            /* SHA-256 of the checkpoint file, hex */
    struct slot *slots;               /* me.quantity of them */
    uint64_t cursor;                  /* no unused slot lies before it */
};

struct station {
    char *home;
    struct lock *lock;
    struct station_config config;
    struct keystore *keys;
    struct cert *manifest, *seal; /* NULL until imported */
    struct cms_chain chain;       /* the manifest certificate first */
    struct journal *journal;
    struct job *jobs;
    size_t njobs;
};

/* Paths inside the home, malloc'd. */
char *station_path(const char *home, const char *file);
char *job_path(const struct station *s, const char *order, const char *file);

NODISCARD enum rc station_find_job(struct station *s, const char *order, struct job **ret, struct err *e);
/* The station's clock against the order, the tool's build date and (in journal_append) the last entry. */
NODISCARD enum rc station_clock_gate(const struct order *o, int64_t now, struct err *e);
NODISCARD enum rc station_window_gate(const struct order *o, int64_t now, struct err *e);
/* Appends a record and brings the jobs up to date with it. */
NODISCARD enum rc station_record(struct station *s, const char *kind, const char *order, const char *id,
                                 const char *detail, struct err *e);
/* Takes up an order whose file is orders/<id>/order.p7m with this SHA-256 (hex): used by replay and by
 * accept. */
NODISCARD enum rc station_load_job(struct station *s, const char *order, const char *sha256_hex,
                                   int64_t accepted, const uint8_t journal_before[static SHA256_LEN],
                                   struct err *e);

/* The batch in a folder, checked against the job except for its device lines. trust NULL: it was judged when
 * it was accepted. */
struct batch_view {
    struct batch batch;
    uint8_t sha256[SHA256_LEN]; /* of batch.json */
    struct cert *ca;            /* the devices' issuer */
};
NODISCARD enum rc batch_view_read(const struct station *s, const struct job *j, const char *dir, bool judge,
                                  struct batch_view *ret, struct err *e);
void batch_view_fini(struct batch_view *v);

/* Streams src to dst: dst with other contents is RC_CONFLICT file.exists, with the same it is left. */
NODISCARD enum rc file_copy_create(const char *src, const char *dst, mode_t mode, struct err *e);

#endif
