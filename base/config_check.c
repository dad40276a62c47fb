/* What only the whole can tell: names and routes that clash, settings that need each other, code that is not there.
 * A setting that could not be read counts as set here: one mistake must not be reported twice. */
#include "config_internal.h"

#include "nx/redact.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const nx_cfg_mark *mark_in(const nx_cfg_mark *marks, const char *path)
{
    return &marks[nx_cfg_row_index(nx_cfg_row_find(path))];
}

static bool is_set(const nx_cfg_ctx *x, const char *path)
{
    return nx_cfg_is_set(mark_in(x->marks, path));
}

static bool is_wrong(const nx_cfg_ctx *x, const char *path)
{
    return mark_in(x->marks, path)->is_wrong;
}

/* ---- the node */

static void check_pair(nx_cfg_ctx *x, const char *a, const char *b)
{
    if (is_set(x, a) == is_set(x, b))
        return;
    const char *there = is_set(x, a) ? a : b, *missing = is_set(x, a) ? b : a;
    char suggestion[64];
    snprintf(suggestion, sizeof suggestion, "add %s", missing);
    nx_cfg_issue(x, *mark_in(x->marks, there), there, suggestion, "needs %s too", missing);
}

static void check_exclusive(nx_cfg_ctx *x, const char *a, const char *b)
{
    if (is_set(x, a) && is_set(x, b))
        nx_cfg_issue(x, *mark_in(x->marks, b), b, "keep one of them", "cannot be used together with %s", a);
}

static void check_nats(nx_cfg_ctx *x)
{
    for (unsigned i = 0; i < nx_cfg_n_rows; i++) {
        const nx_cfg_row *row = &nx_cfg_rows[i];
        if (strncmp(row->path, "nats.", 5) == 0 && row->shape != NX_CFG_SECTION && !is_set(x, "nats.url") && is_set(x, row->path))
            nx_cfg_issue(x, x->marks[i], row->path, "add nats.url", "has no effect without nats.url: the node runs its own server");
    }
    check_pair(x, "nats.user", "nats.password");
    check_pair(x, "nats.tls.cert", "nats.tls.key");
    check_exclusive(x, "nats.credentials", "nats.user");
    check_exclusive(x, "nats.credentials", "nats.token");
    check_exclusive(x, "nats.user", "nats.token");
}

static void check_copies(nx_cfg_ctx *x)
{
    const nx_config *c = x->config;
    if (c->replicas > 1 && !is_set(x, "nats.url"))
        nx_cfg_issue(x, *mark_in(x->marks, "replicas"), "replicas", "add nats.url, or set replicas: 1",
                     "more than one copy needs a NATS cluster; the node's own server is alone");
    if (c->durability == NX_DURABILITY_QUORUM && c->replicas < 3 && !is_wrong(x, "replicas"))
        nx_cfg_issue(x, *mark_in(x->marks, "durability"), "durability", "set replicas: 3, or durability: power", "quorum needs at least 3 replicas");
}

static bool has_fixed_port(nx_slice address)
{
    return !nx_slice_ends(address, NX_SLICE(":0"));
}

static void check_node(nx_cfg_ctx *x)
{
    const nx_config *c = x->config;
    check_pair(x, "tls.cert", "tls.key");
    check_nats(x);
    check_copies(x);
    if (nx_slice_eq(c->listen, c->admin) && has_fixed_port(c->listen) && !is_wrong(x, "listen") && !is_wrong(x, "admin")) {
        const char *path = is_set(x, "admin") ? "admin" : "listen";
        nx_cfg_issue(x, *mark_in(x->marks, path), path, "give them different ports", "listen and admin have the same address");
    }
    if (c->max_buffered_bytes < c->max_body_bytes && !is_wrong(x, "http.max_buffered") && !is_wrong(x, "http.max_body")) {
        const char *path = is_set(x, "http.max_buffered") ? "http.max_buffered" : "http.max_body";
        nx_cfg_issue(x, *mark_in(x->marks, path), path, "give http.max_buffered room for many bodies", "http.max_buffered is less than http.max_body");
    }
    if (c->dedupe_window_ns > c->events_max_age_ns && !is_wrong(x, "dedupe_window") && !is_wrong(x, "retention.events.max_age")) {
        const char *path = is_set(x, "dedupe_window") ? "dedupe_window" : "retention.events.max_age";
        nx_cfg_issue(x, *mark_in(x->marks, path), path, NULL, "dedupe_window is longer than retention.events.max_age");
    }
}

/* ---- code */

/* Text as WebAssembly programs are written in: module or component, after comments and space. */
static bool is_wat(nx_slice s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\n' || s.p[0] == '\t' || s.p[0] == '\r'))
        s = nx_slice_sub(s, 1, s.n);
    return nx_slice_starts(s, NX_SLICE("(module")) || nx_slice_starts(s, NX_SLICE("(compon")) || nx_slice_starts(s, NX_SLICE(";;"));
}

/* Why the first bytes are no core module; NULL: they are. */
static const char *what_is_wrong_with(nx_slice head, const char **advice)
{
    *advice = "build for wasi preview 1 (wasm32-wasip1)";
    if (head.n == 0)
        return "is empty";
    if (nx_slice_eq(head, NX_SLICE("\0asm\x01\0\0\0")))
        return NULL;
    if (nx_slice_starts(head, NX_SLICE("\0asm"))) {
        if (head.n == 8 && head.p[6] == 1)
            return "is a component, not a core module";
        *advice = NULL;
        return head.n < 8 ? "is cut off: it ends inside the header of a WebAssembly module" : "is a WebAssembly module of an unknown version";
    }
    if (is_wat(head)) {
        *advice = "translate it with wat2wasm";
        return "is WebAssembly text, not a binary module";
    }
    return "is not a WebAssembly module";
}

static void check_code(nx_cfg_ctx *x, const nx_fn_config *f, const char *path, nx_cfg_mark at)
{
    char head[8], shown[NX_CFG_SHOW_BYTES];
    struct stat st;
    nx_cfg_show(f->code, shown);
    int fd = open(f->code_path.p, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            nx_cfg_issue(x, at, path, f->build_command.n ? "run nexus build" : "build it, or correct the path", "%s does not exist", shown);
        else
            nx_cfg_issue(x, at, path, NULL, "%s cannot be opened: %s", shown, strerror(errno));
        return;
    }
    const char *advice = NULL, *reason;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        reason = S_ISDIR(st.st_mode) ? "is a folder" : "is not a regular file";
    } else {
        ssize_t n = pread(fd, head, sizeof head, 0);
        reason = n < 0 ? "cannot be read" : what_is_wrong_with(nx_slice_make(head, (size_t)n), &advice);
    }
    close(fd);
    if (reason)
        nx_cfg_issue(x, at, path, advice, "%s %s", shown, reason);
}

static void check_own_files(nx_cfg_ctx *x, const nx_fn_config *f, const char *path, nx_cfg_mark at)
{
    char shown[NX_CFG_SHOW_BYTES];
    struct stat st;
    for (unsigned i = 0; i < f->n_files; i++) {
        const char *file = nx_cfg_resolve(x->read, x->base_dir, f->files[i]);
        if (!file)
            x->err = NX_ENOMEM;
        else if (stat(file, &st) != 0)
            nx_cfg_issue(x, at, path, errno == ENOENT ? "create it, or correct the path" : NULL, "%s: %s", nx_cfg_show(f->files[i], shown),
                         errno == ENOENT ? "does not exist" : strerror(errno));
        else if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
            nx_cfg_issue(x, at, path, NULL, "%s is neither a file nor a folder", nx_cfg_show(f->files[i], shown));
    }
}

/* ---- functions */

/* The path of a function's key for messages: "functions[3].on.http.path". */
static const char *fn_path(unsigned i, const char *key, char out[160])
{
    snprintf(out, 160, "functions[%u].%s", i, key);
    return out;
}

/* Stored settings hold every default, so there it tells nothing that a key is set. */
static void check_retry(nx_cfg_ctx *x, unsigned i)
{
    static const char *const keys[] = {"retry.initial_interval", "retry.factor", "retry.max_interval", "retry.jitter", "retry_on"};
    const nx_fn_config *f = &x->config->functions[i];
    const nx_cfg_mark *marks = nx_cfg_fn_marks(x, i);
    const nx_cfg_mark *max = mark_in(marks, "functions[].retry.max_interval"), *initial = mark_in(marks, "functions[].retry.initial_interval");
    char path[160], row[64];
    if (f->retry_initial_ns > f->retry_max_ns && !max->is_wrong && !initial->is_wrong)
        nx_cfg_issue(x, nx_cfg_is_set(initial) ? *initial : *max, fn_path(i, nx_cfg_is_set(initial) ? "retry.initial_interval" : "retry.max_interval", path),
                     "raise retry.max_interval", "retry.initial_interval is longer than retry.max_interval");
    if (f->retry_max_attempts > 1 || mark_in(marks, "functions[].retry.max_attempts")->is_wrong || (x->flags & NX_CONFIG_STORED))
        return;
    for (unsigned k = 0; k < NX_ARRAY_LEN(keys); k++) {
        snprintf(row, sizeof row, "functions[].%s", keys[k]);
        if (nx_cfg_is_set(mark_in(marks, row)))
            nx_cfg_issue(x, *mark_in(marks, row), fn_path(i, keys[k], path), "set retry.max_attempts: 3, say", "has no effect with one attempt");
    }
}

/* More whole cores than this are thousandths whose m was forgotten. Who means them writes thousandths; a version that is stored goes on as it is. */
#define CORES_MEANT_MAX 64u

static void check_cpu(nx_cfg_ctx *x, unsigned i)
{
    nx_slice cpu = x->config->functions[i].cpu;
    char path[160], advice[96];
    unsigned milli;
    if (!cpu.n || (x->flags & NX_CONFIG_STORED) || nx_slice_ends(cpu, NX_SLICE("m")) || nx_config_cpu_milli(cpu, &milli) != NX_OK || milli <= CORES_MEANT_MAX * 1000)
        return;
    snprintf(advice, sizeof advice, "did you mean %.*sm? So many cores are written %um", NX_SLICE_FMT(cpu), milli);
    nx_cfg_issue(x, *mark_in(nx_cfg_fn_marks(x, i), "functions[].cpu"), fn_path(i, "cpu", path), advice, "\"%.*s\" is that many whole cores", NX_SLICE_FMT(cpu));
}

/* One variable cannot have two values. */
static void check_secret_env(nx_cfg_ctx *x, unsigned i)
{
    const nx_fn_config *f = &x->config->functions[i];
    char path[160];
    for (unsigned k = 0; k < f->n_secret_env; k++)
        for (unsigned j = 0; j < f->n_env; j++)
            if (nx_slice_eq(f->secret_env[k].key, f->env[j].key))
                nx_cfg_issue(x, *mark_in(nx_cfg_fn_marks(x, i), "functions[].secrets.env"), fn_path(i, "secrets.env", path), "remove one of the two",
                             "%.*s is set by env already", NX_SLICE_FMT(f->env[j].key));
}

/* A batch has no value at a path that its events have; and what follows each event alone can't be had of several. */
static void check_batch(nx_cfg_ctx *x, unsigned i)
{
    static const char *const keys[] = {"concurrency.key", "rate_limit.key", "throttle.key", "singleton.key", "priority.run", "redact"};
    const nx_fn_config *f = &x->config->functions[i];
    const nx_cfg_mark *marks = nx_cfg_fn_marks(x, i), *batch = mark_in(marks, "functions[].batch");
    char path[160], row[64], type[NX_FUNCTION_NAME_BYTES + 16];
    for (unsigned k = 0; k < NX_ARRAY_LEN(keys); k++) {
        snprintf(row, sizeof row, "functions[].%s", keys[k]);
        if (nx_cfg_is_set(mark_in(marks, row)))
            nx_cfg_issue(x, *mark_in(marks, row), fn_path(i, keys[k], path), k + 1 < NX_ARRAY_LEN(keys) ? "remove it, or use batch.key" : "remove it, or batch; recording: digest keeps values out, too",
                         "does not go with batch: a batch has many such values");
    }
    if (f->debounce_ns)
        nx_cfg_issue(x, *batch, fn_path(i, "batch", path), "remove batch, or debounce", "does not go with debounce: of events that follow each other only one would be left");
    if (f->respond == NX_RESPOND_SYNC)
        nx_cfg_issue(x, *mark_in(marks, "functions[].respond"), fn_path(i, "respond", path), "set respond: async", "sync does not go with batch: there is one output for many events");
    snprintf(type, sizeof type, "nexus.batch.%.*s", NX_SLICE_FMT(nx_slice_sub(f->name, 0, NX_FUNCTION_NAME_BYTES)));
    for (unsigned k = 0; k < f->n_events; k++)
        if (nx_event_type_matches(f->events[k], nx_slice_cstr(type)))
            nx_cfg_issue(x, *mark_in(marks, "functions[].on.event"), fn_path(i, "on.event", path), "name the types more closely",
                         "\"%.*s\" would take the function's own batches (%s) too", NX_SLICE_FMT(f->events[k]), type);
}

static void check_flow(nx_cfg_ctx *x, unsigned i)
{
    static const char *const keys[] = {"rate_limit", "throttle", "debounce", "batch", "singleton"};
    const nx_fn_config *f = &x->config->functions[i];
    const nx_cfg_mark *marks = nx_cfg_fn_marks(x, i);
    char path[160], row[64];
    for (unsigned k = 0; k < NX_ARRAY_LEN(keys) && f->ordering == NX_ORDERING_KEY; k++) {
        snprintf(row, sizeof row, "functions[].%s", keys[k]);
        if (nx_cfg_is_set(mark_in(marks, row)))
            nx_cfg_issue(x, *mark_in(marks, row), fn_path(i, keys[k], path), "remove ordering, or this",
                         "does not go with ordering: an event that is skipped or waits would break the order of its key");
    }
    if (f->batch_max)
        check_batch(x, i);
    const nx_cfg_mark *timeout = mark_in(marks, "functions[].debounce.timeout"), *period = mark_in(marks, "functions[].debounce.period");
    if (f->debounce_timeout_ns && f->debounce_timeout_ns < f->debounce_ns && !timeout->is_wrong && !period->is_wrong)
        nx_cfg_issue(x, *timeout, fn_path(i, "debounce.timeout", path), "raise debounce.timeout", "is shorter than debounce.period, which would never count");
    if (f->concurrency_key.n && !f->concurrency)
        nx_cfg_issue(x, *mark_in(marks, "functions[].concurrency.key"), fn_path(i, "concurrency.key", path), "add concurrency.limit", "has no effect without a limit");
    if (f->singleton.n && f->concurrency)
        nx_cfg_issue(x, *mark_in(marks, "functions[].singleton"), fn_path(i, "singleton", path), "remove concurrency",
                     "does not go with concurrency: it is one at a time already");
}

static void check_function(nx_cfg_ctx *x, unsigned i)
{
    const nx_fn_config *f = &x->config->functions[i];
    const nx_cfg_mark *marks = nx_cfg_fn_marks(x, i);
    char path[160];
    const nx_cfg_mark *on = mark_in(marks, "functions[].on"), *method = mark_in(marks, "functions[].on.http.method");
    if (nx_cfg_is_set(on) && !on->is_wrong && !nx_cfg_is_set(mark_in(marks, "functions[].on.http")) && !nx_cfg_is_set(mark_in(marks, "functions[].on.nats")) &&
        !nx_cfg_is_set(mark_in(marks, "functions[].on.event")) && !nx_cfg_is_set(mark_in(marks, "functions[].on.cron")))
        nx_cfg_issue(x, *on, fn_path(i, "on", path), "add http, nats, event or cron", "has no trigger: the function could never run");
    const nx_cfg_mark *ordering = mark_in(marks, "functions[].ordering");
    if (f->ordering == NX_ORDERING_KEY && f->n_nats)
        nx_cfg_issue(x, *ordering, fn_path(i, "ordering", path), "remove on.nats, or ordering",
                     "does not go with on.nats: messages of raw subjects have no shard, so nobody keeps their order");
    check_flow(x, i);
    if (f->ordering == NX_ORDERING_KEY && f->concurrency)
        nx_cfg_issue(x, *ordering, fn_path(i, "ordering", path), "remove concurrency, or ordering",
                     "does not go with concurrency: as many run as there are keys and slots");
    if (nx_slice_starts(f->http_path, NX_SLICE("/events/")) && !nx_slice_eq_cstr(f->http_method, "POST") && !method->is_wrong)
        nx_cfg_issue(x, *method, fn_path(i, "on.http.method", path), "set method: POST", "paths below /events/ take events, with POST only");
    check_secret_env(x, i);
    check_cpu(x, i);
    if (f->n_redact > NX_REDACT_PATHS_MAX)
        nx_cfg_issue(x, *mark_in(marks, "functions[].redact"), fn_path(i, "redact", path), "name what is common to them, such as data.user",
                     "has %u paths; at most %d are allowed", f->n_redact, NX_REDACT_PATHS_MAX);
    const nx_cfg_mark *code = mark_in(marks, "functions[].code");
    x->config->functions[i].code_line = code->line;
    x->config->functions[i].code_column = code->column;
    check_retry(x, i);
    if ((x->flags & NX_CONFIG_CHECK_CODE) && f->code_path.n)
        check_code(x, f, fn_path(i, "code", path), *code);
    if (x->flags & NX_CONFIG_CHECK_CODE)
        check_own_files(x, f, fn_path(i, "files", path), *mark_in(marks, "functions[].files"));
}

static int compare_slices(nx_slice a, nx_slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

typedef struct fn_ref {
    const nx_fn_config *f;
} fn_ref;

/* Functions lie in one array, so their addresses tell their order. */
static int compare_names(const void *a, const void *b)
{
    const nx_fn_config *f = ((const fn_ref *)a)->f, *g = ((const fn_ref *)b)->f;
    int order = compare_slices(f->name, g->name);
    return order ? order : (f > g) - (f < g);
}

static int compare_routes(const void *a, const void *b)
{
    const nx_fn_config *f = ((const fn_ref *)a)->f, *g = ((const fn_ref *)b)->f;
    int order = compare_slices(f->http_path, g->http_path);
    if (!order)
        order = compare_slices(f->http_method, g->http_method);
    return order ? order : (f > g) - (f < g);
}

static void report_twin_name(nx_cfg_ctx *x, const nx_fn_config *first, const nx_fn_config *twin)
{
    char path[160], shown[NX_CFG_SHOW_BYTES];
    unsigned i = (unsigned)(twin - x->config->functions);
    nx_cfg_issue(x, *mark_in(nx_cfg_fn_marks(x, i), "functions[].name"), fn_path(i, "name", path), "choose another name",
                 "%s is the name of the function on line %u already", nx_cfg_show(twin->name, shown), first->line);
}

static void report_twin_route(nx_cfg_ctx *x, const nx_fn_config *first, const nx_fn_config *twin)
{
    char path[160], suggestion[256] = "choose another path";
    unsigned i = (unsigned)(twin - x->config->functions);
    if (nx_slice_starts(twin->http_path, NX_SLICE("/events/")))
        snprintf(suggestion, sizeof suggestion, "to run on the same events, write on: {event: %.*s} instead",
                 NX_SLICE_FMT(nx_slice_sub(twin->http_path, 8, 180)));
    nx_cfg_issue(x, *mark_in(nx_cfg_fn_marks(x, i), "functions[].on.http.path"), fn_path(i, "on.http.path", path), suggestion,
                 "%.*s %.*s is the route of %.*s%sline %u%s already", NX_SLICE_FMT(twin->http_method), NX_SLICE_FMT(nx_slice_sub(twin->http_path, 0, 100)),
                 NX_SLICE_FMT(first->name), first->name.n ? " (" : "the function on ", first->line, first->name.n ? ")" : "");
}

static bool is_same_route(const nx_fn_config *f, const nx_fn_config *g)
{
    return nx_slice_eq(f->http_path, g->http_path) && nx_slice_eq(f->http_method, g->http_method);
}

static void check_twins(nx_cfg_ctx *x)
{
    const nx_config *c = x->config;
    fn_ref *order = nx_arena_calloc(x->read, c->n_functions, sizeof *order);
    if (!order) {
        x->err = NX_ENOMEM;
        return;
    }
    for (unsigned i = 0; i < c->n_functions; i++)
        order[i].f = &c->functions[i];
    qsort(order, c->n_functions, sizeof *order, compare_names);
    for (unsigned i = 1, first = 0; i < c->n_functions; i++) {
        if (!nx_slice_eq(order[i].f->name, order[first].f->name))
            first = i;
        else if (order[i].f->name.n)
            report_twin_name(x, order[first].f, order[i].f);
    }
    qsort(order, c->n_functions, sizeof *order, compare_routes);
    for (unsigned i = 1, first = 0; i < c->n_functions; i++) {
        if (!is_same_route(order[i].f, order[first].f))
            first = i;
        else if (order[i].f->http_path.n)
            report_twin_route(x, order[first].f, order[i].f);
    }
}

void nx_cfg_check(nx_cfg_ctx *x)
{
    check_node(x);
    for (unsigned i = 0; i < x->config->n_functions && x->err != NX_ENOMEM; i++)
        check_function(x, i);
    if (x->config->n_functions > 1 && x->err != NX_ENOMEM)
        check_twins(x);
}
