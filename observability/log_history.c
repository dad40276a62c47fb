/* log_history.c: two rings, of entries and of bytes. A line never wraps: where the rest of the bytes is too short, it starts again at 0. */
#include "log_history.h"

#include <stdlib.h>

nx_err nx_log_history_init(nx_log_history *h, unsigned max_lines, size_t size)
{
    *h = (nx_log_history){.size = size, .max_lines = max_lines, .first = 1, .next = 1};
    h->bytes = malloc(size);
    h->entries = calloc(max_lines, sizeof *h->entries);
    if (h->bytes && h->entries) return NX_OK;
    nx_log_history_done(h);
    return NX_ENOMEM;
}

void nx_log_history_done(nx_log_history *h)
{
    free(h->bytes);
    free(h->entries);
    h->bytes = NULL;
    h->entries = NULL;
}

static struct nx_log_entry *entry(const nx_log_history *h, uint64_t number) { return &h->entries[number % h->max_lines]; }

/* Whether [at, at + n) overlaps the oldest line. */
static bool meets_oldest(const nx_log_history *h, size_t at, size_t n)
{
    const struct nx_log_entry *e = entry(h, h->first);
    return e->at < at + n && at < e->at + e->n;
}

void nx_log_history_add(nx_log_history *h, nx_slice packed)
{
    if (packed.n > h->size) return;
    size_t at = 0;
    if (h->next > h->first) {
        const struct nx_log_entry *last = entry(h, h->next - 1);
        at = last->at + last->n;
        if (h->size - at < packed.n) {
            /* What lies between here and the end is older than what lies at the start. */
            while (h->first < h->next && entry(h, h->first)->at >= at) h->first++;
            at = 0;
        }
    }
    if (h->next - h->first == h->max_lines) h->first++;
    while (h->first < h->next && meets_oldest(h, at, packed.n)) h->first++;
    memcpy(h->bytes + at, packed.p, packed.n);
    *entry(h, h->next) = (struct nx_log_entry){at, packed.n};
    h->next++;
}

nx_slice nx_log_history_get(const nx_log_history *h, uint64_t number)
{
    const struct nx_log_entry *e = entry(h, number);
    return nx_slice_make(h->bytes + e->at, e->n);
}
