/* SPDX-License-Identifier: Apache-2.0 */
#ifndef X509_DER_H
#define X509_DER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

/*
 * DER (X.690 10), written from the end towards the front, so that every length is known when its tag is put
 * and nothing is ever moved. One pass, no allocation but the buffer's own: this is what makes a certificate
 * cost a microsecond.
 */
struct der_writer {
    uint8_t *buf;
    size_t cap; /* octets of buf */
    size_t at;  /* the first written octet; cap when nothing is written */
};

void der_init(struct der_writer *w); /* owns its buffer, which grows */
void der_fini(struct der_writer *w);
void der_reset(struct der_writer *w);
struct span der_span(const struct der_writer *w);
size_t der_mark(const struct der_writer *w); /* octets written so far: remember it before the contents, give
                                                it to der_wrap after */

void der_put(struct der_writer *w, struct span s);
void der_put_byte(struct der_writer *w, uint8_t c);
/* Puts tag and length in front of what was written since mark. */
void der_wrap(struct der_writer *w, uint8_t tag, size_t mark);
/* Whole values. Integers are given as big-endian magnitudes of non-negative numbers: leading zero octets are
 * dropped or added as DER wants. */
void der_put_value(struct der_writer *w, uint8_t tag, struct span content);
void der_put_uint(struct der_writer *w, struct span magnitude);
void der_put_small(struct der_writer *w, uint64_t v);
void der_put_bool(struct der_writer *w, bool v);
void der_put_null(struct der_writer *w);
void der_put_bits(struct der_writer *w, struct span content); /* BIT STRING without unused bits */
void der_put_oid(struct der_writer *w, const char *dotted);   /* a constant of ours; malformed is a bug */
/* UTCTime through 2049, GeneralizedTime from 2050 (RFC 5280 4.1.2.5). */
void der_put_time(struct der_writer *w, int64_t t);

enum {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_NULL = 0x05,
    DER_OID = 0x06,
    DER_ENUMERATED = 0x0a,
    DER_UTF8STRING = 0x0c,
    DER_PRINTABLESTRING = 0x13,
    DER_IA5STRING = 0x16,
    DER_UTCTIME = 0x17,
    DER_GENERALIZEDTIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
};

/* Reading: takes the next value off *in. Strict DER lengths, definite only, at most 2^31 octets. RC_INPUT
 * x509.der. */
struct der_value {
    uint8_t tag;
    struct span content;
    struct span whole; /* with tag and length */
};
NODISCARD enum rc der_next(struct span *in, struct der_value *ret, struct err *e);
/* As der_next, and the tag must be this one. */
NODISCARD enum rc der_expect(struct span *in, uint8_t tag, struct der_value *ret, struct err *e);

#endif
