/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FACTORY_OFFICE_BATCH_H
#define FACTORY_OFFICE_BATCH_H

#include <pthread.h>

#include "factory/batch.h"
#include "factory/office/internal.h"
#include "sign/chain.h"

/*
 * Making a sealed batch; private to factory/office. What is durable before what, for each group of devices:
 *   lot key in office.db -> rows reserved in ca.db -> certificates signed -> lines in devices.jsonl -> rows
 * issued in ca.db so a killed run leaves at most complete lines without an issued row behind: they are cut
 * off, and their ids made anew.
 */
enum { BATCH_GROUP = 256 /* devices */ };

struct ca;
struct profile;
struct secret;

/* What is to be made. */
struct batch_job {
    struct office *office;
    struct ca *ca;
    struct stored_order stored;
    struct order order;
    const struct order_station *station; /* in order */
    struct bytes seal;                   /* its seal certificate, DER */
    char id[2 * 65];                     /* "<order>.<station>" */
    char *out, *part;                    /* the folder, and where it is made */
};
uint64_t batch_lots(const struct batch_job *j);

/* ---- devices.jsonl (batch_lines.c) ---- */

/* The open file, at its end, and what batch.json will say about it. */
struct batch_lines {
    char *path;
    int fd;
    uint64_t count; /* lines */
    struct merkle tree;
    struct sha256_ctx *digest;
};
/*
 * Opens or makes it in the job's part folder and keeps the lines of an earlier run, as long as each is the
 * next id with exactly the certificate that the CA has issued for it; the rest is cut off. RC_CONFLICT
 * office.batch-lost when the CA has issued a certificate whose line is not there; then nothing is cut off.
 */
NODISCARD enum rc batch_lines_open(struct batch_job *j, struct batch_lines **ret, struct err *e);
/* Appends whole lines (each without its LF); durable on return. */
NODISCARD enum rc batch_lines_append(struct batch_lines *l, const struct bytes *lines, size_t n,
                                     struct err *e);
void batch_lines_close(struct batch_lines *l);

/* ---- lot keys (batch_lots.c) ---- */

/* One random key a lot, made when first needed and stored wrapped to the office's token before it is used. */
struct lot_keys;
struct lot_keys *lot_keys_new(struct office *o, struct signer *wrap, const char *batch, uint64_t nlots);
/* Lives until it is dropped. Any thread. */
NODISCARD enum rc lot_key_get(struct lot_keys *l, uint64_t lot, const struct secret **ret, struct err *e);
/* Forgets the keys of all lots before this one; nobody uses them any more. */
void lot_keys_drop(struct lot_keys *l, uint64_t before);
void lot_keys_free(struct lot_keys *l); /* NULL is allowed */

/* ---- a thread's devices (batch_make.c) ---- */

struct batch_maker; /* keys, containers and buffers for one group, used again and again */
NODISCARD enum rc batch_maker_new(const struct batch_job *j, const struct profile *p,
                                  struct batch_maker **ret, struct err *e);
void batch_maker_free(struct batch_maker *m); /* NULL is allowed */

/* New keys for n devices from the first on; then items are ready for ca_group_reserve. */
struct ca_item;
NODISCARD enum rc batch_maker_keys(struct batch_maker *m, uint64_t first, size_t n, struct ca_item **ret,
                                   struct err *e);
/* The lines, once the items are signed. */
NODISCARD enum rc batch_maker_seal(struct batch_maker *m, struct lot_keys *lots, const struct bytes **ret,
                                   struct err *e);

/* ---- all of them (batch_run.c) and the end (batch_finish.c) ---- */

/* Makes what is missing, from l->count on. */
NODISCARD enum rc batch_run(struct batch_job *j, struct batch_lines *l, struct lot_keys *lots, struct err *e);

/* Has the batch been recorded as made? Then its documents are these bytes. */
struct batch_record {
    struct bytes json, signature;
};
NODISCARD enum rc batch_record_find(struct batch_job *j, struct batch_record *ret, bool *ret_found,
                                    struct err *e);
void batch_record_free(struct batch_record *r);
/* Lots sealed, documents signed and recorded, folder named. All lines are there. */
NODISCARD enum rc batch_finish(struct batch_job *j, struct batch_lines *l, struct lot_keys *lots,
                               struct err *e);
/* A folder is this batch, whole: every file is as the record says. RC_CONFLICT office.out-used. */
NODISCARD enum rc batch_folder_check(const struct batch_job *j, const struct batch_record *r,
                                     const char *folder, bool with_documents, struct err *e);

#endif
