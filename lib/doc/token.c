/* SPDX-License-Identifier: Apache-2.0 */
#include "doc/token.h"

#include "doc/doc.h"

enum { POOL_MAX = 64, DEADLINE_MAX = 600, PATIENCE_MAX = 3600 /* seconds */, MS = 1000 };

void doc_token(struct doc_map *m, bool pool, struct token_settings *ret)
{
    struct doc_map t;
    struct err e = ERR_INIT;

    *ret = (struct token_settings){.workers = 0};
    if (!doc_has(m, "token"))
        return;
    doc_sub(m, "token", &t);
    if (pool) {
        ret->workers = (int)doc_int_or(&t, "workers", 1, POOL_MAX, 0);
        ret->sessions = (int)doc_int_or(&t, "sessions", 1, POOL_MAX, 0);
    }
    ret->deadline_ms = (int)doc_int_or(&t, "deadline-seconds", 1, DEADLINE_MAX, 0) * MS;
    ret->patience_ms = (int)doc_int_or(&t, "patience-seconds", 1, PATIENCE_MAX, 0) * MS;
    if (doc_close(&t, &e) != RC_OK && m->err.rc == RC_OK)
        m->err = e;
}
