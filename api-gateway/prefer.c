#include "prefer.h"

static bool is_token_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static size_t skip_space(nx_slice s, size_t i)
{
    while (i < s.n && (s.p[i] == ' ' || s.p[i] == '\t'))
        i++;
    return i;
}

/* Reads `name [BWS "=" BWS (token | quoted-string)]` at i; returns the position behind it. An unclosed string ends with the field. */
static size_t read_pair(nx_slice s, size_t i, nx_slice *ret_name, nx_slice *ret_value)
{
    size_t start = i;
    *ret_value = NX_SLICE_NULL;
    while (i < s.n && is_token_char(s.p[i]))
        i++;
    *ret_name = nx_slice_sub(s, start, i - start);
    size_t equals = skip_space(s, i);
    if (equals == s.n || s.p[equals] != '=')
        return i;
    i = skip_space(s, equals + 1);
    start = i;
    if (i < s.n && s.p[i] == '"') {
        start = ++i;
        while (i < s.n && s.p[i] != '"')
            i += s.p[i] == '\\' && i + 1 < s.n ? 2 : 1;
        *ret_value = nx_slice_sub(s, start, i - start);
        return i < s.n ? i + 1 : i;
    }
    while (i < s.n && is_token_char(s.p[i]))
        i++;
    *ret_value = nx_slice_sub(s, start, i - start);
    return i;
}

static void apply(nx_gw_prefer *p, nx_slice name, nx_slice value, uint32_t max_wait_s)
{
    uint64_t seconds;
    if (nx_slice_ieq(name, NX_SLICE("respond-async"))) {
        p->is_async = true;
    } else if (nx_slice_ieq(name, NX_SLICE("wait")) && !p->has_wait) {
        nx_err err = nx_slice_u64(value, UINT32_MAX, &seconds);
        if (err == NX_ELIMIT)
            seconds = UINT32_MAX;
        else if (err != NX_OK)
            return;
        p->has_wait = true;
        p->wait_s = seconds > max_wait_s ? max_wait_s : (uint32_t)seconds;
    }
}

void nx_gw_prefer_add(nx_gw_prefer *p, nx_slice value, uint32_t max_wait_s)
{
    size_t i = 0;
    while (i < value.n) {
        nx_slice name, arg;
        i = skip_space(value, i);
        if (i < value.n && value.p[i] == ',') {
            i++;
            continue;
        }
        i = skip_space(value, read_pair(value, i, &name, &arg));
        bool is_well_formed = name.n > 0;
        while (i < value.n && value.p[i] != ',') { /* parameters: none is defined for the two preferences */
            nx_slice parameter, ignored;
            if (value.p[i] != ';')
                is_well_formed = false;
            size_t next = read_pair(value, skip_space(value, i + 1), &parameter, &ignored);
            i = skip_space(value, next > i ? next : i + 1);
        }
        if (is_well_formed)
            apply(p, name, arg, max_wait_s);
    }
}
