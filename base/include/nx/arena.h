/* nx/arena.h: bump allocator for everything that dies with one request, message or configuration.
 * Ownership: the arena owns all it hands out; nx_arena_done() frees everything at once.
 * Threads:   one owner thread.
 * Errors:    NULL when out of memory or over the cap given at init. */
#ifndef NX_ARENA_H
#define NX_ARENA_H
#include "nx/slice.h"

typedef struct nx_arena {
    struct nx_arena_chunk *head;
    size_t used, max; /* bytes handed out, cap */
} nx_arena;

#define NX_ARENA_INIT(max_bytes) \
    {                            \
        NULL, 0, (max_bytes)     \
    }

void nx_arena_init(nx_arena *a, size_t max);
void nx_arena_done(nx_arena *a);
void nx_arena_reset(nx_arena *a);                              /* frees all but the newest chunk (64 KiB at most), which is used again: no allocation on a warm path */
void *nx_arena_alloc(nx_arena *a, size_t n);                   /* aligned to 16, not cleared */
void *nx_arena_calloc(nx_arena *a, size_t count, size_t size); /* cleared; overflow-checked */
/* Copies; the copy has a NUL behind it that n does not count. On failure p is NULL (n 0), also for empty input p is not NULL on success. */
nx_slice nx_arena_dup(nx_arena *a, nx_slice s);
char *nx_arena_cstr(nx_arena *a, nx_slice s);
char *nx_arena_printf(nx_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#endif
