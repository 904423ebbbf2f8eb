/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/orders.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/secret.h"
#include "base/text.h"
#include "factory/signed.h"
#include "sign/alg.h"
#include "sign/softkey.h"

enum { DAY = 86400, LOT_SIZE = 2 };

/* ---- orders ---- */

void order_make(struct order *o, const struct pki *p, const char *id, int64_t now)
{
    *o = (struct order){.sequence = 1,
                        .issued = now,
                        .not_before = now,
                        .not_after = now + 300 * DAY,
                        .window_from = now,
                        .window_until = now + 30 * DAY,
                        .lot_size = LOT_SIZE};
    snprintf(o->id, sizeof o->id, "%s", id);
    snprintf(o->product, sizeof o->product, "sensor");
    snprintf(o->factory, sizeof o->factory, "f1");
    snprintf(o->profile, sizeof o->profile, "device");
    snprintf(o->endpoint, sizeof o->endpoint, "mqtts://broker.example:8883");
    memcpy(o->ca, p->local.cert->sha256, SHA256_LEN);
    pem_encode("CERTIFICATE", bytes_span(&p->root.cert->der), &o->trust_bundle);
    sha256(bytes_span(&o->trust_bundle), o->trust_bundle_sha256);
}

void order_add_station(struct order *o, const char *name, const struct cert *manifest,
                       const struct cert *seal, uint64_t sequence, uint64_t quantity)
{
    struct order_station s = {
        .sequence = sequence, .quantity = quantity, .ids = {.digits = 6, .first = 1, .count = quantity}};

    snprintf(s.name, sizeof s.name, "%s", name);
    snprintf(s.ids.prefix, sizeof s.ids.prefix, "%.40s-%zu-", o->id, o->nstations);
    memcpy(s.manifest, manifest->sha256, SHA256_LEN);
    memcpy(s.seal, seal->sha256, SHA256_LEN);
    o->stations[o->nstations++] = s;
}

void order_write(struct order *o, const struct pki_signer *office, const char *path)
{
    struct bytes json = BYTES_INIT, der = BYTES_INIT;
    struct err e = ERR_INIT;

    order_encode(o, &json);
    pki_must(signed_make(office->key, &office->chain, bytes_span(&json), o->issued, &der, &e), &e);
    pki_must(file_publish(path, 0600, bytes_span(&der), &e), &e);
    sha256(bytes_span(&json), o->sha256);
    bytes_free(&json);
    bytes_free(&der);
}

/* ---- batches ---- */

static struct secret *random_key(void)
{
    struct secret *s = secret_new(LOT_KEY_LEN);
    struct err e = ERR_INIT;

    pki_must(random_bytes(secret_data(s), LOT_KEY_LEN, &e), &e);
    secret_set_len(s, LOT_KEY_LEN);
    return s;
}

/* One device: key, certificate, and the line that seals them. */
static void device_make(struct sealed *s, const struct pki *p, struct devkey_gen *gen, const char *id,
                        uint64_t i)
{
    const struct alg *alg = alg_by_name("ec-p256");
    struct secret *scalar = secret_new(alg->field_len), *pkcs8 = secret_new(PKCS8_MAX);
    struct bytes point = BYTES_INIT, spki = BYTES_INIT;
    uint64_t lot = i / s->batch.lot_size;
    struct cert *c = NULL;
    struct err e = ERR_INIT;

    pki_must(devkey_make(gen, scalar, &point, &e), &e);
    spki_from_point(alg, bytes_span(&point), &spki);
    pkcs8_encode(alg, scalar, bytes_span(&point), pkcs8);
    c = pki_issue_cn(p, &p->local, "device", id, bytes_span(&spki));
    pki_must(
        batch_line_seal(s->lot_keys[lot], s->batch.id, lot, id, bytes_span(&c->der), pkcs8, &s->lines[i], &e),
        &e);
    cert_free(c);
    bytes_free(&point);
    bytes_free(&spki);
    secret_free(scalar);
    secret_free(pkcs8);
}

static void head_make(struct batch *b, const struct order *o, const struct order_station *me,
                      const struct pki *p)
{
    *b = (struct batch){.issued = o->issued,
                        .count = me->quantity,
                        .lot_size = o->lot_size,
                        .nlots = (size_t)((me->quantity - 1) / o->lot_size + 1)};
    snprintf(b->id, sizeof b->id, "%.63s.%.63s", o->id, me->name);
    memcpy(b->order, o->id, sizeof b->order);
    memcpy(b->station, me->name, sizeof b->station);
    memcpy(b->order_sha256, o->sha256, SHA256_LEN);
    memcpy(b->seal, me->seal, SHA256_LEN);
    memcpy(b->ca, o->ca, SHA256_LEN);
    pem_encode("CERTIFICATE", bytes_span(&p->local.cert->der), &b->chain);
    b->lots = mem_array(b->nlots, sizeof *b->lots);
}

void sealed_make(struct sealed *s, const struct order *o, size_t station, const struct pki *p,
                 const struct cert *seal)
{
    const struct order_station *me = &o->stations[station];
    struct devkey_gen *gen = NULL;
    char id[DEVICE_ID_MAX + 1];
    struct err e = ERR_INIT;

    memset(s, 0, sizeof *s);
    head_make(&s->batch, o, me, p);
    s->lot_keys = mem_array(s->batch.nlots, sizeof *s->lot_keys);
    s->lots = mem_array(s->batch.nlots, sizeof *s->lots);
    s->lines = mem_array(s->batch.count, sizeof *s->lines);
    for (size_t i = 0; i < s->batch.nlots; i++) {
        s->lot_keys[i] = random_key();
        pki_must(cms_seal(bytes_span(&seal->der), s->lot_keys[i], &s->lots[i], &e), &e);
    }
    pki_must(devkey_gen_new(alg_by_name("ec-p256"), &gen, &e), &e);
    for (uint64_t i = 0; i < s->batch.count; i++) {
        id_block_id(&me->ids, i, id);
        device_make(s, p, gen, id, i);
    }
    devkey_gen_free(gen);
}

static void put(const char *dir, const char *name, struct span content)
{
    char *path = path_join(dir, name);
    struct err e = ERR_INIT;

    pki_must(file_publish(path, 0600, content, &e), &e);
    free(path);
}

static void write_devices(struct sealed *s, const char *dir)
{
    struct bytes all = BYTES_INIT;
    struct merkle tree;

    merkle_init(&tree);
    for (uint64_t i = 0; i < s->batch.count; i++) {
        merkle_add(&tree, bytes_span(&s->lines[i]));
        bytes_add_span(&all, bytes_span(&s->lines[i]));
        bytes_add_byte(&all, '\n');
    }
    merkle_root(&tree, s->batch.merkle_root);
    sha256(bytes_span(&all), s->batch.devices_sha256);
    put(dir, "devices.jsonl", bytes_span(&all));
    bytes_free(&all);
}

void sealed_sign(struct sealed *s, const struct pki_signer *office, const char *dir)
{
    struct bytes json = BYTES_INIT, p7s = BYTES_INIT;
    struct err e = ERR_INIT;

    batch_encode(&s->batch, &json);
    pki_must(signed_make_detached(office->key, &office->chain, bytes_span(&json), s->batch.issued, &p7s, &e),
             &e);
    put(dir, "batch.json", bytes_span(&json));
    put(dir, "batch.p7s", bytes_span(&p7s));
    bytes_free(&json);
    bytes_free(&p7s);
}

void sealed_write(struct sealed *s, const struct pki_signer *office, const char *dir)
{
    char name[32];
    struct err e = ERR_INIT;

    pki_must(dir_make(dir, 0700, &e), &e);
    write_devices(s, dir);
    for (size_t i = 0; i < s->batch.nlots; i++) {
        snprintf(name, sizeof name, "lot-%zu.p7m", i);
        put(dir, name, bytes_span(&s->lots[i]));
        sha256(bytes_span(&s->lots[i]), s->batch.lots[i].sha256);
    }
    sealed_sign(s, office, dir);
}

void sealed_fini(struct sealed *s)
{
    for (size_t i = 0; i < s->batch.nlots; i++) {
        secret_free(s->lot_keys[i]);
        bytes_free(&s->lots[i]);
    }
    for (uint64_t i = 0; i < s->batch.count; i++)
        bytes_free(&s->lines[i]);
    free(s->lot_keys);
    free(s->lots);
    free(s->lines);
    batch_fini(&s->batch);
}
