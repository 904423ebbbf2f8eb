/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_OFFICE_VERBS_H
#define CMD_OFFICE_VERBS_H

#include "cli/cli.h"
#include "cli/out.h"

struct keystore;
struct office;

extern const struct cli_option init_options[], import_options[], order_new_options[], order_show_options[],
    batch_make_options[], manifest_verify_options[], ingest_options[], release_options[], revoke_options[];

enum rc init_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc import_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc order_new_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc order_show_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc batch_make_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc manifest_verify_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc ingest_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc release_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc revoke_run(const struct cli_args *args, struct out *out, struct err *e);

/* --- common.c: what the verbs share */

#define HOME_OPTION                                                                                          \
    {                                                                                                        \
        "home", CLI_TEXT, "DIR", true, "the office's home directory"                                         \
    }
#define OPTIONS_END                                                                                          \
    {                                                                                                        \
        NULL, CLI_TEXT, NULL, false, NULL                                                                    \
    }

struct token_settings;
/* The keystore that a configuration asks for, for a handful of operations. */
NODISCARD enum rc office_keys(const char *pin_source, const struct token_settings *t, struct keystore **ret,
                              struct err *e);
/* The office of --home with its keys. Both are closed by office_end, in any state. */
struct session {
    struct keystore *keys;
    struct office *office;
};
NODISCARD enum rc office_begin(const struct cli_args *args, struct session *ret, struct err *e);
void office_end(struct session *s);

#endif
