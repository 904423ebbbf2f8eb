/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "hsm/token.h"
#include "verbs.h"
#include "x509/cert.h"
#include "x509/name.h"

static enum rc keys_open(const struct ca_config *c, struct keystore **ret, struct err *e)
{
    struct token_options options = {.pin_source = c->pin_source,
                                    .one_shot = true, /* so workers and sessions are for batches */
                                    .deadline_ms = c->token.deadline_ms,
                                    .patience_ms = c->token.patience_ms};
    return tokens_open(&options, ret, e);
}

enum rc keys_of_config(const char *config_path, struct keystore **ret, struct err *e)
{
    struct ca_config *c = NULL;
    enum rc rc = ca_config_read(config_path, &c, e);
    if (rc == RC_OK)
        rc = keys_open(c, ret, e);
    ca_config_free(c);
    return rc;
}

enum rc keys_of_home(const char *home, struct keystore **ret, struct err *e)
{
    struct ca_config *c = NULL;
    enum rc rc = ca_home_config(home, &c, e);
    if (rc == RC_OK)
        rc = keys_open(c, ret, e);
    ca_config_free(c);
    return rc;
}

enum rc open_home(const struct cli_args *args, struct keystore **ret_keys, struct ca **ret, struct err *e)
{
    const char *home = cli_text(args, "home");
    struct keystore *keys = NULL;
    enum rc rc = keys_of_home(home, &keys, e);
    if (rc == RC_OK)
        rc = ca_open(home, keys, ret, e);
    if (rc != RC_OK)
        goto out;
    *ret_keys = keys;
    keys = NULL;
out:
    tokens_close(keys);
    return rc;
}

void show_certificate(const struct cert *c, struct out *out)
{
    char *subject = name_text(c->subject);
    out_str(out, "subject", subject);
    out_hex(out, "serial", c->serial);
    out_hex(out, "sha256", (struct span){c->sha256, sizeof(c->sha256)});
    out_time(out, "not_before", c->not_before);
    out_time(out, "not_after", c->not_after);
    free(subject);
}

enum rc show_home(const char *home, struct out *out, struct err *e)
{
    struct ca *ca = NULL;
    enum rc rc = ca_open(home, NULL, &ca, e);
    if (rc == RC_OK) {
        out_str(out, "name", ca_configuration(ca)->name);
        show_certificate(ca_cert(ca), out);
    }
    ca_close(ca);
    return rc;
}
