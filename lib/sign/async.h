/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIGN_ASYNC_H
#define SIGN_ASYNC_H

#include "base/bytes.h"
#include "base/err.h"

struct alg;
struct signer;

/*
 * Private to lib/sign: one signature of the adapter. Outside an ASYNC job (ASYNC_start_job(3)) it is
 * signer_sign_as and blocks. Inside one, which is where libssl runs a handshake under SSL_MODE_ASYNC, a
 * helper thread makes the signature while the job is paused, so that the thread which runs the event loop
 * goes on with its other connections; evp.h says what that loop has to do. Errors are the signer's either
 * way.
 */
NODISCARD enum rc async_sign(struct signer *s, const struct alg *a, struct span input, struct bytes *ret,
                             struct err *e);

#endif
