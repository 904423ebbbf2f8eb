/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/evp.h"
#include "station_cmd.h"

static const struct cli_verb verbs[] = {
    {"init", NULL, 0, 0, init_options, "make the station's keys on its token and write its first request",
     cmd_init},
    {"import", NULL, 0, 0, import_options, "take a certificate for one of the station's keys", cmd_import},
    {"accept", "A1.order|A1.batch", 1, 1, accept_options,
     "take a signed order, or the sealed batch of an accepted one", cmd_accept},
    {"next", NULL, 0, 0, next_options, "open one device: its certificate and, in the clear, its key",
     cmd_next},
    {"good", NULL, 0, 0, good_options, "confirm a delivered device", cmd_good},
    {"scrap", NULL, 0, 0, scrap_options, "take a device out for ever", cmd_scrap},
    {"close", NULL, 0, 0, close_options, "end an order: manifest and signed checkpoint", cmd_close},
    {0},
};

static const struct cli_tool tool = {"keymill-station", "provision devices on a manufacturer's line, offline",
                                     verbs};

int main(int argc, char **argv)
{
    evp_ignore_config();
    return cli_main(&tool, argc, argv);
}
