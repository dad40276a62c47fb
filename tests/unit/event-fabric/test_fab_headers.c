/* Header lines where they lie in nats.c's messages, and what becomes of those messages: both lean on how nats.c 3.4.1 is made. */
#include "fab_internal.h"
#include "fab_test.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

bool natsGC_collect(void *message);

/* Stores a message with these lines (the last one apart, as nx_fab_hdr has it), and reads it back. */
static void round_trip(fix *fx, const char *lines, const char *last, nx_slice data, nx_fab_replies *ret)
{
    char text[1024], subject[96], body[32];
    nx_fab_hdr h = {.p = text, .cap = sizeof text};
    uint64_t seq;

    h.value_at = (size_t)snprintf(text, sizeof text, "%slast: ", lines);
    h.n = h.value_at + (size_t)snprintf(text + h.value_at, sizeof text - h.value_at, "%s", last);
    ok(nx_fab_publish_sync(fx->f, "nx.default.ev.00.t", &h, data, &seq, &fx->err));
    snprintf(subject, sizeof subject, "$JS.API.DIRECT.GET.%s", fx->n->events);
    snprintf(body, sizeof body, "{\"seq\":%llu}", (unsigned long long)seq);
    ok(nx_fab_request(fx->f, &(nx_fab_ask){.subject = subject, .body = nx_slice_cstr(body)}, ret, &fx->err));
    assert_int_equal(ret->n, 1);
}

static void check(natsMsg *m, const char *key, const char *expected)
{
    nx_slice v;

    if (!nx_fab_msg_header(m, key, &v))
        fail_msg("no header %s", key);
    if (!nx_slice_eq_cstr(v, expected))
        fail_msg("%s is \"%.*s\", not \"%s\"", key, NX_SLICE_FMT(v), expected);
}

/* Into one without data nats.c has looked before we do: its lines have been cut up. */
static void check_lines(nx_slice data)
{
    static const char lines[] = "one: 1\r\none: again\r\nempty: \r\nspaced: \t x: y  \r\nThree:3\r\n";
    fix fix_, *fx = &fix_;
    nx_fab_replies got = {0};
    nx_slice key, v, text;
    nx_fab_lines l;
    unsigned n_ours = 0;

    fix_open(fx);
    round_trip(fx, lines, "z", data, &got);
    assert_int_equal(natsMsg_GetDataLength(got.v[0]), data.n);
    check(got.v[0], "one", "1");
    check(got.v[0], "empty", "");
    check(got.v[0], "spaced", "x: y");
    check(got.v[0], "Three", "3");
    check(got.v[0], "last", "z");
    check(got.v[0], "Nats-Subject", "nx.default.ev.00.t");
    assert_false(nx_fab_msg_header(got.v[0], "three", &v));
    assert_false(nx_fab_msg_header(got.v[0], "on", &v));
    assert_false(nx_fab_msg_status(got.v[0], &v, &text));
    for (nx_fab_lines_of(got.v[0], &l); nx_fab_lines_next(&l, &key, &v);)
        n_ours += !nx_slice_starts(key, NX_SLICE("Nats-"));
    assert_int_equal(n_ours, 6);
    nx_fab_replies_done(&got);
    fix_close(fx);
}

static void test_lines_of_a_message_with_data(void **state)
{
    (void)state;
    check_lines(NX_SLICE("data"));
}

static void test_lines_of_a_message_without_data(void **state)
{
    (void)state;
    check_lines(NX_SLICE_NULL);
}

static void test_a_status_line(void **state)
{
    fix fix_, *fx = &fix_;
    nx_fab_replies got = {0};
    nx_slice status, text;
    char subject[96];

    (void)state;
    fix_open(fx);
    snprintf(subject, sizeof subject, "$JS.API.DIRECT.GET.%s", fx->n->events);
    ok(nx_fab_request(fx->f, &(nx_fab_ask){.subject = subject, .body = NX_SLICE("{\"seq\":999}")}, &got, &fx->err));
    assert_int_equal(got.n, 1);
    assert_true(nx_fab_msg_status(got.v[0], &status, &text));
    assert_true(nx_slice_eq_cstr(status, "404") && nx_slice_eq_cstr(text, "Message Not Found"));
    nx_fab_replies_done(&got);
    fix_close(fx);
}

static void test_a_message_without_lines(void **state)
{
    natsMsg *m = NULL;
    nx_fab_lines l;
    nx_slice key, v;

    (void)state;
    assert_int_equal(natsMsg_Create(&m, "a", NULL, "NATS/1.0\r\nx: 1\r\n\r\n", 19), NATS_OK);
    nx_fab_lines_of(m, &l);
    assert_false(nx_fab_lines_next(&l, &key, &v));
    natsMsg_Destroy(m);
}

/* nats.c's own collector would wake a thread for each message. */
static void test_who_destroys_a_message_frees_it(void **state)
{
    Dl_info ours = {0}, found = {0};
    void *lib = dlopen("libnats.so.3.4", RTLD_LAZY | RTLD_NOLOAD);

    (void)state;
    assert_non_null(lib); /* another version: see whether its natsMsg_Destroy() still asks natsGC_collect() */
    assert_true(dladdr((void *)(uintptr_t)check_lines, &ours) && dladdr(dlsym(RTLD_DEFAULT, "natsGC_collect"), &found));
    assert_string_equal(found.dli_fname, ours.dli_fname);
    assert_false(natsGC_collect(NULL));
    dlclose(lib);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_of_a_message_with_data),
        cmocka_unit_test(test_lines_of_a_message_without_data),
        cmocka_unit_test(test_a_status_line),
        cmocka_unit_test(test_a_message_without_lines),
        cmocka_unit_test(test_who_destroys_a_message_frees_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
