/* admin_call.c: what a handler may ask of its request and say about its answer. */
#include <stdio.h>

#include "admin.h"

nx_slice nx_gw_req_method(const nx_gw_req *r)
{
    return r->call->conn->parser.head.method;
}

nx_slice nx_gw_req_path(const nx_gw_req *r)
{
    return r->path;
}

nx_slice nx_gw_req_body(const nx_gw_req *r)
{
    return r->body;
}

nx_slice nx_gw_req_param(const nx_gw_req *r, const char *name)
{
    for (unsigned i = 0; i < r->match.n_params; i++)
        if (nx_slice_eq_cstr(r->match.params[i].key, name))
            return r->match.params[i].value;
    return NX_SLICE_NULL;
}

nx_slice nx_gw_req_query(const nx_gw_req *r, const char *name)
{
    for (unsigned i = 0; i < r->n_query; i++)
        if (nx_slice_eq_cstr(r->query[i].key, name))
            return r->query[i].value;
    return NX_SLICE_NULL;
}

size_t nx_gw_req_query_count(const nx_gw_req *r)
{
    return r->n_query;
}

nx_kv nx_gw_req_query_at(const nx_gw_req *r, size_t i)
{
    return i < r->n_query ? r->query[i] : (nx_kv){NX_SLICE_NULL, NX_SLICE_NULL};
}

nx_slice nx_gw_req_header(const nx_gw_req *r, const char *name)
{
    return nx_gw_parser_find(&r->call->conn->parser, name, NULL);
}

nx_arena *nx_gw_req_arena(nx_gw_req *r)
{
    return &r->call->conn->arena;
}

bool nx_gw_req_is_canceled(const nx_gw_req *r)
{
    return nx_gw_call_is_canceled(r->call);
}

void nx_gw_resp_status(nx_gw_resp *r, int status)
{
    if (!r->has_begun && status >= 200 && status <= 599)
        r->status = status;
}

static bool is_field_text(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
            return false;
    return true;
}

void nx_gw_resp_content_type(nx_gw_resp *r, const char *type)
{
    if (!r->has_begun && is_field_text(type, strlen(type)))
        (void)snprintf(r->content_type, sizeof r->content_type, "%s", type);
}

nx_err nx_gw_resp_header(nx_gw_resp *r, const char *name, nx_slice value)
{
    static const char *const ours[] = {"content-length", "connection", "date", "transfer-encoding", "content-type"};
    size_t n = strlen(name);

    if (r->has_begun || n == 0 || !is_field_text(name, n) || strpbrk(name, ": ") || !is_field_text(value.p, value.n))
        return NX_EINVAL;
    for (size_t i = 0; i < NX_ARRAY_LEN(ours); i++)
        if (nx_slice_ieq(nx_slice_cstr(name), nx_slice_cstr(ours[i])))
            return NX_EINVAL;
    return nx_buf_printf(&r->headers, "%s: %.*s\r\n", name, NX_SLICE_FMT(value));
}

nx_buf *nx_gw_resp_body(nx_gw_resp *r)
{
    return &r->body;
}
