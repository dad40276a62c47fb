/* hostcalls.c: hands the guest's imports to wasi/ and effects/. Unchecked callbacks: the engine gives raw values, whose types are fixed by the table. */
#include "nx/clock.h"
#include "rt_internal.h"
#include "wasi/table.h"

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
void nx_rt_memory_take_over(nx_rt *r) { __tsan_acquire(r); }
void nx_rt_memory_hand_over(nx_rt *r) { __tsan_release(r); }
#else
void nx_rt_memory_take_over(nx_rt *r) { (void)r; }
void nx_rt_memory_hand_over(nx_rt *r) { (void)r; }
#endif

/* The memory is looked up once an instance exists; a start function runs before that. */
static bool find_memory(nx_rt_exec *x, wasmtime_caller_t *caller)
{
    wasmtime_extern_t item;
    if (!wasmtime_caller_export_get(caller, "memory", sizeof "memory" - 1, &item)) return false;
    if (item.kind != WASMTIME_EXTERN_MEMORY) return false;
    nx_rt_memory_take_over(x->rt);
    x->memory = item.of.memory;
    x->has_memory = true;
    return true;
}

static wasm_trap_t *host_call(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *raw, size_t n_raw)
{
    const nx_rt_wasi_fn *fn = env;
    wasmtime_context_t *context = wasmtime_caller_context(caller);
    nx_rt_exec *x = wasmtime_context_get_data(context);
    uint64_t args[NX_RT_WASI_PARAMS_MAX] = {0};
    uint8_t *mem = NULL;
    size_t mem_bytes = 0;
    (void)n_raw;
    for (unsigned i = 0; fn->params[i]; i++) args[i] = fn->params[i] == 'l' ? (uint64_t)raw[i].i64 : (uint32_t)raw[i].i32;
    if (x->has_memory || find_memory(x, caller)) {
        /* Anew at every call: a guest that grew its memory between two calls has another size. */
        mem = wasmtime_memory_data(context, &x->memory);
        mem_bytes = wasmtime_memory_data_size(context, &x->memory);
    }
    const nx_attempt *a = x->world.attempt;
    if (a->stop_at_call && a->out.n_calls + 1 == a->stop_at_call) {
        x->world.end = NX_RT_END_STOPPED;
        return wasmtime_trap_new("stopped", sizeof "stopped" - 1);
    }
    uint8_t wasi_errno = nx_rt_wasi_call(&x->world, fn, mem, mem_bytes, args);
    if (wasi_errno == NX_WASI_END) return wasmtime_trap_new("ended by a host call", sizeof "ended by a host call" - 1);
    if (fn->has_result) raw[0].i32 = fn->has_value ? (int32_t)x->world.value : wasi_errno;
    return NULL;
}

static wasm_functype_t *type_of(const nx_rt_wasi_fn *fn)
{
    wasm_valtype_t *items[NX_RT_WASI_PARAMS_MAX], *result = wasm_valtype_new(WASM_I32);
    wasm_valtype_vec_t params, results;
    size_t n = 0;
    for (; fn->params[n]; n++) items[n] = wasm_valtype_new(fn->params[n] == 'l' ? WASM_I64 : WASM_I32);
    wasm_valtype_vec_new(&params, n, items);
    if (fn->has_result) {
        wasm_valtype_vec_new(&results, 1, &result);
    } else {
        wasm_valtype_delete(result);
        wasm_valtype_vec_new_empty(&results);
    }
    return wasm_functype_new(&params, &results);
}

nx_err nx_rt_hostcalls_define(wasmtime_linker_t *linker, nx_error *reterr)
{
    for (unsigned i = 0; i < nx_rt_wasi_n_fns; i++) {
        const nx_rt_wasi_fn *fn = &nx_rt_wasi_fns[i];
        wasm_functype_t *type = type_of(fn);
        wasmtime_error_t *error = wasmtime_linker_define_func_unchecked(linker, fn->module, strlen(fn->module), fn->name, strlen(fn->name), type,
                                                                        host_call, (void *)(uintptr_t)fn, NULL);
        wasm_functype_delete(type);
        if (error) return nx_rt_engine_error(reterr, NX_EBUG, fn->name, error);
    }
    return NX_OK;
}
