/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HSM_PROTO_H
#define HSM_PROTO_H

#include <stdbool.h>
#include <stdint.h>

/*
 * What a tool and its token worker (keymill-token) say to each other. Private to hsm/: both ends are built
 * together and run on one machine, so messages are plain C structs. The transport is a SOCK_SEQPACKET pair:
 * one message is one packet.
 *
 * A message is a header, then the fixed part of its operation (when it has one), then count items of size
 * octets each. Requests carry an id; every reply repeats it. A reply whose more is set is followed by another
 * with the same id. A reply whose status is not PROTO_OK holds one struct proto_error. Items that do not fit
 * a message travel in a memory file (memfd_create(2)) whose descriptor comes with the request (SCM_RIGHTS);
 * its header then says more.
 *
 * Order: PROTO_TOKENS or PROTO_INIT alone; or PROTO_HELLO, PROTO_LOGIN, then the rest in any order, and
 * PROTO_LOGIN again after PROTO_LOGIN_LOST. PINs never travel in messages: the worker reads them from its PIN
 * pipe, each as a uint32_t length and that many octets. After the login it keeps the PIN only for keys that
 * want it at each use. Before the first login it confines itself to the files of the quirk file.
 */
enum {
    PROTO_VERSION = 3,
    PROTO_FD_SOCKET = 3, /* descriptors that the worker is started with */
    PROTO_FD_PIN = 4,
    PROTO_BATCH_MAX = 64,       /* digests in one message */
    PROTO_SESSIONS_MAX = 64,    /* of one worker */
    PROTO_MESSAGE_MAX = 32768,  /* octets, header included */
    PROTO_PIN_MAX = 255,        /* octets */
    PROTO_RANDOM_MAX = 1024,    /* octets of one PROTO_RANDOM */
    PROTO_SIGNATURE_MAX = 512,  /* octets of a raw signature; a reply holds as many as fit a message */
    PROTO_WHERE_TEXT = 33,      /* octets of a token's label or manufacturer with its NUL */
    PROTO_MODULE_MAX = 256,     /* octets of a module's path with its NUL */
    PROTO_KEY_LABEL = 128,      /* octets of a key's label with its NUL */
    PROTO_KEY_ID = 64,          /* octets of a CKA_ID */
    PROTO_KEY_PARAMS = 32,      /* octets of CKA_EC_PARAMS: named curves */
    PROTO_KEY_POINT = 160,      /* octets of CKA_EC_POINT, wrapped or not */
    PROTO_KEY_PUBLIC = 520,     /* octets of CKA_EC_POINT or CKA_MODULUS */
    PROTO_PUBLIC_TAIL = 32,     /* octets at the end of either, by which a key is known again */
    PROTO_LARGE_MAX = 64 << 20, /* octets of a request's items in a memory file */
};

enum proto_op {
    PROTO_HELLO = 1, /* proto_hello -> proto_token: loads the module, finds the one token */
    PROTO_TOKENS,    /* proto_hello -> proto_token items */
    PROTO_INIT,      /* proto_hello (token: the new label); SO PIN, user PIN in the pipe -> proto_token */
    PROTO_LOGIN,     /* proto_login; PIN in the pipe -> proto_logged_in */
    PROTO_KEYS,      /* nothing -> proto_key items: every private key */
    PROTO_GENERATE,  /* proto_generate -> proto_key. The id names the key: asked again with it, the key made
                        before is returned */
    PROTO_SIGN,      /* proto_use and digests or one message -> raw signatures */
    PROTO_DERIVE,    /* proto_use and one uncompressed point -> the shared X coordinate */
    PROTO_RANDOM,    /* count octets -> these */
    PROTO_READ_PRIVATE, /* proto_use -> one octet: 1 when the token gave the private value away (it is wiped,
                           never sent) */
    PROTO_DECRYPT,      /* proto_use and one ciphertext -> the plaintext, one octet an item */
    PROTO_DESTROY,      /* proto_use: the private key and its public half -> nothing */
    PROTO_MECHANISMS,   /* nothing -> proto_mechanism items: all that the token lists */
};

enum proto_status {
    PROTO_OK,
    PROTO_NO_MODULE,     /* detail: why */
    PROTO_NO_TOKEN,      /* detail: the labels that are there */
    PROTO_MANY_TOKENS,   /* detail: their serial numbers */
    PROTO_NO_SLOT,       /* no uninitialised token, or several */
    PROTO_LABEL_USED,    /* of a token or a key */
    PROTO_PIN_INCORRECT, /* detail: how the count stands */
    PROTO_PIN_LOCKED,
    PROTO_PIN_FINAL_TRY, /* not tried */
    PROTO_PIN_UNSET,
    PROTO_PIN_EXPIRED,
    PROTO_PIN_FORM, /* detail: the lengths that the token takes */
    PROTO_NO_KEY,
    PROTO_MANY_KEYS,
    PROTO_NOT_SUPPORTED,  /* the token cannot do this, or not with this key */
    PROTO_LOGIN_FAILED,   /* a PIN error that the token's own counter does not confirm. detail: why */
    PROTO_LOGIN_DOUBTFUL, /* not tried: wrong tries are counted, and an earlier login of ours ended in silence
                           */
    PROTO_LOGIN_LOST,     /* the login is gone, the module answers: PROTO_LOGIN may help */
    PROTO_BUSY,           /* other workers did not finish starting */
    PROTO_SICK,           /* a new worker may help: token, session or login lost */
    PROTO_FAILED,
};

/* Packed: what crosses the socket has no padding, so nothing uninitialised does. */
#pragma pack(push, 1)

struct proto_header {
    uint16_t version;
    uint16_t op;
    uint32_t id;
    uint32_t status; /* replies */
    uint32_t count;
    uint32_t size;
    uint32_t more; /* replies: 1 when another one follows */
};

struct proto_error {
    char ckr[40];      /* "CKR_PIN_INCORRECT", "" when the module did not say no */
    char function[32]; /* "C_Login" */
    char detail[512];
};

struct proto_hello {
    char module[PROTO_MODULE_MAX]; /* "": KEYMILL_PKCS11_MODULE, then p11-kit's configured modules */
    char token[PROTO_WHERE_TEXT];  /* these four: "" matches all */
    char manufacturer[PROTO_WHERE_TEXT];
    char model[17];
    char serial[17];
};

struct proto_token {
    char module[PROTO_MODULE_MAX];
    char label[PROTO_WHERE_TEXT];
    char manufacturer[PROTO_WHERE_TEXT];
    char model[17];
    char serial[17];
    uint8_t initialised, login_required, protected_path, pin_count_low, pin_final_try, pin_locked;
    uint64_t max_sessions; /* 0: not limited or not said */
};

enum { PROTO_PATHS = 16, PROTO_PATH_MAX = 256 };
/* A folder or file that the module may use after the login, with all that is in it. */
struct proto_path {
    char path[PROTO_PATH_MAX]; /* "": the end of the list */
    uint8_t write;
};

struct proto_login {
    uint32_t sessions;      /* each with its own thread */
    uint32_t pin;           /* 1: read it from the pipe; 0: the token asks on its own keypad, or wants none */
    uint8_t careful;        /* an earlier login ended in silence: not when wrong tries are counted */
    uint8_t counts_pins;    /* the token's flags tell a wrong PIN from another failure */
    uint8_t session_copies; /* sign with a copy of the key that lives in the session */
    uint8_t rw_sessions;    /* the token has no read-only ones */
    uint8_t confine;        /* 1: to paths, and no TCP; 0: the module needs more than can be said */
    struct proto_path paths[PROTO_PATHS];
};

struct proto_logged_in {
    uint8_t confirms; /* keys there want the PIN at each use */
    uint8_t confined; /* the worker is confined to proto_login's paths */
};

/* The attributes of a private key that a policy looks at: 1, 0, or -1 where the token does not say. */
enum proto_flag {
    PROTO_F_TOKEN,
    PROTO_F_PRIVATE,
    PROTO_F_SENSITIVE,
    PROTO_F_ALWAYS_SENSITIVE,
    PROTO_F_EXTRACTABLE,
    PROTO_F_NEVER_EXTRACTABLE,
    PROTO_F_LOCAL,
    PROTO_F_SIGN,
    PROTO_F_SIGN_RECOVER,
    PROTO_F_DECRYPT,
    PROTO_F_UNWRAP,
    PROTO_F_DERIVE,
    PROTO_F_ALWAYS_AUTHENTICATE,
    PROTO_F_MODIFIABLE,
    PROTO_FLAGS,
};

enum {
    PROTO_OMIT_PUBLIC_USAGE = PROTO_FLAGS
}; /* besides, in a mask of what a template leaves out: what the
      public half may be used for */

/* How a private key is named in requests: by both, so that neither has to be unique alone. */
struct proto_ref {
    char label[PROTO_KEY_LABEL];
    uint8_t id[PROTO_KEY_ID];
    uint32_t id_len;
    uint8_t public_tail[PROTO_PUBLIC_TAIL]; /* of its public half; of several keys with this name the one that
                                               has it is meant */
    uint32_t tail_len;                      /* 0: not asked for */
    uint8_t session; /* a throw-away key that lives in the worker's session, not on the token */
};

struct proto_key {
    struct proto_ref ref;
    uint64_t type;                    /* CKA_KEY_TYPE */
    uint8_t params[PROTO_KEY_PARAMS]; /* CKA_EC_PARAMS as the token has it */
    uint32_t params_len;              /* 0: not known or too long to be a named curve */
    uint8_t public[PROTO_KEY_PUBLIC]; /* CKA_EC_POINT or CKA_MODULUS of the public object with the same
                                         CKA_ID, as the token has it */
    uint32_t public_len;              /* 0: not known */
    uint8_t exponent[8];              /* RSA: CKA_PUBLIC_EXPONENT */
    uint32_t exponent_len;
    int8_t flag[PROTO_FLAGS];
};

enum proto_usage { PROTO_FOR_SIGN, PROTO_FOR_DERIVE, PROTO_FOR_DECRYPT };

struct proto_generate {
    struct proto_ref ref;
    uint64_t mechanism;
    uint64_t type;
    uint8_t params[PROTO_KEY_PARAMS];
    uint32_t params_len;
    uint32_t bits; /* RSA: of the modulus */
    uint8_t usage; /* enum proto_usage */
    uint32_t omit; /* 1 << enum proto_flag: left out of the template */
};

enum proto_param { PROTO_PARAM_NONE, PROTO_PARAM_PSS_SHA256, PROTO_PARAM_OAEP_SHA1, PROTO_PARAM_OAEP_SHA256 };

struct proto_use {
    struct proto_ref ref;
    uint64_t mechanism;
    uint32_t param;  /* enum proto_param: the mechanism's parameter */
    uint32_t result; /* octets that the token shall return: of each raw signature, of the secret */
    uint8_t shorter; /* less is possible (signatures in DER); what is missing at the end is zero */
};

struct proto_mechanism {
    uint64_t type;
    uint64_t min, max; /* key sizes */
    uint64_t flags;
};

#pragma pack(pop)

#endif
