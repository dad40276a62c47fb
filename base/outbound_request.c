/* outbound_request.c: one request: its hops, and what protects each.
 * Redirects are followed here and not by libcurl: each target has to pass the same checks as the first. */
#include "outbound_internal.h"

#include <stdlib.h>

/* ---- callbacks of one transfer, on nx-http */

static bool refuse(nx_ob_transfer *t, const nx_ob_address *a, uint16_t port)
{
    if (port != t->target->port) { /* libcurl was told of no proxy and no other place */
        t->is_refused = nx_error_set(&t->refusal, NX_EDENIED, "the connection goes to another port than the URL names") != NX_OK;
        return true;
    }
    if (nx_ob_allow_address(t->call->grants, t->call->n_grants, t->target, a, &t->refusal) == NX_OK) return false;
    t->is_refused = true;
    return true;
}

static curl_socket_t on_socket(void *self, curlsocktype purpose, struct curl_sockaddr *sa)
{
    nx_ob_address a;
    uint16_t port;
    if (purpose != CURLSOCKTYPE_IPCXN || !nx_ob_address_of(&sa->addr, &a, &port) || refuse(self, &a, port)) return CURL_SOCKET_BAD;
    return socket(sa->family, sa->socktype | SOCK_CLOEXEC, sa->protocol);
}

/* Before a request goes out: a connection kept open from an earlier call was allowed by that call's grants, not by these. */
// NOLINTNEXTLINE(readability-non-const-parameter): the signature is libcurl's
static int on_connected(void *self, char *peer_ip, char *local_ip, int peer_port, int local_port)
{
    nx_ob_address a;
    (void)local_ip;
    (void)local_port;
    if (!nx_ob_address_parse(nx_slice_cstr(peer_ip), &a) || refuse(self, &a, (uint16_t)peer_port)) return CURL_PREREQFUNC_ABORT;
    return CURL_PREREQFUNC_OK;
}

static size_t on_header(char *p, size_t size, size_t count, void *self)
{
    nx_ob_transfer *t = self;
    return nx_ob_answer_line(&t->answer, nx_slice_make(p, size * count)) ? size * count : 0;
}

static size_t on_body(char *p, size_t size, size_t count, void *self)
{
    nx_ob_transfer *t = self;
    return nx_ob_answer_body(&t->answer, nx_slice_make(p, size * count)) ? size * count : 0;
}

/* ---- one request */

typedef struct request {
    nx_outbound *o;
    const nx_outbound_call *call;
    nx_outbound_message message;
    nx_slice method, body;
    bool is_elsewhere; /* redirected to another origin: credentials stay behind */
    bool is_without_body;
} request;

static bool add_header(struct curl_slist **list, nx_buf *line)
{
    const char *text = nx_buf_cstr(line);
    struct curl_slist *more = text ? curl_slist_append(*list, text) : NULL;
    if (more) *list = more;
    return more != NULL;
}

/* libcurl takes "Name:" as "send none" and "Name;" as "send an empty one". */
static bool add_field(struct curl_slist **list, nx_slice name, nx_slice value)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf line = NX_BUF_INIT(NX_OUTBOUND_HEAD_BYTES);
    nx_err err = nx_buf_append_slice(&line, name);
    if (!err) err = nx_buf_append_cstr(&line, value.n ? ": " : ";");
    if (!err) err = nx_buf_append_slice(&line, value);
    return !err && add_header(list, &line);
}

static struct curl_slist *make_headers(const request *r)
{
    char parent[NX_TRACEPARENT_LEN + 1];
    bool has_type = false, has_agent = false, has_trace = !r->call->trace || !r->call->trace->trace_id[0];
    struct curl_slist *list = curl_slist_append(NULL, "Expect:"); /* no wait for "100 Continue" */
    bool is_ok = list != NULL;
    for (unsigned i = 0; i < r->message.n_headers && is_ok; i++) {
        nx_slice name = r->message.headers[i].key;
        if (r->is_elsewhere && !nx_ob_may_follow_elsewhere(name)) continue;
        bool is_type = nx_slice_ieq(name, NX_SLICE("content-type"));
        if (r->is_without_body && (is_type || nx_slice_ieq(nx_slice_sub(name, 0, 8), NX_SLICE("content-")))) continue;
        has_type |= is_type;
        has_agent |= nx_slice_ieq(name, NX_SLICE("user-agent"));
        has_trace |= nx_slice_ieq(name, NX_SLICE("traceparent"));
        is_ok = add_field(&list, name, r->message.headers[i].value);
    }
    if (is_ok && !has_type) is_ok = curl_slist_append(list, "Content-Type:") != NULL; /* libcurl would claim a web form */
    if (is_ok && !has_agent) is_ok = curl_slist_append(list, "User-Agent: nexus-functions") != NULL;
    if (is_ok && !has_trace) {
        (void)nx_trace_format(r->call->trace, parent);
        is_ok = add_field(&list, NX_SLICE("traceparent"), nx_slice_cstr(parent));
    }
    if (is_ok) return list;
    curl_slist_free_all(list);
    return NULL;
}

static CURLcode set_body(CURL *e, const request *r)
{
    char method[32];
    CURLcode rc = CURLE_OK;
    if (nx_slice_eq(r->method, NX_SLICE("HEAD"))) return curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
    bool may_have_body = nx_slice_eq(r->method, NX_SLICE("POST")) || nx_slice_eq(r->method, NX_SLICE("PUT")) || nx_slice_eq(r->method, NX_SLICE("PATCH"));
    if (r->body.n || (may_have_body && !r->is_without_body)) {
        rc = curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
        if (!rc) rc = curl_easy_setopt(e, CURLOPT_POSTFIELDS, r->body.n ? r->body.p : "");
    }
    if (!rc && nx_slice_to_cstr(r->method, method, sizeof method) != NX_OK) rc = CURLE_BAD_FUNCTION_ARGUMENT;
    return rc ? rc : curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, method);
}

/* What protects: who may be reached and how sure we are who it is. */
static CURLcode set_protection(const nx_outbound *o, nx_ob_transfer *t)
{
    CURL *e = t->easy;
    CURLcode rc = curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_PROXY, ""); /* none, whatever the environment says */
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_connected);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_PREREQDATA, t);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (!rc && nx_ob_ca_file(o)) rc = curl_easy_setopt(e, CURLOPT_CAINFO, nx_ob_ca_file(o)); /* the system's stay in the folder of CAPATH */
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    return rc;
}

static CURLcode set_options(const request *r, const char *url, nx_ob_transfer *t)
{
    CURL *e = t->easy;
    CURLcode rc = curl_easy_setopt(e, CURLOPT_URL, url);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    /* A look-up that takes longer than its call is left behind; waiting for it would stop every other transfer. */
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_PRIVATE, (char *)t);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->detail);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, nx_ob_connect_timeout_ms(r->o));
    if (!rc) rc = set_protection(r->o, t);
    return rc ? rc : set_body(e, r);
}

static nx_err map_failure(const nx_ob_transfer *t, nx_error *reterr)
{
    const char *why = t->detail[0] ? t->detail : curl_easy_strerror(t->rc);
    const char *host = t->target->host;
    if (t->answer.err) return nx_error_set(reterr, t->answer.err, "%s: %s", host, t->answer.detail.msg);
    switch (t->rc) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_ABORTED_BY_CALLBACK:
        if (t->is_refused) return nx_error_set(reterr, t->refusal.code, "%s", t->refusal.msg);
        return nx_error_set(reterr, NX_EUNAVAIL, "%s: no connection", host);
    case CURLE_COULDNT_RESOLVE_HOST: return nx_error_set(reterr, NX_EUNAVAIL, "%s: no such host", host);
    case CURLE_OPERATION_TIMEDOUT: return nx_error_set(reterr, NX_ETIMEOUT, "%s: no answer in time", host);
    case CURLE_OUT_OF_MEMORY: return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE: return nx_error_set(reterr, NX_ECLOSED, "%s: the connection ended before the answer did", host);
    default: return nx_error_set(reterr, NX_EIO, "%s: %s", host, why);
    }
}

/* One hop. */
static nx_err fetch(const request *r, const nx_ob_url *url, nx_ob_transfer *t, nx_buf *out, size_t from, nx_error *reterr)
{
    t->call = r->call;
    t->target = &url->target;
    nx_ob_answer_begin(&t->answer, out, from, r->call->max_body_bytes);
    t->easy = curl_easy_init();
    t->headers = make_headers(r);
    nx_err err = NX_OK;
    if (!t->easy || !t->headers) err = nx_error_set(reterr, NX_ENOMEM, "out of memory");
    else if (set_options(r, url->text, t)) err = nx_error_set(reterr, NX_ENOMEM, "%s: the request cannot be made: %s", t->target->host, t->detail);
    if (!err) {
        err = nx_ob_fly(r->o, t);
        if (err) (void)nx_error_set(reterr, err, "%s: %s", t->target->host, err == NX_EBUSY ? "too many requests to the outside are waiting" : nx_err_text(err));
        else if (t->rc != CURLE_OK) err = map_failure(t, reterr);
        else if (!t->answer.is_head_over) err = nx_error_set(reterr, NX_EIO, "%s: the answer has no head", t->target->host);
    }
    curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    return err;
}

static bool is_redirect(const nx_ob_answer *a)
{
    return a->location[0] && (a->status == 301 || a->status == 302 || a->status == 303 || a->status == 307 || a->status == 308);
}

/* RFC 9110 section 15.4: 303 is fetched with GET, and so is a POST after 301 and 302, as every browser does it. */
static void change_method(request *r, int status)
{
    bool is_post = nx_slice_eq(r->method, NX_SLICE("POST")), is_head = nx_slice_eq(r->method, NX_SLICE("HEAD"));
    if (status == 307 || status == 308 || is_head || (status != 303 && !is_post)) return;
    r->method = NX_SLICE("GET");
    r->body = NX_SLICE_NULL;
    r->is_without_body = true;
}

static nx_err follow(request *r, nx_ob_url *url, const nx_ob_answer *a, nx_error *reterr)
{
    nx_ob_url next;
    nx_err err = nx_ob_url_follow(url, nx_slice_cstr(a->location), &next, reterr);
    if (err) {
        (void)nx_error_prefix(reterr, "%s redirects", url->target.host);
        return err == NX_ENOMEM ? err : nx_error_set(reterr, NX_EIO, "%s redirects to what is no URL of http:// or https://", url->target.host);
    }
    change_method(r, a->status);
    r->is_elsewhere |= !nx_ob_url_same_origin(url, &next);
    nx_ob_url_done(url);
    *url = next;
    err = nx_ob_allow_target(r->call->grants, r->call->n_grants, &url->target, reterr);
    if (err) (void)nx_error_prefix(reterr, "redirected");
    return err;
}

static nx_err do_request(request *r, nx_ob_url *url, nx_buf *answer, nx_error *reterr)
{
    size_t from = answer->n;
    nx_ob_transfer *t = malloc(sizeof *t); /* tens of KiB: guests' calls may come from small stacks */
    if (!t) return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    nx_err err = NX_OK;
    for (unsigned hop = 0; !err; hop++) {
        memset(t, 0, sizeof *t);
        err = fetch(r, url, t, answer, from, reterr);
        if (err || !is_redirect(&t->answer)) break;
        if (hop == NX_OUTBOUND_REDIRECTS_MAX) err = nx_error_set(reterr, NX_ELIMIT, "%s: more than %d redirects", url->target.host, NX_OUTBOUND_REDIRECTS_MAX);
        else err = follow(r, url, &t->answer, reterr);
    }
    free(t);
    if (err) answer->n = from;
    return err;
}

nx_err nx_outbound_request(nx_outbound *o, const nx_outbound_call *call, nx_buf *answer, nx_error *reterr)
{
    request r = {.o = o, .call = call};
    nx_ob_url url = {0};
    nx_err err = nx_outbound_message_parse(call->request, &r.message, reterr);
    if (!err) err = nx_ob_url_parse(r.message.url, &url, reterr);
    if (!err) err = nx_ob_allow_target(call->grants, call->n_grants, &url.target, reterr);
    if (!err) {
        r.method = r.message.method;
        r.body = r.message.body;
        err = do_request(&r, &url, answer, reterr);
    }
    nx_ob_url_done(&url);
    return err;
}

/* ---- outcomes */

nx_outbound_outcome nx_outbound_outcome_of(nx_err err)
{
    switch (err) {
    case NX_OK: return NX_OUTBOUND_ANSWERED;
    case NX_EINVAL: return NX_OUTBOUND_INVALID;
    case NX_EDENIED: return NX_OUTBOUND_DENIED;
    case NX_ETIMEOUT: return NX_OUTBOUND_TIMEOUT;
    case NX_ELIMIT: return NX_OUTBOUND_LIMIT;
    case NX_EBUSY: return NX_OUTBOUND_BUSY;
    default: return NX_OUTBOUND_FAILED;
    }
}

const char *nx_outbound_outcome_name(nx_outbound_outcome o)
{
    static const char *const names[NX_OUTBOUND_OUTCOMES] = {"answered", "invalid", "denied", "timeout", "limit", "busy", "failed"};
    return o < NX_OUTBOUND_OUTCOMES ? names[o] : "failed";
}
