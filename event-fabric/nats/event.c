/* event.c: an event to a stored message and back (CloudEvents in binary mode, ce- headers, data untouched).
 *
 * Ours:      nx.<ns>.ev.<shard>.<type tokens>; event_id is ce-id, or nx-event-id beside a producer's own id.
 * Raw:       a message that somebody published on a subject of `on.nats`; its id is made of the stream sequence. Where it is a CloudEvent
 *            (ce- headers, or a structured one by its Content-Type) it keeps its attributes; else type is "nats.<subject>", source
 *            "nats:<subject>", time the time it was stored. Without a traceparent its trace is derived from namespace and sequence, so
 *            that a redelivery and a replay see the same one.
 * datacontenttype travels as ce-datacontenttype; a plain Content-Type is read where that is missing. */
#include "fab_internal.h"
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* Of the digest of a caller's key: 144 bits tell keys apart, and 24 characters are what the server keeps of each for as long as the window. At a
 * restart it reads them all again: a million in 1.9 s, with 64 characters 8 s, most of it spent collecting garbage at its memory limit. */
#define DEDUPE_BYTES 18u

nx_slice nx_fab_dedupe_id(nx_slice key, char out[NX_FAB_DEDUPE_ID_BYTES])
{
    nx_sha256 d = nx_sha256_of(key);

    _Static_assert(NX_FAB_DEDUPE_ID_BYTES == DEDUPE_BYTES / 3 * 4 + 1, "base64 of it");
    return nx_slice_make(out, nx_base64_encode(nx_slice_make(d.b, DEDUPE_BYTES), true, out));
}

nx_err nx_fab_event_encode(const nx_event *e, nx_slice dedupe_key, nx_slice reply, nx_fab_hdr *h)
{
    char text[NX_TRACEPARENT_LEN + 1], name[80];

    if (dedupe_key.n) {
        char id[NX_FAB_DEDUPE_ID_BYTES];

        nx_fab_hdr_add(h, "Nats-Msg-Id", nx_fab_dedupe_id(dedupe_key, id));
    }
    nx_fab_hdr_add(h, "ce-specversion", NX_SLICE("1.0"));
    nx_fab_hdr_add_encoded(h, "ce-id", e->id.n ? e->id : nx_id_slice(&e->event_id));
    if (e->id.n && !nx_slice_eq(e->id, nx_id_slice(&e->event_id)))
        nx_fab_hdr_add(h, "nx-event-id", nx_id_slice(&e->event_id));
    nx_fab_hdr_add_encoded(h, "ce-source", e->source);
    nx_fab_hdr_add_encoded(h, "ce-type", e->type);
    if (e->time.n)
        nx_fab_hdr_add_encoded(h, "ce-time", e->time);
    if (e->content_type.n)
        nx_fab_hdr_add_encoded(h, "ce-datacontenttype", e->content_type);
    if (e->subject.n)
        nx_fab_hdr_add_encoded(h, "ce-subject", e->subject);
    if (e->dataschema.n)
        nx_fab_hdr_add_encoded(h, "ce-dataschema", e->dataschema);
    if (e->partition_key.n)
        nx_fab_hdr_add_encoded(h, "ce-partitionkey", e->partition_key);
    for (unsigned i = 0; i < e->n_ext; i++) {
        if ((size_t)snprintf(name, sizeof name, "ce-%.*s", NX_SLICE_FMT(e->ext[i].key)) >= sizeof name || !nx_fab_name_is_valid(e->ext[i].key, 64))
            return NX_EINVAL;
        nx_fab_hdr_add_encoded(h, name, e->ext[i].value);
    }
    if (e->trace.trace_id[0])
        nx_fab_hdr_add(h, "ce-traceparent", nx_slice_make(text, nx_trace_format(&e->trace, text)));
    if (e->tracestate.n)
        nx_fab_hdr_add_encoded(h, "ce-tracestate", e->tracestate);
    if (e->hop)
        nx_fab_hdr_add(h, "nx-hop", nx_slice_make(name, (size_t)snprintf(name, sizeof name, "%u", e->hop)));
    if (e->cause.n)
        nx_fab_hdr_add_encoded(h, "nx-cause", e->cause);
    if (e->data_is_base64)
        nx_fab_hdr_add(h, "nx-base64", NX_SLICE("1"));
    if (e->deliver_wall_ns)
        nx_fab_hdr_add(h, "nx-deliver-at", nx_slice_make(text, nx_clock_rfc3339(e->deliver_wall_ns, 9, text)));
    if (reply.n)
        nx_fab_hdr_add(h, "nx-reply", reply);
    return h->is_bad ? NX_ELIMIT : NX_OK;
}

bool nx_fab_is_event_subject(const nx_fab_ns *n, nx_slice subject)
{
    return subject.n > n->ev_prefix_n && !memcmp(subject.p, n->ev_prefix, n->ev_prefix_n);
}

bool nx_fab_is_placed_subject(const nx_fab_ns *n, nx_slice subject)
{
    return subject.n > n->due_prefix_n && !memcmp(subject.p, n->due_prefix, n->due_prefix_n);
}

/* ---- back ------------------------------------------------------------------------------------------------------------------------------------- */

struct reader {
    nx_event *e;
    nx_arena *a;
    bool has_id; /* nx-event-id or ce-id that is an id of ours */
    bool has_event_id;
    bool is_cloudevent;
    nx_slice plain_content_type;
};

static nx_slice decoded(struct reader *r, nx_slice v)
{
    nx_slice out;

    if (!v.n || !memchr(v.p, '%', v.n) || nx_event_header_decode(v, r->a, &out))
        return v;
    return out;
}

static bool has_extension(const nx_event *e, nx_slice name)
{
    for (unsigned i = 0; i < e->n_ext; i++)
        if (nx_slice_eq(e->ext[i].key, name))
            return true;
    return false;
}

static void read_attribute(struct reader *r, nx_slice name, nx_slice v)
{
    static const struct {
        const char *name;
        size_t at;
    } known[] = {
        {"id", offsetof(nx_event, id)},
        {"source", offsetof(nx_event, source)},
        {"type", offsetof(nx_event, type)},
        {"time", offsetof(nx_event, time)},
        {"datacontenttype", offsetof(nx_event, content_type)},
        {"subject", offsetof(nx_event, subject)},
        {"dataschema", offsetof(nx_event, dataschema)},
        {"partitionkey", offsetof(nx_event, partition_key)},
        {"tracestate", offsetof(nx_event, tracestate)},
    };
    nx_event *e = r->e;

    v = decoded(r, v);
    for (size_t i = 0; i < NX_ARRAY_LEN(known); i++)
        if (nx_slice_ieq(name, nx_slice_cstr(known[i].name))) {
            memcpy((char *)e + known[i].at, &v, sizeof v);
            return;
        }
    if (nx_slice_ieq(name, NX_SLICE("specversion"))) {
        r->is_cloudevent = true;
    } else if (nx_slice_ieq(name, NX_SLICE("traceparent"))) {
        if (nx_trace_parse(v, &e->trace))
            e->trace.trace_id[0] = 0;
    } else if (e->n_ext < NX_EVENT_EXT_MAX && !has_extension(e, name)) {
        e->ext[e->n_ext++] = (nx_kv){name, v};
    }
}

static void read_ours(struct reader *r, nx_slice name, nx_slice v)
{
    uint64_t hop;

    if (nx_slice_eq_cstr(name, "event-id"))
        r->has_event_id = !nx_id_parse(v, &r->e->event_id);
    else if (nx_slice_eq_cstr(name, "hop"))
        r->e->hop = nx_slice_u64(v, UINT32_MAX, &hop) ? 0 : (unsigned)hop;
    else if (nx_slice_eq_cstr(name, "cause"))
        r->e->cause = decoded(r, v);
    else if (nx_slice_eq_cstr(name, "base64"))
        r->e->data_is_base64 = nx_slice_eq_cstr(v, "1");
    else if (nx_slice_eq_cstr(name, "deliver-at") && nx_clock_parse_rfc3339(v, &r->e->deliver_wall_ns))
        r->e->deliver_wall_ns = 0;
}

static int by_name(const void *a, const void *b)
{
    const nx_kv *x = a, *y = b;
    size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
    int c = memcmp(x->key.p, y->key.p, n);

    return c ? c : (x->key.n > y->key.n) - (x->key.n < y->key.n);
}

static void read_headers(struct reader *r, natsMsg *m)
{
    nx_fab_lines l;
    nx_slice key, v;

    for (nx_fab_lines_of(m, &l); nx_fab_lines_next(&l, &key, &v);) {
        if (key.n <= 3)
            continue;
        if (key.p[2] == '-' && !strncasecmp(key.p, "ce", 2))
            read_attribute(r, nx_slice_sub(key, 3, key.n), v);
        else if (!memcmp(key.p, "nx-", 3))
            read_ours(r, nx_slice_sub(key, 3, key.n), v);
        else if (nx_slice_ieq(key, NX_SLICE("content-type")))
            r->plain_content_type = v;
        else if (nx_slice_ieq(key, NX_SLICE("traceparent")) && !r->e->trace.trace_id[0] && nx_trace_parse(v, &r->e->trace))
            r->e->trace.trace_id[0] = 0;
    }
    /* By name: what a guest reads does not depend on who wrote the lines, or on those that a look-up adds. */
    qsort(r->e->ext, r->e->n_ext, sizeof r->e->ext[0], by_name);
}

static void derive_trace(nx_fab_ns *n, uint64_t seq, nx_trace *t)
{
    static const char hex[] = "0123456789abcdef";
    char text[NX_NAMESPACE_BYTES + 32];
    int len = snprintf(text, sizeof text, "%s\n%llu", n->name, (unsigned long long)seq);
    nx_sha256 d = nx_sha256_of(nx_slice_make(text, (size_t)len));

    for (int i = 0; i < 16; i++) {
        t->trace_id[2 * i] = hex[d.b[i] >> 4];
        t->trace_id[2 * i + 1] = hex[d.b[i] & 15];
    }
    for (int i = 0; i < 8; i++) {
        t->span_id[2 * i] = hex[d.b[16 + i] >> 4];
        t->span_id[2 * i + 1] = hex[d.b[16 + i] & 15];
    }
    t->trace_id[NX_TRACE_ID_HEX] = t->span_id[NX_SPAN_ID_HEX] = 0;
    t->flags = 1;
}

/* What a raw message lacks. */
static nx_err complete_raw(nx_fab_ns *n, struct reader *r, nx_slice subject, uint64_t seq, uint64_t stored_wall_ns)
{
    nx_event *e = r->e;
    char *text;

    e->event_id = nx_raw_id(seq);
    e->wall_ns = stored_wall_ns;
    e->deliver_wall_ns = 0; /* the gateway's to bound, and it did not see this one */
    if (!e->id.n) {
        e->id = nx_arena_dup(r->a, nx_id_slice(&e->event_id));
        if (!e->id.p)
            return NX_ENOMEM;
    }
    if (!e->type.n) {
        text = nx_arena_printf(r->a, "nats.%.*s", NX_SLICE_FMT(subject));
        if (!text)
            return NX_ENOMEM;
        e->type = nx_slice_cstr(text);
    }
    if (!e->source.n) {
        text = nx_arena_printf(r->a, "nats:%.*s", NX_SLICE_FMT(subject));
        if (!text)
            return NX_ENOMEM;
        e->source = nx_slice_cstr(text);
    }
    if (!e->time.n) {
        text = nx_arena_alloc(r->a, NX_RFC3339_MAX);
        if (!text)
            return NX_ENOMEM;
        e->time = nx_slice_make(text, nx_clock_rfc3339(stored_wall_ns, 9, text));
    }
    if (!e->trace.trace_id[0])
        derive_trace(n, seq, &e->trace);
    return NX_OK;
}

nx_err nx_fab_event_decode(nx_fab_ns *n, natsMsg *m, nx_slice subject, uint64_t seq, uint64_t stored_wall_ns, nx_arena *a, nx_event *ret,
                           nx_error *reterr)
{
    struct reader r = {.e = ret, .a = a};
    bool is_raw = !nx_fab_is_event_subject(n, subject) && !nx_fab_is_placed_subject(n, subject);
    nx_slice data = nx_slice_make(natsMsg_GetData(m), (size_t)natsMsg_GetDataLength(m));

    memset(ret, 0, sizeof *ret);
    read_headers(&r, m);
    if (is_raw && nx_slice_starts(r.plain_content_type, NX_SLICE("application/cloudevents"))) {
        nx_trace header_trace = ret->trace;

        if (nx_event_from_json(data, a, ret, NULL)) { /* not one after all: the bytes are the data */
            memset(ret, 0, sizeof *ret);
            ret->data = data;
            ret->content_type = r.plain_content_type;
        }
        if (!ret->trace.trace_id[0])
            ret->trace = header_trace;
    } else {
        ret->data = data;
        if (!ret->content_type.n)
            ret->content_type = r.plain_content_type;
    }
    ret->ns = n->ns;
    ret->stream_seq = seq;
    if (is_raw)
        return complete_raw(n, &r, subject, seq, stored_wall_ns) ? nx_error_set(reterr, NX_ENOMEM, "message %llu", (unsigned long long)seq) : NX_OK;
    if (!r.has_event_id && nx_id_parse(ret->id, &ret->event_id))
        return nx_error_set(reterr, NX_ECORRUPT, "message %llu of %s has no event id", (unsigned long long)seq, n->events);
    ret->wall_ns = nx_id_time_ms(&ret->event_id) * NX_NS_PER_MS;
    if (!ret->trace.trace_id[0])
        derive_trace(n, seq, &ret->trace);
    return NX_OK;
}
