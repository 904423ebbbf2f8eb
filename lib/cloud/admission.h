/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLOUD_ADMISSION_H
#define CLOUD_ADMISSION_H

#include <stdbool.h>

#include "base/err.h"
#include "factory/lists.h"

struct target;

/*
 * Who may in: the signed lists of a target's folder, verified and added up. Used by the broker plugin and by
 * "keymill-cloud status".
 *
 * Revocations come first and fail closed: a gap in their sequence, a broken chain of hashes or a bad
 * signature is an error, no release list is read, and the caller keeps what it had (at the start: nobody). A
 * release list that is missing or bad lets nobody in, nor does any behind it, and that is all: the lists
 * before it count, and admission_doubt says what is wrong.
 */
struct admission;
NODISCARD enum rc admission_load(const struct target *t, struct admission **ret, struct err *e);
/* Adds the lists that came since, each verified before it counts. On failure the revocations before the bad
 * one count, and the rest may come later. */
NODISCARD enum rc admission_update(struct admission *a, const struct target *t, struct err *e);
/* The revocations alone; the doubt stays as it is. */
NODISCARD enum rc admission_update_revocations(struct admission *a, const struct target *t, struct err *e);
/* Why the next release list is not believed; rc is RC_OK when all are. Lives as long as a. */
const struct err *admission_doubt(const struct admission *a);
/* Files in the folders of lists whose name is no list's. They are ignored. */
void admission_each_stray(const struct target *t, void (*call)(void *arg, const char *path), void *arg);
void admission_free(struct admission *a);
/* True when lists were added since it was loaded (by sequence; cheap), and while there is a doubt. */
bool admission_stale(const struct admission *a, const struct target *t);
enum admission_verdict { ADMISSION_UNKNOWN, ADMISSION_ADMITTED, ADMISSION_REVOKED };
/* By the certificate's SHA-256; the id must be the one the list has for it. */
enum admission_verdict admission_judge(const struct admission *a,
                                       const uint8_t cert_sha256[static SHA256_LEN], const char *id);

struct admission_counts {
    uint64_t released; /* devices on release lists, those that are out not counted */
    uint64_t revoked;  /* devices on any list that are out, themselves or by their issuer */
    uint64_t issuers;  /* revoked ones */
    uint64_t release_sequence, revocation_sequence;
};
struct admission_counts admission_count(const struct admission *a);

#endif
