/* nx/trace.h: W3C Trace Context (https://www.w3.org/TR/trace-context/), level 1.
 * Threads: any; values are plain data. */
#ifndef NX_TRACE_H
#define NX_TRACE_H
#include "nx/slice.h"

#define NX_TRACE_ID_HEX 32
#define NX_SPAN_ID_HEX 16
#define NX_TRACEPARENT_LEN 55
#define NX_TRACESTATE_MAX 512

typedef struct nx_trace {
    char trace_id[NX_TRACE_ID_HEX + 1]; /* lower-case hex; "" = none */
    char span_id[NX_SPAN_ID_HEX + 1];   /* the span that caused what this belongs to */
    uint8_t flags;                      /* bit 0: sampled */
} nx_trace;

void nx_trace_new(nx_trace *t);                             /* fresh trace and span, sampled */
void nx_trace_child(const nx_trace *parent, nx_trace *ret); /* same trace, fresh span id */
nx_err nx_trace_parse(nx_slice traceparent, nx_trace *ret); /* NX_EPARSE: the header is ignored then, as the spec asks */
size_t nx_trace_format(const nx_trace *t, char out[NX_TRACEPARENT_LEN + 1]);
bool nx_tracestate_is_valid(nx_slice tracestate);
#endif
