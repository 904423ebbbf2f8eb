/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLOUD_TARGET_H
#define CLOUD_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "x509/verify.h"

/*
 * A target is where devices are registered asleep and woken by a release: a YAML file (schema
 * keymill.target.v1) without secrets. Kinds: "mosquitto", a broker with keymill's admission plugin, whose
 * folder `directory` holds registered/ (manifests and checkpoints as pushed), release/ and revocation/
 * (signed lists named by sequence). The plugin believes nothing but the signed lists; what is written here is
 * verified first.
 */
struct target {
    char *name, *kind, *directory;
    struct trust
        manifest_trust; /* root; any issuer that may make station-manifest certificates, or manifest-issuer */
    struct trust release_trust; /* root and release-issuer */
};
NODISCARD enum rc target_read(const char *path, struct target **ret, struct err *e);
void target_free(struct target *t);

struct target_report {
    uint64_t devices;  /* in what was handed over */
    uint64_t sequence; /* of a list */
    bool is_new;
};
/* Registers a verified manifest's good devices, inactive. The same again: RC_OK; another manifest of the same
 * order and station RC_CONFLICT cloud.manifest-differs. */
NODISCARD enum rc target_push(const struct target *t, const char *manifest_path, const char *checkpoint_path,
                              struct target_report *ret, struct err *e);
/* Hands over a signed release list: the next in sequence (RC_CONFLICT cloud.sequence otherwise), every device
 * registered here (RC_DENIED cloud.not-registered). */
NODISCARD enum rc target_release(const struct target *t, const char *list_path, struct target_report *ret,
                                 struct err *e);
/* Hands over a signed revocation list. Devices need not be registered. */
NODISCARD enum rc target_revoke(const struct target *t, const char *list_path, struct target_report *ret,
                                struct err *e);

struct target_status {
    uint64_t registered, released, revoked; /* devices; released counts those not revoked */
    uint64_t release_sequence, revocation_sequence;
};
NODISCARD enum rc target_get_status(const struct target *t, struct target_status *ret, struct err *e);

#endif
