/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/evp.h"
#include "verbs.h"

static const struct cli_verb verbs[] = {
    {"init", NULL, 0, 0, init_options, "make the office's home, its three keys and two requests", init_run},
    {"import", NULL, 0, 0, import_options, "take in a certificate for the order or the release key",
     import_run},
    {"order new", NULL, 0, 0, order_new_options, "make and sign a production order", order_new_run},
    {"order show", "FILE", 1, 1, order_show_options, "show what an order says, whoever signed it",
     order_show_run},
    {"batch make", NULL, 0, 0, batch_make_options, "make the sealed batch of an order's station",
     batch_make_run},
    {"manifest verify", "MANIFEST", 1, 1, manifest_verify_options,
     "verify a station's manifest and checkpoint", manifest_verify_run},
    {"ingest", "MANIFEST", 1, 1, ingest_options, "take a manifest into the inventory and reconcile it",
     ingest_run},
    {"release", NULL, 0, 0, release_options, "sign the next release list", release_run},
    {"revoke", NULL, 0, 0, revoke_options, "sign the next revocation list: ids, an order or an issuer",
     revoke_run},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};

static const struct cli_tool tool = {"keymill-office",
                                     "production orders out, manifests in, releases and revocations", verbs};

int main(int argc, char **argv)
{
    evp_ignore_config();
    return cli_main(&tool, argc, argv);
}
