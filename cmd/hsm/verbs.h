/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_HSM_VERBS_H
#define CMD_HSM_VERBS_H

#include "cli/cli.h"
#include "cli/out.h"
#include "hsm/token.h"

extern const struct cli_option init_options[], list_options[], selftest_options[], keygen_options[],
    check_options[];

enum rc init_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc list_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc selftest_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc keygen_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc check_run(const struct cli_args *args, struct out *out, struct err *e);

/* --- common.c: what the verbs share */

#define PIN_SOURCE_OPTION                                                                                    \
    {                                                                                                        \
        "pin-source", CLI_TEXT, "SOURCE", false, "where the PIN is: file:PATH, fd:N, env:NAME or tty"        \
    }
#define OPTIONS_END                                                                                          \
    {                                                                                                        \
        NULL, CLI_TEXT, NULL, false, NULL                                                                    \
    }

/* A keystore for a handful of operations, with the PIN source of --pin-source. */
NODISCARD enum rc tokens_open_once(const struct cli_args *args, struct keystore **ret, struct err *e);
/* --usage. RC_USAGE hsm.usage. */
NODISCARD enum rc usage_option(const struct cli_args *args, enum key_usage *ret, struct err *e);
/* "sign", "derive", "sign derive" or "": what the key may be used for. */
const char *usage_text(const struct key_info *k);

#endif
