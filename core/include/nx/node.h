/* nx/node.h: the node: registry of functions, dispatcher, life cycle. `nexus dev` and `nexus serve` are this.
 * Ownership: nx_node holds a reference of the configuration it runs.
 * Threads:   new, apply from one thread (nx-main), start, drain and stop from any.
 * Errors:    apply is whole or not at all: on failure the running configuration stays. */
#ifndef NX_NODE_H
#define NX_NODE_H
#include "nx/config.h"
#include "nx/run.h"
#include <stdatomic.h>

struct nx_gw_admin_route;
struct nx_job_kind;

typedef struct nx_node nx_node;

/* A part of the node that a layer above brings. It lives from when the node is ready until it stops. */
typedef struct nx_node_part {
    nx_err (*start)(nx_node *n, void **ret, nx_error *reterr); /* on the thread that starts the node */
    /* The final record of a live run of this node was stored; only while replay.audit is above 0. On a fabric thread: look, copy, return. */
    void (*on_run)(void *part, const nx_run *run);
    void (*stop)(void *part); /* BLOCKING: nothing of the node is used afterwards. on_run() may still come until free() */
    void (*free)(void *part);
} nx_node_part;

typedef struct nx_node_options {
    const atomic_bool *is_ended;                  /* NULL, or a signal sets it: a start that waits for servers is given up */
    bool is_dev;                                  /* functions of the project file run beside the registry's */
    const char *version;                          /* of the program */
    const struct nx_gw_admin_route *extra_routes; /* further admin routes, of layers above; `self` is the node. May be NULL */
    unsigned n_extra_routes;
    const struct nx_job_kind *const *job_kinds; /* what jobs of layers above this node works on (nx/job.h) */
    unsigned n_job_kinds;
    const nx_node_part *part; /* may be NULL */
    /* The first node of this process, whose log lines and runtime this one uses. It is stopped later. NULL: it has its own. */
    nx_node *beside;
    bool is_shared; /* the process serves further namespaces: the admin API tells the log lines of this one alone */
} nx_node_options;

/* The admin routes of this layer, with what they take and answer; for documents that are made of them. */
const struct nx_gw_admin_route *nx_core_admin_routes(unsigned *ret_n);
/* What needs no server: data_dir, log, admin listener (/healthz answers), runtime. Whole or not at all. */
nx_err nx_node_new(const nx_node_options *o, nx_config *cfg, nx_node **ret, nx_error *reterr);
/* BLOCKING, once: private nats-server or connection, streams, programs, gateway. Writes data_dir/node.json (admin URL, pid) for clients. When it fails the
 * node is only to be stopped. Nodes of one process may be started at the same time, each on a thread. */
nx_err nx_node_start(nx_node *n, nx_error *reterr);
/* BLOCKING: loads changed programs, swaps functions and routes. ret_changes: lines such as "function 'a': code changed". */
nx_err nx_node_apply(nx_node *n, nx_config *cfg, nx_buf *ret_changes, nx_error *reterr);
/* BLOCKING: stop accepting, drain (bounded), close, join, free. NULL allowed. Nodes of one process may be stopped at the same time, each on a thread of its
 * own, but for the first: that one is drained meanwhile, and stopped when the others are. */
void nx_node_stop(nx_node *n);
/* BLOCKING, any thread: the first half of it. Requests in flight are answered, runs have ended, and no more begin. */
void nx_node_drain(nx_node *n);
const char *nx_node_url(const nx_node *n); /* "http://127.0.0.1:8080" */
const char *nx_node_admin_url(const nx_node *n);
#endif
