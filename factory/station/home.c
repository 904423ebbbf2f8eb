/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/lock.h"
#include "base/text.h"
#include "factory/station/internal.h"
#include "sign/alg.h"
#include "x509/csr.h"

char *station_path(const char *home, const char *file)
{
    return path_join(home, file);
}

/* The configuration is kept in the home as it was given; a home belongs to one configuration for ever. */
static enum rc keep_config(const char *home, const char *config_path, struct err *e)
{
    struct bytes text = BYTES_INIT;
    char *path = station_path(home, "station.yaml");
    enum rc rc = file_read(config_path, FILE_SMALL_MAX, &text, e);

    if (rc == RC_OK)
        rc = file_create(path, 0600, bytes_span(&text), e);
    if (rc == RC_CONFLICT)
        rc = err_set(
            e, RC_CONFLICT, "station.exists",
            "'%s' was made with another configuration; use another --home, or the configuration in '%s'",
            home, path);
    free(path);
    bytes_free(&text);
    return rc;
}

static enum rc key_take(const struct station_config *c, const char *uri, struct signer *s, struct err *e)
{
    if (signer_take_alg(s, c->alg))
        return RC_OK;
    return err_set(e, RC_CONFLICT, "station.key-changed",
                   "the token's key '%s' is of type %s, the configuration says %s; insert the right token",
                   uri, s->alg->name, c->alg->name);
}

enum rc station_key(struct keystore *keys, const struct station_config *c, const char *uri,
                    enum key_usage usage, struct signer **ret, struct err *e)
{
    struct signer *s = NULL;
    enum rc rc = keys->ops->find(keys, uri, usage, NULL, &s, e);

    if (rc == RC_OK)
        rc = key_take(c, uri, s, e);
    if (rc == RC_OK)
        *ret = s;
    else
        signer_free(s);
    return rc;
}

static enum rc find_or_generate(struct keystore *keys, const char *uri, const struct alg *alg,
                                enum key_usage usage, struct signer **ret, struct err *e)
{
    enum rc rc = keys->ops->find(keys, uri, usage, NULL, ret, e);

    if (rc == RC_TOKEN && strcmp(e->key, "hsm.no-key") == 0) {
        err_clear(e);
        rc = keys->ops->generate(keys, uri, alg, usage, NULL, ret, e);
    }
    return rc;
}

/* Remembers a public key, so that a token that was swapped or a key that was made anew shows. */
static enum rc keep_public_key(const char *home, const char *file, const struct signer *s, struct err *e)
{
    char *path = station_path(home, file);
    struct bytes pem = BYTES_INIT;
    enum rc rc;

    pem_encode("PUBLIC KEY", bytes_span(&s->spki), &pem);
    rc = file_create(path, 0600, bytes_span(&pem), e);
    if (rc == RC_CONFLICT)
        rc = err_set(
            e, RC_CONFLICT, "station.key-changed",
            "the token's key '%s' is not the one this station was made with ('%s'); insert the right token, or start with a new home",
            s->name, path);
    bytes_free(&pem);
    free(path);
    return rc;
}

static enum rc make_key(const char *home, const char *file, struct keystore *keys,
                        const struct station_config *c, const char *uri, enum key_usage usage,
                        struct signer **ret, struct err *e)
{
    enum rc rc = find_or_generate(keys, uri, c->alg, usage, ret, e);

    if (rc == RC_OK)
        rc = key_take(c, uri, *ret, e);
    if (rc == RC_OK)
        rc = keep_public_key(home, file, *ret, e);
    return rc;
}

/* Once written, a request stays as it is: the same key signed again would make another file. */
static enum rc write_manifest_request(const char *home, const struct station_config *c,
                                      struct signer *manifest, bool *ret_new, struct err *e)
{
    char *path = station_path(home, "manifest.csr");
    struct bytes der = BYTES_INIT, pem = BYTES_INIT;
    enum rc rc = RC_OK;

    *ret_new = !file_exists(path);
    if (*ret_new)
        rc = csr_make(manifest, bytes_span(&c->subject), &der, e);
    if (*ret_new && rc == RC_OK) {
        pem_encode("CERTIFICATE REQUEST", bytes_span(&der), &pem);
        rc = file_create(path, 0644, bytes_span(&pem), e);
    }
    bytes_free(&der);
    bytes_free(&pem);
    free(path);
    return rc;
}

static enum rc init_locked(const char *home, const char *config_path, const struct station_config *c,
                           struct keystore *keys, bool *ret_new, struct err *e)
{
    struct signer *manifest = NULL, *seal = NULL;
    enum rc rc = keep_config(home, config_path, e);

    if (rc == RC_OK)
        rc = make_key(home, "manifest.pub", keys, c, c->manifest_key, KEY_SIGN, &manifest, e);
    if (rc == RC_OK)
        rc = make_key(home, "seal.pub", keys, c, c->seal_key, KEY_DERIVE, &seal, e);
    if (rc == RC_OK)
        rc = write_manifest_request(home, c, manifest, ret_new, e);
    signer_free(manifest);
    signer_free(seal);
    return rc;
}

enum rc station_init(const char *home, const char *config_path, struct keystore *keys, bool *ret_new,
                     struct err *e)
{
    struct station_config c = {0};
    struct lock *lock = NULL;
    char *lock_path = station_path(home, "lock");
    bool is_new = false;
    enum rc rc = station_config_read(config_path, &c, e);

    if (rc == RC_OK)
        rc = dir_make(home, 0700, e);
    if (rc == RC_OK)
        rc = lock_take(lock_path, STATION_LOCK_WAIT_MS, &lock, e);
    if (rc == RC_OK)
        rc = init_locked(home, config_path, &c, keys, &is_new, e);
    if (rc == RC_OK)
        *ret_new = is_new;
    lock_drop(lock);
    free(lock_path);
    station_config_fini(&c);
    return rc;
}
