/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DOC_TOKEN_H
#define DOC_TOKEN_H

#include <stdbool.h>

struct doc_map;

/*
 * The member "token" of a configuration: how the processes that work with its token behave. 0 is not said,
 * and what a token of its kind is given by default. The fields are those of struct token_options
 * (hsm/token.h), which this layer does not see.
 */
struct token_settings {
    int workers, sessions; /* 1 to 64 */
    int deadline_ms;       /* 1 to 600 s */
    int patience_ms;       /* 1 to 3600 s */
};
/* Optional; a failure becomes m's. pool: workers and sessions may be given; where a key signs a handful of
 * times, one of each is always enough and they are members nobody asked for. */
void doc_token(struct doc_map *m, bool pool, struct token_settings *ret);

#endif
