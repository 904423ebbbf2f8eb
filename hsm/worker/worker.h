/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HSM_WORKER_WORKER_H
#define HSM_WORKER_WORKER_H

#include <pthread.h>
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
/* True for codes that a new session can cure. */
bool ckr_of_session(CK_RV rv);
/* True for codes that a lost login causes. */
bool ckr_of_login(CK_RV rv);

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
NODISCARD enum proto_status start_lock(const char *module, struct lock **ret, struct fault *f);

void token_describe(const struct slot *s, const CK_TOKEN_INFO *info, struct proto_token *ret);
bool token_matches(const struct proto_hello *want, const struct proto_token *t);

/* --- token.c: login and sessions */

struct token {
    struct slot slot;
    CK_SESSION_HANDLE anchor; /* holds the login: closing a token's last session logs out */
    bool login_required, protected_path;
    bool confirms;         /* it has keys that want the PIN at each use */
    struct secret *pin;    /* kept after the login for these alone; NULL when it was rejected */
    pthread_mutex_t mutex; /* over pin */
};

enum { LANE_HANDLES = 8 };
struct lane {
    struct token *token;
    CK_SESSION_HANDLE session;
    struct handle {
        struct proto_ref ref;
        CK_OBJECT_HANDLE object;
        bool always_authenticate;
    } handles[LANE_HANDLES]; /* of keys used lately */
    size_t nhandles;
};

/* Finds the one token that want describes. */
NODISCARD enum proto_status token_find(const struct proto_hello *want, struct token *t,
                                       struct proto_token *ret, struct fault *f);
NODISCARD enum proto_status tokens_list(const struct proto_hello *want, struct proto_token *ret, size_t max,
                                        size_t *ret_n, struct fault *f);
/* Opens the anchor and logs in, once in a worker's life: logging in again is for the client to decide, which
 * knows of a PIN that another worker found rejected, and then starts a new worker. t takes pin over. Flags
 * are read before: a PIN is not spent on a locked token or on a last try. */
NODISCARD enum proto_status token_login(struct token *t, struct secret *pin, struct fault *f);
/* Whether the anchor lives and holds the login, where one is needed. */
bool token_logged_in(const struct token *t);
NODISCARD enum proto_status token_init(const struct proto_hello *want, const struct secret *so_pin,
                                       const struct secret *pin, struct proto_token *ret, struct fault *f);

/* The lane's session, opened when it has none. */
NODISCARD enum proto_status lane_open(struct lane *l, struct fault *f);
void lane_close(struct lane *l);
/* After rv: a new session, where that can help. False: it cannot; without the login only a new worker can. */
bool lane_recover(struct lane *l, CK_RV rv);
/* Gives the PIN again for the operation that was just begun (CKA_ALWAYS_AUTHENTICATE), unless it was rejected
 * once. */
NODISCARD enum proto_status lane_confirm(struct lane *l, struct fault *f);

/* --- keys.c: finding and describing */

/* Objects of a class with this label and id (either may be empty: not asked for); at most max handles.
 * Finding none because the login is lost is CKR_USER_NOT_LOGGED_IN. */
NODISCARD CK_RV objects_find(struct lane *l, CK_OBJECT_CLASS class, const struct proto_ref *ref,
                             CK_OBJECT_HANDLE *ret, size_t max, size_t *ret_n);
/* The private key ref as a handle of this lane. */
NODISCARD enum proto_status key_find(struct lane *l, const struct proto_ref *ref, struct handle **ret,
                                     struct fault *f);
void key_describe(struct lane *l, CK_OBJECT_HANDLE object, struct proto_key *ret);
/* Calls send(arg, items, n, more) with the private keys of the token, some at a time. */
NODISCARD enum proto_status keys_list(struct lane *l,
                                      void (*send)(void *arg, const struct proto_key *items, size_t n,
                                                   bool more),
                                      void *arg, struct fault *f);

/* --- ops.c: making and using */

NODISCARD enum proto_status key_generate(struct lane *l, const struct proto_generate *rq,
                                         struct proto_key *ret, struct fault *f);
/* n digests of digest_len octets -> n signatures of rq->result octets. */
NODISCARD enum proto_status key_sign(struct lane *l, const struct proto_use *rq, const uint8_t *digests,
                                     size_t n, size_t digest_len, uint8_t *ret, struct fault *f);
/* rq->result octets at ret. */
NODISCARD enum proto_status key_derive(struct lane *l, const struct proto_use *rq, const uint8_t *point,
                                       size_t n, uint8_t *ret, struct fault *f);
NODISCARD enum proto_status token_random(struct lane *l, uint8_t *ret, size_t n, struct fault *f);
/* *ret: the token gave the private value away, or let it be wrapped out. */
NODISCARD enum proto_status key_read_private(struct lane *l, const struct proto_use *rq, bool *ret,
                                             struct fault *f);

#endif
