/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include <stdlib.h>

#include "factory/office.h"
#include "hsm/token.h"

const struct cli_option init_options[] = {
    {"home", CLI_TEXT, "DIR", true, "the office's home directory, made when absent"},
    {"config", CLI_TEXT, "FILE", true, "the office's configuration (YAML)"},
    OPTIONS_END,
};

enum rc init_run(const struct cli_args *args, struct out *out, struct err *e)
{
    const char *home = cli_text(args, "home"), *config = cli_text(args, "config");
    struct keystore *keys = NULL;
    char *pin_source = NULL;
    struct token_settings token;
    bool is_new = false;
    enum rc rc = office_config_token(config, &pin_source, &token, e);
    if (rc == RC_OK)
        rc = office_keys(pin_source, &token, &keys, e);
    if (rc == RC_OK)
        rc = office_init(home, config, keys, &is_new, e);
    if (rc == RC_OK) {
        out_str(out, "home", home);
        out_bool(out, "new", is_new);
        out_note(
            out,
            "next: have %s/order.csr (profile office) and %s/release.csr (profile release) certified, then "
            "import both certificates",
            home, home);
    }
    tokens_close(keys);
    free(pin_source);
    return rc;
}

const struct cli_option import_options[] = {
    HOME_OPTION,
    {"cert", CLI_TEXT, "FILE", true, "the certificate (PEM or DER)"},
    {"chain", CLI_TEXT, "FILE", true, "the CAs up to the root and their CRLs (PEM)"},
    OPTIONS_END,
};

enum rc import_run(const struct cli_args *args, struct out *out, struct err *e)
{
    const char *role = NULL;
    bool is_new = false;
    enum rc rc = office_import(cli_text(args, "home"), cli_text(args, "cert"), cli_text(args, "chain"), &role,
                               &is_new, e);
    if (rc == RC_OK) {
        out_str(out, "role", role);
        out_bool(out, "new", is_new);
    }
    return rc;
}
