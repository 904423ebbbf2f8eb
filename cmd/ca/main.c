/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/evp.h"
#include "verbs.h"

static const struct cli_verb verbs[] = {
    {"init", NULL, 0, 0, init_options, "make a root: home, key, self-signed certificate", init_run},
    {"request", NULL, 0, 0, request_options, "make a subordinate CA's home, key and request", request_run},
    {"sign-ca", NULL, 0, 0, sign_ca_options, "sign a subordinate CA's request", sign_ca_run},
    {"import", NULL, 0, 0, import_options,
     "take the certificate for a subordinate CA, or newer CRLs above it", import_run},
    {"issue", NULL, 0, 0, issue_options, "sign a request for a leaf certificate", issue_run},
    {"revoke", NULL, 0, 0, revoke_options, "revoke a certificate, for good", revoke_run},
    {"crl", NULL, 0, 0, crl_options, "sign the next CRL", crl_run},
    {"list", NULL, 0, 0, list_options, "list every certificate this CA signed", list_run},
    {"show", NULL, 0, 0, show_options, "show the CA and verify its audit log", show_run},
    {0},
};

static const struct cli_tool tool = {"keymill-ca",
                                     "one certificate authority in one home: root, online or local", verbs};

int main(int argc, char **argv)
{
    evp_ignore_config();
    return cli_main(&tool, argc, argv);
}
