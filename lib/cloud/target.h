/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLOUD_TARGET_H
#define CLOUD_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "sign/cms.h"
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
    char **crl_paths;
    size_t ncrl_paths;
    struct cms_chain crls; /* what is in those files; both trusts point here */
};
NODISCARD enum rc target_read(const char *path, struct target **ret, struct err *e);
/* Reads the CRL files again. On failure those from before stay. RC_INPUT target.crls: a file holds something
 * else. */
NODISCARD enum rc target_reread_crls(struct target *t, struct err *e);
void target_free(struct target *t);

struct target_report {
    uint64_t devices;  /* in what was handed over */
    uint64_t sequence; /* of a list */
    bool is_new;
    struct err doubt; /* why another list of this kind that is there is not believed; rc is RC_OK if none */
};
/* Registers a verified manifest's good devices, inactive. The same again: RC_OK; another manifest of the same
 * order and station RC_CONFLICT cloud.manifest-differs; a station other than the signer's certificate says
 * RC_DENIED cloud.station. */
NODISCARD enum rc target_push(const struct target *t, const char *manifest_path, const char *checkpoint_path,
                              struct target_report *ret, struct err *e);
/* Hands over a signed release list: the next in sequence (RC_CONFLICT cloud.sequence otherwise), every device
 * registered here (RC_DENIED cloud.not-registered). */
NODISCARD enum rc target_release(const struct target *t, const char *list_path, struct target_report *ret,
                                 struct err *e);
/* Hands over a signed revocation list, the next in sequence. Devices need not be registered, and the state of
 * the release lists does not matter. */
NODISCARD enum rc target_revoke(const struct target *t, const char *list_path, struct target_report *ret,
                                struct err *e);

struct target_status {
    uint64_t registered, released; /* devices; released counts those not revoked */
    uint64_t revoked;              /* registered devices that are out, themselves, by order or by issuer */
    uint64_t revoked_issuers;
    uint64_t release_sequence, revocation_sequence; /* of the last lists that are believed */
    struct err doubt; /* why the next release list is not believed; rc is RC_OK when all are */
};
NODISCARD enum rc target_get_status(const struct target *t, struct target_status *ret, struct err *e);

#endif
