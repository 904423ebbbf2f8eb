/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "factory/office/internal.h"
#include "x509/cert.h"
#include "x509/crl.h"
#include "x509/profile.h"

static const char client_auth[] = "1.3.6.1.5.5.7.3.2"; /* id-kp-clientAuth, RFC 5280 4.2.1.12 */

enum rc ca_may_issue(const char *path, const struct cert *ca, struct err *e)
{
    const char *why = NULL;
    if (!ca->has_bc || !ca->ca)
        why = "is not a CA's certificate";
    else if (cert_self_signed(ca))
        why = "is self-signed, and a root signs no devices";
    else if (!ca->has_ku || !(ca->key_usage & KU_KEY_CERT_SIGN))
        why = "may not sign certificates: its keyUsage lacks keyCertSign";
    else if (ca->has_eku && !cert_has_eku(ca, client_auth))
        why = "is confined to other purposes: its extendedKeyUsage lacks clientAuth, which devices have";
    if (!why)
        return RC_OK;
    return err_set(e, RC_INPUT, "office.ca-cert",
                   "'%s' %s: 'ca' names the CA that signs the devices, as made with the profile local-ca",
                   path, why);
}

static enum rc on_list(struct office *o, const struct cert *ca, struct err *e)
{
    struct stmt *q = store_stmt(o->db, "SELECT sequence FROM revoked_issuers WHERE sha256 = ?1");
    bool row = false;
    stmt_blob(q, 1, (struct span){ca->sha256, SHA256_LEN});
    enum rc rc = stmt_next(q, &row, e);
    if (rc == RC_OK && row)
        rc = err_set(
            e, RC_DENIED, "office.ca-revoked",
            "the CA '%s' is revoked, with all that it issues, by revocation list %lld of this office: "
            "use another CA",
            ca->cn ? ca->cn : "?", (long long)stmt_col_int(q, 0));
    stmt_reset(q);
    return rc;
}

static bool crl_names(const struct crl *crl, const struct cert *ca)
{
    struct crl_entry entry;
    return span_eq(crl->issuer, ca->issuer) && span_eq(crl->aki, ca->aki) &&
           crl_lists(crl, ca->serial, &entry);
}

/* No signature is verified: the CRLs are the office's own, and one of them can only say no. */
static enum rc on_crl(struct office *o, const struct cert *ca, struct err *e)
{
    struct cms_chain cas = {0};
    enum rc rc = office_cas(o, &cas, e);
    for (size_t i = 0; rc == RC_OK && i < cas.ncrls; i++) {
        struct crl *crl = NULL;
        rc = crl_parse("chain.pem", bytes_span(&cas.crls[i]), &crl, e);
        if (rc == RC_OK && crl_names(crl, ca))
            rc = err_set(e, RC_DENIED, "office.ca-revoked",
                         "the CA '%s' is revoked by a CRL in the office's chain.pem: use another CA",
                         ca->cn ? ca->cn : "?");
        crl_free(crl);
    }
    cms_chain_free(&cas);
    return rc;
}

enum rc ca_in_service(struct office *o, const struct cert *ca, struct err *e)
{
    enum rc rc = on_list(o, ca, e);
    return rc == RC_OK ? on_crl(o, ca, e) : rc;
}

enum rc ca_chain_in_service(struct office *o, struct span pem, struct err *e)
{
    struct bytes der = BYTES_INIT;
    struct cert *ca = NULL;
    size_t pos = 0;
    bool found = false;
    enum rc rc = pem_next(pem, "CERTIFICATE", &pos, &der, NULL, &found, e);
    while (rc == RC_OK && found) {
        rc = cert_parse("chain", bytes_span(&der), &ca, e);
        if (rc == RC_OK)
            rc = ca_in_service(o, ca, e);
        cert_free(ca);
        ca = NULL;
        bytes_reset(&der);
        if (rc == RC_OK)
            rc = pem_next(pem, "CERTIFICATE", &pos, &der, NULL, &found, e);
    }
    bytes_free(&der);
    return rc;
}
