/* The public entry points: files, defaults and overrides in their order. */
#include "config_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What an nx_config pointer really points to. */
typedef struct config_box {
    nx_config config; /* first, so that the pointers convert */
    atomic_uint refs;
    nx_arena arena;
} config_box;

void nx_config_ref(nx_config *c)
{
    atomic_fetch_add_explicit(&((config_box *)c)->refs, 1, memory_order_relaxed);
}

void nx_config_unref(nx_config *c)
{
    config_box *box = (config_box *)c;
    if (!box || atomic_fetch_sub_explicit(&box->refs, 1, memory_order_acq_rel) != 1)
        return;
    nx_arena_done(&box->arena);
    free(box);
}

static bool is_same(const nx_cfg_row *row, const nx_config *a, const nx_config *b)
{
    const char *x = (const char *)a + row->at, *y = (const char *)b + row->at;
    return row->width == sizeof(nx_slice) ? nx_slice_eq(*(const nx_slice *)(const void *)x, *(const nx_slice *)(const void *)y)
                                          : memcmp(x, y, row->width) == 0;
}

void nx_config_each_restart(const nx_config *a, const nx_config *b, void (*put)(void *self, const char *path), void *self)
{
    for (unsigned i = 0; i < nx_cfg_n_rows; i++) {
        const nx_cfg_row *row = &nx_cfg_rows[i];
        if (row->is_live || nx_cfg_row_is_function(row) || !nx_cfg_row_is_scalar(row) || row->width == 0)
            continue;
        if (!is_same(row, a, b))
            put(self, row->path);
    }
}

void nx_config_each_process(const nx_config *first, const nx_config *c, const nx_config *defaults, void (*put)(void *self, const char *path), void *self)
{
    for (unsigned i = 0; i < nx_cfg_n_rows; i++) {
        const nx_cfg_row *row = &nx_cfg_rows[i];
        if (row->is_process && !is_same(row, c, defaults) && !is_same(row, c, first))
            put(self, row->path);
    }
}

const nx_fn_config *nx_config_function(const nx_config *c, nx_slice name)
{
    for (unsigned i = 0; i < c->n_functions; i++) {
        if (nx_slice_eq(c->functions[i].name, name))
            return &c->functions[i];
    }
    return NULL;
}

nx_grants nx_fn_config_grants(const nx_fn_config *f)
{
    return (nx_grants){
        .outbound_hosts = f->outbound_hosts,
        .n_outbound_hosts = f->n_outbound_hosts,
        .stores = f->stores,
        .n_stores = f->n_stores,
        .emit = f->emit,
        .n_emit = f->n_emit,
        .secrets = f->secrets,
        .n_secrets = f->n_secrets,
    };
}

/* ---- folders */

static const char *absolute_dir(nx_arena *a, const char *dir)
{
    char buf[PATH_MAX];
    if (!dir || !dir[0])
        dir = ".";
    return nx_arena_cstr(a, nx_slice_cstr(realpath(dir, buf) ? buf : dir));
}

static const char *dir_of_file(nx_arena *a, const char *file)
{
    const char *slash = strrchr(file, '/');
    if (!slash)
        return absolute_dir(a, ".");
    const char *dir = nx_arena_cstr(a, nx_slice_make(file, slash == file ? 1 : (size_t)(slash - file)));
    return dir ? absolute_dir(a, dir) : NULL;
}

/* The folder's name as a project name: "My App" is my-app. */
static const char *project_of_dir(nx_arena *a, const char *dir)
{
    const char *slash = strrchr(dir, '/');
    char name[64];
    size_t n = 0;
    for (const char *p = slash ? slash + 1 : dir; *p && n < 63; p++) {
        char c = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            name[n++] = c;
        else if (n > 0 && name[n - 1] != '-')
            name[n++] = '-';
    }
    while (n > 0 && name[n - 1] == '-')
        n--;
    return n ? nx_arena_cstr(a, nx_slice_make(name, n)) : "project";
}

/* ---- one call */

typedef struct call {
    nx_cfg_ctx x;
    nx_arena read;
    nx_config_issues own; /* where the caller wants none */
    config_box *box;
} call;

static void call_defaults(nx_cfg_ctx *x)
{
    nx_config *c = x->config;
    x->dir = x->base_dir;
    for (unsigned i = 0; i < nx_cfg_n_rows && x->err != NX_ENOMEM; i++) {
        const nx_cfg_row *row = &nx_cfg_rows[i];
        if (!nx_cfg_row_is_function(row) && row->def && nx_cfg_row_is_scalar(row))
            nx_cfg_set(x, row, c, nx_slice_cstr(row->def), (nx_cfg_mark){0});
    }
    c->dir = nx_slice_cstr(x->base_dir);
    const char *project = project_of_dir(x->arena, x->base_dir);
    if (!project)
        x->err = NX_ENOMEM;
    c->project = nx_slice_cstr(project);
}

/* Everything set to its default. dir is the project's folder, or NULL where file says it. */
static nx_err call_begin(call *k, const char *file, const char *dir, unsigned flags, nx_config_issues *issues)
{
    *k = (call){.x = {.flags = flags}};
    nx_arena_init(&k->read, NX_CFG_READ_ARENA_BYTES);
    nx_cfg_ctx *x = &k->x;
    x->issues = issues ? issues : &k->own;
    x->read = &k->read;
    k->box = calloc(1, sizeof *k->box);
    if (!k->box)
        return x->err = NX_ENOMEM;
    atomic_init(&k->box->refs, 1);
    nx_arena_init(&k->box->arena, NX_CFG_ARENA_BYTES);
    x->config = &k->box->config;
    x->arena = &k->box->arena;
    x->marks = nx_arena_calloc(x->read, nx_cfg_n_rows, sizeof *x->marks);
    x->base_dir = dir || !file ? absolute_dir(x->arena, dir) : dir_of_file(x->arena, file);
    nx_slice path = nx_arena_dup(x->arena, nx_slice_cstr(file ? file : ""));
    if (!x->marks || !x->base_dir || !path.p)
        return x->err = NX_ENOMEM;
    x->config->path = path;
    x->issues->file = nx_slice_cstr(file ? file : "");
    call_defaults(x);
    return x->err;
}

static nx_err report(const call *k, unsigned n_before, nx_error *reterr)
{
    const nx_config_issues *all = k->x.issues;
    if (k->x.err != NX_EINVAL || all->n <= n_before)
        return nx_error_set(reterr, k->x.err, "%s", nx_err_text(k->x.err));
    const nx_config_issue *first = &all->v[n_before];
    char place[160] = "";
    if (first->line)
        snprintf(place, sizeof place, ":%u:%u", first->line, first->column);
    return nx_error_set(reterr, NX_EINVAL, "%.*s%s: %s%s%s", NX_SLICE_FMT(first->source[0] ? nx_slice_cstr(first->source) : all->file), place,
                        first->path, first->path[0] ? ": " : "", first->reason);
}

/* Checks the whole and hands it over, or says what is wrong. */
static nx_err call_end(call *k, unsigned n_before, nx_config **ret, nx_error *reterr)
{
    nx_cfg_ctx *x = &k->x;
    if (!x->err || x->err == NX_EINVAL)
        nx_cfg_check(x);
    nx_err err = x->err;
    if (err) {
        nx_cfg_issues_sort(x->issues, n_before);
        report(k, n_before, reterr);
        nx_config_unref(x->config);
    } else {
        *ret = x->config;
    }
    nx_arena_done(&k->read);
    nx_config_issues_done(&k->own);
    return err;
}

static nx_err call_fail(call *k, nx_err err)
{
    k->x.err = err;
    nx_config_unref(k->x.config);
    nx_arena_done(&k->read);
    nx_config_issues_done(&k->own);
    return err;
}

/* ---- documents */

static const char minimal_file[] =
    "version: v1\n"
    "functions:\n"
    "  - name: hello\n"
    "    on:\n"
    "      http:\n"
    "        path: /hello\n"
    "    code: ./build/hello.wasm";

static void read_document(nx_cfg_ctx *x, nx_slice text)
{
    nx_err was = x->err;
    nx_cfg_node *root = NULL;
    x->err = NX_OK;
    if (!(x->flags & NX_CONFIG_STORED) || !nx_cfg_json_read(x, text, &root))
        nx_cfg_yaml_read(x, text, &root);
    bool is_empty = !root && !x->err;
    if (was && !x->err)
        x->err = was;
    if (root)
        nx_cfg_read_root(x, root);
    else if (is_empty && !x->is_user_file)
        nx_cfg_issue(x, (nx_cfg_mark){x->source, 1, 1, false}, "", x->flags & NX_CONFIG_NO_FUNCTIONS ? "add version: v1" : minimal_file,
                     "the file is empty");
}

/* Reads at most one byte more than is allowed, so that a file that grows meanwhile is noticed. */
static nx_err read_bytes(int fd, nx_buf *out)
{
    char chunk[16384];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return nx_err_from_errno(errno);
        if (n == 0)
            return NX_OK;
        nx_err err = nx_buf_append(out, chunk, (size_t)n);
        if (err)
            return err;
    }
}

/* NX_OK also where the file's kind or size was made an issue (*ret_is_readable is false then). */
static nx_err read_file(nx_cfg_ctx *x, const char *file, nx_buf *out, bool *ret_is_readable, nx_error *reterr)
{
    struct stat st;
    nx_cfg_mark at = {x->source, 0, 0, false};
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a FIFO must not block */
    *ret_is_readable = false;
    if (fd < 0)
        return nx_error_set(reterr, nx_err_from_errno(errno), "%s: %s", file, strerror(errno));
    nx_err err = fstat(fd, &st) == 0 ? NX_OK : nx_err_from_errno(errno);
    if (!err && !S_ISREG(st.st_mode)) {
        nx_cfg_issue(x, at, "", NULL, S_ISDIR(st.st_mode) ? "is a folder" : "is not a regular file");
    } else if (!err && st.st_size > (off_t)NX_CONFIG_FILE_BYTES) {
        nx_cfg_issue(x, at, "", NULL, "has %lld bytes; at most %u are read", (long long)st.st_size, NX_CONFIG_FILE_BYTES);
    } else if (!err) {
        err = read_bytes(fd, out);
        *ret_is_readable = !err;
        if (err == NX_ELIMIT) {
            nx_cfg_issue(x, at, "", NULL, "has more than the %u bytes that are read", NX_CONFIG_FILE_BYTES);
            err = NX_OK;
        }
    }
    close(fd);
    return err ? nx_error_set(reterr, err, "%s: %s", file, nx_err_text(err)) : NX_OK;
}

static nx_err read_file_layer(nx_cfg_ctx *x, const char *file, nx_error *reterr)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(NX_CONFIG_FILE_BYTES);
    bool is_readable;
    nx_err err = read_file(x, file, &text, &is_readable, reterr);
    if (err)
        return err;
    if (is_readable)
        read_document(x, nx_buf_view(&text));
    return x->err == NX_ENOMEM ? nx_error_set(reterr, NX_ENOMEM, "out of memory") : NX_OK;
}

/* ---- entry points */

nx_err nx_config_parse(nx_slice text, const char *name, const char *dir, unsigned flags, nx_config **ret, nx_config_issues *issues, nx_error *reterr)
{
    call k;
    unsigned n_before = issues ? issues->n : 0;
    nx_err err = call_begin(&k, name, dir ? dir : ".", flags, issues);
    if (err) {
        nx_error_set(reterr, err, "%s", nx_err_text(err));
        return call_fail(&k, err);
    }
    read_document(&k.x, text);
    return call_end(&k, n_before, ret, reterr);
}

nx_err nx_config_load_layers(const nx_config_layers *layers, unsigned flags, nx_config **ret, nx_config_issues *issues, nx_error *reterr)
{
    call k;
    nx_cfg_ctx *x = &k.x;
    unsigned n_before = issues ? issues->n : 0;
    nx_err err = call_begin(&k, layers->file, layers->file ? NULL : layers->dir, flags, issues);
    if (err)
        nx_error_set(reterr, err, "%s", nx_err_text(err));
    if (!err && layers->user_file) {
        x->source = layers->user_file;
        x->is_user_file = true;
        x->dir = dir_of_file(x->arena, layers->user_file);
        err = x->dir ? read_file_layer(x, layers->user_file, reterr) : NX_ENOMEM;
        if (err == NX_ENOENT)
            err = NX_OK;
        x->source = NULL;
        x->is_user_file = false;
    }
    if (!err && layers->file) {
        x->dir = x->base_dir;
        err = read_file_layer(x, layers->file, reterr);
    }
    if (!err && layers->n_overrides) {
        x->dir = absolute_dir(x->arena, ".");
        err = x->dir ? NX_OK : NX_ENOMEM;
        for (unsigned i = 0; i < layers->n_overrides && !err; i++) {
            nx_cfg_override(x, &layers->overrides[i]);
            err = x->err == NX_ENOMEM ? NX_ENOMEM : NX_OK;
        }
    }
    if (err) {
        if (err == NX_ENOMEM)
            nx_error_set(reterr, err, "out of memory");
        return call_fail(&k, err);
    }
    return call_end(&k, n_before, ret, reterr);
}

nx_err nx_config_load(const char *file, unsigned flags, nx_config **ret, nx_config_issues *issues, nx_error *reterr)
{
    return nx_config_load_layers(&(nx_config_layers){.file = file}, flags, ret, issues, reterr);
}

nx_err nx_config_default(const char *dir, nx_config **ret, nx_error *reterr)
{
    return nx_config_load_layers(&(nx_config_layers){.dir = dir}, NX_CONFIG_NO_FUNCTIONS, ret, NULL, reterr);
}

nx_err nx_config_env_overrides(char *const *env, nx_arena *a, nx_config_override **ret, unsigned *ret_n)
{
    nx_config_override *all = nx_arena_calloc(a, nx_cfg_n_rows, sizeof *all);
    unsigned n = 0;
    if (!all)
        return NX_ENOMEM;
    for (unsigned i = 0; i < nx_cfg_n_rows; i++) {
        char name[NX_CFG_ENV_NAME_BYTES];
        size_t name_n = nx_cfg_row_env_name(&nx_cfg_rows[i], name);
        for (char *const *e = env; name_n && *e; e++) {
            if (strncmp(*e, name, name_n) != 0 || (*e)[name_n] != '=' || !(*e)[name_n + 1])
                continue; /* an empty variable is one that is not set */
            all[n].path = nx_slice_cstr(nx_cfg_rows[i].path);
            all[n].value = nx_slice_cstr(*e + name_n + 1);
            all[n].origin = nx_slice_make(*e, name_n);
            n++;
            break;
        }
    }
    *ret = all;
    *ret_n = n;
    return NX_OK;
}
