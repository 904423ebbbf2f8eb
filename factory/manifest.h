/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FACTORY_MANIFEST_H
#define FACTORY_MANIFEST_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/text.h"
#include "sign/chain.h"
#include "x509/verify.h"

struct cms_chain;
struct signer;

/*
 * The manifest, A1.manifest.jsonl: a header line, one line per serial, a trailer line; and its checkpoint, a
 * SignedData over JSON by the station's manifest key with counts, the Merkle root over the exact bytes of
 * every line without the LF (header and trailer included) and the journal's heads. Written and read as
 * streams.
 */
enum device_state { STATE_UNUSED, STATE_GOOD, STATE_SCRAPPED, STATE_COUNT };
const char *device_state_name(enum device_state s); /* "unused", "good", "scrapped" */

struct manifest_header {
    char order[65];
    uint8_t order_sha256[SHA256_LEN];
    char station[65];
    uint8_t ca[SHA256_LEN];           /* the devices' issuer certificate */
    uint8_t trust_bundle[SHA256_LEN]; /* delivered with each identity */
    int64_t started;                  /* when the order was accepted */
};
struct manifest_line {
    char id[DEVICE_ID_MAX + 1];
    enum device_state state;
    struct bytes cert; /* DER */
    uint8_t cert_sha256[SHA256_LEN], spki_sha256[SHA256_LEN];
    int64_t not_before, not_after;
    int64_t delivered, finished; /* 0: not */
    char reason[129];            /* scrapped: why */
};
struct checkpoint {
    char order[65];
    uint8_t order_sha256[SHA256_LEN];
    char station[65];
    int64_t issued;
    uint8_t header_sha256[SHA256_LEN], manifest_sha256[SHA256_LEN];
    uint64_t count; /* device lines */
    uint64_t counts[STATE_COUNT];
    uint8_t merkle_root[SHA256_LEN];
    uint8_t journal_before[SHA256_LEN],
        journal_after[SHA256_LEN]; /* chain heads when the order was accepted and at close */
    uint64_t journal_records;
};

/* Writing: header, lines, end. The file appears under its name at manifest_end, which also fills the counts,
 * hashes and root of *ret. */
struct manifest_writer;
NODISCARD enum rc manifest_begin(const char *path, const struct manifest_header *h,
                                 struct manifest_writer **ret, struct err *e);
NODISCARD enum rc manifest_add(struct manifest_writer *w, const struct manifest_line *l, struct err *e);
NODISCARD enum rc manifest_end(struct manifest_writer *w, struct checkpoint *ret,
                               struct err *e); /* frees w in every case */
void manifest_abort(struct manifest_writer *w);

void checkpoint_encode(const struct checkpoint *c, struct bytes *ret);
NODISCARD enum rc checkpoint_decode(const char *name, struct span json, struct checkpoint *ret,
                                    struct err *e);

/*
 * Verifies checkpoint (signature, path, role station-manifest) and manifest (every line, order of lines,
 * certificate hashes, ids unique, counts, root, file hash) in one pass, and calls line for each device (NULL:
 * none). *ret_signer: the manifest key's certificate. RC_INPUT manifest.* names the line; RC_DENIED verify.*.
 */
struct manifest_view {
    struct manifest_header header;
    struct checkpoint checkpoint;
    uint8_t signer[SHA256_LEN];
    uint8_t checkpoint_sha256[SHA256_LEN]; /* of what is signed in it */
};
NODISCARD enum rc manifest_verify(const char *manifest_path, const char *checkpoint_path,
                                  const struct trust *trust,
                                  enum rc (*line)(void *arg, const struct manifest_line *l, struct err *e),
                                  void *arg, struct manifest_view *ret, struct err *e);

#endif
