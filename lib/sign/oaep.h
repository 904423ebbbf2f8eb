/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIGN_OAEP_H
#define SIGN_OAEP_H

#include "sign/signer.h"

/* RSAES-OAEP (RFC 8017 7.1), empty label, to the RSA key of spki: what signer_decrypt opens. Appended to
 * *ret. RC_INPUT sign.key-type, sign.key-point; sign.encrypt when plain is too long for the key. */
NODISCARD enum rc oaep_encrypt(struct span spki, enum oaep_digest digest, struct span plain,
                               struct bytes *ret, struct err *e);

#endif
