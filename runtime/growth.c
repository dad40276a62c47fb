/* growth.c: how far a guest's memory may grow, and whether it was the machine that refused.
 * What a guest makes of a growth past its limit is the same on every machine, and an outcome. A growth within the limit that the system refuses is none: the
 * attempt counts for nothing, a failure of the node, and is tried again.
 * The static engine tells of it, and the guest ends there. The shared one tells nothing: where its machine may refuse, an attempt counts only if there is room
 * for all that the limit allows, both before the guest begins and when it has ended. So it may be held back though the guest would have asked for less, and a
 * refusal in between, with room again at the end, is not seen; nor is one of an `init` that runs ahead of time (preinit.c), or a limit that is put on a
 * process that runs. Where the machine can't refuse, nothing of it is done. */
#include "nx/clock.h"
#include "rt_internal.h"

#define INSTANCES 1
#define TABLES 4
#define MEMORIES 1

#if NX_ENGINE_STATIC
void nx_engine_limit_growth(wasmtime_store_t *store, nx_rt_growth *growth); /* scripts/deps/static/lib.rs */
#endif

void nx_rt_growth_limit(nx_rt_growth *g, wasmtime_store_t *store, uint64_t memory_bytes)
{
    *g = (nx_rt_growth){.memory_bytes = memory_bytes > INT64_MAX ? INT64_MAX : memory_bytes, .table_elements = NX_RT_TABLE_ELEMENTS};
#if NX_ENGINE_STATIC
    nx_engine_limit_growth(store, g);
#else
    wasmtime_store_limiter(store, (int64_t)g->memory_bytes, NX_RT_TABLE_ELEMENTS, INSTANCES, TABLES, MEMORIES);
#endif
}

/* What the guest could still ask for. */
static uint64_t left_to_grow(const nx_rt_exec *x, const nx_rt_program *p)
{
    uint64_t most = p->memory_max_bytes < x->growth.memory_bytes ? p->memory_max_bytes : x->growth.memory_bytes;
    uint64_t now = x->has_memory ? wasmtime_memory_data_size(x->context, &x->memory) : p->memory_min_bytes;
    return now < most ? most - now : 0;
}

bool nx_rt_growth_failed(nx_rt_exec *x, const nx_rt_program *p, nx_error *reterr)
{
    nx_outcome *o = &x->world.attempt->out;
    char limit[32];
    bool is_unsure = x->rt->is_growth_unsure && !o->err;
    if (!x->growth.is_refused && !is_unsure) return false;
    (void)nx_size_format(x->growth.memory_bytes, limit);
    if (x->growth.is_refused) {
        o->err = nx_error_set(reterr, NX_ENOMEM, NX_RT_REFUSED_MEMORY ": the limit is %s", limit);
        return true;
    }
    uint64_t room_bytes = nx_rt_memory_room(), wanted = left_to_grow(x, p);
    if (wanted <= room_bytes) return false;
    o->err = nx_error_set(reterr, NX_ENOMEM, NX_RT_REFUSED_MEMORY ": the limit is %s, and of that it has no room for %llu MiB (a development build wants room for all of it)",
                          limit, (unsigned long long)((wanted - room_bytes + (1u << 20) - 1) >> 20));
    return true;
}
