/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "hsm/chosen.h"
#include "hsm/client.h"
#include "hsm/keystore.h"
#include "hsm/quirks.h"
#include "hsm/uri.h"

/* What the URI says of a key whose private half is gone. */
static enum rc leftover_of(const char *text, struct key_place *ret, struct proto_ref *ref, struct err *e)
{
    struct uri u = {.token = NULL};
    enum rc rc = uri_parse(text, &u, e);
    if (rc != RC_OK)
        return rc;
    memset(ref, 0, sizeof *ref);
    if (u.object)
        memcpy(ref->label, u.object, strlen(u.object) + 1); /* uri_parse keeps it short enough */
    memcpy(ref->id, bytes_str(&u.id), u.id.n);
    ref->id_len = (uint32_t)u.id.n;
    memset(&ret->key, 0, sizeof ret->key);
    memcpy(ret->key.label, ref->label, sizeof ref->label);
    bytes_add(&ret->key.id, ref->id, ref->id_len);
    ret->leftover = true;
    uri_free(&u);
    return RC_OK;
}

enum rc token_key(struct keystore *k, const char *uri, bool leftover, struct key_place *ret, struct err *e)
{
    struct chosen c;
    struct proto_ref ref;
    memset(ret, 0, sizeof *ret);
    enum rc rc = key_choose(k, uri, &c, e);
    if (rc == RC_OK)
        ret->key = c.info; /* taken over */
    else if (c.client && leftover && strcmp(e->key, "hsm.no-key") == 0)
        rc = leftover_of(uri, ret, &ref, e);
    if (rc == RC_OK) {
        token_info_from(client_token(c.client), &ret->token);
        err_clear(e);
    }
    return rc;
}

void key_place_end(struct key_place *p)
{
    key_info_fini(&p->key);
}

/* What was shown to a person and what is destroyed must be one thing. */
static enum rc same_key(const struct key_place *seen, const struct chosen *c, struct err *e)
{
    const struct key_info *a = &seen->key, *b = &c->info;
    if (!seen->leftover && strcmp(a->label, b->label) == 0 &&
        span_eq(bytes_span(&a->id), bytes_span(&b->id)) &&
        span_eq(bytes_span(&a->spki), bytes_span(&b->spki)))
        return RC_OK;
    return err_set(e, RC_CONFLICT, "hsm.key-changed",
                   "key '%s' in %s is not the one that was shown a moment ago: nothing was destroyed",
                   b->label, client_name(c->client));
}

/* A reply may have been lost, and the next worker then finds nothing: what is read back decides. */
static enum rc gone_check(struct keystore *k, const char *uri, const char *label, struct err *e)
{
    struct chosen c;
    enum rc rc = key_choose(k, uri, &c, e);
    if (rc == RC_OK) {
        rc = err_set(e, RC_TOKEN, "hsm.not-destroyed",
                     "key '%s' is still in %s, although the token says that it was destroyed", label,
                     client_name(c.client));
        chosen_end(&c);
        return rc;
    }
    if (strcmp(e->key, "hsm.no-key") != 0)
        return rc;
    err_clear(e);
    return RC_OK;
}

static enum rc ref_destroy(struct client *c, const struct proto_ref *ref, const char *label, struct err *e)
{
    struct proto_use use = {.ref = *ref};
    struct request rq = {.op = PROTO_DESTROY, .fixed = {(const uint8_t *)&use, sizeof use}};
    struct bytes nothing = BYTES_INIT;
    const struct quirks *q = client_quirks(c);
    if (q->without[CAN_DESTROY])
        return err_set(e, RC_TOKEN, "hsm.not-supported",
                       "%s destroys no keys through PKCS#11 (quirk file '%s'): use the vendor's tool",
                       client_name(c), q->name);
    enum rc rc = client_call(c, label, &rq, &nothing, e);
    bytes_free(&nothing);
    return rc;
}

enum rc token_key_destroy(struct keystore *k, const char *uri, const struct key_place *seen, struct err *e)
{
    struct chosen c;
    struct key_place left = {.leftover = false};
    struct proto_ref ref;
    enum rc rc = key_choose(k, uri, &c, e);
    struct err missing = *e; /* says which keys are there */
    bool whole = rc == RC_OK;
    if (whole) {
        rc = same_key(seen, &c, e);
        ref = c.key.ref;
    } else if (c.client && seen->leftover && strcmp(e->key, "hsm.no-key") == 0) {
        rc = leftover_of(uri, &left, &ref, e);
    }
    if (rc == RC_OK) {
        rc = ref_destroy(c.client, &ref, seen->key.label, e);
        if (rc == RC_OK || (whole && strcmp(e->key, "hsm.no-key") == 0))
            rc = gone_check(k, uri, seen->key.label, e);
        else if (strcmp(e->key, "hsm.no-key") == 0)
            *e = missing;
    }
    key_place_end(&left);
    chosen_end(&c);
    return rc;
}
