/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/lock.h"
#include "factory/office/internal.h"
#include "sign/alg.h"
#include "sign/signer.h"
#include "x509/cert.h"

enum { LOCK_WAIT_MS = 5000 };

char *office_path(const char *home, const char *file)
{
    return path_join(home, file);
}

enum rc office_lock(const char *home, struct lock **ret, struct err *e)
{
    char *path = office_path(home, "lock");
    enum rc rc = lock_take(path, LOCK_WAIT_MS, ret, e);
    free(path);
    return rc;
}

enum rc office_out_check(const char *out, struct err *e)
{
    if (file_exists(out))
        return err_set(e, RC_CONFLICT, "file.exists",
                       "'%s' exists and is never overwritten: move it away first", out);
    char *folder = path_dir(out);
    char *inside = path_join(folder, "."); /* "file/." is no folder */
    enum rc rc = RC_OK;
    if (access(inside, W_OK | X_OK) != 0)
        rc = err_sys(e, "file.write", "cannot write '%s'", out);
    free(inside);
    free(folder);
    return rc;
}

enum rc office_db_open(const char *home, struct store **ret, struct err *e)
{
    char *path = office_path(home, "office.db");
    enum rc rc = store_open(path, office_schema, office_schema_steps, ret, e);
    free(path);
    return rc;
}

enum rc office_open(const char *home, struct keystore *keys, struct office **ret, struct err *e)
{
    struct office *o = mem_new(sizeof(*o));
    o->home = mem_str(home);
    o->keys = keys;
    enum rc rc =
        office_config_of(home, &o->config, e); /* before the lock: a folder that is no home gets none */
    if (rc == RC_OK)
        rc = office_lock(home, &o->lock, e);
    if (rc == RC_OK)
        rc = office_db_open(home, &o->db, e);
    if (rc == RC_OK) {
        *ret = o;
        o = NULL;
    }
    office_close(o);
    return rc;
}

void office_close(struct office *o)
{
    if (!o)
        return;
    for (int i = 0; i < OFFICE_KEYS; i++)
        signer_free(o->signers[i]);
    store_close(o->db);
    lock_drop(o->lock);
    office_config_free(o->config);
    free(o->home);
    free(o);
}

/* The key is of the configured type, and signs under the configured row. */
static enum rc key_take(const struct office_config *c, enum office_key k, struct signer *s, struct err *e)
{
    if (signer_take_alg(s, c->alg))
        return RC_OK;
    return err_set(e, RC_CONFLICT, "office.key-changed",
                   "key '%s' is of type %s, the configuration says %s; find out who replaced it", c->keys[k],
                   s->alg->name, c->alg->name);
}

enum rc office_signer(struct office *o, enum office_key k, struct signer **ret, struct err *e)
{
    if (!o->keys)
        bug("the office was opened without keys and asked to use '%s'", office_key_name(k));
    enum key_usage usage = k == OFFICE_WRAP ? KEY_DERIVE : KEY_SIGN;
    if (!o->signers[k]) {
        struct signer *s = NULL;
        enum rc rc = o->keys->ops->find(o->keys, o->config->keys[k], usage, NULL, &s, e);
        if (rc == RC_OK)
            rc = key_take(o->config, k, s, e);
        if (rc != RC_OK) {
            signer_free(s);
            return rc;
        }
        o->signers[k] = s;
    }
    *ret = o->signers[k];
    return RC_OK;
}

/* Appends the certificates and CRLs of a file of the home. */
static enum rc read_pem(struct office *o, const char *file, struct cms_chain *ret, struct err *e)
{
    char *path = office_path(o->home, file);
    enum rc rc;
    if (file_exists(path))
        rc = chain_read(path, ret, e);
    else
        rc = err_set(e, RC_CONFLICT, "office.no-cert",
                     "'%s' is missing: have the office's requests signed and take the certificates in with "
                     "'keymill-office import'",
                     path);
    free(path);
    return rc;
}

enum rc office_cas(struct office *o, struct cms_chain *ret, struct err *e)
{
    struct cms_chain chain = {0};
    enum rc rc = read_pem(o, "chain.pem", &chain, e);
    if (rc == RC_OK)
        *ret = chain;
    else
        cms_chain_free(&chain);
    return rc;
}

enum rc office_chain(struct office *o, enum office_key k, int64_t now, struct cms_chain *ret, struct err *e)
{
    struct cms_chain chain = {0};
    struct trust trust = {.has_issuer = false};
    memcpy(trust.root, o->config->trust, SHA256_LEN);

    char *file = mem_printf("%s.pem", office_key_name(k));
    enum rc rc = read_pem(o, file, &chain, e);
    if (rc == RC_OK)
        rc = read_pem(o, "chain.pem", &chain, e);
    if (rc == RC_OK)
        rc = verify_role(file, &chain, &trust, office_key_role(k), now, e);
    free(file);
    if (rc == RC_OK)
        *ret = chain;
    else
        cms_chain_free(&chain);
    return rc;
}
