/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "hsm/client.h"
#include "hsm/keystore.h"
#include "hsm/uri.h"
#include "sign/alg.h"
#include "sign/digest.h"
#include "sign/softkey.h"

enum { ID_LEN = 16, RANDOM_LEN = 32 };

/* A run: every step is told to the caller, and goes on whatever came of it. */
struct selftest {
    struct client *client;
    struct pooled *worker; /* the throw-away keys live in its session */
    void (*step)(void *arg, const char *name, bool ok, const char *detail);
    void *arg;
    size_t failed;
};

/* A throw-away key pair in the token. */
struct pair {
    const struct alg *alg;
    struct proto_key *key;
    struct key_info info;
};

static void report(struct selftest *t, const char *what, const struct alg *a, enum rc rc, const struct err *e)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s%s", what, a ? " " : "", a ? a->name : "");
    if (rc != RC_OK)
        t->failed++;
    t->step(t->arg, name, rc == RC_OK, rc == RC_OK ? "" : e->text);
}

static enum rc call(struct selftest *t, const struct request *rq, struct bytes *ret, struct err *e)
{
    return client_call_held(t->client, t->worker, NULL, rq, ret, e);
}

static enum rc failed(struct err *e, const char *text)
{
    return err_set(e, RC_TOKEN, "hsm.selftest", "%s", text);
}

/* Two draws that differ: catches a generator that is stuck, and claims no more. */
static enum rc random_try(struct selftest *t, struct err *e)
{
    struct request rq = {.op = PROTO_RANDOM, .count = RANDOM_LEN};
    struct bytes a = BYTES_INIT, b = BYTES_INIT;
    enum rc rc = call(t, &rq, &a, e);
    if (rc == RC_OK)
        rc = call(t, &rq, &b, e);
    if (rc == RC_OK && (a.n != RANDOM_LEN || b.n != RANDOM_LEN || memcmp(a.p, b.p, RANDOM_LEN) == 0))
        rc = failed(e, "the token's random octets repeat");
    bytes_free(&a);
    bytes_free(&b);
    return rc;
}

static enum rc pair_try(struct selftest *t, const struct alg *a, enum key_usage usage, struct pair *ret,
                        struct err *e)
{
    struct proto_generate g = {
        .mechanism = a->p11_keygen, .type = a->p11_key_type, .derive = usage == KEY_DERIVE, .session = 1};
    struct request rq = {.op = PROTO_GENERATE, .fixed = {(const uint8_t *)&g, sizeof g}};
    struct bytes body = BYTES_INIT;
    memset(ret, 0, sizeof *ret);
    ret->alg = a;
    enum rc rc = random_bytes(g.ref.id, ID_LEN, e);
    if (rc != RC_OK)
        return rc;
    g.ref.id_len = ID_LEN;
    snprintf(g.ref.label, sizeof g.ref.label, "keymill-selftest-%02x%02x%02x%02x", g.ref.id[0], g.ref.id[1],
             g.ref.id[2], g.ref.id[3]);
    memcpy(g.params, a->params.p, a->params.n);
    g.params_len = (uint32_t)a->params.n;
    rc = call(t, &rq, &body, e);
    if (rc == RC_OK && body.n != sizeof *ret->key)
        rc = failed(e, "the worker returned something else than a key");
    if (rc == RC_OK) {
        ret->key = mem_new(sizeof *ret->key);
        memcpy(ret->key, body.p, sizeof *ret->key);
        key_info_from(ret->key, 1, 0, &ret->info);
        ret->info.token_object = 1; /* a session object on purpose: the one rule that does not apply */
        rc = key_policy_check(&ret->info, usage, NULL, NULL, e);
    }
    if (rc == RC_OK)
        rc = spki_check(bytes_span(&ret->info.spki), &a, e);
    bytes_free(&body);
    return rc;
}

static void pair_free(struct pair *p)
{
    bytes_free(&p->info.id);
    bytes_free(&p->info.spki);
    free(p->key);
}

static enum rc sign_try(struct selftest *t, const struct pair *p, struct err *e)
{
    struct proto_use use = {
        .ref = p->key->ref, .mechanism = p->alg->p11_sign, .result = (uint32_t)(2 * p->alg->field_len)};
    uint8_t digest[DIGEST_MAX];
    struct request rq = {.op = PROTO_SIGN,
                         .fixed = {(const uint8_t *)&use, sizeof use},
                         .items = digest,
                         .count = 1,
                         .size = (uint32_t)p->alg->digest_len};
    struct bytes raw = BYTES_INIT, der = BYTES_INIT;
    enum rc rc = random_bytes(digest, sizeof digest, e);
    if (rc == RC_OK)
        rc = call(t, &rq, &raw, e);
    if (rc == RC_OK)
        rc = ecdsa_to_der(p->alg, bytes_span(&raw), &der, e);
    if (rc == RC_OK)
        rc = signature_verify(bytes_span(&p->info.spki), digest, bytes_span(&der), e);
    bytes_free(&raw);
    bytes_free(&der);
    return rc;
}

static enum rc ecdh_call(struct selftest *t, const struct pair *p, struct span peer, struct bytes *ret,
                         struct err *e)
{
    struct proto_use use = {
        .ref = p->key->ref, .mechanism = p->alg->p11_derive, .result = (uint32_t)p->alg->field_len};
    struct request rq = {.op = PROTO_DERIVE,
                         .fixed = {(const uint8_t *)&use, sizeof use},
                         .items = peer.p,
                         .count = 1,
                         .size = (uint32_t)peer.n};
    return call(t, &rq, ret, e);
}

/* The token and libcrypto must agree on one secret. */
static enum rc derive_try(struct selftest *t, const struct pair *p, struct err *e)
{
    struct signer *soft = NULL;
    struct secret *expected = NULL;
    struct bytes shared = BYTES_INIT;
    struct span token_point = {NULL, 0}, soft_point = {NULL, 0};
    enum rc rc = softkey_new(p->alg, KEY_DERIVE, &soft, e);
    if (rc == RC_OK)
        rc = spki_point(p->alg, bytes_span(&soft->spki), &soft_point, e);
    if (rc == RC_OK)
        rc = spki_point(p->alg, bytes_span(&p->info.spki), &token_point, e);
    if (rc == RC_OK)
        rc = signer_derive(soft, token_point, &expected, e);
    if (rc == RC_OK)
        rc = ecdh_call(t, p, soft_point, &shared, e);
    if (rc == RC_OK &&
        !span_eq(bytes_span(&shared), (struct span){secret_data(expected), secret_len(expected)}))
        rc = failed(e, "token and software derive different secrets");
    bytes_wipe(&shared);
    secret_free(expected);
    signer_free(soft);
    return rc;
}

static enum rc read_try(struct selftest *t, const struct pair *p, struct err *e)
{
    struct proto_use use = {.ref = p->key->ref};
    struct request rq = {.op = PROTO_READ_PRIVATE, .fixed = {(const uint8_t *)&use, sizeof use}};
    struct bytes body = BYTES_INIT;
    enum rc rc = call(t, &rq, &body, e);
    if (rc == RC_OK && (body.n != 1 || body.p[0] != 0))
        rc = failed(e, "the token gives the value of a sensitive key away, by reading or by wrapping");
    bytes_free(&body);
    return rc;
}

static void pair_steps(struct selftest *t, const struct alg *a, enum key_usage usage)
{
    struct err e = ERR_INIT;
    struct pair p;
    enum rc rc = pair_try(t, a, usage, &p, &e);
    report(t, usage == KEY_SIGN ? "sign key" : "derive key", a, rc, &e);
    if (rc == RC_OK) {
        rc = usage == KEY_SIGN ? sign_try(t, &p, &e) : derive_try(t, &p, &e);
        report(t, usage == KEY_SIGN ? "sign and verify" : "derive as software does", a, rc, &e);
        rc = read_try(t, &p, &e);
        report(t, usage == KEY_SIGN ? "sign key stays inside" : "derive key stays inside", a, rc, &e);
    }
    pair_free(&p);
}

static void steps(struct selftest *t)
{
    static const char *const names[] = {"ec-p256", "ec-p384"};
    struct err e = ERR_INIT;
    enum rc rc = random_try(t, &e);
    report(t, "random", NULL, rc, &e);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct alg *a = alg_by_name(names[i]);
        if (!a)
            bug("no algorithm '%s'", names[i]);
        pair_steps(t, a, KEY_SIGN);
        pair_steps(t, a, KEY_DERIVE);
    }
}

/* Without a URI the only token that is there. One PIN must not be tried on several. */
static enum rc only_token(struct uri *ret, struct err *e)
{
    struct token_info *list = NULL;
    size_t n = 0, found = 0;
    enum rc rc = token_list(NULL, &list, &n, e);
    for (size_t i = 0; i < n; i++)
        found += list[i].initialised;
    if (rc == RC_OK && found > 1)
        rc = err_set(e, RC_USAGE, "hsm.uri",
                     "%zu tokens are there: name one by its URI (keymill-hsm list shows them)", found);
    free(list);
    *ret = (struct uri){.token = NULL};
    return rc;
}

enum rc token_selftest(struct keystore *k, const char *uri,
                       void (*step)(void *arg, const char *name, bool ok, const char *detail), void *arg,
                       struct err *e)
{
    struct selftest t = {.step = step, .arg = arg};
    struct uri u = {.token = NULL};
    enum rc rc = uri ? uri_parse(uri, &u, e) : only_token(&u, e);
    if (rc == RC_OK)
        rc = tokens_client(k, &u, &t.client, e);
    uri_free(&u);
    if (rc != RC_OK)
        return rc;
    t.worker = client_hold(t.client);
    steps(&t);
    client_release(t.client, t.worker);
    if (t.failed)
        return err_set(e, RC_TOKEN, "hsm.selftest", "%s failed %zu steps of its selftest",
                       client_name(t.client), t.failed);
    return RC_OK;
}
