/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

const struct cli_option selftest_options[] = {PIN_SOURCE_OPTION, OPTIONS_END};

static void row(void *arg, const char *name, enum selftest_result result, const char *detail)
{
    static const char *const results[] = {"ok", "failed", "not supported"};
    struct out *out = arg;
    out_row(out);
    out_str(out, "step", name);
    out_str(out, "result", results[result]);
    out_str(out, "detail", detail);
}

enum rc selftest_run(const struct cli_args *args, struct out *out, struct err *e)
{
    struct keystore *store = NULL;
    enum rc rc = tokens_open_once(args, &store, e);
    out_list(out, "steps");
    if (rc == RC_OK)
        rc = token_selftest(store, cli_operand(args, 0), row, out, e);
    out_list_end(out);
    if (rc == RC_TOKEN)
        out_failed_rows(out);
    tokens_close(store);
    return rc;
}
