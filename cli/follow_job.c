/* follow_job.c: see follow_job.h. */
#include "follow_job.h"
#include "nx/clock.h"
#include <signal.h>
#include <time.h>

#define FIRST_LOOK_MS 20
#define LOOK_MS 200
#define AWAY_NS (30 * NX_NS_PER_S)
#define TIMEOUT_MS 10000

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    is_interrupted = 1;
}

void nx_cli_job_print_json(const nx_json *job)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(NX_CLI_REPLY_BYTES);
    if (nx_json_dump(job, &text) == NX_OK)
        printf("%.*s\n", (int)text.n, text.p);
}

static int parse_reply(nx_cli_client *node, nx_httpc_resp *reply, nx_json **ret)
{
    nx_error e = NX_ERROR_INIT;
    nx_err err = nx_json_parse(nx_buf_view(&reply->body), NX_CLI_REPLY_BYTES, ret, &e);
    nx_buf_done(&reply->body);
    return err == NX_OK ? NX_CLI_OK : nx_cli_fail(node->cli, NX_EPARSE, "%s does not answer like a node: %s", node->url, e.msg);
}

int nx_cli_job_submit(nx_cli_client *node, const char *kind, nx_slice spec, nx_json **ret)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf body = NX_BUF_INIT(256u << 10);
    nx_jw w = NX_JW_INIT(&body);
    nx_httpc_resp reply = {0};
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "kind", kind);
    nx_jw_key(&w, "spec");
    nx_jw_raw(&w, spec);
    nx_jw_object_end(&w);
    if (nx_jw_err(&w) != NX_OK)
        return nx_cli_fail(node->cli, nx_jw_err(&w), "the request is too long");
    int code = nx_cli_call(node, &(nx_cli_request){.method = "POST", .path = "/api/v1/jobs", .content_type = "application/json", .body = nx_buf_view(&body)}, &reply);
    return code == NX_CLI_OK ? parse_reply(node, &reply, ret) : code;
}

/* Says nothing of a node that does not answer. */
static nx_err look(nx_cli_client *node, const char *method, const char *path, nx_json **ret)
{
    char url[1024];
    nx_httpc_resp reply = {0};
    snprintf(url, sizeof url, "%s%s", node->url, path);
    nx_buf_init(&reply.body, NX_CLI_REPLY_BYTES);
    nx_httpc_req q = {.method = method, .url = url, .timeout_ms = TIMEOUT_MS};
    nx_err err = nx_httpc_do(node->http, &q, &reply, NULL);
    if (err == NX_OK && reply.status >= 500)
        err = NX_EUNAVAIL;
    if (err == NX_OK && reply.status >= 300)
        err = NX_EINVAL; /* over already, or forgotten */
    if (err == NX_OK)
        err = nx_json_parse(nx_buf_view(&reply.body), NX_CLI_REPLY_BYTES, ret, NULL);
    nx_buf_done(&reply.body);
    return err;
}

static void print_progress(const nx_cli *c, const nx_json *job)
{
    const nx_json *p = nx_json_get(job, "progress");
    if (!c->err_is_tty || c->json)
        return;
    fprintf(stderr, "\r\033[K%llu events", (unsigned long long)nx_json_get_u64(p, "events", 0));
    if (nx_json_get(p, "percent"))
        fprintf(stderr, "  %.0f%%", nx_json_get_double(p, "percent", 0));
    fprintf(stderr, "  %.0f/s", nx_json_get_double(p, "events_per_s", 0));
    if (nx_json_get(p, "eta_s"))
        fprintf(stderr, "  %.0fs left", nx_json_get_double(p, "eta_s", 0) + 0.5);
    fprintf(stderr, "   (Ctrl-C cancels)");
    fflush(stderr);
}

static bool is_over(const nx_json *job)
{
    nx_slice s = nx_json_get_str(job, "status");
    return !nx_slice_eq_cstr(s, "queued") && !nx_slice_eq_cstr(s, "running");
}

static int follow(nx_cli_client *node, const char *id, nx_json **ret)
{
    char path[64], cancel[80];
    uint64_t heard_ns = nx_clock_ns();
    bool has_canceled = false;
    snprintf(path, sizeof path, "/api/v1/jobs/%s", id);
    snprintf(cancel, sizeof cancel, "%s/cancel", path);
    for (unsigned round = 0;; round++) {
        nx_json *job = NULL;
        if (is_interrupted && !has_canceled) {
            nx_json *answer = NULL;
            has_canceled = true;
            look(node, "POST", cancel, &answer);
            nx_json_free(answer);
        }
        nx_err err = look(node, "GET", path, &job);
        if (err == NX_OK) {
            heard_ns = nx_clock_ns();
            print_progress(node->cli, job);
            if (is_over(job)) {
                *ret = job;
                return has_canceled && nx_slice_eq_cstr(nx_json_get_str(job, "status"), "canceled") ? nx_err_exit_code(NX_ECANCELED) : NX_CLI_OK;
            }
            nx_json_free(job);
        } else if (err == NX_EINVAL) {
            return nx_cli_fail(node->cli, NX_ENOENT, "there is no job %s any more", id);
        } else if (has_canceled || nx_clock_ns() > heard_ns + AWAY_NS) {
            nx_cli_fail(node->cli, NX_EUNAVAIL, "no node answers at %s; job %s goes on when one is there: nexus jobs show %s", node->url, id, id);
            return NX_CLI_NO_NODE;
        }
        struct timespec t = {0, (round < 5 ? FIRST_LOOK_MS : LOOK_MS) * (long)NX_NS_PER_MS};
        nanosleep(&t, NULL); /* a signal ends it early */
    }
}

int nx_cli_job_follow(nx_cli_client *node, const char *id, nx_json **ret)
{
    struct sigaction mine = {.sa_handler = on_interrupt}, before;
    is_interrupted = 0;
    sigaction(SIGINT, &mine, &before);
    int code = follow(node, id, ret);
    sigaction(SIGINT, &before, NULL);
    if (node->cli->err_is_tty && !node->cli->json)
        fputs("\r\033[K", stderr);
    return code;
}
