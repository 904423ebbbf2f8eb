/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "doc/doc.h"
#include "factory/station/internal.h"
#include "sign/alg.h"
#include "x509/name.h"

/* The subject of the station's certificates: the configured attributes, then CN = the station's name. */
static void read_subject(struct doc_map *m, const char *name, struct bytes *ret)
{
    static const char *const types[] = {"C", "ST", "L", "O", "OU"};
    struct name_attr attrs[6];
    struct doc_map sub;
    struct err e = ERR_INIT;
    size_t n = 0;

    doc_sub(m, "subject", &sub);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        const char *value = doc_str_or(&sub, types[i], NULL);

        if (value != NULL)
            attrs[n++] = (struct name_attr){types[i], value};
    }
    if (doc_close(&sub, &e) == RC_OK && name != NULL) {
        attrs[n++] = (struct name_attr){"CN", name};
        if (name_encode(attrs, n, ret, &e) == RC_OK)
            return;
    }
    if (e.rc != RC_OK)
        doc_fail(m, "subject", e.key, "%s", e.text);
}

static void read_keys(struct doc_map *m, struct station_config *c)
{
    struct doc_map keys;
    struct err e = ERR_INIT;

    doc_sub(m, "keys", &keys);
    c->manifest_key = mem_str(doc_str(&keys, "manifest"));
    c->seal_key = mem_str(doc_str(&keys, "seal"));
    if (doc_close(&keys, &e) != RC_OK)
        doc_fail(m, "keys", e.key, "%s", e.text);
}

enum rc station_config_read(const char *path, struct station_config *ret, struct err *e)
{
    struct station_config c;
    struct doc *doc = NULL;
    struct doc_map m;
    const char *alg;
    enum rc rc = doc_read_yaml(path, &doc, e);

    if (rc != RC_OK)
        return rc;
    memset(&c, 0, sizeof c);
    doc_open(&m, doc, doc_root(doc));
    doc_schema(&m, "keymill.station-config.v1");
    c.name = mem_str(doc_str(&m, "name"));
    if (c.name != NULL && !name_valid(c.name))
        doc_fail(&m, "name", "doc.value", "1 to 64 characters of A-Z a-z 0-9 _ - are required");
    c.pin_source = mem_str(doc_str_or(&m, "pin-source", NULL));
    alg = doc_str(&m, "algorithm");
    if (alg != NULL && (c.alg = alg_by_name(alg)) == NULL)
        doc_fail(&m, "algorithm", "doc.value", "one of %s is required", alg_names());
    read_subject(&m, c.name, &c.subject);
    read_keys(&m, &c);
    doc_hex(&m, "trust", c.trust, SHA256_LEN);
    doc_hex(&m, "order-issuer", c.order_issuer, SHA256_LEN);
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
    memset(c, 0, sizeof *c);
}

enum rc station_pin_source(const char *home_or_config, char **ret, struct err *e)
{
    struct station_config c;
    char *inside = path_join(home_or_config, "station.yaml");
    enum rc rc = station_config_read(file_exists(inside) ? inside : home_or_config, &c, e);

    free(inside);
    if (rc != RC_OK)
        return rc;
    *ret = c.pin_source;
    c.pin_source = NULL;
    station_config_fini(&c);
    return RC_OK;
}
