/* SPDX-License-Identifier: Apache-2.0 */
#ifndef X509_LINT_H
#define X509_LINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

struct cert;
struct profile;

/*
 * Lint before signing: the exact TBS is signed with a throw-away key of the issuer's type, parsed back and
 * judged. (A throw-away RSA key takes seconds to make, so one of each size is kept while the process lives.)
 * Each rule is one function with an id and a clause. issuer NULL: self-signed. Any finding is RC_DENIED with
 * key "lint.<rule>" and the clause in the text; nothing goes to the token.
 */
struct lint_subject {
    struct span tbs;
    const struct cert *issuer;
    const struct profile *profile;
    bool foreign; /* made by a CA that is not ours (import): RFC 5280 leaves the making of the key identifier
                     open, so one of any octets is right; everything else is as the profile says */
};
/* The first finding. RC_DENIED lint.form when the TBS is no TBSCertificate at all, lint.signature when what
 * was signed does not verify. */
NODISCARD enum rc lint_tbs(const struct lint_subject *s, struct err *e);
/* All findings: bit i for row i of lint_rules(). RC_DENIED lint.form, lint.signature as above. */
NODISCARD enum rc lint_findings(const struct lint_subject *s, uint64_t *ret, struct err *e);

/* The rules, for documentation and tests: id and clause; ended by a row whose id is NULL. At most 64. */
struct lint_view;
struct lint_rule_info {
    const char *id, *clause, *text;
    bool (*check)(const struct lint_view *v); /* false: a finding */
};
const struct lint_rule_info *lint_rules(void);

#endif
