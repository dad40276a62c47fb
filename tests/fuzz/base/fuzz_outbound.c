/* Any bytes as a grant, a request and an answer's head: refused, or within what their forms promise. */
#include "outbound_internal.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool condition)
{
    if (!condition) abort();
}

static bool has_line_end(nx_slice s) { return s.n && (memchr(s.p, '\n', s.n) || memchr(s.p, '\r', s.n) || memchr(s.p, '\0', s.n)); }

static void check_grant(nx_slice text)
{
    nx_error e = NX_ERROR_INIT;
    nx_ob_grant g;
    nx_err err = nx_ob_grant_parse(text, &g, &e);
    expect(err == NX_OK || (err == NX_EINVAL && e.msg[0]));
    if (err) return;
    expect((g.http || g.https) && text.n <= NX_GRANT_BYTES);
    expect(!g.has_port || (g.port_from > 0 && g.port_from <= g.port_to));
    expect(g.kind != NX_OB_GRANT_ADDRESS || (g.bits > 0 && g.bits <= 128));
}

/* What is allowed by "everything" is never an address of the inside. */
static void check_url(nx_slice text)
{
    nx_slice everything[] = {NX_SLICE("*://*:*")};
    nx_ob_url u;
    if (nx_ob_url_parse(text, &u, NULL) != NX_OK) return;
    expect(u.target.host[0] && u.target.port && !has_line_end(nx_slice_cstr(u.text)) && !strchr(u.text, ' '));
    nx_ob_url again;
    expect(nx_ob_url_parse(nx_slice_cstr(u.text), &again, NULL) == NX_OK || strlen(u.text) >= NX_OUTBOUND_URL_BYTES);
    if (again.text) expect(nx_ob_url_same_origin(&u, &again));
    if (nx_ob_allow_target(everything, 1, &u.target, NULL) == NX_OK && u.target.is_address) expect(nx_ob_address_class(&u.target.address) == NX_OB_PUBLIC);
    nx_ob_url_done(&u);
    nx_ob_url_done(&again);
}

static void check_message(nx_slice text)
{
    nx_outbound_message m;
    nx_error e = NX_ERROR_INIT;
    nx_err err = nx_outbound_message_parse(text, &m, &e);
    expect(err == NX_OK || ((err == NX_EINVAL || err == NX_ELIMIT) && e.msg[0]));
    if (err) return;
    expect(m.n_headers <= NX_OUTBOUND_HEADERS_MAX && !has_line_end(m.method));
    for (unsigned i = 0; i < m.n_headers; i++) {
        expect(nx_ob_is_token(m.headers[i].key) && !has_line_end(m.headers[i].value));
        expect(!nx_slice_ieq(m.headers[i].key, NX_SLICE("host")) && !nx_slice_ieq(m.headers[i].key, NX_SLICE("transfer-encoding")));
    }
    check_url(m.url);
}

static void check_answer(nx_slice text)
{
    nx_buf out = NX_BUF_INIT(NX_OUTBOUND_HEAD_BYTES + 1024);
    nx_ob_answer *a = malloc(sizeof *a);
    if (!a) return;
    nx_ob_answer_begin(a, &out, 0, 512);
    bool is_going = nx_ob_answer_line(a, NX_SLICE("HTTP/1.1 200 OK\r\n"));
    while (is_going && text.n) {
        const char *lf = memchr(text.p, '\n', text.n);
        size_t n = lf ? (size_t)(lf - text.p) + 1 : text.n;
        is_going = a->is_head_over ? nx_ob_answer_body(a, nx_slice_sub(text, 0, n)) : nx_ob_answer_line(a, nx_slice_sub(text, 0, n));
        text = nx_slice_sub(text, n, text.n);
    }
    expect(is_going == (a->err == NX_OK));
    expect(!a->is_head_over || out.n - a->body_from <= 512);
    free(a);
    nx_buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nx_slice text = nx_slice_make(data, size);
    check_grant(text);
    check_url(text);
    check_message(text);
    check_answer(text);
    return 0;
}
