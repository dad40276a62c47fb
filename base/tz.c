/* tz.c: time zones from TZif files (RFC 9636), without the process's own zone, which is one for all threads. A file lists the changes of the
 * offset up to some year; the POSIX TZ string at its end is the rule from then on. Changes of the abbreviation alone don't count here. */
#include "nx/cron.h"

#include "civil.h"
#include "nx/buf.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES (256u << 10)
#define CHANGES_MAX 20000u
#define OFFSET_MAX_S (26 * 3600)
#define HEADER_BYTES 44

typedef struct tz_rule { /* a day of each year, and the local time of day at which the offset changes */
    enum { RULE_JULIAN,  /* 1 to 365, never 29 February */
           RULE_DAY,     /* 0 to 365 */
           RULE_WEEK     /* month, week (5: last), weekday */
    } kind;
    int day, month, week;
    int32_t time_s;
} tz_rule;

struct nx_tz {
    int64_t *at_s;
    int32_t *offset_s; /* from at_s on */
    unsigned n;
    int32_t first_s; /* before the first change */
    bool has_rules;
    int32_t std_s, dst_s;
    tz_rule to_dst, to_std;
};

/* ---- the rule (POSIX.1 8.3) -------------------------------------------------------------------------------------------------------------- */

static bool take_name(nx_slice *s)
{
    size_t n = 0;
    if (s->n && s->p[0] == '<') {
        while (n < s->n && s->p[n] != '>') n++;
        if (n == s->n || n < 4) return false;
        n++;
    } else {
        while (n < s->n && ((s->p[n] | 32) >= 'a' && (s->p[n] | 32) <= 'z')) n++;
        if (n < 3) return false;
    }
    *s = nx_slice_sub(*s, n, s->n);
    return true;
}

static bool take_number(nx_slice *s, int max, int *ret)
{
    size_t n = 0;
    int v = 0;
    while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9' && n < 4) v = v * 10 + (s->p[n++] - '0');
    if (n == 0 || v > max) return false;
    *ret = v;
    *s = nx_slice_sub(*s, n, s->n);
    return true;
}

static bool take_char(nx_slice *s, char c)
{
    if (!s->n || s->p[0] != c) return false;
    *s = nx_slice_sub(*s, 1, s->n);
    return true;
}

/* [+-]hh[:mm[:ss]] */
static bool take_time(nx_slice *s, int max_hours, int32_t *ret)
{
    int sign = take_char(s, '-') ? -1 : 1, h, m = 0, sec = 0;
    if (sign > 0) (void)take_char(s, '+');
    if (!take_number(s, max_hours, &h)) return false;
    if (take_char(s, ':') && (!take_number(s, 59, &m) || (take_char(s, ':') && !take_number(s, 59, &sec)))) return false;
    *ret = sign * (h * 3600 + m * 60 + sec);
    return true;
}

static bool take_rule(nx_slice *s, tz_rule *r)
{
    *r = (tz_rule){.kind = RULE_DAY, .time_s = 2 * 3600};
    if (take_char(s, 'M')) {
        r->kind = RULE_WEEK;
        if (!take_number(s, 12, &r->month) || r->month < 1 || !take_char(s, '.') || !take_number(s, 5, &r->week) || r->week < 1 ||
            !take_char(s, '.') || !take_number(s, 6, &r->day))
            return false;
    } else {
        if (take_char(s, 'J')) r->kind = RULE_JULIAN;
        if (!take_number(s, 365, &r->day) || (r->kind == RULE_JULIAN && r->day < 1)) return false;
    }
    return !take_char(s, '/') || take_time(s, 167, &r->time_s);
}

static bool parse_rules(nx_slice s, nx_tz *z)
{
    if (!s.n) return true;
    if (!take_name(&s) || !take_time(&s, 24, &z->std_s)) return false;
    z->std_s = -z->std_s; /* POSIX counts west of Greenwich */
    if (!s.n) {
        if (z->n == 0) z->first_s = z->std_s;
        return true;
    }
    if (!take_name(&s)) return false;
    z->dst_s = z->std_s + 3600;
    if (s.n && s.p[0] != ',') {
        if (!take_time(&s, 24, &z->dst_s)) return false;
        z->dst_s = -z->dst_s;
    }
    z->has_rules = take_char(&s, ',') && take_rule(&s, &z->to_dst) && take_char(&s, ',') && take_rule(&s, &z->to_std) && !s.n;
    return z->has_rules;
}

static int64_t rule_local_s(const tz_rule *r, int64_t year)
{
    int64_t day;
    if (r->kind == RULE_WEEK) {
        int64_t first = nx_days_of(year, r->month, 1);
        int skip = (r->day - nx_weekday(first) + 7) % 7 + (r->week - 1) * 7;
        while (skip >= nx_month_days(year, r->month)) skip -= 7;
        day = first + skip;
    } else {
        day = nx_days_of(year, 1, 1) + r->day;
        if (r->kind == RULE_JULIAN) day -= r->day >= 60 && nx_month_days(year, 2) == 29 ? 0 : 1;
    }
    return day * 86400 + r->time_s;
}

/* ---- the file ------------------------------------------------------------------------------------------------------------------------------- */

static uint64_t big_endian(const unsigned char *p, unsigned n)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++) v = v << 8 | p[i];
    return v;
}

typedef struct tz_block {
    size_t n_utc, n_std, n_leap, n_time, n_type, n_char, bytes; /* bytes without the header */
} tz_block;

static bool read_header(nx_slice s, unsigned time_bytes, tz_block *b)
{
    const unsigned char *p = (const unsigned char *)s.p;
    if (s.n < HEADER_BYTES || memcmp(p, "TZif", 4) != 0) return false;
    size_t *const counts[] = {&b->n_utc, &b->n_std, &b->n_leap, &b->n_time, &b->n_type, &b->n_char};
    for (unsigned i = 0; i < 6; i++) {
        *counts[i] = (size_t)big_endian(p + 20 + 4 * i, 4);
        if (*counts[i] > CHANGES_MAX) return false;
    }
    b->bytes = b->n_time * (time_bytes + 1u) + b->n_type * 6 + b->n_char + b->n_leap * (time_bytes + 4u) + b->n_std + b->n_utc;
    return b->n_type >= 1 && b->n_type <= 256 && b->n_leap == 0 && s.n - HEADER_BYTES >= b->bytes; /* leap seconds: none of our clocks has them */
}

static bool read_changes(nx_tz *z, const unsigned char *p, const tz_block *b, unsigned time_bytes)
{
    const unsigned char *index = p + b->n_time * time_bytes, *types = index + b->n_time;
    int32_t offsets[256] = {0};
    for (size_t i = 0; i < b->n_type; i++) {
        offsets[i] = (int32_t)(uint32_t)big_endian(types + 6 * i, 4);
        if (offsets[i] > OFFSET_MAX_S || offsets[i] < -OFFSET_MAX_S) return false;
    }
    z->first_s = offsets[0];
    int32_t now_s = z->first_s;
    int64_t last = INT64_MIN;
    for (size_t i = 0; i < b->n_time; i++) {
        uint64_t raw = big_endian(p + i * time_bytes, time_bytes);
        int64_t at = time_bytes == 8 ? (int64_t)raw : (int32_t)(uint32_t)raw;
        if (index[i] >= b->n_type || (i && at <= last)) return false;
        last = at;
        if (offsets[index[i]] == now_s) continue;
        now_s = offsets[index[i]];
        z->at_s[z->n] = at;
        z->offset_s[z->n++] = now_s;
    }
    return true;
}

static bool parse(nx_slice file, nx_tz *z)
{
    tz_block b;
    unsigned time_bytes = 4;
    nx_slice s = file;
    if (!s.p || !read_header(s, 4, &b)) return false;
    if (s.p[4] >= '2') { /* the same again with times of 8 bytes, and the rule behind it */
        s = nx_slice_sub(s, HEADER_BYTES + b.bytes, s.n);
        time_bytes = 8;
        if (!read_header(s, 8, &b)) return false;
    }
    z->at_s = calloc(b.n_time + 1, sizeof *z->at_s);
    z->offset_s = calloc(b.n_time + 1, sizeof *z->offset_s);
    if (!z->at_s || !z->offset_s || !read_changes(z, (const unsigned char *)s.p + HEADER_BYTES, &b, time_bytes)) return false;
    if (time_bytes == 4) return true;
    nx_slice rest = nx_slice_sub(s, HEADER_BYTES + b.bytes, s.n), after;
    if (!take_char(&rest, '\n') || !memchr(rest.p, '\n', rest.n)) return false;
    return parse_rules(nx_slice_split(rest, '\n', &after), z);
}

nx_err nx_tz_parse(nx_slice file, nx_tz **ret, nx_error *reterr)
{
    nx_tz *z = calloc(1, sizeof *z);
    if (!z) return nx_error_set(reterr, NX_ENOMEM, "time zone");
    if (!parse(file, z)) {
        nx_tz_free(z);
        return nx_error_set(reterr, NX_ECORRUPT, "not a time zone's file (RFC 9636), or one with leap seconds");
    }
    *ret = z;
    return NX_OK;
}

void nx_tz_free(nx_tz *z)
{
    if (!z) return;
    free(z->at_s);
    free(z->offset_s);
    free(z);
}

/* ---- loading ------------------------------------------------------------------------------------------------------------------------------- */

/* "Europe/Berlin": never a way out of the folder. */
static bool is_name(nx_slice s)
{
    if (!s.n || s.n > NX_TZ_NAME_BYTES) return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '+';
        if (!is_word && !(c == '/' && i > 0 && i + 1 < s.n && s.p[i - 1] != '/')) return false;
    }
    return true;
}

static nx_err read_file(const char *path, nx_buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    if (fd < 0) return nx_err_from_errno(errno);
    nx_err err = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= FILE_BYTES ? NX_OK : NX_ENOENT;
    while (err == NX_OK) {
        char piece[4096];
        ssize_t k = read(fd, piece, sizeof piece);
        if (k == 0) break;
        if (k > 0)
            err = nx_buf_append(out, piece, (size_t)k);
        else if (errno != EINTR)
            err = nx_err_from_errno(errno);
    }
    close(fd);
    return err;
}

nx_err nx_tz_load(nx_slice name, nx_tz **ret, nx_error *reterr)
{
    char path[512];
    const char *dir = getenv("TZDIR");
    NX_CLEANUP(nx_buf_done)
    nx_buf file = NX_BUF_INIT(FILE_BYTES);
    if (!is_name(name)) return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is not a time zone (try Europe/Berlin)", (int)(name.n > 64 ? 64 : name.n), name.p ? name.p : "");
    *ret = NULL;
    if (nx_slice_eq_cstr(name, "UTC")) return NX_OK;
    if ((size_t)snprintf(path, sizeof path, "%s/%.*s", dir && dir[0] == '/' ? dir : "/usr/share/zoneinfo", NX_SLICE_FMT(name)) >= sizeof path)
        return nx_error_set(reterr, NX_EINVAL, "TZDIR is too long");
    nx_err err = read_file(path, &file);
    if (err == NX_ENOMEM) return nx_error_set(reterr, err, "time zone");
    if (err != NX_OK)
        return nx_error_set(reterr, NX_ENOENT, "\"%.*s\" is not a time zone that this machine knows (try Europe/Berlin; is tzdata installed?)", NX_SLICE_FMT(name));
    return nx_tz_parse(nx_buf_view(&file), ret, reterr);
}

/* ---- asking ---------------------------------------------------------------------------------------------------------------------------------- */

typedef struct tz_change {
    int64_t at_s;
    int32_t offset_s;
} tz_change;

/* The rule's changes of the years around a moment, in order. */
static unsigned rule_changes(const nx_tz *z, int64_t at_s, tz_change out[6])
{
    int64_t this_year = nx_civil_of(nx_floor_div(at_s, 86400)).year;
    unsigned n = 0;
    for (int64_t year = this_year - 1; year <= this_year + 1; year++) {
        out[n++] = (tz_change){rule_local_s(&z->to_dst, year) - z->std_s, z->dst_s};
        out[n++] = (tz_change){rule_local_s(&z->to_std, year) - z->dst_s, z->std_s};
    }
    for (unsigned i = 1; i < n; i++)
        for (unsigned k = i; k > 0 && out[k - 1].at_s > out[k].at_s; k--) {
            tz_change t = out[k];
            out[k] = out[k - 1];
            out[k - 1] = t;
        }
    return n;
}

void nx_tz_span_at(const nx_tz *z, int64_t at_s, nx_tz_span *ret)
{
    *ret = (nx_tz_span){INT64_MIN, INT64_MAX, z ? z->first_s : 0, z ? z->first_s : 0};
    if (!z) return;
    unsigned lo = 0, hi = z->n;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (z->at_s[mid] <= at_s)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo > 0) {
        ret->begin_s = z->at_s[lo - 1];
        ret->offset_s = z->offset_s[lo - 1];
        ret->before_s = lo > 1 ? z->offset_s[lo - 2] : z->first_s;
    }
    if (lo < z->n) {
        ret->end_s = z->at_s[lo];
        return;
    }
    tz_change v[6];
    unsigned n = z->has_rules ? rule_changes(z, at_s, v) : 0;
    for (unsigned i = 0; i < n; i++) {
        bool is_undone = i + 1 < n && v[i + 1].at_s == v[i].at_s; /* summer time all year: it ends when it begins */
        if (is_undone || v[i].at_s <= ret->begin_s || v[i].offset_s == ret->offset_s) continue;
        if (v[i].at_s > at_s) {
            ret->end_s = v[i].at_s;
            return;
        }
        ret->before_s = ret->offset_s;
        ret->begin_s = v[i].at_s;
        ret->offset_s = v[i].offset_s;
    }
    if (n) ret->end_s = v[n - 1].at_s > at_s ? v[n - 1].at_s : at_s + 86400; /* nothing changes so far: to be asked again there */
}
