/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "ca/internal.h"
#include "sign/alg.h"
#include "sign/signer.h"

/*
 * A key in a token outlives every crash of ours, so the home says "I am about to make this key" (the
 * authority row) before it does. A key that is found afterwards is then ours; a key that is found without
 * that row belongs to somebody else, perhaps to another CA, and is never taken over.
 */

static enum rc intention_record(struct ca *ca, struct err *e)
{
    uint8_t hash[SHA256_LEN];
    sha256(bytes_span(&ca->config_text), hash);
    struct stmt *q =
        store_stmt(ca->db, "INSERT INTO authority (only, key_uri, config_sha256) VALUES (1, ?, ?)");
    stmt_text(q, 1, ca->config->key);
    stmt_blob(q, 2, (struct span){hash, sizeof(hash)});
    enum rc rc = stmt_run(q, e);
    if (rc == RC_OK)
        ca->self.begun = true;
    return rc;
}

static enum rc key_audit(struct ca *ca, const struct signer *key, struct err *e)
{
    struct bytes detail = BYTES_INIT;
    struct jsonw w;
    uint8_t spki[SHA256_LEN], config[SHA256_LEN];
    sha256(bytes_span(&key->spki), spki);
    sha256(bytes_span(&ca->config_text), config);
    jsonw_init(&w, &detail);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "name", ca->config->name);
    jsonw_str(&w, "key", ca->config->key);
    jsonw_str(&w, "algorithm", key->alg->name);
    jsonw_hex(&w, "spki_sha256", (struct span){spki, sizeof(spki)});
    jsonw_hex(&w, "config_sha256", (struct span){config, sizeof(config)});
    key_exceptions_tell(&w, key);
    jsonw_end(&w);
    enum rc rc = audit_append(ca->db, clock_now(), "key", bytes_str(&detail), e);
    bytes_free(&detail);
    return rc;
}

static enum rc key_record(struct ca *ca, const struct signer *key, struct err *e)
{
    enum rc rc = store_begin(ca->db, e);
    if (rc != RC_OK)
        return rc;
    struct stmt *q = store_stmt(ca->db, "UPDATE authority SET spki = ?");
    stmt_blob(q, 1, bytes_span(&key->spki));
    rc = stmt_run(q, e);
    if (rc == RC_OK)
        rc = key_audit(ca, key, e);
    if (rc == RC_OK)
        rc = store_commit(ca->db, e);
    store_rollback(ca->db);
    if (rc == RC_OK)
        bytes_add_span(&ca->self.spki, bytes_span(&key->spki));
    return rc;
}

enum rc key_of_config(const struct ca *ca, struct signer *key, struct err *e)
{
    if (signer_take_alg(key, ca->config->alg))
        return RC_OK;
    return err_set(e, RC_CONFLICT, "ca.key-changed", "key '%s' is of type %s, the configuration says %s",
                   ca->config->key, key->alg->name, ca->config->alg->name);
}

void key_exceptions_tell(struct jsonw *w, const struct signer *key)
{
    if (key->exceptions != NULL)
        jsonw_str(w, "key_exceptions", key->exceptions);
}

static enum rc key_suits(const struct ca *ca, struct signer *key, struct err *e)
{
    if (ca->self.spki.n > 0 && !span_eq(bytes_span(&ca->self.spki), bytes_span(&key->spki)))
        return err_set(e, RC_CONFLICT, "ca.key-changed",
                       "key '%s' is not the one that '%s' was made with; find out who replaced it",
                       ca->config->key, ca->home);
    return key_of_config(ca, key, e);
}

/* *ret stays NULL when the token has no such key. */
static enum rc key_find(const struct ca *ca, struct keystore *keys, struct signer **ret, struct err *e)
{
    enum rc rc = keys->ops->find(keys, ca->config->key, KEY_SIGN, &ca->config->exceptions, ret, e);
    if (rc != RC_TOKEN || strcmp(e->key, "hsm.no-key") != 0)
        return rc;
    err_clear(e);
    return RC_OK;
}

static enum rc key_make(struct ca *ca, struct keystore *keys, struct signer **ret, struct err *e)
{
    if (ca->self.spki.n > 0)
        return err_set(e, RC_TOKEN, "hsm.no-key", "key '%s' of '%s' is not in its token any more",
                       ca->config->key, ca->home);
    enum rc rc = ca->self.begun ? RC_OK : intention_record(ca, e);
    if (rc == RC_OK)
        rc = keys->ops->generate(keys, ca->config->key, ca->config->alg, KEY_SIGN, &ca->config->exceptions,
                                 ret, e);
    return rc;
}

enum rc key_obtain(struct ca *ca, struct keystore *keys, struct err *e)
{
    struct signer *key = NULL;
    enum rc rc = key_find(ca, keys, &key, e);
    if (rc != RC_OK)
        goto out;
    if (key != NULL && !ca->self.begun) {
        rc = err_set(
            e, RC_CONFLICT, "ca.key-exists",
            "key '%s' exists already and was not made by '%s'; correct 'key' in the configuration, or the home if this CA was made in another: a key belongs to one CA",
            ca->config->key, ca->home);
        goto out;
    }
    if (key == NULL)
        rc = key_make(ca, keys, &key, e);
    if (rc == RC_OK)
        rc = key_suits(ca, key, e);
    if (rc == RC_OK && ca->self.spki.n == 0)
        rc = key_record(ca, key, e);
    if (rc != RC_OK)
        goto out;
    ca->signer = key;
    key = NULL;
out:
    signer_free(key);
    return rc;
}
