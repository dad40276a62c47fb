/* wasi/calls_trace.c: the host-call trace: one entry a call, hashed whole, kept up to the attempt's bound.
 * Entry: length of the entry (2 bytes, little-endian), row of the function, errno (0xff: the call did not return), number of values, values
 * (uvarint), and where the call moved bytes: their number (uvarint) and the first 48. Addresses are left out: another build of the same
 * program has others. */
#include "nx/rt.h"
#include "wasi/table.h"

#define HEAD_BYTES 5u
#define VALUES_MAX 8u
#define UVARINT_MAX 10u
#define ENTRY_MAX (HEAD_BYTES + (VALUES_MAX + 1) * UVARINT_MAX + sizeof(((nx_rt_world *)0)->blob))

static size_t put_uvarint(uint8_t *p, uint64_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    return n;
}

/* Past what is kept, a call leaves so much that another one is told from it. Runs of few calls never come here. */
static uint32_t mark_of(const uint8_t *p, size_t n)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 16777619u;
    return h;
}

static void mark(nx_outcome *o, const uint8_t *p, size_t n)
{
    uint8_t bytes[NX_RT_CALL_MARK_BYTES];
    if (o->call_marks.n == o->call_marks.max) return;
    nx_rt_put_u32(bytes, mark_of(p, n));
    (void)nx_buf_append(&o->call_marks, bytes, sizeof bytes);
}

/* Hashes and keeps what the scratch holds. */
static void flush(nx_rt_world *w)
{
    nx_rt_scratch *s = w->scratch;
    nx_outcome *o = &w->attempt->out;
    nx_sha256_ctx_add(s->calls_sha, s->trace, s->trace_n);
    for (size_t at = 0; at < s->trace_n;) { /* whole entries only */
        size_t n = nx_rt_get_u16(s->trace + at);
        if (!w->is_calls_cut) w->is_calls_cut = n > o->calls.max - o->calls.n || nx_buf_append(&o->calls, s->trace + at, n) != NX_OK;
        if (w->is_calls_cut) mark(o, s->trace + at, n);
        at += n;
    }
    s->trace_n = 0;
}

void nx_rt_trace_begin(nx_rt_world *w, uint8_t function)
{
    nx_rt_scratch *s = w->scratch;
    if (sizeof s->trace - s->trace_n < ENTRY_MAX) {
        if (!w->is_calls_hashed) nx_sha256_ctx_begin(s->calls_sha);
        w->is_calls_hashed = true;
        flush(w);
    }
    w->entry = s->trace_n;
    w->blob_bytes = 0;
    w->blob_kept = 0;
    s->trace[w->entry + 2] = function;
    s->trace[w->entry + 4] = 0;
    s->trace_n += HEAD_BYTES;
}

void nx_rt_trace_value(nx_rt_world *w, uint64_t v)
{
    nx_rt_scratch *s = w->scratch;
    if (s->trace[w->entry + 4] == VALUES_MAX) return;
    s->trace[w->entry + 4]++;
    s->trace_n += put_uvarint(s->trace + s->trace_n, v);
}

void nx_rt_trace_bytes(nx_rt_world *w, const void *p, size_t n)
{
    size_t room = sizeof w->blob - w->blob_kept, take = n < room ? n : room;
    if (take) memcpy(w->blob + w->blob_kept, p, take); /* of nothing, p may be NULL */
    w->blob_kept += (unsigned)take;
    w->blob_bytes += n;
}

void nx_rt_trace_hidden(nx_rt_world *w, size_t n) { w->blob_bytes += n; }

void nx_rt_trace_end(nx_rt_world *w, uint8_t wasi_errno)
{
    nx_rt_scratch *s = w->scratch;
    if (w->blob_bytes) {
        s->trace_n += put_uvarint(s->trace + s->trace_n, w->blob_bytes);
        memcpy(s->trace + s->trace_n, w->blob, w->blob_kept);
        s->trace_n += w->blob_kept;
    }
    s->trace[w->entry + 3] = wasi_errno;
    nx_rt_put_u16(s->trace + w->entry, (uint16_t)(s->trace_n - w->entry));
    w->attempt->out.n_calls++;
}

void nx_rt_trace_finish(nx_rt_world *w)
{
    nx_rt_scratch *s = w->scratch;
    nx_outcome *o = &w->attempt->out;
    if (w->is_calls_hashed) {
        flush(w);
        o->calls_sha256 = nx_sha256_ctx_end(s->calls_sha);
        return;
    }
    /* The usual run: everything is still in the scratch. */
    o->calls_sha256 = nx_sha256_of(nx_slice_make(s->trace, s->trace_n));
    size_t keep = 0;
    while (keep < s->trace_n && keep + nx_rt_get_u16(s->trace + keep) <= o->calls.max) keep += nx_rt_get_u16(s->trace + keep);
    if (keep) (void)nx_buf_append(&o->calls, s->trace, keep);
    for (size_t n; keep < s->trace_n; keep += n) {
        n = nx_rt_get_u16(s->trace + keep);
        mark(o, s->trace + keep, n);
    }
    s->trace_n = 0;
}

/* ---- reading */

typedef struct entry {
    unsigned function, wasi_errno, n_values;
    uint64_t values[VALUES_MAX];
    uint64_t blob_bytes;
    nx_slice blob;
} entry;

static bool get_uvarint(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && *p < end; shift += 7) {
        uint8_t b = *(*p)++;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) {
            *ret = v;
            return true;
        }
    }
    return false;
}

/* The bytes of the entry at the front of *rest, which moves on; NX_ECORRUPT. */
static nx_err next_entry(nx_slice *rest, nx_slice *ret)
{
    if (rest->n < HEAD_BYTES) return NX_ECORRUPT;
    size_t n = nx_rt_get_u16((const uint8_t *)rest->p);
    if (n < HEAD_BYTES || n > rest->n) return NX_ECORRUPT;
    *ret = nx_slice_make(rest->p, n);
    *rest = nx_slice_make(rest->p + n, rest->n - n);
    return NX_OK;
}

static nx_err read_entry(nx_slice bytes, entry *e)
{
    const uint8_t *p = (const uint8_t *)bytes.p, *end = p + bytes.n;
    *e = (entry){.function = p[2], .wasi_errno = p[3], .n_values = p[4]};
    p += HEAD_BYTES;
    if (e->n_values > VALUES_MAX || e->function >= nx_rt_wasi_n_fns) return NX_ECORRUPT;
    for (unsigned i = 0; i < e->n_values; i++)
        if (!get_uvarint(&p, end, &e->values[i])) return NX_ECORRUPT;
    if (p < end && !get_uvarint(&p, end, &e->blob_bytes)) return NX_ECORRUPT;
    e->blob = nx_slice_make(p, (size_t)(end - p));
    return NX_OK;
}

static nx_err quote(const entry *e, nx_buf *out)
{
    nx_err err = nx_buf_append_char(out, '"');
    for (size_t i = 0; i < e->blob.n && !err; i++) {
        unsigned char ch = (unsigned char)e->blob.p[i];
        if (ch == '"' || ch == '\\') err = nx_buf_printf(out, "\\%c", ch);
        else if (ch >= ' ' && ch < 0x7f) err = nx_buf_append_char(out, (char)ch);
        else if (ch == '\n') err = nx_buf_append_cstr(out, "\\n");
        else err = nx_buf_printf(out, "\\x%02x", ch);
    }
    if (!err) err = nx_buf_append_char(out, '"');
    if (!err && e->blob_bytes > e->blob.n) err = nx_buf_printf(out, "… (%llu bytes)", (unsigned long long)e->blob_bytes);
    return err;
}

/* One '%' item of a row's text; *t points behind the '%' and moves on. */
static nx_err item_text(const entry *e, const char **t, nx_buf *out)
{
    if (**t == 'b') {
        (*t)++;
        return quote(e, out);
    }
    char form = **t;
    if (form == 'c' || form == 'x') (*t)++;
    unsigned i = (unsigned)(*(*t)++ - '0');
    if (i >= e->n_values) return nx_buf_append_char(out, '?');
    if (form == 'x') return nx_buf_printf(out, "%016llx", (unsigned long long)e->values[i]);
    return form == 'c' ? nx_buf_append_cstr(out, nx_rt_clock_name(e->values[i])) : nx_buf_append_u64(out, e->values[i]);
}

static const char *errno_name(const nx_rt_wasi_fn *fn, unsigned wasi_errno)
{
    bool is_effect = wasi_errno != NX_WASI_END && strcmp(fn->module, NX_RT_NEXUS_MODULE) == 0;
    return is_effect ? nx_effect_status_name((nx_effect_status)wasi_errno) : nx_rt_wasi_errno_name(wasi_errno);
}

static nx_err entry_text(const entry *e, nx_buf *out)
{
    const nx_rt_wasi_fn *fn = &nx_rt_wasi_fns[e->function];
    nx_err err = nx_buf_append_cstr(out, fn->name);
    bool is_ok = e->wasi_errno == NX_WASI_OK;
    for (const char *t = fn->text; *t && !err;) {
        if (!is_ok && strncmp(t, " -> ", 4) == 0) break;
        if (*t == '%') {
            t++;
            err = item_text(e, &t, out);
        } else {
            err = nx_buf_append_char(out, *t++);
        }
    }
    if (!err && !is_ok && fn->has_result) err = nx_buf_printf(out, " -> %s", errno_name(fn, e->wasi_errno));
    return err;
}

/* One side at one call. */
typedef struct place {
    bool is_there; /* there is such a call */
    bool has_mark;
    uint32_t mark;
    nx_slice entry; /* empty: not kept */
} place;

/* Moves on by one call. */
static nx_err next_place(nx_rt_trace *t, place *ret)
{
    *ret = (place){.is_there = t->n > 0};
    if (t->n) t->n--;
    if (t->calls.n) {
        nx_err err = next_entry(&t->calls, &ret->entry);
        if (err) return err;
        ret->is_there = ret->has_mark = true;
        ret->mark = mark_of((const uint8_t *)ret->entry.p, ret->entry.n);
    } else if (ret->is_there && t->marks.n >= NX_RT_CALL_MARK_BYTES) {
        ret->has_mark = true;
        ret->mark = nx_rt_get_u32((const uint8_t *)t->marks.p);
        t->marks = nx_slice_sub(t->marks, NX_RT_CALL_MARK_BYTES, t->marks.n - NX_RT_CALL_MARK_BYTES);
    }
    return NX_OK;
}

static nx_err side_text(const place *at, nx_buf *out)
{
    entry e;
    if (!at->entry.n) return nx_buf_append_cstr(out, at->is_there ? NX_RT_CALL_NOT_KEPT : NX_RT_NO_FURTHER_CALL);
    nx_err err = read_entry(at->entry, &e);
    return err ? err : entry_text(&e, out);
}

/* Whether they are the same call; *ret_is_known false: too little is kept to say. */
static bool same_place(const place *a, const place *b, bool *ret_is_known)
{
    *ret_is_known = a->is_there != b->is_there || (a->has_mark && b->has_mark);
    if (a->is_there != b->is_there) return false;
    return a->entry.n && b->entry.n ? nx_slice_eq(a->entry, b->entry) : a->mark == b->mark;
}

static bool is_environ(const place *at)
{
    entry e;
    return at->entry.n && read_entry(at->entry, &e) == NX_OK && nx_rt_wasi_fns[e.function].handle == nx_rt_wasi_environ_sizes_get;
}

nx_err nx_rt_calls_first_difference(const nx_rt_trace *a, const nx_rt_trace *b, bool any_environ, int64_t *ret_index, nx_buf *ret_text_a, nx_buf *ret_text_b)
{
    nx_rt_trace left = *a, right = *b;
    *ret_index = -1;
    for (int64_t i = 0; left.n || left.calls.n || right.n || right.calls.n; i++) {
        place x, y;
        bool is_known;
        nx_err err = next_place(&left, &x);
        if (!err) err = next_place(&right, &y);
        if (err) return err;
        if (same_place(&x, &y, &is_known) && is_known) continue;
        if (!is_known) return NX_OK;
        if (any_environ && is_environ(&x) && is_environ(&y)) continue;
        err = side_text(&x, ret_text_a);
        if (!err) err = side_text(&y, ret_text_b);
        if (!err) *ret_index = i;
        return err;
    }
    return NX_OK;
}
