#include "target.h"

#include <arpa/inet.h>

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool starts_with_no_case(nx_slice s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.n >= n && nx_slice_ieq(nx_slice_sub(s, 0, n), nx_slice_make(prefix, n));
}

/* The parser lets bytes through that RFC 3986 keeps out of a target; a fragment never belongs into one. */
static bool target_chars_are_valid(nx_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= 0x20 || c >= 0x7f || c == '#' || c == '"' || c == '<' || c == '>' || c == '\\' || c == '^' ||
            c == '`' || c == '{' || c == '|' || c == '}')
            return false;
    }
    return true;
}

nx_err nx_gw_target_parse(nx_slice target, nx_gw_target *ret)
{
    nx_gw_target t = {NX_GW_TARGET_ORIGIN, NX_SLICE_NULL, NX_SLICE_NULL, NX_SLICE_NULL};
    nx_slice rest = target;

    if (!target_chars_are_valid(target) || target.n == 0)
        return NX_EPARSE;
    if (nx_slice_eq_cstr(target, "*")) {
        t.form = NX_GW_TARGET_ASTERISK;
        *ret = t;
        return NX_OK;
    }
    if (rest.p[0] != '/') {
        size_t scheme = starts_with_no_case(rest, "http://") ? 7 : starts_with_no_case(rest, "https://") ? 8
                                                                                                         : 0;
        size_t end = scheme;
        nx_slice name, port;
        if (scheme == 0)
            return NX_EPARSE;
        while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?')
            end++;
        t.form = NX_GW_TARGET_ABSOLUTE;
        t.authority = nx_slice_sub(rest, scheme, end - scheme);
        if (nx_gw_host_split(t.authority, &name, &port) != NX_OK)
            return NX_EPARSE;
        rest = nx_slice_sub(rest, end, rest.n);
    }
    size_t mark = 0;
    while (mark < rest.n && rest.p[mark] != '?')
        mark++;
    t.path = mark > 0 ? nx_slice_sub(rest, 0, mark) : NX_SLICE("/");
    if (mark < rest.n)
        t.query = nx_slice_make(rest.p + mark + 1, rest.n - mark - 1);
    *ret = t;
    return NX_OK;
}

nx_err nx_gw_host_split(nx_slice host, nx_slice *ret_name, nx_slice *ret_port)
{
    size_t end = 0;
    nx_slice port = NX_SLICE_NULL;

    if (host.n == 0 || host.n > 260)
        return NX_EPARSE;
    if (host.p[0] == '[') {
        while (end < host.n && host.p[end] != ']')
            end++;
        if (end == host.n)
            return NX_EPARSE;
        end++;
        if (!nx_gw_host_is_ip(nx_slice_sub(host, 0, end)))
            return NX_EPARSE;
    } else {
        /* reg-name without sub-delims: none of them occurs in a real host, and all of them confuse some parser. */
        while (end < host.n && (is_alnum(host.p[end]) || host.p[end] == '.' || host.p[end] == '-' || host.p[end] == '_'))
            end++;
    }
    if (end == 0)
        return NX_EPARSE;
    if (end < host.n) {
        uint64_t number;
        if (host.p[end] != ':')
            return NX_EPARSE;
        port = nx_slice_sub(host, end + 1, host.n);
        if (port.n > 0 && (port.n > 5 || nx_slice_u64(port, 65535, &number) != NX_OK))
            return NX_EPARSE;
    }
    *ret_name = nx_slice_sub(host, 0, end);
    *ret_port = port;
    return NX_OK;
}

bool nx_gw_host_is_ip(nx_slice name)
{
    char text[64];
    unsigned char address[16];

    if (name.n >= 2 && name.p[0] == '[' && name.p[name.n - 1] == ']')
        return nx_slice_to_cstr(nx_slice_sub(name, 1, name.n - 2), text, sizeof text) == NX_OK &&
               inet_pton(AF_INET6, text, address) == 1;
    return nx_slice_to_cstr(name, text, sizeof text) == NX_OK && inet_pton(AF_INET, text, address) == 1;
}

bool nx_gw_host_is_loopback(nx_slice name)
{
    if (nx_slice_ieq(name, NX_SLICE("localhost")) || nx_slice_eq_cstr(name, "[::1]"))
        return true;
    if (name.n > 10 && nx_slice_ieq(nx_slice_sub(name, name.n - 10, 10), NX_SLICE(".localhost")))
        return true;
    return nx_gw_host_is_ip(name) && nx_slice_starts(name, NX_SLICE("127."));
}

nx_err nx_gw_pct_decode(nx_slice s, bool is_plus_space, nx_arena *a, nx_slice *ret)
{
    nx_slice out = s;

    if (s.n == 0 || !s.p) {
        *ret = NX_SLICE("");
        return NX_OK;
    }
    if (memchr(s.p, '%', s.n) || (is_plus_space && memchr(s.p, '+', s.n))) {
        char *p = nx_arena_alloc(a, s.n);
        size_t n = 0;
        if (!p)
            return NX_ENOMEM;
        for (size_t i = 0; i < s.n; i++) {
            if (s.p[i] == '%') {
                if (i + 2 >= s.n || hex_value(s.p[i + 1]) < 0 || hex_value(s.p[i + 2]) < 0)
                    return NX_EPARSE;
                p[n++] = (char)(hex_value(s.p[i + 1]) * 16 + hex_value(s.p[i + 2]));
                i += 2;
            } else {
                p[n++] = is_plus_space && s.p[i] == '+' ? ' ' : s.p[i];
            }
        }
        out = nx_slice_make(p, n);
    }
    for (size_t i = 0; i < out.n; i++)
        if ((unsigned char)out.p[i] < 0x20 || out.p[i] == 0x7f)
            return NX_EPARSE;
    if (!nx_slice_is_utf8(out))
        return NX_EPARSE;
    *ret = out;
    return NX_OK;
}

nx_err nx_gw_path_decode(nx_slice path, nx_arena *a, nx_slice *ret)
{
    if (!nx_slice_starts(path, NX_SLICE("/events/"))) {
        for (size_t i = 0; i + 2 < path.n; i++)
            if (path.p[i] == '%' && path.p[i + 1] == '2' && (path.p[i + 2] == 'F' || path.p[i + 2] == 'f'))
                return NX_EPARSE;
    }
    return nx_gw_pct_decode(path, false, a, ret);
}

bool nx_gw_query_next(nx_slice *rest, nx_slice *ret_key, nx_slice *ret_value)
{
    while (rest->n > 0) {
        nx_slice value, piece = nx_slice_split(*rest, '&', rest);
        if (piece.n == 0)
            continue;
        *ret_key = nx_slice_split(piece, '=', &value);
        *ret_value = value;
        return true;
    }
    return false;
}

nx_err nx_gw_query_find(nx_slice query, const char *key, nx_arena *a, nx_slice *ret)
{
    nx_slice k, v, name;
    while (nx_gw_query_next(&query, &k, &v)) {
        nx_err err = nx_gw_pct_decode(k, true, a, &name);
        if (err != NX_OK)
            return err;
        if (nx_slice_eq_cstr(name, key))
            return nx_gw_pct_decode(v, true, a, ret);
    }
    return NX_ENOENT;
}
