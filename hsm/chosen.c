/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/chosen.h"

#include <stdlib.h>
#include <string.h>

#include "hsm/client.h"
#include "hsm/keystore.h"
#include "hsm/uri.h"

static enum rc choose(const struct uri *u, struct chosen *ret, struct err *e)
{
    struct proto_key *keys = NULL;
    size_t n = 0, found = 0, at = 0;
    enum rc rc = keys_read(ret->client, &keys, &n, e);
    if (rc != RC_OK)
        return rc;
    for (size_t i = 0; i < n; i++) {
        if (key_selected(u, &keys[i])) {
            at = i;
            found++;
        }
    }
    if (found == 0)
        rc = key_missing(ret->client, u, keys, n, e);
    else if (found > 1)
        rc = err_set(e, RC_TOKEN, "hsm.many-keys",
                     "%zu private keys in %s are named by this URI, one is needed: add id= or object=", found,
                     client_name(ret->client));
    if (rc == RC_OK) {
        ret->key = keys[at];
        key_info_from(client_quirks(ret->client), keys, n, at, &ret->info);
    }
    free(keys);
    return rc;
}

enum rc key_choose(struct keystore *k, const char *text, struct chosen *ret, struct err *e)
{
    struct uri u = {.token = NULL};
    memset(ret, 0, sizeof *ret);
    enum rc rc = uri_parse(text, &u, e);
    if (rc == RC_OK && !uri_names_key(&u))
        rc = err_set(e, RC_USAGE, "hsm.uri", "the URI names a token but no key: add object=LABEL or id=");
    if (rc == RC_OK)
        rc = tokens_client(k, &u, &ret->client, e);
    if (rc == RC_OK)
        rc = choose(&u, ret, e);
    uri_free(&u);
    return rc;
}

void chosen_end(struct chosen *c)
{
    key_info_fini(&c->info);
}
