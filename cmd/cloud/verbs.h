/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_CLOUD_VERBS_H
#define CMD_CLOUD_VERBS_H

#include "cli/cli.h"
#include "cli/out.h"

extern const struct cli_option push_options[], release_options[], revoke_options[], status_options[];

enum rc push_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc release_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc revoke_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc status_run(const struct cli_args *args, struct out *out, struct err *e);

#define TARGET_OPTION                                                                                        \
    {                                                                                                        \
        "target", CLI_TEXT, "FILE", true, "the target's YAML file"                                           \
    }
#define OPTIONS_END                                                                                          \
    {                                                                                                        \
        NULL, CLI_TEXT, NULL, false, NULL                                                                    \
    }

#endif
