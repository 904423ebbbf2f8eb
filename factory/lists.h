/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FACTORY_LISTS_H
#define FACTORY_LISTS_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/text.h"
#include "sign/digest.h"

/* One device on a list. */
struct list_device {
    char id[DEVICE_ID_MAX + 1];
    uint8_t cert[SHA256_LEN];   /* of its certificate */
    uint8_t issuer[SHA256_LEN]; /* of its issuer's certificate */
};

enum list_kind { LIST_RELEASE, LIST_REVOCATION };

/*
 * A release list (schema keymill.release.v1) or revocation list (keymill.revocation.v1). Each kind has its
 * own sequence, 1, 2, 3..., and each list names the SHA-256 of the list file before it (zeros for the first),
 * so that a missing, old or swapped list shows. Lists add up; a revocation is for ever and beats any release.
 */
struct device_list {
    enum list_kind kind;
    uint64_t sequence;
    uint8_t previous[SHA256_LEN];
    int64_t issued;
    char reason[32]; /* revocation: the CRLReason name; "" otherwise */
    char order[65];  /* revocation of a whole order: its id; "" otherwise */
    struct list_device *devices;
    size_t ndevices;
    uint8_t (*issuers)[SHA256_LEN]; /* revocation: CA certificates whose devices are all out */
    size_t nissuers;
};

void list_encode(const struct device_list *l, struct bytes *ret);
/* RC_INPUT doc.*, list.*: also when a device or id stands twice. */
NODISCARD enum rc list_decode(const char *name, enum list_kind kind, struct span json,
                              struct device_list *ret, struct err *e);
void list_fini(struct device_list *l);

#endif
