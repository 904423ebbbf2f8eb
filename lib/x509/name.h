/* SPDX-License-Identifier: Apache-2.0 */
#ifndef X509_NAME_H
#define X509_NAME_H

#include "base/bytes.h"
#include "base/err.h"

/* One attribute of a distinguished name: "CN", "O", "OU", "C", "ST", "L", "serialNumber", "businessCategory"
 * (RFC 4519, RFC 4514 short names). */
struct name_attr {
    const char *type;
    const char *value;
};

/*
 * Encodes a Name (RFC 5280 4.1.2.4), one attribute a RDN, in the order given. C and serialNumber are
 * PrintableString, the rest UTF8String; X.520 upper bounds are kept. ret is appended to. RC_INPUT x509.name:
 * unknown type, empty or over-long value, characters outside the string type.
 */
NODISCARD enum rc name_encode(const struct name_attr *attrs, size_t n, struct bytes *ret, struct err *e);
/* The octets are one well-formed Name, whatever its attributes. RC_INPUT x509.der. */
NODISCARD enum rc name_check(struct span name, struct err *e);
/* RFC 4514 text, most significant last: "CN=root-ca,O=Example". malloc'd. A name that cannot be read gives
 * its hex. */
char *name_text(struct span name);
/* The one commonName, malloc'd; NULL when there is none or several. */
char *name_cn(struct span name);

#endif
