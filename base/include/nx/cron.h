/* nx/cron.h: schedules: five-field cron expressions with a time zone, and fixed intervals.
 * Why:       every node has to come to the same ticks, so they are computed here, from the text alone, and never from the process's own zone.
 * Form:      [TZ=<zone> ] then one of  "minute hour day month weekday"  |  @yearly @annually @monthly @weekly @daily @midnight @hourly
 *            |  @every <duration>. A field is *, n, a-b, any of them with /step, or a list of these; months and weekdays also as JAN, MON (0 and
 *            7 are Sunday). Where both day and weekday are restricted (neither begins with *), one of them has to match, as in crontab(5).
 *            @every counts from 1970: "@every 6h" ticks at 00:00, 06:00, … UTC, on every node alike.
 * Zones:     IANA names, read from $TZDIR or /usr/share/zoneinfo; UTC needs no file, and is what is meant without TZ=.
 * Clocks that change: a time of day that is skipped ticks at the moment of the jump (once, however many ticks were skipped), and one that comes
 *            twice ticks the first time only. Not so where the hour field begins with *: "0 * * * *" simply ticks every hour that passes.
 * Ownership: nx_cron holds its zone until nx_cron_done().
 * Threads:   any; a parsed schedule is never written to.
 * Source:    crontab(5) of Vixie cron, RFC 9636 (TZif), POSIX.1 8.3 (TZ). */
#ifndef NX_CRON_H
#define NX_CRON_H
#include "nx/err.h"
#include "nx/slice.h"

/* ---- time zones: tz.c */
typedef struct nx_tz nx_tz;
typedef struct nx_tz_span { /* between two changes of the offset */
    int64_t begin_s, end_s; /* seconds since 1970; INT64_MIN, INT64_MAX: none */
    int32_t offset_s;       /* local time minus UTC */
    int32_t before_s;       /* the offset before begin_s */
} nx_tz_span;

#define NX_TZ_NAME_BYTES 64
nx_err nx_tz_load(nx_slice name, nx_tz **ret, nx_error *reterr);   /* BLOCKING (a file). NX_EINVAL: no such name; NX_ENOENT: no such zone here. UTC: *ret NULL */
nx_err nx_tz_parse(nx_slice file, nx_tz **ret, nx_error *reterr);  /* a TZif file's bytes; NX_ECORRUPT */
void nx_tz_free(nx_tz *z);                                         /* NULL allowed */
void nx_tz_span_at(const nx_tz *z, int64_t at_s, nx_tz_span *ret); /* NULL: UTC */

/* ---- schedules: cron.c */
typedef struct nx_cron {
    uint64_t minutes;
    uint32_t hours, days, months, weekdays; /* bits; days from 1, months from 1, Sunday 0 */
    bool any_hour, any_day, any_weekday;    /* the field begins with * */
    uint64_t every_ns;                      /* not 0: an interval, and nothing else counts */
    nx_tz *tz;
} nx_cron;

#define NX_CRON_BYTES 256
nx_err nx_cron_parse(nx_slice text, nx_cron *ret, nx_error *reterr); /* BLOCKING (the zone's file). NX_EINVAL, NX_ENOENT */
void nx_cron_done(nx_cron *c);
/* The first tick after a moment. NX_ENOENT: none before the end of nx's time (2262). */
nx_err nx_cron_next(const nx_cron *c, uint64_t after_wall_ns, uint64_t *ret_wall_ns);
/* The last tick that is not after `until`, of `tick` and those that follow it. */
uint64_t nx_cron_latest(const nx_cron *c, uint64_t tick_wall_ns, uint64_t until_wall_ns);
#endif
