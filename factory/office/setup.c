/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "base/lock.h"
#include "base/text.h"
#include "factory/office/internal.h"
#include "sign/alg.h"
#include "sign/signer.h"
#include "x509/csr.h"

static enum key_usage usage_of(enum office_key k)
{
    return k == OFFICE_WRAP ? KEY_DERIVE : KEY_SIGN;
}

/* *ret stays NULL when the token has no such key. */
static enum rc find_key(const struct office_config *c, struct keystore *keys, enum office_key k,
                        struct signer **ret, struct err *e)
{
    enum rc rc = keys->ops->find(keys, c->keys[k], usage_of(k), NULL, ret, e);
    if (rc != RC_TOKEN || strcmp(e->key, "hsm.no-key") != 0)
        return rc;
    err_clear(e);
    return RC_OK;
}

/* A key that is there before its home is somebody else's, and is never taken over. */
static enum rc no_keys_yet(const struct office_config *c, struct keystore *keys, const char *home,
                           struct err *e)
{
    enum rc rc = RC_OK;
    for (int k = 0; rc == RC_OK && k < OFFICE_KEYS; k++) {
        struct signer *s = NULL;
        rc = find_key(c, keys, (enum office_key)k, &s, e);
        if (rc == RC_OK && s)
            rc = err_set(
                e, RC_CONFLICT, "office.key-exists",
                "key '%s' exists already and was not made by '%s': choose another label, a key belongs to "
                "one office",
                c->keys[k], home);
        signer_free(s);
    }
    return rc;
}

/* The configuration is the first thing in a home and says that the keys are about to be made: what is found
 * later is ours, and what a crash left undone is done by the next run. */
static enum rc keep_config(const char *home, const struct office_config *c, struct span yaml,
                           struct keystore *keys, bool *ret_new, struct err *e)
{
    char *path = office_path(home, "office.yaml");
    bool fresh = !file_exists(path);
    enum rc rc = fresh ? no_keys_yet(c, keys, home, e) : RC_OK;
    if (rc == RC_OK)
        rc = file_create(path, 0600, yaml, e);
    if (rc == RC_CONFLICT && strcmp(e->key, "file.exists") == 0)
        rc = err_set(e, RC_CONFLICT, "office.exists",
                     "'%s' is the home of an office with another configuration: nothing was changed", home);
    if (rc == RC_OK && fresh)
        *ret_new = true;
    free(path);
    return rc;
}

/* Finds a key, or makes it. */
static enum rc have_key(const struct office_config *c, struct keystore *keys, enum office_key k,
                        bool *ret_new, struct signer **ret, struct err *e)
{
    struct signer *s = NULL;
    enum rc rc = find_key(c, keys, k, &s, e);
    if (rc == RC_OK && !s) {
        rc = keys->ops->generate(keys, c->keys[k], c->alg, usage_of(k), NULL, &s, e);
        if (rc == RC_OK)
            *ret_new = true;
    }
    if (rc == RC_OK && !signer_take_alg(s, c->alg))
        rc = err_set(e, RC_CONFLICT, "office.key-exists", "key '%s' is of type %s, the configuration says %s",
                     c->keys[k], s->alg->name, c->alg->name);
    if (rc == RC_OK) {
        *ret = s;
        s = NULL;
    }
    signer_free(s);
    return rc;
}

/* A request that is there must be for this key: tokens get mixed up. */
static enum rc check_request(const char *path, const struct signer *s, struct err *e)
{
    struct bytes text = BYTES_INIT;
    struct csr *csr = NULL;
    enum rc rc = file_read(path, FILE_SMALL_MAX, &text, e);
    if (rc == RC_OK)
        rc = csr_parse(path, bytes_span(&text), &csr, e);
    if (rc == RC_OK && !span_eq(csr->spki, bytes_span(&s->spki)))
        rc =
            err_set(e, RC_CONFLICT, "office.exists",
                    "'%s' is a request for another key than the one the token has as '%s': is this the right "
                    "token?",
                    path, s->name);
    csr_free(csr);
    bytes_free(&text);
    return rc;
}

static enum rc have_request(const char *home, const struct office_config *c, enum office_key k,
                            struct signer *s, bool *ret_new, struct err *e)
{
    struct bytes der = BYTES_INIT, pem = BYTES_INIT;
    char *file = mem_printf("%s.csr", office_key_name(k));
    char *path = office_path(home, file);
    enum rc rc;
    if (file_exists(path)) {
        rc = check_request(path, s, e);
        goto out;
    }
    rc = csr_make(s, bytes_span(&c->subjects[k]), &der, e);
    if (rc != RC_OK)
        goto out;
    pem_encode("CERTIFICATE REQUEST", bytes_span(&der), &pem);
    rc = file_create(path, 0644, bytes_span(&pem), e);
    if (rc == RC_OK)
        *ret_new = true;
out:
    bytes_free(&der);
    bytes_free(&pem);
    free(path);
    free(file);
    return rc;
}

static enum rc audit_init(const char *home, const struct office_config *c, struct err *e)
{
    struct store *db = NULL;
    struct bytes detail = BYTES_INIT;
    struct jsonw w;
    jsonw_init(&w, &detail);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "name", c->name);
    jsonw_end(&w);

    enum rc rc = office_db_open(home, &db, e);
    if (rc == RC_OK)
        rc = store_begin(db, e);
    if (rc == RC_OK)
        rc = audit_append(db, clock_now(), "init", bytes_str(&detail), e);
    if (rc == RC_OK)
        rc = store_commit(db, e);
    store_close(db);
    bytes_free(&detail);
    return rc;
}

static enum rc have_keys(const char *home, const struct office_config *c, struct keystore *keys,
                         bool *ret_new, struct err *e)
{
    enum rc rc = RC_OK;
    for (int k = 0; rc == RC_OK && k < OFFICE_KEYS; k++) {
        struct signer *s = NULL;
        rc = have_key(c, keys, (enum office_key)k, ret_new, &s, e);
        if (rc == RC_OK && k < OFFICE_CERTS)
            rc = have_request(home, c, (enum office_key)k, s, ret_new, e);
        signer_free(s);
    }
    return rc;
}

enum rc office_init(const char *home, const char *config_path, struct keystore *keys, bool *ret_new,
                    struct err *e)
{
    struct bytes yaml = BYTES_INIT;
    struct office_config *c = NULL;
    struct lock *lock = NULL;
    bool did = false;

    enum rc rc = file_read(config_path, FILE_SMALL_MAX, &yaml, e);
    if (rc == RC_OK)
        rc = office_config_parse(config_path, bytes_span(&yaml), &c, e);
    if (rc == RC_OK)
        rc = dir_make(home, 0700, e);
    if (rc == RC_OK)
        rc = office_lock(home, &lock, e);
    if (rc == RC_OK)
        rc = keep_config(home, c, bytes_span(&yaml), keys, &did, e);
    if (rc == RC_OK)
        rc = have_keys(home, c, keys, &did, e);
    if (rc == RC_OK && did)
        rc = audit_init(home, c, e);
    if (rc == RC_OK)
        *ret_new = did;
    lock_drop(lock);
    office_config_free(c);
    bytes_free(&yaml);
    return rc;
}
