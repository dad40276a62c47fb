/* split.c: see split.h. */
#include "split.h"
#include "nx/config.h"
#include "nx/digest.h"
#include "nx/event_batch.h"
#include <stdio.h>
#include <stdlib.h>

#define KEY_BYTES (NX_FUNCTION_NAME_BYTES + 1 + NX_EVENT_ATTR_BYTES)

void nx_core_split_all(nx_core_split *s, const char *version)
{
    *s = (nx_core_split){.n = 1, .v[0].share = NX_CORE_SHARE_ALL};
    snprintf(s->v[0].version, sizeof s->v[0].version, "%s", version);
}

bool nx_core_split_equal(const nx_core_split *a, const nx_core_split *b)
{
    bool is_equal = a->n == b->n;
    for (unsigned i = 0; is_equal && i < a->n; i++)
        is_equal = a->v[i].share == b->v[i].share && strcmp(a->v[i].version, b->v[i].version) == 0;
    return is_equal;
}

const nx_core_share *nx_core_split_main(const nx_core_split *s)
{
    const nx_core_share *most = &s->v[0];
    for (unsigned i = 1; i < s->n; i++)
        if (s->v[i].share > most->share)
            most = &s->v[i];
    return most;
}

unsigned nx_core_split_place(nx_slice function, const nx_event *e)
{
    char text[KEY_BYTES];
    nx_slice key = nx_event_version_key(e);
    size_t n = (size_t)snprintf(text, sizeof text, "%.*s/", NX_SLICE_FMT(function));
    size_t room = sizeof text - n, k = key.n < room ? key.n : room;
    memcpy(text + n, key.p, k);
    nx_sha256 digest = nx_sha256_of(nx_slice_make(text, n + k));
    uint64_t first = 0;
    for (unsigned i = 0; i < 8; i++)
        first = first << 8 | digest.b[i];
    return (unsigned)(first % NX_CORE_SHARE_ALL);
}

unsigned nx_core_split_at(const nx_core_split *s, unsigned place)
{
    unsigned i = 0, end = s->v[0].share;
    while (i + 1 < s->n && place >= end)
        end += s->v[++i].share;
    return i;
}

/* ---- forms ----------------------------------------------------------------------------------------------------------------------------------- */

static unsigned number_of(const char *version)
{
    return version[0] == 'v' ? (unsigned)strtoul(version + 1, NULL, 10) : 0;
}

static int newest_first(const void *a, const void *b)
{
    const nx_core_share *x = a, *y = b;
    unsigned i = number_of(x->version), k = number_of(y->version);
    return i != k ? (i < k) - (i > k) : strcmp(x->version, y->version);
}

static bool has(const nx_core_split *s, const char *version)
{
    for (unsigned i = 0; i < s->n; i++)
        if (strcmp(s->v[i].version, version) == 0)
            return true;
    return false;
}

/* The version of `now` that takes what nobody was given. */
static const nx_core_share *heir(const nx_core_split *now, const nx_core_split *named)
{
    const nx_core_share *most = NULL;
    for (unsigned i = 0; now && i < now->n; i++)
        if (!has(named, now->v[i].version) && (!most || now->v[i].share > most->share))
            most = &now->v[i];
    return most;
}

static nx_err read_share(const nx_json *item, nx_core_split *s, unsigned *ret_open, nx_error *reterr)
{
    nx_slice version = nx_json_get_str(item, "version");
    const nx_json *percent = nx_json_get(item, "percent");
    bool is_open = nx_json_typeof(percent) == NX_JSON_NULL;
    double hundredths = is_open ? 0 : nx_json_double(percent, -1) * 100, whole, off;
    nx_core_share *to = &s->v[s->n];
    if (!version.n || nx_slice_to_cstr(version, to->version, sizeof to->version) != NX_OK)
        return nx_error_set(reterr, NX_EINVAL, "traffic is [{\"version\": \"v4\", \"percent\": 10}, …]");
    if (has(s, to->version))
        return nx_error_set(reterr, NX_EINVAL, "traffic: %s is named twice", to->version);
    whole = hundredths >= 0 && hundredths <= NX_CORE_SHARE_ALL ? (double)(unsigned)(hundredths + 0.5) : -1;
    off = hundredths - whole;
    if (is_open) {
        if (*ret_open != NX_CORE_SPLIT_MAX)
            return nx_error_set(reterr, NX_EINVAL, "traffic: %s and %s both have no percent", s->v[*ret_open].version, to->version);
        *ret_open = s->n;
    } else if (whole < 0 || off > 1e-6 || off < -1e-6) {
        return nx_error_set(reterr, NX_EINVAL, "traffic: percent of %s is not a number from 0 to 100 with at most two decimals", to->version);
    }
    to->share = (unsigned)whole;
    s->n++;
    return NX_OK;
}

/* What is missing to all of it goes to s->v[open], or to the heir; what has nothing goes. */
static nx_err complete(nx_core_split *s, unsigned open, const nx_core_split *now, nx_error *reterr)
{
    unsigned sum = 0, kept = 0;
    for (unsigned i = 0; i < s->n; i++)
        sum += s->v[i].share;
    if (sum > NX_CORE_SHARE_ALL)
        return nx_error_set(reterr, NX_EINVAL, "traffic: the percents are more than 100 together");
    const nx_core_share *rest = open == NX_CORE_SPLIT_MAX && sum < NX_CORE_SHARE_ALL ? heir(now, s) : NULL;
    if (open != NX_CORE_SPLIT_MAX) {
        s->v[open].share = NX_CORE_SHARE_ALL - sum;
    } else if (rest && s->n < NX_CORE_SPLIT_MAX) {
        s->v[s->n] = *rest;
        s->v[s->n++].share = NX_CORE_SHARE_ALL - sum;
    } else if (sum < NX_CORE_SHARE_ALL) {
        return nx_error_set(reterr, NX_EINVAL, "traffic: the percents are less than 100 together, and there is no other version that the rest could stay with");
    }
    for (unsigned i = 0; i < s->n; i++)
        if (s->v[i].share)
            s->v[kept++] = s->v[i];
    s->n = kept;
    qsort(s->v, s->n, sizeof *s->v, newest_first);
    return NX_OK;
}

nx_err nx_core_split_from_json(const nx_json *traffic, const nx_core_split *now, nx_core_split *ret, nx_error *reterr)
{
    nx_core_split s = {.n = 0};
    unsigned open = NX_CORE_SPLIT_MAX;
    nx_err err = NX_OK;
    if (nx_json_typeof(traffic) != NX_JSON_ARRAY || nx_json_len(traffic) == 0)
        return nx_error_set(reterr, NX_EINVAL, "traffic is [{\"version\": \"v4\", \"percent\": 10}, …]");
    if (nx_json_len(traffic) > NX_CORE_SPLIT_MAX)
        return nx_error_set(reterr, NX_ELIMIT, "traffic: at most %d versions share a function's events", NX_CORE_SPLIT_MAX);
    for (size_t i = 0; err == NX_OK && i < nx_json_len(traffic); i++)
        err = read_share(nx_json_at(traffic, i), &s, &open, reterr);
    if (err == NX_OK)
        err = complete(&s, open, now, reterr);
    if (err == NX_OK)
        *ret = s;
    return err;
}

nx_err nx_core_split_give(const nx_core_split *now, const char *version, unsigned share, nx_core_split *ret, nx_error *reterr)
{
    nx_core_split s;
    nx_core_split_all(&s, version);
    s.v[0].share = share;
    nx_err err = complete(&s, NX_CORE_SPLIT_MAX, now, reterr);
    if (err == NX_OK)
        *ret = s;
    return err;
}

void nx_core_split_to_json(const nx_core_split *s, nx_jw *w)
{
    nx_jw_array(w);
    for (unsigned i = 0; i < s->n; i++) {
        nx_jw_object(w);
        nx_jw_kcstr(w, "version", s->v[i].version);
        if (s->v[i].share % 100)
            nx_jw_kdouble(w, "percent", s->v[i].share / 100.0);
        else
            nx_jw_ku64(w, "percent", s->v[i].share / 100);
        nx_jw_object_end(w);
    }
    nx_jw_array_end(w);
}

void nx_core_split_text(const nx_core_split *s, char *out, size_t out_bytes)
{
    size_t n = 0;
    if (s->n == 1)
        snprintf(out, out_bytes, "%s", s->v[0].version);
    for (unsigned i = 0; s->n > 1 && i < s->n && n < out_bytes; i++)
        n += (size_t)snprintf(out + n, out_bytes - n, "%s%s %g %%", i ? ", " : "", s->v[i].version, s->v[i].share / 100.0);
}
