/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/evp.h"
#include "verbs.h"

static const struct cli_verb verbs[] = {
    {"push", "MANIFEST", 1, 1, push_options, "register a manifest's good devices, asleep", push_run},
    {"release", "LIST", 1, 1, release_options, "hand a signed release list over: its devices are let in",
     release_run},
    {"revoke", "LIST", 1, 1, revoke_options,
     "hand a signed revocation list over: its devices are out for ever", revoke_run},
    {"status", NULL, 0, 0, status_options, "count what is registered, released and revoked", status_run},
    {0},
};

static const struct cli_tool tool = {"keymill-cloud",
                                     "register, release and revoke devices where they connect", verbs};

int main(int argc, char **argv)
{
    evp_ignore_config();
    return cli_main(&tool, argc, argv);
}
