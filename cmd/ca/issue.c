/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "base/text.h"
#include "hsm/token.h"
#include "verbs.h"
#include "x509/cert.h"

const struct cli_option sign_ca_options[] = {
    HOME_OPTION,
    {"csr", CLI_TEXT, "FILE", true, "request of the subordinate CA"},
    {"profile", CLI_TEXT, "PROFILE", true, "what kind of CA it becomes: online-ca, local-ca"},
    {"out", CLI_TEXT, "FILE.pem", true, "where the certificate goes (PEM)"},
    {"days", CLI_INT, "N", false, "validity in days; default: the profile's"},
    OPTIONS_END,
};

const struct cli_option issue_options[] = {
    HOME_OPTION,
    {"csr", CLI_TEXT, "FILE", true, "request for the certificate"},
    {"profile", CLI_TEXT, "PROFILE", true, "what kind of certificate: server, office, device, ..."},
    {"out", CLI_TEXT, "FILE", true, "where the certificate goes (PEM)"},
    {"days", CLI_INT, "N", false, "validity in days; default: the profile's, device has none"},
    {"id", CLI_TEXT, "ID", false, "id of the device; default: the request's common name"},
    {"ou", CLI_TEXT, "OU", false, "organizational unit of the device, its factory"},
    OPTIONS_END,
};

static enum rc days_option(const struct cli_args *args, int64_t *ret, struct err *e)
{
    int64_t days = cli_int(args, "days", -1);
    if (days == 0)
        return err_set(e, RC_USAGE, "ca.days", "'--days 0': a certificate lasts at least one day");
    *ret = days < 0 ? 0 : days;
    return RC_OK;
}

/* The certificate is issued and recorded by now: whatever goes wrong here, the same command will find it. */
static enum rc write_certificate(const char *path, struct span der, struct out *out, struct err *e)
{
    struct bytes pem = BYTES_INIT;
    struct cert *c = NULL;
    pem_encode("CERTIFICATE", der, &pem);
    enum rc rc = file_create(path, 0644, bytes_span(&pem), e);
    if (rc != RC_OK)
        err_prefix(e, "the certificate is issued, but not written; run again with another '--out'");
    else
        rc = cert_parse(path, der, &c, e);
    if (rc == RC_OK) {
        out_str(out, "certificate", path);
        show_certificate(c, out);
    }
    cert_free(c);
    bytes_free(&pem);
    return rc;
}

static enum rc issue(const struct cli_args *args, struct ca_issue *in, struct out *out, struct err *e)
{
    struct keystore *keys = NULL;
    struct ca *ca = NULL;
    struct bytes der = BYTES_INIT;
    bool fresh = false;
    in->profile = cli_text(args, "profile");
    in->csr_path = cli_text(args, "csr");
    enum rc rc = days_option(args, &in->days, e);
    if (rc == RC_OK)
        rc = open_home(args, &keys, &ca, e);
    if (rc == RC_OK)
        rc = ca_issue(ca, in, &der, &fresh, e);
    if (rc == RC_OK)
        rc = write_certificate(cli_text(args, "out"), bytes_span(&der), out, e);
    if (rc == RC_OK)
        out_bool(out, "new", fresh);
    bytes_free(&der);
    ca_close(ca);
    tokens_close(keys);
    return rc;
}

enum rc sign_ca_run(const struct cli_args *args, struct out *out, struct err *e)
{
    struct ca_issue in = {.sub_ca = true};
    return issue(args, &in, out, e);
}

enum rc issue_run(const struct cli_args *args, struct out *out, struct err *e)
{
    struct ca_issue in = {.id = cli_text(args, "id"), .ou = cli_text(args, "ou")};
    return issue(args, &in, out, e);
}
