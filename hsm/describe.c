/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/keystore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hsm/client.h"
#include "hsm/uri.h"
#include "sign/alg.h"

static void copy(char *ret, size_t n, const char *s)
{
    snprintf(ret, n, "%s", s ? s : "");
}

void hello_from(const struct uri *u, struct proto_hello *ret)
{
    memset(ret, 0, sizeof *ret);
    copy(ret->module, sizeof ret->module, u->module_path ? u->module_path : getenv("KEYMILL_PKCS11_MODULE"));
    copy(ret->token, sizeof ret->token, u->token);
    copy(ret->manufacturer, sizeof ret->manufacturer, u->manufacturer);
    copy(ret->model, sizeof ret->model, u->model);
    copy(ret->serial, sizeof ret->serial, u->serial);
}

/* Octets of the UTF-8 character at p (RFC 3629), 0 when it is none. */
static size_t utf8_len(const unsigned char *p)
{
    size_t n = p[0] < 0x80                   ? 1
               : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
               : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
               : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                             : 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] >= 0x90))
        return 0;
    return n;
}

/* A token may hold any octets as a label; what we show is UTF-8 without control characters. ret has room for
 * n octets. */
static void text_show(const char *s, char *ret, size_t n)
{
    size_t used = 0;
    for (const unsigned char *p = (const unsigned char *)s; *p;) {
        size_t len = utf8_len(p);
        if (used + (len ? len : 1) + 1 > n)
            break;
        if (len == 0 || (len == 1 && (p[0] < 0x20 || p[0] == 0x7f))) {
            ret[used++] = '?';
            p++;
            continue;
        }
        memcpy(ret + used, p, len);
        used += len;
        p += len;
    }
    ret[used] = '\0';
}

void token_info_from(const struct proto_token *t, struct token_info *ret)
{
    memset(ret, 0, sizeof *ret);
    text_show(t->label, ret->label, sizeof ret->label);
    text_show(t->manufacturer, ret->manufacturer, sizeof ret->manufacturer);
    text_show(t->model, ret->model, sizeof ret->model);
    text_show(t->serial, ret->serial, sizeof ret->serial);
    text_show(t->module, ret->module, sizeof ret->module);
    ret->initialised = t->initialised;
    ret->pin_count_low = t->pin_count_low;
    ret->pin_final_try = t->pin_final_try;
    ret->pin_locked = t->pin_locked;
    ret->login_required = t->login_required;
    ret->max_sessions = t->max_sessions;
}

/* Curves by name, where a token says a PrintableString instead of the OID (PKCS#11 3.0 2.3.3). The first name
 * of each is the standard's. */
struct curve_name {
    const char *alg, *name;
};
static const struct curve_name curve_names[] = {
    {"ec-p256", "secp256r1"},  {"ec-p256", "prime256v1"}, {"ec-p256", "P-256"},
    {"ec-p384", "secp384r1"},  {"ec-p384", "P-384"},      {"ed25519", "edwards25519"},
    {"ed25519", "id-Ed25519"},
};
enum { CURVE_NAMES = sizeof curve_names / sizeof curve_names[0], DER_PRINTABLE_STRING = 0x13 };

void params_by_name(const struct alg *a, struct bytes *ret)
{
    for (size_t i = 0; i < CURVE_NAMES; i++) {
        if (strcmp(curve_names[i].alg, a->name) != 0)
            continue;
        size_t n = strlen(curve_names[i].name);
        bytes_add_byte(ret, DER_PRINTABLE_STRING);
        bytes_add_byte(ret, (uint8_t)n);
        bytes_add(ret, curve_names[i].name, n);
        return;
    }
    bug("no curve name for %s", a->name);
}

static const struct alg *alg_by_curve_name(struct span params)
{
    if (params.n < 2 || params.p[0] != DER_PRINTABLE_STRING || params.p[1] != params.n - 2)
        return NULL;
    for (size_t i = 0; i < CURVE_NAMES; i++) {
        const char *name = curve_names[i].name;
        if (span_eq((struct span){params.p + 2, params.n - 2},
                    (struct span){(const uint8_t *)name, strlen(name)}))
            return alg_by_name(curve_names[i].alg);
    }
    return NULL;
}

/* CKA_EC_POINT is a DER OCTET STRING of the point by the book; some tokens give the bare point. */
static struct span point_of(const struct alg *a, const struct proto_key *k)
{
    const uint8_t *p = k->public;
    size_t n = k->public_len, bare = a->family == ALG_EC ? 1 + 2 * a->field_len : a->field_len;
    uint8_t first = a->family == ALG_EC ? 0x04 : 0;
    if (n == bare && (!first || p[0] == first))
        return (struct span){p, n};
    if (n == bare + 2 && p[0] == 0x04 && p[1] == bare && (!first || p[2] == first))
        return (struct span){p + 2, bare};
    return (struct span){NULL, 0};
}

static size_t label_count(const struct proto_key *all, size_t n, const char *label)
{
    size_t same = 0;
    for (size_t i = 0; i < n; i++)
        same += strcmp(all[i].ref.label, label) == 0;
    return same;
}

static size_t id_count(const struct proto_key *all, size_t n, const struct proto_ref *ref)
{
    size_t same = 0;
    for (size_t i = 0; i < n; i++)
        same += all[i].ref.id_len == ref->id_len && memcmp(all[i].ref.id, ref->id, ref->id_len) == 0;
    return same;
}

static struct span without_zeros(const uint8_t *p, size_t n)
{
    while (n > 0 && p[0] == 0) {
        p++;
        n--;
    }
    return (struct span){p, n};
}

/* Algorithm and SPKI of an RSA key. One whose modulus is of no size of ours has neither. */
static const struct alg *rsa_describe(const struct proto_key *k, struct bytes *spki)
{
    struct span modulus = without_zeros(k->public, k->public_len);
    struct span exponent = without_zeros(k->exponent, k->exponent_len);
    const struct alg *a = modulus.n && (modulus.p[0] & 0x80) ? alg_by_rsa_bits(8 * modulus.n) : NULL;
    if (a && exponent.n)
        spki_from_rsa(modulus, exponent, spki);
    return a;
}

static const struct alg *curve_describe(const struct proto_key *k, struct bytes *spki)
{
    struct span params = {k->params, k->params_len};
    const struct alg *a = alg_by_params(params);
    if (!a)
        a = alg_by_curve_name(params);
    if (!a || k->type != a->p11_key_type)
        return NULL;
    struct span point = point_of(a, k);
    if (point.n)
        spki_from_point(a, point, spki);
    return a;
}

void key_info_from(const struct quirks *quirks, const struct proto_key *all, size_t n, size_t i,
                   struct key_info *ret)
{
    const struct proto_key *k = &all[i];
    const struct alg *rsa = alg_by_rsa_bits(2048);
    *ret = (struct key_info){
        .sensitive = k->flag[PROTO_F_SENSITIVE],
        .always_sensitive = k->flag[PROTO_F_ALWAYS_SENSITIVE],
        .extractable = k->flag[PROTO_F_EXTRACTABLE],
        .never_extractable = k->flag[PROTO_F_NEVER_EXTRACTABLE],
        .local = k->flag[PROTO_F_LOCAL],
        .private_object = k->flag[PROTO_F_PRIVATE],
        .token_object = k->flag[PROTO_F_TOKEN],
        .sign = k->flag[PROTO_F_SIGN],
        .sign_recover = k->flag[PROTO_F_SIGN_RECOVER],
        .decrypt = k->flag[PROTO_F_DECRYPT],
        .unwrap = k->flag[PROTO_F_UNWRAP],
        .derive = k->flag[PROTO_F_DERIVE],
        .always_authenticate = k->flag[PROTO_F_ALWAYS_AUTHENTICATE],
        .modifiable = k->flag[PROTO_F_MODIFIABLE],
        .same_label = label_count(all, n, k->ref.label),
        .same_id = id_count(all, n, &k->ref),
        .quirks = quirks,
    };
    text_show(k->ref.label, ret->label, sizeof ret->label);
    bytes_add(&ret->id, k->ref.id, k->ref.id_len);
    const struct alg *a =
        k->type == rsa->p11_key_type ? rsa_describe(k, &ret->spki) : curve_describe(k, &ret->spki);
    if (a)
        snprintf(ret->algorithm, sizeof ret->algorithm, "%s", a->name);
}

/* A worker is ours, but what it holds is a vendor's: lengths and ends of texts are checked before they are
 * believed. */
static bool key_sound(struct proto_key *k)
{
    k->ref.label[sizeof k->ref.label - 1] = '\0';
    return k->ref.id_len <= sizeof k->ref.id && k->params_len <= sizeof k->params &&
           k->public_len <= sizeof k->public && k->exponent_len <= sizeof k->exponent;
}

static int by_label(const void *a, const void *b)
{
    const struct proto_ref *x = &((const struct proto_key *)a)->ref, *y = &((const struct proto_key *)b)->ref;
    int order = strcmp(x->label, y->label);
    return order ? order : memcmp(x->id, y->id, sizeof x->id);
}

enum rc keys_read(struct client *c, struct proto_key **ret, size_t *ret_n, struct err *e)
{
    struct bytes body = BYTES_INIT;
    struct request rq = {.op = PROTO_KEYS};
    struct proto_key *keys = NULL;
    enum rc rc = client_call(c, NULL, &rq, &body, e);
    size_t n = body.n / sizeof *keys;
    if (rc != RC_OK)
        goto out;
    keys = mem_array(n + 1, sizeof *keys);
    memcpy(keys, bytes_str(&body), n * sizeof *keys);
    for (size_t i = 0; i < n; i++) {
        if (!key_sound(&keys[i])) {
            rc = err_set(e, RC_TOKEN, "hsm.worker-lost", "the worker for %s talks nonsense", client_name(c));
            goto out;
        }
    }
    qsort(keys, n, sizeof *keys, by_label); /* a token's own order changes from day to day */
    *ret = keys;
    *ret_n = n;
    keys = NULL;
out:
    free(keys);
    bytes_free(&body);
    return rc;
}

bool key_selected(const struct uri *u, const struct proto_key *k)
{
    if (u->object && strcmp(u->object, k->ref.label) != 0)
        return false;
    return u->id.n == 0 || span_eq(bytes_span(&u->id), (struct span){k->ref.id, k->ref.id_len});
}

enum rc key_missing(const struct client *c, const struct uri *u, const struct proto_key *keys, size_t n,
                    struct err *e)
{
    struct bytes labels = BYTES_INIT;
    for (size_t i = 0; i < n; i++) {
        struct key_info info;
        key_info_from(client_quirks(c), keys, n, i, &info);
        bytes_printf(&labels, "%s%s", i ? ", " : "", info.label[0] ? info.label : "(no label)");
        key_info_fini(&info);
    }
    enum rc rc = err_set(e, RC_TOKEN, "hsm.no-key", "no private key '%s' in %s; keys there: %s",
                         u->object ? u->object : "with this id", client_name(c),
                         labels.n ? bytes_str(&labels) : "none");
    bytes_free(&labels);
    return rc;
}
