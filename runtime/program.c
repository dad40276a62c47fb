/* program.c: from a digest to a module that is mapped and ready to be instantiated.
 * One program per digest and memory class. A mapped module costs a descriptor, some mappings and its size, so they are an LRU: a program stays
 * while it is referenced, its mapping only while it is used. Loading happens outside the lock, once for all who ask. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nx/clock.h"
#include "nx/rt_artifact.h"
#include "rt_internal.h"

#define FACTS_BYTES_MAX (64u << 20)
#define MAPPING_BYTES (64u << 10) /* what the engine holds for a mapped module beside its code */

/* ---- table and LRU; programs_mu is held */

static nx_rt_program **bucket_of(nx_rt *r, const nx_sha256 *digest)
{
    uint32_t h;
    memcpy(&h, digest->b, sizeof h);
    return &r->buckets[h % NX_RT_BUCKETS];
}

static nx_rt_program *find_locked(nx_rt *r, const nx_sha256 *digest, nx_rt_class_id id)
{
    nx_rt_program *p = *bucket_of(r, digest);
    while (p && (p->class_id != id || memcmp(&p->digest, digest, sizeof *digest) != 0)) p = p->next_in_bucket;
    return p;
}

static void lru_remove_locked(nx_rt *r, nx_rt_program *p)
{
    if (p->newer) p->newer->older = p->older;
    else r->newest = p->older;
    if (p->older) p->older->newer = p->newer;
    else r->oldest = p->newer;
    p->newer = p->older = NULL;
}

static void lru_push_locked(nx_rt *r, nx_rt_program *p)
{
    p->newer = NULL;
    p->older = r->newest;
    if (r->newest) r->newest->newer = p;
    else r->oldest = p;
    r->newest = p;
}

static void unmap_locked(nx_rt *r, nx_rt_program *p)
{
    lru_remove_locked(r, p);
    r->n_mapped--;
    r->mapped_bytes -= p->mapped_bytes;
    p->is_mapped = false;
    wasmtime_instance_pre_delete(p->pre);
    wasmtime_module_delete(p->module);
    p->pre = NULL;
    p->module = NULL;
    nx_rt_own_files_close(&p->own);
}

static bool is_over_locked(const nx_rt *r) { return r->n_mapped > r->mapped_max || r->mapped_bytes > r->warm_bytes; }

/* Those that run or are to be kept warm are passed over: they may come to more than the limit, which is then not kept. */
static void evict_locked(nx_rt *r, const nx_rt_program *but)
{
    for (nx_rt_program *q = r->oldest; q && is_over_locked(r);) {
        nx_rt_program *next = q->newer;
        if (q != but && q->active == 0 && q->pins == 0) unmap_locked(r, q);
        q = next;
    }
}

static void mapped_locked(nx_rt *r, nx_rt_program *p)
{
    p->is_mapped = p->is_new = p->is_verified = true;
    p->mapped_bytes += p->own.map_bytes + MAPPING_BYTES;
    lru_push_locked(r, p);
    r->n_mapped++;
    r->mapped_bytes += p->mapped_bytes;
    evict_locked(r, p);
}

static void destroy_locked(nx_rt *r, nx_rt_program *p)
{
    if (p->is_mapped) unmap_locked(r, p);
    free(p);
}

static void free_locked(nx_rt *r, nx_rt_program *p)
{
    nx_rt_program **at = bucket_of(r, &p->digest);
    while (*at != p) at = &(*at)->next_in_bucket;
    *at = p->next_in_bucket;
    destroy_locked(r, p);
}

/* ---- mapping; without the lock, p->is_loading is set */

/* How many values the exported function `name` returns; -1: there is none that takes nothing and returns at most one. */
static int results_of(const wasm_exporttype_vec_t *exports, const char *name)
{
    for (size_t i = 0; i < exports->size; i++) {
        const wasm_name_t *n = wasm_exporttype_name(exports->data[i]);
        const wasm_externtype_t *type = wasm_exporttype_type(exports->data[i]);
        if (n->size != strlen(name) || memcmp(n->data, name, n->size) != 0 || wasm_externtype_kind(type) != WASM_EXTERN_FUNC) continue;
        const wasm_functype_t *f = wasm_externtype_as_functype_const(type);
        size_t n_results = wasm_functype_results(f)->size;
        return wasm_functype_params(f)->size == 0 && n_results <= 1 ? (int)n_results : -1;
    }
    return -1;
}

static void note_memory(nx_rt_program *p, const wasm_exporttype_vec_t *exports)
{
    uint64_t max_pages;
    p->memory_min_bytes = 0;
    p->memory_max_bytes = UINT64_MAX;
    for (size_t i = 0; i < exports->size; i++) {
        const wasm_externtype_t *type = wasm_exporttype_type(exports->data[i]);
        if (wasm_externtype_kind(type) != WASM_EXTERN_MEMORY) continue;
        const wasm_memorytype_t *memory = wasm_externtype_as_memorytype_const(type);
        p->memory_min_bytes = wasmtime_memorytype_minimum(memory) * NX_RT_PAGE_BYTES;
        if (wasmtime_memorytype_maximum(memory, &max_pages)) p->memory_max_bytes = max_pages * NX_RT_PAGE_BYTES;
        return;
    }
}

static void note_exports(nx_rt_program *p)
{
    wasm_exporttype_vec_t exports;
    wasmtime_module_exports(p->module, &exports);
    int handle_event = results_of(&exports, "handle_event");
    p->entry = handle_event >= 0 ? NX_RT_ENTRY_HANDLE_EVENT : results_of(&exports, "_start") >= 0 ? NX_RT_ENTRY_START
                                                                                                  : NX_RT_ENTRY_NONE;
    p->has_initialize = p->entry == NX_RT_ENTRY_HANDLE_EVENT && results_of(&exports, "_initialize") >= 0;
    p->has_flush = p->entry == NX_RT_ENTRY_HANDLE_EVENT && results_of(&exports, NX_RT_FLUSH_EXPORT) == 0;
    p->entry_returns_i32 = handle_event > 0;
    note_memory(p, &exports);
    wasm_exporttype_vec_delete(&exports);
}

/* p->module is there: the rest of a program. */
static nx_err link_module(nx_rt_program *p, nx_error *reterr)
{
    wasmtime_error_t *error = wasmtime_linker_instantiate_pre(p->rt->classes[p->class_id].linker, p->module, &p->pre);
    if (error) {
        wasmtime_module_delete(p->module);
        p->module = NULL;
        return nx_rt_engine_error(reterr, NX_EMODULE, "the module can't be linked", error);
    }
    note_exports(p);
    if (p->entry != NX_RT_ENTRY_NONE) return NX_OK;
    wasmtime_instance_pre_delete(p->pre);
    wasmtime_module_delete(p->module);
    p->pre = NULL;
    p->module = NULL;
    return nx_error_set(reterr, NX_EMODULE, "the module has no entry function");
}

static nx_err map_file(nx_rt_program *p, int fd, nx_error *reterr)
{
    char path[32];
    struct stat st;
    p->mapped_bytes = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd); /* the very file that was checked */
    wasmtime_error_t *error = wasmtime_module_deserialize_file(p->rt->classes[p->class_id].engine, path, &p->module);
    return error ? nx_rt_engine_error(reterr, NX_ECORRUPT, "cached code", error) : link_module(p, reterr);
}

/* For a debugger: the engine registers what it compiles in this process. */
static nx_err compile_here(nx_rt_program *p, const nx_rt_artifact *parts, nx_error *reterr)
{
    if (parts->module.n == 0) return nx_error_set(reterr, NX_ENOENT, "code for a debugger is not kept");
    p->mapped_bytes = parts->module.n;
    nx_err err = parts->files.n ? nx_rt_own_files_copy(&p->own, parts->files, reterr) : NX_OK;
    if (err) return err;
    NX_CLEANUP(nx_buf_done)
    nx_buf derived = NX_BUF_INIT(NX_RT_MODULE_BYTES_MAX);
    if (parts->init.n) err = nx_rt_preinit(parts->module, parts->init, &derived, reterr);
    if (err) return err;
    nx_slice code = parts->init.n ? nx_buf_view(&derived) : parts->module;
    wasmtime_error_t *error = wasmtime_module_new(p->rt->classes[p->class_id].engine, (const uint8_t *)code.p, code.n, &p->module);
    err = error ? nx_rt_engine_error(reterr, NX_EMODULE, "the module can't be compiled", error) : link_module(p, reterr);
    if (err) nx_rt_own_files_close(&p->own);
    return err;
}

/* NX_ENOENT: nothing usable in the cache. */
static nx_err map_code(nx_rt_program *p, const nx_sha256 *code, nx_error *reterr)
{
    char name[NX_RT_CACHE_NAME_BYTES];
    int fd;
    nx_rt_cache_name(code, name);
    nx_err err = nx_rt_cache_take(p->rt->cache_fd, name, p->is_verified, &fd);
    if (err) return nx_error_set(reterr, err, "no compiled code for this module in the cache");
    err = map_file(p, fd, reterr);
    if (!err && !p->is_verified) p->has_derived = nx_rt_cache_derived(fd, &p->derived);
    (void)close(fd);
    if (err == NX_ECORRUPT) { /* compiled for another processor, say */
        nx_rt_cache_remove(p->rt->cache_fd, name);
        return NX_ENOENT;
    }
    return err;
}

/* Code is kept under the digest of what was compiled, so that it is made once for all artifacts that differ only in their files. A module
 * without files is its own artifact; of others the cache has a second entry, with the files and the digest of the code. */
static nx_err map_from_cache(nx_rt_program *p, nx_error *reterr)
{
    nx_sha256 code;
    nx_err err = p->has_files ? NX_ENOENT : map_code(p, &p->digest, reterr);
    if (err != NX_ENOENT) return err;
    err = nx_rt_own_files_open(p->rt->cache_fd, &p->digest, p->is_verified, &p->own, &code, reterr);
    if (err) return err;
    err = map_code(p, &code, reterr);
    if (err) nx_rt_own_files_close(&p->own);
    p->has_files = true;
    return err;
}

static nx_err compile_to_cache(nx_rt *r, const nx_sha256 *digest, nx_slice bytes, nx_error *reterr)
{
    char name[NX_RT_CACHE_NAME_BYTES], temp[NX_RT_CACHE_NAME_BYTES];
    int fd;
    nx_err err = nx_rt_cache_temp(r->cache_fd, temp, &fd, reterr);
    if (err) return err;
    (void)pthread_mutex_lock(&r->programs_mu);
    while (r->n_children == NX_RT_CHILDREN_MAX) (void)pthread_cond_wait(&r->loaded, &r->programs_mu);
    r->n_children++;
    (void)pthread_mutex_unlock(&r->programs_mu);
    uint64_t begin_ns = nx_clock_ns();
    err = nx_rt_child_run(r->child_program, (const char *const[]){NX_RT_CHILD_COMPILE, NULL}, bytes, fd, reterr);
    nx_obs_observe_ns(r->metrics.compile, nx_clock_ns() - begin_ns);
    (void)pthread_mutex_lock(&r->programs_mu);
    r->n_children--;
    (void)pthread_cond_broadcast(&r->loaded);
    (void)pthread_mutex_unlock(&r->programs_mu);
    (void)close(fd);
    if (err) {
        nx_rt_cache_remove(r->cache_fd, temp);
        return err;
    }
    nx_rt_cache_name(digest, name);
    return nx_rt_cache_publish(r->cache_fd, temp, name, reterr);
}

static bool is_compiled(const nx_rt *r, const nx_sha256 *code)
{
    char name[NX_RT_CACHE_NAME_BYTES];
    int fd;
    nx_rt_cache_name(code, name);
    if (nx_rt_cache_take(r->cache_fd, name, false, &fd)) return false;
    (void)close(fd);
    return true;
}

static nx_err load(nx_rt_program *p, nx_slice bytes, nx_error *reterr)
{
    nx_rt_artifact parts;
    nx_err err = nx_rt_artifact_split(bytes, &parts, reterr);
    if (err) return err;
    if (p->rt->is_debug) return compile_here(p, &parts, reterr);
    err = map_from_cache(p, reterr);
    if (err != NX_ENOENT || bytes.n == 0) return err;
    nx_sha256 code = parts.files.n ? nx_sha256_of(parts.code) : p->digest;
    err = parts.files.n && is_compiled(p->rt, &code) ? NX_OK : compile_to_cache(p->rt, &code, parts.code, reterr);
    if (!err && parts.files.n) err = nx_rt_own_files_store(p->rt->cache_fd, &p->digest, &code, parts.files, reterr);
    if (err) return err;
    err = map_from_cache(p, reterr);
    return err == NX_ENOENT ? nx_error_set(reterr, NX_EIO, "the code just compiled could not be read back from the cache") : err;
}

/* ---- interface */

static nx_err check_init(const nx_rt_facts *f, nx_slice init, nx_error *reterr)
{
    char name[NX_RT_INIT_NAME_BYTES + 1];
    if (nx_slice_to_cstr(init, name, sizeof name)) return nx_error_set(reterr, NX_EMODULE, "init: the name of the function is too long");
    const nx_rt_functype *type = nx_rt_facts_export_type(f, name);
    if (type && type->params.n == 0 && type->results.n == 0) return NX_OK;
    return nx_error_set(reterr, NX_EMODULE, type ? "init: the function \"%s\" has to take and return nothing" : "init: the module exports no function \"%s\"", name);
}

static nx_err check_bytes(nx_slice bytes, const nx_sha256 *digest, uint64_t memory_bytes, nx_error *reterr)
{
    nx_sha256 actual = nx_sha256_of(bytes);
    if (memcmp(&actual, digest, sizeof actual) != 0)
        return nx_error_set(reterr, NX_ECORRUPT, "the module's bytes do not have the digest they were asked for by");
    nx_arena arena = NX_ARENA_INIT(FACTS_BYTES_MAX);
    nx_rt_facts facts;
    nx_rt_artifact parts;
    nx_rt_tree *files = NULL;
    nx_rt_problems problems = {.arena = &arena};
    nx_err err = nx_rt_artifact_split(bytes, &parts, reterr);
    if (!err && parts.files.n) err = nx_rt_artifact_files(parts.files, &files, reterr);
    nx_rt_tree_free(files);
    if (!err) err = nx_rt_facts_read(parts.module, &arena, &facts, reterr);
    if (!err) {
        nx_rt_facts_check(&facts, memory_bytes, &problems);
        err = nx_rt_problems_error(&problems, reterr);
    }
    if (!err && parts.init.n) err = check_init(&facts, parts.init, reterr);
    nx_arena_done(&arena);
    return err;
}

/* The program of the table, new where there was none, with a reference for the caller. *ret_must_load: it is not mapped, and the caller's to
 * load: it is marked so, and others wait. */
static nx_err enter_locked(nx_rt *r, const nx_sha256 *digest, nx_rt_class_id id, nx_rt_program **ret, bool *ret_must_load, nx_error *reterr)
{
    nx_rt_program *p;
    while ((p = find_locked(r, digest, id)) && p->is_loading) (void)pthread_cond_wait(&r->loaded, &r->programs_mu);
    if (!p) {
        nx_err err = nx_rt_class_open_locked(r, id, reterr);
        if (err) return err;
        p = calloc(1, sizeof *p);
        if (!p) return nx_error_set(reterr, NX_ENOMEM, "out of memory");
        p->rt = r;
        p->digest = *digest;
        p->class_id = id;
        p->next_in_bucket = *bucket_of(r, digest);
        *bucket_of(r, digest) = p;
    }
    p->refs++;
    *ret_must_load = p->is_loading = !p->is_mapped;
    *ret = p;
    return NX_OK;
}

nx_err nx_rt_program_load(nx_rt *r, nx_slice bytes, const nx_sha256 *digest, uint64_t memory_bytes, nx_rt_program **ret, nx_error *reterr)
{
    if (memory_bytes > nx_rt_memory_max())
        return nx_error_set(reterr, NX_EMODULE, "a function can't have more than 4Gi of memory");
    nx_err err = bytes.n ? check_bytes(bytes, digest, memory_bytes, reterr) : NX_OK;
    if (err) return err;
    nx_rt_program *p = NULL;
    bool must_load = false;
    (void)pthread_mutex_lock(&r->programs_mu);
    err = enter_locked(r, digest, nx_rt_class_for(memory_bytes), &p, &must_load, reterr);
    (void)pthread_mutex_unlock(&r->programs_mu);
    if (err || !p) return err;
    if (must_load) {
        err = load(p, bytes, reterr);
        (void)pthread_mutex_lock(&r->programs_mu);
        p->is_loading = false;
        if (!err) mapped_locked(r, p);
        else if (--p->refs == 0) free_locked(r, p);
        (void)pthread_cond_broadcast(&r->loaded);
        (void)pthread_mutex_unlock(&r->programs_mu);
    }
    if (!err) *ret = p;
    return err;
}

bool nx_rt_program_derived(const nx_rt_program *p, nx_sha256 *ret)
{
    *ret = p->derived;
    return p->has_derived;
}

nx_rt_program *nx_rt_program_ref(nx_rt_program *p)
{
    (void)pthread_mutex_lock(&p->rt->programs_mu);
    p->refs++;
    (void)pthread_mutex_unlock(&p->rt->programs_mu);
    return p;
}

void nx_rt_program_unref(nx_rt_program *p)
{
    if (!p) return;
    nx_rt *r = p->rt;
    (void)pthread_mutex_lock(&r->programs_mu);
    if (--p->refs == 0) free_locked(r, p);
    (void)pthread_mutex_unlock(&r->programs_mu);
}

nx_err nx_rt_program_acquire(nx_rt_program *p, bool *ret_is_cold, nx_error *reterr)
{
    nx_rt *r = p->rt;
    nx_err err = NX_OK;
    (void)pthread_mutex_lock(&r->programs_mu);
    while (p->is_loading) (void)pthread_cond_wait(&r->loaded, &r->programs_mu);
    if (!p->is_mapped) {
        p->is_loading = true;
        (void)pthread_mutex_unlock(&r->programs_mu);
        err = map_from_cache(p, reterr);
        (void)pthread_mutex_lock(&r->programs_mu);
        p->is_loading = false;
        if (!err) mapped_locked(r, p);
        (void)pthread_cond_broadcast(&r->loaded);
    }
    if (!err) {
        *ret_is_cold = p->is_new;
        p->is_new = false;
        p->active++;
        if (r->newest != p) {
            lru_remove_locked(r, p);
            lru_push_locked(r, p);
        }
    }
    (void)pthread_mutex_unlock(&r->programs_mu);
    return err;
}

nx_err nx_rt_program_warm(nx_rt_program *p, unsigned instances, nx_error *reterr)
{
    bool is_cold;
    nx_err err = nx_rt_program_acquire(p, &is_cold, reterr);
    if (err) return err;
    (void)pthread_mutex_lock(&p->rt->programs_mu);
    p->pins++;
    p->is_new = is_cold; /* no attempt has run in it */
    (void)pthread_mutex_unlock(&p->rt->programs_mu);
    if (instances) err = nx_rt_make_instances(p, instances, reterr);
    nx_rt_program_release(p);
    return err;
}

void nx_rt_program_cool(nx_rt_program *p)
{
    (void)pthread_mutex_lock(&p->rt->programs_mu);
    p->pins--;
    evict_locked(p->rt, NULL);
    (void)pthread_mutex_unlock(&p->rt->programs_mu);
}

void nx_rt_program_release(nx_rt_program *p)
{
    (void)pthread_mutex_lock(&p->rt->programs_mu);
    p->active--;
    (void)pthread_mutex_unlock(&p->rt->programs_mu);
}

void nx_rt_programs_free(nx_rt *r)
{
    for (size_t i = 0; i < NX_RT_BUCKETS; i++) {
        for (nx_rt_program *p = r->buckets[i], *next; p; p = next) {
            next = p->next_in_bucket;
            destroy_locked(r, p);
        }
        r->buckets[i] = NULL;
    }
}
