/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/token.h"

#include <stdlib.h>
#include <string.h>

#include "hsm/quirks.h"
#include "sign/alg.h"

/* A rule about one attribute. */
struct flag_rule {
    const char *rule;
    enum proto_flag flag;
    size_t offset; /* of the int in struct key_info */
    int wanted;
    bool may_be_unknown; /* a token that does not know the attribute cannot do what it allows */
    const char *text;
};
#define FLAG(flag, member) flag, offsetof(struct key_info, member)

static const struct flag_rule storage_rules[] = {
    {"token-object", FLAG(PROTO_F_TOKEN, token_object), 1, false,
     "it is a session object (CKA_TOKEN must be true)"},
    {"private", FLAG(PROTO_F_PRIVATE, private_object), 1, false,
     "it can be used without a login (CKA_PRIVATE must be true)"},
    {"sensitive", FLAG(PROTO_F_SENSITIVE, sensitive), 1, false,
     "its value can be read (CKA_SENSITIVE must be true)"},
    {"always-sensitive", FLAG(PROTO_F_ALWAYS_SENSITIVE, always_sensitive), 1, false,
     "its value could be read at some time (CKA_ALWAYS_SENSITIVE must be true)"},
    {"not-extractable", FLAG(PROTO_F_EXTRACTABLE, extractable), 0, false,
     "it can be wrapped out (CKA_EXTRACTABLE must be false)"},
    {"never-extractable", FLAG(PROTO_F_NEVER_EXTRACTABLE, never_extractable), 1, false,
     "it could be wrapped out at some time (CKA_NEVER_EXTRACTABLE must be true)"},
    {"generated-on-token", FLAG(PROTO_F_LOCAL, local), 1, false,
     "it was not generated on the token (CKA_LOCAL must be true)"},
    {"usage-sign-recover", FLAG(PROTO_F_SIGN_RECOVER, sign_recover), 0, true,
     "it may sign with recovery (CKA_SIGN_RECOVER must be false)"},
    {"usage-unwrap", FLAG(PROTO_F_UNWRAP, unwrap), 0, true, "it may unwrap keys (CKA_UNWRAP must be false)"},
};

/* Exactly one of three: what it is for. */
struct usage_rule {
    struct flag_rule must, must_not;
    enum key_usage usage;
};
static const struct usage_rule usage_rules[] = {
    {{"usage-sign", FLAG(PROTO_F_SIGN, sign), 1, false, "it may not sign (CKA_SIGN must be true)"},
     {"usage-sign", FLAG(PROTO_F_SIGN, sign), 0, true,
      "it may sign, and is not a key for that (CKA_SIGN must be false)"},
     KEY_SIGN},
    {{"usage-derive", FLAG(PROTO_F_DERIVE, derive), 1, false, "it may not derive (CKA_DERIVE must be true)"},
     {"usage-derive", FLAG(PROTO_F_DERIVE, derive), 0, true,
      "it may derive, and is not a key for that (CKA_DERIVE must be false)"},
     KEY_DERIVE},
    {{"usage-decrypt", FLAG(PROTO_F_DECRYPT, decrypt), 1, false,
      "it may not decrypt (CKA_DECRYPT must be true)"},
     {"usage-decrypt", FLAG(PROTO_F_DECRYPT, decrypt), 0, true,
      "it may decrypt, and is not a key for that (CKA_DECRYPT must be false)"},
     KEY_DECRYPT},
};

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* What a walk over the rules gathers: of those that do not hold, the ones that nothing excepts, and the
 * others as text. */
struct check {
    const struct key_info *key;
    const struct key_exceptions *allowed;
    void (*broken)(void *arg, const char *rule, const char *text);
    void *arg;
    const char *first;
    size_t n;
    struct bytes excepted;
};

static bool excepted_by_quirk(struct check *c, const struct flag_rule *r)
{
    const struct quirks *q = c->key->quirks;
    if (!q || !(q->unreliable & (1U << r->flag)))
        return false;
    bytes_printf(&c->excepted, "%s%s (quirk file '%s': %s)", c->excepted.n ? "; " : "", r->rule, q->name,
                 q->unreliable_why[r->flag]);
    return true;
}

static bool excepted_by_name(struct check *c, const char *rule)
{
    for (size_t i = 0; c->allowed && i < c->allowed->n; i++) {
        if (strcmp(c->allowed->list[i].rule, rule) != 0)
            continue;
        bytes_printf(&c->excepted, "%s%s (%s)", c->excepted.n ? "; " : "", rule, c->allowed->list[i].reason);
        return true;
    }
    return false;
}

static void rule_broken(struct check *c, const char *rule, const char *text)
{
    if (!key_rule_known(rule))
        bug("the key policy has no rule '%s'", rule);
    if (excepted_by_name(c, rule))
        return;
    if (c->n++ == 0)
        c->first = text;
    if (c->broken)
        c->broken(c->arg, rule, text);
}

static void flag_check(struct check *c, const struct flag_rule *r)
{
    int have;
    memcpy(&have, (const char *)c->key + r->offset, sizeof have);
    if (have == r->wanted || (have < 0 && r->may_be_unknown) || excepted_by_quirk(c, r))
        return;
    rule_broken(c, r->rule, r->text);
}

static bool alg_is_for(const struct alg *a, enum key_usage usage)
{
    return usage == KEY_SIGN || (usage == KEY_DERIVE ? a->p11_derive : a->p11_decrypt) != 0;
}

static void key_check(struct check *c, enum key_usage usage)
{
    const struct key_info *k = c->key;
    const struct alg *a = alg_by_name(k->algorithm);
    for (size_t i = 0; i < COUNT(storage_rules); i++)
        flag_check(c, &storage_rules[i]);
    for (size_t i = 0; i < COUNT(usage_rules); i++)
        flag_check(c, usage == usage_rules[i].usage ? &usage_rules[i].must : &usage_rules[i].must_not);
    if (!a)
        rule_broken(c, "algorithm",
                    "its type, curve or size is none of ours (ec-p256, ec-p384, ed25519, rsa-2048, rsa-3072, "
                    "rsa-4096)");
    else if (!alg_is_for(a, usage))
        rule_broken(c, "algorithm", "keys of its type are not for this");
    else if (k->spki.n == 0)
        rule_broken(
            c, "public-key",
            "its public half is not in the token (a public key object with the same CKA_ID is needed)");
    if (k->same_label != 1)
        rule_broken(c, "label-unique", "another private key in the token has the same label");
    if (k->same_id != 1)
        rule_broken(c, "id-unique", "another private key in the token has the same CKA_ID");
}

enum rc key_policy_check(const struct key_info *k, enum key_usage usage, const struct key_exceptions *allowed,
                         void (*broken)(void *arg, const char *rule, const char *text), void *arg,
                         struct err *e)
{
    struct check c = {.key = k, .allowed = allowed, .broken = broken, .arg = arg};
    key_check(&c, usage);
    bytes_free(&c.excepted);
    if (c.n == 0)
        return RC_OK;
    return err_set(e, RC_DENIED, "hsm.key-policy", "key '%s' must not be used to %s: %s%s", k->label,
                   key_usage_name(usage), c.first,
                   c.n > 1 ? "; keymill-hsm check lists the other rules it breaks" : "; a new key is needed");
}

char *key_policy_exceptions(const struct key_info *k, enum key_usage usage,
                            const struct key_exceptions *allowed)
{
    struct check c = {.key = k, .allowed = allowed};
    key_check(&c, usage);
    return (char *)c.excepted.p;
}

void key_info_fini(struct key_info *k)
{
    bytes_free(&k->id);
    bytes_free(&k->spki);
}

void key_info_free(struct key_info *k, size_t n)
{
    for (size_t i = 0; i < n; i++)
        key_info_fini(&k[i]);
    free(k);
}
