/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HSM_CHOSEN_H
#define HSM_CHOSEN_H

#include "hsm/proto.h"
#include "hsm/token.h"

struct client;

/* One private key as it is, not judged by the key policy: for what may be done with any key. */
struct chosen {
    struct client *client; /* the keystore's */
    struct proto_key key;
    struct key_info info;
};

/* The one private key that the URI names. RC_USAGE hsm.uri when it names none; RC_TOKEN hsm.no-key,
 * hsm.many-keys. On failure *ret is empty, but client is set once the token is open. */
NODISCARD enum rc key_choose(struct keystore *k, const char *uri, struct chosen *ret, struct err *e);
void chosen_end(struct chosen *c); /* what it holds; an empty one is allowed */

#endif
