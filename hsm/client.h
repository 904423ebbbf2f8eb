/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HSM_CLIENT_H
#define HSM_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "hsm/proto.h"
#include "hsm/worker_process.h"

struct token_options;
struct uri;

/*
 * One token and the workers that serve it. A caller takes an idle worker for the length of one call and gives
 * it back; there are as many calls at a time as workers, and the others wait. A worker that dies, hangs or
 * says that it lost the token is replaced behind the caller's back. Thread-safe, except for open, login and
 * close.
 */
struct client;

/* Finds the token. No login yet: the caller may have this token open already (client_same). Errors:
 * hsm/status.h, hsm.worker-start, hsm.worker-lost. */
NODISCARD enum rc client_open(const struct uri *u, const struct token_options *opt, struct client **ret,
                              struct err *e);
/* Reads the PIN, logs in, and starts the other workers. */
NODISCARD enum rc client_login(struct client *c, struct err *e);
/* RC_OK, or why its PIN, which the token never accepted, is not sent any more. */
NODISCARD enum rc client_refused(struct client *c, struct err *e);
void client_close(struct client *c); /* NULL is allowed */

const struct proto_token *client_token(const struct client *c);
const char *client_name(const struct client *c); /* "token 'root'", for messages */
bool client_same(const struct client *a, const struct client *b);
const struct quirks *client_quirks(const struct client *c);
bool client_confined(
    const struct client *c); /* its workers: to the files of the quirk file; after the login */
size_t client_workers(const struct client *c);
size_t client_sessions(
    const struct client *c); /* that a worker has: into so many requests a batch is best split */
size_t client_recoveries(struct client *c); /* how often something had to be tried again so far */

/* Runs n requests on one worker. One that dies, hangs or has lost its token is replaced, and the login made
 * again, for as long as token_options.patience_ms without any progress; a token that never worked is given up
 * after three more tries. label: the key, for messages; may be NULL. replies must be empty; on failure they
 * are too. */
NODISCARD enum rc client_run(struct client *c, const char *label, const struct request *requests,
                             struct reply *replies, size_t n, struct err *e);
/* One request; the items that came back are appended to *ret. */
NODISCARD enum rc client_call(struct client *c, const char *label, const struct request *rq,
                              struct bytes *ret, struct err *e);

#endif
