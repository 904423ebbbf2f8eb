/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_STATION_H
#define CMD_STATION_H

#include "cli/cli.h"
#include "cli/out.h"

struct keystore;
struct station;

/* The keystore that a home or configuration file asks for. */
NODISCARD enum rc station_keys(const char *home_or_config, struct keystore **ret, struct err *e);

enum rc cmd_init(const struct cli_args *a, struct out *o, struct err *e);
enum rc cmd_import(const struct cli_args *a, struct out *o, struct err *e);
enum rc cmd_accept(const struct cli_args *a, struct out *o, struct err *e);
enum rc cmd_next(const struct cli_args *a, struct out *o, struct err *e);
enum rc cmd_good(const struct cli_args *a, struct out *o, struct err *e);
enum rc cmd_scrap(const struct cli_args *a, struct out *o, struct err *e);
enum rc cmd_close(const struct cli_args *a, struct out *o, struct err *e);

extern const struct cli_option init_options[], import_options[], accept_options[], next_options[],
    good_options[], scrap_options[], close_options[];

#endif
