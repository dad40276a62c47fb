/* compute_bench.c: the price of exactness: the same loops compiled with and without what makes a run repeatable and metered to the instruction.
 * Usage: compute_bench MODULE.wasm [ITERATIONS], the module made of compute.rs. Prints lines "FIGURE what|value|unit|must|beside|limit".
 *   fuel   every instruction counted: limits, and costs that are the same on every machine
 *   NaN    every NaN made the same one: the results of floating-point arithmetic are the same bits on every machine
 * All variants check epochs, which end a run at its timeout. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wasmtime.h>

#define ITERATIONS_DEFAULT 20000000u
#define ROUNDS 7u
#define VARIANTS 4u

static const char *const names[VARIANTS] = {"neither", "fuel", "NaN", "fuel and NaN"};

typedef struct variant {
    wasm_engine_t *engine;
    wasmtime_store_t *store;
    wasmtime_func_t integers, floats;
} variant;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "compute_bench: %s\n", what);
    exit(1);
}

static wasmtime_func_t export_of(variant *v, const wasmtime_instance_t *instance, const char *name)
{
    wasmtime_extern_t item;

    if (!wasmtime_instance_export_get(wasmtime_store_context(v->store), instance, name, strlen(name), &item) || item.kind != WASMTIME_EXTERN_FUNC)
        die("the module lacks a function");
    return item.of.func;
}

static void open_variant(variant *v, unsigned i, const uint8_t *bytes, size_t n)
{
    wasm_config_t *c = wasm_config_new();
    wasmtime_module_t *module = NULL;
    wasmtime_instance_t instance;
    wasm_trap_t *trap = NULL;

    wasmtime_config_epoch_interruption_set(c, true);
    wasmtime_config_consume_fuel_set(c, (i & 1) != 0);
    wasmtime_config_cranelift_nan_canonicalization_set(c, (i & 2) != 0);
    v->engine = wasm_engine_new_with_config(c);
    v->store = wasmtime_store_new(v->engine, NULL, NULL);
    wasmtime_context_t *context = wasmtime_store_context(v->store);
    wasmtime_context_set_epoch_deadline(context, UINT32_MAX);
    if (wasmtime_module_new(v->engine, bytes, n, &module) || wasmtime_instance_new(context, module, NULL, 0, &instance, &trap) || trap)
        die("the module does not compile, or has imports");
    wasmtime_module_delete(module);
    v->integers = export_of(v, &instance, "integers");
    v->floats = export_of(v, &instance, "floats");
}

/* Processor time of this thread: what else the machine does is not in it. */
static double cpu_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* Milliseconds. */
static double call(variant *v, const wasmtime_func_t *f, bool has_fuel, unsigned iterations, uint64_t *ret)
{
    wasmtime_context_t *context = wasmtime_store_context(v->store);
    wasmtime_val_t argument = {.kind = WASMTIME_I32, .of.i32 = (int32_t)iterations}, result;
    wasm_trap_t *trap = NULL;
    double begin_ms;

    if (has_fuel && wasmtime_context_set_fuel(context, UINT64_MAX / 2))
        die("no fuel");
    begin_ms = cpu_ms();
    if (wasmtime_func_call(context, f, &argument, 1, &result, 1, &trap) || trap)
        die("the guest failed");
    *ret = (uint64_t)result.of.i64;
    return cpu_ms() - begin_ms;
}

/* The best of some rounds in which the variants take turns, so that all see the same machine. */
static void measure(variant *v, bool is_floats, unsigned iterations)
{
    double best[VARIANTS];
    uint64_t first = 0, result;

    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned i = 0; i < VARIANTS; i++) {
            double ms = call(&v[i], is_floats ? &v[i].floats : &v[i].integers, (i & 1) != 0, iterations, &result);

            if (!round || ms < best[i])
                best[i] = ms;
            if (i == 0)
                first = result;
            else if (result != first)
                die("the variants differ in their result");
        }
    for (unsigned i = 0; i < VARIANTS; i++) {
        printf("FIGURE %u M %s operations, %s|%.1f|ms||", iterations / 1000000, is_floats ? "floating-point" : "integer", names[i], best[i]);
        if (i)
            printf("%s|%.1f\n", names[0], best[0]);
        else
            printf("|\n");
    }
}

int main(int argc, char **argv)
{
    unsigned iterations = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : ITERATIONS_DEFAULT;
    variant v[VARIANTS];
    static uint8_t bytes[1 << 20];
    FILE *f = argc > 1 ? fopen(argv[1], "rb") : NULL;
    size_t n = f ? fread(bytes, 1, sizeof bytes, f) : 0;

    if (!n || !iterations)
        die("usage: compute_bench MODULE.wasm [ITERATIONS]");
    (void)fclose(f);
    for (unsigned i = 0; i < VARIANTS; i++)
        open_variant(&v[i], i, bytes, n);
    measure(v, false, iterations);
    measure(v, true, iterations);
    for (unsigned i = 0; i < VARIANTS; i++) {
        wasmtime_store_delete(v[i].store);
        wasm_engine_delete(v[i].engine);
    }
    return 0;
}
