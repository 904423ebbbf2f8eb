/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/evp.h"
#include "verbs.h"

static const struct cli_verb verbs[] = {
    {"init", NULL, 0, 0, init_options, "make a token: label, security officer's PIN, user's PIN", init_run},
    {"list", "[URI]", 0, 1, list_options, "show the tokens, and with a PIN the keys of one", list_run},
    {"show", "URI", 1, 1, show_options, "show all about a token, and with a PIN its keys", show_run},
    {"selftest", "[URI]", 0, 1, selftest_options, "try a token with throw-away keys", selftest_run},
    {"bench", "URI", 1, 1, bench_options, "measure how fast a key signs", bench_run},
    {"keygen", "URI", 1, 1, keygen_options, "make a key in a token", keygen_run},
    {"check", "URI", 1, 1, check_options, "check keys against the key policy", check_run},
    {"compare", "URI URI", 2, 2, compare_options, "prove that two tokens hold the same key", compare_run},
    {"destroy", "URI", 1, 1, destroy_options, "destroy a key for good", destroy_run},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};

static const struct cli_tool tool = {"keymill-hsm", "tokens and the keys in them", verbs};

int main(int argc, char **argv)
{
    evp_ignore_config();
    return cli_main(&tool, argc, argv);
}
