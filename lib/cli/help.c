/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/internal.h"

#include <stdlib.h>
#include <string.h>

enum { HELP_COLUMNS = 100 };

/* Words put one behind the other; what does not fit goes to a new line behind indent blanks. */
struct line {
    struct bytes *b;
    size_t column, indent;
};

static void put_word(struct line *l, const char *word)
{
    size_t n = strlen(word);
    if (l->column > l->indent) {
        bool fits = l->column + 1 + n <= HELP_COLUMNS;
        bytes_printf(l->b, "%s%*s", fits ? " " : "\n", fits ? 0 : (int)l->indent, "");
        l->column = fits ? l->column + 1 : l->indent;
    }
    bytes_add(l->b, word, n);
    l->column += n;
}

static void put_words(struct line *l, const char *text)
{
    for (const char *p = text; *p != '\0';) {
        size_t n = strcspn(p, " ");
        char *word = mem_strn(p, n);
        put_word(l, word);
        free(word);
        p += n + strspn(p + n, " ");
    }
}

/* "  name  help", the help starting at column and wrapped there. */
static void put_row(struct bytes *b, const char *name, size_t column, const char *help)
{
    bytes_printf(b, "  %-*s", (int)column - 2, name);
    struct line l = {b, column, column};
    put_words(&l, help);
    bytes_add_byte(b, '\n');
}

static char *option_usage(const struct cli_option *o)
{
    if (o->kind == CLI_FLAG)
        return mem_printf("[--%s]", o->name);
    const char *more = o->kind == CLI_LIST ? "..." : "";
    return o->required ? mem_printf("--%s %s%s", o->name, o->value, more)
                       : mem_printf("[--%s %s]%s", o->name, o->value, more);
}

static void put_options(struct line *l, const struct cli_option *rows, bool required)
{
    for (; rows != NULL && rows->name != NULL; rows++) {
        if (rows->required != required)
            continue;
        char *usage = option_usage(rows);
        put_word(l, usage);
        free(usage);
    }
}

static void put_usage(const struct cli_tool *tool, const struct cli_verb *verb, struct bytes *b)
{
    size_t before = b->n;
    bytes_printf(b, "usage: %s %s ", tool->name, verb->name);
    size_t indent = b->n - before;
    struct line l = {b, indent, indent};
    put_options(&l, verb->options, true);
    put_options(&l, verb->options, false);
    put_word(&l, "[--json]");
    if (verb->operands != NULL)
        put_words(&l, verb->operands);
    bytes_add_byte(b, '\n');
}

static char *option_name(const struct cli_option *o)
{
    if (o == &cli_common[COMMON_HELP])
        return mem_str("-h, --help");
    return o->value == NULL ? mem_printf("--%s", o->name) : mem_printf("--%s %s", o->name, o->value);
}

static size_t widest_option(const struct cli_option *rows, size_t widest)
{
    for (; rows != NULL && rows->name != NULL; rows++) {
        char *name = option_name(rows);
        widest = strlen(name) > widest ? strlen(name) : widest;
        free(name);
    }
    return widest;
}

static void put_option_rows(struct bytes *b, const struct cli_option *rows, size_t column)
{
    for (; rows != NULL && rows->name != NULL; rows++) {
        char *name = option_name(rows);
        char *help = mem_printf("%s%s%s", rows->help, rows->required ? " (required)" : "",
                                rows->kind == CLI_LIST ? " (may be given more than once)" : "");
        put_row(b, name, column, help);
        free(help);
        free(name);
    }
}

void help_verb(const struct cli_tool *tool, const struct cli_verb *verb, struct bytes *ret)
{
    put_usage(tool, verb, ret);
    bytes_printf(ret, "%s\n\noptions:\n", verb->summary);
    size_t column = 4 + widest_option(cli_common, widest_option(verb->options, 0));
    put_option_rows(ret, verb->options, column);
    put_option_rows(ret, cli_common, column);
    bytes_add_str(ret, "\nexit codes: see keymill(1)\n");
}

static bool listed(const struct cli_verb *v, const char *group)
{
    if (group == NULL)
        return true;
    size_t n = strlen(group);
    return strncmp(v->name, group, n) == 0 && v->name[n] == ' ';
}

void help_tool(const struct cli_tool *tool, const char *group, struct bytes *ret)
{
    size_t widest = 0;
    for (const struct cli_verb *v = tool->verbs; v->name != NULL; v++) {
        if (listed(v, group) && strlen(v->name) > widest)
            widest = strlen(v->name);
    }
    bytes_printf(ret, "usage: %s COMMAND [OPTION]...\n%s\n\ncommands:\n", tool->name, tool->summary);
    for (const struct cli_verb *v = tool->verbs; v->name != NULL; v++) {
        if (listed(v, group))
            put_row(ret, v->name, widest + 4, v->summary);
    }
    bytes_printf(ret, "\n'%s COMMAND -h' shows the options of a command, '%s --version' the version\n",
                 tool->name, tool->name);
    bytes_add_str(ret, "exit codes: see keymill(1)\n");
}
