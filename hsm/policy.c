/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/token.h"

#include <stdlib.h>
#include <string.h>

/* A rule about one attribute. */
struct flag_rule {
    const char *rule;
    size_t offset; /* of the int in struct key_info */
    int wanted;
    bool may_be_unknown; /* a token that does not know the attribute cannot do what it allows */
    const char *text;
};

static const struct flag_rule storage_rules[] = {
    {"token-object", offsetof(struct key_info, token_object), 1, false,
     "it is a session object (CKA_TOKEN must be true)"},
    {"private", offsetof(struct key_info, private_object), 1, false,
     "it can be used without a login (CKA_PRIVATE must be true)"},
    {"sensitive", offsetof(struct key_info, sensitive), 1, false,
     "its value can be read (CKA_SENSITIVE must be true)"},
    {"always-sensitive", offsetof(struct key_info, always_sensitive), 1, false,
     "its value could be read at some time (CKA_ALWAYS_SENSITIVE must be true)"},
    {"not-extractable", offsetof(struct key_info, extractable), 0, false,
     "it can be wrapped out (CKA_EXTRACTABLE must be false)"},
    {"never-extractable", offsetof(struct key_info, never_extractable), 1, false,
     "it could be wrapped out at some time (CKA_NEVER_EXTRACTABLE must be true)"},
    {"generated-on-token", offsetof(struct key_info, local), 1, false,
     "it was not generated on the token (CKA_LOCAL must be true)"},
};

static const struct flag_rule sign_rules[] = {
    {"usage-sign", offsetof(struct key_info, sign), 1, false, "it may not sign (CKA_SIGN must be true)"},
    {"usage-derive", offsetof(struct key_info, derive), 0, true,
     "it may derive, which a key for signing must not (CKA_DERIVE must be false)"},
};

static const struct flag_rule derive_rules[] = {
    {"usage-derive", offsetof(struct key_info, derive), 1, false,
     "it may not derive (CKA_DERIVE must be true)"},
    {"usage-sign", offsetof(struct key_info, sign), 0, true,
     "it may sign, which a key for deriving must not (CKA_SIGN must be false)"},
};

static const struct flag_rule other_rules[] = {
    {"usage-sign-recover", offsetof(struct key_info, sign_recover), 0, true,
     "it may sign with recovery (CKA_SIGN_RECOVER must be false)"},
    {"usage-decrypt", offsetof(struct key_info, decrypt), 0, true,
     "it may decrypt (CKA_DECRYPT must be false)"},
    {"usage-unwrap", offsetof(struct key_info, unwrap), 0, true,
     "it may unwrap keys (CKA_UNWRAP must be false)"},
};

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* What a check gathers: the caller's callback, and the first broken rule. */
struct check {
    const struct key_info *key;
    void (*broken)(void *arg, const char *rule, const char *text);
    void *arg;
    const char *first;
    size_t n;
};

static void rule_broken(struct check *c, const char *rule, const char *text)
{
    if (c->n++ == 0)
        c->first = text;
    if (c->broken)
        c->broken(c->arg, rule, text);
}

static void flags_check(struct check *c, const struct flag_rule *rules, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int have;
        memcpy(&have, (const char *)c->key + rules[i].offset, sizeof have);
        if (have != rules[i].wanted && !(have < 0 && rules[i].may_be_unknown))
            rule_broken(c, rules[i].rule, rules[i].text);
    }
}

enum rc key_policy_check(const struct key_info *k, enum key_usage usage,
                         void (*broken)(void *arg, const char *rule, const char *text), void *arg,
                         struct err *e)
{
    struct check c = {.key = k, .broken = broken, .arg = arg};
    flags_check(&c, storage_rules, COUNT(storage_rules));
    if (usage == KEY_SIGN)
        flags_check(&c, sign_rules, COUNT(sign_rules));
    else
        flags_check(&c, derive_rules, COUNT(derive_rules));
    flags_check(&c, other_rules, COUNT(other_rules));
    if (!k->algorithm[0])
        rule_broken(&c, "algorithm", "it is not an EC key on a curve of ours (ec-p256, ec-p384)");
    else if (k->spki.n == 0)
        rule_broken(
            &c, "public-key",
            "its public half is not in the token (a public key object with the same CKA_ID is needed)");
    if (k->same_label != 1)
        rule_broken(&c, "label-unique", "another private key in the token has the same label");
    if (c.n == 0)
        return RC_OK;
    return err_set(e, RC_DENIED, "hsm.key-policy", "key '%s' must not be used to %s: %s%s", k->label,
                   usage == KEY_SIGN ? "sign" : "derive", c.first,
                   c.n > 1 ? "; keymill-hsm check lists the other rules it breaks" : "; a new key is needed");
}

void key_info_free(struct key_info *k, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bytes_free(&k[i].id);
        bytes_free(&k[i].spki);
    }
    free(k);
}
