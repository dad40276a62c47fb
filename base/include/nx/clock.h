/* nx/clock.h: the node's clocks and their text forms. Guests never see these (see runtime/wasi).
 * Threads: any. */
#ifndef NX_CLOCK_H
#define NX_CLOCK_H
#include "nx/slice.h"

#define NX_NS_PER_MS 1000000ull
#define NX_NS_PER_S 1000000000ull

uint64_t nx_clock_ns(void);      /* CLOCK_MONOTONIC */
uint64_t nx_clock_wall_ns(void); /* CLOCK_REALTIME, ns since the epoch */
/* What is left of now_ns..end_ns in the form that poll() takes: ms, rounded up, INT_MAX at most; 0 where end_ns has passed, never below. */
int nx_clock_poll_ms(uint64_t now_ns, uint64_t end_ns);

#define NX_RFC3339_MAX 36
/* "2025-11-26T10:23:45Z" (digits 0), with .123 (3), .123456789 (9); RFC 3339 UTC. Returns the length; out holds NX_RFC3339_MAX bytes. */
size_t nx_clock_rfc3339(uint64_t wall_ns, int fraction_digits, char *out);
/* RFC 3339 with any offset; fraction digits past the ninth are dropped; NX_EPARSE. Years 1970 to 2262. */
nx_err nx_clock_parse_rfc3339(nx_slice s, uint64_t *ret_wall_ns);
bool nx_clock_is_rfc3339(nx_slice s); /* the form alone, any year 0000 to 9999 */
/* "250ms", "5s", "1m30s", "2h", "7d" (also fractions: "1.5s"); NX_EPARSE, NX_ELIMIT. */
nx_err nx_duration_parse(nx_slice s, uint64_t *ret_ns);
/* A moment (RFC 3339), or a time before `now_wall_ns` ("1h"). NX_EINVAL, with `name` and the text in reterr. */
nx_err nx_clock_parse_when(const char *name, nx_slice s, uint64_t now_wall_ns, uint64_t *ret_wall_ns, struct nx_error *reterr);
/* Shortest exact form of nx_duration_parse; out holds 32 bytes. */
size_t nx_duration_format(uint64_t ns, char *out);
/* "128Mi", "1Gi", "64Ki", "500k", "10M", "1G", "123": binary (Ki Mi Gi Ti) and decimal (k M G T) suffixes as in Kubernetes, optional trailing B. */
nx_err nx_size_parse(nx_slice s, uint64_t *ret_bytes);
/* Shortest exact form of nx_size_parse; out holds 32 bytes. */
size_t nx_size_format(uint64_t bytes, char *out);
#endif
