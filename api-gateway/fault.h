/* fault.h: why a request is refused: HTTP status, error code, one sentence for the client.
 * Why:       a status does not follow from an nx_err alone (414, 415, 417, 431, …), so decoders return both.
 * Ownership: caller's storage, nothing allocated.
 * Threads:   plain data. */
#ifndef NX_GW_FAULT_H
#define NX_GW_FAULT_H
#include "nx/slice.h"

typedef struct nx_gw_fault {
    int status; /* 0: none */
    nx_error e;
} nx_gw_fault;

/* Fills f; always returns false, so `return nx_gw_fault_set(f, 415, …)` refuses. */
bool nx_gw_fault_set(nx_gw_fault *f, int status, nx_err code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* From an error of the node or of base: retryable ones become 503 (429 for NX_EMANY), since none of them was stored. */
bool nx_gw_fault_from(nx_gw_fault *f, nx_err code, const nx_error *detail);
/* Seconds for Retry-After, 0 for none. */
unsigned nx_gw_fault_retry_after_s(const nx_gw_fault *f);

/* "Bad Request"; "Unknown" for statuses without a registered phrase. */
const char *nx_gw_status_text(int status);
#endif
