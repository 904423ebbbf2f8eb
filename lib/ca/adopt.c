/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "ca/internal.h"
#include "x509/cert.h"

/* The row that was reserved for exactly this serial, order, device and key. */
static enum rc is_reserved(struct ca *ca, const char *order, const char *id, const struct cert *c, bool *ret,
                           struct err *e)
{
    uint8_t key[SHA256_LEN];
    struct stmt *q = store_stmt(ca->db, "SELECT 1 FROM certificate WHERE serial = ? AND state = 'reserved'"
                                        " AND order_name = ? AND device_id = ? AND spki_sha256 = ?");
    sha256(c->spki, key);
    stmt_blob(q, 1, c->serial);
    stmt_text(q, 2, order);
    stmt_text(q, 3, id);
    stmt_blob(q, 4, (struct span){key, sizeof key});
    enum rc rc = stmt_next(q, ret, e);
    stmt_reset(q);
    return rc;
}

static enum rc adopt_audit(struct ca *ca, const char *order, const char *id, const struct cert *c,
                           int64_t now, struct err *e)
{
    struct bytes detail = BYTES_INIT;
    struct jsonw w;
    jsonw_init(&w, &detail);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "order", order);
    jsonw_str(&w, "id", id);
    jsonw_hex(&w, "serial", c->serial);
    jsonw_str(&w, "why", "signed and written down before an interruption, recorded after it");
    jsonw_end(&w);
    enum rc rc = audit_append(ca->db, now, "adopt", bytes_str(&detail), e);
    bytes_free(&detail);
    return rc;
}

static enum rc adopt(struct ca *ca, const char *order, const char *id, const struct cert *c, struct err *e)
{
    int64_t now = clock_now();
    enum rc rc = store_begin(ca->db, e);
    if (rc != RC_OK)
        return rc;
    rc = row_issued(ca, c->serial, bytes_span(&c->der), c->sha256, now, e);
    if (rc == RC_OK)
        rc = adopt_audit(ca, order, id, c, now, e);
    if (rc == RC_OK)
        rc = store_commit(ca->db, e);
    store_rollback(ca->db);
    return rc;
}

enum rc ca_adopt(struct ca *ca, const char *order, const char *id, struct span der, bool *ret_adopted,
                 struct err *e)
{
    struct cert *c = NULL;
    struct err why = ERR_INIT;
    bool ours = false;
    enum rc rc = RC_OK;

    /* What cannot be read or was not signed by this CA is simply none of ours. */
    if (cert_parse(id, der, &c, &why) == RC_OK && cert_verify_signature(c, ca->cert, &why) == RC_OK)
        rc = is_reserved(ca, order, id, c, &ours, e);
    if (rc == RC_OK && ours)
        rc = adopt(ca, order, id, c, e);
    if (rc == RC_OK)
        *ret_adopted = ours;
    cert_free(c);
    return rc;
}
