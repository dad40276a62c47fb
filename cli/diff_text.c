/* diff_text.c: a difference for people. */
#include "compare.h"

#define FRAMES_SHOWN 12u
#define VALUE_WIDTH 160u /* of one value or line on the screen */

typedef struct paint {
    const char *indent, *added, *removed, *changed, *dim, *plain;
} paint;

static paint paint_of(const nx_cli *c, const char *indent)
{
    return (paint){indent, nx_cli_paint(c->has_colour, NX_CLI_GREEN), nx_cli_paint(c->has_colour, NX_CLI_RED), nx_cli_paint(c->has_colour, NX_CLI_YELLOW),
                   nx_cli_paint(c->has_colour, NX_CLI_DIM), nx_cli_paint(c->has_colour, NX_CLI_PLAIN)};
}

static void print_short(nx_slice text)
{
    nx_slice head = nx_slice_sub(text, 0, VALUE_WIDTH);
    while (head.n && !nx_slice_is_utf8(head) && head.n + 4 > VALUE_WIDTH)
        head.n--;
    nx_cli_print_safe(stdout, head);
    if (head.n < text.n)
        fputs("…", stdout);
}

static char mark_of(nx_slice kind, const paint *p, const char **ret_colour)
{
    if (nx_slice_eq_cstr(kind, "added")) {
        *ret_colour = p->added;
        return '+';
    }
    bool is_removed = nx_slice_eq_cstr(kind, "removed");
    *ret_colour = is_removed ? p->removed : p->changed;
    return is_removed ? '-' : '~';
}

/* "    ~ total: 12 -> 13" */
static void print_json_change(const nx_json *v, const paint *p)
{
    const char *colour;
    char mark = mark_of(nx_json_get_str(v, "kind"), p, &colour);
    nx_slice path = nx_json_get_str(v, "path");
    printf("%s  %s%c ", p->indent, colour, mark);
    print_short(path.n ? path : NX_SLICE("(the whole)"));
    fputs(": ", stdout);
    if (nx_json_get(v, "before"))
        print_short(nx_json_get_str(v, "before"));
    if (mark == '~')
        fputs(" -> ", stdout);
    if (nx_json_get(v, "after"))
        print_short(nx_json_get_str(v, "after"));
    printf("%s\n", p->plain);
}

/* "    - 3: old line" */
static void print_line_change(const nx_json *v, const paint *p)
{
    const char *colour;
    char mark = mark_of(nx_json_get_str(v, "kind"), p, &colour);
    printf("%s  %s%c %llu: ", p->indent, colour, mark, (unsigned long long)nx_json_get_u64(v, "line", 0));
    print_short(nx_json_get_str(v, "text"));
    printf("%s\n", p->plain);
}

static void print_digests(const nx_json *v, const paint *p)
{
    static const char *const sides[] = {"before", "after"};
    for (int i = 0; i < 2; i++) {
        char bytes[16], digest[16];
        snprintf(bytes, sizeof bytes, "%s_bytes", sides[i]);
        snprintf(digest, sizeof digest, "%s_sha256", sides[i]);
        printf("%s  %s%c %llu bytes, sha256:%.*s…%s\n", p->indent, i ? p->added : p->removed, i ? '+' : '-', (unsigned long long)nx_json_get_u64(v, bytes, 0),
               NX_SLICE_FMT(nx_slice_sub(nx_json_get_str(v, digest), 0, 12)), p->plain);
    }
}

static void print_content(const char *name, const nx_json *v, const paint *p)
{
    if (!v)
        return;
    nx_slice form = nx_json_get_str(v, "form");
    const nx_json *changes = nx_json_get(v, "changes");
    uint64_t total = nx_json_get_u64(v, "n_changes", 0);
    if (nx_slice_eq_cstr(form, "formatting")) {
        printf("%s%s: the same, written in another way (white space, order of members)\n", p->indent, name);
        return;
    }
    printf("%s%s:\n", p->indent, name);
    if (nx_slice_eq_cstr(form, "binary"))
        print_digests(v, p);
    for (size_t i = 0; i < nx_json_len(changes); i++) {
        if (nx_slice_eq_cstr(form, "json"))
            print_json_change(nx_json_at(changes, i), p);
        else
            print_line_change(nx_json_at(changes, i), p);
    }
    if (total > nx_json_len(changes))
        printf("%s  %s… and %llu more%s\n", p->indent, p->dim, (unsigned long long)(total - nx_json_len(changes)), p->plain);
    if (nx_json_get_bool(v, "is_cut", false))
        printf("%s  %sonly its beginning was recorded%s\n", p->indent, p->dim, p->plain);
}

/* ---- how it ended, emitted events, effects, costs ---------------------------------------------------------------------------------------- */

static void print_end(const nx_json *side, const char *colour, char mark, const paint *p)
{
    nx_slice why = nx_json_get_str(side, "why"), message = nx_json_get_str(side, "message");
    printf("%s  %s%c %.*s", p->indent, colour, mark, NX_SLICE_FMT(nx_json_get_str(side, "status")));
    if (why.n)
        printf(": %.*s", NX_SLICE_FMT(why));
    if (message.n) {
        fputs(" (", stdout);
        print_short(message);
        fputs(")", stdout);
    }
    printf("%s\n", p->plain);
}

static void print_status(const nx_json *before, const nx_json *after, const paint *p)
{
    static const char *const fields[] = {"status", "why", "message"};
    bool is_same = nx_json_get_i64(before, "exit_code", 0) == nx_json_get_i64(after, "exit_code", 0);
    for (unsigned i = 0; i < NX_ARRAY_LEN(fields); i++)
        is_same = is_same && nx_slice_eq(nx_json_get_str(before, fields[i]), nx_json_get_str(after, fields[i]));
    if (is_same)
        return;
    printf("%sstatus:\n", p->indent);
    print_end(before, p->removed, '-', p);
    print_end(after, p->added, '+', p);
}

static void print_emitted(const nx_json *list, const paint *p)
{
    for (size_t i = 0; i < nx_json_len(list); i++) {
        const nx_json *e = nx_json_at(list, i), *data = nx_json_get(e, "data");
        nx_slice before = nx_json_get_str(e, "before_type"), after = nx_json_get_str(e, "after_type");
        const char *colour;
        char mark = mark_of(nx_json_get_str(e, "kind"), p, &colour), name[64];
        snprintf(name, sizeof name, "emitted event %llu", (unsigned long long)nx_json_get_u64(e, "index", 0));
        printf("%s%s%c %s: ", p->indent, colour, mark, name);
        nx_cli_print_safe(stdout, before.n ? before : after);
        if (before.n && after.n && !nx_slice_eq(before, after)) {
            fputs(" -> ", stdout);
            nx_cli_print_safe(stdout, after);
        }
        printf("%s\n", p->plain);
        print_content("its data", data, p);
        if (!nx_json_get_bool(e, "data_known", true))
            printf("%s  %sof the recorded one only the digest is known: it is not in the log any more, or is kept from recordings%s\n", p->indent, p->dim, p->plain);
    }
}

static void print_pair(const char *what, const nx_json *v, const paint *p)
{
    if (!v)
        return;
    printf("%s%s: number %llu\n%s  %s- ", p->indent, what, (unsigned long long)nx_json_get_u64(v, "index", 0), p->indent, p->removed);
    print_short(nx_json_get_str(v, "before"));
    printf("%s\n%s  %s+ ", p->plain, p->indent, p->added);
    print_short(nx_json_get_str(v, "after"));
    printf("%s\n", p->plain);
}

static void print_growth(uint64_t before, uint64_t after)
{
    if (before && before != after)
        printf(" (%+.1f %%)", ((double)after - (double)before) * 100 / (double)before);
}

static void print_costs(const nx_json *before, const nx_json *after, const paint *p)
{
    char from[16], to[16];
    uint64_t fuel[2] = {nx_json_get_u64(before, "fuel", 0), nx_json_get_u64(after, "fuel", 0)};
    uint64_t memory[2] = {nx_json_get_u64(before, "memory_bytes", 0), nx_json_get_u64(after, "memory_bytes", 0)};
    printf("  %sfuel %llu -> %llu", p->dim, (unsigned long long)fuel[0], (unsigned long long)fuel[1]);
    print_growth(fuel[0], fuel[1]);
    nx_cli_format_bytes(memory[0], from);
    nx_cli_format_bytes(memory[1], to);
    printf(", memory %s -> %s, host calls %llu -> %llu%s\n", from, to, (unsigned long long)nx_json_get_u64(before, "host_calls", 0),
           (unsigned long long)nx_json_get_u64(after, "host_calls", 0), p->plain);
}

static void print_parts(const nx_json *diff, const paint *p)
{
    print_status(nx_json_get(diff, "before"), nx_json_get(diff, "after"), p);
    print_content("output", nx_json_get(diff, "output"), p);
    print_emitted(nx_json_get(diff, "emitted"), p);
    print_pair("first effect that is asked otherwise", nx_json_get(diff, "first_effect"), p);
    print_content("log", nx_json_get(diff, "logs"), p);
}

void nx_cli_print_diff_parts(const nx_cli *c, const nx_json *diff, const char *indent)
{
    paint p = paint_of(c, indent);
    print_parts(diff, &p);
}

void nx_cli_print_diff(const nx_cli *c, const nx_json *diff)
{
    paint p = paint_of(c, "  ");
    print_parts(diff, &p);
    print_costs(nx_json_get(diff, "before"), nx_json_get(diff, "after"), &p);
}

void nx_cli_print_settings(const nx_cli *c, const nx_json *changes)
{
    paint p = paint_of(c, "  ");
    if (nx_json_len(changes))
        printf("%ssettings:\n", p.indent);
    for (size_t i = 0; i < nx_json_len(changes); i++)
        print_json_change(nx_json_at(changes, i), &p);
}

static void print_frames(const nx_json *frames, const char *colour, const paint *p)
{
    for (size_t i = 0; i < nx_json_len(frames) && i < FRAMES_SHOWN; i++) {
        printf("%s      %s", p->indent, colour);
        nx_cli_print_safe(stdout, nx_json_str(nx_json_at(frames, i)));
        printf("%s\n", p->plain);
    }
}

static void print_side(char mark, const char *colour, nx_slice call, const nx_json *frames, const paint *p)
{
    printf("%s  %s%c ", p->indent, colour, mark);
    print_short(call);
    printf("%s\n", p->plain);
    print_frames(frames, p->dim, p);
}

void nx_cli_print_first_call(const nx_cli *c, const nx_json *diff)
{
    paint p = paint_of(c, "  ");
    const nx_json *v = nx_json_get(diff, "first_call");
    if (!v)
        return;
    printf("  first host call that differs: number %llu\n", (unsigned long long)nx_json_get_u64(v, "index", 0));
    print_side('-', p.removed, nx_json_get_str(v, "before"), nx_json_get(v, "before_at"), &p);
    print_side('+', p.added, nx_json_get_str(v, "after"), nx_json_get(v, "after_at"), &p);
    printf("    likely: %.*s\n", NX_SLICE_FMT(nx_json_get_str(v, "cause")));
}

void nx_cli_print_where(const nx_cli *c, const nx_json *first_difference)
{
    paint p = paint_of(c, "  ");
    nx_slice cause = nx_json_get_str(first_difference, "cause");
    print_frames(nx_json_get(first_difference, "at"), p.dim, &p);
    if (cause.n)
        printf("  likely: %.*s\n", NX_SLICE_FMT(cause));
}

void nx_cli_diff_summary(const nx_json *diff, char *out, size_t out_bytes)
{
    const nx_json *what = nx_json_get(diff, "what");
    size_t n = 0;
    out[0] = 0;
    for (size_t i = 0; i < nx_json_len(what) && n < out_bytes; i++) {
        int k = snprintf(out + n, out_bytes - n, "%s%.*s", i ? "; " : "", NX_SLICE_FMT(nx_json_str(nx_json_at(what, i))));
        n += k > 0 ? (size_t)k : 0;
    }
    if (n >= out_bytes) { /* cut, at the end of a character */
        n = out_bytes - sizeof "…";
        while (n > 0 && ((unsigned char)out[n] & 0xc0) == 0x80)
            n--;
        snprintf(out + n, out_bytes - n, "…");
    }
}
