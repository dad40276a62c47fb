/* httpc.c: a blocking HTTP client on one libcurl easy handle, whose connection is kept between calls. */
#include "nx/httpc.h"

#include "curl_init.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNECT_TIMEOUT_MS 5000L

struct nx_httpc {
    CURL *easy;
    char detail[CURL_ERROR_SIZE];
};

typedef struct transfer {
    const nx_httpc_req *req;
    nx_httpc_resp *resp;
    nx_err err; /* why our callback ended the transfer */
} transfer;

static pthread_once_t global_once = PTHREAD_ONCE_INIT;
static CURLcode global_result;
static void global_init(void) { global_result = curl_global_init(CURL_GLOBAL_DEFAULT); }

nx_err nx_curl_init(nx_error *reterr)
{
    (void)pthread_once(&global_once, global_init);
    return global_result == CURLE_OK ? NX_OK : nx_error_set(reterr, NX_EIO, "HTTP client: %s", curl_easy_strerror(global_result));
}

nx_err nx_httpc_new(nx_httpc **ret, nx_error *reterr)
{
    nx_err err = nx_curl_init(reterr);
    if (err) return err;
    nx_httpc *c = calloc(1, sizeof *c);
    if (c) c->easy = curl_easy_init();
    if (!c || !c->easy) {
        nx_httpc_free(c);
        return nx_error_set(reterr, NX_ENOMEM, "HTTP client: out of memory");
    }
    *ret = c;
    return NX_OK;
}

void nx_httpc_free(nx_httpc *c)
{
    if (!c) return;
    curl_easy_cleanup(c->easy);
    free(c);
}

static size_t on_body(char *p, size_t size, size_t count, void *self)
{
    transfer *t = self;
    size_t n = size * count; /* libcurl: size is always 1 */
    if (t->req->on_data) {
        if (t->req->on_data(t->req->self, nx_slice_make(p, n)) != 0) t->err = NX_ECANCELED;
    } else {
        t->err = nx_buf_append(&t->resp->body, p, n);
    }
    return t->err ? 0 : n;
}

static void copy_cut(char *dst, size_t dst_bytes, nx_slice s)
{
    s = nx_slice_sub(s, 0, dst_bytes - 1);
    if (nx_slice_to_cstr(s, dst, dst_bytes) != NX_OK) dst[0] = '\0';
}

static size_t on_header(char *p, size_t size, size_t count, void *self)
{
    transfer *t = self;
    nx_slice value, line = nx_slice_make(p, size * count);
    while (line.n && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r')) line.n--;
    if (nx_slice_starts(line, NX_SLICE("HTTP/"))) { /* the head of an answer; the last one counts */
        uint64_t status;
        (void)nx_slice_split(line, ' ', &value);
        if (nx_slice_u64(nx_slice_sub(value, 0, 3), 999, &status) == NX_OK) t->resp->status = (int)status;
        return size * count;
    }
    nx_slice name = nx_slice_split(line, ':', &value);
    if (nx_slice_ieq(name, NX_SLICE("nexus-event-id"))) copy_cut(t->resp->event_id, sizeof t->resp->event_id, nx_slice_trim(value));
    else if (nx_slice_ieq(name, NX_SLICE("content-type"))) copy_cut(t->resp->content_type, sizeof t->resp->content_type, nx_slice_trim(value));
    return size * count;
}

/* A node on this machine is reached directly, whatever proxy the environment names. */
static bool is_loopback(const char *url)
{
    bool is_local = false;
    char *host = NULL;
    CURLU *u = curl_url();
    if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK && curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
        nx_slice h = nx_slice_cstr(host);
        is_local = nx_slice_starts(h, NX_SLICE("127.")) || nx_slice_ieq(h, NX_SLICE("localhost")) || nx_slice_eq_cstr(h, "[::1]");
    }
    curl_free(host);
    curl_url_cleanup(u);
    return is_local;
}

static bool names_content_type(const nx_httpc_req *req)
{
    const nx_slice name = NX_SLICE("content-type:");
    for (size_t i = 0; req->headers && req->headers[i]; i++)
        if (nx_slice_ieq(nx_slice_sub(nx_slice_cstr(req->headers[i]), 0, name.n), name)) return true;
    return false;
}

static struct curl_slist *header_list(const nx_httpc_req *req, bool *is_ok)
{
    /* No "Expect: 100-continue": it costs a second against servers that do not answer it. */
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    *is_ok = list != NULL;
    if (*is_ok && !names_content_type(req)) /* libcurl would claim a web form */
        *is_ok = curl_slist_append(list, "Content-Type:") != NULL;
    for (size_t i = 0; *is_ok && req->headers && req->headers[i]; i++) {
        struct curl_slist *more = curl_slist_append(list, req->headers[i]);
        if (more) list = more;
        else *is_ok = false;
    }
    return list;
}

static bool set_options(nx_httpc *c, transfer *t, struct curl_slist *headers)
{
    const nx_httpc_req *req = t->req;
    CURL *e = c->easy;
    curl_easy_reset(e); /* keeps the connection */
    c->detail[0] = '\0';
    CURLcode rc = curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->detail);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_URL, req->url);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, req->timeout_ms > INT32_MAX ? (long)INT32_MAX : (long)req->timeout_ms);
    if (!rc && is_loopback(req->url)) rc = curl_easy_setopt(e, CURLOPT_PROXY, "");
    bool is_head = strcmp(req->method, "HEAD") == 0, is_get = strcmp(req->method, "GET") == 0;
    if (!rc && (req->body.n || (!is_head && !is_get && strcmp(req->method, "DELETE") != 0))) {
        rc = curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body.n);
        if (!rc) rc = curl_easy_setopt(e, CURLOPT_POSTFIELDS, req->body.n ? req->body.p : "");
    }
    if (!rc && is_head) rc = curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
    if (!rc && !is_head) rc = curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, req->method);
    return rc == CURLE_OK;
}

static nx_err map_failure(const nx_httpc *c, const transfer *t, CURLcode rc, nx_error *reterr)
{
    const char *why = c->detail[0] ? c->detail : curl_easy_strerror(rc);
    const char *url = t->req->url;
    switch (rc) {
    case CURLE_WRITE_ERROR:
        if (t->err == NX_ELIMIT) return nx_error_set(reterr, NX_ELIMIT, "%s: the answer is over %zu bytes", url, t->resp->body.max);
        if (t->err) return nx_error_set(reterr, t->err, "%s: %s", url, nx_err_text(t->err));
        return nx_error_set(reterr, NX_EIO, "%s: %s", url, why);
    case CURLE_OPERATION_TIMEDOUT: return nx_error_set(reterr, NX_ETIMEOUT, "%s: %s", url, why);
    case CURLE_OUT_OF_MEMORY: return nx_error_set(reterr, NX_ENOMEM, "%s: out of memory", url);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: return nx_error_set(reterr, NX_EINVAL, "%s: %s", url, why);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
        return nx_error_set(reterr, NX_EUNAVAIL, "%s: %s", url, why);
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
        return nx_error_set(reterr, NX_ECLOSED, "%s: %s", url, why);
    default: return nx_error_set(reterr, NX_EIO, "%s: %s", url, why);
    }
}

nx_err nx_httpc_do(nx_httpc *c, const nx_httpc_req *req, nx_httpc_resp *resp, nx_error *reterr)
{
    transfer t = {req, resp, NX_OK};
    resp->status = 0;
    resp->content_type[0] = resp->event_id[0] = '\0';
    nx_buf_clear(&resp->body);
    bool is_ok;
    struct curl_slist *headers = header_list(req, &is_ok);
    nx_err err = NX_OK;
    if (!is_ok || !set_options(c, &t, headers)) {
        err = nx_error_set(reterr, is_ok ? NX_EINVAL : NX_ENOMEM, "%s: the request cannot be made: %s", req->url, c->detail);
    } else {
        CURLcode rc = curl_easy_perform(c->easy);
        long status = 0;
        if (curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK) resp->status = (int)status;
        if (rc != CURLE_OK) err = map_failure(c, &t, rc, reterr);
    }
    (void)curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, NULL);
    (void)curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, NULL);
    curl_slist_free_all(headers);
    return err;
}
