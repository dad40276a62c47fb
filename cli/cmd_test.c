/* cmd_test.c: nexus test: every bundle of a folder against the code as it is now. */
#include "cmds.h"
#include "compare.h"
#include "junit.h"
#include "nx/artifact.h"
#include "nx/clock.h"
#include "nx/expect.h"
#include "offline.h"
#include "offline_secrets.h"
#include "tools.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#define CASES_DIR "tests/cases"
#define CASES_MAX 10000u
#define ARENA_BYTES (2u * NX_BUNDLE_BYTES_MAX)
#define WHY_BYTES 4096
#define RECORDED "recorded" /* --against: the code of each bundle */

typedef struct suite {
    nx_cli *c;
    const char *dir, *against; /* against NULL: the project's code */
    bool is_exact;
    nx_config *cfg; /* reference; NULL with `against` */
    nx_cli_offline offline;
    nx_cli_secrets secrets;
    nx_junit *junit; /* NULL: no report */
    unsigned passed, failed, broken;
} suite;

/* ---- which cases --------------------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* Paths of the folder's bundles, sorted; in the arena. */
static int find_cases(suite *s, nx_arena *a, char ***ret, unsigned *ret_n)
{
    DIR *dir = opendir(s->dir);
    if (!dir)
        return nx_cli_fail(s->c, nx_err_from_errno(errno), "%s: %s; make a case with `nexus bundle @last -o %s/`", s->dir, strerror(errno), s->dir);
    char **v = nx_arena_calloc(a, CASES_MAX, sizeof *v);
    unsigned n = 0;
    bool is_short = !v;
    for (const struct dirent *e = readdir(dir); e && v && n < CASES_MAX && !is_short; e = readdir(dir)) {
        if (!nx_slice_ends(nx_slice_cstr(e->d_name), NX_SLICE(".nxb")))
            continue;
        v[n] = nx_arena_printf(a, "%s/%s", s->dir, e->d_name);
        is_short = !v[n++];
    }
    closedir(dir);
    if (is_short || n == CASES_MAX)
        return nx_cli_fail(s->c, is_short ? NX_ENOMEM : NX_ELIMIT, "%s: at most %u cases", s->dir, CASES_MAX - 1);
    if (n == 0)
        return nx_cli_fail(s->c, NX_ENOENT, "%s has no case (*.nxb); make one with `nexus bundle @last -o %s/`", s->dir, s->dir);
    qsort(v, n, sizeof *v, by_name);
    *ret = v;
    *ret_n = n;
    return NX_CLI_OK;
}

/* ---- one case ------------------------------------------------------------------------------------------------------ */

typedef struct outcome {
    const char *path;
    const nx_bundle *b;               /* NULL: it could not be read */
    const nx_replay_result *repeated; /* NULL: it was not run */
    const char *word;                 /* passed, failed, broken */
    nx_slice why;
    double ms;
} outcome;

static void print_json(const outcome *o)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf line = NX_BUF_INIT(1u << 20);
    nx_jw w = NX_JW_INIT(&line);
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "case", o->path);
    nx_jw_kcstr(&w, "result", o->word);
    nx_jw_kstr(&w, "reason", o->why);
    nx_jw_kdouble(&w, "duration_ms", o->ms);
    if (o->b) {
        nx_jw_kstr(&w, "function", o->b->run.function);
        nx_jw_kstr(&w, "event_id", nx_id_slice(&o->b->event.event_id));
        nx_jw_kstr(&w, "recorded_version", o->b->run.version);
        nx_jw_kcstr(&w, "recorded_status", nx_run_status_name(o->b->run.status));
    }
    const nx_run *n = o->repeated ? o->repeated->replayed : NULL;
    if (n) {
        nx_jw_kcstr(&w, "status", nx_run_status_name(n->status));
        nx_jw_kstr(&w, "artifact", n->artifact);
        nx_jw_ku64(&w, "fuel", n->fuel);
        nx_jw_ku64(&w, "recorded_fuel", o->b->run.fuel);
    }
    nx_jw_object_end(&w);
    if (nx_jw_err(&w) == NX_OK)
        printf("%.*s\n", NX_SLICE_FMT(nx_buf_view(&line)));
}

static void print_line(const suite *s, const outcome *o)
{
    bool is_good = strcmp(o->word, "passed") == 0;
    char took[16];
    nx_cli_format_ms(o->ms, took);
    printf("%s%-6s%s ", nx_cli_paint(s->c->has_colour, is_good ? NX_CLI_GREEN : NX_CLI_RED), is_good ? "ok" : o->word,
           nx_cli_paint(s->c->has_colour, NX_CLI_PLAIN));
    nx_cli_print_safe(stdout, nx_slice_cstr(o->path));
    if (o->b) {
        fputs("  ", stdout);
        nx_cli_print_safe(stdout, o->b->run.function);
    }
    printf("  %s\n", took);
    if (o->why.n) {
        fputs("       ", stdout);
        nx_cli_print_safe(stdout, o->why);
        putchar('\n');
    }
}

/* The module to run: empty for the recorded one. */
static nx_err code_of(const suite *s, const nx_bundle *b, nx_buf *module, nx_error *reterr)
{
    if (s->against)
        return strcmp(s->against, RECORDED) == 0 ? NX_OK : nx_cli_code_read(s->c, s->against, module, reterr);
    const nx_fn_config *f = nx_config_function(s->cfg, b->run.function);
    if (!f)
        return nx_error_set(reterr, NX_ENOENT, "the project has no function '%.*s'; --against " RECORDED " runs the code of the bundle", NX_SLICE_FMT(b->run.function));
    return nx_artifact_read(s->cfg, f, module, reterr);
}

static const char *judge(suite *s, const nx_bundle *b, nx_slice module, char hex[NX_SHA256_HEX + 1], const nx_replay_result **ret, nx_buf *why)
{
    nx_sha256 recorded, is = nx_sha256_of(module);
    bool is_same = module.n == 0 || (nx_sha256_parse_hex(b->run.artifact, &recorded) == NX_OK && memcmp(&recorded, &is, sizeof is) == 0);
    /* Exact comparison wants the very same world, which does not tell other code that it is a replay. */
    nx_replay_how how = {.is_other_code = !is_same && !s->is_exact};
    nx_cli_secrets_use(&s->secrets, b->run.ns, &how);
    const nx_replay_result *r = nx_bundle_repeat(s->offline.repetition, s->offline.rt, b, module, &how, hex);
    *ret = r;
    if (!r->replayed) {
        (void)nx_buf_append_cstr(why, r->reason);
        return "broken";
    }
    return nx_replay_expect(r, s->is_exact, why) ? "passed" : "failed";
}

static void run_case(suite *s, const char *path)
{
    char hex[NX_SHA256_HEX + 1];
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(ARENA_BYTES);
    NX_CLEANUP(nx_buf_done)
    nx_buf module = NX_BUF_INIT(NX_CLI_MODULE_BYTES);
    NX_CLEANUP(nx_buf_done)
    nx_buf why = NX_BUF_INIT(WHY_BYTES);
    nx_error e = NX_ERROR_INIT;
    outcome o = {.path = path, .word = "broken"};
    uint64_t began_ns = nx_clock_ns();
    nx_bundle *b = nx_arena_calloc(&a, 1, sizeof *b);
    e.code = b ? nx_cli_bundle_read(path, &a, b, &e) : NX_ENOMEM;
    if (e.code == NX_OK) {
        o.b = b;
        e.code = code_of(s, b, &module, &e);
    }
    if (e.code == NX_OK)
        o.word = judge(s, b, nx_buf_view(&module), hex, &o.repeated, &why);
    else
        (void)nx_buf_append_cstr(&why, e.msg[0] ? e.msg : nx_err_text(e.code));
    o.why = nx_buf_view(&why);
    o.ms = (double)(nx_clock_ns() - began_ns) / (double)NX_NS_PER_MS;
    *(strcmp(o.word, "passed") == 0 ? &s->passed : strcmp(o.word, "failed") == 0 ? &s->failed
                                                                                 : &s->broken) += 1;
    if (s->c->json)
        print_json(&o);
    else
        print_line(s, &o);
    if (s->junit)
        nx_junit_case(s->junit, o.b ? o.b->run.function : NX_SLICE("bundle"), path, o.word, o.why, o.ms);
}

/* ---- all of them --------------------------------------------------------------------------------------------------- */

/* The functions of the project are built where they are out of date, so that what is tested is what the sources say. */
static int prepare(suite *s)
{
    char file[NX_CLI_PATH_BYTES];
    s->against = nx_cli_flag_text(s->c, "against");
    if (s->against)
        return NX_CLI_OK;
    int code = nx_cli_project_file(s->c, file, sizeof file);
    if (code == NX_CLI_OK)
        code = nx_cli_config_load_or_fail(s->c, file, 0, &s->cfg);
    if (code == NX_CLI_OK && !nx_cli_flag_is_set(s->c, "no-build"))
        code = nx_cli_build_all(s->c, s->cfg, NULL, 0, false, NULL);
    return code;
}

static int run_all(suite *s)
{
    char **paths = NULL, took[16];
    unsigned n = 0;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(64u << 20);
    uint64_t began_ns = nx_clock_ns();
    int code = find_cases(s, &a, &paths, &n);
    if (code == NX_CLI_OK)
        code = prepare(s);
    if (code == NX_CLI_OK)
        code = nx_cli_secrets_open(s->c, &s->secrets);
    if (code == NX_CLI_OK)
        code = nx_cli_offline_open(s->c, false, &s->offline);
    for (unsigned i = 0; code == NX_CLI_OK && i < n; i++)
        run_case(s, paths[i]);
    nx_cli_offline_close(&s->offline);
    nx_cli_secrets_close(&s->secrets);
    nx_config_unref(s->cfg);
    if (code != NX_CLI_OK)
        return code;
    double ms = (double)(nx_clock_ns() - began_ns) / (double)NX_NS_PER_MS;
    nx_cli_format_ms(ms, took);
    nx_cli_say(s->c, "%u %s: %u passed, %u failed, %u broken, in %s\n", n, n == 1 ? "case" : "cases", s->passed, s->failed, s->broken, took);
    return s->broken ? NX_CLI_FAILED : s->failed ? nx_err_exit_code(NX_EDIVERGED)
                                                 : NX_CLI_OK;
}

static int run(nx_cli *c)
{
    const char *dir = nx_cli_flag_text(c, "cases"), *report = nx_cli_flag_text(c, "junit");
    suite s = {.c = c, .dir = dir ? dir : CASES_DIR, .is_exact = nx_cli_flag_is_set(c, "exact")};
    if (report && !(s.junit = nx_junit_new("nexus test")))
        return nx_cli_fail(c, NX_ENOMEM, "out of memory");
    int code = run_all(&s);
    nx_error e = NX_ERROR_INIT;
    if (s.junit && s.passed + s.failed + s.broken > 0 && (e.code = nx_junit_write(s.junit, report, &e)) != NX_OK)
        code = nx_cli_fail(c, e.code, "flag --junit: %s", e.msg);
    nx_junit_free(s.junit);
    return code;
}

static const nx_cli_flag flags[] = {
    NX_CLI_FILE_FLAG,
    {.name = "cases", .value = "DIR", .kind = NX_CLI_FILE, .help = "Folder of the bundles (default " CASES_DIR ")."},
    {.name = "against", .value = "CODE", .kind = NX_CLI_FILE, .help = "Run this .wasm file, or `recorded` for the code of each bundle (default: the project's code of the function)."},
    NX_CLI_SECRETS_FLAG,
    {.name = "exact", .help = "Also compare log output, host calls and fuel."},
    {.name = "junit", .value = "FILE", .kind = NX_CLI_FILE, .help = "Write a JUnit report (XML)."},
    {.name = "no-build", .help = "Take the modules as they are."},
    {0},
};
static const nx_cli_example examples[] = {
    {"nexus test", "every case in tests/cases against the code as it is now"},
    {"nexus test --junit report.xml --json", "in CI"},
    {"nexus test --against ./new.wasm --exact", "another module, compared to the unit of fuel"},
    {0},
};

const nx_cli_command nx_cli_cmd_test = {
    .verb = "test",
    .summary = "Run recorded runs as regression tests",
    .text = "Each bundle in tests/cases (`nexus bundle EVENT -o tests/cases/`) is repeated with the project's code of its function, built\n"
            "where it is out of date. A case passes when status, output and emitted events are those of the recording. Recorded answers\n"
            "of host calls are played back; nothing outside is touched; no node is needed.\n\n"
            "Exit codes: 0 all passed, 10 a case came out otherwise, 1 a case could not be run, 4 there are no cases.",
    .flags = flags,
    .examples = examples,
    .run = run,
};
