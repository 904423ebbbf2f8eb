/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_CA_VERBS_H
#define CMD_CA_VERBS_H

#include "ca/ca.h"
#include "cli/cli.h"
#include "cli/out.h"

#define HOME_OPTION                                                                                          \
    {                                                                                                        \
        "home", CLI_TEXT, "DIR", true, "home directory of the CA"                                            \
    }
#define OPTIONS_END                                                                                          \
    {                                                                                                        \
        NULL, CLI_TEXT, NULL, false, NULL                                                                    \
    }

/* What the verbs share (common.c). */

/* The keystore with the PIN source of a configuration file, or of the one kept in a home. No token is logged
 * in to before a key of it is used. Close with tokens_close. */
NODISCARD enum rc keys_of_config(const char *config_path, struct keystore **ret, struct err *e);
NODISCARD enum rc keys_of_home(const char *home, struct keystore **ret, struct err *e);
/* The CA in --home with its key. Close the CA first, then the keys. */
NODISCARD enum rc open_home(const struct cli_args *args, struct keystore **ret_keys, struct ca **ret,
                            struct err *e);
/* Subject, serial, fingerprint and validity of a certificate. */
void show_certificate(const struct cert *c, struct out *out);
/* The same of the CA in a home. */
NODISCARD enum rc show_home(const char *home, struct out *out, struct err *e);

extern const struct cli_option init_options[], request_options[], sign_ca_options[], import_options[],
    issue_options[], revoke_options[], crl_options[], list_options[], show_options[];

enum rc init_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc request_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc sign_ca_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc import_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc issue_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc revoke_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc crl_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc list_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc show_run(const struct cli_args *args, struct out *out, struct err *e);

#endif
