/* engine.c: the settings of the engine, and one engine per memory class.
 * Everything that compiled code or a guest could notice is the same in all classes and set here explicitly, so that a change of a default
 * in the engine is not a change of ours. */
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>

#include "rt_internal.h"

/* Virtual memory only: every instance has the whole 32-bit address space, so that compiled code needs no bounds checks. */
#define RESERVATION_BYTES (4ull << 30)
#define GUARD_BYTES (32ull << 20)
#define SMALL_KEEP_BYTES (2u << 20)
#define TABLE_KEEP_BYTES (NX_RT_TABLE_ELEMENTS * 8u)
#define UNUSED_WARM_SLOTS_MIN 4u /* each keeps up to SMALL_KEEP_BYTES resident */

#if defined(NX_SANITIZER)
#define POOL_SLOTS_DEFAULT 60u
#else
#define POOL_SLOTS_DEFAULT 256u
#endif
#ifndef NX_RT_POOL_SLOTS_MAX
#define NX_RT_POOL_SLOTS_MAX 4096u
#endif
#ifndef NX_ENGINE_LINKAGE
#define NX_ENGINE_LINKAGE "unknown"
#endif
#if NX_ENGINE_STATIC                                                                /* the C API of the shared library has no such setting */
void nx_engine_pool_scan_dirty_pages(wasmtime_pooling_allocation_config_t *config); /* scripts/deps/static/lib.rs */
bool nx_engine_table_func(wasmtime_context_t *context, const wasmtime_table_t *table, uint64_t index, wasmtime_func_t *ret);
#endif

const char *nx_rt_engine_linkage(void)
{
    return NX_ENGINE_LINKAGE;
}
/* A release's engine is compiled without that part (scripts/deps/static). */
bool nx_rt_can_debug(void) { return !NX_ENGINE_STATIC; }
uint64_t nx_rt_memory_max(void) { return RESERVATION_BYTES; }

const char *nx_rt_arch(void)
{
#if defined(__x86_64__)
    return "x86_64";
#elif defined(__aarch64__)
    return "aarch64";
#else
#error "an architecture the engine was not tried on"
#endif
}

nx_rt_class_id nx_rt_class_for(uint64_t memory_bytes)
{
    return memory_bytes <= NX_RT_SMALL_MEMORY_MAX ? NX_RT_CLASS_SMALL : NX_RT_CLASS_LARGE;
}

nx_err nx_rt_engine_error(nx_error *reterr, nx_err code, const char *what, wasmtime_error_t *error)
{
    wasm_name_t text;
    wasmtime_error_message(error, &text);
    nx_err err = nx_error_set(reterr, code, "%s: %.*s", what, (int)(text.size > 400 ? 400 : text.size), text.data);
    wasm_byte_vec_delete(&text);
    wasmtime_error_delete(error);
    return err;
}

wasm_config_t *nx_rt_engine_config(void)
{
    wasm_config_t *c = wasm_config_new();
    if (!c) return NULL;
    wasmtime_config_strategy_set(c, WASMTIME_STRATEGY_CRANELIFT);
    wasmtime_config_cranelift_opt_level_set(c, WASMTIME_OPT_LEVEL_SPEED);
    wasmtime_config_debug_info_set(c, false);
    wasmtime_config_native_unwind_info_set(c, true);
    wasmtime_config_max_wasm_stack_set(c, NX_RT_WASM_STACK_BYTES);
    /* Deadlines and cost. */
    wasmtime_config_epoch_interruption_set(c, true);
    wasmtime_config_consume_fuel_set(c, true);
    /* Determinism: one NaN, one relaxed SIMD, no threads. */
    wasmtime_config_cranelift_nan_canonicalization_set(c, true);
    wasmtime_config_wasm_simd_set(c, true);
    wasmtime_config_wasm_relaxed_simd_set(c, true);
    wasmtime_config_wasm_relaxed_simd_deterministic_set(c, true);
    wasmtime_config_shared_memory_set(c, false);
#ifdef WASMTIME_FEATURE_THREADS
    wasmtime_config_wasm_threads_set(c, false);
#endif
    /* What current compilers emit, and no more: each proposal is attack surface. */
    wasmtime_config_wasm_bulk_memory_set(c, true);
    wasmtime_config_wasm_multi_value_set(c, true);
    wasmtime_config_wasm_tail_call_set(c, true);
    wasmtime_config_wasm_multi_memory_set(c, false);
    wasmtime_config_wasm_memory64_set(c, false);
    wasmtime_config_wasm_wide_arithmetic_set(c, false);
    wasmtime_config_wasm_custom_page_sizes_set(c, false);
    wasmtime_config_wasm_stack_switching_set(c, false);
#ifdef WASMTIME_FEATURE_GC
    wasmtime_config_wasm_reference_types_set(c, true);
    wasmtime_config_wasm_function_references_set(c, false);
    wasmtime_config_wasm_gc_set(c, false);
    wasmtime_config_wasm_exceptions_set(c, false);
#endif
#ifdef WASMTIME_FEATURE_COMPONENT_MODEL
    wasmtime_config_wasm_component_model_set(c, false);
    wasmtime_config_concurrency_support_set(c, false);
#endif
    wasmtime_config_memory_may_move_set(c, false);
    wasmtime_config_memory_reservation_set(c, RESERVATION_BYTES);
    wasmtime_config_memory_guard_size_set(c, GUARD_BYTES);
    wasmtime_config_memory_init_cow_set(c, true);
    return c;
}

bool nx_rt_engine_table_func(wasmtime_context_t *context, const wasmtime_table_t *table, uint64_t index, wasmtime_func_t *ret)
{
    memset(ret, 0, sizeof *ret);
#if NX_ENGINE_STATIC
    return nx_engine_table_func(context, table, index, ret);
#else
    wasmtime_val_t v;
    if (!wasmtime_table_get(context, table, index, &v) || v.kind != WASMTIME_FUNCREF) return false;
    if (v.of.funcref.store_id) *ret = v.of.funcref; /* of an empty one the rest is undefined */
    return true;
#endif
}

/* Idle instances may hold half as much as mapped modules. */
static uint32_t unused_slots(uint64_t warm_bytes)
{
    uint64_t n = warm_bytes / 2 / SMALL_KEEP_BYTES;
    return n < UNUSED_WARM_SLOTS_MIN ? UNUSED_WARM_SLOTS_MIN : n > NX_RT_POOL_SLOTS_MAX ? NX_RT_POOL_SLOTS_MAX
                                                                                        : (uint32_t)n;
}

void nx_rt_engine_pool(wasm_config_t *c, nx_rt_class_id id, unsigned slots, uint64_t warm_bytes)
{
    bool is_small = id == NX_RT_CLASS_SMALL;
    wasmtime_pooling_allocation_config_t *p = wasmtime_pooling_allocation_config_new();
    wasmtime_pooling_allocation_config_total_core_instances_set(p, slots);
    wasmtime_pooling_allocation_config_total_memories_set(p, slots);
    wasmtime_pooling_allocation_config_total_tables_set(p, slots);
    wasmtime_pooling_allocation_config_total_component_instances_set(p, 0);
#ifdef WASMTIME_FEATURE_GC
    wasmtime_pooling_allocation_config_total_gc_heaps_set(p, 0);
#endif
#ifdef WASMTIME_FEATURE_ASYNC
    wasmtime_pooling_allocation_config_total_stacks_set(p, 0);
#endif
    wasmtime_pooling_allocation_config_max_memories_per_module_set(p, 1);
    wasmtime_pooling_allocation_config_max_tables_per_module_set(p, 4);
    wasmtime_pooling_allocation_config_table_elements_set(p, NX_RT_TABLE_ELEMENTS);
    wasmtime_pooling_allocation_config_max_core_instance_size_set(p, 1u << 20);
    wasmtime_pooling_allocation_config_max_memory_size_set(p, is_small ? NX_RT_SMALL_MEMORY_MAX : RESERVATION_BYTES);
    /* Less than the initial memory of a module, or no table kept, costs an madvise, page faults and TLB shootdowns at every run. */
    wasmtime_pooling_allocation_config_linear_memory_keep_resident_set(p, is_small ? SMALL_KEEP_BYTES : 0);
    wasmtime_pooling_allocation_config_table_keep_resident_set(p, is_small ? TABLE_KEEP_BYTES : 0);
    wasmtime_pooling_allocation_config_max_unused_warm_slots_set(p, is_small ? unused_slots(warm_bytes) : 1);
#if NX_ENGINE_STATIC
    if (is_small) nx_engine_pool_scan_dirty_pages(p);
#endif
    wasmtime_pooling_allocation_strategy_set(c, p);
    wasmtime_pooling_allocation_config_delete(p);
}

/* The engine ends the process where it can't reserve its pool, so this is tried first. */
static bool has_address_space(unsigned slots)
{
    size_t n = (size_t)(slots + 1) * (size_t)(RESERVATION_BYTES + 2 * GUARD_BYTES);
    void *p = mmap(NULL, n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return false;
    (void)munmap(p, n);
    return true;
}

nx_err nx_rt_class_open_locked(nx_rt *r, nx_rt_class_id id, nx_error *reterr)
{
    nx_rt_class *c = &r->classes[id];
    if (c->engine) return NX_OK;
    unsigned slots = r->pool_slots ? r->pool_slots : POOL_SLOTS_DEFAULT;
    if (slots > NX_RT_POOL_SLOTS_MAX) slots = NX_RT_POOL_SLOTS_MAX;
    if (!has_address_space(slots))
        return nx_error_set(reterr, NX_ENOMEM, "no address space for %u instances of 4 GiB (is `ulimit -v` set?)", slots);
    wasm_config_t *config = nx_rt_engine_config();
    if (!config) return nx_error_set(reterr, NX_ENOMEM, "out of memory for the engine");
    nx_rt_engine_pool(config, id, slots, r->warm_bytes);
    if (r->is_debug) {
        wasmtime_config_debug_info_set(config, true);
        wasmtime_config_cranelift_opt_level_set(config, WASMTIME_OPT_LEVEL_NONE);
    }
    c->engine = wasm_engine_new_with_config(config);
    if (!c->engine) return nx_error_set(reterr, NX_ENOMEM, "out of memory for the engine");
    c->linker = wasmtime_linker_new(c->engine);
    nx_err err = nx_rt_hostcalls_define(c->linker, reterr);
    if (err) {
        nx_rt_class_close(c);
        return err;
    }
    atomic_store(&r->epoch.engines[id], c->engine);
    return NX_OK;
}

void nx_rt_class_close(nx_rt_class *c)
{
    if (c->linker) wasmtime_linker_delete(c->linker);
    if (c->engine) wasm_engine_delete(c->engine);
    c->linker = NULL;
    c->engine = NULL;
}

/* Raised by hand when a setting above changes what compiled code does. */
#define SETTINGS_GENERATION 1

void nx_rt_engine_fingerprint(char out[17])
{
    char text[256], hex[NX_SHA256_HEX + 1];
    (void)snprintf(text, sizeof text, "%s %s settings=%d reservation=%" PRIu64 " guard=%" PRIu64, nx_rt_engine_linkage(), nx_rt_arch(),
                   SETTINGS_GENERATION, (uint64_t)RESERVATION_BYTES, (uint64_t)GUARD_BYTES);
    nx_sha256 d = nx_sha256_of(nx_slice_cstr(text));
    nx_sha256_hex(&d, hex);
    memcpy(out, hex, 16);
    out[16] = '\0';
}
