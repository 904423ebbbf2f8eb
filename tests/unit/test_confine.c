/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "child.h"
#include "folder.h"
#include "hsm/quirks.h"
#include "hsm/worker/confine.h"
#include "hsm/worker/worker.h"

#define SOFTHSM "/usr/lib/softhsm/libsofthsm2.so"

enum { ABI_TRUNCATE = 3, ABI_NET = 4, ABI_SCOPE = 6 };

static long landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi < 1 ? 0 : abi;
}

/* --- in the child: what is not as it should be goes to standard error, and the child fails */

static bool wrong;

static void check(bool good, const char *what, int line)
{
    int number = errno;
    if (good)
        return;
    wrong = true;
    fprintf(stderr, "line %d: %s (%s)\n", line, what, strerror(number));
}
#define CHECK(x) (errno = 0, check((x), #x, __LINE__))
/* The kernel says no; on a kernel without Landlock nothing does. */
#define DENIED(x)         CHECK(landlock_abi() == 0 || ((x) && (errno == EACCES || errno == EPERM)))
#define DENIED_BY(abi, x) CHECK(landlock_abi() < (abi) || ((x) && (errno == EACCES || errno == EPERM)))

static bool opens(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static struct proto_login request(const char *read_path, const char *write_path)
{
    struct proto_login rq = {.confine = 1};
    snprintf(rq.paths[0].path, sizeof rq.paths[0].path, "%s", read_path);
    snprintf(rq.paths[1].path, sizeof rq.paths[1].path, "%s", write_path);
    rq.paths[1].write = 1;
    return rq;
}

static void confine_now(const struct proto_login *rq, const char *lock_folder, bool expected)
{
    struct fault f = {.status = PROTO_OK};
    bool in_force = !expected;
    if (confine(rq, SOFTHSM, lock_folder, &in_force, &f) != PROTO_OK)
        fprintf(stderr, "%s\n", f.error.detail);
    CHECK(f.status == PROTO_OK);
    CHECK(in_force == expected);
}

static void finish(void)
{
    _exit(wrong ? 1 : 0);
}

static void run(void (*child)(void))
{
    int code = run_child(child);
    if (code != 0)
        fail_msg("exit %d: %s", code, said);
}

/* A folder each: r to read, w to write, lock for locks, x outside; a file f in each. */
static int set_up(void **state)
{
    static const char *const folders[] = {"r", "w", "lock", "x"};
    wrong = false;
    if (folder_make(state) != 0)
        return -1;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        char file[16];
        snprintf(file, sizeof file, "%s/f", folders[i]);
        if (mkdir(at(folders[i]), 0700) != 0)
            return -1;
        put(at(file), "x");
    }
    return 0;
}

static void may_read(const char *dir)
{
    char f[512];
    snprintf(f, sizeof f, "%s/f", dir);
    CHECK(opens(f, O_RDONLY));
    CHECK(opens(dir, O_RDONLY | O_DIRECTORY));
}

static void may_not_write(const char *dir)
{
    char f[512], g[512];
    snprintf(f, sizeof f, "%s/f", dir);
    snprintf(g, sizeof g, "%s/g", dir);
    DENIED(!opens(f, O_WRONLY));
    DENIED_BY(ABI_TRUNCATE, truncate(f, 0) != 0);
    DENIED(!opens(g, O_WRONLY | O_CREAT));
    DENIED(mkdir(g, 0700) != 0);
    DENIED(rename(f, g) != 0);
    DENIED(unlink(f) != 0);
    DENIED(unlink(at("x/f")) != 0);
}

static void may_write(const char *dir)
{
    char f[512], g[512], h[512];
    snprintf(f, sizeof f, "%s/f", dir);
    snprintf(g, sizeof g, "%s/g", dir);
    snprintf(h, sizeof h, "%s/g/h", dir);
    CHECK(opens(f, O_RDWR | O_TRUNC));
    CHECK(truncate(f, 1) == 0);
    CHECK(mkdir(g, 0700) == 0);
    CHECK(rename(f, h) == 0); /* into another folder */
    CHECK(link(h, f) == 0);
    CHECK(unlink(h) == 0);
    CHECK(rmdir(g) == 0);
    CHECK(opens(g, O_RDWR | O_CREAT | O_EXCL));
    CHECK(unlink(g) == 0);
    DENIED(mkfifo(g, 0600) != 0);
    DENIED(mknod(g, S_IFSOCK | 0600, 0) != 0);
    DENIED(rename(f, at("x/stolen")) != 0 && errno != EXDEV);
}

static void child_files(void)
{
    struct proto_login rq = request(at("r"), at("w"));
    CHECK(opens(at("x/f"), O_RDONLY));
    confine_now(&rq, at("lock"), landlock_abi() > 0);
    may_read(at("r"));
    may_not_write(at("r"));
    may_read(at("w"));
    may_write(at("w"));
    may_write(at("lock"));
    DENIED(!opens(at("x/f"), O_RDONLY));
    DENIED(!opens(at("x"), O_RDONLY | O_DIRECTORY));
    DENIED(!opens(folder, O_RDONLY | O_DIRECTORY));
    DENIED(!opens("/etc/passwd", O_RDONLY));
    DENIED(!opens("/", O_RDONLY | O_DIRECTORY));
    finish();
}

static void files(void **state)
{
    (void)state;
    run(child_files);
    if (landlock_abi() > 0)
        assert_content(at("x/f"), SPAN("x"));
}

/* The file alone, not what lies beside it. */
static void child_one_file(void)
{
    struct proto_login rq = request(at("r/f"), at("w/f"));
    confine_now(&rq, NULL, landlock_abi() > 0);
    CHECK(opens(at("r/f"), O_RDONLY));
    CHECK(opens(at("w/f"), O_RDWR));
    DENIED(!opens(at("r/f"), O_RDWR));
    DENIED(!opens(at("r"), O_RDONLY | O_DIRECTORY));
    DENIED(!opens(at("w/g"), O_RDWR | O_CREAT));
    DENIED(!opens(at("lock/f"), O_RDONLY));
    finish();
}

static void one_file(void **state)
{
    (void)state;
    run(child_one_file);
}

static void child_system(void)
{
    struct proto_login rq = request(at("absent/r"), at("r/f/no-folder"));
    unsigned char c;
    confine_now(&rq, NULL, landlock_abi() > 0); /* paths that are not there are no failure */
    CHECK(opens(SOFTHSM, O_RDONLY));
    CHECK(opens("/dev/null", O_RDWR));
    CHECK(opens("/dev/urandom", O_RDONLY));
    CHECK(getentropy(&c, 1) == 0);
    CHECK(opens("/proc/self/maps", O_RDONLY));
    CHECK(opens("/etc/ld.so.cache", O_RDONLY));
    CHECK(dlopen("libcrypto.so.3", RTLD_NOW) != NULL); /* not loaded before */
    CHECK(sysconf(_SC_NPROCESSORS_ONLN) > 0);
    DENIED(!opens("/dev/urandom", O_WRONLY));
    DENIED(!opens("/usr/lib/os-release", O_WRONLY));
    DENIED(!opens("/proc/1/status", O_RDONLY));
    CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 || landlock_abi() == 0);
    finish();
}

static void system_files(void **state)
{
    (void)state;
    run(child_system);
}

/* A program that can be read is not started either. (false: started, it fails the child.) */
static void child_program(void)
{
    char program[512];
    char *const argv[] = {program, NULL};
    struct proto_login rq = request(at("r"), at("w"));
    snprintf(program, sizeof program, "%s", at("r/false"));
    confine_now(&rq, NULL, landlock_abi() > 0);
    CHECK(opens(program, O_RDONLY));
    DENIED(execv(program, argv) != 0);
    finish();
}

static void programs(void **state)
{
    (void)state;
    struct bytes b = BYTES_INIT;
    struct err e = ERR_INIT;
    assert_int_equal(file_read("/bin/false", FILE_DOC_MAX, &b, &e), RC_OK);
    assert_int_equal(file_create(at("r/false"), 0700, bytes_span(&b), &e), RC_OK);
    bytes_free(&b);
    run(child_program);
}

/* --- sockets, pipes, signals */

static int listener;
static struct sockaddr_in listener_at;

static bool connects(void)
{
    int s = socket(AF_INET, SOCK_STREAM, 0);
    bool done = connect(s, (const struct sockaddr *)&listener_at, sizeof listener_at) == 0;
    int number = errno;
    close(s);
    errno = number;
    return done;
}

static bool binds(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM, 0);
    bool done = bind(s, (const struct sockaddr *)&any, sizeof any) == 0;
    int number = errno;
    close(s);
    errno = number;
    return done;
}

static void child_network(void)
{
    struct proto_login rq = request(at("r"), at("w"));
    CHECK(connects());
    CHECK(binds());
    confine_now(&rq, NULL, landlock_abi() > 0);
    DENIED_BY(ABI_NET, !connects());
    DENIED_BY(ABI_NET, !binds());
    finish();
}

static void network(void **state)
{
    (void)state;
    socklen_t n = sizeof listener_at;
    listener_at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (const struct sockaddr *)&listener_at, sizeof listener_at), 0);
    assert_int_equal(listen(listener, 4), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&listener_at, &n), 0);
    run(child_network);
    close(listener);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int sig)
{
    (void)sig;
    alarms = alarms + 1;
}

static void *send_alarm(void *main_thread)
{
    pthread_kill(*(pthread_t *)main_thread, SIGALRM);
    return NULL;
}

/* A timer and another thread signal this one. */
static void signals_arrive(void)
{
    struct sigaction act = {.sa_handler = on_alarm};
    struct itimerval soon = {.it_value = {.tv_usec = 1000}};
    sigset_t blocked, old;
    pthread_t self = pthread_self(), other;
    sigaction(SIGALRM, &act, NULL);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGALRM);
    sigprocmask(SIG_BLOCK, &blocked, &old);
    setitimer(ITIMER_REAL, &soon, NULL);
    sigsuspend(&old);
    CHECK(alarms == 1);
    CHECK(pthread_create(&other, NULL, send_alarm, &self) == 0);
    sigsuspend(&old);
    CHECK(alarms == 2);
    pthread_join(other, NULL);
}

static void child_channels(void)
{
    struct proto_login rq = request(at("r"), at("w"));
    int pair[2], pin[2], memory = memfd_create("items", MFD_CLOEXEC);
    char c = 0;
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
    CHECK(pipe(pin) == 0);
    confine_now(&rq, NULL, landlock_abi() > 0);
    CHECK(send(pair[0], "a", 1, 0) == 1 && recv(pair[1], &c, 1, 0) == 1 && c == 'a');
    CHECK(write(pin[1], "b", 1) == 1 && read(pin[0], &c, 1) == 1 && c == 'b');
    CHECK(write(memory, "c", 1) == 1 && pread(memory, &c, 1, 0) == 1 && c == 'c');
    CHECK(ftruncate(memory, 0) == 0);
    CHECK(fprintf(stderr, "%s", "") == 0);
    signals_arrive();
    DENIED_BY(ABI_SCOPE, kill(getppid(), 0) != 0);
    finish();
}

static void channels(void **state)
{
    (void)state;
    run(child_channels);
}

/* --- when it is not in force */

static void all_is_open(void)
{
    CHECK(opens(at("x/f"), O_RDWR));
    CHECK(opens(at("x/g"), O_RDWR | O_CREAT));
    CHECK(opens("/etc/passwd", O_RDONLY));
}

static void child_not_asked(void)
{
    struct proto_login rq = request(at("r"), at("w"));
    rq.confine = 0;
    confine_now(&rq, NULL, false);
    all_is_open();
    finish();
}

/* As a kernel without Landlock (ENOSYS), and one that has it switched off (EOPNOTSUPP), answers. */
static void without_landlock(int number)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_landlock_create_ruleset, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)number),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    struct proto_login rq = request(at("r"), at("w"));
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    confine_now(&rq, NULL, false);
    all_is_open();
    finish();
}

static void child_old_kernel(void)
{
    without_landlock(ENOSYS);
}

static void child_switched_off(void)
{
    without_landlock(EOPNOTSUPP);
}

static void *wait_for_end(void *fd)
{
    char c;
    while (read(*(int *)fd, &c, 1) < 0)
        continue;
    return NULL;
}

/* A thread that is there already keeps its rights, so nobody is told that they are gone. */
static void child_threads(void)
{
    struct proto_login rq = request(at("r"), at("w"));
    int hold[2];
    pthread_t other;
    CHECK(pipe(hold) == 0);
    CHECK(pthread_create(&other, NULL, wait_for_end, &hold[0]) == 0);
    confine_now(&rq, NULL, false);
    DENIED(!opens(at("x/f"), O_RDONLY)); /* this one's are */
    close(hold[1]);
    pthread_join(other, NULL);
    finish();
}

static void not_in_force(void **state)
{
    (void)state;
    run(child_not_asked);
    run(child_old_kernel);
    run(child_switched_off);
    run(child_threads);
}

/* A rule that cannot be made: no descriptor is left for it. */
static void child_failure(void)
{
    struct proto_login rq = request(at("r"), at("w"));
    struct fault f = {.status = PROTO_OK};
    bool in_force = true;
    int last = -1;
    for (int fd; (fd = dup(STDERR_FILENO)) >= 0;)
        last = fd;
    close(last);
    enum proto_status st = confine(&rq, SOFTHSM, NULL, &in_force, &f);
    close(last - 1);
    close(last - 2);
    CHECK(!in_force);
    if (landlock_abi() > 0) {
        CHECK(st == PROTO_FAILED && f.status == PROTO_FAILED);
        CHECK(strncmp(f.error.detail, "cannot confine the module to '", 30) == 0);
    }
    finish();
}

static void failure_is_no_confinement(void **state)
{
    (void)state;
    run(child_failure);
}

/* --- SoftHSM with its own quirk file: it makes, uses and destroys a token key */

static CK_FUNCTION_LIST *p11;

static CK_SESSION_HANDLE softhsm_token(void)
{
    CK_C_GetFunctionList get;
    CK_SLOT_ID slots[4];
    CK_ULONG n = 4;
    CK_SESSION_HANDLE s = 0;
    CK_UTF8CHAR pin[] = "1234", label[33] = "confined                        ";
    void *lib = dlopen(SOFTHSM, RTLD_NOW | RTLD_LOCAL);
    CHECK(lib != NULL);
    *(void **)&get = dlsym(lib, "C_GetFunctionList");
    CHECK(get(&p11) == CKR_OK && p11->C_Initialize(NULL) == CKR_OK);
    CHECK(p11->C_GetSlotList(CK_TRUE, slots, &n) == CKR_OK && n == 1);
    CHECK(p11->C_InitToken(slots[0], pin, 4, label) == CKR_OK);
    CHECK(p11->C_OpenSession(slots[0], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s) == CKR_OK);
    CHECK(p11->C_Login(s, CKU_SO, pin, 4) == CKR_OK && p11->C_InitPIN(s, pin, 4) == CKR_OK);
    CHECK(p11->C_Logout(s) == CKR_OK);
    return s;
}

static void softhsm_works(CK_SESSION_HANDLE s)
{
    static CK_BYTE p256[] = {6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7};
    CK_UTF8CHAR pin[] = "1234", wrong_pin[] = "4321";
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_BYTE digest[32] = {1}, signature[64];
    CK_ULONG n = sizeof signature;
    CK_OBJECT_HANDLE public, private, copy;
    CK_MECHANISM generate = {CKM_EC_KEY_PAIR_GEN, NULL, 0}, ecdsa = {CKM_ECDSA, NULL, 0};
    CK_ATTRIBUTE of_public[] = {{CKA_TOKEN, &yes, 1}, {CKA_EC_PARAMS, p256, sizeof p256}};
    CK_ATTRIBUTE of_private[] = {{CKA_TOKEN, &yes, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_SIGN, &yes, 1}};
    CK_ATTRIBUTE of_copy[] = {{CKA_TOKEN, &no, 1}};
    CHECK(p11->C_Login(s, CKU_USER, wrong_pin, 4) == CKR_PIN_INCORRECT); /* writes the token's flags */
    CHECK(p11->C_Login(s, CKU_USER, pin, 4) == CKR_OK);
    CHECK(p11->C_GenerateKeyPair(s, &generate, of_public, 2, of_private, 3, &public, &private) == CKR_OK);
    CHECK(p11->C_SignInit(s, &ecdsa, private) == CKR_OK);
    CHECK(p11->C_Sign(s, digest, sizeof digest, signature, &n) == CKR_OK && n == 64);
    CHECK(p11->C_CopyObject(s, private, of_copy, 1, &copy) == CKR_OK);
    CHECK(p11->C_DestroyObject(s, private) == CKR_OK);
    CHECK(p11->C_DestroyObject(s, public) == CKR_OK);
    CHECK(p11->C_Logout(s) == CKR_OK);
    CHECK(p11->C_Finalize(NULL) == CKR_OK);
}

static void child_softhsm(void)
{
    struct proto_token t = {.module = SOFTHSM, .manufacturer = "SoftHSM project", .model = "SoftHSM v2"};
    struct proto_login rq = {.confine = 1};
    struct quirks q;
    struct err e = ERR_INIT;
    CK_SESSION_HANDLE s = softhsm_token();
    if (quirks_find(&t, &q, &e) != RC_OK || !q.name || !q.confine) {
        fprintf(stderr, "no quirks for SoftHSM: %s\n", e.text);
        _exit(1);
    }
    memcpy(rq.paths, q.paths, sizeof rq.paths);
    confine_now(&rq, NULL, landlock_abi() > 0);
    DENIED(!opens(at("x/f"), O_RDONLY));
    softhsm_works(s);
    finish();
}

static void softhsm_keeps_working(void **state)
{
    (void)state;
    char conf[512];
    snprintf(conf, sizeof conf, "directories.tokendir = %s\nobjectstore.backend = file\n", at("w"));
    put(at("softhsm2.conf"), conf);
    setenv("SOFTHSM2_CONF", at("softhsm2.conf"), 1);
    assert_int_equal(names(at("w")), 1);
    run(child_softhsm);
    assert_int_equal(names(at("w")), 2); /* the token is there */
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, folder_remove)
    const struct CMUnitTest tests[] = {
        TEST(files),
        TEST(one_file),
        TEST(system_files),
        TEST(programs),
        TEST(network),
        TEST(channels),
        TEST(not_in_force),
        TEST(failure_is_no_confinement),
        TEST(softhsm_keeps_working),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
