/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include <stdlib.h>

#include "factory/office.h"
#include "hsm/token.h"

enum rc office_keys(const char *pin_source, struct keystore **ret, struct err *e)
{
    struct token_options options = {.pin_source = pin_source, .one_shot = true};
    return tokens_open(&options, ret, e);
}

enum rc office_begin(const struct cli_args *args, struct session *ret, struct err *e)
{
    const char *home = cli_text(args, "home");
    char *pin_source = NULL;
    enum rc rc = office_pin_source(home, &pin_source, e);
    if (rc == RC_OK)
        rc = office_keys(pin_source, &ret->keys, e);
    if (rc == RC_OK)
        rc = office_open(home, ret->keys, &ret->office, e);
    free(pin_source);
    return rc;
}

void office_end(struct session *s)
{
    office_close(s->office);
    tokens_close(s->keys);
}
