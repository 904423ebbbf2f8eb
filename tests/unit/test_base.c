/* SPDX-License-Identifier: Apache-2.0 */
/* lib/base: errors, memory, secrets, process. The rest of it has its own test_base_*.c. */
#undef _FORTIFY_SOURCE /* this file replaces explicit_bzero, which the fortified headers make inline */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/process.h"
#include "base/secret.h"

#include "child.h"

/* ---- what stands between lib/base and libc: these win over libc's own at link time ---- */

static size_t wiped;             /* octets given to explicit_bzero */
static size_t unmapped_nonzero;  /* octets that still had a value when they were unmapped */
static bool refuse_no_new_privs; /* prctl(PR_SET_NO_NEW_PRIVS) fails */

void __explicit_bzero_chk(void *p, size_t n, size_t room); /* what a fortified lib/base calls */

void explicit_bzero(void *p, size_t n)
{
    volatile uint8_t *v = p;
    for (size_t i = 0; i < n; i++)
        v[i] = 0;
    wiped += n;
}

void __explicit_bzero_chk(void *p, size_t n, size_t room)
{
    assert_true(n <= room);
    explicit_bzero(p, n);
}

int munmap(void *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        unmapped_nonzero += ((const uint8_t *)p)[i] != 0;
    return (int)syscall(SYS_munmap, p, n);
}

int prctl(int option, ...)
{
    unsigned long arg[4];
    va_list ap;
    va_start(ap, option);
    for (int i = 0; i < 4; i++)
        arg[i] = va_arg(ap, unsigned long);
    va_end(ap);
    if (refuse_no_new_privs && option == PR_SET_NO_NEW_PRIVS) {
        errno = EPERM;
        return -1;
    }
    return (int)syscall(SYS_prctl, option, arg[0], arg[1], arg[2], arg[3]);
}

/* ---- err ---- */

static void test_rc_names(void **state)
{
    (void)state;
    static const struct {
        enum rc rc;
        int value;
        const char *name;
    } rows[] = {
        {RC_OK, 0, "ok"},
        {RC_SYSTEM, 1, "system"},
        {RC_USAGE, 2, "usage"},
        {RC_INPUT, 3, "input"},
        {RC_TOKEN, 4, "token"},
        {RC_DENIED, 5, "denied"},
        {RC_CONFLICT, 6, "conflict"},
        {RC_REMOTE, 7, "remote"},
        {RC_PARTIAL, 8, "partial"},
        {RC_BUG, 70, "bug"},
        {RC_NOMEM, 71, "nomem"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(rows[i].rc, rows[i].value);
        assert_string_equal(rc_name(rows[i].rc), rows[i].name);
    }
    assert_string_equal(rc_name((enum rc)9), "unknown");
}

static void test_err_set(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    char shown[ERR_TEXT_MAX + ERR_KEY_MAX + 4];
    err_format(&e, shown);
    assert_string_equal(shown, "");
    assert_int_equal(err_set(&e, RC_DENIED, "mod.what", "'%s' is %d", "x", 7), RC_DENIED);
    assert_int_equal(e.rc, RC_DENIED);
    assert_string_equal(e.key, "mod.what");
    assert_string_equal(e.text, "'x' is 7");
    err_format(&e, shown);
    assert_string_equal(shown, "'x' is 7 [mod.what]");
    assert_int_equal(err_prefix(&e, "line %d", 3), RC_DENIED);
    assert_string_equal(e.text, "line 3: 'x' is 7");
    assert_string_equal(e.key, "mod.what");
    assert_int_equal(err_set(&e, RC_INPUT, e.key, "again: %s", e.text), RC_INPUT);
    assert_string_equal(e.text, "again: line 3: 'x' is 7");
    err_clear(&e);
    assert_int_equal(e.rc, RC_OK);
    assert_string_equal(e.text, "");
    assert_string_equal(e.key, "");
}

static void test_err_sys(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    errno = ENOSPC;
    assert_int_equal(err_sys(&e, "file.write", "cannot write '%s'", "/x/y"), RC_SYSTEM);
    assert_int_equal(e.rc, RC_SYSTEM);
    assert_string_equal(e.key, "file.write");
    assert_string_equal(e.text, "cannot write '/x/y': No space left on device");
}

static void test_err_cut(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    char text[ERR_TEXT_MAX + 10];
    memset(text, 'a', sizeof(text));
    text[ERR_TEXT_MAX - 1] = 0; /* the longest that fits */
    err_set(&e, RC_INPUT, "k", "%s", text);
    assert_string_equal(e.text, text);
    text[ERR_TEXT_MAX - 1] = 'a';
    text[ERR_TEXT_MAX] = 0;
    err_set(&e, RC_INPUT, "k", "%s", text);
    assert_int_equal(strlen(e.text), ERR_TEXT_MAX - 1);
    assert_string_equal(e.text + ERR_TEXT_MAX - 5, "a...");
    err_prefix(&e, "front");
    assert_memory_equal(e.text, "front: aaa", 10);
    assert_string_equal(e.text + ERR_TEXT_MAX - 5, "a...");
    char shown[ERR_TEXT_MAX + ERR_KEY_MAX + 4];
    memset(e.key, 'k', ERR_KEY_MAX - 1);
    err_format(&e, shown);
    assert_int_equal(strlen(shown), ERR_TEXT_MAX - 1 + ERR_KEY_MAX - 1 + 3);

    /* A two-octet character across the cut is left out whole. */
    memcpy(text + ERR_TEXT_MAX - 5, "\xc3\xa4", 2);
    err_set(&e, RC_INPUT, "k", "%s", text);
    assert_string_equal(e.text + ERR_TEXT_MAX - 6, "a...");

    err_set(&e, RC_INPUT, "k", "a\x1b[31m\n\x7f\xc3\xa4");
    assert_string_equal(e.text, "a?[31m??\xc3\xa4");
    err_set(&e, RC_INPUT, "a-key-that-is-longer-than-the-forty-eight-octets-it-may-have", "x");
    assert_int_equal(strlen(e.key), ERR_KEY_MAX - 1);
}

static void call_bug(void)
{
    bug("state %d\n", 5);
}

static void call_out_of_memory(void)
{
    out_of_memory();
}

static void test_dying(void **state)
{
    (void)state;
    assert_bug(call_bug, "bug");
    assert_non_null(strstr(said, "state 5?\n"));
    assert_int_equal(run_child(call_out_of_memory), RC_NOMEM);
    assert_non_null(strstr(said, "out of memory"));
}

/* ---- bytes ---- */

static void test_bytes(void **state)
{
    (void)state;
    struct bytes b = BYTES_INIT;
    assert_string_equal(bytes_str(&b), "");
    assert_int_equal(bytes_span(&b).n, 0);
    bytes_add(&b, NULL, 0);
    bytes_reset(&b);
    for (int i = 0; i < 1000; i++) {
        bytes_add(&b, "ab", 2);
        assert_int_equal(b.p[b.n], 0);
        bytes_add_byte(&b, 'c');
        assert_int_equal(b.p[b.n], 0);
        assert_true(b.n < b.cap);
    }
    assert_int_equal(b.n, 3000);
    for (size_t n = 0; n < 1000; n++) { /* also where the octets fill the capacity and the NUL needs more */
        struct bytes c = BYTES_INIT;
        bytes_add(&c, b.p, n);
        assert_true(n == 0 || n < c.cap);
        assert_int_equal(bytes_str(&c)[n], 0);
        bytes_free(&c);
    }
    for (size_t i = 0; i < b.n; i++)
        assert_int_equal(b.p[i], "abc"[i % 3]);
    size_t cap = b.cap;
    bytes_reset(&b);
    assert_int_equal(b.n, 0);
    assert_int_equal(b.cap, cap);
    assert_string_equal(bytes_str(&b), "");
    bytes_add_str(&b, "x=");
    bytes_add_span(&b, SPAN("a\0b"));
    assert_int_equal(b.n, 5);
    assert_memory_equal(b.p, "x=a\0b", 6);
    bytes_free(&b);
    assert_null(b.p);
    assert_int_equal(b.n + b.cap, 0);
}

static void test_bytes_printf(void **state)
{
    (void)state;
    struct bytes b = BYTES_INIT;
    bytes_printf(&b, "%s", "");
    assert_int_equal(b.n, 0);
    for (int width = 0; width < 300; width++) { /* past every place where the buffer has to grow */
        bytes_reset(&b);
        bytes_printf(&b, "<%*d>", width, 7);
        bytes_printf(&b, "%d", 1);
        assert_int_equal(b.n, (width ? width : 1) + 3);
        assert_int_equal(strlen(bytes_str(&b)), b.n);
        assert_string_equal(bytes_str(&b) + b.n - 3, "7>1");
        if (width % 50 == 0)
            bytes_free(&b);
    }
    bytes_free(&b);
}

static void test_bytes_room(void **state)
{
    (void)state;
    struct bytes b = BYTES_INIT;
    bytes_add_str(&b, "0123456789");
    bytes_reset(&b);
    uint8_t *p = bytes_room(&b, 5);
    assert_int_equal(b.n, 0);
    memcpy(p, "ab", 2);
    b.n += 2; /* less than the room: the old digits must not show */
    assert_string_equal(bytes_str(&b), "ab");
    p = bytes_room(&b, 100000);
    assert_ptr_equal(p, b.p + 2);
    memset(p, 'z', 100000);
    b.n += 100000;
    assert_int_equal(strlen(bytes_str(&b)), 100002);
    bytes_free(&b);
}

static void test_bytes_wipe(void **state)
{
    (void)state;
    struct bytes b = BYTES_INIT;
    bytes_add_str(&b, "secret");
    size_t first = b.cap;
    wiped = 0;
    bytes_room(&b, first); /* moves */
    assert_int_equal(wiped, first);
    size_t second = b.cap;
    bytes_wipe(&b);
    assert_int_equal(wiped, first + second);
    assert_null(b.p);
    bytes_wipe(&b);
}

static void test_spans(void **state)
{
    (void)state;
    struct span a = span_str("abc");
    assert_int_equal(a.n, 3);
    assert_true(span_eq(a, SPAN("abc")));
    assert_false(span_eq(a, SPAN("abd")));
    assert_false(span_eq(a, SPAN("ab")));
    assert_true(span_eq((struct span){NULL, 0}, SPAN("")));
    struct span c = span_copy(a);
    assert_true(span_eq(a, c));
    assert_ptr_not_equal(a.p, c.p);
    span_free(&c);
    assert_null(c.p);
    assert_int_equal(c.n, 0);
    c = span_copy((struct span){NULL, 0});
    assert_int_equal(c.n, 0);
    span_free(&c);
    span_free(&c);
}

static void room_too_big(void)
{
    struct bytes b = BYTES_INIT;
    bytes_room(&b, SIZE_MAX / 2);
}

static void string_too_big(void)
{
    mem_strn("x", SIZE_MAX);
}

static void secret_too_big(void)
{
    secret_new(SIZE_MAX);
}

static void array_too_big(void)
{
    mem_array(SIZE_MAX / 2, 4);
}

static void grown_too_big(void)
{
    mem_grow(NULL, SIZE_MAX / 2, 4);
}

static void test_mem(void **state)
{
    (void)state;
    uint8_t *p = mem_new(100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(p[i], 0);
    memcpy(p, "keep", 5);
    p = mem_grow(p, 1000, 10);
    assert_string_equal((char *)p, "keep");
    free(p);
    p = mem_array(0, 10);
    assert_non_null(p);
    p = mem_grow(p, 0, 10);
    assert_non_null(p);
    free(p);
    assert_null(mem_str(NULL));
    char *s = mem_str("text");
    assert_string_equal(s, "text");
    free(s);
    s = mem_strn("text", 2);
    assert_string_equal(s, "te");
    free(s);
    s = mem_printf("%s-%03d", "a", 7);
    assert_string_equal(s, "a-007");
    free(s);
    assert_int_equal(run_child(room_too_big), RC_NOMEM);
    assert_int_equal(run_child(string_too_big), RC_NOMEM);
    assert_int_equal(run_child(secret_too_big), RC_NOMEM);
#ifndef KEYMILL_ASAN /* its allocator ends the process itself */
    assert_int_equal(run_child(array_too_big), RC_NOMEM);
    assert_int_equal(run_child(grown_too_big), RC_NOMEM);
#else
    (void)array_too_big;
    (void)grown_too_big;
#endif
}

/* ---- secret ---- */

static void secret_overlong(void)
{
    struct secret *s = secret_new(4);
    secret_set_len(s, 5);
}

static void test_secret(void **state)
{
    (void)state;
    struct secret *s = secret_from("1234", 4);
    assert_int_equal(secret_len(s), 4);
    assert_int_equal(secret_cap(s), 4);
    assert_string_equal((char *)secret_data(s), "1234");
    secret_set_len(s, 2);
    assert_int_equal(secret_len(s), 2);
    assert_memory_equal(secret_data(s), "12\0\0", 5);
    secret_set_len(s, 4);
    assert_memory_equal(secret_data(s), "12\0\0", 5);
    secret_free(s);

    s = secret_new(10000);
    assert_int_equal(secret_len(s), 0);
    assert_int_equal(secret_cap(s), 10000);
    memset(secret_data(s), 'x', 10000);
    secret_set_len(s, 10000);
    assert_int_equal(secret_data(s)[10000], 0);
    unmapped_nonzero = 0;
    secret_free(s);
    assert_int_equal(unmapped_nonzero, 0);

    /* A small one's page is used again: wiped, all of it. */
    s = secret_new(200);
    memset(secret_data(s), 'x', 200);
    secret_set_len(s, 200);
    const uint8_t *page = secret_data(s);
    secret_free(s);
    s = secret_new(4000);
    assert_ptr_equal(secret_data(s), page);
    for (size_t i = 0; i <= 4000; i++)
        assert_int_equal(secret_data(s)[i], 0);
    secret_free(s);

    s = secret_from(NULL, 0);
    assert_string_equal((char *)secret_data(s), "");
    secret_free(s);
    secret_free(NULL);
    assert_bug(secret_overlong, "secret of 5 octets");

    char stack[8] = "abcdefg";
    wipe(stack, sizeof(stack));
    assert_memory_equal(stack, "\0\0\0\0\0\0\0\0", 8);
    wipe(NULL, 0);
}

/* The kernel's flags of the mapping that p lies in. */
static void read_map_flags(const void *p, char *ret, size_t max)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    assert_non_null(f);
    char line[512];
    bool here = false;
    ret[0] = 0;
    while (fgets(line, sizeof(line), f)) {
        unsigned long begin, end;
        if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
            here = (uintptr_t)p >= begin && (uintptr_t)p < end;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            snprintf(ret, max, "%s", line);
    }
    fclose(f);
}

static void test_secret_memory(void **state)
{
    (void)state;
    struct secret *s = secret_new(32);
    char flags[512];
    read_map_flags(secret_data(s), flags, sizeof(flags));
    assert_non_null(strstr(flags, " dd")); /* not in a core dump */
#ifndef KEYMILL_ASAN                       /* which turns mlock off */
    assert_non_null(strstr(flags, " lo")); /* never on a swap device */
#endif
    secret_free(s);
}

/* ---- process ---- */

static void check(bool ok, int step)
{
    if (!ok)
        _exit(step);
}

static void harden_and_look(void)
{
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    umask(0);
    process_harden();
    check(fcntl(STDIN_FILENO, F_GETFD) >= 0, 1);
    check(fcntl(STDOUT_FILENO, F_GETFD) >= 0, 2);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    check(fd > STDERR_FILENO, 3);
    check(umask(0) == 077, 4);
    struct rlimit core = {1, 1};
    check(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0, 5);
#ifdef KEYMILL_ASAN
    check(prctl(PR_GET_DUMPABLE, 0UL, 0UL, 0UL, 0UL) == 1, 6);
#else
    check(prctl(PR_GET_DUMPABLE, 0UL, 0UL, 0UL, 0UL) == 0, 6);
#endif
    check(prctl(PR_GET_NO_NEW_PRIVS, 0UL, 0UL, 0UL, 0UL) == 1, 7);
    struct sigaction action;
    check(sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_IGN, 8);
}

static void harden_refused(void)
{
    refuse_no_new_privs = true;
    process_harden();
}

static void test_process_harden(void **state)
{
    (void)state;
    assert_int_equal(run_child(harden_and_look), 0);
    assert_int_equal(run_child(harden_refused), RC_SYSTEM);
    assert_non_null(strstr(said, "no-new-privileges"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rc_names),      cmocka_unit_test(test_err_set),
        cmocka_unit_test(test_err_sys),       cmocka_unit_test(test_err_cut),
        cmocka_unit_test(test_dying),         cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_bytes_printf),  cmocka_unit_test(test_bytes_room),
        cmocka_unit_test(test_bytes_wipe),    cmocka_unit_test(test_spans),
        cmocka_unit_test(test_mem),           cmocka_unit_test(test_secret),
        cmocka_unit_test(test_secret_memory), cmocka_unit_test(test_process_harden),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
