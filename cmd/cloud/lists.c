/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include "cloud/target.h"

typedef enum rc hand_over_fn(const struct target *t, const char *list, struct target_report *ret,
                             struct err *e);

static enum rc run(hand_over_fn *hand_over, const struct cli_args *args, struct out *out, struct err *e)
{
    struct target *t = NULL;
    struct target_report r;

    enum rc rc = target_read(cli_text(args, "target"), &t, e);
    if (rc == RC_OK)
        rc = hand_over(t, cli_operand(args, 0), &r, e);
    if (rc == RC_OK) {
        out_str(out, "target", t->name);
        out_int(out, "sequence", (int64_t)r.sequence);
        out_int(out, "devices", (int64_t)r.devices);
        out_bool(out, "new", r.is_new);
        if (r.doubt.rc != RC_OK)
            out_note(out, "put this right, what stands there is not believed: %s", r.doubt.text);
    }
    target_free(t);
    return rc;
}

const struct cli_option release_options[] = {TARGET_OPTION, OPTIONS_END};

enum rc release_run(const struct cli_args *args, struct out *out, struct err *e)
{
    return run(target_release, args, out, e);
}

const struct cli_option revoke_options[] = {TARGET_OPTION, OPTIONS_END};

enum rc revoke_run(const struct cli_args *args, struct out *out, struct err *e)
{
    return run(target_revoke, args, out, e);
}
