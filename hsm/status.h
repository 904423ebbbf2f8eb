/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HSM_STATUS_H
#define HSM_STATUS_H

#include "base/err.h"
#include "hsm/proto.h"

/* What a request was about, for messages. */
struct subject {
    const char *token;  /* "token 'root'" */
    const char *module; /* path; "": the configured ones */
    const char *label;  /* of the key; NULL: none */
};

/* Fills *e with what a worker's refusal means and what to do about it. status is not PROTO_OK. */
enum rc status_err(enum proto_status status, const struct proto_error *why, const struct subject *about,
                   struct err *e);
/* True when the PIN is the reason: never tried again. */
bool status_of_pin(enum proto_status status);

#endif
