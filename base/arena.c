/* arena.c: bump allocator. Chunks double from 4 KiB to 64 KiB; a larger request gets a chunk of its own. */
#include "nx/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ARENA_ALIGN 16u
#define ARENA_FIRST_BYTES 4096u
#define ARENA_CHUNK_BYTES 65536u

struct nx_arena_chunk {
    struct nx_arena_chunk *next;
    size_t size, used; /* of data[] */
    size_t pad;        /* keeps data[] aligned to 16 behind malloc's own alignment */
    char data[];
};
_Static_assert(sizeof(struct nx_arena_chunk) % ARENA_ALIGN == 0, "chunk data must stay aligned");

typedef struct nx_arena_chunk chunk;

void nx_arena_init(nx_arena *a, size_t max) { *a = (nx_arena)NX_ARENA_INIT(max); }

static void free_chunks(chunk *c)
{
    while (c) {
        chunk *next = c->next;
        free(c);
        c = next;
    }
}

void nx_arena_done(nx_arena *a)
{
    if (!a) return;
    free_chunks(a->head);
    a->head = NULL;
    a->used = 0;
}

void nx_arena_reset(nx_arena *a)
{
    a->used = 0;
    if (!a->head) return;
    if (a->head->size > ARENA_CHUNK_BYTES) { /* one huge request must not pin its memory for ever */
        free_chunks(a->head);
        a->head = NULL;
        return;
    }
    free_chunks(a->head->next);
    a->head->next = NULL;
    a->head->used = 0;
}

static chunk *chunk_new(size_t size)
{
    chunk *c = malloc(sizeof *c + size);
    if (!c) return NULL;
    c->next = NULL;
    c->size = size;
    c->used = 0;
    return c;
}

static void *alloc_slow(nx_arena *a, size_t n)
{
    size_t size = a->head ? a->head->size * 2 : ARENA_FIRST_BYTES;
    if (size > ARENA_CHUNK_BYTES) size = ARENA_CHUNK_BYTES;
    bool is_own = n > size / 2 && a->head; /* behind the head, so that the head's free rest stays in use */
    if (n > size || is_own) size = n;
    chunk *c = chunk_new(size);
    if (!c) return NULL;
    if (is_own) {
        c->next = a->head->next;
        a->head->next = c;
    } else {
        c->next = a->head;
        a->head = c;
    }
    c->used = n;
    a->used += n;
    return c->data;
}

void *nx_arena_alloc(nx_arena *a, size_t n)
{
    if (n > SIZE_MAX / 4) return NULL;
    n = n ? (n + (ARENA_ALIGN - 1)) & ~(size_t)(ARENA_ALIGN - 1) : ARENA_ALIGN;
    if (a->used > a->max || n > a->max - a->used) return NULL;
    chunk *c = a->head;
    if (c && n <= c->size - c->used) {
        void *p = c->data + c->used;
        c->used += n;
        a->used += n;
        return p;
    }
    return alloc_slow(a, n);
}

void *nx_arena_calloc(nx_arena *a, size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n)) return NULL;
    void *p = nx_arena_alloc(a, n);
    if (p) memset(p, 0, n);
    return p;
}

static char *dup_bytes(nx_arena *a, nx_slice s)
{
    if (s.n == SIZE_MAX) return NULL;
    char *p = nx_arena_alloc(a, s.n + 1);
    if (!p) return NULL;
    if (s.n) memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return p;
}

nx_slice nx_arena_dup(nx_arena *a, nx_slice s)
{
    char *p = dup_bytes(a, s);
    return nx_slice_make(p, p ? s.n : 0);
}

char *nx_arena_cstr(nx_arena *a, nx_slice s) { return dup_bytes(a, s); }

char *nx_arena_printf(nx_arena *a, const char *fmt, ...)
{
    char tmp[256];
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(tmp, sizeof tmp, fmt, ap);
    char *p = NULL;
    if (n >= 0) p = nx_arena_alloc(a, (size_t)n + 1);
    if (p && (size_t)n < sizeof tmp)
        memcpy(p, tmp, (size_t)n + 1);
    else if (p)
        (void)vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    va_end(ap);
    return p;
}
