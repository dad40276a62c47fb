/* live.c: the registry's functions as this node runs them: the versions that their alias `live` names, loaded. */
#include "alias.h"
#include "fn.h"
#include "version.h"
#include <stdlib.h>

#define LOAD_AGAIN_NS (5 * NX_NS_PER_S)

/* The registry's functions, listed at once: thousands of versions are not asked for one after the other. */
typedef struct listing {
    nx_kv *v; /* by key */
    unsigned n;
} listing;

/* from: NULL: the version is asked for. ret_absent: the settings (a reference), where only the program could not be had. */
static nx_err load_version(nx_node *n, const listing *from, const char *name, const char *version, nx_core_fn **ret, nx_config **ret_absent, nx_error *reterr)
{
    nx_core_stored sv;
    nx_rt_program *program = NULL;
    nx_err err = from ? nx_core_stored_find(from->v, from->n, name, version, &sv, reterr) : nx_core_stored_get(n, name, version, &sv, reterr);
    if (err != NX_OK)
        return err;
    err = nx_core_program_get(n, &sv.artifact, sv.settings->memory_bytes, &program, reterr);
    if (err != NX_OK) {
        *ret_absent = sv.cfg;
        return err;
    }
    err = nx_core_fn_new(sv.cfg, sv.settings, version, &sv.artifact, &sv.settings_sha256, program, ret);
    nx_core_stored_done(&sv);
    return err;
}

nx_err nx_core_fn_of_version(nx_node *n, const char *name, const char *version, nx_core_fn **ret, nx_error *reterr)
{
    nx_config *absent = NULL;
    nx_err err = load_version(n, NULL, name, version, ret, &absent, reterr);
    nx_config_unref(absent);
    return err;
}

/* The version that gets most, with the others at hand. */
static nx_err load_split(nx_node *n, const listing *from, const char *name, const nx_core_split *s, nx_core_fn **ret, nx_config **ret_absent, nx_error *reterr)
{
    const nx_core_share *most = nx_core_split_main(s);
    nx_core_fn *fn = NULL;
    nx_err err = load_version(n, from, name, most->version, &fn, ret_absent, reterr);
    if (err != NX_OK || s->n == 1) {
        *ret = fn;
        return err;
    }
    fn->others = calloc(1, sizeof *fn->others);
    if (!fn->others)
        err = nx_error_set(reterr, NX_ENOMEM, "out of memory");
    else
        fn->others->split = *s;
    for (unsigned i = 0; err == NX_OK && i < s->n; i++)
        if (&s->v[i] != most)
            err = load_version(n, from, name, s->v[i].version, &fn->others->v[i], ret_absent, reterr);
    if (err == NX_OK)
        *ret = fn;
    else
        nx_core_fn_unref(fn);
    return err;
}

static bool runs_already(const nx_core_fn *fn, const nx_core_split *s)
{
    if (!fn || fn->is_project)
        return false;
    return fn->others ? nx_core_split_equal(&fn->others->split, s) : s->n == 1 && strcmp(fn->version, s->v[0].version) == 0;
}

/* One function that can't be loaded doesn't keep the others from running: its earlier version goes on, or its events wait in the log. */
static nx_err without(nx_node *n, nx_core_fn *running, nx_config *take_absent, nx_core_fn_set *set, const nx_error *why, nx_error *reterr)
{
    if (nx_err_is_retryable(why->code))
        nx_core_reload_later(n, LOAD_AGAIN_NS);
    if (running) {
        nx_config_unref(take_absent);
        return nx_core_fn_set_add(set, nx_core_fn_ref(running));
    }
    if (take_absent)
        return nx_core_fn_set_add_absent(set, take_absent);
    /* What it takes is not known: its raw subjects would be given up. */
    return nx_err_is_retryable(why->code) ? nx_error_set(reterr, why->code, "%s", why->msg) : NX_OK;
}

/* One function as `live` says. */
static nx_err add(nx_node *n, const listing *from, const char *name, const nx_core_split *live, const nx_core_fn_set *now, nx_core_fn_set *set, nx_error *reterr)
{
    nx_core_fn *running = nx_core_fn_set_find(now, name), *fn = NULL;
    nx_config *absent = NULL;
    nx_error e = NX_ERROR_INIT;
    char text[NX_CORE_SPLIT_MAX * 48];
    if (runs_already(running, live))
        return nx_core_fn_set_add(set, nx_core_fn_ref(running));
    e.code = load_split(n, from, name, live, &fn, &absent, &e);
    if (e.code == NX_OK)
        return nx_core_fn_set_add(set, fn);
    nx_core_split_text(live, text, sizeof text);
    nx_log(NX_LOG_ERROR, "function.not_loaded", "function '%s' %s is not running: %s", name, text, e.msg);
    return without(n, running, absent, set, &e, reterr);
}

nx_err nx_core_stored_function(nx_node *n, const char *name, const nx_core_fn *now, nx_core_fn **ret, nx_error *reterr)
{
    nx_core_alias live;
    nx_config *absent = NULL;
    nx_err err = nx_core_alias_get(n, name, NX_CORE_LIVE, &live, reterr);
    if (err != NX_OK)
        return err;
    if (runs_already(now, &live.split)) {
        *ret = nx_core_fn_ref((nx_core_fn *)(uintptr_t)now);
        return NX_OK;
    }
    err = load_split(n, NULL, name, &live.split, ret, &absent, reterr);
    nx_config_unref(absent);
    return err;
}

nx_err nx_core_stored_functions(nx_node *n, const nx_core_fn_set *now, nx_core_fn_set *set, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(512u << 20); /* every stored version's settings, for a moment */
    listing all = {0};
    nx_err err = nx_fab_kv_list(n->ns, "fn.", &a, &all.v, &all.n, reterr);
    for (unsigned i = 0; err == NX_OK && i < all.n; i++) {
        nx_slice function, alias;
        nx_core_alias live;
        char name[NX_FUNCTION_NAME_BYTES + 1];
        if (!nx_core_alias_key_parse(all.v[i].key, &function, &alias) || !nx_slice_eq_cstr(alias, NX_CORE_LIVE) || nx_slice_to_cstr(function, name, sizeof name) != NX_OK ||
            nx_core_fn_set_find(set, name))
            continue;
        if (nx_core_alias_parse(all.v[i].value, &live) == NX_OK)
            err = add(n, &all, name, &live.split, now, set, reterr);
        else
            nx_log(NX_LOG_ERROR, "function.not_loaded", "function '%s' is not running: its alias 'live' is damaged", name);
    }
    return err;
}
