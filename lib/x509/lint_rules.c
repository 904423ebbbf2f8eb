/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "sign/alg.h"
#include "x509/cert.h"
#include "x509/lint_internal.h"
#include "x509/name.h"
#include "x509/profile.h"
#include "x509/tbs.h"
#include "x509/verify.h"

/*
 * One function a rule. A rule judges its own subject alone and is silent where another rule must speak
 * already (an unreadable time, an absent extension), so that each finding has one cause.
 */

enum {
    DAY = 86400,    /* seconds */
    SERIAL_MIN = 8, /* octets: 64 bits (CA/Browser Forum baseline requirements 7.1) */
    CN_MAX = 64,    /* characters, X.520 ub-common-name */
    KEY_ID_LEN = 20,
};

static bool is_ca_profile(const struct lint_view *v)
{
    return v->profile->kind != PROFILE_LEAF;
}

static bool times_readable(const struct lint_view *v)
{
    return !(v->scan.flaws & FLAW_TIME);
}

static bool version(const struct lint_view *v)
{
    return !(v->scan.flaws & FLAW_VERSION);
}

static bool serial_positive(const struct lint_view *v)
{
    return !(v->scan.flaws & FLAW_SERIAL_SIGN);
}

static bool serial_length(const struct lint_view *v)
{
    return !(v->scan.flaws & FLAW_SERIAL_LENGTH);
}

static bool serial_bits(const struct lint_view *v)
{
    return v->scan.flaws & FLAW_SERIAL_SIGN || v->cert->serial.n >= SERIAL_MIN;
}

static bool algorithm(const struct lint_view *v)
{
    return !(v->scan.flaws & FLAW_ALGORITHM);
}

static bool time_form(const struct lint_view *v)
{
    return times_readable(v);
}

static bool time_order(const struct lint_view *v)
{
    return !times_readable(v) || v->cert->not_before <= v->cert->not_after;
}

static bool max_days(const struct lint_view *v)
{
    const struct profile *p = v->profile;

    return !times_readable(v) || p->max_days == 0 ||
           v->cert->not_after - v->cert->not_before <= p->max_days * DAY;
}

static bool issuer_end(const struct lint_view *v)
{
    return !v->issuer || !times_readable(v) || v->cert->not_after <= v->issuer->not_after;
}

static bool issuer_begin(const struct lint_view *v)
{
    return !v->issuer || !times_readable(v) || v->cert->not_before >= v->issuer->not_before;
}

static bool issuer_name(const struct lint_view *v)
{
    return span_eq(v->cert->issuer, v->issuer ? v->issuer->subject : v->cert->subject);
}

static bool issuer_ca(const struct lint_view *v)
{
    return !v->issuer || (v->issuer->ca && v->issuer->key_usage & KU_KEY_CERT_SIGN);
}

static bool ca_subject(const struct lint_view *v)
{
    return !is_ca_profile(v) || !name_is_empty(v->cert->subject);
}

static bool cn_length(const struct lint_view *v)
{
    size_t characters = 0;

    return !v->cert->cn || (utf8_valid(span_str(v->cert->cn), &characters) && characters <= CN_MAX);
}

static bool device_id(const struct lint_view *v)
{
    return v->profile->subject != SUBJECT_FROM_DEVICE_ID ||
           (v->cert->cn && (strlen(v->cert->cn) > DEVICE_ID_MAX || device_id_valid(v->cert->cn)));
}

static bool bc(const struct lint_view *v)
{
    return v->cert->has_bc && v->cert->ca == is_ca_profile(v);
}

static bool bc_critical(const struct lint_view *v)
{
    return !v->cert->has_bc || v->cert->bc_critical;
}

static bool path_length(const struct lint_view *v)
{
    const struct cert *c = v->cert;

    if (!c->has_bc || c->ca != is_ca_profile(v))
        return true;
    if (c->path_len >= 0 && !(c->ca && c->key_usage & KU_KEY_CERT_SIGN))
        return false;
    return c->path_len == (is_ca_profile(v) ? v->profile->path_len : -1);
}

static bool issuer_path_length(const struct lint_view *v)
{
    const struct cert *c = v->cert;

    if (!is_ca_profile(v) || !v->issuer || v->issuer->path_len < 0 || !c->ca)
        return true;
    return v->issuer->path_len > 0 && c->path_len >= 0 && c->path_len < v->issuer->path_len;
}

static bool ku_critical(const struct lint_view *v)
{
    return !v->cert->has_ku || v->cert->ku_critical;
}

static bool key_usage(const struct lint_view *v)
{
    return v->cert->has_ku && v->cert->key_usage == v->profile->key_usage;
}

static bool ku_bits(const struct lint_view *v)
{
    return !(v->scan.flaws & FLAW_KEY_USAGE);
}

static bool key_family(const struct lint_view *v, enum alg_family family)
{
    return v->cert->key_alg && v->cert->key_alg->family == family;
}

static bool ku_ec_leaf(const struct lint_view *v)
{
    return is_ca_profile(v) || !key_family(v, ALG_EC) ||
           !(v->cert->key_usage & ~(KU_DIGITAL_SIGNATURE | KU_KEY_AGREEMENT));
}

static bool ku_rsa(const struct lint_view *v)
{
    unsigned allowed = is_ca_profile(v) ? KU_DIGITAL_SIGNATURE | KU_KEY_CERT_SIGN | KU_CRL_SIGN
                                        : KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT;

    return !key_family(v, ALG_RSA) || !(v->cert->key_usage & ~allowed);
}

static bool ku_ed25519(const struct lint_view *v)
{
    unsigned allowed =
        is_ca_profile(v) ? KU_DIGITAL_SIGNATURE | KU_KEY_CERT_SIGN | KU_CRL_SIGN : KU_DIGITAL_SIGNATURE;

    return !key_family(v, ALG_EDWARDS) || !(v->cert->key_usage & ~allowed);
}

static bool eku(const struct lint_view *v)
{
    if (v->cert->nekus != v->profile->nekus)
        return false;
    for (size_t i = 0; i < v->profile->nekus; i++)
        if (!cert_has_eku(v->cert, v->profile->ekus[i]))
            return false;
    return true;
}

static bool eku_ca(const struct lint_view *v)
{
    for (size_t i = 0; i < v->cert->nekus; i++) {
        const char *oid = v->cert->ekus[i];

        if (is_ca_profile(v) &&
            (role_of_oid(oid) >= 0 || strcmp(oid, EKU_OCSP_SIGNING) == 0 || strcmp(oid, EKU_ANY) == 0))
            return false;
    }
    return true;
}

static bool ski(const struct lint_view *v)
{
    uint8_t id[KEY_ID_LEN];

    if (v->profile->ski == SKI_NONE)
        return !is_ca_profile(v) && !(v->scan.present & EXT_SKI);
    if (v->foreign)
        return v->cert->ski.n > 0;
    if (v->profile->ski == SKI_SHA1)
        key_id_sha1(v->cert->spki, id);
    else
        key_id_rfc7093(v->cert->spki, id);
    return span_eq(v->cert->ski, (struct span){id, sizeof id});
}

static bool aki(const struct lint_view *v)
{
    if (!v->issuer)
        return !(v->scan.present & EXT_AKI) || span_eq(v->cert->aki, v->cert->ski);
    return v->cert->aki.n && span_eq(v->cert->aki, v->issuer->ski);
}

static bool aki_form(const struct lint_view *v)
{
    return !v->scan.aki_more;
}

static bool criticality(const struct lint_view *v)
{
    return !(v->scan.critical & (EXT_SKI | EXT_AKI | EXT_EKU | EXT_OCSP_NOCHECK));
}

static bool san(const struct lint_view *v)
{
    struct err why;

    if (!(v->scan.present & EXT_SAN))
        return is_ca_profile(v) || !name_is_empty(v->cert->subject);
    return v->profile->san_from_request && san_check(v->cert->san, &why) == RC_OK;
}

static bool san_critical(const struct lint_view *v)
{
    bool critical = v->scan.critical & EXT_SAN;

    return !(v->scan.present & EXT_SAN) || critical == name_is_empty(v->cert->subject);
}

static bool ocsp_nocheck(const struct lint_view *v)
{
    return ((v->scan.present & EXT_OCSP_NOCHECK) != 0) == v->profile->ocsp_nocheck;
}

static bool duplicate_extension(const struct lint_view *v)
{
    return !(v->scan.flaws & FLAW_DUPLICATE);
}

static bool unknown_extension(const struct lint_view *v)
{
    return !(v->scan.present & EXT_OTHER);
}

static bool key_type(const struct lint_view *v)
{
    for (size_t i = 0; i < v->profile->nalgs; i++)
        if (v->profile->algs[i] == v->cert->key_alg)
            return true;
    return false;
}

static bool key_point(const struct lint_view *v)
{
    const struct alg *a = NULL;
    struct err why;

    return !v->cert->key_alg || spki_check(v->cert->spki, &a, &why) == RC_OK;
}

/* The order is the one in which findings are reported. */
const struct lint_rule_info *lint_rules(void)
{
    static const struct lint_rule_info rules[] = {
        {"version", "RFC 5280 4.1.2.1", "the version is 3", version},
        {"serial-positive", "RFC 5280 4.1.2.2", "the serial number is positive", serial_positive},
        {"serial-length", "RFC 5280 4.1.2.2", "the serial number has at most 20 octets", serial_length},
        {"serial-bits", "CA/B BR 7.1", "the serial number has room for 64 random bits", serial_bits},
        {"algorithm", "RFC 5280 4.1.1.2", "the signature algorithm is the issuer key's, inside and outside",
         algorithm},
        {"time-form", "RFC 5280 4.1.2.5",
         "times are UTCTime through 2049, then GeneralizedTime, with seconds and Z", time_form},
        {"time-order", "RFC 5280 4.1.2.5", "notBefore is not after notAfter", time_order},
        {"max-days", "profile max_days", "the validity is not longer than the profile allows", max_days},
        {"issuer-end", "RFC 5280 6.1", "the certificate does not outlive its issuer: shorten the validity",
         issuer_end},
        {"issuer-begin", "RFC 5280 6.1", "the certificate is not valid before its issuer is", issuer_begin},
        {"issuer-name", "RFC 5280 6.1.3", "the issuer is, octet by octet, the issuer certificate's subject",
         issuer_name},
        {"issuer-ca", "RFC 5280 6.1.4", "the issuer is a CA with keyUsage keyCertSign", issuer_ca},
        {"ca-subject", "RFC 5280 4.1.2.6", "a CA's subject is not empty", ca_subject},
        {"cn-length", "RFC 5280 A.1", "the common name has at most 64 characters", cn_length},
        {"device-id", "profile subject", "the common name is one device id: 1 to 64 of A-Z a-z 0-9 : _ -",
         device_id},
        {"basic-constraints", "RFC 5280 4.2.1.9",
         "basicConstraints is there and says CA exactly as the profile does", bc},
        {"basic-constraints-critical", "RFC 5280 4.2.1.9", "basicConstraints is critical", bc_critical},
        {"path-length", "RFC 5280 4.2.1.9", "the path length is the profile's, and with keyCertSign alone",
         path_length},
        {"issuer-path-length", "RFC 5280 6.1.4", "a CA's path length is less than its issuer's",
         issuer_path_length},
        {"key-usage-critical", "RFC 5280 4.2.1.3", "keyUsage is critical", ku_critical},
        {"key-usage", "RFC 5280 4.2.1.3", "keyUsage has exactly the profile's bits", key_usage},
        {"key-usage-bits", "X.690 11.2.2", "keyUsage has a bit set and no zero bits at its end", ku_bits},
        {"key-usage-ec", "RFC 8813 3", "an EC leaf's key signs or agrees, nothing else", ku_ec_leaf},
        {"key-usage-rsa", "RFC 4055 1.2", "an RSA leaf's key signs or is encrypted to, a CA's signs alone",
         ku_rsa},
        {"key-usage-ed25519", "RFC 8410 5", "an Ed25519 key signs, nothing else", ku_ed25519},
        {"eku", "RFC 5280 4.2.1.12", "extendedKeyUsage has exactly the profile's purposes", eku},
        {"eku-ca", "keymill roles", "no CA has a keymill role, OCSPSigning or anyExtendedKeyUsage", eku_ca},
        {"ski", "RFC 5280 4.2.1.2", "the subject key identifier is made as the profile says; a CA has one",
         ski},
        {"aki", "RFC 5280 4.2.1.1",
         "the authority key identifier is the issuer's; self-signed alone may lack it", aki},
        {"aki-form", "RFC 5280 4.2.1.1", "the authority key identifier has a key identifier alone", aki_form},
        {"criticality", "RFC 5280 4.2.1", "SKI, AKI, extendedKeyUsage and ocsp-nocheck are not critical",
         criticality},
        {"san", "RFC 5280 4.2.1.6",
         "alternative names are host names and addresses the profile lets through; needed without subject",
         san},
        {"san-critical", "RFC 5280 4.2.1.6",
         "subjectAltName is critical when the subject is empty, and only then", san_critical},
        {"ocsp-nocheck", "RFC 6960 4.2.2.2.1",
         "ocsp-nocheck is there when the profile says so, and only then", ocsp_nocheck},
        {"duplicate-extension", "RFC 5280 4.2", "no extension is there twice", duplicate_extension},
        {"unknown-extension", "RFC 5280 4.2",
         "no extension is there that keymill does not know, critical or not", unknown_extension},
        {"key-type", "profile keys", "the key is of a type the profile allows", key_type},
        {"key-point", "RFC 5480 2.2, FIPS 186-5 A.1.1",
         "the public key is an uncompressed point of its curve, or RSA numbers without a known weakness",
         key_point},
        {NULL, NULL, NULL, NULL},
    };

    return rules;
}
