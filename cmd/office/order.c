/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include <stdlib.h>

#include "base/file.h"
#include "ca/ca.h"
#include "factory/office.h"
#include "factory/order.h"
#include "factory/signed.h"

const struct cli_option order_new_options[] = {
    HOME_OPTION,
    {"spec", CLI_TEXT, "FILE", true, "what is ordered (YAML)"},
    {"out", CLI_TEXT, "FILE", true, "the signed order"},
    OPTIONS_END,
};

enum rc order_new_run(const struct cli_args *args, struct out *out, struct err *e)
{
    struct session s = {NULL, NULL};
    bool is_new = false;
    enum rc rc = office_begin(args, &s, e);
    if (rc == RC_OK)
        rc = office_order_new(s.office, cli_text(args, "spec"), cli_text(args, "out"), &is_new, e);
    if (rc == RC_OK) {
        out_str(out, "order", cli_text(args, "out"));
        out_bool(out, "new", is_new);
    }
    office_end(&s);
    return rc;
}

const struct cli_option order_show_options[] = {OPTIONS_END};

static void show_station(const struct order_station *s, struct out *out)
{
    char first[DEVICE_ID_MAX + 1], last[DEVICE_ID_MAX + 1];
    id_block_id(&s->ids, 0, first);
    id_block_id(&s->ids, s->ids.count - 1, last);
    out_row(out);
    out_str(out, "station", s->name);
    out_int(out, "sequence", (int64_t)s->sequence);
    out_int(out, "quantity", (int64_t)s->quantity);
    out_str(out, "first_id", first);
    out_str(out, "last_id", last);
    out_hex(out, "manifest_sha256", (struct span){s->manifest, SHA256_LEN});
    out_hex(out, "seal_sha256", (struct span){s->seal, SHA256_LEN});
}

static void show_order(const struct order *o, const struct signed_doc *d, struct out *out)
{
    char verified[VERIFY_TEXT];
    out_str(out, "order", o->id);
    out_int(out, "sequence", (int64_t)o->sequence);
    out_time(out, "issued", o->issued);
    out_str(out, "product", o->product);
    out_str(out, "factory", o->factory);
    out_str(out, "profile", o->profile);
    out_hex(out, "ca_sha256", (struct span){o->ca, SHA256_LEN});
    out_time(out, "not_before", o->not_before);
    out_time(out, "not_after", o->not_after);
    out_time(out, "window_from", o->window_from);
    out_time(out, "window_until", o->window_until);
    out_int(out, "lot_size", (int64_t)o->lot_size);
    verify_text((size_t)o->verify_every, verified);
    out_str(out, "signatures_verified", verified);
    out_str(out, "endpoint", o->endpoint);
    out_hex(out, "trust_bundle_sha256", (struct span){o->trust_bundle_sha256, SHA256_LEN});
    out_hex(out, "sha256", (struct span){d->sha256, SHA256_LEN});
    out_hex(out, "signer_sha256", (struct span){d->signer, SHA256_LEN});
    out_list(out, "stations");
    for (size_t i = 0; i < o->nstations; i++)
        show_station(&o->stations[i], out);
    out_list_end(out);
    out_note(
        out,
        "whether its signer may be believed was not judged: a station does that with its configured root");
}

enum rc order_show_run(const struct cli_args *args, struct out *out, struct err *e)
{
    const char *path = cli_operand(args, 0);
    struct bytes der = BYTES_INIT;
    struct signed_doc doc = {0};
    struct order *order = mem_new(sizeof(*order)); /* 64 stations are much for a stack */
    enum rc rc = file_read(path, FILE_DOC_MAX, &der, e);
    if (rc == RC_OK)
        rc = signed_peek(path, bytes_span(&der), &doc, e);
    if (rc == RC_OK)
        rc = order_decode(path, bytes_span(&doc.content), order, e);
    if (rc == RC_OK)
        show_order(order, &doc, out);
    order_fini(order);
    free(order);
    signed_free(&doc);
    bytes_free(&der);
    return rc;
}
