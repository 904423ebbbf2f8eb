/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_INTERNAL_H
#define CLI_INTERNAL_H

#include "base/bytes.h"
#include "cli/cli.h"

/* The pieces of cli_main, apart from the process: what the unit test calls. */

/* Every verb takes these; they are rows like a verb's own. */
enum cli_common { COMMON_JSON, COMMON_QUIET, COMMON_NO_INPUT, COMMON_HELP, COMMON_COUNT };
extern const struct cli_option cli_common[COMMON_COUNT + 1];

enum cli_want { CLI_RUN, CLI_HELP, CLI_VERSION };

struct cli_value {
    const char **texts; /* in the order given; the last one counts, but for CLI_LIST */
    size_t n;           /* how often it was given */
    int64_t number;     /* CLI_INT */
};

struct cli_args {
    enum cli_want want;
    const struct cli_tool *tool;
    const struct cli_verb *verb; /* NULL: help of the whole tool, or parsing failed before the verb */
    const char *group;           /* help is wanted of the verbs that begin with this word; else NULL */
    struct cli_value *values;    /* beside verb->options */
    const char **operands;
    int n_operands;
    bool common[COMMON_COUNT];
};

/* Strings point into argv. On failure (RC_USAGE cli.verb, cli.option, cli.value, cli.missing, cli.operand)
 * verb and common are as far known, for the report. Free in every case. */
NODISCARD enum rc args_parse(const struct cli_tool *tool, int argc, char **argv, struct cli_args *ret,
                             struct err *e);
void args_free(struct cli_args *a);

size_t option_count(const struct cli_verb *v);
/* -h: of the tool (group NULL: all verbs) or of one verb. */
void help_tool(const struct cli_tool *tool, const char *group, struct bytes *ret);
void help_verb(const struct cli_tool *tool, const struct cli_verb *verb, struct bytes *ret);

/* The candidate closest to a mistyped word; best stays NULL when none is close. */
struct suggest {
    const char *word;
    const char *best;
    size_t distance;
};
void suggest_try(struct suggest *s, const char *candidate);

/* What progress and prompts must know of the command line. cli_main sets it once. */
struct cli_mode {
    const char *tool; /* NULL in tests of single pieces */
    bool common[COMMON_COUNT];
};
extern struct cli_mode cli_mode;

/* s for a terminal: control characters and what is not UTF-8 as \xNN. Returns the columns taken, one per
 * character. */
size_t show(struct bytes *b, const char *s);

/* Output events (out.h), kept until the command has ended. */
enum out_kind { OUT_TEXT, OUT_NULL, OUT_INT, OUT_BOOL, OUT_LIST, OUT_ROW, OUT_LIST_END };

struct out_event {
    enum out_kind kind;
    uint32_t key; /* index in keys */
    union {
        int64_t number;
        size_t text; /* offset of a NUL-terminated string in texts */
    };
};

struct out_key {
    char *name;
    bool top;   /* is a member of the outermost object */
    size_t row; /* the last row that has it as a member */
};

struct out {
    struct out_event *events;
    size_t n, cap;
    struct out_key *keys; /* each name once: there are few, and many rows use them */
    uint32_t n_keys;
    struct bytes texts;
    struct bytes notes; /* finished lines */
    enum { OUT_AT_TOP, OUT_IN_LIST, OUT_IN_ROW } place;
    size_t rows;
    bool failed_rows;
};

struct out *out_new(void);
void out_free(struct out *o); /* NULL is allowed */
const char *out_text_of(const struct out *o, const struct out_event *ev);
/* "keymill.ca.issue.v1". */
void out_schema(const struct cli_tool *tool, const struct cli_verb *verb, struct bytes *ret);
void out_render_json(const struct out *o, const char *schema, struct bytes *ret);
void out_render_text(const struct out *o, bool notes, struct bytes *ret);

/* One line of progress without its end: with a bar when width (columns) is not 0, and then cut to it. first
 * of done were there at the start. */
struct progress_view {
    const char *what, *unit;
    uint64_t first, done, total;
    int64_t elapsed_ms;
};
void progress_line(const struct progress_view *v, size_t width, struct bytes *ret);

#endif
