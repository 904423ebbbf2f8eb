/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/keystore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "hsm/client.h"
#include "hsm/pin.h"
#include "hsm/quirks.h"
#include "hsm/status.h"
#include "hsm/uri.h"
#include "hsm/worker_process.h"

enum {
    ONCE_DEADLINE_MS = 60000
}; /* of a worker that lives for one question; initialising a card takes seconds */

/* Starts a worker, hands it PINs, asks one thing, ends it. */
static enum rc ask_once(enum proto_op op, const struct proto_hello *hello, const struct secret *const *pins,
                        size_t npins, const char *token, struct bytes *ret, struct err *e)
{
    struct worker w = WORKER_INIT;
    struct request rq = {.op = op, .fixed = {(const uint8_t *)hello, sizeof *hello}};
    struct reply reply = {.done = false};
    struct exchange x = {
        .requests = &rq, .replies = &reply, .n = 1, .window = 1, .deadline_ms = ONCE_DEADLINE_MS};
    struct subject about = {.token = token, .module = hello->module};
    enum outcome o = LOST;
    enum rc rc = worker_start(&w, e);
    for (size_t i = 0; rc == RC_OK && i < npins; i++)
        rc = worker_pin(&w, pins[i], e);
    if (rc == RC_OK) {
        o = worker_exchange(&w, &x);
        if (o == REFUSED)
            rc = status_err(x.status, &x.error, &about, e);
        else if (o == LATE)
            rc = err_set(e, RC_TOKEN, "hsm.worker-late", "the PKCS#11 module did not answer within %d s",
                         ONCE_DEADLINE_MS / 1000);
        else if (o == LOST)
            rc = err_set(e, RC_TOKEN, "hsm.worker-lost",
                         "the token worker ended: the PKCS#11 module may have crashed");
        else
            bytes_add_span(ret, bytes_span(&reply.body));
    }
    worker_end(&w, o == LATE);
    replies_wipe(&reply, 1);
    return rc;
}

/* --- a new token */

/* A new PIN from the terminal is asked for twice: nobody can look up later what was mistyped. */
static enum rc pin_read_new(const char *source, const char *what, struct secret **ret, struct err *e)
{
    struct secret *pin = NULL, *again = NULL;
    char *repeat = mem_printf("%s, again", what);
    enum rc rc = pin_read(source, what, &pin, e);
    if (rc == RC_OK && (!source || strcmp(source, "tty") == 0)) {
        rc = pin_read(source, repeat, &again, e);
        if (rc == RC_OK && !span_eq((struct span){secret_data(pin), secret_len(pin)},
                                    (struct span){secret_data(again), secret_len(again)}))
            rc = err_set(e, RC_INPUT, "hsm.pin-mismatch", "the two PINs for %s differ", what);
    }
    if (rc == RC_OK) {
        *ret = pin;
        pin = NULL;
    }
    secret_free(pin);
    secret_free(again);
    free(repeat);
    return rc;
}

static enum rc label_check(const char *label, struct err *e)
{
    size_t n = strlen(label);
    if (n < 1 || n > 32)
        return err_set(e, RC_USAGE, "hsm.label", "token label '%s': 1 to 32 octets are possible", label);
    if (label[n - 1] == ' ')
        return err_set(e, RC_USAGE, "hsm.label", "token label '%s': blanks at the end are not kept", label);
    return RC_OK;
}

/* Before any PIN is asked for: what C_InitToken does to such a token is not what we want. */
static enum rc init_allowed(const char *module, struct err *e)
{
    struct proto_hello hello = {.module = ""};
    struct bytes body = BYTES_INIT;
    snprintf(hello.module, sizeof hello.module, "%s", module);
    enum rc rc = ask_once(PROTO_TOKENS, &hello, NULL, 0, "token", &body, e);
    for (size_t i = 0; rc == RC_OK && i < body.n / sizeof(struct proto_token); i++) {
        struct proto_token t;
        struct quirks q = {.name = NULL};
        memcpy(&t, body.p + i * sizeof t, sizeof t);
        if (t.initialised)
            continue;
        rc = quirks_find(&t, &q, e);
        if (rc == RC_OK && q.without[CAN_INIT])
            rc = err_set(e, RC_TOKEN, "hsm.not-supported",
                         "tokens of module '%s' are not made through PKCS#11 (quirk file '%s'): use the "
                         "vendor's tool",
                         t.module, q.name);
        quirks_free(&q);
    }
    bytes_free(&body);
    return rc;
}

static enum rc init_with(const struct proto_hello *hello, const char *so_pin_source, const char *pin_source,
                         struct bytes *ret, struct err *e)
{
    struct secret *so_pin = NULL, *pin = NULL;
    char *token = mem_printf("token '%s'", hello->token);
    char *officer = mem_printf("the security officer of new token '%s'", hello->token);
    char *user = mem_printf("the user of new token '%s'", hello->token);
    enum rc rc = pin_read_new(so_pin_source, officer, &so_pin, e);
    if (rc == RC_OK)
        rc = pin_read_new(pin_source, user, &pin, e);
    if (rc == RC_OK)
        rc = ask_once(PROTO_INIT, hello, (const struct secret *const[]){so_pin, pin}, 2, token, ret, e);
    secret_free(so_pin);
    secret_free(pin);
    free(token);
    free(officer);
    free(user);
    return rc;
}

enum rc token_init(const char *module, const char *label, const char *so_pin_source, const char *pin_source,
                   char **ret_serial, struct err *e)
{
    struct uri u = {.token = (char *)(uintptr_t)label, .module_path = (char *)(uintptr_t)module};
    struct proto_hello hello;
    struct proto_token made;
    struct bytes body = BYTES_INIT;
    enum rc rc = label_check(label, e);
    if (rc != RC_OK)
        return rc;
    hello_from(&u, &hello); /* only read */
    rc = init_allowed(hello.module, e);
    if (rc == RC_OK)
        rc = init_with(&hello, so_pin_source, pin_source, &body, e);
    if (rc == RC_OK && body.n != sizeof made)
        rc = err_set(e, RC_TOKEN, "hsm.worker-lost", "the token worker talks nonsense");
    if (rc == RC_OK) {
        memcpy(&made, body.p, sizeof made);
        *ret_serial = mem_str(made.serial);
    }
    bytes_free(&body);
    return rc;
}

/* --- what is there */

/* Free ones last. */
static int by_label(const void *a, const void *b)
{
    const struct token_info *x = a, *y = b;
    if (x->initialised != y->initialised)
        return x->initialised ? -1 : 1;
    int order = strcmp(x->label, y->label);
    return order ? order : strcmp(x->serial, y->serial);
}

enum rc token_list(const char *uri, struct token_info **ret, size_t *ret_n, struct err *e)
{
    struct uri u = {.token = NULL};
    struct proto_hello hello;
    struct bytes body = BYTES_INIT;
    enum rc rc = uri ? uri_parse(uri, &u, e) : RC_OK;
    if (rc != RC_OK)
        return rc;
    hello_from(&u, &hello);
    rc = ask_once(PROTO_TOKENS, &hello, NULL, 0, "token", &body, e);
    if (rc == RC_OK) {
        size_t n = body.n / sizeof(struct proto_token);
        struct token_info *list = mem_array(n + 1, sizeof *list);
        for (size_t i = 0; i < n; i++) {
            struct proto_token t;
            memcpy(&t, body.p + i * sizeof t, sizeof t);
            token_info_from(&t, &list[i]);
        }
        qsort(list, n, sizeof *list, by_label);
        *ret = list;
        *ret_n = n;
    }
    bytes_free(&body);
    uri_free(&u);
    return rc;
}

enum rc token_keys(struct keystore *k, const char *uri, struct key_info **ret, size_t *ret_n, struct err *e)
{
    struct uri u = {.token = NULL};
    struct client *c = NULL;
    struct proto_key *keys = NULL;
    size_t n = 0, selected = 0;
    enum rc rc = uri_parse(uri, &u, e);
    if (rc == RC_OK)
        rc = tokens_client(k, &u, &c, e);
    if (rc == RC_OK)
        rc = keys_read(c, &keys, &n, e);
    if (rc == RC_OK) {
        struct key_info *list = mem_array(n + 1, sizeof *list);
        for (size_t i = 0; i < n; i++) {
            if (key_selected(&u, &keys[i]))
                key_info_from(client_quirks(c), keys, n, i, &list[selected++]);
        }
        if (uri_names_key(&u) && selected == 0) {
            free(list);
            rc = key_missing(c, &u, keys, n, e);
            goto out;
        }
        *ret = list;
        *ret_n = selected;
    }
out:
    free(keys);
    uri_free(&u);
    return rc;
}
