/* event_json.c: CloudEvents JSON format 1.0.2 (structured mode), both ways.
 * `data` is never re-serialised: it is found by scanning and copied byte for byte, whatever numbers or key order it has. */
#include "json_scan.h"
#include "nx/digest.h"
#include "nx/event.h"

static bool is_json_text(nx_slice s)
{
    nx_json_scan scan = {s.p, s.p ? s.p + s.n : NULL};
    return s.n && nx_json_scan_document(&scan) == NX_OK;
}

static void optional(nx_jw *w, const char *key, nx_slice v)
{
    if (v.n) nx_jw_kstr(w, key, v);
}

static void write_base64(nx_jw *w, nx_slice data)
{
    nx_jw_key(w, "data_base64");
    nx_jw_raw(w, NX_SLICE("\""));
    if (w->err) return;
    size_t room = 4 * ((data.n + 2) / 3) + 1;
    w->err = data.n > SIZE_MAX / 2 ? NX_ELIMIT : nx_buf_reserve(w->out, room + 1);
    if (w->err) return;
    w->out->n += nx_base64_encode(data, false, w->out->p + w->out->n);
    w->err = nx_buf_append_char(w->out, '"');
}

/* Bytes that claim to be JSON and are not go as base64, not as a string: a reader would take the string itself for the data. */
static void write_data(nx_jw *w, const nx_event *e)
{
    if (e->data.n == 0) return;
    bool claims_json = e->content_type.n == 0 || nx_content_type_is_json(e->content_type);
    if (!e->data_is_base64 && claims_json && is_json_text(e->data)) {
        nx_jw_key(w, "data");
        nx_jw_raw(w, e->data);
    } else if (!e->data_is_base64 && !claims_json && nx_slice_is_utf8(e->data)) {
        nx_jw_kstr(w, "data", e->data);
    } else {
        write_base64(w, e->data);
    }
}

nx_err nx_event_to_json(const nx_event *e, nx_buf *out)
{
    size_t before = out->n;
    nx_jw w = NX_JW_INIT(out);
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "specversion", "1.0");
    nx_jw_kstr(&w, "id", e->id);
    nx_jw_kstr(&w, "source", e->source);
    nx_jw_kstr(&w, "type", e->type);
    optional(&w, "subject", e->subject);
    optional(&w, "time", e->time);
    optional(&w, "datacontenttype", e->content_type);
    optional(&w, "dataschema", e->dataschema);
    optional(&w, "partitionkey", e->partition_key);
    for (unsigned i = 0; i < e->n_ext && i < NX_EVENT_EXT_MAX; i++) {
        nx_jw_key_slice(&w, e->ext[i].key);
        nx_jw_str(&w, e->ext[i].value);
    }
    if (e->trace.trace_id[0]) {
        char traceparent[NX_TRACEPARENT_LEN + 1];
        nx_jw_kstr(&w, "traceparent", nx_slice_make(traceparent, nx_trace_format(&e->trace, traceparent)));
        optional(&w, "tracestate", e->tracestate);
    }
    if (e->event_id.s[0] && !nx_slice_eq(nx_id_slice(&e->event_id), e->id)) nx_jw_kstr(&w, "nexuseventid", nx_id_slice(&e->event_id));
    write_data(&w, e);
    nx_jw_object_end(&w);
    if (w.err) out->n = before;
    return w.err;
}

/* ---- reading ---- */

typedef struct reader {
    nx_arena *a;
    nx_error *reterr;
    nx_event e;
    nx_slice seen[NX_EVENT_EXT_MAX + 16]; /* member names, decoded */
    unsigned n_seen;
    nx_slice specversion, traceparent, data, data_base64; /* data: raw JSON; data_base64: decoded string */
    bool has_base64;
} reader;

static nx_err bad(const reader *r, nx_slice name, const char *why)
{
    return nx_error_set(r->reterr, NX_EINVAL, "attribute \"%.*s\" %s", (int)(name.n > 64 ? 64 : name.n), name.p ? name.p : "", why);
}

/* Why the arena gave nothing: its cap is the limit of the request that it belongs to. */
static nx_err no_room(const reader *r, size_t wanted)
{
    if (wanted > r->a->max - r->a->used) return nx_error_set(r->reterr, NX_ELIMIT, "the event takes more than %zu bytes", r->a->max);
    return nx_error_set(r->reterr, NX_ENOMEM, "out of memory");
}

/* A scanned JSON string, with its quotes, as decoded bytes in the arena. */
static nx_err decode_string(reader *r, nx_slice raw, nx_slice *ret)
{
    nx_slice inner = nx_slice_sub(raw, 1, raw.n - 2);
    char *p = nx_arena_alloc(r->a, inner.n + 1);
    if (!p) return no_room(r, inner.n + 1);
    size_t n;
    if (nx_json_unescape(inner, p, &n) != NX_OK) return nx_error_set(r->reterr, NX_EPARSE, "a string holds half of a surrogate pair");
    p[n] = '\0';
    *ret = nx_slice_make(p, n);
    return NX_OK;
}

/* CloudEvents Integer: whole, signed, 32 bits. */
static bool is_ce_integer(nx_slice raw)
{
    bool is_negative = raw.p[0] == '-';
    uint64_t v;
    return nx_slice_u64(nx_slice_sub(raw, is_negative ? 1 : 0, raw.n), is_negative ? 2147483648u : 2147483647u, &v) == NX_OK;
}

static nx_err add_extension(reader *r, nx_slice name, nx_slice raw)
{
    nx_slice value;
    if (raw.p[0] == '"') {
        nx_err err = decode_string(r, raw, &value);
        if (err) return err;
    } else if (raw.p[0] == '{' || raw.p[0] == '[') {
        return bad(r, name, "must not be an object or a list");
    } else if (raw.p[0] == 't' || raw.p[0] == 'f' || is_ce_integer(raw)) {
        value = nx_arena_dup(r->a, raw);
        if (!value.p) return no_room(r, raw.n + 1);
    } else {
        return bad(r, name, "is a number outside of the 32-bit whole numbers that CloudEvents allows");
    }
    if (nx_slice_eq_cstr(name, "traceparent")) r->traceparent = value;
    else if (nx_slice_eq_cstr(name, "tracestate")) r->e.tracestate = value;
    else if (nx_slice_eq_cstr(name, "partitionkey")) r->e.partition_key = value;
    else if (nx_slice_eq_cstr(name, "nexuseventid")) return NX_OK; /* ours to give, not the producer's */
    else if (r->e.n_ext == NX_EVENT_EXT_MAX) return nx_error_set(r->reterr, NX_ELIMIT, "more than %d extension attributes", NX_EVENT_EXT_MAX);
    else r->e.ext[r->e.n_ext++] = (nx_kv){name, value};
    return NX_OK;
}

static nx_err add_member(reader *r, nx_slice name, nx_slice raw)
{
    const struct {
        const char *name;
        nx_slice *to;
    } core[] = {
        {"specversion", &r->specversion},
        {"id", &r->e.id},
        {"source", &r->e.source},
        {"type", &r->e.type},
        {"subject", &r->e.subject},
        {"time", &r->e.time},
        {"datacontenttype", &r->e.content_type},
        {"dataschema", &r->e.dataschema},
        {"data_base64", &r->data_base64},
    };
    for (unsigned i = 0; i < r->n_seen; i++)
        if (nx_slice_eq(r->seen[i], name)) return bad(r, name, "appears twice");
    if (r->n_seen == NX_ARRAY_LEN(r->seen)) return nx_error_set(r->reterr, NX_ELIMIT, "too many attributes");
    r->seen[r->n_seen++] = name;

    if (nx_slice_eq_cstr(name, "data")) {
        r->data = raw; /* null is a value here: the JSON format makes it the data "null" */
        return NX_OK;
    }
    if (raw.p[0] == 'n') return NX_OK; /* null: as if absent (JSON format 2.2) */
    for (size_t i = 0; i < NX_ARRAY_LEN(core); i++) {
        if (!nx_slice_eq_cstr(name, core[i].name)) continue;
        if (raw.p[0] != '"') return bad(r, name, "must be a string");
        nx_err err = decode_string(r, raw, core[i].to);
        if (err) return err;
        if (core[i].to == &r->data_base64) r->has_base64 = true;
        else if (core[i].to->n == 0) return bad(r, name, "must not be empty");
        return NX_OK;
    }
    return add_extension(r, name, raw);
}

static nx_err read_members(reader *r, nx_slice json)
{
    nx_json_scan s = {json.p, json.p ? json.p + json.n : NULL};
    bool is_first = true;
    nx_err err = nx_json_scan_object(&s);
    if (err) return nx_error_set(r->reterr, NX_EPARSE, "a structured CloudEvent is a JSON object");
    for (;;) {
        nx_slice key = NX_SLICE_NULL, raw = NX_SLICE_NULL, name = NX_SLICE_NULL;
        err = nx_json_scan_member(&s, &is_first, &key, &raw);
        if (err) {
            return nx_error_set(r->reterr, err, "%s at byte %zu", err == NX_ELIMIT ? "JSON nested deeper than 64 levels" : "not valid JSON",
                                (size_t)(s.p - json.p));
        }
        if (!key.p) return NX_OK;
        err = decode_string(r, nx_slice_make(key.p - 1, key.n + 2), &name);
        if (!err) err = add_member(r, name, raw);
        if (err) return err;
    }
}

static nx_err finish_data(reader *r)
{
    if (r->data.p && r->has_base64) return nx_error_set(r->reterr, NX_EINVAL, "data and data_base64 exclude each other");
    if (r->has_base64) {
        size_t room = r->data_base64.n / 4 * 3;
        char *p = nx_arena_alloc(r->a, room + 1);
        if (!p) return no_room(r, room + 1);
        if (nx_base64_decode(r->data_base64, &r->e.data, p, room) != NX_OK) return nx_error_set(r->reterr, NX_EINVAL, "data_base64 is not base64");
        r->e.data_is_base64 = true;
        return NX_OK;
    }
    if (!r->data.p) return NX_OK;
    /* Text travels as a JSON string, which is only its wrapping (JSON format 3.1.1). */
    bool is_json = r->e.content_type.n == 0 || nx_content_type_is_json(r->e.content_type);
    if (!is_json && r->data.p[0] == '"') return decode_string(r, r->data, &r->e.data);
    r->e.data = nx_arena_dup(r->a, r->data);
    return r->e.data.p ? NX_OK : no_room(r, r->data.n + 1);
}

nx_err nx_event_from_json(nx_slice json, nx_arena *a, nx_event *ret, nx_error *reterr)
{
    reader r = {.a = a, .reterr = reterr};
    nx_err err = read_members(&r, json);
    if (!err && !nx_slice_eq_cstr(r.specversion, "1.0"))
        err = nx_error_set(reterr, NX_EINVAL, r.specversion.p ? "attribute \"specversion\" must be \"1.0\"" : "attribute \"specversion\" is missing");
    if (!err) err = finish_data(&r);
    if (err) return err;
    if (nx_trace_parse(r.traceparent, &r.e.trace) != NX_OK) {
        r.e.trace = (nx_trace){.trace_id = ""};
        r.e.tracestate = NX_SLICE_NULL; /* it belongs to the traceparent */
    } else if (!nx_tracestate_is_valid(r.e.tracestate)) {
        r.e.tracestate = NX_SLICE_NULL;
    }
    err = nx_event_validate(&r.e, reterr);
    if (err) return err;
    r.e.ns = ret->ns;
    r.e.event_id = ret->event_id;
    r.e.wall_ns = ret->wall_ns;
    *ret = r.e;
    return NX_OK;
}
