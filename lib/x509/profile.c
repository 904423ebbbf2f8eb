/* SPDX-License-Identifier: Apache-2.0 */
#include "x509/profile.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "doc/doc.h"
#include "sign/alg.h"
#include "x509/cert.h"
#include "x509/internal.h"
#include "x509/verify.h"

#define SCHEMA      "keymill.profile.v1"
#define ROLE_PREFIX "keymill-"
#define BAD         "x509.profile" /* the key of every refusal here */

enum {
    DAYS_MAX = 36525, /* a century */
    PATH_LEN_MAX = 8,
    EKU_TEXT_MAX = 64, /* octets with the NUL, as in struct cert */
};

static const char *const kinds[] = {"root", "ca", "leaf", NULL};
static const char *const subjects[] = {"fixed", "request", "device-id", NULL};
static const char *const skis[] = {"sha1", "rfc7093", "none", NULL};
static const char *const possessions[] = {"signature", "statement", NULL};

static const struct {
    const char *name;
    unsigned bit;
} usages[] = {
    {"digitalSignature", KU_DIGITAL_SIGNATURE},
    {"keyEncipherment", KU_KEY_ENCIPHERMENT},
    {"keyAgreement", KU_KEY_AGREEMENT},
    {"keyCertSign", KU_KEY_CERT_SIGN},
    {"cRLSign", KU_CRL_SIGN},
};

static const struct {
    const char *name, *oid;
} purposes[] = {
    {"serverAuth", "1.3.6.1.5.5.7.3.1"},
    {"clientAuth", "1.3.6.1.5.5.7.3.2"},
    {"OCSPSigning", EKU_OCSP_SIGNING},
};

/* A purpose by name or as it is; NULL when it is neither. */
static const char *purpose_oid(const char *text)
{
    size_t prefix = strlen(ROLE_PREFIX);

    for (size_t i = 0; i < sizeof purposes / sizeof purposes[0]; i++)
        if (strcmp(purposes[i].name, text) == 0)
            return purposes[i].oid;
    if (strncmp(text, ROLE_PREFIX, prefix) == 0) {
        for (int r = ROLE_OFFICE; r <= ROLE_CEREMONY_OFFICER; r++)
            if (strcmp(role_name((enum role)r), text + prefix) == 0)
                return role_oid((enum role)r);
        return NULL;
    }
    return strlen(text) < EKU_TEXT_MAX && oid_valid(text) ? text : NULL;
}

/* The length of a list that has at most max elements. */
static size_t list_len(struct doc_map *m, const char *key, size_t max)
{
    size_t n = doc_list_or_empty(m, key);

    if (n <= max)
        return n;
    doc_fail(m, key, BAD, "at most %zu entries are allowed", max);
    return 0;
}

static void read_attrs(struct doc_map *m, struct profile *p)
{
    size_t n = list_len(m, "attributes", PROFILE_ATTRS_MAX);

    for (size_t i = 0; i < n; i++) {
        struct doc_map one;
        const char *type, *value;
        struct err why;

        doc_list_map(m, "attributes", i, &one);
        type = doc_str(&one, "type");
        value = doc_str(&one, "value");
        if (doc_close(&one, &why)) {
            if (!m->err.rc)
                m->err = why;
            return;
        }
        p->attrs[p->nattrs].type = mem_str(type);
        p->attrs[p->nattrs++].value = mem_str(value);
    }
}

static void read_keys(struct doc_map *m, struct profile *p)
{
    size_t n = doc_list(m, "keys");

    if (n < 1 || n > PROFILE_ALGS_MAX) {
        doc_fail(m, "keys", BAD, "one to %d key types are required", PROFILE_ALGS_MAX);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const char *name = doc_list_str(m, "keys", i);
        const struct alg *a = alg_by_name(name);

        if (!a || a != alg_key(a)) { /* a scheme is chosen with the key, not in the profile */
            doc_fail(m, "keys", BAD, "'%s' is no key type: one of %s is required", name, alg_key_names());
            return;
        }
        p->algs[p->nalgs++] = a;
    }
}

static void read_key_usage(struct doc_map *m, struct profile *p)
{
    size_t n = doc_list(m, "key-usage");

    for (size_t i = 0; i < n; i++) {
        const char *name = doc_list_str(m, "key-usage", i);
        unsigned bit = 0;

        for (size_t k = 0; k < sizeof usages / sizeof usages[0]; k++)
            if (strcmp(usages[k].name, name) == 0)
                bit = usages[k].bit;
        if (bit == 0 || p->key_usage & bit) {
            doc_fail(
                m, "key-usage", BAD,
                "'%s': digitalSignature, keyEncipherment, keyAgreement, keyCertSign and cRLSign are allowed, each once",
                name);
            return;
        }
        p->key_usage |= bit;
    }
    if (p->key_usage == 0)
        doc_fail(m, "key-usage", BAD, "at least one usage is required (RFC 5280 4.2.1.3)");
}

static void read_ekus(struct doc_map *m, struct profile *p)
{
    size_t n = list_len(m, "extended-key-usage", PROFILE_EKUS_MAX);

    for (size_t i = 0; i < n; i++) {
        const char *text = doc_list_str(m, "extended-key-usage", i);
        const char *oid = purpose_oid(text);

        if (!oid) {
            doc_fail(
                m, "extended-key-usage", BAD,
                "'%s': serverAuth, clientAuth, OCSPSigning, keymill-<role> or a dotted object identifier is required",
                text);
            return;
        }
        for (size_t k = 0; k < p->nekus; k++)
            if (strcmp(p->ekus[k], oid) == 0)
                doc_fail(m, "extended-key-usage", BAD, "'%s' is there twice", text);
        p->ekus[p->nekus++] = mem_str(oid);
    }
}

static bool has_eku(const struct profile *p, const char *oid)
{
    for (size_t i = 0; i < p->nekus; i++)
        if (strcmp(p->ekus[i], oid) == 0)
            return true;
    return false;
}

/* RFC 5480 3 and RFC 8813 3, RFC 4055 1.2, RFC 8410 5: what a key of a type can be for. */
static void check_usages(struct doc_map *m, const struct profile *p)
{
    for (size_t i = 0; i < p->nalgs; i++) {
        if (p->key_usage & KU_KEY_AGREEMENT && p->algs[i]->family != ALG_EC)
            doc_fail(m, "key-usage", BAD, "keyAgreement is for EC keys, not for %s", p->algs[i]->name);
        if (p->key_usage & KU_KEY_ENCIPHERMENT && p->algs[i]->family != ALG_RSA)
            doc_fail(m, "key-usage", BAD, "keyEncipherment is for RSA keys, not for %s", p->algs[i]->name);
    }
}

static void check_ca(struct doc_map *m, const struct profile *p)
{
    if (!(p->key_usage & KU_KEY_CERT_SIGN))
        doc_fail(m, "key-usage", BAD, "a CA has keyCertSign (RFC 5280 4.2.1.9)");
    if (p->key_usage & KU_KEY_ENCIPHERMENT)
        doc_fail(m, "key-usage", BAD, "nothing is encrypted to a CA's key (RFC 4055 1.2)");
    if (p->ski == SKI_NONE)
        doc_fail(m, "key-identifier", BAD, "a CA has a key identifier (RFC 5280 4.2.1.2)");
    if (p->possession == POSSESSION_STATEMENT)
        doc_fail(m, "possession", BAD, "a CA signs its request with its own key");
    for (size_t i = 0; i < p->nekus; i++)
        if (role_of_oid(p->ekus[i]) >= 0 || strcmp(p->ekus[i], EKU_OCSP_SIGNING) == 0 ||
            strcmp(p->ekus[i], EKU_ANY) == 0)
            doc_fail(m, "extended-key-usage", BAD, "'%s' is for leaves alone, a CA must not have it",
                     p->ekus[i]);
    if (p->subject == SUBJECT_FROM_DEVICE_ID || p->san_from_request || p->ocsp_nocheck)
        doc_fail(m, "kind", BAD, "a CA has no device id, no subject alternative names and no ocsp_nocheck");
}

static void check_leaf(struct doc_map *m, const struct profile *p)
{
    bool statement = p->possession == POSSESSION_STATEMENT;

    if (p->key_usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN))
        doc_fail(m, "key-usage", BAD, "keyCertSign and cRLSign are for CAs alone (RFC 5280 4.2.1.3)");
    if (p->path_len >= 0)
        doc_fail(m, "path-length", BAD, "a leaf has no path length (RFC 5280 4.2.1.9)");
    if (statement == ((p->key_usage & KU_DIGITAL_SIGNATURE) != 0))
        doc_fail(
            m, "possession", BAD,
            "'statement' is for keys without digitalSignature, 'signature' for those with it (RFC 9883)");
    if (p->ocsp_nocheck && !has_eku(p, EKU_OCSP_SIGNING))
        doc_fail(m, "ocsp-nocheck", BAD, "it goes with the purpose OCSPSigning (RFC 6960 4.2.2.2.1)");
}

static void check_attrs(struct doc_map *m, const struct profile *p)
{
    struct bytes name = BYTES_INIT;
    struct err why;

    if (p->nattrs && p->subject != SUBJECT_FROM_DEVICE_ID)
        doc_fail(m, "attributes", BAD, "they are for subjects made from a device id");
    for (size_t i = 0; i < p->nattrs; i++)
        if (strcmp(p->attrs[i].type, "CN") == 0)
            doc_fail(m, "attributes", BAD, "the common name is the device id, and the only one");
    if (name_encode(p->attrs, p->nattrs, &name, &why))
        doc_fail(m, "attributes", BAD, "%s", why.text);
    bytes_free(&name);
}

static void check(struct doc_map *m, const struct profile *p)
{
    if (!name_valid(p->name))
        doc_fail(m, "name", BAD,
                 "1 to 64 of letters, digits, _ and -, a letter or digit first, are required");
    if (p->max_days && p->default_days > p->max_days)
        doc_fail(m, "default-days", BAD, "it is over max_days");
    if (p->kind == PROFILE_LEAF)
        check_leaf(m, p);
    else
        check_ca(m, p);
    check_usages(m, p);
    check_attrs(m, p);
}

static enum rc read_profile(const struct doc *d, struct profile *p, struct err *e)
{
    struct doc_map m;

    doc_open(&m, d, doc_root(d));
    doc_schema(&m, SCHEMA);
    p->name = mem_str(doc_str(&m, "name"));
    p->kind = (enum profile_kind)doc_word(&m, "kind", kinds);
    p->subject = (enum subject_rule)doc_word(&m, "subject", subjects);
    read_attrs(&m, p);
    read_keys(&m, p);
    p->path_len = (int)doc_int_or(&m, "path-length", 0, PATH_LEN_MAX, -1);
    read_key_usage(&m, p);
    read_ekus(&m, p);
    p->ski = (enum ski_method)doc_word(&m, "key-identifier", skis);
    p->possession = (enum possession)doc_word(&m, "possession", possessions);
    p->san_from_request = doc_bool_or(&m, "san-from-request", false);
    p->ocsp_nocheck = doc_bool_or(&m, "ocsp-nocheck", false);
    p->default_days = doc_int_or(&m, "default-days", 1, DAYS_MAX, 0);
    p->max_days = doc_int_or(&m, "max-days", 1, DAYS_MAX, 0);
    if (!m.err.rc)
        check(&m, p);
    return doc_close(&m, e);
}

/* Takes the document. */
static enum rc from_doc(struct doc *d, struct profile **ret, struct err *e)
{
    struct profile *p = mem_new(sizeof *p);
    enum rc rc = read_profile(d, p, e);

    if (rc)
        goto out;
    *ret = p;
    p = NULL;
out:
    profile_free(p);
    doc_free(d);
    return rc;
}

enum rc profile_parse(const char *name, struct span yaml, struct profile **ret, struct err *e)
{
    struct doc *d = NULL;
    enum rc rc = doc_parse_yaml(name, yaml, &d, e);

    return rc ? rc : from_doc(d, ret, e);
}

static enum rc load_path(const char *path, struct profile **ret, struct err *e)
{
    struct doc *d = NULL;
    enum rc rc = doc_read_yaml(path, &d, e);

    return rc ? rc : from_doc(d, ret, e);
}

/* From the profile folder, where the file is called as the profile is. */
static enum rc load_named(const char *name, struct profile **ret, struct err *e)
{
    char *rel = NULL, *path = NULL;
    struct profile *p = NULL;
    enum rc rc;

    if (!name_valid(name))
        return err_set(
            e, RC_INPUT, BAD,
            "profile '%s': a name of letters, digits, _ and -, or a path with a '/' in it, is required",
            name);
    rel = mem_printf("profiles/%s.yaml", name);
    rc = path_data(rel, &path, e);
    if (rc)
        goto out;
    if (!file_exists(path)) {
        rc = err_set(e, RC_INPUT, BAD, "profile '%s' does not exist: there is no file '%s'", name, path);
        goto out;
    }
    rc = load_path(path, &p, e);
    if (!rc && strcmp(p->name, name) != 0)
        rc = err_set(e, RC_INPUT, BAD, "profile '%s': the file '%s' calls itself '%s'", name, path, p->name);
    if (rc)
        goto out;
    *ret = p;
    p = NULL;
out:
    profile_free(p);
    free(path);
    free(rel);
    return rc;
}

enum rc profile_load(const char *name, struct profile **ret, struct err *e)
{
    return strchr(name, '/') ? load_path(name, ret, e) : load_named(name, ret, e);
}

/* attrs are const for their users; they are ours. */
static void free_const(const char *s)
{
    free((void *)(uintptr_t)s);
}

void profile_free(struct profile *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->nattrs; i++) {
        free_const(p->attrs[i].type);
        free_const(p->attrs[i].value);
    }
    for (size_t i = 0; i < p->nekus; i++)
        free(p->ekus[i]);
    free(p->name);
    free(p);
}

enum rc profile_allows_key(const struct profile *p, const struct alg *a, const char *subject, struct err *e)
{
    struct bytes names = BYTES_INIT;

    for (size_t i = 0; i < p->nalgs; i++)
        if (p->algs[i] == alg_key(a))
            return RC_OK;
    for (size_t i = 0; i < p->nalgs; i++)
        bytes_printf(&names, "%s%s", i ? " or " : "", p->algs[i]->name);
    if (subject)
        (void)err_set(e, RC_INPUT, "x509.key-type",
                      "cannot issue '%s': profile '%s': a key of type %s is required, got %s", subject,
                      p->name, bytes_str(&names), a->name);
    else
        (void)err_set(e, RC_INPUT, "x509.key-type", "profile '%s': a key of type %s is required, got %s",
                      p->name, bytes_str(&names), a->name);
    bytes_free(&names);
    return RC_INPUT;
}
