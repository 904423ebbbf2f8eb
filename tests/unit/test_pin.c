/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/secret.h"
#include "hsm/pin.h"

static char folder[] = "/tmp/keymill-pin.XXXXXX";
static char path[64];

static void write_file(const void *p, size_t n, mode_t mode)
{
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, n), n);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static enum rc read_source(const char *source, struct secret **ret, struct err *e)
{
    *ret = NULL;
    return pin_read(source, "token 'test'", ret, e);
}

static enum rc read_file(struct secret **ret, struct err *e)
{
    char *source = mem_printf("file:%s", path);
    enum rc rc = read_source(source, ret, e);
    free(source);
    return rc;
}

static void file_gives(const char *content, const char *pin)
{
    struct err e = ERR_INIT;
    struct secret *s = NULL;
    write_file(content, strlen(content), 0600);
    assert_int_equal(read_file(&s, &e), RC_OK);
    assert_int_equal(secret_len(s), strlen(pin));
    assert_memory_equal(secret_data(s), pin, strlen(pin));
    secret_free(s);
}

static void file_refused(const void *content, size_t n, mode_t mode)
{
    struct err e = ERR_INIT;
    struct secret *s = NULL;
    write_file(content, n, mode);
    assert_int_equal(read_file(&s, &e), RC_TOKEN);
    assert_string_equal(e.key, "hsm.pin-file");
    assert_null(s);
    assert_null(strstr(e.text, "1234"));
}

static void line_end(void **state)
{
    (void)state;
    file_gives("1234", "1234");
    file_gives("1234\n", "1234");
    file_gives("1234\r\n", "1234");
    file_gives(" 12 34 \n", " 12 34 ");
}

static void contents(void **state)
{
    (void)state;
    char longest[256];
    memset(longest, '7', sizeof longest);
    file_refused("", 0, 0600);
    file_refused("\n", 1, 0600);
    file_refused("1234\n\n", 6, 0600);
    file_refused("1234\n5678\n", 10, 0600);
    file_refused("1234\0", 5, 0600);
    file_refused(longest, 256, 0600);
    longest[255] = '\n';
    struct err e = ERR_INIT;
    struct secret *s = NULL;
    write_file(longest, 256, 0600);
    assert_int_equal(read_file(&s, &e), RC_OK);
    assert_int_equal(secret_len(s), 255);
    secret_free(s);
}

static void modes(void **state)
{
    (void)state;
    static const mode_t bad[] = {0604, 0640, 0644, 0660, 0601, 0620, 0666, 0777};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        file_refused("1234", 4, bad[i]);
    struct err e = ERR_INIT;
    struct secret *s = NULL;
    write_file("1234", 4, 0400);
    assert_int_equal(read_file(&s, &e), RC_OK);
    secret_free(s);
}

static void no_file(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct secret *s = NULL;
    unlink(path);
    assert_int_equal(read_file(&s, &e), RC_TOKEN);
    assert_non_null(strstr(e.text, path));
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(read_file(&s, &e), RC_TOKEN);
    rmdir(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(read_file(&s, &e), RC_TOKEN); /* and does not hang */
    assert_null(s);
    unlink(path);
}

static void descriptor(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct secret *s = NULL;
    int fds[2];
    char source[16];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "12", 2), 2);
    assert_int_equal(write(fds[1], "34\n", 3), 3);
    close(fds[1]);
    snprintf(source, sizeof source, "fd:%d", fds[0]);
    assert_int_equal(read_source(source, &s, &e), RC_OK);
    assert_int_equal(secret_len(s), 4);
    assert_memory_equal(secret_data(s), "1234", 4);
    secret_free(s);
    assert_int_equal(fcntl(fds[0], F_GETFD), -1); /* closed */
    assert_int_equal(read_source(source, &s, &e), RC_TOKEN);
    assert_string_equal(e.key, "hsm.pin-file");
    assert_null(s);
}

static void environment(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct secret *s = NULL;
    write_file("1234", 4, 0600);
    setenv("KEYMILL_TEST_PIN", path, 1);
    assert_int_equal(read_source("env:KEYMILL_TEST_PIN", &s, &e), RC_OK);
    secret_free(s);
    write_file("1234", 4, 0644);
    assert_int_equal(read_source("env:KEYMILL_TEST_PIN", &s, &e), RC_TOKEN);
    unsetenv("KEYMILL_TEST_PIN");
    assert_int_equal(read_source("env:KEYMILL_TEST_PIN", &s, &e), RC_TOKEN);
    assert_null(s);
}

static void bad_sources(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",      "1234",    "file:",    "env:",           "fd:",      "fd:x", "fd:-1", "fd:3x",
        "fd: 3", "FILE:/a", "/etc/pin", "fd:99999999999", "pass:1234"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err e = ERR_INIT;
        struct secret *s = NULL;
        if (read_source(bad[i], &s, &e) != RC_USAGE)
            fail_msg("'%s' was taken", bad[i]);
        assert_string_equal(e.key, "hsm.pin-source");
        assert_null(strstr(e.text, "1234"));
    }
}

/* Without a terminal nothing is asked, and the error names what would have been. */
static void question(void **state)
{
    (void)state;
    int status = 0;
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct err e = ERR_INIT;
        struct secret *s = NULL;
        setsid();
        enum rc rc = read_source("tty", &s, &e);
        _exit(rc == RC_USAGE && strcmp(e.key, "cli.no-terminal") == 0 &&
                      strcmp(e.text,
                             "cannot ask for the PIN for token 'test': there is no terminal; use a PIN "
                             "source: file:PATH, fd:N or env:NAME") == 0
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/pin", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    return dir_remove(folder, &e) == RC_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_end),    cmocka_unit_test(contents),   cmocka_unit_test(modes),
        cmocka_unit_test(no_file),     cmocka_unit_test(descriptor), cmocka_unit_test(environment),
        cmocka_unit_test(bad_sources), cmocka_unit_test(question),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
