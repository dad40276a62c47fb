/* The guest's form of a request and the answer's: nothing gets through that could become a line of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "outbound_internal.h"

static void test_message_parse_takes_apart(void **state)
{
    (void)state;
    nx_outbound_message m;
    nx_slice text = NX_SLICE("POST https://api.example.com/v1?a=b\nContent-Type: text/plain\nX-Empty:\nx-tab:\t a\tb \n\nbody\nwith\0all\n");
    assert_int_equal(nx_outbound_message_parse(text, &m, NULL), NX_OK);
    assert_true(nx_slice_eq_cstr(m.method, "POST") && nx_slice_eq_cstr(m.url, "https://api.example.com/v1?a=b"));
    assert_int_equal(m.n_headers, 3);
    assert_true(nx_slice_eq_cstr(m.headers[0].key, "Content-Type") && nx_slice_eq_cstr(m.headers[0].value, "text/plain"));
    assert_true(nx_slice_eq_cstr(m.headers[1].key, "X-Empty") && m.headers[1].value.n == 0);
    assert_true(nx_slice_eq_cstr(m.headers[2].value, "a\tb"));
    assert_true(nx_slice_eq(m.body, NX_SLICE("body\nwith\0all\n")));
    assert_int_equal(nx_outbound_message_parse(NX_SLICE("GET http://a/\n\n"), &m, NULL), NX_OK);
    assert_true(m.n_headers == 0 && m.body.n == 0);
}

static void test_message_parse_refuses(void **state)
{
    (void)state;
    static const struct {
        nx_slice text;
        const char *says;
    } cases[] = {
        {{"", 0}, "line 1: no end"},
        {{"GET http://a/", 13}, "line 1: no end"},
        {{"GET http://a/\n", 14}, "line 2: no end"},
        {{"GET http://a/\nx: y\n", 19}, "line 3: no end"},
        {{"\n\n", 2}, "line 1"},
        {{"GET\n\n", 5}, "no URL"},
        {{"get http://a/\n\n", 15}, "capital"},
        {{"GE\rT http://a/\n\n", 16}, "capital"},
        {{"CONNECT a:1\n\n", 13}, "can't use"},
        {{"TRACE http://a/\n\n", 17}, "can't use"},
        {{"ABCDEFGHIJKLMNOPQ http://a/\n\n", 29}, "METHOD URL"},
        {{"GET http://a/\nHost: b\n\n", 23}, "line 2: the header Host is set by the platform"},
        {{"GET http://a/\nContent-Length: 5\n\n", 33}, "set by the platform"},
        {{"GET http://a/\nTransfer-Encoding: chunked\n\n", 42}, "set by the platform"},
        {{"GET http://a/\nConnection: x\n\n", 29}, "set by the platform"},
        {{"GET http://a/\nPROXY-Authorization: x\n\n", 38}, "set by the platform"},
        {{"GET http://a/\nUpgrade: h2c\n\n", 28}, "set by the platform"},
        {{"GET http://a/\nx y: z\n\n", 22}, "line 2: not \"name: value\""},
        {{"GET http://a/\nx : z\n\n", 21}, "not \"name: value\""},
        {{"GET http://a/\n: z\n\n", 19}, "not \"name: value\""},
        {{"GET http://a/\nnothing\n\n", 23}, "not \"name: value\""},
        {{"GET http://a/\n x: folded\n\n", 26}, "not \"name: value\""},
        {{"GET http://a/\nx: a\rHost: b\n\n", 28}, "control character"},
        {{"GET http://a/\nx: a\0b\n\n", 22}, "control character"},
        {{"GET http://a/\nx: a\x7f\n\n", 21}, "control character"},
        {{"HEAD http://a/\n\nbody", 20}, "HEAD request has no body"},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
        nx_outbound_message m;
        nx_error e = NX_ERROR_INIT;
        assert_int_equal(nx_outbound_message_parse(cases[i].text, &m, &e), NX_EINVAL);
        if (!strstr(e.msg, cases[i].says)) fail_msg("case %zu: %s (not: %s)", i, e.msg, cases[i].says);
    }
}

static void test_message_parse_is_bounded(void **state)
{
    (void)state;
    nx_buf b = NX_BUF_INIT(1u << 20);
    nx_outbound_message m;
    assert_int_equal(nx_buf_append_cstr(&b, "GET http://a/\n"), NX_OK);
    for (unsigned i = 0; i < NX_OUTBOUND_HEADERS_MAX; i++) assert_int_equal(nx_buf_append_cstr(&b, "a: b\n"), NX_OK);
    size_t n = b.n;
    assert_int_equal(nx_buf_append_cstr(&b, "\n"), NX_OK);
    assert_int_equal(nx_outbound_message_parse(nx_buf_view(&b), &m, NULL), NX_OK);
    b.n = n;
    assert_int_equal(nx_buf_append_cstr(&b, "c: d\n\n"), NX_OK);
    assert_int_equal(nx_outbound_message_parse(nx_buf_view(&b), &m, NULL), NX_ELIMIT);
    nx_buf_clear(&b);
    assert_int_equal(nx_buf_append_cstr(&b, "GET http://a/"), NX_OK);
    while (b.n < NX_OUTBOUND_HEAD_BYTES) assert_int_equal(nx_buf_append_cstr(&b, "aaaaaaaaaaaaaaaa"), NX_OK);
    assert_int_equal(nx_buf_append_cstr(&b, "\n\n"), NX_OK);
    assert_int_equal(nx_outbound_message_parse(nx_buf_view(&b), &m, NULL), NX_ELIMIT);
    nx_buf_done(&b);
}

static nx_ob_answer *begin(nx_buf *out)
{
    nx_ob_answer *a = malloc(sizeof *a);
    assert_non_null(a);
    nx_ob_answer_begin(a, out, out->n, 8);
    return a;
}

static void test_answer_is_put_down_without_connection_fields(void **state)
{
    (void)state;
    nx_buf out = NX_BUF_INIT(1024);
    assert_int_equal(nx_buf_append_cstr(&out, "kept "), NX_OK);
    nx_ob_answer *a = begin(&out);
    static const char *const lines[] = {"HTTP/1.1 103 Early Hints\r\n", "link: x\r\n", "\r\n", "HTTP/1.1 200 OK\r\n", "Content-Type:  text/plain \r\n",
                                        "Connection: close\r\n", "Transfer-Encoding: chunked\r\n", "X-Empty:\r\n", "\r\n"};
    for (size_t i = 0; i < NX_ARRAY_LEN(lines); i++) assert_true(nx_ob_answer_line(a, nx_slice_cstr(lines[i])));
    assert_true(nx_ob_answer_body(a, NX_SLICE("1234")));
    assert_true(nx_ob_answer_line(a, NX_SLICE("Trailer-Field: x\r\n")));
    assert_true(nx_ob_answer_body(a, NX_SLICE("5678")));
    assert_true(nx_slice_eq_cstr(nx_buf_view(&out), "kept 200\ncontent-type: text/plain\nx-empty: \n\n12345678"));
    assert_false(nx_ob_answer_body(a, NX_SLICE("9")));
    assert_int_equal(a->err, NX_ELIMIT);
    free(a);
    nx_buf_done(&out);
}

static void test_answer_refuses_heads_that_lie(void **state)
{
    (void)state;
    static const char *const bad[] = {"x y: z\r\n", ": z\r\n", "nothing\r\n", " folded\r\n", "x: a\rb\r\n", "x: \x01\r\n"};
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++) {
        nx_buf out = NX_BUF_INIT(1024);
        nx_ob_answer *a = begin(&out);
        assert_true(nx_ob_answer_line(a, NX_SLICE("HTTP/1.1 200 OK\r\n")));
        assert_false(nx_ob_answer_line(a, nx_slice_cstr(bad[i])));
        assert_int_equal(a->err, NX_EIO);
        free(a);
        nx_buf_done(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message_parse_takes_apart),
        cmocka_unit_test(test_message_parse_refuses),
        cmocka_unit_test(test_message_parse_is_bounded),
        cmocka_unit_test(test_answer_is_put_down_without_connection_fields),
        cmocka_unit_test(test_answer_refuses_heads_that_lie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
