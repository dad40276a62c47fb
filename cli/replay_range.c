/* replay_range.c: nexus replay without an event: a job over a range of runs, watched to its end. */
#include "replay_range.h"
#include "compare.h"
#include "follow_job.h"

/* ---- results ----------------------------------------------------------------------------------------------------- */

static uint64_t count(const nx_json *of, const char *verdict) { return nx_json_get_u64(of, verdict, 0); }

int nx_cli_range_exit(const nx_json *job)
{
    const nx_json *r = nx_json_get(nx_json_get(job, "summary"), "results");
    if (count(r, "failed"))
        return NX_CLI_FAILED;
    if (count(r, "diverged"))
        return nx_err_exit_code(NX_EDIVERGED);
    return count(r, "identical") ? NX_CLI_OK : nx_err_exit_code(NX_ENOENT);
}

static void print_count(const nx_cli *c, const nx_json *of, const char *verdict, const char *colour, const char *before)
{
    if (count(of, verdict))
        printf("%s%s%llu %s%s", before, nx_cli_paint(c->has_colour, colour), (unsigned long long)count(of, verdict), verdict, nx_cli_paint(c->has_colour, NX_CLI_PLAIN));
}

static void print_function(const nx_cli *c, const nx_json *f)
{
    nx_slice name = nx_json_get_str(f, "function");
    nx_cli_print_safe(stdout, name.n ? name : NX_SLICE("others"));
    printf(":");
    print_count(c, f, "identical", NX_CLI_GREEN, " ");
    print_count(c, f, "diverged", NX_CLI_RED, count(f, "identical") ? ", " : " ");
    print_count(c, f, "failed", NX_CLI_RED, count(f, "identical") + count(f, "diverged") ? ", " : " ");
    putchar('\n');
}

void nx_cli_print_range(const nx_cli *c, const nx_json *job)
{
    const nx_json *summary = nx_json_get(job, "summary"), *functions = nx_json_get(nx_json_get(summary, "results"), "functions");
    for (size_t i = 0; i < nx_json_len(functions); i++)
        print_function(c, nx_json_at(functions, i));
    nx_cli_print_groups(c, nx_json_get(summary, "diff"));
}

static int print_end(const nx_cli *c, const nx_json *job)
{
    const nx_json *p = nx_json_get(job, "progress");
    nx_slice status = nx_json_get_str(job, "status"), error = nx_json_get_str(job, "error");
    bool is_done = nx_slice_eq_cstr(status, "done");
    if (c->json) {
        nx_cli_job_print_json(job);
    } else if (!is_done || nx_json_get_u64(p, "events", 0)) {
        printf("%s%s%s Replayed %llu runs (%.0f/s), job %.*s\n", nx_cli_paint(c->has_colour, is_done ? NX_CLI_GREEN : NX_CLI_RED), is_done ? "OK" : "FAILED",
               nx_cli_paint(c->has_colour, NX_CLI_PLAIN), (unsigned long long)nx_json_get_u64(p, "events", 0), nx_json_get_double(p, "events_per_s", 0),
               NX_SLICE_FMT(nx_json_get_str(job, "job_id")));
        nx_cli_print_range(c, job);
    }
    if (nx_slice_eq_cstr(status, "canceled"))
        return nx_err_exit_code(NX_ECANCELED);
    if (!is_done)
        return nx_cli_fail(c, NX_EGUEST, "the job failed: %.*s", NX_SLICE_FMT(error));
    const char *report = nx_cli_flag_text(c, "junit");
    if (report) {
        int written = nx_cli_range_junit(c, nx_json_get(nx_json_get(job, "summary"), "diff"), report);
        if (written != NX_CLI_OK)
            return written;
    }
    int code = nx_cli_range_exit(job);
    if (code == nx_err_exit_code(NX_ENOENT))
        return nx_cli_fail(c, NX_ENOENT, "no run lies in this range");
    return code;
}

const char *nx_cli_replay_effects(const nx_cli *c) { return nx_cli_flag_is_set(c, "live") ? "live" : nx_cli_flag_text(c, "effects"); }

/* ---- the request -------------------------------------------------------------------------------------------------- */

static int write_spec(const nx_cli *c, nx_cli_client *node, nx_buf *out)
{
    static const char *const passed_on[] = {"since", "until", "type", "status", "function"};
    const char *effects = nx_cli_replay_effects(c), *code_text = nx_cli_flag_text(c, "against");
    char other[NX_CLI_CODE_BYTES];
    uint64_t rate;
    if (nx_cli_flag_u64(c, "rate", 1, 1000000, 0, &rate) != NX_OK)
        return NX_CLI_USAGE;
    if (code_text && !nx_cli_flag_text(c, "function"))
        return nx_cli_fail_usage(c, "flag --against needs --function: whose code is it?");
    int code = code_text ? nx_cli_code_name(node, "flag --against", code_text, other) : NX_CLI_OK;
    if (code != NX_CLI_OK)
        return code;
    nx_jw w = NX_JW_INIT(out);
    nx_jw_object(&w);
    for (unsigned i = 0; i < NX_ARRAY_LEN(passed_on); i++)
        if (nx_cli_flag_text(c, passed_on[i]))
            nx_jw_kcstr(&w, passed_on[i], nx_cli_flag_text(c, passed_on[i]));
    if (effects)
        nx_jw_kcstr(&w, "effects", effects);
    if (code_text)
        nx_jw_kcstr(&w, "against", other);
    if (rate)
        nx_jw_ku64(&w, "rate", rate);
    nx_jw_object_end(&w);
    return nx_jw_err(&w) == NX_OK ? NX_CLI_OK : nx_cli_fail(c, nx_jw_err(&w), "the request is too long");
}

int nx_cli_replay_range(nx_cli *c)
{
    static const char *const bounds[] = {"since", "until", "type", "status", "function"};
    bool has_bound = nx_cli_flag_is_set(c, "all");
    if (nx_cli_flag_count(c, "set") || nx_cli_flag_count(c, "set-effect") || nx_cli_flag_text(c, "data") || nx_cli_flag_text(c, "at"))
        return nx_cli_fail_usage(c, "a what-if is asked of one event: name it");
    for (unsigned i = 0; i < NX_ARRAY_LEN(bounds); i++)
        has_bound |= nx_cli_flag_text(c, bounds[i]) != NULL;
    if (!has_bound)
        return nx_cli_fail_usage(c, "name an event, or a range: --since, --until, --type, --function, --status, or --all");
    NX_CLEANUP(nx_buf_done)
    nx_buf spec = NX_BUF_INIT(64u << 10);
    nx_cli_client node;
    nx_json *job = NULL, *end = NULL;
    nx_err e = nx_cli_client_open(c, &node);
    if (e != NX_OK)
        return nx_err_exit_code(e);
    int code = write_spec(c, &node, &spec);
    if (code == NX_CLI_OK)
        code = nx_cli_job_submit(&node, "replay", nx_buf_view(&spec), &job);
    if (code == NX_CLI_OK && nx_cli_flag_is_set(c, "detach")) {
        if (c->json)
            nx_cli_job_print_json(job);
        else
            printf("job %.*s; see: %s jobs show @last\n", NX_SLICE_FMT(nx_json_get_str(job, "job_id")), c->program);
    } else if (code == NX_CLI_OK) {
        char id[64];
        snprintf(id, sizeof id, "%.*s", NX_SLICE_FMT(nx_json_get_str(job, "job_id")));
        code = nx_cli_job_follow(&node, id, &end);
        if (end)
            code = print_end(c, end);
    }
    nx_json_free(job);
    nx_json_free(end);
    nx_cli_client_close(&node);
    return code;
}
