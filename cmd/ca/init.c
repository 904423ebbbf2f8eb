/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/token.h"
#include "verbs.h"

const struct cli_option init_options[] = {
    HOME_OPTION,
    {"config", CLI_TEXT, "FILE", true, "configuration of the root"},
    OPTIONS_END,
};

enum rc init_run(const struct cli_args *args, struct out *out, struct err *e)
{
    const char *home = cli_text(args, "home"), *config = cli_text(args, "config");
    struct keystore *keys = NULL;
    bool fresh = false;
    enum rc rc = keys_of_config(config, &keys, e);
    if (rc == RC_OK)
        rc = ca_init(home, config, keys, &fresh, e);
    if (rc == RC_OK)
        rc = show_home(home, out, e);
    if (rc == RC_OK)
        out_bool(out, "new", fresh);
    tokens_close(keys);
    return rc;
}
