/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "hsm/ability.h"
#include "hsm/client.h"
#include "hsm/keystore.h"
#include "hsm/quirks.h"
#include "hsm/uri.h"
#include "sign/alg.h"
#include "sign/digest.h"
#include "sign/oaep.h"
#include "sign/softkey.h"

enum { ID_LEN = 16, RANDOM_LEN = 32 };

/* A run: every step is told to the caller, and goes on whatever came of it. */
struct selftest {
    struct client *client;
    const struct quirks *quirks;
    struct ability *abilities;
    size_t nabilities;
    bool session_keys; /* throw-away keys end with the session */
    void (*step)(void *arg, const char *name, enum selftest_result result, const char *detail);
    void *arg;
    size_t failed, done; /* done: steps with a key that succeeded */
};

/* A throw-away key pair in the token. */
struct pair {
    const struct alg *alg;
    struct proto_ref ref; /* set before the key is made: what may have to be destroyed */
    struct key_info info;
    struct signer *signer;
    bool made;
};

static void tell(struct selftest *t, const char *what, const struct alg *a, enum selftest_result result,
                 const char *detail)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s%s", what, a ? " " : "", a ? a->name : "");
    t->failed += result == SELFTEST_FAILED;
    t->step(t->arg, name, result, detail);
}

static void report(struct selftest *t, const char *what, const struct alg *a, enum rc rc, const struct err *e)
{
    t->done += a && rc == RC_OK;
    tell(t, what, a, rc == RC_OK ? SELFTEST_OK : SELFTEST_FAILED, rc == RC_OK ? "" : e->text);
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
    enum rc rc = client_call(t->client, NULL, &rq, &a, e);
    if (rc == RC_OK)
        rc = client_call(t->client, NULL, &rq, &b, e);
    if (rc == RC_OK && (a.n != RANDOM_LEN || b.n != RANDOM_LEN || memcmp(a.p, b.p, RANDOM_LEN) == 0))
        rc = failed(e, "the token's random octets repeat");
    bytes_free(&a);
    bytes_free(&b);
    return rc;
}

/* --- a key pair */

static enum rc pair_name(const struct selftest *t, struct proto_ref *ret, struct err *e)
{
    enum rc rc = random_bytes(ret->id, ID_LEN, e);
    ret->id_len = ID_LEN;
    ret->session = t->session_keys;
    snprintf(ret->label, sizeof ret->label, "keymill-selftest-%02x%02x%02x%02x", ret->id[0], ret->id[1],
             ret->id[2], ret->id[3]);
    return rc;
}

static enum rc pair_judge(struct selftest *t, struct pair *p, const struct bytes *made, enum key_usage usage,
                          struct err *e)
{
    struct proto_key key;
    const struct alg *found = NULL;
    if (made->n != sizeof key)
        return failed(e, "the worker returned something else than a key");
    memcpy(&key, made->p, sizeof key);
    key_info_from(t->quirks, &key, 1, 0, &p->info);
    if (p->ref.session)
        p->info.token_object = 1; /* a session object on purpose: the one rule that does not apply */
    enum rc rc = key_policy_check(&p->info, usage, NULL, NULL, NULL, e);
    if (rc == RC_OK)
        rc = spki_check(bytes_span(&p->info.spki), &found, e);
    if (rc == RC_OK && found != p->alg)
        rc = failed(e, "the token made a key of another type");
    if (rc == RC_OK)
        rc = token_signer_new(t->client, &key, &p->info, usage, NULL, &p->signer, e);
    return rc;
}

static enum rc pair_try(struct selftest *t, enum key_usage usage, struct pair *p, struct err *e)
{
    struct proto_generate g;
    struct request rq = {.op = PROTO_GENERATE, .fixed = {(const uint8_t *)&g, sizeof g}};
    struct bytes body = BYTES_INIT;
    enum rc rc = pair_name(t, &p->ref, e);
    if (rc == RC_OK)
        rc = generate_request(t->quirks, p->alg, usage, &g, e);
    if (rc != RC_OK)
        return rc;
    g.ref = p->ref;
    p->made = true; /* perhaps, even when no answer comes */
    rc = client_call(t->client, p->ref.label, &rq, &body, e);
    if (rc == RC_OK)
        rc = pair_judge(t, p, &body, usage, e);
    bytes_free(&body);
    return rc;
}

/* A key that would stay on the token is destroyed, whatever came before. */
static void pair_end(struct selftest *t, struct pair *p)
{
    struct proto_use use = {.ref = p->ref};
    struct request rq = {.op = PROTO_DESTROY, .fixed = {(const uint8_t *)&use, sizeof use}};
    struct bytes nothing = BYTES_INIT;
    struct err e = ERR_INIT;
    signer_free(p->signer);
    key_info_fini(&p->info);
    if (!p->made || p->ref.session)
        return;
    enum rc rc = client_call(t->client, p->ref.label, &rq, &nothing, &e);
    bytes_free(&nothing);
    if (rc != RC_OK && strcmp(e.key, "hsm.no-key") != 0) {
        err_prefix(&e, "key '%s' is left on the token", p->ref.label);
        report(t, "throw-away key destroyed", p->alg, rc, &e);
    }
}

/* --- what is done with it */

static enum rc sign_try(const struct pair *p, const struct alg *a, struct err *e)
{
    uint8_t message[RANDOM_LEN], digest[DIGEST_MAX];
    struct bytes signature = BYTES_INIT;
    enum rc rc = random_bytes(message, sizeof message, e);
    if (rc != RC_OK)
        return rc;
    struct span input = {message, sizeof message};
    if (a->digest_len) {
        alg_digest(a, input, digest);
        input = (struct span){digest, a->digest_len};
    }
    rc = signer_sign_as(p->signer, a, &input, 1, 1, &signature, e);
    bytes_free(&signature);
    return rc;
}

/* The token and libcrypto must agree on one secret. */
static enum rc derive_try(const struct pair *p, struct err *e)
{
    struct signer *soft = NULL;
    struct secret *expected = NULL, *shared = NULL;
    struct span token_point = {NULL, 0}, soft_point = {NULL, 0};
    enum rc rc = softkey_new(p->alg, KEY_DERIVE, &soft, e);
    if (rc == RC_OK)
        rc = spki_point(p->alg, bytes_span(&soft->spki), &soft_point, e);
    if (rc == RC_OK)
        rc = spki_point(p->alg, bytes_span(&p->info.spki), &token_point, e);
    if (rc == RC_OK)
        rc = signer_derive(soft, token_point, &expected, e);
    if (rc == RC_OK)
        rc = signer_derive(p->signer, soft_point, &shared, e);
    if (rc == RC_OK && !span_eq((struct span){secret_data(shared), secret_len(shared)},
                                (struct span){secret_data(expected), secret_len(expected)}))
        rc = failed(e, "token and software derive different secrets");
    secret_free(shared);
    secret_free(expected);
    signer_free(soft);
    return rc;
}

static enum rc decrypt_try(const struct pair *p, enum oaep_digest digest, struct err *e)
{
    uint8_t plain[RANDOM_LEN];
    struct bytes sealed = BYTES_INIT;
    struct secret *opened = NULL;
    enum rc rc = random_bytes(plain, sizeof plain, e);
    if (rc == RC_OK)
        rc = oaep_encrypt(bytes_span(&p->info.spki), digest, (struct span){plain, sizeof plain}, &sealed, e);
    if (rc == RC_OK)
        rc = signer_decrypt(p->signer, digest, bytes_span(&sealed), &opened, e);
    if (rc == RC_OK &&
        !span_eq((struct span){secret_data(opened), secret_len(opened)}, (struct span){plain, sizeof plain}))
        rc = failed(e, "the token decrypts to something else than what was encrypted");
    secret_free(opened);
    bytes_free(&sealed);
    return rc;
}

static enum rc read_try(struct selftest *t, const struct pair *p, struct err *e)
{
    struct proto_use use = {.ref = p->ref};
    struct request rq = {.op = PROTO_READ_PRIVATE, .fixed = {(const uint8_t *)&use, sizeof use}};
    struct bytes body = BYTES_INIT;
    enum rc rc = client_call(t->client, p->ref.label, &rq, &body, e);
    if (rc == RC_OK && (body.n != 1 || body.p[0] != 0))
        rc = failed(e, "the token gives the value of a sensitive key away, by reading or by wrapping");
    bytes_free(&body);
    return rc;
}

/* --- the steps */

/* What stands in the way of keys of this algorithm and use; NULL: nothing. */
static const char *hindrance(const struct selftest *t, const struct alg *a, enum ability_use use)
{
    const struct ability *make = ability_find(t->abilities, t->nabilities, a, ABLE_KEYGEN);
    const struct ability *one = ability_find(t->abilities, t->nabilities, a, use);
    if (make && !make->able)
        return make->why;
    return one && !one->able ? one->why : NULL;
}

static void sign_steps(struct selftest *t, struct pair *p)
{
    const struct alg *pss = alg_pss(p->alg);
    struct err e = ERR_INIT;
    enum rc rc = sign_try(p, p->alg, &e);
    report(t, "sign and verify", p->alg, rc, &e);
    if (!pss)
        return;
    const char *why = hindrance(t, pss, ABLE_SIGN);
    if (why) {
        tell(t, "sign and verify", pss, SELFTEST_NOT_SUPPORTED, why);
        return;
    }
    rc = sign_try(p, pss, &e);
    report(t, "sign and verify", pss, rc, &e);
}

static void decrypt_steps(struct selftest *t, struct pair *p)
{
    static const struct {
        enum capability can;
        enum oaep_digest digest;
        const char *name;
    } ways[] = {{CAN_OAEP_SHA256, OAEP_SHA256, "decrypt OAEP SHA-256"},
                {CAN_OAEP_SHA1, OAEP_SHA1, "decrypt OAEP SHA-1"}};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct err e = ERR_INIT;
        char why[160];
        if (t->quirks->without[ways[i].can]) {
            snprintf(why, sizeof why, "quirk file '%s': without %s", t->quirks->name,
                     capability_name(ways[i].can));
            tell(t, ways[i].name, p->alg, SELFTEST_NOT_SUPPORTED, why);
            continue;
        }
        enum rc rc = decrypt_try(p, ways[i].digest, &e);
        report(t, ways[i].name, p->alg, rc, &e);
    }
}

static void pair_steps(struct selftest *t, const struct alg *a, enum key_usage usage)
{
    static const enum ability_use uses[] = {ABLE_SIGN, ABLE_DERIVE, ABLE_DECRYPT};
    struct err e = ERR_INIT;
    struct pair p = {.alg = a};
    char name[32];
    const char *why = hindrance(t, a, uses[usage]);
    snprintf(name, sizeof name, "%s key", key_usage_name(usage));
    if (why) {
        tell(t, name, a, SELFTEST_NOT_SUPPORTED, why);
        return;
    }
    enum rc rc = pair_try(t, usage, &p, &e);
    report(t, name, a, rc, &e);
    if (rc == RC_OK) {
        if (usage == KEY_SIGN)
            sign_steps(t, &p);
        else if (usage == KEY_DECRYPT)
            decrypt_steps(t, &p);
        else
            report(t, "derive as software does", a, derive_try(&p, &e), &e);
        snprintf(name, sizeof name, "%s key stays inside", key_usage_name(usage));
        rc = read_try(t, &p, &e);
        report(t, name, a, rc, &e);
    }
    pair_end(t, &p);
}

static void steps(struct selftest *t)
{
    static const char *const names[] = {"ec-p256", "ec-p384", "ed25519", "rsa-2048"};
    struct err e = ERR_INIT;
    enum rc rc = random_try(t, &e);
    report(t, "random", NULL, rc, &e);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct alg *a = alg_by_name(names[i]);
        if (!a)
            bug("no algorithm '%s'", names[i]);
        pair_steps(t, a, KEY_SIGN);
        if (a->p11_derive)
            pair_steps(t, a, KEY_DERIVE);
        if (a->p11_decrypt)
            pair_steps(t, a, KEY_DECRYPT);
    }
}

/* --- which token */

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

/* Keys that would stay are not made. */
static enum rc clean_up_check(struct selftest *t, struct err *e)
{
    /* A session's keys are known to its own worker alone. */
    t->session_keys = !t->quirks->without[CAN_SESSION_KEYS] && client_workers(t->client) == 1;
    if (t->session_keys || !t->quirks->without[CAN_DESTROY])
        return RC_OK;
    return err_set(
        e, RC_TOKEN, "hsm.not-supported",
        "%s has neither session keys nor destroys others (quirk file '%s'): throw-away keys would stay",
        client_name(t->client), t->quirks->name);
}

enum rc token_selftest(struct keystore *k, const char *uri,
                       void (*step)(void *arg, const char *name, enum selftest_result result,
                                    const char *detail),
                       void *arg, struct err *e)
{
    struct selftest t = {.step = step, .arg = arg};
    struct uri u = {.token = NULL};
    enum rc rc = uri ? uri_parse(uri, &u, e) : only_token(&u, e);
    if (rc == RC_OK)
        rc = tokens_client(k, &u, &t.client, e);
    uri_free(&u);
    if (rc == RC_OK) {
        t.quirks = client_quirks(t.client);
        rc = clean_up_check(&t, e);
    }
    if (rc == RC_OK)
        rc = abilities_read(t.client, t.quirks, &t.abilities, &t.nabilities, e);
    if (rc != RC_OK)
        return rc;
    steps(&t);
    free(t.abilities);
    if (t.failed)
        return err_set(e, RC_TOKEN, "hsm.selftest", "%s failed %zu steps of its selftest",
                       client_name(t.client), t.failed);
    if (t.done == 0)
        return err_set(e, RC_TOKEN, "hsm.selftest",
                       "%s can do nothing of what is tried: keymill has no use for it",
                       client_name(t.client));
    return RC_OK;
}
