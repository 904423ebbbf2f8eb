/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/uri.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* One attribute that we know: where its value goes and how long it may be. */
struct attribute {
    const char *name;
    size_t offset; /* of a char * in struct uri; AS_ID and AS_TYPE are special */
    size_t max;    /* octets after decoding */
};
enum { AS_ID = 1000, AS_TYPE };

static const struct attribute path_attributes[] = {
    {"token", offsetof(struct uri, token), 32},
    {"manufacturer", offsetof(struct uri, manufacturer), 32},
    {"model", offsetof(struct uri, model), 16},
    {"serial", offsetof(struct uri, serial), 16},
    {"object", offsetof(struct uri, object), 127},
    {"id", AS_ID, 64},
    {"type", AS_TYPE, 16},
    {NULL, 0, 0},
};
static const struct attribute query_attributes[] = {
    {"module-path", offsetof(struct uri, module_path), 255},
    {"pin-source", offsetof(struct uri, pin_source), 4096},
    {NULL, 0, 0},
};

/* What may stand unescaped in a value (RFC 7512 2.3): unreserved, pk11-res-avail, and a few more by
 * component. */
static const char always[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:[]@!$'()*+,=";
static const char path_also[] = "&";
static const char query_also[] = "/?|";

/* The half of the URI that is being read. */
struct reader {
    const char *text; /* for messages: the URI up to its query, where a mistyped PIN attribute may stand */
    const struct attribute *known;
    const char *also;
    struct uri *uri;
    bool typed; /* type= was seen */
};

static bool name_is(struct span name, const char *s)
{
    return name.n == strlen(s) && memcmp(name.p, s, name.n) == 0;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static enum rc value_decode(const struct reader *r, const struct attribute *a, struct span value,
                            struct bytes *ret, struct err *e)
{
    for (size_t i = 0; i < value.n; i++) {
        uint8_t c = value.p[i];
        if (c == '%') {
            int high = i + 2 < value.n ? hex_digit(value.p[i + 1]) : -1;
            int low = i + 2 < value.n ? hex_digit(value.p[i + 2]) : -1;
            if (high < 0 || low < 0)
                return err_set(e, RC_USAGE, "hsm.uri",
                               "URI '%s': '%s': %% must be followed by two hex digits", r->text, a->name);
            c = (uint8_t)(high << 4 | low);
            i += 2;
            if (c == 0 && a->offset != AS_ID)
                return err_set(e, RC_USAGE, "hsm.uri", "URI '%s': '%s' holds a zero octet", r->text, a->name);
        } else if (!strchr(always, c) && !strchr(r->also, c)) {
            return err_set(e, RC_USAGE, "hsm.uri", "URI '%s': '%s': write the character 0x%02x as %%%02X",
                           r->text, a->name, c, c);
        }
        bytes_add_byte(ret, c);
    }
    if (ret->n == 0)
        return err_set(e, RC_USAGE, "hsm.uri", "URI '%s': '%s' has no value", r->text, a->name);
    if (ret->n > a->max)
        return err_set(e, RC_USAGE, "hsm.uri", "URI '%s': '%s' has %zu octets, at most %zu are possible",
                       r->text, a->name, ret->n, a->max);
    return RC_OK;
}

static enum rc twice(const struct reader *r, const struct attribute *a, struct err *e)
{
    return err_set(e, RC_USAGE, "hsm.uri", "URI '%s' gives '%s' twice", r->text, a->name);
}

static enum rc value_store(struct reader *r, const struct attribute *a, struct bytes *value, struct err *e)
{
    if (a->offset == AS_TYPE) {
        if (strcmp(bytes_str(value), "private") != 0)
            return err_set(e, RC_USAGE, "hsm.uri",
                           "URI '%s': type '%s': keys are named by type=private or without a type", r->text,
                           bytes_str(value));
        if (r->typed)
            return twice(r, a, e);
        r->typed = true;
        return RC_OK;
    }
    if (a->offset == AS_ID) {
        if (r->uri->id.n)
            return twice(r, a, e);
        r->uri->id = *value;
        *value = (struct bytes)BYTES_INIT;
        return RC_OK;
    }
    char **text = (char **)(void *)((char *)r->uri + a->offset);
    if (*text)
        return twice(r, a, e);
    *text = mem_str(bytes_str(value));
    return RC_OK;
}

static bool name_is_nearly(struct span name, const char *s)
{
    return name.n == strlen(s) && strncasecmp((const char *)name.p, s, name.n) == 0;
}

/* Attributes that exist and that we refuse, with the reason. The text is not shown: it may hold a PIN. */
static enum rc refused(struct span name, struct err *e)
{
    if (name_is_nearly(name, "pin-value"))
        return err_set(
            e, RC_USAGE, "hsm.uri",
            "a URI with 'pin-value' is refused: a PIN in a URI ends up in logs; use pin-source=file:PATH");
    if (name_is_nearly(name, "slot-id"))
        return err_set(
            e, RC_USAGE, "hsm.uri",
            "a URI with 'slot-id' is refused: slot numbers change; name the token by token= or serial=");
    return RC_OK;
}

static enum rc attribute_read(struct reader *r, struct span part, struct err *e)
{
    struct bytes value = BYTES_INIT;
    const uint8_t *eq = memchr(part.p, '=', part.n);
    struct span name = {part.p, eq ? (size_t)(eq - part.p) : part.n};
    enum rc rc = RC_OK;
    if (!eq)
        return err_set(e, RC_USAGE, "hsm.uri", "PKCS#11 URI: '%.*s' is not of the form name=value",
                       (int)part.n, (const char *)part.p);
    if (name.n > 2 && memcmp(name.p, "x-", 2) == 0)
        return RC_OK;
    for (const struct attribute *a = r->known; a->name; a++) {
        if (!name_is(name, a->name))
            continue;
        rc = value_decode(r, a, (struct span){eq + 1, part.n - name.n - 1}, &value, e);
        if (rc == RC_OK)
            rc = value_store(r, a, &value, e);
        bytes_free(&value);
        return rc;
    }
    return err_set(e, RC_USAGE, "hsm.uri", "a PKCS#11 URI with the attribute '%.*s' is not supported",
                   (int)name.n, (const char *)name.p);
}

/* Calls attribute_read, or with r NULL refused(), for each part between separators. */
static enum rc parts_read(struct reader *r, struct span s, char separator, struct err *e)
{
    while (s.n > 0) {
        const uint8_t *end = memchr(s.p, separator, s.n);
        struct span part = {s.p, end ? (size_t)(end - s.p) : s.n};
        const uint8_t *eq = memchr(part.p, '=', part.n);
        enum rc rc = r ? attribute_read(r, part, e)
                       : refused((struct span){part.p, eq ? (size_t)(eq - part.p) : part.n}, e);
        if (rc != RC_OK)
            return rc;
        if (r && end && part.n + 1 == s.n)
            return err_set(e, RC_USAGE, "hsm.uri", "URI '%s' has an empty attribute at an end", r->text);
        size_t used = part.n + (end ? 1 : 0);
        s = (struct span){s.p + used, s.n - used};
    }
    return RC_OK;
}

/* text: behind the scheme. */
static enum rc halves_read(struct reader *r, const char *text, struct err *e)
{
    const char *query = strchr(text, '?');
    struct span path_span = {(const uint8_t *)text, query ? (size_t)(query - text) : strlen(text)};
    struct span query_span = query ? span_str(query + 1) : (struct span){NULL, 0};
    /* First, so that no other message shows a PIN. */
    enum rc rc = parts_read(NULL, path_span, ';', e);
    if (rc == RC_OK)
        rc = parts_read(NULL, query_span, '&', e);
    r->known = path_attributes;
    r->also = path_also;
    if (rc == RC_OK)
        rc = parts_read(r, path_span, ';', e);
    r->known = query_attributes;
    r->also = query_also;
    if (rc == RC_OK)
        rc = parts_read(r, query_span, '&', e);
    return rc;
}

enum rc uri_parse(const char *text, struct uri *ret, struct err *e)
{
    static const char scheme[] = "pkcs11:";
    struct uri u = {.token = NULL};
    memset(ret, 0, sizeof *ret);
    if (strncmp(text, scheme, sizeof scheme - 1) != 0)
        return err_set(e, RC_USAGE, "hsm.uri",
                       "that is not a PKCS#11 URI: 'pkcs11:token=LABEL;object=LABEL' is expected");
    char *shown = mem_strn(text, strcspn(text, "?"));
    struct reader r = {.text = shown, .uri = &u};
    enum rc rc = halves_read(&r, text + sizeof scheme - 1, e);
    if (rc == RC_OK)
        *ret = u;
    else
        uri_free(&u);
    free(shown);
    return rc;
}

void uri_free(struct uri *u)
{
    free(u->token);
    free(u->manufacturer);
    free(u->model);
    free(u->serial);
    free(u->object);
    free(u->module_path);
    free(u->pin_source);
    bytes_free(&u->id);
    memset(u, 0, sizeof *u);
}

bool uri_names_key(const struct uri *u)
{
    return u->object || u->id.n > 0;
}
