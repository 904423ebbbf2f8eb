/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_JSONW_H
#define BASE_JSONW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

/*
 * Writes one JSON value (RFC 8259) into a buffer, compact, in the order of the calls. Members take a key,
 * array elements NULL. Strings are UTF-8 (what is not becomes U+FFFD, so that the output is always JSON);
 * control characters are escaped. Unbalanced or keyless use is a bug.
 */
enum { JSONW_DEPTH = 16 };
struct jsonw {
    struct bytes *out;
    int depth;
    bool more[JSONW_DEPTH];  /* an element was already written at this depth */
    bool array[JSONW_DEPTH]; /* this depth is an array */
};

void jsonw_init(struct jsonw *w, struct bytes *out);
void jsonw_object(struct jsonw *w, const char *key);
void jsonw_array(struct jsonw *w, const char *key);
void jsonw_end(struct jsonw *w);                                     /* ends the innermost object or array */
void jsonw_str(struct jsonw *w, const char *key, const char *value); /* NULL value: null */
void jsonw_int(struct jsonw *w, const char *key, int64_t value);
void jsonw_bool(struct jsonw *w, const char *key, bool value);
void jsonw_hex(struct jsonw *w, const char *key, struct span value); /* lower-case hex string */
void jsonw_b64(struct jsonw *w, const char *key, struct span value); /* RFC 4648 section 4 string */
void jsonw_time(struct jsonw *w, const char *key, int64_t t);        /* RFC 3339 string */
void jsonw_raw(struct jsonw *w, const char *key, struct span json);  /* a finished JSON value */

#endif
