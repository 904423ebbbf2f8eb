/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HSM_WORKER_PROCESS_H
#define HSM_WORKER_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/bytes.h"
#include "base/err.h"
#include "hsm/proto.h"

struct secret;

/*
 * One worker process and the requests that go to it. Knows the protocol's frame and deadlines, nothing of
 * tokens or of recovery. For one thread at a time.
 */
struct worker {
    pid_t pid;   /* 0: none */
    int sock;    /* -1: none */
    int pin[2];  /* the PIN pipe; both ends stay here, so that writing cannot fail; -1: none */
    uint32_t id; /* of the next request */
};
#define WORKER_INIT                                                                                          \
    {                                                                                                        \
        0, -1, {-1, -1}, 1                                                                                   \
    }

/* Starts keymill-token. RC_SYSTEM hsm.worker-start. *w must be WORKER_INIT or ended. */
NODISCARD enum rc worker_start(struct worker *w, struct err *e);
/* Closes the socket, which makes a worker end by itself after the call into the module that is under way;
 * kills it when it does not do so soon, or at once when it is known to hang. No other is killed at once: a
 * SoftHSM that is killed in C_Login leaves its token file empty. */
void worker_end(struct worker *w, bool hangs);
/* The first half of that: closes the socket, so that several workers end at the same time. */
void worker_hang_up(struct worker *w);
/* Puts one PIN into the pipe. RC_SYSTEM hsm.worker-start. */
NODISCARD enum rc worker_pin(struct worker *w, const struct secret *pin, struct err *e);
struct request {
    enum proto_op op;
    struct span fixed;    /* the operation's struct; empty when it has none */
    const uint8_t *items; /* more than fits a message travels in a memory file */
    uint32_t count, size;
};
/* What came back. body: the items of all replies, end to end. */
struct reply {
    struct bytes body;
    bool done;
};

enum outcome {
    ANSWERED, /* all requests */
    REFUSED,  /* the worker said no to one: *status and *error say how; answers to others may come yet and are
                 dropped later */
    LATE,     /* nothing came for deadline_ms */
    LOST,     /* the worker is gone or talks nonsense */
};
struct exchange {
    const struct request *requests;
    struct reply *replies; /* one for each request; those already done are not sent again */
    size_t n;
    size_t window;   /* requests that may be unanswered at a time */
    int deadline_ms; /* without any reply */
    enum proto_status status;
    struct proto_error error;
    bool progress; /* a request was answered whole: what came of others is dropped and asked for again */
};
/* Sends what is not done and gathers the replies. */
enum outcome worker_exchange(struct worker *w, struct exchange *x);

void replies_wipe(struct reply *replies, size_t n);

#endif
