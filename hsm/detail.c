/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hsm/ability.h"
#include "hsm/client.h"
#include "hsm/keystore.h"
#include "hsm/quirks.h"
#include "hsm/status.h"
#include "hsm/uri.h"
#include "hsm/worker_process.h"

enum { DEADLINE_MS = 60000 };

/* --- what the token says */

/* Two questions to a worker of their own, which never logs in. */
static enum rc ask(const struct proto_hello *hello, const char *token, struct reply *replies, struct err *e)
{
    struct worker w = WORKER_INIT;
    struct request requests[] = {{.op = PROTO_HELLO, .fixed = {(const uint8_t *)hello, sizeof *hello}},
                                 {.op = PROTO_MECHANISMS}};
    struct exchange x = {
        .requests = requests, .replies = replies, .n = 2, .window = 1, .deadline_ms = DEADLINE_MS};
    struct subject about = {.token = token, .module = hello->module};
    enum outcome o = LOST;
    enum rc rc = worker_start(&w, e);
    if (rc == RC_OK) {
        o = worker_exchange(&w, &x);
        if (o == REFUSED)
            rc = status_err(x.status, &x.error, &about, e);
        else if (o == LATE)
            rc = err_set(e, RC_TOKEN, "hsm.worker-late", "the PKCS#11 module did not answer within %d s",
                         DEADLINE_MS / 1000);
        else if (o == LOST || replies[0].body.n != sizeof(struct proto_token))
            rc = err_set(e, RC_TOKEN, "hsm.worker-lost",
                         "the token worker ended: the PKCS#11 module may have crashed");
    }
    worker_end(&w, o == LATE);
    return rc;
}

/* --- what the quirk file says, for people */

static void line_add(struct token_detail *d, const char *what, const char *value)
{
    d->quirk_lines = mem_grow(d->quirk_lines, d->nquirk_lines + 1, sizeof *d->quirk_lines);
    d->quirk_lines[d->nquirk_lines++] = (struct quirk_line){mem_str(what), mem_str(value)};
}

static void line_number(struct token_detail *d, const char *what, uint64_t n)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)n);
    if (n)
        line_add(d, what, text);
}

static void use_lines(struct token_detail *d, const struct quirks *q)
{
    if (q->worker_per_core)
        line_add(d, "workers", "one a core");
    else
        line_number(d, "workers", (uint64_t)q->workers);
    line_number(d, "sessions of a worker", (uint64_t)q->sessions);
    line_number(d, "sessions of all programs", q->max_sessions);
    if (q->session_copies)
        line_add(d, "signs with", "a copy of the key in the session");
    if (q->signature_der)
        line_add(d, "ECDSA signatures", "come in DER");
    if (q->point_wrapped)
        line_add(d, "the peer's point", "is wanted as an OCTET STRING");
    if (q->params_name)
        line_add(d, "curves", "are told by name");
    if (q->pin_user_password)
        line_add(d, "PIN", "is of the form user:password");
    if (q->counts_pins)
        line_add(d, "wrong PINs", "are counted, and other failures are not");
}

static void flag_lines(struct token_detail *d, const struct quirks *q)
{
    struct bytes omitted = BYTES_INIT;
    for (enum proto_flag f = 0; f < PROTO_FLAGS; f++) {
        if (q->template_omit & (1U << f))
            bytes_printf(&omitted, "%s%s", omitted.n ? ", " : "", flag_name(f));
    }
    if (q->template_omit & (1U << PROTO_OMIT_PUBLIC_USAGE))
        bytes_printf(&omitted, "%spublic-usage", omitted.n ? ", " : "");
    if (omitted.n)
        line_add(d, "not said when a key is made", bytes_str(&omitted));
    bytes_free(&omitted);
    for (enum proto_flag f = 0; f < PROTO_FLAGS; f++) {
        char what[64];
        if ((q->unreliable & (1U << f)) == 0)
            continue;
        snprintf(what, sizeof what, "not believed: %s", flag_name(f));
        line_add(d, what, q->unreliable_why[f] ? q->unreliable_why[f] : "");
    }
}

static void limit_lines(struct token_detail *d, const struct quirks *q)
{
    struct bytes without = BYTES_INIT;
    for (enum capability c = 0; c < CAPABILITIES; c++) {
        if (q->without[c])
            bytes_printf(&without, "%s%s", without.n ? ", " : "", capability_name(c));
    }
    if (without.n)
        line_add(d, "without", bytes_str(&without));
    bytes_free(&without);
    for (size_t i = 0; q->confine && i < PROTO_PATHS && q->paths[i].path[0]; i++)
        line_add(d, q->paths[i].write ? "may write" : "may read", q->paths[i].path);
}

static enum rc quirks_add(struct token_detail *d, const struct proto_token *t, struct quirks *q,
                          struct err *e)
{
    enum rc rc = quirks_find(t, q, e);
    if (rc != RC_OK || !q->name)
        return rc;
    d->quirk_name = mem_str(q->name);
    d->quirk_path = mem_str(q->path);
    d->quirk_note = mem_str(q->note);
    use_lines(d, q);
    flag_lines(d, q);
    limit_lines(d, q);
    return RC_OK;
}

/* --- together */

static enum rc detail_from(const struct reply *replies, struct token_detail *d, struct err *e)
{
    struct proto_token token;
    struct quirks q = {.name = NULL};
    size_t n = replies[1].body.n / sizeof(struct proto_mechanism);
    memcpy(&token, replies[0].body.p, sizeof token);
    token_info_from(&token, &d->info);
    enum rc rc = quirks_add(d, &token, &q, e);
    if (rc == RC_OK) {
        struct proto_mechanism *m = mem_array(n + 1, sizeof *m);
        memcpy(m, bytes_str(&replies[1].body), n * sizeof *m);
        abilities_judge(m, n, &q, &d->abilities, &d->nabilities);
        free(m);
    }
    quirks_free(&q);
    return rc;
}

enum rc token_detail_read(const char *uri, struct token_detail **ret, struct err *e)
{
    struct uri u = {.token = NULL};
    struct proto_hello hello;
    struct reply replies[2] = {{.done = false}, {.done = false}};
    struct token_detail *d = NULL;
    enum rc rc = uri_parse(uri, &u, e);
    if (rc != RC_OK)
        return rc;
    char *name = u.token ? mem_printf("token '%s'", u.token) : mem_str("token");
    hello_from(&u, &hello);
    rc = ask(&hello, name, replies, e);
    if (rc == RC_OK) {
        d = mem_new(sizeof *d);
        rc = detail_from(replies, d, e);
    }
    if (rc == RC_OK) {
        *ret = d;
        d = NULL;
    }
    token_detail_free(d);
    replies_wipe(replies, 2);
    free(name);
    uri_free(&u);
    return rc;
}

void token_detail_free(struct token_detail *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->nquirk_lines; i++) {
        free(d->quirk_lines[i].what);
        free(d->quirk_lines[i].value);
    }
    free(d->quirk_lines);
    free(d->quirk_name);
    free(d->quirk_path);
    free(d->quirk_note);
    free(d->abilities);
    free(d);
}

enum rc token_confined(struct keystore *k, const char *uri, bool *ret, struct err *e)
{
    struct uri u = {.token = NULL};
    struct client *c = NULL;
    enum rc rc = uri_parse(uri, &u, e);
    if (rc == RC_OK)
        rc = tokens_client(k, &u, &c, e);
    if (rc == RC_OK)
        *ret = client_confined(c);
    uri_free(&u);
    return rc;
}
