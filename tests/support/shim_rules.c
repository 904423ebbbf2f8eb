/* SPDX-License-Identifier: Apache-2.0 */

/*
 * KEYMILL_SHIM_FAULT: rules, separated by blanks; the first that fits a call decides.
 *
 *   FUNCTION:WHEN:ACTION[:OPTION...]      C_Sign:37:CKR_DEVICE_ERROR
 *
 *   FUNCTION  C_Sign; * is every function, counted together
 *   WHEN      37: that call. 37+: from it on. 3-9: these. /50: each 50th. *: all. With a p before it, p37,
 * each process counts for itself; else all of one KEYMILL_SHIM_DIR count together ACTION    enum shim_action
 *   OPTION    after: the call is made and then said to have failed; left: a C_Sign that fails leaves its
 *             operation open; if=NAME, unless=NAME: while KEYMILL_SHIM_DIR has such a file, has none
 */
#include "shim.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { RULES_MAX = 32, PATH_SIZE = 512 };

struct rule {
    enum shim_function function;
    bool own; /* each process counts for itself */
    unsigned long from, to, every;
    enum shim_action action;
    CK_RV code;
    bool after, left;
    bool wanted; /* of the file */
    char file[PATH_SIZE];
};

static struct rule rules[RULES_MAX];
static size_t nrules;
static struct shim_state *state;
static atomic_ulong own[SHIM_FUNCTION_COUNT + 1]; /* calls of this process */

static const struct {
    const char *name;
    enum shim_action action;
} actions[] = {
    {"pass", SHIM_PASS},   {"hang", SHIM_HANG},           {"crash", SHIM_CRASH},   {"kill", SHIM_KILL},
    {"stop", SHIM_STOP},   {"exit", SHIM_EXIT},           {"lie", SHIM_LIE},       {"other", SHIM_OTHER},
    {"empty", SHIM_EMPTY}, {"wrong-pin", SHIM_WRONG_PIN}, {"logout", SHIM_LOGOUT}, {"close", SHIM_CLOSE},
};

_Noreturn static void bad(const char *rule)
{
    fprintf(stderr, "p11shim: KEYMILL_SHIM_FAULT: '%s' is not understood\n", rule);
    abort();
}

static bool when_parse(const char *s, struct rule *r)
{
    char *end = NULL;
    r->own = *s == 'p';
    if (r->own)
        s++;
    r->from = 1;
    r->to = ~0UL;
    if (strcmp(s, "*") == 0)
        return true;
    if (*s == '/') {
        r->every = strtoul(s + 1, &end, 10);
        return r->every > 0 && !*end;
    }
    r->from = strtoul(s, &end, 10);
    if (*end == '-')
        r->to = strtoul(end + 1, &end, 10);
    else if (*end == '+')
        end++;
    else
        r->to = r->from;
    return r->from > 0 && !*end;
}

static bool action_parse(const char *s, struct rule *r)
{
    r->action = SHIM_CODE;
    r->code = CKR_OK;
    if (strcmp(s, "CKR_OK") == 0 || shim_code_of(s, &r->code))
        return true;
    if (strncmp(s, "ms=", 3) == 0) {
        r->action = SHIM_DELAY;
        r->code = strtoul(s + 3, NULL, 10);
        return true;
    }
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        r->action = actions[i].action;
        if (strcmp(s, actions[i].name) == 0)
            return true;
    }
    return false;
}

static bool option_parse(const char *s, struct rule *r)
{
    const char *dir = getenv("KEYMILL_SHIM_DIR"), *equals = strchr(s, '=');
    r->after = r->after || strcmp(s, "after") == 0;
    r->left = r->left || strcmp(s, "left") == 0;
    if (!equals)
        return strcmp(s, "after") == 0 || strcmp(s, "left") == 0;
    r->wanted = strncmp(s, "if=", 3) == 0;
    if (!dir || (!r->wanted && strncmp(s, "unless=", 7) != 0))
        return false;
    snprintf(r->file, sizeof r->file, "%s/%s", dir, equals + 1);
    return true;
}

static bool rule_parse(char *text, struct rule *r)
{
    char *rest = NULL;
    char *function = strtok_r(text, ":", &rest), *when = strtok_r(NULL, ":", &rest);
    char *action = strtok_r(NULL, ":", &rest);
    if (!function || !when || !action)
        return false;
    r->function = shim_function_of(function);
    if (r->function == SHIM_ANY && strcmp(function, "*") != 0)
        return false;
    if (!when_parse(when, r) || !action_parse(action, r))
        return false;
    for (char *option; (option = strtok_r(NULL, ":", &rest));) {
        if (!option_parse(option, r))
            return false;
    }
    return true;
}

void shim_rules_load(struct shim_state *s)
{
    const char *all = getenv("KEYMILL_SHIM_FAULT");
    char *text = strdup(all ? all : ""), *rest = NULL;
    state = s;
    for (char *word = strtok_r(text, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
        if (nrules == RULES_MAX || !rule_parse(word, &rules[nrules]))
            bad(word);
        nrules++;
    }
    free(text);
}

static void sleep_ms(unsigned long ms)
{
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000L};
    while (nanosleep(&t, &t) != 0)
        continue;
}

_Noreturn static void end_by(int sig)
{
    signal(sig, SIG_DFL);
    raise(sig);
    abort();
}

/* True: this was all, and the next rule is asked. */
static bool act(const struct rule *r, CK_FUNCTION_LIST *real, CK_SESSION_HANDLE session)
{
    if (r->action != SHIM_PASS)
        atomic_fetch_add(&state->fired, 1);
    switch (r->action) {
    case SHIM_DELAY:
        sleep_ms(r->code);
        return true;
    case SHIM_HANG:
        for (;;)
            pause();
    case SHIM_CRASH:
        end_by(SIGSEGV);
    case SHIM_KILL:
        end_by(SIGKILL);
    case SHIM_STOP:
        raise(SIGSTOP);
        return true;
    case SHIM_EXIT:
        _exit(1);
    case SHIM_LOGOUT:
        real->C_Logout(session);
        return true;
    case SHIM_CLOSE:
        real->C_CloseSession(session);
        return true;
    default:
        return false;
    }
}

struct count {
    unsigned long all, own;
};

static struct count count_up(enum shim_function f)
{
    return (struct count){atomic_fetch_add(&state->calls[f], 1) + 1, atomic_fetch_add(&own[f], 1) + 1};
}

static bool fits(const struct rule *r, enum shim_function f, struct count one, struct count any)
{
    if (r->function != f && r->function != SHIM_ANY)
        return false;
    const struct count *c = r->function == SHIM_ANY ? &any : &one;
    unsigned long n = r->own ? c->own : c->all;
    if (n < r->from || n > r->to || (r->every && n % r->every != 0))
        return false;
    return !r->file[0] || (access(r->file, F_OK) == 0) == r->wanted;
}

/* The rule that a test has put into the state. */
static bool armed_get(size_t i, struct rule *ret)
{
    unsigned f = state->armed[i].function;
    if (f == 0)
        return false;
    *ret = (struct rule){.function = f - 1,
                         .from = state->armed[i].from,
                         .to = state->armed[i].to,
                         .action = state->armed[i].action,
                         .code = state->armed[i].code};
    return true;
}

struct shim_verdict shim_judge(CK_FUNCTION_LIST *real, enum shim_function f, CK_SESSION_HANDLE session)
{
    struct count one = count_up(f), any = count_up(SHIM_ANY);
    for (size_t i = 0; i < SHIM_ARMED + nrules; i++) {
        struct rule armed;
        const struct rule *r = i < SHIM_ARMED ? &armed : &rules[i - SHIM_ARMED];
        if (i < SHIM_ARMED && !armed_get(i, &armed))
            continue;
        if (!fits(r, f, one, any) || act(r, real, session))
            continue;
        /* A C_Sign that fails has ended its operation (PKCS#11 5.2), unless the module forgets to. */
        bool after = r->after || (f == SHIM_C_Sign && !r->left);
        return (struct shim_verdict){r->action, r->code, after};
    }
    return (struct shim_verdict){SHIM_PASS, CKR_OK, false};
}
