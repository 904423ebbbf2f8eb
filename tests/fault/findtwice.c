/* SPDX-License-Identifier: Apache-2.0 */

/* findtwice URI URI: asks one keystore for both keys, the second also when the first is refused, as a tool
 * with several keys may. Prints how each ended: "found", or the error's key. */
#include <stdio.h>

#include "hsm/token.h"

int main(int argc, char **argv)
{
    const struct token_options opt = {.one_shot = true};
    struct keystore *store = NULL;
    struct err e = ERR_INIT;
    if (argc != 3 || tokens_open(&opt, &store, &e) != RC_OK)
        return 2;
    for (int i = 1; i < argc; i++) {
        struct signer *key = NULL;
        e = (struct err)ERR_INIT;
        if (store->ops->find(store, argv[i], KEY_SIGN, NULL, &key, &e) == RC_OK)
            puts("found");
        else
            puts(e.key);
        signer_free(key);
    }
    tokens_close(store);
    return 0;
}
