/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include "cloud/target.h"

const struct cli_option push_options[] = {
    TARGET_OPTION,
    {"checkpoint", CLI_TEXT, "FILE", true, "the station's signature over the manifest"},
    OPTIONS_END,
};

enum rc push_run(const struct cli_args *args, struct out *out, struct err *e)
{
    struct target *t = NULL;
    struct target_report r;

    enum rc rc = target_read(cli_text(args, "target"), &t, e);
    if (rc == RC_OK)
        rc = target_push(t, cli_operand(args, 0), cli_text(args, "checkpoint"), &r, e);
    if (rc == RC_OK) {
        out_str(out, "target", t->name);
        out_int(out, "devices", (int64_t)r.devices);
        out_bool(out, "new", r.is_new);
    }
    target_free(t);
    return rc;
}
