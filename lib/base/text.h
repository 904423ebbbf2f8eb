/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/err.h"

/* Lower-case hex. hex_encode writes 2n characters and a NUL. */
void hex_encode(struct span s, char *ret);
char *hex_new(struct span s); /* malloc'd */
/* Strict: lower or upper case, even length, nothing else. Decodes into ret, whose length must be exactly n.
 * RC_INPUT text.hex. */
NODISCARD enum rc hex_decode_exact(const char *s, uint8_t *ret, size_t n, struct err *e);
/* Any length up to max octets, appended to *ret. */
NODISCARD enum rc hex_decode(const char *s, size_t max, struct bytes *ret, struct err *e);

/* RFC 4648 section 4 with padding, and section 5 (URL) without. Decoding is strict: no white space, no spare
 * bits. RC_INPUT text.base64. */
void b64_encode(struct span s, struct bytes *ret);
void b64url_encode(struct span s, struct bytes *ret);
NODISCARD enum rc b64_decode(struct span s, struct bytes *ret, struct err *e);
NODISCARD enum rc b64url_decode(struct span s, struct bytes *ret, struct err *e);

/* PEM (RFC 7468), lines of 64. pem_next finds the next block whose label is given (NULL: any) from *pos on,
 * decodes it onto *ret_der and moves *pos behind it; RC_INPUT text.pem for broken armour. *ret_found is false
 * at the end. ret_label (may be NULL) points into text, not NUL-ended. Text around blocks and CRLF are
 * accepted, lines of a block may have any length; header lines, spaces and empty lines inside are not. Blocks
 * of other labels are not looked into. After a failure *pos is as it was. */
void pem_encode(const char *label, struct span der, struct bytes *ret);
NODISCARD enum rc pem_next(struct span text, const char *label, size_t *pos, struct bytes *ret_der,
                           struct span *ret_label, bool *ret_found, struct err *e);

/* A device id: 1 to 64 characters of [A-Za-z0-9:_-], alphanumeric at both ends. The set that AWS IoT things,
 * Azure DPS registrations and X.520 commonName (ub 64) have in common. */
enum { DEVICE_ID_MAX = 64 };
bool device_id_valid(const char *id);
/* A document or station name, used in file names: 1 to 64 of [A-Za-z0-9_-], alphanumeric first. */
bool name_valid(const char *name);

#endif
