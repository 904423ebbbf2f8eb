/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/keystore.h"

#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "hsm/client.h"
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

static enum rc batch_convert(const struct alg *a, const struct bytes *raw, size_t n, struct bytes *ret,
                             struct err *e)
{
    size_t len = 2 * a->field_len;
    if (raw->n != n * len)
        return err_set(e, RC_TOKEN, "hsm.worker-lost",
                       "the token worker returned %zu octets for %zu signatures", raw->n, n);
    for (size_t i = 0; i < n; i++) {
        enum rc rc = ecdsa_to_der(a, (struct span){raw->p + i * len, len}, &ret[i], e);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

static enum rc token_sign(struct signer *s, const uint8_t *digests, size_t n, struct bytes *ret,
                          struct err *e)
{
    struct token_signer *t = of(s);
    struct proto_use use = {
        .ref = t->ref, .mechanism = s->alg->p11_sign, .result = (uint32_t)(2 * s->alg->field_len)};
    size_t digest_len = s->alg->digest_len;
    if (n == 0)
        return RC_OK;
    size_t size = batch_size(t->client, n), count = (n + size - 1) / size;
    struct request *requests = mem_array(count, sizeof *requests);
    struct reply *replies = mem_array(count, sizeof *replies);
    for (size_t i = 0; i < count; i++) {
        size_t first = i * size, items = n - first < size ? n - first : size;
        requests[i] = (struct request){.op = PROTO_SIGN,
                                       .fixed = {(const uint8_t *)&use, sizeof use},
                                       .items = digests + first * digest_len,
                                       .count = (uint32_t)items,
                                       .size = (uint32_t)digest_len};
    }
    enum rc rc = client_run(t->client, s->name, requests, replies, count, e);
    for (size_t i = 0; rc == RC_OK && i < count; i++)
        rc = batch_convert(s->alg, &replies[i].body, requests[i].count, ret + i * size, e);
    for (size_t i = 0; rc != RC_OK && i < n; i++)
        bytes_free(&ret[i]);
    replies_wipe(replies, count);
    free(replies);
    free(requests);
    return rc;
}

static enum rc token_derive(struct signer *s, struct span peer_point, struct secret **ret, struct err *e)
{
    struct token_signer *t = of(s);
    struct proto_use use = {
        .ref = t->ref, .mechanism = s->alg->p11_derive, .result = (uint32_t)s->alg->field_len};
    struct request rq = {.op = PROTO_DERIVE,
                         .fixed = {(const uint8_t *)&use, sizeof use},
                         .items = peer_point.p,
                         .count = 1,
                         .size = (uint32_t)peer_point.n};
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

static void token_signer_free(struct signer *s)
{
    signer_fini(s);
    free(of(s));
}

static const struct signer_ops token_signer_ops = {
    .sign = token_sign, .derive = token_derive, .free = token_signer_free};

enum rc token_signer_new(struct client *c, const struct proto_key *key, const struct key_info *info,
                         enum key_usage usage, struct signer **ret, struct err *e)
{
    struct token_signer *t = mem_new(sizeof *t);
    t->client = c;
    t->ref = key->ref;
    enum rc rc = signer_init(&t->signer, &token_signer_ops, usage, info->label, bytes_span(&info->spki), e);
    if (rc != RC_OK) {
        free(t);
        return err_prefix(e, "key '%s' in %s", info->label, client_name(c));
    }
    *ret = &t->signer;
    return RC_OK;
}
