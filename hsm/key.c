/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/keystore.h"

#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "hsm/client.h"
#include "hsm/quirks.h"
#include "sign/alg.h"

struct token_signer {
    struct signer signer;
    struct client *client;
    struct proto_ref ref;
};

static struct token_signer *of(struct signer *s)
{
    return (struct token_signer *)(void *)s;
}

/* As large as a message may be, but at least one for each session of a worker: there, waiting is what takes
 * the time. */
static size_t batch_size(const struct client *c, size_t n)
{
    size_t sessions = client_sessions(c);
    size_t size = sessions > 1 ? (n + sessions - 1) / sessions : PROTO_BATCH_MAX;
    return size < PROTO_BATCH_MAX ? size : PROTO_BATCH_MAX;
}

/* DER of a DigestInfo up to the digest (RFC 8017 9.2): CKM_RSA_PKCS pads, and leaves this to us. */
static const uint8_t digest_info[] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                      0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};

static bool wants_digest_info(const struct alg *a)
{
    return a->family == ALG_RSA && !a->pss;
}

/* What the token gets for an input, appended to ret. */
static void input_put(const struct alg *a, struct span input, struct bytes *ret)
{
    if (wants_digest_info(a))
        bytes_add(ret, digest_info, sizeof digest_info);
    bytes_add_span(ret, input);
}

static struct proto_use use_of(const struct token_signer *t, const struct alg *a)
{
    bool der = a->family == ALG_EC && client_quirks(t->client)->signature_der;
    return (struct proto_use){.ref = t->ref,
                              .mechanism = a->p11_sign,
                              .param = a->pss ? PROTO_PARAM_PSS_SHA256 : PROTO_PARAM_NONE,
                              .result = (uint32_t)(der ? a->signature_max : a->signature_raw),
                              .shorter = der};
}

/* One signature as the token made it, into the form of X.509. raw has the zeros behind it that filled it up
 * where it is DER already; what is wrong with it shows when it is verified. */
static enum rc signature_take(const struct alg *a, bool der, struct span raw, struct bytes *ret,
                              struct err *e)
{
    if (!der)
        return signature_from_raw(a, raw, ret, e);
    size_t n = raw.n > 2 ? 2 + (size_t)raw.p[1] : 0; /* shorter than 128 octets */
    bytes_add(ret, raw.p, n < raw.n ? n : raw.n);
    return RC_OK;
}

static enum rc batch_take(const struct alg *a, const struct proto_use *use, const struct bytes *raw, size_t n,
                          struct bytes *ret, struct err *e)
{
    size_t len = use->result;
    if (raw->n != n * len)
        return err_set(e, RC_TOKEN, "hsm.worker-lost",
                       "the token worker returned %zu octets for %zu signatures", raw->n, n);
    for (size_t i = 0; i < n; i++) {
        enum rc rc = signature_take(a, use->shorter, (struct span){raw->p + i * len, len}, &ret[i], e);
        if (rc != RC_OK) {
            e->rc = RC_TOKEN;
            return err_prefix(e, "the token returned what is no signature");
        }
    }
    return RC_OK;
}

/* What a call works with: requests over inputs that were copied end to end. */
struct batch {
    struct request *requests;
    struct reply *replies;
    struct bytes items;
    size_t n, size; /* requests; inputs in each */
};

/* Digests go many to a message, messages one by one. */
static void batch_make(struct batch *b, const struct token_signer *t, const struct alg *a,
                       const struct proto_use *use, const struct span *inputs, size_t n)
{
    *b = (struct batch){.size = a->digest_len ? batch_size(t->client, n) : 1};
    b->n = (n + b->size - 1) / b->size;
    b->requests = mem_array(b->n, sizeof *b->requests);
    b->replies = mem_array(b->n, sizeof *b->replies);
    for (size_t i = 0; a->digest_len && i < n; i++)
        input_put(a, inputs[i], &b->items);
    size_t len = n && a->digest_len ? b->items.n / n : 0;
    for (size_t i = 0; i < b->n; i++) {
        size_t first = i * b->size, count = n - first < b->size ? n - first : b->size;
        b->requests[i] = (struct request){.op = PROTO_SIGN,
                                          .fixed = {(const uint8_t *)use, sizeof *use},
                                          .items = len ? b->items.p + first * len : inputs[first].p,
                                          .count = (uint32_t)count,
                                          .size = (uint32_t)(len ? len : inputs[first].n)};
    }
}

static void batch_free(struct batch *b)
{
    replies_wipe(b->replies, b->n);
    bytes_free(&b->items);
    free(b->replies);
    free(b->requests);
}

static enum rc messages_check(const struct signer *s, const struct alg *a, const struct span *inputs,
                              size_t n, struct err *e)
{
    for (size_t i = 0; a->digest_len == 0 && i < n; i++) {
        if (inputs[i].n > PROTO_LARGE_MAX)
            return err_set(
                e, RC_INPUT, "hsm.message-size",
                "key '%s' signs messages and not digests, and this one has %zu octets: %d are possible",
                s->name, inputs[i].n, (int)PROTO_LARGE_MAX);
    }
    return RC_OK;
}

static enum rc token_sign(struct signer *s, const struct alg *a, const struct span *inputs, size_t n,
                          struct bytes *ret, struct err *e)
{
    struct token_signer *t = of(s);
    struct proto_use use = use_of(t, a);
    struct batch b;
    enum rc rc = messages_check(s, a, inputs, n, e);
    if (n == 0 || rc != RC_OK)
        return rc;
    batch_make(&b, t, a, &use, inputs, n);
    rc = client_run(t->client, s->name, b.requests, b.replies, b.n, e);
    for (size_t i = 0; rc == RC_OK && i < b.n; i++)
        rc = batch_take(a, &use, &b.replies[i].body, b.requests[i].count, ret + i * b.size, e);
    for (size_t i = 0; rc != RC_OK && i < n; i++)
        bytes_free(&ret[i]);
    batch_free(&b);
    return rc;
}

static enum rc token_derive(struct signer *s, struct span peer_point, struct secret **ret, struct err *e)
{
    struct token_signer *t = of(s);
    struct proto_use use = {
        .ref = t->ref, .mechanism = s->alg->p11_derive, .result = (uint32_t)s->alg->field_len};
    uint8_t point[PROTO_KEY_POINT];
    size_t head =
        client_quirks(t->client)->point_wrapped ? 2 : 0; /* of a DER OCTET STRING below 128 octets */
    if (head + peer_point.n > sizeof point || peer_point.n > 127)
        bug("a peer's point of %zu octets", peer_point.n);
    point[0] = 0x04;
    point[1] = (uint8_t)peer_point.n;
    memcpy(point + head, peer_point.p, peer_point.n);
    struct request rq = {.op = PROTO_DERIVE,
                         .fixed = {(const uint8_t *)&use, sizeof use},
                         .items = point,
                         .count = 1,
                         .size = (uint32_t)(head + peer_point.n)};
    struct bytes shared = BYTES_INIT;
    enum rc rc = client_call(t->client, s->name, &rq, &shared, e);
    if (rc == RC_OK && shared.n != s->alg->field_len)
        rc = err_set(e, RC_TOKEN, "hsm.worker-lost", "the token worker returned a secret of %zu octets",
                     shared.n);
    if (rc == RC_OK)
        *ret = secret_from(shared.p, shared.n);
    bytes_wipe(&shared);
    return rc;
}

static enum rc token_decrypt(struct signer *s, enum oaep_digest digest, struct span ciphertext,
                             struct secret **ret, struct err *e)
{
    struct token_signer *t = of(s);
    struct proto_use use = {.ref = t->ref,
                            .mechanism = s->alg->p11_decrypt,
                            .param = digest == OAEP_SHA1 ? PROTO_PARAM_OAEP_SHA1 : PROTO_PARAM_OAEP_SHA256,
                            .result = (uint32_t)(s->alg->key_bits / 8)};
    struct request rq = {.op = PROTO_DECRYPT,
                         .fixed = {(const uint8_t *)&use, sizeof use},
                         .items = ciphertext.p,
                         .count = 1,
                         .size = (uint32_t)ciphertext.n};
    struct bytes plain = BYTES_INIT;
    enum rc rc = client_call(t->client, s->name, &rq, &plain, e);
    if (rc == RC_OK)
        *ret = secret_from(plain.p, plain.n);
    bytes_wipe(&plain);
    return rc;
}

static void token_signer_free(struct signer *s)
{
    signer_fini(s);
    free(of(s));
}

static const struct signer_ops token_signer_ops = {
    .sign = token_sign, .derive = token_derive, .decrypt = token_decrypt, .free = token_signer_free};

enum rc token_signer_new(struct client *c, const struct proto_key *key, const struct key_info *info,
                         enum key_usage usage, const char *exceptions, struct signer **ret, struct err *e)
{
    struct token_signer *t = mem_new(sizeof *t);
    t->client = c;
    t->ref = key->ref;
    t->ref.tail_len = key->public_len < PROTO_PUBLIC_TAIL ? 0 : PROTO_PUBLIC_TAIL;
    memcpy(t->ref.public_tail, key->public + key->public_len - t->ref.tail_len, t->ref.tail_len);
    enum rc rc = signer_init(&t->signer, &token_signer_ops, usage, info->label, bytes_span(&info->spki), e);
    if (rc != RC_OK) {
        free(t);
        return err_prefix(e, "key '%s' in %s", info->label, client_name(c));
    }
    t->signer.exceptions = mem_str(exceptions);
    *ret = &t->signer;
    return RC_OK;
}
