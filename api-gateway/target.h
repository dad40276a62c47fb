/* target.h: request targets, hosts, percent-encoding and queries.
 * Ownership: results are slices of the input, or of the arena where something had to be decoded.
 * Threads:   any.
 * Source:    RFC 9112 3.2 (forms of the target), RFC 3986 (authority, percent-encoding), WHATWG URL (query). */
#ifndef NX_GW_TARGET_H
#define NX_GW_TARGET_H
#include "nx/arena.h"

typedef enum { NX_GW_TARGET_ORIGIN,
               NX_GW_TARGET_ABSOLUTE,
               NX_GW_TARGET_ASTERISK } nx_gw_target_form;

typedef struct nx_gw_target {
    nx_gw_target_form form;
    nx_slice authority; /* absolute-form only */
    nx_slice path;      /* begins with '/'; as sent; empty in asterisk-form */
    nx_slice query;     /* without '?', as sent; p NULL: none */
} nx_gw_target;

/* origin-form, absolute-form (http, https) and asterisk-form. NX_EPARSE. */
nx_err nx_gw_target_parse(nx_slice target, nx_gw_target *ret);

/* Splits uri-host [":" port] (RFC 9110 7.2): registered name, IPv4 or [IPv6]; `port` may be empty. NX_EPARSE, also for an empty host. */
nx_err nx_gw_host_split(nx_slice host, nx_slice *ret_name, nx_slice *ret_port);
/* Whether a host (without port, with its brackets) is an IP literal. */
bool nx_gw_host_is_ip(nx_slice name);
bool nx_gw_host_is_loopback(nx_slice name); /* 127.0.0.0/8, [::1], localhost, *.localhost */

/* One pass of percent-decoding. NX_EPARSE: not two hex digits, NUL or another control character, not UTF-8 afterwards. NX_ENOMEM. */
nx_err nx_gw_pct_decode(nx_slice s, bool is_plus_space, nx_arena *a, nx_slice *ret);
/* A whole path; an encoded slash is only allowed below /events/, where types may hold one: elsewhere it would change which route matches. */
nx_err nx_gw_path_decode(nx_slice path, nx_arena *a, nx_slice *ret);

/* Takes the next "key=value" off *rest (still encoded); false at the end. Empty pieces ("&&") are skipped. */
bool nx_gw_query_next(nx_slice *rest, nx_slice *ret_key, nx_slice *ret_value);
/* First value of `key` (a plain ASCII word), decoded; NX_ENOENT, NX_EPARSE. */
nx_err nx_gw_query_find(nx_slice query, const char *key, nx_arena *a, nx_slice *ret);
#endif
