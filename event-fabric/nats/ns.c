/* ns.c: a namespace: its streams and buckets, its known event types, the raw subjects it captures. */
#include "fab_internal.h"
#include <stdio.h>
#include <stdlib.h>

#define TYPES_DEFAULT 1000
#define TYPES_MAX 65536
#define RUNS_DEDUPE_NS (2 * NX_NS_PER_S) /* records have no ids (README); the server wants a window all the same */

/* ---- distinct types --------------------------------------------------------------------------------------------------------------------------- */

nx_err nx_fab_types_init(nx_fab_types *t, unsigned max)
{
    t->max = !max ? TYPES_DEFAULT : max > TYPES_MAX ? TYPES_MAX
                                                    : max;
    for (t->cap = 64; t->cap < 2 * t->max; t->cap *= 2)
        ;
    t->v = calloc(t->cap, sizeof *t->v);
    return t->v ? NX_OK : NX_ENOMEM;
}

void nx_fab_types_done(nx_fab_types *t)
{
    for (unsigned i = 0; t->v && i < t->cap; i++)
        free(atomic_load(&t->v[i]));
    free((void *)t->v);
    t->v = NULL;
}

static uint32_t hash(nx_slice s)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (uint8_t)s.p[i]) * 16777619u;
    return h;
}

/* Where it stands, or the free place it would get. */
static unsigned find(const nx_fab_types *t, nx_slice s, bool *ret_found)
{
    unsigned i = hash(s) & (t->cap - 1);
    const char *p;

    while ((p = atomic_load_explicit(&t->v[i], memory_order_acquire))) {
        if (!strncmp(p, s.p, s.n) && !p[s.n]) {
            *ret_found = true;
            return i;
        }
        i = (i + 1) & (t->cap - 1);
    }
    *ret_found = false;
    return i;
}

nx_err nx_fab_type_seen(nx_fab_ns *n, nx_slice encoded)
{
    nx_fab_types *t = &n->types;
    bool found;
    unsigned at;
    nx_err e = NX_OK;

    find(t, encoded, &found);
    if (found)
        return NX_OK;
    pthread_mutex_lock(&n->mu);
    at = find(t, encoded, &found);
    if (!found) {
        char *p = atomic_load(&t->n) < t->max ? nx_slice_strdup(encoded) : NULL;

        if (p) {
            atomic_store_explicit(&t->v[at], p, memory_order_release);
            atomic_fetch_add(&t->n, 1);
        } else {
            e = atomic_load(&t->n) < t->max ? NX_ENOMEM : NX_EMANY;
        }
    }
    pthread_mutex_unlock(&n->mu);
    return e;
}

static int add_type(void *self, nx_slice subject, const nx_json *count)
{
    nx_fab_ns *n = self;

    (void)count;
    if (subject.n > n->ev_prefix_n + 3 && subject.p[n->ev_prefix_n + 2] == '.')
        nx_fab_type_seen(n, nx_slice_sub(subject, n->ev_prefix_n + 3, subject.n)); /* over the limit: simply not known */
    return 0;
}

/* The types that the log holds already count. */
static nx_err load_types(nx_fab_ns *n, nx_error *reterr)
{
    char filter[96];

    snprintf(filter, sizeof filter, "%s>", n->ev_prefix);
    return nx_fab_stream_subjects(n->f, n->events, filter, add_type, n, reterr);
}

/* ---- streams ---------------------------------------------------------------------------------------------------------------------------------- */

static void stream_head(nx_jw *w, const char *name, const char *subject, uint64_t max_bytes, uint64_t dedupe_ns, unsigned replicas)
{
    nx_jw_object(w);
    nx_jw_kcstr(w, "name", name);
    nx_jw_key(w, "subjects");
    nx_jw_array(w);
    nx_jw_cstr(w, subject);
    nx_jw_array_end(w);
    nx_jw_kcstr(w, "storage", "file");
    nx_jw_kcstr(w, "retention", "limits");
    nx_jw_kcstr(w, "discard", "new");
    nx_jw_key(w, "max_bytes");
    nx_jw_i64(w, max_bytes ? (int64_t)max_bytes : -1);
    nx_jw_ku64(w, "duplicate_window", dedupe_ns);
    nx_jw_ku64(w, "num_replicas", replicas ? replicas : 1);
    nx_jw_kbool(w, "allow_direct", true);
}

static nx_err ensure_log(nx_fab_ns *n, const char *stream, const char *kind, uint64_t max_bytes, uint64_t dedupe_ns, nx_error *reterr)
{
    static const char *const keep[] = {"subjects", "sources", "storage", "retention", "max_msgs", "max_age", NULL};
    nx_buf text = NX_BUF_INIT(4096);
    nx_jw w = NX_JW_INIT(&text);
    char subject[64];
    nx_err e;

    snprintf(subject, sizeof subject, "nx.%s.%s.>", n->name, kind);
    stream_head(&w, stream, subject, max_bytes, dedupe_ns, n->o.replicas);
    nx_jw_key(&w, "max_msgs");
    nx_jw_i64(&w, -1);
    nx_jw_ku64(&w, "max_age", 0); /* trim.c keeps time: never an event that a function still has to handle */
    nx_jw_key(&w, "max_consumers");
    nx_jw_i64(&w, NX_FAB_STREAM_CONSUMERS_MAX);
    nx_jw_kbool(&w, "allow_rollup_hdrs", false);
    nx_jw_object_end(&w);
    e = nx_jw_err(&w);
    if (!e)
        e = nx_fab_stream_ensure(n->f, stream, nx_buf_view(&text), keep, reterr);
    nx_buf_done(&text);
    return e;
}

static void name_bucket(nx_fab_bucket *b, const char *kind, const char *ns)
{
    snprintf(b->name, sizeof b->name, "nx-%s-%s", kind, ns);
    snprintf(b->stream, sizeof b->stream, "OBJ_%.60s", b->name);
}

static nx_err name_all(nx_fab_ns *n, nx_slice ns)
{
    if (!nx_fab_name_is_valid(ns, NX_NAMESPACE_BYTES))
        return NX_EINVAL;
    nx_slice_to_cstr(ns, n->name, sizeof n->name);
    n->ns = nx_slice_cstr(n->name);
    snprintf(n->events, sizeof n->events, "NX_EVENTS_%s", n->name);
    snprintf(n->runs, sizeof n->runs, "NX_RUNS_%s", n->name);
    snprintf(n->replays, sizeof n->replays, "NX_REPLAYS_%s", n->name);
    snprintf(n->timers, sizeof n->timers, "NX_TIMERS_%s", n->name);
    snprintf(n->marks, sizeof n->marks, "NX_MARKS_%s", n->name);
    snprintf(n->spare, sizeof n->spare, "NX_SPARE_%s", n->name);
    snprintf(n->kv_bucket, sizeof n->kv_bucket, "nx-registry-%s", n->name);
    snprintf(n->kv_stream, sizeof n->kv_stream, "KV_%.60s", n->kv_bucket);
    name_bucket(&n->artifacts, "artifacts", n->name);
    name_bucket(&n->spills, "spills", n->name);
    n->ev_prefix_n = (size_t)snprintf(n->ev_prefix, sizeof n->ev_prefix, "nx.%s.ev.", n->name);
    n->due_prefix_n = (size_t)snprintf(n->due_prefix, sizeof n->due_prefix, "nx.%s.due.", n->name);
    return NX_OK;
}

static nx_err ensure_all(nx_fab_ns *n, nx_error *reterr)
{
    uint64_t window = n->o.dedupe_window_ns ? n->o.dedupe_window_ns : NX_FAB_DEDUPE_NS;
    nx_err e = ensure_log(n, n->events, "ev", n->o.events_max_bytes, window, reterr);

    if (!e)
        e = ensure_log(n, n->runs, "run", n->o.runs_max_bytes, RUNS_DEDUPE_NS, reterr);
    if (!e)
        e = ensure_log(n, n->replays, "replay", n->o.runs_max_bytes, RUNS_DEDUPE_NS, reterr);
    if (!e)
        e = nx_fab_timers_ensure(n, reterr);
    if (!e)
        e = nx_fab_marks_ensure(n, reterr);
    if (!e)
        e = nx_fab_spare_ensure(n, reterr);
    if (!e)
        e = nx_fab_kv_ensure(n, reterr);
    if (!e)
        e = nx_fab_obj_ensure(n, reterr);
    return e ? e : load_types(n, reterr);
}

bool nx_fab_ns_at(nx_fab *f, unsigned i, nx_fab_ns **ret)
{
    bool is_there;

    pthread_mutex_lock(&f->mu);
    is_there = i < f->n_ns;
    *ret = is_there ? f->ns[i] : NULL;
    pthread_mutex_unlock(&f->mu);
    return is_there;
}

static nx_err enlist(nx_fab_ns *n)
{
    nx_fab *f = n->f;
    nx_err e = NX_EMANY;

    pthread_mutex_lock(&f->mu);
    for (unsigned i = 0; i < NX_FAB_NS_MAX; i++)
        if (!f->ns[i]) {
            n->slot = i;
            f->ns[i] = n;
            if (f->n_ns <= i)
                f->n_ns = i + 1;
            e = NX_OK;
            break;
        }
    pthread_mutex_unlock(&f->mu);
    return e;
}

nx_err nx_fab_ns_open(nx_fab *f, nx_slice ns, const nx_fab_ns_options *o, nx_fab_ns **ret, nx_error *reterr)
{
    nx_fab_ns *n = calloc(1, sizeof *n);
    nx_err e;

    if (!n)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    n->f = f;
    n->o = *o;
    pthread_mutex_init(&n->mu, NULL);
    e = name_all(n, ns);
    if (e)
        nx_error_set(reterr, e, "\"%.*s\" is not a namespace name (letters, digits, - and _, at most %d)", NX_SLICE_FMT(ns), NX_NAMESPACE_BYTES);
    if (!e) {
        e = nx_fab_types_init(&n->types, o->max_types);
        if (e)
            nx_error_set(reterr, e, "out of memory");
    }
    if (!e)
        e = ensure_all(n, reterr);
    if (!e) {
        e = enlist(n);
        if (e)
            nx_error_set(reterr, e, "too many namespaces");
    }
    if (e) {
        nx_fab_types_done(&n->types);
        pthread_mutex_destroy(&n->mu);
        free(n);
        return e;
    }
    *ret = n;
    return NX_OK;
}

void nx_fab_ns_forget(nx_fab_ns *n)
{
    nx_fab *f = n->f;

    pthread_mutex_lock(&f->upkeep_mu);
    pthread_mutex_lock(&f->mu);
    f->ns[n->slot] = NULL;
    for (unsigned i = 0; i < f->n_slots; i++)
        if (f->slots[i].ns == n)
            f->slots[i].ns = NULL;
    pthread_mutex_unlock(&f->mu);
    pthread_mutex_unlock(&f->upkeep_mu);
    nx_fab_spills_drop(f, n);
    nx_fab_loop_pass(f);
}

void nx_fab_ns_close(nx_fab_ns *n)
{
    if (!n)
        return;
    nx_fab_ns_forget(n);
    nx_fab_types_done(&n->types);
    pthread_mutex_destroy(&n->mu);
    free(n);
}

nx_slice nx_fab_ns_name(const nx_fab_ns *n)
{
    return n->ns;
}

nx_err nx_fab_stats_get(nx_fab_ns *n, nx_fab_stats *ret, nx_error *reterr)
{
    nx_fab_stream_state ev = {0}, runs = {0};
    nx_err e = nx_fab_stream_state_get(n->f, n->events, &ev, reterr);

    if (!e)
        e = nx_fab_stream_state_get(n->f, n->runs, &runs, reterr);
    if (e)
        return e;
    *ret = (nx_fab_stats){.events = ev.messages, .events_bytes = ev.bytes, .events_first_seq = ev.first_seq, .events_last_seq = ev.last_seq, .runs = runs.messages, .runs_bytes = runs.bytes};
    pthread_mutex_lock(&n->f->mu);
    ret->publishes_inflight = n->f->n_inflight;
    pthread_mutex_unlock(&n->f->mu);
    pthread_mutex_lock(&n->f->cmu);
    ret->messages_inflight = n->f->inflight;
    pthread_mutex_unlock(&n->f->cmu);
    return NX_OK;
}
