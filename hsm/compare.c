/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "base/text.h"
#include "hsm/chosen.h"
#include "hsm/client.h"
#include "hsm/keystore.h"
#include "hsm/quirks.h"
#include "hsm/token.h"
#include "sign/alg.h"
#include "sign/digest.h"
#include "sign/oaep.h"
#include "sign/softkey.h"

enum { CHALLENGE_LEN = 32 };

struct comparison {
    struct chosen side[2];
    void (*check)(void *arg, const char *name, int same, const char *detail);
    void *arg;
    size_t proven;
};

static enum rc differ(const struct comparison *c, const char *how, struct err *e)
{
    return err_set(e, RC_DENIED, "hsm.compare",
                   "key '%s' in %s and key '%s' in %s are not one private key: %s", c->side[0].info.label,
                   client_name(c->side[0].client), c->side[1].info.label, client_name(c->side[1].client),
                   how);
}

/* By what it calls itself, whatever module leads to it. */
static bool same_token(const struct client *a, const struct client *b)
{
    const struct proto_token *x = client_token(a), *y = client_token(b);
    return strcmp(x->label, y->label) == 0 && strcmp(x->serial, y->serial) == 0 &&
           strcmp(x->manufacturer, y->manufacturer) == 0 && strcmp(x->model, y->model) == 0;
}

/* A copy may come without its public half; what it does is then judged by the other's. */
static enum rc public_compare(struct comparison *c, struct err *e)
{
    struct bytes *a = &c->side[0].info.spki, *b = &c->side[1].info.spki;
    if (a->n == 0 && b->n == 0)
        return err_set(
            e, RC_TOKEN, "hsm.no-public",
            "neither key '%s' in %s nor key '%s' in %s shows a public half of a type that is supported",
            c->side[0].info.label, client_name(c->side[0].client), c->side[1].info.label,
            client_name(c->side[1].client));
    if (a->n == 0 || b->n == 0) {
        struct chosen *without = &c->side[a->n == 0 ? 0 : 1], *with = &c->side[a->n == 0 ? 1 : 0];
        char *detail =
            mem_printf("%s shows none: the other's is taken for both", client_name(without->client));
        c->check(c->arg, "public key", -1, detail);
        free(detail);
        bytes_add_span(&without->info.spki, bytes_span(&with->info.spki));
        memcpy(without->info.algorithm, with->info.algorithm, sizeof with->info.algorithm);
        return RC_OK;
    }
    bool same = span_eq(bytes_span(a), bytes_span(b));
    c->check(c->arg, "public key", same, same ? "" : "the public keys differ");
    return same ? RC_OK : differ(c, "the public keys differ", e);
}

static enum rc signers_new(const struct comparison *c, enum key_usage usage, struct signer *ret[2],
                           struct err *e)
{
    for (size_t i = 0; i < 2; i++) {
        const struct chosen *s = &c->side[i];
        enum rc rc = token_signer_new(s->client, &s->key, &s->info, usage, NULL, &ret[i], e);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

/* What a key that is another one looks like from here. */
static bool means_other_key(const struct err *e)
{
    return strcmp(e->key, "sign.self-check") == 0 || strcmp(e->key, "sign.bad-signature") == 0 ||
           strcmp(e->key, "sign.decrypt") == 0;
}

static enum rc sign_both(const struct comparison *c, struct signer *key[2], bool *ret_same, struct err *e)
{
    uint8_t challenge[CHALLENGE_LEN];
    char hex[2 * CHALLENGE_LEN + 1];
    enum rc rc = random_bytes(challenge, sizeof challenge, e);
    (void)c;
    if (rc != RC_OK)
        return rc;
    hex_encode((struct span){challenge, sizeof challenge}, hex);
    /* A text that begins so is no certificate, list or document of anybody's. */
    char *text = mem_printf("keymill compare: a challenge, its signature authorises nothing; %s", hex);
    for (size_t i = 0; rc == RC_OK && i < 2; i++) {
        struct bytes signature = BYTES_INIT;
        rc = signer_sign_message(key[i], span_str(text), &signature, e);
        if (rc == RC_OK)
            rc = signature_verify_message(key[i]->alg, bytes_span(&key[1 - i]->spki), span_str(text),
                                          bytes_span(&signature), e);
        bytes_free(&signature);
    }
    free(text);
    *ret_same = rc == RC_OK;
    return rc;
}

/* Both agree with one fresh peer, and so does software, which knows the peer's private half. */
static enum rc derive_both(const struct comparison *c, struct signer *key[2], bool *ret_same, struct err *e)
{
    struct signer *peer = NULL;
    struct span peer_point = {NULL, 0}, point = {NULL, 0};
    struct secret *expected = NULL;
    enum rc rc = softkey_new(key[0]->alg, KEY_DERIVE, &peer, e);
    (void)c;
    if (rc == RC_OK)
        rc = spki_point(key[0]->alg, bytes_span(&peer->spki), &peer_point, e);
    if (rc == RC_OK)
        rc = spki_point(key[0]->alg, bytes_span(&key[0]->spki), &point, e);
    if (rc == RC_OK)
        rc = signer_derive(peer, point, &expected, e);
    *ret_same = true;
    for (size_t i = 0; rc == RC_OK && i < 2; i++) {
        struct secret *z = NULL;
        rc = signer_derive(key[i], peer_point, &z, e);
        if (rc == RC_OK && !span_eq((struct span){secret_data(z), secret_len(z)},
                                    (struct span){secret_data(expected), secret_len(expected)}))
            *ret_same = false;
        secret_free(z);
    }
    secret_free(expected);
    signer_free(peer);
    return rc;
}

/* Tokens say in many ways that a ciphertext was made for another key, some of them as a failure of their own.
 * One that goes on working has not failed. */
static bool only_this_failed(struct client *c, const struct err *e)
{
    struct request rq = {.op = PROTO_RANDOM, .count = CHALLENGE_LEN};
    struct bytes random = BYTES_INIT;
    struct err ignored = ERR_INIT;
    bool works =
        strcmp(e->key, "hsm.not-supported") != 0 && client_call(c, NULL, &rq, &random, &ignored) == RC_OK;
    bytes_free(&random);
    return works;
}

static enum rc decrypt_with(const struct comparison *c, struct signer *key[2], enum oaep_digest digest,
                            bool *ret_same, struct err *e)
{
    uint8_t plain[CHALLENGE_LEN];
    struct bytes sealed = BYTES_INIT;
    enum rc rc = random_bytes(plain, sizeof plain, e);
    if (rc == RC_OK)
        rc = oaep_encrypt(bytes_span(&key[0]->spki), digest, (struct span){plain, sizeof plain}, &sealed, e);
    *ret_same = true;
    for (size_t i = 0; rc == RC_OK && i < 2; i++) {
        struct secret *opened = NULL;
        rc = signer_decrypt(key[i], digest, bytes_span(&sealed), &opened, e);
        if (rc == RC_OK && !span_eq((struct span){secret_data(opened), secret_len(opened)},
                                    (struct span){plain, sizeof plain}))
            *ret_same = false;
        if (rc == RC_TOKEN && only_this_failed(c->side[i].client, e)) {
            *ret_same = false;
            err_clear(e);
            rc = RC_OK;
        }
        secret_free(opened);
    }
    wipe(plain, sizeof plain);
    bytes_free(&sealed);
    return rc;
}

/* SHA-1 is the only digest of OAEP that some tokens know. */
static enum rc decrypt_both(const struct comparison *c, struct signer *key[2], bool *ret_same, struct err *e)
{
    enum oaep_digest digest = OAEP_SHA256;
    for (size_t i = 0; i < 2; i++) {
        if (client_quirks(c->side[i].client)->without[CAN_OAEP_SHA256])
            digest = OAEP_SHA1;
    }
    return decrypt_with(c, key, digest, ret_same, e);
}

struct proof {
    enum key_usage usage;
    enum rc (*both)(const struct comparison *c, struct signer *key[2], bool *ret_same, struct err *e);
    const char *how; /* they differ */
};

static const struct proof proofs[] = {
    {KEY_SIGN, sign_both, "a signature of one does not verify with the public key of both"},
    {KEY_DERIVE, derive_both, "they derive different secrets with one peer"},
    {KEY_DECRYPT, decrypt_both, "one does not decrypt what the other does"},
};

static bool allows(const struct chosen *s, enum key_usage usage)
{
    const struct alg *a = alg_by_name(s->info.algorithm);
    if (!a)
        return false;
    if (usage == KEY_DERIVE)
        return s->info.derive == 1 && a->p11_derive != 0;
    if (usage == KEY_DECRYPT)
        return s->info.decrypt == 1 && a->p11_decrypt != 0;
    return s->info.sign == 1;
}

/* RC_OK also when a token cannot do it: another use may prove as much. */
static enum rc prove(struct comparison *c, const struct proof *p, struct err *e)
{
    struct signer *key[2] = {NULL, NULL};
    bool same = false;
    enum rc rc = signers_new(c, p->usage, key, e);
    if (rc == RC_OK)
        rc = p->both(c, key, &same, e);
    if (rc == RC_OK && same) {
        c->proven++;
        c->check(c->arg, key_usage_name(p->usage), 1, "");
    } else if (rc == RC_OK || means_other_key(e)) {
        c->check(c->arg, key_usage_name(p->usage), 0, p->how);
        rc = differ(c, p->how, e);
    } else if (strcmp(e->key, "hsm.not-supported") == 0) {
        c->check(c->arg, key_usage_name(p->usage), -1, e->text);
        err_clear(e);
        rc = RC_OK;
    }
    signer_free(key[0]);
    signer_free(key[1]);
    return rc;
}

static enum rc compare(struct comparison *c, struct err *e)
{
    const struct client *a = c->side[0].client, *b = c->side[1].client;
    if (same_token(a, b))
        return err_set(
            e, RC_USAGE, "hsm.same-token",
            "both URIs lead to %s with serial number '%s': a key compared with itself proves nothing",
            client_name(a), client_token(a)->serial);
    enum rc rc = public_compare(c, e);
    for (size_t i = 0; rc == RC_OK && i < sizeof proofs / sizeof proofs[0]; i++) {
        if (allows(&c->side[0], proofs[i].usage) && allows(&c->side[1], proofs[i].usage))
            rc = prove(c, &proofs[i], e);
    }
    if (rc == RC_OK && c->proven == 0)
        rc = err_set(
            e, RC_DENIED, "hsm.compare",
            "nothing is proven: there is no use that key '%s' in %s and key '%s' in %s both allow and both tokens can do",
            c->side[0].info.label, client_name(a), c->side[1].info.label, client_name(b));
    return rc;
}

enum rc token_compare(const struct key_side *first, const struct key_side *second,
                      void (*check)(void *arg, const char *name, int same, const char *detail), void *arg,
                      struct err *e)
{
    struct comparison c = {.check = check, .arg = arg};
    enum rc rc = key_choose(first->store, first->uri, &c.side[0], e);
    if (rc == RC_OK)
        rc = key_choose(second->store, second->uri, &c.side[1], e);
    if (rc == RC_OK)
        rc = compare(&c, e);
    chosen_end(&c.side[0]);
    chosen_end(&c.side[1]);
    return rc;
}
