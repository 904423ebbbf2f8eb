/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HSM_QUIRKS_H
#define HSM_QUIRKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "hsm/proto.h"

/*
 * How a token differs from what PKCS#11 says, and how it is best used: data, from files in hsm/quirks/
 * (keymill-quirks(5)), chosen by the manufacturer, model and module of the token. A new vendor needs a new
 * file and no C.
 *
 * Files NAME.yaml are looked for in the folder that the environment variable KEYMILL_QUIRKS names, in
 * /etc/keymill/quirks and in the folder that was installed, in this order, by name within a folder; the first
 * whose patterns fit is taken whole. A file that cannot be read is an error, not a token without quirks: all
 * files of a folder that is searched are checked. Hidden files and those of another ending are not looked at.
 */

/* What a token cannot do although its standard has it, or what must not be tried with it. */
enum capability {
    CAN_DERIVE,       /* "ecdh": CKM_ECDH1_DERIVE */
    CAN_PSS,          /* "rsa-pss": CKM_RSA_PKCS_PSS */
    CAN_PKCS1,        /* "rsa-pkcs": CKM_RSA_PKCS, a signature over a DigestInfo */
    CAN_OAEP_SHA1,    /* "rsa-oaep-sha1" */
    CAN_OAEP_SHA256,  /* "rsa-oaep-sha256": RSAES-OAEP with SHA-256 */
    CAN_EDDSA,        /* "eddsa": CKM_EDDSA */
    CAN_SESSION_KEYS, /* "session-keys": key pairs that are no token objects */
    CAN_INIT,         /* "init-token": C_InitToken and C_InitPIN */
    CAN_DESTROY,      /* "destroy": C_DestroyObject */
    CAPABILITIES,
};

struct quirks {
    char *name; /* of the file without .yaml, "softhsm2"; NULL: none fits, and the standard is believed */
    char *path;
    char *note;             /* what the file says about itself, for people; may be NULL */
    bool worker_per_core;   /* workers: per-core */
    int workers, sessions;  /* 0: not said */
    uint64_t max_sessions;  /* of all processes; 0: what the token says */
    bool rw_sessions;       /* session-mode: read-write: it has no read-only sessions */
    bool session_copies;    /* sign with a copy of the key in the session: faster where the token's own object
                               is read from a file each time */
    bool signature_der;     /* C_Sign(CKM_ECDSA) returns DER instead of r||s */
    bool point_wrapped;     /* CKM_ECDH1_DERIVE wants the peer's point as a DER OCTET STRING */
    bool params_name;       /* CKA_EC_PARAMS is a PrintableString, "secp256r1", instead of the OID */
    bool pin_user_password; /* the PIN is "user:password" */
    bool counts_pins;       /* CKF_USER_PIN_COUNT_LOW tells a wrong PIN from another failure */
    uint32_t template_omit; /* 1 << enum proto_flag: attributes that a generation template must not name */
    uint32_t unreliable;    /* 1 << enum proto_flag: what the token reports of them says nothing */
    char *unreliable_why[PROTO_FLAGS];
    bool without[CAPABILITIES];
    bool confine; /* the module's files are known */
    struct proto_path paths[PROTO_PATHS];
};

/*
 * The quirks of token t; none is no failure (*ret is then all zero). Of t it reads module, manufacturer and
 * model. Paths are expanded here: variables, home and settings are those of the tool. RC_INPUT doc.* and
 * quirks.match, quirks.path (file, line and key in the text), quirks.name; RC_SYSTEM quirks.folder,
 * file.read.
 */
NODISCARD enum rc quirks_find(const struct proto_token *t, struct quirks *ret, struct err *e);
void quirks_free(struct quirks *q); /* of its members; *q is all zero then */

const char *capability_name(enum capability c);
/* "local": an attribute as quirk files and messages call it. */
const char *flag_name(enum proto_flag f);

#endif
