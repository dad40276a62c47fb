/* json_write.c: the JSON writer. Nothing is allocated besides the growth of the output buffer. */
#include "nx/json.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void put(nx_jw *w, const char *p, size_t n)
{
    if (!w->err) w->err = nx_buf_append(w->out, p, n);
}

static void put_char(nx_jw *w, char c)
{
    if (!w->err) w->err = nx_buf_append_char(w->out, c);
}

/* The comma before an item, where one is due. At depth 0 there is none: a writer may put several documents one after the other. */
static void before_value(nx_jw *w)
{
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->depth == 0) return;
    uint64_t bit = 1ull << (w->depth - 1);
    if (w->has_item & bit) put_char(w, ',');
    w->has_item |= bit;
}

static void open_level(nx_jw *w, char c)
{
    before_value(w);
    if (w->depth == 64) {
        if (!w->err) w->err = NX_ELIMIT;
        return;
    }
    w->depth++;
    w->has_item &= ~(1ull << (w->depth - 1));
    put_char(w, c);
}

static void close_level(nx_jw *w, char c)
{
    assert(w->err || (w->depth > 0 && !w->after_key));
    if (w->depth) w->depth--;
    put_char(w, c);
}

void nx_jw_object(nx_jw *w) { open_level(w, '{'); }
void nx_jw_object_end(nx_jw *w) { close_level(w, '}'); }
void nx_jw_array(nx_jw *w) { open_level(w, '['); }
void nx_jw_array_end(nx_jw *w) { close_level(w, ']'); }

/* 0: as it is; 'u': \u00XX; 'x': look at it as UTF-8; else the letter behind the backslash. */
static const char escape_of[256] = {
    'u',
    'u',
    'u',
    'u',
    'u',
    'u',
    'u',
    'u',
    'b',
    't',
    'n',
    'u',
    'f',
    'r',
    'u',
    'u',
    'u',
    'u',
    'u',
    'u',
    'u',
    'u',
    'u',
    'u',
    'u',
    'u',
    'u',
    'u',
    'u',
    'u',
    'u',
    'u',
    ['"'] = '"',
    ['\\'] = '\\',
    [0x7f] = 'u',
    [0x80 ... 0xff] = 'x',
};

nx_err nx_json_escape(nx_buf *out, nx_slice s)
{
    size_t before = out->n;
    nx_err err = s.n <= SIZE_MAX - 2 ? nx_buf_reserve(out, s.n + 2) : NX_ELIMIT; /* one growth in the usual case */
    if (!err) err = nx_buf_append_char(out, '"');
    size_t i = 0, run = 0;
    while (!err && i < s.n) {
        char how = escape_of[(unsigned char)s.p[i]];
        size_t k = 1;
        if (how == 0 || (how == 'x' && (k = nx_utf8_len(nx_slice_make(s.p + i, s.n - i))) != 0)) {
            i += k;
            continue;
        }
        err = nx_buf_append(out, s.p + run, i - run);
        if (err) break;
        unsigned char c = (unsigned char)s.p[i];
        if (how == 'x') {
            err = nx_buf_append(out, "\xEF\xBF\xBD", 3); /* U+FFFD */
        } else if (how == 'u') {
            static const char digits[] = "0123456789abcdef";
            char esc[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
            err = nx_buf_append(out, esc, sizeof esc);
        } else {
            char esc[2] = {'\\', how};
            err = nx_buf_append(out, esc, sizeof esc);
        }
        run = ++i;
    }
    if (!err) err = nx_buf_append(out, s.p ? s.p + run : NULL, i - run);
    if (!err) err = nx_buf_append_char(out, '"');
    if (err) out->n = before;
    return err;
}

void nx_jw_key_slice(nx_jw *w, nx_slice key)
{
    assert(!w->after_key);
    before_value(w);
    if (!w->err) w->err = nx_json_escape(w->out, key);
    put_char(w, ':');
    w->after_key = true;
}

void nx_jw_key(nx_jw *w, const char *key) { nx_jw_key_slice(w, nx_slice_cstr(key)); }

void nx_jw_str(nx_jw *w, nx_slice s)
{
    before_value(w);
    if (!w->err) w->err = nx_json_escape(w->out, s);
}

void nx_jw_cstr(nx_jw *w, const char *s)
{
    if (s) nx_jw_str(w, nx_slice_cstr(s));
    else nx_jw_null(w);
}

void nx_jw_u64(nx_jw *w, uint64_t v)
{
    before_value(w);
    if (!w->err) w->err = nx_buf_append_u64(w->out, v);
}

void nx_jw_i64(nx_jw *w, int64_t v)
{
    before_value(w);
    if (v < 0) put_char(w, '-');
    if (!w->err) w->err = nx_buf_append_u64(w->out, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void nx_jw_double(nx_jw *w, double v)
{
    if (!isfinite(v)) {
        nx_jw_null(w);
        return;
    }
    before_value(w);
    char tmp[32];
    int n = snprintf(tmp, sizeof tmp, "%.15g", v);
    if (strtod(tmp, NULL) != v) n = snprintf(tmp, sizeof tmp, "%.17g", v);
    for (int i = 0; i < n; i++)
        if (tmp[i] == ',') tmp[i] = '.'; /* the decimal point of some locales */
    put(w, tmp, (size_t)n);
}

void nx_jw_bool(nx_jw *w, bool v)
{
    before_value(w);
    put(w, v ? "true" : "false", v ? 4 : 5);
}

void nx_jw_null(nx_jw *w)
{
    before_value(w);
    put(w, "null", 4);
}

void nx_jw_raw(nx_jw *w, nx_slice json)
{
    before_value(w);
    put(w, json.p, json.n);
}

void nx_jw_kstr(nx_jw *w, const char *key, nx_slice s)
{
    nx_jw_key(w, key);
    nx_jw_str(w, s);
}

void nx_jw_kcstr(nx_jw *w, const char *key, const char *s)
{
    nx_jw_key(w, key);
    nx_jw_cstr(w, s);
}

void nx_jw_ku64(nx_jw *w, const char *key, uint64_t v)
{
    nx_jw_key(w, key);
    nx_jw_u64(w, v);
}

void nx_jw_kbool(nx_jw *w, const char *key, bool v)
{
    nx_jw_key(w, key);
    nx_jw_bool(w, v);
}

void nx_jw_kdouble(nx_jw *w, const char *key, double v)
{
    nx_jw_key(w, key);
    nx_jw_double(w, v);
}
