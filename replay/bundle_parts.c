/* bundle_parts.c: manifest and event of a bundle as JSON. Readers pass over members that they do not know. */
#include "bundle_parts.h"
#include "nx/clock.h"

#define PART_BYTES (1u << 20)

static nx_err damaged(nx_error *reterr, const char *part, const char *what)
{
    return nx_error_set(reterr, NX_ECORRUPT, "bundle: %s: %s", part, what);
}

static void optional(nx_jw *w, const char *key, nx_slice v)
{
    if (v.n)
        nx_jw_kstr(w, key, v);
}

/* ---- manifest ----------------------------------------------------------------------------------------------------------------------------- */

void nx_bundle_run_to_json(const nx_bundle *b, nx_jw *w)
{
    nx_jw_kstr(w, "run_id", nx_id_slice(&b->run.run_id));
    nx_jw_kstr(w, "function", b->run.function);
    nx_jw_kstr(w, "version", b->run.version);
    nx_jw_kcstr(w, "status", nx_run_status_name(b->run.status));
    nx_jw_key(w, "redacted");
    nx_jw_array(w);
    for (unsigned i = 0; i < b->n_redacted; i++)
        nx_jw_str(w, b->redacted[i]);
    nx_jw_array_end(w);
    nx_jw_kbool(w, "rerecorded", b->is_rerecorded);
}

nx_err nx_bundle_manifest_write(const nx_bundle *b, nx_buf *out)
{
    char time[NX_RFC3339_MAX];
    nx_jw w = NX_JW_INIT(out);
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "format", NX_BUNDLE_MARK);
    nx_jw_kstr(&w, "created_at", nx_slice_make(time, nx_clock_rfc3339(b->created_wall_ns, 9, time)));
    nx_jw_kstr(&w, "created_by", b->created_by);
    nx_jw_kstr(&w, "namespace", b->run.ns);
    nx_jw_kstr(&w, "event_id", nx_id_slice(&b->event.event_id));
    nx_jw_kstr(&w, "event_type", b->event.type);
    nx_bundle_run_to_json(b, &w);
    optional(&w, "first_status", b->first_status);
    nx_jw_object_end(&w);
    return nx_jw_err(&w);
}

static nx_err dup_str(const nx_json *j, nx_arena *a, nx_slice *ret)
{
    nx_slice s = nx_json_str(j);
    *ret = nx_arena_dup(a, s);
    return ret->p ? NX_OK : NX_ENOMEM;
}

nx_err nx_bundle_manifest_read(nx_slice json, nx_arena *a, nx_bundle *ret, nx_error *reterr)
{
    nx_json *j = NULL;
    if (nx_json_parse(json, PART_BYTES, &j, NULL) != NX_OK || nx_json_typeof(j) != NX_JSON_OBJECT) {
        nx_json_free(j);
        return damaged(reterr, "manifest", "not a JSON object");
    }
    nx_err err = NX_OK;
    const nx_json *redacted = nx_json_get(j, "redacted");
    if (!nx_slice_eq_cstr(nx_json_get_str(j, "format"), NX_BUNDLE_MARK))
        err = damaged(reterr, "manifest", "format is not " NX_BUNDLE_MARK);
    else if (nx_clock_parse_rfc3339(nx_json_get_str(j, "created_at"), &ret->created_wall_ns) != NX_OK)
        err = damaged(reterr, "manifest", "created_at is not a time");
    else if (nx_json_len(redacted) > NX_BUNDLE_REDACTED_MAX)
        err = damaged(reterr, "manifest", "too many redacted paths");
    if (!err)
        err = dup_str(nx_json_get(j, "created_by"), a, &ret->created_by);
    if (!err)
        err = dup_str(nx_json_get(j, "first_status"), a, &ret->first_status);
    for (size_t i = 0; !err && i < nx_json_len(redacted); i++)
        err = dup_str(nx_json_at(redacted, i), a, &ret->redacted[ret->n_redacted++]);
    ret->is_rerecorded = nx_json_get_bool(j, "rerecorded", false);
    nx_json_free(j);
    return err == NX_ENOMEM ? nx_error_set(reterr, err, "bundle: out of memory") : err;
}

/* ---- event -------------------------------------------------------------------------------------------------------------------------------- */

/* Text attributes, by their keys. */
static const struct {
    const char *key;
    size_t at;
} texts[] = {
    {"namespace", offsetof(nx_event, ns)},
    {"id", offsetof(nx_event, id)},
    {"source", offsetof(nx_event, source)},
    {"type", offsetof(nx_event, type)},
    {"subject", offsetof(nx_event, subject)},
    {"time", offsetof(nx_event, time)},
    {"content_type", offsetof(nx_event, content_type)},
    {"dataschema", offsetof(nx_event, dataschema)},
    {"partition_key", offsetof(nx_event, partition_key)},
    {"tracestate", offsetof(nx_event, tracestate)},
    {"cause", offsetof(nx_event, cause)},
};

static nx_slice *text_at(nx_event *e, size_t i) { return (nx_slice *)(void *)((char *)e + texts[i].at); }

nx_err nx_bundle_event_write(const nx_event *e, nx_buf *out)
{
    nx_event copy = *e;
    nx_jw w = NX_JW_INIT(out);
    nx_jw_object(&w);
    nx_jw_kstr(&w, "event_id", nx_id_slice(&e->event_id));
    for (size_t i = 0; i < NX_ARRAY_LEN(texts); i++)
        optional(&w, texts[i].key, *text_at(&copy, i));
    if (e->n_ext) {
        nx_jw_key(&w, "extensions");
        nx_jw_object(&w);
        for (unsigned i = 0; i < e->n_ext && i < NX_EVENT_EXT_MAX; i++) {
            nx_jw_key_slice(&w, e->ext[i].key);
            nx_jw_str(&w, e->ext[i].value);
        }
        nx_jw_object_end(&w);
    }
    nx_jw_kcstr(&w, "trace_id", e->trace.trace_id);
    nx_jw_kcstr(&w, "span_id", e->trace.span_id);
    nx_jw_ku64(&w, "trace_flags", e->trace.flags);
    nx_jw_ku64(&w, "hop", e->hop);
    nx_jw_kbool(&w, "data_is_base64", e->data_is_base64);
    nx_jw_ku64(&w, "accepted_ns", e->wall_ns);
    nx_jw_ku64(&w, "sequence", e->stream_seq);
    nx_jw_object_end(&w);
    return nx_jw_err(&w);
}

typedef struct reading {
    nx_arena *a;
    nx_event *e;
} reading;

static int read_extension(void *self, nx_slice key, const nx_json *value)
{
    reading *r = self;
    if (r->e->n_ext == NX_EVENT_EXT_MAX || nx_json_typeof(value) != NX_JSON_STR)
        return NX_ECORRUPT;
    nx_kv *to = &r->e->ext[r->e->n_ext++];
    to->key = nx_arena_dup(r->a, key);
    return to->key.p ? dup_str(value, r->a, &to->value) : NX_ENOMEM;
}

static bool is_hex(nx_slice s, size_t digits)
{
    static const char hex[] = "0123456789abcdef";

    for (size_t i = 0; i < s.n; i++)
        if (!memchr(hex, s.p[i], sizeof hex - 1))
            return false;
    return s.n == digits || s.n == 0;
}

static nx_err read_members(const nx_json *j, reading *r, nx_error *reterr)
{
    nx_event *e = r->e;
    nx_slice trace_id = nx_json_get_str(j, "trace_id"), span_id = nx_json_get_str(j, "span_id");
    uint64_t flags = nx_json_get_u64(j, "trace_flags", 0), hop = nx_json_get_u64(j, "hop", 0);
    if (nx_id_parse(nx_json_get_str(j, "event_id"), &e->event_id) != NX_OK)
        return damaged(reterr, "event", "event_id is no id");
    if (!is_hex(trace_id, NX_TRACE_ID_HEX) || !is_hex(span_id, NX_SPAN_ID_HEX) || flags > 255 || hop > UINT16_MAX)
        return damaged(reterr, "event", "its trace or hop is malformed");
    nx_slice_to_cstr(trace_id, e->trace.trace_id, sizeof e->trace.trace_id);
    nx_slice_to_cstr(span_id, e->trace.span_id, sizeof e->trace.span_id);
    e->trace.flags = (uint8_t)flags;
    e->hop = (unsigned)hop;
    e->data_is_base64 = nx_json_get_bool(j, "data_is_base64", false);
    e->wall_ns = nx_json_get_u64(j, "accepted_ns", 0);
    e->stream_seq = nx_json_get_u64(j, "sequence", 0);
    nx_err err = NX_OK;
    for (size_t i = 0; !err && i < NX_ARRAY_LEN(texts); i++) {
        nx_slice s = nx_json_get_str(j, texts[i].key);
        *text_at(e, i) = s.n ? nx_arena_dup(r->a, s) : NX_SLICE_NULL;
        if (s.n && !text_at(e, i)->p)
            err = NX_ENOMEM;
    }
    const nx_json *ext = nx_json_get(j, "extensions");
    if (!err && ext)
        err = nx_json_each(ext, read_extension, r);
    if (err == NX_ECORRUPT)
        return damaged(reterr, "event", "an extension is no text, or there are too many");
    if (!err && (!e->type.n || !e->source.n || !e->id.n))
        return damaged(reterr, "event", "id, type or source is missing");
    return err ? nx_error_set(reterr, err, "bundle: out of memory") : NX_OK;
}

nx_err nx_bundle_event_read(nx_slice json, nx_arena *a, nx_event *ret, nx_error *reterr)
{
    nx_json *j = NULL;
    reading r = {a, ret};
    memset(ret, 0, sizeof *ret);
    if (nx_json_parse(json, PART_BYTES, &j, NULL) != NX_OK || nx_json_typeof(j) != NX_JSON_OBJECT) {
        nx_json_free(j);
        return damaged(reterr, "event", "not a JSON object");
    }
    nx_err err = read_members(j, &r, reterr);
    nx_json_free(j);
    return err;
}
