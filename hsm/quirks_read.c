/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/quirks_local.h"

#include <string.h>

#include "base/bytes.h"
#include "doc/doc.h"
#include "hsm/quirks.h"

#define SCHEMA "keymill.quirks.v1"
#define BAD    "doc.value" /* as a value that lib/doc rejects itself */

enum {
    WORKERS_MAX = 64,
    SESSIONS_TOTAL_MAX = 1000000,
};

/* What a generation template may leave to the token: what the key shall do besides, never what keeps it in.
 * A token that does not take these is no place for a key. */
static const uint32_t may_be_omitted = 1U << PROTO_F_SIGN | 1U << PROTO_F_SIGN_RECOVER |
                                       1U << PROTO_F_DECRYPT | 1U << PROTO_F_UNWRAP | 1U << PROTO_F_DERIVE |
                                       1U << PROTO_F_MODIFIABLE | 1U << PROTO_OMIT_PUBLIC_USAGE;

/* What a token may be wrong about: where the key comes from and what it shall do besides, never what keeps it
 * in. */
static const uint32_t may_be_unreliable = 1U << PROTO_F_LOCAL | 1U << PROTO_F_SIGN_RECOVER |
                                          1U << PROTO_F_DECRYPT | 1U << PROTO_F_UNWRAP | 1U << PROTO_F_DERIVE;

void quirks_close_in(struct doc_map *m, struct doc_map *sub)
{
    struct err why = ERR_INIT;
    if (doc_close(sub, &why) && !m->err.rc)
        m->err = why;
}

/* Index of the word among n names, or -1. */
static int index_of(const char *word, const char *(*name)(int), int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(name(i), word) == 0)
            return i;
    return -1;
}

static const char *flag_at(int i)
{
    return i == PROTO_OMIT_PUBLIC_USAGE ? "public-usage" : flag_name((enum proto_flag)i);
}

static const char *capability_at(int i)
{
    return capability_name((enum capability)i);
}

/* The names whose bits are in mask, for a message. */
static void list_names(struct bytes *b, const char *(*name)(int), int n, uint32_t mask)
{
    for (int i = 0; i < n; i++)
        if (mask >> i & 1)
            bytes_printf(b, "%s%s", b->n ? ", " : "", name(i));
}

static void reject_word(struct doc_map *m, const char *key, const char *word, const char *(*name)(int), int n,
                        uint32_t mask)
{
    struct bytes all = BYTES_INIT;
    list_names(&all, name, n, mask);
    doc_fail(m, key, BAD, "'%s': of %s, each once", word, bytes_str(&all));
    bytes_free(&all);
}

/* A list of words as a mask of their indexes; only those in allowed, each once. */
static uint32_t read_words(struct doc_map *m, const char *key, const char *(*name)(int), int n,
                           uint32_t allowed)
{
    uint32_t mask = 0;
    size_t len = doc_list_or_empty(m, key);
    for (size_t i = 0; i < len && !m->err.rc; i++) {
        const char *word = doc_list_str(m, key, i);
        int at = index_of(word, name, n);
        if (at < 0 || !(allowed & ~mask & 1U << at))
            reject_word(m, key, word, name, n, allowed);
        else
            mask |= 1U << at;
    }
    return mask;
}

/* The second of two words is meant; absent: the first. */
static bool read_second(struct doc_map *m, const char *key, const char *first, const char *second)
{
    const char *const words[] = {first, second, NULL};
    return doc_has(m, key) && doc_word(m, key, words) == 1;
}

static bool fits(const char *pattern, const char *text)
{
    return !pattern || quirks_pattern_fits(pattern, text);
}

static bool read_match(struct doc_map *m, const struct proto_token *t)
{
    struct doc_map sub;
    const char *slash = strrchr(t->module, '/');
    doc_sub(m, "match", &sub);
    const char *manufacturer = doc_str_or(&sub, "manufacturer", NULL);
    const char *model = doc_str_or(&sub, "model", NULL);
    const char *module = doc_str_or(&sub, "module", NULL);
    if (!manufacturer && !model && !module)
        doc_fail(&sub, NULL, "quirks.match", "a pattern for manufacturer, model or module is required");
    quirks_close_in(m, &sub);
    return fits(manufacturer, t->manufacturer) && fits(model, t->model) &&
           fits(module, slash ? slash + 1 : t->module);
}

static void read_counts(struct doc_map *m, struct quirks *q)
{
    const char *workers = doc_str_or(m, "workers", "");
    q->worker_per_core = strcmp(workers, "per-core") == 0;
    if (!q->worker_per_core && workers[strspn(workers, "0123456789")])
        doc_fail(m, "workers", BAD, "per-core or an integer from 1 to %d is required", WORKERS_MAX);
    if (!q->worker_per_core)
        q->workers = (int)doc_int_or(m, "workers", 1, WORKERS_MAX, 0);
    q->sessions = (int)doc_int_or(m, "sessions", 1, PROTO_SESSIONS_MAX, 0);
    q->max_sessions = (uint64_t)doc_int_or(m, "max-sessions", 1, SESSIONS_TOTAL_MAX, 0);
}

static void read_unreliable(struct doc_map *m, struct quirks *q)
{
    size_t n = doc_list_or_empty(m, "unreliable");
    for (size_t i = 0; i < n && !m->err.rc; i++) {
        struct doc_map one;
        doc_list_map(m, "unreliable", i, &one);
        const char *word = doc_str(&one, "flag");
        const char *reason = doc_str(&one, "reason");
        int flag = index_of(word, flag_at, PROTO_FLAGS);
        if (flag < 0 || !(may_be_unreliable >> flag & 1) || q->unreliable & 1U << flag) {
            reject_word(&one, "flag", word, flag_at, PROTO_FLAGS, may_be_unreliable);
        } else {
            q->unreliable |= 1U << flag;
            q->unreliable_why[flag] = mem_str(reason);
        }
        quirks_close_in(m, &one);
    }
}

static void read_quirks(struct doc_map *m, struct quirks *q)
{
    q->note = mem_str(doc_str_or(m, "note", NULL));
    read_counts(m, q);
    q->rw_sessions = read_second(m, "session-mode", "read-only", "read-write");
    q->session_copies = doc_bool_or(m, "session-copies", false);
    q->signature_der = read_second(m, "signature", "raw", "der");
    q->point_wrapped = read_second(m, "ecdh-point", "bare", "wrapped");
    q->params_name = read_second(m, "ec-params", "oid", "name");
    q->pin_user_password = read_second(m, "pin-form", "plain", "user-password");
    q->counts_pins = read_second(m, "pin-count", "unknown", "reported");
    q->template_omit = read_words(m, "template-omit", flag_at, PROTO_FLAGS + 1, may_be_omitted);
    read_unreliable(m, q);
    uint32_t without = read_words(m, "without", capability_at, CAPABILITIES, (1U << CAPABILITIES) - 1);
    for (int c = 0; c < CAPABILITIES; c++)
        q->without[c] = (without >> c & 1) != 0;
}

enum rc quirks_read(const char *path, const struct proto_token *t, struct quirks *ret, bool *ret_fits,
                    struct err *e)
{
    struct quirks q = {.name = NULL};
    struct doc *d = NULL;
    struct doc_map m;
    enum rc rc = doc_read_yaml(path, &d, e);
    if (rc != RC_OK)
        return rc;
    doc_open(&m, d, doc_root(d));
    doc_schema(&m, SCHEMA);
    bool fit = read_match(&m, t);
    read_quirks(&m, &q);
    quirks_paths(&m, fit, &q);
    rc = doc_close(&m, e);
    doc_free(d);
    if (rc == RC_OK) {
        *ret_fits = fit;
        if (fit) {
            *ret = q;
            return RC_OK;
        }
    }
    quirks_free(&q);
    return rc;
}
