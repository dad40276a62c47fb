/* range_text.c: the differences over a range, for people and for CI. */
#include "compare.h"
#include "junit.h"

#define GROUPS_SHOWN 20u
#define SUMMARY_BYTES 1024

static unsigned long long number(const nx_json *j, const char *key) { return (unsigned long long)nx_json_get_u64(j, key, 0); }

static void print_group(const nx_cli *c, const nx_json *g)
{
    const nx_json *what = nx_json_get(g, "what"), *examples = nx_json_get(g, "examples"), *first = nx_json_get(g, "first");
    bool is_failed = nx_json_get_bool(g, "failed", false);
    printf("%s%8llu%s  %s", nx_cli_paint(c->has_colour, NX_CLI_BOLD), number(g, "count"), nx_cli_paint(c->has_colour, NX_CLI_PLAIN), is_failed ? "failed: " : "");
    for (size_t i = 0; i < nx_json_len(what); i++) {
        printf("%s", i ? "\n          " : "");
        nx_cli_print_safe(stdout, nx_json_str(nx_json_at(what, i)));
    }
    printf("\n          %se.g. ", nx_cli_paint(c->has_colour, NX_CLI_DIM));
    for (size_t i = 0; i < nx_json_len(examples); i++)
        printf("%s%.*s", i ? ", " : "", NX_SLICE_FMT(nx_json_str(nx_json_at(examples, i))));
    printf("%s\n", nx_cli_paint(c->has_colour, NX_CLI_PLAIN));
    if (first)
        nx_cli_print_diff_parts(c, first, "        ");
}

static void print_figure(const char *name, uint64_t before, uint64_t after, bool is_bytes)
{
    char from[24], to[24];
    snprintf(from, sizeof from, "%llu", (unsigned long long)before);
    snprintf(to, sizeof to, "%llu", (unsigned long long)after);
    if (is_bytes) {
        nx_cli_format_bytes(before, from);
        nx_cli_format_bytes(after, to);
    }
    printf("  %s %s", name, from);
    if (before != after)
        printf(" -> %s", to);
    if (before && before != after)
        printf(" (%+.1f %%)", ((double)after - (double)before) * 100 / (double)before);
}

static void print_measure(const char *name, const nx_json *m, bool is_bytes)
{
    static const char *const figures[] = {"median", "p99", "max"};
    const nx_json *before = nx_json_get(m, "before"), *after = nx_json_get(m, "after"), *grown = nx_json_get(m, "largest_growth");
    if (!nx_json_get_u64(m, "events", 0))
        return;
    printf("%s:", name);
    for (unsigned i = 0; i < NX_ARRAY_LEN(figures); i++)
        print_figure(figures[i], nx_json_get_u64(before, figures[i], 0), nx_json_get_u64(after, figures[i], 0), is_bytes);
    if (grown)
        printf("; most more: event %.*s", NX_SLICE_FMT(nx_json_get_str(grown, "event_id")));
    putchar('\n');
}

void nx_cli_print_groups(const nx_cli *c, const nx_json *diff)
{
    const nx_json *groups = nx_json_get(diff, "groups");
    for (size_t i = 0; i < nx_json_len(groups) && i < GROUPS_SHOWN; i++)
        print_group(c, nx_json_at(groups, i));
    if (nx_json_len(groups) > GROUPS_SHOWN)
        printf("  … and %zu more kinds; --json has them\n", nx_json_len(groups) - GROUPS_SHOWN);
    if (number(diff, "ungrouped"))
        printf("%8llu  differ in yet other ways\n", number(diff, "ungrouped"));
    print_measure("fuel", nx_json_get(diff, "fuel"), false);
    print_measure("memory", nx_json_get(diff, "memory_bytes"), true);
}

/* One case for all events that are the same, one for each kind of difference. */
int nx_cli_range_junit(const nx_cli *c, const nx_json *diff, const char *path)
{
    const nx_json *groups = nx_json_get(diff, "groups");
    char name[256], why[SUMMARY_BYTES];
    nx_error e = NX_ERROR_INIT;
    nx_junit *j = nx_junit_new("nexus replay");
    if (!j)
        return nx_cli_fail(c, NX_ENOMEM, "out of memory for the report");
    snprintf(name, sizeof name, "%llu events are the same", number(diff, "same"));
    nx_junit_case(j, NX_SLICE("replay"), name, "passed", NX_SLICE_NULL, 0);
    for (size_t i = 0; i < nx_json_len(groups); i++) {
        const nx_json *g = nx_json_at(groups, i), *example = nx_json_at(nx_json_get(g, "examples"), 0);
        nx_cli_diff_summary(g, why, sizeof why);
        snprintf(name, sizeof name, "%llu events, %.*s for one", number(g, "count"), NX_SLICE_FMT(nx_json_str(example)));
        nx_junit_case(j, nx_json_get_str(g, "function"), name, nx_json_get_bool(g, "failed", false) ? "broken" : "failed", nx_slice_cstr(why), 0);
    }
    if (number(diff, "ungrouped")) {
        snprintf(name, sizeof name, "%llu events", number(diff, "ungrouped"));
        nx_junit_case(j, NX_SLICE("replay"), name, "failed", NX_SLICE("differ in yet other ways"), 0);
    }
    e.code = nx_junit_write(j, path, &e);
    nx_junit_free(j);
    return e.code == NX_OK ? NX_CLI_OK : nx_cli_fail_error(c, &e);
}
