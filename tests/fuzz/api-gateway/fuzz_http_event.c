/* HTTP bytes -> requests -> events: everything that reads what a stranger sends, without sockets. The first byte says into which pieces the
 * rest is cut; the second chooses what is enabled. Every event that comes out must be valid, survive the JSON form, and be the same
 * however the bytes were cut. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "cloudevent.h"
#include "guard.h"
#include "nx/gateway.h"
#include "prefer.h"
#include "routes.h"

typedef struct fuzz_run {
    nx_gw_parser parser;
    nx_arena arena;
    nx_gw_event_mode mode;
    bool is_batch_enabled, has_mode;
    unsigned n_requests, n_events, status;
    uint64_t sum; /* of what came out, without generated ids */
} fuzz_run;

static void must(bool is_so)
{
    if (!is_so)
        abort();
}

static void mix(fuzz_run *r, nx_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        r->sum = (r->sum ^ (unsigned char)s.p[i]) * 1099511628211u;
    r->sum = (r->sum ^ 256u) * 1099511628211u;
}

static bool on_head(void *self)
{
    fuzz_run *r = self;
    nx_gw_fault f;
    nx_gw_prefer prefer = {0};
    nx_slice path, query;
    static nx_gw_address address;
    const nx_gw_guard guard = {&address, NULL, 0};

    must(r->parser.head.minor <= 1);
    must(r->parser.head.minor == 0 || r->parser.head.host.n > 0);
    must(!r->parser.head.is_chunked || r->parser.head.content_length == 0);
    (void)nx_gw_guard_check(&guard, &r->parser, &f);
    for (unsigned i = 0; i < r->parser.head.n_fields; i++) {
        nx_kv field = nx_gw_parser_field(&r->parser, i);
        must(field.key.n > 0);
        for (size_t k = 0; k < field.value.n; k++)
            must(field.value.p[k] != '\0' && field.value.p[k] != '\r' && field.value.p[k] != '\n');
        nx_gw_prefer_add(&prefer, field.value, 300);
        must(prefer.wait_s <= 300);
    }
    if (nx_gw_path_decode(r->parser.head.target.path, &r->arena, &path) == NX_OK)
        must(nx_slice_is_utf8(path));
    (void)nx_gw_query_find(r->parser.head.target.query, "delay", &r->arena, &query);
    r->has_mode = nx_gw_event_mode_of(&r->parser, r->is_batch_enabled, &r->mode, &f);
    return true;
}

static void check_event(fuzz_run *r, nx_event *e)
{
    nx_buf json = NX_BUF_INIT(64u << 20);
    nx_event again;
    nx_error err = NX_ERROR_INIT;

    must(nx_event_validate(e, &err) == NX_OK);
    must(e->event_id.s[0] != '\0' && e->trace.trace_id[0] != '\0');
    must(nx_event_to_json(e, &json) == NX_OK);
    memset(&again, 0, sizeof again);
    nx_err rc = nx_event_from_json(nx_buf_view(&json), &r->arena, &again, &err);
    must(rc == NX_OK || rc == NX_ELIMIT || rc == NX_ENOMEM);
    if (rc == NX_OK)
        must(nx_slice_eq(again.id, e->id) && nx_slice_eq(again.source, e->source) && nx_slice_eq(again.subject, e->subject));
    nx_buf_done(&json);
    r->n_events++;
    mix(r, e->source);
    mix(r, e->subject);
    mix(r, e->data);
}

static void on_request(fuzz_run *r)
{
    const nx_gw_event_defaults d = {NX_SLICE("default"), NX_SLICE("/nexus/http"), NX_SLICE("t"), 1700000000000000000ull};
    nx_gw_fault f = {0};
    nx_event e;
    nx_slice json;
    bool is_own;

    r->n_requests++;
    mix(r, nx_buf_view(&r->parser.body));
    if (r->has_mode && r->mode != NX_GW_MODE_BATCH) {
        if (nx_gw_event_decode(&r->parser, r->mode, &d, &r->arena, &e, &is_own, &f))
            check_event(r, &e);
        else
            must(f.status >= 400);
    } else if (r->has_mode) {
        nx_gw_batch batch = {nx_buf_view(&r->parser.body), 0, false};
        for (unsigned n = 0; n < NX_GW_BATCH_MAX && nx_gw_batch_next(&batch, &json) == NX_OK; n++)
            if (nx_gw_event_decode_json(&r->parser, json, &d, &r->arena, &e, &f))
                check_event(r, &e);
    }
    nx_gw_parser_next(&r->parser);
    nx_arena_reset(&r->arena);
}

static void run(fuzz_run *r, const uint8_t *p, size_t n, size_t piece, bool is_batch_enabled)
{
    nx_gw_budget budget = {0, 1 << 20};
    const nx_gw_parser_limits limits = {512, 2048, 40, 65536, &budget};
    memset(r, 0, sizeof *r);
    r->is_batch_enabled = is_batch_enabled;
    nx_arena_init(&r->arena, 4u << 20);
    nx_gw_parser_init(&r->parser, &limits, on_head, r);
    for (size_t at = 0; at < n;) {
        size_t used = 0, take = n - at < piece ? n - at : piece;
        char *copy = malloc(take); /* of exact size: reading past a piece is seen */
        must(copy != NULL);
        memcpy(copy, p + at, take);
        nx_gw_parse_result result = nx_gw_parser_feed(&r->parser, copy, take, &used);
        free(copy);
        must(used <= take);
        at += used;
        if (result == NX_GW_PARSE_FAULT) {
            must(r->parser.fault.status >= 400 && r->parser.fault.status < 600);
            r->status = (unsigned)r->parser.fault.status;
            break;
        }
        if (result == NX_GW_PARSE_REQUEST) {
            bool is_last = !r->parser.is_keep_alive;
            on_request(r);
            if (is_last)
                break;
        } else {
            must(used == take);
        }
    }
    must(r->parser.body.n <= limits.body_bytes);
    must(budget.used == r->parser.held);
    nx_gw_parser_done(&r->parser);
    must(budget.used == 0);
    nx_arena_done(&r->arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_run whole, pieces;
    if (size < 2)
        return 0;
    run(&whole, data + 2, size - 2, size, data[1] & 1);
    run(&pieces, data + 2, size - 2, (size_t)data[0] % 64 + 1, data[1] & 1);
    must(whole.n_requests == pieces.n_requests && whole.n_events == pieces.n_events && whole.sum == pieces.sum);
    must((whole.status == 0) == (pieces.status == 0));
    return 0;
}
