/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include <string.h>

#include "factory/manifest.h"
#include "factory/office.h"
#include "x509/cert.h"

const struct cli_option manifest_verify_options[] = {
    {"checkpoint", CLI_TEXT, "FILE", true, "the station's signed checkpoint"},
    {"trust", CLI_TEXT, "FILE", true, "certificate of the root that is trusted"},
    {"issuer", CLI_TEXT, "FILE", false, "certificate of the only CA that may certify stations"},
    OPTIONS_END,
};

static enum rc hash_of(const char *path, uint8_t ret[static SHA256_LEN], struct err *e)
{
    struct cert *c = NULL;
    enum rc rc = cert_read(path, &c, e);
    if (rc == RC_OK)
        memcpy(ret, c->sha256, SHA256_LEN);
    cert_free(c);
    return rc;
}

static void show_view(const struct manifest_view *v, struct out *out)
{
    const struct checkpoint *c = &v->checkpoint;
    out_str(out, "order", c->order);
    out_hex(out, "order_sha256", (struct span){c->order_sha256, SHA256_LEN});
    out_str(out, "station", c->station);
    out_time(out, "issued", c->issued);
    out_int(out, "devices", (int64_t)c->count);
    out_int(out, "good", (int64_t)c->counts[STATE_GOOD]);
    out_int(out, "scrapped", (int64_t)c->counts[STATE_SCRAPPED]);
    out_int(out, "unused", (int64_t)c->counts[STATE_UNUSED]);
    out_hex(out, "merkle_root", (struct span){c->merkle_root, SHA256_LEN});
    out_hex(out, "signer_sha256", (struct span){v->signer, SHA256_LEN});
}

enum rc manifest_verify_run(const struct cli_args *args, struct out *out, struct err *e)
{
    const char *issuer = cli_text(args, "issuer");
    struct trust trust = {.has_issuer = issuer != NULL};
    struct manifest_view view;
    enum rc rc = office_root(cli_text(args, "trust"), trust.root, e);
    if (rc == RC_OK && issuer)
        rc = hash_of(issuer, trust.issuer, e);
    if (rc == RC_OK)
        rc =
            manifest_verify(cli_operand(args, 0), cli_text(args, "checkpoint"), &trust, NULL, NULL, &view, e);
    if (rc == RC_OK)
        show_view(&view, out);
    return rc;
}

const struct cli_option ingest_options[] = {
    HOME_OPTION,
    {"checkpoint", CLI_TEXT, "FILE", true, "the station's signed checkpoint"},
    OPTIONS_END,
};

static void show_reconciliation(const struct reconciliation *r, struct out *out)
{
    out_str(out, "order", r->order);
    out_str(out, "station", r->station);
    out_int(out, "ordered", (int64_t)r->ordered);
    out_int(out, "good", (int64_t)r->good);
    out_int(out, "scrapped", (int64_t)r->scrapped);
    out_int(out, "unused", (int64_t)r->unused);
    out_int(out, "unexplained", (int64_t)r->unexplained);
    out_bool(out, "new", r->is_new);
    if (r->unexplained > 0)
        out_note(out,
                 "%llu devices of this order are in no manifest: ask the manufacturer, or revoke the order",
                 (unsigned long long)r->unexplained);
}

enum rc ingest_run(const struct cli_args *args, struct out *out, struct err *e)
{
    struct office *o = NULL;
    struct reconciliation r;
    enum rc rc = office_open(cli_text(args, "home"), NULL, &o, e); /* takes in, signs nothing */
    if (rc == RC_OK)
        rc = office_ingest(o, cli_operand(args, 0), cli_text(args, "checkpoint"), &r, e);
    if (rc == RC_OK)
        show_reconciliation(&r, out);
    office_close(o);
    return rc;
}
