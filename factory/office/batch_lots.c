/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/secret.h"
#include "factory/office/batch.h"
#include "sign/jwe.h"
#include "sign/signer.h"

struct lot_keys {
    struct office *office;
    struct signer *wrap;
    const char *batch;
    uint64_t n, dropped;  /* lots; keys[0..dropped) are gone */
    struct secret **keys; /* NULL: not loaded yet */
    pthread_mutex_t lock; /* of everything here, and of the office's database while threads run */
};

struct lot_keys *lot_keys_new(struct office *o, struct signer *wrap, const char *batch, uint64_t nlots)
{
    struct lot_keys *l = mem_new(sizeof(*l));
    l->office = o;
    l->wrap = wrap;
    l->batch = batch;
    l->n = nlots;
    l->keys = mem_array(nlots, sizeof(struct secret *));
    pthread_mutex_init(&l->lock, NULL);
    return l;
}

void lot_keys_free(struct lot_keys *l)
{
    if (!l)
        return;
    lot_keys_drop(l, l->n);
    pthread_mutex_destroy(&l->lock);
    free(l->keys);
    free(l);
}

void lot_keys_drop(struct lot_keys *l, uint64_t before)
{
    pthread_mutex_lock(&l->lock);
    for (; l->dropped < before && l->dropped < l->n; l->dropped++) {
        secret_free(l->keys[l->dropped]);
        l->keys[l->dropped] = NULL;
    }
    pthread_mutex_unlock(&l->lock);
}

/* The key identifier ties a wrapped key to its row: two rows cannot be swapped. */
static char *kid_of(const struct lot_keys *l, uint64_t lot)
{
    return mem_printf("%s/%" PRIu64, l->batch, lot);
}

static enum rc load(struct lot_keys *l, uint64_t lot, struct bytes *ret, bool *ret_found, struct err *e)
{
    struct stmt *q = store_stmt(l->office->db, "SELECT wrapped FROM lots WHERE batch = ?1 AND lot = ?2");
    stmt_text(q, 1, l->batch);
    stmt_int(q, 2, (int64_t)lot);
    enum rc rc = stmt_next(q, ret_found, e);
    if (rc == RC_OK && *ret_found)
        bytes_add_str(ret, stmt_col_text(q, 0));
    stmt_reset(q);
    return rc;
}

static enum rc insert(struct lot_keys *l, uint64_t lot, const char *wrapped, struct err *e)
{
    struct stmt *q = store_stmt(l->office->db, "INSERT INTO lots (batch, lot, wrapped) VALUES (?1, ?2, ?3)");
    stmt_text(q, 1, l->batch);
    stmt_int(q, 2, (int64_t)lot);
    stmt_text(q, 3, wrapped);
    return stmt_run(q, e);
}

static enum rc store(struct lot_keys *l, uint64_t lot, const char *wrapped, struct err *e)
{
    struct bytes detail = BYTES_INIT;
    struct jsonw w;
    jsonw_init(&w, &detail);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "batch", l->batch);
    jsonw_int(&w, "lot", (int64_t)lot);
    jsonw_end(&w);

    enum rc rc = store_begin(l->office->db, e);
    if (rc == RC_OK)
        rc = insert(l, lot, wrapped, e);
    if (rc == RC_OK)
        rc = audit_append(l->office->db, clock_now(), "lot-key", bytes_str(&detail), e);
    if (rc == RC_OK)
        rc = store_commit(l->office->db, e);
    store_rollback(l->office->db);
    bytes_free(&detail);
    return rc;
}

static enum rc make(struct lot_keys *l, uint64_t lot, const char *kid, struct secret **ret, struct err *e)
{
    struct bytes wrapped = BYTES_INIT;
    struct secret *key = secret_new(LOT_KEY_LEN), *again = NULL;
    secret_set_len(key, LOT_KEY_LEN);
    enum rc rc = random_bytes(secret_data(key), LOT_KEY_LEN, e);
    if (rc == RC_OK)
        rc = jwe_seal_ecdh(bytes_span(&l->wrap->spki), kid, key, &wrapped, e);
    /* The token gives out public keys without a PIN and lets them be exchanged without one: only what its
     * private key opens is kept and used. */
    if (rc == RC_OK && jwe_open_ecdh(l->wrap, kid, bytes_span(&wrapped), &again, e) != RC_OK)
        rc = err_prefix(e, "cannot hold the public half of the wrap key against its private half");
    if (rc == RC_OK)
        rc = store(l, lot, bytes_str(&wrapped), e);
    secret_free(again);
    bytes_free(&wrapped);
    if (rc == RC_OK) {
        *ret = key;
        key = NULL;
    }
    secret_free(key);
    return rc;
}

static enum rc obtain(struct lot_keys *l, uint64_t lot, struct secret **ret, struct err *e)
{
    struct bytes wrapped = BYTES_INIT;
    bool found = false;
    char *kid = kid_of(l, lot);
    enum rc rc = load(l, lot, &wrapped, &found, e);
    if (rc == RC_OK && found) {
        rc = jwe_open_ecdh(l->wrap, kid, bytes_span(&wrapped), ret, e);
        if (rc != RC_OK)
            err_prefix(e, "the office's own copy of lot key '%s' does not open with its wrap key", kid);
    } else if (rc == RC_OK) {
        rc = make(l, lot, kid, ret, e);
    }
    free(kid);
    bytes_free(&wrapped);
    return rc;
}

enum rc lot_key_get(struct lot_keys *l, uint64_t lot, const struct secret **ret, struct err *e)
{
    if (lot >= l->n)
        bug("batch '%s' has no lot %" PRIu64, l->batch, lot);
    enum rc rc = RC_OK;
    pthread_mutex_lock(&l->lock);
    if (!l->keys[lot]) {
        rc = obtain(l, lot, &l->keys[lot], e);
        if (lot < l->dropped) /* asked for again at the end, when the lots are sealed */
            l->dropped = lot;
    }
    if (rc == RC_OK)
        *ret = l->keys[lot];
    pthread_mutex_unlock(&l->lock);
    return rc;
}
