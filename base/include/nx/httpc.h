/* nx/httpc.h: a blocking HTTP client (libcurl) for the command line and for exporters.
 * Ownership: the response body is an nx_buf that the caller ends.
 * Threads:   an nx_httpc belongs to one thread; it keeps its connection between calls. */
#ifndef NX_HTTPC_H
#define NX_HTTPC_H
#include "nx/buf.h"

typedef struct nx_httpc nx_httpc;
typedef struct nx_httpc_req {
    const char *method, *url;   /* NUL-terminated */
    const char *const *headers; /* "Name: value", NULL-terminated list; may be NULL */
    nx_slice body;
    uint64_t timeout_ms; /* 0: none (streams) */
    /* Called with each piece of the body as it comes, instead of `body` below; a return other than 0 ends the transfer (NX_ECANCELED). May be NULL. */
    int (*on_data)(void *self, nx_slice piece);
    void *self;
} nx_httpc_req;
typedef struct nx_httpc_resp {
    int status;  /* known before the first on_data() */
    nx_buf body; /* max set by the caller before the call */
    char content_type[128];
    char event_id[64]; /* header Nexus-Event-Id, empty where absent */
} nx_httpc_resp;

nx_err nx_httpc_new(nx_httpc **ret, nx_error *reterr);
void nx_httpc_free(nx_httpc *c);
/* NX_EUNAVAIL: no connection; NX_ETIMEOUT; NX_ELIMIT: body over max. Any HTTP status is NX_OK. */
nx_err nx_httpc_do(nx_httpc *c, const nx_httpc_req *req, nx_httpc_resp *resp, nx_error *reterr);
#endif
