/* SPDX-License-Identifier: Apache-2.0 */
#include "factory/shamap.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum { SLOTS_FIRST = 64 }; /* a power of two */

struct shamap_slot {
    uint32_t mark; /* value + 1; 0: empty */
    uint8_t key[SHA256_LEN];
};

/* The slot that holds key, or the empty one where it belongs. A SHA-256 value is its own hash. */
static struct shamap_slot *slot_of(const struct shamap *m, const uint8_t key[static SHA256_LEN])
{
    uint64_t h;
    memcpy(&h, key, sizeof(h));
    for (size_t i = h & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct shamap_slot *s = &m->slots[i];
        if (s->mark == 0 || memcmp(s->key, key, SHA256_LEN) == 0)
            return s;
    }
}

static void grow(struct shamap *m)
{
    struct shamap old = *m;
    m->cap = old.cap == 0 ? SLOTS_FIRST : 2 * old.cap;
    m->slots = mem_array(m->cap, sizeof(*m->slots));
    for (size_t i = 0; i < old.cap; i++) {
        if (old.slots[i].mark != 0)
            *slot_of(m, old.slots[i].key) = old.slots[i];
    }
    free(old.slots);
}

bool shamap_add(struct shamap *m, const uint8_t key[static SHA256_LEN], uint32_t value)
{
    if (value > SHAMAP_VALUE_MAX)
        bug("shamap: the value %u is too large", (unsigned)value);
    if (4 * (m->n + 1) > 3 * m->cap)
        grow(m);
    struct shamap_slot *s = slot_of(m, key);
    if (s->mark != 0)
        return false;
    s->mark = value + 1;
    memcpy(s->key, key, SHA256_LEN);
    m->n++;
    return true;
}

bool shamap_find(const struct shamap *m, const uint8_t key[static SHA256_LEN], uint32_t *ret_value)
{
    if (m->cap == 0)
        return false;
    const struct shamap_slot *s = slot_of(m, key);
    if (s->mark == 0)
        return false;
    if (ret_value != NULL)
        *ret_value = s->mark - 1;
    return true;
}

void shamap_fini(struct shamap *m)
{
    free(m->slots);
    *m = (struct shamap){0};
}
