/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "ca/internal.h"
#include "doc/doc.h"
#include "sign/alg.h"
#include "x509/name.h"

enum { CRL_DAYS_MAX = 3650 };

/* Most significant first, as directories and most software print them. */
static const char *const name_types[] = {"C", "ST", "L", "O", "OU", "serialNumber", "CN"};
enum { NAME_TYPES = sizeof(name_types) / sizeof(name_types[0]) };

static void read_subject(struct doc_map *m, struct ca_config *c, const char *name, struct err *e)
{
    struct doc_map sub;
    struct name_attr attrs[NAME_TYPES];
    size_t n = 0;
    doc_sub(m, "subject", &sub);
    for (size_t i = 0; i < NAME_TYPES; i++)
        if (doc_has(&sub, name_types[i]) || strcmp(name_types[i], "CN") == 0)
            attrs[n++] = (struct name_attr){name_types[i], doc_str(&sub, name_types[i])};
    if (doc_close(&sub, e) != RC_OK)
        return;
    if (name_encode(attrs, n, &c->subject, e) != RC_OK)
        err_prefix(e, "%s: 'subject'", name);
}

static void read_issues(struct doc_map *m, struct ca_config *c)
{
    size_t n = doc_list(m, "issues");
    if (n == 0 || n > CA_PROFILES_MAX)
        doc_fail(m, "issues", "ca.config", "1 to %d profiles are required, got %zu", (int)CA_PROFILES_MAX, n);
    for (size_t i = 0; i < n && i < CA_PROFILES_MAX; i++)
        c->issues[c->nissues++] = mem_str(doc_list_str(m, "issues", i));
}

/* A root says how long it lives; a subordinate says which root it belongs to. Neither says both. */
static void read_kind(struct doc_map *m, struct ca_config *c)
{
    c->has_trust = doc_has(m, "trust");
    if (c->has_trust)
        doc_sha256(m, "trust", c->trust);
    else
        c->validity_days = doc_int(m, "validity-days", 1, DAYS_MAX);
    if (c->has_trust && doc_has(m, "validity-days"))
        doc_fail(m, "validity-days", "ca.config",
                 "a CA with 'trust' gets its validity from the root above it; remove one of the two");
}

/* What stands in the audit log for ever: one line that says something. */
static bool reason_valid(const char *s)
{
    bool says = false;
    for (const char *p = s; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return false;
        says = says || *p != ' ';
    }
    return says && strlen(s) <= CA_REASON_MAX;
}

static bool rule_excepted(const struct ca_config *c, const char *rule)
{
    for (size_t i = 0; i < c->exceptions.n; i++)
        if (strcmp(c->exceptions.list[i].rule, rule) == 0)
            return true;
    return false;
}

static void unknown_rule(struct doc_map *m, const char *rule)
{
    struct bytes list = BYTES_INIT;
    for (const char *const *r = key_rules; *r != NULL; r++)
        bytes_printf(&list, "%s%s", r == key_rules ? "" : ", ", *r);
    doc_fail(m, "rule", "ca.key-exception", "'%s' is no rule of the key policy: one of %s is required", rule,
             bytes_str(&list));
    bytes_free(&list);
}

static struct key_exception read_exception(struct doc_map *m, const struct ca_config *c)
{
    const char *rule = doc_str(m, "rule"), *reason = doc_str(m, "reason");
    if (!key_rule_known(rule))
        unknown_rule(m, rule);
    if (rule_excepted(c, rule))
        doc_fail(m, "rule", "ca.key-exception", "'%s' stands twice", rule);
    if (!reason_valid(reason))
        doc_fail(m, "reason", "ca.key-exception",
                 "one line of at most %d octets is required: it stands in the audit log", (int)CA_REASON_MAX);
    return (struct key_exception){mem_str(rule), mem_str(reason)};
}

static void read_exceptions(struct doc_map *m, struct ca_config *c)
{
    size_t n = doc_list_or_empty(m, "key-exceptions");
    struct key_exception *list = NULL;
    for (size_t i = 0; m->err.rc == RC_OK && i < n; i++) {
        struct doc_map one;
        struct err e = ERR_INIT;
        doc_list_map(m, "key-exceptions", i, &one);
        list = mem_grow(list, i + 1, sizeof(*list));
        c->exceptions.list = list;
        list[i] = read_exception(&one, c);
        c->exceptions.n++;
        if (doc_close(&one, &e) != RC_OK)
            m->err = e;
    }
}

static void read_members(struct doc_map *m, struct ca_config *c)
{
    doc_schema(m, "keymill.ca-config.v1");
    c->name = mem_str(doc_str(m, "name"));
    if (!name_valid(c->name))
        doc_fail(m, "name", "ca.config",
                 "1 to 64 of A-Z, a-z, 0-9, _ and - are required, alphanumeric first");
    c->key = mem_str(doc_str(m, "key"));
    c->pin_source = mem_str(doc_str_or(m, "pin-source", NULL));
    const char *alg = doc_str(m, "algorithm");
    c->alg = alg_by_name(alg);
    if (c->alg == NULL)
        doc_fail(m, "algorithm", "ca.config", "one of %s is required, got '%s'", alg_names(), alg);
    doc_token(m, true, &c->token);
    read_exceptions(m, c);
    c->profile = mem_str(doc_str(m, "profile"));
    read_kind(m, c);
    c->crl_days = doc_int(m, "crl-days", 1, CRL_DAYS_MAX);
    read_issues(m, c);
}

enum rc config_parse(const char *name, struct span yaml, struct ca_config **ret, struct err *e)
{
    struct doc *doc = NULL;
    struct ca_config *c = NULL;
    struct doc_map m;
    enum rc rc = doc_parse_yaml(name, yaml, &doc, e);
    if (rc != RC_OK)
        goto out;
    c = mem_new(sizeof(*c));
    struct err subject = ERR_INIT;
    doc_open(&m, doc, doc_root(doc));
    read_members(&m, c);
    read_subject(&m, c, name, &subject);
    rc = doc_close(&m, e);
    if (rc == RC_OK && subject.rc != RC_OK) {
        *e = subject;
        rc = e->rc;
    }
    if (rc != RC_OK)
        goto out;
    *ret = c;
    c = NULL;
out:
    ca_config_free(c);
    doc_free(doc);
    return rc;
}

enum rc ca_config_read(const char *path, struct ca_config **ret, struct err *e)
{
    struct bytes text = BYTES_INIT;
    enum rc rc = file_read(path, FILE_SMALL_MAX, &text, e);
    if (rc == RC_OK)
        rc = config_parse(path, bytes_span(&text), ret, e);
    bytes_free(&text);
    return rc;
}

static const char *kind_name(enum profile_kind kind)
{
    return kind == PROFILE_ROOT ? "a root" : kind == PROFILE_CA ? "a subordinate CA" : "a leaf";
}

static enum rc own_profile_check(const char *path, const struct ca_config *c, enum profile_kind kind,
                                 struct err *e)
{
    struct profile *p = NULL;
    enum rc rc = profile_load(c->profile, &p, e);
    if (rc != RC_OK)
        return err_prefix(e, "%s: 'profile'", path);
    if (p->kind != kind)
        rc = err_set(e, RC_INPUT, "ca.config", "%s: 'profile': '%s' is for %s, this command makes %s", path,
                     c->profile, kind_name(p->kind), kind_name(kind));
    if (rc == RC_OK)
        rc = profile_allows_key(p, c->alg, c->name, e);
    profile_free(p);
    return rc;
}

static enum rc issues_check(const char *path, const struct ca_config *c, struct err *e)
{
    for (size_t i = 0; i < c->nissues; i++) {
        struct profile *p = NULL;
        if (profile_load(c->issues[i], &p, e) != RC_OK)
            return err_prefix(e, "%s: 'issues'", path);
        enum profile_kind kind = p->kind;
        profile_free(p);
        if (kind == PROFILE_ROOT)
            return err_set(e, RC_INPUT, "ca.config", "%s: 'issues': '%s' is for a root, which signs itself",
                           path, c->issues[i]);
    }
    return RC_OK;
}

enum rc config_check(const char *path, const struct ca_config *c, enum profile_kind kind, struct err *e)
{
    enum rc rc = own_profile_check(path, c, kind, e);
    if (rc == RC_OK)
        rc = issues_check(path, c, e);
    if (rc != RC_OK)
        return rc;
    if (c->has_trust != (kind == PROFILE_CA))
        return err_set(e, RC_INPUT, "ca.config",
                       "%s: a root has 'validity-days' and no 'trust', a subordinate CA has 'trust'", path);
    return RC_OK;
}

void ca_config_free(struct ca_config *c)
{
    if (c == NULL)
        return;
    free(c->name);
    free(c->key);
    free(c->pin_source);
    free(c->profile);
    bytes_free(&c->subject);
    for (size_t i = 0; i < c->nissues; i++)
        free(c->issues[i]);
    for (size_t i = 0; i < c->exceptions.n; i++) {
        free(c->exceptions.list[i].rule);
        free(c->exceptions.list[i].reason);
    }
    free((void *)(uintptr_t)c->exceptions.list); /* const for its users; it is ours */
    free(c);
}
