/* cron.c: when a schedule ticks. Local time runs straight between two changes of the zone's offset, so ticks are looked for span by span. */
#include "nx/cron.h"

#include <stdio.h>
#include <string.h>

#include "civil.h"
#include "nx/clock.h"

#define HORIZON_S (9 * 366 * 86400ll) /* 29 February comes at least once in so long */
#define LAST_S 9214646400ll           /* 2262-01-01: where nx's text form of time ends */
#define DAY_S 86400
#define EVERY_MAX_NS (366 * 86400ull * NX_NS_PER_S)

/* ---- parsing -------------------------------------------------------------------------------------------------------------------------------- */

typedef struct field {
    const char *name;
    unsigned min, max;
    const char *words; /* three letters each, from min on */
} field;

static const field fields[] = {
    {"minute", 0, 59, ""},
    {"hour", 0, 23, ""},
    {"day", 1, 31, ""},
    {"month", 1, 12, "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"},
    {"weekday", 0, 7, "SUNMONTUEWEDTHUFRISAT"},
};

static bool parse_value(const field *f, nx_slice s, unsigned *ret)
{
    uint64_t v;
    for (size_t i = 0; s.n == 3 && f->words[i]; i += 3)
        if (nx_slice_ieq(s, nx_slice_make(f->words + i, 3))) {
            *ret = f->min + (unsigned)(i / 3);
            return true;
        }
    if (s.n == 0 || s.n > 2 || nx_slice_u64(s, 99, &v) != NX_OK) return false;
    *ret = (unsigned)v;
    return v >= f->min && v <= f->max;
}

static nx_err parse_item(const field *f, nx_slice item, uint64_t *bits, nx_error *reterr)
{
    nx_slice step_text, to_text, range = nx_slice_split(item, '/', &step_text);
    bool has_step = range.n != item.n;
    nx_slice from_text = nx_slice_split(range, '-', &to_text);
    bool has_to = from_text.n != range.n;
    unsigned from = f->min, to = f->max;
    uint64_t step = 1;

    if (!nx_slice_eq_cstr(range, "*")) {
        if (!parse_value(f, from_text, &from) || (has_to && !parse_value(f, to_text, &to)))
            return nx_error_set(reterr, NX_EINVAL, "%s: \"%.*s\" is not in %u-%u", f->name, NX_SLICE_FMT(item), f->min, f->max);
        if (!has_to && !has_step) to = from;
        if (to < from) return nx_error_set(reterr, NX_EINVAL, "%s: \"%.*s\" goes backwards", f->name, NX_SLICE_FMT(item));
    }
    if (has_step && (nx_slice_u64(step_text, f->max, &step) != NX_OK || step == 0))
        return nx_error_set(reterr, NX_EINVAL, "%s: \"%.*s\" has no step from 1 to %u", f->name, NX_SLICE_FMT(item), f->max);
    for (unsigned v = from; v <= to; v += (unsigned)step) *bits |= 1ull << v;
    return NX_OK;
}

static nx_err parse_field(const field *f, nx_slice text, uint64_t *bits, nx_error *reterr)
{
    *bits = 0;
    for (nx_slice rest = text;;) {
        nx_slice item = nx_slice_split(rest, ',', &rest);
        nx_err err = parse_item(f, item, bits, reterr);
        if (err != NX_OK || item.p + item.n == text.p + text.n) return err;
    }
}

static nx_slice next_word(nx_slice *s)
{
    size_t n = 0;
    *s = nx_slice_trim(*s);
    while (n < s->n && s->p[n] != ' ' && s->p[n] != '\t') n++;
    nx_slice word = nx_slice_sub(*s, 0, n);
    *s = nx_slice_sub(*s, n, s->n);
    return word;
}

static nx_err parse_fields(nx_cron *c, nx_slice text, nx_error *reterr)
{
    nx_slice words[NX_ARRAY_LEN(fields)];
    uint64_t bits[NX_ARRAY_LEN(fields)];
    unsigned n = 0;
    for (nx_slice rest = text, w; (w = next_word(&rest)).n > 0; n++)
        if (n < NX_ARRAY_LEN(words)) words[n] = w;
    if (n != NX_ARRAY_LEN(words)) return nx_error_set(reterr, NX_EINVAL, "a schedule has 5 fields (minute hour day month weekday), not %u", n);
    for (unsigned i = 0; i < n; i++) {
        nx_err err = parse_field(&fields[i], words[i], &bits[i], reterr);
        if (err != NX_OK) return err;
    }
    c->minutes = bits[0];
    c->hours = (uint32_t)bits[1];
    c->days = (uint32_t)bits[2];
    c->months = (uint32_t)bits[3];
    c->weekdays = (uint32_t)((bits[4] | bits[4] >> 7) & 0x7f); /* 7 is Sunday too */
    c->any_hour = words[1].p[0] == '*';
    c->any_day = words[2].p[0] == '*';
    c->any_weekday = words[4].p[0] == '*';
    for (int month = 1; month <= 12; month++)
        if (c->months >> month & 1 && (c->days & ((2ull << nx_month_days(2000, month)) - 2))) return NX_OK;
    return !c->any_weekday ? NX_OK : nx_error_set(reterr, NX_EINVAL, "no month of it has such a day: it never ticks");
}

static nx_err parse_every(nx_cron *c, nx_slice text, nx_error *reterr)
{
    if (nx_duration_parse(nx_slice_trim(text), &c->every_ns) == NX_OK && c->every_ns >= NX_NS_PER_S && c->every_ns <= EVERY_MAX_NS) return NX_OK;
    c->every_ns = 0;
    return nx_error_set(reterr, NX_EINVAL, "@every takes a duration from 1s to 366d");
}

static nx_err parse_named(nx_cron *c, nx_slice text, nx_error *reterr)
{
    static const char *const names[][2] = {
        {"@yearly", "0 0 1 1 *"},
        {"@annually", "0 0 1 1 *"},
        {"@monthly", "0 0 1 * *"},
        {"@weekly", "0 0 * * 0"},
        {"@daily", "0 0 * * *"},
        {"@midnight", "0 0 * * *"},
        {"@hourly", "0 * * * *"},
    };
    nx_slice rest = text, word = next_word(&rest);
    if (nx_slice_eq_cstr(word, "@every")) return parse_every(c, rest, reterr);
    for (size_t i = 0; i < NX_ARRAY_LEN(names); i++)
        if (nx_slice_eq_cstr(text, names[i][0])) return parse_fields(c, nx_slice_cstr(names[i][1]), reterr);
    return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is none of @yearly, @monthly, @weekly, @daily, @hourly, @every", (int)(text.n > 64 ? 64 : text.n), text.p);
}

nx_err nx_cron_parse(nx_slice text, nx_cron *ret, nx_error *reterr)
{
    nx_cron c = {0};
    nx_slice rest = nx_slice_trim(text), zone = NX_SLICE_NULL;
    if (text.n > NX_CRON_BYTES) return nx_error_set(reterr, NX_EINVAL, "a schedule has at most %u bytes", NX_CRON_BYTES);
    if (nx_slice_starts(rest, NX_SLICE("TZ="))) {
        nx_slice word = next_word(&rest);
        zone = nx_slice_sub(word, 3, word.n);
        rest = nx_slice_trim(rest);
    }
    nx_err err = nx_slice_starts(rest, NX_SLICE("@")) ? parse_named(&c, rest, reterr) : parse_fields(&c, rest, reterr);
    if (err == NX_OK && zone.p && c.every_ns) err = nx_error_set(reterr, NX_EINVAL, "an interval has no time zone");
    if (err == NX_OK && zone.p) err = nx_tz_load(zone, &c.tz, reterr);
    if (err == NX_OK) *ret = c;
    return err;
}

void nx_cron_done(nx_cron *c)
{
    nx_tz_free(c->tz);
    *c = (nx_cron){0};
}

/* ---- ticks ------------------------------------------------------------------------------------------------------------------------------------ */

static bool day_matches(const nx_cron *c, int64_t days, const nx_civil *date)
{
    bool day = c->days >> date->day & 1, weekday = c->weekdays >> nx_weekday(days) & 1;
    if (!(c->months >> date->month & 1)) return false;
    return c->any_day || c->any_weekday ? day && weekday : day || weekday;
}

/* The first matching minute of that day from `minute` on, or -1. */
static int time_of_day(const nx_cron *c, int minute)
{
    for (; minute < 24 * 60; minute = (minute / 60 + 1) * 60) {
        if (!(c->hours >> (minute / 60) & 1)) continue;
        uint64_t left = c->minutes >> (minute % 60);
        if (left) return minute + __builtin_ctzll(left);
    }
    return -1;
}

/* The first tick in local time in [from, to), or INT64_MAX. */
static int64_t first_local(const nx_cron *c, int64_t from_s, int64_t to_s)
{
    int64_t minute = nx_floor_div(from_s + 59, 60);
    for (int64_t days = nx_floor_div(minute, 24 * 60); days * DAY_S < to_s; days++, minute = days * 24 * 60) {
        nx_civil date = nx_civil_of(days);
        if (!(c->months >> date.month & 1)) {
            days += nx_month_days(date.year, date.month) - date.day; /* to the end of the month */
            continue;
        }
        int at = day_matches(c, days, &date) ? time_of_day(c, (int)(minute - days * 24 * 60)) : -1;
        if (at >= 0) {
            int64_t s = days * DAY_S + at * 60;
            return s < to_s ? s : INT64_MAX;
        }
    }
    return INT64_MAX;
}

/* The first tick of the span at or after at_s (seconds since 1970), or INT64_MAX. */
static int64_t first_in_span(const nx_cron *c, const nx_tz_span *sp, int64_t at_s, int64_t limit_s)
{
    int64_t from = at_s + sp->offset_s, to = (sp->end_s < limit_s ? sp->end_s : limit_s) + sp->offset_s;
    if (!c->any_hour && sp->begin_s == at_s && sp->before_s < sp->offset_s && first_local(c, at_s + sp->before_s, from) != INT64_MAX)
        return at_s; /* what the jump skipped */
    if (sp->begin_s != INT64_MIN && sp->before_s > sp->offset_s && !c->any_hour && from < sp->begin_s + sp->before_s)
        from = sp->begin_s + sp->before_s; /* has been already */
    int64_t s = first_local(c, from, to);
    return s == INT64_MAX ? s : s - sp->offset_s;
}

nx_err nx_cron_next(const nx_cron *c, uint64_t after_wall_ns, uint64_t *ret_wall_ns)
{
    if (after_wall_ns / NX_NS_PER_S >= LAST_S) return NX_ENOENT;
    if (c->every_ns) {
        *ret_wall_ns = (after_wall_ns / c->every_ns + 1) * c->every_ns;
        return NX_OK;
    }
    int64_t at = (int64_t)(after_wall_ns / NX_NS_PER_S) + 1, limit = at + HORIZON_S < LAST_S ? at + HORIZON_S : LAST_S;
    while (at < limit) {
        nx_tz_span sp;
        nx_tz_span_at(c->tz, at, &sp);
        int64_t s = first_in_span(c, &sp, at, limit);
        if (s != INT64_MAX) {
            *ret_wall_ns = (uint64_t)s * NX_NS_PER_S;
            return NX_OK;
        }
        at = sp.end_s;
    }
    return NX_ENOENT;
}

uint64_t nx_cron_latest(const nx_cron *c, uint64_t tick_wall_ns, uint64_t until_wall_ns)
{
    static const uint64_t back_s[] = {3600, DAY_S, 32 * DAY_S, 366 * DAY_S}; /* not through every tick of a year */
    uint64_t latest = tick_wall_ns, next;
    if (c->every_ns) return until_wall_ns > latest ? until_wall_ns / c->every_ns * c->every_ns : latest;
    for (size_t i = 0; i < NX_ARRAY_LEN(back_s); i++) {
        uint64_t back_ns = back_s[i] * NX_NS_PER_S;
        if (until_wall_ns < back_ns || until_wall_ns - back_ns <= latest) break;
        if (nx_cron_next(c, until_wall_ns - back_ns, &next) == NX_OK && next <= until_wall_ns) {
            latest = next;
            break;
        }
    }
    while (nx_cron_next(c, latest, &next) == NX_OK && next <= until_wall_ns) latest = next;
    return latest;
}
