/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

const struct cli_option import_options[] = {
    HOME_OPTION,
    {"cert", CLI_TEXT, "FILE", true, "certificate that the root made for the request"},
    {"chain", CLI_TEXT, "FILE", true, "certificates up to the root, and their CRLs (PEM)"},
    OPTIONS_END,
};

enum rc import_run(const struct cli_args *args, struct out *out, struct err *e)
{
    const char *home = cli_text(args, "home");
    bool fresh = false, crls = false;
    enum rc rc = ca_import(home, cli_text(args, "cert"), cli_text(args, "chain"), &fresh, &crls, e);
    if (rc == RC_OK)
        rc = show_home(home, out, e);
    if (rc == RC_OK) {
        out_bool(out, "new", fresh);
        out_bool(out, "new_crls", crls);
    }
    return rc;
}
