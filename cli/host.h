/* host.h: a node inside this process: what `nexus dev` and `nexus serve` share. */
#ifndef NX_CLI_HOST_H
#define NX_CLI_HOST_H
#include "cli.h"
#include "nx/node.h"

struct uv_loop_s;

/* BLOCKING. Starts the node with the routes that this layer adds; prints on failure and returns the exit code. */
int nx_cli_host_start(const nx_cli *c, nx_config *cfg, bool is_dev, nx_node **ret);
/* BLOCKING. Drains and stops; a signal that comes meanwhile ends the process at once. */
void nx_cli_host_stop(nx_node *node);

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
