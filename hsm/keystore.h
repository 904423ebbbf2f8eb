/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HSM_KEYSTORE_H
#define HSM_KEYSTORE_H

#include <stddef.h>

#include "base/err.h"
#include "hsm/proto.h"
#include "hsm/token.h"

struct alg;
struct client;
struct quirks;
struct uri;

/* The token that a URI names: opened and logged in on first use, the same one for every URI that names it. */
NODISCARD enum rc tokens_client(struct keystore *k, const struct uri *u, struct client **ret, struct err *e);

/* --- describe.c: what a worker says, as the tools see it */

/* Which token a URI means. The module is its module-path, else the environment's KEYMILL_PKCS11_MODULE. */
void hello_from(const struct uri *u, struct proto_hello *ret);
void token_info_from(const struct proto_token *t, struct token_info *ret);
/* Key i of the n that a token holds (all of them: labels and ids are compared). quirks: of the token; ret
 * refers to them. */
void key_info_from(const struct quirks *quirks, const struct proto_key *all, size_t n, size_t i,
                   struct key_info *ret);
/* CKA_EC_PARAMS with the name of a curve in the place of its OID; appended to ret. */
void params_by_name(const struct alg *a, struct bytes *ret);
/* Every private key of a token; *ret malloc'd. */
NODISCARD enum rc keys_read(struct client *c, struct proto_key **ret, size_t *ret_n, struct err *e);
/* True when the URI's object and id (as far as given) are the key's. */
bool key_selected(const struct uri *u, const struct proto_key *k);

/* RC_TOKEN hsm.no-key with the labels that are there. */
enum rc key_missing(const struct client *c, const struct uri *u, const struct proto_key *keys, size_t n,
                    struct err *e);

/* What makes a key of this algorithm and usage, in a token with these quirks. ref is left empty. RC_DENIED
 * hsm.usage when such keys are not for that; RC_TOKEN hsm.not-supported when the quirk file says that the
 * token cannot do it. */
NODISCARD enum rc generate_request(const struct quirks *q, const struct alg *a, enum key_usage usage,
                                   struct proto_generate *ret, struct err *e);

/* --- key.c: a key in a token as a signer. exceptions: as signer.exceptions; copied */

NODISCARD enum rc token_signer_new(struct client *c, const struct proto_key *key, const struct key_info *info,
                                   enum key_usage usage, const char *exceptions, struct signer **ret,
                                   struct err *e);

#endif
