/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLOUD_INTERNAL_H
#define CLOUD_INTERNAL_H

#include "cloud/admission.h"
#include "cloud/target.h"

/* The folder of a target of kind "mosquitto"; every path is malloc'd. */
char *folder_lists(const struct target *t, enum list_kind kind); /* release or revocation */
char *folder_list(const struct target *t, enum list_kind kind, uint64_t sequence);
char *folder_registered(const struct target *t);

/* Reads a list file and verifies it: role, issuer, root. ret_sha256: of the file. ret_der (may be NULL): its
 * octets, appended. */
NODISCARD enum rc list_open(const char *path, enum list_kind kind, const struct target *t,
                            struct device_list *ret, uint8_t ret_sha256[static SHA256_LEN],
                            struct bytes *ret_der, struct err *e);

struct admission *admission_new(void); /* of no list yet */
/* Where a kind's lists stand: the last sequence (0: none) and that file's hash (zeros). */
void admission_last(const struct admission *a, enum list_kind kind, uint64_t *ret_sequence,
                    uint8_t ret_sha256[static SHA256_LEN]);
/* RC_CONFLICT cloud.sequence, cloud.previous when l is not the list that follows; RC_INPUT cloud.list-differs
 * when a release list has another id or issuer for a certificate than one before. name is for messages. */
NODISCARD enum rc admission_follows(const struct admission *a, const char *name, const struct device_list *l,
                                    struct err *e);
/* Whether a revocation list names this certificate; whether it names the order or issuer of many. */
bool admission_revokes_cert(const struct admission *a, const uint8_t cert_sha256[static SHA256_LEN]);
bool admission_revokes_all(const struct admission *a, const uint8_t issuer_sha256[static SHA256_LEN],
                           const char *order);

#endif
