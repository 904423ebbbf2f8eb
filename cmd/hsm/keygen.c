/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include <string.h>

#include "sign/alg.h"
#include "sign/digest.h"

const struct cli_option keygen_options[] = {
    {"algorithm", CLI_TEXT, "NAME", true, "ec-p256 or ec-p384"},
    {"usage", CLI_TEXT, "USAGE", true, "sign or derive: a key does one thing"},
    PIN_SOURCE_OPTION,
    OPTIONS_END,
};

static void show(const struct signer *key, const struct key_info *info, const char *usage, struct out *out)
{
    uint8_t digest[SHA256_LEN];
    sha256(bytes_span(&key->spki), digest);
    out_str(out, "key", key->name);
    out_hex(out, "id", bytes_span(&info->id));
    out_str(out, "algorithm", key->alg->name);
    out_str(out, "usage", usage);
    out_hex(out, "spki_sha256", (struct span){digest, sizeof digest});
}

enum rc keygen_run(const struct cli_args *args, struct out *out, struct err *e)
{
    const char *uri = cli_operand(args, 0);
    const struct alg *alg = alg_by_name(cli_text(args, "algorithm"));
    enum key_usage usage = KEY_SIGN;
    struct keystore *store = NULL;
    struct signer *key = NULL;
    struct key_info *info = NULL;
    size_t n = 0;
    if (!alg)
        return err_set(e, RC_USAGE, "hsm.algorithm", "algorithm '%s': one of %s is possible",
                       cli_text(args, "algorithm"), alg_names());
    enum rc rc = usage_option(args, &usage, e);
    if (rc == RC_OK)
        rc = tokens_open_once(args, &store, e);
    if (rc == RC_OK)
        rc = store->ops->generate(store, uri, alg, usage, &key, e);
    if (rc == RC_OK)
        rc = token_keys(store, uri, &info, &n, e);
    if (rc == RC_OK)
        show(key, &info[0], cli_text(args, "usage"), out);
    key_info_free(info, n);
    signer_free(key);
    tokens_close(store);
    return rc;
}
