/* SPDX-License-Identifier: Apache-2.0 */
#ifndef X509_INTERNAL_H
#define X509_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "x509/der.h"

/* What the files of this module share. Nobody outside includes it. */

struct cert;

/* ---- reading DER (der_read.c) ---- */

/* Context tags that X.509 uses. */
enum {
    DER_CONTEXT_0 = 0xa0,
    DER_CONTEXT_1 = 0xa1,
    DER_CONTEXT_3 = 0xa3,
    DER_CONTEXT_0_PRIMITIVE = 0x80,
    DER_CONTEXT_2_PRIMITIVE = 0x82,
    DER_CONTEXT_7_PRIMITIVE = 0x87,
};

/* RC_INPUT x509.der with this text: what every reader below reports; the public functions put their own key
 * on it. */
enum rc der_bad(struct err *e, const char *text);
/* Is the next value of this tag? */
bool der_peek(struct span in, uint8_t tag);
/* RC_INPUT x509.der when something is left; what names the value in the message. */
NODISCARD enum rc der_end(struct span in, const char *what, struct err *e);
/* A constructed value that fills all of in: its contents. */
NODISCARD enum rc der_only(struct span in, uint8_t tag, struct span *ret, struct err *e);
/* INTEGER: the magnitude of a non-negative number without leading zeros (zero: empty); *ret_negative
 * otherwise, with its octets. */
NODISCARD enum rc der_integer(struct span *in, struct span *ret, bool *ret_negative, struct err *e);
/* A non-negative INTEGER of at most 64 bits. */
NODISCARD enum rc der_small(struct span *in, uint64_t *ret, struct err *e);
/* BIT STRING without unused bits. */
NODISCARD enum rc der_bits(struct span *in, struct span *ret, struct err *e);
/* The form of RFC 5280 4.1.2.5: seconds, Z, UTCTime through 2049 and GeneralizedTime from 2050. False for any
 * other, and for times before 1970, which no certificate of ours has. */
bool der_time(const struct der_value *v, int64_t *ret);
/* The contents of an OBJECT IDENTIFIER in dotted form. False when malformed or longer than size - 1
 * characters. */
bool oid_text(struct span content, char *ret, size_t size);
/* Is this the dotted form of an OBJECT IDENTIFIER: what der_put_oid takes? */
bool oid_valid(const char *dotted);

/* One Extension (RFC 5280 4.2). critical FALSE that is written out is no DER. */
struct ext {
    struct span oid; /* contents */
    bool critical;
    struct span value; /* contents of extnValue */
};
NODISCARD enum rc ext_next(struct span *in, struct ext *ret, struct err *e);
/* AuthorityKeyIdentifier: the key identifier, empty when there is none; *ret_more: issuer or serial number
 * are given too. */
NODISCARD enum rc ext_aki(struct span value, struct span *ret, bool *ret_more, struct err *e);

/* Contents of the OBJECT IDENTIFIERs of extensions. */
#define OID_SKI          SPAN("\x55\x1d\x0e")
#define OID_KEY_USAGE    SPAN("\x55\x1d\x0f")
#define OID_SAN          SPAN("\x55\x1d\x11")
#define OID_BC           SPAN("\x55\x1d\x13")
#define OID_CRL_NUMBER   SPAN("\x55\x1d\x14")
#define OID_CRL_REASON   SPAN("\x55\x1d\x15")
#define OID_AKI          SPAN("\x55\x1d\x23")
#define OID_EKU          SPAN("\x55\x1d\x25")
#define OID_OCSP_NOCHECK SPAN("\x2b\x06\x01\x05\x05\x07\x30\x01\x05")
/* Extended key usages that no CA may list, and which profiles know by name. */
#define EKU_OCSP_SIGNING "1.3.6.1.5.5.7.3.9"
#define EKU_ANY          "2.5.29.37.0"

/* And of attributes of requests: RFC 2985 5.4.2, RFC 9883 3. */
#define OID_EXTENSION_REQUEST SPAN("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e")
#define OID_POSSESSION        SPAN("\x2b\x06\x01\x04\x01\x81\xac\x60\x02\x01")

/* ---- writing (der.c) ---- */

/* Tag and length in front of n octets that the caller appends next. For values too large to be moved. */
void der_add_header(struct bytes *ret, uint8_t tag, size_t n);
enum { DER_HEADER_MAX = 10 };
size_t der_header_len(size_t n);
/* One Extension whose value was written since mark. */
void ext_wrap(struct der_writer *w, struct span oid, bool critical, size_t mark);

/* ---- files (armour.c) ---- */

/*
 * PEM or DER: DER begins with a SEQUENCE, PEM cannot. The first block of that label; only: there must be no
 * second one. RC_INPUT x509.der or text.pem.
 */
NODISCARD enum rc armour_open(struct span text, const char *label, bool only, struct bytes *ret,
                              struct err *e);

/* ---- certificates before anyone refused them (scan.c) ---- */

/* Well-formed, but not as RFC 5280 wants it. cert_parse refuses each; lint names each by its own rule. */
enum {
    FLAW_VERSION = 1 << 0,
    FLAW_SERIAL_SIGN = 1 << 1,
    FLAW_SERIAL_LENGTH = 1 << 2,
    FLAW_ALGORITHM = 1 << 3,
    FLAW_TIME = 1 << 4,
    FLAW_DUPLICATE = 1 << 5,
    FLAW_KEY_USAGE = 1 << 6,
    FLAW_PATH_LENGTH = 1 << 7,
};
/* The extensions we know. */
enum {
    EXT_SKI = 1 << 0,
    EXT_AKI = 1 << 1,
    EXT_BC = 1 << 2,
    EXT_KEY_USAGE = 1 << 3,
    EXT_EKU = 1 << 4,
    EXT_SAN = 1 << 5,
    EXT_OCSP_NOCHECK = 1 << 6,
    EXT_OTHER = 1 << 7, /* any that is none of these */
};
struct scan {
    unsigned flaws;    /* FLAW_ bits */
    unsigned present;  /* EXT_ bits */
    unsigned critical; /* EXT_ bits */
    bool aki_more;     /* AKI names issuer or serial number too */
};
/* As cert_parse without its refusals. RC_INPUT x509.der when it is no certificate at all. */
NODISCARD enum rc cert_scan(struct span der, struct cert **ret, struct scan *ret_scan, struct err *e);

/* ---- subject alternative names (san.c) ---- */

/* GeneralNames with dNSName and iPAddress entries alone, each well-formed (RFC 5280 4.2.1.6). RC_INPUT
 * x509.san. */
NODISCARD enum rc san_check(struct span general_names, struct err *e);

/* ---- names (name.c) ---- */

bool name_is_empty(struct span name); /* of a well-formed Name */
bool utf8_valid(struct span s, size_t *ret_characters);

#endif
