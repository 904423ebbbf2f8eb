/* SPDX-License-Identifier: Apache-2.0 */
/* lib/base: folders, paths, locks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"

#include "folder.h"

/* ---- folders and paths ---- */

static void test_dir_make(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    mode_t before = umask(077);
    assert_int_equal(dir_make(at("d"), 0755, &e), RC_OK);
    umask(before);
    assert_int_equal(mode_of(at("d")), 0755);
    assert_int_equal(dir_make(at("d"), 0700, &e), RC_OK);
    assert_int_equal(mode_of(at("d")), 0755);
    assert_int_equal(dir_make(at("d/e/"), 0700, &e), RC_OK);
    const char *path = at("none/d");
    assert_system(dir_make(path, 0700, &e), &e, "file.mkdir", path, ENOENT);
    put(at("f"), "");
    path = at("f");
    assert_system(dir_make(path, 0700, &e), &e, "file.mkdir", path, EEXIST);
    assert_int_equal(dir_sync(folder, &e), RC_OK);
    assert_system(dir_sync(path, &e), &e, "file.sync", path, ENOTDIR);
}

static void test_dir_remove(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    static const char *const folders[] = {"keep", "t", "t/a", "t/a/b", "t/a/b/c", "t/empty"};
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        assert_int_equal(dir_make(at(folders[i]), 0700, &e), RC_OK);
    put(at("keep/f"), "keep");
    put(at("t/a/b/c/f"), "x");
    for (int i = 0; i < 100; i++) {
        char name[32];
        snprintf(name, sizeof(name), "t/a/.f%d", i);
        int fd = open(at(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0400);
        assert_true(fd >= 0);
        close(fd);
    }
    assert_int_equal(symlink("../keep", at("t/link")), 0);
    assert_int_equal(symlink("../../keep/f", at("t/a/link")), 0);
    int before = open_descriptors();
    assert_int_equal(dir_remove(at("t/"), &e), RC_OK);
    assert_false(file_exists(at("t")));
    assert_content(at("keep/f"), SPAN("keep"));
    assert_int_equal(dir_remove(at("t"), &e), RC_OK); /* absent */
    assert_int_equal(symlink("keep", at("link")), 0);
    assert_int_equal(dir_remove(at("link/"), &e), RC_OK); /* the link, not what it points to */
    assert_content(at("keep/f"), SPAN("keep"));
    assert_int_equal(names(folder), 1);
    const char *path = at("keep/f/g");
    assert_system(dir_remove(path, &e), &e, "file.remove", path, ENOTDIR);
    assert_int_equal(open_descriptors(), before);
}

static void assert_text(char *got, const char *expected)
{
    assert_string_equal(got, expected);
    free(got);
}

static void test_paths(void **state)
{
    (void)state;
    assert_text(path_join("a", "b"), "a/b");
    assert_text(path_join("a/", "b/c"), "a/b/c");
    assert_text(path_join("/", "b"), "/b");
    assert_text(path_join("a", "/b"), "/b");
    assert_text(path_join("", "b"), "b");
    assert_text(path_join("a", ""), "a");
    assert_text(path_dir("a/b"), "a");
    assert_text(path_dir("a"), ".");
    assert_text(path_dir(""), ".");
    assert_text(path_dir("/a"), "/");
    assert_text(path_dir("/"), "/");
    assert_text(path_dir("//"), "/");
    assert_text(path_dir("a/b/"), "a");
    assert_text(path_dir("a//b"), "a");
    assert_text(path_dir("a/"), ".");
    assert_text(path_dir("/a/b"), "/a");
}

static void test_paths_beside(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    char *exe = realpath("/proc/self/exe", NULL);
    assert_non_null(exe);
    *strrchr(exe, '/') = 0;
    *strrchr(exe, '/') = 0;
    char expected[8192];
    char *path = NULL;
    assert_int_equal(path_data("profiles/a.yaml", &path, &e), RC_OK);
    snprintf(expected, sizeof(expected), "%s/share/keymill/profiles/a.yaml", exe);
    assert_text(path, expected);
    assert_int_equal(path_libexec("keymill-token", &path, &e), RC_OK);
    snprintf(expected, sizeof(expected), "%s/libexec/keymill/keymill-token", exe);
    assert_text(path, expected);
    free(exe);
}

/* ---- lock ---- */

static void pause_ms(int ms)
{
    const struct timespec pause = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&pause, NULL);
}

/* A child that holds the lock of path for ms; returns when it has it. */
static pid_t hold_in_child(const char *path, int ms)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct err e = ERR_INIT;
        struct lock *l = NULL;
        if (lock_take(path, 0, &l, &e) != RC_OK || write(fds[1], "x", 1) != 1)
            _exit(1);
        pause_ms(ms);
        _exit(0);
    }
    char c;
    close(fds[1]);
    assert_int_equal(read(fds[0], &c, 1), 1);
    close(fds[0]);
    return pid;
}

static void end_child(pid_t pid, int signal_number)
{
    if (signal_number)
        kill(pid, signal_number);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_lock(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct lock *a = NULL, *b = NULL;
    int before = open_descriptors();
    const char *path = at("lock");
    assert_int_equal(lock_take(path, 0, &a, &e), RC_OK);
    assert_int_equal(mode_of(path), 0600);
    int64_t start = clock_mono_ms();
    assert_int_equal(lock_take(path, 50, &b, &e), RC_CONFLICT);
    int64_t waited = clock_mono_ms() - start;
    assert_true(waited >= 50 && waited < 5000);
    assert_string_equal(e.key, "lock.busy");
    assert_non_null(strstr(e.text, path));
    assert_null(b);
    lock_drop(a);
    assert_int_equal(lock_take(path, 0, &b, &e), RC_OK);
    lock_drop(b);
    lock_drop(NULL);
    assert_int_equal(open_descriptors(), before);
    path = at("none/lock");
    assert_system(lock_take(path, 0, &a, &e), &e, "lock.open", path, ENOENT);
    assert_int_equal(symlink("lock", at("link")), 0);
    path = at("link");
    assert_system(lock_take(path, 0, &a, &e), &e, "lock.open", path, ELOOP);
}

static void test_lock_processes(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct lock *l = NULL;
    const char *path = at("lock");
    pid_t pid = hold_in_child(path, 100);
    assert_int_equal(lock_take(path, 0, &l, &e), RC_CONFLICT);
    assert_int_equal(lock_take(path, 10000, &l, &e), RC_OK); /* waits for its end */
    lock_drop(l);
    end_child(pid, 0);
    pid = hold_in_child(path, 60000);
    assert_int_equal(lock_take(path, 0, &l, &e), RC_CONFLICT);
    end_child(pid, SIGKILL);
    assert_int_equal(lock_take(path, 0, &l, &e), RC_OK); /* the kernel dropped it */

    /* A child that was forked while we held it does not keep it. */
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        pause_ms(60000);
        _exit(0);
    }
    lock_drop(l);
    enum rc rc = lock_take(path, 0, &l, &e);
    end_child(pid, SIGKILL);
    assert_int_equal(rc, RC_OK);
    lock_drop(l);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_dir_make),     TEST(test_dir_remove), TEST(test_paths),
        TEST(test_paths_beside), TEST(test_lock),       TEST(test_lock_processes),
    };
    return cmocka_run_group_tests_name("base_path", tests, NULL, NULL);
}
