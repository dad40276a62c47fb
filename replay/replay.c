/* replay.c: finding an event's runs and their code on a node, and repeating each. */
#include "nx/replay.h"
#include <stdio.h>
#include <stdlib.h>

#define REPLAY_ARENA_BYTES (256u << 20)

/* One request: what its repetitions have in common. */
typedef struct search {
    nx_node *node;
    const nx_replay_request *req;
    nx_replay_repetition *repetition;
} search;

static nx_log_line line_of(const nx_event *e, const nx_run *original, const nx_id *run_id, nx_slice log_trace)
{
    return (nx_log_line){
        .level = NX_LOG_INFO,
        .trace = log_trace,
        .event_id = nx_id_slice(&e->event_id),
        .run_id = nx_id_slice(run_id),
        .function = original->function,
        .ns = e->ns,
        .is_replay = true,
        .original_wall_ns = original->start_wall_ns,
    };
}

static void on_guest_line(void *self, const nx_event *e, const nx_run *replay, nx_slice line)
{
    const nx_run *original = self;
    char trace[NX_TRACE_ID_HEX + 8];
    snprintf(trace, sizeof trace, "%s-replay", original->trace.trace_id);
    nx_log_line l = line_of(e, original, &replay->run_id, nx_slice_cstr(trace));
    l.component = original->function;
    l.msg = line;
    nx_log_emit(&l);
}

/* One line of the node for each repetition: who looks at the log later sees that it happened, and how it came out. */
static void log_verdict(const nx_replay_result *r, bool is_other_code)
{
    static const nx_id none;
    char text[sizeof r->reason + 128];
    int n = snprintf(text, sizeof text, "Function '%.*s' replayed: %s%s%s", NX_SLICE_FMT(r->original->function), nx_replay_verdict_name(r->verdict),
                     r->reason[0] ? ", " : "", r->reason);
    nx_log_line l = line_of(r->event, r->original, r->replayed ? &r->replayed->run_id : &none, nx_slice_cstr(r->log_trace));
    /* That other code answers otherwise is what was asked; that the same code does is not. */
    if (r->verdict == NX_REPLAY_FAILED || (r->verdict == NX_REPLAY_DIVERGED && !is_other_code))
        l.level = NX_LOG_WARN;
    l.event = NX_SLICE("replay.completed");
    l.msg = nx_slice_make(text, n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n
                                                                    : sizeof text - 1);
    nx_log_emit(&l);
}

/* ---- the replay's own record --------------------------------------------------------------------------------------------------------------- */

typedef struct stored {
    nx_fab_pub pub;
    pthread_mutex_t mu;
    pthread_cond_t cv;
    bool is_done;
} stored;

static void on_stored(nx_fab_pub *pub)
{
    stored *s = pub->owner;
    pthread_mutex_lock(&s->mu);
    s->is_done = true;
    pthread_cond_signal(&s->cv);
    pthread_mutex_unlock(&s->mu);
}

/* A replay whose record can't be stored is still a replay: the verdict stands, and the log says what is missing. */
static void store(nx_node *n, const nx_run *run)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf encoded = NX_BUF_INIT(128u << 20);
    nx_error e = NX_ERROR_INIT;
    stored s = {.is_done = false};
    s.pub = (nx_fab_pub){.done = on_stored, .owner = &s};
    pthread_mutex_init(&s.mu, NULL);
    pthread_cond_init(&s.cv, NULL);
    nx_err err = nx_run_encode(run, &encoded);
    if (err == NX_OK)
        err = nx_fab_publish_run(nx_core_namespace(n), run, nx_buf_view(&encoded), &s.pub, &e);
    if (err == NX_OK) {
        pthread_mutex_lock(&s.mu);
        while (!s.is_done) /* bounded: the fabric ends every publication */
            pthread_cond_wait(&s.cv, &s.mu);
        pthread_mutex_unlock(&s.mu);
        err = s.pub.err;
    }
    if (err != NX_OK)
        nx_log(NX_LOG_WARN, "replay.not_recorded", "the record of the replay of run %.*s was not stored: %s", NX_SLICE_FMT(run->replay_of), nx_err_text(err));
    pthread_cond_destroy(&s.cv);
    pthread_mutex_destroy(&s.mu);
}

/* ---- one run --------------------------------------------------------------------------------------------------------------------------------- */

/* Which code: the recorded artifact, or another version or artifact. */
static nx_err choose_artifact(const search *s, const nx_run *o, nx_sha256 *ret, nx_error *reterr)
{
    nx_slice against = s->req->against;
    if (!against.n)
        return nx_sha256_parse_hex(o->artifact, ret);
    if (nx_sha256_parse_hex(against, ret) == NX_OK)
        return NX_OK;
    return nx_core_version_artifact(s->node, o->function, against, ret, reterr);
}

static const nx_replay_result *repeat(const search *s, const nx_event *event, const nx_run *o, nx_replay_how *how, char hex[NX_SHA256_HEX + 1])
{
    nx_error e = NX_ERROR_INIT;
    nx_sha256 artifact;
    nx_rt_program *program = NULL;
    nx_err err = choose_artifact(s, o, &artifact, &e);
    if (err != NX_OK)
        return nx_replay_refuse(s->repetition, event, o, how, false, "no code to run", e.msg);
    err = nx_core_program_get(s->node, &artifact, o->limit_memory_bytes, &program, &e);
    if (err != NX_OK)
        return nx_replay_refuse(s->repetition, event, o, how, err == NX_ENOENT,
                                err == NX_ENOENT ? "the code is no longer stored" : "the code can't be loaded", e.msg);
    nx_sha256_hex(&artifact, hex);
    how->artifact = nx_slice_make(hex, NX_SHA256_HEX);
    const nx_replay_result *r = nx_replay_repeat(s->repetition, program, event, o, how);
    nx_rt_program_unref(program);
    if (r->replayed)
        store(s->node, r->replayed);
    return r;
}

static nx_err repeat_and_report(const search *s, const nx_event *event, const nx_run *original, nx_err (*on_result)(void *self, const nx_replay_result *r), void *self)
{
    char hex[NX_SHA256_HEX + 1];
    nx_replay_how how = {
        .is_other_code = s->req->against.n > 0,
        .version = s->req->against,
        .run_id = nx_ulid_new_in_shard(nx_clock_wall_ns(), nx_id_shard(&original->event_id)),
        .node = *nx_core_node_id(s->node),
        .on_log = on_guest_line,
        .self = (void *)original,
    };
    nx_trace_new(&how.trace); /* a new trace, linked to the old by replay_of and parent_span (DESIGN 7) */
    const nx_replay_result *r = repeat(s, event, original, &how, hex);
    log_verdict(r, how.is_other_code);
    return on_result(self, r);
}

/* The final record of a run is the first one by sequence; `v` is oldest first. */
static bool is_wanted(const nx_run *v, unsigned i, nx_slice function)
{
    if (!v[i].is_final || (function.n && !nx_slice_eq(v[i].function, function)))
        return false;
    for (unsigned k = 0; k < i; k++)
        if (v[k].is_final && memcmp(v[k].run_id.s, v[i].run_id.s, NX_ID_LEN) == 0)
            return false;
    return true;
}

nx_err nx_replay_event(nx_node *n, const nx_replay_request *req, nx_err (*on_result)(void *self, const nx_replay_result *r), void *self, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(REPLAY_ARENA_BYTES);
    nx_fab_ns *ns = nx_core_namespace(n);
    nx_id id;
    nx_event event;
    nx_run *v = NULL;
    unsigned count = 0, done = 0;
    search s = {.node = n, .req = req};
    nx_err err = nx_replay_repetition_new(nx_core_runtime(n), &s.repetition);
    if (err == NX_OK)
        err = nx_fab_event_resolve(ns, req->event, &id, reterr);
    if (err == NX_OK)
        err = nx_fab_event_get(ns, &id, &a, &event, reterr);
    if (err == NX_OK)
        err = nx_fab_runs_done(ns, &event, &a, &v, &count, reterr);
    for (unsigned i = 0; err == NX_OK && i < count; i++) {
        if (!is_wanted(v, i, req->function))
            continue;
        err = repeat_and_report(&s, &event, &v[i], on_result, self);
        done++;
    }
    nx_replay_repetition_free(s.repetition);
    if (err == NX_OK && done == 0)
        return nx_error_set(reterr, NX_ENOENT, req->function.n ? "event %s has no recorded run of function '%.*s'" : "event %s has no recorded run yet%.*s", id.s,
                            NX_SLICE_FMT(req->function));
    return err;
}
