/* host.h: nodes inside this process: what `nexus dev` and `nexus serve` share. */
#ifndef NX_CLI_HOST_H
#define NX_CLI_HOST_H
#include "cli.h"
#include "nx/node.h"

struct uv_loop_s;

#define NX_CLI_HOST_MAX 64 /* nodes of one process, each of them a namespace */

/* host_files.c: what the flag --config of a command names: settings of a node each. */
typedef struct nx_cli_host_files {
    unsigned n;                               /* as many as there are files; one, of defaults, variables and flags, where there are none */
    const char *names[NX_CLI_HOST_MAX];       /* as they were given; lent */
    nx_config *cfgs[NX_CLI_HOST_MAX];         /* references; NULL: it is not valid by itself */
    nx_config_issues issues[NX_CLI_HOST_MAX]; /* of each: what is wrong in it, and with it beside those before it */
} nx_cli_host_files;
/* Reads all, prints on `out` (NULL: nowhere) all that is wrong with them as nodes of one process, and returns the exit code. To be ended by _done() in any case. */
int nx_cli_host_files_load(const nx_cli *c, nx_cli_host_files *ret, FILE *out);
void nx_cli_host_files_done(nx_cli_host_files *f);
/* What the last one shares with the others and may not, or sets otherwise than the first though it is the process's. NULL among the others is passed over.
 * NX_EINVAL: there are issues; NX_ENOMEM. */
nx_err nx_cli_host_check(nx_config *const *cfgs, unsigned n, nx_config_issues *issues);

/* BLOCKING. Starts a node for each configuration, with the routes that this layer adds: all or none. Prints on failure and returns the exit code. */
int nx_cli_host_start(const nx_cli *c, nx_config *const *cfgs, unsigned n, bool is_dev, nx_node **ret);
/* BLOCKING. Drains all at the same time, and stops; SIGINT or SIGTERM meanwhile ends the process at once, SIGHUP is ignored. */
void nx_cli_host_stop(nx_node *const *nodes, unsigned n); /* at least one */
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
