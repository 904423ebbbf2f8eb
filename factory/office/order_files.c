/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/file.h"
#include "factory/office/internal.h"
#include "x509/cert.h"

void order_files_free(struct order_files *f)
{
    cert_free(f->ca);
    bytes_free(&f->ca_chain);
    for (size_t i = 0; i < ORDER_STATIONS_MAX; i++) {
        cert_free(f->manifest[i]);
        cert_free(f->seal[i]);
    }
    *f = (struct order_files){0};
}

/* The CA's file may hold CAs between it and the root behind it. */
static enum rc load_ca(struct office *o, struct order_spec *spec, const struct cms_chain *cas, int64_t now,
                       struct order_files *ret, struct err *e)
{
    struct cms_chain given = {0}, chain = {0};
    enum rc rc = cert_read(spec->ca_path, &ret->ca, e);
    if (rc == RC_OK)
        rc = chain_read(spec->ca_path, &given, e);
    if (rc == RC_OK)
        rc = ca_may_issue(spec->ca_path, ret->ca, e);
    if (rc == RC_OK)
        rc = ca_in_service(o, ret->ca, e);
    if (rc == RC_OK)
        rc = chain_add_all(&chain, &given, bytes_span(&ret->ca->der), e);
    if (rc == RC_OK)
        rc = chain_add_all(&chain, cas, bytes_span(&ret->ca->der), e);
    if (rc == RC_OK)
        rc = verify_path(ret->ca, &chain, o->config->trust, now, e);
    if (rc == RC_OK)
        rc = chain_path_pem(ret->ca, &chain, o->config->trust, &ret->ca_chain, e);
    if (rc == RC_OK)
        rc = ca_chain_in_service(o, bytes_span(&ret->ca_chain), e);
    if (rc == RC_OK)
        memcpy(spec->order.ca, ret->ca->sha256, SHA256_LEN);
    cms_chain_free(&chain);
    cms_chain_free(&given);
    return rc;
}

/* The certificate of the CA that the configuration names for stations. */
static enum rc find_station_issuer(struct office *o, const struct cms_chain *cas, struct cert **ret,
                                   struct err *e)
{
    for (size_t i = 0; i < cas->ncerts; i++) {
        uint8_t hash[SHA256_LEN];
        sha256(bytes_span(&cas->certs[i]), hash);
        if (memcmp(hash, o->config->station_issuer, SHA256_LEN) == 0)
            return cert_parse("chain.pem", bytes_span(&cas->certs[i]), ret, e);
    }
    return err_set(
        e, RC_DENIED, "office.station-issuer",
        "'%s': the CA that 'station-issuer' names in office.yaml is not in the office's chain.pem: "
        "import the office's certificate again with a chain that holds it",
        o->home);
}

/* A station's certificate counts when it is valid, from the right CA, and has the role; a path to the root
 * alone is no permission. */
static enum rc load_station_cert(struct office *o, const char *path, enum role role,
                                 const struct cms_chain *cas, const struct cert *issuer, int64_t now,
                                 struct cert **ret, struct err *e)
{
    struct cert *c = NULL;
    struct err why = ERR_INIT;
    enum rc rc = cert_read(path, &c, e);
    if (rc == RC_OK)
        rc = verify_path(c, cas, o->config->trust, now, e);
    if (rc == RC_OK && cert_verify_signature(c, issuer, &why) != RC_OK)
        rc = err_set(e, RC_DENIED, "office.station-issuer",
                     "'%s' was not issued by '%s', the CA that 'station-issuer' names in office.yaml", path,
                     issuer->cn ? issuer->cn : "?");
    if (rc == RC_OK && (c->ca || !cert_has_eku(c, role_oid(role))))
        rc = err_set(e, RC_DENIED, "office.station-role",
                     "'%s' does not have the role %s: have it issued with the profile '%s'", path,
                     role_name(role), role_name(role));
    if (rc == RC_OK) {
        *ret = c;
        c = NULL;
    }
    cert_free(c);
    return rc;
}

/* People know a station by its name, its certificates by their CN: an order in which they differ has mixed up
 * two stations. */
static enum rc check_cn(const char *path, const struct cert *c, const char *station, struct err *e)
{
    if (c->cn && strcmp(c->cn, station) == 0)
        return RC_OK;
    return err_set(
        e, RC_INPUT, "office.station-cn",
        "'%s' is the certificate of '%s' and not of station '%s': its CN must be the station's name", path,
        c->cn ? c->cn : "?", station);
}

static enum rc load_stations(struct office *o, struct order_spec *spec, const struct cms_chain *cas,
                             int64_t now, struct order_files *ret, struct err *e)
{
    struct cert *issuer = NULL;
    enum rc rc = find_station_issuer(o, cas, &issuer, e);
    for (size_t i = 0; rc == RC_OK && i < spec->order.nstations; i++) {
        struct order_station *st = &spec->order.stations[i];
        rc = load_station_cert(o, spec->manifest_paths[i], ROLE_STATION_MANIFEST, cas, issuer, now,
                               &ret->manifest[i], e);
        if (rc == RC_OK)
            rc = load_station_cert(o, spec->seal_paths[i], ROLE_STATION_SEAL, cas, issuer, now, &ret->seal[i],
                                   e);
        if (rc == RC_OK)
            rc = check_cn(spec->manifest_paths[i], ret->manifest[i], st->name, e);
        if (rc == RC_OK)
            rc = check_cn(spec->seal_paths[i], ret->seal[i], st->name, e);
        if (rc != RC_OK)
            break;
        memcpy(st->manifest, ret->manifest[i]->sha256, SHA256_LEN);
        memcpy(st->seal, ret->seal[i]->sha256, SHA256_LEN);
    }
    cert_free(issuer);
    return rc;
}

static bool holds_root(const struct cms_chain *c, const uint8_t root[static SHA256_LEN])
{
    for (size_t i = 0; i < c->ncerts; i++) {
        uint8_t hash[SHA256_LEN];
        sha256(bytes_span(&c->certs[i]), hash);
        if (memcmp(hash, root, SHA256_LEN) == 0)
            return true;
    }
    return false;
}

static enum rc load_trust_bundle(const struct office *o, struct order_spec *spec, struct err *e)
{
    struct cms_chain certs = {0};
    enum rc rc = chain_read(spec->trust_path, &certs, e);
    if (rc == RC_OK && (certs.ncerts == 0 || certs.ncrls > 0))
        rc = err_set(e, RC_INPUT, "office.trust-bundle",
                     "'%s' is no trust bundle: certificates in PEM are required, and nothing else",
                     spec->trust_path);
    if (rc == RC_OK && !holds_root(&certs, o->config->trust))
        rc =
            err_set(e, RC_INPUT, "office.trust-bundle",
                    "'%s' does not hold the root that 'trust' names in office.yaml: devices would trust none "
                    "of our servers",
                    spec->trust_path);
    if (rc == RC_OK)
        chain_pem(&certs,
                  &spec->order.trust_bundle); /* devices get certificates, not the comments around them */
    if (rc == RC_OK)
        sha256(bytes_span(&spec->order.trust_bundle), spec->order.trust_bundle_sha256);
    cms_chain_free(&certs);
    return rc;
}

enum rc order_files_load(struct office *o, struct order_spec *spec, int64_t now, struct order_files *ret,
                         struct err *e)
{
    struct order_files f = {0};
    struct cms_chain cas = {0};
    enum rc rc = office_cas(o, &cas, e);
    if (rc == RC_OK)
        rc = load_ca(o, spec, &cas, now, &f, e);
    if (rc == RC_OK)
        rc = load_stations(o, spec, &cas, now, &f, e);
    if (rc == RC_OK)
        rc = load_trust_bundle(o, spec, e);
    cms_chain_free(&cas);
    if (rc == RC_OK)
        *ret = f;
    else
        order_files_free(&f);
    return rc;
}
