/* cmd_dlq.c: nexus dlq list, show, redrive, purge. */
#include "cmds.h"
#include "nx/clock.h"
#include <unistd.h>

#define PATH_BYTES 16384
#define BATCH 200 /* events in one request: between two of them progress is shown */

static const char *const filters[] = {"function", "type", "why", "since", "until"};

/* ---- list --------------------------------------------------------------------------------------------------------- */

static void row(nx_cli_table *t, const nx_json *r)
{
    nx_cli_table_cell(t, nx_json_get_str(r, "event_id"));
    nx_cli_table_cellf(t, "%.*s %.*s", NX_SLICE_FMT(nx_json_get_str(r, "function")), NX_SLICE_FMT(nx_json_get_str(r, "version")));
    nx_cli_table_cell(t, nx_json_get_str(r, "event_type"));
    nx_cli_table_cellf(t, "%.*s: %.*s", NX_SLICE_FMT(nx_json_get_str(r, "status")), NX_SLICE_FMT(nx_json_get_str(r, "why")));
    nx_cli_table_cellf(t, "%llu", (unsigned long long)nx_json_get_u64(r, "attempt", 0));
    nx_cli_table_cellf(t, "%llu", (unsigned long long)nx_json_get_u64(r, "generation", 0));
    nx_cli_table_cell(t, nx_json_get_str(r, "time"));
    nx_cli_table_cell(t, nx_slice_sub(nx_slice_split(nx_json_get_str(r, "message"), '\n', &(nx_slice){0}), 0, 100));
}

static nx_err list_path(nx_cli *c, nx_buf *path, uint64_t limit)
{
    nx_err e = nx_buf_printf(path, "/api/v1/dlq?limit=%llu", (unsigned long long)limit);
    for (unsigned i = 0; i < NX_ARRAY_LEN(filters) && e == NX_OK; i++)
        e = nx_cli_query(path, filters[i], nx_cli_flag_text(c, filters[i]));
    return e;
}

static int run_list(nx_cli *c)
{
    static const char *const heads[] = {"EVENT", "FUNCTION", "TYPE", "FAILED", ">ATTEMPTS", ">REDRIVEN", "TIME", "MESSAGE"};
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(PATH_BYTES);
    uint64_t limit;
    if (nx_cli_flag_u64(c, "limit", 1, 10000, 20, &limit) != NX_OK)
        return NX_CLI_USAGE;
    nx_err e = list_path(c, &path, limit);
    const char *p = nx_buf_cstr(&path);
    if (e != NX_OK || !p)
        return nx_cli_fail(c, NX_ELIMIT, "the request is too long");
    return nx_cli_list(c, p, "no dead letters", NX_ARRAY_LEN(heads), heads, row);
}

#define FILTER_FLAGS                                                                                                                                             \
    {.name = "function", .value = "NAME", .kind = NX_CLI_FUNCTION, .help = "Only of this function."},                                                            \
        {.name = "type", .letter = 't', .value = "PATTERN", .help = "Only events of this type; `*` stands for one word between dots, a last `>` for the rest."}, \
        {.name = "why", .value = "REASON", .help = "Only what failed for this reason: trap, exit, deadline and so on."},                                         \
        {.name = "since", .value = "TIME", .help = "Failed not earlier than this: a time (2025-11-26T10:00:00Z) or a span before now (1h)."},                    \
    {                                                                                                                                                            \
        .name = "until", .value = "TIME", .help = "Failed not later than this."                                                                                  \
    }

static const nx_cli_flag list_flags[] = {
    FILTER_FLAGS,
    {.name = "limit", .letter = 'n', .value = "N", .help = "At most this many, newest first (default 20)."},
    {0},
};
static const nx_cli_example list_examples[] = {
    {"nexus dlq list", "the newest twenty"},
    {"nexus dlq list --function charge --since 3d --why exit", "what charge refused since Friday"},
    {0},
};

const nx_cli_command nx_cli_cmd_dlq_list = {
    .verb = "dlq list",
    .summary = "List dead letters: events whose run failed for good",
    .flags = list_flags,
    .examples = list_examples,
    .is_client = true,
    .run = run_list,
};

/* ---- show --------------------------------------------------------------------------------------------------------- */

static int run_show(nx_cli *c)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(PATH_BYTES);
    const char *p = nx_cli_path(&path, "/api/v1/dlq/", c->args[0], "");
    if (p)
        p = nx_cli_query(&path, "function", nx_cli_flag_text(c, "function")) == NX_OK ? nx_buf_cstr(&path) : NULL;
    if (!p)
        return nx_cli_fail(c, NX_ELIMIT, "the id is too long");
    nx_httpc_resp reply = {0};
    int code = nx_cli_ask(c, &(nx_cli_request){.method = "GET", .path = p}, &reply);
    if (code != NX_CLI_OK)
        return code;
    nx_slice rest = nx_buf_view(&reply.body), line;
    for (bool is_first = true; nx_cli_next_line(&rest, &line); is_first = false) {
        nx_json *root = NULL;
        if (c->json)
            printf("%.*s\n", NX_SLICE_FMT(line));
        else if (nx_json_parse(line, NX_CLI_REPLY_BYTES, &root, NULL) == NX_OK)
            nx_cli_print_dead(root, is_first);
        nx_json_free(root);
    }
    nx_buf_done(&reply.body);
    return NX_CLI_OK;
}

static const nx_cli_flag show_flags[] = {
    {.name = "function", .value = "NAME", .kind = NX_CLI_FUNCTION, .help = "Only of this function, where several failed on the event."},
    {0},
};
static const nx_cli_arg show_args[] = {
    {.name = "event", .help = "Id of the event or of its run, the unique ending of one, or @last: the newest dead letter."},
    {0},
};
static const nx_cli_example show_examples[] = {
    {"nexus dlq show @last", "why it failed, its attempts, backtrace and event"},
    {0},
};

const nx_cli_command nx_cli_cmd_dlq_show = {
    .verb = "dlq show",
    .summary = "Show one dead letter: failure, attempts, backtrace, event",
    .flags = show_flags,
    .args = show_args,
    .examples = show_examples,
    .is_client = true,
    .run = run_show,
};

/* ---- redrive, purge ------------------------------------------------------------------------------------------------- */

typedef struct work {
    nx_cli_client node;
    const char *verb, *done_word; /* "redrive", "redriven" */
    uint64_t after, n_done, n_failed, n_all;
    char not_before[NX_RFC3339_MAX + 1];
    bool is_over;
} work;

static nx_err write_body(const nx_cli *c, const work *w, uint64_t rate, nx_buf *out)
{
    nx_jw j = NX_JW_INIT(out);
    nx_jw_object(&j);
    if (c->n_args) {
        nx_jw_key(&j, "ids");
        nx_jw_array(&j);
        for (unsigned i = 0; i < c->n_args; i++)
            nx_jw_cstr(&j, c->args[i]);
        nx_jw_array_end(&j);
    }
    for (unsigned i = 0; i < NX_ARRAY_LEN(filters); i++)
        if (nx_cli_flag_text(c, filters[i]))
            nx_jw_kcstr(&j, filters[i], nx_cli_flag_text(c, filters[i]));
    if (nx_cli_flag_is_set(c, "all"))
        nx_jw_kbool(&j, "all", true);
    nx_jw_ku64(&j, "limit", BATCH);
    nx_jw_ku64(&j, "after", w->after);
    if (strcmp(w->verb, "redrive") == 0) {
        if (nx_cli_flag_text(c, "against"))
            nx_jw_kcstr(&j, "against", nx_cli_flag_text(c, "against"));
        if (nx_cli_flag_text(c, "effects"))
            nx_jw_kcstr(&j, "effects", nx_cli_flag_text(c, "effects"));
        if (rate)
            nx_jw_ku64(&j, "rate", rate);
        if (w->not_before[0])
            nx_jw_kcstr(&j, "not_before", w->not_before);
    }
    nx_jw_object_end(&j);
    return nx_jw_err(&j);
}

static void take_event(nx_cli *c, work *w, const nx_json *e)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(1u << 20);
    bool is_failed = nx_slice_eq_cstr(nx_json_get_str(e, "result"), "failed");
    nx_slice due = nx_json_get_str(e, "due_at");
    if (is_failed)
        w->n_failed++;
    else
        w->n_done++;
    if (due.n && due.n < sizeof w->not_before)
        snprintf(w->not_before, sizeof w->not_before, "%.*s", NX_SLICE_FMT(due));
    if (c->json && nx_json_dump(e, &text) == NX_OK) {
        printf("%.*s\n", NX_SLICE_FMT(nx_buf_view(&text)));
    } else if (!c->json && (is_failed || w->n_all <= 20)) {
        printf("%.*s %.*s: ", NX_SLICE_FMT(nx_json_get_str(e, "event_id")), NX_SLICE_FMT(nx_json_get_str(e, "function")));
        nx_cli_print_safe(stdout, is_failed ? nx_json_get_str(e, "reason") : nx_json_get_str(e, "result"));
        if (!is_failed && nx_json_get_str(e, "new_run_id").n)
            printf(" as run %.*s", NX_SLICE_FMT(nx_json_get_str(e, "new_run_id")));
        putchar('\n');
    }
}

/* One request; what it did not get to is the next one's. */
static int one_batch(nx_cli *c, work *w, uint64_t rate)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf body = NX_BUF_INIT(1u << 20);
    char path[64];
    nx_httpc_resp reply = {0};
    nx_json *root = NULL;
    if (write_body(c, w, rate, &body) != NX_OK)
        return nx_cli_fail(c, NX_ELIMIT, "too many events in one command");
    snprintf(path, sizeof path, "/api/v1/dlq/%s", w->verb);
    int code = nx_cli_call(&w->node, &(nx_cli_request){.method = "POST", .path = path, .content_type = "application/json", .body = nx_buf_view(&body)}, &reply);
    if (code != NX_CLI_OK)
        return code;
    code = nx_cli_answer_json(c, nx_buf_view(&reply.body), &root);
    const nx_json *events = nx_json_get(root, "events");
    if (!w->n_all)
        w->n_all = nx_json_get_u64(root, "matching", 0);
    for (size_t i = 0; i < nx_json_len(events); i++)
        take_event(c, w, nx_json_at(events, i));
    w->after = nx_json_get_u64(root, "after", w->after);
    w->is_over = c->n_args || nx_json_get_u64(root, "left", 0) == 0;
    if (c->err_is_tty && w->n_all > BATCH)
        fprintf(stderr, "\r%llu of %llu %s%s", 0ULL + w->n_done + w->n_failed, 0ULL + w->n_all, w->done_word, w->is_over ? "\n" : "");
    nx_json_free(root);
    nx_buf_done(&reply.body);
    return code;
}

static int run_work(nx_cli *c, work *w)
{
    uint64_t rate = 0;
    if (strcmp(w->verb, "redrive") == 0 && nx_cli_flag_u64(c, "rate", 1, 100000, 0, &rate) != NX_OK)
        return NX_CLI_USAGE;
    int code = NX_CLI_OK;
    while (code == NX_CLI_OK && !w->is_over)
        code = one_batch(c, w, rate);
    if (code == NX_CLI_OK) {
        nx_cli_say(c, "%s %llu", w->done_word, (unsigned long long)w->n_done);
        if (w->n_failed)
            nx_cli_say(c, ", %llu could not be", (unsigned long long)w->n_failed);
        nx_cli_say(c, "\n");
    } else if (w->n_done) {
        fprintf(stderr, "nexus: %llu were %s; the same command goes on with the others\n", (unsigned long long)w->n_done, w->done_word);
    }
    return code != NX_CLI_OK ? code : w->n_failed ? NX_CLI_FAILED
                                                  : NX_CLI_OK;
}

static bool names_something(const nx_cli *c)
{
    bool is_filtered = nx_cli_flag_is_set(c, "all");
    for (unsigned i = 0; i < NX_ARRAY_LEN(filters); i++)
        is_filtered |= nx_cli_flag_text(c, filters[i]) != NULL;
    return c->n_args || is_filtered;
}

static int run_redrive(nx_cli *c)
{
    if (!names_something(c))
        return nx_cli_fail_usage(c, "name events, or say which: --function, --type, --why, --since, --until, or --all");
    if (nx_cli_flag_text(c, "against") && !nx_cli_flag_text(c, "function"))
        return nx_cli_fail_usage(c, "--against names a version of one function: add --function");
    work w = {.verb = "redrive", .done_word = "redriven"};
    nx_err e = nx_cli_client_open(c, &w.node);
    if (e != NX_OK)
        return nx_err_exit_code(e);
    int code = run_work(c, &w);
    nx_cli_client_close(&w.node);
    return code;
}

static int count_matching(nx_cli *c, nx_cli_client *node, uint64_t *ret)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(PATH_BYTES);
    nx_httpc_resp reply = {0};
    nx_json *root = NULL;
    nx_err e = list_path(c, &path, 1);
    if (e == NX_OK)
        e = nx_cli_query(&path, "count", "1");
    const char *p = nx_buf_cstr(&path);
    if (e != NX_OK || !p)
        return nx_cli_fail(c, NX_ELIMIT, "the request is too long");
    int code = nx_cli_call(node, &(nx_cli_request){.method = "GET", .path = p}, &reply);
    if (code != NX_CLI_OK)
        return code;
    if (nx_json_parse(nx_buf_view(&reply.body), 1u << 20, &root, NULL) == NX_OK)
        *ret = nx_json_get_u64(root, "matching", 0);
    nx_json_free(root);
    nx_buf_done(&reply.body);
    return NX_CLI_OK;
}

/* Asks on the terminal; without one, --yes has to say it. */
static int confirm_purge(nx_cli *c, nx_cli_client *node)
{
    uint64_t n = c->n_args;
    char answer[16] = "";
    if (nx_cli_flag_is_set(c, "yes"))
        return NX_CLI_OK;
    if (!isatty(STDIN_FILENO) || !c->err_is_tty)
        return nx_cli_fail_usage(c, "purging asks first, and there is no terminal to ask on; add --yes");
    int code = c->n_args ? NX_CLI_OK : count_matching(c, node, &n);
    if (code != NX_CLI_OK)
        return code;
    fprintf(stderr, "Take %llu dead letters out of the queue? Records and events stay; they can be replayed, but not redriven. [y/N] ", (unsigned long long)n);
    if (!fgets(answer, sizeof answer, stdin) || (answer[0] != 'y' && answer[0] != 'Y'))
        return nx_cli_fail(c, NX_ECANCELED, "nothing was purged");
    return NX_CLI_OK;
}

static int run_purge(nx_cli *c)
{
    if (!names_something(c))
        return nx_cli_fail_usage(c, "name events, or say which: --function, --type, --why, --since, --until, or --all");
    work w = {.verb = "purge", .done_word = "purged"};
    nx_err e = nx_cli_client_open(c, &w.node);
    if (e != NX_OK)
        return nx_err_exit_code(e);
    int code = confirm_purge(c, &w.node);
    if (code == NX_CLI_OK)
        code = run_work(c, &w);
    nx_cli_client_close(&w.node);
    return code;
}

static const nx_cli_arg work_args[] = {
    {.name = "event", .help = "Ids of events or runs, unique endings of them, or @last.", .is_optional = true, .is_many = true},
    {0},
};
static const char *const policies[] = {"recorded", "deny", "live", NULL};
static const nx_cli_flag redrive_flags[] = {
    FILTER_FLAGS,
    {.name = "all", .letter = 'a', .help = "Every dead letter."},
    {.name = "against", .value = "VERSION", .help = "Run this version of the function, or what an alias stands for, instead of the live one; needs --function."},
    {.name = "effects", .value = "POLICY", .choices = policies, .help = "Where answers to the function's host calls come from: live (default), recorded in the last attempt, or deny."},
    {.name = "rate", .value = "N", .help = "So many events a second (default: all at once)."},
    {0},
};
static const nx_cli_example redrive_examples[] = {
    {"nexus dlq redrive @last", "the newest one, on the live version"},
    {"nexus dlq redrive --function charge --since 3d --rate 50", "what charge refused since Friday, 50 events a second"},
    {"nexus dlq redrive --function charge --all --against v7 --effects deny", "on version 7, without touching the world"},
    {0},
};

const nx_cli_command nx_cli_cmd_dlq_redrive = {
    .verb = "dlq redrive",
    .summary = "Give dead letters to their functions once more",
    .text = "A redrive is a real run: the next generation of the run that failed, for that function only, with its retries. It is stored before the "
            "command ends, so it happens whatever becomes of the node. What fails again is a dead letter again.",
    .flags = redrive_flags,
    .args = work_args,
    .examples = redrive_examples,
    .is_client = true,
    .run = run_redrive,
};

static const nx_cli_flag purge_flags[] = {
    FILTER_FLAGS,
    {.name = "all", .letter = 'a', .help = "Every dead letter."},
    {.name = "yes", .letter = 'y', .help = "Don't ask."},
    {0},
};
static const nx_cli_example purge_examples[] = {
    {"nexus dlq purge @last --yes", "nobody will redrive it"},
    {"nexus dlq purge --function charge --until 30d", "what is older than a month; asks first"},
    {0},
};

const nx_cli_command nx_cli_cmd_dlq_purge = {
    .verb = "dlq purge",
    .summary = "Take dead letters out of the queue",
    .text = "Records and events stay in the log as long as retention says, and can be replayed.",
    .flags = purge_flags,
    .args = work_args,
    .examples = purge_examples,
    .is_client = true,
    .run = run_purge,
};
