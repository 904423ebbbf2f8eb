/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HSM_PIN_H
#define HSM_PIN_H

#include "base/err.h"

struct secret;

/*
 * Where a PIN comes from: "file:PATH" (refused when others may read it; one line end at the end is not part
 * of the PIN), "fd:N" (read to its end and closed), "env:NAME" (an environment variable that names a file,
 * never the PIN itself), "cred:NAME" (a credential of the systemd service, systemd.exec(5), in the folder
 * that CREDENTIALS_DIRECTORY names), "tty" or NULL (the terminal; what names the token or role in the
 * question). RC_USAGE hsm.pin-source for anything else, with the list; RC_TOKEN hsm.pin-file when the file
 * cannot be used.
 */
NODISCARD enum rc pin_read(const char *source, const char *what, struct secret **ret, struct err *e);

#endif
