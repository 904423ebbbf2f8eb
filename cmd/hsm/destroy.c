/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "base/text.h"
#include "cli/progress.h"
#include "cli/prompt.h"
#include "sign/digest.h"

const struct cli_option destroy_options[] = {
    {"confirm", CLI_TEXT, "LABEL", false, "the key's label, instead of typing it"},
    PIN_SOURCE_OPTION,
    OPTIONS_END,
};

/* What has to be typed: the label, or for a key without one its id. malloc'd. */
static char *word_of(const struct key_info *k)
{
    return k->label[0] ? mem_str(k->label) : hex_new(bytes_span(&k->id));
}

static void describe(const struct key_place *p)
{
    char *id = hex_new(bytes_span(&p->key.id)), *spki = NULL;
    uint8_t digest[SHA256_LEN];
    sha256(bytes_span(&p->key.spki), digest);
    spki = hex_new((struct span){digest, sizeof digest});
    progress_say("key '%s', id %s, in token '%s' with serial number '%s'", p->key.label,
                 id[0] ? id : "not known", p->token.label, p->token.serial);
    if (p->leftover)
        progress_say(
            "there is no private half with this name; a public half that an interrupted destroy left will be destroyed");
    else
        progress_say("%s, SPKI SHA-256 %s", p->key.algorithm[0] ? p->key.algorithm : "of no supported type",
                     p->key.spki.n ? spki : "not known");
    free(id);
    free(spki);
}

static enum rc word_check(const struct key_place *p, const char *typed, size_t n, struct err *e)
{
    char *word = word_of(&p->key);
    bool same = span_eq((struct span){(const uint8_t *)typed, n}, span_str(word));
    free(word);
    if (same)
        return RC_OK;
    return err_set(e, RC_INPUT, "hsm.confirm",
                   "what was given is not the label of key '%s': nothing was destroyed", p->key.label);
}

static enum rc confirm(const struct cli_args *args, const struct key_place *p, struct err *e)
{
    const char *given = cli_text(args, "confirm");
    struct secret *typed = NULL;
    if (given)
        return word_check(p, given, strlen(given), e);
    describe(p);
    char *question = mem_printf("%s of the key in token '%s', to destroy it for good",
                                p->key.label[0] ? "label" : "id", p->token.label);
    enum rc rc = prompt_secret(question, "--confirm LABEL", &typed, e);
    if (rc == RC_OK)
        rc = word_check(p, (const char *)secret_data(typed), secret_len(typed), e);
    secret_free(typed);
    free(question);
    return rc;
}

static void show(const struct key_place *p, struct out *out)
{
    out_str(out, "destroyed", p->key.label);
    out_hex(out, "id", bytes_span(&p->key.id));
    out_str(out, "algorithm", p->key.algorithm[0] ? p->key.algorithm : NULL);
    out_spki(out, &p->key);
    out_str(out, "token", p->token.label);
    out_str(out, "serial", p->token.serial);
    if (p->leftover)
        out_note(out, "only its public half was still there: an earlier destroy was interrupted");
}

enum rc destroy_run(const struct cli_args *args, struct out *out, struct err *e)
{
    const char *uri = cli_operand(args, 0);
    struct keystore *store = NULL;
    struct key_place seen;
    memset(&seen, 0, sizeof seen);
    enum rc rc = tokens_open_once(args, &store, e);
    if (rc == RC_OK)
        rc = token_key(store, uri, true, &seen, e);
    if (rc == RC_OK)
        rc = confirm(args, &seen, e);
    if (rc == RC_OK)
        rc = token_key_destroy(store, uri, &seen, e);
    if (rc == RC_OK)
        show(&seen, out);
    key_place_end(&seen);
    tokens_close(store);
    return rc;
}
