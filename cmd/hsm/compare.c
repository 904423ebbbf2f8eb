/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include <string.h>

const struct cli_option compare_options[] = {
    PIN_SOURCE_OPTION,
    {"second-pin-source", CLI_TEXT, "SOURCE", false,
     "where the second token's PIN is, when it is another one"},
    OPTIONS_END,
};

static enum rc stores_open(const struct cli_args *args, struct keystore *ret[2], struct err *e)
{
    const char *first = cli_text(args, "pin-source"), *second = cli_text(args, "second-pin-source");
    struct token_options opt[2] = {{.pin_source = first, .one_shot = true},
                                   {.pin_source = second ? second : first, .one_shot = true}};
    if (first && !second && strncmp(first, "fd:", 3) == 0)
        return err_set(
            e, RC_USAGE, "hsm.pin-source",
            "PIN source '%s' for two tokens: a descriptor can be read once; add --second-pin-source", first);
    enum rc rc = tokens_open(&opt[0], &ret[0], e);
    return rc == RC_OK ? tokens_open(&opt[1], &ret[1], e) : rc;
}

static void place(struct out *out, const char *token, const char *serial, const char *key,
                  const struct key_place *p)
{
    out_str(out, token, p->token.label);
    out_str(out, serial, p->token.serial);
    out_str(out, key, p->key.label);
}

static void check(void *arg, const char *name, int same, const char *detail)
{
    struct out *out = arg;
    out_row(out);
    out_str(out, "check", name);
    out_str(out, "result", same < 0 ? "not possible" : same ? "same" : "differs");
    out_str(out, "detail", detail);
}

static void difference(struct out *out, const char *what, const char *first, const char *second)
{
    if (strcmp(first, second) == 0)
        return;
    out_row(out);
    out_str(out, "attribute", what);
    out_str(out, "first", first);
    out_str(out, "second", second);
}

static const char *value_text(int value)
{
    return value < 0 ? "not said" : value ? "yes" : "no";
}

static void differences(struct out *out, const struct key_info *a, const struct key_info *b)
{
    out_list(out, "differences");
    difference(out, "CKA_LABEL", a->label, b->label);
    if (!span_eq(bytes_span(&a->id), bytes_span(&b->id))) {
        out_row(out);
        out_str(out, "attribute", "CKA_ID");
        out_hex(out, "first", bytes_span(&a->id));
        out_hex(out, "second", bytes_span(&b->id));
    }
    for (size_t i = 0; i < ATTRIBUTES; i++)
        difference(out, attribute_name(i), value_text(attribute_value(a, i)),
                   value_text(attribute_value(b, i)));
    out_list_end(out);
}

static enum rc compare(struct keystore *store[2], const struct cli_args *args, struct key_place seen[2],
                       struct out *out, struct err *e)
{
    struct key_side side[2] = {{store[0], cli_operand(args, 0)}, {store[1], cli_operand(args, 1)}};
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < 2; i++)
        rc = token_key(side[i].store, side[i].uri, false, &seen[i], e);
    if (rc != RC_OK)
        return rc;
    out_str(out, "algorithm", seen[0].key.algorithm);
    out_spki(out, seen[0].key.spki.n ? &seen[0].key : &seen[1].key);
    place(out, "first_token", "first_serial", "first_key", &seen[0]);
    place(out, "second_token", "second_serial", "second_key", &seen[1]);
    out_list(out, "checks");
    rc = token_compare(&side[0], &side[1], check, out, e);
    out_list_end(out);
    differences(out, &seen[0].key, &seen[1].key);
    if (rc == RC_OK)
        out_note(out, "both tokens hold the same private key");
    else if (rc == RC_DENIED)
        out_failed_rows(out);
    return rc;
}

enum rc compare_run(const struct cli_args *args, struct out *out, struct err *e)
{
    struct keystore *store[2] = {NULL, NULL};
    struct key_place seen[2];
    memset(seen, 0, sizeof seen);
    enum rc rc = stores_open(args, store, e);
    if (rc == RC_OK)
        rc = compare(store, args, seen, out, e);
    for (size_t i = 0; i < 2; i++) {
        key_place_end(&seen[i]);
        tokens_close(store[i]);
    }
    return rc;
}
