/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *rc_name(enum rc rc)
{
    switch (rc) {
    case RC_OK:
        return "ok";
    case RC_SYSTEM:
        return "system";
    case RC_USAGE:
        return "usage";
    case RC_INPUT:
        return "input";
    case RC_TOKEN:
        return "token";
    case RC_DENIED:
        return "denied";
    case RC_CONFLICT:
        return "conflict";
    case RC_REMOTE:
        return "remote";
    case RC_PARTIAL:
        return "partial";
    case RC_BUG:
        return "bug";
    case RC_NOMEM:
        return "nomem";
    }
    return "unknown";
}

/* Copies src to a text of max octets; what does not fit is cut before a whole UTF-8 character and replaced by
 * "...". src may lie in ret. */
static void copy_cut(char *ret, size_t max, const char *src)
{
    size_t n = strlen(src);
    if (n < max) {
        memmove(ret, src, n + 1);
        return;
    }
    size_t keep = max - sizeof("...");
    while (keep > 0 && ((unsigned char)src[keep] & 0xc0) == 0x80)
        keep--;
    memmove(ret, src, keep);
    memcpy(ret + keep, "...", sizeof("..."));
}

/* A text quotes names from foreign files: nothing in it may steer a terminal or start a new line of a log. */
static void hide_controls(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = '?';
}

/*
 * Formats first and copies then, because an argument may be e->text itself. Twice the length, so that
 * copy_cut sees that something was cut.
 */
static PRINTF_LIKE(2, 0) void set_text(struct err *e, const char *fmt, va_list ap, const char *tail)
{
    char whole[2 * ERR_TEXT_MAX];
    int n = vsnprintf(whole, ERR_TEXT_MAX + 1, fmt, ap);
    if (n < 0)
        bug("error text '%s' cannot be printed", fmt);
    if (tail) {
        size_t used = strlen(whole);
        snprintf(whole + used, sizeof(whole) - used, ": %s", tail);
    }
    hide_controls(whole);
    copy_cut(e->text, sizeof(e->text), whole);
}

enum rc err_set(struct err *e, enum rc rc, const char *key, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_text(e, fmt, ap, NULL);
    va_end(ap);
    copy_cut(e->key, sizeof(e->key), key);
    e->rc = rc;
    return rc;
}

enum rc err_sys(struct err *e, const char *key, const char *fmt, ...)
{
    int number = errno;
    char reason[128];
    va_list ap;
    va_start(ap, fmt);
    set_text(e, fmt, ap, strerror_r(number, reason, sizeof(reason)));
    va_end(ap);
    copy_cut(e->key, sizeof(e->key), key);
    e->rc = RC_SYSTEM;
    return RC_SYSTEM;
}

enum rc err_prefix(struct err *e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_text(e, fmt, ap, e->text);
    va_end(ap);
    return e->rc;
}

void err_clear(struct err *e)
{
    *e = (struct err)ERR_INIT;
}

void err_format(const struct err *e, char *ret)
{
    size_t n = strlen(e->text);
    memcpy(ret, e->text, n + 1);
    if (e->key[0])
        snprintf(ret + n, ERR_KEY_MAX + 4, " [%s]", e->key);
}

/* Straight to the descriptor: stdio may be what is broken, and it may want memory. */
static _Noreturn void die(enum rc rc, const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0) {
        /* Nobody is listening; the exit code says it. */
    }
    _exit(rc);
}

void bug(const char *fmt, ...)
{
    char text[512];
    char line[sizeof(text) + 64];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    hide_controls(text);
    snprintf(line, sizeof(line), "keymill: this is a bug, please report it: %s\n", text);
    die(RC_BUG, line);
}

void out_of_memory(void)
{
    die(RC_NOMEM, "keymill: out of memory\n");
}
