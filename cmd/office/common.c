/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include <stdlib.h>

#include "factory/office.h"
#include "hsm/token.h"

enum rc office_keys(const char *home_or_config, struct keystore **ret, struct err *e)
{
    struct token_options options = {.one_shot = true};
    char *pin_source = NULL;
    enum rc rc = office_pin_source(home_or_config, &pin_source, e);
    if (rc == RC_OK) {
        options.pin_source = pin_source;
        rc = tokens_open(&options, ret, e);
    }
    free(pin_source);
    return rc;
}

enum rc office_begin(const struct cli_args *args, struct session *ret, struct err *e)
{
    enum rc rc = office_keys(cli_text(args, "home"), &ret->keys, e);
    return rc == RC_OK ? office_open(cli_text(args, "home"), ret->keys, &ret->office, e) : rc;
}

void office_end(struct session *s)
{
    office_close(s->office);
    tokens_close(s->keys);
}
