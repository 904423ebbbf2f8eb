/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "x509/verify.h"

/* keymill's arc: a UUID under 2.25 (X.667). Its children are never renumbered. */
#define ARC "2.25.67055011817518250399580807217873608514"

static const struct {
    const char *oid, *name;
} roles[] = {
    [ROLE_OFFICE] = {ARC ".1", "office"},
    [ROLE_RELEASE] = {ARC ".2", "release"},
    [ROLE_STATION_MANIFEST] = {ARC ".3", "station-manifest"},
    [ROLE_STATION_SEAL] = {ARC ".4", "station-seal"},
    [ROLE_CEREMONY_OFFICER] = {ARC ".5", "ceremony-officer"},
};
enum { NROLES = sizeof roles / sizeof roles[0] };

const char *role_oid(enum role r)
{
    return roles[r].oid;
}

const char *role_name(enum role r)
{
    return roles[r].name;
}

int role_of_oid(const char *oid)
{
    for (int i = 0; i < NROLES; i++)
        if (strcmp(roles[i].oid, oid) == 0)
            return i;
    return -1;
}
