/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/worker/confine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hsm/worker/worker.h"

/* What headers of older kernels do not have. The kernel takes a longer struct whose tail is zero. */
struct ruleset {
    uint64_t fs, net, scope;
};
enum {
    ABI_REFER = 2,
    ABI_TRUNCATE = 3,
    ABI_NET = 4,
    ABI_IOCTL_DEV = 5,
    ABI_SCOPE = 6,
};
#define FS_REFER     (UINT64_C(1) << 13)
#define FS_TRUNCATE  (UINT64_C(1) << 14)
#define FS_IOCTL_DEV (UINT64_C(1) << 15)
#define FS_FIRST     ((UINT64_C(1) << 13) - 1) /* ABI 1 */
#define NET_ALL      UINT64_C(3)               /* bind, connect */
#define SCOPE_ALL    UINT64_C(3)               /* abstract sockets, signals */

#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
/* No devices, sockets and FIFOs are made. */
#define WRITE                                                                                                \
    (READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SYM | FS_REFER |    \
     FS_TRUNCATE | FS_IOCTL_DEV)
/* What a rule for a file that is no folder may name. */
#define OF_FILES (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

/* What any module and the C library need to go on: libraries that are loaded late, time zones, randomness,
 * the numbers of processors and of octets. */
static const char *const system_read[] = {
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/local/lib",
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/ssl/openssl.cnf",
    "/dev/random",
    "/dev/urandom",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/crypto/fips_enabled",
    "/sys/devices/system/cpu",
};

static uint64_t handled_fs(long abi)
{
    return FS_FIRST | (abi >= ABI_REFER ? FS_REFER : 0) | (abi >= ABI_TRUNCATE ? FS_TRUNCATE : 0) |
           (abi >= ABI_IOCTL_DEV ? FS_IOCTL_DEV : 0);
}

/* Allows rights below path. What is not there or out of reach for us needs no permission. */
static enum proto_status allow(int ruleset, const char *path, uint64_t rights, struct fault *f)
{
    struct stat st;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == EACCES))
        return PROTO_OK;
    if (fd < 0)
        return fault_set(f, PROTO_FAILED, "cannot confine the module to '%s': %s", path, strerror(errno));
    enum proto_status status = PROTO_OK;
    struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};
    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
        rule.allowed_access &= OF_FILES;
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
        status = fault_set(f, PROTO_FAILED, "cannot confine the module to '%s': %s", path, strerror(errno));
    close(fd);
    return status;
}

static enum proto_status allow_all(int ruleset, uint64_t handled, const struct proto_login *rq,
                                   const char *module, const char *lock_folder, struct fault *f)
{
    enum proto_status st = allow(ruleset, module, READ & handled, f);
    for (size_t i = 0; st == PROTO_OK && i < sizeof system_read / sizeof system_read[0]; i++)
        st = allow(ruleset, system_read[i], READ & handled, f);
    if (st == PROTO_OK)
        st = allow(ruleset, "/dev/null", WRITE & handled, f);
    if (st == PROTO_OK && lock_folder)
        st = allow(ruleset, lock_folder, WRITE & handled, f);
    for (size_t i = 0; st == PROTO_OK && i < PROTO_PATHS && rq->paths[i].path[0]; i++)
        st = allow(ruleset, rq->paths[i].path, (rq->paths[i].write ? WRITE : READ) & handled, f);
    return st;
}

/* True when the calling thread is the only one; false when that cannot be seen. */
static bool alone(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/task");
    if (!d)
        return false;
    for (const struct dirent *entry; (entry = readdir(d)) != NULL;)
        n += entry->d_name[0] != '.';
    closedir(d);
    return n == 1;
}

enum proto_status confine(const struct proto_login *rq, const char *module, const char *lock_folder,
                          bool *ret_in_force, struct fault *f)
{
    *ret_in_force = false;
    if (!rq->confine)
        return PROTO_OK;
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1)
        return PROTO_OK;
    bool whole = alone();
    struct ruleset set = {.fs = handled_fs(abi),
                          .net = abi >= ABI_NET ? NET_ALL : 0,
                          .scope = abi >= ABI_SCOPE ? SCOPE_ALL : 0};
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &set, sizeof set, 0);
    if (ruleset < 0)
        return fault_set(f, PROTO_FAILED, "cannot confine the module: %s", strerror(errno));
    enum proto_status st = allow_all(ruleset, set.fs, rq, module, lock_folder, f);
    if (st == PROTO_OK && (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) != 0 ||
                           syscall(SYS_landlock_restrict_self, ruleset, 0) != 0))
        st = fault_set(f, PROTO_FAILED, "cannot confine the module: %s", strerror(errno));
    close(ruleset);
    *ret_in_force = st == PROTO_OK && whole;
    return st;
}
