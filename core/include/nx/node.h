/* nx/node.h: the node: registry of functions, dispatcher, life cycle. `nexus dev` and `nexus serve` are this.
 * Ownership: nx_node holds a reference of the configuration it runs.
 * Threads:   start, apply, stop from one thread (nx-main).
 * Errors:    apply is whole or not at all: on failure the running configuration stays. */
#ifndef NX_NODE_H
#define NX_NODE_H
#include "nx/config.h"

struct nx_gw_admin_route;
struct nx_job_kind;

typedef struct nx_node nx_node;

typedef struct nx_node_options {
    bool is_dev;                                  /* functions of the project file run beside the registry's */
    const char *version;                          /* of the program */
    const struct nx_gw_admin_route *extra_routes; /* further admin routes, of layers above; `self` is the node. May be NULL */
    unsigned n_extra_routes;
    const struct nx_job_kind *const *job_kinds; /* what jobs of layers above this node works on (nx/job.h) */
    unsigned n_job_kinds;
} nx_node_options;

/* BLOCKING: private nats-server or connection, streams, runtime, programs, gateway, admin. Writes data_dir/node.json (admin URL, pid) for clients. */
nx_err nx_node_start(const nx_node_options *o, nx_config *cfg, nx_node **ret, nx_error *reterr);
/* BLOCKING: loads changed programs, swaps functions and routes. ret_changes: lines such as "function 'a': code changed". */
nx_err nx_node_apply(nx_node *n, nx_config *cfg, nx_buf *ret_changes, nx_error *reterr);
/* BLOCKING: stop accepting, drain (bounded), close, join, free. NULL allowed. */
void nx_node_stop(nx_node *n);
const char *nx_node_url(const nx_node *n); /* "http://127.0.0.1:8080" */
const char *nx_node_admin_url(const nx_node *n);
#endif
