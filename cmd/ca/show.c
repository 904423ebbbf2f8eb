/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "sign/alg.h"
#include "verbs.h"

const struct cli_option show_options[] = {
    HOME_OPTION,
    OPTIONS_END,
};

static void show_config(const struct ca_config *c, struct out *out)
{
    out_str(out, "name", c->name);
    out_str(out, "profile", c->profile);
    out_str(out, "key", c->key);
    out_str(out, "algorithm", c->alg->name);
}

static void show_issues(const struct ca_config *c, struct out *out)
{
    out_list(out, "issues");
    for (size_t i = 0; i < c->nissues; i++) {
        out_row(out);
        out_str(out, "may_issue", c->issues[i]);
    }
    out_list_end(out);
}

static void show_exceptions(const struct ca_config *c, struct out *out)
{
    out_list(out, "key_exceptions");
    for (size_t i = 0; i < c->exceptions.n; i++) {
        out_row(out);
        out_str(out, "key_may_break", c->exceptions.list[i].rule);
        out_str(out, "reason", c->exceptions.list[i].reason);
    }
    out_list_end(out);
}

static void show_summary(const struct ca_summary *s, struct out *out)
{
    out_int(out, "issued", s->issued);
    out_int(out, "revoked", s->revoked);
    out_int(out, "void", s->voided);
    out_int(out, "crl_number", s->crl_number);
    out_int(out, "audit_rows", s->audit_rows);
    out_hex(out, "audit_head", (struct span){s->audit_head, sizeof(s->audit_head)});
}

enum rc show_run(const struct cli_args *args, struct out *out, struct err *e)
{
    struct ca *ca = NULL;
    struct ca_summary summary;
    char *broken = NULL;
    enum rc rc = ca_open(cli_text(args, "home"), NULL, &ca, e);
    if (rc == RC_OK)
        rc = ca_show(ca, &summary, e);
    if (rc == RC_OK)
        rc = ca_key_exceptions(ca, &broken, e);
    if (rc == RC_OK) {
        show_config(ca_configuration(ca), out);
        show_certificate(ca_cert(ca), out);
        show_summary(&summary, out);
        if (broken != NULL)
            out_str(out, "key_exceptions_used", broken);
        show_issues(ca_configuration(ca), out);
        show_exceptions(ca_configuration(ca), out);
    }
    free(broken);
    ca_close(ca);
    return rc;
}
