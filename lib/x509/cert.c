/* SPDX-License-Identifier: Apache-2.0 */
#include "x509/cert.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "sign/alg.h"
#include "sign/signer.h"
#include "x509/internal.h"
#include "x509/name.h"

/* What a flaw is called; the order is the one in which they are reported. */
static const struct {
    unsigned flaw;
    const char *text;
} flaws[] = {
    {FLAW_VERSION, "it is not of version 3 (RFC 5280 4.1.2.1)"},
    {FLAW_SERIAL_SIGN, "its serial number is not positive (RFC 5280 4.1.2.2)"},
    {FLAW_SERIAL_LENGTH, "its serial number is over 20 octets (RFC 5280 4.1.2.2)"},
    {FLAW_ALGORITHM, "its two signature algorithms differ (RFC 5280 4.1.1.2)"},
    {FLAW_TIME, "a time of its validity is not in the form of RFC 5280 4.1.2.5"},
    {FLAW_DUPLICATE, "an extension is there twice (RFC 5280 4.2)"},
    {FLAW_KEY_USAGE, "its keyUsage is empty or ends in zero bits (X.690 11.2.2)"},
    {FLAW_PATH_LENGTH, "it has a path length and is no CA (RFC 5280 4.2.1.9)"},
};

static enum rc refuse(const char *name, const char *text, struct err *e)
{
    return err_set(e, RC_INPUT, "x509.cert", "cannot use certificate '%s': %s", name, text);
}

enum rc cert_parse(const char *name, struct span der, struct cert **ret, struct err *e)
{
    struct cert *c = NULL;
    struct scan s;
    struct err why;

    if (cert_scan(der, &c, &s, &why))
        return refuse(name, why.text, e);
    for (size_t i = 0; i < sizeof flaws / sizeof flaws[0]; i++) {
        if (s.flaws & flaws[i].flaw) {
            cert_free(c);
            return refuse(name, flaws[i].text, e);
        }
    }
    *ret = c;
    return RC_OK;
}

void cert_free(struct cert *c)
{
    if (!c)
        return;
    bytes_free(&c->der);
    free(c->cn);
    free(c);
}

enum rc cert_read(const char *path, struct cert **ret, struct err *e)
{
    struct bytes text = BYTES_INIT, der = BYTES_INIT;
    struct err why;
    enum rc rc = file_read(path, FILE_SMALL_MAX, &text, e);

    if (rc)
        goto out;
    if (armour_open(bytes_span(&text), "CERTIFICATE", false, &der, &why))
        rc = refuse(path, why.text, e);
    else
        rc = cert_parse(path, bytes_span(&der), ret, e);
out:
    bytes_free(&text);
    bytes_free(&der);
    return rc;
}

bool cert_has_eku(const struct cert *c, const char *oid)
{
    for (size_t i = 0; i < c->nekus; i++)
        if (strcmp(c->ekus[i], oid) == 0)
            return true;
    return false;
}

static enum rc check_signature(const struct cert *c, const struct cert *issuer, struct err *e)
{
    struct err why;

    if (!span_eq(c->issuer, issuer->subject))
        return err_set(e, RC_INPUT, "x509.signature", "it names another issuer");
    if (!issuer->key_alg)
        return err_set(e, RC_INPUT, "x509.signature",
                       "the issuer's key is of a type that cannot be verified: one of %s is required",
                       alg_key_names());
    if (!c->sig_alg)
        return err_set(e, RC_INPUT, "x509.signature",
                       "its signature algorithm is unknown: that of one of %s is required", alg_names());
    const struct alg *scheme = alg_for_signature(issuer->key_alg, c->sig_algid);
    if (!scheme)
        return err_set(e, RC_INPUT, "x509.signature",
                       "it is signed with the algorithm of %s keys, and its issuer's key is %s",
                       c->sig_alg->name, issuer->key_alg->name);
    if (signature_verify_message(scheme, issuer->spki, c->tbs, c->signature, &why))
        return err_set(e, RC_INPUT, "x509.signature",
                       "its signature is not its issuer's: it was changed, or is another CA's");
    return RC_OK;
}

enum rc cert_verify_signature(const struct cert *c, const struct cert *issuer, struct err *e)
{
    enum rc rc = check_signature(c, issuer, e);

    if (rc) {
        char *subject = name_text(c->subject);
        char *by = name_text(issuer->subject);

        (void)err_prefix(e, "certificate '%s' and issuer '%s'", subject, by);
        free(subject);
        free(by);
    }
    return rc;
}
