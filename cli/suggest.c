/* suggest.c: "did you mean". */
#include "cli.h"

#define WORD_MAX 64

/* Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours count one each. */
unsigned nx_cli_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    if (n > WORD_MAX || m > WORD_MAX)
        return WORD_MAX;
    unsigned rows[3][WORD_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= m; j++)
        last[j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        unsigned *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[m];
}

const char *nx_cli_suggest(const char *word, const char *const *candidates)
{
    const char *best = NULL;
    size_t length = strlen(word);
    unsigned limit = length < 6 ? 1 : (unsigned)(length / 3);
    if (length >= 3 && limit < 2)
        limit = 2;
    for (; *candidates; candidates++) {
        /* A beginning of a long word is meant as that word: "doc" for doctor. */
        if (length >= 3 && strncmp(word, *candidates, length) == 0)
            return *candidates;
        unsigned d = nx_cli_distance(word, *candidates);
        if (d <= limit && d < strlen(*candidates)) {
            best = *candidates;
            limit = d - (d > 0);
        }
    }
    return best;
}
