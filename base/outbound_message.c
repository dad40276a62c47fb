/* outbound_message.c: the guest's form of a request. It comes from a hostile guest and ends in an HTTP/1.1 head, so it is taken apart strictly:
 * nothing passes that could end a line, name another host, or speak of the connection. */
#include "outbound_internal.h"

#define METHOD_BYTES_MAX 16
#define NAME_BYTES_MAX 128
#define VALUE_BYTES_MAX 16384

bool nx_ob_is_token(nx_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= ' ' || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c)) return false;
    }
    return s.n > 0;
}

bool nx_ob_is_field_value(nx_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) return false;
    }
    return true;
}

static bool is_one_of(nx_slice name, const char *const *list)
{
    for (; *list; list++)
        if (nx_slice_ieq(name, nx_slice_cstr(*list))) return true;
    return false;
}

bool nx_ob_is_connection_field(nx_slice name)
{
    static const char *const names[] = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings", NULL};
    return is_one_of(name, names) || nx_slice_ieq(nx_slice_sub(name, 0, 6), NX_SLICE("proxy-"));
}

bool nx_ob_may_follow_elsewhere(nx_slice name)
{
    static const char *const names[] = {"accept", "accept-charset", "accept-encoding", "accept-language", "content-type", "content-language",
                                        "user-agent", "traceparent", "tracestate", NULL};
    return is_one_of(name, names);
}

static nx_err parse_start(nx_slice line, nx_outbound_message *ret, nx_error *reterr)
{
    ret->method = nx_slice_split(line, ' ', &ret->url);
    if (ret->method.n == 0 || ret->method.n > METHOD_BYTES_MAX) return nx_error_set(reterr, NX_EINVAL, "line 1: not \"METHOD URL\"");
    for (size_t i = 0; i < ret->method.n; i++)
        if (ret->method.p[i] < 'A' || ret->method.p[i] > 'Z') return nx_error_set(reterr, NX_EINVAL, "line 1: the method is not of capital letters, like GET or POST");
    if (nx_slice_eq(ret->method, NX_SLICE("CONNECT")) || nx_slice_eq(ret->method, NX_SLICE("TRACE")))
        return nx_error_set(reterr, NX_EINVAL, "line 1: functions can't use the method %.*s", NX_SLICE_FMT(ret->method));
    if (ret->url.n == 0) return nx_error_set(reterr, NX_EINVAL, "line 1: no URL behind the method");
    return NX_OK;
}

static nx_err parse_header(nx_slice line, unsigned number, nx_outbound_message *ret, nx_error *reterr)
{
    static const char *const ours[] = {"host", "content-length", "expect", NULL};
    nx_slice value, name = nx_slice_split(line, ':', &value);
    if (name.n == line.n || !nx_ob_is_token(name)) return nx_error_set(reterr, NX_EINVAL, "line %u: not \"name: value\"", number);
    if (name.n > NAME_BYTES_MAX) return nx_error_set(reterr, NX_ELIMIT, "line %u: the name of a header is over %d bytes", number, NAME_BYTES_MAX);
    if (is_one_of(name, ours) || nx_ob_is_connection_field(name))
        return nx_error_set(reterr, NX_EINVAL, "line %u: the header %.*s is set by the platform", number, NX_SLICE_FMT(name));
    value = nx_slice_trim(value);
    if (value.n > VALUE_BYTES_MAX) return nx_error_set(reterr, NX_ELIMIT, "line %u: a header's value is over %d bytes", number, VALUE_BYTES_MAX);
    if (!nx_ob_is_field_value(value)) return nx_error_set(reterr, NX_EINVAL, "line %u: a control character in the value of %.*s", number, NX_SLICE_FMT(name));
    if (ret->n_headers == NX_OUTBOUND_HEADERS_MAX) return nx_error_set(reterr, NX_ELIMIT, "more than %d headers", NX_OUTBOUND_HEADERS_MAX);
    ret->headers[ret->n_headers++] = (nx_kv){name, value};
    return NX_OK;
}

nx_err nx_outbound_message_parse(nx_slice text, nx_outbound_message *ret, nx_error *reterr)
{
    ret->n_headers = 0;
    size_t from = 0;
    for (unsigned number = 1;; number++) {
        const char *lf = text.n > from ? memchr(text.p + from, '\n', text.n - from) : NULL;
        if (!lf) return nx_error_set(reterr, NX_EINVAL, "line %u: no end; an empty line ends the headers", number);
        nx_slice line = nx_slice_sub(text, from, (size_t)(lf - text.p) - from);
        from += line.n + 1;
        if (from > NX_OUTBOUND_HEAD_BYTES) return nx_error_set(reterr, NX_ELIMIT, "request line and headers are over %u bytes", NX_OUTBOUND_HEAD_BYTES);
        if (number > 1 && line.n == 0) break;
        nx_err err = number == 1 ? parse_start(line, ret, reterr) : parse_header(line, number, ret, reterr);
        if (err) return err;
    }
    ret->body = nx_slice_sub(text, from, text.n);
    if (ret->body.n && nx_slice_eq(ret->method, NX_SLICE("HEAD"))) return nx_error_set(reterr, NX_EINVAL, "a HEAD request has no body");
    return NX_OK;
}
