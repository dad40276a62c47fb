/* bytes.c: see bytes.h. */
#include "bytes.h"

nx_rt_bytes nx_rt_bytes_of(nx_slice s)
{
    static const uint8_t nothing;
    const uint8_t *p = s.p ? (const uint8_t *)s.p : &nothing;
    return (nx_rt_bytes){p, p + s.n, false};
}

void nx_rt_bytes_fail(nx_rt_bytes *b)
{
    b->is_bad = true;
    b->end = b->p;
}

nx_rt_bytes nx_rt_bytes_at(nx_slice s, uint64_t offset)
{
    nx_rt_bytes b = nx_rt_bytes_of(s);
    if (offset >= s.n) nx_rt_bytes_fail(&b);
    else b.p += offset;
    return b;
}

nx_slice nx_rt_bytes_left(const nx_rt_bytes *b) { return nx_slice_make(b->p, (size_t)(b->end - b->p)); }

uint8_t nx_rt_take_byte(nx_rt_bytes *b)
{
    if (b->p < b->end) return *b->p++;
    nx_rt_bytes_fail(b);
    return 0;
}

nx_slice nx_rt_take(nx_rt_bytes *b, uint64_t n)
{
    if (b->is_bad || n > (uint64_t)(b->end - b->p)) {
        nx_rt_bytes_fail(b);
        return NX_SLICE_NULL;
    }
    nx_slice s = nx_slice_make(b->p, (size_t)n);
    b->p += n;
    return s;
}

uint64_t nx_rt_take_le(nx_rt_bytes *b, unsigned n)
{
    uint64_t v = 0;
    nx_slice s = nx_rt_take(b, n);
    for (unsigned i = 0; i < s.n && i < sizeof v; i++) v |= (uint64_t)(uint8_t)s.p[i] << (8 * i);
    return v;
}

uint64_t nx_rt_take_uleb(nx_rt_bytes *b) { return nx_rt_take_uleb_of(b, UINT32_MAX); }

uint64_t nx_rt_take_uleb_of(nx_rt_bytes *b, unsigned bits)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < bits; shift += 7) {
        uint8_t byte = nx_rt_take_byte(b), low = byte & 0x7fu;
        if (bits - shift < 7 && low >> (bits - shift)) break;
        if (shift < 64) v |= (uint64_t)low << shift;
        if (!(byte & 0x80u)) return b->is_bad ? 0 : v;
    }
    nx_rt_bytes_fail(b);
    return 0;
}

int64_t nx_rt_take_sleb(nx_rt_bytes *b)
{
    uint64_t v = 0;
    for (unsigned shift = 0;;) {
        uint8_t byte = nx_rt_take_byte(b);
        if (shift < 64) v |= (uint64_t)(byte & 0x7fu) << shift;
        shift += 7;
        if (byte & 0x80u) continue;
        if (shift < 64 && byte & 0x40u) v |= ~0ull << shift;
        return b->is_bad ? 0 : (int64_t)v;
    }
}

uint32_t nx_rt_take_u32(nx_rt_bytes *b) { return (uint32_t)nx_rt_take_uleb_of(b, 32); }

uint32_t nx_rt_take_count(nx_rt_bytes *b)
{
    uint32_t n = nx_rt_take_u32(b);
    if (n <= (uint64_t)(b->end - b->p)) return n;
    nx_rt_bytes_fail(b);
    return 0;
}

nx_slice nx_rt_take_sized(nx_rt_bytes *b)
{
    uint32_t n = nx_rt_take_u32(b);
    return nx_rt_take(b, n);
}

nx_slice nx_rt_take_cstr(nx_rt_bytes *b)
{
    const uint8_t *nul = b->p < b->end ? memchr(b->p, 0, (size_t)(b->end - b->p)) : NULL;
    if (!nul) {
        nx_rt_bytes_fail(b);
        return NX_SLICE_NULL;
    }
    nx_slice s = nx_slice_make(b->p, (size_t)(nul - b->p));
    b->p = nul + 1;
    return s;
}

nx_rt_bytes nx_rt_sections_of(nx_slice module)
{
    nx_rt_bytes b = nx_rt_bytes_of(module);
    (void)nx_rt_take(&b, NX_RT_HEAD_BYTES);
    return b;
}

bool nx_rt_take_section(nx_rt_bytes *b, uint8_t *ret_id, nx_slice *ret_body)
{
    if (b->p == b->end) return false;
    *ret_id = nx_rt_take_byte(b);
    *ret_body = nx_rt_take_sized(b);
    return !b->is_bad;
}

nx_err nx_rt_put_uleb(nx_buf *out, uint64_t v)
{
    nx_err err;
    do {
        err = nx_buf_append_char(out, (char)((v & 0x7fu) | (v > 0x7fu ? 0x80u : 0)));
        v >>= 7;
    } while (v && !err);
    return err;
}
