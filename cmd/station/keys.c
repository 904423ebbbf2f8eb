/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "factory/station.h"
#include "hsm/token.h"
#include "station_cmd.h"

enum rc station_keys(const char *home_or_config, struct keystore **ret, struct err *e)
{
    struct token_options options = {.one_shot = true};
    char *pin_source = NULL;
    enum rc rc = station_pin_source(home_or_config, &pin_source, e);

    if (rc == RC_OK) {
        options.pin_source = pin_source;
        rc = tokens_open(&options, ret, e);
    }
    free(pin_source);
    return rc;
}
