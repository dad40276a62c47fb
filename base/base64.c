/* base64.c: RFC 4648. Decoding is strict and canonical: one text for one value, no line breaks, no stray bits. */
#include "nx/digest.h"

size_t nx_base64_encode(nx_slice in, bool url_alphabet_unpadded, char *out)
{
    const char *abc = url_alphabet_unpadded ? "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                                            : "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = (const unsigned char *)in.p;
    size_t n = 0, i = 0;
    for (; in.n - i >= 3; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (uint32_t)p[i + 1] << 8 | p[i + 2];
        out[n++] = abc[v >> 18];
        out[n++] = abc[v >> 12 & 63];
        out[n++] = abc[v >> 6 & 63];
        out[n++] = abc[v & 63];
    }
    size_t rest = in.n - i;
    if (rest) {
        uint32_t v = (uint32_t)p[i] << 16 | (rest == 2 ? (uint32_t)p[i + 1] << 8 : 0);
        out[n++] = abc[v >> 18];
        out[n++] = abc[v >> 12 & 63];
        if (rest == 2) out[n++] = abc[v >> 6 & 63];
        if (!url_alphabet_unpadded)
            for (size_t pad = rest; pad < 3; pad++) out[n++] = '=';
    }
    out[n] = '\0';
    return n;
}

static unsigned sextet(char c)
{
    if (c >= 'A' && c <= 'Z') return (unsigned)(c - 'A');
    if (c >= 'a' && c <= 'z') return (unsigned)(c - 'a') + 26;
    if (c >= '0' && c <= '9') return (unsigned)(c - '0') + 52;
    return c == '+' ? 62 : c == '/' ? 63
                                    : 64;
}

nx_err nx_base64_decode(nx_slice in, nx_slice *ret, char *out, size_t out_bytes)
{
    if (in.n % 4) return NX_EPARSE;
    size_t pad = 0;
    while (pad < 2 && pad < in.n && in.p[in.n - 1 - pad] == '=') pad++;
    size_t digits = in.n - pad, need = in.n / 4 * 3 - pad, n = 0;
    if (need > out_bytes) return NX_ELIMIT;
    uint32_t v = 0;
    for (size_t i = 0; i < digits; i++) {
        unsigned six = sextet(in.p[i]);
        if (six > 63) return NX_EPARSE;
        v = v << 6 | six;
        if (i % 4 == 3) {
            out[n++] = (char)(v >> 16);
            out[n++] = (char)(v >> 8);
            out[n++] = (char)v;
            v = 0;
        }
    }
    if (pad == 1) { /* three digits: 18 bits, 16 used */
        if (v & 3) return NX_EPARSE;
        out[n++] = (char)(v >> 10);
        out[n++] = (char)(v >> 2);
    } else if (pad == 2) { /* two digits: 12 bits, 8 used */
        if (v & 15) return NX_EPARSE;
        out[n++] = (char)(v >> 4);
    }
    *ret = nx_slice_make(out, n);
    return NX_OK;
}
