/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include <stdlib.h>

const struct cli_option init_options[] = {
    {"label", CLI_TEXT, "LABEL", true, "label of the new token, 1 to 32 octets"},
    {"so-pin-source", CLI_TEXT, "SOURCE", true, "where the security officer's PIN is"},
    {"pin-source", CLI_TEXT, "SOURCE", true, "where the user's PIN is"},
    {"module", CLI_TEXT, "PATH", false, "PKCS#11 module that holds the free token"},
    OPTIONS_END,
};

enum rc init_run(const struct cli_args *args, struct out *out, struct err *e)
{
    const char *label = cli_text(args, "label");
    char *serial = NULL;
    enum rc rc = token_init(cli_text(args, "module"), label, cli_text(args, "so-pin-source"),
                            cli_text(args, "pin-source"), &serial, e);
    if (rc == RC_OK) {
        out_str(out, "token", label);
        out_str(out, "serial", serial);
    }
    free(serial);
    return rc;
}
