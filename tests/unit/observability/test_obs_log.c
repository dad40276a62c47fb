/* The log sink as a whole: what is written, what readers see, drops, flush, stop; several writers and readers at once. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "nx/clock.h"
#include "nx/json.h"
#include "nx/obs_log.h"

#define WAIT_MS 10000u /* far above what anything here takes */
#define T0 (1764152625ull * NX_NS_PER_S)

static nx_obs_log *start(nx_obs_log_options options)
{
    nx_obs_log *log = NULL;
    nx_error err = NX_ERROR_INIT;
    if (nx_obs_log_start(&options, &log, &err) != NX_OK) fail_msg("%s", err.msg);
    return log;
}

static void say(nx_obs_log *log, const nx_log_line *line)
{
    nx_log_sink s = nx_obs_log_sink(log);
    s.write(s.self, line);
}

static FILE *scratch(void)
{
    FILE *f = tmpfile();
    assert_non_null(f);
    return f;
}

static char *content(FILE *f, size_t *ret_n)
{
    off_t n = lseek(fileno(f), 0, SEEK_END);
    char *p = malloc((size_t)n + 1);
    assert_int_equal(pread(fileno(f), p, (size_t)n, 0), n);
    p[n] = '\0';
    if (ret_n) *ret_n = (size_t)n;
    return p;
}

static void test_obs_log_writes_text_and_json(void **state)
{
    (void)state;
    static const char *const want[] = {"[2025-11-26T10:23:45Z INFO user-welcome] [trace=abc] Processing user event\n",
                                       "{\"time\":\"2025-11-26T10:23:45.000Z\",\"level\":\"INFO\",\"component\":\"user-welcome\",\"trace_id\":\"abc\",\"message\":\"Processing user event\"}\n"};
    for (int is_json = 0; is_json < 2; is_json++) {
        FILE *f = scratch();
        nx_obs_log *log = start((nx_obs_log_options){.fd = fileno(f), .is_json = is_json});
        say(log, &(nx_log_line){.wall_ns = T0, .level = NX_LOG_INFO, .component = NX_SLICE("user-welcome"), .trace = NX_SLICE("abc"), .msg = NX_SLICE("Processing user event")});
        assert_int_equal(nx_obs_log_flush(log, WAIT_MS), NX_OK);
        char *text = content(f, NULL);
        assert_string_equal(text, want[is_json]);
        free(text);
        nx_obs_log_stop(log);
        nx_obs_log_free(log);
        fclose(f);
    }
    nx_obs_log_stop(NULL);
    nx_obs_log_free(NULL);
}

static void test_obs_log_stop_writes_what_is_left(void **state)
{
    (void)state;
    FILE *f = scratch();
    nx_obs_log *log = start((nx_obs_log_options){.fd = fileno(f)});
    for (int i = 0; i < 1000; i++) say(log, &(nx_log_line){.wall_ns = T0, .component = NX_SLICE("c"), .msg = NX_SLICE("x")});
    nx_obs_log_stop(log);
    char *text = content(f, NULL);
    size_t lines = 0;
    for (const char *p = text; *p; p++) lines += *p == '\n';
    assert_int_equal(lines, 1000);
    free(text);
    assert_int_equal(nx_obs_log_flush(log, 0), NX_OK);
    nx_obs_log_free(log);
    fclose(f);
}

enum { WRITERS = 4,
       EACH = 5000 };
typedef struct writing {
    nx_obs_log *log;
    unsigned id;
} writing;

static void *write_lines(void *self)
{
    const writing *w = self;
    char msg[32], component[8];
    int c = snprintf(component, sizeof component, "w%u", w->id);
    for (unsigned i = 0; i < EACH; i++) {
        int n = snprintf(msg, sizeof msg, "line %u", i);
        say(w->log, &(nx_log_line){.wall_ns = T0, .level = NX_LOG_INFO, .component = nx_slice_make(component, (size_t)c), .msg = nx_slice_make(msg, (size_t)n)});
    }
    return NULL;
}

typedef struct reading {
    nx_obs_log *log;
    const char *component;
    unsigned n_lines, n_gap;
    bool is_ordered;
} reading;

static void count_line(reading *r, nx_slice line)
{
    nx_json *j = NULL;
    if (nx_json_parse(line, SIZE_MAX, &j, NULL) != NX_OK) {
        r->is_ordered = false;
        return;
    }
    if (nx_slice_eq_cstr(nx_json_get_str(j, "event"), "log.gap")) {
        uint64_t missed = 0;
        (void)nx_slice_u64(nx_json_get_str(j, "lines"), UINT64_MAX, &missed);
        r->n_gap += (unsigned)missed;
    } else {
        uint64_t number = UINT64_MAX;
        nx_slice msg = nx_json_get_str(j, "message");
        (void)nx_slice_u64(nx_slice_sub(msg, 5, msg.n), UINT64_MAX, &number);
        if (!nx_slice_eq_cstr(nx_json_get_str(j, "component"), r->component) || (r->n_gap == 0 && number != r->n_lines)) r->is_ordered = false;
        r->n_lines++;
    }
    nx_json_free(j);
}

static void *read_lines(void *self)
{
    reading *r = self;
    uint64_t cursor = 0;
    nx_buf b = NX_BUF_INIT(8192);
    nx_obs_log_filter filter = {.function = nx_slice_cstr(r->component)};
    for (;;) {
        nx_buf_clear(&b);
        nx_err err = nx_obs_log_read(r->log, &cursor, WAIT_MS, &filter, &b);
        if (err == NX_ECLOSED) break;
        if (err != NX_OK) abort();
        for (nx_slice rest = nx_buf_view(&b); rest.n;) count_line(r, nx_slice_split(rest, '\n', &rest));
    }
    nx_buf_done(&b);
    return NULL;
}

/* Nothing is lost, torn or out of a writer's order, in the file and at the followers; the ring is large enough for all. */
static void test_obs_log_many_writers_and_readers(void **state)
{
    (void)state;
    FILE *f = scratch();
    nx_obs_log *log = start((nx_obs_log_options){.fd = fileno(f), .ring_bytes = 4u << 20, .history_lines = WRITERS * EACH, .history_bytes = 4u << 20});
    writing w[WRITERS];
    reading r[2] = {{.log = log, .component = "w0", .is_ordered = true}, {.log = log, .component = "w3", .is_ordered = true}};
    pthread_t wt[WRITERS], rt[2];
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&rt[i], NULL, read_lines, &r[i]), 0);
    for (unsigned i = 0; i < WRITERS; i++) {
        w[i] = (writing){log, i};
        assert_int_equal(pthread_create(&wt[i], NULL, write_lines, &w[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) pthread_join(wt[i], NULL);
    assert_int_equal(nx_obs_log_flush(log, WAIT_MS), NX_OK);
    assert_int_equal(nx_obs_log_dropped(log), 0);
    nx_obs_log_stop(log);
    for (int i = 0; i < 2; i++) {
        pthread_join(rt[i], NULL);
        assert_true(r[i].is_ordered);
        assert_int_equal(r[i].n_lines, EACH);
        assert_int_equal(r[i].n_gap, 0);
    }
    char *text = content(f, NULL);
    unsigned next[WRITERS] = {0};
    for (nx_slice line, rest = nx_slice_cstr(text); rest.n;) {
        unsigned id = 99, number = 0;
        line = nx_slice_split(rest, '\n', &rest);
        if (sscanf(line.p, "[2025-11-26T10:23:45Z INFO w%u] line %u\n", &id, &number) != 2 || id >= WRITERS || number != next[id]++)
            fail_msg("%.*s", NX_SLICE_FMT(line));
    }
    for (int i = 0; i < WRITERS; i++) assert_int_equal(next[i], EACH);
    free(text);
    nx_obs_log_free(log);
    fclose(f);
}

typedef struct stopping {
    nx_obs_log *log;
    int fd;
} stopping;

static void *stop_and_close(void *self)
{
    const stopping *s = self;
    nx_obs_log_stop(s->log);
    close(s->fd);
    return NULL;
}

/* A reader of the pipe that does not read stops the thread, never the callers; what was lost is told. */
static void test_obs_log_drops_with_count_when_full(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    nx_obs_log *log = start((nx_obs_log_options){.fd = fds[1], .ring_bytes = 4096});
    char msg[900];
    memset(msg, 'm', sizeof msg);
    unsigned said = 0;
    /* Until the thread stands in write(2): the pipe holds 64 KiB, its buffer as much, the ring 4 KiB. */
    while (nx_obs_log_flush(log, 20) != NX_ETIMEOUT) {
        for (int i = 0; i < 20; i++, said++) say(log, &(nx_log_line){.wall_ns = T0, .component = NX_SLICE("c"), .msg = nx_slice_make(msg, sizeof msg)});
        assert_true(said < 10000);
    }
    for (int i = 0; i < 20; i++, said++) say(log, &(nx_log_line){.wall_ns = T0, .component = NX_SLICE("c"), .msg = nx_slice_make(msg, sizeof msg)});
    assert_true(nx_obs_log_dropped(log) >= 10);
    char *all = malloc(16u << 20), piece[65536];
    size_t n = 0;
    pthread_t t;
    stopping end = {log, fds[1]}; /* draining has to go on while the log stops */
    assert_int_equal(pthread_create(&t, NULL, stop_and_close, &end), 0);
    for (ssize_t got; (got = read(fds[0], piece, sizeof piece)) > 0; n += (size_t)got) memcpy(all + n, piece, (size_t)got);
    pthread_join(t, NULL);
    all[n] = '\0';
    unsigned lines = 0;
    for (const char *p = all; (p = strstr(p, " c] mmm")) != NULL; p++) lines++;
    uint64_t told = 0;
    for (const char *p = all; (p = strstr(p, "dropped because")) != NULL; p++) told += strtoull(strstr(p, "lines=") + 6, NULL, 10);
    assert_int_equal(told, nx_obs_log_dropped(log));
    assert_int_equal(lines + told, said);
    free(all);
    close(fds[0]);
    nx_obs_log_free(log);
}

static unsigned lines_of(nx_obs_log *log, nx_obs_log_filter filter)
{
    uint64_t cursor = 0;
    unsigned n = 0;
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(65536);
    while (nx_obs_log_read(log, &cursor, 0, &filter, &b) == NX_OK) {
        for (size_t i = 0; i < b.n; i++) n += b.p[i] == '\n';
        nx_buf_clear(&b);
    }
    return n;
}

static void test_obs_log_filters(void **state)
{
    (void)state;
    nx_obs_log *log = start((nx_obs_log_options){.fd = -1});
    say(log, &(nx_log_line){.wall_ns = 10, .level = NX_LOG_INFO, .component = NX_SLICE("nexus"), .function = NX_SLICE("f"), .trace = NX_SLICE("abc"), .event_id = NX_SLICE("E1"), .run_id = NX_SLICE("R1"), .ns = NX_SLICE("default")});
    say(log, &(nx_log_line){.wall_ns = 20, .level = NX_LOG_WARN, .component = NX_SLICE("f"), .trace = NX_SLICE("abc-replay"), .event_id = NX_SLICE("E1")});
    say(log, &(nx_log_line){.wall_ns = 30, .level = NX_LOG_ERROR, .component = NX_SLICE("g"), .trace = NX_SLICE("abcd")});
    assert_int_equal(nx_obs_log_flush(log, WAIT_MS), NX_OK);
    assert_int_equal(lines_of(log, (nx_obs_log_filter){.min_level = NX_LOG_DEBUG}), 3);
    assert_int_equal(lines_of(log, (nx_obs_log_filter){.function = NX_SLICE("f")}), 2);
    assert_int_equal(lines_of(log, (nx_obs_log_filter){.trace = NX_SLICE("abc")}), 2);
    assert_int_equal(lines_of(log, (nx_obs_log_filter){.trace = NX_SLICE("abcd")}), 1);
    assert_int_equal(lines_of(log, (nx_obs_log_filter){.trace = NX_SLICE("ab")}), 0);
    assert_int_equal(lines_of(log, (nx_obs_log_filter){.event_id = NX_SLICE("E1"), .min_level = NX_LOG_WARN}), 1);
    assert_int_equal(lines_of(log, (nx_obs_log_filter){.run_id = NX_SLICE("R1")}), 1);
    assert_int_equal(lines_of(log, (nx_obs_log_filter){.ns = NX_SLICE("other")}), 0);
    assert_int_equal(lines_of(log, (nx_obs_log_filter){.since_wall_ns = 20}), 2);
    nx_obs_log_free(log); /* stops it, too */
}

static void test_obs_log_cursors_and_gaps(void **state)
{
    (void)state;
    nx_obs_log *log = start((nx_obs_log_options){.fd = -1, .history_lines = 10});
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(65536);
    const nx_log_line line = {.wall_ns = T0, .component = NX_SLICE("c"), .msg = NX_SLICE("x")};
    uint64_t cursor = 0, newest = NX_OBS_LOG_NEW_ONLY;
    say(log, &line);
    assert_int_equal(nx_obs_log_flush(log, WAIT_MS), NX_OK);
    assert_int_equal(nx_obs_log_read(log, &newest, 0, NULL, &b), NX_ETIMEOUT);
    assert_int_equal(nx_obs_log_read(log, &cursor, 0, NULL, &b), NX_OK);
    assert_int_equal(nx_obs_log_read(log, &cursor, 0, NULL, &b), NX_ETIMEOUT);
    uint64_t before = nx_clock_ns();
    assert_int_equal(nx_obs_log_read(log, &cursor, 30, NULL, &b), NX_ETIMEOUT);
    assert_true(nx_clock_ns() - before >= 30 * NX_NS_PER_MS);
    for (int i = 0; i < 25; i++) say(log, &line);
    assert_int_equal(nx_obs_log_flush(log, WAIT_MS), NX_OK);
    nx_buf_clear(&b);
    assert_int_equal(nx_obs_log_read(log, &cursor, 0, NULL, &b), NX_OK);
    assert_non_null(strstr(nx_buf_cstr(&b), "\"event\":\"log.gap\""));
    assert_non_null(strstr(nx_buf_cstr(&b), "\"lines\":\"15\"}\n"));
    unsigned n = 0;
    for (size_t i = 0; i < b.n; i++) n += b.p[i] == '\n';
    assert_int_equal(n, 11);
    nx_buf_clear(&b);
    assert_int_equal(nx_obs_log_read(log, &newest, 0, NULL, &b), NX_OK); /* began behind the first line */
    cursor = nx_obs_log_cursor_back(log, 3);
    nx_buf_clear(&b);
    assert_int_equal(nx_obs_log_read(log, &cursor, 0, NULL, &b), NX_OK);
    n = 0;
    for (size_t i = 0; i < b.n; i++) n += b.p[i] == '\n';
    assert_int_equal(n, 3);
    cursor = nx_obs_log_cursor_back(log, 1000);
    nx_buf small = NX_BUF_INIT(150); /* room for one line at a time */
    for (n = 0; nx_obs_log_read(log, &cursor, 0, NULL, &small) == NX_OK; n++) nx_buf_clear(&small);
    assert_int_equal(n, 10);
    nx_buf_done(&small);
    cursor = nx_obs_log_cursor_back(log, 1);
    nx_buf full = NX_BUF_INIT(20);
    assert_int_equal(nx_buf_append_cstr(&full, "something"), NX_OK);
    assert_int_equal(nx_obs_log_read(log, &cursor, 0, NULL, &full), NX_ELIMIT);
    nx_buf_done(&full);
    nx_obs_log_stop(log);
    cursor = NX_OBS_LOG_NEW_ONLY;
    assert_int_equal(nx_obs_log_read(log, &cursor, WAIT_MS, NULL, &b), NX_ECLOSED);
    nx_obs_log_free(log);
}

/* An idle log hands a line out at once: far below a second, although nobody flushes. */
static void test_obs_log_idle_line_is_not_delayed(void **state)
{
    (void)state;
    nx_obs_log *log = start((nx_obs_log_options){.fd = -1});
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(65536);
    uint64_t cursor = 0;
    for (int i = 0; i < 20; i++) {
        say(log, &(nx_log_line){.wall_ns = T0, .component = NX_SLICE("c"), .msg = NX_SLICE("x")});
        nx_buf_clear(&b);
        assert_int_equal(nx_obs_log_read(log, &cursor, 1000, NULL, &b), NX_OK);
    }
    nx_obs_log_free(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_obs_log_writes_text_and_json),
        cmocka_unit_test(test_obs_log_stop_writes_what_is_left),
        cmocka_unit_test(test_obs_log_many_writers_and_readers),
        cmocka_unit_test(test_obs_log_drops_with_count_when_full),
        cmocka_unit_test(test_obs_log_filters),
        cmocka_unit_test(test_obs_log_cursors_and_gaps),
        cmocka_unit_test(test_obs_log_idle_line_is_not_delayed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
