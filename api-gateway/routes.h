/* routes.h: the admin listener's table of methods and path patterns.
 * Ownership: the table copies the routes; patterns and handlers must outlive it. Matches lend slices of the path or of the arena.
 * Threads:   read-only after _init.
 * Errors:    NX_EINVAL names the pattern. */
#ifndef NX_GW_ROUTES_H
#define NX_GW_ROUTES_H
#include "fault.h"
#include "nx/gateway.h"

#define NX_GW_SEGMENTS_MAX 16

typedef struct nx_gw_segment {
    nx_slice text; /* literal, or name of the parameter */
    enum { NX_GW_SEGMENT_LITERAL,
           NX_GW_SEGMENT_PARAM,
           NX_GW_SEGMENT_REST } kind;
} nx_gw_segment;

typedef struct nx_gw_compiled_route {
    nx_gw_admin_route route;
    nx_gw_segment segments[NX_GW_SEGMENTS_MAX];
    unsigned n_segments;
} nx_gw_compiled_route;

typedef struct nx_gw_routes {
    nx_gw_compiled_route *v; /* literals before parameters, so that the first match is the best */
    size_t n;
} nx_gw_routes;

typedef struct nx_gw_match {
    const nx_gw_admin_route *route;
    nx_kv params[NX_GW_ROUTE_PARAMS_MAX]; /* values decoded */
    unsigned n_params;
} nx_gw_match;

nx_err nx_gw_routes_init(nx_gw_routes *t, const nx_gw_admin_route *routes, size_t n, nx_error *reterr);
void nx_gw_routes_done(nx_gw_routes *t);
/* `path` as sent: segments are decoded one by one, so an encoded slash stays inside its segment. HEAD takes GET's route.
 * Refused: 404; 405 with the methods of the path in ret_allow (in the arena); 400 for bad encoding. */
bool nx_gw_routes_match(const nx_gw_routes *t, nx_slice method, nx_slice path, nx_arena *a, nx_gw_match *ret, nx_slice *ret_allow,
                        nx_gw_fault *f);
#endif
