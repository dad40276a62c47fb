#include "guard.h"

static bool host_is_ours(const nx_gw_guard *g, nx_slice name)
{
    if (nx_gw_host_is_loopback(name) || nx_slice_ieq(name, nx_slice_cstr(g->address->host)))
        return true;
    /* Rebinding needs a name. Bound to all addresses, the node can't know by which of them (or of a port mapping's) it was called. */
    if (g->address->is_any && nx_gw_host_is_ip(name))
        return true;
    for (unsigned i = 0; i < g->n_allowed_hosts; i++)
        if (nx_slice_ieq(name, g->allowed_hosts[i]))
            return true;
    return false;
}

static bool same_host(nx_slice origin, nx_slice host)
{
    nx_slice prefixes[] = {NX_SLICE("http://"), NX_SLICE("https://")};
    for (size_t i = 0; i < NX_ARRAY_LEN(prefixes); i++)
        if (nx_slice_starts(origin, prefixes[i]))
            return nx_slice_ieq(nx_slice_sub(origin, prefixes[i].n, origin.n), host);
    return false;
}

bool nx_gw_guard_check(const nx_gw_guard *g, const nx_gw_parser *p, nx_gw_fault *f)
{
    nx_slice name, port, host = p->head.host;
    unsigned origins;
    nx_slice origin = nx_gw_parser_find(p, "origin", &origins);
    nx_slice site = nx_gw_parser_find(p, "sec-fetch-site", NULL);
    nx_slice mode = nx_gw_parser_find(p, "sec-fetch-mode", NULL);

    if (host.n == 0 && p->head.minor == 0)
        return true; /* no browser sends HTTP/1.0 */
    if (nx_gw_host_split(host, &name, &port) != NX_OK || !host_is_ours(g, name))
        return nx_gw_fault_set(f, 421, NX_EDENIED, "this listener does not answer to the host \"%.*s\"",
                               NX_SLICE_FMT(nx_slice_sub(host, 0, 100)));
    if (origins > 0 && (origins > 1 || !same_host(origin, host)))
        return nx_gw_fault_set(f, 403, NX_EDENIED, "requests from pages of another site are refused");
    bool is_link = nx_slice_eq_cstr(mode, "navigate") && nx_slice_eq_cstr(p->head.method, "GET");
    if (site.n > 0 && !is_link && !nx_slice_eq_cstr(site, "same-origin") && !nx_slice_eq_cstr(site, "none"))
        return nx_gw_fault_set(f, 403, NX_EDENIED, "requests from pages of another site are refused");
    return true;
}
