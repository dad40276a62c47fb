/* routes_compare.c: admin routes that compare codes. */
#include "nx/compare.h"
#include "routes.h"

#define RESULT_BYTES (64u << 20)

nx_err nx_cli_answer_line(nx_cli_answer *a, nx_buf *line, nx_err e)
{
    if (e == NX_OK)
        e = nx_buf_append_char(line, '\n');
    if (e == NX_OK && nx_gw_req_is_canceled(a->req))
        e = NX_ECLOSED;
    return e == NX_OK ? nx_gw_resp_write(a->resp, nx_buf_view(line)) : e;
}

static nx_err on_comparison(void *self, const nx_replay_comparison *c)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf line = NX_BUF_INIT(RESULT_BYTES);
    nx_jw w = NX_JW_INIT(&line);
    return nx_cli_answer_line(self, &line, nx_replay_comparison_to_json(c, &w));
}

nx_err nx_cli_route_diffs(void *node, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_json *body = NULL;
    nx_err e = nx_json_parse(nx_gw_req_body(req), NX_CLI_ROUTE_BYTES, &body, reterr);
    if (e != NX_OK)
        return e;
    nx_replay_compare_request q = {
        .event = nx_json_get_str(body, "event_id"),
        .function = nx_json_get_str(body, "function"),
        .before = nx_json_get_str(body, "before"),
        .after = nx_json_get_str(body, "after"),
        .with_output = nx_json_get_bool(body, "with_output", false),
    };
    nx_cli_answer a = {req, resp};
    nx_gw_resp_content_type(resp, "application/x-ndjson");
    if (q.event.n == 0 || q.before.n == 0 || q.after.n == 0)
        e = nx_error_set(reterr, NX_EINVAL, "the body is {\"event_id\": id, \"before\": code, \"after\": code, \"function\": name}; only function may be missing");
    else
        e = nx_replay_compare_event(node, &q, on_comparison, &a, reterr);
    nx_json_free(body);
    return e;
}
