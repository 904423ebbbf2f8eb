/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include <stdlib.h>

const struct cli_option list_options[] = {
    {"pin-source", CLI_TEXT, "SOURCE", false, "log in to the one token and list its private keys too"},
    OPTIONS_END,
};

static enum rc list_tokens(const char *uri, struct out *out, struct err *e)
{
    struct token_info *list = NULL;
    size_t n = 0;
    enum rc rc = token_list(uri, &list, &n, e);
    if (rc != RC_OK)
        return rc;
    out_list(out, "tokens");
    for (size_t i = 0; i < n; i++) {
        out_row(out);
        out_str(out, "label", list[i].label);
        out_str(out, "serial", list[i].serial);
        out_str(out, "manufacturer", list[i].manufacturer);
        out_str(out, "model", list[i].model);
        out_str(out, "state", token_state(&list[i]));
        out_str(out, "module", list[i].module);
    }
    out_list_end(out);
    free(list);
    return RC_OK;
}

static enum rc list_keys(const struct cli_args *args, const char *uri, struct out *out, struct err *e)
{
    struct keystore *store = NULL;
    struct key_info *keys = NULL;
    size_t n = 0;
    enum rc rc = tokens_open_once(args, &store, e);
    if (rc == RC_OK)
        rc = token_keys(store, uri, &keys, &n, e);
    if (rc == RC_OK) {
        out_list(out, "keys");
        for (size_t i = 0; i < n; i++)
            key_row(&keys[i], out);
        out_list_end(out);
    }
    key_info_free(keys, n);
    tokens_close(store);
    return rc;
}

enum rc list_run(const struct cli_args *args, struct out *out, struct err *e)
{
    const char *uri = cli_operand(args, 0);
    enum rc rc = list_tokens(uri, out, e);
    if (rc == RC_OK && cli_text(args, "pin-source"))
        rc = list_keys(args, uri ? uri : "pkcs11:", out, e);
    return rc;
}
