/* json_read.c: reading JSON with jansson, which stays behind the opaque nx_json (a json_t).
 * The text is scanned first: jansson allows 2,048 levels and recurses; our bound is checked before anything is built. */
#include "json_scan.h"
#include "nx/json.h"

#include <jansson.h>

static json_t *unwrap(const nx_json *j) { return (json_t *)j; }
static const nx_json *wrap(const json_t *j) { return (const nx_json *)j; }

static void line_and_column(nx_slice text, const char *at, unsigned *line, unsigned *column)
{
    *line = *column = 1;
    for (const char *p = text.p; p < at; p++) {
        if (*p == '\n') {
            (*line)++;
            *column = 1;
        } else if (((unsigned char)*p & 0xC0u) != 0x80u) {
            (*column)++;
        }
    }
}

/* jansson reports most failed allocations as wrong syntax. The text was scanned before, so the only syntax that it can object to is half of
 * a surrogate pair, which RFC 8259 permits. */
static bool is_out_of_memory(const json_error_t *je)
{
    switch (json_error_code(je)) {
    case json_error_duplicate_key:
    case json_error_numeric_overflow:
    case json_error_null_byte_in_key:
    case json_error_null_character:
        return false;
    case json_error_invalid_syntax:
        return !strstr(je->text, "Unicode");
    default:
        return true;
    }
}

nx_err nx_json_parse(nx_slice text, size_t max_bytes, nx_json **ret, nx_error *reterr)
{
    if (text.n > max_bytes) return nx_error_set(reterr, NX_ELIMIT, "JSON text of %zu bytes is over the limit of %zu", text.n, max_bytes);
    if (text.n == 0) return nx_error_set(reterr, NX_EPARSE, "line 1, column 1: empty text is not JSON");
    nx_json_scan s = {text.p, text.p + text.n};
    nx_err err = nx_json_scan_document(&s);
    if (err) {
        unsigned line, column;
        line_and_column(text, s.p, &line, &column);
        return nx_error_set(reterr, err, "line %u, column %u: %s", line, column,
                            err == NX_ELIMIT ? "JSON nested deeper than 64 levels"
                            : s.p == s.end   ? "JSON text ends too early"
                                             : "not valid JSON");
    }
    json_error_t je = {0}; /* jansson leaves the code alone where its first allocation fails */
    json_t *j = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &je);
    if (!j) {
        if (is_out_of_memory(&je)) return nx_error_set(reterr, NX_ENOMEM, "out of memory while reading JSON");
        return nx_error_set(reterr, NX_EPARSE, "line %d, column %d: %s", je.line, je.column, je.text);
    }
    *ret = (nx_json *)j;
    return NX_OK;
}

void nx_json_free(nx_json *root) { json_decref((json_t *)root); }

nx_json_type nx_json_typeof(const nx_json *j)
{
    if (!j) return NX_JSON_NULL;
    switch (json_typeof(unwrap(j))) {
    case JSON_OBJECT: return NX_JSON_OBJECT;
    case JSON_ARRAY: return NX_JSON_ARRAY;
    case JSON_STRING: return NX_JSON_STR;
    case JSON_INTEGER: return NX_JSON_INT;
    case JSON_REAL: return NX_JSON_REAL;
    case JSON_TRUE:
    case JSON_FALSE: return NX_JSON_BOOL;
    case JSON_NULL: break;
    }
    return NX_JSON_NULL;
}

const nx_json *nx_json_get(const nx_json *obj, const char *key) { return obj ? wrap(json_object_get(unwrap(obj), key)) : NULL; }
const nx_json *nx_json_at(const nx_json *array, size_t i) { return array ? wrap(json_array_get(unwrap(array), i)) : NULL; }

size_t nx_json_len(const nx_json *array_or_object)
{
    if (!array_or_object) return 0;
    return json_is_array(unwrap(array_or_object)) ? json_array_size(unwrap(array_or_object)) : json_object_size(unwrap(array_or_object));
}

nx_slice nx_json_str(const nx_json *j)
{
    if (!j || !json_is_string(unwrap(j))) return NX_SLICE_NULL;
    return nx_slice_make(json_string_value(unwrap(j)), json_string_length(unwrap(j)));
}

int64_t nx_json_i64(const nx_json *j, int64_t otherwise) { return j && json_is_integer(unwrap(j)) ? json_integer_value(unwrap(j)) : otherwise; }
double nx_json_double(const nx_json *j, double otherwise) { return j && json_is_number(unwrap(j)) ? json_number_value(unwrap(j)) : otherwise; }
bool nx_json_bool(const nx_json *j, bool otherwise) { return j && json_is_boolean(unwrap(j)) ? json_is_true(unwrap(j)) : otherwise; }

nx_slice nx_json_get_str(const nx_json *obj, const char *key) { return nx_json_str(nx_json_get(obj, key)); }
int64_t nx_json_get_i64(const nx_json *obj, const char *key, int64_t otherwise) { return nx_json_i64(nx_json_get(obj, key), otherwise); }

uint64_t nx_json_get_u64(const nx_json *obj, const char *key, uint64_t otherwise)
{
    int64_t v = nx_json_i64(nx_json_get(obj, key), -1);
    return v < 0 ? otherwise : (uint64_t)v;
}

double nx_json_get_double(const nx_json *obj, const char *key, double otherwise) { return nx_json_double(nx_json_get(obj, key), otherwise); }
bool nx_json_get_bool(const nx_json *obj, const char *key, bool otherwise) { return nx_json_bool(nx_json_get(obj, key), otherwise); }

int nx_json_each(const nx_json *obj, int (*fn)(void *self, nx_slice key, const nx_json *value), void *self)
{
    if (!obj || !json_is_object(unwrap(obj))) return 0;
    for (void *it = json_object_iter(unwrap(obj)); it; it = json_object_iter_next(unwrap(obj), it)) {
        int r = fn(self, nx_slice_cstr(json_object_iter_key(it)), wrap(json_object_iter_value(it)));
        if (r) return r;
    }
    return 0;
}

typedef struct dump {
    nx_buf *out;
    nx_err err;
} dump;

static int dump_piece(const char *p, size_t n, void *self)
{
    dump *d = self;
    d->err = nx_buf_append(d->out, p, n);
    return d->err ? -1 : 0;
}

nx_err nx_json_dump(const nx_json *j, nx_buf *out)
{
    if (!j) return nx_buf_append(out, "null", 4);
    size_t before = out->n;
    dump d = {out, NX_OK};
    if (json_dump_callback(unwrap(j), dump_piece, &d, JSON_COMPACT | JSON_ENCODE_ANY) == 0) return NX_OK;
    out->n = before;
    return d.err ? d.err : NX_ENOMEM;
}
