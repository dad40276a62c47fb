/* One text into one field, as its row says. Defaults, YAML values and overrides all pass here, so they mean the same. */
#include "config_internal.h"

#include "nx/clock.h"

#include <stdio.h>
#include <string.h>

/* ---- numbers */

/* "2", "1.5", "0.125": in thousandths. */
static bool parse_decimal(nx_slice text, uint64_t *ret)
{
    nx_slice behind, whole = nx_slice_split(text, '.', &behind);
    uint64_t v, milli = 0, unit = 100;
    if (nx_slice_u64(whole, 1000000, &v) != NX_OK || behind.n > 3 || (behind.n == 0 && whole.n != text.n))
        return false;
    for (size_t i = 0; i < behind.n; i++, unit /= 10) {
        if (behind.p[i] < '0' || behind.p[i] > '9')
            return false;
        milli += (uint64_t)(behind.p[i] - '0') * unit;
    }
    *ret = v * 1000 + milli;
    return true;
}

bool nx_cfg_text_to_uint(const nx_cfg_row *row, nx_slice text, uint64_t *ret)
{
    switch (row->shape) {
    case NX_CFG_DURATION:
        return nx_duration_parse(text, ret) == NX_OK;
    case NX_CFG_SIZE:
        return nx_size_parse(text, ret) == NX_OK;
    case NX_CFG_INT:
        return nx_slice_u64(text, UINT64_MAX, ret) == NX_OK;
    case NX_CFG_DECIMAL:
        return parse_decimal(text, ret);
    default:
        return false;
    }
}

static void put_uint(const nx_cfg_row *row, void *base, uint64_t v)
{
    char *field = (char *)base + row->at;
    if (row->width == sizeof(uint64_t)) {
        memcpy(field, &v, sizeof v);
    } else if (row->width == sizeof(uint32_t)) { /* unsigned and enums */
        uint32_t narrow = (uint32_t)v;
        memcpy(field, &narrow, sizeof narrow);
    } else {
        bool flag = v != 0;
        memcpy(field, &flag, sizeof flag);
    }
}

uint64_t nx_cfg_get_uint(const nx_cfg_row *row, const void *base)
{
    const char *field = (const char *)base + row->at;
    uint64_t wide;
    uint32_t narrow;
    bool flag;
    if (row->width == sizeof wide)
        return memcpy(&wide, field, sizeof wide), wide;
    if (row->width == sizeof narrow)
        return memcpy(&narrow, field, sizeof narrow), narrow;
    return memcpy(&flag, field, sizeof flag), flag ? 1 : 0;
}

/* ---- files */

const char *nx_cfg_resolve(nx_arena *a, const char *dir, nx_slice path)
{
    while (path.n > 2 && path.p[0] == '.' && path.p[1] == '/') {
        path = nx_slice_sub(path, 2, path.n);
        while (path.n > 1 && path.p[0] == '/')
            path = nx_slice_sub(path, 1, path.n);
    }
    if (path.n > 0 && path.p[0] == '/')
        return nx_arena_cstr(a, path);
    if (path.n == 0 || nx_slice_eq_cstr(path, ".") || nx_slice_eq_cstr(path, "./"))
        return nx_arena_cstr(a, nx_slice_cstr(dir));
    const char *between = dir[0] && dir[strlen(dir) - 1] == '/' ? "" : "/";
    return nx_arena_printf(a, "%s%s%.*s", dir, between, NX_SLICE_FMT(path));
}

/* ---- what is wrong, by shape */

static bool wrong_number(nx_cfg_ctx *x, const nx_cfg_row *row, nx_slice text, nx_cfg_mark at)
{
    char shown[NX_CFG_SHOW_BYTES], suggestion[128] = "";
    const char *example = row->example ? row->example : row->def, *noun = "a whole number";
    uint64_t number;
    bool is_bare = nx_slice_u64(text, UINT64_MAX, &number) == NX_OK;
    if (row->shape == NX_CFG_DURATION) {
        noun = "a duration";
        if (is_bare)
            snprintf(suggestion, sizeof suggestion, "the unit is missing: try %.*ss, or %.*sms", NX_SLICE_FMT(nx_slice_sub(text, 0, 20)),
                     NX_SLICE_FMT(nx_slice_sub(text, 0, 20)));
    } else if (row->shape == NX_CFG_SIZE) {
        noun = "a size";
    } else if (row->shape == NX_CFG_DECIMAL) {
        noun = "a number with at most three digits behind the point";
    }
    if (!suggestion[0])
        snprintf(suggestion, sizeof suggestion, "try %s", example);
    nx_cfg_issue(x, at, NULL, suggestion, "%s is not %s", nx_cfg_show(text, shown), noun);
    return false;
}

static bool set_number(nx_cfg_ctx *x, const nx_cfg_row *row, void *base, nx_slice text, nx_cfg_mark at)
{
    char shown[NX_CFG_SHOW_BYTES];
    uint64_t v, min = 0, max = UINT64_MAX;
    if (!nx_cfg_text_to_uint(row, text, &v))
        return wrong_number(x, row, text, at);
    nx_cfg_text_to_uint(row, nx_slice_cstr(row->min), &min);
    nx_cfg_text_to_uint(row, nx_slice_cstr(row->max), &max);
    if (v < min || v > max) {
        char suggestion[64];
        snprintf(suggestion, sizeof suggestion, "%s to %s", row->min, row->max);
        nx_cfg_issue(x, at, NULL, suggestion, "%s is %s", nx_cfg_show(text, shown), v < min ? "too small" : "too large");
        return false;
    }
    put_uint(row, base, v);
    return true;
}

static bool set_choice(nx_cfg_ctx *x, const nx_cfg_row *row, void *base, nx_slice text, nx_cfg_mark at)
{
    for (unsigned i = 0; row->choices[i]; i++) {
        if (!nx_slice_eq_cstr(text, row->choices[i]))
            continue;
        nx_slice constant = nx_slice_cstr(row->choices[i]);
        if (row->width == sizeof(nx_slice))
            memcpy((char *)base + row->at, &constant, sizeof constant);
        else if (row->width > 0)
            put_uint(row, base, i);
        return true;
    }
    char shown[NX_CFG_SHOW_BYTES], suggestion[128], all[96] = "";
    for (unsigned i = 0; row->choices[i]; i++) {
        size_t n = strlen(all);
        snprintf(all + n, sizeof all - n, "%s%s", i ? ", " : "", row->choices[i]);
    }
    const char *nearest = nx_cfg_nearest_choice(row->choices, text);
    if (nearest && row->choices[1])
        snprintf(suggestion, sizeof suggestion, "did you mean %s?", nearest);
    else
        snprintf(suggestion, sizeof suggestion, "write %s", nearest ? nearest : row->choices[0]);
    if (row->choices[1])
        nx_cfg_issue(x, at, NULL, nearest ? suggestion : NULL, "%s is none of %s", nx_cfg_show(text, shown), all);
    else
        nx_cfg_issue(x, at, NULL, suggestion, "%s is not %s", nx_cfg_show(text, shown), all);
    return false;
}

static bool set_bool(nx_cfg_ctx *x, const nx_cfg_row *row, void *base, nx_slice text, nx_cfg_mark at)
{
    /* The core schema of YAML 1.2; yes, no, on and off of YAML 1.1 are refused as too easily meant otherwise. */
    bool is_true = nx_slice_eq_cstr(text, "true") || nx_slice_eq_cstr(text, "True") || nx_slice_eq_cstr(text, "TRUE");
    bool is_false = nx_slice_eq_cstr(text, "false") || nx_slice_eq_cstr(text, "False") || nx_slice_eq_cstr(text, "FALSE");
    if (is_true || is_false) {
        put_uint(row, base, is_true);
        return true;
    }
    char shown[NX_CFG_SHOW_BYTES];
    bool means_true = nx_slice_ieq(text, NX_SLICE("yes")) || nx_slice_ieq(text, NX_SLICE("on")) || nx_slice_eq_cstr(text, "1");
    bool means_false = nx_slice_ieq(text, NX_SLICE("no")) || nx_slice_ieq(text, NX_SLICE("off")) || nx_slice_eq_cstr(text, "0");
    nx_cfg_issue(x, at, NULL, means_true ? "try true" : means_false ? "try false"
                                                                    : "true or false",
                 "%s is not a boolean", nx_cfg_show(text, shown));
    return false;
}

/* ---- strings */

bool nx_cfg_check_string(nx_cfg_ctx *x, const nx_cfg_format *f, nx_slice text, nx_cfg_mark at)
{
    nx_cfg_why why = {{0}, {0}};
    unsigned max = f->max_bytes ? f->max_bytes : NX_CFG_STRING_BYTES;
    if (text.n == 0 && !f->may_be_empty)
        snprintf(why.reason, sizeof why.reason, "is empty; %s is expected", f->noun);
    else if (text.n > max)
        snprintf(why.reason, sizeof why.reason, "has %zu bytes; at most %u are allowed", text.n, max);
    else if (text.n == 0 || !f->check || f->check(text, &why))
        return true;
    nx_cfg_issue(x, at, NULL, why.suggestion, "%s", why.reason);
    return false;
}

static bool set_string(nx_cfg_ctx *x, const nx_cfg_row *row, void *base, nx_slice text, nx_cfg_mark at)
{
    if (!nx_cfg_check_string(x, row->format, text, at))
        return false;
    nx_slice copy = nx_arena_dup(x->arena, text);
    nx_slice resolved = NX_SLICE_NULL;
    if (row->is_path)
        resolved = nx_slice_cstr(nx_cfg_resolve(x->arena, x->dir, text));
    if (!copy.p || (row->is_path && !resolved.p)) {
        x->err = NX_ENOMEM;
        return false;
    }
    memcpy((char *)base + row->at, &copy, sizeof copy);
    if (row->is_path)
        memcpy((char *)base + row->resolved_at, &resolved, sizeof resolved);
    return true;
}

bool nx_cfg_set(nx_cfg_ctx *x, const nx_cfg_row *row, void *base, nx_slice text, nx_cfg_mark at)
{
    if (!nx_slice_is_utf8(text) || memchr(text.p ? text.p : "", '\0', text.n)) { /* only overrides can bring this */
        nx_cfg_issue(x, at, NULL, NULL, "is not UTF-8 text");
        return false;
    }
    switch (row->shape) {
    case NX_CFG_DURATION:
    case NX_CFG_SIZE:
    case NX_CFG_INT:
    case NX_CFG_DECIMAL:
        return set_number(x, row, base, text, at);
    case NX_CFG_BOOL:
        return set_bool(x, row, base, text, at);
    case NX_CFG_CONST:
    case NX_CFG_ENUM:
        return set_choice(x, row, base, text, at);
    case NX_CFG_STRING:
        return set_string(x, row, base, text, at);
    case NX_CFG_SECTION:
    case NX_CFG_FUNCTIONS:
    case NX_CFG_LIST:
    case NX_CFG_ONE_OR_LIST:
    case NX_CFG_CRON:
    case NX_CFG_ENV:
    case NX_CFG_SECRETS:
        break;
    }
    return false; /* not a scalar: the callers ask nx_cfg_row_is_scalar() first */
}
