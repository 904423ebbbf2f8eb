/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FACTORY_JOURNAL_H
#define FACTORY_JOURNAL_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "sign/chain.h"

/*
 * The station's truth: an append-only file of JSON lines. Each has its number, the chain's head before it
 * ("prev") and, last, the SHA-256 of the line up to there ("sum"); head' = hash_chain(head, line without LF).
 * prev shows a line that was changed, dropped, put in or moved; sum shows it on the last line too, which no
 * prev follows. No hash is keyed: who rewrites the whole file, or sets it back, is found out by the heads in
 * signed checkpoints.
 *
 * A last line without its LF was never durable and nobody was told of it: it is cut off at opening. Anything
 * else that does not fit is RC_INPUT journal.broken, with the line, and the file is left alone.
 *
 * One process at a time: the caller holds a lock.
 */
struct journal;
struct journal_record {
    uint64_t n; /* from 1 */
    int64_t time;
    const char *kind;  /* "order", "batch", "deliver", "good", "scrap", "close" */
    const char *order; /* "" where it has no meaning, as id and detail */
    const char *id;
    const char *detail; /* hash or reason */
};
/* Takes up one record, whose strings live until it returns; head is the chain's head before it. A return
 * other than RC_OK ends the reading with it. */
typedef enum rc journal_reader(void *arg, const struct journal_record *r,
                               const uint8_t head[static SHA256_LEN], struct err *e);
/* Reads the whole journal, calling record for each in turn, makes it durable, and is ready to append.
 * RC_SYSTEM journal.open, file.read. */
NODISCARD enum rc journal_open(const char *path, journal_reader *record, void *arg, struct journal **ret,
                               struct err *e);
/*
 * Returns RC_OK when the record is on the disk. n is set here; NULL is "". RC_CONFLICT journal.clock: time
 * runs backwards; says by how much and what to do. RC_SYSTEM journal.write: nothing was recorded; where the
 * disk did not even let that be undone, this journal takes no more, and the next opening decides.
 */
NODISCARD enum rc journal_append(struct journal *j, const struct journal_record *r, struct err *e);
void journal_head(const struct journal *j, uint8_t ret[static SHA256_LEN], uint64_t *ret_records);
int64_t journal_last_time(const struct journal *j); /* of the last record; 0 when there is none */
void journal_close(struct journal *j);              /* NULL is allowed */

#endif
