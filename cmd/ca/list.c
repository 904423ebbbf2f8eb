/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

const struct cli_option list_options[] = {
    HOME_OPTION,
    OPTIONS_END,
};

static void row(void *arg, const struct ca_row *r)
{
    struct out *out = arg;
    out_row(out);
    out_str(out, "serial", r->serial_hex);
    out_str(out, "state", r->state);
    out_str(out, "profile", r->profile);
    out_str(out, "subject", r->subject);
    out_time(out, "not_before", r->not_before);
    out_time(out, "not_after", r->not_after);
    if (r->id != NULL)
        out_str(out, "id", r->id);
    if (r->revoked_at != 0)
        out_time(out, "revoked_at", r->revoked_at);
    if (r->reason != NULL)
        out_str(out, "reason", r->reason);
}

enum rc list_run(const struct cli_args *args, struct out *out, struct err *e)
{
    struct ca *ca = NULL;
    enum rc rc = ca_open(cli_text(args, "home"), NULL, &ca, e);
    if (rc == RC_OK) {
        out_list(out, "certificates");
        rc = ca_list(ca, row, out, e);
        out_list_end(out);
    }
    ca_close(ca);
    return rc;
}
