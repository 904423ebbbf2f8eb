/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/secret.h"
#include "cli/internal.h"
#include "cli/out.h"
#include "cli/progress.h"
#include "cli/prompt.h"

/* A tool of our own with everything in it. */
static enum rc run_issue(const struct cli_args *a, struct out *o, struct err *e)
{
    out_str(o, "profile", cli_text(a, "profile"));
    out_int(o, "serial_count", cli_int(a, "days", 7));
    out_note(o, "keep it");
    if (!cli_flag(a, "force"))
        return RC_OK;
    if (strcmp(cli_text(a, "home"), "rows") == 0)
        out_failed_rows(o);
    return err_set(e, RC_DENIED, "ca.denied", "'%s' may not", cli_text(a, "home"));
}

static enum rc run_order(const struct cli_args *a, struct out *o, struct err *e)
{
    (void)e;
    out_int(o, "operands", cli_operands(a));
    return RC_OK;
}

static enum rc run_broken(const struct cli_args *a, struct out *o, struct err *e)
{
    (void)a;
    (void)o;
    (void)e;
    return RC_PARTIAL;
}

/* Writes to stdout by itself and overlooks that it fails. */
static enum rc run_raw(const struct cli_args *a, struct out *o, struct err *e)
{
    (void)a;
    (void)o;
    (void)e;
    fputs("raw", stdout);
    fflush(stdout);
    return RC_OK;
}

static const struct cli_option issue_options[] = {
    {"san", CLI_LIST, "NAME", false, "a name of the subject"},
    {"home", CLI_TEXT, "DIR", true, "the authority's folder"},
    {"days", CLI_INT, "N", false, "validity in days"},
    {"profile", CLI_TEXT, "P", true, "certificate profile"},
    {"force", CLI_FLAG, NULL, false, "even when it exists"},
    {NULL, CLI_FLAG, NULL, false, NULL},
};
static const struct cli_verb verbs[] = {
    {"issue", "[CSR]", 0, 1, issue_options, "issue one certificate", run_issue},
    {"order new", "A1.order [A2.order]", 1, 2, NULL, "make a production order", run_order},
    {"order show", NULL, 0, 0, NULL, "show a production order", run_order},
    {"broken", NULL, 0, 0, NULL, "fail without a reason", run_broken},
    {"raw", NULL, 0, 0, NULL, "write by itself", run_raw},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};
static const struct cli_tool tool = {"keymill-office", "orders and manifests", verbs};

enum { ARGS_MAX = 16 };

/* Splits a line at blanks ('~' stands for the empty string) and parses it. argv is static: the values point
 * into it. */
static enum rc parse(const char *line, struct cli_args *a, struct err *e)
{
    static char text[512];
    static char *argv[ARGS_MAX + 1];
    int argc = 0;
    snprintf(text, sizeof(text), "keymill-office %s", line);
    for (char *p = strtok(text, " "); p != NULL && argc < ARGS_MAX; p = strtok(NULL, " ")) {
        char *end = p + strlen(p) - 1;
        if (*end == '~')
            *end = '\0';
        argv[argc++] = p;
    }
    argv[argc] = NULL;
    return args_parse(&tool, argc, argv, a, e);
}

static void parse_ok(const char *line, struct cli_args *a)
{
    struct err e = ERR_INIT;
    if (parse(line, a, &e) != RC_OK)
        fail_msg("%s: %s", line, e.text);
}

static void refuse(const char *line, const char *key, const char *says)
{
    struct cli_args a;
    struct err e = ERR_INIT;
    assert_int_equal(parse(line, &a, &e), RC_USAGE);
    assert_string_equal(e.key, key);
    assert_string_equal(e.text, says);
    args_free(&a);
}

static void options_and_operands_mix(void **state)
{
    (void)state;
    struct cli_args a;
    const char *const *san;
    parse_ok("issue --san a x.csr --home=/ca --days 30 --san=-b --profile p --force --quiet", &a);
    assert_string_equal(cli_text(&a, "home"), "/ca");
    assert_string_equal(cli_text(&a, "profile"), "p");
    assert_int_equal(cli_int(&a, "days", 1), 30);
    assert_true(cli_flag(&a, "force"));
    assert_int_equal(cli_list(&a, "san", &san), 2);
    assert_string_equal(san[0], "a");
    assert_string_equal(san[1], "-b");
    assert_int_equal(cli_operands(&a), 1);
    assert_string_equal(cli_operand(&a, 0), "x.csr");
    assert_null(cli_operand(&a, 1));
    assert_true(a.common[COMMON_QUIET]);
    assert_false(a.common[COMMON_JSON]);
    assert_false(a.common[COMMON_NO_INPUT]);
    args_free(&a);

    parse_ok("issue --home d --profile p", &a);
    assert_int_equal(cli_int(&a, "days", 11), 11);
    assert_false(cli_flag(&a, "force"));
    assert_int_equal(cli_list(&a, "san", &san), 0);
    assert_int_equal(cli_operands(&a), 0);
    args_free(&a);

    parse_ok("order new --json --no-input - -- --quiet", &a);
    assert_string_equal(a.verb->name, "order new");
    assert_int_equal(cli_operands(&a), 2);
    assert_string_equal(cli_operand(&a, 0), "-");
    assert_string_equal(cli_operand(&a, 1), "--quiet");
    assert_true(a.common[COMMON_JSON]);
    assert_true(a.common[COMMON_NO_INPUT]);
    assert_false(a.common[COMMON_QUIET]);
    args_free(&a);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    refuse("isue", "cli.verb", "unknown command 'isue': did you mean 'issue'?");
    refuse("oder new", "cli.verb", "unknown command 'oder new': did you mean 'order new'?");
    refuse("order nwe", "cli.verb", "unknown command 'order nwe': did you mean 'order new'?");
    refuse("order frobnicate", "cli.verb",
           "unknown command 'order frobnicate': there are 'order new', 'order show'");
    refuse("order", "cli.verb", "command 'order' needs a second word: 'order new', 'order show'");
    refuse("frobnicate", "cli.verb", "unknown command 'frobnicate'");
    refuse("--json issue", "cli.option",
           "option '--json' stands before the command: the command comes first");
    refuse("issue --hoem d", "cli.option", "unknown option '--hoem' of 'issue': did you mean '--home'?");
    refuse("issue --prof=p", "cli.option", "unknown option '--prof' of 'issue': did you mean '--profile'?");
    refuse("issue --jsn", "cli.option", "unknown option '--jsn' of 'issue': did you mean '--json'?");
    refuse("issue -x", "cli.option", "unknown option '-x' of 'issue'");
    refuse("issue --frobnicate", "cli.option", "unknown option '--frobnicate' of 'issue'");
    refuse("issue --force=1", "cli.value", "option '--force' takes no value");
    refuse("issue --json=1", "cli.value", "option '--json' takes no value");
    refuse("issue --home", "cli.value", "option '--home' needs its DIR");
    refuse(
        "issue --home --force", "cli.value",
        "option '--home' needs its DIR, but option '--force' follows; write '--home=--force' if that is the value");
    refuse("issue --home=~", "cli.value", "option '--home': its DIR is empty");
    refuse("issue --home ~", "cli.value", "option '--home': its DIR is empty");
    refuse("issue --home a --home b", "cli.option", "option '--home' is given twice, and it takes one DIR");
    refuse("issue --days 3x", "cli.value",
           "option '--days': '3x' is not a decimal number from 0 to 9223372036854775807");
    refuse("issue --days=-3", "cli.value",
           "option '--days': '-3' is not a decimal number from 0 to 9223372036854775807");
    refuse("issue --days 9223372036854775808", "cli.value",
           "option '--days': '9223372036854775808' is not a decimal number from 0 to 9223372036854775807");
    refuse("issue --profile p", "cli.missing", "'issue' requires the option '--home DIR'");
    refuse("issue", "cli.missing", "'issue' requires the options '--home DIR', '--profile P'");
    refuse("issue --home d --profile p a b", "cli.operand",
           "unexpected 'b': 'issue' takes [CSR] and no more");
    refuse("order show a", "cli.operand", "unexpected 'a': 'order show' takes options only");
    refuse("order new", "cli.operand", "'order new' requires A1.order [A2.order]");
}

static void help_is_asked_for_anywhere(void **state)
{
    (void)state;
    struct cli_args a;
    parse_ok("", &a);
    assert_int_equal(a.want, CLI_HELP);
    assert_null(a.verb);
    parse_ok("--help", &a);
    assert_int_equal(a.want, CLI_HELP);
    parse_ok("--version", &a);
    assert_int_equal(a.want, CLI_VERSION);
    parse_ok("issue --nonsense -h", &a);
    assert_int_equal(a.want, CLI_HELP);
    assert_string_equal(a.verb->name, "issue");
    parse_ok("order -h", &a);
    assert_int_equal(a.want, CLI_HELP);
    assert_null(a.verb);
    assert_string_equal(a.group, "order");
    parse_ok("order new -- -h", &a);
    assert_int_equal(a.want, CLI_RUN);
    args_free(&a);
}

static void help_of_a_verb(void **state)
{
    (void)state;
    struct bytes b = BYTES_INIT;
    help_verb(&tool, &verbs[0], &b);
    assert_string_equal(
        bytes_str(&b),
        "usage: keymill-office issue --home DIR --profile P [--san NAME]... [--days N] [--force] [--json]\n"
        "                            [CSR]\n"
        "issue one certificate\n"
        "\n"
        "options:\n"
        "  --san NAME   a name of the subject (may be given more than once)\n"
        "  --home DIR   the authority's folder (required)\n"
        "  --days N     validity in days\n"
        "  --profile P  certificate profile (required)\n"
        "  --force      even when it exists\n"
        "  --json       one JSON object on stdout instead of text\n"
        "  --quiet      no progress and no notes\n"
        "  --no-input   never ask on the terminal; fail instead\n"
        "  -h, --help   show this help\n"
        "\n"
        "exit codes: see keymill(1)\n");
    bytes_reset(&b);
    help_verb(&tool, &verbs[1], &b);
    assert_memory_equal(b.p, "usage: keymill-office order new [--json] A1.order [A2.order]\n", 61);
    bytes_free(&b);
}

static void help_wraps_long_rows(void **state)
{
    (void)state;
    static const struct cli_option rows[] = {
        {"a", CLI_FLAG, NULL, false,
         "words that are many enough to reach the end of the line and that have to go on behind the same column"},
        {NULL, CLI_FLAG, NULL, false, NULL},
    };
    const struct cli_verb v = {"v", NULL, 0, 0, rows, "s", run_order};
    struct bytes b = BYTES_INIT;
    help_verb(&tool, &v, &b);
    assert_non_null(strstr(
        bytes_str(&b),
        "  --a         words that are many enough to reach the end of the line and that have to go on behind\n"
        "              the same column\n"));
    bytes_free(&b);
}

static void help_of_the_tool(void **state)
{
    (void)state;
    struct bytes b = BYTES_INIT;
    help_tool(&tool, NULL, &b);
    assert_string_equal(
        bytes_str(&b),
        "usage: keymill-office COMMAND [OPTION]...\n"
        "orders and manifests\n"
        "\n"
        "commands:\n"
        "  issue       issue one certificate\n"
        "  order new   make a production order\n"
        "  order show  show a production order\n"
        "  broken      fail without a reason\n"
        "  raw         write by itself\n"
        "\n"
        "'keymill-office COMMAND -h' shows the options of a command, 'keymill-office --version' the version\n"
        "exit codes: see keymill(1)\n");
    bytes_reset(&b);
    help_tool(&tool, "order", &b);
    assert_null(strstr(bytes_str(&b), "issue"));
    assert_non_null(strstr(bytes_str(&b), "order show"));
    bytes_free(&b);
}

static struct out *sample(void)
{
    struct out *o = out_new();
    out_str(o, "ca", "root\033[1m\xff");
    out_int(o, "serial_count", -3);
    out_note(o, "%d to go", 1);
    out_bool(o, "ok", true);
    out_hex(o, "id", SPAN("\x0a\xff"));
    out_list(o, "rows");
    out_row(o);
    out_str(o, "name", "caf\303\251");
    out_int(o, "n", 1);
    out_row(o);
    out_str(o, "name", "b");
    out_bool(o, "not_after", false);
    out_str(o, "n", NULL);
    out_list_end(o);
    out_time(o, "at", 0);
    return o;
}

static void facts_as_json(void **state)
{
    (void)state;
    struct out *o = sample();
    struct bytes b = BYTES_INIT;
    out_render_json(o, "keymill.x.v1", &b);
    assert_string_equal(
        bytes_str(&b),
        "{\"schema\":\"keymill.x.v1\",\"ca\":\"root\\u001b[1m\357\277\275\",\"serial_count\":-3,\"ok\":true,"
        "\"id\":\"0aff\",\"rows\":[{\"name\":\"caf\303\251\",\"n\":1},"
        "{\"name\":\"b\",\"not_after\":false,\"n\":null}],\"at\":\"1970-01-01T00:00:00Z\"}\n");
    out_free(o);
    bytes_free(&b);
}

static void facts_as_text(void **state)
{
    (void)state;
    struct out *o = sample();
    struct bytes b = BYTES_INIT;
    out_render_text(o, true, &b);
    assert_string_equal(bytes_str(&b), "ca:            root\\x1b[1m\\xff\n"
                                       "serial count:  -3\n"
                                       "ok:            yes\n"
                                       "id:            0aff\n"
                                       "\n"
                                       "NAME  N  NOT AFTER\n"
                                       "caf\303\251  1  -\n"
                                       "b     -  no\n"
                                       "\n"
                                       "at:            1970-01-01T00:00:00Z\n"
                                       "\n"
                                       "1 to go\n");
    bytes_reset(&b);
    out_render_text(o, false, &b);
    assert_null(strstr(bytes_str(&b), "to go"));
    out_free(o);
    bytes_free(&b);
}

static void lists_and_lines_as_text(void **state)
{
    (void)state;
    struct out *o = out_new();
    struct bytes b = BYTES_INIT;
    out_str(o, "pem", "A\nB\033\n");
    out_list(o, "first");
    out_row(o);
    out_int(o, "a", 1);
    out_list_end(o);
    out_list(o, "left_over");
    out_list_end(o);
    out_render_text(o, true, &b);
    assert_string_equal(bytes_str(&b), "pem:\n  A\n  B\\x1b\n\nfirst:\nA\n1\n\nleft over:  none\n");
    bytes_reset(&b);
    out_render_json(o, "s", &b);
    assert_string_equal(
        bytes_str(&b),
        "{\"schema\":\"s\",\"pem\":\"A\\nB\\u001b\\n\",\"first\":[{\"a\":1}],\"left_over\":[]}\n");
    out_free(o);

    o = out_new();
    bytes_reset(&b);
    out_render_text(o, true, &b);
    assert_string_equal(bytes_str(&b), "");
    out_free(o);
    bytes_free(&b);
}

static void schema_names(void **state)
{
    (void)state;
    const struct cli_tool front = {"keymill", "", verbs};
    struct bytes b = BYTES_INIT;
    out_schema(&tool, &verbs[1], &b);
    assert_string_equal(bytes_str(&b), "keymill.office.order-new.v1");
    bytes_reset(&b);
    out_schema(&front, &verbs[0], &b);
    assert_string_equal(bytes_str(&b), "keymill.issue.v1");
    bytes_free(&b);
}

static void shown_text_cannot_steer(void **state)
{
    (void)state;
    struct bytes b = BYTES_INIT;
    assert_int_equal(show(&b, "a\303\251\n\x7f\302\233\301\201\355\240\200\342\200\256\360\237\230\200"),
                     3 + 4 * 12);
    assert_string_equal(
        bytes_str(&b),
        "a\303\251\\x0a\\x7f\\xc2\\x9b\\xc1\\x81\\xed\\xa0\\x80\\xe2\\x80\\xae\360\237\230\200");
    bytes_free(&b);
}

/* Runs body in a child; returns its exit status as wait gives it. */
static int in_child(void (*body)(void *arg), void *arg)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        body(arg);
        _exit(99);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* cli_main as a process: what it exits with and writes. */
struct call {
    const char *line;
    const char *out_path; /* NULL: a file that is read back */
    int rc;
    struct bytes out, err;
};

static void call_child(void *arg)
{
    struct call *c = arg;
    static char *argv[ARGS_MAX + 1];
    int argc = 0;
    char *text = mem_printf("keymill-office %s", c->line);
    for (char *p = strtok(text, " "); p != NULL && argc < ARGS_MAX; p = strtok(NULL, " "))
        argv[argc++] = p;
    argv[argc] = NULL;
    exit(cli_main(&tool, argc, argv));
}

static char out_file[] = "/tmp/test_cli_out.XXXXXX";
static char err_file[] = "/tmp/test_cli_err.XXXXXX";

static void call_redirected(void *arg)
{
    struct call *c = arg;
    int out = open(c->out_path == NULL ? out_file : c->out_path, O_WRONLY | O_TRUNC);
    int err = open(err_file, O_WRONLY | O_TRUNC);
    if (out < 0 || err < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
        _exit(98);
    call_child(arg);
}

static void call(struct call *c, const char *line, const char *out_path)
{
    struct err e;
    *c = (struct call){.line = line, .out_path = out_path};
    int status = in_child(call_redirected, c);
    assert_true(WIFEXITED(status));
    c->rc = WEXITSTATUS(status);
    assert_int_equal(file_read(out_file, 1 << 20, &c->out, &e), RC_OK);
    assert_int_equal(file_read(err_file, 1 << 20, &c->err, &e), RC_OK);
}

static void expect_call(const char *line, int rc, const char *out, const char *err)
{
    struct call c;
    call(&c, line, NULL);
    assert_int_equal(c.rc, rc);
    assert_string_equal(bytes_str(&c.out), out);
    assert_string_equal(bytes_str(&c.err), err);
    bytes_free(&c.out);
    bytes_free(&c.err);
}

static int make_files(void **state)
{
    (void)state;
    int a = mkstemp(out_file), b = mkstemp(err_file);
    close(a);
    close(b);
    return a < 0 || b < 0;
}

static int remove_files(void **state)
{
    (void)state;
    unlink(out_file);
    unlink(err_file);
    return 0;
}

static void the_frame_prints_and_exits(void **state)
{
    (void)state;
    expect_call("issue --home d --profile p", 0, "profile:       p\nserial count:  7\n\nkeep it\n", "");
    expect_call("issue --home d --profile p --quiet", 0, "profile:       p\nserial count:  7\n", "");
    expect_call("issue --home d --profile p --json", 0,
                "{\"schema\":\"keymill.office.issue.v1\",\"profile\":\"p\",\"serial_count\":7}\n", "");
    expect_call("order new x --json", 0, "{\"schema\":\"keymill.office.order-new.v1\",\"operands\":1}\n", "");
    expect_call("issue --home d --profile p --force", 5, "", "keymill-office: 'd' may not [ca.denied]\n");
    expect_call("issue --home rows --profile p --force --quiet", 5, "profile:       p\nserial count:  7\n",
                "keymill-office: 'rows' may not [ca.denied]\n");
    expect_call("issue --home d --profile p --force --json", 5, "",
                "{\"error\":{\"code\":\"denied\",\"key\":\"ca.denied\",\"text\":\"'d' may not\"}}\n");
    expect_call("issue --hom d", 2, "",
                "keymill-office: unknown option '--hom' of 'issue': did you mean '--home'? [cli.option]\n"
                "try 'keymill-office issue -h'\n");
    expect_call(
        "isue", 2, "",
        "keymill-office: unknown command 'isue': did you mean 'issue'? [cli.verb]\ntry 'keymill-office -h'\n");
    expect_call(
        "issue --hom d --json", 2, "",
        "{\"error\":{\"code\":\"usage\",\"key\":\"cli.option\",\"text\":\"unknown option '--hom' of 'issue': did you mean "
        "'--home'?\"}}\n");

    struct call c;
    call(&c, "broken", NULL);
    assert_int_equal(c.rc, RC_BUG);
    bytes_free(&c.out);
    bytes_free(&c.err);
}

static void version_is_name_and_number(void **state)
{
    (void)state;
    struct call c;
    int major, minor, patch, end = 0;
    call(&c, "--version", NULL);
    assert_int_equal(c.rc, 0);
    assert_int_equal(sscanf(bytes_str(&c.out), "keymill-office %d.%d.%d%n", &major, &minor, &patch, &end), 3);
    assert_string_equal(bytes_str(&c.out) + end, "\n");
    assert_int_equal(c.err.n, 0);
    bytes_free(&c.out);
    bytes_free(&c.err);
}

static void help_goes_to_stdout(void **state)
{
    (void)state;
    static const char *const lines[] = {"", "-h", "issue -h", "order -h"};
    for (size_t i = 0; i < 4; i++) {
        struct call c;
        call(&c, lines[i], NULL);
        assert_int_equal(c.rc, 0);
        assert_memory_equal(bytes_str(&c.out), "usage: keymill-office ", 22);
        assert_int_equal(c.err.n, 0);
        bytes_free(&c.out);
        bytes_free(&c.err);
    }
}

static void lost_output_is_a_failure(void **state)
{
    (void)state;
    static const char *const lines[] = {"issue --home d --profile p", "-h", "--version"};
    for (size_t i = 0; i < 3; i++) {
        struct call c;
        call(&c, lines[i], "/dev/full");
        assert_int_equal(c.rc, RC_SYSTEM);
        assert_string_equal(
            bytes_str(&c.err),
            "keymill-office: cannot write to standard output: No space left on device [cli.stdout]\n");
        bytes_free(&c.out);
        bytes_free(&c.err);
    }
    struct call c;
    call(&c, "raw", "/dev/full");
    assert_int_equal(c.rc, RC_SYSTEM);
    assert_non_null(strstr(bytes_str(&c.err), "a part of it was lost [cli.stdout]"));
    bytes_free(&c.out);
    bytes_free(&c.err);
}

/* Misuse of out is a bug that shows at once, not a wrong document. */
static void misuse(void *arg)
{
    struct out *o = out_new();
    if (freopen("/dev/null", "w", stderr) == NULL)
        _exit(98);
    switch (*(const int *)arg) {
    case 0:
        out_str(o, "CamelCase", "x");
        break;
    case 1:
        out_str(o, "a", "x");
        out_int(o, "a", 1);
        break;
    case 2:
        out_list(o, "a");
        out_str(o, "b", "x");
        break;
    case 3:
        out_list(o, "a");
        out_row(o);
        out_list(o, "b");
        break;
    case 4:
        out_row(o);
        break;
    case 5:
        out_list_end(o);
        break;
    case 6:
        out_str(o, "schema", "x");
        break;
    case 7:
        out_list(o, "a");
        out_render_text(o, true, &(struct bytes)BYTES_INIT);
        break;
    default: {
        struct cli_args a;
        parse_ok("issue --home d --profile p", &a);
        cli_text(&a, "other");
    }
    }
}

static void misuse_is_a_bug(void **state)
{
    (void)state;
    for (int i = 0; i < 9; i++) {
        int status = in_child(misuse, &i);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), RC_BUG);
    }
}

static void progress_lines(void **state)
{
    (void)state;
    struct bytes b = BYTES_INIT;
    struct progress_view v = {"issuing", "devices", 0, 450, 1000, 4500};
    progress_line(&v, 0, &b);
    assert_string_equal(bytes_str(&b), "issuing:  45% 450/1000 devices, 100/s, 0:05 left");
    bytes_reset(&b);
    progress_line(&v, 200, &b);
    assert_string_equal(bytes_str(&b),
                        "issuing:  45% [=========           ] 450/1000 devices, 100/s, 0:05 left");
    bytes_reset(&b);
    progress_line(&v, 20, &b);
    assert_int_equal(b.n, 19);

    bytes_reset(&b);
    v = (struct progress_view){"issuing", "devices", 400, 450, 100000, 10000}; /* 400 were there before */
    progress_line(&v, 0, &b);
    assert_string_equal(bytes_str(&b), "issuing:   0% 450/100000 devices, 5.0/s, 5:31:50 left");
    bytes_reset(&b);
    v = (struct progress_view){"reading", "lines", 0, 12, 0, 1000}; /* total not known */
    progress_line(&v, 0, &b);
    assert_string_equal(bytes_str(&b), "reading: 12 lines, 12/s");
    bytes_reset(&b);
    v = (struct progress_view){"x", "lines", 0, 7, 5, 0}; /* more than announced, no time passed */
    progress_line(&v, 0, &b);
    assert_string_equal(bytes_str(&b), "x: 100% 5/5 lines");
    bytes_free(&b);
}

/* A child on a terminal of its own. */
static pid_t on_terminal(void (*body)(void), int *ret_master)
{
    fflush(NULL);
    pid_t pid = forkpty(ret_master, NULL, NULL, NULL);
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(20);
        setenv("TERM", "xterm", 1);
        body();
        _exit(97);
    }
    return pid;
}

/* Appends what the terminal shows until needle appears or it is closed. */
static void read_until(int master, const char *needle, struct bytes *seen)
{
    char part[256];
    while (needle == NULL || strstr(bytes_str(seen), needle) == NULL) {
        ssize_t n = read(master, part, sizeof(part));
        if (n <= 0)
            break;
        bytes_add(seen, part, (size_t)n);
    }
    if (needle != NULL)
        assert_non_null(strstr(bytes_str(seen), needle));
}

static bool echo_on(int master)
{
    struct termios t;
    assert_int_equal(tcgetattr(master, &t), 0);
    return (t.c_lflag & ECHO) != 0;
}

static void ask(void)
{
    struct secret *s = NULL;
    struct err e = ERR_INIT;
    enum rc rc = prompt_secret("PIN of 'root'", "--pin-source file:PATH", &s, &e);
    if (rc != RC_OK) {
        printf("<%s>\n", e.key);
        exit((int)rc);
    }
    bool right = secret_len(s) == 6 && memcmp(secret_data(s), "123456", 6) == 0;
    secret_free(s);
    exit(right ? 0 : 96);
}

/* Types what (a signal's key included) after the question; the child must end with this status. */
static void prompt_case(const char *type, int want_exit, int want_signal, const char *want_seen)
{
    int master, status;
    struct bytes seen = BYTES_INIT;
    pid_t pid = on_terminal(ask, &master);
    read_until(master, "PIN of 'root': ", &seen);
    assert_false(echo_on(master));
    assert_int_equal(write(master, type, strlen(type)), strlen(type));
    read_until(master, want_seen, &seen);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(echo_on(master));
    assert_null(strstr(bytes_str(&seen), "123456"));
    if (want_signal != 0) {
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), want_signal);
    } else {
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), want_exit);
    }
    close(master);
    bytes_free(&seen);
}

static void secrets_are_asked_without_echo(void **state)
{
    (void)state;
    char *endless = mem_array(600, 1);
    memset(endless, 'x', 598);
    endless[598] = '\n';
    prompt_case("123456\n", 0, 0, "\r\n");
    prompt_case("\n", RC_USAGE, 0, "<cli.answer>");
    prompt_case("\004", RC_USAGE, 0, "<cli.answer>");
    prompt_case(endless, RC_INPUT, 0, "<cli.answer>");
    prompt_case("123456\003", 0, SIGINT, NULL);
    free(endless);
}

/* A shell with job control, as far as Ctrl-Z and "fg" need one. */
static void ask_as_job(void)
{
    int status = 0;
    struct termios t;
    signal(SIGTTOU, SIG_IGN); /* a shell takes its terminal back from a stopped job */
    pid_t job = fork();
    if (job == 0) {
        setpgid(0, 0);
        tcsetpgrp(STDIN_FILENO, getpid());
        signal(SIGTTOU, SIG_DFL);
        ask();
    }
    if (waitpid(job, &status, WUNTRACED) != job || !WIFSTOPPED(status))
        exit(95);
    if (tcgetattr(STDIN_FILENO, &t) != 0 || (t.c_lflag & ECHO) == 0)
        exit(94);
    printf("<stopped>\n");
    fflush(stdout);
    kill(job, SIGCONT);
    if (waitpid(job, &status, 0) != job || !WIFEXITED(status))
        exit(93);
    exit(WEXITSTATUS(status));
}

/* Ctrl-Z, and then what: what is typed to the shell must not become the PIN. */
static void stop_case(void (*body)(void), const char *want_seen)
{
    int master, status;
    struct bytes seen = BYTES_INIT;
    pid_t pid = on_terminal(body, &master);
    read_until(master, "PIN of 'root': ", &seen);
    assert_int_equal(write(master, "half\032", 5), 5);
    read_until(master, want_seen, &seen);
    assert_false(echo_on(master));
    assert_int_equal(write(master, "123456\n", 7), 7);
    read_until(master, NULL, &seen);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_null(strstr(bytes_str(&seen), "123456"));
    assert_null(strstr(bytes_str(&seen), "half"));
    close(master);
    bytes_free(&seen);
}

static void a_stop_gives_the_terminal_back_and_the_question_returns(void **state)
{
    (void)state;
    stop_case(ask_as_job, "<stopped>\r\nPIN of 'root': ");
    stop_case(ask, "\r\nPIN of 'root': "); /* no shell to stop for */
}

static void ask_without_terminal(void *arg)
{
    struct secret *s = NULL;
    struct err e = ERR_INIT;
    cli_mode.common[COMMON_NO_INPUT] = *(const bool *)arg;
    setsid();
    enum rc rc = prompt_secret("PIN", "--pin-source file:PATH", &s, &e);
    bool named = strcmp(e.key, "cli.no-terminal") == 0 &&
                 strncmp(e.text, "cannot ask for the PIN: ", 24) == 0 &&
                 strstr(e.text, "use --pin-source file:PATH") != NULL &&
                 (strstr(e.text, "--no-input") != NULL) == cli_mode.common[COMMON_NO_INPUT];
    _exit(rc == RC_USAGE && named ? 0 : 1);
}

static void no_terminal_names_the_alternative(void **state)
{
    (void)state;
    bool no_input = false;
    assert_int_equal(in_child(ask_without_terminal, &no_input), 0);
    no_input = true;
    assert_int_equal(in_child(ask_without_terminal, &no_input), 0);
}

static void work_with_bar(void)
{
    struct progress *p = progress_start("issuing", "devices", 100);
    progress_set(p, 10);
    progress_say("early");
    usleep(1100 * 1000);
    progress_set(p, 50);
    progress_say("token\033 lost");
    progress_end(p);
    _exit(0);
}

static void work_quietly(void)
{
    cli_mode.common[COMMON_QUIET] = true;
    work_with_bar();
}

static void work_for_json(void)
{
    cli_mode.common[COMMON_JSON] = true;
    work_with_bar();
}

enum { TALKERS = 4, TALKS = 300 };

static void *talk(void *arg)
{
    for (int i = 0; i < TALKS; i++)
        progress_say("said");
    return arg;
}

static void work_with_talkers(void)
{
    pthread_t threads[TALKERS];
    struct progress *p = progress_start("issuing", "devices", 100);
    progress_set(p, 10);
    usleep(1100 * 1000);
    progress_set(p, 50);
    for (int i = 0; i < TALKERS; i++) {
        if (pthread_create(&threads[i], NULL, talk, NULL) != 0)
            _exit(96);
    }
    for (int i = 0; i < TALKERS; i++)
        pthread_join(threads[i], NULL);
    progress_end(p);
    _exit(0);
}

static void seen_on_terminal(void (*body)(void), struct bytes *ret)
{
    int master, status;
    pid_t pid = on_terminal(body, &master);
    read_until(master, NULL, ret);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(master);
}

static void the_bar_comes_after_a_second_and_is_not_torn(void **state)
{
    (void)state;
    struct bytes seen = BYTES_INIT;
    seen_on_terminal(work_with_bar, &seen);
    assert_memory_equal(bytes_str(&seen), "early\r\n\rissuing:  50% [", 22);
    assert_non_null(strstr(bytes_str(&seen), "left\033[K\r\033[Ktoken\\x1b lost\r\n\rissuing: "));
    assert_string_equal(bytes_str(&seen) + seen.n - 4, "\r\033[K");
    bytes_reset(&seen);
    seen_on_terminal(work_quietly, &seen);
    assert_int_equal(seen.n, 0);
    seen_on_terminal(work_for_json, &seen);
    assert_int_equal(seen.n, 0);
    bytes_free(&seen);
}

/* A recovery is told by whichever thread it happened to. */
static void threads_do_not_tear_the_bar(void **state)
{
    (void)state;
    static const char bar_gone[] = "\r\033[K";
    struct bytes seen = BYTES_INIT;
    size_t n = 0;
    seen_on_terminal(work_with_talkers, &seen);
    const char *text = bytes_str(&seen);
    for (const char *p = strstr(text, "said"); p != NULL; p = strstr(p + 1, "said")) {
        assert_true(p - text >= 4);
        assert_memory_equal(p - 4, bar_gone, 4);
        n++;
    }
    assert_int_equal(n, TALKERS * TALKS);
    bytes_free(&seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_operands_mix),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(help_is_asked_for_anywhere),
        cmocka_unit_test(help_of_a_verb),
        cmocka_unit_test(help_wraps_long_rows),
        cmocka_unit_test(help_of_the_tool),
        cmocka_unit_test(facts_as_json),
        cmocka_unit_test(facts_as_text),
        cmocka_unit_test(lists_and_lines_as_text),
        cmocka_unit_test(schema_names),
        cmocka_unit_test(shown_text_cannot_steer),
        cmocka_unit_test(the_frame_prints_and_exits),
        cmocka_unit_test(version_is_name_and_number),
        cmocka_unit_test(help_goes_to_stdout),
        cmocka_unit_test(lost_output_is_a_failure),
        cmocka_unit_test(misuse_is_a_bug),
        cmocka_unit_test(progress_lines),
        cmocka_unit_test(secrets_are_asked_without_echo),
        cmocka_unit_test(a_stop_gives_the_terminal_back_and_the_question_returns),
        cmocka_unit_test(no_terminal_names_the_alternative),
        cmocka_unit_test(the_bar_comes_after_a_second_and_is_not_torn),
        cmocka_unit_test(threads_do_not_tear_the_bar),
    };
    return cmocka_run_group_tests_name("cli", tests, make_files, remove_files);
}
