/* wasi/clock.c: the guest's time. It starts where the attempt started, moves 1 us at every read and by what is slept, and by nothing else:
 * a repeated run reads the same times, and no guest can measure the node (Cloudflare Workers has the same rule). */
#include "wasi/table.h"

enum { CLOCK_ID_REALTIME,
       CLOCK_ID_MONOTONIC,
       CLOCK_ID_PROCESS_CPU,
       CLOCK_ID_THREAD_CPU,
       CLOCK_IDS };

#define STEP_NS 1000u
/* The monotonic clock stands at an hour when a run begins: programs subtract from it, and a clock near zero would underflow. */
#define MONOTONIC_BASE_NS (3600ull * 1000000000ull)

const char *nx_rt_clock_name(uint64_t clock_id)
{
    static const char *const names[CLOCK_IDS] = {"realtime", "monotonic", "process_cputime", "thread_cputime"};
    return clock_id < CLOCK_IDS ? names[clock_id] : "unknown";
}

uint64_t nx_rt_clock_read(nx_rt_world *w, uint32_t clock_id)
{
    uint64_t since_start = w->now_ns - w->attempt->start_wall_ns;
    switch (clock_id) {
    case CLOCK_ID_REALTIME: return w->now_ns;
    case CLOCK_ID_MONOTONIC: return since_start > UINT64_MAX - MONOTONIC_BASE_NS ? UINT64_MAX : MONOTONIC_BASE_NS + since_start;
    default: return since_start;
    }
}

void nx_rt_clock_advance(nx_rt_world *w, uint64_t ns) { w->now_ns = ns > UINT64_MAX - w->now_ns ? UINT64_MAX : w->now_ns + ns; }

NX_RT_HANDLER(clock_res_get)
{
    nx_rt_trace_value(c->w, c->args[0]);
    if (c->args[0] >= CLOCK_IDS) return NX_WASI_EINVAL;
    nx_rt_trace_value(c->w, STEP_NS);
    return nx_rt_mem_store_u64(c, c->args[1], STEP_NS) ? NX_WASI_OK : NX_WASI_EFAULT;
}

/* (clock id, precision, result pointer): the precision asked for is not needed. */
NX_RT_HANDLER(clock_time_get)
{
    nx_rt_trace_value(c->w, c->args[0]);
    if (c->args[0] >= CLOCK_IDS) return NX_WASI_EINVAL;
    nx_rt_clock_advance(c->w, STEP_NS);
    uint64_t now = nx_rt_clock_read(c->w, (uint32_t)c->args[0]);
    nx_rt_trace_value(c->w, now);
    return nx_rt_mem_store_u64(c, c->args[2], now) ? NX_WASI_OK : NX_WASI_EFAULT;
}
