/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/jsonw.h"
#include "base/text.h"
#include "factory/internal.h"
#include "x509/cert.h"

void doc_copy(struct doc_map *m, const char *key, char *ret, size_t size)
{
    const char *s = doc_str(m, key);
    size_t n = strlen(s);
    if (n >= size) {
        doc_fail(m, key, "doc.value", "at most %zu octets are allowed, this has %zu", size - 1, n);
        n = 0;
    }
    memcpy(ret, s, n);
    ret[n] = '\0';
}

void doc_name(struct doc_map *m, const char *key, char ret[static 65])
{
    doc_copy(m, key, ret, 65);
    if (!name_valid(ret))
        doc_fail(m, key, "doc.value",
                 "a name is required: 1 to 64 of A-Z, a-z, 0-9, '_' and '-', a letter or digit first");
}

void doc_id(struct doc_map *m, const char *key, char ret[static DEVICE_ID_MAX + 1])
{
    doc_copy(m, key, ret, DEVICE_ID_MAX + 1);
    if (!device_id_valid(ret))
        doc_fail(
            m, key, "doc.value",
            "a device id is required: 1 to 64 of A-Z, a-z, 0-9, ':', '_' and '-', a letter or digit at both ends");
}

/* Every block must be a certificate that can be parsed. */
static enum rc check_pem(const char *name, struct span text, size_t *ret_count, uint8_t *ret_first,
                         struct err *e)
{
    struct bytes der = BYTES_INIT;
    struct cert *c = NULL;
    enum rc rc;
    size_t pos = 0;
    bool found = true;

    *ret_count = 0;
    for (;;) {
        rc = pem_next(text, "CERTIFICATE", &pos, &der, NULL, &found, e);
        if (rc != RC_OK || !found)
            break;
        rc = cert_parse(name, bytes_span(&der), &c, e);
        if (rc != RC_OK)
            break;
        if ((*ret_count)++ == 0 && ret_first != NULL)
            memcpy(ret_first, c->sha256, SHA256_LEN);
        cert_free(c);
        c = NULL;
        bytes_reset(&der);
    }
    bytes_free(&der);
    return rc;
}

void doc_pem(struct doc_map *m, const char *key, const char *err_key, struct bytes *ret, uint8_t *ret_first)
{
    const char *pem = doc_str(m, key);
    if (m->err.rc != RC_OK)
        return;
    struct err e = ERR_INIT;
    size_t count;
    if (check_pem(key, span_str(pem), &count, ret_first, &e) != RC_OK)
        doc_fail(m, key, err_key, "%s", e.text);
    else if (count == 0)
        doc_fail(m, key, err_key, "at least one certificate in PEM is required");
    else
        bytes_add_str(ret, pem);
}

void counts_write(struct jsonw *w, const uint64_t counts[static STATE_COUNT])
{
    jsonw_object(w, "counts");
    for (int s = 0; s < STATE_COUNT; s++)
        jsonw_int(w, device_state_name((enum device_state)s), (int64_t)counts[s]);
    jsonw_end(w);
}

void counts_read(struct doc_map *m, uint64_t ret[static STATE_COUNT])
{
    struct doc_map c;
    struct err e;
    doc_sub(m, "counts", &c);
    for (int s = 0; s < STATE_COUNT; s++)
        ret[s] = (uint64_t)doc_int(&c, device_state_name((enum device_state)s), 0, COUNTER_MAX);
    if (doc_close(&c, &e) != RC_OK && m->err.rc == RC_OK)
        m->err = e;
}
