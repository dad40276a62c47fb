/* outbound_grant.c: entries of allowed_outbound_hosts, and what they allow.
 * Two questions, at two moments: may this URL be asked for (before anything happens), and may this address be connected to (when the socket is
 * made, with the address that is really used, so that what a name resolved to earlier does not matter). */
#include "outbound_internal.h"

#include <stdio.h>

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_alnum(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* ---- names */

bool nx_ob_name_is_valid(nx_slice name)
{
    if (name.n == 0 || name.n > 253) return false;
    size_t label = 0;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (c == '.') {
            if (label == 0 || name.p[i - 1] == '-') return false;
            label = 0;
        } else {
            if (!is_alnum(c) && c != '_' && (c != '-' || label == 0)) return false;
            if (++label > 63) return false;
        }
    }
    return label > 0 && name.p[name.n - 1] != '-';
}

bool nx_ob_name_looks_numeric(nx_slice name)
{
    size_t from = name.n;
    while (from > 0 && name.p[from - 1] != '.') from--;
    nx_slice last = nx_slice_sub(name, from, name.n);
    if (last.n > 2 && last.p[0] == '0' && (last.p[1] | 0x20) == 'x') return true;
    for (size_t i = 0; i < last.n; i++)
        if (!is_digit(last.p[i])) return false;
    return last.n > 0;
}

/* A name that no public resolver answers for, so that its owner is the network's. */
static bool is_private_name(nx_slice name)
{
    static const char *const endings[] = {".internal", ".local", ".lan", ".home.arpa", ".svc", ".cluster.local"};
    if (!memchr(name.p, '.', name.n)) return true;
    for (size_t i = 0; i < NX_ARRAY_LEN(endings); i++)
        if (nx_slice_ends(name, nx_slice_cstr(endings[i]))) return true;
    return false;
}

static bool is_local_name(nx_slice name) { return nx_slice_eq(name, NX_SLICE("localhost")) || nx_slice_ends(name, NX_SLICE(".localhost")); }

/* ---- one grant */

typedef struct parse {
    nx_slice entry;
    nx_ob_grant *g;
    nx_error *reterr;
} parse;

#define SHOWN(s) NX_SLICE_FMT(nx_slice_sub((s), 0, 80))

static nx_err wrong(const parse *p, const char *reason)
{
    return nx_error_set(p->reterr, NX_EINVAL, "\"%.*s\" %s", SHOWN(p->entry), reason);
}

static nx_err parse_scheme(const parse *p, nx_slice *rest)
{
    size_t at = 0;
    while (at < p->entry.n && p->entry.p[at] != ':' && p->entry.p[at] != '/') at++;
    if (!nx_slice_starts(nx_slice_sub(p->entry, at, 3), NX_SLICE("://")))
        return nx_error_set(p->reterr, NX_EINVAL, "\"%.*s\" has no scheme: write https://%.*s", SHOWN(p->entry), SHOWN(p->entry));
    nx_slice scheme = nx_slice_sub(p->entry, 0, at);
    *rest = nx_slice_sub(p->entry, at + 3, p->entry.n);
    bool is_any = nx_slice_eq(scheme, NX_SLICE("*"));
    p->g->http = is_any || nx_slice_ieq(scheme, NX_SLICE("http"));
    p->g->https = is_any || nx_slice_ieq(scheme, NX_SLICE("https"));
    return p->g->http || p->g->https ? NX_OK : wrong(p, "has a scheme that functions can't use: write https://, http:// or *://");
}

static nx_err parse_one_port(const parse *p, nx_slice s, uint16_t *ret)
{
    uint64_t v;
    if (s.n > 5 || nx_slice_u64(s, 65535, &v) != NX_OK || v == 0) return wrong(p, "has no port from 1 to 65535 behind the colon: write a number, 8000..8010 or *");
    *ret = (uint16_t)v;
    return NX_OK;
}

/* rest: "" or ":" and the port; a last "/" is gone already. */
static nx_err parse_port(const parse *p, nx_slice rest)
{
    nx_ob_grant *g = p->g;
    if (rest.n == 0) return NX_OK;
    if (rest.p[0] != ':') return wrong(p, "has something behind the host that is no port");
    nx_slice port = nx_slice_sub(rest, 1, rest.n);
    g->has_port = true;
    if (nx_slice_eq(port, NX_SLICE("*"))) {
        g->port_from = 1;
        g->port_to = 65535;
        return NX_OK;
    }
    size_t dots = 0;
    while (dots < port.n && port.p[dots] != '.') dots++;
    nx_err err = parse_one_port(p, nx_slice_sub(port, 0, dots), &g->port_from);
    g->port_to = g->port_from;
    if (err || dots == port.n) return err;
    if (!nx_slice_starts(nx_slice_sub(port, dots, port.n), NX_SLICE(".."))) return wrong(p, "has no range of ports like 8000..8010");
    err = parse_one_port(p, nx_slice_sub(port, dots + 2, port.n), &g->port_to);
    return !err && g->port_to < g->port_from ? wrong(p, "has a range of ports that ends before it begins") : err;
}

/* "/24" behind an address; *rest keeps what follows. */
static nx_err parse_bits(const parse *p, nx_slice *rest)
{
    nx_ob_grant *g = p->g;
    unsigned whole = nx_ob_address_is_v4(&g->address) ? 32 : 128;
    g->bits = 128;
    if (rest->n < 2 || rest->p[0] != '/' || !is_digit(rest->p[1])) return NX_OK;
    size_t n = 1;
    while (n < rest->n && is_digit(rest->p[n])) n++;
    uint64_t bits;
    if (nx_slice_u64(nx_slice_sub(*rest, 1, n - 1), whole, &bits) != NX_OK || bits == 0)
        return nx_error_set(p->reterr, NX_EINVAL, "\"%.*s\" has a range of addresses that is not /1 to /%u", SHOWN(p->entry), whole);
    g->bits = 128 - whole + (unsigned)bits;
    for (unsigned i = g->bits; i < 128; i++)
        if (g->address.b[i / 8] & (0x80u >> i % 8)) return wrong(p, "has an address with bits set behind its range (10.0.0.0/8, not 10.1.2.3/8)");
    *rest = nx_slice_sub(*rest, n, rest->n);
    return NX_OK;
}

static nx_err parse_v6(const parse *p, nx_slice *rest)
{
    size_t end = 1;
    while (end < rest->n && rest->p[end] != ']') end++;
    if (end >= rest->n || !nx_ob_address_parse(nx_slice_sub(*rest, 1, end - 1), &p->g->address)) return wrong(p, "has no IPv6 address between its brackets");
    p->g->kind = NX_OB_GRANT_ADDRESS;
    *rest = nx_slice_sub(*rest, end + 1, rest->n);
    return parse_bits(p, rest);
}

static nx_err parse_host(const parse *p, nx_slice *rest)
{
    nx_ob_grant *g = p->g;
    if (rest->n && rest->p[0] == '[') return parse_v6(p, rest);
    size_t n = 0;
    while (n < rest->n && rest->p[n] != ':' && rest->p[n] != '/') n++;
    nx_slice host = nx_slice_sub(*rest, 0, n);
    *rest = nx_slice_sub(*rest, n, rest->n);
    if (nx_ob_address_parse(host, &g->address)) {
        g->kind = NX_OB_GRANT_ADDRESS;
        return parse_bits(p, rest);
    }
    if (nx_slice_eq(host, NX_SLICE("*"))) {
        g->kind = NX_OB_GRANT_ANY;
        return NX_OK;
    }
    g->kind = nx_slice_starts(host, NX_SLICE("*.")) ? NX_OB_GRANT_BELOW : NX_OB_GRANT_NAME;
    g->name = g->kind == NX_OB_GRANT_BELOW ? nx_slice_sub(host, 2, host.n) : host;
    if (host.n == 0) return wrong(p, "has no host behind the scheme");
    if (memchr(host.p, '@', host.n)) return wrong(p, "has a user name: grants name hosts only, functions send credentials in a header");
    if (memchr(g->name.p, '*', g->name.n)) return wrong(p, "has a * that is not the whole first label: write *.example.com, or * for every public host");
    if (!nx_ob_name_is_valid(g->name)) return wrong(p, "has no host name of letters, digits, '-' and dots (international names as xn--…)");
    if (nx_ob_name_looks_numeric(g->name)) return wrong(p, "has no IPv4 address of four decimal numbers");
    return NX_OK;
}

nx_err nx_ob_grant_parse(nx_slice entry, nx_ob_grant *ret, nx_error *reterr)
{
    nx_slice rest;
    *ret = (nx_ob_grant){0};
    const parse p = {entry, ret, reterr};
    if (entry.n > NX_GRANT_BYTES) return nx_error_set(reterr, NX_EINVAL, "is over %d bytes", NX_GRANT_BYTES);
    if (!nx_slice_is_utf8(entry)) return nx_error_set(reterr, NX_EINVAL, "is not UTF-8");
    for (size_t i = 0; i < entry.n; i++)
        if ((unsigned char)entry.p[i] <= ' ' || entry.p[i] == 0x7f) return nx_error_set(reterr, NX_EINVAL, "has a space or a control character in it");
    nx_err err = parse_scheme(&p, &rest);
    if (!err) err = parse_host(&p, &rest);
    if (err) return err;
    if (nx_slice_ends(rest, NX_SLICE("/"))) rest.n--;
    if (rest.n && (memchr(rest.p, '/', rest.n) || memchr(rest.p, '?', rest.n) || memchr(rest.p, '#', rest.n)))
        return wrong(&p, "has a path: grants name hosts and ports only");
    return parse_port(&p, rest);
}

nx_err nx_grant_check(nx_slice entry, nx_error *reterr)
{
    nx_ob_grant g;
    return nx_ob_grant_parse(entry, &g, reterr);
}

/* ---- what they allow */

static bool matches_scheme_and_port(const nx_ob_grant *g, const nx_ob_target *t)
{
    if (!(t->is_https ? g->https : g->http)) return false;
    if (!g->has_port) return t->port == (t->is_https ? 443 : 80);
    return t->port >= g->port_from && t->port <= g->port_to;
}

static bool covers(const nx_ob_grant *g, const nx_ob_address *a)
{
    if (g->kind != NX_OB_GRANT_ADDRESS) return false;
    for (unsigned i = 0; i < g->bits; i++)
        if ((g->address.b[i / 8] ^ a->b[i / 8]) & (0x80u >> i % 8)) return false;
    /* A range was written for a network; nobody means the metadata service by it. */
    return g->bits == 128 || nx_ob_address_class(a) != NX_OB_METADATA;
}

static bool matches_host(const nx_ob_grant *g, const nx_ob_target *t)
{
    nx_slice host = nx_slice_cstr(t->host);
    if (t->is_address) return covers(g, &t->address) || (g->kind == NX_OB_GRANT_ANY && nx_ob_address_class(&t->address) == NX_OB_PUBLIC);
    switch (g->kind) {
    case NX_OB_GRANT_ANY: return true;
    case NX_OB_GRANT_NAME: return nx_slice_ieq(g->name, host);
    case NX_OB_GRANT_BELOW: return host.n > g->name.n + 1 && host.p[host.n - g->name.n - 1] == '.' && nx_slice_ieq(g->name, nx_slice_sub(host, host.n - g->name.n, g->name.n));
    case NX_OB_GRANT_ADDRESS: return false;
    }
    return false;
}

static void show_origin(const nx_ob_target *t, char out[NX_OB_HOST_BYTES + 24])
{
    bool is_v6 = strchr(t->host, ':') != NULL, is_usual = t->port == (t->is_https ? 443 : 80);
    int n = snprintf(out, NX_OB_HOST_BYTES + 24, "%s://%s%s%s", t->is_https ? "https" : "http", is_v6 ? "[" : "", t->host, is_v6 ? "]" : "");
    if (!is_usual) snprintf(out + n, (size_t)(NX_OB_HOST_BYTES + 24 - n), ":%u", t->port);
}

nx_err nx_ob_allow_target(const nx_slice *grants, unsigned n, const nx_ob_target *t, nx_error *reterr)
{
    char origin[NX_OB_HOST_BYTES + 24];
    nx_ob_grant g;
    for (unsigned i = 0; i < n; i++)
        if (nx_ob_grant_parse(grants[i], &g, NULL) == NX_OK && matches_scheme_and_port(&g, t) && matches_host(&g, t)) return NX_OK;
    show_origin(t, origin);
    return nx_error_set(reterr, NX_EDENIED, "%s is not among the function's allowed_outbound_hosts", origin);
}

nx_err nx_ob_allow_address(const nx_slice *grants, unsigned n, const nx_ob_target *t, const nx_ob_address *a, nx_error *reterr)
{
    nx_ob_class is = nx_ob_address_class(a);
    nx_slice host = nx_slice_cstr(t->host);
    if (is == NX_OB_PUBLIC) return NX_OK;
    bool may_by_name = !t->is_address && ((is == NX_OB_PRIVATE && is_private_name(host) && !is_local_name(host)) || (is == NX_OB_LOOPBACK && is_local_name(host)));
    for (unsigned i = 0; i < n; i++) {
        nx_ob_grant g;
        if (nx_ob_grant_parse(grants[i], &g, NULL) != NX_OK || !matches_scheme_and_port(&g, t)) continue;
        if (covers(&g, a) || (may_by_name && g.kind == NX_OB_GRANT_NAME && matches_host(&g, t))) return NX_OK;
    }
    char origin[NX_OB_HOST_BYTES + 24];
    show_origin(t, origin);
    /* Without the address: a function must not learn the shape of the node's network from its errors. */
    return nx_error_set(reterr, NX_EDENIED, "%s leads to %s; to allow that, name the address itself, with its port, in allowed_outbound_hosts", origin, nx_ob_class_name(is));
}
