/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_PROMPT_H
#define CLI_PROMPT_H

#include "base/err.h"

struct secret;

/* Asks on the controlling terminal (/dev/tty) without echo. question: a noun phrase ("PIN for token 'root'"),
 * shown with a colon after it, in errors with "the" before it. RC_USAGE cli.no-terminal when there is none or
 * --no-input was given; hint then names what to use instead ("--pin-source file:PATH"). The line end is not
 * part of the secret. RC_USAGE or RC_INPUT cli.answer when the answer is empty or longer than 512 octets. The
 * echo is on again after every way out, a signal included; after a stop (Ctrl-Z) the question is asked
 * again. */
NODISCARD enum rc prompt_secret(const char *question, const char *hint, struct secret **ret, struct err *e);

#endif
