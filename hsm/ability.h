/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HSM_ABILITY_H
#define HSM_ABILITY_H

#include "hsm/proto.h"
#include "hsm/token.h"

struct client;
struct quirks;

/* What a token can do with keys of our algorithms, judged by the mechanisms that it lists (PKCS#11 v3.0,
 * C_GetMechanismInfo) and by its quirk file. *ret malloc'd. */
void abilities_judge(const struct proto_mechanism *m, size_t n, const struct quirks *q, struct ability **ret,
                     size_t *ret_n);
/* Asks a token that is logged in. */
NODISCARD enum rc abilities_read(struct client *c, const struct quirks *q, struct ability **ret,
                                 size_t *ret_n, struct err *e);
/* The row of this algorithm and use; NULL: such keys are not used so. */
const struct ability *ability_find(const struct ability *list, size_t n, const struct alg *a,
                                   enum ability_use use);

#endif
