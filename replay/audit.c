/* audit.c: choosing runs, the queue, the thread that repeats them, and what came of it. */
#include "nx/audit.h"
#include "audit_total.h"
#include "find.h"
#include "nx/sched.h"
#include "nx/thread.h"
#include "pub_wait.h"
#include "verdict.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define STACK_BYTES (4u << 20)
#define ARENA_BYTES (256u << 20)
#define IDLE_LOOK_NS (20 * NX_NS_PER_MS)
#define STORE_NS (5 * NX_NS_PER_S) /* what is counted is stored that soon, and when the node stops */
#define REPORT_BYTES (16u << 20)

/* A chosen run, by what finds it again. */
typedef struct chosen {
    nx_id event_id, run_id;
    uint64_t event_seq;
    unsigned generation;
    char function[NX_FUNCTION_NAME_BYTES + 1];
} chosen;

typedef struct tally {
    struct tally *next;
    nx_audit_total fresh; /* what this node counted and has not stored yet */
    nx_metric *metrics[NX_AUDIT_RESULTS];
} tally;

typedef struct audit {
    nx_node *node;
    nx_replay_repetition *repetition;
    pthread_t thread;
    pthread_mutex_t mu; /* guards everything below */
    pthread_cond_t cv;
    bool is_stopping;
    chosen ring[NX_AUDIT_QUEUE_MAX];
    unsigned first, count;
    tally *tallies;
    unsigned n_tallies;
    bool has_fresh;
    uint64_t store_due_ns;
    pthread_mutex_t store_mu; /* taken before mu: what is on its way to the store is counted by no report twice, or not at all */
} audit;

/* ---- choosing --------------------------------------------------------------------------------------------------------------------------------- */

bool nx_audit_is_chosen(const nx_id *run_id, uint32_t ppm)
{
    uint64_t h = 14695981039346656037ull; /* FNV-1a; the id's digits come from a digest already */
    for (unsigned i = 0; i < NX_ID_LEN; i++)
        h = (h ^ (unsigned char)run_id->s[i]) * 1099511628211ull;
    return (h >> 16) % 1000000 < ppm;
}

static tally *tally_of_locked(audit *a, nx_slice function)
{
    for (tally *t = a->tallies; t; t = t->next)
        if (nx_slice_eq_cstr(function, t->fresh.function))
            return t;
    tally *t = a->n_tallies < NX_AUDIT_FUNCTIONS_MAX ? calloc(1, sizeof *t) : NULL;
    if (!t)
        return NULL;
    snprintf(t->fresh.function, sizeof t->fresh.function, "%.*s", NX_SLICE_FMT(function));
    for (int i = 0; i < NX_AUDIT_RESULTS; i++) {
        nx_kv labels[] = {{NX_SLICE("function"), function}, {NX_SLICE("result"), nx_slice_cstr(nx_audit_result_name((nx_audit_result)i))}};
        t->metrics[i] = nx_obs_counter(nx_core_metrics(a->node), "nexus_audit_runs_total", "Live runs that were repeated in idle time, by what came of it.", 2, labels);
    }
    t->next = a->tallies;
    a->tallies = t;
    a->n_tallies++;
    return t;
}

static void count(audit *a, nx_slice function, nx_audit_result r, const nx_id *event_id, const char *reason)
{
    pthread_mutex_lock(&a->mu);
    tally *t = tally_of_locked(a, function);
    if (t) {
        nx_audit_total one = {.n = {0}, .since_wall_ns = nx_clock_wall_ns()};
        one.n[r] = 1;
        if (reason && reason[0]) {
            one.last_event = *event_id;
            snprintf(one.last_reason, sizeof one.last_reason, "%s", reason);
        }
        nx_audit_total_add(&t->fresh, &one);
        nx_obs_inc(t->metrics[r]);
        if (!a->has_fresh)
            a->store_due_ns = nx_clock_ns() + STORE_NS;
        a->has_fresh = true;
        pthread_cond_signal(&a->cv);
    }
    pthread_mutex_unlock(&a->mu);
}

static void on_run(void *part, const nx_run *run)
{
    audit *a = part;
    /* What killed a node is not run again inside of one, and an audit of its own alarms would never end. */
    if (run->status == NX_RUN_DEAD || nx_run_status_is_idle(run->status) || nx_slice_eq_cstr(run->event_type, NX_AUDIT_MISMATCH) || !nx_audit_is_chosen(&run->run_id, nx_core_audit_ppm(a->node)))
        return;
    bool is_full;
    pthread_mutex_lock(&a->mu);
    is_full = a->count == NX_AUDIT_QUEUE_MAX;
    if (!is_full) {
        chosen *c = &a->ring[(a->first + a->count++) % NX_AUDIT_QUEUE_MAX];
        *c = (chosen){.event_id = run->event_id, .run_id = run->run_id, .event_seq = run->event_seq, .generation = run->generation};
        snprintf(c->function, sizeof c->function, "%.*s", NX_SLICE_FMT(run->function));
        pthread_cond_signal(&a->cv);
    }
    pthread_mutex_unlock(&a->mu);
    if (is_full)
        count(a, run->function, NX_AUDIT_PASSED_OVER, &run->event_id, NULL);
}

/* ---- a mismatch ------------------------------------------------------------------------------------------------------------------------------- */

static void side_to_json(nx_jw *w, const char *key, const nx_run *r)
{
    char hex[NX_SHA256_HEX + 1];
    nx_sha256_hex(&r->output_sha256, hex);
    nx_jw_key(w, key);
    nx_jw_object(w);
    nx_jw_kcstr(w, "status", nx_run_status_name(r->status));
    nx_jw_ku64(w, "fuel", r->fuel);
    nx_jw_ku64(w, "host_calls", r->n_calls);
    nx_jw_kcstr(w, "output_sha256", hex);
    nx_jw_kstr(w, "engine", r->engine);
    nx_jw_object_end(w);
}

/* No payloads: the event and both runs can be looked at by their ids. */
static nx_err mismatch_to_json(const nx_replay_result *r, nx_buf *out)
{
    const nx_run *o = r->original;
    nx_jw w = NX_JW_INIT(out);
    nx_jw_object(&w);
    nx_jw_kstr(&w, "function", o->function);
    nx_jw_kstr(&w, "version", o->version);
    nx_jw_kstr(&w, "artifact", o->artifact);
    nx_jw_kstr(&w, "event_id", nx_id_slice(&o->event_id));
    nx_jw_kstr(&w, "run_id", nx_id_slice(&o->run_id));
    nx_jw_kcstr(&w, "reason", nx_replay_kept_reason(r));
    if (r->first_difference >= 0)
        nx_jw_ku64(&w, "first_different_call", (uint64_t)r->first_difference);
    side_to_json(&w, "recorded", o);
    side_to_json(&w, "repeated", r->replayed);
    nx_jw_object_end(&w);
    return nx_jw_err(&w);
}

static void publish(audit *a, const nx_replay_result *r)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf data = NX_BUF_INIT(64u << 10);
    char time[NX_RFC3339_MAX], key[NX_ID_LEN + 16];
    uint64_t now = nx_clock_wall_ns();
    nx_event e = {.ns = r->original->ns, .event_id = nx_ulid_new(now), .source = NX_SLICE("/nexus/audit"), .type = NX_SLICE(NX_AUDIT_MISMATCH), .subject = r->original->function, .content_type = NX_SLICE("application/json"), .wall_ns = now};
    nx_error why = NX_ERROR_INIT;
    e.id = nx_id_slice(&e.event_id);
    e.time = nx_slice_make(time, nx_clock_rfc3339(now, 3, time));
    nx_trace_new(&e.trace);
    int n = snprintf(key, sizeof key, "audit/%s", r->original->run_id.s);
    nx_err err = mismatch_to_json(r, &data);
    if (err == NX_OK) {
        nx_pub_wait w;
        e.data = nx_buf_view(&data);
        nx_pub_wait_begin(&w);
        err = nx_pub_wait_end(&w, nx_fab_publish_event(nx_core_namespace(a->node), &e, nx_slice_make(key, (size_t)n), NX_SLICE_NULL, &w.pub, &why));
    }
    if (err != NX_OK)
        nx_log(NX_LOG_WARN, "audit.not_published", "the event about run %s was not stored: %s", r->original->run_id.s, why.msg[0] ? why.msg : nx_err_text(err));
}

/* ---- one run ---------------------------------------------------------------------------------------------------------------------------------- */

static void judge(audit *a, const nx_replay_result *r)
{
    const nx_run *o = r->original;
    switch (r->verdict) {
    case NX_REPLAY_IDENTICAL:
        count(a, o->function, NX_AUDIT_IDENTICAL, NULL, NULL);
        return;
    case NX_REPLAY_DIVERGED:
        nx_log(NX_LOG_ERROR, "audit.mismatch", "run %s of '%.*s' %.*s on event %s does not repeat: %s", o->run_id.s, NX_SLICE_FMT(o->function), NX_SLICE_FMT(o->version),
               o->event_id.s, nx_replay_kept_reason(r));
        count(a, o->function, NX_AUDIT_DIVERGED, &o->event_id, nx_replay_kept_reason(r));
        publish(a, r);
        return;
    case NX_REPLAY_FAILED:
        count(a, o->function, r->is_node_failure ? NX_AUDIT_PASSED_OVER : NX_AUDIT_FAILED, &o->event_id, r->is_node_failure ? NULL : r->reason);
        return;
    }
}

static void repeat(audit *a, const chosen *c)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena arena = NX_ARENA_INIT(ARENA_BYTES);
    nx_event event;
    nx_run recorded;
    nx_error e = NX_ERROR_INIT;
    nx_fab_ns *ns = nx_core_namespace(a->node);
    nx_slice function = nx_slice_cstr(c->function);
    nx_err err = nx_fab_event_get_seq(ns, c->event_seq, &arena, &event, &e);
    if (err == NX_OK)
        err = nx_fab_run_final(ns, &event, function, c->generation, &arena, &recorded, &e);
    if (err != NX_OK) { /* gone meanwhile, or the log is away: it says nothing about the recording */
        count(a, function, NX_AUDIT_PASSED_OVER, &c->event_id, NULL);
        return;
    }
    nx_replay_code code;
    nx_replay_how how = {0};
    err = nx_replay_code_get(a->node, &recorded, NULL, NX_SLICE_NULL, &code, &e);
    if (err == NX_OK)
        nx_replay_code_use(&code, &how);
    const nx_replay_result *r = err == NX_OK ? nx_replay_repeat(a->repetition, code.program, &event, &recorded, &how)
                                             : nx_replay_refuse(a->repetition, &event, &recorded, &how, code.is_missing, code.failed, e.msg);
    pthread_mutex_lock(&a->mu);
    bool is_stopping = a->is_stopping; /* what was interrupted proves nothing */
    pthread_mutex_unlock(&a->mu);
    if (!is_stopping)
        judge(a, r);
    nx_replay_code_done(&code);
}

/* ---- the thread ------------------------------------------------------------------------------------------------------------------------------- */

/* What was counted since the last time, into the store; what can't be stored now is kept for the next time. */
static void store(audit *a)
{
    pthread_mutex_lock(&a->store_mu);
    pthread_mutex_lock(&a->mu);
    tally *t = a->tallies; /* none is freed, or put anywhere but in front, while the audit runs */
    a->has_fresh = false;
    pthread_mutex_unlock(&a->mu);
    for (; t; t = t->next) {
        nx_error e = NX_ERROR_INIT;
        pthread_mutex_lock(&a->mu);
        nx_audit_total more = t->fresh;
        t->fresh = (nx_audit_total){.n = {0}};
        memcpy(t->fresh.function, more.function, sizeof more.function);
        pthread_mutex_unlock(&a->mu);
        if (!more.since_wall_ns || nx_audit_total_store(nx_core_namespace(a->node), &more, &e) == NX_OK)
            continue;
        nx_log(NX_LOG_DEBUG, "audit.not_stored", "what the audit counted is not stored yet: %s", e.msg);
        pthread_mutex_lock(&a->mu);
        nx_audit_total since = t->fresh;
        t->fresh = more;
        nx_audit_total_add(&t->fresh, &since);
        a->has_fresh = true;
        a->store_due_ns = nx_clock_ns() + STORE_NS;
        pthread_mutex_unlock(&a->mu);
    }
    pthread_mutex_unlock(&a->store_mu);
}

static void wait_locked(audit *a, uint64_t until)
{
    struct timespec t;
    t.tv_sec = (time_t)(until / NX_NS_PER_S);
    t.tv_nsec = (long)(until % NX_NS_PER_S);
    pthread_cond_timedwait(&a->cv, &a->mu, &t);
}

/* Until there is something to repeat or to store. */
static void wait_for_work_locked(audit *a)
{
    while (!a->is_stopping && a->count == 0 && !(a->has_fresh && nx_clock_ns() >= a->store_due_ns)) {
        if (a->has_fresh)
            wait_locked(a, a->store_due_ns);
        else
            pthread_cond_wait(&a->cv, &a->mu);
    }
}

/* The next run, once the node has nothing else to do. False: it stops. */
static bool next(audit *a, chosen *ret)
{
    pthread_mutex_lock(&a->mu);
    for (;;) {
        wait_for_work_locked(a);
        if (a->is_stopping)
            break;
        if (a->has_fresh && nx_clock_ns() >= a->store_due_ns) {
            pthread_mutex_unlock(&a->mu);
            store(a);
            pthread_mutex_lock(&a->mu);
            continue;
        }
        pthread_mutex_unlock(&a->mu);
        bool is_idle = nx_core_is_idle(a->node);
        pthread_mutex_lock(&a->mu);
        if (is_idle && !a->is_stopping) {
            *ret = a->ring[a->first];
            a->first = (a->first + 1) % NX_AUDIT_QUEUE_MAX;
            a->count--;
            break;
        }
        if (!is_idle)
            wait_locked(a, nx_clock_ns() + IDLE_LOOK_NS);
    }
    bool has_next = !a->is_stopping;
    pthread_mutex_unlock(&a->mu);
    return has_next;
}

static void *audit_main(void *arg)
{
    audit *a = arg;
    chosen c;
    pthread_setname_np(pthread_self(), "nx-audit");
    nx_sched_behind(19);
    while (next(a, &c))
        repeat(a, &c);
    store(a);
    return NULL;
}

static void audit_free(void *part)
{
    audit *a = part;
    while (a->tallies) {
        tally *t = a->tallies;
        a->tallies = t->next;
        free(t);
    }
    nx_replay_repetition_free(a->repetition);
    pthread_cond_destroy(&a->cv);
    pthread_mutex_destroy(&a->mu);
    pthread_mutex_destroy(&a->store_mu);
    free(a);
}

static nx_err audit_start(nx_node *n, void **ret, nx_error *reterr)
{
    pthread_condattr_t condattr;
    pthread_attr_t attr;
    audit *a = calloc(1, sizeof *a);
    if (!a)
        return nx_error_set(reterr, NX_ENOMEM, "audit");
    a->node = n;
    pthread_mutex_init(&a->mu, NULL);
    pthread_mutex_init(&a->store_mu, NULL);
    pthread_condattr_init(&condattr);
    pthread_condattr_setclock(&condattr, CLOCK_MONOTONIC); /* that of nx_clock_ns() */
    pthread_cond_init(&a->cv, &condattr);
    pthread_condattr_destroy(&condattr);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    bool is_started = nx_replay_repetition_new(nx_core_runtime(n), &a->repetition) == NX_OK && nx_thread_start(&a->thread, &attr, audit_main, a) == 0;
    pthread_attr_destroy(&attr);
    if (!is_started) {
        audit_free(a);
        return nx_error_set(reterr, NX_ENOMEM, "the audit's thread can't be started");
    }
    *ret = a;
    return NX_OK;
}

static void audit_stop(void *part)
{
    audit *a = part;
    pthread_mutex_lock(&a->mu);
    a->is_stopping = true;
    pthread_cond_signal(&a->cv);
    pthread_mutex_unlock(&a->mu);
    pthread_join(a->thread, NULL);
}

const nx_node_part nx_audit_part = {audit_start, on_run, audit_stop, audit_free};

/* ---- the report ------------------------------------------------------------------------------------------------------------------------------- */

static nx_err total_to_json(const audit *a, const nx_audit_total *t, unsigned waiting, nx_buf *out)
{
    char time[NX_RFC3339_MAX];
    uint64_t same = t->n[NX_AUDIT_IDENTICAL], checked = same + t->n[NX_AUDIT_DIVERGED] + t->n[NX_AUDIT_FAILED];
    nx_jw w = NX_JW_INIT(out);
    nx_jw_object(&w);
    nx_jw_kstr(&w, "namespace", nx_fab_ns_name(nx_core_namespace(a->node)));
    nx_jw_kcstr(&w, "function", t->function);
    nx_jw_ku64(&w, "audited", checked);
    for (int i = 0; i < NX_AUDIT_RESULTS; i++)
        nx_jw_ku64(&w, nx_audit_result_name((nx_audit_result)i), t->n[i]);
    nx_jw_ku64(&w, "waiting", waiting);
    nx_jw_kdouble(&w, "replayable_percent", same == checked ? 100.0 : 100.0 * (double)same / (double)checked);
    nx_jw_kdouble(&w, "audit_percent", (double)nx_core_audit_ppm(a->node) / 10000);
    if (t->since_wall_ns)
        nx_jw_kstr(&w, "since", nx_slice_make(time, nx_clock_rfc3339(t->since_wall_ns, 3, time)));
    if (t->last_reason[0]) {
        nx_jw_kstr(&w, "last_event_id", nx_id_slice(&t->last_event));
        nx_jw_kcstr(&w, "last_reason", t->last_reason);
    }
    nx_jw_object_end(&w);
    nx_err err = nx_jw_err(&w);
    return err == NX_OK ? nx_buf_append_char(out, '\n') : err;
}

/* Adds what this node counted since; a function that is in no store yet is put behind the others. */
static void add_fresh_locked(const audit *a, nx_audit_total *all, unsigned *n, unsigned max)
{
    for (const tally *t = a->tallies; t; t = t->next) {
        unsigned i = 0;
        while (i < *n && strcmp(all[i].function, t->fresh.function) != 0)
            i++;
        if (i == max)
            continue;
        if (i == *n)
            snprintf(all[(*n)++].function, sizeof all[i].function, "%s", t->fresh.function);
        nx_audit_total_add(&all[i], &t->fresh);
    }
}

nx_err nx_audit_report(nx_node *n, nx_slice function, nx_buf *out, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena arena = NX_ARENA_INIT(REPORT_BYTES);
    nx_audit_total *all = NULL;
    unsigned count = 0;
    audit *a = nx_core_part(n);
    if (!a)
        return NX_OK;
    pthread_mutex_lock(&a->store_mu);
    pthread_mutex_lock(&a->mu);
    unsigned room = a->n_tallies + NX_AUDIT_QUEUE_MAX; /* the latter for functions whose first runs wait */
    pthread_mutex_unlock(&a->mu);
    nx_err err = nx_audit_totals(nx_core_namespace(n), room, &arena, &all, &count, reterr);
    pthread_mutex_lock(&a->mu);
    for (unsigned i = 0; i < a->count && a->n_tallies < room; i++) /* a function all of whose runs still wait is one that is audited */
        (void)tally_of_locked(a, nx_slice_cstr(a->ring[(a->first + i) % NX_AUDIT_QUEUE_MAX].function));
    if (err == NX_OK)
        add_fresh_locked(a, all, &count, count + room);
    for (unsigned k = 0; err == NX_OK && k < count; k++) {
        unsigned waiting = 0;
        if (function.n && !nx_slice_eq_cstr(function, all[k].function))
            continue;
        for (unsigned i = 0; i < a->count; i++)
            waiting += strcmp(a->ring[(a->first + i) % NX_AUDIT_QUEUE_MAX].function, all[k].function) == 0;
        err = total_to_json(a, &all[k], waiting, out);
    }
    pthread_mutex_unlock(&a->mu);
    pthread_mutex_unlock(&a->store_mu);
    return err;
}
