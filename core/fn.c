/* fn.c: one function at one version on this node: made from its settings and its module, reference-counted. */
#include "fn.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

nx_core_fn *nx_core_fn_ref(nx_core_fn *fn)
{
    atomic_fetch_add_explicit(&fn->refs, 1, memory_order_relaxed);
    return fn;
}

void nx_core_fn_unref(nx_core_fn *fn)
{
    if (!fn || atomic_fetch_sub(&fn->refs, 1) != 1)
        return;
    for (unsigned i = 0; fn->others && i < fn->others->split.n; i++)
        nx_core_fn_unref(fn->others->v[i]);
    free(fn->others);
    if (fn->is_warm)
        nx_rt_program_cool(fn->program);
    nx_rt_program_unref(fn->program);
    nx_rt_share_unref(fn->share);
    nx_config_unref(fn->cfg);
    free(fn->types);
    free(fn);
}

nx_core_fn *nx_core_fn_choose(nx_core_fn *take_fn, const nx_event *e)
{
    const nx_core_others *o = take_fn->others;
    nx_core_fn *other = o->v[nx_core_split_at(&o->split, nx_core_split_place(nx_slice_cstr(take_fn->name), e))];
    if (!other)
        return take_fn;
    nx_core_fn_ref(other);
    nx_core_fn_unref(take_fn);
    return other;
}

nx_err nx_core_read_module(const char *path, nx_buf *out, nx_error *reterr)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        nx_err err = nx_error_set(reterr, nx_err_from_errno(errno), "%s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return err;
    }
    nx_err err = st.st_size > NX_CORE_MODULE_BYTES_MAX
                     ? nx_error_set(reterr, NX_ELIMIT, "%s: %lld bytes; a module may have %u", path, (long long)st.st_size, NX_CORE_MODULE_BYTES_MAX)
                     : nx_buf_reserve(out, (size_t)st.st_size + 1);
    while (err == NX_OK) {
        char piece[65536];
        ssize_t k = read(fd, piece, sizeof piece);
        if (k == 0)
            break;
        if (k < 0)
            err = errno == EINTR ? NX_OK : nx_error_set(reterr, nx_err_from_errno(errno), "%s: %s", path, strerror(errno));
        else
            err = nx_buf_append(out, piece, (size_t)k);
    }
    close(fd);
    return err;
}

nx_err nx_core_settings_digest(const nx_fn_config *f, nx_sha256 *ret)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf json = NX_BUF_INIT(1u << 20);
    nx_jw w = NX_JW_INIT(&json);
    nx_err err = nx_fn_config_to_json(f, &w);
    if (err == NX_OK)
        err = nx_jw_err(&w);
    if (err == NX_OK)
        *ret = nx_sha256_of(nx_buf_view(&json));
    return err;
}

void nx_core_fn_warm(nx_core_fn *fn)
{
    nx_error e = NX_ERROR_INIT;
    if (fn->is_warm || !fn->settings->warm)
        return;
    nx_err err = nx_rt_program_warm(fn->program, fn->settings->warm, &e);
    fn->is_warm = err == NX_OK || err == NX_EBUSY;
    if (err != NX_OK)
        nx_log(NX_LOG_WARN, "function.not_warm", "function '%s': warm: %u: %s", fn->name, fn->settings->warm, e.msg);
}

bool nx_core_is_type_pattern(nx_slice type) { return memchr(type.p, '*', type.n) || memchr(type.p, '>', type.n); }

/* The type of events that come in by the function's own route: /events/TYPE has that type; other paths have the one exact type
 * that `on.event` names, else nexus.http.<function>. */
static void own_type(nx_core_fn *fn, const nx_fn_config *f)
{
    if (!f->http_path.n)
        return;
    if (nx_slice_starts(f->http_path, NX_SLICE("/events/")))
        snprintf(fn->type, sizeof fn->type, "%.*s", (int)f->http_path.n - 8, f->http_path.p + 8);
    else if (f->n_events == 1 && !nx_core_is_type_pattern(f->events[0]))
        snprintf(fn->type, sizeof fn->type, "%.*s", NX_SLICE_FMT(f->events[0]));
    else
        snprintf(fn->type, sizeof fn->type, "nexus.http.%s", fn->name);
}

/* The type of events that `nexus invoke` makes: the function's own, else the first exact one that it takes, else one of its own name.
 * Only the last is a further filter of the consumer: the server looks up messages for one filter much faster than for two. */
static nx_err collect_types(nx_core_fn *fn, const nx_fn_config *f)
{
    fn->types = calloc(f->n_events + 4u, sizeof *fn->types);
    if (!fn->types)
        return NX_ENOMEM;
    nx_slice invoke = nx_slice_cstr(fn->type);
    if (fn->type[0])
        fn->types[fn->n_types++] = invoke;
    for (unsigned i = 0; i < f->n_events; i++) {
        if (!invoke.n && !nx_core_is_type_pattern(f->events[i]))
            invoke = f->events[i];
        if (!nx_slice_eq_cstr(f->events[i], fn->type))
            fn->types[fn->n_types++] = f->events[i];
    }
    if (f->n_crons) {
        snprintf(fn->cron_type, sizeof fn->cron_type, "nexus.cron.%s", fn->name);
        if (!invoke.n)
            invoke = nx_slice_cstr(fn->cron_type);
        fn->types[fn->n_types++] = nx_slice_cstr(fn->cron_type);
    }
    if (f->batch_max) {
        snprintf(fn->batch_type, sizeof fn->batch_type, "nexus.batch.%s", fn->name);
        fn->types[fn->n_types++] = nx_slice_cstr(fn->batch_type);
    }
    if (invoke.n) {
        snprintf(fn->invoke_type, sizeof fn->invoke_type, "%.*s", NX_SLICE_FMT(invoke));
    } else {
        snprintf(fn->invoke_type, sizeof fn->invoke_type, "nexus.invoke.%s", fn->name);
        fn->types[fn->n_types++] = nx_slice_cstr(fn->invoke_type);
    }
    return NX_OK;
}

nx_err nx_core_fn_new(nx_config *cfg, const nx_fn_config *f, const char *version, const nx_sha256 *artifact, const nx_sha256 *settings,
                      nx_rt_program *take_program, nx_core_fn **ret)
{
    nx_core_fn *fn = calloc(1, sizeof *fn);
    if (!fn) {
        nx_rt_program_unref(take_program);
        return NX_ENOMEM;
    }
    atomic_init(&fn->refs, 1);
    fn->program = take_program;
    nx_config_ref(cfg);
    fn->cfg = cfg;
    fn->settings = f;
    fn->grants = nx_fn_config_grants(f);
    fn->settings_sha256 = *settings;
    snprintf(fn->name, sizeof fn->name, "%.*s", NX_SLICE_FMT(f->name));
    snprintf(fn->version, sizeof fn->version, "%s", version);
    nx_sha256_hex(artifact, fn->artifact);
    own_type(fn, f);
    nx_err err = collect_types(fn, f);
    if (err != NX_OK) {
        nx_core_fn_unref(fn);
        return err;
    }
    *ret = fn;
    return NX_OK;
}
