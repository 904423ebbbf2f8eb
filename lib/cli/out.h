/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_OUT_H
#define CLI_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

/*
 * One stream of output events, two back-ends. A command says facts: members, lists of objects, notes. As text
 * they are aligned "label: value" lines and tables; with --json they are one object on stdout that begins
 * {"schema":"keymill.<tool>.<verb>.v1",...}. Keys are snake_case; a text label is the key with blanks.
 * Nothing is printed before the command has ended, so a failing command prints no half of a result (but see
 * out_failed_rows). All arguments are copied. A key that is not snake_case or is given twice in one object,
 * and a list inside a list, are bugs. A NULL string is null in JSON and "-" in text; text with line ends
 * stands below its label.
 */
struct out;

void out_str(struct out *o, const char *key, const char *value);
void out_int(struct out *o, const char *key, int64_t value);
void out_bool(struct out *o, const char *key, bool value);
void out_hex(struct out *o, const char *key, struct span value);
void out_time(struct out *o, const char *key, int64_t t);

/* A list of objects: out_list, then per row out_row and its members, then out_list_end. As text a table whose
 * columns are the keys of its rows. */
void out_list(struct out *o, const char *key);
void out_row(struct out *o);
void out_list_end(struct out *o);

/* A sentence for people, after the facts; left out of JSON and with --quiet. */
void out_note(struct out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The facts gathered so far are the report of what failed: print them although the command returns an error
 * (RC_PARTIAL, RC_DENIED of a check). */
void out_failed_rows(struct out *o);

#endif
