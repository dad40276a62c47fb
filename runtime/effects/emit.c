/* effects/emit.c: events that a function emits. They are collected here and published when the run ended ok: all of them, or none.
 * Message: "TYPE\n" *("name: value\n") "\n" data; names are subject, partitionkey and content-type. */
#include "effects/effects.h"

#include "nx/event.h"

/* The next line; what stands behind it in *rest. False: there is no newline any more. */
static bool next_line(nx_slice *rest, nx_slice *ret)
{
    const char *end = memchr(rest->p ? rest->p : "", '\n', rest->n);
    if (!end) return false;
    size_t n = (size_t)(end - rest->p);
    *ret = nx_slice_make(rest->p, n);
    *rest = nx_slice_sub(*rest, n + 1, rest->n);
    return true;
}

static bool set_attribute(nx_emit *m, nx_slice name, nx_slice value)
{
    nx_slice *to = nx_slice_eq_cstr(name, "subject")        ? &m->subject
                   : nx_slice_eq_cstr(name, "partitionkey") ? &m->partition_key
                   : nx_slice_eq_cstr(name, "content-type") ? &m->content_type
                                                            : NULL;
    if (!to || to->n || value.n == 0) return false;
    *to = value;
    return true;
}

/* NULL, or what is wrong with the message. */
static const char *parse(nx_slice text, nx_emit *ret)
{
    nx_slice line;
    *ret = (nx_emit){.type = NX_SLICE_NULL};
    if (!next_line(&text, &ret->type)) return "the first line, the event's type, does not end";
    for (;;) {
        if (!next_line(&text, &line)) return "there is no empty line before the data";
        if (line.n == 0) break;
        nx_slice value, name = nx_slice_split(line, ':', &value);
        if (!set_attribute(ret, name, nx_slice_trim(value))) return "an attribute is none of subject, partitionkey and content-type, is empty or stands twice";
    }
    ret->data = text;
    return NULL;
}

/* By the rules for every event that comes in. */
static nx_err validate(const nx_emit *m, nx_error *reterr)
{
    nx_id id = nx_raw_id(1);
    nx_event e = {
        .ns = NX_SLICE("default"),
        .event_id = id,
        .id = nx_id_slice(&id),
        .source = NX_SLICE("/functions/f"),
        .type = m->type,
        .subject = m->subject,
        .content_type = m->content_type,
        .partition_key = m->partition_key,
    };
    return nx_event_validate(&e, reterr);
}

static bool is_granted(const nx_attempt *a, nx_slice type)
{
    for (unsigned i = 0; a->grants && i < a->grants->n_emit; i++)
        if (nx_event_type_matches(a->grants->emit[i], type)) return true;
    return false;
}

/* Into the arena of the outcome. False: out of memory. */
static bool collect(nx_rt_world *w, nx_rt_effects *e, const nx_emit *m)
{
    nx_outcome *o = &w->attempt->out;
    if (o->n_emitted == e->emitted_cap) {
        unsigned cap = e->emitted_cap ? e->emitted_cap * 2 : 8;
        nx_emit *list = nx_arena_calloc(&o->arena, cap, sizeof *list);
        if (!list) return false;
        if (o->n_emitted) memcpy(list, o->emitted, o->n_emitted * sizeof *list);
        o->emitted = list;
        e->emitted_cap = cap;
    }
    const nx_slice *from[] = {&m->type, &m->subject, &m->partition_key, &m->content_type, &m->data};
    nx_emit *kept = &o->emitted[o->n_emitted];
    nx_slice *to[] = {&kept->type, &kept->subject, &kept->partition_key, &kept->content_type, &kept->data};
    for (unsigned i = 0; i < NX_ARRAY_LEN(from); i++) {
        *to[i] = nx_arena_dup(&o->arena, *from[i]);
        if (!to[i]->p) return false;
    }
    o->n_emitted++;
    return true;
}

/* (message, length) */
NX_RT_HANDLER(nexus_emit)
{
    nx_rt_world *w = c->w;
    nx_rt_effects *e = nx_rt_effects_of(w);
    nx_emit m;
    nx_error err = NX_ERROR_INIT;
    if (!e) return NX_WASI_END;
    const uint8_t *p = nx_rt_mem_at(c, c->args[0], c->args[1]);
    if (!p) return nx_rt_effect_refuse(e, NX_EFFECT_FAULT, "the message lies outside the memory");
    nx_slice message = nx_slice_make(p, (size_t)c->args[1]);
    if (message.n > NX_EFFECT_REQUEST_BYTES) return nx_rt_effect_refuse(e, NX_EFFECT_LIMIT, "an event of %zu bytes; its data may have %u", message.n, NX_EMIT_DATA_BYTES);
    nx_buf_clear(&e->request);
    if (nx_buf_append_slice(&e->request, message) != NX_OK) {
        w->end = NX_RT_END_NOMEM;
        return NX_WASI_END;
    }
    const char *wrong = parse(nx_buf_view(&e->request), &m);
    if (wrong) return nx_rt_effect_refuse(e, NX_EFFECT_INVALID, "%s", wrong);
    if (validate(&m, &err) != NX_OK) return nx_rt_effect_refuse(e, NX_EFFECT_INVALID, "%s", err.msg);
    if (m.data.n > NX_EMIT_DATA_BYTES) return nx_rt_effect_refuse(e, NX_EFFECT_LIMIT, "data of %zu bytes; %u are allowed", m.data.n, NX_EMIT_DATA_BYTES);
    if (w->attempt->out.n_emitted == NX_RUN_EMITTED_MAX || e->emitted_bytes + message.n > NX_EMIT_ATTEMPT_BYTES)
        return nx_rt_effect_refuse(e, NX_EFFECT_LIMIT, "a run emits at most %d events, of %u MiB together", NX_RUN_EMITTED_MAX, NX_EMIT_ATTEMPT_BYTES >> 20);
    uint8_t status = nx_rt_effect_emit_status(c, e, m.type, is_granted(w->attempt, m.type));
    if (status != NX_EFFECT_OK) return status;
    e->emitted_bytes += message.n;
    e->view = NX_SLICE_NULL;
    if (collect(w, e, &m)) return NX_EFFECT_OK;
    w->end = NX_RT_END_NOMEM;
    return NX_WASI_END;
}
