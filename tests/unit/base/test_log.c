/* Log lines: the exact text form, JSON, control characters, lines that are too long, the default sink. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "nx/buf.h"
#include "nx/clock.h"
#include "nx/json.h"
#include "nx/log.h"
#include "nx/thread.h"

#define T0 (1764152625ull * NX_NS_PER_S + 678000000)
#define TRACE "0af7651916cd43dd8448eb211c80319c"

static const char *text_of(const nx_log_line *line, bool with_colour)
{
    static char storage[8192];
    nx_buf b = {storage, 0, sizeof storage - 1, sizeof storage - 1};
    assert_int_equal(nx_log_format_text(line, with_colour, &b), NX_OK);
    storage[b.n] = '\0';
    return storage;
}

static const char *json_of(const nx_log_line *line)
{
    static char storage[8192];
    nx_buf b = {storage, 0, sizeof storage - 1, sizeof storage - 1};
    assert_int_equal(nx_log_format_json(line, &b), NX_OK);
    storage[b.n] = '\0';
    return storage;
}

static void test_log_text_is_the_promised_form(void **state)
{
    (void)state;
    nx_log_line guest = {.wall_ns = T0, .level = NX_LOG_INFO, .component = NX_SLICE("user-welcome"), .trace = NX_SLICE(TRACE), .msg = NX_SLICE("Processing user event")};
    assert_string_equal(text_of(&guest, false), "[2025-11-26T10:23:45Z INFO user-welcome] [trace=" TRACE "] Processing user event\n");
    nx_kv fields[] = {{NX_SLICE("port"), NX_SLICE("8080")}, {NX_SLICE("why"), NX_SLICE("a \"b\" \\c")}, {NX_SLICE("e"), NX_SLICE("")}};
    nx_log_line node = {.wall_ns = T0, .level = NX_LOG_WARN, .component = NX_SLICE("nexus"), .event = NX_SLICE("x.y"), .msg = NX_SLICE("Hello"), .fields = fields, .n_fields = 3};
    assert_string_equal(text_of(&node, false), "[2025-11-26T10:23:45Z WARN nexus] Hello port=8080 why=\"a \\\"b\\\" \\\\c\" e=\"\"\n");
    assert_string_equal(text_of(&guest, true), "[2025-11-26T10:23:45Z \x1b[32mINFO\x1b[0m user-welcome] [trace=" TRACE "] Processing user event\n");
    guest.wall_ns += 2 * NX_NS_PER_S; /* the second is remembered between lines */
    assert_memory_equal(text_of(&guest, false), "[2025-11-26T10:23:47Z ", 22);
}

static void test_log_text_shows_control_characters(void **state)
{
    (void)state;
    nx_log_line l = {.wall_ns = T0, .level = NX_LOG_INFO, .component = NX_SLICE("f\ng"), .trace = NX_SLICE("\x1b]0;x"), .msg = NX_SLICE("a\x1b[31mb\r\n\t\x7f\xc2\x9b"
                                                                                                                                        "1m \xff \xe2\x82\xac \xe2\x82")};
    assert_string_equal(text_of(&l, false), "[2025-11-26T10:23:45Z INFO f\\x0ag] [trace=\\x1b]0;x] "
                                            "a\\x1b[31mb\\x0d\\x0a\\x09\\x7f\\xc2\\x9b1m \\xff \xe2\x82\xac \\xe2\\x82\n");
    nx_kv f = {NX_SLICE("k\x1b"), NX_SLICE("v \x1b\"")};
    l = (nx_log_line){.wall_ns = T0, .component = NX_SLICE("c"), .level = NX_LOG_ERROR, .fields = &f, .n_fields = 1};
    assert_string_equal(text_of(&l, false), "[2025-11-26T10:23:45Z ERROR c]  k\\x1b=\"v \\x1b\\\"\"\n");
}

static void test_log_json_form(void **state)
{
    (void)state;
    nx_kv fields[] = {{NX_SLICE("duration_ms"), NX_SLICE("1.2")}};
    nx_log_line l = {.wall_ns = T0, .level = NX_LOG_INFO, .component = NX_SLICE("nexus"), .event = NX_SLICE("run.completed"), .trace = NX_SLICE(TRACE "-replay"), .event_id = NX_SLICE("E"), .run_id = NX_SLICE("R"), .function = NX_SLICE("f"), .ns = NX_SLICE("default"), .msg = NX_SLICE("said \"x\"\n\x1b"), .is_replay = true, .original_wall_ns = T0 - 1, .fields = fields, .n_fields = 1};
    assert_string_equal(json_of(&l), "{\"time\":\"2025-11-26T10:23:45.678Z\",\"level\":\"INFO\",\"component\":\"nexus\",\"event\":\"run.completed\","
                                     "\"trace_id\":\"" TRACE "-replay\",\"event_id\":\"E\",\"run_id\":\"R\",\"function\":\"f\",\"namespace\":\"default\","
                                     "\"is_replay\":true,\"original_timestamp\":\"2025-11-26T10:23:45.677999999Z\",\"message\":\"said \\\"x\\\"\\n\\u001b\",\"duration_ms\":\"1.2\"}\n");
    l = (nx_log_line){.wall_ns = T0, .level = NX_LOG_DEBUG, .component = NX_SLICE("c")};
    assert_string_equal(json_of(&l), "{\"time\":\"2025-11-26T10:23:45.678Z\",\"level\":\"DEBUG\",\"component\":\"c\",\"message\":\"\"}\n");
}

static void test_log_format_fit_cuts_anything(void **state)
{
    (void)state;
    enum { BIG = 100000 };
    char *msg = malloc(BIG), out[NX_LOG_FIT_BYTES + 1];
    static const char fill[] = {'a', '\x01', '"', '\xff'};
    for (size_t f = 0; f < sizeof fill; f++)
        for (int form = NX_LOG_FORM_TEXT; form <= NX_LOG_FORM_JSON; form++) {
            memset(msg, fill[f], BIG);
            nx_slice big = nx_slice_make(msg, BIG);
            nx_kv field = {big, big};
            nx_log_line l = {.wall_ns = T0, .level = NX_LOG_INFO, .component = big, .event = big, .trace = big, .event_id = big, .run_id = big, .function = big, .ns = big, .msg = big, .fields = &field, .n_fields = 1};
            size_t n = nx_log_format_fit(&l, (nx_log_form)form, out, NX_LOG_FIT_BYTES);
            assert_in_range(n, 100, NX_LOG_FIT_BYTES);
            assert_int_equal(out[n - 1], '\n');
            assert_ptr_equal(memchr(out, '\n', n), out + n - 1);
            if (form != NX_LOG_FORM_JSON) continue;
            nx_json *j = NULL;
            assert_int_equal(nx_json_parse(nx_slice_make(out, n), SIZE_MAX, &j, NULL), NX_OK);
            assert_true(nx_slice_ends(nx_json_get_str(j, "message"), NX_SLICE("\xE2\x80\xA6")));
            nx_json_free(j);
        }
    free(msg);
}

static void test_log_format_fit_cuts_between_characters(void **state)
{
    (void)state;
    char msg[6000], out[NX_LOG_FIT_BYTES];
    for (size_t i = 0; i + 3 <= sizeof msg; i += 3) memcpy(msg + i, "\xE2\x82\xAC", 3);
    for (size_t shift = 0; shift < 3; shift++) {
        nx_log_line l = {.wall_ns = T0, .component = nx_slice_make("ccc", shift + 1), .msg = nx_slice_make(msg, sizeof msg)};
        size_t n = nx_log_format_fit(&l, NX_LOG_FORM_TEXT, out, sizeof out);
        assert_true(n > 500);
        assert_null(memchr(out, '\\', n)); /* half a character would have been shown as \xNN */
    }
}

static void test_log_failed_format_leaves_buffer(void **state)
{
    (void)state;
    char storage[40];
    nx_buf b = {storage, 0, sizeof storage, sizeof storage};
    assert_int_equal(nx_buf_append_cstr(&b, "keep"), NX_OK);
    nx_log_line l = {.wall_ns = T0, .component = NX_SLICE("c"), .msg = NX_SLICE("much too long for this buffer")};
    assert_int_equal(nx_log_format_text(&l, false, &b), NX_ELIMIT);
    assert_int_equal(nx_log_format_json(&l, &b), NX_ELIMIT);
    assert_true(nx_slice_eq_cstr(nx_buf_view(&b), "keep"));
}

static nx_log_line last_line;
static int n_lines;
static void capture(void *self, const nx_log_line *line)
{
    (void)self;
    last_line = *line;
    n_lines++;
}

static void test_log_level_and_sink(void **state)
{
    (void)state;
    nx_log_set_sink((nx_log_sink){capture, NULL});
    nx_log_set_level(NX_LOG_WARN);
    nx_log(NX_LOG_INFO, "a.b", "x");
    assert_int_equal(n_lines, 0);
    nx_log(NX_LOG_ERROR, "a.b", "%d", 5);
    assert_int_equal(n_lines, 1);
    assert_true(nx_slice_eq_cstr(last_line.event, "a.b") && nx_slice_eq_cstr(last_line.component, "nexus"));
    assert_true(last_line.wall_ns > 0);
    nx_log_emit(&(nx_log_line){.level = NX_LOG_WARN, .wall_ns = 5, .component = NX_SLICE("f")});
    assert_true(last_line.wall_ns == 5 && nx_slice_eq_cstr(last_line.component, "f"));
    nx_log_set_level(NX_LOG_INFO);
    nx_log_level level;
    assert_int_equal(nx_log_level_parse(NX_SLICE("warn"), &level), NX_OK);
    assert_int_equal(level, NX_LOG_WARN);
    assert_int_equal(nx_log_level_parse(NX_SLICE("warning"), &level), NX_EPARSE);
    nx_log_set_sink((nx_log_sink){NULL, NULL});
}

static void test_log_default_sink_writes_one_line_to_stderr(void **state)
{
    (void)state;
    int fds[2], saved = dup(STDERR_FILENO);
    assert_int_equal(pipe(fds), 0);
    fflush(stderr);
    dup2(fds[1], STDERR_FILENO);
    nx_log(NX_LOG_INFO, "node.started", "Listening on %s", "127.0.0.1:8080");
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(fds[1]);
    char out[200];
    ssize_t n = read(fds[0], out, sizeof out - 1);
    close(fds[0]);
    assert_true(n > 0);
    out[n] = '\0';
    assert_string_equal(out + 21, " INFO nexus] Listening on 127.0.0.1:8080\n");
}

static char kept_ns[64];
static void keep(void *self, const nx_log_line *line)
{
    (void)self;
    snprintf(kept_ns, sizeof kept_ns, "%.*s", NX_SLICE_FMT(line->ns));
}

static void *log_one(void *self)
{
    nx_log(NX_LOG_INFO, "node.ready", "%s", (const char *)self);
    return NULL;
}

static const char *ns_of_line_of_a_thread(int (*start)(pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *self), void *self))
{
    pthread_t thread;
    assert_int_equal(start(&thread, NULL, log_one, "from a thread"), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    return kept_ns;
}

/* The last test: what it turns on stays so. */
static void test_log_lines_say_namespaces_where_a_process_serves_several(void **state)
{
    (void)state;
    const nx_log_line line = {.wall_ns = T0, .level = NX_LOG_INFO, .component = NX_SLICE("nexus"), .trace = NX_SLICE("abc"), .ns = NX_SLICE("shop"), .msg = NX_SLICE("done")};
    nx_log_set_sink((nx_log_sink){keep, NULL});
    assert_string_equal(text_of(&line, false), "[2025-11-26T10:23:45Z INFO nexus] [trace=abc] done\n");
    assert_string_equal(ns_of_line_of_a_thread(nx_thread_start), "");

    const char *shop = nx_thread_ns_name(NX_SLICE("shop"));
    assert_ptr_equal(shop, nx_thread_ns_name(NX_SLICE("shop")));
    assert_null(nx_thread_ns_set(shop));
    assert_string_equal(ns_of_line_of_a_thread(nx_thread_start), "shop");
    assert_string_equal(ns_of_line_of_a_thread(pthread_create), "");
    nx_log_emit(&(nx_log_line){.level = NX_LOG_INFO, .ns = NX_SLICE("lab"), .msg = NX_SLICE("x")});
    assert_string_equal(kept_ns, "lab");
    assert_string_equal(text_of(&line, false), "[2025-11-26T10:23:45Z INFO nexus] [trace=abc] [namespace=shop] done\n");
    assert_ptr_equal(nx_thread_ns_set(NULL), shop);
    log_one("of the process");
    assert_string_equal(kept_ns, "");
    assert_string_equal(text_of(&(nx_log_line){.wall_ns = T0, .component = NX_SLICE("nexus"), .msg = NX_SLICE("x")}, false), "[2025-11-26T10:23:45Z DEBUG nexus] x\n");

    char name[32];
    for (int i = 1; i < NX_THREAD_NAMES_MAX; i++) {
        snprintf(name, sizeof name, "n%d", i);
        assert_non_null(nx_thread_ns_name(nx_slice_cstr(name)));
    }
    assert_null(nx_thread_ns_name(NX_SLICE("one-too-many")));
    assert_ptr_equal(shop, nx_thread_ns_name(NX_SLICE("shop")));
    nx_log_set_sink((nx_log_sink){0});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_text_is_the_promised_form),
        cmocka_unit_test(test_log_text_shows_control_characters),
        cmocka_unit_test(test_log_json_form),
        cmocka_unit_test(test_log_format_fit_cuts_anything),
        cmocka_unit_test(test_log_format_fit_cuts_between_characters),
        cmocka_unit_test(test_log_failed_format_leaves_buffer),
        cmocka_unit_test(test_log_level_and_sink),
        cmocka_unit_test(test_log_default_sink_writes_one_line_to_stderr),
        cmocka_unit_test(test_log_lines_say_namespaces_where_a_process_serves_several),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
