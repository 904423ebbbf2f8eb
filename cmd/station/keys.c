/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/file.h"
#include "factory/station.h"
#include "hsm/token.h"
#include "station_cmd.h"

enum rc station_keys(const char *home_or_config, struct keystore **ret, struct err *e)
{
    struct token_options options = {.one_shot = true};
    char *pin_source = NULL;
    enum rc rc = RC_OK;

    if (!file_exists(home_or_config))
        rc = err_set(e, RC_CONFLICT, "station.no-home", "'%s' does not exist; run 'keymill-station init' first", home_or_config);
    if (rc == RC_OK)
        rc = station_pin_source(home_or_config, &pin_source, e);
    if (rc == RC_OK) {
        options.pin_source = pin_source;
        rc = tokens_open(&options, ret, e);
    }
    free(pin_source);
    return rc;
}
