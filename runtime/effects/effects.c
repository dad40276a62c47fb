/* effects/effects.c: where the answer of a host call comes from, and what the record keeps of it.
 * recorded: the next effect of the recording, which must be the very same call. live: the world, as grants allow. deny: nothing. */
#include "effects/effects.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "nx/clock.h"
#include "nx/crypt.h"

#define REQUEST_BYTES_MAX (NX_EFFECT_REQUEST_BYTES + 4096u)
#define ARENA_BYTES_MAX (NX_EFFECT_ATTEMPT_BYTES + NX_EMIT_ATTEMPT_BYTES + (16u << 20)) /* and the arrays */
#define KEPT_BUFFER_BYTES (256u << 10)                                                  /* a scratch keeps no more than this between attempts */
#define DEADLINE_MARGIN_NS (5 * NX_NS_PER_MS)
#define SHOWN_BYTES 80

/* ---- the state */

void nx_rt_effects_free(nx_rt_effects *e)
{
    if (!e) return;
    nx_buf_done(&e->request);
    nx_buf_done(&e->answer);
    nx_buf_done(&e->keep);
    free(e);
}

nx_rt_effects *nx_rt_effects_of(nx_rt_world *w)
{
    if (w->effects) return w->effects;
    nx_rt_effects *e = w->scratch->effects;
    nx_outcome *o = &w->attempt->out;
    if (!e) e = w->scratch->effects = calloc(1, sizeof *e);
    if (!e) {
        w->end = NX_RT_END_NOMEM;
        return NULL;
    }
    *e = (nx_rt_effects){.request = e->request, .answer = e->answer, .keep = e->keep};
    e->request.max = REQUEST_BYTES_MAX;
    e->answer.max = e->keep.max = NX_EFFECT_ANSWER_BYTES;
    if (o->arena.max == 0) nx_arena_init(&o->arena, ARENA_BYTES_MAX);
    w->effects = e;
    return e;
}

static void shrink(nx_buf *b)
{
    nx_buf_clear(b);
    if (b->cap > KEPT_BUFFER_BYTES) nx_buf_done(b);
}

/* The value of a secret stays no longer than the guest can read it. */
static void drop_secret(nx_rt_effects *e)
{
    if (e->is_secret) nx_wipe(e->answer.p, e->answer.cap);
    e->is_secret = false;
}

void nx_rt_effects_end(nx_rt_world *w)
{
    drop_secret(w->effects);
    shrink(&w->effects->request);
    shrink(&w->effects->answer);
    shrink(&w->effects->keep);
    w->effects = NULL;
}

const char *nx_rt_effects_text(const nx_rt_world *w) { return w->effects ? w->effects->text : ""; }

/* A guest's words reach terminals. */
static const char *shown(nx_slice s, char out[SHOWN_BYTES])
{
    size_t n = s.n < SHOWN_BYTES - 1 ? s.n : SHOWN_BYTES - 1;
    for (size_t i = 0; i < n; i++) out[i] = (unsigned char)s.p[i] < ' ' || (unsigned char)s.p[i] >= 0x7f ? '?' : s.p[i];
    out[n] = '\0';
    return out;
}

static void __attribute__((format(printf, 2, 0))) set_text(nx_rt_effects *e, const char *fmt, va_list ap)
{
    nx_buf_clear(&e->answer);
    (void)nx_buf_vprintf(&e->answer, fmt, ap); /* without memory the guest reads no text */
    e->view = nx_buf_view(&e->answer);
    e->is_secret = false;
}

static void __attribute__((format(printf, 2, 3))) set_answer(nx_rt_effects *e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_text(e, fmt, ap);
    va_end(ap);
}

uint8_t nx_rt_effect_refuse(nx_rt_effects *e, nx_effect_status status, const char *fmt, ...)
{
    va_list ap;
    drop_secret(e);
    va_start(ap, fmt);
    set_text(e, fmt, ap);
    va_end(ap);
    return (uint8_t)status;
}

static uint8_t __attribute__((format(printf, 4, 5))) end_with(nx_rt_world *w, nx_rt_effects *e, nx_rt_end end, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    w->end = end;
    return NX_WASI_END;
}

/* ---- the recording that is made */

static bool grow(nx_arena *a, void **array, unsigned n, unsigned *cap, size_t element_bytes)
{
    if (n < *cap) return true;
    unsigned more = *cap ? *cap * 2 : 8;
    void *p = nx_arena_calloc(a, more, element_bytes);
    if (!p) return false;
    if (n) memcpy(p, *array, n * element_bytes);
    *array = p;
    *cap = more;
    return true;
}

/* `answer` is lent where it lies in a recording, else copied. */
static bool note(nx_rt_world *w, nx_rt_effects *e, const char *name, const nx_sha256 *request, nx_effect_status status, nx_slice answer, bool is_lent)
{
    nx_outcome *o = &w->attempt->out;
    void *list = o->effects;
    bool is_there = grow(&o->arena, &list, o->n_effects, &e->effects_cap, sizeof *o->effects);
    o->effects = list;
    nx_slice kept = answer;
    if (is_there && !is_lent) {
        kept = nx_arena_dup(&o->arena, answer);
        is_there = kept.p != NULL;
    }
    if (!is_there) {
        w->end = NX_RT_END_NOMEM;
        return false;
    }
    o->effects[o->n_effects++] = (nx_effect){nx_slice_cstr(name), *request, status, w->now_ns - w->attempt->start_wall_ns, kept};
    e->kept_bytes += kept.n;
    return true;
}

static uint8_t end_interrupted(nx_rt_world *w, nx_rt_effects *e, const char *name)
{
    return end_with(w, e, NX_RT_END_DEADLINE, ": interrupted in host call %llu (%s)", (unsigned long long)w->attempt->out.n_calls, name);
}

static uint8_t end_over(nx_rt_world *w, nx_rt_effects *e)
{
    return end_with(w, e, NX_RT_END_EFFECTS_LIMIT, "host calls answered more than a record holds (%u calls, %u MiB)", NX_EFFECT_ATTEMPT_CALLS,
                    NX_EFFECT_ATTEMPT_BYTES >> 20);
}

/* ---- recorded */

static bool is_next(const nx_rt_world *w, const nx_rt_effects *e, const char *name, const nx_sha256 *request)
{
    const nx_attempt *a = w->attempt;
    if (e->next >= a->n_recorded) return false;
    const nx_effect *r = &a->recorded[e->next];
    return nx_slice_eq_cstr(r->name, name) && memcmp(&r->request, request, sizeof *request) == 0;
}

static uint8_t end_not_recorded(nx_rt_world *w, nx_rt_effects *e, const nx_rt_effect_ask *ask)
{
    const nx_attempt *a = w->attempt;
    char show[SHOWN_BYTES], there[SHOWN_BYTES + 32] = "no further one";
    if (e->next < a->n_recorded) {
        const nx_effect *r = &a->recorded[e->next];
        char name[SHOWN_BYTES];
        bool is_same = nx_slice_eq_cstr(r->name, ask->name);
        (void)snprintf(there, sizeof there, "%s%s", is_same ? "another request of " : "", shown(r->name, name));
    }
    return end_with(w, e, NX_RT_END_NOT_RECORDED, "host call %llu, %s %s, is not in the recording, which has %s as effect %u", (unsigned long long)a->out.n_calls,
                    ask->name, shown(ask->show, show), there, e->next);
}

/* The value is never recorded: it is read again, and its keyed digest tells whether it is the one of that time. */
static uint8_t recall_secret(nx_rt_world *w, nx_rt_effects *e, const nx_rt_effect_ask *ask, const nx_effect *r)
{
    const nx_attempt *a = w->attempt;
    static const nx_grants no_grants;
    char show[SHOWN_BYTES];
    nx_error err = NX_ERROR_INIT;
    nx_buf_clear(&e->answer);
    nx_buf_clear(&e->keep);
    nx_effect_call call = {a->grants ? a->grants : &no_grants, a->trace, w->deadline_ns, &e->answer, &e->keep};
    nx_err rc = a->effect_ops ? ask->live(ask, a->effect_ops, a->effect_self, &call, &err) : NX_ENOENT;
    nx_rt_end lacking = a->is_replay ? NX_RT_END_NO_SECRET : NX_RT_END_NOT_RECORDED; /* a redrive is a run, and needs an outcome */
    if (rc != NX_OK)
        return end_with(w, e, lacking, "the value of secret %s is not recorded, and can't be read here: %s", shown(ask->show, show),
                        err.msg[0] ? err.msg : "this replay has no secrets");
    e->is_secret = true;
    if (!nx_slice_eq(nx_buf_view(&e->keep), r->answer))
        return end_with(w, e, lacking, "secret %s has another value than in the recording, or the node another key", shown(ask->show, show));
    w->has_secret = true;
    e->view = nx_buf_view(&e->answer);
    return NX_EFFECT_OK;
}

static uint8_t recall(nx_rt_world *w, nx_rt_effects *e, const nx_rt_effect_ask *ask, const nx_sha256 *request)
{
    const nx_attempt *a = w->attempt;
    if (!is_next(w, e, ask->name, request)) return end_not_recorded(w, e, ask);
    const nx_effect *r = &a->recorded[e->next++];
    uint64_t then_ns = r->clock_ns > UINT64_MAX - a->start_wall_ns ? UINT64_MAX : a->start_wall_ns + r->clock_ns;
    if (then_ns > w->now_ns) w->now_ns = then_ns;
    if (!note(w, e, ask->name, request, r->status, r->answer, true)) return NX_WASI_END;
    if (r->status == NX_EFFECT_INTERRUPTED) return end_interrupted(w, e, ask->name);
    if (r->status > NX_EFFECT_FAULT) return end_over(w, e);
    if (ask->is_secret && r->status == NX_EFFECT_OK) return recall_secret(w, e, ask, r);
    e->view = r->answer;
    e->is_secret = false;
    return (uint8_t)r->status;
}

/* ---- live */

static void tell_author(nx_rt_world *w, nx_rt_effects *e, const char *name)
{
    if (e->is_noted || !w->attempt->on_note) return;
    e->is_noted = true;
    char text[NX_ERROR_MSG_MAX + 64];
    int n = snprintf(text, sizeof text, "%s was denied: %.*s", name, NX_SLICE_FMT(e->view));
    w->attempt->on_note(w->attempt, nx_slice_make(text, n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n
                                                                                            : sizeof text - 1));
}

static void set_not_granted(nx_rt_effects *e, const char *grant, nx_slice wanted)
{
    char show[SHOWN_BYTES];
    set_answer(e, "it is not granted; add `%s: [\"%s\"]` to the function in nexus.yaml", grant, shown(wanted, show));
}

/* Blocks. The deadline of a replay is its own: it began when it began. */
static nx_err ask_world(nx_rt_world *w, nx_rt_effects *e, const nx_rt_effect_ask *ask, nx_error *reterr)
{
    const nx_attempt *a = w->attempt;
    static const nx_grants no_grants;
    uint64_t now_ns = nx_clock_ns(), until_ns = a->timeout_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + a->timeout_ns;
    if (until_ns > w->deadline_ns) until_ns = w->deadline_ns;
    nx_buf_clear(&e->answer);
    nx_buf_clear(&e->keep);
    if (now_ns >= until_ns) return NX_ETIMEOUT;
    nx_effect_call call = {a->grants ? a->grants : &no_grants, a->trace, until_ns, &e->answer, &e->keep};
    if (w->leave_slot) w->leave_slot(w->wait_self);
    nx_err rc = a->effect_ops ? ask->live(ask, a->effect_ops, a->effect_self, &call, reterr) : nx_error_set(reterr, NX_EUNAVAIL, "there is no node here that could do it");
    if (w->resume_slot) w->resume_slot(w->wait_self);
    return rc;
}

/* The guest's clock catches up with what the call really took. */
static void catch_up(nx_rt_world *w)
{
    uint64_t passed_ns = nx_clock_ns() - w->begin_ns, start_ns = w->attempt->start_wall_ns;
    if (w->begin_ns && passed_ns <= UINT64_MAX - start_ns && start_ns + passed_ns > w->now_ns) w->now_ns = start_ns + passed_ns;
}

static bool is_over(const nx_rt_world *w, const nx_rt_effects *e, size_t more_bytes)
{
    return w->attempt->out.n_effects + 1 >= NX_EFFECT_ATTEMPT_CALLS || e->kept_bytes + more_bytes > NX_EFFECT_ATTEMPT_BYTES;
}

static uint8_t do_live(nx_rt_world *w, nx_rt_effects *e, const nx_rt_effect_ask *ask, const nx_sha256 *request)
{
    nx_error err = NX_ERROR_INIT;
    nx_err rc = ask_world(w, e, ask, &err);
    if (rc == NX_ENOMEM) {
        w->end = NX_RT_END_NOMEM;
        return NX_WASI_END;
    }
    if (rc == NX_ECANCELED) return end_with(w, e, NX_RT_END_CANCELED, "%s", "the node stops");
    catch_up(w);
    /* Clients count in milliseconds and may give up a moment early: then it is the attempt's time that is over, too. */
    if (rc == NX_ETIMEOUT && nx_clock_ns() + DEADLINE_MARGIN_NS >= w->deadline_ns)
        return note(w, e, ask->name, request, NX_EFFECT_INTERRUPTED, NX_SLICE_NULL, true) ? end_interrupted(w, e, ask->name) : NX_WASI_END;
    if (rc != NX_OK) {
        set_answer(e, "%s", err.msg[0] ? err.msg : nx_err_text(rc));
        nx_buf_clear(&e->keep);
    }
    e->view = nx_buf_view(&e->answer);
    e->is_secret = ask->is_secret && rc == NX_OK;
    w->has_secret |= e->is_secret;
    nx_slice kept = e->is_secret ? nx_buf_view(&e->keep) : e->view;
    if (is_over(w, e, kept.n)) return note(w, e, ask->name, request, NX_EFFECT_OVER, NX_SLICE_NULL, true) ? end_over(w, e) : NX_WASI_END;
    nx_effect_status status = nx_effect_status_of(rc);
    if (!note(w, e, ask->name, request, status, kept, false)) return NX_WASI_END;
    if (status == NX_EFFECT_DENIED) tell_author(w, e, ask->name);
    return (uint8_t)status;
}

/* ---- by policy */

static uint8_t deny(nx_rt_world *w, nx_rt_effects *e, const char *name, const nx_sha256 *request)
{
    if (is_over(w, e, e->view.n)) return note(w, e, name, request, NX_EFFECT_OVER, NX_SLICE_NULL, true) ? end_over(w, e) : NX_WASI_END;
    return note(w, e, name, request, NX_EFFECT_DENIED, e->view, false) ? NX_EFFECT_DENIED : NX_WASI_END;
}

static uint8_t answer_by_policy(nx_rt_world *w, nx_rt_effects *e, const nx_rt_effect_ask *ask, const nx_sha256 *request)
{
    uint8_t status;
    switch (w->attempt->effects) {
    case NX_EFFECTS_RECORDED: return recall(w, e, ask, request);
    case NX_EFFECTS_DENY:
        set_answer(e, "%s", "this replay denies all effects");
        return deny(w, e, ask->name, request);
    case NX_EFFECTS_LIVE: break;
    }
    if (ask->is_granted) return do_live(w, e, ask, request);
    set_not_granted(e, ask->grant, ask->wanted);
    status = deny(w, e, ask->name, request);
    if (status == NX_EFFECT_DENIED) tell_author(w, e, ask->name);
    return status;
}

/* What the record and the trace have of the request: its SHA-256, from which a short secret in it could be guessed; so once the guest has seen
 * one, a keyed digest. A recording that was made before that rule is repeated by its own. False: the attempt is over, there is no key. */
static bool request_digest(nx_rt_world *w, const nx_rt_effects *e, const char *name, bool is_secret, nx_sha256 *ret)
{
    const nx_attempt *a = w->attempt;
    *ret = nx_effect_request_digest(nx_slice_cstr(name), nx_buf_view(&e->request));
    if (!w->has_secret || is_secret || (a->effects == NX_EFFECTS_RECORDED && is_next(w, e, name, ret))) return true;
    nx_error err = NX_ERROR_INIT;
    bool has_key = a->effect_ops && a->effect_ops->keyed_digest;
    if (has_key && a->effect_ops->keyed_digest(a->effect_self, nx_slice_cstr(name), nx_buf_view(&e->request), ret, &err) == NX_OK) return true;
    w->end = NX_RT_END_NOMEM; /* the node's trouble: it had the key a moment ago */
    return false;
}

uint8_t nx_rt_effect(nx_rt_call *c, nx_rt_effects *e, const nx_rt_effect_ask *ask)
{
    nx_sha256 request;
    if (!request_digest(c->w, e, ask->name, ask->is_secret, &request)) return NX_WASI_END;
    drop_secret(e);
    nx_rt_trace_bytes(c->w, ask->show.p, ask->show.n);
    if (!ask->is_secret) nx_rt_trace_value(c->w, nx_rt_get_u64(request.b));
    e->view = NX_SLICE_NULL;
    uint8_t status = answer_by_policy(c->w, e, ask, &request);
    if (status == NX_EFFECT_OK && !ask->is_secret) nx_rt_trace_value(c->w, e->view.n);
    return status;
}

uint8_t nx_rt_effect_emit_status(nx_rt_call *c, nx_rt_effects *e, nx_slice type, bool is_granted)
{
    static const char name[] = "emit";
    nx_rt_world *w = c->w;
    nx_sha256 request = nx_effect_request_digest(NX_SLICE("emit"), nx_buf_view(&e->request)); /* of what is published */
    drop_secret(e);
    nx_rt_trace_bytes(w, type.p, type.n);
    nx_rt_trace_value(w, nx_rt_get_u64(request.b));
    e->view = NX_SLICE_NULL;
    if (w->attempt->effects == NX_EFFECTS_RECORDED && is_next(w, e, name, &request)) {
        const nx_effect *r = &w->attempt->recorded[e->next++];
        e->view = r->answer;
        if (!note(w, e, name, &request, r->status, r->answer, true)) return NX_WASI_END;
        return r->status > NX_EFFECT_FAULT ? end_over(w, e) : (uint8_t)r->status;
    }
    if (w->attempt->effects != NX_EFFECTS_LIVE || is_granted) return NX_EFFECT_OK;
    set_not_granted(e, name, type);
    uint8_t status = deny(w, e, name, &request);
    if (status == NX_EFFECT_DENIED) tell_author(w, e, name);
    return status;
}
