/* clock.c: the node's clocks and the text forms of instants, durations and sizes. */
#include "nx/clock.h"

#include <limits.h>
#include <stdio.h>
#include <time.h>

#include "civil.h"

static uint64_t read_clock(clockid_t id)
{
    struct timespec ts;
    (void)clock_gettime(id, &ts); /* cannot fail for these two clocks */
    return (uint64_t)ts.tv_sec * NX_NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t nx_clock_ns(void) { return read_clock(CLOCK_MONOTONIC); }
uint64_t nx_clock_wall_ns(void) { return read_clock(CLOCK_REALTIME); }

int nx_clock_poll_ms(uint64_t now_ns, uint64_t end_ns)
{
    uint64_t ms = end_ns > now_ns ? (end_ns - now_ns - 1) / NX_NS_PER_MS + 1 : 0;
    return ms < INT_MAX ? (int)ms : INT_MAX;
}

/* ---- RFC 3339 ---- */

static void put_digits(char *out, uint64_t v, int n)
{
    for (int i = n - 1; i >= 0; i--) {
        out[i] = (char)('0' + v % 10);
        v /= 10;
    }
}

size_t nx_clock_rfc3339(uint64_t wall_ns, int fraction_digits, char *out)
{
    uint64_t s = wall_ns / NX_NS_PER_S, of_day = s % 86400;
    nx_civil date = nx_civil_of((int64_t)(s / 86400));

    memcpy(out, "0000-00-00T00:00:00", 19);
    put_digits(out, (uint64_t)date.year, 4);
    put_digits(out + 5, (uint64_t)date.month, 2);
    put_digits(out + 8, (uint64_t)date.day, 2);
    put_digits(out + 11, of_day / 3600, 2);
    put_digits(out + 14, of_day / 60 % 60, 2);
    put_digits(out + 17, of_day % 60, 2);
    size_t n = 19;
    if (fraction_digits > 0) {
        if (fraction_digits > 9) fraction_digits = 9;
        char nine[9];
        put_digits(nine, wall_ns % NX_NS_PER_S, 9);
        out[n++] = '.';
        memcpy(out + n, nine, (size_t)fraction_digits);
        n += (size_t)fraction_digits;
    }
    out[n++] = 'Z';
    out[n] = '\0';
    return n;
}

typedef struct rfc3339 {
    unsigned year, month, day, hour, minute, second, ns;
    int offset_minutes;
} rfc3339;

static bool two_digits(const char *p, unsigned max, unsigned *ret)
{
    if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9') return false;
    *ret = (unsigned)(p[0] - '0') * 10 + (unsigned)(p[1] - '0');
    return *ret <= max;
}

static bool scan_fraction(nx_slice s, size_t *at, unsigned *ret_ns)
{
    size_t digits = 0;
    unsigned ns = 0;
    while (*at < s.n && s.p[*at] >= '0' && s.p[*at] <= '9') {
        if (digits < 9) ns = ns * 10 + (unsigned)(s.p[*at] - '0'); /* finer than a nanosecond is dropped */
        digits++;
        (*at)++;
    }
    if (digits == 0) return false;
    for (; digits < 9; digits++) ns *= 10;
    *ret_ns = ns;
    return true;
}

/* The grammar of RFC 3339 section 5.6 with the limits of 5.7; a leap second (":60") is taken at any minute. */
static bool scan_rfc3339(nx_slice s, rfc3339 *t)
{
    unsigned century, hour, minute;
    *t = (rfc3339){0};
    if (s.n < 20) return false;
    const char *p = s.p;
    if (!two_digits(p, 99, &century) || !two_digits(p + 2, 99, &t->year) || p[4] != '-' || !two_digits(p + 5, 12, &t->month) ||
        p[7] != '-' || !two_digits(p + 8, 31, &t->day) || (p[10] != 'T' && p[10] != 't') || !two_digits(p + 11, 23, &t->hour) ||
        p[13] != ':' || !two_digits(p + 14, 59, &t->minute) || p[16] != ':' || !two_digits(p + 17, 60, &t->second))
        return false;
    t->year += century * 100;
    if (t->month == 0 || t->day == 0 || t->day > (unsigned)nx_month_days(t->year, (int)t->month)) return false;
    size_t at = 19;
    if (p[at] == '.') {
        at++;
        if (!scan_fraction(s, &at, &t->ns)) return false;
    }
    if (at >= s.n) return false;
    if (p[at] == 'Z' || p[at] == 'z') return at + 1 == s.n;
    if ((p[at] != '+' && p[at] != '-') || s.n - at != 6) return false;
    if (!two_digits(p + at + 1, 23, &hour) || p[at + 3] != ':' || !two_digits(p + at + 4, 59, &minute)) return false;
    t->offset_minutes = (int)(hour * 60 + minute) * (p[at] == '-' ? -1 : 1);
    return true;
}

bool nx_clock_is_rfc3339(nx_slice s)
{
    rfc3339 t;
    return scan_rfc3339(s, &t);
}

nx_err nx_clock_parse_rfc3339(nx_slice s, uint64_t *ret_wall_ns)
{
    rfc3339 t;
    if (!scan_rfc3339(s, &t)) return NX_EPARSE;
    int64_t days = nx_days_of(t.year, (int)t.month, (int)t.day);
    int64_t secs = days * 86400 + (int64_t)t.hour * 3600 + ((int64_t)t.minute - t.offset_minutes) * 60 + (int64_t)t.second;
    /* 2262-04-11T23:47:16Z is the last whole second of a signed 64-bit count of ns, which other systems use. */
    if (secs < 0 || secs > INT64_MAX / (int64_t)NX_NS_PER_S - 1) return NX_EPARSE;
    *ret_wall_ns = (uint64_t)secs * NX_NS_PER_S + t.ns;
    return NX_OK;
}

/* ---- numbers with units ---- */

typedef struct unit {
    const char *name;
    uint64_t factor;
} unit;

static const unit duration_units[] = {
    /* from large to small */
    {"d", 86400 * NX_NS_PER_S},
    {"h", 3600 * NX_NS_PER_S},
    {"m", 60 * NX_NS_PER_S},
    {"s", NX_NS_PER_S},
    {"ms", NX_NS_PER_MS},
    {"us", 1000},
    {"ns", 1},
};

/* "12" or "12.5" at *at; the fraction as digits over 10^n_fraction. */
static nx_err scan_number(nx_slice s, size_t *at, uint64_t *ret_whole, uint64_t *ret_fraction, unsigned *ret_digits)
{
    size_t from = *at;
    uint64_t whole = 0, fraction = 0;
    unsigned digits = 0;
    bool is_over = false;
    for (; *at < s.n && s.p[*at] >= '0' && s.p[*at] <= '9'; (*at)++)
        if (__builtin_mul_overflow(whole, 10u, &whole) || __builtin_add_overflow(whole, (uint64_t)(s.p[*at] - '0'), &whole))
            is_over = true;
    if (*at == from) return NX_EPARSE;
    if (*at < s.n && s.p[*at] == '.') {
        size_t dot = (*at)++;
        for (; *at < s.n && s.p[*at] >= '0' && s.p[*at] <= '9'; (*at)++) {
            if (++digits > 15) return NX_EPARSE;
            fraction = fraction * 10 + (uint64_t)(s.p[*at] - '0');
        }
        if (*at == dot + 1) return NX_EPARSE;
    }
    *ret_whole = whole;
    *ret_fraction = fraction;
    *ret_digits = digits;
    return is_over ? NX_ELIMIT : NX_OK;
}

/* (whole + fraction / 10^digits) * factor, which must come out whole. */
static nx_err scale(uint64_t whole, uint64_t fraction, unsigned digits, uint64_t factor, uint64_t *ret)
{
    unsigned __int128 part = (unsigned __int128)fraction * factor;
    for (unsigned i = 0; i < digits; i++) {
        if (part % 10) return NX_EPARSE;
        part /= 10;
    }
    if (__builtin_mul_overflow(whole, factor, ret) || __builtin_add_overflow(*ret, (uint64_t)part, ret)) return NX_ELIMIT;
    return NX_OK;
}

nx_err nx_duration_parse(nx_slice s, uint64_t *ret_ns)
{
    if (nx_slice_eq_cstr(s, "0")) {
        *ret_ns = 0;
        return NX_OK;
    }
    if (s.n == 0) return NX_EPARSE;
    uint64_t total = 0;
    bool is_over = false;
    size_t at = 0, next_unit = 0; /* units may only get smaller: "5s5s" is a slip, not ten seconds */
    while (at < s.n) {
        uint64_t whole, fraction, ns;
        unsigned digits;
        nx_err err = scan_number(s, &at, &whole, &fraction, &digits);
        if (err == NX_EPARSE) return err;
        is_over |= err == NX_ELIMIT;
        size_t name_from = at;
        while (at < s.n && s.p[at] >= 'a' && s.p[at] <= 'z') at++;
        nx_slice name = nx_slice_sub(s, name_from, at - name_from);
        size_t u = next_unit;
        while (u < NX_ARRAY_LEN(duration_units) && !nx_slice_eq_cstr(name, duration_units[u].name)) u++;
        if (u == NX_ARRAY_LEN(duration_units)) return NX_EPARSE;
        next_unit = u + 1;
        err = scale(whole, fraction, digits, duration_units[u].factor, &ns);
        if (err == NX_EPARSE) return err;
        is_over |= err == NX_ELIMIT || __builtin_add_overflow(total, ns, &total);
    }
    if (is_over) return NX_ELIMIT;
    *ret_ns = total;
    return NX_OK;
}

/* v * 10^-9-exact decimal of ns in a unit, without trailing zeros: 1500000 in ms is "1.5". */
static int put_decimal(char *out, size_t out_bytes, uint64_t ns, const unit *u)
{
    int n = snprintf(out, out_bytes, "%llu", (unsigned long long)(ns / u->factor));
    uint64_t rest = ns % u->factor;
    if (rest) {
        out[n++] = '.';
        for (uint64_t f = u->factor / 10; rest && f; f /= 10) {
            out[n++] = (char)('0' + rest / f);
            rest %= f;
        }
    }
    return n + snprintf(out + n, out_bytes - (size_t)n, "%s", u->name);
}

size_t nx_duration_format(uint64_t ns, char *out)
{
    if (ns == 0) {
        memcpy(out, "0s", 3);
        return 2;
    }
    char single[48], mixed[64];
    size_t u = 0;
    while (ns % duration_units[u].factor) u++; /* ends at "ns" */
    int single_n = snprintf(single, sizeof single, "%llu%s", (unsigned long long)(ns / duration_units[u].factor), duration_units[u].name);

    int mixed_n = 0;
    uint64_t rest = ns;
    for (u = 0; u < NX_ARRAY_LEN(duration_units) && rest; u++) {
        if (rest < duration_units[u].factor) continue;
        if (u < 3) { /* d, h, m: whole; what is left is one decimal number in the largest unit that it fills */
            mixed_n += snprintf(mixed + mixed_n, sizeof mixed - (size_t)mixed_n, "%llu%s",
                                (unsigned long long)(rest / duration_units[u].factor), duration_units[u].name);
            rest %= duration_units[u].factor;
        } else {
            mixed_n += put_decimal(mixed + mixed_n, sizeof mixed - (size_t)mixed_n, rest, &duration_units[u]);
            rest = 0;
        }
    }
    const char *best = single_n <= mixed_n ? single : mixed;
    size_t n = strlen(best);
    memcpy(out, best, n + 1);
    return n;
}

static const unit size_units[] = {
    {"Ki", 1ull << 10},
    {"Mi", 1ull << 20},
    {"Gi", 1ull << 30},
    {"Ti", 1ull << 40},
    {"k", 1000ull},
    {"M", 1000000ull},
    {"G", 1000000000ull},
    {"T", 1000000000000ull},
};

nx_err nx_size_parse(nx_slice s, uint64_t *ret_bytes)
{
    size_t at = 0;
    uint64_t whole, fraction, factor = 1;
    unsigned digits;
    nx_err number_err = scan_number(s, &at, &whole, &fraction, &digits);
    if (number_err == NX_EPARSE) return NX_EPARSE;
    nx_slice name = nx_slice_sub(s, at, s.n - at);
    if (nx_slice_ends(name, NX_SLICE("B"))) name.n--;
    if (name.n) {
        size_t u = 0;
        while (u < NX_ARRAY_LEN(size_units) && !nx_slice_eq_cstr(name, size_units[u].name)) u++;
        if (u == NX_ARRAY_LEN(size_units)) return NX_EPARSE;
        factor = size_units[u].factor;
    }
    nx_err err = scale(whole, fraction, digits, factor, ret_bytes);
    return err ? err : number_err;
}

size_t nx_size_format(uint64_t bytes, char *out)
{
    char best[32];
    size_t best_n = (size_t)snprintf(best, sizeof best, "%llu", (unsigned long long)bytes);
    for (size_t u = 0; bytes && u < NX_ARRAY_LEN(size_units); u++) {
        char tmp[32];
        if (bytes % size_units[u].factor) continue;
        size_t n = (size_t)snprintf(tmp, sizeof tmp, "%llu%s", (unsigned long long)(bytes / size_units[u].factor), size_units[u].name);
        if (n < best_n || (n == best_n && u < 4)) {
            memcpy(best, tmp, n + 1);
            best_n = n;
        }
    }
    memcpy(out, best, best_n + 1);
    return best_n;
}

nx_err nx_clock_parse_when(const char *name, nx_slice s, uint64_t now_wall_ns, uint64_t *ret_wall_ns, nx_error *reterr)
{
    uint64_t ago;
    if (nx_clock_parse_rfc3339(s, ret_wall_ns) == NX_OK)
        return NX_OK;
    if (nx_duration_parse(s, &ago) != NX_OK)
        return nx_error_set(reterr, NX_EINVAL, "%s: \"%.*s\" is neither a time (2025-11-26T10:23:45Z) nor a duration before now (1h)", name, NX_SLICE_FMT(s));
    *ret_wall_ns = ago < now_wall_ns ? now_wall_ns - ago : 0;
    return NX_OK;
}
