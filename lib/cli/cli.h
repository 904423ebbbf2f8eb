/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct out;

/*
 * A tool is a table of verbs, a verb is a table of options and one function. Help, parsing, --json and the
 * manual's synopsis check all come from these rows; cmd/<tool>/main.c holds nothing else. Every verb also
 * takes -h/--help, --json, --quiet and --no-input (a prompt becomes an error).
 *
 * The command comes first, options and operands then in any order; "--" ends the options. A value is never
 * empty, and one that begins with a dash (but is more than that) is written --name=VALUE. RC_USAGE cli.verb,
 * cli.option, cli.value, cli.missing, cli.operand.
 */
enum cli_kind {
    CLI_TEXT, /* --name VALUE */
    CLI_FLAG, /* --name */
    CLI_INT,  /* --name N, decimal, not negative */
    CLI_LIST, /* --name VALUE, may be given more than once */
};

struct cli_option {
    const char *name; /* without the dashes */
    enum cli_kind kind;
    const char *value; /* what the help calls the value: "DIR"; NULL for a flag */
    bool required;
    const char *help; /* one line, lower case, no full stop */
};

struct cli_args;

/* The run function's view of the world. Results go to out as events; the frame prints them, and errors, and
 * sets the exit code. */
struct cli_verb {
    const char *name;     /* "init", or two words: "order new" */
    const char *operands; /* "A1.manifest.jsonl", "[URI]", "A1.order|A1.batch"; NULL when it takes none */
    int min_operands, max_operands;
    const struct cli_option *options; /* ended by a row whose name is NULL; NULL when there are none */
    const char *summary;              /* one line for the list of verbs */
    enum rc (*run)(const struct cli_args *args, struct out *out, struct err *e);
};

struct cli_tool {
    const char *name;             /* "keymill-ca" */
    const char *summary;          /* one line */
    const struct cli_verb *verbs; /* ended by a row whose name is NULL */
};

/* Hardens the process (base/process.h), parses, runs, prints, and returns the exit code: the whole body of a
 * tool's main. With --json an error is one object on stderr
 * ({"error":{"code":"input","key":...,"text":...}}); stdout is checked for late write errors (RC_SYSTEM
 * cli.stdout). A run function that returns a code without setting *e to it is a bug. */
int cli_main(const struct cli_tool *tool, int argc, char **argv);

/* Values by name; asking for an option that the verb does not list is a bug. Absent: NULL, false, fallback.
 * Strings are those of argv. */
const char *cli_text(const struct cli_args *a, const char *name);
bool cli_flag(const struct cli_args *a, const char *name);
int64_t cli_int(const struct cli_args *a, const char *name, int64_t fallback);
size_t cli_list(const struct cli_args *a, const char *name, const char *const **ret);
int cli_operands(const struct cli_args *a);
const char *cli_operand(const struct cli_args *a, int i); /* NULL behind the last */

/* False when --no-input was given: prompts (cli/prompt.h) then fail and say which option to use. */
bool cli_may_prompt(void);

#endif
