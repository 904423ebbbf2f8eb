/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/token.h"
#include "verbs.h"

const struct cli_option request_options[] = {
    HOME_OPTION,
    {"config", CLI_TEXT, "FILE", true, "configuration of the subordinate CA"},
    {"out", CLI_TEXT, "FILE.csr", true, "where the request goes (PEM)"},
    OPTIONS_END,
};

enum rc request_run(const struct cli_args *args, struct out *out, struct err *e)
{
    const char *config = cli_text(args, "config"), *file = cli_text(args, "out");
    struct keystore *keys = NULL;
    bool fresh = false;
    enum rc rc = keys_of_config(config, &keys, e);
    if (rc == RC_OK)
        rc = ca_request(cli_text(args, "home"), config, keys, file, &fresh, e);
    if (rc == RC_OK) {
        out_str(out, "request", file);
        out_bool(out, "new", fresh);
    }
    tokens_close(keys);
    return rc;
}
