/* nx/json_path.h: places inside a JSON document: naming them, and changing what stands there without touching any other byte.
 * Why:       what-if replays change one value of an event whose other bytes (numbers, order, white space) must stay as they came.
 * Ownership: a parsed path lives in the arena it was given.
 * Threads:   plain data.
 * Errors:    NX_EPARSE (the path, the document), NX_EINVAL (the path leads through something that is no container, or past an array's end),
 *            NX_ELIMIT (over NX_JSON_PATH_STEPS, or the output's cap); reterr says where.
 * Grammar:   path = (name | bracket) ("." name | bracket)* ; name = any bytes but . [ ] " and white space ;
 *            bracket = "[" (index | JSON string) "]"          data.items[0].price, data["a.b"] */
#ifndef NX_JSON_PATH_H
#define NX_JSON_PATH_H
#include "nx/arena.h"
#include "nx/buf.h"

#define NX_JSON_PATH_STEPS 32

typedef struct nx_json_step {
    nx_slice key;   /* of an object, decoded; p NULL: an index */
    uint64_t index; /* of an array */
} nx_json_step;

typedef struct nx_json_path {
    nx_json_step steps[NX_JSON_PATH_STEPS];
    unsigned n;
} nx_json_path;

nx_err nx_json_path_parse(nx_slice text, nx_arena *a, nx_json_path *ret, nx_error *reterr);
/* One step as it would be written behind others: ".name", "[3]", "[\"a.b\"]"; without the dot where `is_first`. */
nx_err nx_json_step_print(const nx_json_step *s, bool is_first, nx_buf *out);
/* The JSON text of the value at the path, its first `skip` steps left out, without the white space around it: a slice of `document`. NX_ENOENT: there is
 * none, or an array or object on the way is something else. NX_EPARSE, NX_ELIMIT: the document. */
nx_err nx_json_path_get(nx_slice document, const nx_json_path *path, unsigned skip, nx_slice *ret);
/* Appends `document` with `value` (JSON text) at the path to `out`. Members, and the element behind an array's last, are made where they
 * are missing, with the containers around them; an empty document and `null` count as missing. The first `skip` steps are only for messages. */
nx_err nx_json_path_set(nx_slice document, const nx_json_path *path, unsigned skip, nx_slice value, nx_buf *out, nx_error *reterr);
#endif
