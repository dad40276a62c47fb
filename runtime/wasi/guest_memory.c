/* wasi/guest_memory.c: the one bounds-checked way to a guest's bytes. */
#include "wasi/world.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "guest memory is little-endian and read as it lies");

uint8_t *nx_rt_mem_at(const nx_rt_call *c, uint64_t ptr, uint64_t n)
{
    static uint8_t nothing;
    if (ptr > c->mem_bytes || n > c->mem_bytes - ptr) return NULL;
    return c->mem ? c->mem + ptr : &nothing;
}

uint16_t nx_rt_get_u16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

uint32_t nx_rt_get_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

uint64_t nx_rt_get_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

void nx_rt_put_u16(uint8_t *p, uint16_t v) { memcpy(p, &v, sizeof v); }
void nx_rt_put_u32(uint8_t *p, uint32_t v) { memcpy(p, &v, sizeof v); }
void nx_rt_put_u64(uint8_t *p, uint64_t v) { memcpy(p, &v, sizeof v); }

bool nx_rt_mem_load_u32(const nx_rt_call *c, uint64_t ptr, uint32_t *ret)
{
    const uint8_t *p = nx_rt_mem_at(c, ptr, 4);
    if (p) *ret = nx_rt_get_u32(p);
    return p != NULL;
}

bool nx_rt_mem_store_u32(const nx_rt_call *c, uint64_t ptr, uint32_t v)
{
    uint8_t *p = nx_rt_mem_at(c, ptr, 4);
    if (p) nx_rt_put_u32(p, v);
    return p != NULL;
}

bool nx_rt_mem_store_u64(const nx_rt_call *c, uint64_t ptr, uint64_t v)
{
    uint8_t *p = nx_rt_mem_at(c, ptr, 8);
    if (p) nx_rt_put_u64(p, v);
    return p != NULL;
}

uint8_t *nx_rt_iov_at(const nx_rt_call *c, uint64_t iovs, uint64_t i, uint32_t *ret_bytes)
{
    uint32_t ptr, n;
    if (!nx_rt_mem_load_u32(c, iovs + 8 * i, &ptr) || !nx_rt_mem_load_u32(c, iovs + 8 * i + 4, &n)) return NULL;
    *ret_bytes = n;
    return nx_rt_mem_at(c, ptr, n);
}

uint8_t nx_rt_iovs_check(const nx_rt_call *c, uint64_t iovs, uint64_t n_iovs, uint64_t *ret_bytes)
{
    uint64_t sum = 0;
    if (n_iovs > NX_RT_IOVS_MAX) return NX_WASI_EINVAL;
    for (uint64_t i = 0; i < n_iovs; i++) {
        uint32_t n;
        if (!nx_rt_iov_at(c, iovs, i, &n)) return NX_WASI_EFAULT;
        sum += n;
    }
    if (sum > UINT32_MAX) return NX_WASI_EINVAL;
    *ret_bytes = sum;
    return NX_WASI_OK;
}
