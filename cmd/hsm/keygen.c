/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include <string.h>

#include "sign/alg.h"

const struct cli_option keygen_options[] = {
    {"algorithm", CLI_TEXT, "NAME", true, "ec-p256, ec-p384, ed25519, rsa-2048, rsa-3072 or rsa-4096"},
    {"usage", CLI_TEXT, "USAGE", true, "sign, derive or decrypt: a key does one thing"},
    PIN_SOURCE_OPTION,
    OPTIONS_END,
};

/* Before the token is asked for anything: which keys may do what is the algorithm's. */
static enum rc combination_check(const struct alg *a, enum key_usage usage, struct err *e)
{
    if (usage == KEY_DERIVE && !a->p11_derive)
        return err_set(e, RC_USAGE, "hsm.usage",
                       "algorithm '%s' with usage 'derive': only EC keys agree on secrets (ec-p256, ec-p384)",
                       a->name);
    if (usage == KEY_DECRYPT && !a->p11_decrypt)
        return err_set(e, RC_USAGE, "hsm.usage",
                       "algorithm '%s' with usage 'decrypt': only RSA keys decrypt; an EC key derives",
                       a->name);
    return RC_OK;
}

static enum rc key_options(const struct cli_args *args, const struct alg **ret, enum key_usage *ret_usage,
                           struct err *e)
{
    *ret = alg_by_name(cli_text(args, "algorithm"));
    if (!*ret)
        return err_set(e, RC_USAGE, "hsm.algorithm", "algorithm '%s': one of %s is possible",
                       cli_text(args, "algorithm"), alg_names());
    enum rc rc = usage_option(args, ret_usage, e);
    return rc == RC_OK ? combination_check(*ret, *ret_usage, e) : rc;
}

static void show(const struct signer *key, const struct key_info *info, const struct alg *asked,
                 struct out *out)
{
    out_str(out, "key", key->name);
    out_hex(out, "id", bytes_span(&info->id));
    out_str(out, "algorithm", key->alg->name);
    out_str(out, "usage", key_usage_name(key->usage));
    out_spki(out, info);
    if (asked != key->alg)
        out_note(out, "an RSA key is made for both schemes: whoever signs with it chooses PSS");
}

enum rc keygen_run(const struct cli_args *args, struct out *out, struct err *e)
{
    const char *uri = cli_operand(args, 0);
    const struct alg *alg = NULL;
    enum key_usage usage = KEY_SIGN;
    struct keystore *store = NULL;
    struct signer *key = NULL;
    struct key_info *info = NULL;
    size_t n = 0;
    enum rc rc = key_options(args, &alg, &usage, e);
    if (rc == RC_OK)
        rc = tokens_open_once(args, &store, e);
    if (rc == RC_OK)
        rc = store->ops->generate(store, uri, alg, usage, NULL, &key, e);
    if (rc == RC_OK)
        rc = token_keys(store, uri, &info, &n, e);
    if (rc == RC_OK)
        show(key, &info[0], alg, out);
    key_info_free(info, n);
    signer_free(key);
    tokens_close(store);
    return rc;
}
