/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sign/digest.h"

enum { WORKERS_MAX = 64, SESSIONS_MAX = 64 };

enum rc tokens_open_once(const struct cli_args *args, struct keystore **ret, struct err *e)
{
    struct token_options opt = {.pin_source = cli_text(args, "pin-source"), .one_shot = true};
    return tokens_open(&opt, ret, e);
}

static enum rc number_option(const struct cli_args *args, const char *name, int max, int *ret, struct err *e)
{
    int64_t n = cli_int(args, name, 0);
    if (n > max || (n == 0 && cli_int(args, name, 1) == 0))
        return err_set(e, RC_USAGE, "hsm.options", "--%s '%lld': 1 to %d are possible", name, (long long)n,
                       max);
    *ret = (int)n;
    return RC_OK;
}

enum rc tokens_open_many(const struct cli_args *args, struct keystore **ret, struct err *e)
{
    struct token_options opt = {.pin_source = cli_text(args, "pin-source")};
    enum rc rc = number_option(args, "workers", WORKERS_MAX, &opt.workers, e);
    if (rc == RC_OK)
        rc = number_option(args, "sessions", SESSIONS_MAX, &opt.sessions, e);
    return rc == RC_OK ? tokens_open(&opt, ret, e) : rc;
}

enum rc usage_option(const struct cli_args *args, enum key_usage *ret, struct err *e)
{
    const char *usage = cli_text(args, "usage");
    for (enum key_usage u = KEY_SIGN; u <= KEY_DECRYPT; u++) {
        if (strcmp(usage, key_usage_name(u)) == 0) {
            *ret = u;
            return RC_OK;
        }
    }
    return err_set(e, RC_USAGE, "hsm.usage",
                   "usage '%s': a key is made to 'sign', to 'derive' or to 'decrypt'", usage);
}

const char *usage_text(const struct key_info *k, char *ret)
{
    snprintf(ret, 24, "%s%s%s", k->sign == 1 ? " sign" : "", k->derive == 1 ? " derive" : "",
             k->decrypt == 1 ? " decrypt" : "");
    return ret[0] ? ret + 1 : ret;
}

enum key_usage usage_of(const struct key_info *k)
{
    if (k->sign == 1)
        return KEY_SIGN;
    if (k->derive == 1)
        return KEY_DERIVE;
    return k->decrypt == 1 ? KEY_DECRYPT : KEY_SIGN;
}

bool policy_holds(const struct key_info *k)
{
    struct err ignored = ERR_INIT;
    return key_policy_check(k, usage_of(k), NULL, NULL, NULL, &ignored) == RC_OK;
}

const char *token_state(const struct token_info *t)
{
    if (!t->initialised)
        return "not initialised";
    if (t->pin_locked)
        return "PIN locked";
    if (t->pin_final_try)
        return "PIN: one try left";
    return t->pin_count_low ? "PIN: wrong tries" : "ready";
}

void out_spki(struct out *out, const struct key_info *k)
{
    uint8_t digest[SHA256_LEN];
    sha256(bytes_span(&k->spki), digest);
    if (k->spki.n)
        out_hex(out, "spki_sha256", (struct span){digest, sizeof digest});
    else
        out_str(out, "spki_sha256", NULL);
}

void out_exceptions(struct out *out, const struct key_info *k, enum key_usage usage)
{
    char *text = key_policy_exceptions(k, usage, NULL);
    out_str(out, "exceptions", text);
    free(text);
}

/* The key that broken rules are listed for. */
struct checked {
    struct out *out;
    const struct key_info *key;
};

static void broken(void *arg, const char *rule, const char *text)
{
    const struct checked *c = arg;
    out_row(c->out);
    out_str(c->out, "key", c->key->label);
    out_hex(c->out, "id", bytes_span(&c->key->id));
    out_str(c->out, "rule", rule);
    out_str(c->out, "text", text);
}

enum rc out_broken(struct out *out, const struct key_info *keys, size_t n, const enum key_usage *usage,
                   struct err *e)
{
    struct err first = ERR_INIT;
    for (size_t i = 0; i < n; i++) {
        struct checked c = {out, &keys[i]};
        struct err one = ERR_INIT;
        enum key_usage use = usage ? *usage : usage_of(&keys[i]);
        if (key_policy_check(&keys[i], use, NULL, broken, &c, &one) != RC_OK && first.rc == RC_OK)
            first = one;
    }
    if (first.rc != RC_OK)
        *e = first;
    return first.rc;
}

static const struct {
    const char *name;
    size_t offset; /* of the int in struct key_info */
} attributes[ATTRIBUTES] = {
    {"CKA_TOKEN", offsetof(struct key_info, token_object)},
    {"CKA_PRIVATE", offsetof(struct key_info, private_object)},
    {"CKA_MODIFIABLE", offsetof(struct key_info, modifiable)},
    {"CKA_LOCAL", offsetof(struct key_info, local)},
    {"CKA_SENSITIVE", offsetof(struct key_info, sensitive)},
    {"CKA_ALWAYS_SENSITIVE", offsetof(struct key_info, always_sensitive)},
    {"CKA_EXTRACTABLE", offsetof(struct key_info, extractable)},
    {"CKA_NEVER_EXTRACTABLE", offsetof(struct key_info, never_extractable)},
    {"CKA_SIGN", offsetof(struct key_info, sign)},
    {"CKA_SIGN_RECOVER", offsetof(struct key_info, sign_recover)},
    {"CKA_DERIVE", offsetof(struct key_info, derive)},
    {"CKA_DECRYPT", offsetof(struct key_info, decrypt)},
    {"CKA_UNWRAP", offsetof(struct key_info, unwrap)},
    {"CKA_ALWAYS_AUTHENTICATE", offsetof(struct key_info, always_authenticate)},
};

const char *attribute_name(size_t i)
{
    return attributes[i].name;
}

int attribute_value(const struct key_info *k, size_t i)
{
    int value;
    memcpy(&value, (const char *)k + attributes[i].offset, sizeof value);
    return value;
}

void key_row(const struct key_info *k, struct out *out)
{
    char usage[24];
    out_row(out);
    out_str(out, "label", k->label);
    out_hex(out, "id", bytes_span(&k->id));
    out_str(out, "algorithm", k->algorithm);
    out_str(out, "usage", usage_text(k, usage));
    out_str(out, "policy", policy_holds(k) ? "ok" : "broken");
}
