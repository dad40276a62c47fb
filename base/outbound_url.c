/* outbound_url.c: URLs by libcurl's own parser, and what follows is given to libcurl in the form that this parser made: a second parser that
 * sees another host in the same text is how filters are passed. */
#include "outbound_internal.h"

#include <curl/curl.h>
#include <stdlib.h>

static nx_err check_text(nx_slice text, nx_error *reterr)
{
    if (text.n > NX_OUTBOUND_URL_BYTES - 1) return nx_error_set(reterr, NX_ELIMIT, "the URL is over %d bytes", NX_OUTBOUND_URL_BYTES - 1);
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c <= ' ' || c >= 0x7f || c == '\\') return nx_error_set(reterr, NX_EINVAL, "the URL has a character at %zu that has to be percent-encoded", i + 1);
    }
    return NX_OK;
}

static nx_err map_code(CURLUcode rc, nx_error *reterr)
{
    switch (rc) {
    case CURLUE_OK: return NX_OK;
    case CURLUE_OUT_OF_MEMORY: return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    case CURLUE_USER_NOT_ALLOWED: return nx_error_set(reterr, NX_EINVAL, "the URL has a user name or password in it: send them in the header authorization");
    default: return nx_error_set(reterr, NX_EINVAL, "the URL is not valid: %s", curl_url_strerror(rc));
    }
}

static nx_err take_host(nx_slice host, nx_ob_target *t, nx_error *reterr)
{
    bool is_v6 = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    if (is_v6) host = nx_slice_sub(host, 1, host.n - 2);
    t->is_address = nx_ob_address_parse(host, &t->address);
    if (is_v6 ? !t->is_address : (!t->is_address && (!nx_ob_name_is_valid(host) || nx_ob_name_looks_numeric(host))))
        return nx_error_set(reterr, NX_EINVAL, "the URL has no valid host");
    if (nx_slice_to_cstr(host, t->host, sizeof t->host) != NX_OK) return nx_error_set(reterr, NX_EINVAL, "the URL has no valid host");
    for (char *c = t->host; *c; c++)
        if (*c >= 'A' && *c <= 'Z') *c = (char)(*c + 32);
    return NX_OK;
}

static nx_err take_parts(CURLU *u, nx_ob_url *ret, nx_error *reterr)
{
    char *scheme = NULL, *host = NULL, *port = NULL, *zone = NULL;
    uint64_t number = 0;
    nx_err err = map_code(curl_url_get(u, CURLUPART_SCHEME, &scheme, 0), reterr);
    if (!err) err = map_code(curl_url_get(u, CURLUPART_HOST, &host, 0), reterr);
    if (!err) err = map_code(curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT), reterr);
    if (!err && strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
        err = nx_error_set(reterr, NX_EINVAL, "the URL is not of http:// or https://");
    if (!err && (nx_slice_u64(nx_slice_cstr(port), 65535, &number) != NX_OK || number == 0))
        err = nx_error_set(reterr, NX_EINVAL, "the URL has no valid port");
    if (!err && curl_url_get(u, CURLUPART_ZONEID, &zone, 0) == CURLUE_OK) /* libcurl hands it out apart from the host */
        err = nx_error_set(reterr, NX_EINVAL, "the URL has an address with a zone");
    if (!err) err = take_host(nx_slice_cstr(host), &ret->target, reterr);
    if (!err) {
        ret->target.is_https = strcmp(scheme, "https") == 0;
        ret->target.port = (uint16_t)number;
        (void)curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
        err = map_code(curl_url_get(u, CURLUPART_URL, &ret->text, 0), reterr);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(zone);
    return err;
}

static nx_err parse(const char *base, nx_slice text, nx_ob_url *ret, nx_error *reterr)
{
    char url[NX_OUTBOUND_URL_BYTES];
    *ret = (nx_ob_url){0};
    nx_err err = check_text(text, reterr);
    if (err) return err;
    if (nx_slice_to_cstr(text, url, sizeof url) != NX_OK) return nx_error_set(reterr, NX_EINVAL, "the URL is not valid");
    CURLU *u = curl_url();
    if (!u) return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    if (base) err = map_code(curl_url_set(u, CURLUPART_URL, base, 0), reterr);
    if (!err) err = map_code(curl_url_set(u, CURLUPART_URL, url, CURLU_DISALLOW_USER), reterr);
    if (!err) err = take_parts(u, ret, reterr);
    curl_url_cleanup(u);
    return err;
}

/* libcurl takes one to three slashes; a guest writes two. */
static bool has_usual_start(nx_slice text)
{
    nx_slice rest = nx_slice_sub(text, nx_slice_ieq(nx_slice_sub(text, 0, 8), NX_SLICE("https://")) ? 8 : 7, text.n);
    return (nx_slice_ieq(nx_slice_sub(text, 0, 7), NX_SLICE("http://")) || nx_slice_ieq(nx_slice_sub(text, 0, 8), NX_SLICE("https://"))) && rest.n && rest.p[0] != '/';
}

nx_err nx_ob_url_parse(nx_slice text, nx_ob_url *ret, nx_error *reterr)
{
    *ret = (nx_ob_url){0};
    if (!has_usual_start(text)) return nx_error_set(reterr, NX_EINVAL, "the URL does not begin with http:// or https:// and a host");
    return parse(NULL, text, ret, reterr);
}

nx_err nx_ob_url_follow(const nx_ob_url *base, nx_slice location, nx_ob_url *ret, nx_error *reterr) { return parse(base->text, location, ret, reterr); }

void nx_ob_url_done(nx_ob_url *u)
{
    curl_free(u->text);
    u->text = NULL;
}

bool nx_ob_url_same_origin(const nx_ob_url *a, const nx_ob_url *b)
{
    return a->target.is_https == b->target.is_https && a->target.port == b->target.port && strcmp(a->target.host, b->target.host) == 0;
}
