/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include <string.h>

#include "hsm/uri.h"
#include "sign/alg.h"

const struct cli_option show_options[] = {
    {"pin-source", CLI_TEXT, "SOURCE", false, "log in and show its keys too"},
    OPTIONS_END,
};

/* Tokens say "no limit" with 0 or with all bits set. */
static void limit(struct out *out, const char *key, uint64_t n)
{
    if (n > 0 && n < UINT32_MAX)
        out_int(out, key, (int64_t)n);
    else
        out_str(out, key, NULL);
}

static void show_token(const struct token_detail *d, struct out *out)
{
    const struct token_info *t = &d->info;
    out_str(out, "label", t->label);
    out_str(out, "serial", t->serial);
    out_str(out, "manufacturer", t->manufacturer);
    out_str(out, "model", t->model);
    out_str(out, "module", t->module);
    out_str(out, "state", token_state(t));
    out_bool(out, "login_required", t->login_required);
    limit(out, "max_sessions", t->max_sessions);
    out_str(out, "quirk_file", d->quirk_path);
    out_str(out, "quirk_note", d->quirk_note);
}

/* null: not known before a worker has logged in. */
static void show_confined(const bool *confined, struct out *out)
{
    if (confined)
        out_bool(out, "worker_confined", *confined);
    else
        out_str(out, "worker_confined", NULL);
}

static void show_quirks(const struct token_detail *d, struct out *out)
{
    out_list(out, "quirks");
    for (size_t i = 0; i < d->nquirk_lines; i++) {
        out_row(out);
        out_str(out, "what", d->quirk_lines[i].what);
        out_str(out, "value", d->quirk_lines[i].value);
    }
    out_list_end(out);
}

static void show_abilities(const struct token_detail *d, struct out *out)
{
    out_list(out, "algorithms");
    for (size_t i = 0; i < d->nabilities; i++) {
        const struct ability *a = &d->abilities[i];
        out_row(out);
        out_str(out, "algorithm", a->alg->name);
        out_str(out, "use", ability_use_name(a->use));
        out_bool(out, "able", a->able);
        out_str(out, "mechanism", a->mechanism);
        limit(out, "min_bits", a->min_bits);
        limit(out, "max_bits", a->max_bits);
        out_str(out, "why_not", a->able ? NULL : a->why);
    }
    out_list_end(out);
}

static void show_attributes(const struct key_info *keys, size_t n, struct out *out)
{
    out_list(out, "attributes");
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < ATTRIBUTES; j++) {
            int value = attribute_value(&keys[i], j);
            out_row(out);
            out_str(out, "key", keys[i].label);
            out_hex(out, "id", bytes_span(&keys[i].id));
            out_str(out, "attribute", attribute_name(j));
            if (value < 0)
                out_str(out, "value", NULL);
            else
                out_bool(out, "value", value != 0);
        }
    }
    out_list_end(out);
}

/* Broken rules are facts here, and no failure: check is the verb that judges. */
static void show_keys(const struct key_info *keys, size_t n, struct out *out)
{
    struct err ignored = ERR_INIT;
    out_list(out, "keys");
    for (size_t i = 0; i < n; i++) {
        key_row(&keys[i], out);
        out_spki(out, &keys[i]);
        out_exceptions(out, &keys[i], usage_of(&keys[i]));
    }
    out_list_end(out);
    show_attributes(keys, n, out);
    out_list(out, "broken");
    if (out_broken(out, keys, n, NULL, &ignored) != RC_OK)
        out_note(out, "a key that breaks a rule of the key policy is not used by keymill");
    out_list_end(out);
}

static enum rc show_with_keys(const struct cli_args *args, const struct token_detail *d, struct out *out,
                              struct err *e)
{
    const char *uri = cli_operand(args, 0);
    struct keystore *store = NULL;
    struct key_info *keys = NULL;
    size_t n = 0;
    bool confined = false;
    enum rc rc = tokens_open_once(args, &store, e);
    if (rc == RC_OK)
        rc = token_keys(store, uri, &keys, &n, e);
    if (rc == RC_OK)
        rc = token_confined(store, uri, &confined, e);
    if (rc == RC_OK) {
        show_confined(&confined, out);
        show_quirks(d, out);
        show_abilities(d, out);
        show_keys(keys, n, out);
    }
    key_info_free(keys, n);
    tokens_close(store);
    return rc;
}

static enum rc wants_login(const struct cli_args *args, bool *ret, struct err *e)
{
    struct uri u = {.token = NULL};
    enum rc rc = uri_parse(cli_operand(args, 0), &u, e);
    *ret = cli_text(args, "pin-source") || u.pin_source;
    uri_free(&u);
    return rc;
}

enum rc show_run(const struct cli_args *args, struct out *out, struct err *e)
{
    struct token_detail *d = NULL;
    bool login = false;
    enum rc rc = wants_login(args, &login, e);
    if (rc == RC_OK)
        rc = token_detail_read(cli_operand(args, 0), &d, e);
    if (rc != RC_OK)
        return rc;
    show_token(d, out);
    if (login) {
        rc = show_with_keys(args, d, out, e);
    } else {
        show_confined(NULL, out);
        show_quirks(d, out);
        show_abilities(d, out);
        out_note(out, "its keys are shown with a PIN: add --pin-source");
    }
    token_detail_free(d);
    return rc;
}
