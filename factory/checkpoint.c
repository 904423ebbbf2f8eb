/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/jsonw.h"
#include "factory/internal.h"

void checkpoint_encode(const struct checkpoint *c, struct bytes *ret)
{
    struct jsonw w;
    jsonw_init(&w, ret);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "schema", "keymill.checkpoint.v1");
    jsonw_str(&w, "order", c->order);
    jsonw_hex(&w, "order_sha256", (struct span){c->order_sha256, SHA256_LEN});
    jsonw_str(&w, "station", c->station);
    jsonw_time(&w, "issued", c->issued);
    jsonw_hex(&w, "header_sha256", (struct span){c->header_sha256, SHA256_LEN});
    jsonw_hex(&w, "manifest_sha256", (struct span){c->manifest_sha256, SHA256_LEN});
    jsonw_int(&w, "count", (int64_t)c->count);
    counts_write(&w, c->counts);
    jsonw_hex(&w, "merkle_root", (struct span){c->merkle_root, SHA256_LEN});
    jsonw_object(&w, "journal");
    jsonw_hex(&w, "before", (struct span){c->journal_before, SHA256_LEN});
    jsonw_hex(&w, "after", (struct span){c->journal_after, SHA256_LEN});
    jsonw_int(&w, "records", (int64_t)c->journal_records);
    jsonw_end(&w);
    jsonw_end(&w);
}

static enum rc read_journal(struct doc_map *checkpoint, struct checkpoint *ret, struct err *e)
{
    struct doc_map m;
    doc_sub(checkpoint, "journal", &m);
    doc_hex(&m, "before", ret->journal_before, SHA256_LEN);
    doc_hex(&m, "after", ret->journal_after, SHA256_LEN);
    ret->journal_records = (uint64_t)doc_int(&m, "records", 0, COUNTER_MAX);
    return doc_close(&m, e);
}

static enum rc decode(struct doc_map *m, struct checkpoint *ret, struct err *e)
{
    doc_schema(m, "keymill.checkpoint.v1");
    doc_name(m, "order", ret->order);
    doc_hex(m, "order_sha256", ret->order_sha256, SHA256_LEN);
    doc_name(m, "station", ret->station);
    ret->issued = doc_time(m, "issued");
    doc_hex(m, "header_sha256", ret->header_sha256, SHA256_LEN);
    doc_hex(m, "manifest_sha256", ret->manifest_sha256, SHA256_LEN);
    ret->count = (uint64_t)doc_int(m, "count", 0, COUNTER_MAX);
    counts_read(m, ret->counts);
    doc_hex(m, "merkle_root", ret->merkle_root, SHA256_LEN);
    enum rc rc = read_journal(m, ret, e);
    return rc != RC_OK ? rc : doc_close(m, e);
}

enum rc checkpoint_decode(const char *name, struct span json, struct checkpoint *ret, struct err *e)
{
    struct doc *d = NULL;
    struct doc_map m;
    struct checkpoint c = {0};

    enum rc rc = doc_parse_json(name, json, &d, e);
    if (rc != RC_OK)
        return rc;
    doc_open(&m, d, doc_root(d));
    rc = decode(&m, &c, e);
    if (rc == RC_OK)
        *ret = c;
    doc_free(d);
    return rc;
}
