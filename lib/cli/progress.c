/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/internal.h"

enum {
    QUIET_MS = 1000, /* what is over by then needs no bar */
    BAR_MS = 200,    /* between two drawings of the bar */
    LINE_MS = 10000, /* between two lines when stderr is no terminal */
    BAR_CELLS = 20,
    COLUMNS_DEFAULT = 80,
};

struct progress {
    char *what, *unit;
    uint64_t first, done, total;
    bool started; /* first is known */
    bool bar;     /* draw a bar; else write lines */
    bool drawn;   /* a bar stands on the screen */
    int64_t start_ms, next_ms;
};

static struct progress *current; /* progress_say has to know whose bar it must not tear */
static pthread_mutex_t mutex =
    PTHREAD_MUTEX_INITIALIZER; /* over current, what it points to, and the screen */

static void add_duration(struct bytes *b, uint64_t seconds)
{
    if (seconds >= 3600)
        bytes_printf(b, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, seconds / 3600, seconds / 60 % 60,
                     seconds % 60);
    else
        bytes_printf(b, "%" PRIu64 ":%02" PRIu64, seconds / 60, seconds % 60);
}

static void add_bar(struct bytes *b, unsigned percent)
{
    unsigned full = percent * BAR_CELLS / 100;
    bytes_add_str(b, " [");
    for (unsigned i = 0; i < BAR_CELLS; i++)
        bytes_add_byte(b, i < full ? '=' : ' ');
    bytes_add_byte(b, ']');
}

void progress_line(const struct progress_view *v, size_t width, struct bytes *ret)
{
    size_t before = ret->n;
    uint64_t done = v->total != 0 && v->done > v->total ? v->total : v->done;
    double seconds = (double)v->elapsed_ms / 1000;
    double rate = seconds > 0 && done > v->first ? (double)(done - v->first) / seconds : 0;

    bytes_printf(ret, "%s:", v->what);
    if (v->total != 0) {
        unsigned percent = (unsigned)((double)done / (double)v->total * 100);
        bytes_printf(ret, " %3u%%", percent);
        if (width > 0)
            add_bar(ret, percent);
        bytes_printf(ret, " %" PRIu64 "/%" PRIu64 " %s", done, v->total, v->unit);
    } else {
        bytes_printf(ret, " %" PRIu64 " %s", done, v->unit);
    }
    if (rate > 0)
        bytes_printf(ret, ", %.*f/s", rate < 10 ? 1 : 0, rate);
    if (rate > 0 && done < v->total) {
        bytes_add_str(ret, ", ");
        add_duration(ret, (uint64_t)((double)(v->total - done) / rate));
        bytes_add_str(ret, " left");
    }
    if (width > 0 && ret->n - before >= width) { /* a line that wraps could not be drawn over */
        ret->n = before + width - 1;
        while (ret->n > before && (ret->p[ret->n] & 0xc0) == 0x80)
            ret->n--;
    }
}

static void put(const struct bytes *b)
{
    fwrite(b->p, 1, b->n, stderr);
    fflush(stderr);
}

/* As git: a job in the background must not write over the shell's line. */
static bool in_foreground(void)
{
    pid_t group = tcgetpgrp(STDERR_FILENO);
    return group < 0 || group == getpgrp();
}

static size_t terminal_columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : COLUMNS_DEFAULT;
}

static bool silent(void)
{
    return cli_mode.common[COMMON_QUIET] || cli_mode.common[COMMON_JSON];
}

/* With the mutex held, as clear is. */
static void draw(struct progress *p, int64_t now)
{
    struct bytes b = BYTES_INIT;
    struct progress_view v = {.what = p->what,
                              .unit = p->unit,
                              .first = p->first,
                              .done = p->done,
                              .total = p->total,
                              .elapsed_ms = now - p->start_ms};
    if (p->bar && !in_foreground()) {
        p->drawn = false;
        return;
    }
    if (p->bar)
        bytes_add_byte(&b, '\r');
    progress_line(&v, p->bar ? terminal_columns() : 0, &b);
    bytes_add_str(&b, p->bar ? "\033[K" : "\n");
    put(&b);
    p->drawn = p->bar;
    bytes_free(&b);
}

static void clear(struct progress *p)
{
    if (p->drawn && in_foreground())
        fputs("\r\033[K", stderr);
    p->drawn = false;
}

struct progress *progress_start(const char *what, const char *unit, uint64_t total)
{
    struct bytes shown = BYTES_INIT;
    const char *term = getenv("TERM");

    if (current != NULL)
        bug("progress '%s' begins before '%s' has ended", what, current->what);
    if (silent())
        return NULL;
    struct progress *p = mem_new(sizeof(*p));
    show(&shown, what);
    p->what = mem_str(bytes_str(&shown));
    bytes_free(&shown);
    p->unit = mem_str(unit);
    p->total = total;
    p->bar = isatty(STDERR_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
    p->start_ms = clock_mono_ms();
    p->next_ms = p->start_ms + (p->bar ? QUIET_MS : LINE_MS);
    pthread_mutex_lock(&mutex);
    current = p;
    pthread_mutex_unlock(&mutex);
    return p;
}

void progress_set(struct progress *p, uint64_t done)
{
    if (p == NULL)
        return;
    int64_t now = clock_mono_ms();
    pthread_mutex_lock(&mutex);
    if (!p->started)
        p->first = done;
    p->started = true;
    p->done = done;
    if (now >= p->next_ms) {
        draw(p, now);
        p->next_ms = now + (p->bar ? BAR_MS : LINE_MS);
    }
    pthread_mutex_unlock(&mutex);
}

void progress_end(struct progress *p)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&mutex);
    clear(p);
    current = NULL;
    pthread_mutex_unlock(&mutex);
    free(p->what);
    free(p->unit);
    free(p);
}

void progress_say(const char *fmt, ...)
{
    struct bytes text = BYTES_INIT;
    struct bytes b = BYTES_INIT;
    va_list ap;

    if (silent())
        return;
    va_start(ap, fmt);
    bytes_vprintf(&text, fmt, ap);
    va_end(ap);
    if (cli_mode.tool != NULL)
        bytes_printf(&b, "%s: ", cli_mode.tool);
    show(&b, bytes_str(&text));
    bytes_add_byte(&b, '\n');

    pthread_mutex_lock(&mutex);
    bool again = current != NULL && current->drawn;
    if (again)
        clear(current);
    put(&b);
    if (again)
        draw(current, clock_mono_ms());
    pthread_mutex_unlock(&mutex);
    bytes_free(&text);
    bytes_free(&b);
}
