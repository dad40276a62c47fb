/* emit.c: the events that a run emits: what the guest emitted by host calls, then what its output became (output.event).
 * All of them are stored before the run's record, or the run has emitted none. Ids are derived from the run and the index, so that a repeated run
 * emits the same events, which the log then takes once. */
#include "dispatch.h"
#include <stdio.h>

#define ATTRIBUTE_BYTES (64u << 10) /* what a message needs besides the data */

/* One event on its way; lies in the run's arena. */
typedef struct emission {
    nx_event event;
    nx_fab_pub pub;
    char key[NX_EMIT_KEY_BYTES];
} emission;

typedef struct emissions {
    nx_core_run *r;
    emission *v;
    unsigned n;
    atomic_uint pending; /* publications, and whoever publishes */
    atomic_int err;      /* first failure */
} emissions;

static void refuse(nx_core_run *r, nx_run_why why, const char *message)
{
    r->rec.status = NX_RUN_ERROR;
    r->rec.why = why;
    r->rec.n_emitted = 0;
    r->rec.message = nx_arena_dup(&r->arena, nx_slice_cstr(message));
    nx_core_retry_decide(r->fn->settings, nx_clock_wall_ns(), &r->rec);
    nx_core_run_store(r);
}

static void finish_one(emissions *all)
{
    nx_core_run *r = all->r;
    if (atomic_fetch_sub(&all->pending, 1) != 1)
        return;
    nx_err err = atomic_load(&all->err);
    if (err == NX_OK) {
        nx_core_run_store(r);
        return;
    }
    if (nx_core_run_try_again(r, err, nx_core_run_emit))
        return;
    nx_log(NX_LOG_WARN, "run.not_emitted", "an event that run %s of '%s' emits was not stored (%s); the run is repeated", r->rec.run_id.s, r->fn->name,
           nx_err_text(err));
    nx_core_run_drop(r);
}

static void on_stored(nx_fab_pub *pub)
{
    emissions *all = pub->owner;
    int none = NX_OK;
    if (pub->err != NX_OK)
        atomic_compare_exchange_strong(&all->err, &none, pub->err);
    finish_one(all);
}

/* A guest that names no content type gets the one its data has, as an answer does. */
static nx_slice content_type_of(const nx_emit *m)
{
    nx_run said = {.status = NX_RUN_OK, .output = m->data};
    return m->content_type.n ? m->content_type : nx_core_answer_content_type(&said);
}

static void fill(const nx_core_run *r, unsigned index, const nx_emit *m, nx_slice source, nx_slice time, emission *to)
{
    nx_event *e = &to->event;
    *e = (nx_event){.ns = r->event.ns, .type = m->type, .subject = m->subject, .data = m->data, .source = source, .time = time};
    /* What follows from an event of a key stays in that key's order. */
    e->partition_key = m->partition_key.n ? m->partition_key : r->event.partition_key;
    e->event_id = nx_emit_event_id(&r->rec.run_id, index, r->event.wall_ns, e->type, e->partition_key, to->key);
    e->id = nx_id_slice(&e->event_id);
    e->content_type = content_type_of(m);
    e->hop = r->event.hop + 1;
    e->cause = nx_id_slice(&r->rec.run_id);
    e->wall_ns = r->event.wall_ns;
    e->trace = r->rec.trace;
    e->tracestate = r->event.tracestate;
}

/* What can be known before anything is stored: afterwards it would be too late for "none". */
static nx_err check(nx_core_run *r, const emissions *all, nx_run_why *ret_why, nx_error *reterr)
{
    nx_node *n = r->d->node;
    unsigned hop_limit = atomic_load(&n->hop_limit);
    nx_slice type = all->v[0].event.type;
    if (r->event.hop + 1 > hop_limit) {
        *ret_why = NX_WHY_HOP_LIMIT;
        return nx_error_set(reterr, NX_ELIMIT, "event chain longer than hop_limit %u; '%.*s' was not emitted", hop_limit, NX_SLICE_FMT(type));
    }
    *ret_why = NX_WHY_EMIT;
    uint64_t room = nx_fab_max_payload(n->fab) > ATTRIBUTE_BYTES ? nx_fab_max_payload(n->fab) - ATTRIBUTE_BYTES : 0;
    for (unsigned i = 0; i < all->n; i++) {
        const nx_event *e = &all->v[i].event;
        if (e->data.n > room)
            return nx_error_set(reterr, NX_ELIMIT, "the emitted event '%.*s' has %zu bytes; the event log takes %llu", NX_SLICE_FMT(e->type), e->data.n,
                                (unsigned long long)room);
        nx_err err = nx_fab_type_admit(n->ns, e->type, reterr);
        if (err != NX_OK)
            return err;
    }
    return NX_OK;
}

static emissions *gather(nx_core_run *r)
{
    const nx_outcome *o = &r->attempt.out;
    nx_slice output_type = r->fn->settings->output_event;
    char time[NX_RFC3339_MAX];
    unsigned n = o->n_emitted + (output_type.n ? 1 : 0);
    emissions *all = nx_arena_calloc(&r->arena, 1, sizeof *all);
    emission *v = nx_arena_calloc(&r->arena, n, sizeof *v);
    nx_emitted *emitted = nx_arena_calloc(&r->arena, n, sizeof *emitted);
    nx_slice time_text = nx_arena_dup(&r->arena, nx_slice_make(time, nx_clock_rfc3339(r->rec.start_wall_ns, 3, time)));
    char *source = nx_arena_printf(&r->arena, "/functions/%s", r->fn->name);
    if (!all || !v || !emitted || !time_text.p || !source)
        return NULL;
    for (unsigned i = 0; i < n; i++) {
        bool is_output = i == o->n_emitted;
        nx_emit output = {.type = output_type, .data = nx_buf_view(&o->output)};
        const nx_emit *m = is_output ? &output : &o->emitted[i];
        fill(r, i, m, nx_slice_cstr(source), time_text, &v[i]);
        emitted[i] = (nx_emitted){.event_id = v[i].event.event_id, .type = m->type};
        if (!is_output)
            emitted[i].digest = nx_emit_digest(m);
    }
    all->r = r;
    all->v = v;
    all->n = n;
    r->rec.emitted = emitted;
    r->rec.n_emitted = n;
    return all;
}

void nx_core_run_emit(nx_core_run *r)
{
    nx_run_why why;
    nx_error e = NX_ERROR_INIT;
    emissions *all = gather(r);
    if (!all) {
        nx_core_run_drop(r);
        return;
    }
    if (all->n > NX_RUN_EMITTED_MAX) {
        refuse(r, NX_WHY_EMIT, "with its output the run would emit more events than a run may");
        return;
    }
    nx_err err = check(r, all, &why, &e);
    if (err == NX_ENOMEM) {
        nx_core_run_drop(r);
        return;
    }
    if (err != NX_OK) {
        refuse(r, why, e.msg);
        return;
    }
    atomic_init(&all->pending, 1);
    for (unsigned i = 0; i < all->n && err == NX_OK; i++) {
        emission *m = &all->v[i];
        m->pub = (nx_fab_pub){.done = on_stored, .owner = all};
        atomic_fetch_add(&all->pending, 1);
        err = nx_fab_publish_event(r->d->node->ns, &m->event, nx_slice_cstr(m->key), NX_SLICE_NULL, &m->pub, &e);
        if (err == NX_OK)
            continue;
        atomic_fetch_sub(&all->pending, 1); /* of a publication that never began: not the last one, which is ours */
        if (i == 0 && !nx_err_is_retryable(err)) {
            refuse(r, NX_WHY_EMIT, e.msg);
            return;
        }
        atomic_store(&all->err, err);
    }
    finish_one(all);
}
