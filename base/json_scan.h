/* json_scan.h: a strict RFC 8259 scanner that finds things in JSON text without building anything (base only).
 * Why:       CloudEvents data must keep its exact bytes, may hold numbers that no C type holds, and is checked on the hot path.
 * Ownership: everything is lent from the text.
 * Threads:   plain data.
 * Errors:    NX_EPARSE, NX_ELIMIT (deeper than NX_JSON_DEPTH_MAX); `p` stands at the offending byte then. */
#ifndef NX_JSON_SCAN_H
#define NX_JSON_SCAN_H
#include "nx/slice.h"

#define NX_JSON_DEPTH_MAX 64

typedef struct nx_json_scan {
    const char *p, *end;
} nx_json_scan;

void nx_json_scan_ws(nx_json_scan *s);
/* One value at p (no white space before it); p is behind it afterwards. Strings are well-formed UTF-8. */
nx_err nx_json_scan_value(nx_json_scan *s);
/* One value with nothing but white space around it. */
nx_err nx_json_scan_document(nx_json_scan *s);
/* Members of the top-level object: begin, then next until *ret_key.p is NULL, which also checks that nothing follows the object.
 * The key is what stands between its quotes, escapes and all. */
nx_err nx_json_scan_object(nx_json_scan *s);
nx_err nx_json_scan_member(nx_json_scan *s, bool *is_first, nx_slice *ret_key, nx_slice *ret_value);
/* Decodes what stands between the quotes of a scanned string into dst, which holds raw.n bytes; NX_EPARSE: a lone surrogate. */
nx_err nx_json_unescape(nx_slice raw, char *dst, size_t *ret_n);
#endif
