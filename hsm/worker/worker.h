/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HSM_WORKER_WORKER_H
#define HSM_WORKER_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>

#include "base/err.h"
#include "base/secret.h"
#include "hsm/proto.h"

/*
 * The worker's inside. A process serves one token: one module, one login held by an anchor session, and
 * lanes, each a session used by one thread. Functions return PROTO_OK or fill *f and return its status.
 */
struct fault {
    enum proto_status status;
    struct proto_error error;
};

/* --- fault.c: codes of the module, translated once */

enum proto_status fault_set(struct fault *f, enum proto_status status, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* The status that rv stands for, with function's and rv's name in the error. */
enum proto_status fault_ckr(struct fault *f, CK_RV rv, const char *function);
/* What may cure a code inside the worker: the same call again; a new session; nothing. A lost login shows in
 * many ways (private objects vanish, so their handles go bad first), so whoever tries a new session looks at
 * the login before. */
enum rung { RUNG_NONE, RUNG_SAME, RUNG_SESSION };
enum rung ckr_rung(CK_RV rv);

/* --- module.c: which module, which slot */

struct slot {
    CK_FUNCTION_LIST *f;
    CK_SLOT_ID id;
    char module[PROTO_MODULE_MAX];
};
/* Called for each slot that holds a token; what it returns other than PROTO_OK ends the walk and is returned.
 */
typedef enum proto_status slot_visitor(void *arg, const struct slot *s, const CK_TOKEN_INFO *info,
                                       struct fault *f);

/* Loads the named module, or those that are configured, and visits all tokens. A named module that does not
 * load is PROTO_NO_MODULE. Modules are initialised and read under the start lock (see start_lock). */
NODISCARD enum proto_status modules_walk(const char *module, slot_visitor *visit, void *arg, struct fault *f);
/* C_Finalize of every module that was initialised. No thread may be inside one. */
void modules_end(void);

/* SoftHSM rewrites its token file in place at C_Login, and whoever reads it meanwhile sees no token: starts
 * of one user's workers that use the same module take turns. */
struct lock;
enum { LOCK_FOLDER_MAX = 256 };
/* Where its files are, made when it is not there. */
NODISCARD enum proto_status lock_folder(char ret[static LOCK_FOLDER_MAX], struct fault *f);
NODISCARD enum proto_status start_lock(const char *module, struct lock **ret, struct fault *f);

void token_describe(const struct slot *s, const CK_TOKEN_INFO *info, struct proto_token *ret);
bool token_matches(const struct proto_hello *want, const struct proto_token *t);

/* --- token.c: login and sessions */

struct token {
    struct slot slot;
    atomic_uint generation; /* of its sessions: the next begins when the module has dropped them all */
    atomic_uint logins;
    CK_SESSION_HANDLE anchor; /* holds the login: closing a token's last session logs out */
    bool login_required, protected_path;
    bool counts_pins, session_copies, rw_sessions; /* quirks: proto_login */
    bool known;                                    /* these are */
    bool confirms;                                 /* it has keys that want the PIN at each use */
    struct secret *pin;      /* kept after the login for these alone; NULL when it was rejected */
    pthread_mutex_t mutex;   /* over anchor and pin */
    pthread_mutex_t objects; /* one lane looks for objects or copies them at a time: SoftHSM's C_CopyObject
                                shows the copy as a token object for a moment */
};

enum { LANE_HANDLES = 8 };
struct lane {
    struct token *token;
    CK_SESSION_HANDLE session;
    unsigned generation, logins; /* of the token when the session was opened, and when handles were found */
    struct handle {
        struct proto_ref ref;
        CK_OBJECT_HANDLE object;
        bool always_authenticate;
        bool copy;           /* object is a session object of ours */
    } handles[LANE_HANDLES]; /* of keys used lately */
    size_t nhandles;
    CK_RV trouble;          /* the first that keys.c met while it described a key, */
    const char *trouble_at; /* and in which function */
};

/* Finds the one token that want describes. */
NODISCARD enum proto_status token_find(const struct proto_hello *want, struct token *t,
                                       struct proto_token *ret, struct fault *f);
NODISCARD enum proto_status tokens_list(const struct proto_hello *want, struct proto_token *ret, size_t max,
                                        size_t *ret_n, struct fault *f);
/* Opens the anchor, where there is none that lives, and logs in. Logging in again is for the client to
 * decide, which knows of a PIN that another worker found rejected. t takes pin over. Flags are read before: a
 * PIN is not spent on a locked token, on a last try or, when rq says careful, while wrong tries are counted.
 * A PIN error that the token does not count is PROTO_LOGIN_FAILED where rq says that it counts. */
NODISCARD enum proto_status token_login(struct token *t, const struct proto_login *rq, struct secret *pin,
                                        struct fault *f);
enum login_state {
    LOGIN_HELD, /* or none is needed */
    LOGIN_GONE, /* the module answers, and says so: its login or its session is gone */
    LOGIN_SICK, /* the module has other trouble */
};
enum login_state token_login_state(struct token *t);
NODISCARD enum proto_status token_init(const struct proto_hello *want, const struct secret *so_pin,
                                       const struct secret *pin, struct proto_token *ret, struct fault *f);

/* The lane's session, opened when it has none. */
NODISCARD enum proto_status lane_open(struct lane *l, struct fault *f);
void lane_close(struct lane *l);
/* One try of something: PROTO_OK, or *f filled; *ret_rv is the module's code, CKR_OK when the trouble is not
 * the module's. */
typedef enum proto_status lane_op(struct lane *l, void *arg, CK_RV *ret_rv, struct fault *f);
/* Tries op and climbs the ladder that its return code names: the same again; in a new session. When the login
 * is gone, PROTO_LOGIN_LOST. */
NODISCARD enum proto_status lane_try(struct lane *l, lane_op *op, void *arg, struct fault *f);
/* Gives the PIN again for the operation that was just begun (CKA_ALWAYS_AUTHENTICATE), unless it was rejected
 * once. */
NODISCARD enum proto_status lane_confirm(struct lane *l, struct fault *f);

/* --- keys.c: finding and describing */

/* Objects of a class with this label and id (either may be empty: not asked for), on the token or in the
 * session as ref says; at most max handles. Finding none because the login is lost is
 * CKR_USER_NOT_LOGGED_IN. */
NODISCARD CK_RV objects_find(struct lane *l, CK_OBJECT_CLASS class, const struct proto_ref *ref,
                             CK_OBJECT_HANDLE *ret, size_t max, size_t *ret_n);
/* The private key ref as a handle of this lane, looked for once in the life of its session. sign: a copy of
 * the key in the session will do. */
NODISCARD enum proto_status key_find(struct lane *l, const struct proto_ref *ref, bool sign,
                                     struct handle **ret, CK_RV *ret_rv, struct fault *f);
/* An attribute that the token does not report is none of its troubles; only those are returned. */
NODISCARD CK_RV key_describe(struct lane *l, CK_OBJECT_HANDLE object, bool session, struct proto_key *ret);
/* Calls send(arg, items, n, more) with the private keys of the token, some at a time. */
NODISCARD enum proto_status keys_list(struct lane *l,
                                      void (*send)(void *arg, const struct proto_key *items, size_t n,
                                                   bool more),
                                      void *arg, struct fault *f);

/* --- make.c: making and destroying */

NODISCARD enum proto_status key_generate(struct lane *l, const struct proto_generate *rq,
                                         struct proto_key *ret, struct fault *f);
/* Both halves; either may be gone already. PROTO_NO_KEY: both are. */
NODISCARD enum proto_status key_destroy(struct lane *l, const struct proto_use *rq, struct fault *f);

/* --- ops.c: using */

/* One input of n octets -> one signature of rq->result octets. */
NODISCARD enum proto_status key_sign(struct lane *l, const struct proto_use *rq, const uint8_t *input,
                                     size_t n, uint8_t *ret, struct fault *f);
/* One ciphertext of n octets -> at most rq->result octets at ret. */
NODISCARD enum proto_status key_decrypt(struct lane *l, const struct proto_use *rq, const uint8_t *ciphertext,
                                        size_t n, uint8_t *ret, size_t *ret_n, struct fault *f);
/* rq->result octets at ret. */
NODISCARD enum proto_status key_derive(struct lane *l, const struct proto_use *rq, const uint8_t *point,
                                       size_t n, uint8_t *ret, struct fault *f);
/* At most max rows. */
NODISCARD enum proto_status token_mechanisms(struct lane *l, struct proto_mechanism *ret, size_t max,
                                             size_t *ret_n, struct fault *f);
NODISCARD enum proto_status token_random(struct lane *l, uint8_t *ret, size_t n, struct fault *f);
/* *ret: the token gave the private value away, or let it be wrapped out. */
NODISCARD enum proto_status key_read_private(struct lane *l, const struct proto_use *rq, bool *ret,
                                             struct fault *f);

#endif
