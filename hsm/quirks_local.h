/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HSM_QUIRKS_LOCAL_H
#define HSM_QUIRKS_LOCAL_H

#include <stdbool.h>

#include "base/err.h"

struct doc_map;
struct proto_token;
struct quirks;

/* Between quirks.c (which file), quirks_read.c (what is in it) and quirks_paths.c (its confine map). */

/* Reads and checks one file whole. *ret_fits: its patterns fit token t; then *ret is filled but for its name,
 * and the caller frees it. Else *ret is left alone. RC_INPUT doc.*, quirks.*; RC_SYSTEM file.read. */
NODISCARD enum rc quirks_read(const char *path, const struct proto_token *t, struct quirks *ret,
                              bool *ret_fits, struct err *e);
/* The map "confine" in m, when it is there. expand: fill q->paths with what the entries stand for on this
 * machine; else only their form is checked. */
void quirks_paths(struct doc_map *m, bool expand, struct quirks *q);
/* Closes sub, a map in m, and lets m fail as it did. */
void quirks_close_in(struct doc_map *m, struct doc_map *sub);

/* '*' in pattern stands for any octets, none included; all else for itself. */
bool quirks_pattern_fits(const char *pattern, const char *text);

#endif
