/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HSM_URI_H
#define HSM_URI_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/err.h"

/*
 * PKCS#11 URIs (RFC 7512), read strictly: what we would have to ignore is refused, because a name that says
 * more than we check could find the wrong key. Vendor attributes (x-...) alone are ignored. Slot numbers are
 * refused (they change), and so is pin-value (a PIN in a URI ends up in logs).
 */
struct uri {
    char *token, *manufacturer, *model, *serial; /* NULL: not given */
    char *object;                                /* NULL: not given */
    struct bytes id;                             /* empty: not given */
    char *module_path, *pin_source;              /* NULL: not given */
};

/* RC_USAGE hsm.uri. On failure *ret is empty. */
NODISCARD enum rc uri_parse(const char *text, struct uri *ret, struct err *e);
void uri_free(struct uri *u);

/* True when it names a key and not just a token. */
bool uri_names_key(const struct uri *u);

#endif
