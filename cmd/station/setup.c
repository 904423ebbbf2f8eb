/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "factory/station.h"
#include "hsm/token.h"
#include "station_cmd.h"

const struct cli_option init_options[] = {
    {"home", CLI_TEXT, "DIR", true, "the station's home directory, made when absent"},
    {"config", CLI_TEXT, "FILE", true, "station configuration (YAML)"},
    {0},
};

enum rc cmd_init(const struct cli_args *a, struct out *o, struct err *e)
{
    struct keystore *keys = NULL;
    bool is_new = false;
    enum rc rc = station_keys(cli_text(a, "config"), &keys, e);

    if (rc == RC_OK)
        rc = station_init(cli_text(a, "home"), cli_text(a, "config"), keys, &is_new, e);
    if (rc == RC_OK) {
        out_str(o, "home", cli_text(a, "home"));
        out_bool(o, "new", is_new);
        if (is_new)
            out_note(
                o,
                "Next: have manifest.csr certified (profile station-manifest), then import the certificate.");
    }
    tokens_close(keys);
    return rc;
}

const struct cli_option import_options[] = {
    {"home", CLI_TEXT, "DIR", true, "the station's home directory"},
    {"cert", CLI_TEXT, "FILE", true, "the certificate (PEM or DER)"},
    {"chain", CLI_TEXT, "FILE", true, "CA certificates up to the root, and their CRLs (PEM)"},
    {0},
};

enum rc cmd_import(const struct cli_args *a, struct out *o, struct err *e)
{
    struct keystore *keys = NULL;
    const char *role = NULL;
    bool is_new = false;
    enum rc rc = station_keys(cli_text(a, "home"), &keys, e);

    if (rc == RC_OK)
        rc = station_import(cli_text(a, "home"), keys, cli_text(a, "cert"), cli_text(a, "chain"), &role,
                            &is_new, e);
    if (rc == RC_OK) {
        out_str(o, "role", role);
        out_bool(o, "new", is_new);
        if (is_new && strcmp(role, "station-manifest") == 0)
            out_note(o,
                     "Next: have seal.csr certified (profile station-seal), then import that certificate.");
    }
    tokens_close(keys);
    return rc;
}
