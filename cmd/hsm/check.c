/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include <stdlib.h>

const struct cli_option check_options[] = {
    {"usage", CLI_TEXT, "USAGE", true, "what the key is meant for: sign, derive or decrypt"},
    PIN_SOURCE_OPTION,
    OPTIONS_END,
};

/* Nothing that is not as it should be goes without a word. */
static void excepted(struct out *out, const struct key_info *keys, size_t n, enum key_usage usage)
{
    out_list(out, "excepted");
    for (size_t i = 0; i < n; i++) {
        char *text = key_policy_exceptions(&keys[i], usage, NULL);
        if (text) {
            out_row(out);
            out_str(out, "key", keys[i].label);
            out_hex(out, "id", bytes_span(&keys[i].id));
            out_str(out, "rules", text);
        }
        free(text);
    }
    out_list_end(out);
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
    if (rc == RC_OK) {
        out_int(out, "keys", (int64_t)n);
        out_list(out, "broken");
        rc = out_broken(out, keys, n, &usage, e);
        out_list_end(out);
        excepted(out, keys, n, usage);
        if (rc != RC_OK)
            out_failed_rows(out);
    }
    key_info_free(keys, n);
    tokens_close(store);
    return rc;
}
