/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/rc.h"

#define NODISCARD              __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

enum {
    ERR_KEY_MAX = 48,    /* octets with the final NUL: "x509.key-type" */
    ERR_TEXT_MAX = 1024, /* octets with the final NUL; longer texts are cut and end in "..." */
};

/* What went wrong, filled by the function that noticed and owned by the outermost caller. Never holds a
 * secret. */
struct err {
    enum rc rc;
    char key[ERR_KEY_MAX];
    char text[ERR_TEXT_MAX];
};

#define ERR_INIT                                                                                             \
    {                                                                                                        \
        RC_OK, "", ""                                                                                        \
    }

/* Fills *e and returns rc, so that a failing check is one line: return err_set(e, RC_INPUT, "mod.what", ...).
 * Control characters in the text become '?', so that a quoted name cannot steer a terminal. An argument may
 * be e->text. */
enum rc err_set(struct err *e, enum rc rc, const char *key, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* As err_set with RC_SYSTEM, and ": " and strerror(errno) put behind the text. errno is read before anything
 * else. */
enum rc err_sys(struct err *e, const char *key, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts "<text>: " before what *e already says; key and code stay. Returns e->rc. */
enum rc err_prefix(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Forgets: *e is as after ERR_INIT. */
void err_clear(struct err *e);

/* "text [key]": what a person is shown. ret holds at least ERR_TEXT_MAX + ERR_KEY_MAX + 4 octets. */
void err_format(const struct err *e, char *ret);

/* A state that our own code must never reach: says so on stderr and ends the process at once with 70, running
 * no handlers. */
_Noreturn void bug(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Ends the process at once with 71. The tools are built to be killed at any instant, so dying is safe. */
_Noreturn void out_of_memory(void);

#endif
