/* rt.c: making and ending a runtime. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "rt_internal.h"

const char *nx_rt_world_identity(void) { return "nexus-wasi-1"; }

/* The line of the engine, not its release: the releases of one line make the same code of a module, and burn the same fuel. */
const char *nx_rt_engine_identity(nx_rt *r) { return r->identity; }

static nx_err open_all(nx_rt *r, const nx_rt_options *o, nx_error *reterr)
{
    /* The link, not where it points to: an upgrade may have replaced that file. */
    r->child_program = strdup(o->child_program ? o->child_program : "/proc/self/exe");
    if (!r->child_program) return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    nx_err err = nx_rt_cache_open(o->cache_dir, &r->cache_fd, reterr);
    if (err) return err;
    (void)pthread_mutex_lock(&r->programs_mu);
    err = nx_rt_class_open_locked(r, NX_RT_CLASS_SMALL, reterr);
    (void)pthread_mutex_unlock(&r->programs_mu);
    return err;
}

nx_err nx_rt_new(const nx_rt_options *o, nx_rt **ret, nx_error *reterr)
{
    if (o->is_debug && !nx_rt_can_debug())
        return nx_error_set(reterr, NX_ENOTSUP, "this program's engine was built without support for debuggers; a development build has it");
    nx_rt *r = calloc(1, sizeof *r);
    if (!r) return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    r->cache_fd = -1;
    r->pool_slots = o->pool_slots;
    r->is_debug = o->is_debug;
    r->is_growth_unsure = !NX_ENGINE_STATIC && nx_rt_memory_refusal(NULL) != NULL;
    r->mapped_max = nx_rt_mapped_limit();
    r->warm_bytes = o->warm_bytes ? o->warm_bytes : NX_RT_WARM_BYTES_DEFAULT;
    (void)pthread_mutex_init(&r->programs_mu, NULL);
    (void)pthread_cond_init(&r->loaded, NULL);
    (void)snprintf(r->identity, sizeof r->identity, "wasmtime-48 fuel-1 nan-canonical simd-deterministic stack-%uk",
                   NX_RT_WASM_STACK_BYTES >> 10);
    nx_err err = nx_rt_workers_start(r, o, reterr);
    nx_err err_epoch = nx_rt_epoch_start(r, reterr);
    if (!err) err = err_epoch;
    if (!err) err = open_all(r, o, reterr);
    if (!err) nx_rt_metrics_open(r, o->metrics);
    if (err) {
        nx_rt_free(r);
        return err;
    }
    *ret = r;
    return NX_OK;
}

void nx_rt_free(nx_rt *r)
{
    if (!r) return;
    nx_rt_metrics_close(r);
    nx_rt_epoch_stop(&r->epoch); /* its thread asks the workers */
    nx_rt_workers_stop(r);
    nx_rt_programs_free(r);
    for (unsigned i = 0; i < NX_RT_CLASSES; i++) nx_rt_class_close(&r->classes[i]);
    if (r->cache_fd >= 0) (void)close(r->cache_fd);
    free(r->child_program);
    (void)pthread_cond_destroy(&r->loaded);
    (void)pthread_mutex_destroy(&r->programs_mu);
    free(r);
}
