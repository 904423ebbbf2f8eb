/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

const struct cli_option check_options[] = {
    {"usage", CLI_TEXT, "USAGE", true, "what the key is meant for: sign or derive"},
    PIN_SOURCE_OPTION,
    OPTIONS_END,
};

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

/* Every key that the URI names; the error is the first one's. */
static enum rc check_keys(const struct key_info *keys, size_t n, enum key_usage usage, struct out *out,
                          struct err *e)
{
    struct err first = ERR_INIT;
    out_int(out, "keys", (int64_t)n);
    out_list(out, "broken");
    for (size_t i = 0; i < n; i++) {
        struct checked c = {out, &keys[i]};
        struct err one = ERR_INIT;
        if (key_policy_check(&keys[i], usage, broken, &c, &one) != RC_OK && first.rc == RC_OK)
            first = one;
    }
    out_list_end(out);
    if (first.rc == RC_OK)
        return RC_OK;
    out_failed_rows(out);
    *e = first;
    return first.rc;
}

enum rc check_run(const struct cli_args *args, struct out *out, struct err *e)
{
    enum key_usage usage = KEY_SIGN;
    struct keystore *store = NULL;
    struct key_info *keys = NULL;
    size_t n = 0;
    enum rc rc = usage_option(args, &usage, e);
    if (rc == RC_OK)
        rc = tokens_open_once(args, &store, e);
    if (rc == RC_OK)
        rc = token_keys(store, cli_operand(args, 0), &keys, &n, e);
    if (rc == RC_OK)
        rc = check_keys(keys, n, usage, out, e);
    key_info_free(keys, n);
    tokens_close(store);
    return rc;
}
