/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include <stdlib.h>

#include "factory/office.h"
#include "hsm/token.h"

enum rc office_keys(const char *pin_source, const struct token_settings *t, struct keystore **ret,
                    struct err *e)
{
    struct token_options options = {.pin_source = pin_source,
                                    .one_shot = true,
                                    .deadline_ms = t->deadline_ms,
                                    .patience_ms = t->patience_ms};
    return tokens_open(&options, ret, e);
}

enum rc office_begin(const struct cli_args *args, struct session *ret, struct err *e)
{
    const char *home = cli_text(args, "home");
    char *pin_source = NULL;
    struct token_settings token;
    enum rc rc = office_token(home, &pin_source, &token, e);
    if (rc == RC_OK)
        rc = office_keys(pin_source, &token, &ret->keys, e);
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
