/* event_header.c: attribute values as header values (CloudEvents HTTP binding 3.1.3.2, which the NATS binding shares). */
#include "nx/event.h"

static bool stays(unsigned char c) { return c > 0x20 && c < 0x7f && c != '"' && c != '%'; }

nx_err nx_event_header_encode(nx_slice value, nx_buf *out)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t before = out->n, i = 0;
    nx_err err = NX_OK;
    while (!err && i < value.n) {
        size_t run = i;
        while (i < value.n && stays((unsigned char)value.p[i])) i++;
        err = nx_buf_append(out, value.p + run, i - run);
        if (err || i == value.n) break;
        unsigned char c = (unsigned char)value.p[i++];
        char esc[3] = {'%', digits[c >> 4], digits[c & 15]};
        err = nx_buf_append(out, esc, sizeof esc);
    }
    if (err) out->n = before;
    return err;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

nx_err nx_event_header_decode(nx_slice value, nx_arena *a, nx_slice *ret)
{
    nx_slice v = nx_slice_trim(value);
    /* Senders of older versions of the binding quote: the quotes go, and a backslash makes the next character plain. */
    bool is_quoted = v.n >= 2 && v.p[0] == '"' && v.p[v.n - 1] == '"';
    if (is_quoted) v = nx_slice_sub(v, 1, v.n - 2);
    char *p = nx_arena_alloc(a, v.n + 1);
    if (!p) return NX_ENOMEM;
    size_t n = 0;
    for (size_t i = 0; i < v.n; i++) {
        char c = v.p[i];
        if (c == '\\' && is_quoted && i + 1 < v.n) {
            c = v.p[++i];
        } else if (c == '%') {
            int hi = v.n - i > 2 ? hex_value(v.p[i + 1]) : -1, lo = hi >= 0 ? hex_value(v.p[i + 2]) : -1;
            if (hi < 0 || lo < 0) return NX_EPARSE;
            c = (char)(hi << 4 | lo);
            i += 2;
        }
        p[n++] = c;
    }
    p[n] = '\0';
    if (!nx_slice_is_utf8(nx_slice_make(p, n))) return NX_EPARSE;
    *ret = nx_slice_make(p, n);
    return NX_OK;
}
