/* log_history.h: the last lines, packed, in bounded memory: what `nexus logs` shows before it follows.
 * Ownership: owns its memory; a line that nx_log_history_get() lends is valid until the lock is released.
 * Threads:   the owner locks (see obs_log.c). */
#ifndef NX_LOG_HISTORY_H
#define NX_LOG_HISTORY_H
#include "nx/slice.h"

typedef struct nx_log_history {
    char *bytes;
    size_t size;
    struct nx_log_entry {
        size_t at, n;
    } * entries; /* ring of max_lines */
    unsigned max_lines;
    uint64_t first, next; /* line numbers kept: first <= n < next; the very first line is number 1 */
} nx_log_history;

nx_err nx_log_history_init(nx_log_history *h, unsigned max_lines, size_t size);
void nx_log_history_done(nx_log_history *h);
void nx_log_history_add(nx_log_history *h, nx_slice packed);           /* the oldest lines make room; one above `size` is left out */
nx_slice nx_log_history_get(const nx_log_history *h, uint64_t number); /* first <= number < next */
#endif
