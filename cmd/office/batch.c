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
    {"workers", CLI_INT, "N", false,
     "processes that the CA's token is used by; default: the CA's configuration"},
    {"sessions", CLI_INT, "N", false, "sessions of each worker; default: the CA's configuration"},
    OPTIONS_END,
};

enum { POOL_MAX = 64 }; /* workers, and sessions of each: as in a configuration */

/* An option of the command line, which counts for more than the configuration. */
static enum rc pool_option(const struct cli_args *args, const char *name, int configured, int *ret,
                           struct err *e)
{
    int64_t n = cli_int(args, name, -1);
    if (n == 0 || n > POOL_MAX)
        return err_set(e, RC_USAGE, "office.pool", "'--%s %lld': 1 to %d are possible", name, (long long)n,
                       (int)POOL_MAX);
    *ret = n < 0 ? configured : (int)n;
    return RC_OK;
}

static enum rc pool_options(const struct cli_args *args, const struct token_settings *t,
                            struct token_options *ret, struct err *e)
{
    enum rc rc = pool_option(args, "workers", t->workers, &ret->workers, e);
    return rc == RC_OK ? pool_option(args, "sessions", t->sessions, &ret->sessions, e) : rc;
}

/* The CA's key signs by the thousand: its token gets all the workers that suit it. */
static enum rc open_ca(const struct cli_args *args, struct keystore **ret_keys, struct ca **ret,
                       struct err *e)
{
    const char *home = cli_text(args, "ca");
    struct ca_config *config = NULL;
    enum rc rc = ca_home_config(home, &config, e);
    if (rc == RC_OK) {
        struct token_options options = {.pin_source = config->pin_source,
                                        .one_shot = false,
                                        .deadline_ms = config->token.deadline_ms,
                                        .patience_ms = config->token.patience_ms};
        rc = pool_options(args, &config->token, &options, e);
        if (rc == RC_OK)
            rc = tokens_open(&options, ret_keys, e);
    }
    if (rc == RC_OK)
        rc = ca_open(home, *ret_keys, ret, e);
    ca_config_free(config);
    return rc;
}

static void show(const struct batch_report *r, const char *folder, struct out *out)
{
    char verified[VERIFY_TEXT];
    out_str(out, "batch", folder);
    out_int(out, "devices", (int64_t)r->count);
    out_int(out, "made", (int64_t)r->made);
    out_int(out, "resumed", (int64_t)r->resumed);
    verify_text((size_t)r->verify_every, verified);
    out_str(out, "signatures_verified", verified);
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
        rc = open_ca(args, &ca_keys, &ca, e);
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
