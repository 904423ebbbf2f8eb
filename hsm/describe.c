/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/keystore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hsm/client.h"
#include "hsm/uri.h"
#include "sign/alg.h"

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

/* CKA_EC_POINT is a DER OCTET STRING of the point by the book; some tokens give the bare point. */
static struct span point_of(const struct alg *a, const struct proto_key *k)
{
    const uint8_t *p = k->point;
    size_t n = k->point_len, bare = 1 + 2 * a->field_len;
    if (n == bare && p[0] == 0x04)
        return (struct span){p, n};
    if (n == bare + 2 && p[0] == 0x04 && p[1] == bare && p[2] == 0x04)
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

void key_info_from(const struct proto_key *all, size_t n, size_t i, struct key_info *ret)
{
    const struct proto_key *k = &all[i];
    const struct alg *a = alg_by_params((struct span){k->params, k->params_len});
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
    };
    text_show(k->ref.label, ret->label, sizeof ret->label);
    bytes_add(&ret->id, k->ref.id, k->ref.id_len);
    if (!a || k->type != a->p11_key_type)
        return;
    snprintf(ret->algorithm, sizeof ret->algorithm, "%s", a->name);
    struct span point = point_of(a, k);
    if (point.n)
        spki_from_point(a, point, &ret->spki);
}

/* A worker is ours, but what it holds is a vendor's: lengths and ends of texts are checked before they are
 * believed. */
static bool key_sound(struct proto_key *k)
{
    k->ref.label[sizeof k->ref.label - 1] = '\0';
    return k->ref.id_len <= sizeof k->ref.id && k->params_len <= sizeof k->params &&
           k->point_len <= sizeof k->point;
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
        key_info_from(keys, n, i, &info);
        bytes_printf(&labels, "%s%s", i ? ", " : "", info.label[0] ? info.label : "(no label)");
        bytes_free(&info.id);
        bytes_free(&info.spki);
    }
    enum rc rc = err_set(e, RC_TOKEN, "hsm.no-key", "no private key '%s' in %s; keys there: %s",
                         u->object ? u->object : "with this id", client_name(c),
                         labels.n ? bytes_str(&labels) : "none");
    bytes_free(&labels);
    return rc;
}
