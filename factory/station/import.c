/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/text.h"
#include "factory/station/internal.h"
#include "x509/cert.h"
#include "x509/csr.h"
#include "x509/verify.h"

static enum rc read_public_key(const char *home, const char *file, struct bytes *ret, struct err *e)
{
    char *path = station_path(home, file);
    struct bytes text = BYTES_INIT;
    size_t pos = 0;
    bool found = false;
    enum rc rc;

    if (!file_exists(path))
        rc = err_set(e, RC_CONFLICT, "station.no-home",
                     "'%s' is no station's home; run 'keymill-station init' first", home);
    else
        rc = file_read(path, FILE_SMALL_MAX, &text, e);
    if (rc == RC_OK)
        rc = pem_next(bytes_span(&text), "PUBLIC KEY", &pos, ret, NULL, &found, e);
    if (rc == RC_OK && !found)
        rc = err_set(e, RC_INPUT, "station.public-key", "'%s' holds no public key", path);
    bytes_free(&text);
    free(path);
    return rc;
}

/* Which of the station's two keys the certificate is for. */
static enum rc tell_role(const char *home, const char *cert_path, const struct cert *c, enum role *ret,
                         struct err *e)
{
    struct bytes manifest = BYTES_INIT, seal = BYTES_INIT;
    enum rc rc = read_public_key(home, "manifest.pub", &manifest, e);

    if (rc == RC_OK)
        rc = read_public_key(home, "seal.pub", &seal, e);
    if (rc == RC_OK && span_eq(c->spki, bytes_span(&manifest)))
        *ret = ROLE_STATION_MANIFEST;
    else if (rc == RC_OK && span_eq(c->spki, bytes_span(&seal)))
        *ret = ROLE_STATION_SEAL;
    else if (rc == RC_OK)
        rc = err_set(e, RC_INPUT, "station.key", "'%s' certifies a key that is none of this station's",
                     cert_path);
    bytes_free(&manifest);
    bytes_free(&seal);
    if (rc == RC_OK && !cert_has_eku(c, role_oid(*ret)))
        rc = err_set(e, RC_DENIED, "verify.role",
                     "'%s' certifies the %s key but does not give it that role; issue it with profile '%s'",
                     cert_path, role_name(*ret), role_name(*ret));
    return rc;
}

static enum rc write_seal_request(const char *home, const struct station_config *c, struct keystore *keys,
                                  struct span manifest_cert, struct err *e)
{
    char *path = station_path(home, "seal.csr");
    struct bytes spki = BYTES_INIT, der = BYTES_INIT, pem = BYTES_INIT;
    struct signer *manifest = NULL;
    enum rc rc = RC_OK;

    if (!file_exists(path)) {
        rc = read_public_key(home, "seal.pub", &spki, e);
        if (rc == RC_OK)
            rc = keys->ops->find(keys, c->manifest_key, KEY_SIGN, &manifest, e);
        if (rc == RC_OK)
            rc = csr_make_statement(bytes_span(&spki), manifest, manifest_cert, &der, e);
        if (rc == RC_OK) {
            pem_encode("CERTIFICATE REQUEST", bytes_span(&der), &pem);
            rc = file_create(path, 0644, bytes_span(&pem), e);
        }
    }
    signer_free(manifest);
    bytes_free(&spki);
    bytes_free(&der);
    bytes_free(&pem);
    free(path);
    return rc;
}

/* The certificate under its name, and the chain as it was given (a newer one, with newer CRLs, replaces the
 * older). */
static enum rc keep_files(const char *home, enum role role, const struct cert *c, const char *chain_path,
                          bool *ret_new, struct err *e)
{
    char *path = station_path(home, role == ROLE_STATION_MANIFEST ? "manifest.pem" : "seal.pem");
    char *chain = station_path(home, "chain.pem");
    struct bytes pem = BYTES_INIT, text = BYTES_INIT;
    enum rc rc = file_read(chain_path, FILE_DOC_MAX, &text, e);

    *ret_new = !file_exists(path);
    pem_encode("CERTIFICATE", bytes_span(&c->der), &pem);
    if (rc == RC_OK)
        rc = file_create(path, 0644, bytes_span(&pem), e);
    if (rc == RC_CONFLICT)
        rc = err_set(
            e, RC_CONFLICT, "station.certified",
            "the %s key has another certificate already ('%s'); orders name stations by certificate, so it cannot be exchanged",
            role_name(role), path);
    if (rc == RC_OK)
        rc = file_publish(chain, 0644, bytes_span(&text), e);
    bytes_free(&pem);
    bytes_free(&text);
    free(path);
    free(chain);
    return rc;
}

static enum rc import_locked(const char *home, struct keystore *keys, const char *cert_path,
                             const char *chain_path, enum role *ret_role, bool *ret_new, struct err *e)
{
    struct station_config c = {0};
    struct cms_chain chain = {0};
    struct cert *cert = NULL;
    char *config_path = station_path(home, "station.yaml");
    enum rc rc = station_config_read(config_path, &c, e);

    if (rc == RC_OK)
        rc = cert_read(cert_path, &cert, e);
    if (rc == RC_OK)
        rc = chain_read(chain_path, &chain, e);
    if (rc == RC_OK)
        rc = tell_role(home, cert_path, cert, ret_role, e);
    if (rc == RC_OK)
        rc = verify_path(cert, &chain, c.trust, clock_now(), e);
    if (rc == RC_OK)
        rc = keep_files(home, *ret_role, cert, chain_path, ret_new, e);
    if (rc == RC_OK && *ret_role == ROLE_STATION_MANIFEST)
        rc = write_seal_request(home, &c, keys, bytes_span(&cert->der), e);
    free(config_path);
    cert_free(cert);
    cms_chain_free(&chain);
    station_config_fini(&c);
    return rc;
}

enum rc station_import(const char *home, struct keystore *keys, const char *cert_path, const char *chain_path,
                       const char **ret_role, bool *ret_new, struct err *e)
{
    struct lock *lock = NULL;
    char *lock_path = station_path(home, "lock"), *config_path = station_path(home, "station.yaml");
    enum role role = ROLE_STATION_MANIFEST;
    bool is_new = false;
    enum rc rc;

    if (!file_exists(config_path))
        rc = err_set(e, RC_CONFLICT, "station.no-home",
                     "'%s' is no station's home; run 'keymill-station init' first", home);
    else
        rc = lock_take(lock_path, STATION_LOCK_WAIT_MS, &lock, e);
    if (rc == RC_OK)
        rc = import_locked(home, keys, cert_path, chain_path, &role, &is_new, e);
    if (rc == RC_OK) {
        *ret_role = role_name(role);
        *ret_new = is_new;
    }
    lock_drop(lock);
    free(lock_path);
    free(config_path);
    return rc;
}
