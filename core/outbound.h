/* outbound.h: the node's HTTP requests for functions: nx/outbound.h with settings, counts and the node's life around it.
 * Why:       a node whose functions ask nobody has no thread for it: it starts with the first request.
 * Ownership: nothing of a call is kept.
 * Threads:   any; a request BLOCKS until its deadline at most. */
#ifndef NX_CORE_OUTBOUND_H
#define NX_CORE_OUTBOUND_H
#include "core_internal.h"
#include "nx/effect.h"

typedef struct nx_core_outbound nx_core_outbound;

/* `cfg` is read now. */
nx_err nx_core_outbound_new(const nx_config *cfg, nx_metrics *metrics, nx_core_outbound **ret, nx_error *reterr);
void nx_core_outbound_cancel(nx_core_outbound *o); /* for good: requests end with NX_ECANCELED. NULL allowed */
void nx_core_outbound_free(nx_core_outbound *o);   /* no call may be inside any more; NULL allowed */

/* The op of nx_effect_ops; self is the nx_core_outbound. */
nx_err nx_core_outbound_request(nx_core_outbound *o, const nx_effect_call *c, nx_slice request, nx_error *reterr);
#endif
