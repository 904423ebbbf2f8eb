/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIGN_CHAIN_H
#define SIGN_CHAIN_H

#include "base/bytes.h"
#include "sign/digest.h"

/* A hash chain: head' = SHA-256(head || SHA-256(record)). The first head is 32 zero octets. */
void hash_chain(const uint8_t head[static SHA256_LEN], struct span record, uint8_t ret[static SHA256_LEN]);

/*
 * A Merkle tree after RFC 9162 2.1: leaf SHA-256(0x00 || entry), node SHA-256(0x01 || left || right). Built
 * in one pass with memory for its height.
 */
struct merkle {
    uint64_t count;
    uint8_t node[64][SHA256_LEN]; /* node[i]: root of the complete subtree of 2^i leaves when bit i of count
                                     is set */
};
void merkle_init(struct merkle *m);
void merkle_add(struct merkle *m, struct span entry);
/* The root over what was added so far; of the empty tree SHA-256(""). m can go on growing. */
void merkle_root(const struct merkle *m, uint8_t ret[static SHA256_LEN]);

#endif
