/* node_routes.h: admin routes that `nexus dev` and `nexus serve` add to the node: nx_node_options.extra_routes. */
#ifndef NX_CLI_NODE_ROUTES_H
#define NX_CLI_NODE_ROUTES_H
#include "nx/gateway.h"

extern const nx_gw_admin_route nx_cli_node_routes[];
extern const unsigned nx_cli_n_node_routes;
#endif
