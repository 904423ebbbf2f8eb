/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "ca/ca.h"
#include "factory/office/batch.h"
#include "sign/alg.h"
#include "sign/softkey.h"
#include "x509/name.h"
#include "x509/profile.h"

struct device {
    char id[DEVICE_ID_MAX + 1];
    struct bytes name, point, spki;
};

/* A group's private keys wait in one container for their certificates; one key at a time passes through the
 * other two. */
struct batch_maker {
    const struct batch_job *job;
    const struct profile *profile;
    const struct alg *alg;
    struct devkey_gen *gen;
    struct secret *scalars; /* BATCH_GROUP of alg->field_len octets */
    struct secret *scalar, *pkcs8;
    uint64_t first;
    size_t n;
    struct device devices[BATCH_GROUP];
    struct ca_item items[BATCH_GROUP];
    struct bytes lines[BATCH_GROUP];
};

enum rc batch_maker_new(const struct batch_job *j, const struct profile *p, struct batch_maker **ret,
                        struct err *e)
{
    struct devkey_gen *gen = NULL;
    const struct alg *alg = p->algs[0];
    enum rc rc = devkey_gen_new(alg, &gen, e);
    if (rc != RC_OK)
        return rc;
    struct batch_maker *m = mem_new(sizeof(*m));
    m->job = j;
    m->profile = p;
    m->alg = alg;
    m->gen = gen;
    m->scalars = secret_new(BATCH_GROUP * alg->field_len);
    m->scalar = secret_new(alg->field_len);
    m->pkcs8 = secret_new(PKCS8_MAX);
    *ret = m;
    return RC_OK;
}

void batch_maker_free(struct batch_maker *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < BATCH_GROUP; i++) {
        bytes_free(&m->devices[i].name);
        bytes_free(&m->devices[i].point);
        bytes_free(&m->devices[i].spki);
        bytes_free(&m->items[i].der);
        bytes_free(&m->lines[i]);
    }
    secret_free(m->pkcs8);
    secret_free(m->scalar);
    secret_free(m->scalars);
    devkey_gen_free(m->gen);
    free(m);
}

/* CN = id, what the profile adds, OU = factory: as AWS, Azure and Foundries all take it. */
static enum rc device_name(const struct batch_maker *m, struct device *d, struct err *e)
{
    struct name_attr attrs[PROFILE_ATTRS_MAX + 2] = {{"CN", d->id}};
    size_t n = 1;
    for (size_t i = 0; i < m->profile->nattrs; i++)
        attrs[n++] = m->profile->attrs[i];
    attrs[n++] = (struct name_attr){"OU", m->job->order.factory};
    bytes_reset(&d->name);
    return name_encode(attrs, n, &d->name, e);
}

static enum rc make_device(struct batch_maker *m, size_t i, struct err *e)
{
    struct device *d = &m->devices[i];
    id_block_id(&m->job->station->ids, m->first + i, d->id);
    enum rc rc = device_name(m, d, e);
    if (rc != RC_OK)
        return rc;
    bytes_reset(&d->point);
    rc = devkey_make(m->gen, m->scalar, &d->point, e);
    if (rc != RC_OK)
        return rc;
    memcpy(secret_data(m->scalars) + i * m->alg->field_len, secret_data(m->scalar), m->alg->field_len);
    bytes_reset(&d->spki);
    spki_from_point(m->alg, bytes_span(&d->point), &d->spki);

    struct ca_item *item = &m->items[i];
    bytes_free(&item->der);
    *item = (struct ca_item){.id = d->id, .name = bytes_span(&d->name), .spki = bytes_span(&d->spki)};
    return RC_OK;
}

enum rc batch_maker_keys(struct batch_maker *m, uint64_t first, size_t n, struct ca_item **ret, struct err *e)
{
    m->first = first;
    m->n = n;
    secret_set_len(m->scalars, n * m->alg->field_len);
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < n; i++)
        rc = make_device(m, i, e);
    if (rc == RC_OK)
        *ret = m->items;
    return rc;
}

static enum rc seal_device(struct batch_maker *m, struct lot_keys *lots, size_t i, struct err *e)
{
    const struct device *d = &m->devices[i];
    const struct secret *lot_key = NULL;
    uint64_t lot = (m->first + i) / m->job->order.lot_size;
    enum rc rc = lot_key_get(lots, lot, &lot_key, e);
    if (rc != RC_OK)
        return rc;
    secret_set_len(m->scalar, m->alg->field_len);
    memcpy(secret_data(m->scalar), secret_data(m->scalars) + i * m->alg->field_len, m->alg->field_len);
    pkcs8_encode(m->alg, m->scalar, bytes_span(&d->point), m->pkcs8);
    bytes_reset(&m->lines[i]);
    return batch_line_seal(lot_key, m->job->id, lot, d->id, bytes_span(&m->items[i].der), m->pkcs8,
                           &m->lines[i], e);
}

enum rc batch_maker_seal(struct batch_maker *m, struct lot_keys *lots, const struct bytes **ret,
                         struct err *e)
{
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < m->n; i++)
        rc = seal_device(m, lots, i, e);
    secret_set_len(m->scalars, 0); /* sealed: the plain keys are wiped */
    secret_set_len(m->scalar, 0);
    secret_set_len(m->pkcs8, 0);
    if (rc == RC_OK)
        *ret = m->lines;
    return rc;
}
