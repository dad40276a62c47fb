/* nx/json_diff.h: where two JSON documents differ.
 * Why:       "total: 12 -> 13" says what a digest can't.
 * Ownership: changes lie in the arena; their values are lent from the documents' own bytes.
 * Threads:   plain data.
 * Errors:    NX_EPARSE (one of them is not JSON), NX_ELIMIT (deeper than 64, or more values than the arena holds), NX_ENOMEM.
 * Rules:     numbers are equal only when written alike (1 is not 1.0): nothing is rounded. Strings and names are compared decoded. Order of members
 *            does not count. Arrays are compared from both ends, and what is left in the middle by position. */
#ifndef NX_JSON_DIFF_H
#define NX_JSON_DIFF_H
#include "nx/arena.h"

typedef enum { NX_CHANGE_ADDED,
               NX_CHANGE_REMOVED,
               NX_CHANGE_CHANGED } nx_change_kind;

typedef struct nx_json_change {
    nx_change_kind kind;
    nx_slice path;          /* "items[2].price"; "" is the whole document */
    nx_slice place;         /* the same without positions: "items[].price" */
    nx_slice before, after; /* JSON text; empty for what is not there */
} nx_json_change;

typedef struct nx_json_changes {
    nx_json_change *v;
    unsigned n;     /* kept: the first `max` in the order of the documents' names */
    uint64_t total; /* found */
} nx_json_changes;

const char *nx_change_kind_name(nx_change_kind k); /* "added", "removed", "changed" */
/* total is 0 where the documents mean the same, whatever their bytes. */
nx_err nx_json_diff(nx_slice before, nx_slice after, unsigned max, nx_arena *a, nx_json_changes *ret);
#endif
