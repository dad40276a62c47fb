/* routes.h: handlers of admin routes that are not in routes.c, and what they share. */
#ifndef NX_CLI_ROUTES_H
#define NX_CLI_ROUTES_H
#include "nx/gateway.h"

#define NX_CLI_ROUTE_BYTES 65536 /* of a request's body */

/* Who gets the lines of an NDJSON answer. */
typedef struct nx_cli_answer {
    nx_gw_req *req;
    nx_gw_resp *resp;
} nx_cli_answer;
/* Sends the line, written with result e, as soon as it is known: a client sees the first answer while the next function still runs. */
nx_err nx_cli_answer_line(nx_cli_answer *a, nx_buf *line, nx_err e);

/* routes_compare.c */
nx_err nx_cli_route_diffs(void *node, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
#endif
