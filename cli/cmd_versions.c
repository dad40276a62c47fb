/* cmd_versions.c: nexus versions list, show, diff, prune. */
#include "cmds.h"
#include "compare.h"
#include "follow_job.h"
#include "nx/clock.h"
#include "nx/diff.h"

#define PATH_BYTES 4096
#define ANSWER_BYTES (4u << 20)

static nx_err versions_path(nx_buf *path, const char *function, const char *version)
{
    nx_err e = nx_buf_append_cstr(path, "/api/v1/functions/");
    if (e == NX_OK)
        e = nx_cli_path_segment(path, function);
    if (e == NX_OK)
        e = nx_buf_append_cstr(path, version ? "/versions/" : "/versions");
    return e == NX_OK && version ? nx_cli_path_segment(path, version) : e;
}

/* ---- list ----------------------------------------------------------------------------------------------------------- */

typedef struct aliases_text {
    nx_buf *out;
    bool with_live;
} aliases_text;

static int add_alias(void *self, nx_slice alias, const nx_json *percent)
{
    aliases_text *t = self;
    double share = nx_json_double(percent, 0);
    if (!t->with_live && nx_slice_eq_cstr(alias, "live"))
        return 0;
    nx_buf_printf(t->out, "%s%.*s", t->out->n ? ", " : "", NX_SLICE_FMT(alias));
    if (share < 100)
        nx_buf_printf(t->out, " %g %%", share);
    return 0;
}

static void row(nx_cli_table *t, const nx_json *v)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf others = NX_BUF_INIT(PATH_BYTES);
    aliases_text text = {&others, false};
    nx_json_each(nx_json_get(v, "aliases"), add_alias, &text);
    nx_cli_table_cell(t, nx_json_get_str(v, "version"));
    if (nx_json_get_bool(v, "live", false))
        nx_cli_table_cellf(t, "%g %%", nx_json_get_double(nx_json_get(v, "aliases"), "live", 0));
    else
        nx_cli_table_cell(t, NX_SLICE_NULL);
    nx_cli_table_cell(t, nx_buf_view(&others));
    nx_cli_table_cell(t, nx_json_get_str(v, "created_at"));
    nx_cli_table_cell(t, nx_json_get_str(v, "artifact"));
}

static int run_list(nx_cli *c)
{
    static const char *const heads[] = {"VERSION", ">LIVE", "ALIASES", "CREATED", "ARTIFACT"};
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(PATH_BYTES);
    const char *p = versions_path(&path, c->args[0], NULL) == NX_OK ? nx_buf_cstr(&path) : NULL;
    return p ? nx_cli_list(c, p, "no versions", NX_ARRAY_LEN(heads), heads, row) : nx_cli_fail(c, NX_ELIMIT, "the name is too long");
}

/* ---- show, diff ------------------------------------------------------------------------------------------------------- */

/* One version's object, as text in `reply` and parsed. */
static int fetch(nx_cli_client *node, const char *function, const char *version, nx_httpc_resp *reply, nx_json **ret)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(PATH_BYTES);
    nx_error e = NX_ERROR_INIT;
    const char *p = versions_path(&path, function, version) == NX_OK ? nx_buf_cstr(&path) : NULL;
    if (!p)
        return nx_cli_fail(node->cli, NX_ELIMIT, "the names are too long");
    int code = nx_cli_call(node, &(nx_cli_request){.method = "GET", .path = p}, reply);
    if (code != NX_CLI_OK)
        return code;
    if (nx_json_parse(nx_buf_view(&reply->body), ANSWER_BYTES, ret, &e) == NX_OK)
        return NX_CLI_OK;
    nx_buf_done(&reply->body);
    return nx_cli_fail(node->cli, NX_EPARSE, "%s does not answer like a node: %s", node->url, e.msg);
}

static int print_setting(void *self, nx_slice key, const nx_json *value)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(ANSWER_BYTES);
    (void)self;
    if (nx_json_dump(value, &text) != NX_OK)
        return 1;
    printf("  %-22.*s ", NX_SLICE_FMT(key));
    nx_cli_print_safe(stdout, nx_buf_view(&text));
    fputc('\n', stdout);
    return 0;
}

static void print_version(const nx_json *v)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf named = NX_BUF_INIT(PATH_BYTES);
    aliases_text text = {&named, true};
    nx_json_each(nx_json_get(v, "aliases"), add_alias, &text);
    printf("%.*s %.*s\n", NX_SLICE_FMT(nx_json_get_str(v, "function")), NX_SLICE_FMT(nx_json_get_str(v, "version")));
    printf("  artifact               %.*s\n", NX_SLICE_FMT(nx_json_get_str(v, "artifact")));
    if (nx_json_get_str(v, "derived").n)
        printf("  derived                %.*s, by its init\n", NX_SLICE_FMT(nx_json_get_str(v, "derived")));
    if (nx_json_get_str(v, "created_at").n)
        printf("  created                %.*s\n", NX_SLICE_FMT(nx_json_get_str(v, "created_at")));
    printf("  aliases                %.*s\n", named.n ? (int)named.n : 1, named.n ? named.p : "-");
    printf("settings\n");
    nx_json_each(nx_json_get(v, "settings"), print_setting, NULL);
}

static int run_show(nx_cli *c)
{
    nx_cli_client node;
    nx_httpc_resp reply = {0};
    nx_json *v = NULL;
    nx_err e = nx_cli_client_open(c, &node);
    if (e != NX_OK)
        return nx_err_exit_code(e);
    int code = fetch(&node, c->args[0], c->n_args > 1 ? c->args[1] : "live", &reply, &v);
    nx_cli_client_close(&node);
    if (code != NX_CLI_OK)
        return code;
    if (c->json)
        printf("%.*s\n", NX_SLICE_FMT(nx_slice_trim(nx_buf_view(&reply.body))));
    else
        print_version(v);
    nx_json_free(v);
    nx_buf_done(&reply.body);
    return NX_CLI_OK;
}

static void write_side(nx_jw *w, const char *key, const nx_json *v)
{
    nx_jw_key(w, key);
    nx_jw_object(w);
    nx_jw_kstr(w, "version", nx_json_get_str(v, "version"));
    nx_jw_kstr(w, "artifact", nx_json_get_str(v, "artifact"));
    nx_jw_kstr(w, "created_at", nx_json_get_str(v, "created_at"));
    nx_jw_object_end(w);
}

/* The difference as one object; *ret_differs: code or settings do. */
static nx_err compare(const nx_json *before, const nx_json *after, nx_buf *out, bool *ret_differs)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf x = NX_BUF_INIT(ANSWER_BYTES);
    NX_CLEANUP(nx_buf_done)
    nx_buf y = NX_BUF_INIT(ANSWER_BYTES);
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(16u << 20);
    nx_json_changes changes;
    nx_err e = nx_json_dump(nx_json_get(before, "settings"), &x);
    if (e == NX_OK)
        e = nx_json_dump(nx_json_get(after, "settings"), &y);
    if (e == NX_OK)
        e = nx_json_diff(nx_buf_view(&x), nx_buf_view(&y), NX_DIFF_SHOWN_MAX, &a, &changes);
    if (e != NX_OK)
        return e;
    bool is_same_code = nx_slice_eq(nx_json_get_str(before, "artifact"), nx_json_get_str(after, "artifact"));
    *ret_differs = !is_same_code || changes.total;
    nx_jw w = NX_JW_INIT(out);
    nx_jw_object(&w);
    nx_jw_kstr(&w, "function", nx_json_get_str(before, "function"));
    write_side(&w, "before", before);
    write_side(&w, "after", after);
    nx_jw_kbool(&w, "same_artifact", is_same_code);
    nx_jw_key(&w, "settings");
    nx_jw_array(&w);
    nx_diff_changes_to_json(&changes, &w);
    nx_jw_array_end(&w);
    nx_jw_object_end(&w);
    return nx_jw_err(&w);
}

static void print_diff(const nx_cli *c, const nx_json *d, bool differs)
{
    const nx_json *before = nx_json_get(d, "before"), *after = nx_json_get(d, "after");
    printf("%.*s %.*s -> %.*s\n", NX_SLICE_FMT(nx_json_get_str(d, "function")), NX_SLICE_FMT(nx_json_get_str(before, "version")), NX_SLICE_FMT(nx_json_get_str(after, "version")));
    if (!differs)
        puts("  code and settings are the same");
    else if (nx_json_get_bool(d, "same_artifact", false))
        puts("  code: the same");
    else
        printf("  code: sha256:%.12s… -> sha256:%.12s…\n", nx_json_get_str(before, "artifact").p, nx_json_get_str(after, "artifact").p);
    nx_cli_print_settings(c, nx_json_get(d, "settings"));
}

static int show_diff(const nx_cli *c, const nx_json *before, const nx_json *after)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(ANSWER_BYTES);
    bool differs = false;
    nx_json *d = NULL;
    nx_err e = compare(before, after, &out, &differs);
    if (e == NX_OK && !c->json)
        e = nx_json_parse(nx_buf_view(&out), ANSWER_BYTES, &d, NULL);
    if (e != NX_OK)
        return nx_cli_fail(c, e, "the difference can't be told: %s", nx_err_text(e));
    if (c->json)
        printf("%.*s\n", (int)out.n, out.p);
    else
        print_diff(c, d, differs);
    nx_json_free(d);
    return differs ? NX_CLI_EXIT_DIFFERENT : NX_CLI_OK;
}

static int run_diff(nx_cli *c)
{
    nx_cli_client node;
    nx_httpc_resp first, second;
    nx_json *before = NULL, *after = NULL;
    nx_err e = nx_cli_client_open(c, &node);
    if (e != NX_OK)
        return nx_err_exit_code(e);
    int code = fetch(&node, c->args[0], c->args[1], &first, &before);
    if (code == NX_CLI_OK) {
        code = fetch(&node, c->args[0], c->n_args > 2 ? c->args[2] : "live", &second, &after);
        if (code == NX_CLI_OK) {
            code = show_diff(c, before, after);
            nx_json_free(after);
            nx_buf_done(&second.body);
        }
        nx_json_free(before);
        nx_buf_done(&first.body);
    }
    nx_cli_client_close(&node);
    return code;
}

/* ---- prune ------------------------------------------------------------------------------------------------------------- */

static int write_prune(const nx_cli *c, nx_buf *spec)
{
    const char *older = nx_cli_flag_text(c, "older-than");
    uint64_t keep, age_ns;
    nx_jw w = NX_JW_INIT(spec);
    if (nx_cli_flag_u64(c, "keep", 1, 1000000, 0, &keep) != NX_OK)
        return NX_CLI_USAGE;
    if (older && nx_duration_parse(nx_slice_cstr(older), &age_ns) != NX_OK)
        return nx_cli_fail_usage(c, "flag --older-than: \"%s\" is not a duration (try 30d)", older);
    nx_jw_object(&w);
    if (c->n_args)
        nx_jw_kcstr(&w, "function", c->args[0]);
    if (older)
        nx_jw_kcstr(&w, "older_than", older);
    if (keep)
        nx_jw_ku64(&w, "keep", keep);
    nx_jw_kbool(&w, "dry_run", nx_cli_flag_is_set(c, "dry-run"));
    nx_jw_object_end(&w);
    return nx_jw_err(&w) == NX_OK ? NX_CLI_OK : nx_cli_fail(c, NX_ELIMIT, "the name is too long");
}

typedef struct kept_text {
    nx_buf *out;
} kept_text;

static int add_kept(void *self, nx_slice why, const nx_json *count)
{
    kept_text *t = self;
    if (nx_json_i64(count, 0))
        nx_buf_printf(t->out, "%s%lld by %.*s", t->out->n ? ", " : "", (long long)nx_json_i64(count, 0), NX_SLICE_FMT(why));
    return 0;
}

static void print_pruned(const nx_json *s)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf kept = NX_BUF_INIT(4096);
    kept_text text = {&kept};
    const nx_json *removed = nx_json_get(s, "removed");
    bool is_dry = nx_json_get_bool(s, "dry_run", false);
    uint64_t versions = nx_json_get_u64(s, "removed_versions", 0), artifacts = nx_json_get_u64(s, "freed_artifacts", 0);
    for (size_t i = 0; i < nx_json_len(removed); i++)
        printf("%.*s %.*s\n", NX_SLICE_FMT(nx_json_get_str(nx_json_at(removed, i), "function")), NX_SLICE_FMT(nx_json_get_str(nx_json_at(removed, i), "version")));
    printf("%llu version%s %s removed, %llu artifact%s freed (%.1f MB)\n", (unsigned long long)versions, versions == 1 ? "" : "s",
           is_dry ? "would be" : versions == 1 ? "is"
                                               : "are",
           (unsigned long long)artifacts, artifacts == 1 ? "" : "s", (double)nx_json_get_u64(s, "freed_bytes", 0) / 1e6);
    nx_json_each(nx_json_get(s, "kept"), add_kept, &text);
    if (kept.n)
        printf("kept: %.*s\n", (int)kept.n, kept.p);
}

static int run_prune(nx_cli *c)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf spec = NX_BUF_INIT(64u << 10);
    nx_cli_client node;
    nx_json *job = NULL, *over = NULL;
    int code = write_prune(c, &spec);
    nx_err e = code == NX_CLI_OK ? nx_cli_client_open(c, &node) : NX_OK;
    if (code != NX_CLI_OK || e != NX_OK)
        return code != NX_CLI_OK ? code : nx_err_exit_code(e);
    code = nx_cli_job_submit(&node, "prune", nx_buf_view(&spec), &job);
    if (code == NX_CLI_OK) {
        char id[64];
        snprintf(id, sizeof id, "%.*s", NX_SLICE_FMT(nx_json_get_str(job, "job_id")));
        code = nx_cli_job_follow(&node, id, &over);
    }
    nx_cli_client_close(&node);
    if (code == NX_CLI_OK && nx_json_get_str(over, "error").n)
        code = nx_cli_fail(c, NX_ECONFLICT, "%.*s", NX_SLICE_FMT(nx_json_get_str(over, "error")));
    else if (code == NX_CLI_OK && c->json)
        nx_cli_job_print_json(over);
    else if (code == NX_CLI_OK)
        print_pruned(nx_json_get(over, "summary"));
    nx_json_free(job);
    nx_json_free(over);
    return code;
}

/* ---- the table ------------------------------------------------------------------------------------------------------- */

static const nx_cli_arg list_args[] = {
    {.name = "function", .help = "Name of the function.", .kind = NX_CLI_FUNCTION},
    {0},
};
static const nx_cli_arg show_args[] = {
    {.name = "function", .help = "Name of the function.", .kind = NX_CLI_FUNCTION},
    {.name = "version", .help = "A version (v3) or an alias (default: live).", .is_optional = true},
    {0},
};
static const nx_cli_arg diff_args[] = {
    {.name = "function", .help = "Name of the function.", .kind = NX_CLI_FUNCTION},
    {.name = "before", .help = "A version (v3) or an alias."},
    {.name = "after", .help = "The other one (default: live).", .is_optional = true},
    {0},
};
static const nx_cli_example list_examples[] = {
    {"nexus versions list user-welcome", "every deployed version, newest first, and what names it"},
    {0},
};
static const nx_cli_example show_examples[] = {
    {"nexus versions show user-welcome", "module and settings of the live version"},
    {"nexus versions show user-welcome v3 --json", "of version 3, for a program"},
    {0},
};
static const nx_cli_example diff_examples[] = {
    {"nexus versions diff user-welcome v3", "what the live version has that version 3 had not"},
    {"nexus versions diff user-welcome live canary", "between two aliases"},
    {0},
};

const nx_cli_command nx_cli_cmd_versions_list = {
    .verb = "versions list",
    .summary = "List the deployed versions of a function",
    .args = list_args,
    .examples = list_examples,
    .is_client = true,
    .run = run_list,
};

const nx_cli_command nx_cli_cmd_versions_show = {
    .verb = "versions show",
    .summary = "Show the module and the settings of a version",
    .args = show_args,
    .examples = show_examples,
    .is_client = true,
    .run = run_show,
};

const nx_cli_command nx_cli_cmd_versions_diff = {
    .verb = "versions diff",
    .summary = "Show what differs between two versions",
    .text = "Compares what was deployed: module and settings. What two versions make of an event: `nexus diff`; of many: `nexus replay --since`.\n\n"
            "Exit codes: 0 they are the same, 1 they differ.",
    .args = diff_args,
    .examples = diff_examples,
    .is_client = true,
    .run = run_diff,
};

static const nx_cli_arg prune_args[] = {
    {.name = "function", .help = "Only this one's versions.", .kind = NX_CLI_FUNCTION, .is_optional = true},
    {0},
};
static const nx_cli_flag prune_flags[] = {
    {.name = "older-than", .value = "DURATION", .help = "Only what is older (default: retention.versions.max_age of the node, 30d)."},
    {.name = "keep", .value = "N", .help = "So many of each function's newest stay (default: retention.versions.keep, 10)."},
    {.name = "dry-run", .help = "Say what would go, and let it stay."},
    {0},
};
static const nx_cli_example prune_examples[] = {
    {"nexus versions prune --dry-run", "what would go, and how many versions something keeps"},
    {"nexus versions prune user-welcome --older-than 7d --keep 3", "one function's, with other bounds than the node's"},
    {0},
};

const nx_cli_command nx_cli_cmd_versions_prune = {
    .verb = "versions prune",
    .summary = "Remove old versions that nothing needs, and free their modules",
    .text = "Never removes a version that an alias names or named before one of its last ten changes, that a stored recording was made by, that a\n"
            "job or an event waiting to be redriven needs, or that is one of the function's newest. Nodes do the same by themselves, as\n"
            "`retention.versions` says. It is a job: it goes on when the terminal is closed.",
    .flags = prune_flags,
    .args = prune_args,
    .examples = prune_examples,
    .is_client = true,
    .run = run_prune,
};
