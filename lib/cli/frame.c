/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include "base/jsonw.h"
#include "base/process.h"
#include "cli/internal.h"
#include "cli/out.h"

struct cli_mode cli_mode;

bool cli_may_prompt(void)
{
    return !cli_mode.common[COMMON_NO_INPUT];
}

static void put_stderr(const struct bytes *b)
{
    fwrite(b->p, 1, b->n, stderr);
    fflush(stderr);
}

static void report_text(const struct cli_args *a, const struct err *e)
{
    char text[ERR_TEXT_MAX + ERR_KEY_MAX + 4];
    struct bytes b = BYTES_INIT;

    err_format(e, text);
    bytes_printf(&b, "%s: ", a->tool->name);
    show(&b, text);
    bytes_add_byte(&b, '\n');
    if (e->rc == RC_USAGE)
        bytes_printf(&b, "try '%s%s%s -h'\n", a->tool->name, a->verb == NULL ? "" : " ",
                     a->verb == NULL ? "" : a->verb->name);
    put_stderr(&b);
    bytes_free(&b);
}

static void report_json(const struct err *e)
{
    struct bytes b = BYTES_INIT;
    struct jsonw w;

    jsonw_init(&w, &b);
    jsonw_object(&w, NULL);
    jsonw_object(&w, "error");
    jsonw_str(&w, "code", rc_name(e->rc));
    jsonw_str(&w, "key", e->key);
    jsonw_str(&w, "text", e->text);
    jsonw_end(&w);
    jsonw_end(&w);
    bytes_add_byte(&b, '\n');
    put_stderr(&b);
    bytes_free(&b);
}

static void report(const struct cli_args *a, const struct err *e)
{
    if (a->common[COMMON_JSON])
        report_json(e);
    else
        report_text(a, e);
}

/* Also catches what a command has written to stdout by itself. A result that did not arrive is a failure. */
static enum rc put_stdout(const struct bytes *b, struct err *e)
{
    size_t put = b->n == 0 ? 0 : fwrite(b->p, 1, b->n, stdout);
    bool failed = put < b->n || fflush(stdout) != 0;
    if (failed && errno == EPIPE) /* the reader has what it wanted: "| head" */
        return RC_OK;
    if (failed)
        return err_sys(e, "cli.stdout", "cannot write to standard output");
    if (ferror(stdout))
        return err_set(e, RC_SYSTEM, "cli.stdout", "cannot write to standard output: a part of it was lost");
    return RC_OK;
}

static void render(const struct cli_args *a, const struct out *o, struct bytes *ret)
{
    if (!a->common[COMMON_JSON]) {
        out_render_text(o, !a->common[COMMON_QUIET], ret);
        return;
    }
    struct bytes schema = BYTES_INIT;
    out_schema(a->tool, a->verb, &schema);
    out_render_json(o, bytes_str(&schema), ret);
    bytes_free(&schema);
}

static enum rc run(const struct cli_args *a, struct err *e)
{
    struct out *o = out_new();
    struct bytes text = BYTES_INIT;
    struct err late = ERR_INIT;

    enum rc rc = a->verb->run(a, o, e);
    if (rc != RC_OK && e->rc != rc)
        bug("'%s' returned %d without an error that says why", a->verb->name, (int)rc);
    if (rc == RC_OK || o->failed_rows)
        render(a, o, &text);
    if (put_stdout(&text, &late) != RC_OK && rc == RC_OK) {
        *e = late;
        rc = late.rc;
    }
    bytes_free(&text);
    out_free(o);
    return rc;
}

static enum rc answer(const struct cli_args *a, struct err *e)
{
    struct bytes text = BYTES_INIT;

    if (a->want == CLI_VERSION)
        bytes_printf(&text, "%s %s\n", a->tool->name, KEYMILL_VERSION);
    else if (a->verb != NULL)
        help_verb(a->tool, a->verb, &text);
    else
        help_tool(a->tool, a->group, &text);
    enum rc rc = put_stdout(&text, e);
    bytes_free(&text);
    return rc;
}

int cli_main(const struct cli_tool *tool, int argc, char **argv)
{
    struct cli_args a;
    struct err e = ERR_INIT;

    process_harden();
    enum rc rc = args_parse(tool, argc, argv, &a, &e);
    cli_mode.tool = tool->name;
    for (size_t i = 0; i < COMMON_COUNT; i++)
        cli_mode.common[i] = a.common[i];
    if (rc == RC_OK)
        rc = a.want == CLI_RUN ? run(&a, &e) : answer(&a, &e);
    if (rc != RC_OK)
        report(&a, &e);
    args_free(&a);
    return (int)rc;
}
