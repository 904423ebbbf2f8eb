/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct cli_option cli_common[COMMON_COUNT + 1] = {
    [COMMON_JSON] = {"json", CLI_FLAG, NULL, false, "one JSON object on stdout instead of text"},
    [COMMON_QUIET] = {"quiet", CLI_FLAG, NULL, false, "no progress and no notes"},
    [COMMON_NO_INPUT] = {"no-input", CLI_FLAG, NULL, false, "never ask on the terminal; fail instead"},
    [COMMON_HELP] = {"help", CLI_FLAG, NULL, false, "show this help"},
    [COMMON_COUNT] = {NULL, CLI_FLAG, NULL, false, NULL},
};

size_t option_count(const struct cli_verb *v)
{
    size_t n = 0;
    while (v->options != NULL && v->options[n].name != NULL)
        n++;
    return n;
}

void args_free(struct cli_args *a)
{
    for (size_t i = 0; a->values != NULL && i < option_count(a->verb); i++)
        free(a->values[i].texts);
    free(a->values);
    free(a->operands);
    *a = (struct cli_args){.want = CLI_RUN};
}

/* What follows a dash is an option, because a value that begins with one is only taken behind '='. So help
 * and the form of errors are known before anything can be wrong. */
static void scan_common(int argc, char **argv, struct cli_args *a)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0)
            a->common[COMMON_JSON] = true;
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0)
            a->want = CLI_HELP;
    }
}

/* How many of the words in argv (ended by NULL) name this verb: 1 or 2, or 0 when it is another one. */
static int verb_words(const char *name, char *const *argv)
{
    const char *blank = strchr(name, ' ');
    if (blank == NULL)
        return strcmp(argv[0], name) == 0 ? 1 : 0;
    size_t first = (size_t)(blank - name);
    bool same = strncmp(argv[0], name, first) == 0 && argv[0][first] == '\0';
    return same && argv[1] != NULL && strcmp(argv[1], blank + 1) == 0 ? 2 : 0;
}

static bool in_group(const char *name, const char *word)
{
    size_t n = strlen(word);
    return strncmp(name, word, n) == 0 && name[n] == ' ';
}

static bool is_group(const struct cli_tool *tool, const char *word)
{
    for (const struct cli_verb *v = tool->verbs; v->name != NULL; v++) {
        if (in_group(v->name, word))
            return true;
    }
    return false;
}

/* word is the first of two-word verbs and the second is missing or unknown. */
static enum rc second_word(const struct cli_tool *tool, const char *word, const char *second, struct err *e)
{
    struct bytes all = BYTES_INIT;
    for (const struct cli_verb *v = tool->verbs; v->name != NULL; v++) {
        if (in_group(v->name, word))
            bytes_printf(&all, "%s'%s'", all.n == 0 ? "" : ", ", v->name);
    }
    if (second == NULL || second[0] == '-')
        err_set(e, RC_USAGE, "cli.verb", "command '%s' needs a second word: %s", word, bytes_str(&all));
    else
        err_set(e, RC_USAGE, "cli.verb", "unknown command '%s %s': there are %s", word, second,
                bytes_str(&all));
    bytes_free(&all);
    return RC_USAGE;
}

static enum rc unknown_verb(const struct cli_tool *tool, char *const *argv, struct err *e)
{
    const char *second = argv[1] != NULL && argv[1][0] != '-' ? argv[1] : "";
    char *joined = mem_printf("%s %s", argv[0], second);
    struct suggest one = {.word = argv[0]}, two = {.word = joined};
    for (const struct cli_verb *v = tool->verbs; v->name != NULL; v++)
        suggest_try(strchr(v->name, ' ') == NULL ? &one : &two, v->name);
    const char *best =
        one.best == NULL || (two.best != NULL && two.distance < one.distance) ? two.best : one.best;

    if (best == NULL && is_group(tool, argv[0]))
        second_word(tool, argv[0], argv[1], e);
    else if (best == NULL)
        err_set(e, RC_USAGE, "cli.verb", "unknown command '%s'", argv[0]);
    else
        err_set(e, RC_USAGE, "cli.verb", "unknown command '%s': did you mean '%s'?",
                best == two.best && second[0] != '\0' ? joined : argv[0], best);
    free(joined);
    return RC_USAGE;
}

/* Sets a->verb, or a->group, or what the tool itself was asked; *ret_next is the first argument behind. */
static enum rc parse_verb(int argc, char **argv, struct cli_args *a, int *ret_next, struct err *e)
{
    if (argc < 2) {
        a->want = CLI_HELP;
        return RC_OK;
    }
    if (argv[1][0] == '-') {
        if (strcmp(argv[1], "--version") == 0)
            a->want = CLI_VERSION;
        else if (a->want != CLI_HELP)
            return err_set(e, RC_USAGE, "cli.option",
                           "option '%s' stands before the command: the command comes first", argv[1]);
        return RC_OK;
    }
    int words = 0;
    for (const struct cli_verb *v = a->tool->verbs; v->name != NULL; v++) {
        int n = verb_words(v->name, argv + 1);
        if (n > words) { /* "order new" wins over "order" */
            words = n;
            a->verb = v;
        }
    }
    if (words > 0) {
        *ret_next = 1 + words;
        return RC_OK;
    }
    if (!is_group(a->tool, argv[1]) || (argv[2] != NULL && argv[2][0] != '-'))
        return unknown_verb(a->tool, argv + 1, e);
    if (a->want != CLI_HELP)
        return second_word(a->tool, argv[1], argv[2], e);
    a->group = argv[1];
    return RC_OK;
}

static const struct cli_option *find_option(const struct cli_option *rows, const char *name, size_t n)
{
    for (; rows != NULL && rows->name != NULL; rows++) {
        if (strncmp(rows->name, name, n) == 0 && rows->name[n] == '\0')
            return rows;
    }
    return NULL;
}

static enum rc unknown_option(const struct cli_verb *verb, const char *arg, struct err *e)
{
    char *name = mem_strn(arg, strcspn(arg, "="));
    struct suggest s = {.word = name + strspn(name, "-")};
    for (size_t i = 0; i < option_count(verb); i++)
        suggest_try(&s, verb->options[i].name);
    for (size_t i = 0; i < COMMON_COUNT; i++)
        suggest_try(&s, cli_common[i].name);
    if (s.best == NULL)
        err_set(e, RC_USAGE, "cli.option", "unknown option '%s' of '%s'", name, verb->name);
    else
        err_set(e, RC_USAGE, "cli.option", "unknown option '%s' of '%s': did you mean '--%s'?", name,
                verb->name, s.best);
    free(name);
    return RC_USAGE;
}

static enum rc set_int(const struct cli_option *o, const char *text, struct cli_value *v, struct err *e)
{
    errno = 0;
    v->number = strtoll(text, NULL, 10);
    if (text[strspn(text, "0123456789")] != '\0' || errno != 0)
        return err_set(e, RC_USAGE, "cli.value", "option '--%s': '%s' is not a decimal number from 0 to %lld",
                       o->name, text, (long long)INT64_MAX);
    return RC_OK;
}

static enum rc set_value(const struct cli_option *o, const char *text, struct cli_value *v, struct err *e)
{
    if (text[0] == '\0')
        return err_set(e, RC_USAGE, "cli.value", "option '--%s': its %s is empty", o->name, o->value);
    if (o->kind != CLI_LIST && v->n > 0)
        return err_set(e, RC_USAGE, "cli.option", "option '--%s' is given twice, and it takes one %s",
                       o->name, o->value);
    v->texts = mem_grow(v->texts, v->n + 1, sizeof(v->texts[0]));
    v->texts[v->n++] = text;
    return o->kind == CLI_INT ? set_int(o, text, v, e) : RC_OK;
}

/* argv[*i] begins with a dash. Leaves *i on the last argument used. */
static enum rc parse_option(struct cli_args *a, char **argv, int *i, struct err *e)
{
    const char *arg = argv[*i];
    size_t n = strcspn(arg, "=");
    const char *inline_value = arg[n] == '=' ? arg + n + 1 : NULL;
    const struct cli_option *o = NULL;
    const struct cli_option *common = NULL;

    if (strncmp(arg, "--", 2) == 0) {
        o = find_option(a->verb->options, arg + 2, n - 2);
        common = o == NULL ? find_option(cli_common, arg + 2, n - 2) : NULL;
    }
    if (o == NULL && common == NULL)
        return unknown_option(a->verb, arg, e);
    if ((common != NULL || o->kind == CLI_FLAG) && inline_value != NULL)
        return err_set(e, RC_USAGE, "cli.value", "option '%.*s' takes no value", (int)n, arg);
    if (common != NULL) {
        a->common[common - cli_common] = true;
        return RC_OK;
    }
    struct cli_value *v = &a->values[o - a->verb->options];
    if (o->kind == CLI_FLAG) {
        v->n++;
        return RC_OK;
    }
    if (inline_value != NULL)
        return set_value(o, inline_value, v, e);
    const char *next = argv[*i + 1];
    if (next == NULL)
        return err_set(e, RC_USAGE, "cli.value", "option '%s' needs its %s", arg, o->value);
    if (next[0] == '-' && next[1] != '\0')
        return err_set(
            e, RC_USAGE, "cli.value",
            "option '%s' needs its %s, but option '%s' follows; write '%s=%s' if that is the value", arg,
            o->value, next, arg, next);
    ++*i;
    return set_value(o, next, v, e);
}

static enum rc check_required(const struct cli_args *a, struct err *e)
{
    struct bytes missing = BYTES_INIT;
    int count = 0;
    for (size_t i = 0; i < option_count(a->verb); i++) {
        const struct cli_option *o = &a->verb->options[i];
        if (o->required && a->values[i].n == 0)
            bytes_printf(&missing, "%s'--%s %s'", count++ == 0 ? "" : ", ", o->name, o->value);
    }
    if (count > 0)
        err_set(e, RC_USAGE, "cli.missing", "'%s' requires the option%s %s", a->verb->name,
                count > 1 ? "s" : "", bytes_str(&missing));
    bytes_free(&missing);
    return count > 0 ? RC_USAGE : RC_OK;
}

static enum rc check_operands(const struct cli_args *a, struct err *e)
{
    const struct cli_verb *v = a->verb;
    if (a->n_operands < v->min_operands)
        return err_set(e, RC_USAGE, "cli.operand", "'%s' requires %s", v->name, v->operands);
    if (a->n_operands <= v->max_operands)
        return RC_OK;
    const char *extra = a->operands[v->max_operands];
    if (v->max_operands == 0)
        return err_set(e, RC_USAGE, "cli.operand", "unexpected '%s': '%s' takes options only", extra,
                       v->name);
    return err_set(e, RC_USAGE, "cli.operand", "unexpected '%s': '%s' takes %s and no more", extra, v->name,
                   v->operands);
}

enum rc args_parse(const struct cli_tool *tool, int argc, char **argv, struct cli_args *ret, struct err *e)
{
    int i = argc;

    *ret = (struct cli_args){.want = CLI_RUN, .tool = tool};
    scan_common(argc, argv, ret);
    enum rc rc = parse_verb(argc, argv, ret, &i, e);
    if (rc != RC_OK || ret->want != CLI_RUN)
        return rc;

    ret->values = mem_array(option_count(ret->verb) + 1, sizeof(ret->values[0]));
    ret->operands = mem_array((size_t)argc, sizeof(ret->operands[0]));
    bool options_ended = false;
    for (; rc == RC_OK && i < argc; i++) {
        if (options_ended || argv[i][0] != '-' || argv[i][1] == '\0')
            ret->operands[ret->n_operands++] = argv[i];
        else if (strcmp(argv[i], "--") == 0)
            options_ended = true;
        else
            rc = parse_option(ret, argv, &i, e);
    }
    if (rc == RC_OK)
        rc = check_required(ret, e);
    return rc == RC_OK ? check_operands(ret, e) : rc;
}

static const struct cli_value *value_of(const struct cli_args *a, const char *name)
{
    const struct cli_option *o = find_option(a->verb->options, name, strlen(name));
    if (o == NULL)
        bug("'%s' has no option '%s'", a->verb->name, name);
    return &a->values[o - a->verb->options];
}

const char *cli_text(const struct cli_args *a, const char *name)
{
    const struct cli_value *v = value_of(a, name);
    return v->texts == NULL ? NULL : v->texts[v->n - 1];
}

bool cli_flag(const struct cli_args *a, const char *name)
{
    return value_of(a, name)->n > 0;
}

int64_t cli_int(const struct cli_args *a, const char *name, int64_t fallback)
{
    const struct cli_value *v = value_of(a, name);
    return v->n == 0 ? fallback : v->number;
}

size_t cli_list(const struct cli_args *a, const char *name, const char *const **ret)
{
    const struct cli_value *v = value_of(a, name);
    *ret = (const char *const *)v->texts;
    return v->n;
}

int cli_operands(const struct cli_args *a)
{
    return a->n_operands;
}

const char *cli_operand(const struct cli_args *a, int i)
{
    return i >= 0 && i < a->n_operands ? a->operands[i] : NULL;
}
