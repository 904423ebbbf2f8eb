/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "ca/internal.h"
#include "x509/cert.h"
#include "x509/crl.h"

enum { REASON_HOLD = 6, REASON_REMOVE = 8, REASON_LAST = 10 };

/* There is no way back from a revocation here: suspending a device is the cloud's and the broker's business.
 */
static bool reason_usable(int reason)
{
    return reason >= 0 && reason != REASON_HOLD && reason != REASON_REMOVE;
}

static enum rc reason_parse(const char *name, int *ret, struct err *e)
{
    int reason = crl_reason(name);
    if (reason_usable(reason)) {
        *ret = reason;
        return RC_OK;
    }
    struct bytes list = BYTES_INIT;
    for (int i = 0; i <= REASON_LAST; i++)
        if (reason_usable(i) && crl_reason_name(i) != NULL)
            bytes_printf(&list, "%s%s", list.n == 0 ? "" : ", ", crl_reason_name(i));
    enum rc rc = err_set(e, RC_INPUT, "ca.reason", "reason '%s' cannot be used; one of %s is required", name,
                         bytes_str(&list));
    bytes_free(&list);
    return rc;
}

/* Copies the digits: openssl prints colons between the octets. */
static char *digits_of(const char *hex)
{
    char *digits = mem_str(hex);
    size_t n = 0;
    for (const char *c = hex; *c != '\0'; c++)
        if (*c != ':')
            digits[n++] = *c;
    digits[n] = '\0';
    return digits;
}

/* The serial's magnitude: openssl prints a leading zero octet that is not part of the number. */
static enum rc serial_parse(const char *hex, struct bytes *ret, struct err *e)
{
    if (hex[strspn(hex, "0123456789abcdefABCDEF:")] != '\0')
        return err_set(
            e, RC_INPUT, "text.hex",
            "serial '%s' is not hexadecimal; give the digits that 'list' prints, colons may stand between octets",
            hex);
    struct bytes raw = BYTES_INIT;
    char *digits = digits_of(hex);
    enum rc rc = hex_decode(digits, SERIAL_MAX + 1, &raw, e);
    free(digits);
    size_t zeros = 0;
    while (zeros < raw.n && raw.p[zeros] == 0)
        zeros++;
    if (rc == RC_OK)
        bytes_add(ret, raw.p + zeros, raw.n - zeros);
    else
        rc = err_prefix(e, "serial '%s'", hex);
    bytes_free(&raw);
    return rc;
}

/* *ret_done: it is revoked for this reason already. */
static enum rc row_look(struct ca *ca, const char *hex, struct span serial, int reason, bool *ret_done,
                        struct err *e)
{
    struct stmt *q = store_stmt(
        ca->db, "SELECT state, reason FROM certificate WHERE serial = ? AND state IN ('issued', 'revoked')");
    stmt_blob(q, 1, serial);
    bool row = false;
    enum rc rc = stmt_next(q, &row, e);
    if (rc != RC_OK)
        return rc;
    if (!row)
        return err_set(e, RC_INPUT, "ca.no-serial", "serial '%s' is of no certificate that this CA issued",
                       hex);
    bool revoked = strcmp(stmt_col_text(q, 0), "revoked") == 0;
    int64_t before = stmt_col_int(q, 1);
    stmt_reset(q);
    if (revoked && before != reason)
        return err_set(e, RC_CONFLICT, "ca.revoked",
                       "serial '%s' is revoked already, as %s; a reason is not changed", hex,
                       crl_reason_name((int)before));
    *ret_done = revoked;
    return RC_OK;
}

static enum rc revoke_audit(struct ca *ca, struct span serial, int reason, int64_t now, struct err *e)
{
    struct bytes detail = BYTES_INIT;
    struct jsonw w;
    jsonw_init(&w, &detail);
    jsonw_object(&w, NULL);
    jsonw_hex(&w, "serial", serial);
    jsonw_str(&w, "reason", crl_reason_name(reason));
    jsonw_end(&w);
    enum rc rc = audit_append(ca->db, now, "revoke", bytes_str(&detail), e);
    bytes_free(&detail);
    return rc;
}

static enum rc revoke_record(struct ca *ca, struct span serial, int reason, struct err *e)
{
    int64_t now = clock_now();
    enum rc rc = store_begin(ca->db, e);
    if (rc != RC_OK)
        return rc;
    struct stmt *q = store_stmt(
        ca->db,
        "UPDATE certificate SET state = 'revoked', revoked_at = ?, reason = ? WHERE serial = ? AND state = 'issued'");
    stmt_int(q, 1, now);
    stmt_int(q, 2, reason);
    stmt_blob(q, 3, serial);
    rc = stmt_run(q, e);
    if (rc == RC_OK)
        rc = revoke_audit(ca, serial, reason, now, e);
    if (rc == RC_OK)
        rc = store_commit(ca->db, e);
    store_rollback(ca->db);
    return rc;
}

enum rc ca_revoke(struct ca *ca, const char *serial_hex, const char *reason, bool *ret_new, struct err *e)
{
    struct bytes serial = BYTES_INIT;
    int number = 0;
    bool done = false;
    enum rc rc = reason_parse(reason, &number, e);
    if (rc == RC_OK)
        rc = serial_parse(serial_hex, &serial, e);
    if (rc != RC_OK)
        goto out;
    if (!ca->config->has_trust && span_eq(bytes_span(&serial), ca->cert->serial)) {
        rc = err_set(e, RC_DENIED, "ca.revoke-self",
                     "serial '%s' is this root's own; a root is taken out by removing it from what trusts it",
                     serial_hex);
        goto out;
    }
    rc = row_look(ca, serial_hex, bytes_span(&serial), number, &done, e);
    if (rc == RC_OK && !done)
        rc = revoke_record(ca, bytes_span(&serial), number, e);
    if (rc == RC_OK)
        *ret_new = !done;
out:
    bytes_free(&serial);
    return rc;
}
