/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hsm/ability.h"
#include "hsm/client.h"
#include "hsm/quirks.h"
#include "sign/alg.h"

/* Values of PKCS#11 3.0, whose headers this half does not see. */
enum {
    CKF_DECRYPT = 0x200,
    CKF_SIGN = 0x800,
    CKF_GENERATE_KEY_PAIR = 0x10000,
    CKF_DERIVE = 0x80000,
};

static const struct {
    unsigned long type;
    const char *name;
} names[] = {
    {0x0, "CKM_RSA_PKCS_KEY_PAIR_GEN"},
    {0x1, "CKM_RSA_PKCS"},
    {0x9, "CKM_RSA_PKCS_OAEP"},
    {0xd, "CKM_RSA_PKCS_PSS"},
    {0x1040, "CKM_EC_KEY_PAIR_GEN"},
    {0x1041, "CKM_ECDSA"},
    {0x1050, "CKM_ECDH1_DERIVE"},
    {0x1055, "CKM_EC_EDWARDS_KEY_PAIR_GEN"},
    {0x1057, "CKM_EDDSA"},
};

static const char *mechanism_name(unsigned long type)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].type == type)
            return names[i].name;
    }
    bug("mechanism 0x%lx has no name", type);
}

const char *ability_use_name(enum ability_use use)
{
    static const char *const uses[] = {"keygen", "sign", "derive", "decrypt"};
    return uses[use];
}

/* False: keys of this row are not used so. An RSA key's PSS row stands for its scheme alone. */
static bool wanted(const struct alg *a, enum ability_use use, unsigned long *ret_type, uint64_t *ret_flag)
{
    static const uint64_t flags[] = {CKF_GENERATE_KEY_PAIR, CKF_SIGN, CKF_DERIVE, CKF_DECRYPT};
    const unsigned long types[] = {a->p11_keygen, a->p11_sign, a->p11_derive, a->p11_decrypt};
    *ret_type = types[use];
    *ret_flag = flags[use];
    if (a->pss)
        return use == ABLE_SIGN;
    return use <= ABLE_SIGN || types[use] != 0;
}

/* Curve25519 is a field of 255 bits, and its octets are 256: tokens say either. */
static bool size_fits(const struct alg *a, const struct proto_mechanism *m)
{
    uint64_t low = a->key_bits, high = a->key_bits;
    if (a->family == ALG_EDWARDS)
        low--;
    return m->min <= high && (m->max == 0 || m->max >= low);
}

/* What the quirk file takes away; NULL: nothing. */
static const char *taken_away(const struct alg *a, enum ability_use use, const struct quirks *q)
{
    if (use == ABLE_SIGN && a->family == ALG_RSA && q->without[a->pss ? CAN_PSS : CAN_PKCS1])
        return capability_name(a->pss ? CAN_PSS : CAN_PKCS1);
    if (use == ABLE_SIGN && a->family == ALG_EDWARDS && q->without[CAN_EDDSA])
        return capability_name(CAN_EDDSA);
    if (use == ABLE_DERIVE && q->without[CAN_DERIVE])
        return capability_name(CAN_DERIVE);
    if (use == ABLE_DECRYPT && q->without[CAN_OAEP_SHA1] && q->without[CAN_OAEP_SHA256])
        return "rsa-oaep";
    return NULL;
}

static void judge(struct ability *a, const struct proto_mechanism *m, uint64_t flag, const struct quirks *q)
{
    const char *taken = taken_away(a->alg, a->use, q);
    if (m) {
        a->min_bits = m->min;
        a->max_bits = m->max;
    }
    if (!m)
        snprintf(a->why, sizeof a->why, "the token does not list %s", a->mechanism);
    else if ((m->flags & flag) == 0)
        snprintf(a->why, sizeof a->why, "the token lists %s for other uses", a->mechanism);
    else if (!size_fits(a->alg, m))
        snprintf(a->why, sizeof a->why, "%s takes keys of %" PRIu64 " to %" PRIu64 " bits", a->mechanism,
                 m->min, m->max);
    else if (taken)
        snprintf(a->why, sizeof a->why, "quirk file '%s': without %s", q->name, taken);
    else
        a->able = true;
}

void abilities_judge(const struct proto_mechanism *m, size_t n, const struct quirks *q, struct ability **ret,
                     size_t *ret_n)
{
    struct ability *list = NULL;
    const struct alg *a;
    size_t filled = 0;
    for (size_t i = 0; (a = alg_at(i)) != NULL; i++) {
        for (enum ability_use use = ABLE_KEYGEN; use <= ABLE_DECRYPT; use++) {
            const struct proto_mechanism *found = NULL;
            unsigned long type;
            uint64_t flag;
            if (!wanted(a, use, &type, &flag))
                continue;
            for (size_t j = 0; j < n && !found; j++)
                found = m[j].type == type ? &m[j] : NULL;
            list = mem_grow(list, filled + 1, sizeof *list);
            list[filled] = (struct ability){.alg = a, .use = use, .mechanism = mechanism_name(type)};
            judge(&list[filled++], found, flag, q);
        }
    }
    *ret = list;
    *ret_n = filled;
}

enum rc abilities_read(struct client *c, const struct quirks *q, struct ability **ret, size_t *ret_n,
                       struct err *e)
{
    struct bytes body = BYTES_INIT;
    struct request rq = {.op = PROTO_MECHANISMS};
    enum rc rc = client_call(c, NULL, &rq, &body, e);
    if (rc == RC_OK) {
        size_t n = body.n / sizeof(struct proto_mechanism);
        struct proto_mechanism *m = mem_array(n + 1, sizeof *m);
        memcpy(m, bytes_str(&body), n * sizeof *m);
        abilities_judge(m, n, q, ret, ret_n);
        free(m);
    }
    bytes_free(&body);
    return rc;
}

const struct ability *ability_find(const struct ability *list, size_t n, const struct alg *a,
                                   enum ability_use use)
{
    for (size_t i = 0; i < n; i++) {
        if (list[i].alg == a && list[i].use == use)
            return &list[i];
    }
    return NULL;
}
