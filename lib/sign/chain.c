/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/chain.h"

#include <string.h>

void hash_chain(const uint8_t head[static SHA256_LEN], struct span record, uint8_t ret[static SHA256_LEN])
{
    uint8_t both[2 * SHA256_LEN];

    memcpy(both, head, SHA256_LEN);
    sha256(record, both + SHA256_LEN);
    sha256((struct span){both, sizeof(both)}, ret);
}

static void leaf_hash(struct span entry, uint8_t ret[static SHA256_LEN])
{
    struct sha256_ctx *c = sha256_new();

    sha256_add(c, (struct span){(const uint8_t[]){0x00}, 1});
    sha256_add(c, entry);
    sha256_end(c, ret);
}

/* ret may be left or right. */
static void node_hash(const uint8_t *left, const uint8_t *right, uint8_t *ret)
{
    uint8_t both[1 + 2 * SHA256_LEN] = {0x01};

    memcpy(both + 1, left, SHA256_LEN);
    memcpy(both + 1 + SHA256_LEN, right, SHA256_LEN);
    sha256((struct span){both, sizeof(both)}, ret);
}

void merkle_init(struct merkle *m)
{
    memset(m, 0, sizeof(*m));
}

void merkle_add(struct merkle *m, struct span entry)
{
    uint8_t hash[SHA256_LEN];
    unsigned level = 0;

    /* As a binary counter: each carry joins two complete subtrees of the same height. */
    leaf_hash(entry, hash);
    for (; (m->count >> level & 1) != 0; level++)
        node_hash(m->node[level], hash, hash);
    memcpy(m->node[level], hash, SHA256_LEN);
    m->count++;
}

void merkle_root(const struct merkle *m, uint8_t ret[static SHA256_LEN])
{
    uint8_t hash[SHA256_LEN];
    bool started = false;

    sha256((struct span){NULL, 0}, hash);
    /* The incomplete right edge is the smallest subtree; each larger one stands to its left. */
    for (unsigned level = 0; level < 64; level++) {
        if ((m->count >> level & 1) == 0)
            continue;
        if (started)
            node_hash(m->node[level], hash, hash);
        else
            memcpy(hash, m->node[level], SHA256_LEN);
        started = true;
    }
    memcpy(ret, hash, SHA256_LEN);
}
