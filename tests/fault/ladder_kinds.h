/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAULT_LADDER_KINDS_H
#define FAULT_LADDER_KINDS_H

#include "support/shim.h"

/* What goes wrong in a call of the module, and what shall come of it. */
enum cure {
    CURED,         /* by whatever rung */
    NOT_SUPPORTED, /* hsm.not-supported */
    REFUSED,       /* hsm.operation-failed */
    LIE,           /* sign.self-check */
    NOTHING,       /* sign.ecdsa-sig: the length is right, and nothing was written */
};

/* What can go wrong in a call: the codes, then these. */
struct kind {
    const char *name;
    enum shim_action action;
    CK_RV code;
    enum cure cure;
};

/* The kinds by number, from 0; false behind the last one. */
bool kind_get(size_t i, struct kind *ret);

#define LISTED(list, name) listed(list, sizeof list / sizeof list[0], name)
bool listed(const char *const *list, size_t n, const char *name);

#endif
