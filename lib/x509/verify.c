/* SPDX-License-Identifier: Apache-2.0 */
#include "x509/verify.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "sign/alg.h"
#include "sign/cms.h"
#include "x509/cert.h"
#include "x509/crl.h"
#include "x509/name.h"
#include "x509/profile.h"

enum { JUDGE_CERTS_MAX = CMS_CERTS_MAX + 1 /* verify_path's leaf stands beside the chain */ };

/* A judgement in progress. certs[0] is the leaf; the same certificate twice is there once. */
struct judge {
    const char *what;
    const uint8_t *root;
    int64_t at;
    struct cert *certs[JUDGE_CERTS_MAX];
    size_t ncerts;
    struct crl *crls[2 * CMS_CRLS_MAX];            /* the chain's, then the verifier's own */
    size_t ncrls, nfile;                           /* all; those of the chain */
    bool offline;                                  /* the signer could not have got newer CRLs */
    bool issued[JUDGE_CERTS_MAX][JUDGE_CERTS_MAX]; /* [i][k]: k issued i */
    const struct cert *forged;    /* names its issuer rightly, but the signature is not the issuer's */
    size_t walk[JUDGE_CERTS_MAX]; /* the path being tried, by index */
    const struct cert *path[JUDGE_CERTS_MAX]; /* leaf, issuer(s), root */
    size_t len;
    size_t paths; /* how many lead from leaf to root */
};

/* "cannot accept 'A1.order': " and the text. */
static enum rc refuse(const struct judge *j, enum rc rc, const char *key, struct err *e, const char *fmt, ...)
    PRINTF_LIKE(5, 6);

static enum rc refuse(const struct judge *j, enum rc rc, const char *key, struct err *e, const char *fmt, ...)
{
    struct bytes text = BYTES_INIT;
    va_list ap;

    va_start(ap, fmt);
    bytes_vprintf(&text, fmt, ap);
    va_end(ap);
    (void)err_set(e, rc, key, "cannot accept '%s': %s", j->what, bytes_str(&text));
    bytes_free(&text);
    return rc;
}

/* As refuse, and the text begins with which certificate it is about. */
static enum rc refuse_cert(const struct judge *j, const struct cert *c, enum rc rc, const char *key,
                           const char *text, struct err *e)
{
    char *subject = name_text(c->subject);

    (void)refuse(j, rc, key, e, "certificate '%s' %s", subject, text);
    free(subject);
    return rc;
}

static void judge_free(struct judge *j)
{
    for (size_t i = 0; i < j->ncerts; i++)
        cert_free(j->certs[i]);
    for (size_t i = 0; i < j->ncrls; i++)
        crl_free(j->crls[i]);
}

static enum rc load_cert(struct judge *j, struct span der, struct err *e)
{
    struct cert *c = NULL;
    struct err why;

    if (cert_parse("in its chain", der, &c, &why))
        return refuse(j, RC_INPUT, "verify.chain", e, "%s", why.text);
    for (size_t i = 0; i < j->ncerts; i++) {
        if (memcmp(j->certs[i]->sha256, c->sha256, sizeof c->sha256) == 0) {
            cert_free(c);
            return RC_OK;
        }
    }
    j->certs[j->ncerts++] = c;
    return RC_OK;
}

static enum rc load_crls(struct judge *j, const struct cms_chain *from, struct err *e)
{
    struct err why;

    for (size_t i = 0; i < from->ncrls; i++) {
        if (crl_parse("in its chain", bytes_span(&from->crls[i]), &j->crls[j->ncrls], &why))
            return refuse(j, RC_INPUT, "verify.chain", e, "%s", why.text);
        j->ncrls++;
    }
    return RC_OK;
}

static enum rc load(struct judge *j, const struct cms_chain *chain, const struct cms_chain *known,
                    struct err *e)
{
    enum rc rc = RC_OK;

    for (size_t i = 0; i < chain->ncerts && !rc; i++)
        rc = load_cert(j, bytes_span(&chain->certs[i]), e);
    if (!rc)
        rc = load_crls(j, chain, e);
    j->nfile = j->ncrls;
    if (!rc && known)
        rc = load_crls(j, known, e);
    if (!rc && j->ncerts == 0)
        rc = refuse(j, RC_INPUT, "verify.chain", e, "it carries no certificate");
    if (!rc && (j->at < 0 || j->at > TIME_NO_EXPIRY))
        rc = refuse(j, RC_INPUT, "verify.chain", e, "the time it names is outside the years 1970 to 9999");
    return rc;
}

/* Name and key identifier, then the signature (RFC 5280 6.1.3 a 1, a 4). */
static bool is_issued_by(struct judge *j, const struct cert *c, const struct cert *issuer)
{
    struct err why;

    if (!span_eq(c->issuer, issuer->subject) || c->aki.n == 0 || !span_eq(c->aki, issuer->ski))
        return false;
    if (cert_verify_signature(c, issuer, &why) == RC_OK)
        return true;
    j->forged = c;
    return false;
}

static void find_issuers(struct judge *j)
{
    for (size_t i = 0; i < j->ncerts; i++)
        for (size_t k = 0; k < j->ncerts; k++)
            j->issued[i][k] = i != k && is_issued_by(j, j->certs[i], j->certs[k]);
}

static bool is_root(const struct judge *j, const struct cert *c)
{
    return memcmp(c->sha256, j->root, SHA256_LEN) == 0;
}

/* Counts the ways up from the last of walk[0..len), and keeps the first that ends in the root. */
static void climb(struct judge *j, size_t len)
{
    size_t last = j->walk[len - 1];

    if (is_root(j, j->certs[last])) {
        if (j->paths++)
            return;
        for (size_t i = 0; i < len; i++)
            j->path[i] = j->certs[j->walk[i]];
        j->len = len;
        return;
    }
    for (size_t next = 0; next < j->ncerts; next++) {
        bool used = false;

        for (size_t i = 0; i < len; i++)
            used |= j->walk[i] == next;
        if (used || !j->issued[last][next])
            continue;
        j->walk[len] = next;
        climb(j, len + 1);
    }
}

static enum rc no_root(const struct judge *j, struct err *e)
{
    char *root = hex_new((struct span){j->root, SHA256_LEN});

    (void)refuse(
        j, RC_DENIED, "verify.root", e,
        "the root that is trusted here (SHA-256 %s) is not in its chain: it belongs to another hierarchy, or the chain is incomplete",
        root);
    free(root);
    return RC_DENIED;
}

static enum rc find_path(struct judge *j, struct err *e)
{
    bool has_root = false;

    for (size_t i = 0; i < j->ncerts; i++)
        has_root |= is_root(j, j->certs[i]);
    if (!has_root)
        return no_root(j, e);
    find_issuers(j);
    j->walk[0] = 0;
    climb(j, 1);
    if (j->paths == 1)
        return RC_OK;
    if (j->paths > 1)
        return refuse(
            j, RC_INPUT, "verify.chain", e,
            "its chain leads to the root in %zu ways, exactly one is required: leave cross-certificates of other roots out",
            j->paths);
    if (j->forged)
        return refuse_cert(
            j, j->forged, RC_INPUT, "verify.chain",
            "has a signature that is not its issuer's: it was changed, or made by another CA of that name",
            e);
    return refuse_cert(j, j->certs[0], RC_INPUT, "verify.chain",
                       "has no issuers in the chain that lead to the root: add every CA between", e);
}

static enum rc check_time(const struct judge *j, const struct cert *c, struct err *e)
{
    char begin[TIME_TEXT], end[TIME_TEXT], at[TIME_TEXT];
    char *subject;

    if (c->not_before <= j->at && j->at <= c->not_after)
        return RC_OK;
    time_format(c->not_before, begin);
    time_format(c->not_after, end);
    time_format(j->at, at);
    subject = name_text(c->subject);
    (void)refuse(
        j, RC_DENIED, "verify.expired", e,
        "certificate '%s' is valid from %s to %s, and it is judged at %s: renew the certificate, or correct the clock",
        subject, begin, end, at);
    free(subject);
    return RC_DENIED;
}

/* The CAs below path[i], of which its pathLenConstraint speaks (RFC 5280 4.2.1.9): self-issued ones do not
 * count. A CA at the very end does, because such a certificate must not have been issued. */
static int cas_below(const struct judge *j, size_t i)
{
    int n = 0;

    for (size_t k = 0; k < i; k++)
        n += j->path[k]->ca && !span_eq(j->path[k]->issuer, j->path[k]->subject);
    return n;
}

static enum rc check_ca(const struct judge *j, size_t i, struct err *e)
{
    const struct cert *c = j->path[i];

    if (!c->has_bc || !c->bc_critical || !c->ca)
        return refuse_cert(j, c, RC_INPUT, "verify.chain",
                           "has issued another and is no CA (critical basicConstraints are required)", e);
    if (!c->has_ku || !(c->key_usage & KU_KEY_CERT_SIGN))
        return refuse_cert(j, c, RC_INPUT, "verify.chain", "has issued another without keyUsage keyCertSign",
                           e);
    if (c->path_len >= 0 && cas_below(j, i) > c->path_len)
        return refuse_cert(j, c, RC_INPUT, "verify.chain",
                           "has more CAs below it than its path length allows", e);
    return RC_OK;
}

static enum rc check_path(const struct judge *j, struct err *e)
{
    for (size_t i = 0; i < j->len; i++) {
        enum rc rc = RC_OK;

        if (j->path[i]->unknown_critical)
            return refuse_cert(j, j->path[i], RC_INPUT, "verify.chain",
                               "has a critical extension that is not understood", e);
        if (i > 0)
            rc = check_ca(j, i, e);
        if (!rc)
            rc = check_time(j, j->path[i], e);
        if (rc)
            return rc;
    }
    return RC_OK;
}

static enum rc refuse_revoked(const struct judge *j, const struct cert *c, const struct crl_entry *entry,
                              struct err *e)
{
    const char *reason = crl_reason_name(entry->reason);
    char *subject = name_text(c->subject);
    char since[TIME_TEXT];

    time_format(entry->revoked_at, since);
    (void)refuse(j, RC_DENIED, "verify.revoked", e,
                 "certificate '%s' is revoked since %s (%s): have it made with a valid certificate", subject,
                 since, reason ? reason : "unspecified");
    free(subject);
    return RC_DENIED;
}

/* All CRLs of this issuer and key are asked; one in the chain that was current at that time is enough to say
 * that c is not revoked. A station is offline by nature: its chain has the CRLs that it was last given, and
 * those may be over. */
static enum rc check_crls(const struct judge *j, const struct cert *c, const struct cert *issuer,
                          bool required, struct err *e)
{
    struct crl_entry entry;
    struct err why;
    bool current = false;

    for (size_t i = 0; i < j->ncrls; i++) {
        const struct crl *crl = j->crls[i];

        if (!span_eq(crl->issuer, issuer->subject) || !span_eq(crl->aki, issuer->ski))
            continue;
        if (crl_verify(crl, issuer, &why))
            return refuse(j, RC_INPUT, "verify.chain", e, "%s", why.text);
        if (crl_lists(crl, c->serial, &entry))
            return refuse_revoked(j, c, &entry, e);
        current |= i < j->nfile && crl->this_update <= j->at && (j->offline || j->at <= crl->next_update);
    }
    if (current || !required)
        return RC_OK;
    return refuse_cert(
        j, c, RC_DENIED, "verify.no-crl",
        "comes without a CRL of its issuer that was current at that time: put the issuer's newest CRL into the chain",
        e);
}

static enum rc check_revocation(const struct judge *j, bool required, struct err *e)
{
    enum rc rc = RC_OK;

    for (size_t i = 0; i + 1 < j->len && !rc; i++)
        rc = check_crls(j, j->path[i], j->path[i + 1], required, e);
    return rc;
}

static enum rc check_issuer(const struct judge *j, const struct trust *trust, struct err *e)
{
    char *required;

    if (!trust->has_issuer || memcmp(j->path[1]->sha256, trust->issuer, SHA256_LEN) == 0)
        return RC_OK;
    required = hex_new((struct span){trust->issuer, SHA256_LEN});
    (void)refuse(
        j, RC_DENIED, "verify.issuer", e,
        "its signer's certificate was issued by '%s', and such signers must come from the CA whose certificate has SHA-256 %s",
        j->path[1]->cn ? j->path[1]->cn : "another CA", required);
    free(required);
    return RC_DENIED;
}

/* A seal certificate's key agrees, or decrypts when it is an RSA key; every other role signs. */
static unsigned role_usage(const struct cert *c, enum role role)
{
    if (role != ROLE_STATION_SEAL)
        return KU_DIGITAL_SIGNATURE;
    return c->key_alg && c->key_alg->family == ALG_RSA ? KU_KEY_ENCIPHERMENT : KU_KEY_AGREEMENT;
}

static enum rc check_leaf(const struct judge *j, enum role role, struct err *e)
{
    const struct cert *leaf = j->path[0];
    char *subject;

    if (leaf->ca)
        return refuse_cert(j, leaf, RC_DENIED, "verify.role",
                           "is a CA's, and a CA has no role: sign with a role certificate", e);
    if (!cert_has_eku(leaf, role_oid(role))) {
        subject = name_text(leaf->subject);
        (void)refuse(
            j, RC_DENIED, "verify.role", e,
            "certificate '%s' does not have the role '%s': sign with one issued under the profile '%s'",
            subject, role_name(role), role_name(role));
        free(subject);
        return RC_DENIED;
    }
    if (!leaf->has_ku || !(leaf->key_usage & role_usage(leaf, role)))
        return refuse_cert(j, leaf, RC_DENIED, "verify.role", "has a keyUsage that does not fit its role", e);
    return RC_OK;
}

/* A CA that lists purposes confines those below it to them. */
static enum rc check_cas(const struct judge *j, enum role role, struct err *e)
{
    char *subject;

    for (size_t i = 1; i < j->len; i++) {
        if (!j->path[i]->has_eku || cert_has_eku(j->path[i], role_oid(role)))
            continue;
        subject = name_text(j->path[i]->subject);
        (void)refuse(
            j, RC_DENIED, "verify.role-ca", e,
            "CA '%s' is confined to other purposes and may not give the role '%s': have the certificate issued by the office's CA",
            subject, role_name(role));
        free(subject);
        return RC_DENIED;
    }
    return RC_OK;
}

enum rc verify_role(const char *what, const struct cms_chain *chain, const struct trust *trust,
                    enum role role, int64_t at, struct err *e)
{
    struct judge j = {.what = what, .root = trust->root, .at = at, .offline = role == ROLE_STATION_MANIFEST};
    enum rc rc = load(&j, chain, trust->known, e);

    if (!rc)
        rc = find_path(&j, e);
    if (!rc)
        rc = check_leaf(&j, role, e);
    if (!rc && j.len < 2)
        rc = refuse(&j, RC_INPUT, "verify.chain", e, "its signer's certificate is the root itself");
    if (!rc)
        rc = check_issuer(&j, trust, e);
    if (!rc)
        rc = check_cas(&j, role, e);
    if (!rc)
        rc = check_path(&j, e);
    if (!rc)
        rc = check_revocation(&j, true, e);
    judge_free(&j);
    return rc;
}

enum rc verify_path(const struct cert *leaf, const struct cms_chain *chain,
                    const uint8_t root_sha256[static SHA256_LEN], int64_t at, struct err *e)
{
    char *subject = name_text(leaf->subject);
    struct judge j = {.what = subject, .root = root_sha256, .at = at};
    enum rc rc = load_cert(&j, bytes_span(&leaf->der), e);

    if (!rc)
        rc = load(&j, chain, NULL, e);
    if (!rc)
        rc = find_path(&j, e);
    if (!rc)
        rc = check_path(&j, e);
    if (!rc)
        rc = check_revocation(&j, false, e);
    judge_free(&j);
    free(subject);
    return rc;
}
