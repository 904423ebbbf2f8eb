/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FACTORY_LINES_H
#define FACTORY_LINES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

/* A JSON-lines file, read as a stream. Every line ends in LF, the last one too, so that a file that was cut
 * off shows. */
enum { LINE_MAX_OCTETS = 64 << 10 };
struct lines;

/* RC_SYSTEM file.read. */
NODISCARD enum rc lines_open(const char *path, struct lines **ret, struct err *e);
/* The next line without its LF, valid until the next call; *ret_end is true when there is none. RC_INPUT
 * lines.cut (no LF at the end), lines.long, lines.empty; RC_SYSTEM file.read. */
NODISCARD enum rc lines_next(struct lines *l, struct span *ret, bool *ret_end, struct err *e);
int64_t lines_number(const struct lines *l); /* of the line read last, from 1 */
void lines_close(struct lines *l);           /* NULL is allowed */

#endif
