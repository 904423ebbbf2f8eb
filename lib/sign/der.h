/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIGN_DER_H
#define SIGN_DER_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* Private to lib/sign: the heads of DER elements (X.690 8.1), up to 65535 octets of contents; longer is a
 * bug. */
enum { DER_HEAD_MAX = 4 };

/* Octets of the head of an element with n octets of contents. */
size_t der_head_len(size_t n);
/* Writes the head and returns where the contents go. */
uint8_t *der_head(uint8_t *p, uint8_t tag, size_t n);

/* Drops a magnitude's leading zeros and returns the octets of contents that its INTEGER has; 0 when the value
 * is 0. */
size_t der_integer_len(struct span *v);
/* Writes the INTEGER of len octets of contents; returns what is behind it. */
uint8_t *der_integer_put(uint8_t *p, struct span v, size_t len);

#endif
