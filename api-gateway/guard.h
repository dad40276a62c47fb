/* guard.h: who may speak to an admin listener that asks for no password: programs of this machine, and pages that it served itself.
 * Why:       any web page can make a browser send requests to 127.0.0.1. By DNS rebinding it can even read the answers, under its own name
 *            in Host; without rebinding the browser says in Origin or Sec-Fetch-Site where the request comes from.
 * Threads:   any. */
#ifndef NX_GW_GUARD_H
#define NX_GW_GUARD_H
#include "address.h"
#include "parser.h"

typedef struct nx_gw_guard {
    const nx_gw_address *address; /* that the listener is bound to */
    const nx_slice *allowed_hosts;
    unsigned n_allowed_hosts;
} nx_gw_guard;

/* 421 for a foreign Host, 403 for a request that another site's page made. */
bool nx_gw_guard_check(const nx_gw_guard *g, const nx_gw_parser *p, nx_gw_fault *f);
#endif
