/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HSM_TOKEN_H
#define HSM_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "sign/signer.h"

/*
 * Tokens as the tools see them. The module itself is loaded by keymill-token, a worker process of ours that
 * this client starts (posix_spawn), hands the PIN through a pipe and talks to over a SOCK_SEQPACKET pair
 * (hsm/proto.h). A worker that misses a deadline or dies is ended and replaced: the token is found again,
 * logged in again and what was not answered is sent again. A PIN that the token rejected is never sent again,
 * and one that it never accepted is not sent again after a login that ended in a crash, in silence or in an
 * error of the module.
 *
 * A token is named by an RFC 7512 URI: token=LABEL, serial=, manufacturer=, model=; a key besides by
 * object=LABEL or id=; the module by ?module-path=, else by the environment variable KEYMILL_PKCS11_MODULE,
 * else p11-kit's configured modules are searched. Slot numbers are refused. pin-value is refused: a PIN in a
 * URI ends up in logs.
 */

struct token_options {
    const char *pin_source; /* hsm/pin.h; the URI's pin-source attribute wins; NULL: the terminal */
    int workers;     /* processes for each token; 0: by token kind (SoftHSM: one a core, others 1), when many
                        signatures are expected */
    bool one_shot;   /* a handful of operations: one worker, one session, started on first use */
    int deadline_ms; /* per request; 0: 10,000 */
    int sessions; /* of each worker, a thread each; 0: by token kind (SoftHSM 1, others 8 when many signatures
                     are expected) */
};

/* A keystore over all tokens that URIs name; each is opened on first use and stays open. Signers from it are
 * thread-safe and live no longer than it. */
NODISCARD enum rc tokens_open(const struct token_options *opt, struct keystore **ret, struct err *e);
void tokens_close(struct keystore *k); /* ends the workers; NULL is allowed */

/* A new token: label in a free slot (SoftHSM: the uninitialised one), SO and user PIN set. module NULL: as
 * above. A label already in use is RC_CONFLICT hsm.label-exists. ret_serial: malloc'd. */
NODISCARD enum rc token_init(const char *module, const char *label, const char *so_pin_source,
                             const char *pin_source, char **ret_serial, struct err *e);

struct token_info {
    char label[33], manufacturer[33], model[17], serial[17];
    char module[256];
    bool initialised, pin_count_low, pin_final_try, pin_locked, login_required;
    uint64_t max_sessions; /* 0: not limited or not said */
};
/* Every token of the module(s); uri NULL or a filter. Needs no PIN. */
NODISCARD enum rc token_list(const char *uri, struct token_info **ret, size_t *ret_n, struct err *e);

/* What a private key in a token is allowed to do, as its attributes say. -1: the token does not report the
 * attribute. */
struct key_info {
    char label[128];
    struct bytes id;    /* CKA_ID */
    struct bytes spki;  /* empty when the public half is not known */
    char algorithm[16]; /* "ec-p256", "" when it is none of ours */
    int sensitive, always_sensitive, extractable, never_extractable, local, private_object, token_object;
    int sign, sign_recover, decrypt, unwrap, derive, always_authenticate, modifiable;
    size_t same_label; /* private keys in the token with this label, this one included */
};
void key_info_free(struct key_info *k, size_t n);
/* The private keys that the URI names: those of a token, or one key (RC_TOKEN hsm.no-key when it is not
 * there). Needs the PIN. */
NODISCARD enum rc token_keys(struct keystore *k, const char *uri, struct key_info **ret, size_t *ret_n,
                             struct err *e);

/*
 * The key policy (design: secrets and trust): sensitive, always sensitive, not extractable, never
 * extractable, generated on the token, private, a token object, usage exactly sign or exactly derive, a curve
 * of ours, label unique. Calls broken(arg, rule, text) for each rule that does not hold; returns RC_DENIED
 * hsm.key-policy when any, naming the first. tokens' find() enforces the same rules before it hands a signer
 * out.
 */
NODISCARD enum rc key_policy_check(const struct key_info *k, enum key_usage usage,
                                   void (*broken)(void *arg, const char *rule, const char *text), void *arg,
                                   struct err *e);

/* Selftest of a token (uri NULL: of the only one there; a PIN is not tried on several) with throw-away keys:
 * random octets, session key pair, sign and verify, ECDH against software, and that a private value cannot be
 * read. step(arg, name, ok, detail) for each. RC_TOKEN hsm.selftest when any failed. */
NODISCARD enum rc token_selftest(struct keystore *k, const char *uri,
                                 void (*step)(void *arg, const char *name, bool ok, const char *detail),
                                 void *arg, struct err *e);

#endif
