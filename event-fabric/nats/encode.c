/* encode.c: names, subjects, header lines, acknowledgements: everything that is bytes in, bytes out. */
#include "fab_internal.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- names ---------------------------------------------------------------------------------------------------------------------------------- */

static bool is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool nx_fab_name_is_valid(nx_slice s, size_t max_bytes)
{
    if (!s.n || s.n > max_bytes)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!is_plain((unsigned char)s.p[i]))
            return false;
    return true;
}

static nx_err encode_token(nx_slice token, char **out, const char *end)
{
    static const char hex[] = "0123456789ABCDEF";

    if (!token.n) {
        if (*out == end)
            return NX_ELIMIT;
        *(*out)++ = '%';
        return NX_OK;
    }
    for (size_t i = 0; i < token.n; i++) {
        unsigned char c = (unsigned char)token.p[i];

        if (end - *out < (is_plain(c) ? 1 : 3))
            return NX_ELIMIT;
        if (is_plain(c)) {
            *(*out)++ = (char)c;
        } else {
            *(*out)++ = '%';
            *(*out)++ = hex[c >> 4];
            *(*out)++ = hex[c & 15];
        }
    }
    return NX_OK;
}

/* Splits at dots; unlike nx_slice_split() it tells "a" from "a.". */
static bool next_token(nx_slice *rest, bool *is_last, nx_slice *ret)
{
    const char *dot;

    if (*is_last)
        return false;
    dot = rest->n ? memchr(rest->p, '.', rest->n) : NULL;
    *is_last = !dot;
    *ret = dot ? nx_slice_make(rest->p, (size_t)(dot - rest->p)) : *rest;
    *rest = dot ? nx_slice_make(dot + 1, rest->n - ret->n - 1) : NX_SLICE_NULL;
    return true;
}

nx_err nx_fab_type_encode(nx_slice type, char *out, size_t out_bytes, size_t *ret_n)
{
    char *p = out, *end = out + out_bytes - 1;
    bool is_last = false, is_first = true;
    nx_slice token;

    while (next_token(&type, &is_last, &token)) {
        if (!is_first) {
            if (p == end)
                return NX_ELIMIT;
            *p++ = '.';
        }
        is_first = false;
        if (encode_token(token, &p, end))
            return NX_ELIMIT;
    }
    *p = 0;
    *ret_n = (size_t)(p - out);
    return NX_OK;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                                 : -1;
}

nx_err nx_fab_type_decode(nx_slice tokens, char *out, size_t out_bytes, size_t *ret_n)
{
    size_t n = 0;

    for (size_t i = 0; i < tokens.n; i++) {
        char c = tokens.p[i];

        if (c == '%') {
            bool at_start = i == 0 || tokens.p[i - 1] == '.', at_end = i + 1 == tokens.n || tokens.p[i + 1] == '.';

            if (at_start && at_end)
                continue; /* the empty token */
            if (i + 2 >= tokens.n || hex_value(tokens.p[i + 1]) < 0 || hex_value(tokens.p[i + 2]) < 0)
                return NX_EPARSE;
            c = (char)(hex_value(tokens.p[i + 1]) << 4 | hex_value(tokens.p[i + 2]));
            if (is_plain((unsigned char)c) || c == '.')
                return NX_EPARSE; /* never encoded so: one type has one form */
            i += 2;
        } else if (c != '.' && !is_plain((unsigned char)c)) {
            return NX_EPARSE;
        } else if (c == '.' && (i == 0 || i + 1 == tokens.n || tokens.p[i + 1] == '.')) {
            return NX_EPARSE;
        }
        if (n + 1 >= out_bytes)
            return NX_ELIMIT;
        out[n++] = c;
    }
    if (!tokens.n)
        return NX_EPARSE;
    out[n] = 0;
    *ret_n = n;
    return NX_OK;
}

nx_err nx_fab_type_filter(nx_slice ns, nx_slice pattern, char *out, size_t out_bytes)
{
    int n = snprintf(out, out_bytes, "nx.%.*s.ev.*", NX_SLICE_FMT(ns));
    char *p, *end = out + out_bytes - 1;
    bool is_last = false;
    nx_slice token;

    if (n < 0 || (size_t)n >= out_bytes)
        return NX_ELIMIT;
    p = out + n;
    while (next_token(&pattern, &is_last, &token)) {
        if (end - p < 3)
            return NX_ELIMIT;
        *p++ = '.';
        if (nx_slice_eq_cstr(token, "*"))
            *p++ = '*';
        else if (is_last && (nx_slice_eq_cstr(token, ">") || nx_slice_eq_cstr(token, "**")))
            *p++ = '>';
        else if (encode_token(token, &p, end))
            return NX_ELIMIT;
    }
    *p = 0;
    return NX_OK;
}

/* ---- subjects -------------------------------------------------------------------------------------------------------------------------------- */

bool nx_fab_subject_is_valid(nx_slice s, bool allow_wildcards)
{
    bool is_last = false;
    nx_slice token;

    if (!s.n || s.n >= NX_FAB_SUBJECT_BYTES)
        return false;
    while (next_token(&s, &is_last, &token)) {
        if (!token.n)
            return false;
        for (size_t i = 0; i < token.n; i++) {
            unsigned char c = (unsigned char)token.p[i];

            if (c <= ' ' || c == 0x7f || c == '"' || c == '\\') /* the last two are NATS's to allow, and stand in no JSON of ours */
                return false;
            if ((c == '*' || c == '>') && (!allow_wildcards || token.n != 1 || (c == '>' && !is_last)))
                return false;
        }
    }
    return true;
}

static bool compare(nx_slice a, nx_slice b, bool overlap)
{
    bool a_last = false, b_last = false;
    nx_slice x, y;

    for (;;) {
        bool has_x = next_token(&a, &a_last, &x), has_y = next_token(&b, &b_last, &y);

        if (!has_x || !has_y)
            return has_x == has_y;
        if (nx_slice_eq_cstr(x, ">") || (overlap && nx_slice_eq_cstr(y, ">")))
            return true;
        if (nx_slice_eq_cstr(y, ">"))
            return false;
        if (nx_slice_eq_cstr(x, "*") || (overlap && nx_slice_eq_cstr(y, "*")))
            continue;
        if (!nx_slice_eq(x, y))
            return false;
    }
}

bool nx_fab_subject_covers(nx_slice wide, nx_slice narrow)
{
    return compare(wide, narrow, false);
}

bool nx_fab_subject_overlaps(nx_slice a, nx_slice b)
{
    return compare(a, b, true);
}

/* Into `to`: the smallest pattern that covers both. It is never longer than the longer of the two. */
static void generalise(nx_slice a, nx_slice b, char *to)
{
    bool a_last = false, b_last = false;
    nx_slice x, y;
    char *p = to;

    for (;;) {
        bool has_x = next_token(&a, &a_last, &x), has_y = next_token(&b, &b_last, &y);

        if (!has_x && !has_y)
            break;
        if (p != to)
            *p++ = '.';
        if (!has_x || !has_y || nx_slice_eq_cstr(x, ">") || nx_slice_eq_cstr(y, ">")) {
            *p++ = '>';
            break;
        }
        if (nx_slice_eq(x, y)) {
            memmove(p, x.p, x.n);
            p += x.n;
        } else {
            *p++ = '*';
        }
    }
    *p = 0;
}

static unsigned remove_at(char **filters, unsigned n, unsigned i)
{
    free(filters[i]);
    filters[i] = filters[n - 1];
    return n - 1;
}

unsigned nx_fab_filters_reduce(char **filters, unsigned n, bool *ret_is_loose)
{
    bool again = true;

    *ret_is_loose = false;
    while (again) {
        again = false;
        for (unsigned i = 0; i < n && !again; i++)
            for (unsigned k = i + 1; k < n && !again; k++) {
                nx_slice a = nx_slice_cstr(filters[i]), b = nx_slice_cstr(filters[k]);

                if (!nx_fab_subject_overlaps(a, b))
                    continue;
                again = true;
                if (nx_fab_subject_covers(a, b)) {
                    n = remove_at(filters, n, k);
                } else if (nx_fab_subject_covers(b, a)) {
                    n = remove_at(filters, n, i);
                } else {
                    /* Two that cross ("a.*", "*.b"): the server takes neither beside the other. */
                    char wide[NX_FAB_SUBJECT_BYTES];
                    char *copy;

                    generalise(a, b, wide);
                    copy = strdup(wide);
                    if (!copy)
                        return n; /* the server refuses the set, by name */
                    free(filters[i]);
                    filters[i] = copy;
                    n = remove_at(filters, n, k);
                    *ret_is_loose = true;
                }
            }
    }
    return n;
}

/* ---- header lines ---------------------------------------------------------------------------------------------------------------------------- */

static void put(nx_fab_hdr *h, const char *p, size_t n)
{
    if (h->cap - h->n <= n + 1) {
        h->is_bad = true;
        return;
    }
    memcpy(h->p + h->n, p, n);
    h->n += n;
}

void nx_fab_hdr_add_line(nx_fab_hdr *h, nx_slice key, nx_slice value)
{
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] == '\r' || value.p[i] == '\n' || !value.p[i]) {
            h->is_bad = true;
            return;
        }
    if (!value.n) /* nats.c reads past the end of an empty value into the next line */
        return;
    if (h->n)
        put(h, "\r\n", 2);
    put(h, key.p, key.n);
    put(h, ": ", 2);
    h->value_at = h->n;
    put(h, value.p, value.n);
}

void nx_fab_hdr_add(nx_fab_hdr *h, const char *key, nx_slice value)
{
    nx_fab_hdr_add_line(h, nx_slice_cstr(key), value);
}

void nx_fab_hdr_add_encoded(nx_fab_hdr *h, const char *key, nx_slice value)
{
    bool is_clean = true;
    nx_buf b;

    for (size_t i = 0; i < value.n && is_clean; i++) {
        unsigned char c = (unsigned char)value.p[i];

        is_clean = c > 0x20 && c < 0x7f && c != '"' && c != '%';
    }
    if (is_clean) {
        nx_fab_hdr_add(h, key, value);
        return;
    }
    nx_buf_init(&b, NX_FAB_HDR_BYTES);
    if (nx_event_header_encode(value, &b))
        h->is_bad = true;
    else
        nx_fab_hdr_add(h, key, nx_buf_view(&b));
    nx_buf_done(&b);
}

bool nx_fab_hdr_split(const nx_fab_hdr *h, nx_slice *ret_key, nx_slice *ret_value)
{
    if (h->is_bad || !h->n)
        return false;
    h->p[h->n] = 0;
    h->p[h->value_at - 2] = 0; /* the colon of the last line: nats.c writes it again */
    *ret_key = nx_slice_make(h->p, h->value_at - 2);
    *ret_value = nx_slice_make(h->p + h->value_at, h->n - h->value_at);
    return true;
}

nx_err nx_fab_hdr_set(const nx_fab_hdr *h, natsMsg *m)
{
    nx_slice key, value;

    if (!nx_fab_hdr_split(h, &key, &value))
        return NX_EINVAL;
    return natsMsgHeader_Set(m, key.p, value.p) == NATS_OK ? NX_OK : NX_ENOMEM;
}

/* ---- PubAck ------------------------------------------------------------------------------------------------------------------------------------ */

static bool skip_string(const char **p, const char *end, nx_slice *ret)
{
    const char *q = *p;

    if (q == end || *q != '"')
        return false;
    for (q++; q < end && *q != '"'; q++)
        if (*q == '\\')
            return false;
    if (q == end)
        return false;
    *ret = nx_slice_make(*p + 1, (size_t)(q - *p) - 1);
    *p = q + 1;
    return true;
}

/* {"stream":"S","seq":1,"duplicate":true,"domain":"d"} and nothing else; anything unusual goes to the JSON parser. */
static bool parse_plain_ack(nx_slice json, nx_fab_ack *ret)
{
    const char *p = json.p, *end = json.p + json.n;
    bool has_seq = false;

    if (p == end || *p++ != '{')
        return false;
    for (;;) {
        nx_slice key, value;

        if (!skip_string(&p, end, &key) || p == end || *p++ != ':')
            return false;
        while (p < end && *p == ' ') /* nats-server writes "duplicate": true with a space, and only that */
            p++;
        if (p == end)
            return false;
        if (*p == '"') {
            if (!skip_string(&p, end, &value))
                return false;
        } else {
            value.p = p;
            while (p < end && *p != ',' && *p != '}')
                p++;
            value.n = (size_t)(p - value.p);
            if (nx_slice_eq_cstr(key, "seq"))
                has_seq = !nx_slice_u64(value, UINT64_MAX, &ret->seq);
            else if (nx_slice_eq_cstr(key, "duplicate"))
                ret->is_duplicate = nx_slice_eq_cstr(value, "true");
            else if (nx_slice_eq_cstr(key, "error"))
                return false;
        }
        if (p == end)
            return false;
        if (*p == '}')
            return has_seq && p + 1 == end;
        if (*p++ != ',')
            return false;
    }
}

void nx_fab_ack_parse(nx_slice json, nx_fab_ack *ret)
{
    nx_json *j = NULL;
    const nx_json *err;

    *ret = (nx_fab_ack){0};
    if (parse_plain_ack(json, ret))
        return;
    *ret = (nx_fab_ack){0};
    if (nx_json_parse(json, 1 << 16, &j, NULL)) {
        ret->err = NX_EUNAVAIL;
        snprintf(ret->why, sizeof ret->why, "not an acknowledgement");
        return;
    }
    err = nx_json_get(j, "error");
    if (err) {
        nx_slice why = nx_json_get_str(err, "description");

        ret->err_code = (int)nx_json_get_i64(err, "err_code", 0);
        ret->err = nx_fab_api_error((int)nx_json_get_i64(err, "code", 500), ret->err_code, why);
        snprintf(ret->why, sizeof ret->why, "%.*s", NX_SLICE_FMT(why));
    } else {
        ret->seq = nx_json_get_u64(j, "seq", 0);
        ret->is_duplicate = nx_json_get_bool(j, "duplicate", false);
        if (!ret->seq) {
            ret->err = NX_EUNAVAIL;
            snprintf(ret->why, sizeof ret->why, "an acknowledgement without a sequence");
        }
    }
    nx_json_free(j);
}

/* ---- delivery metadata (ADR-15) ------------------------------------------------------------------------------------------------------------------ */

bool nx_fab_meta_parse(const char *reply, nx_fab_meta *ret)
{
    nx_slice t[14], rest = nx_slice_cstr(reply);
    bool is_last = false;
    unsigned n = 0, at;

    while (n < NX_ARRAY_LEN(t) && next_token(&rest, &is_last, &t[n]))
        n++;
    /* $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<ns>.<pending>, or with domain and account hash before <stream> */
    if (n == 9)
        at = 2;
    else if (n >= 11 && is_last)
        at = 4;
    else
        return false;
    ret->stream_consumer = nx_slice_make(t[at].p, t[at].n + 1 + t[at + 1].n);
    return !nx_slice_u64(t[at + 2], UINT32_MAX, &ret->delivered) && !nx_slice_u64(t[at + 3], UINT64_MAX, &ret->stream_seq) &&
           !nx_slice_u64(t[at + 4], UINT64_MAX, &ret->consumer_seq) && !nx_slice_u64(t[at + 5], UINT64_MAX, &ret->wall_ns) &&
           !nx_slice_u64(t[at + 6], UINT64_MAX, &ret->pending);
}
