/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/internal.h"

#include <string.h>

enum { WORD_MAX = 40 }; /* characters: longer than any name of ours */

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Letters to insert, delete or replace to get from a to b (Levenshtein, one row at a time). */
static size_t distance(const char *a, const char *b)
{
    size_t row[WORD_MAX + 1];
    size_t na = strlen(a), nb = strlen(b);
    if (na > WORD_MAX || nb > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[nb];
}

void suggest_try(struct suggest *s, const char *candidate)
{
    size_t n = strlen(s->word);
    size_t d = distance(s->word, candidate);
    if (n > 1 && strncmp(candidate, s->word, n) == 0) /* cut short */
        d = 1;
    if (d <= 1 + n / 4 && (s->best == NULL || d < s->distance)) {
        s->best = candidate;
        s->distance = d;
    }
}
