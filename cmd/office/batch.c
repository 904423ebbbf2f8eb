/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include "ca/ca.h"
#include "factory/office.h"
#include "hsm/token.h"

const struct cli_option batch_make_options[] = {
    HOME_OPTION,
    {"ca", CLI_TEXT, "DIR", true, "home of the CA that the order names"},
    {"order", CLI_TEXT, "FILE", true, "the signed order"},
    {"out", CLI_TEXT, "DIR", true, "the batch's folder; a killed run is taken up again in DIR.part"},
    {"station", CLI_TEXT, "NAME", false, "which of the order's stations, when it has several"},
    OPTIONS_END,
};

/* The CA's key signs by the thousand: its token gets all the workers that suit it. */
static enum rc open_ca(const char *home, struct keystore **ret_keys, struct ca **ret, struct err *e)
{
    struct ca_config *config = NULL;
    enum rc rc = ca_home_config(home, &config, e);
    if (rc == RC_OK) {
        struct token_options options = {.pin_source = config->pin_source, .one_shot = false};
        rc = tokens_open(&options, ret_keys, e);
    }
    if (rc == RC_OK)
        rc = ca_open(home, *ret_keys, ret, e);
    ca_config_free(config);
    return rc;
}

static void show(const struct batch_report *r, const char *folder, struct out *out)
{
    out_str(out, "batch", folder);
    out_int(out, "devices", (int64_t)r->count);
    out_int(out, "made", (int64_t)r->made);
    out_int(out, "resumed", (int64_t)r->resumed);
    out_int(out, "elapsed_ms", r->elapsed_ms);
    if (r->made > 0 && r->elapsed_ms > 0)
        out_int(out, "devices_per_second", (int64_t)r->made * 1000 / r->elapsed_ms);
    if (r->made == 0 && r->resumed == 0)
        out_note(out, "the batch was whole already");
}

enum rc batch_make_run(const struct cli_args *args, struct out *out, struct err *e)
{
    struct session s = {NULL, NULL};
    struct keystore *ca_keys = NULL;
    struct ca *ca = NULL;
    struct batch_report report;
    enum rc rc = office_begin(args, &s, e);
    if (rc == RC_OK)
        rc = open_ca(cli_text(args, "ca"), &ca_keys, &ca, e);
    if (rc == RC_OK)
        rc = office_batch_make(s.office, ca, cli_text(args, "order"), cli_text(args, "station"),
                               cli_text(args, "out"), &report, e);
    if (rc == RC_OK)
        show(&report, cli_text(args, "out"), out);
    ca_close(ca);
    tokens_close(ca_keys);
    office_end(&s);
    return rc;
}
