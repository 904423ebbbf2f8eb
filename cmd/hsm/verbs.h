/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_HSM_VERBS_H
#define CMD_HSM_VERBS_H

#include "cli/cli.h"
#include "cli/out.h"
#include "hsm/token.h"

extern const struct cli_option init_options[], list_options[], show_options[], selftest_options[],
    bench_options[], keygen_options[], check_options[], compare_options[], destroy_options[];

enum rc init_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc list_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc show_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc selftest_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc bench_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc keygen_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc check_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc compare_run(const struct cli_args *args, struct out *out, struct err *e);
enum rc destroy_run(const struct cli_args *args, struct out *out, struct err *e);

/* --- common.c: what the verbs share */

#define PIN_SOURCE_OPTION                                                                                    \
    {                                                                                                        \
        "pin-source", CLI_TEXT, "SOURCE", false,                                                             \
            "where the PIN is: file:PATH, fd:N, env:NAME, cred:NAME or tty"                                  \
    }
#define WORKERS_OPTION                                                                                       \
    {                                                                                                        \
        "workers", CLI_INT, "N", false, "processes that use the token; default: by token kind"               \
    }
#define SESSIONS_OPTION                                                                                      \
    {                                                                                                        \
        "sessions", CLI_INT, "N", false, "sessions of each of them; default: by token kind"                  \
    }
#define OPTIONS_END                                                                                          \
    {                                                                                                        \
        NULL, CLI_TEXT, NULL, false, NULL                                                                    \
    }

/* A keystore for a handful of operations, with the PIN source of --pin-source. */
NODISCARD enum rc tokens_open_once(const struct cli_args *args, struct keystore **ret, struct err *e);
/* A keystore for many, with --pin-source, --workers and --sessions. RC_USAGE hsm.options. */
NODISCARD enum rc tokens_open_many(const struct cli_args *args, struct keystore **ret, struct err *e);
/* --usage. RC_USAGE hsm.usage. */
NODISCARD enum rc usage_option(const struct cli_args *args, enum key_usage *ret, struct err *e);

/* "sign", "derive decrypt" or "": what the key may be used for. ret: 24 octets. */
const char *usage_text(const struct key_info *k, char *ret);
/* The one use that it is judged by. */
enum key_usage usage_of(const struct key_info *k);
/* Whether it keeps the policy for that use; one that may do several does not. */
bool policy_holds(const struct key_info *k);
/* "ready", "PIN: one try left", ... */
const char *token_state(const struct token_info *t);
/* Member spki_sha256: null when the public half is not known. */
void out_spki(struct out *out, const struct key_info *k);
/* A row for each broken rule of each key, into a list that is begun. RC_DENIED: the first key's error. usage
 * NULL: by each key's own. */
NODISCARD enum rc out_broken(struct out *out, const struct key_info *keys, size_t n,
                             const enum key_usage *usage, struct err *e);

/* "generated-on-token (quirk file 'x': why)": the rules that it breaks and that the token's quirk file
 * excepts; null when there are none. */
void out_exceptions(struct out *out, const struct key_info *k, enum key_usage usage);

/* The attributes of a key, in the order of PKCS#11: 1, 0 or -1, where the token does not say. */
enum { ATTRIBUTES = 14 };
const char *attribute_name(size_t i);
int attribute_value(const struct key_info *k, size_t i);

/* A row of a list of keys: what each is, and whether it keeps the policy for its usage. */
void key_row(const struct key_info *k, struct out *out);

#endif
