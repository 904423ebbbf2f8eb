/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FACTORY_INTERNAL_H
#define FACTORY_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "doc/doc.h"
#include "factory/manifest.h"

/* What the readers and writers of the documents share. */

/* Counters go up to 2^53 - 1: what every JSON reader holds exactly (RFC 8259 6). */
#define COUNTER_MAX ((INT64_C(1) << 53) - 1)

/* A required string of less than size octets, copied. */
void doc_copy(struct doc_map *m, const char *key, char *ret, size_t size);
/* A required document or station name (base/text.h name_valid), copied into 65 octets; ret is never more than
 * that. */
void doc_name(struct doc_map *m, const char *key, char ret[static 65]);
/* A required device id, copied. */
void doc_id(struct doc_map *m, const char *key, char ret[static DEVICE_ID_MAX + 1]);
/* A required string that holds at least one certificate in PEM and nothing that cannot be parsed; appended.
 * ret_first (may be NULL): the SHA-256 of the first certificate. */
void doc_pem(struct doc_map *m, const char *key, const char *err_key, struct bytes *ret, uint8_t *ret_first);

/* {"unused":1,"good":2,"scrapped":3}, as manifest and checkpoint write it. */
struct jsonw;
void counts_write(struct jsonw *w, const uint64_t counts[static STATE_COUNT]);
void counts_read(struct doc_map *m, uint64_t ret[static STATE_COUNT]);

#endif
