/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm/pin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/secret.h"
#include "cli/prompt.h"
#include "hsm/proto.h"

/* One line end at the end belongs to the file; one inside means that this is some other file. */
static enum rc pin_trim(struct secret *pin, const char *source, struct err *e)
{
    const char *p = (const char *)secret_data(pin);
    size_t n = secret_len(pin);
    if (n > 0 && p[n - 1] == '\n')
        n--;
    if (n > 0 && p[n - 1] == '\r')
        n--;
    secret_set_len(pin, n);
    if (n == 0)
        return err_set(e, RC_TOKEN, "hsm.pin-file", "'%s' is empty: a PIN is expected", source);
    if (n > PROTO_PIN_MAX)
        return err_set(e, RC_TOKEN, "hsm.pin-file", "'%s' is longer than %d octets: one PIN is expected",
                       source, PROTO_PIN_MAX);
    if (memchr(p, '\n', n) || memchr(p, '\0', n))
        return err_set(e, RC_TOKEN, "hsm.pin-file", "'%s' holds more than one line: one PIN is expected",
                       source);
    return RC_OK;
}

/* Reads fd to its end, straight into locked memory. */
static enum rc pin_from_fd(int fd, const char *source, struct secret **ret, struct err *e)
{
    struct secret *pin =
        secret_new(PROTO_PIN_MAX + 3); /* a line end, and one octet more to notice what is too long */
    size_t n = 0;
    enum rc rc = RC_OK;
    while (n < secret_cap(pin)) {
        ssize_t got = read(fd, secret_data(pin) + n, secret_cap(pin) - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            rc = err_sys(e, "hsm.pin-file", "cannot read the PIN from '%s'", source);
            rc = e->rc = RC_TOKEN;
            goto out;
        }
        if (got == 0)
            break;
        n += (size_t)got;
    }
    secret_set_len(pin, n);
    if ((rc = pin_trim(pin, source, e)) != RC_OK)
        goto out;
    *ret = pin;
    pin = NULL;
out:
    secret_free(pin);
    return rc;
}

/* Ours and 0600 or less; or root's, who may lend it to our group (0640; systemd gives an unprivileged service
 * its credentials so). */
static enum rc pin_file_check(int fd, const char *path, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return err_set(e, RC_TOKEN, "hsm.pin-file", "PIN file '%s' is not a regular file", path);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return err_set(e, RC_TOKEN, "hsm.pin-file", "PIN file '%s' belongs to somebody else", path);
    bool lent = st.st_uid == 0 && geteuid() != 0;
    if (st.st_mode & (lent ? 037 : 077))
        return err_set(
            e, RC_TOKEN, "hsm.pin-file",
            "PIN file '%s' may be used by others (mode %03o): chmod 600 it, and consider the PIN known", path,
            (unsigned)(st.st_mode & 0777));
    return RC_OK;
}

static enum rc pin_from_file(const char *path, struct secret **ret, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us before it is refused */
    if (fd < 0) {
        err_sys(e, "hsm.pin-file", "cannot open PIN file '%s'", path);
        return e->rc = RC_TOKEN;
    }
    enum rc rc = pin_file_check(fd, path, e);
    if (rc == RC_OK)
        rc = pin_from_fd(fd, path, ret, e);
    close(fd);
    return rc;
}

static enum rc pin_from_credential(const char *source, const char *name, struct secret **ret, struct err *e)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/'))
        return err_set(e, RC_USAGE, "hsm.pin-source",
                       "PIN source '%s': the name of a credential is expected after 'cred:'", source);
    if (!folder || folder[0] != '/')
        return err_set(
            e, RC_TOKEN, "hsm.pin-file",
            "PIN source '%s': this process has no credentials; the service's unit passes them with LoadCredential= or LoadCredentialEncrypted=",
            source);
    char *path = path_join(folder, name);
    enum rc rc = pin_from_file(path, ret, e);
    free(path);
    return rc;
}

static enum rc pin_from_number(const char *source, const char *number, struct secret **ret, struct err *e)
{
    char *end = NULL;
    long fd = strtol(number, &end, 10);
    if (number[0] < '0' || number[0] > '9' || *end || fd > 65535)
        return err_set(e, RC_USAGE, "hsm.pin-source",
                       "PIN source '%s': a descriptor number is expected after 'fd:'", source);
    enum rc rc = pin_from_fd((int)fd, source, ret, e);
    close((int)fd);
    return rc;
}

static enum rc pin_from_terminal(const char *what, struct secret **ret, struct err *e)
{
    struct secret *pin = NULL;
    char *question = mem_printf("PIN for %s", what);
    enum rc rc = prompt_secret(question, "a PIN source: file:PATH, fd:N or env:NAME", &pin, e);
    if (rc == RC_OK && (secret_len(pin) == 0 || secret_len(pin) > PROTO_PIN_MAX))
        rc = err_set(e, RC_TOKEN, "hsm.pin-file", "a PIN has 1 to %d octets", PROTO_PIN_MAX);
    if (rc == RC_OK) {
        *ret = pin;
        pin = NULL;
    }
    secret_free(pin);
    free(question);
    return rc;
}

enum rc pin_read(const char *source, const char *what, struct secret **ret, struct err *e)
{
    if (!source || strcmp(source, "tty") == 0)
        return pin_from_terminal(what, ret, e);
    if (strncmp(source, "file:", 5) == 0 && source[5])
        return pin_from_file(source + 5, ret, e);
    if (strncmp(source, "fd:", 3) == 0)
        return pin_from_number(source, source + 3, ret, e);
    if (strncmp(source, "env:", 4) == 0 && source[4]) {
        const char *path = getenv(source + 4);
        if (!path || !path[0])
            return err_set(e, RC_TOKEN, "hsm.pin-file",
                           "PIN source '%s': the environment variable is not set; it names a file", source);
        return pin_from_file(path, ret, e);
    }
    if (strncmp(source, "cred:", 5) == 0)
        return pin_from_credential(source, source + 5, ret, e);
    /* The source itself is not shown: it may be a PIN that was put in the wrong place. */
    return err_set(
        e, RC_USAGE, "hsm.pin-source",
        "a PIN source is one of file:PATH, fd:N, env:NAME (a variable that names a file), cred:NAME (a systemd credential) and tty; the PIN itself is not taken");
}
