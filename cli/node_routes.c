/* node_routes.c: admin routes of the layers above core, wired into the node by the command that starts it. */
#include "node_routes.h"
#include "nx/replay.h"

#define REPLAY_REQUEST_BYTES (64u << 10)

static nx_err on_result(void *self, const nx_replay_result *r)
{
    nx_buf *out = self;
    nx_jw w = NX_JW_INIT(out);
    nx_err err = nx_replay_result_to_json(r, &w);
    return err == NX_OK ? nx_buf_append_char(out, '\n') : err;
}

static nx_err post_replay(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_json *j = NULL;
    nx_err err = nx_json_parse(nx_gw_req_body(req), REPLAY_REQUEST_BYTES, &j, reterr);
    if (err != NX_OK)
        return err;
    nx_replay_request r = { .event = nx_json_get_str(j, "event_id"), .function = nx_json_get_str(j, "function"), .against = nx_json_get_str(j, "against") };
    if (r.event.n == 0)
        err = nx_error_set(reterr, NX_EINVAL, "the body is {\"event_id\": id, unique suffix or @last, \"function\": optional, \"against\": optional}");
    nx_gw_resp_content_type(resp, "application/x-ndjson");
    if (err == NX_OK)
        err = nx_replay_event(self, &r, on_result, nx_gw_resp_body(resp), reterr);
    nx_json_free(j);
    return err;
}

const nx_gw_admin_route nx_cli_node_routes[] = {
    { "POST", "/api/v1/replays", post_replay, 0, REPLAY_REQUEST_BYTES },
};
const unsigned nx_cli_n_node_routes = NX_ARRAY_LEN(nx_cli_node_routes);
