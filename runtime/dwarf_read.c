/* dwarf_read.c: see dwarf_read.h. */
#include "dwarf_read.h"

nx_rt_dw nx_rt_dw_at(nx_slice section, uint64_t offset)
{
    static const uint8_t nothing;
    const uint8_t *p = section.p ? (const uint8_t *)section.p : &nothing, *end = p + section.n;
    bool is_bad = offset >= section.n;
    return (nx_rt_dw){is_bad ? end : p + offset, end, is_bad};
}

uint64_t nx_rt_dw_get(nx_rt_dw *c, unsigned n)
{
    uint64_t v = 0;
    if (n > (size_t)(c->end - c->p)) {
        c->is_bad = true;
        c->p = c->end;
        return 0;
    }
    for (unsigned i = 0; i < n && i < 8; i++) v |= (uint64_t)c->p[i] << (8 * i);
    c->p += n;
    return v;
}

uint64_t nx_rt_dw_uleb(nx_rt_dw *c)
{
    uint64_t v = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t b = (uint8_t)nx_rt_dw_get(c, 1);
        if (shift < 64) v |= (uint64_t)(b & 0x7fu) << shift;
        if (!(b & 0x80u)) return c->is_bad ? 0 : v;
    }
}

int64_t nx_rt_dw_sleb(nx_rt_dw *c)
{
    uint64_t v = 0;
    for (unsigned shift = 0;;) {
        uint8_t b = (uint8_t)nx_rt_dw_get(c, 1);
        if (shift < 64) v |= (uint64_t)(b & 0x7fu) << shift;
        shift += 7;
        if (b & 0x80u) continue;
        if (shift < 64 && b & 0x40u) v |= ~0ull << shift;
        return c->is_bad ? 0 : (int64_t)v;
    }
}

nx_slice nx_rt_dw_cstr(nx_rt_dw *c)
{
    const uint8_t *nul = c->p < c->end ? memchr(c->p, 0, (size_t)(c->end - c->p)) : NULL;
    if (!nul) {
        c->is_bad = true;
        c->p = c->end;
        return NX_SLICE_NULL;
    }
    nx_slice s = nx_slice_make(c->p, (size_t)(nul - c->p));
    c->p = nul + 1;
    return s;
}

void nx_rt_dw_skip(nx_rt_dw *c, uint64_t n)
{
    if (n > (size_t)(c->end - c->p)) {
        c->is_bad = true;
        n = (uint64_t)(c->end - c->p);
    }
    c->p += n;
}

nx_slice nx_rt_dw_cstr_at(nx_slice table, uint64_t offset)
{
    nx_rt_dw c = nx_rt_dw_at(table, offset);
    return c.is_bad ? NX_SLICE_NULL : nx_rt_dw_cstr(&c);
}
