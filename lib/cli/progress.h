/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdint.h>

/*
 * Progress on stderr: a bar with rate and time left when stderr is a terminal in the foreground, otherwise a
 * line every ten seconds. Nothing in the first second, and nothing at all with --quiet or --json. Cheap
 * enough to be called per device. One at a time; one thread sets it, any thread may say something. NULL is a
 * progress that shows nothing. The first progress_set tells what was done before (a resumed run); the rate
 * leaves that out.
 */
struct progress;
struct progress *progress_start(const char *what, const char *unit, uint64_t total); /* total 0: not known */
void progress_set(struct progress *p, uint64_t done);
void progress_end(struct progress *p); /* clears the bar, frees */

/* A one-line message for people on stderr that does not tear a running bar: recoveries, waits, warnings.
 * Silent with --quiet, and with --json, where stderr is for the one JSON error. Thread-safe. */
void progress_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
