/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/text.h"
#include "ca/internal.h"
#include "x509/crl.h"
#include "x509/name.h"

static void row_show(struct stmt *q, void (*row)(void *arg, const struct ca_row *r), void *arg)
{
    char *serial = hex_new(stmt_col_blob(q, 0));
    char *subject = name_text(stmt_col_blob(q, 1));
    struct ca_row r = {
        .serial_hex = serial,
        .subject = subject,
        .id = stmt_col_null(q, 2) ? NULL : stmt_col_text(q, 2),
        .profile = stmt_col_text(q, 3),
        .state = stmt_col_text(q, 4),
        .reason = stmt_col_null(q, 5) ? NULL : crl_reason_name((int)stmt_col_int(q, 5)),
        .not_before = stmt_col_int(q, 6),
        .not_after = stmt_col_int(q, 7),
        .issued_at = stmt_col_int(q, 8),
        .revoked_at = stmt_col_int(q, 9),
    };
    row(arg, &r);
    free(serial);
    free(subject);
}

enum rc ca_list(struct ca *ca, void (*row)(void *arg, const struct ca_row *r), void *arg, struct err *e)
{
    struct stmt *q =
        store_stmt(ca->db, "SELECT serial, subject, device_id, profile, state, reason, not_before, not_after,"
                           " issued_at, revoked_at FROM certificate ORDER BY number");
    for (;;) {
        bool more = false;
        enum rc rc = stmt_next(q, &more, e);
        if (rc != RC_OK || !more)
            return rc;
        row_show(q, row, arg);
    }
}

enum rc ca_show(struct ca *ca, struct ca_summary *ret, struct err *e)
{
    struct ca_summary s = {.issued = 0};
    enum rc rc = audit_verify(ca->db, s.audit_head, &s.audit_rows, e);
    if (rc != RC_OK)
        return rc;
    struct stmt *q = store_stmt(
        ca->db,
        "SELECT coalesce(sum(state = 'issued'), 0), coalesce(sum(state = 'revoked'), 0),"
        " coalesce(sum(state = 'void'), 0), (SELECT coalesce(max(number), 0) FROM crl) FROM certificate");
    bool row = false;
    rc = stmt_next(q, &row, e);
    if (rc != RC_OK)
        return rc;
    s.issued = stmt_col_int(q, 0);
    s.revoked = stmt_col_int(q, 1);
    s.voided = stmt_col_int(q, 2);
    s.crl_number = stmt_col_int(q, 3);
    stmt_reset(q);
    *ret = s;
    return RC_OK;
}

enum rc ca_key_exceptions(struct ca *ca, char **ret, struct err *e)
{
    struct stmt *q =
        store_stmt(ca->db, "SELECT json_extract(detail, '$.key_exceptions') FROM audit"
                           " WHERE event IN ('key', 'request', 'init', 'issue', 'reserve', 'crl')"
                           " ORDER BY seq DESC LIMIT 1");
    bool row = false;
    enum rc rc = stmt_next(q, &row, e);
    if (rc == RC_OK)
        *ret = row && !stmt_col_null(q, 0) ? mem_str(stmt_col_text(q, 0)) : NULL;
    stmt_reset(q);
    return rc;
}
