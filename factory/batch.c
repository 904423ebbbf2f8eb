/* SPDX-License-Identifier: Apache-2.0 */
#include "factory/batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/jsonw.h"
#include "base/secret.h"
#include "base/text.h"
#include "factory/internal.h"
#include "factory/order.h"
#include "sign/alg.h"
#include "sign/jwe.h"
#include "sign/softkey.h"
#include "x509/cert.h"

void batch_encode(const struct batch *b, struct bytes *ret)
{
    struct jsonw w;
    jsonw_init(&w, ret);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "schema", "keymill.batch.v1");
    jsonw_str(&w, "batch", b->id);
    jsonw_str(&w, "order", b->order);
    jsonw_str(&w, "station", b->station);
    jsonw_hex(&w, "order_sha256", (struct span){b->order_sha256, SHA256_LEN});
    jsonw_hex(&w, "seal_sha256", (struct span){b->seal, SHA256_LEN});
    jsonw_hex(&w, "ca_sha256", (struct span){b->ca, SHA256_LEN});
    jsonw_time(&w, "issued", b->issued);
    jsonw_int(&w, "count", (int64_t)b->count);
    jsonw_int(&w, "lot_size", (int64_t)b->lot_size);
    jsonw_hex(&w, "devices_sha256", (struct span){b->devices_sha256, SHA256_LEN});
    jsonw_hex(&w, "merkle_root", (struct span){b->merkle_root, SHA256_LEN});
    jsonw_str(&w, "chain", bytes_str(&b->chain));
    jsonw_array(&w, "lots");
    for (size_t i = 0; i < b->nlots; i++)
        jsonw_hex(&w, NULL, (struct span){b->lots[i].sha256, SHA256_LEN});
    jsonw_end(&w);
    jsonw_end(&w);
}

static void read_names(struct doc_map *m, struct batch *ret)
{
    char expected[sizeof(ret->id) + 1];
    doc_copy(m, "batch", ret->id, sizeof(ret->id));
    doc_name(m, "order", ret->order);
    doc_name(m, "station", ret->station);
    snprintf(expected, sizeof(expected), "%s.%s", ret->order, ret->station);
    if (strcmp(expected, ret->id) != 0)
        doc_fail(m, "batch", "batch.id", "'%s' is required: order and station", expected);
}

static void read_chain(struct doc_map *m, struct batch *ret)
{
    uint8_t first[SHA256_LEN] = {0};
    doc_hex(m, "ca_sha256", ret->ca, SHA256_LEN);
    doc_pem(m, "chain", "batch.chain", &ret->chain, first);
    if (memcmp(first, ret->ca, SHA256_LEN) != 0)
        doc_fail(m, "chain", "batch.chain", "the first certificate must be the one that ca_sha256 names");
}

static void read_lots(struct doc_map *m, struct batch *ret)
{
    ret->count = (uint64_t)doc_int(m, "count", 1, ORDER_QUANTITY_MAX);
    ret->lot_size = (uint64_t)doc_int(m, "lot_size", 1, ORDER_QUANTITY_MAX);
    size_t n = doc_list(m, "lots");
    if (m->err.rc != RC_OK)
        return;
    if (n > BATCH_LOTS_MAX || n != (ret->count + ret->lot_size - 1) / ret->lot_size) {
        doc_fail(m, "lots", "batch.lots",
                 "%" PRIu64 " devices in lots of %" PRIu64
                 " need another number of lots than %zu (at most %d)",
                 ret->count, ret->lot_size, n, BATCH_LOTS_MAX);
        return;
    }
    ret->lots = mem_array(n, sizeof(*ret->lots));
    ret->nlots = n;
    for (size_t i = 0; i < n; i++) {
        struct err bad;
        const char *hex = doc_list_str(m, "lots", i);
        if (hex_decode_exact(hex, ret->lots[i].sha256, SHA256_LEN, &bad) != RC_OK)
            doc_fail(m, "lots", "doc.value", "lot %zu: 32 octets in hex are required (64 digits)", i);
    }
}

enum rc batch_decode(const char *name, struct span json, struct batch *ret, struct err *e)
{
    struct doc *d = NULL;
    struct doc_map m;
    struct batch b = {0};

    enum rc rc = doc_parse_json(name, json, &d, e);
    if (rc != RC_OK)
        return rc;
    doc_open(&m, d, doc_root(d));
    doc_schema(&m, "keymill.batch.v1");
    read_names(&m, &b);
    doc_hex(&m, "order_sha256", b.order_sha256, SHA256_LEN);
    doc_hex(&m, "seal_sha256", b.seal, SHA256_LEN);
    b.issued = doc_time(&m, "issued");
    doc_hex(&m, "devices_sha256", b.devices_sha256, SHA256_LEN);
    doc_hex(&m, "merkle_root", b.merkle_root, SHA256_LEN);
    read_chain(&m, &b);
    read_lots(&m, &b);
    rc = doc_close(&m, e);
    if (rc == RC_OK)
        *ret = b;
    else
        batch_fini(&b);
    doc_free(d);
    return rc;
}

void batch_fini(struct batch *b)
{
    free(b->lots);
    bytes_free(&b->chain);
    *b = (struct batch){0};
}

/* Four octets of length, big-endian, and the text: no two pairs of texts give the same octets. */
static void add_prefixed(struct bytes *b, const char *s)
{
    size_t n = strlen(s);
    for (int shift = 24; shift >= 0; shift -= 8)
        bytes_add_byte(b, (uint8_t)(n >> shift));
    bytes_add_str(b, s);
}

enum rc batch_device_key(const struct secret *lot_key, const char *batch, const char *id, struct secret **ret,
                         struct err *e)
{
    struct bytes info = BYTES_INIT;
    bytes_add_str(&info, "keymill device key v1");
    add_prefixed(&info, batch);
    add_prefixed(&info, id);
    enum rc rc = hkdf_sha256(lot_key, bytes_span(&info), LOT_KEY_LEN, ret, e);
    bytes_free(&info);
    return rc;
}

/* The protected header, octet for octet: what seals is what opens. */
static void header_write(const char *batch, uint64_t lot, struct span cert, struct bytes *ret)
{
    uint8_t hash[SHA256_LEN];
    struct bytes x5t = BYTES_INIT;
    struct jsonw w;
    char kid[sizeof(((struct batch *)NULL)->id) + 24];

    sha256(cert, hash);
    b64url_encode((struct span){hash, sizeof(hash)}, &x5t);
    snprintf(kid, sizeof(kid), "%s/%" PRIu64, batch, lot);
    jsonw_init(&w, ret);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "alg", "dir");
    jsonw_str(&w, "enc", "A256GCM");
    jsonw_str(&w, "kid", kid);
    jsonw_str(&w, "x5t#S256", bytes_str(&x5t));
    jsonw_end(&w);
    bytes_free(&x5t);
}

enum rc batch_line_seal(const struct secret *lot_key, const char *batch, uint64_t lot, const char *id,
                        struct span cert, const struct secret *pkcs8, struct bytes *ret, struct err *e)
{
    struct secret *key = NULL;
    struct bytes header = BYTES_INIT;
    struct bytes jwe = BYTES_INIT;
    struct jsonw w;

    header_write(batch, lot, cert, &header);
    enum rc rc = batch_device_key(lot_key, batch, id, &key, e);
    if (rc == RC_OK)
        rc = jwe_seal_dir(key, bytes_span(&header), pkcs8, &jwe, e);
    if (rc != RC_OK)
        goto out;
    jsonw_init(&w, ret);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "id", id);
    jsonw_b64(&w, "cert", cert);
    jsonw_str(&w, "key", bytes_str(&jwe));
    jsonw_end(&w);
out:
    secret_free(key);
    bytes_free(&header);
    bytes_free(&jwe);
    return rc;
}

/* The certificate is one, and is this device's. */
static void check_cert(struct doc_map *m, const struct batch_device *d)
{
    struct cert *c = NULL;
    struct err bad = ERR_INIT;
    if (m->err.rc != RC_OK)
        return;
    if (cert_parse(d->id, bytes_span(&d->cert), &c, &bad) != RC_OK)
        doc_fail(m, "cert", bad.key, "%s", bad.text);
    else if (c->cn == NULL || strcmp(c->cn, d->id) != 0)
        doc_fail(m, "cert", "batch.cert", "the certificate's name is not '%s'", d->id);
    cert_free(c);
}

enum rc batch_line_decode(const char *name, int64_t line, struct span json, struct batch_device *ret,
                          struct err *e)
{
    struct doc *doc = NULL;
    struct doc_map m;
    struct batch_device d = {0};

    enum rc rc = doc_parse_jsonl(name, line, json, &doc, e);
    if (rc != RC_OK)
        return rc;
    doc_open(&m, doc, doc_root(doc));
    doc_id(&m, "id", d.id);
    doc_b64(&m, "cert", &d.cert);
    bytes_add_str(&d.jwe, doc_str(&m, "key"));
    check_cert(&m, &d);
    rc = doc_close(&m, e);
    if (rc == RC_OK)
        *ret = d;
    else
        batch_device_fini(&d);
    doc_free(doc);
    return rc;
}

void batch_device_fini(struct batch_device *d)
{
    bytes_free(&d->cert);
    bytes_free(&d->jwe);
    *d = (struct batch_device){0};
}

/* Looked at before opening, to say what is wrong; the header is authenticated by the opening. */
static enum rc check_header(const char *batch, uint64_t lot, const struct batch_device *d, struct err *e)
{
    struct bytes expected = BYTES_INIT;
    struct bytes encoded = BYTES_INIT;

    header_write(batch, lot, bytes_span(&d->cert), &expected);
    b64url_encode(bytes_span(&expected), &encoded);
    bytes_add_byte(&encoded, '.');
    bool same = d->jwe.n > encoded.n && memcmp(d->jwe.p, encoded.p, encoded.n) == 0;
    bytes_free(&expected);
    bytes_free(&encoded);
    if (same)
        return RC_OK;
    return err_set(e, RC_INPUT, "batch.header",
                   "cannot open the key of '%s': it is not sealed for batch '%s', lot %" PRIu64
                   " and this certificate",
                   d->id, batch, lot);
}

static enum rc check_key(const struct batch_device *d, const struct secret *pkcs8, struct err *e)
{
    const struct alg *a = NULL;
    struct bytes point = BYTES_INIT;
    struct bytes spki = BYTES_INIT;
    struct cert *c = NULL;

    enum rc rc = cert_parse(d->id, bytes_span(&d->cert), &c, e);
    if (rc == RC_OK)
        rc = pkcs8_decode(pkcs8, &a, &point, e);
    if (rc != RC_OK)
        goto out;
    spki_from_point(a, bytes_span(&point), &spki);
    if (!span_eq(bytes_span(&spki), c->spki))
        rc = err_set(e, RC_INPUT, "batch.key", "the key of '%s' does not belong to its certificate", d->id);
out:
    cert_free(c);
    bytes_free(&point);
    bytes_free(&spki);
    return rc;
}

enum rc batch_line_open(const struct secret *lot_key, const char *batch, uint64_t lot,
                        const struct batch_device *d, struct secret **ret_pkcs8, struct err *e)
{
    struct secret *key = NULL;
    struct secret *pkcs8 = NULL;
    struct bytes header = BYTES_INIT;

    enum rc rc = check_header(batch, lot, d, e);
    if (rc == RC_OK)
        rc = batch_device_key(lot_key, batch, d->id, &key, e);
    if (rc != RC_OK)
        goto out;
    rc = jwe_open_dir(key, bytes_span(&d->jwe), &header, &pkcs8, e);
    if (rc != RC_OK) {
        err_prefix(e, "cannot open the key of '%s'", d->id);
        goto out;
    }
    rc = check_key(d, pkcs8, e);
    if (rc != RC_OK)
        goto out;
    *ret_pkcs8 = pkcs8;
    pkcs8 = NULL;
out:
    secret_free(key);
    secret_free(pkcs8);
    bytes_free(&header);
    return rc;
}
