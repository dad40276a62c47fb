/* trace.c: W3C Trace Context, level 1 (sections 3.2 and 3.3). */
#include "nx/trace.h"
#include "nx/digest.h"

#define FLAG_SAMPLED 1u

static void put_hex(const uint8_t *in, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15u];
    }
    out[2 * n] = '\0';
}

/* All-zero ids are invalid in the specification, so they are never made. */
static void random_id(char *out, size_t n)
{
    uint8_t b[16];
    nx_random(b, n);
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++) any |= b[i];
    if (!any) b[n - 1] = 1;
    put_hex(b, n, out);
}

void nx_trace_new(nx_trace *t)
{
    random_id(t->trace_id, NX_TRACE_ID_HEX / 2);
    random_id(t->span_id, NX_SPAN_ID_HEX / 2);
    t->flags = FLAG_SAMPLED;
}

void nx_trace_child(const nx_trace *parent, nx_trace *ret)
{
    nx_trace t = *parent;
    random_id(t.span_id, NX_SPAN_ID_HEX / 2);
    *ret = t;
}

static int hex(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                                                                      : -1; }

static bool copy_id(const char *from, size_t n, char *to)
{
    bool is_zero = true;
    for (size_t i = 0; i < n; i++) {
        if (hex(from[i]) < 0) return false;
        if (from[i] != '0') is_zero = false;
        to[i] = from[i];
    }
    to[n] = '\0';
    return !is_zero;
}

nx_err nx_trace_parse(nx_slice traceparent, nx_trace *ret)
{
    nx_slice s = nx_slice_trim(traceparent);
    if (s.n < NX_TRACEPARENT_LEN || s.p[2] != '-' || s.p[35] != '-' || s.p[52] != '-') return NX_EPARSE;
    int v1 = hex(s.p[0]), v0 = hex(s.p[1]), f1 = hex(s.p[53]), f0 = hex(s.p[54]);
    if (v1 < 0 || v0 < 0 || f1 < 0 || f0 < 0) return NX_EPARSE;
    int version = v1 << 4 | v0;
    if (version == 0xff) return NX_EPARSE;
    /* A later version may be longer, behind another dash; version 00 may not. */
    if (s.n > NX_TRACEPARENT_LEN && (version == 0 || s.p[NX_TRACEPARENT_LEN] != '-')) return NX_EPARSE;
    nx_trace t;
    if (!copy_id(s.p + 3, NX_TRACE_ID_HEX, t.trace_id) || !copy_id(s.p + 36, NX_SPAN_ID_HEX, t.span_id)) return NX_EPARSE;
    t.flags = (uint8_t)(f0 & (int)FLAG_SAMPLED); /* flags that this level does not know are not passed on */
    *ret = t;
    return NX_OK;
}

size_t nx_trace_format(const nx_trace *t, char out[NX_TRACEPARENT_LEN + 1])
{
    out[0] = out[1] = '0';
    out[2] = '-';
    memcpy(out + 3, t->trace_id, NX_TRACE_ID_HEX);
    out[35] = '-';
    memcpy(out + 36, t->span_id, NX_SPAN_ID_HEX);
    out[52] = '-';
    put_hex(&t->flags, 1, out + 53);
    return NX_TRACEPARENT_LEN;
}

static bool is_key_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '*' || c == '/';
}

static bool is_key(nx_slice k)
{
    nx_slice system, tenant = nx_slice_split(k, '@', &system);
    bool has_at = tenant.n != k.n;
    if (has_at && (tenant.n == 0 || tenant.n > 241 || system.n == 0 || system.n > 14 || system.p[0] < 'a' || system.p[0] > 'z')) return false;
    if (!has_at && (k.n == 0 || k.n > 256 || k.p[0] < 'a' || k.p[0] > 'z')) return false;
    if (has_at && !((tenant.p[0] >= 'a' && tenant.p[0] <= 'z') || (tenant.p[0] >= '0' && tenant.p[0] <= '9'))) return false;
    for (size_t i = 0; i < k.n; i++)
        if (!is_key_char(k.p[i]) && !(has_at && i == tenant.n)) return false;
    return true;
}

static bool is_value(nx_slice v)
{
    if (v.n == 0 || v.n > 256) return false;
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] < 0x20 || v.p[i] > 0x7e || v.p[i] == ',' || v.p[i] == '=') return false;
    return v.p[v.n - 1] != ' ';
}

bool nx_tracestate_is_valid(nx_slice tracestate)
{
    nx_slice keys[32];
    size_t n_keys = 0;
    if (tracestate.n > NX_TRACESTATE_MAX) return false;
    nx_slice rest = tracestate;
    while (rest.n) {
        nx_slice value, member = nx_slice_trim(nx_slice_split(rest, ',', &rest));
        if (member.n == 0) continue; /* empty list members are allowed */
        nx_slice key = nx_slice_split(member, '=', &value);
        if (key.n == member.n || !is_key(key) || !is_value(value) || n_keys == NX_ARRAY_LEN(keys)) return false;
        for (size_t i = 0; i < n_keys; i++)
            if (nx_slice_eq(keys[i], key)) return false;
        keys[n_keys++] = key;
    }
    return true;
}
