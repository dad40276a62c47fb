/* ingest.c: the node's side of nx_ingest_ops: where a request goes, storing its event, and telling the gateway when it is stored or answered. */
#include "core_internal.h"
#include <stdio.h>
#include <stdlib.h>

/* What the node keeps in the gateway's storage while an event is being stored. */
typedef struct ingest_state {
    nx_fab_pub pub;
    nx_core_job job;
    nx_node *node;
    uint64_t published_ns;
} ingest_state;

/* The last element belongs to waiters.c. */
_Static_assert(sizeof(ingest_state) <= sizeof(uint64_t) * 15, "nx_ingest.node_private is too small");

static ingest_state *state_of(nx_ingest *in) { return (ingest_state *)(void *)in->node_private; }

static void finish(nx_node *n, nx_ingest *in)
{
    if (in->wants_wait)
        nx_core_waiters_published(n->waiters, in);
    else
        in->done(in);
}

/* A duplicate: the first event's id and trace are looked up, and its run when the caller waits. */
static void duplicate_job(nx_core_job *job)
{
    ingest_state *s = (ingest_state *)(void *)((char *)job - offsetof(ingest_state, job));
    nx_ingest *in = s->pub.owner;
    nx_node *n = s->node;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(64u << 20);
    nx_event first;
    in->err = nx_fab_event_get_published(n->ns, &s->pub, &a, &first, &in->detail);
    if (in->err == NX_ENOENT) /* stored once and already trimmed: it was accepted then, and only its id is unknown now */
        nx_error_set(&in->detail, in->err = NX_ECONFLICT, "a duplicate of an event that is no longer in the log");
    if (in->err == NX_OK) {
        in->is_duplicate = true;
        in->event.event_id = first.event_id;
        in->event.trace = first.trace;
        in->event.deliver_wall_ns = first.deliver_wall_ns;
    }
    if (in->err == NX_OK && in->wants_wait) {
        nx_core_answer_find(n, &first, first.type, in->wait_function, false, &in->answer);
        in->is_late = !in->answer; /* its run is still on its way: the caller has the id */
        nx_core_waiters_settle(n->waiters, in);
    }
    finish(n, in);
}

static void on_stored(nx_fab_pub *pub)
{
    nx_ingest *in = pub->owner;
    nx_node *n = state_of(in)->node;
    in->err = pub->err;
    nx_obs_observe_ns(n->m_publish, nx_clock_ns() - state_of(in)->published_ns);
    if (pub->err != NX_OK) {
        nx_obs_add(n->m_refused, 1);
        if (!in->detail.msg[0])
            nx_error_set(&in->detail, pub->err, "the event was not stored: %s", nx_err_text(pub->err));
    } else if (pub->is_duplicate) {
        state_of(in)->job.run = duplicate_job;
        nx_err err = nx_core_jobs_post(n->jobs, &state_of(in)->job);
        if (err == NX_OK)
            return;
        in->err = nx_error_set(&in->detail, err, "too many duplicates are being looked up");
    } else {
        nx_obs_add(n->m_ingested, 1);
    }
    finish(n, in);
}

/* A delayed event stays in the log until it is delivered, and with it all that came after it: so not for longer than events are kept. */
static nx_err check_delay(nx_node *n, const nx_event *e, nx_error *reterr)
{
    char text[32];
    uint64_t keep_ns = atomic_load(&n->events_max_age_ns);
    if (keep_ns && e->deliver_wall_ns > e->wall_ns + keep_ns) {
        text[nx_duration_format(keep_ns, text)] = 0;
        return nx_error_set(reterr, NX_EINVAL, "the delay is longer than events are kept (%s): raise retention.events.max_age", text);
    }
    if (nx_fab_timers_waiting(n->ns) >= NX_FAB_TIMERS_MAX)
        return nx_error_set(reterr, NX_EFULL, "%u delayed deliveries wait already", NX_FAB_TIMERS_MAX);
    return NX_OK;
}

static nx_err ingest_publish(void *self, nx_ingest *in, nx_error *reterr)
{
    nx_node *n = self;
    if (atomic_load(&n->is_draining) || !atomic_load(&n->is_ready))
        return nx_error_set(reterr, NX_EUNAVAIL, "the node is %s", atomic_load(&n->is_draining) ? "stopping" : "starting");
    if (atomic_load(&n->is_strict) && nx_slice_empty(in->wait_function) && nx_core_registry_subscribers(n, in->event.type, NULL) == 0)
        return nx_error_set(reterr, NX_ENOENT, "no function takes events of type \"%.*s\" (ingest.strict is on)", NX_SLICE_FMT(in->event.type));
    if (in->event.deliver_wall_ns) {
        nx_err err = check_delay(n, &in->event, reterr);
        if (err != NX_OK)
            return err;
    }
    char reply[64 + NX_CORE_TOKEN_MAX + NX_FUNCTION_NAME_BYTES] = "";
    if (in->wants_wait) {
        char token[NX_CORE_TOKEN_MAX];
        nx_err err = nx_core_waiters_add(n->waiters, in, nx_clock_ns() + in->wait_ms * NX_NS_PER_MS, token);
        if (err != NX_OK)
            return nx_error_set(reterr, err, "%u callers wait already", NX_CORE_WAITERS_MAX);
        /* The last token names whose outcome is meant, where several functions may take the event. */
        snprintf(reply, sizeof reply, "%s.%s%s%.*s", nx_fab_inbox(n->fab), token, in->wait_function.n ? "." : "", NX_SLICE_FMT(in->wait_function));
    }
    ingest_state *s = state_of(in);
    s->node = n;
    s->published_ns = nx_clock_ns();
    s->pub = (nx_fab_pub){.done = on_stored, .owner = in};
    nx_err err = nx_fab_publish_event(n->ns, &in->event, in->dedupe_key, nx_slice_cstr(reply), &s->pub, reterr);
    if (err != NX_OK) {
        nx_obs_add(n->m_refused, 1);
        if (in->wants_wait)
            nx_core_waiters_forget(n->waiters, in);
    }
    return err;
}

static bool ingest_abandon(void *self, nx_ingest *in)
{
    nx_node *n = self;
    return in->wants_wait && nx_core_waiters_abandon(n->waiters, in);
}

static bool ingest_is_ready(void *self, nx_error *ret_why)
{
    nx_node *n = self;
    if (atomic_load(&n->is_draining) || !atomic_load(&n->is_ready)) {
        nx_error_set(ret_why, NX_EUNAVAIL, "the node is %s", atomic_load(&n->is_draining) ? "stopping" : "starting");
        return false;
    }
    return nx_fab_is_ready(n->fab, ret_why);
}

static nx_err ingest_route(void *self, nx_slice method, nx_slice path, nx_arena *a, nx_ingest_route *ret, nx_slice *ret_allow)
{
    return nx_core_registry_route(self, method, path, a, ret, ret_allow);
}

static nx_slice first_segment(nx_slice path)
{
    nx_slice rest;
    return nx_slice_split(nx_slice_sub(path, 1, path.n), '/', &rest);
}

static bool ingest_is_admin_path(void *self, nx_slice path)
{
    const nx_node *n = self;
    nx_slice first = first_segment(path);
    for (unsigned i = 0; i < n->n_admin_routes; i++)
        if (nx_slice_eq(first_segment(nx_slice_cstr(n->admin_routes[i].pattern)), first))
            return true;
    return false;
}

const nx_ingest_ops nx_core_ingest_ops = {ingest_route, ingest_publish, ingest_abandon, ingest_is_ready, ingest_is_admin_path};
