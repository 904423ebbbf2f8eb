/* SPDX-License-Identifier: Apache-2.0 */
#include "factory/lists.h"

#include <stdlib.h>
#include <string.h>

#include "base/jsonw.h"
#include "factory/internal.h"
#include "factory/shamap.h"
#include "x509/crl.h"

static const char *schema_of(enum list_kind kind)
{
    return kind == LIST_RELEASE ? "keymill.release.v1" : "keymill.revocation.v1";
}

void list_encode(const struct device_list *l, struct bytes *ret)
{
    struct jsonw w;
    jsonw_init(&w, ret);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "schema", schema_of(l->kind));
    jsonw_int(&w, "sequence", (int64_t)l->sequence);
    jsonw_hex(&w, "previous", (struct span){l->previous, SHA256_LEN});
    jsonw_time(&w, "issued", l->issued);
    if (l->kind == LIST_REVOCATION) {
        jsonw_str(&w, "reason", l->reason);
        if (l->order[0] != '\0')
            jsonw_str(&w, "order", l->order);
        jsonw_array(&w, "issuers");
        for (size_t i = 0; i < l->nissuers; i++)
            jsonw_hex(&w, NULL, (struct span){l->issuers[i], SHA256_LEN});
        jsonw_end(&w);
    }
    jsonw_array(&w, "devices");
    for (size_t i = 0; i < l->ndevices; i++) {
        const struct list_device *d = &l->devices[i];
        jsonw_object(&w, NULL);
        jsonw_str(&w, "id", d->id);
        jsonw_hex(&w, "cert_sha256", (struct span){d->cert, SHA256_LEN});
        jsonw_hex(&w, "issuer_sha256", (struct span){d->issuer, SHA256_LEN});
        jsonw_end(&w);
    }
    jsonw_end(&w);
    jsonw_end(&w);
}

static enum rc read_device(struct doc_map *list, size_t i, struct list_device *ret, struct err *e)
{
    struct doc_map m;
    doc_list_map(list, "devices", i, &m);
    doc_id(&m, "id", ret->id);
    doc_hex(&m, "cert_sha256", ret->cert, SHA256_LEN);
    doc_hex(&m, "issuer_sha256", ret->issuer, SHA256_LEN);
    return doc_close(&m, e);
}

static enum rc read_devices(struct doc_map *m, struct device_list *ret, struct err *e)
{
    struct shamap ids = {0};
    struct shamap certs = {0};
    uint8_t id_hash[SHA256_LEN];
    enum rc rc = RC_OK;

    ret->ndevices = doc_list(m, "devices");
    ret->devices = mem_array(ret->ndevices, sizeof(*ret->devices));
    for (size_t i = 0; i < ret->ndevices && m->err.rc == RC_OK && rc == RC_OK; i++) {
        struct list_device *d = &ret->devices[i];
        rc = read_device(m, i, d, e);
        if (rc != RC_OK)
            break;
        sha256(span_str(d->id), id_hash);
        if (!shamap_add(&ids, id_hash, 0) || !shamap_add(&certs, d->cert, 0))
            doc_fail(m, "devices", "list.duplicate", "device '%s' or its certificate stands twice", d->id);
    }
    shamap_fini(&ids);
    shamap_fini(&certs);
    return rc;
}

/* A list of hashes, each once. There are few: CAs, not devices. */
static void read_issuers(struct doc_map *m, struct device_list *ret)
{
    enum { ISSUERS_MAX = 1000 };
    size_t n = doc_list(m, "issuers");
    if (n > ISSUERS_MAX) {
        doc_fail(m, "issuers", "list.issuers", "at most %d are allowed, not %zu", ISSUERS_MAX, n);
        n = 0;
    }
    ret->nissuers = n;
    ret->issuers = mem_array(n, sizeof(*ret->issuers));
    for (size_t i = 0; i < n; i++) {
        struct err bad;
        const char *hex = doc_list_str(m, "issuers", i);
        if (m->err.rc == RC_OK && hex_decode_exact(hex, ret->issuers[i], SHA256_LEN, &bad) != RC_OK)
            doc_fail(m, "issuers", "doc.value", "32 octets in hex are required (64 digits)");
        for (size_t k = 0; k < i; k++) {
            if (memcmp(ret->issuers[k], ret->issuers[i], SHA256_LEN) == 0)
                doc_fail(m, "issuers", "list.duplicate", "the same issuer stands twice");
        }
    }
}

/* CRLReason names (RFC 5280 5.3.1) but removeFromCRL and certificateHold: a revocation is for ever. */
static void read_reason(struct doc_map *m, struct device_list *ret)
{
    doc_copy(m, "reason", ret->reason, sizeof(ret->reason));
    if (crl_reason(ret->reason) < 0 || strcmp(ret->reason, "removeFromCRL") == 0 ||
        strcmp(ret->reason, "certificateHold") == 0)
        doc_fail(m, "reason", "list.reason", "'%s' is no reason for ever; see RFC 5280 5.3.1", ret->reason);
}

static enum rc decode(struct doc_map *m, struct device_list *ret, struct err *e)
{
    static const uint8_t zeros[SHA256_LEN];
    doc_schema(m, schema_of(ret->kind));
    ret->sequence = (uint64_t)doc_int(m, "sequence", 1, COUNTER_MAX);
    doc_hex(m, "previous", ret->previous, SHA256_LEN);
    ret->issued = doc_time(m, "issued");
    if ((ret->sequence == 1) != (memcmp(ret->previous, zeros, SHA256_LEN) == 0))
        doc_fail(m, "previous", "list.previous", "zeros are required on the first list and on no other");
    if (ret->kind == LIST_REVOCATION) {
        read_reason(m, ret);
        if (doc_has(m, "order"))
            doc_name(m, "order", ret->order);
        read_issuers(m, ret);
    }
    enum rc rc = read_devices(m, ret, e);
    if (rc != RC_OK)
        return rc;
    if (ret->ndevices == 0 && ret->nissuers == 0 && ret->order[0] == '\0')
        doc_fail(m, NULL, "list.empty", "the list names nothing");
    return doc_close(m, e);
}

enum rc list_decode(const char *name, enum list_kind kind, struct span json, struct device_list *ret,
                    struct err *e)
{
    struct doc *d = NULL;
    struct doc_map m;
    struct device_list l = {.kind = kind};

    enum rc rc = doc_parse_json(name, json, &d, e);
    if (rc != RC_OK)
        return rc;
    doc_open(&m, d, doc_root(d));
    rc = decode(&m, &l, e);
    if (rc == RC_OK)
        *ret = l;
    else
        list_fini(&l);
    doc_free(d);
    return rc;
}

void list_fini(struct device_list *l)
{
    free(l->devices);
    free(l->issuers);
    *l = (struct device_list){0};
}
