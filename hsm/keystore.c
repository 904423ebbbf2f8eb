/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/keystore.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "hsm/client.h"
#include "hsm/quirks.h"
#include "hsm/uri.h"
#include "sign/alg.h"
#include "sign/digest.h"

/* A way of naming a token, and the client that it led to. Several names may lead to one. */
struct opened {
    char *name;
    struct client *client;
};

struct tokens {
    struct keystore store;
    struct token_options opt;
    pthread_mutex_t mutex; /* over list */
    struct opened *list;
    size_t n;
};

static struct tokens *of(struct keystore *k)
{
    return (struct tokens *)(void *)k;
}

/* --- tokens */

/* The part of a URI that selects a token, each value with its length before it, so that no two URIs get one
 * name by accident. */
static char *token_name(const struct uri *u)
{
    const char *parts[] = {u->module_path, u->token, u->serial, u->manufacturer, u->model};
    struct bytes name = BYTES_INIT;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        bytes_printf(&name, "%zu:%s;", parts[i] ? strlen(parts[i]) : 0, parts[i] ? parts[i] : "");
    return (char *)name.p;
}

static struct client *opened_by_name(const struct tokens *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++) {
        if (strcmp(t->list[i].name, name) == 0)
            return t->list[i].client;
    }
    return NULL;
}

static struct client *opened_by_token(const struct tokens *t, const struct client *c)
{
    for (size_t i = 0; i < t->n; i++) {
        if (client_same(t->list[i].client, c))
            return t->list[i].client;
    }
    return NULL;
}

/* *ret is set, also when the login failed, where the client is to be kept: then its PIN was rejected, and the
 * next who names the token must not send it again. */
static enum rc client_make(struct tokens *t, const struct uri *u, struct client **ret, struct err *e)
{
    struct client *c = NULL;
    enum rc rc = client_open(u, &t->opt, &c, e);
    if (rc != RC_OK)
        return rc;
    struct client *same = opened_by_token(t, c);
    if (same) {
        client_close(c);
        *ret = same;
        return RC_OK;
    }
    struct err refusal = ERR_INIT;
    rc = client_login(c, e);
    if (rc == RC_OK || client_refused(c, &refusal) != RC_OK)
        *ret = c;
    else
        client_close(c);
    return rc;
}

enum rc tokens_client(struct keystore *k, const struct uri *u, struct client **ret, struct err *e)
{
    struct tokens *t = of(k);
    char *name = token_name(u);
    enum rc rc = RC_OK;
    pthread_mutex_lock(&t->mutex);
    struct client *c = opened_by_name(t, name);
    if (!c) {
        rc = client_make(t, u, &c, e);
        if (c) {
            t->list = mem_grow(t->list, t->n + 1, sizeof *t->list);
            t->list[t->n++] = (struct opened){name, c};
            name = NULL;
        }
    }
    if (rc == RC_OK)
        rc = client_refused(c, e);
    pthread_mutex_unlock(&t->mutex);
    free(name);
    if (rc == RC_OK)
        *ret = c;
    return rc;
}

/* --- keys */

/* The index of the one key that the URI names. */
static enum rc key_pick(const struct client *c, const struct uri *u, const struct proto_key *keys, size_t n,
                        size_t *ret, struct err *e)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        if (key_selected(u, &keys[i])) {
            *ret = i;
            found++;
        }
    }
    if (found == 0)
        return key_missing(c, u, keys, n, e);
    if (found > 1)
        return err_set(e, RC_TOKEN, "hsm.many-keys",
                       "%zu private keys in %s are named by this URI, one is needed: labels must be unique",
                       found, client_name(c));
    return RC_OK;
}

static enum rc key_open(struct client *c, const struct uri *u, enum key_usage usage,
                        const struct key_exceptions *allowed, struct signer **ret, struct err *e)
{
    struct proto_key *keys = NULL;
    struct key_info *info = NULL;
    size_t n = 0, i = 0;
    enum rc rc = keys_read(c, &keys, &n, e);
    if (rc == RC_OK)
        rc = key_pick(c, u, keys, n, &i, e);
    if (rc == RC_OK) {
        info = mem_new(sizeof *info);
        key_info_from(client_quirks(c), keys, n, i, info);
        rc = key_policy_check(info, usage, allowed, NULL, NULL, e);
    }
    if (rc == RC_OK) {
        char *exceptions = key_policy_exceptions(info, usage, allowed);
        rc = token_signer_new(c, &keys[i], info, usage, exceptions, ret, e);
        free(exceptions);
    }
    key_info_free(info, info ? 1 : 0);
    free(keys);
    return rc;
}

/* The URI's token, opened. A URI that names no key is refused. */
static enum rc key_client(struct keystore *k, const char *text, struct uri *u, struct client **ret,
                          struct err *e)
{
    enum rc rc = uri_parse(text, u, e);
    if (rc != RC_OK)
        return rc;
    if (!uri_names_key(u))
        return err_set(e, RC_USAGE, "hsm.uri", "the URI names a token but no key: add object=LABEL or id=");
    return tokens_client(k, u, ret, e);
}

static enum rc tokens_find(struct keystore *k, const char *text, enum key_usage usage,
                           const struct key_exceptions *allowed, struct signer **ret, struct err *e)
{
    struct uri u = {.token = NULL};
    struct client *c = NULL;
    enum rc rc = key_client(k, text, &u, &c, e);
    if (rc == RC_OK)
        rc = key_open(c, &u, usage, allowed, ret, e);
    uri_free(&u);
    return rc;
}

/* What a token must be able to do for a key of this kind. -1: nothing in particular. */
static int capability_of(const struct alg *a, enum key_usage usage)
{
    if (usage == KEY_DERIVE)
        return CAN_DERIVE;
    if (usage == KEY_SIGN && a->family == ALG_EDWARDS)
        return CAN_EDDSA;
    if (usage == KEY_SIGN && a->family == ALG_RSA)
        return a->pss ? CAN_PSS : CAN_PKCS1;
    return -1;
}

static enum proto_usage usage_of(enum key_usage u)
{
    return u == KEY_SIGN ? PROTO_FOR_SIGN : u == KEY_DERIVE ? PROTO_FOR_DERIVE : PROTO_FOR_DECRYPT;
}

enum rc generate_request(const struct quirks *q, const struct alg *a, enum key_usage usage,
                         struct proto_generate *ret, struct err *e)
{
    struct bytes name = BYTES_INIT;
    int can = capability_of(a, usage);
    if ((usage == KEY_DERIVE && !a->p11_derive) || (usage == KEY_DECRYPT && !a->p11_decrypt))
        return err_set(e, RC_DENIED, "hsm.usage", "keys of type %s do not %s", a->name,
                       key_usage_name(usage));
    if (can >= 0 && q->without[can])
        return err_set(e, RC_TOKEN, "hsm.not-supported", "the token has no %s (quirk file '%s')",
                       capability_name((enum capability)can), q->name);
    *ret = (struct proto_generate){.mechanism = a->p11_keygen,
                                   .type = a->p11_key_type,
                                   .bits = a->family == ALG_RSA ? (uint32_t)a->key_bits : 0,
                                   .usage = (uint8_t)usage_of(usage),
                                   .omit = q->template_omit};
    if (q->params_name && a->params.n)
        params_by_name(a, &name);
    else
        bytes_add_span(&name, a->params);
    memcpy(ret->params, bytes_str(&name), name.n);
    ret->params_len = (uint32_t)name.n;
    bytes_free(&name);
    return RC_OK;
}

static enum rc key_generate(struct client *c, const struct uri *u, const struct alg *alg,
                            enum key_usage usage, struct err *e)
{
    struct proto_generate g;
    struct request rq = {.op = PROTO_GENERATE, .fixed = {(const uint8_t *)&g, sizeof g}};
    struct bytes made = BYTES_INIT;
    enum rc rc = generate_request(client_quirks(c), alg, usage, &g, e);
    if (rc != RC_OK)
        return rc;
    memcpy(g.ref.label, u->object, strlen(u->object) + 1); /* uri_parse keeps it short enough */
    memcpy(g.ref.id, u->id.p, u->id.n);
    g.ref.id_len = (uint32_t)u->id.n;
    rc = client_call(c, u->object, &rq, &made, e);
    bytes_free(&made);
    return rc;
}

/* A new key that breaks the policy is not left behind: it would only hold its label. */
static void key_discard(struct client *c, const struct uri *u, struct err *e)
{
    struct proto_use use = {.mechanism = 0};
    struct request rq = {.op = PROTO_DESTROY, .fixed = {(const uint8_t *)&use, sizeof use}};
    struct bytes none = BYTES_INIT;
    struct err failed = ERR_INIT, why = *e;
    memcpy(use.ref.label, u->object, strlen(u->object) + 1);
    memcpy(use.ref.id, u->id.p, u->id.n);
    use.ref.id_len = (uint32_t)u->id.n;
    /* Asked again after its answer was lost, the token has no such key any more. */
    if (client_call(c, u->object, &rq, &none, &failed) == RC_OK || strcmp(failed.key, "hsm.no-key") == 0)
        err_set(e, why.rc, why.key, "%s; what was made is destroyed again", why.text);
    else
        err_set(e, why.rc, why.key, "%s; what was made could not be destroyed again: %s", why.text,
                failed.text);
    bytes_free(&none);
}

static enum rc tokens_generate(struct keystore *k, const char *text, const struct alg *alg,
                               enum key_usage usage, const struct key_exceptions *allowed,
                               struct signer **ret, struct err *e)
{
    enum { ID_LEN = 16 };
    struct uri u = {.token = NULL};
    struct client *c = NULL;
    enum rc rc = key_client(k, text, &u, &c, e);
    if (rc == RC_OK && (!u.object || u.id.n))
        rc = err_set(e, RC_USAGE, "hsm.uri",
                     "a new key is named by object=LABEL alone; its id is chosen at random");
    if (rc == RC_OK)
        rc = random_bytes(bytes_room(&u.id, ID_LEN), ID_LEN, e);
    if (rc == RC_OK) {
        u.id.n = ID_LEN;
        rc = key_generate(c, &u, alg, usage, e);
    }
    /* Read back and judged like any other key: what a token was told is not always what it does. */
    if (rc == RC_OK && (rc = key_open(c, &u, usage, allowed, ret, e)) == RC_DENIED)
        key_discard(c, &u, e);
    uri_free(&u);
    return rc;
}

static const struct keystore_ops tokens_ops = {.find = tokens_find, .generate = tokens_generate};

enum rc tokens_open(const struct token_options *opt, struct keystore **ret, struct err *e)
{
    if (opt->workers < 0 || opt->sessions < 0 || opt->deadline_ms < 0 || opt->patience_ms < 0)
        return err_set(e, RC_USAGE, "hsm.options",
                       "workers, sessions, deadline and patience must not be negative");
    struct tokens *t = mem_new(sizeof *t);
    t->store.ops = &tokens_ops;
    t->opt = *opt;
    t->opt.pin_source = mem_str(opt->pin_source);
    pthread_mutex_init(&t->mutex, NULL);
    *ret = &t->store;
    return RC_OK;
}

void tokens_close(struct keystore *k)
{
    if (!k)
        return;
    struct tokens *t = of(k);
    for (size_t i = 0; i < t->n; i++) {
        bool again = false; /* a client with two names */
        for (size_t j = 0; j < i; j++)
            again = again || t->list[j].client == t->list[i].client;
        if (!again)
            client_close(t->list[i].client);
    }
    for (size_t i = 0; i < t->n; i++)
        free(t->list[i].name);
    free(t->list);
    pthread_mutex_destroy(&t->mutex);
    free((char *)(uintptr_t)t->opt.pin_source);
    free(t);
}
