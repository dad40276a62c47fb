/* host.h: nodes inside this process: what `nexus dev` and `nexus serve` share. */
#ifndef NX_CLI_HOST_H
#define NX_CLI_HOST_H
#include "cli.h"
#include "nx/node.h"

struct uv_loop_s;

#define NX_CLI_HOST_MAX 64 /* nodes of one process, each of them a namespace */

/* BLOCKING. Starts a node for each configuration, with the routes that this layer adds: all or none. Prints on failure and returns the exit code. */
int nx_cli_host_start(const nx_cli *c, nx_config *const *cfgs, unsigned n, bool is_dev, nx_node **ret);
/* BLOCKING. Drains all at the same time, and stops; SIGINT or SIGTERM meanwhile ends the process at once, SIGHUP is ignored. */
void nx_cli_host_stop(nx_node *const *nodes, unsigned n); /* at least one */
/* NX_EINVAL: two of them can't be nodes of one process, or the last one sets what is the process's otherwise than the first: which, and what to do. */
nx_err nx_cli_host_check(nx_config *const *cfgs, unsigned n, nx_error *reterr);

typedef struct nx_cli_signals nx_cli_signals;
/* SIGINT, SIGTERM call stop() on the loop; SIGHUP calls hangup(), or stop() where that is NULL. */
nx_err nx_cli_signals_new(struct uv_loop_s *loop, void (*stop)(void *self), void (*hangup)(void *self), void *self, nx_cli_signals **ret);
void nx_cli_signals_free(nx_cli_signals *s);

struct nx_gw_admin_route;
/* routes.c */
const struct nx_gw_admin_route *nx_cli_host_routes(unsigned *ret_n);
nx_err nx_cli_openapi(nx_buf *out, nx_error *reterr); /* of a node that this program would be */
nx_err nx_cli_routes_md(nx_buf *out);
#endif
