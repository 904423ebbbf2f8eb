/* SPDX-License-Identifier: Apache-2.0 */
/* lib/base/file.h: reading, publishing, creating, and what happens when the disk says no. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

#include "child.h"
#include "folder.h"

/* ---- what stands between lib/base and libc: these win over libc's own at link time ---- */

static bool writes_stutter;      /* write is interrupted every other time and takes 7 octets at most */
static int file_syncs;           /* fsync calls for files */
static int folder_syncs;         /* fsync calls for folders */
static int fail_file_sync;       /* errno of fsync for files, 0: works */
static int fail_folder_sync;     /* errno of fsync for folders */
static bool no_rename_noreplace; /* a file system without RENAME_NOREPLACE */
static bool renamed_unsynced;    /* a name was given to something before its fsync */

ssize_t write(int fd, const void *p, size_t n)
{
    static int calls;
    if (writes_stutter && calls++ % 2 == 0) {
        errno = EINTR;
        return -1;
    }
    return syscall(SYS_write, fd, p, writes_stutter && n > 7 ? 7 : n);
}

int fsync(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    bool is_folder = S_ISDIR(st.st_mode);
    *(is_folder ? &folder_syncs : &file_syncs) += 1;
    errno = is_folder ? fail_folder_sync : fail_file_sync;
    return errno ? -1 : (int)syscall(SYS_fsync, fd);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    renamed_unsynced |= file_syncs == 0 || folder_syncs > 0;
    return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    renamed_unsynced |= file_syncs == 0 || folder_syncs > 0;
    if (no_rename_noreplace) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

static int set_up(void **state)
{
    writes_stutter = no_rename_noreplace = renamed_unsynced = false;
    file_syncs = folder_syncs = fail_file_sync = fail_folder_sync = 0;
    return folder_make(state);
}

static int tear_down(void **state)
{
    fail_file_sync = fail_folder_sync = 0;
    return folder_remove(state);
}

/* ---- reading ---- */

static void test_read(void **state)
{
    (void)state;
    put(at("f"), "12345");
    struct err e = ERR_INIT;
    struct bytes b = BYTES_INIT;
    bytes_add_str(&b, "x");
    assert_int_equal(file_read(at("f"), 5, &b, &e), RC_OK);
    assert_string_equal(bytes_str(&b), "x12345");
    assert_int_equal(file_read(at("f"), SIZE_MAX, &b, &e), RC_OK);
    assert_string_equal(bytes_str(&b), "x1234512345");
    assert_int_equal(file_read(at("f"), 4, &b, &e), RC_INPUT);
    assert_string_equal(e.key, "file.too-big");
    assert_int_equal(file_read(folder, 4, &b, &e), RC_INPUT);
    assert_string_equal(e.key, "file.kind");
    assert_int_equal(mkfifo(at("pipe"), 0600), 0);
    assert_int_equal(file_read(at("pipe"), 4, &b, &e), RC_INPUT); /* and does not wait for a writer */
    assert_string_equal(e.key, "file.kind");
    assert_system(file_read(at("none"), 4, &b, &e), &e, "file.read", at("none"), ENOENT);
    assert_string_equal(bytes_str(&b), "x1234512345");
    put(at("empty"), "");
    assert_int_equal(file_read(at("empty"), 0, &b, &e), RC_OK);
    assert_int_equal(b.n, 11);
    bytes_free(&b);
}

/* Files in /proc say that they have no octets: the size is found by reading. */
static void test_read_unknown_size(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct bytes b = BYTES_INIT;
    assert_int_equal(file_read("/proc/self/maps", FILE_SMALL_MAX, &b, &e), RC_OK);
    assert_true(b.n > 1000);
    bytes_reset(&b);
    bytes_add_str(&b, "old");
    assert_int_equal(file_read("/proc/self/maps", 100, &b, &e), RC_INPUT);
    assert_string_equal(e.key, "file.too-big");
    assert_string_equal(bytes_str(&b), "old");
    bytes_free(&b);
}

static void test_exists(void **state)
{
    (void)state;
    assert_false(file_exists(at("f")));
    put(at("f"), "");
    assert_true(file_exists(at("f")));
    assert_true(file_exists(folder));
    assert_int_equal(symlink("nowhere", at("link")), 0);
    assert_false(file_exists(at("link")));
}

/* ---- publishing ---- */

static void test_publish(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    mode_t before = umask(077);
    assert_int_equal(file_publish(at("f"), 0644, SPAN("one\0two"), &e), RC_OK);
    umask(before);
    assert_content(at("f"), SPAN("one\0two"));
    assert_int_equal(mode_of(at("f")), 0644);
    assert_int_equal(file_syncs, 1);
    assert_int_equal(folder_syncs, 1);
    assert_false(renamed_unsynced);
    assert_int_equal(file_publish(at("f"), 0400, SPAN("new"), &e), RC_OK);
    assert_content(at("f"), SPAN("new"));
    assert_int_equal(mode_of(at("f")), 0400);
    assert_int_equal(file_publish(at("f"), 0600, (struct span){NULL, 0}, &e), RC_OK);
    assert_content(at("f"), SPAN(""));
    assert_int_equal(names(folder), 1);
}

/* A link is replaced, not written through; a name may be as long as names can be; a bare name means the
 * current folder. */
static void test_publish_names(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    put(at("target"), "target");
    assert_int_equal(symlink("target", at("link")), 0);
    assert_int_equal(file_publish(at("link"), 0600, SPAN("new"), &e), RC_OK);
    assert_content(at("target"), SPAN("target"));
    assert_content(at("link"), SPAN("new"));
    char name[256];
    memset(name, 'n', 255);
    name[255] = 0;
    assert_int_equal(file_publish(at(name), 0600, SPAN("x"), &e), RC_OK);
    int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(chdir(folder), 0);
    enum rc rc = file_publish("bare", 0600, SPAN("y"), &e);
    assert_int_equal(fchdir(here), 0);
    close(here);
    assert_int_equal(rc, RC_OK);
    assert_content(at("bare"), SPAN("y"));
}

static void test_publish_stutter(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct bytes b = BYTES_INIT;
    for (int i = 0; i < 1000; i++)
        bytes_printf(&b, "%d,", i);
    writes_stutter = true;
    enum rc rc = file_publish(at("f"), 0600, bytes_span(&b), &e);
    writes_stutter = false;
    assert_int_equal(rc, RC_OK);
    assert_content(at("f"), bytes_span(&b));
    bytes_free(&b);
}

static void test_publish_nowhere(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    int before = open_descriptors();
    const char *path = at("none/f");
    assert_system(file_publish(path, 0600, SPAN("x"), &e), &e, "file.write", path, ENOENT);
    assert_system(file_create(path, 0600, SPAN("x"), &e), &e, "file.write", path, ENOENT);
    path = at("slash/");
    assert_system(file_publish(path, 0600, SPAN("x"), &e), &e, "file.write", path, EISDIR);
    path = at("sub");
    assert_int_equal(dir_make(path, 0700, &e), RC_OK);
    assert_system(file_publish(path, 0600, SPAN("x"), &e), &e, "file.write", path,
                  EISDIR); /* fails at the rename */
    put(at("f"), "");
    path = at("f/g");
    assert_system(file_publish(path, 0600, SPAN("x"), &e), &e, "file.write", path, ENOTDIR);
    assert_int_equal(names(folder), 2);
    assert_int_equal(open_descriptors(), before);
}

/* A full disk: the limit on file sizes makes write fail in the same place. */
static void test_disk_full(void **state)
{
    (void)state;
    put(at("f"), "old");
    int before = open_descriptors();
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 4096;
    static uint8_t big[200000];
    const struct span content = {big, sizeof(big)};
    struct err publish = ERR_INIT, create = ERR_INIT, add = ERR_INIT, commit = ERR_INIT;
    struct file_writer *w = NULL, *v = NULL;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum rc publish_rc = file_publish(at("f"), 0600, content, &publish);
    enum rc create_rc = file_create(at("g"), 0600, content, &create);
    enum rc open_rc = file_writer_open(at("f"), 0600, &w, &add);
    enum rc add_rc = open_rc == RC_OK ? file_writer_add(w, big, sizeof(big), &add) : RC_BUG;
    file_writer_abort(w);
    enum rc open2_rc = file_writer_open(at("f"), 0600, &v, &commit);
    enum rc gather_rc = open2_rc == RC_OK ? file_writer_add(v, big, 5000, &commit) : RC_BUG;
    enum rc commit_rc = open2_rc == RC_OK ? file_writer_commit(v, &commit) : RC_BUG;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, handler);
    assert_system(publish_rc, &publish, "file.write", at("f"), EFBIG);
    assert_system(create_rc, &create, "file.write", at("g"), EFBIG);
    assert_system(add_rc, &add, "file.write", at("f"), EFBIG);
    assert_int_equal(gather_rc, RC_OK); /* gathered only; the disk is asked at commit */
    assert_system(commit_rc, &commit, "file.write", at("f"), EFBIG);
    assert_content(at("f"), SPAN("old"));
    assert_int_equal(names(folder), 1);
    assert_int_equal(open_descriptors(), before);
}

static void test_fsync_fails(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    put(at("f"), "old");
    fail_file_sync = EIO;
    assert_system(file_publish(at("f"), 0600, SPAN("new"), &e), &e, "file.write", at("f"), EIO);
    assert_system(file_create(at("g"), 0600, SPAN("new"), &e), &e, "file.write", at("g"), EIO);
    assert_content(at("f"), SPAN("old"));
    assert_int_equal(names(folder), 1);
    fail_file_sync = 0;
    fail_folder_sync = EIO; /* too late to take it back, but it must be said */
    assert_system(file_publish(at("f"), 0600, SPAN("new"), &e), &e, "file.write", at("f"), EIO);
    for (int i = 0; i < 2; i++) /* newly made, and found as it shall be */
        assert_system(file_create(at("g"), 0600, SPAN("new"), &e), &e, "file.write", at("g"), EIO);
    assert_system(dir_sync(folder, &e), &e, "file.sync", folder, EIO);
    assert_system(dir_make(at("d"), 0700, &e), &e, "file.mkdir", folder, EIO);
    fail_folder_sync = EINVAL; /* a file system that has no such thing */
    assert_int_equal(file_publish(at("f"), 0600, SPAN("new"), &e), RC_OK);
    assert_int_equal(dir_sync(folder, &e), RC_OK);
    folder_syncs = 0;
    assert_int_equal(dir_make(at("d"), 0700, &e), RC_OK);
    assert_int_equal(folder_syncs, 1); /* it was there, but who made it may have died before this */
}

/* A reader at any instant sees one whole file or the other. */
static void test_publish_atomic(void **state)
{
    (void)state;
    static uint8_t zeros[20000], ones[20000];
    memset(ones, 1, sizeof(ones));
    struct err e = ERR_INIT;
    assert_int_equal(file_publish(at("f"), 0600, (struct span){zeros, sizeof(zeros)}, &e), RC_OK);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        for (int i = 0; i < 200; i++)
            if (file_publish(at("f"), 0600, (struct span){i % 2 ? zeros : ones, sizeof(ones)}, &e) != RC_OK)
                _exit(1);
        _exit(0);
    }
    int status = 0;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        struct bytes b = BYTES_INIT;
        assert_int_equal(file_read(at("f"), sizeof(ones), &b, &e), RC_OK);
        assert_int_equal(b.n, sizeof(ones));
        assert_memory_equal(b.p, b.p[0] ? ones : zeros, sizeof(ones));
        bytes_free(&b);
    }
    assert_int_equal(status, 0);
    assert_int_equal(names(folder), 1);
}

/* ---- creating ---- */

static void try_create(void)
{
    struct err e = ERR_INIT;
    const char *path = at("f");
    file_syncs = folder_syncs = 0;
    assert_int_equal(file_create(path, 0640, SPAN("one"), &e), RC_OK);
    assert_content(path, SPAN("one"));
    assert_int_equal(mode_of(path), 0640);
    assert_int_equal(file_syncs, 1);
    assert_int_equal(folder_syncs, 1);
    assert_false(renamed_unsynced);
    folder_syncs = 0;
    assert_int_equal(file_create(path, 0640, SPAN("one"), &e), RC_OK);
    assert_int_equal(folder_syncs, 1); /* who made it may have died before this */
    static const char *const others[] = {"two", "on", "ones", ""};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_int_equal(file_create(path, 0640, span_str(others[i]), &e), RC_CONFLICT);
        assert_string_equal(e.key, "file.exists");
        assert_non_null(strstr(e.text, path));
    }
    assert_content(path, SPAN("one"));
    assert_int_equal(names(folder), 1);
    assert_int_equal(unlink(path), 0);
}

static void test_create(void **state)
{
    (void)state;
    try_create();
    renamed_unsynced = false;
    no_rename_noreplace = true; /* the way over a hard link */
    try_create();
    struct err e = ERR_INIT;
    assert_int_equal(dir_make(at("sub"), 0700, &e), RC_OK);
    assert_int_equal(file_create(at("sub"), 0600, SPAN("x"), &e), RC_CONFLICT);
    assert_int_equal(names(folder), 1);
}

/* Eight processes want the same name with contents of their own: one has it, seven are told so. */
static void race_once(void)
{
    pid_t pids[8];
    for (int i = 0; i < 8; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            struct err e = ERR_INIT;
            const uint8_t mine = (uint8_t)('0' + i);
            _exit(file_create(at("f"), 0600, (struct span){&mine, 1}, &e));
        }
    }
    int winner = -1;
    for (int i = 0; i < 8; i++) {
        int status = 0;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == RC_OK) {
            assert_int_equal(winner, -1);
            winner = i;
        } else {
            assert_int_equal(WEXITSTATUS(status), RC_CONFLICT);
        }
    }
    const uint8_t expected = (uint8_t)('0' + winner);
    assert_content(at("f"), (struct span){&expected, 1});
    assert_int_equal(names(folder), 1);
    assert_int_equal(unlink(at("f")), 0);
}

static void test_create_race(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        no_rename_noreplace = i % 2;
        race_once();
    }
}

/* ---- in pieces ---- */

static void test_writer(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct bytes expected = BYTES_INIT;
    struct file_writer *w = NULL;
    put(at("f"), "old");
    file_syncs = folder_syncs = 0;
    int before = open_descriptors();
    assert_int_equal(file_writer_open(at("f"), 0644, &w, &e), RC_OK);
    for (size_t i = 0; i < 400; i++) { /* pieces below, at and above what is gathered */
        static uint8_t piece[70000];
        size_t n = i == 100 ? 65536 : i == 200 ? 70000 : i == 300 ? 0 : i * 3;
        memset(piece, (int)i, n);
        bytes_add(&expected, piece, n);
        assert_int_equal(file_writer_add(w, piece, n, &e), RC_OK);
    }
    assert_content(at("f"), SPAN("old"));
    assert_int_equal(names(folder), 2);
    assert_int_equal(file_syncs, 0);
    assert_int_equal(file_writer_commit(w, &e), RC_OK);
    assert_content(at("f"), bytes_span(&expected));
    assert_int_equal(mode_of(at("f")), 0644);
    assert_int_equal(file_syncs, 1);
    assert_int_equal(folder_syncs, 1);
    assert_int_equal(names(folder), 1);

    assert_int_equal(file_writer_open(at("g"), 0644, &w, &e), RC_OK);
    assert_int_equal(file_writer_add(w, "x", 1, &e), RC_OK);
    file_writer_abort(w);
    file_writer_abort(NULL);
    assert_int_equal(names(folder), 1);
    assert_int_equal(open_descriptors(), before);
    bytes_free(&expected);
}

static void add_after_failure(void)
{
    struct err e = ERR_INIT;
    struct file_writer *w = NULL;
    static const uint8_t big[70000];
    if (file_writer_open(at("f"), 0600, &w, &e) != RC_OK)
        return;
    const struct rlimit small = {4096, 4096};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    if (file_writer_add(w, big, sizeof(big), &e) == RC_SYSTEM)
        (void)!file_writer_commit(w, &e);
}

static void test_writer_bug(void **state)
{
    (void)state;
    assert_int_equal(run_child(add_after_failure), RC_BUG);
    assert_non_null(strstr(said, "committed after a failure"));
    assert_false(file_exists(at("f")));
}

/* The temporary file can be told by its name, and a program that is started meanwhile does not inherit it. */
static void test_writer_temporary(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct file_writer *w = NULL;
    assert_int_equal(file_writer_open(at("f"), 0600, &w, &e), RC_OK);
    DIR *d = opendir(folder);
    const struct dirent *entry;
    int n = 0;
    while ((entry = readdir(d)) != NULL)
        n += strncmp(entry->d_name, ".keymill-", 9) == 0 && strlen(entry->d_name) == 9 + 16 + 4;
    closedir(d);
    assert_int_equal(n, 1);
    int ours = 0;
    for (int fd = 3; fd < 100; fd++) {
        char link[64], target[512];
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t got = readlink(link, target, sizeof(target) - 1);
        target[got > 0 ? got : 0] = 0;
        if (strncmp(target, folder, strlen(folder)) != 0)
            continue;
        ours++;
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
    assert_int_equal(ours, 2); /* the file and its folder */
    file_writer_abort(w);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_read),
        TEST(test_read_unknown_size),
        TEST(test_exists),
        TEST(test_publish),
        TEST(test_publish_names),
        TEST(test_publish_stutter),
        TEST(test_publish_nowhere),
        TEST(test_disk_full),
        TEST(test_fsync_fails),
        TEST(test_publish_atomic),
        TEST(test_create),
        TEST(test_create_race),
        TEST(test_writer),
        TEST(test_writer_temporary),
        TEST(test_writer_bug),
    };
    return cmocka_run_group_tests_name("base_file", tests, NULL, NULL);
}
