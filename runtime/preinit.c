/* preinit.c: running a module's initialisation once, when it is deployed, and keeping what it leaves as the module's initial state (the idea of
 * Wizer). In the limited child, before the module is compiled.
 * What is kept has to be the same for every run: any host call is refused, by name, because its answer belongs to one run (clock, randomness,
 * environment, contents of files) or its effect to each (output); so are tables that change, whose elements a module can't spell out as constants. */
#include <stdio.h>
#include <stdlib.h>

#include "nx/rt_artifact.h"
#include "preinit.h"
#include "rt_internal.h"
#include "wasi/errno.h"

#define INITIALIZE "_initialize"
#define FUEL 20000000000ull /* some 10 s */
#define MEMORY_BYTES (1ull << 30)

typedef struct preinit {
    const nx_rt_sections *sections;
    wasm_engine_t *engine;
    wasmtime_module_t *module;
    wasmtime_store_t *store;
    wasmtime_context_t *context;
    nx_rt_growth growth;
    wasmtime_instance_t instance;
    wasmtime_func_t *elements; /* of all tables, before */
    size_t n_elements;
    bool is_reactor;  /* it exports _initialize, which is where its library reads the environment, once */
    char called[160]; /* the host call that was made */
} preinit;

/* Each import's own name, for the message. */
typedef struct import_name {
    preinit *p;
    char name[120];
} import_name;

/* The guest's memory there; NULL: it has not so much. */
static uint8_t *memory_at(wasmtime_caller_t *caller, const wasmtime_val_t *address, size_t n_bytes)
{
    wasmtime_extern_t item;
    wasmtime_context_t *context = wasmtime_caller_context(caller);
    if (!wasmtime_caller_export_get(caller, "memory", 6, &item) || item.kind != WASMTIME_EXTERN_MEMORY) return NULL;
    size_t n = wasmtime_memory_data_size(context, &item.of.memory), at = (uint32_t)address->of.i32;
    return n_bytes > n || at > n - n_bytes ? NULL : wasmtime_memory_data(context, &item.of.memory) + at;
}

/* environ_sizes_get of an empty environment. */
static bool put_no_environment(wasmtime_caller_t *caller, const wasmtime_val_t *args)
{
    for (unsigned i = 0; i < 2; i++) {
        uint8_t *p = memory_at(caller, &args[i], 4);
        if (!p) return false;
        memset(p, 0, 4);
    }
    return true;
}

/* Libraries ask once for the folders that are there, some in _initialize, and keep what they find: "/", as in every run (wasi/fs.c). */
static bool answer_folders(const import_name *i, wasmtime_caller_t *caller, const wasmtime_val_t *args, size_t n_args, wasmtime_val_t *results, size_t n_results)
{
    bool is_get = strcmp(i->name, "fd_prestat_get") == 0;
    if ((!is_get && strcmp(i->name, "fd_prestat_dir_name") != 0) || n_args != (is_get ? 2 : 3) || n_results != 1) return false;
    for (size_t k = 0; k < n_args; k++)
        if (args[k].kind != WASMTIME_I32) return false;
    bool is_there = args[0].of.i32 == NX_RT_STREAMS && (is_get || args[2].of.i32 != 0);
    uint8_t *p = is_there ? memory_at(caller, &args[1], is_get ? 8 : 1) : NULL;
    if (is_there && !p) return false;
    if (is_there && is_get) memcpy(p, (const uint8_t[8]){[4] = 1}, 8); /* a folder, whose name has one byte */
    else if (is_there) *p = '/';
    results[0] = (wasmtime_val_t){.kind = WASMTIME_I32, .of.i32 = is_there ? NX_WASI_OK : NX_WASI_EBADF};
    return true;
}

/* Rust's libraries read the environment in front of every exported function: it is empty here, and read anew in every run. */
static bool answer_environment(const import_name *i, wasmtime_caller_t *caller, const wasmtime_val_t *args, size_t n_args, wasmtime_val_t *results, size_t n_results)
{
    bool is_sizes = strcmp(i->name, "environ_sizes_get") == 0;
    if (i->p->is_reactor || (!is_sizes && strcmp(i->name, "environ_get") != 0) || n_args != 2 || n_results != 1 || args[0].kind != WASMTIME_I32 ||
        args[1].kind != WASMTIME_I32)
        return false;
    if (is_sizes && !put_no_environment(caller, args)) return false;
    results[0] = (wasmtime_val_t){.kind = WASMTIME_I32};
    return true;
}

static wasm_trap_t *on_call(void *env, wasmtime_caller_t *caller, const wasmtime_val_t *args, size_t n_args, wasmtime_val_t *results, size_t n_results)
{
    static const char text[] = "a host call";
    const import_name *i = env;
    if (answer_environment(i, caller, args, n_args, results, n_results) || answer_folders(i, caller, args, n_args, results, n_results)) return NULL;
    if (!i->p->called[0]) (void)snprintf(i->p->called, sizeof i->p->called, "%s", i->name);
    return wasmtime_trap_new(text, sizeof text - 1);
}

static nx_err define_imports(preinit *p, wasmtime_linker_t *linker, nx_error *reterr)
{
    wasm_importtype_vec_t imports;
    wasmtime_error_t *error = NULL;
    nx_err err = NX_OK;
    wasmtime_module_imports(p->module, &imports);
    for (size_t i = 0; i < imports.size && !error && !err; i++) {
        const wasm_name_t *module = wasm_importtype_module(imports.data[i]), *name = wasm_importtype_name(imports.data[i]);
        const wasm_externtype_t *type = wasm_importtype_type(imports.data[i]);
        if (wasm_externtype_kind(type) != WASM_EXTERN_FUNC) {
            err = nx_error_set(reterr, NX_EMODULE, "only functions may be imported by a module that is initialised ahead of time");
            break;
        }
        import_name *n = malloc(sizeof *n);
        if (!n) {
            err = nx_error_set(reterr, NX_ENOMEM, "out of memory");
            break;
        }
        n->p = p;
        (void)snprintf(n->name, sizeof n->name, "%.*s", (int)name->size, name->data);
        error = wasmtime_linker_define_func(linker, module->data, module->size, name->data, name->size, wasm_externtype_as_functype_const(type), on_call, n, free);
    }
    wasm_importtype_vec_delete(&imports);
    return error ? nx_rt_engine_error(reterr, NX_EMODULE, "the module can't be initialised ahead of time", error) : err;
}

/* ---- tables: as they were, and whether they still are */

static bool table_at(preinit *p, unsigned i, wasmtime_table_t *ret)
{
    char name[NX_RT_SPARE_NAME_BYTES];
    wasmtime_extern_t item;
    size_t n = nx_rt_spare_name(name, 't', i);
    if (!wasmtime_instance_export_get(p->context, &p->instance, name, n, &item) || item.kind != WASMTIME_EXTERN_TABLE) return false;
    *ret = item.of.table;
    return true;
}

static nx_err each_element(preinit *p, bool is_after, bool *ret_same, nx_error *reterr)
{
    size_t at = 0;
    *ret_same = true;
    for (unsigned i = 0; i < p->sections->n_tables; i++) {
        wasmtime_table_t t;
        if (!table_at(p, i, &t)) return nx_error_set(reterr, NX_EBUG, "table %u is not there", i);
        uint64_t n = wasmtime_table_size(p->context, &t);
        if (n > NX_RT_TABLE_ELEMENTS) return nx_error_set(reterr, NX_EMODULE, "a table of %llu elements", (unsigned long long)n);
        if (!is_after) {
            wasmtime_func_t *grown = realloc(p->elements, (p->n_elements + (size_t)n + 1) * sizeof *grown);
            if (!grown) return nx_error_set(reterr, NX_ENOMEM, "out of memory");
            p->elements = grown;
            p->n_elements += (size_t)n;
        }
        for (uint64_t k = 0; k < n; k++, at++) {
            wasmtime_func_t v;
            if (at >= p->n_elements || !nx_rt_engine_table_func(p->context, &t, k, &v)) {
                *ret_same = false;
                return NX_OK;
            }
            if (!is_after) p->elements[at] = v;
            else if (memcmp(&p->elements[at], &v, sizeof v) != 0) *ret_same = false;
        }
    }
    if (at != p->n_elements) *ret_same = false;
    return NX_OK;
}

/* ---- running */

static nx_err ended(preinit *p, const char *what, wasmtime_error_t *error, wasm_trap_t *trap, nx_error *reterr)
{
    if (!error && !trap) return NX_OK;
    nx_err err;
    if (p->called[0])
        err = nx_error_set(reterr, NX_EMODULE, "%s can't run ahead of time: it calls %s, whose answer or effect belongs to each run (remove preinit, or call it later)", what,
                           p->called);
    else if (trap) {
        wasm_name_t text;
        wasmtime_trap_code_t code;
        wasm_trap_message(trap, &text);
        if (wasmtime_trap_code(trap, &code) && code == WASMTIME_TRAP_CODE_OUT_OF_FUEL)
            err = nx_error_set(reterr, NX_EMODULE, "%s does not come to an end within %llu million instructions", what, FUEL / 1000000);
        else err = nx_error_set(reterr, NX_EMODULE, "%s failed ahead of time: %.*s", what, (int)(text.size > 300 ? 300 : text.size), text.data);
        wasm_byte_vec_delete(&text);
    } else {
        err = nx_rt_engine_error(reterr, NX_EMODULE, what, error);
        error = NULL;
    }
    if (error) wasmtime_error_delete(error);
    if (trap) wasm_trap_delete(trap);
    return err;
}

static nx_err call(preinit *p, const char *name, bool must_be, nx_error *reterr)
{
    wasmtime_extern_t item;
    wasm_trap_t *trap = NULL;
    wasmtime_val_t unused[1];
    if (!wasmtime_instance_export_get(p->context, &p->instance, name, strlen(name), &item) || item.kind != WASMTIME_EXTERN_FUNC)
        return must_be ? nx_error_set(reterr, NX_EMODULE, "init: the module exports no function \"%s\"", name) : NX_OK;
    wasmtime_error_t *error = wasmtime_func_call(p->context, &item.of.func, NULL, 0, unused, 0, &trap);
    return ended(p, name, error, trap, reterr);
}

static nx_err run(preinit *p, const char *init, nx_error *reterr)
{
    wasm_trap_t *trap = NULL;
    bool is_same;
    nx_err err;
    wasmtime_linker_t *linker = wasmtime_linker_new(p->engine);
    if (!linker) return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    err = define_imports(p, linker, reterr);
    if (!err) {
        wasmtime_error_t *error = wasmtime_linker_instantiate(linker, p->context, p->module, &p->instance, &trap);
        err = ended(p, "the start function", error, trap, reterr);
    }
    wasmtime_linker_delete(linker);
    if (!err) err = each_element(p, false, &is_same, reterr);
    if (!err && !is_same) err = nx_error_set(reterr, NX_EMODULE, "the module has a table of other things than functions");
    if (!err) err = call(p, INITIALIZE, false, reterr);
    if (!err && strcmp(init, INITIALIZE) != 0) err = call(p, init, true, reterr);
    if (!err) err = each_element(p, true, &is_same, reterr);
    if (!err && !is_same) err = nx_error_set(reterr, NX_EMODULE, "%s changes a table of functions, which can't be kept", init);
    return err;
}

/* ---- what it left */

static nx_err read_state(preinit *p, nx_rt_state *state, nx_error *reterr)
{
    char name[NX_RT_SPARE_NAME_BYTES];
    wasmtime_extern_t item;
    for (unsigned i = 0; i < p->sections->n_globals; i++) {
        nx_rt_global *g = &p->sections->globals[i];
        if (!g->is_mutable) continue;
        size_t n = nx_rt_spare_name(name, 'g', i);
        wasmtime_val_t v;
        if (!wasmtime_instance_export_get(p->context, &p->instance, name, n, &item) || item.kind != WASMTIME_EXTERN_GLOBAL)
            return nx_error_set(reterr, NX_EBUG, "global %u is not there", i);
        wasmtime_global_get(p->context, &item.of.global, &v);
        switch (v.kind) {
        case WASMTIME_I32: g->value = (uint32_t)v.of.i32; break;
        case WASMTIME_I64: g->value = (uint64_t)v.of.i64; break;
        case WASMTIME_F32: memcpy(&g->value, &v.of.f32, sizeof v.of.f32); break;
        case WASMTIME_F64: memcpy(&g->value, &v.of.f64, sizeof v.of.f64); break;
        default: return nx_error_set(reterr, NX_EMODULE, "the module has a variable of a type that can't be kept (global %u)", i);
        }
    }
    if (!p->sections->n_memories) return NX_OK;
    size_t n = nx_rt_spare_name(name, 'm', 0);
    if (!wasmtime_instance_export_get(p->context, &p->instance, name, n, &item) || item.kind != WASMTIME_EXTERN_MEMORY)
        return nx_error_set(reterr, NX_EBUG, "the memory is not there");
    state->memory = nx_slice_make(wasmtime_memory_data(p->context, &item.of.memory), wasmtime_memory_data_size(p->context, &item.of.memory));
    return NX_OK;
}

static bool exports_initialize(const wasmtime_module_t *module)
{
    wasm_exporttype_vec_t exports;
    bool is_found = false;
    wasmtime_module_exports(module, &exports);
    for (size_t i = 0; i < exports.size && !is_found; i++) {
        const wasm_name_t *name = wasm_exporttype_name(exports.data[i]);
        is_found = nx_slice_eq_cstr(nx_slice_make(name->data, name->size), INITIALIZE);
    }
    wasm_exporttype_vec_delete(&exports);
    return is_found;
}

static nx_err initialise(preinit *p, nx_slice instrumented, const char *init, nx_buf *out, nx_error *reterr)
{
    nx_rt_state state = {.init = init};
    wasmtime_error_t *error = wasmtime_module_new(p->engine, (const uint8_t *)instrumented.p, instrumented.n, &p->module);
    if (error) return nx_rt_engine_error(reterr, NX_EMODULE, "the engine refused the module", error);
    p->is_reactor = exports_initialize(p->module);
    p->store = wasmtime_store_new(p->engine, NULL, NULL);
    if (!p->store) return nx_error_set(reterr, NX_ENOMEM, "out of memory for a store");
    p->context = wasmtime_store_context(p->store);
    wasmtime_context_set_epoch_deadline(p->context, UINT64_MAX / 2);
    nx_rt_growth_limit(&p->growth, p->store, MEMORY_BYTES);
    error = wasmtime_context_set_fuel(p->context, FUEL);
    if (error) return nx_rt_engine_error(reterr, NX_EBUG, "fuel", error);
    nx_err err = run(p, init, reterr);
    if (p->growth.is_refused) err = nx_error_set(reterr, NX_ENOMEM, NX_RT_REFUSED_MEMORY " while %s ran ahead of time", init);
    if (!err) err = read_state(p, &state, reterr);
    return err ? err : nx_rt_sections_derive(p->sections, &state, out, reterr);
}

nx_err nx_rt_preinit(nx_slice module, nx_slice init, nx_buf *out, nx_error *reterr)
{
    nx_arena arena = NX_ARENA_INIT(64u << 20);
    nx_rt_sections sections;
    preinit p = {.sections = &sections};
    char name[NX_RT_INIT_NAME_BYTES + 1];
    nx_buf instrumented = NX_BUF_INIT(NX_RT_MODULE_BYTES_MAX);
    nx_err err = nx_slice_to_cstr(init, name, sizeof name);
    if (err) err = nx_error_set(reterr, NX_EMODULE, "init: the name of the function is too long");
    if (!err) err = nx_rt_sections_read(module, &arena, &sections, reterr);
    if (!err) err = nx_rt_sections_instrument(&sections, &instrumented, reterr);
    if (!err) {
        wasm_config_t *config = nx_rt_engine_config();
        if (config) nx_rt_engine_pool(config, NX_RT_CLASS_LARGE, 1, 0); /* as in runs, so that a refused growth is told as there */
        p.engine = config ? wasm_engine_new_with_config(config) : NULL;
        err = p.engine ? initialise(&p, nx_buf_view(&instrumented), name, out, reterr) : nx_error_set(reterr, NX_ENOMEM, "out of memory");
    }
    if (p.store) wasmtime_store_delete(p.store);
    if (p.module) wasmtime_module_delete(p.module);
    if (p.engine) wasm_engine_delete(p.engine);
    free(p.elements);
    nx_buf_done(&instrumented);
    nx_arena_done(&arena);
    return err;
}
