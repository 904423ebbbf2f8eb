/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FACTORY_JOURNAL_H
#define FACTORY_JOURNAL_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "sign/chain.h"

/*
 * The station's truth: an append-only file of JSON lines, each with its number and the chain head before it
 * ("prev"); head' = hash_chain(head, line without LF). journal_append returns when the record is on the disk.
 * A torn last line (no LF) was never durable and is cut off at opening; anything else that does not fit is
 * RC_INPUT journal.broken, with the line, and the file is left alone.
 */
struct journal;
struct journal_record {
    uint64_t n;
    int64_t time;
    const char *kind;  /* "order", "batch", "deliver", "good", "scrap", "close" */
    const char *order; /* "" where it has no meaning */
    const char *id;
    const char *detail; /* hash or reason */
};
/* Takes up one record; head is the chain's head before it. A return other than RC_OK ends the reading with
 * it. */
typedef enum rc journal_reader(void *arg, const struct journal_record *r,
                               const uint8_t head[static SHA256_LEN], struct err *e);
/* Reads the whole journal, calling record for each in turn, and is ready to append. */
NODISCARD enum rc journal_open(const char *path, journal_reader *record, void *arg, struct journal **ret,
                               struct err *e);
/* time may not run backwards: RC_CONFLICT journal.clock says by how much and what to do. RC_SYSTEM
 * journal.write: nothing was recorded. n is set here. */
NODISCARD enum rc journal_append(struct journal *j, const struct journal_record *r, struct err *e);
void journal_head(const struct journal *j, uint8_t ret[static SHA256_LEN], uint64_t *ret_records);
void journal_close(struct journal *j);

#endif
