/* SPDX-License-Identifier: Apache-2.0 */
#include "x509/tbs.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sign/alg.h"
#include "sign/digest.h"
#include "x509/cert.h"
#include "x509/internal.h"
#include "x509/profile.h"

enum { DAY = 86400 /* seconds */, VERSION_3 = 2, KEY_ID_LEN = 20 };

struct tbs_template {
    const struct profile *profile;
    struct bytes version; /* [0] EXPLICIT Version */
    struct bytes fixed;   /* signature, issuer, validity */
    struct bytes exts;    /* AKI, basicConstraints, keyUsage, extKeyUsage */
    struct bytes nocheck; /* ocsp-nocheck or nothing */
};

/* Takes what w holds onto ret and empties w. */
static void take(struct der_writer *w, struct bytes *ret)
{
    bytes_add_span(ret, der_span(w));
    der_reset(w);
}

static void put_version(struct der_writer *w)
{
    der_put_small(w, VERSION_3);
    der_wrap(w, DER_CONTEXT_0, 0);
}

static void put_fixed(struct der_writer *w, const struct tbs_inputs *in)
{
    der_put_time(w, in->not_after);
    der_put_time(w, in->not_before);
    der_wrap(w, DER_SEQUENCE, 0);
    der_put(w, in->issuer_name);
    der_put(w, in->sig_alg->sig_algid);
}

static void put_aki(struct der_writer *w, struct span key_id)
{
    size_t mark = der_mark(w);

    der_put_value(w, DER_CONTEXT_0_PRIMITIVE, key_id);
    der_wrap(w, DER_SEQUENCE, mark);
    ext_wrap(w, OID_AKI, false, mark);
}

/* Critical in a leaf too: RFC 5280 4.2.1.9 allows it, and no verifier can then miss that it is no CA. */
static void put_bc(struct der_writer *w, const struct profile *p)
{
    size_t mark = der_mark(w);

    if (p->kind != PROFILE_LEAF) {
        if (p->path_len >= 0)
            der_put_small(w, (uint64_t)p->path_len);
        der_put_bool(w, true);
    }
    der_wrap(w, DER_SEQUENCE, mark);
    ext_wrap(w, OID_BC, true, mark);
}

/* A named bit list ends with its last one bit (X.690 11.2.2). Our bits all lie in the first octet. */
static void put_key_usage(struct der_writer *w, unsigned key_usage)
{
    size_t mark = der_mark(w);
    uint8_t bits = 0, unused = 8;

    for (unsigned i = 0; i < 8; i++) {
        if (key_usage & 1U << i) {
            bits = (uint8_t)(bits | 0x80U >> i);
            unused = (uint8_t)(7 - i);
        }
    }
    der_put_byte(w, bits);
    der_put_byte(w, unused);
    der_wrap(w, DER_BIT_STRING, mark);
    ext_wrap(w, OID_KEY_USAGE, true, mark);
}

static void put_eku(struct der_writer *w, const struct profile *p)
{
    size_t mark = der_mark(w);

    if (p->nekus == 0)
        return;
    for (size_t i = p->nekus; i-- > 0;)
        der_put_oid(w, p->ekus[i]);
    der_wrap(w, DER_SEQUENCE, mark);
    ext_wrap(w, OID_EKU, false, mark);
}

static enum rc check_validity(const struct tbs_inputs *in, struct err *e)
{
    const struct profile *p = in->profile;
    char begin[TIME_TEXT], end[TIME_TEXT];

    if (in->not_before < 0 || in->not_after > TIME_NO_EXPIRY)
        return err_set(e, RC_INPUT, "x509.validity",
                       "profile '%s': validity: years 1970 to 9999 are required", p->name);
    time_format(in->not_before, begin);
    time_format(in->not_after, end);
    if (in->not_after < in->not_before)
        return err_set(e, RC_INPUT, "x509.validity", "profile '%s': validity ends (%s) before it begins (%s)",
                       p->name, end, begin);
    if (p->max_days && in->not_after - in->not_before > p->max_days * DAY)
        return err_set(e, RC_INPUT, "x509.validity",
                       "profile '%s': validity from %s to %s: at most %lld days are allowed", p->name, begin,
                       end, (long long)p->max_days);
    return RC_OK;
}

enum rc tbs_template_new(const struct tbs_inputs *in, struct tbs_template **ret, struct err *e)
{
    struct tbs_template *t = NULL;
    struct der_writer w;
    enum rc rc = check_validity(in, e);

    if (rc)
        return rc;
    t = mem_new(sizeof *t);
    t->profile = in->profile;
    der_init(&w);
    put_version(&w);
    take(&w, &t->version);
    put_fixed(&w, in);
    take(&w, &t->fixed);
    put_eku(&w, in->profile);
    put_key_usage(&w, in->profile->key_usage);
    put_bc(&w, in->profile);
    if (in->issuer_key_id.n)
        put_aki(&w, in->issuer_key_id);
    take(&w, &t->exts);
    if (in->profile->ocsp_nocheck) {
        der_put_null(&w);
        ext_wrap(&w, OID_OCSP_NOCHECK, false, 0);
        take(&w, &t->nocheck);
    }
    der_fini(&w);
    *ret = t;
    return RC_OK;
}

void tbs_template_free(struct tbs_template *t)
{
    if (!t)
        return;
    bytes_free(&t->version);
    bytes_free(&t->fixed);
    bytes_free(&t->exts);
    bytes_free(&t->nocheck);
    free(t);
}

/* A magnitude of a positive INTEGER of at most 20 octets, no octet of it superfluous. */
static bool serial_valid(struct span s)
{
    return s.n > 0 && s.n <= SERIAL_MAX && s.p[0] > 0 && s.p[0] < 0x80;
}

static enum rc check_subject(const struct tbs_template *t, const struct tbs_subject *s, struct err *e)
{
    const struct profile *p = t->profile;
    const struct alg *a = NULL;
    struct span point;
    struct err why;
    enum rc rc;

    if (!serial_valid(s->serial))
        return err_set(e, RC_INPUT, "x509.serial",
                       "profile '%s': a serial number is 1 to 20 octets, the first from 0x01 to 0x7f",
                       p->name);
    if (alg_of_spki(s->spki, &a, &why) || (a->family != ALG_RSA && spki_point(a, s->spki, &point, &why)))
        return err_set(e, RC_INPUT, "x509.key-type", "profile '%s': %s", p->name, why.text);
    rc = profile_allows_key(p, a, NULL, e);
    if (rc || s->san.n == 0)
        return rc;
    if (!p->san_from_request)
        return err_set(
            e, RC_INPUT, "x509.san",
            "profile '%s': subject alternative names are not allowed, leave them out of the request",
            p->name);
    return san_check(s->san, e);
}

static void put_ski(struct der_writer *w, enum ski_method method, struct span spki)
{
    size_t mark = der_mark(w);
    uint8_t id[KEY_ID_LEN];

    if (method == SKI_NONE)
        return;
    if (method == SKI_SHA1)
        key_id_sha1(spki, id);
    else
        key_id_rfc7093(spki, id);
    der_put_value(w, DER_OCTET_STRING, (struct span){id, sizeof id});
    ext_wrap(w, OID_SKI, false, mark);
}

enum rc tbs_make(const struct tbs_template *t, const struct tbs_subject *s, struct bytes *ret, struct err *e)
{
    struct der_writer w;
    enum rc rc = check_subject(t, s, e);

    if (rc)
        return rc;
    der_init(&w);
    der_put(&w, bytes_span(&t->nocheck));
    if (s->san.n) {
        size_t mark = der_mark(&w);

        der_put(&w, s->san);
        ext_wrap(&w, OID_SAN, name_is_empty(s->name), mark);
    }
    der_put(&w, bytes_span(&t->exts));
    put_ski(&w, t->profile->ski, s->spki);
    der_wrap(&w, DER_SEQUENCE, 0);
    der_wrap(&w, DER_CONTEXT_3, 0);
    der_put(&w, s->spki);
    der_put(&w, s->name);
    der_put(&w, bytes_span(&t->fixed));
    der_put_uint(&w, s->serial);
    der_put(&w, bytes_span(&t->version));
    der_wrap(&w, DER_SEQUENCE, 0);
    bytes_add_span(ret, der_span(&w));
    der_fini(&w);
    return RC_OK;
}

void signed_assemble(const struct alg *a, struct span tbs, struct span signature, struct bytes *ret)
{
    size_t bits = 1 + signature.n;

    der_add_header(ret, DER_SEQUENCE, tbs.n + a->sig_algid.n + der_header_len(bits) + bits);
    bytes_add_span(ret, tbs);
    bytes_add_span(ret, a->sig_algid);
    der_add_header(ret, DER_BIT_STRING, bits);
    bytes_add_byte(ret, 0);
    bytes_add_span(ret, signature);
}

/* The contents of subjectPublicKey without the octet that counts unused bits. */
static struct span public_key_bits(struct span spki)
{
    struct der_value algid;
    struct span in, bits = {NULL, 0};
    struct err why;

    if (der_only(spki, DER_SEQUENCE, &in, &why) || der_expect(&in, DER_SEQUENCE, &algid, &why) ||
        der_bits(&in, &bits, &why))
        bug("a key identifier of something that is no SubjectPublicKeyInfo: %s", why.text);
    return bits;
}

void key_id_sha1(struct span spki, uint8_t ret[static 20])
{
    sha1(public_key_bits(spki), ret);
}

void key_id_rfc7093(struct span spki, uint8_t ret[static 20])
{
    uint8_t digest[SHA256_LEN];

    sha256(public_key_bits(spki), digest);
    memcpy(ret, digest, KEY_ID_LEN);
}

enum rc serial_new(uint8_t ret[static SERIAL_LEN], struct err *e)
{
    uint8_t serial[SERIAL_LEN];
    enum rc rc = random_bytes(serial, sizeof serial, e);

    if (rc)
        return rc;
    serial[0] = (uint8_t)(0x40 | (serial[0] & 0x3f));
    memcpy(ret, serial, sizeof serial);
    return RC_OK;
}
