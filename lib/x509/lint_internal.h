/* SPDX-License-Identifier: Apache-2.0 */
#ifndef X509_LINT_INTERNAL_H
#define X509_LINT_INTERNAL_H

#include <stdbool.h>

#include "x509/internal.h"
#include "x509/lint.h"

/* What a rule looks at: the certificate as it would be, signed by a throw-away key. */
struct lint_view {
    const struct cert *cert;
    struct scan scan;
    const struct cert *issuer; /* NULL: self-signed */
    const struct profile *profile;
    bool foreign;
};

#endif
