/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "doc/doc.h"
#include "factory/station/internal.h"
#include "sign/alg.h"
#include "x509/name.h"

/* A part that was read on its own has failed: so has the whole. */
static void take_failure(struct doc_map *m, const struct err *e)
{
    if (m->err.rc == RC_OK)
        m->err = *e;
}

/* The subject of the station's certificates: the configured attributes, then CN = the station's name. */
static void read_subject(struct doc_map *m, const char *name, struct bytes *ret)
{
    static const char *const types[] = {"C", "ST", "L", "O", "OU"};
    struct name_attr attrs[sizeof types / sizeof types[0] + 1];
    struct doc_map sub;
    struct err e = ERR_INIT;
    size_t n = 0;

    doc_sub(m, "subject", &sub);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        const char *value = doc_str_or(&sub, types[i], NULL);

        if (value != NULL)
            attrs[n++] = (struct name_attr){types[i], value};
    }
    attrs[n++] = (struct name_attr){"CN", name};
    if (doc_close(&sub, &e) != RC_OK)
        take_failure(m, &e);
    else if (m->err.rc == RC_OK && name_encode(attrs, n, ret, &e) != RC_OK)
        doc_fail(m, "subject", e.key, "%s", e.text);
}

static void read_keys(struct doc_map *m, struct station_config *c)
{
    struct doc_map keys;
    struct err e = ERR_INIT;

    doc_sub(m, "keys", &keys);
    c->manifest_key = mem_str(doc_str(&keys, "manifest"));
    c->seal_key = mem_str(doc_str(&keys, "seal"));
    if (strcmp(c->manifest_key, c->seal_key) == 0)
        doc_fail(&keys, "seal", "doc.value",
                 "another key than the manifest key is required: it cannot do both");
    if (doc_close(&keys, &e) != RC_OK)
        take_failure(m, &e);
}

static void read_members(struct doc_map *m, struct station_config *c)
{
    const char *alg;

    doc_schema(m, "keymill.station-config.v1");
    c->name = mem_str(doc_str(m, "name"));
    if (!name_valid(c->name))
        doc_fail(m, "name", "doc.value", "1 to 64 of A-Z, a-z, 0-9, _ and - are required, no _ or - first");
    c->pin_source = mem_str(doc_str_or(m, "pin-source", NULL));
    doc_token(m, false, &c->token);
    alg = doc_str(m, "algorithm");
    c->alg = alg_by_name(alg);
    if (c->alg == NULL)
        doc_fail(m, "algorithm", "doc.value", "one of %s is required", alg_names());
    else if (c->alg->p11_derive == 0)
        doc_fail(m, "algorithm", "doc.value",
                 "keys of type %s cannot agree, and the seal key must: ec-p256 or ec-p384 is required",
                 c->alg->name);
    read_subject(m, c->name, &c->subject);
    read_keys(m, c);
    doc_sha256(m, "trust", c->trust);
    doc_sha256(m, "order-issuer", c->order_issuer);
}

enum rc station_config_read(const char *path, struct station_config *ret, struct err *e)
{
    struct station_config c = {0};
    struct doc *doc = NULL;
    struct doc_map m;
    enum rc rc = doc_read_yaml(path, &doc, e);

    if (rc != RC_OK)
        return rc;
    doc_open(&m, doc, doc_root(doc));
    read_members(&m, &c);
    rc = doc_close(&m, e);
    doc_free(doc);
    if (rc != RC_OK) {
        station_config_fini(&c);
        return rc;
    }
    *ret = c;
    return RC_OK;
}

void station_config_fini(struct station_config *c)
{
    free(c->name);
    free(c->pin_source);
    free(c->manifest_key);
    free(c->seal_key);
    bytes_free(&c->subject);
    *c = (struct station_config){0};
}

/* A file is a configuration, anything else should be a home. */
static enum rc config_of(const char *home_or_config, struct station_config *ret, struct err *e)
{
    struct stat st;
    char *inside = NULL;
    enum rc rc;

    if (stat(home_or_config, &st) == 0 && S_ISREG(st.st_mode))
        return station_config_read(home_or_config, ret, e);
    rc = station_home_check(home_or_config, e);
    if (rc == RC_OK) {
        inside = station_path(home_or_config, "station.yaml");
        rc = station_config_read(inside, ret, e);
    }
    free(inside);
    return rc;
}

enum rc station_token(const char *home_or_config, char **ret_pin_source, struct token_settings *ret,
                      struct err *e)
{
    struct station_config c = {0};
    enum rc rc = config_of(home_or_config, &c, e);

    if (rc != RC_OK)
        return rc;
    *ret = c.token;
    *ret_pin_source = c.pin_source;
    c.pin_source = NULL;
    station_config_fini(&c);
    return RC_OK;
}
