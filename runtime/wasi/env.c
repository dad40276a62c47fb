/* wasi/env.c: arguments, environment, and the end of the program. */
#include "wasi/table.h"

static unsigned n_args(const nx_attempt *a) { return a->n_args ? a->n_args : 1; }
static nx_slice arg_at(const nx_attempt *a, unsigned i) { return a->n_args ? a->args[i] : NX_SLICE("function"); }

static uint64_t args_bytes(const nx_attempt *a)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < n_args(a); i++) n += arg_at(a, i).n + 1;
    return n;
}

NX_RT_HANDLER(args_sizes_get)
{
    const nx_attempt *a = c->w->attempt;
    uint64_t n = args_bytes(a);
    nx_rt_trace_value(c->w, n_args(a));
    nx_rt_trace_value(c->w, n);
    bool is_ok = nx_rt_mem_store_u32(c, c->args[0], n_args(a)) && nx_rt_mem_store_u32(c, c->args[1], (uint32_t)n);
    return is_ok ? NX_WASI_OK : NX_WASI_EFAULT;
}

/* Each with a NUL behind it. */
NX_RT_HANDLER(args_get)
{
    const nx_attempt *a = c->w->attempt;
    uint64_t ptr = c->args[1];
    if (!nx_rt_mem_at(c, ptr, args_bytes(a)) || !nx_rt_mem_at(c, c->args[0], 4 * (uint64_t)n_args(a))) return NX_WASI_EFAULT;
    for (unsigned i = 0; i < n_args(a); i++) {
        nx_slice arg = arg_at(a, i);
        uint8_t *p = nx_rt_mem_at(c, ptr, arg.n + 1);
        if (!p || !nx_rt_mem_store_u32(c, c->args[0] + 4 * (uint64_t)i, (uint32_t)ptr)) return NX_WASI_EFAULT;
        if (arg.n) memcpy(p, arg.p, arg.n);
        p[arg.n] = 0;
        ptr += arg.n + 1;
    }
    return NX_WASI_OK;
}

/* "KEY=VALUE" and a NUL for each. */
static uint64_t environ_bytes(const nx_attempt *a)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < a->n_env; i++) n += a->env[i].key.n + a->env[i].value.n + 2;
    return n;
}

NX_RT_HANDLER(environ_sizes_get)
{
    const nx_attempt *a = c->w->attempt;
    uint64_t n = environ_bytes(a);
    nx_rt_trace_value(c->w, a->n_env);
    nx_rt_trace_value(c->w, n);
    bool is_ok = nx_rt_mem_store_u32(c, c->args[0], a->n_env) && nx_rt_mem_store_u32(c, c->args[1], (uint32_t)n);
    return is_ok ? NX_WASI_OK : NX_WASI_EFAULT;
}

NX_RT_HANDLER(environ_get)
{
    const nx_attempt *a = c->w->attempt;
    uint64_t ptr = c->args[1];
    if (!nx_rt_mem_at(c, c->args[0], 4 * (uint64_t)a->n_env) || !nx_rt_mem_at(c, ptr, environ_bytes(a))) return NX_WASI_EFAULT;
    for (unsigned i = 0; i < a->n_env; i++) {
        const nx_kv *kv = &a->env[i];
        uint8_t *p = nx_rt_mem_at(c, ptr, kv->key.n + kv->value.n + 2);
        if (!p || !nx_rt_mem_store_u32(c, c->args[0] + 4 * (uint64_t)i, (uint32_t)ptr)) return NX_WASI_EFAULT;
        if (kv->key.n) memcpy(p, kv->key.p, kv->key.n);
        p[kv->key.n] = '=';
        if (kv->value.n) memcpy(p + kv->key.n + 1, kv->value.p, kv->value.n);
        p[kv->key.n + 1 + kv->value.n] = 0;
        ptr += kv->key.n + kv->value.n + 2;
    }
    return NX_WASI_OK;
}

NX_RT_HANDLER(proc_exit)
{
    nx_rt_trace_value(c->w, c->args[0]);
    c->w->end = NX_RT_END_EXIT;
    c->w->exit_code = (int)(uint32_t)c->args[0];
    return NX_WASI_END;
}

/* No signals: the engine's own WASI answers the same. */
NX_RT_HANDLER(proc_raise)
{
    nx_rt_trace_value(c->w, c->args[0]);
    return NX_WASI_ENOTSUP;
}

NX_RT_HANDLER(sched_yield)
{
    (void)c;
    return NX_WASI_OK;
}
