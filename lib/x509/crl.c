/* SPDX-License-Identifier: Apache-2.0 */
#include "x509/crl.h"

#include <string.h>

#include "sign/alg.h"
#include "sign/signer.h"
#include "x509/cert.h"
#include "x509/internal.h"
#include "x509/name.h"
#include "x509/profile.h"
#include "x509/tbs.h"

/* CRLReason (RFC 5280 5.3.1); 7 is not used. */
static const char *const reasons[] = {
    "unspecified",   "keyCompromise",        "cACompromise",    "affiliationChanged",
    "superseded",    "cessationOfOperation", "certificateHold", NULL,
    "removeFromCRL", "privilegeWithdrawn",   "aACompromise",
};
enum { NREASONS = sizeof reasons / sizeof reasons[0], VERSION_2 = 1 };

int crl_reason(const char *name)
{
    for (int i = 0; i < NREASONS; i++)
        if (reasons[i] && strcmp(reasons[i], name) == 0)
            return i;
    return -1;
}

const char *crl_reason_name(int reason)
{
    return reason >= 0 && reason < NREASONS ? reasons[reason] : NULL;
}

static enum rc check_issuer(const struct signer *s, const struct cert *issuer, struct err *e)
{
    if (!span_eq(bytes_span(&s->spki), issuer->spki))
        return err_set(e, RC_INPUT, "x509.crl-issuer",
                       "cannot make a CRL for '%s': the certificate is not that of key '%s'",
                       issuer->cn ? issuer->cn : "", s->name);
    if (!issuer->ca || !(issuer->key_usage & KU_CRL_SIGN))
        return err_set(
            e, RC_INPUT, "x509.crl-issuer",
            "cannot make a CRL for '%s': the certificate is not that of a CA with keyUsage cRLSign",
            issuer->cn ? issuer->cn : "");
    if (issuer->ski.n == 0)
        return err_set(
            e, RC_INPUT, "x509.crl-issuer",
            "cannot make a CRL for '%s': the certificate has no subject key identifier, which a CRL repeats (RFC 5280 5.2.1)",
            issuer->cn ? issuer->cn : "");
    return RC_OK;
}

/* One entry: a few dozen octets, made in w, which is re-used. */
static enum rc add_entry(struct der_writer *w, const struct crl_entry *entry, struct bytes *ret,
                         struct err *e)
{
    if (entry->serial.n == 0 || entry->serial.n > SERIAL_MAX)
        return err_set(e, RC_INPUT, "x509.crl",
                       "cannot make a CRL: an entry's serial number has %zu octets, 1 to 20 are required",
                       entry->serial.n);
    if (!crl_reason_name(entry->reason))
        return err_set(e, RC_INPUT, "x509.crl",
                       "cannot make a CRL: an entry's reason is %d, which RFC 5280 5.3.1 does not know",
                       entry->reason);
    der_reset(w);
    if (entry->reason) {
        der_put_value(w, DER_ENUMERATED, (struct span){(const uint8_t[]){(uint8_t)entry->reason}, 1});
        ext_wrap(w, OID_CRL_REASON, false, 0);
        der_wrap(w, DER_SEQUENCE, 0);
    }
    der_put_time(w, entry->revoked_at);
    der_put_uint(w, entry->serial);
    der_wrap(w, DER_SEQUENCE, 0);
    bytes_add_span(ret, der_span(w));
    return RC_OK;
}

/* What stands before revokedCertificates. */
static void put_begin(struct der_writer *w, const struct alg *a, struct span issuer, int64_t this_update,
                      int64_t next_update)
{
    der_reset(w);
    der_put_time(w, next_update);
    der_put_time(w, this_update);
    der_put(w, issuer);
    der_put(w, a->sig_algid);
    der_put_small(w, VERSION_2);
}

/* And what stands behind it: crlExtensions. */
static void put_end(struct der_writer *w, struct span ski, uint64_t number)
{
    size_t mark;

    der_reset(w);
    der_put_small(w, number);
    ext_wrap(w, OID_CRL_NUMBER, false, 0);
    mark = der_mark(w);
    der_put_value(w, DER_CONTEXT_0_PRIMITIVE, ski);
    der_wrap(w, DER_SEQUENCE, mark);
    ext_wrap(w, OID_AKI, false, mark);
    der_wrap(w, DER_SEQUENCE, 0);
    der_wrap(w, DER_CONTEXT_0, 0);
}

/* TBSCertList (RFC 5280 5.1.2) from front to back: the list may have tens of megabytes and is copied once. */
static void put_tbs(struct span begin, struct span list, struct span end, struct bytes *ret)
{
    size_t list_len = list.n ? der_header_len(list.n) + list.n : 0;

    der_add_header(ret, DER_SEQUENCE, begin.n + list_len + end.n);
    bytes_add_span(ret, begin);
    if (list.n) {
        der_add_header(ret, DER_SEQUENCE, list.n);
        bytes_add_span(ret, list);
    }
    bytes_add_span(ret, end);
}

enum rc crl_make(struct signer *s, const struct cert *issuer, uint64_t number, int64_t this_update,
                 int64_t next_update, bool (*next)(void *arg, struct crl_entry *ret), void *arg,
                 struct bytes *ret, struct err *e)
{
    struct bytes list = BYTES_INIT, tbs = BYTES_INIT, signature = BYTES_INIT;
    struct der_writer w, begin;
    struct crl_entry entry;
    enum rc rc = check_issuer(s, issuer, e);

    if (rc)
        return rc;
    if (next_update < this_update)
        return err_set(e, RC_INPUT, "x509.crl", "cannot make a CRL for '%s': nextUpdate is before thisUpdate",
                       issuer->cn ? issuer->cn : "");
    der_init(&w);
    der_init(&begin);
    while (!rc && next(arg, &entry))
        rc = add_entry(&w, &entry, &list, e);
    if (rc)
        goto out;
    put_begin(&begin, s->alg, issuer->subject, this_update, next_update);
    put_end(&w, issuer->ski, number);
    put_tbs(der_span(&begin), bytes_span(&list), der_span(&w), &tbs);
    bytes_free(&list);
    rc = signer_sign_message(s, bytes_span(&tbs), &signature, e);
    if (rc)
        goto out;
    signed_assemble(s->alg, bytes_span(&tbs), bytes_span(&signature), ret);
out:
    der_fini(&w);
    der_fini(&begin);
    bytes_free(&list);
    bytes_free(&tbs);
    bytes_free(&signature);
    return rc;
}
