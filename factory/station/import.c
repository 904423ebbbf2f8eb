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

/* What an import is about. */
struct import {
    const char *home;
    struct station_config config;
    struct cert *cert;      /* given */
    enum role role;         /* of the key it certifies */
    struct cms_chain chain; /* given */
};

static enum rc read_public_key(const char *home, const char *file, struct bytes *ret, struct err *e)
{
    char *path = station_path(home, file);
    struct bytes text = BYTES_INIT;
    size_t pos = 0;
    bool found = false;
    enum rc rc = file_read(path, FILE_SMALL_MAX, &text, e);

    if (rc == RC_OK)
        rc = pem_next(bytes_span(&text), "PUBLIC KEY", &pos, ret, NULL, &found, e);
    if (rc == RC_OK && !found)
        rc = err_set(e, RC_INPUT, "station.public-key",
                     "'%s' holds no public key; run 'keymill-station init' again", path);
    bytes_free(&text);
    free(path);
    return rc;
}

/* Which of the station's two keys the certificate is for. */
static enum rc tell_role(struct import *im, const char *cert_path, struct err *e)
{
    struct bytes manifest = BYTES_INIT, seal = BYTES_INIT;
    enum rc rc = read_public_key(im->home, "manifest.pub", &manifest, e);

    if (rc == RC_OK)
        rc = read_public_key(im->home, "seal.pub", &seal, e);
    if (rc == RC_OK && span_eq(im->cert->spki, bytes_span(&manifest)))
        im->role = ROLE_STATION_MANIFEST;
    else if (rc == RC_OK && span_eq(im->cert->spki, bytes_span(&seal)))
        im->role = ROLE_STATION_SEAL;
    else if (rc == RC_OK)
        rc = err_set(e, RC_INPUT, "station.key",
                     "'%s' certifies a key that is none of this station's; was it made from this home's "
                     "manifest.csr or seal.csr?",
                     cert_path);
    bytes_free(&manifest);
    bytes_free(&seal);
    return rc;
}

/* A path to the root, and the role. CRLs are not asked for yet: a later import brings them, and close, whose
 * checkpoint the office refuses without them, does ask. */
static enum rc judge(const struct import *im, const char *cert_path, const struct cert *c, enum role role,
                     struct err *e)
{
    if (c->ca || !cert_has_eku(c, role_oid(role)))
        return err_set(e, RC_DENIED, "verify.role",
                       "'%s' does not have the role '%s'; have it issued with profile '%s'", cert_path,
                       role_name(role), role_name(role));
    return verify_path(c, &im->chain, im->config.trust, clock_now(), e);
}

/* Both certificates share chain.pem: a chain that comes with the seal certificate must suit the other too. */
static enum rc judge_manifest(const struct import *im, struct err *e)
{
    char *path = station_path(im->home, "manifest.pem");
    struct cert *manifest = NULL;
    enum rc rc = cert_read(path, &manifest, e);

    if (rc == RC_OK)
        rc = judge(im, path, manifest, ROLE_STATION_MANIFEST, e);
    if (rc != RC_OK)
        rc = err_prefix(e, "the chain does not suit the station's manifest certificate");
    cert_free(manifest);
    free(path);
    return rc;
}

/* CRLs that were imported before are what orders are judged by: they are replaced by newer ones and never
 * lost. */
static enum rc keep_newest_crls(struct import *im, const char *chain_path, struct err *e)
{
    char *path = station_path(im->home, "chain.pem");
    struct cms_chain held = {0};
    enum rc rc = RC_OK;

    if (file_exists(path))
        rc = chain_read(path, &held, e);
    if (rc == RC_OK)
        rc = chain_refresh(chain_path, &im->chain, &held, e);
    cms_chain_free(&held);
    free(path);
    return rc;
}

/* The chain as it is kept: without the certificate, which is put in front of it when it is used. */
static void chain_encode(const struct import *im, struct bytes *ret)
{
    for (size_t i = 0; i < im->chain.ncerts; i++)
        if (!span_eq(bytes_span(&im->chain.certs[i]), bytes_span(&im->cert->der)))
            pem_encode("CERTIFICATE", bytes_span(&im->chain.certs[i]), ret);
    for (size_t i = 0; i < im->chain.ncrls; i++)
        pem_encode("X509 CRL", bytes_span(&im->chain.crls[i]), ret);
}

/* The certificate under its name, and the chain; a newer chain, with newer CRLs, replaces the older. */
static enum rc keep_files(const struct import *im, bool *ret_new, struct err *e)
{
    char *path = station_path(im->home, im->role == ROLE_STATION_MANIFEST ? "manifest.pem" : "seal.pem");
    char *chain_path = station_path(im->home, "chain.pem");
    struct bytes pem = BYTES_INIT, chain = BYTES_INIT;
    enum rc rc;

    *ret_new = !file_exists(path);
    pem_encode("CERTIFICATE", bytes_span(&im->cert->der), &pem);
    chain_encode(im, &chain);
    rc = file_create(path, 0644, bytes_span(&pem), e);
    if (rc == RC_CONFLICT)
        rc = err_set(
            e, RC_CONFLICT, "station.certified",
            "this key has another certificate already ('%s'); orders name stations by certificate, so it cannot be exchanged",
            path);
    if (rc == RC_OK)
        rc = file_publish(chain_path, 0644, bytes_span(&chain), e);
    bytes_free(&pem);
    bytes_free(&chain);
    free(path);
    free(chain_path);
    return rc;
}

static enum rc make_seal_request(const struct import *im, struct keystore *keys, struct bytes *ret,
                                 struct err *e)
{
    struct bytes spki = BYTES_INIT;
    struct signer *manifest = NULL;
    enum rc rc = read_public_key(im->home, "seal.pub", &spki, e);

    if (rc == RC_OK)
        rc = station_key(keys, &im->config, im->config.manifest_key, KEY_SIGN, &manifest, e);
    if (rc == RC_OK)
        rc = csr_make_statement(bytes_span(&spki), manifest, bytes_span(&im->cert->der), ret, e);
    signer_free(manifest);
    bytes_free(&spki);
    return rc;
}

static enum rc write_seal_request(const struct import *im, struct keystore *keys, struct err *e)
{
    char *path = station_path(im->home, "seal.csr");
    struct bytes der = BYTES_INIT, pem = BYTES_INIT;
    enum rc rc = RC_OK;

    if (!file_exists(path)) {
        rc = make_seal_request(im, keys, &der, e);
        pem_encode("CERTIFICATE REQUEST", bytes_span(&der), &pem);
        if (rc == RC_OK)
            rc = file_create(path, 0644, bytes_span(&pem), e);
    }
    bytes_free(&der);
    bytes_free(&pem);
    free(path);
    return rc;
}

static enum rc import_read(struct import *im, const char *cert_path, const char *chain_path, struct err *e)
{
    char *config_path = station_path(im->home, "station.yaml");
    enum rc rc = station_config_read(config_path, &im->config, e);

    if (rc == RC_OK)
        rc = cert_read(cert_path, &im->cert, e);
    if (rc == RC_OK)
        rc = chain_read(chain_path, &im->chain, e);
    if (rc == RC_OK)
        rc = keep_newest_crls(im, chain_path, e);
    if (rc == RC_OK)
        rc = tell_role(im, cert_path, e);
    if (rc == RC_OK)
        rc = judge(im, cert_path, im->cert, im->role, e);
    if (rc == RC_OK && im->role == ROLE_STATION_SEAL)
        rc = judge_manifest(im, e);
    free(config_path);
    return rc;
}

enum rc station_import(const char *home, struct keystore *keys, const char *cert_path, const char *chain_path,
                       const char **ret_role, bool *ret_new, struct err *e)
{
    struct import im = {.home = home};
    struct lock *lock = NULL;
    char *lock_path = station_path(home, "lock");
    bool is_new = false;
    enum rc rc = station_home_check(home, e);

    if (rc == RC_OK)
        rc = lock_take(lock_path, STATION_LOCK_WAIT_MS, &lock, e);
    if (rc == RC_OK)
        rc = import_read(&im, cert_path, chain_path, e);
    if (rc == RC_OK)
        rc = keep_files(&im, &is_new, e);
    if (rc == RC_OK && im.role == ROLE_STATION_MANIFEST)
        rc = write_seal_request(&im, keys, e);
    if (rc == RC_OK) {
        *ret_role = role_name(im.role);
        *ret_new = is_new;
    }
    lock_drop(lock);
    cert_free(im.cert);
    cms_chain_free(&im.chain);
    station_config_fini(&im.config);
    free(lock_path);
    return rc;
}
