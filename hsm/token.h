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

struct quirks;

struct token_options {
    const char *pin_source; /* hsm/pin.h; the URI's pin-source attribute wins; NULL: the terminal */
    int workers;            /* processes for each token; 0: as its quirk file says, else 1 */
    int sessions;           /* of each worker, a thread each; 0: as its quirk file says, else 8 */
    bool one_shot;          /* a handful of operations: one worker, one session, whatever is said elsewhere */
    int deadline_ms;        /* of a request without any answer; 0: 10,000 */
    int patience_ms;        /* how long a token that worked and went away is waited for; 0: 30,000 */
};

/* A keystore over all tokens that URIs name; each is opened on first use and stays open. Signers from it are
 * thread-safe and live no longer than it. */
NODISCARD enum rc tokens_open(const struct token_options *opt, struct keystore **ret, struct err *e);
void tokens_close(struct keystore *k); /* ends the workers; NULL is allowed */

/* A new token: label in a free slot (SoftHSM: the uninitialised one), SO and user PIN set. module NULL: as
 * above. A label already in use is RC_CONFLICT hsm.label-exists. RC_TOKEN hsm.not-supported when the quirk
 * file of a free slot's token says that it is not made so. ret_serial: malloc'd. */
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
    size_t same_label, same_id;  /* private keys in the token with this label, id, this one included */
    const struct quirks *quirks; /* of the token, as long as the keystore is open; NULL: none */
};
void key_info_fini(struct key_info *k);
void key_info_free(struct key_info *k, size_t n);
/* The private keys that the URI names: those of a token, or one key (RC_TOKEN hsm.no-key when it is not
 * there). Needs the PIN. */
NODISCARD enum rc token_keys(struct keystore *k, const char *uri, struct key_info **ret, size_t *ret_n,
                             struct err *e);

/*
 * The key policy (secrets and trust): sensitive, always sensitive, not extractable, never
 * extractable, generated on the token, private, a token object, usage exactly one of sign, derive and
 * decrypt, an algorithm of ours, label and id unique. Excepted are rules about attributes of which the quirk
 * file says that the token's answer means nothing, and those that allowed (NULL: none) names. Calls
 * broken(arg, rule, text) for each rule that does not hold and is not excepted; returns RC_DENIED
 * hsm.key-policy when any, naming the first. tokens' find() enforces the same rules before it hands a signer
 * out.
 */
NODISCARD enum rc key_policy_check(const struct key_info *k, enum key_usage usage,
                                   const struct key_exceptions *allowed,
                                   void (*broken)(void *arg, const char *rule, const char *text), void *arg,
                                   struct err *e);

/* The rules that key k breaks and that are excepted, each with its reason: "generated-on-token (quirk file
 * 'nss': it reports CKA_LOCAL false)", separated by "; ". malloc'd; NULL when there are none. */
char *key_policy_exceptions(const struct key_info *k, enum key_usage usage,
                            const struct key_exceptions *allowed);

/* What a token can do with keys of one algorithm: the mechanisms that it lists, less what its quirk file
 * knows of it. */
enum ability_use { ABLE_KEYGEN, ABLE_SIGN, ABLE_DERIVE, ABLE_DECRYPT };
const char *ability_use_name(enum ability_use use); /* "keygen", "sign", ... */
struct ability {
    const struct alg *alg;
    enum ability_use use;
    const char *mechanism; /* "CKM_ECDSA" */
    bool able;
    uint64_t min_bits, max_bits; /* sizes of keys, as the token says; 0: not said */
    char why[160];               /* not able: the reason */
};

/* A token as it shows itself without a login. */
struct token_detail {
    struct token_info info;
    char *quirk_name, *quirk_path; /* the file in force; NULL: none */
    char *quirk_note;              /* what it says of itself; may be NULL */
    struct quirk_line {
        char *what, *value; /* "signs with", "a copy of the key in the session" */
    } * quirk_lines;
    size_t nquirk_lines;
    struct ability *abilities;
    size_t nabilities;
};
/* uri names one token (RC_TOKEN hsm.no-token, hsm.many-tokens). quirks.* and doc.* when its quirk file cannot
 * be read. */
NODISCARD enum rc token_detail_read(const char *uri, struct token_detail **ret, struct err *e);
void token_detail_free(struct token_detail *d); /* NULL is allowed */
/* Whether the workers of this token, logged in, are confined to the files of its quirk file. */
NODISCARD enum rc token_confined(struct keystore *k, const char *uri, bool *ret, struct err *e);

/* Selftest of a token (uri NULL: of the only one there; a PIN is not tried on several) with throw-away keys:
 * random octets, and for each algorithm that the token lists a key pair for each use, signatures that are
 * verified, ECDH and OAEP against software, and that a private value cannot be read. The keys live in the
 * session where that is possible; else they are token keys 'keymill-selftest-...', destroyed at the end
 * whatever came of the steps. RC_TOKEN hsm.selftest when any step failed, or when the token can do nothing of
 * what is tried. */
enum selftest_result { SELFTEST_OK, SELFTEST_FAILED, SELFTEST_NOT_SUPPORTED };
NODISCARD enum rc token_selftest(struct keystore *k, const char *uri,
                                 void (*step)(void *arg, const char *name, enum selftest_result result,
                                              const char *detail),
                                 void *arg, struct err *e);

/* How fast a key signs. What is signed are texts of this function's own making, "keymill bench: ...", never
 * anything of a caller's. */
enum { BENCH_BATCH_MAX = 4096, BENCH_THREADS_MAX = 64, BENCH_SECONDS_MAX = 86400 };
struct bench_options {
    int seconds;    /* when count is 0 */
    uint64_t count; /* signatures */
    size_t batch;   /* signatures of one call */
    size_t threads; /* that call; 0: one for each worker, and one more with verify */
    bool verify;    /* each signature in software, as in production, within the call that is measured */
};
struct bench_latency {
    uint64_t p50, p95, p99, max; /* ns */
};
struct bench_result {
    const char *algorithm;
    uint64_t signatures, calls, elapsed_ns;
    struct bench_latency call, signature; /* of a call; of its share for one signature */
    size_t workers, sessions, threads;    /* in force; sessions of each worker */
    uint64_t recoveries;                  /* how often something had to be tried again */
};
/* The key must be one for signing that keeps the key policy. Shows progress. RC_USAGE hsm.bench. */
NODISCARD enum rc token_bench(struct keystore *k, const char *uri, const struct bench_options *opt,
                              struct bench_result *ret, struct err *e);

/* One private key and where it is; not judged. */
struct key_place {
    struct key_info key;
    struct token_info token;
    bool leftover; /* the private half is gone; a public half with the name of the URI may be there */
};
/* The one key that the URI names. leftover: one whose private half is not there is no error. RC_TOKEN
 * hsm.no-key, hsm.many-keys. */
NODISCARD enum rc token_key(struct keystore *k, const char *uri, bool leftover, struct key_place *ret,
                            struct err *e);
void key_place_end(struct key_place *p);

/* Destroys for good the key pair that the URI names, which must still be the one of seen (token_key), and
 * reads back that it is gone. RC_TOKEN hsm.no-key when nothing of it is there; hsm.not-destroyed; RC_CONFLICT
 * hsm.key-changed. An interrupted call can be made again. */
NODISCARD enum rc token_key_destroy(struct keystore *k, const char *uri, const struct key_place *seen,
                                    struct err *e);

/*
 * Proves that two keys in two tokens are one private key: equal public halves, and for each use that both
 * keys allow a fresh challenge that is done by both (texts "keymill compare: ..." are signed, never anything
 * of a caller's). check(arg, name, same, detail) for each; same -1: a token cannot do this. RC_DENIED
 * hsm.compare when they differ or share no use; RC_USAGE hsm.same-token when the URIs lead to one token,
 * where a key would be compared with itself.
 */
struct key_side {
    struct keystore *store;
    const char *uri;
};
NODISCARD enum rc token_compare(const struct key_side *first, const struct key_side *second,
                                void (*check)(void *arg, const char *name, int same, const char *detail),
                                void *arg, struct err *e);

#endif
