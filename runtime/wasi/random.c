/* wasi/random.c: randomness from the attempt's seed (ChaCha20, RFC 8439), so that a repeated run draws the same numbers. */
#include "wasi/table.h"

NX_RT_HANDLER(random_get)
{
    uint64_t n = c->args[1];
    nx_rt_trace_value(c->w, n);
    uint8_t *p = nx_rt_mem_at(c, c->args[0], n);
    if (!p) return NX_WASI_EFAULT;
    if (!c->w->random) c->w->random = nx_chacha_new(c->w->attempt->seed);
    if (!c->w->random) {
        c->w->end = NX_RT_END_NOMEM;
        return NX_WASI_END;
    }
    nx_chacha_fill(c->w->random, p, (size_t)n);
    nx_rt_trace_bytes(c->w, p, (size_t)n);
    return NX_WASI_OK;
}
