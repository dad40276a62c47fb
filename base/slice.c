/* slice.c: looking at lent bytes. */
#include "nx/slice.h"

#include <stdlib.h>

static unsigned char lower(unsigned char c) { return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20u) : c; }

bool nx_slice_ieq(nx_slice a, nx_slice b)
{
    if (a.n != b.n) return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower((unsigned char)a.p[i]) != lower((unsigned char)b.p[i])) return false;
    return true;
}

bool nx_slice_starts(nx_slice s, nx_slice prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool nx_slice_ends(nx_slice s, nx_slice suffix)
{
    return s.n >= suffix.n && (suffix.n == 0 || memcmp(s.p + (s.n - suffix.n), suffix.p, suffix.n) == 0);
}

nx_slice nx_slice_trim(nx_slice s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) s.n--;
    return s;
}

nx_slice nx_slice_sub(nx_slice s, size_t from, size_t n)
{
    if (from > s.n) from = s.n;
    if (n > s.n - from) n = s.n - from;
    return nx_slice_make(s.p ? s.p + from : NULL, n);
}

nx_slice nx_slice_split(nx_slice s, char sep, nx_slice *rest)
{
    const char *at = s.n ? memchr(s.p, sep, s.n) : NULL;
    if (!at) {
        *rest = nx_slice_make(s.p ? s.p + s.n : NULL, 0);
        return s;
    }
    size_t n = (size_t)(at - s.p);
    *rest = nx_slice_make(at + 1, s.n - n - 1);
    return nx_slice_make(s.p, n);
}

nx_err nx_slice_u64(nx_slice s, uint64_t max, uint64_t *ret)
{
    if (s.n == 0) return NX_EPARSE;
    uint64_t v = 0;
    bool is_over = false; /* the whole text is read first: "99x" is not a number, however large */
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return NX_EPARSE;
        if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v)) is_over = true;
    }
    if (is_over || v > max) return NX_ELIMIT;
    *ret = v;
    return NX_OK;
}

/* Bytes of the well-formed sequence at p (RFC 3629 section 4 table), 0 when there is none. */
static size_t utf8_len(const unsigned char *p, size_t n)
{
    unsigned char c = p[0];
    if (c < 0x80u) return 1;
    if (c < 0xC2u) return 0;
    if (c < 0xE0u) return n >= 2 && (p[1] & 0xC0u) == 0x80u ? 2 : 0;
    if (c < 0xF0u) {
        if (n < 3 || (p[1] & 0xC0u) != 0x80u || (p[2] & 0xC0u) != 0x80u) return 0;
        if (c == 0xE0u && p[1] < 0xA0u) return 0;
        if (c == 0xEDu && p[1] > 0x9Fu) return 0;
        return 3;
    }
    if (c > 0xF4u || n < 4) return 0;
    if ((p[1] & 0xC0u) != 0x80u || (p[2] & 0xC0u) != 0x80u || (p[3] & 0xC0u) != 0x80u) return 0;
    if (c == 0xF0u && p[1] < 0x90u) return 0;
    if (c == 0xF4u && p[1] > 0x8Fu) return 0;
    return 4;
}

size_t nx_utf8_len(nx_slice s) { return s.n ? utf8_len((const unsigned char *)s.p, s.n) : 0; }

bool nx_slice_is_utf8(nx_slice s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t i = 0;
    while (i < s.n) {
        uint64_t word;
        while (s.n - i >= sizeof word) { /* most payloads are ASCII: eight bytes at a time */
            memcpy(&word, p + i, sizeof word);
            if (word & 0x8080808080808080ull) break;
            i += sizeof word;
        }
        if (i == s.n) break;
        size_t k = utf8_len(p + i, s.n - i);
        if (k == 0) return false;
        i += k;
    }
    return true;
}

nx_err nx_slice_to_cstr(nx_slice s, char *dst, size_t dst_bytes)
{
    if (s.n >= dst_bytes || (s.n && memchr(s.p, '\0', s.n))) return NX_ELIMIT;
    if (s.n) memcpy(dst, s.p, s.n);
    dst[s.n] = '\0';
    return NX_OK;
}

char *nx_slice_strdup(nx_slice s)
{
    if (s.n == SIZE_MAX) return NULL;
    char *p = malloc(s.n + 1);
    if (!p) return NULL;
    if (s.n) memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return p;
}
