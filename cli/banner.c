/* banner.c: what `nexus dev` says once it is ready: addresses, functions, and three commands that work as they stand. */
#include "banner.h"
#include <unistd.h>

static const char sample_data[] = "{\"user_id\": \"u42\", \"email\": \"alice@example.com\"}";

/* A type that a pattern takes: "order.*" takes order.test. */
static void type_of_pattern(nx_slice pattern, char *ret, size_t ret_bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < pattern.n && n + 5 < ret_bytes; i++) {
        if (pattern.p[i] == '*' || pattern.p[i] == '>')
            n += (size_t)snprintf(ret + n, ret_bytes - n, "test");
        else
            ret[n++] = pattern.p[i];
    }
    ret[n] = 0;
}

static void list(nx_slice *v, unsigned n, const char *word, bool *is_first)
{
    for (unsigned i = 0; i < n; i++) {
        printf("%s%s %.*s", *is_first ? "" : ", ", word, NX_SLICE_FMT(v[i]));
        *is_first = false;
    }
}

static void triggers(const nx_fn_config *f)
{
    bool is_first = true;
    if (f->http_path.n) {
        printf("%.*s %.*s", NX_SLICE_FMT(f->http_method), NX_SLICE_FMT(f->http_path));
        is_first = false;
    }
    list(f->events, f->n_events, "event", &is_first);
    list(f->nats, f->n_nats, "nats", &is_first);
    if (f->output_event.n)
        printf(" -> event %.*s", NX_SLICE_FMT(f->output_event));
}

static bool send_by_http(const nx_config *cfg, const char *url)
{
    const char *insecure = strncmp(url, "https:", 6) == 0 ? " -k" : "";
    for (unsigned i = 0; i < cfg->n_functions; i++) {
        const nx_fn_config *f = &cfg->functions[i];
        if (f->http_path.n == 0)
            continue;
        bool has_body = !nx_slice_eq_cstr(f->http_method, "GET") && !nx_slice_eq_cstr(f->http_method, "HEAD");
        printf("  curl%s -X %.*s '%s%.*s'", insecure, NX_SLICE_FMT(f->http_method), url, NX_SLICE_FMT(f->http_path));
        if (has_body)
            printf(" -H 'Content-Type: application/json' -d '%s'", sample_data);
        putchar('\n');
        return true;
    }
    for (unsigned i = 0; i < cfg->n_functions; i++) {
        char type[512];
        if (cfg->functions[i].n_events == 0)
            continue;
        type_of_pattern(cfg->functions[i].events[0], type, sizeof type);
        printf("  curl%s -X POST '%s/events/%s' -H 'Content-Type: application/json' -d '%s'\n", insecure, url, type, sample_data);
        return true;
    }
    return false;
}

/* Whether a command typed in this folder finds the node by itself. */
static bool is_found(const nx_cli *c, const char *admin_url)
{
    char url[512], file[NX_CLI_PATH_BYTES];
    return nx_cli_node_find(c, url, sizeof url, file, sizeof file, NULL) == NX_OK && strcmp(url, admin_url) == 0;
}

void nx_cli_banner(const nx_cli *c, const nx_config *cfg, const char *url, const char *admin_url, double ready_ms)
{
    char took[16];
    bool by_itself = is_found(c, admin_url);
    const char *flag = by_itself ? "" : " --admin-url ", *where = by_itself ? "" : admin_url;
    const char *bold = nx_cli_paint(c->has_colour, NX_CLI_BOLD), *plain = nx_cli_paint(c->has_colour, NX_CLI_PLAIN);
    const char *cyan = nx_cli_paint(c->has_colour, NX_CLI_CYAN);
    nx_cli_format_ms(ready_ms, took);
    printf("\n%sNexus Functions %s%s  %.*s, ready in %s\n\n", bold, nx_cli_version, plain, NX_SLICE_FMT(cfg->project), took);
    printf("  events  %s%s%s\n  admin   %s%s%s\n\n", cyan, url, plain, cyan, admin_url, plain);
    int width = 0;
    for (unsigned i = 0; i < cfg->n_functions; i++)
        width = (int)cfg->functions[i].name.n > width ? (int)cfg->functions[i].name.n : width;
    for (unsigned i = 0; i < cfg->n_functions; i++) {
        const nx_fn_config *f = &cfg->functions[i];
        printf("  %s%.*s%s%*s  ", bold, NX_SLICE_FMT(f->name), plain, width - (int)f->name.n, "");
        triggers(f);
        putchar('\n');
    }
    printf("\nTry, in another terminal:\n");
    if (!send_by_http(cfg, url) && cfg->n_functions > 0)
        printf("  %s invoke %.*s%s%s --data '%s'\n", c->program, NX_SLICE_FMT(cfg->functions[0].name), flag, where, sample_data);
    printf("  %s events list%s%s\n  %s replay @last%s%s\n\n", c->program, flag, where, c->program, flag, where);
    printf("Saving a source or nexus.yaml rebuilds and reloads. Ctrl-C stops.\n\n");
    fflush(stdout);
}

int nx_cli_banner_json(const nx_cli *c, const nx_config *cfg, const char *url, const char *admin_url)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(4u << 20);
    nx_jw w = NX_JW_INIT(&out);
    nx_jw_object(&w);
    nx_jw_kstr(&w, "project", cfg->project);
    nx_jw_kcstr(&w, "listen_url", url);
    nx_jw_kcstr(&w, "admin_url", admin_url);
    nx_jw_ku64(&w, "pid", (uint64_t)getpid());
    nx_jw_key(&w, "functions");
    nx_jw_array(&w);
    for (unsigned i = 0; i < cfg->n_functions; i++)
        nx_jw_str(&w, cfg->functions[i].name);
    nx_jw_array_end(&w);
    nx_jw_object_end(&w);
    if (nx_jw_err(&w) != NX_OK)
        return nx_cli_fail(c, nx_jw_err(&w), "out of memory");
    printf("%.*s\n", NX_SLICE_FMT(nx_buf_view(&out)));
    fflush(stdout);
    return NX_CLI_OK;
}
