/* event.c: what makes an event valid, copying it, and type patterns. JSON and header forms: event_json.c, event_header.c. */
#include "nx/event.h"
#include "nx/clock.h"

static bool is_lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
static bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

/* CloudEvents 3.1 "String": UTF-8 without U+0000-001F, U+007F-009F and the noncharacters. */
static bool is_ce_string(nx_slice s)
{
    size_t i = 0;
    while (i < s.n) {
        const unsigned char *p = (const unsigned char *)s.p + i;
        if (p[0] >= 0x20 && p[0] < 0x7f) {
            i++;
            continue;
        }
        size_t k = nx_utf8_len(nx_slice_sub(s, i, s.n - i));
        if (k < 2 || (p[0] == 0xC2 && p[1] < 0xA0)) return false;
        if (k == 3 && p[0] == 0xEF && ((p[1] == 0xB7 && p[2] >= 0x90 && p[2] <= 0xAF) || (p[1] == 0xBF && p[2] >= 0xBE))) return false;
        if (k == 4 && (p[1] & 0x0F) == 0x0F && p[2] == 0xBF && p[3] >= 0xBE) return false;
        i += k;
    }
    return true;
}

/* The characters of RFC 3986 section 2, percent-encodings whole. */
static bool is_uri_reference(nx_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            if (s.n - i < 3 || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2])) return false;
            i += 2;
        } else if (!is_alpha(c) && !is_digit(c) && (c == '\0' || !strchr("-._~:/?#[]@!$&'()*+,;=", c))) {
            return false;
        }
    }
    return true;
}

static bool is_absolute_uri(nx_slice s)
{
    size_t i = 0;
    while (i < s.n && (is_alpha(s.p[i]) || is_digit(s.p[i]) || s.p[i] == '+' || s.p[i] == '-' || s.p[i] == '.')) i++;
    return i > 0 && i < s.n && s.p[i] == ':' && is_alpha(s.p[0]) && is_uri_reference(s);
}

static bool is_token(nx_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_alpha(s.p[i]) && !is_digit(s.p[i]) && (s.p[i] == '\0' || !strchr("!#$%&'*+-.^_`|~", s.p[i]))) return false;
    return s.n > 0;
}

/* type "/" subtype of RFC 2045 section 5.1; parameters are the application's business. */
static bool is_media_type(nx_slice s)
{
    nx_slice params, subtype, type = nx_slice_split(nx_slice_split(s, ';', &params), '/', &subtype);
    return is_token(nx_slice_trim(type)) && is_token(nx_slice_trim(subtype));
}

static nx_err check_string(const char *name, nx_slice v, size_t max, bool is_required, nx_error *reterr)
{
    if (v.n == 0) return is_required ? nx_error_set(reterr, NX_EINVAL, "attribute \"%s\" is required and must not be empty", name) : NX_OK;
    if (v.n > max) return nx_error_set(reterr, NX_ELIMIT, "attribute \"%s\" has %zu bytes, over the limit of %zu", name, v.n, max);
    if (!is_ce_string(v)) return nx_error_set(reterr, NX_EINVAL, "attribute \"%s\" holds a control character, a noncharacter or invalid UTF-8", name);
    return NX_OK;
}

static nx_err check_extensions(const nx_event *e, nx_error *reterr)
{
    static const char *const core[] = {"id", "source", "specversion", "type", "datacontenttype", "dataschema", "subject", "time", "data"};
    if (e->n_ext > NX_EVENT_EXT_MAX) return nx_error_set(reterr, NX_ELIMIT, "more than %d extension attributes", NX_EVENT_EXT_MAX);
    for (unsigned i = 0; i < e->n_ext; i++) {
        nx_slice name = e->ext[i].key;
        bool is_good = name.n > 0 && name.n <= 64;
        for (size_t k = 0; is_good && k < name.n; k++) is_good = is_lower_alnum(name.p[k]);
        for (size_t k = 0; is_good && k < NX_ARRAY_LEN(core); k++) is_good = !nx_slice_eq_cstr(name, core[k]);
        if (!is_good)
            return nx_error_set(reterr, NX_EINVAL, "extension attribute \"%.*s\" (number %u): a name is 1 to 64 characters of a-z and 0-9 and not one of CloudEvents' own",
                                name.n <= 64 && is_ce_string(name) ? (int)name.n : 0, name.p ? name.p : "", i + 1);
        for (unsigned k = 0; k < i; k++)
            if (nx_slice_eq(e->ext[k].key, name)) return nx_error_set(reterr, NX_EINVAL, "extension attribute \"%.*s\" appears twice", NX_SLICE_FMT(name));
        char label[72];
        (void)nx_slice_to_cstr(name, label, sizeof label);
        nx_err err = check_string(label, e->ext[i].value, NX_EVENT_ATTR_BYTES, false, reterr);
        if (err) return err;
    }
    return NX_OK;
}

nx_err nx_event_validate(const nx_event *e, nx_error *reterr)
{
    nx_err err = check_string("id", e->id, NX_EVENT_ATTR_BYTES, true, reterr);
    if (!err) err = check_string("source", e->source, NX_EVENT_ATTR_BYTES, true, reterr);
    if (!err) err = check_string("type", e->type, NX_EVENT_TYPE_BYTES, true, reterr);
    if (!err) err = check_string("subject", e->subject, NX_EVENT_ATTR_BYTES, false, reterr);
    if (!err) err = check_string("datacontenttype", e->content_type, NX_EVENT_ATTR_BYTES, false, reterr);
    if (!err) err = check_string("dataschema", e->dataschema, NX_EVENT_ATTR_BYTES, false, reterr);
    if (!err) err = check_string("partitionkey", e->partition_key, NX_EVENT_ATTR_BYTES, false, reterr);
    if (!err) err = check_extensions(e, reterr);
    if (err) return err;
    if (!is_uri_reference(e->source))
        return nx_error_set(reterr, NX_EINVAL, "attribute \"source\" is not a URI-reference (spaces and non-ASCII characters are percent-encoded)");
    if (e->time.n && !nx_clock_is_rfc3339(e->time))
        return nx_error_set(reterr, NX_EINVAL, "attribute \"time\" is not an RFC 3339 timestamp (2025-11-26T10:23:45Z)");
    if (e->dataschema.n && !is_absolute_uri(e->dataschema)) return nx_error_set(reterr, NX_EINVAL, "attribute \"dataschema\" is not an absolute URI");
    if (e->content_type.n && !is_media_type(e->content_type))
        return nx_error_set(reterr, NX_EINVAL, "attribute \"datacontenttype\" is not a media type (application/json)");
    if (e->tracestate.n && !nx_tracestate_is_valid(e->tracestate)) return nx_error_set(reterr, NX_EINVAL, "attribute \"tracestate\" is malformed");
    return NX_OK;
}

static bool dup_slice(nx_slice *s, nx_arena *a)
{
    if (s->n == 0) {
        *s = NX_SLICE_NULL;
        return true;
    }
    *s = nx_arena_dup(a, *s);
    return s->p != NULL;
}

nx_err nx_event_dup(const nx_event *e, nx_arena *a, nx_event *ret)
{
    nx_event c = *e;
    nx_slice *const slices[] = {&c.ns, &c.id, &c.source, &c.type, &c.subject, &c.time, &c.content_type,
                                &c.dataschema, &c.partition_key, &c.tracestate, &c.cause, &c.data};
    if (c.n_ext > NX_EVENT_EXT_MAX) return NX_ELIMIT;
    for (size_t i = 0; i < NX_ARRAY_LEN(slices); i++)
        if (!dup_slice(slices[i], a)) return NX_ENOMEM;
    for (unsigned i = 0; i < c.n_ext; i++)
        if (!dup_slice(&c.ext[i].key, a) || !dup_slice(&c.ext[i].value, a)) return NX_ENOMEM;
    *ret = c;
    return NX_OK;
}

bool nx_content_type_is_json(nx_slice content_type)
{
    nx_slice params, subtype, type = nx_slice_split(nx_slice_trim(nx_slice_split(content_type, ';', &params)), '/', &subtype);
    if (nx_slice_ieq(subtype, NX_SLICE("json"))) return nx_slice_ieq(type, NX_SLICE("application")) || nx_slice_ieq(type, NX_SLICE("text"));
    return type.n && subtype.n > 5 && nx_slice_ieq(nx_slice_sub(subtype, subtype.n - 5, 5), NX_SLICE("+json"));
}

/* ---- type patterns ---- */

static bool is_rest(nx_slice token) { return nx_slice_eq_cstr(token, ">") || nx_slice_eq_cstr(token, "**"); }

bool nx_event_type_matches(nx_slice pattern, nx_slice type)
{
    if (nx_slice_eq(pattern, type)) return true;
    if (type.n == 0 || pattern.n == 0 || (!memchr(pattern.p, '*', pattern.n) && pattern.p[pattern.n - 1] != '>')) return false;
    for (;;) {
        nx_slice pattern_rest, type_rest;
        nx_slice want = nx_slice_split(pattern, '.', &pattern_rest), have = nx_slice_split(type, '.', &type_rest);
        bool pattern_ends = want.n == pattern.n, type_ends = have.n == type.n;
        if (pattern_ends && is_rest(want)) return true; /* one token or more is left */
        if (!nx_slice_eq_cstr(want, "*") && !nx_slice_eq(want, have)) return false;
        if (pattern_ends || type_ends) return pattern_ends && type_ends;
        pattern = pattern_rest;
        type = type_rest;
    }
}

nx_err nx_event_type_pattern_check(nx_slice pattern, nx_error *reterr)
{
    nx_err err = check_string("type", pattern, NX_EVENT_TYPE_BYTES, true, NULL);
    if (err) return nx_error_set(reterr, err, "a type pattern is 1 to %d bytes of UTF-8 without control characters", NX_EVENT_TYPE_BYTES);
    for (nx_slice rest = pattern;;) {
        nx_slice token = nx_slice_split(rest, '.', &rest);
        bool is_last = token.p + token.n == pattern.p + pattern.n;
        bool is_wild = nx_slice_eq_cstr(token, "*") || is_rest(token);
        if (is_rest(token) && !is_last) return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" may only stand at the end", NX_SLICE_FMT(token));
        if (!is_wild && token.n && (memchr(token.p, '*', token.n) || memchr(token.p, '>', token.n)))
            return nx_error_set(reterr, NX_EINVAL, "in \"%.*s\" a wildcard has to be a whole token between dots", NX_SLICE_FMT(token));
        if (is_last) return NX_OK;
    }
}
