/* cmd_bisect.c: nexus bisect. */
#include "bisect_test.h"
#include "cmds.h"
#include "compare.h"
#include "nx/digest.h"
#include "nx/ulid.h"
#include <stdlib.h>

#define TIMEOUT_MS 600000
#define VERSIONS_MAX 4096u
#define EXIT_SKIP 125
#define EXIT_ABORT 128
#define EXIT_NOTHING_FOUND 3

typedef enum { UNKNOWN,
               GOOD,
               BAD,
               SKIPPED } standing;

typedef struct version {
    unsigned number;
    char artifact[NX_SHA256_HEX + 1], created[40];
    standing is;
} version;

typedef struct bisect {
    nx_cli *c;
    nx_cli_client node;
    char function[72], event[NX_ID_LEN + 1];
    const char *command; /* NULL: compare with the baseline */
    char baseline[NX_CLI_CODE_BYTES];
    version *v; /* ascending */
    unsigned n, good, bad, n_tested;
} bisect;

/* ---- asking the node ------------------------------------------------------------------------------------------------------------------------- */

static int call(bisect *b, const char *method, const char *path, nx_slice body, nx_httpc_resp *reply)
{
    nx_cli_request q = {.method = method, .path = path, .content_type = body.n ? "application/json" : NULL, .body = body, .timeout_ms = TIMEOUT_MS, .progress = "bisecting"};
    return nx_cli_call(&b->node, &q, reply);
}

/* The function that ran the event, and which version did; several need --function. */
static int find_run(bisect *b, unsigned *ret_recorded)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(4096);
    nx_httpc_resp reply = {0};
    const char *wanted = nx_cli_flag_text(b->c, "function");
    nx_err e = nx_buf_append_cstr(&path, "/api/v1/runs");
    if (e == NX_OK)
        e = nx_cli_query(&path, "event", b->c->args[0]);
    if (e == NX_OK)
        e = nx_cli_query(&path, "function", wanted);
    const char *p = nx_buf_cstr(&path);
    if (e != NX_OK || !p)
        return nx_cli_fail(b->c, NX_ELIMIT, "the request is too long");
    int code = call(b, "GET", p, NX_SLICE_NULL, &reply);
    if (code != NX_CLI_OK)
        return code;
    nx_slice rest = nx_buf_view(&reply.body), line;
    unsigned n = 0;
    while (code == NX_CLI_OK && nx_cli_next_line(&rest, &line)) {
        nx_json *r = NULL;
        if (nx_json_parse(line, NX_CLI_REPLY_BYTES, &r, NULL) != NX_OK)
            continue;
        nx_slice name = nx_json_get_str(r, "function"), v = nx_json_get_str(r, "version");
        uint64_t number = 0;
        if (n++ && !nx_slice_eq_cstr(name, b->function))
            code = nx_cli_fail(b->c, NX_ECONFLICT, "several functions ran the event (%s, %.*s): name one with --function", b->function, NX_SLICE_FMT(name));
        snprintf(b->function, sizeof b->function, "%.*s", NX_SLICE_FMT(name));
        snprintf(b->event, sizeof b->event, "%.*s", NX_SLICE_FMT(nx_json_get_str(r, "event_id")));
        *ret_recorded = v.n > 1 && *v.p == 'v' && nx_slice_u64(nx_slice_sub(v, 1, v.n), 1000000, &number) == NX_OK ? (unsigned)number : 0;
        nx_json_free(r);
    }
    nx_buf_done(&reply.body);
    if (code == NX_CLI_OK && n == 0)
        code = nx_cli_fail(b->c, NX_ENOENT, "event %s has no recorded run%s%s", b->c->args[0], wanted ? " of " : "", wanted ? wanted : "");
    return code;
}

static int list_versions(bisect *b)
{
    char path[160];
    nx_httpc_resp reply = {0};
    snprintf(path, sizeof path, "/api/v1/functions/%s/versions", b->function);
    int code = call(b, "GET", path, NX_SLICE_NULL, &reply);
    if (code != NX_CLI_OK)
        return code;
    b->v = calloc(VERSIONS_MAX, sizeof *b->v);
    nx_slice rest = nx_buf_view(&reply.body), line;
    if (!b->v) {
        nx_buf_done(&reply.body);
        return nx_cli_fail(b->c, NX_ENOMEM, "out of memory for the versions");
    }
    while (b->n < VERSIONS_MAX && nx_cli_next_line(&rest, &line)) { /* newest first */
        nx_json *r = NULL;
        uint64_t number;
        if (nx_json_parse(line, NX_CLI_REPLY_BYTES, &r, NULL) != NX_OK)
            continue;
        nx_slice name = nx_json_get_str(r, "version");
        if (nx_slice_u64(nx_slice_sub(name, 1, name.n), 1000000, &number) == NX_OK) {
            version *v = &b->v[b->n++];
            v->number = (unsigned)number;
            snprintf(v->artifact, sizeof v->artifact, "%.*s", NX_SLICE_FMT(nx_json_get_str(r, "artifact")));
            snprintf(v->created, sizeof v->created, "%.*s", NX_SLICE_FMT(nx_json_get_str(r, "created_at")));
        }
        nx_json_free(r);
    }
    nx_buf_done(&reply.body);
    for (unsigned i = 0; i < b->n / 2; i++) {
        version swap = b->v[i];
        b->v[i] = b->v[b->n - 1 - i];
        b->v[b->n - 1 - i] = swap;
    }
    return NX_CLI_OK;
}

/* One comparison; *ret is the parsed answer. */
static int compare(bisect *b, const char *before, const char *after, nx_json **ret)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf body = NX_BUF_INIT(4096);
    nx_httpc_resp reply = {0};
    nx_jw w = NX_JW_INIT(&body);
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "event_id", b->event);
    nx_jw_kcstr(&w, "function", b->function);
    nx_jw_kcstr(&w, "before", before);
    nx_jw_kcstr(&w, "after", after);
    nx_jw_kbool(&w, "with_output", b->command != NULL);
    nx_jw_object_end(&w);
    int code = call(b, "POST", "/api/v1/diffs", nx_buf_view(&body), &reply);
    if (code != NX_CLI_OK)
        return code;
    nx_slice rest = nx_buf_view(&reply.body), line = NX_SLICE_NULL;
    nx_cli_next_line(&rest, &line);
    code = nx_cli_answer_json(b->c, line, ret);
    nx_buf_done(&reply.body);
    return code;
}

/* ---- deciding --------------------------------------------------------------------------------------------------------------------------------- */

#define VARIABLES 8
#define VARIABLE_BYTES 160

/* The bytes of the output, also where they are no text. */
static nx_slice output_of(const nx_json *r, char **take)
{
    nx_slice base64 = nx_json_get_str(r, "output_base64"), bytes = NX_SLICE_NULL;
    if (!base64.p)
        return nx_json_get_str(r, "output");
    *take = malloc(base64.n + 1);
    if (*take && nx_base64_decode(base64, &bytes, *take, base64.n + 1) != NX_OK)
        bytes = NX_SLICE_NULL;
    return bytes;
}

static int ask_command(bisect *b, const version *v, const nx_json *r, standing *ret)
{
    const nx_json *after = nx_json_get(nx_json_get(r, "diff"), "after");
    char text[VARIABLES][VARIABLE_BYTES], *variables[VARIABLES + 1], *decoded = NULL;
    nx_error e = NX_ERROR_INIT;
    int exit_code = 0;
    snprintf(text[0], VARIABLE_BYTES, "NEXUS_VERSION=v%u", v->number);
    snprintf(text[1], VARIABLE_BYTES, "NEXUS_FUNCTION=%s", b->function);
    snprintf(text[2], VARIABLE_BYTES, "NEXUS_EVENT_ID=%s", b->event);
    snprintf(text[3], VARIABLE_BYTES, "NEXUS_STATUS=%.*s", NX_SLICE_FMT(nx_json_get_str(after, "status")));
    snprintf(text[4], VARIABLE_BYTES, "NEXUS_WHY=%.*s", NX_SLICE_FMT(nx_json_get_str(after, "why")));
    snprintf(text[5], VARIABLE_BYTES, "NEXUS_FUEL=%llu", (unsigned long long)nx_json_get_u64(after, "fuel", 0));
    snprintf(text[6], VARIABLE_BYTES, "NEXUS_MEMORY_BYTES=%llu", (unsigned long long)nx_json_get_u64(after, "memory_bytes", 0));
    snprintf(text[7], VARIABLE_BYTES, "NEXUS_ARTIFACT=%s", v->artifact);
    for (unsigned i = 0; i < VARIABLES; i++)
        variables[i] = text[i];
    variables[VARIABLES] = NULL;
    e.code = nx_cli_bisect_test(b->command, output_of(r, &decoded), variables, &exit_code, &e);
    free(decoded);
    if (e.code != NX_OK)
        return nx_cli_fail_error(b->c, &e);
    if (exit_code >= EXIT_ABORT)
        return nx_cli_fail(b->c, NX_EGUEST, "the test ended with code %d on v%u: bisecting ends here", exit_code, v->number);
    *ret = exit_code == 0 ? GOOD : exit_code == EXIT_SKIP ? SKIPPED
                                                          : BAD;
    return NX_CLI_OK;
}

static void say_step(const bisect *b, const version *v, nx_slice why, const char *what)
{
    static const char *const names[] = {"?", "good", "bad", "skipped"};
    static const char *const colours[] = {"", NX_CLI_GREEN, NX_CLI_RED, NX_CLI_YELLOW};
    if (b->c->json)
        return;
    printf("v%u: %s%s%s", v->number, nx_cli_paint(b->c->has_colour, colours[v->is]), names[v->is], nx_cli_paint(b->c->has_colour, NX_CLI_PLAIN));
    if (what[0] && v->is == BAD)
        printf(" (%s)", what);
    if (why.n) {
        fputs(": ", stdout);
        nx_cli_print_safe(stdout, why);
    }
    putchar('\n');
    fflush(stdout);
}

/* One replay. A version that can't be run says nothing: it is skipped. */
static int probe(bisect *b, unsigned i)
{
    version *v = &b->v[i];
    nx_json *r = NULL;
    char name[16], what[256] = "";
    if (v->is != UNKNOWN)
        return NX_CLI_OK;
    snprintf(name, sizeof name, "v%u", v->number);
    int code = compare(b, b->baseline, name, &r);
    if (code != NX_CLI_OK)
        return code;
    b->n_tested++;
    nx_slice verdict = nx_json_get_str(r, "verdict");
    if (nx_slice_eq_cstr(verdict, "failed")) {
        v->is = SKIPPED;
    } else if (b->command) {
        code = ask_command(b, v, r, &v->is);
    } else {
        v->is = nx_slice_eq_cstr(verdict, "same") ? GOOD : BAD;
        nx_cli_diff_summary(nx_json_get(r, "diff"), what, sizeof what);
    }
    if (code == NX_CLI_OK)
        say_step(b, v, nx_json_get_str(r, "reason"), what);
    nx_json_free(r);
    return code;
}

/* The untested version nearest to the middle; 0: there is none. */
static unsigned middle(const bisect *b)
{
    unsigned best = 0, centre = (b->good + b->bad) / 2, best_distance = UINT32_MAX;
    for (unsigned i = b->good + 1; i < b->bad; i++) {
        unsigned distance = i > centre ? i - centre : centre - i;
        if (b->v[i].is == UNKNOWN && distance < best_distance) {
            best = i;
            best_distance = distance;
        }
    }
    return best;
}

static int search(bisect *b)
{
    int code = probe(b, b->good);
    if (code == NX_CLI_OK && b->v[b->good].is != GOOD)
        return nx_cli_fail(b->c, NX_ECONFLICT, "v%u is not good: begin with an older version (--good), or with another test", b->v[b->good].number);
    if (code == NX_CLI_OK)
        code = probe(b, b->bad);
    if (code == NX_CLI_OK && b->v[b->bad].is != BAD)
        return nx_cli_fail(b->c, NX_ECONFLICT, "v%u is not bad: there is nothing to find", b->v[b->bad].number);
    for (unsigned i = 0; code == NX_CLI_OK && (i = middle(b)) > 0;) {
        code = probe(b, i);
        if (b->v[i].is == GOOD)
            b->good = i;
        else if (b->v[i].is == BAD)
            b->bad = i;
    }
    return code;
}

/* ---- telling ---------------------------------------------------------------------------------------------------------------------------------- */

static int report_json(const bisect *b, const nx_json *last)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(NX_CLI_REPLY_BYTES);
    nx_jw w = NX_JW_INIT(&out);
    const version *good = &b->v[b->good], *bad = &b->v[b->bad];
    char name[16];
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "event_id", b->event);
    nx_jw_kcstr(&w, "function", b->function);
    nx_jw_kbool(&w, "found", b->bad == b->good + 1);
    snprintf(name, sizeof name, "v%u", bad->number);
    nx_jw_kcstr(&w, b->bad == b->good + 1 ? "first_bad" : "first_known_bad", name);
    snprintf(name, sizeof name, "v%u", good->number);
    nx_jw_kcstr(&w, "last_good", name);
    nx_jw_kcstr(&w, "artifact", bad->artifact);
    nx_jw_kcstr(&w, "created_at", bad->created);
    nx_jw_kbool(&w, "same_artifact", strcmp(good->artifact, bad->artifact) == 0);
    nx_jw_ku64(&w, "tested", b->n_tested);
    nx_jw_key(&w, "skipped");
    nx_jw_array(&w);
    for (unsigned i = b->good + 1; i < b->bad; i++) {
        snprintf(name, sizeof name, "v%u", b->v[i].number);
        nx_jw_cstr(&w, name);
    }
    nx_jw_array_end(&w);
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(NX_CLI_REPLY_BYTES);
    nx_jw_key(&w, "comparison");
    if (nx_json_dump(last, &text) == NX_OK)
        nx_jw_raw(&w, nx_buf_view(&text));
    else
        nx_jw_null(&w);
    nx_jw_object_end(&w);
    if (nx_jw_err(&w) != NX_OK)
        return nx_cli_fail(b->c, nx_jw_err(&w), "the result does not fit into memory");
    printf("%.*s\n", NX_SLICE_FMT(nx_buf_view(&out)));
    return NX_CLI_OK;
}

static void report_text(const bisect *b, const nx_json *last)
{
    const version *good = &b->v[b->good], *bad = &b->v[b->bad];
    const nx_json *diff = nx_json_get(last, "diff");
    bool has_colour = b->c->has_colour;
    if (b->bad == b->good + 1)
        printf("%sv%u%s is the first bad version of %s, v%u the last good one (%u replays)\n", nx_cli_paint(has_colour, NX_CLI_RED), bad->number,
               nx_cli_paint(has_colour, NX_CLI_PLAIN), b->function, good->number, b->n_tested);
    else
        printf("one of v%u to v%u is the first bad version of %s; the rest of them can't be tested\n", b->v[b->good + 1].number, bad->number, b->function);
    printf("  deployed %s, %s\n", bad->created, strcmp(good->artifact, bad->artifact) == 0 ? "the same code with other settings" : "other code");
    nx_cli_print_settings(b->c, nx_json_get(last, "settings"));
    if (diff)
        nx_cli_print_diff(b->c, diff);
}

static int report(bisect *b)
{
    nx_json *last = NULL;
    char good[16], bad[16];
    snprintf(good, sizeof good, "v%u", b->v[b->good].number);
    snprintf(bad, sizeof bad, "v%u", b->v[b->bad].number);
    b->command = NULL; /* the output itself is not asked for any more */
    int code = compare(b, good, bad, &last);
    if (code == NX_CLI_OK && b->c->json)
        code = report_json(b, last);
    else if (code == NX_CLI_OK)
        report_text(b, last);
    nx_json_free(last);
    if (code != NX_CLI_OK)
        return code;
    return b->bad == b->good + 1 ? NX_CLI_OK : EXIT_NOTHING_FOUND;
}

/* ---- the command ------------------------------------------------------------------------------------------------------------------------------ */

/* The version that an alias names; the node says so where it is split, or there is none. */
static int resolve_alias(bisect *b, const char *alias, char *ret, size_t ret_bytes)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(4096);
    nx_httpc_resp reply = {0};
    nx_json *root = NULL;
    nx_err e = nx_buf_printf(&path, "/api/v1/functions/%s/versions/", b->function);
    if (e == NX_OK)
        e = nx_cli_path_segment(&path, alias);
    const char *p = nx_buf_cstr(&path);
    if (e != NX_OK || !p)
        return nx_cli_fail(b->c, NX_ELIMIT, "the name of a version is too long");
    int code = call(b, "GET", p, NX_SLICE_NULL, &reply);
    if (code != NX_CLI_OK)
        return code;
    if (nx_json_parse(nx_buf_view(&reply.body), NX_CLI_REPLY_BYTES, &root, NULL) != NX_OK || nx_slice_to_cstr(nx_json_get_str(root, "version"), ret, ret_bytes) != NX_OK)
        code = nx_cli_fail(b->c, NX_EPARSE, "the node does not answer like one");
    nx_json_free(root);
    nx_buf_done(&reply.body);
    return code;
}

/* "v3", or an alias, among the stored versions. */
static int find_version(bisect *b, const char *flag, unsigned *ret)
{
    const char *text = nx_cli_flag_text(b->c, flag);
    char named[32] = "";
    uint64_t number;
    if (!text)
        return NX_CLI_OK;
    if (text[0] != 'v' || nx_slice_u64(nx_slice_cstr(text + 1), 1000000, &number) != NX_OK) {
        int code = resolve_alias(b, text, named, sizeof named);
        if (code != NX_CLI_OK)
            return code;
        text = named;
        if (text[0] != 'v' || nx_slice_u64(nx_slice_cstr(text + 1), 1000000, &number) != NX_OK)
            return nx_cli_fail_usage(b->c, "flag --%s: %s is no stored version", flag, text);
    }
    for (unsigned i = 0; i < b->n; i++)
        if (b->v[i].number == number) {
            *ret = i;
            return NX_CLI_OK;
        }
    return nx_cli_fail(b->c, NX_ENOENT, "function '%s' has no version %s", b->function, text);
}

/* Between what is known: --good, or the version that was recorded, or the oldest; --bad, or the newest. */
static int choose_ends(bisect *b, unsigned recorded)
{
    b->good = 0;
    b->bad = b->n - 1;
    for (unsigned i = 0; i < b->n; i++)
        if (b->v[i].number == recorded && i + 1 < b->n)
            b->good = i;
    int code = find_version(b, "good", &b->good);
    if (code == NX_CLI_OK)
        code = find_version(b, "bad", &b->bad);
    if (code == NX_CLI_OK && b->good >= b->bad)
        code = nx_cli_fail_usage(b->c, "v%u is not older than v%u: the good one comes first", b->v[b->good].number, b->v[b->bad].number);
    /* What a good version does with the event is what all good ones do. */
    if (nx_cli_flag_text(b->c, "good"))
        snprintf(b->baseline, sizeof b->baseline, "v%u", b->v[b->good].number);
    else
        snprintf(b->baseline, sizeof b->baseline, "recorded");
    return code;
}

static int run(nx_cli *c)
{
    bisect b = {.c = c, .command = nx_cli_flag_text(c, "test")};
    unsigned recorded = 0;
    nx_err e = nx_cli_client_open(c, &b.node);
    if (e != NX_OK)
        return nx_err_exit_code(e);
    int code = find_run(&b, &recorded);
    if (code == NX_CLI_OK)
        code = list_versions(&b);
    if (code == NX_CLI_OK && b.n < 2)
        code = nx_cli_fail(c, NX_ENOENT, "function '%s' has %u stored version%s; bisecting needs two", b.function, b.n, b.n == 1 ? "" : "s");
    if (code == NX_CLI_OK)
        code = choose_ends(&b, recorded);
    if (code == NX_CLI_OK)
        code = search(&b);
    if (code == NX_CLI_OK)
        code = report(&b);
    nx_cli_client_close(&b.node);
    free(b.v);
    return code;
}

static const nx_cli_flag flags[] = {
    {.name = "function", .value = "NAME", .kind = NX_CLI_FUNCTION, .help = "Whose versions, where several functions ran the event."},
    {.name = "good", .value = "VERSION", .help = "A version that is good, or an alias of one (default: the recorded one, else the oldest); others are good that do the same."},
    {.name = "bad", .value = "VERSION", .help = "A version that is bad, or an alias of one (default: the newest)."},
    {.name = "test", .value = "COMMAND", .help = "A shell command that decides: the output on stdin; exit code 0 good, 125 skip, 1 to 127 bad."},
    {0},
};
static const nx_cli_arg args[] = {
    {.name = "event", .help = "Id of the event, its unique ending, or @last."},
    {0},
};
static const nx_cli_example examples[] = {
    {"nexus bisect @last", "which version was the first that did something else with the event than was recorded"},
    {"nexus bisect 8W2MQ4KD --good v3 --bad live", "between a version and what is live now"},
    {"nexus bisect @last --test 'jq -e \".total == 2331\"'", "what is good is what the command says"},
    {0},
};

const nx_cli_command nx_cli_cmd_bisect = {
    .verb = "bisect",
    .summary = "Find the version that first did something else with an event",
    .text = "The event is replayed on stored versions of the function, each time the one in the middle of what is left: of a hundred\n"
            "versions about seven. A version is good when it does the same as the good one (or as was recorded), or when --test says so:\n"
            "the command gets the output on stdin, and NEXUS_VERSION, NEXUS_FUNCTION, NEXUS_EVENT_ID, NEXUS_STATUS, NEXUS_WHY, NEXUS_FUEL,\n"
            "NEXUS_MEMORY_BYTES and NEXUS_ARTIFACT in its environment. No traffic is moved, nothing is recorded, nothing outside is touched.\n\n"
            "Exit codes: 0 found, 3 not found because versions in question can't be tested, 5 the good one is bad or the bad one good,\n"
            "1 the test ended with 128 or more, 4 unknown event, function or version, 69 no node.",
    .flags = flags,
    .args = args,
    .examples = examples,
    .is_client = true,
    .run = run,
};
