/* nx/shape.h: the shape of a JSON value in one line, as docs write it, and as JSON Schema.
 * Why:       what routes take and answer is said once, beside the route; the API's description and its reference are made from that.
 * Notation:  {name, other: int, maybe?: bool, list: [{version, percent: number}], map: {*: number}, rest: any, …}
 *            A field without a type is a string; "?" may be missing; "…" at the end: further fields. Types: string, int (0 and above), number,
 *            bool, time (RFC 3339), id (26 characters), sha256 (hex), any, null; a word in single quotes is that text; alternatives stand
 *            between "|".
 * Threads:   any. */
#ifndef NX_SHAPE_H
#define NX_SHAPE_H
#include "nx/json.h"

/* Writes the schema (JSON Schema 2020-12) as one value. NX_EINVAL, also of the writer: not in the notation, with the place. */
nx_err nx_shape_schema(const char *shape, nx_jw *w, nx_error *reterr);
/* Whether every key of the value, at any depth, is one of the shape; of alternatives, of any of them. Types are not looked at: whoever reads a
 * value says what is wrong with it, but a key that nobody reads is lost without a word. NX_EINVAL names the key and those there are. */
nx_err nx_shape_check_keys(const char *shape, const nx_json *value, nx_error *reterr);
#endif
