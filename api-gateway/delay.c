/* delay.c: when an event is to be delivered: ?delay=10s, Nexus-Delay: 10s, or Nexus-Deliver-At: 2026-01-01T09:00:00Z; one of them.
 * The event is stored at once whatever they say; a time that has passed is now. */
#include "ingress.h"
#include "nx/clock.h"

#define NAMES "?delay=, Nexus-Delay, Nexus-Deliver-At"

static bool bad_delay(nx_gw_fault *f, const char *where, nx_slice value)
{
    return nx_gw_fault_set(f, 400, NX_EINVAL, "%s: \"%.*s\" is not a duration (10s, 5m, 2h, 7d)", where, (int)(value.n > 64 ? 64 : value.n), value.p ? value.p : "");
}

static bool too_long(nx_gw_fault *f)
{
    return nx_gw_fault_set(f, 400, NX_EINVAL, "an event is delayed by at most %u days", NX_GW_DELAY_MAX_DAYS);
}

/* False: refused. *ret: ns since 1970, 0 for now. */
bool nx_gw_take_delay(nx_gw_conn *c, uint64_t now_wall_ns, uint64_t *ret, nx_gw_fault *f)
{
    const uint64_t max_ns = NX_GW_DELAY_MAX_DAYS * 86400ull * NX_NS_PER_S;
    nx_slice query = NX_SLICE_NULL, delay, at;
    unsigned n_delay, n_at;
    uint64_t ns = 0;
    nx_err err = nx_gw_query_find(c->parser.head.target.query, "delay", &c->arena, &query);

    *ret = 0;
    if (err != NX_OK && err != NX_ENOENT)
        return nx_gw_fault_from(f, err, NULL);
    bool has_query = err == NX_OK;
    delay = nx_gw_parser_find(&c->parser, "nexus-delay", &n_delay);
    at = nx_gw_parser_find(&c->parser, "nexus-deliver-at", &n_at);
    if (!has_query && n_delay + n_at == 0)
        return true;
    if (has_query + n_delay + n_at > 1)
        return nx_gw_fault_set(f, 400, NX_EINVAL, "a delay is given once, by one of " NAMES);
    if (n_at > 0) {
        if (nx_clock_parse_rfc3339(at, &ns) != NX_OK)
            return nx_gw_fault_set(f, 400, NX_EINVAL, "Nexus-Deliver-At: \"%.*s\" is not a time (2026-01-01T09:00:00Z)", (int)(at.n > 64 ? 64 : at.n), at.p ? at.p : "");
        if (ns > now_wall_ns + max_ns)
            return too_long(f);
        *ret = ns > now_wall_ns ? ns : 0;
        return true;
    }
    if (nx_duration_parse(has_query ? query : delay, &ns) != NX_OK)
        return bad_delay(f, has_query ? "delay" : "Nexus-Delay", has_query ? query : delay);
    if (ns > max_ns)
        return too_long(f);
    *ret = ns ? now_wall_ns + ns : 0;
    return true;
}
