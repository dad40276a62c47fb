/* nx/json.h: writing JSON into an nx_buf, and reading it (jansson behind an opaque type).
 * Ownership: nx_json_parse() gives a document that nx_json_free() ends; every nx_json inside it is lent by it.
 * Threads:   one at a time.
 * Errors:    NX_EPARSE with line and column in reterr; NX_ELIMIT (depth over 64, input over max). */
#ifndef NX_JSON_H
#define NX_JSON_H
#include "nx/buf.h"

/* ---- writing. The writer keeps commas right; the caller keeps nesting right (asserted).
 * Errors stick: check nx_jw_err() once at the end. Strings that are not UTF-8 have bad bytes replaced by U+FFFD. */
typedef struct nx_jw {
    nx_buf *out;
    nx_err err;
    unsigned depth;
    uint64_t has_item; /* bit per depth */
    bool after_key;
} nx_jw;
#define NX_JW_INIT(buf)       \
    {                         \
        (buf), 0, 0, 0, false \
    }
void nx_jw_object(nx_jw *w);
void nx_jw_object_end(nx_jw *w);
void nx_jw_array(nx_jw *w);
void nx_jw_array_end(nx_jw *w);
void nx_jw_key(nx_jw *w, const char *key);
void nx_jw_key_slice(nx_jw *w, nx_slice key);
void nx_jw_str(nx_jw *w, nx_slice s);
void nx_jw_cstr(nx_jw *w, const char *s); /* NULL writes null */
void nx_jw_u64(nx_jw *w, uint64_t v);
void nx_jw_i64(nx_jw *w, int64_t v);
void nx_jw_double(nx_jw *w, double v); /* NaN and infinities write null */
void nx_jw_bool(nx_jw *w, bool v);
void nx_jw_null(nx_jw *w);
void nx_jw_raw(nx_jw *w, nx_slice json); /* already valid JSON, written byte for byte */
/* key + value in one call */
void nx_jw_kstr(nx_jw *w, const char *key, nx_slice s);
void nx_jw_kcstr(nx_jw *w, const char *key, const char *s);
void nx_jw_ku64(nx_jw *w, const char *key, uint64_t v);
void nx_jw_kbool(nx_jw *w, const char *key, bool v);
void nx_jw_kdouble(nx_jw *w, const char *key, double v);
static inline nx_err nx_jw_err(const nx_jw *w) { return w->err; }
nx_err nx_json_escape(nx_buf *out, nx_slice s); /* with the quotes */

/* ---- reading */
typedef struct nx_json nx_json;
typedef enum { NX_JSON_NULL,
               NX_JSON_BOOL,
               NX_JSON_INT,
               NX_JSON_REAL,
               NX_JSON_STR,
               NX_JSON_ARRAY,
               NX_JSON_OBJECT } nx_json_type;
/* One whole document, any root value; duplicate keys and trailing bytes are NX_EPARSE. max_bytes bounds the input. */
nx_err nx_json_parse(nx_slice text, size_t max_bytes, nx_json **ret, nx_error *reterr);
void nx_json_free(nx_json *root);                                /* only a root from nx_json_parse() */
nx_json_type nx_json_typeof(const nx_json *j);                   /* NULL is NX_JSON_NULL */
const nx_json *nx_json_get(const nx_json *obj, const char *key); /* NULL: absent or not an object */
const nx_json *nx_json_at(const nx_json *array, size_t i);
size_t nx_json_len(const nx_json *array_or_object);
nx_slice nx_json_str(const nx_json *j); /* empty slice with p NULL where not a string */
nx_slice nx_json_get_str(const nx_json *obj, const char *key);
int64_t nx_json_get_i64(const nx_json *obj, const char *key, int64_t otherwise);
uint64_t nx_json_get_u64(const nx_json *obj, const char *key, uint64_t otherwise);
double nx_json_get_double(const nx_json *obj, const char *key, double otherwise);
bool nx_json_get_bool(const nx_json *obj, const char *key, bool otherwise);
int64_t nx_json_i64(const nx_json *j, int64_t otherwise);
double nx_json_double(const nx_json *j, double otherwise);
bool nx_json_bool(const nx_json *j, bool otherwise);
/* Calls fn for every member in order; a return other than 0 stops and is returned. */
int nx_json_each(const nx_json *obj, int (*fn)(void *self, nx_slice key, const nx_json *value), void *self);
/* Compact serialisation appended to out. */
nx_err nx_json_dump(const nx_json *j, nx_buf *out);
/* The exact bytes of the member `key` of the top-level object `text` (RFC 8259 scanning, no re-serialisation); NX_ENOENT, NX_EPARSE.
 * For CloudEvents structured mode, whose data must stay byte for byte (DESIGN 4). */
nx_err nx_json_member_bytes(nx_slice text, nx_slice key, nx_slice *ret);
#endif
