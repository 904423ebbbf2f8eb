/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include "factory/office.h"

static void show(const struct list_report *r, const char *file, struct out *out)
{
    out_str(out, "list", file);
    out_int(out, "sequence", (int64_t)r->sequence);
    out_int(out, "devices", (int64_t)r->devices);
    out_bool(out, "new", r->is_new);
    if (r->no_manifest > 0)
        out_note(
            out,
            "no manifest is in yet from %llu of the order's stations: their devices are not on this list, "
            "and none of them will ever be released",
            (unsigned long long)r->no_manifest);
}

const struct cli_option release_options[] = {
    HOME_OPTION,
    {"ids", CLI_TEXT, "FILE", true, "the devices' ids, one a line"},
    {"out", CLI_TEXT, "FILE", true, "the signed release list"},
    OPTIONS_END,
};

enum rc release_run(const struct cli_args *args, struct out *out, struct err *e)
{
    struct session s = {NULL, NULL};
    struct list_report r;
    enum rc rc = office_begin(args, &s, e);
    if (rc == RC_OK)
        rc = office_release(s.office, cli_text(args, "ids"), cli_text(args, "out"), &r, e);
    if (rc == RC_OK)
        show(&r, cli_text(args, "out"), out);
    office_end(&s);
    return rc;
}

const struct cli_option revoke_options[] = {
    HOME_OPTION,
    {"ids", CLI_TEXT, "FILE", false, "the devices' ids, one a line"},
    {"order", CLI_TEXT, "ORDER", false, "every device of this order"},
    {"issuer", CLI_TEXT, "FILE", false, "every device of this CA (its certificate)"},
    {"reason", CLI_TEXT, "NAME", true, "CRLReason of RFC 5280: keyCompromise, superseded, ..."},
    {"out", CLI_TEXT, "FILE", true, "the signed revocation list"},
    OPTIONS_END,
};

enum rc revoke_run(const struct cli_args *args, struct out *out, struct err *e)
{
    struct session s = {NULL, NULL};
    struct list_report r;
    enum rc rc = office_begin(args, &s, e);
    if (rc == RC_OK)
        rc = office_revoke(s.office, cli_text(args, "ids"), cli_text(args, "order"), cli_text(args, "issuer"),
                           cli_text(args, "reason"), cli_text(args, "out"), &r, e);
    if (rc == RC_OK)
        show(&r, cli_text(args, "out"), out);
    office_end(&s);
    return rc;
}
