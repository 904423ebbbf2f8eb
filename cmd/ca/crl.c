/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/token.h"
#include "verbs.h"

const struct cli_option crl_options[] = {
    HOME_OPTION,
    {"out", CLI_TEXT, "FILE", true, "where the CRL goes (PEM); an older one of this CA is replaced"},
    OPTIONS_END,
};

enum rc crl_run(const struct cli_args *args, struct out *out, struct err *e)
{
    const char *file = cli_text(args, "out");
    struct keystore *keys = NULL;
    struct ca *ca = NULL;
    uint64_t number = 0;
    int64_t next_update = 0;
    enum rc rc = open_home(args, &keys, &ca, e);
    if (rc == RC_OK)
        rc = ca_crl(ca, file, false, &number, &next_update, e);
    if (rc == RC_OK) {
        out_str(out, "crl", file);
        out_int(out, "number", (int64_t)number);
        out_time(out, "next_update", next_update);
    }
    ca_close(ca);
    tokens_close(keys);
    return rc;
}
