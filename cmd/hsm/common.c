/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include <string.h>

enum rc tokens_open_once(const struct cli_args *args, struct keystore **ret, struct err *e)
{
    struct token_options opt = {.pin_source = cli_text(args, "pin-source"), .one_shot = true};
    return tokens_open(&opt, ret, e);
}

enum rc usage_option(const struct cli_args *args, enum key_usage *ret, struct err *e)
{
    const char *usage = cli_text(args, "usage");
    if (strcmp(usage, "sign") != 0 && strcmp(usage, "derive") != 0)
        return err_set(e, RC_USAGE, "hsm.usage", "usage '%s': a key is made to 'sign' or to 'derive'", usage);
    *ret = strcmp(usage, "sign") == 0 ? KEY_SIGN : KEY_DERIVE;
    return RC_OK;
}

const char *usage_text(const struct key_info *k)
{
    if (k->sign == 1)
        return k->derive == 1 ? "sign derive" : "sign";
    return k->derive == 1 ? "derive" : "";
}
