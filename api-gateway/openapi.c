/* openapi.c: routes described: as an OpenAPI 3.1 document, and as a table for people. Both come from the rows that the listeners use. */
#include "nx/gateway.h"
#include "nx/json.h"
#include "nx/shape.h"
#include <stdio.h>

#define SHAPES_MAX 128

/* ---- the one route of the other listener that needs no function ----------------------------------------------------------------------------- */

#define PUBLISHED "{event_id: id, status: 'published', trace_id, deliver_at?: time, duplicate?: bool}"

static const nx_gw_param publish_query[] = {
    {"delay", "string", "Deliver after this span (10s; at most 365d)"},
    {0},
};
static const nx_gw_param publish_headers[] = {
    {"Prefer", "string", "wait=N: answer with the function's output, if it is there within N seconds; respond-async: do not wait"},
    {"Idempotency-Key", "string", "The same key and type again is the same event"},
    {"Nexus-Delay", "string", "As the query parameter"},
    {"Nexus-Deliver-At", "time", "Deliver at this time"},
    {"traceparent", "string", "W3C Trace Context: the event continues that trace"},
    {"tracestate", "string", "W3C Trace Context"},
    {0},
};
static const nx_gw_route_doc publish = {
    .name = "publish_event",
    .part = "Events in",
    .help = "Stores an event of this type: the body is its data, or a CloudEvent. Other query parameters are ignored",
    .query = publish_query,
    .headers = publish_headers,
    .body = {"*/*", NULL, NULL},
    .is_body_optional = true,
    .answers = {{200, {"*/*", NULL, NULL}}, {202, {NX_GW_JSON, "Published", PUBLISHED " | [" PUBLISHED "]"}}},
};
static const nx_gw_admin_route publish_route = {.method = "POST", .pattern = "/events/{type}", .doc = &publish};

#define PROBLEM \
    "{type, title, status: int, detail, code, event_id?: id, run_id?: id, function?, trace_id?, …}"

/* ---- OpenAPI ----------------------------------------------------------------------------------------------------------------------------------- */

typedef struct writing {
    nx_jw w;
    const nx_gw_content *shapes[SHAPES_MAX]; /* each name once */
    unsigned n_shapes;
    nx_error *reterr;
} writing;

static nx_err shape_inline(writing *d, const char *shape)
{
    return nx_shape_schema(shape, &d->w, d->reterr);
}

static nx_err media(writing *d, const nx_gw_content *c)
{
    unsigned i = 0;
    char ref[128];

    nx_jw_key(&d->w, c->media);
    nx_jw_object(&d->w);
    if (c->name) {
        while (i < d->n_shapes && strcmp(d->shapes[i]->name, c->name) != 0)
            i++;
        if (i == SHAPES_MAX)
            return nx_error_set(d->reterr, NX_ELIMIT, "too many shapes");
        if (i == d->n_shapes)
            d->shapes[d->n_shapes++] = c;
        nx_jw_key(&d->w, "schema");
        nx_jw_object(&d->w);
        (void)snprintf(ref, sizeof ref, "#/components/schemas/%s", c->name);
        nx_jw_kcstr(&d->w, "$ref", ref);
        nx_jw_object_end(&d->w);
    }
    nx_jw_object_end(&d->w);
    return NX_OK;
}

static nx_err content(writing *d, const nx_gw_content *c)
{
    nx_jw_key(&d->w, "content");
    nx_jw_object(&d->w);
    nx_err err = media(d, c);
    nx_jw_object_end(&d->w);
    return err;
}

static nx_err param(writing *d, const char *in, nx_slice name, const char *shape, const char *help)
{
    nx_jw_object(&d->w);
    nx_jw_kstr(&d->w, "name", name);
    nx_jw_kcstr(&d->w, "in", in);
    nx_jw_kbool(&d->w, "required", strcmp(in, "path") == 0);
    if (help)
        nx_jw_kcstr(&d->w, "description", help);
    nx_jw_key(&d->w, "schema");
    nx_err err = shape_inline(d, shape);
    nx_jw_object_end(&d->w);
    return err;
}

static nx_err params(writing *d, const nx_gw_admin_route *r)
{
    nx_err err = NX_OK;

    nx_jw_key(&d->w, "parameters");
    nx_jw_array(&d->w);
    for (const char *p = strchr(r->pattern, '{'); err == NX_OK && p; p = strchr(p + 1, '{'))
        err = param(d, "path", nx_slice_make(p + 1, strcspn(p + 1, "}")), "string", NULL);
    for (const nx_gw_param *p = r->doc->query; err == NX_OK && p && p->name; p++)
        err = param(d, "query", nx_slice_cstr(p->name), p->shape, p->help);
    for (const nx_gw_param *p = r->doc->headers; err == NX_OK && p && p->name; p++)
        err = param(d, "header", nx_slice_cstr(p->name), p->shape, p->help);
    nx_jw_array_end(&d->w);
    return err;
}

static nx_err answers(writing *d, const nx_gw_route_doc *doc)
{
    nx_err err = NX_OK;
    char status[16];

    nx_jw_key(&d->w, "responses");
    nx_jw_object(&d->w);
    for (unsigned i = 0, next; err == NX_OK && i < NX_GW_ANSWERS_MAX && doc->answers[i].status; i = next) {
        bool is_lines = strcmp(doc->answers[i].content.media, NX_GW_NDJSON) == 0;
        (void)snprintf(status, sizeof status, "%u", doc->answers[i].status);
        nx_jw_key(&d->w, status);
        nx_jw_object(&d->w);
        nx_jw_kcstr(&d->w, "description", is_lines ? "NDJSON: one object a line, each of the schema" : "Success");
        nx_jw_key(&d->w, "content");
        nx_jw_object(&d->w);
        for (next = i; err == NX_OK && next < NX_GW_ANSWERS_MAX && doc->answers[next].status == doc->answers[i].status; next++)
            err = media(d, &doc->answers[next].content);
        nx_jw_object_end(&d->w);
        nx_jw_object_end(&d->w);
    }
    nx_jw_key(&d->w, "default");
    nx_jw_object(&d->w);
    nx_jw_kcstr(&d->w, "$ref", "#/components/responses/Problem");
    nx_jw_object_end(&d->w);
    nx_jw_object_end(&d->w);
    return err;
}

static nx_err operation(writing *d, const nx_gw_admin_route *r)
{
    char method[16];
    nx_err err;

    (void)snprintf(method, sizeof method, "%s", r->method);
    for (char *p = method; *p; p++)
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p - 'A' + 'a' : *p);
    nx_jw_key(&d->w, method);
    nx_jw_object(&d->w);
    nx_jw_kcstr(&d->w, "operationId", r->doc->name);
    nx_jw_key(&d->w, "tags");
    nx_jw_array(&d->w);
    nx_jw_cstr(&d->w, r->doc->part);
    nx_jw_array_end(&d->w);
    nx_jw_kcstr(&d->w, "summary", r->doc->help);
    err = params(d, r);
    if (err == NX_OK && r->doc->body.media) {
        nx_jw_key(&d->w, "requestBody");
        nx_jw_object(&d->w);
        nx_jw_kbool(&d->w, "required", !r->doc->is_body_optional);
        err = content(d, &r->doc->body);
        nx_jw_object_end(&d->w);
    }
    if (err == NX_OK)
        err = answers(d, r->doc);
    nx_jw_object_end(&d->w);
    return err;
}

static void servers(nx_jw *w, const char *url, const char *what)
{
    if (!url || !url[0])
        return;
    nx_jw_key(w, "servers");
    nx_jw_array(w);
    nx_jw_object(w);
    nx_jw_kcstr(w, "url", url);
    nx_jw_kcstr(w, "description", what);
    nx_jw_object_end(w);
    nx_jw_array_end(w);
}

/* The path of routes[first], with all its methods; nothing where an earlier row has begun it. */
static nx_err path(writing *d, const nx_gw_admin_route *routes, size_t n, size_t first)
{
    nx_err err = NX_OK;

    for (size_t i = 0; i < first; i++)
        if (routes[i].doc && strcmp(routes[i].pattern, routes[first].pattern) == 0)
            return NX_OK;
    nx_jw_key(&d->w, routes[first].pattern);
    nx_jw_object(&d->w);
    for (size_t i = first; err == NX_OK && i < n; i++)
        if (routes[i].doc && strcmp(routes[i].pattern, routes[first].pattern) == 0)
            err = operation(d, &routes[i]);
    nx_jw_object_end(&d->w);
    return err;
}

static nx_err components(writing *d)
{
    static const nx_gw_content problem = {"application/problem+json", "Problem", PROBLEM};
    nx_err err;

    nx_jw_key(&d->w, "components");
    nx_jw_object(&d->w);
    nx_jw_key(&d->w, "responses");
    nx_jw_object(&d->w);
    nx_jw_key(&d->w, "Problem");
    nx_jw_object(&d->w);
    nx_jw_kcstr(&d->w, "description", "Problem details (RFC 9457); with Retry-After where another try is worth it");
    err = content(d, &problem);
    nx_jw_object_end(&d->w);
    nx_jw_object_end(&d->w);
    nx_jw_key(&d->w, "schemas");
    nx_jw_object(&d->w);
    for (unsigned i = 0; err == NX_OK && i < d->n_shapes; i++) {
        nx_jw_key(&d->w, d->shapes[i]->name);
        err = shape_inline(d, d->shapes[i]->shape);
    }
    nx_jw_object_end(&d->w);
    nx_jw_object_end(&d->w);
    return err;
}

nx_err nx_gw_openapi(const nx_gw_admin_route *routes, size_t n, const nx_gw_openapi_info *info, nx_buf *out, nx_error *reterr)
{
    writing d = {.w = NX_JW_INIT(out), .reterr = reterr};
    nx_jw *w = &d.w;
    nx_err err;

    nx_jw_object(w);
    nx_jw_kcstr(w, "openapi", "3.1.0");
    nx_jw_key(w, "info");
    nx_jw_object(w);
    nx_jw_kcstr(w, "title", "Nexus Functions");
    nx_jw_kcstr(w, "summary", "The admin API of a node, and events in");
    nx_jw_kcstr(w, "version", info->version);
    nx_jw_object_end(w);
    servers(w, info->admin_url, "admin");
    nx_jw_key(w, "paths");
    nx_jw_object(w);
    nx_jw_key(w, publish_route.pattern);
    nx_jw_object(w);
    servers(w, info->events_url, "events in");
    err = operation(&d, &publish_route);
    nx_jw_object_end(w);
    for (size_t i = 0; err == NX_OK && i < n; i++)
        if (routes[i].doc)
            err = path(&d, routes, n, i);
    nx_jw_object_end(w);
    if (err == NX_OK)
        err = components(&d);
    nx_jw_object_end(w);
    return err == NX_OK ? nx_jw_err(w) : err;
}

/* ---- for people -------------------------------------------------------------------------------------------------------------------------------- */

static nx_err row_md(const nx_gw_admin_route *r, nx_buf *out)
{
    nx_err err = nx_buf_printf(out, "| `%s %s` | %s |", r->method, r->pattern, r->doc->help);
    for (const nx_gw_param *p = r->doc->query; err == NX_OK && p && p->name; p++)
        err = nx_buf_printf(out, "%s `%s`", p == r->doc->query ? "" : ",", p->name);
    if (err == NX_OK)
        err = nx_buf_append_cstr(out, " |");
    for (unsigned i = 0; err == NX_OK && i < NX_GW_ANSWERS_MAX && r->doc->answers[i].status; i++) {
        const nx_gw_content *c = &r->doc->answers[i].content;
        bool is_lines = c->media && strcmp(c->media, NX_GW_NDJSON) == 0;
        err = nx_buf_printf(out, "%s %u%s%s%s", i ? "," : "", r->doc->answers[i].status, c->name ? " " : "", c->name ? c->name : "", is_lines ? ", a line each" : "");
    }
    return err == NX_OK ? nx_buf_append_cstr(out, " |\n") : err;
}

nx_err nx_gw_routes_md(const nx_gw_admin_route *routes, size_t n, nx_buf *out)
{
    nx_err err = nx_buf_append_cstr(out, "| request | what it does | query | answers |\n| --- | --- | --- | --- |\n");

    if (err == NX_OK)
        err = row_md(&publish_route, out);
    for (size_t i = 0; err == NX_OK && i < n; i++)
        if (routes[i].doc)
            err = row_md(&routes[i], out);
    return err;
}
