/* rt_bench.c: the cost of a run beside its bare limit: a loop over the engine's C API with the same settings and host functions that do the least.
 * Prints lines "FIGURE what|value|unit|must|beside|limit" for bench.py, all from one process. Usage: rt_bench MODULE.wasm [RUNS] */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wasmtime.h>

#include "nx/clock.h"
#include "nx/rt.h"

#define RUNS_DEFAULT 40000u
#define ROUNDS 50u
#define COLD_STARTS 20u
#define IN_FLIGHT 64u
static const char input[] = "{\"user_id\": \"u42\", \"email\": \"alice@example.com\"}";

static _Noreturn void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "rt_bench: %s: %s\n", what, why);
    exit(1);
}

static void no_error(const char *what, wasmtime_error_t *error, const wasm_trap_t *trap)
{
    if (error || trap) die(what, "the engine failed");
}

/* ---- the bare loop */

typedef struct bare_io {
    size_t in_pos, out_n;
    char out[4096];
} bare_io;

static uint8_t *bare_memory(wasmtime_caller_t *caller)
{
    wasmtime_extern_t item;
    if (!wasmtime_caller_export_get(caller, "memory", 6, &item)) die("bare loop", "no memory");
    return wasmtime_memory_data(wasmtime_caller_context(caller), &item.of.memory);
}

static uint32_t load(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static wasm_trap_t *bare_move(void *is_read, wasmtime_caller_t *caller, wasmtime_val_raw_t *raw, size_t n)
{
    bare_io *io = wasmtime_context_get_data(wasmtime_caller_context(caller));
    uint8_t *mem = bare_memory(caller);
    uint32_t moved = 0;
    (void)n;
    for (uint32_t i = 0; i < (uint32_t)raw[2].i32; i++) {
        const uint8_t *iov = mem + (uint32_t)raw[1].i32 + 8 * (size_t)i;
        uint8_t *p = mem + load(iov);
        size_t room = is_read ? sizeof input - 1 - io->in_pos : sizeof io->out - io->out_n, take = load(iov + 4);
        if (take > room) take = room;
        if (is_read) memcpy(p, input + io->in_pos, take);
        else memcpy(io->out + io->out_n, p, take);
        if (is_read) io->in_pos += take;
        else io->out_n += take;
        moved += (uint32_t)take;
    }
    memcpy(mem + (uint32_t)raw[3].i32, &moved, sizeof moved);
    raw[0].i32 = 0;
    return NULL;
}

static wasm_trap_t *bare_no_environment(void *self, wasmtime_caller_t *caller, wasmtime_val_raw_t *raw, size_t n)
{
    (void)self;
    (void)n;
    uint8_t *mem = bare_memory(caller);
    memset(mem + (uint32_t)raw[0].i32, 0, 4);
    memset(mem + (uint32_t)raw[1].i32, 0, 4);
    raw[0].i32 = 0;
    return NULL;
}

static wasm_trap_t *bare_nothing(void *self, wasmtime_caller_t *caller, wasmtime_val_raw_t *raw, size_t n)
{
    (void)self;
    (void)caller;
    (void)n;
    raw[0].i32 = 0;
    return NULL;
}

static wasm_config_t *bare_config(void)
{
    wasm_config_t *c = wasm_config_new();
    wasmtime_config_epoch_interruption_set(c, true);
    wasmtime_config_consume_fuel_set(c, true);
    wasmtime_config_cranelift_nan_canonicalization_set(c, true);
    wasmtime_config_memory_init_cow_set(c, true);
    wasmtime_pooling_allocation_config_t *p = wasmtime_pooling_allocation_config_new();
    wasmtime_pooling_allocation_config_total_core_instances_set(p, 64);
    wasmtime_pooling_allocation_config_total_memories_set(p, 64);
    wasmtime_pooling_allocation_config_total_tables_set(p, 64);
    wasmtime_pooling_allocation_config_max_memory_size_set(p, 128u << 20);
    wasmtime_pooling_allocation_config_linear_memory_keep_resident_set(p, 2u << 20);
    wasmtime_pooling_allocation_config_table_keep_resident_set(p, 64u << 10);
    wasmtime_pooling_allocation_strategy_set(c, p);
    wasmtime_pooling_allocation_config_delete(p);
    return c;
}

static void bare_define(wasmtime_linker_t *linker, const char *name, size_t n_params, bool has_result, wasmtime_func_unchecked_callback_t f, void *self)
{
    static const char module[] = "wasi_snapshot_preview1";
    wasm_valtype_t *items[4], *result = wasm_valtype_new(WASM_I32);
    wasm_valtype_vec_t params, results;
    for (size_t i = 0; i < n_params; i++) items[i] = wasm_valtype_new(WASM_I32);
    wasm_valtype_vec_new(&params, n_params, items);
    wasm_valtype_vec_new(&results, has_result ? 1 : 0, &result);
    if (!has_result) wasm_valtype_delete(result);
    wasm_functype_t *type = wasm_functype_new(&params, &results);
    no_error(name, wasmtime_linker_define_func_unchecked(linker, module, sizeof module - 1, name, strlen(name), type, f, self, NULL), NULL);
    wasm_functype_delete(type);
}

typedef struct bare {
    wasm_engine_t *engine;
    wasmtime_linker_t *linker;
    wasmtime_module_t *module;
    wasmtime_instance_pre_t *pre;
    bool has_flush;
} bare;

static bare bare_open(nx_slice module)
{
    static char is_read;
    bare b = {.engine = wasm_engine_new_with_config(bare_config())};
    b.linker = wasmtime_linker_new(b.engine);
    bare_define(b.linker, "fd_read", 4, true, bare_move, &is_read);
    bare_define(b.linker, "fd_write", 4, true, bare_move, NULL);
    bare_define(b.linker, "environ_get", 2, true, bare_nothing, NULL);
    bare_define(b.linker, "environ_sizes_get", 2, true, bare_no_environment, NULL);
    bare_define(b.linker, "proc_exit", 1, false, bare_nothing, NULL);
    no_error("compile", wasmtime_module_new(b.engine, (const uint8_t *)module.p, module.n, &b.module), NULL);
    no_error("link", wasmtime_linker_define_unknown_imports_as_traps(b.linker, b.module), NULL);
    no_error("link", wasmtime_linker_instantiate_pre(b.linker, b.module, &b.pre), NULL);
    return b;
}

static void bare_close(bare *b)
{
    wasmtime_instance_pre_delete(b->pre);
    wasmtime_module_delete(b->module);
    wasmtime_linker_delete(b->linker);
    wasm_engine_delete(b->engine);
}

static void bare_call(wasmtime_context_t *c, const wasmtime_instance_t *instance, const char *name)
{
    wasmtime_extern_t item;
    wasm_trap_t *trap = NULL;
    wasmtime_val_raw_t raw[1];
    if (!wasmtime_instance_export_get(c, instance, name, strlen(name), &item)) return;
    no_error(name, wasmtime_func_call_unchecked(c, &item.of.func, raw, 1, &trap), trap);
}

static void bare_run(const bare *b)
{
    bare_io io = {0};
    wasmtime_store_t *store = wasmtime_store_new(b->engine, &io, NULL);
    wasmtime_context_t *c = wasmtime_store_context(store);
    wasmtime_store_limiter(store, 128 << 20, 10000, 4, 4, 4);
    wasmtime_context_set_epoch_deadline(c, 1000);
    no_error("fuel", wasmtime_context_set_fuel(c, 1000000000), NULL);
    wasmtime_instance_t instance;
    wasm_trap_t *trap = NULL;
    no_error("instance", wasmtime_instance_pre_instantiate(b->pre, c, &instance, &trap), trap);
    bare_call(c, &instance, "handle_event");
    bare_call(c, &instance, "__nexus_flush");
    wasmtime_store_delete(store);
}

/* ---- ours */

static void set_attempt(nx_attempt *a, nx_rt_program *p)
{
    nx_attempt_init(a);
    a->program = p;
    a->input = NX_SLICE("{\"user_id\": \"u42\", \"email\": \"alice@example.com\"}");
    a->start_wall_ns = 1764152625000000000ull;
}

static void check_outcome(const nx_attempt *a)
{
    if (a->out.err || a->out.status != NX_RUN_OK) die("run", a->out.message);
}

typedef struct flow {
    nx_rt *rt;
    pthread_mutex_t mu;
    pthread_cond_t ended;
    unsigned left, running;
} flow;

static void on_done(nx_attempt *a)
{
    flow *f = a->owner;
    check_outcome(a);
    (void)pthread_mutex_lock(&f->mu);
    bool has_more = f->left > 0;
    if (has_more) f->left--;
    else if (--f->running == 0) (void)pthread_cond_signal(&f->ended);
    (void)pthread_mutex_unlock(&f->mu);
    nx_error e = NX_ERROR_INIT;
    if (has_more && nx_rt_submit(f->rt, a, &e)) die("submit", e.msg);
}

/* Runs through the queue and the workers, IN_FLIGHT at a time; runs a second. */
static double submit_rate(nx_rt *rt, nx_rt_program *p, unsigned runs)
{
    static nx_attempt attempts[IN_FLIGHT];
    flow f = {.rt = rt, .left = runs - IN_FLIGHT, .running = IN_FLIGHT};
    (void)pthread_mutex_init(&f.mu, NULL);
    (void)pthread_cond_init(&f.ended, NULL);
    uint64_t begin_ns = nx_clock_ns();
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        nx_error e = NX_ERROR_INIT;
        set_attempt(&attempts[i], p);
        attempts[i].owner = &f;
        attempts[i].done = on_done;
        if (nx_rt_submit(rt, &attempts[i], &e)) die("submit", e.msg);
    }
    (void)pthread_mutex_lock(&f.mu);
    while (f.running) (void)pthread_cond_wait(&f.ended, &f.mu);
    (void)pthread_mutex_unlock(&f.mu);
    double seconds = (double)(nx_clock_ns() - begin_ns) * 1e-9;
    for (unsigned i = 0; i < IN_FLIGHT; i++) nx_attempt_done(&attempts[i]);
    (void)pthread_cond_destroy(&f.ended);
    (void)pthread_mutex_destroy(&f.mu);
    return runs / seconds;
}

static nx_rt *open_runtime(const char *dir, unsigned slots)
{
    nx_rt_options o = {.cache_dir = dir, .slots = slots};
    nx_error e = NX_ERROR_INIT;
    nx_rt *rt = NULL;
    if (nx_rt_new(&o, &rt, &e)) die("runtime", e.msg);
    return rt;
}

static nx_rt_program *load_program(nx_rt *rt, nx_slice module, nx_slice digest_of)
{
    nx_rt_program *p = NULL;
    nx_error e = NX_ERROR_INIT;
    nx_sha256 digest = nx_sha256_of(digest_of);
    if (nx_rt_program_load(rt, module, &digest, 128u << 20, &p, &e)) die("load", e.msg);
    return p;
}

/* From the cached artifact to the guest's end, in a fresh runtime; the best of some, in microseconds. */
static double cold_start_us(const char *dir, nx_slice module)
{
    double best = 1e9;
    for (unsigned i = 0; i < COLD_STARTS; i++) {
        nx_rt *rt = open_runtime(dir, 1);
        nx_attempt a;
        nx_sha256 digest = nx_sha256_of(module);
        nx_rt_program *p = NULL;
        nx_error e = NX_ERROR_INIT;
        uint64_t begin_ns = nx_clock_ns();
        if (nx_rt_program_load(rt, NX_SLICE_NULL, &digest, 128u << 20, &p, &e)) die("load from cache", e.msg);
        set_attempt(&a, p);
        if (nx_rt_run(rt, &a, &e)) die("run", e.msg);
        double us = (double)(nx_clock_ns() - begin_ns) * 1e-3;
        if (us < best) best = us;
        nx_attempt_done(&a);
        nx_rt_program_unref(p);
        nx_rt_free(rt);
    }
    return best;
}

/* The best of many short rounds, which other work on the machine does not reach. */
static double best_submit_rate(nx_rt *rt, nx_rt_program *p, unsigned runs)
{
    double best = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        double rate = submit_rate(rt, p, runs / ROUNDS);
        if (rate > best) best = rate;
    }
    return best;
}

/* The same, in turns, so that both see the same machine. */
static void measure(nx_rt *rt, nx_rt_program *p, const bare *b, unsigned runs, double *ret_bare_us, double *ret_ours_us)
{
    nx_attempt a;
    nx_error e = NX_ERROR_INIT;
    set_attempt(&a, p);
    *ret_bare_us = *ret_ours_us = 1e9;
    unsigned n = runs / ROUNDS;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t t0 = nx_clock_ns();
        for (unsigned i = 0; i < n; i++) bare_run(b);
        uint64_t t1 = nx_clock_ns();
        for (unsigned i = 0; i < n; i++)
            if (nx_rt_run(rt, &a, &e)) die("run", e.msg);
        uint64_t t2 = nx_clock_ns();
        double bare_us = (double)(t1 - t0) * 1e-3 / n, ours_us = (double)(t2 - t1) * 1e-3 / n;
        if (bare_us < *ret_bare_us) *ret_bare_us = bare_us;
        if (ours_us < *ret_ours_us) *ret_ours_us = ours_us;
    }
    check_outcome(&a);
    nx_attempt_done(&a);
}

static nx_slice read_module(const char *path)
{
    FILE *f = fopen(path, "rb");
    size_t max = 64u << 20;
    char *bytes = malloc(max);
    if (!f || !bytes) die(path, "cannot be read");
    size_t n = fread(bytes, 1, max, f);
    (void)fclose(f);
    return nx_slice_make(bytes, n);
}

static void remove_cache(const char *dir, nx_slice module)
{
    char command[256];
    (void)module;
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (system(command) != 0) (void)fprintf(stderr, "rt_bench: %s stays behind\n", dir);
}

int main(int argc, char **argv)
{
    char dir[] = "/tmp/nexus-rt-bench-XXXXXX";
    if (argc > 1 && strcmp(argv[1], NX_RT_CHILD_VERB) == 0) return nx_rt_child_main(argc, argv);
    if (argc < 2) die("usage", "rt_bench MODULE.wasm [RUNS]");
    unsigned runs = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : RUNS_DEFAULT;
    if (runs < IN_FLIGHT * ROUNDS || !mkdtemp(dir)) die("usage", "too few runs, or no /tmp");
    nx_slice module = read_module(argv[1]);
    nx_rt *rt = open_runtime(dir, 0);
    nx_rt_program *p = load_program(rt, module, module);
    bare b = bare_open(module);
    double bare_us, ours_us;
    measure(rt, p, &b, runs, &bare_us, &ours_us);
    printf("FIGURE bare engine loop, 1 thread (limit)|%.1f|us|||\n", bare_us);
    printf("FIGURE warm run, 1 thread|%.1f|us|%.1f|bare|%.1f\n", ours_us, 1.3 * bare_us, bare_us);
    printf("FIGURE runs through the workers, all cores|%.0f|1/s|||\n", best_submit_rate(rt, p, 4 * runs));
    bare_close(&b);
    nx_rt_program_unref(p);
    nx_rt_free(rt);
    printf("FIGURE cold start, cached artifact to the end of the run|%.0f|us|1000||\n", cold_start_us(dir, module));
    remove_cache(dir, module);
    free((char *)(uintptr_t)module.p);
    return 0;
}
