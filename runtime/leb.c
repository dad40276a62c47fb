/* leb.c: see leb.h. */
#include "leb.h"

bool nx_rt_leb_take(nx_slice *s, uint32_t *ret)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < NX_RT_LEB_BYTES && i < s->n; i++) {
        uint8_t b = (uint8_t)s->p[i];
        v |= (uint64_t)(b & 0x7fu) << (7 * i);
        if (b & 0x80u) continue;
        if (v > UINT32_MAX) return false;
        *s = nx_slice_sub(*s, i + 1, s->n);
        *ret = (uint32_t)v;
        return true;
    }
    return false;
}

nx_err nx_rt_leb_put(nx_buf *out, size_t v)
{
    nx_err err = NX_OK;
    do {
        char b = (char)((v & 0x7fu) | (v > 0x7fu ? 0x80u : 0));
        err = nx_buf_append_char(out, b);
        v >>= 7;
    } while (v && !err);
    return err;
}
