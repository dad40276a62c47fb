/* pause.c: functions that are paused: their events are stored and wait. The registry says so (key pause.<function>), so it outlives nodes and
 * holds for all of them; each brings its own consumers to what the registry says, when that changes and when it starts. */
#include "lanes.h"
#include <stdio.h>
#include <stdlib.h>

#define KEY_PREFIX "pause."
#define KEY_MAX (sizeof KEY_PREFIX + NX_FUNCTION_NAME_BYTES)

struct nx_core_pauses {
    pthread_mutex_t mu;
    nx_core_pause *v;
    unsigned n;
};

nx_err nx_core_pauses_new(nx_core_pauses **ret)
{
    nx_core_pauses *p = calloc(1, sizeof *p);
    if (!p)
        return NX_ENOMEM;
    pthread_mutex_init(&p->mu, NULL);
    *ret = p;
    return NX_OK;
}

void nx_core_pauses_free(nx_core_pauses *p)
{
    if (!p)
        return;
    pthread_mutex_destroy(&p->mu);
    free(p->v);
    free(p);
}

static const nx_core_pause *find(const nx_core_pause *v, unsigned n, const char *function)
{
    for (unsigned i = 0; i < n; i++)
        if (strcmp(v[i].function, function) == 0)
            return &v[i];
    return NULL;
}

bool nx_core_pause_get(nx_core_pauses *p, const char *function, nx_core_pause *ret)
{
    pthread_mutex_lock(&p->mu);
    const nx_core_pause *found = find(p->v, p->n, function);
    if (found && ret)
        *ret = *found;
    pthread_mutex_unlock(&p->mu);
    return found != NULL;
}

/* ---- what the registry says ------------------------------------------------------------------------------------------------------------------ */

static void parse(nx_slice function, nx_slice json, nx_core_pause *ret)
{
    nx_json *j = NULL;
    *ret = (nx_core_pause){0};
    snprintf(ret->function, sizeof ret->function, "%.*s", NX_SLICE_FMT(function));
    if (nx_json_parse(json, 64u << 10, &j, NULL) != NX_OK)
        return; /* paused all the same: somebody wanted it to stop */
    snprintf(ret->at, sizeof ret->at, "%.*s", NX_SLICE_FMT(nx_json_get_str(j, "at")));
    snprintf(ret->reason, sizeof ret->reason, "%.*s", NX_SLICE_FMT(nx_json_get_str(j, "reason")));
    (void)nx_id_parse(nx_json_get_str(j, "event_id"), &ret->event_id);
    nx_json_free(j);
}

static nx_err read_all(nx_node *n, nx_core_pause **ret, unsigned *ret_n, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(16u << 20);
    nx_kv *all = NULL;
    unsigned count = 0;
    nx_err err = nx_fab_kv_list(n->ns, KEY_PREFIX, &a, &all, &count, reterr);
    if (err != NX_OK)
        return err;
    nx_core_pause *v = calloc(count + 1u, sizeof *v);
    if (!v)
        return nx_error_set(reterr, NX_ENOMEM, "paused functions");
    for (unsigned i = 0; i < count; i++)
        parse(nx_slice_sub(all[i].key, sizeof KEY_PREFIX - 1, all[i].key.n), all[i].value, &v[i]);
    *ret = v;
    *ret_n = count;
    return NX_OK;
}

static void say_changes(const nx_core_pause *old, unsigned n_old, const nx_core_pause *now, unsigned n_now)
{
    for (unsigned i = 0; i < n_now; i++)
        if (!find(old, n_old, now[i].function))
            nx_log(now[i].event_id.s[0] ? NX_LOG_ERROR : NX_LOG_WARN, "function.paused", "function '%s' is PAUSED: %s; its events are stored and wait for: nexus functions resume %s",
                   now[i].function, now[i].reason[0] ? now[i].reason : "by request", now[i].function);
    for (unsigned i = 0; i < n_old; i++)
        if (!find(now, n_now, old[i].function))
            nx_log(NX_LOG_INFO, "function.resumed", "function '%s' is resumed", old[i].function);
}

static nx_err read_registry(nx_node *n, nx_error *reterr)
{
    nx_core_pause *now = NULL;
    unsigned n_now = 0;
    nx_err err = read_all(n, &now, &n_now, reterr);
    if (err != NX_OK)
        return err;
    nx_core_pauses *p = n->pauses;
    pthread_mutex_lock(&p->mu);
    nx_core_pause *old = p->v;
    unsigned n_old = p->n;
    p->v = now;
    p->n = n_now;
    pthread_mutex_unlock(&p->mu);
    say_changes(old, n_old, now, n_now); /* `now` changes only under apply_mu, which is held */
    free(old);
    return NX_OK;
}

nx_err nx_core_pauses_apply(nx_node *n, nx_error *reterr)
{
    nx_err err = read_registry(n, reterr);
    for (nx_core_slot *s = n->slots; s && err == NX_OK; s = s->next) {
        bool is_paused = nx_core_pause_get(n->pauses, s->name, NULL);
        if (s->consumer)
            err = nx_fab_consumer_pause(s->consumer, is_paused, reterr);
        for (unsigned i = 0; err == NX_OK && i < NX_CORE_LANES && s->lanes[i]; i++)
            err = nx_fab_consumer_pause(nx_core_lane_consumer(s->lanes[i]), is_paused, reterr);
        if (err == NX_OK && s->timers)
            err = nx_fab_consumer_pause(s->timers, is_paused, reterr);
    }
    return err;
}

/* ---- pausing and resuming ---------------------------------------------------------------------------------------------------------------------- */

static nx_err apply(nx_node *n, nx_error *reterr)
{
    pthread_mutex_lock(&n->apply_mu);
    nx_err err = nx_core_pauses_apply(n, reterr);
    pthread_mutex_unlock(&n->apply_mu);
    return err;
}

nx_err nx_core_pause_set(nx_node *n, const char *function, nx_slice reason, const nx_id *event_id, bool *ret_changed, nx_error *reterr)
{
    char key[KEY_MAX], now[NX_RFC3339_MAX];
    NX_CLEANUP(nx_buf_done)
    nx_buf json = NX_BUF_INIT(4096);
    nx_jw w = NX_JW_INIT(&json);
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "function", function);
    nx_jw_kstr(&w, "at", nx_slice_make(now, nx_clock_rfc3339(nx_clock_wall_ns(), 3, now)));
    nx_jw_kstr(&w, "reason", nx_slice_sub(reason, 0, NX_CORE_PAUSE_REASON_BYTES - 1));
    if (event_id)
        nx_jw_kstr(&w, "event_id", nx_id_slice(event_id));
    nx_jw_object_end(&w);
    nx_err err = nx_jw_err(&w);
    snprintf(key, sizeof key, KEY_PREFIX "%s", function);
    if (err == NX_OK)
        err = nx_fab_kv_put(n->ns, key, nx_buf_view(&json), 0, NULL, reterr);
    *ret_changed = err == NX_OK;
    if (err == NX_EEXIST) /* paused already; the first reason stays */
        err = NX_OK;
    return err == NX_OK ? apply(n, reterr) : err;
}

nx_err nx_core_pause_end(nx_node *n, const char *function, bool *ret_changed, nx_error *reterr)
{
    char key[KEY_MAX];
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(64u << 10);
    nx_slice value;
    snprintf(key, sizeof key, KEY_PREFIX "%s", function);
    nx_err err = nx_fab_kv_get(n->ns, key, &a, &value, NULL, reterr);
    *ret_changed = err == NX_OK;
    if (err == NX_OK)
        err = nx_fab_kv_delete(n->ns, key, reterr);
    if (err == NX_ENOENT)
        err = NX_OK;
    return err == NX_OK ? apply(n, reterr) : err;
}

/* ---- following the registry ---------------------------------------------------------------------------------------------------------------------- */

static void follow_job(nx_core_job *job)
{
    nx_node *n = (nx_node *)(void *)((char *)job - offsetof(nx_node, pause_job));
    nx_error e = NX_ERROR_INIT;
    atomic_store(&n->is_pause_posted, false);
    if (apply(n, &e) == NX_OK || atomic_load(&n->is_draining))
        return;
    nx_log(NX_LOG_WARN, "function.pause_not_applied", "which functions are paused could not be read: %s", e.msg);
    nx_core_reload_later(n, NX_NS_PER_S);
}

bool nx_core_pause_on_change(nx_node *n, nx_slice key)
{
    if (!nx_slice_starts(key, NX_SLICE(KEY_PREFIX)))
        return false;
    bool is_posted = false;
    n->pause_job.run = follow_job;
    if (!atomic_load(&n->is_ready))
        nx_core_reload_later(n, 0);
    else if (atomic_compare_exchange_strong(&n->is_pause_posted, &is_posted, true) && nx_core_jobs_post(n->jobs, &n->pause_job) != NX_OK) {
        atomic_store(&n->is_pause_posted, false);
        nx_core_reload_later(n, NX_NS_PER_S);
    }
    return true;
}
