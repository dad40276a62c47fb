/* json_scan.c: strict RFC 8259 scanning without recursion and without allocation. */
#include "json_scan.h"
#include "nx/json.h"

void nx_json_scan_ws(nx_json_scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t')) s->p++;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* p at a backslash. */
static nx_err scan_escape(nx_json_scan *s)
{
    if (s->end - s->p < 2) return NX_EPARSE;
    switch (s->p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        s->p += 2;
        return NX_OK;
    case 'u':
        if (s->end - s->p < 6) return NX_EPARSE;
        for (int i = 2; i < 6; i++)
            if (hex_value(s->p[i]) < 0) return NX_EPARSE;
        s->p += 6;
        return NX_OK;
    default:
        return NX_EPARSE;
    }
}

/* Moves p over bytes that need no look: eight at a time while none is a control, a quote, a backslash or outside ASCII. A byte that only
 * seems to be one of them (a borrow of its neighbour) merely ends the fast loop early. */
static void skip_plain(nx_json_scan *s)
{
    const uint64_t ones = 0x0101010101010101ull, tops = 0x8080808080808080ull;
    while (s->end - s->p >= 8) {
        uint64_t w, quote, slash;
        memcpy(&w, s->p, 8);
        quote = w ^ (ones * '"');
        slash = w ^ (ones * '\\');
        if ((w | (w - ones * 0x20) | (quote - ones) | (slash - ones)) & tops) break;
        s->p += 8;
    }
}

/* p at the opening quote. */
static nx_err scan_string(nx_json_scan *s)
{
    if (s->p == s->end || *s->p != '"') return NX_EPARSE;
    s->p++;
    for (;;) {
        skip_plain(s);
        if (s->p == s->end) return NX_EPARSE;
        unsigned char c = (unsigned char)*s->p;
        if (c == '"') {
            s->p++;
            return NX_OK;
        }
        if (c < 0x20) return NX_EPARSE;
        if (c == '\\') {
            nx_err err = scan_escape(s);
            if (err) return err;
        } else if (c < 0x80) {
            s->p++;
        } else {
            size_t k = nx_utf8_len(nx_slice_make(s->p, (size_t)(s->end - s->p)));
            if (k == 0) return NX_EPARSE;
            s->p += k;
        }
    }
}

static bool scan_digits(nx_json_scan *s)
{
    const char *from = s->p;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9') s->p++;
    return s->p > from;
}

static nx_err scan_number(nx_json_scan *s)
{
    if (*s->p == '-') s->p++;
    if (s->p < s->end && *s->p == '0') s->p++;
    else if (!scan_digits(s)) return NX_EPARSE;
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        if (!scan_digits(s)) return NX_EPARSE;
    }
    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
        s->p++;
        if (s->p < s->end && (*s->p == '+' || *s->p == '-')) s->p++;
        if (!scan_digits(s)) return NX_EPARSE;
    }
    return NX_OK;
}

static nx_err scan_scalar(nx_json_scan *s)
{
    static const nx_slice words[] = {{"true", 4}, {"false", 5}, {"null", 4}};
    char c = *s->p;
    if (c == '"') return scan_string(s);
    if (c == '-' || (c >= '0' && c <= '9')) return scan_number(s);
    for (size_t i = 0; i < NX_ARRAY_LEN(words); i++)
        if (nx_slice_starts(nx_slice_make(s->p, (size_t)(s->end - s->p)), words[i])) {
            s->p += words[i].n;
            return NX_OK;
        }
    return NX_EPARSE;
}

/* `"key" :` and the white space around it. */
static nx_err scan_key(nx_json_scan *s)
{
    nx_err err = scan_string(s);
    if (err) return err;
    nx_json_scan_ws(s);
    if (s->p == s->end || *s->p != ':') return NX_EPARSE;
    s->p++;
    nx_json_scan_ws(s);
    return NX_OK;
}

nx_err nx_json_scan_value(nx_json_scan *s)
{
    uint64_t is_object = 0; /* a stack of bits: 1 object, 0 array; the lowest is the innermost */
    unsigned depth = 0;
    nx_err err;
    for (;;) {
        if (s->p == s->end) return NX_EPARSE;
        if (*s->p == '{' || *s->p == '[') {
            bool opens_object = *s->p == '{';
            if (depth == NX_JSON_DEPTH_MAX) return NX_ELIMIT;
            depth++;
            is_object = is_object << 1 | (opens_object ? 1u : 0u);
            s->p++;
            nx_json_scan_ws(s);
            if (s->p == s->end) return NX_EPARSE;
            if (*s->p != (opens_object ? '}' : ']')) { /* not empty: a member or an item comes */
                if (opens_object && (err = scan_key(s)) != NX_OK) return err;
                continue;
            }
        } else if ((err = scan_scalar(s)) != NX_OK) {
            return err;
        }
        for (;;) { /* behind a value: close what ends here, up to the next comma */
            if (depth == 0) return NX_OK;
            nx_json_scan_ws(s);
            if (s->p == s->end) return NX_EPARSE;
            if (*s->p == ',') break;
            if (*s->p != ((is_object & 1) ? '}' : ']')) return NX_EPARSE;
            s->p++;
            is_object >>= 1;
            depth--;
        }
        s->p++;
        nx_json_scan_ws(s);
        if ((is_object & 1) && (err = scan_key(s)) != NX_OK) return err;
    }
}

nx_err nx_json_scan_document(nx_json_scan *s)
{
    nx_json_scan_ws(s);
    nx_err err = nx_json_scan_value(s);
    if (err) return err;
    nx_json_scan_ws(s);
    return s->p == s->end ? NX_OK : NX_EPARSE;
}

nx_err nx_json_scan_object(nx_json_scan *s)
{
    nx_json_scan_ws(s);
    if (s->p == s->end || *s->p != '{') return NX_EPARSE;
    s->p++;
    return NX_OK;
}

nx_err nx_json_scan_member(nx_json_scan *s, bool *is_first, nx_slice *ret_key, nx_slice *ret_value)
{
    nx_json_scan_ws(s);
    if (s->p == s->end) return NX_EPARSE;
    if (*s->p == '}') {
        s->p++;
        nx_json_scan_ws(s);
        *ret_key = NX_SLICE_NULL;
        return s->p == s->end ? NX_OK : NX_EPARSE;
    }
    if (!*is_first) {
        if (*s->p != ',') return NX_EPARSE;
        s->p++;
        nx_json_scan_ws(s);
    }
    *is_first = false;
    const char *key = s->p + 1;
    nx_json_scan k = *s;
    nx_err err = scan_string(&k);
    size_t key_n = err ? 0 : (size_t)(k.p - key) - 1;
    err = scan_key(s);
    if (err) return err;
    const char *value = s->p;
    err = nx_json_scan_value(s);
    if (err) return err;
    *ret_key = nx_slice_make(key, key_n);
    *ret_value = nx_slice_make(value, (size_t)(s->p - value));
    return NX_OK;
}

static unsigned hex4(const char *p)
{
    unsigned v = 0;
    for (int i = 0; i < 4; i++) v = v << 4 | (unsigned)hex_value(p[i]);
    return v;
}

static size_t put_utf8(uint32_t c, char *dst)
{
    if (c < 0x80) {
        dst[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        dst[0] = (char)(0xC0 | c >> 6);
        dst[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        dst[0] = (char)(0xE0 | c >> 12);
        dst[1] = (char)(0x80 | (c >> 6 & 63));
        dst[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    dst[0] = (char)(0xF0 | c >> 18);
    dst[1] = (char)(0x80 | (c >> 12 & 63));
    dst[2] = (char)(0x80 | (c >> 6 & 63));
    dst[3] = (char)(0x80 | (c & 63));
    return 4;
}

nx_err nx_json_unescape(nx_slice raw, char *dst, size_t *ret_n)
{
    size_t n = 0, i = 0;
    while (i < raw.n) {
        const char *slash = memchr(raw.p + i, '\\', raw.n - i);
        size_t run = slash ? (size_t)(slash - raw.p) - i : raw.n - i;
        memcpy(dst + n, raw.p + i, run);
        n += run;
        i += run;
        if (!slash) break;
        char c = raw.p[i + 1];
        i += 2;
        if (c != 'u') {
            static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
            const char *at = strchr(from, c);
            dst[n++] = at ? to[at - from] : c;
            continue;
        }
        uint32_t code = hex4(raw.p + i);
        i += 4;
        if (code >= 0xDC00 && code <= 0xDFFF) return NX_EPARSE;
        if (code >= 0xD800 && code <= 0xDBFF) {
            if (raw.n - i < 6 || raw.p[i] != '\\' || raw.p[i + 1] != 'u') return NX_EPARSE;
            uint32_t low = hex4(raw.p + i + 2);
            if (low < 0xDC00 || low > 0xDFFF) return NX_EPARSE;
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
            i += 6;
        }
        n += put_utf8(code, dst + n);
    }
    *ret_n = n;
    return NX_OK;
}

/* Whether a raw key means `key`; a key may be spelt with escapes. Six bytes of text are the most that one byte takes. */
static bool key_is(nx_slice raw, nx_slice key)
{
    if (!raw.n || !memchr(raw.p, '\\', raw.n)) return nx_slice_eq(raw, key);
    char tmp[768];
    size_t n;
    if (raw.n > sizeof tmp || raw.n > key.n * 6) return false;
    return nx_json_unescape(raw, tmp, &n) == NX_OK && nx_slice_eq(nx_slice_make(tmp, n), key);
}

nx_err nx_json_member_bytes(nx_slice text, nx_slice key, nx_slice *ret)
{
    nx_json_scan s = {text.p, text.p ? text.p + text.n : NULL};
    nx_slice found = NX_SLICE_NULL, k, v;
    bool is_first = true;
    nx_err err = nx_json_scan_object(&s);
    if (err) return err;
    for (;;) {
        err = nx_json_scan_member(&s, &is_first, &k, &v);
        if (err) return err;
        if (!k.p) break;
        if (!key_is(k, key)) continue;
        if (found.p) return NX_EPARSE; /* two members of one name: which is meant is anybody's guess */
        found = v;
    }
    if (!found.p) return NX_ENOENT;
    *ret = found;
    return NX_OK;
}
