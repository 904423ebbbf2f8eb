/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

const struct cli_option revoke_options[] = {
    HOME_OPTION,
    {"serial", CLI_TEXT, "HEX", true, "serial number of the certificate"},
    {"reason", CLI_TEXT, "NAME", true, "RFC 5280 reason: keyCompromise, superseded, ..."},
    OPTIONS_END,
};

enum rc revoke_run(const struct cli_args *args, struct out *out, struct err *e)
{
    const char *serial = cli_text(args, "serial"), *reason = cli_text(args, "reason");
    struct ca *ca = NULL;
    bool fresh = false;
    enum rc rc = ca_open(cli_text(args, "home"), NULL, &ca, e);
    if (rc == RC_OK)
        rc = ca_revoke(ca, serial, reason, &fresh, e);
    if (rc == RC_OK) {
        out_str(out, "serial", serial);
        out_str(out, "reason", reason);
        out_bool(out, "new", fresh);
        out_note(out, "nobody knows before the next CRL: run 'keymill-ca crl' and publish it");
    }
    ca_close(ca);
    return rc;
}
