/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "factory/station.h"
#include "hsm/token.h"
#include "station_cmd.h"

enum rc station_keys(const char *home_or_config, struct keystore **ret, struct err *e)
{
    struct token_settings token;
    char *pin_source = NULL;
    enum rc rc = station_token(home_or_config, &pin_source, &token, e);

    if (rc == RC_OK) {
        struct token_options options = {.pin_source = pin_source,
                                        .one_shot = true,
                                        .deadline_ms = token.deadline_ms,
                                        .patience_ms = token.patience_ms};
        rc = tokens_open(&options, ret, e);
    }
    free(pin_source);
    return rc;
}
