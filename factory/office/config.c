/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/text.h"
#include "doc/doc.h"
#include "factory/office/internal.h"
#include "sign/alg.h"
#include "x509/name.h"

static const char *const key_names[OFFICE_KEYS] = {"order", "release", "wrap"};
static const char *const subject_types[] = {"C", "ST", "L", "O", "OU"};
enum { SUBJECT_TYPES = sizeof(subject_types) / sizeof(subject_types[0]) };

const char *office_key_name(enum office_key k)
{
    return key_names[k];
}

enum role office_key_role(enum office_key k)
{
    return k == OFFICE_ORDER ? ROLE_OFFICE : ROLE_RELEASE;
}

void office_config_free(struct office_config *c)
{
    if (!c)
        return;
    for (int i = 0; i < OFFICE_KEYS; i++)
        free(c->keys[i]);
    for (int i = 0; i < OFFICE_CERTS; i++)
        bytes_free(&c->subjects[i]);
    free(c->pin_source);
    free(c->name);
    free(c);
}

/* The commonName is made from the office's name, so that the two certificates are told apart by people too.
 */
static enum rc make_subject(const struct name_attr *given, size_t n, const char *name, enum office_key k,
                            struct bytes *ret, struct err *e)
{
    struct name_attr attrs[SUBJECT_TYPES + 1];
    memcpy(attrs, given, n * sizeof(attrs[0]));
    char *cn = mem_printf("%s %s", name, key_names[k]);
    attrs[n] = (struct name_attr){"CN", cn};
    enum rc rc = name_encode(attrs, n + 1, ret, e);
    free(cn);
    return rc;
}

static void read_subject(struct doc_map *m, struct office_config *c)
{
    struct doc_map sub;
    struct err e = ERR_INIT;
    struct name_attr attrs[SUBJECT_TYPES];
    size_t n = 0;

    doc_sub(m, "subject", &sub);
    if (doc_has(&sub, "CN"))
        doc_fail(&sub, "CN", "office.config", "the CN is made from 'name': leave it out here");
    for (size_t i = 0; i < SUBJECT_TYPES; i++) {
        const char *value = doc_str_or(&sub, subject_types[i], NULL);
        if (value)
            attrs[n++] = (struct name_attr){subject_types[i], value};
    }
    if (doc_close(&sub, &e) != RC_OK) {
        m->err = e;
        return;
    }
    for (int k = 0; k < OFFICE_CERTS; k++)
        if (make_subject(attrs, n, c->name, (enum office_key)k, &c->subjects[k], &e) != RC_OK)
            doc_fail(m, "subject", e.key, "%s", e.text);
}

static void read_keys(struct doc_map *m, struct office_config *c)
{
    struct doc_map keys;
    struct err e = ERR_INIT;
    doc_sub(m, "keys", &keys);
    for (int k = 0; k < OFFICE_KEYS; k++) {
        c->keys[k] = mem_str(doc_str(&keys, key_names[k]));
        for (int i = 0; i < k; i++)
            if (strcmp(c->keys[i], c->keys[k]) == 0)
                doc_fail(&keys, key_names[k], "office.config",
                         "the same key as '%s': a key does one thing, so three keys are required",
                         key_names[i]);
    }
    if (doc_close(&keys, &e) != RC_OK && m->err.rc == RC_OK)
        m->err = e;
}

static void read_config(struct doc_map *m, struct office_config *c)
{
    doc_schema(m, "keymill.office-config.v1");
    const char *name = doc_str(m, "name");
    if (!name_valid(name))
        doc_fail(m, "name", "office.config", "1 to 64 of A-Z a-z 0-9 _ - are required, alphanumeric first");
    c->name = mem_str(name);
    c->pin_source = mem_str(doc_str_or(m, "pin-source", NULL));
    doc_token(m, false, &c->token);
    c->alg = alg_by_name(doc_str(m, "algorithm"));
    if (!c->alg)
        doc_fail(m, "algorithm", "office.config", "one of %s is required", alg_names());
    else if (c->alg->p11_derive == 0)
        doc_fail(m, "algorithm", "office.config",
                 "keys of type %s cannot agree, and the wrap key must: ec-p256 or ec-p384 is required",
                 c->alg->name);
    read_subject(m, c);
    read_keys(m, c);
    doc_sha256(m, "trust", c->trust);
    doc_sha256(m, "station-issuer", c->station_issuer);
}

enum rc office_config_parse(const char *name, struct span yaml, struct office_config **ret, struct err *e)
{
    struct doc *doc = NULL;
    enum rc rc = doc_parse_yaml(name, yaml, &doc, e);
    if (rc != RC_OK)
        return rc;

    struct office_config *c = mem_new(sizeof(*c));
    struct doc_map m;
    doc_open(&m, doc, doc_root(doc));
    read_config(&m, c);
    rc = doc_close(&m, e);
    doc_free(doc);
    if (rc == RC_OK) {
        *ret = c;
        c = NULL;
    }
    office_config_free(c);
    return rc;
}

static enum rc config_read(const char *path, struct office_config **ret, struct err *e)
{
    struct bytes text = BYTES_INIT;
    enum rc rc = file_read(path, FILE_SMALL_MAX, &text, e);
    if (rc == RC_OK)
        rc = office_config_parse(path, bytes_span(&text), ret, e);
    bytes_free(&text);
    return rc;
}

/* Not there at all. What cannot be looked at for another reason is file_read's to report. */
static bool absent(const char *path)
{
    struct stat st;
    return stat(path, &st) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

enum rc office_config_of(const char *home, struct office_config **ret, struct err *e)
{
    char *path = office_path(home, "office.yaml");
    enum rc rc;
    if (absent(path))
        rc = err_set(e, RC_CONFLICT, "office.no-home",
                     "'%s' is not the home of an office: make one with 'keymill-office init'", home);
    else
        rc = config_read(path, ret, e);
    free(path);
    return rc;
}

static void take_token(struct office_config *c, char **ret_pin_source, struct token_settings *ret)
{
    *ret = c->token;
    *ret_pin_source = c->pin_source;
    c->pin_source = NULL;
    office_config_free(c);
}

enum rc office_token(const char *home, char **ret_pin_source, struct token_settings *ret, struct err *e)
{
    struct office_config *c = NULL;
    enum rc rc = office_config_of(home, &c, e);
    if (rc == RC_OK)
        take_token(c, ret_pin_source, ret);
    return rc;
}

enum rc office_config_token(const char *path, char **ret_pin_source, struct token_settings *ret,
                            struct err *e)
{
    struct office_config *c = NULL;
    enum rc rc = config_read(path, &c, e);
    if (rc == RC_OK)
        take_token(c, ret_pin_source, ret);
    return rc;
}
