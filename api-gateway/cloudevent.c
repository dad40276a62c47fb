#include "cloudevent.h"

#include "nx/clock.h"

/* ---- modes */

/* "application/cloudevents+json" without parameters and white space. */
static nx_slice media_type(nx_slice content_type, nx_slice *ret_parameters)
{
    return nx_slice_trim(nx_slice_split(content_type, ';', ret_parameters));
}

/* JSON is UTF-8; a charset that says otherwise is not one that can be read here. */
static bool charset_is_utf8(nx_slice parameters)
{
    while (parameters.n > 0) {
        nx_slice value, name = nx_slice_split(nx_slice_split(parameters, ';', &parameters), '=', &value);
        value = nx_slice_trim(value);
        if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
            value = nx_slice_sub(value, 1, value.n - 2);
        if (nx_slice_ieq(nx_slice_trim(name), NX_SLICE("charset")))
            return nx_slice_ieq(value, NX_SLICE("utf-8")) || nx_slice_ieq(value, NX_SLICE("us-ascii"));
    }
    return true;
}

static bool is_ce_field(nx_slice name)
{
    return name.n > 3 && nx_slice_ieq(nx_slice_sub(name, 0, 3), NX_SLICE("ce-"));
}

static bool has_ce_fields(const nx_gw_parser *p)
{
    for (unsigned i = 0; i < p->head.n_fields; i++) {
        const nx_gw_span *s = &p->spans[i];
        if (is_ce_field(nx_slice_make(p->raw.p + s->name, s->name_n)))
            return true;
    }
    return false;
}

bool nx_gw_event_mode_of(const nx_gw_parser *p, bool is_batch_enabled, nx_gw_event_mode *ret, nx_gw_fault *f)
{
    const nx_slice prefix = NX_SLICE("application/cloudevents");
    unsigned types, codings;
    nx_slice parameters, content_type = nx_gw_parser_find(p, "content-type", &types);
    nx_slice coding = nx_gw_parser_find(p, "content-encoding", &codings);
    nx_slice media = media_type(content_type, &parameters);

    if (types > 1)
        return nx_gw_fault_set(f, 400, NX_EINVAL, "more than one Content-Type header field");
    if (codings > 0 && !(codings == 1 && nx_slice_ieq(coding, NX_SLICE("identity"))))
        return nx_gw_fault_set(f, 415, NX_ENOTSUP, "a body with a Content-Encoding is not supported: send it as it is");
    *ret = NX_GW_MODE_PLAIN;
    if (media.n < prefix.n || !nx_slice_ieq(nx_slice_sub(media, 0, prefix.n), prefix)) {
        if (has_ce_fields(p))
            *ret = NX_GW_MODE_BINARY;
        return true;
    }
    if (nx_slice_ieq(media, NX_SLICE("application/cloudevents+json"))) {
        *ret = NX_GW_MODE_STRUCTURED;
    } else if (nx_slice_ieq(media, NX_SLICE("application/cloudevents-batch+json"))) {
        *ret = NX_GW_MODE_BATCH;
        if (!is_batch_enabled)
            return nx_gw_fault_set(f, 415, NX_ENOTSUP, "batched CloudEvents are not enabled (ingest.batch)");
    } else {
        return nx_gw_fault_set(f, 415, NX_ENOTSUP, "of the CloudEvents formats only application/cloudevents+json is supported");
    }
    if (!charset_is_utf8(parameters))
        return nx_gw_fault_set(f, 415, NX_ENOTSUP, "CloudEvents in JSON are UTF-8");
    return true;
}

/* ---- binary mode */

static nx_slice *attribute_of(nx_event *e, nx_slice name)
{
    const struct {
        const char *name;
        nx_slice *where;
    } table[] = {
        {"id", &e->id},
        {"source", &e->source},
        {"type", &e->type},
        {"subject", &e->subject},
        {"time", &e->time},
        {"dataschema", &e->dataschema},
        {"partitionkey", &e->partition_key},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(table); i++)
        if (nx_slice_eq_cstr(name, table[i].name))
            return table[i].where;
    return NULL;
}

static bool lower_name(nx_slice name, nx_arena *a, nx_slice *ret, nx_gw_fault *f)
{
    char *p = nx_arena_alloc(a, name.n);
    if (!p)
        return nx_gw_fault_set(f, 503, NX_ENOMEM, "out of memory");
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c + ('a' - 'A'));
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')))
            return nx_gw_fault_set(f, 400, NX_EINVAL, "ce-%.*s: names of attributes are of letters and digits",
                                   NX_SLICE_FMT(nx_slice_sub(name, 0, 64)));
        p[i] = c;
    }
    *ret = nx_slice_make(p, name.n);
    return true;
}

typedef struct binary_fields {
    nx_slice specversion, traceparent, tracestate, ignored_id;
} binary_fields;

static bool add_extension(nx_event *e, nx_slice name, nx_slice value, nx_gw_fault *f)
{
    for (unsigned i = 0; i < e->n_ext; i++)
        if (nx_slice_eq(e->ext[i].key, name))
            return nx_gw_fault_set(f, 400, NX_EINVAL, "ce-%.*s is given twice", NX_SLICE_FMT(name));
    if (e->n_ext == NX_EVENT_EXT_MAX)
        return nx_gw_fault_set(f, 400, NX_ELIMIT, "more than %d extension attributes", NX_EVENT_EXT_MAX);
    e->ext[e->n_ext++] = (nx_kv){name, value};
    return true;
}

static bool add_binary_field(nx_event *e, binary_fields *b, nx_kv field, nx_arena *a, nx_gw_fault *f)
{
    nx_slice name = NX_SLICE_NULL, value, *where;

    if (!lower_name(nx_slice_sub(field.key, 3, field.key.n), a, &name, f))
        return false;
    nx_err err = nx_event_header_decode(field.value, a, &value);
    if (err == NX_ENOMEM)
        return nx_gw_fault_set(f, 503, err, "out of memory");
    if (err != NX_OK)
        return nx_gw_fault_set(f, 400, NX_EPARSE, "ce-%.*s: the value is not percent-encoded UTF-8", NX_SLICE_FMT(name));
    if (nx_slice_eq_cstr(name, "datacontenttype") || nx_slice_eq_cstr(name, "data"))
        return nx_gw_fault_set(f, 400, NX_EINVAL, "ce-%.*s: Content-Type and the body say this in binary mode",
                               NX_SLICE_FMT(name));
    if (value.n == 0)
        return nx_gw_fault_set(f, 400, NX_EINVAL, "ce-%.*s is empty", NX_SLICE_FMT(name));
    where = attribute_of(e, name);
    if (nx_slice_eq_cstr(name, "specversion"))
        where = &b->specversion;
    else if (nx_slice_eq_cstr(name, "traceparent"))
        where = &b->traceparent;
    else if (nx_slice_eq_cstr(name, "tracestate"))
        where = &b->tracestate;
    else if (nx_slice_eq_cstr(name, "nexuseventid")) /* of the node that the event comes from; it gets its own here */
        where = &b->ignored_id;
    if (!where)
        return add_extension(e, name, value, f);
    if (where->n > 0)
        return nx_gw_fault_set(f, 400, NX_EINVAL, "ce-%.*s is given twice", NX_SLICE_FMT(name));
    *where = value;
    return true;
}

static bool check_required(nx_slice specversion, const nx_event *e, const char *prefix, nx_gw_fault *f)
{
    const char *missing = specversion.n == 0 ? "specversion" : e->id.n == 0   ? "id"
                                                           : e->source.n == 0 ? "source"
                                                                              : NULL;
    if (!missing && e->type.n == 0)
        missing = "type";
    if (missing)
        return nx_gw_fault_set(f, 400, NX_EINVAL, "%s%s is missing: a CloudEvent has specversion, id, source and type", prefix,
                               missing);
    if (!nx_slice_eq_cstr(specversion, "1.0"))
        return nx_gw_fault_set(f, 400, NX_EINVAL, "%sspecversion \"%.*s\" is not supported, \"1.0\" is", prefix,
                               NX_SLICE_FMT(nx_slice_sub(specversion, 0, 64)));
    return true;
}

static bool decode_binary(const nx_gw_parser *p, nx_arena *a, nx_event *e, nx_gw_fault *f)
{
    binary_fields b = {NX_SLICE_NULL, NX_SLICE_NULL, NX_SLICE_NULL, NX_SLICE_NULL};

    for (unsigned i = 0; i < p->head.n_fields; i++) {
        nx_kv field = nx_gw_parser_field(p, i);
        if (is_ce_field(field.key) && !add_binary_field(e, &b, field, a, f))
            return false;
    }
    if (!check_required(b.specversion, e, "ce-", f))
        return false;
    if (b.traceparent.n > 0 && nx_trace_parse(b.traceparent, &e->trace) == NX_OK &&
        nx_tracestate_is_valid(b.tracestate))
        e->tracestate = b.tracestate;
    e->content_type = nx_gw_parser_find(p, "content-type", NULL);
    e->data = nx_buf_view(&p->body);
    return true;
}

/* ---- what all modes share */

/* W3C Trace Context: the header field is nearer than the extension, which says where the event was made. An invalid one is ignored. */
static bool take_trace(const nx_gw_parser *p, nx_arena *a, nx_event *e, nx_gw_fault *f)
{
    unsigned parents, states;
    nx_trace trace;
    nx_slice parent = nx_gw_parser_find(p, "traceparent", &parents);
    nx_slice state = nx_gw_parser_find(p, "tracestate", &states);

    if (parents != 1 || nx_trace_parse(parent, &trace) != NX_OK) {
        if (e->trace.trace_id[0] == '\0') {
            nx_trace_new(&e->trace);
            e->tracestate = NX_SLICE_NULL;
        }
        return true;
    }
    e->trace = trace;
    e->tracestate = NX_SLICE_NULL;
    for (unsigned i = 0; states > 1 && i < p->head.n_fields; i++) { /* several fields are one list */
        nx_kv field = nx_gw_parser_field(p, i);
        if (!nx_slice_ieq(field.key, NX_SLICE("tracestate")) || field.value.p == state.p)
            continue;
        char *joined = nx_arena_printf(a, "%.*s,%.*s", NX_SLICE_FMT(state), NX_SLICE_FMT(field.value));
        if (!joined)
            return nx_gw_fault_set(f, 503, NX_ENOMEM, "out of memory");
        state = nx_slice_make(joined, state.n + 1 + field.value.n);
    }
    if (state.n > 0 && nx_tracestate_is_valid(state))
        e->tracestate = state;
    return true;
}

static bool complete(const nx_gw_parser *p, const nx_gw_event_defaults *d, nx_arena *a, nx_event *e, nx_gw_fault *f)
{
    nx_error detail = NX_ERROR_INIT;

    if (!nx_slice_eq(e->type, d->type))
        return nx_gw_fault_set(f, 400, NX_EINVAL, "the CloudEvent is of type \"%.*s\", but this path takes \"%.*s\"",
                               NX_SLICE_FMT(nx_slice_sub(e->type, 0, 200)), NX_SLICE_FMT(nx_slice_sub(d->type, 0, 200)));
    e->ns = d->ns;
    e->wall_ns = d->wall_ns;
    e->event_id = e->partition_key.n > 0 ? nx_ulid_new_in_shard(d->wall_ns, nx_shard_of(e->partition_key))
                                         : nx_ulid_new(d->wall_ns);
    if (e->id.n == 0) {
        e->id = nx_arena_dup(a, nx_id_slice(&e->event_id));
        if (e->id.n == 0)
            return nx_gw_fault_set(f, 503, NX_ENOMEM, "out of memory");
    }
    if (e->time.n == 0) {
        char *text = nx_arena_alloc(a, NX_RFC3339_MAX);
        if (!text)
            return nx_gw_fault_set(f, 503, NX_ENOMEM, "out of memory");
        e->time = nx_slice_make(text, nx_clock_rfc3339(d->wall_ns, 3, text));
    }
    if (!take_trace(p, a, e, f))
        return false;
    nx_err err = nx_event_validate(e, &detail);
    if (err != NX_OK)
        return nx_gw_fault_set(f, 400, err, "%s", detail.msg[0] ? detail.msg : nx_err_text(err));
    return true;
}

bool nx_gw_event_decode_json(const nx_gw_parser *p, nx_slice json, const nx_gw_event_defaults *d, nx_arena *a, nx_event *ret,
                             nx_gw_fault *f)
{
    nx_error detail = NX_ERROR_INIT;

    memset(ret, 0, sizeof *ret);
    nx_err err = nx_event_from_json(json, a, ret, &detail);
    if (err == NX_ENOMEM)
        return nx_gw_fault_set(f, 503, err, "out of memory");
    if (err != NX_OK)
        return nx_gw_fault_set(f, 400, err, "%s", detail.msg[0] ? detail.msg : nx_err_text(err));
    /* from_json() has checked the specversion. */
    return check_required(NX_SLICE("1.0"), ret, "", f) && complete(p, d, a, ret, f);
}

bool nx_gw_event_decode(const nx_gw_parser *p, nx_gw_event_mode mode, const nx_gw_event_defaults *d, nx_arena *a, nx_event *ret,
                        bool *ret_is_own, nx_gw_fault *f)
{
    *ret_is_own = mode != NX_GW_MODE_PLAIN;
    if (mode == NX_GW_MODE_STRUCTURED)
        return nx_gw_event_decode_json(p, nx_buf_view(&p->body), d, a, ret, f);
    memset(ret, 0, sizeof *ret);
    if (mode == NX_GW_MODE_BINARY) {
        if (!decode_binary(p, a, ret, f))
            return false;
    } else {
        ret->type = d->type;
        ret->source = d->source;
        ret->content_type = nx_gw_parser_find(p, "content-type", NULL);
        ret->data = nx_buf_view(&p->body);
    }
    return complete(p, d, a, ret, f);
}

/* ---- batches */

static bool is_json_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_space(nx_gw_batch *b)
{
    while (b->at < b->text.n && is_json_space(b->text.p[b->at]))
        b->at++;
}

/* Position behind the object that begins at `at`; 0: it does not end. Brackets are only counted: whether they match is found by parsing. */
static size_t object_end(nx_slice s, size_t at)
{
    unsigned depth = 0;
    bool in_string = false;
    for (size_t i = at; i < s.n; i++) {
        char c = s.p[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

nx_err nx_gw_batch_next(nx_gw_batch *b, nx_slice *ret)
{
    bool is_first = !b->is_begun;

    skip_space(b);
    if (is_first) {
        if (b->at == b->text.n || b->text.p[b->at] != '[')
            return NX_EPARSE;
        b->is_begun = true;
        b->at++;
        skip_space(b);
    }
    if (b->at < b->text.n && b->text.p[b->at] == ']') {
        b->at++;
        skip_space(b);
        return b->at == b->text.n ? NX_ENOENT : NX_EPARSE;
    }
    if (!is_first) {
        if (b->at == b->text.n || b->text.p[b->at] != ',')
            return NX_EPARSE;
        b->at++;
        skip_space(b);
    }
    if (b->at == b->text.n || b->text.p[b->at] != '{')
        return NX_EPARSE;
    size_t end = object_end(b->text, b->at);
    if (end == 0)
        return NX_EPARSE;
    *ret = nx_slice_sub(b->text, b->at, end - b->at);
    b->at = end;
    return NX_OK;
}
