/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include "cloud/target.h"

const struct cli_option status_options[] = {TARGET_OPTION, OPTIONS_END};

enum rc status_run(const struct cli_args *args, struct out *out, struct err *e)
{
    struct target *t = NULL;
    struct target_status s;

    enum rc rc = target_read(cli_text(args, "target"), &t, e);
    if (rc == RC_OK)
        rc = target_get_status(t, &s, e);
    if (rc == RC_OK) {
        out_str(out, "target", t->name);
        out_int(out, "registered", (int64_t)s.registered);
        out_int(out, "released", (int64_t)s.released);
        out_int(out, "revoked", (int64_t)s.revoked);
        out_int(out, "revoked_issuers", (int64_t)s.revoked_issuers);
        out_int(out, "release_sequence", (int64_t)s.release_sequence);
        out_int(out, "revocation_sequence", (int64_t)s.revocation_sequence);
        out_str(out, "doubt", s.doubt.rc == RC_OK ? NULL : s.doubt.text);
    }
    target_free(t);
    return rc;
}
