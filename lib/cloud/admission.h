/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLOUD_ADMISSION_H
#define CLOUD_ADMISSION_H

#include <stdbool.h>

#include "base/err.h"
#include "factory/lists.h"

struct target;

/*
 * Who may in: the signed lists of a target's folder, verified and added up. Used by the broker plugin and by
 * "keymill-cloud status". A gap in a sequence, a broken chain of hashes or a bad signature is an error, and
 * the caller keeps what it had (the plugin: starts with nobody).
 */
struct admission;
NODISCARD enum rc admission_load(const struct target *t, struct admission **ret, struct err *e);
/* Adds the lists that came since, each verified before it counts. On failure those before the bad one count,
 * and the rest may come later. */
NODISCARD enum rc admission_update(struct admission *a, const struct target *t, struct err *e);
void admission_free(struct admission *a);
/* True when lists were added since it was loaded (by sequence; cheap). */
bool admission_stale(const struct admission *a, const struct target *t);
enum admission_verdict { ADMISSION_UNKNOWN, ADMISSION_ADMITTED, ADMISSION_REVOKED };
/* By the certificate's SHA-256; the id must be the one the list has for it. */
enum admission_verdict admission_judge(const struct admission *a,
                                       const uint8_t cert_sha256[static SHA256_LEN], const char *id);
void admission_counts(const struct admission *a, uint64_t *ret_released, uint64_t *ret_revoked,
                      uint64_t *ret_release_sequence, uint64_t *ret_revocation_sequence);

#endif
