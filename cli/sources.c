/* sources.c: what a function is built from, and whether its artifact is older. */
#include "nx/clock.h"
#include "tools.h"
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
    const unsigned char *b = p;
    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * 0x100000001b3ull; /* FNV-1a */
    return h;
}

static uint64_t time_of(const struct stat *st)
{
    return (uint64_t)st->st_mtim.tv_sec * NX_NS_PER_S + (uint64_t)st->st_mtim.tv_nsec;
}

uint64_t nx_cli_file_fingerprint(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return 0;
    uint64_t v[3] = {time_of(&st), (uint64_t)st.st_size, (uint64_t)st.st_ino};
    uint64_t h = mix(0xcbf29ce484222325ull, v, sizeof v);
    return h ? h : 1;
}

/* ---- walking ---------------------------------------------------------------------------------------------------- */

typedef struct walk {
    const nx_fn_config *f;
    nx_slice data_dir;
    nx_cli_sources *sources;                          /* NULL: only folders */
    void (*put_folder)(void *self, const char *path); /* NULL: only files */
    void *self;
    bool takes_all; /* a folder that build.watch names: nothing in it is left out but hidden files */
    unsigned n_folders;
} walk;

/* What builds leave behind, and what no build reads. */
static bool is_output_folder(const char *name)
{
    static const char *const names[] = {"target", "node_modules", "build", "dist", "__pycache__"};
    for (size_t i = 0; i < NX_ARRAY_LEN(names); i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

static bool is_source_name(const walk *w, const char *name)
{
    nx_slice s = nx_slice_cstr(name);
    size_t n = s.n;
    /* Editors write such files beside the one that is saved. */
    if (name[0] == '.' || name[n - 1] == '~' || nx_slice_ends(s, NX_SLICE(".swp")) || nx_slice_ends(s, NX_SLICE(".tmp")))
        return false;
    if (w->takes_all)
        return true;
    /* A log: `nexus dev > dev.log` in the project's folder would build for ever. */
    return !nx_slice_ends(s, NX_SLICE(".wasm")) && !nx_slice_ends(s, NX_SLICE(".md")) && !nx_slice_ends(s, NX_SLICE(".log")) &&
           strcmp(name, NX_CLI_PROJECT_FILE) != 0;
}

static void take_file(walk *w, const char *path, const struct stat *st)
{
    nx_cli_sources *s = w->sources;
    if (!s || nx_slice_eq_cstr(w->f->code_path, path))
        return;
    if (s->n_files >= NX_CLI_SOURCES_MAX) {
        s->is_cut = true;
        return;
    }
    uint64_t v[2] = {time_of(st), (uint64_t)st->st_size};
    s->n_files++;
    if (v[0] > s->newest_ns)
        s->newest_ns = v[0];
    /* Added up, because folders are read in no certain order. */
    s->fingerprint += mix(mix(0xcbf29ce484222325ull, path, strlen(path)), v, sizeof v);
}

static void take_folder(walk *w, const char *path, unsigned depth)
{
    DIR *d = depth <= NX_CLI_SOURCE_DEPTH_MAX && w->n_folders < NX_CLI_SOURCES_MAX ? opendir(path) : NULL;
    if (!d)
        return;
    w->n_folders++;
    if (w->put_folder)
        w->put_folder(w->self, path);
    for (struct dirent *e; (e = readdir(d));) {
        char child[NX_CLI_PATH_BYTES];
        struct stat st;
        if (e->d_name[0] == '.' || snprintf(child, sizeof child, "%s/%s", path, e->d_name) >= (int)sizeof child || lstat(child, &st) != 0)
            continue;
        /* A link to a folder could lead round in a circle; one to a file is read through. */
        if (S_ISLNK(st.st_mode) && (stat(child, &st) != 0 || S_ISDIR(st.st_mode)))
            continue;
        if (S_ISDIR(st.st_mode)) {
            if ((w->takes_all || !is_output_folder(e->d_name)) && !nx_slice_eq_cstr(w->data_dir, child))
                take_folder(w, child, depth + 1);
        } else if (S_ISREG(st.st_mode) && is_source_name(w, e->d_name)) {
            take_file(w, child, &st);
        }
    }
    closedir(d);
}

static void take_path(walk *w, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return;
    if (S_ISDIR(st.st_mode)) {
        take_folder(w, path, 0);
        return;
    }
    take_file(w, path, &st);
    if (w->put_folder) {
        char folder[NX_CLI_PATH_BYTES];
        const char *slash = strrchr(path, '/');
        snprintf(folder, sizeof folder, "%.*s", slash > path ? (int)(slash - path) : 1, path);
        w->put_folder(w->self, folder);
    }
}

static void walk_function(walk *w)
{
    char path[NX_CLI_PATH_BYTES];
    const nx_fn_config *f = w->f;
    for (unsigned i = 0; i < f->n_build_watch; i++) {
        bool is_absolute = f->build_watch[i].n > 0 && f->build_watch[i].p[0] == '/';
        int n = is_absolute ? snprintf(path, sizeof path, "%.*s", NX_SLICE_FMT(f->build_watch[i]))
                            : snprintf(path, sizeof path, "%.*s/%.*s", NX_SLICE_FMT(f->build_workdir), NX_SLICE_FMT(f->build_watch[i]));
        w->takes_all = true;
        if (n > 0 && (size_t)n < sizeof path)
            take_path(w, path);
    }
    if (f->n_build_watch == 0 && nx_slice_to_cstr(f->build_workdir, path, sizeof path) == NX_OK)
        take_path(w, path);
}

void nx_cli_sources_scan(const nx_config *cfg, const nx_fn_config *f, nx_cli_sources *ret)
{
    *ret = (nx_cli_sources){0};
    walk w = {.f = f, .data_dir = cfg->data_dir, .sources = ret};
    if (f->build_command.n > 0)
        walk_function(&w);
    /* Another command makes another artifact. */
    ret->fingerprint += mix(0xcbf29ce484222325ull, f->build_command.p, f->build_command.n);
}

void nx_cli_sources_folders(const nx_config *cfg, const nx_fn_config *f, void (*put)(void *self, const char *folder), void *self)
{
    walk w = {.f = f, .data_dir = cfg->data_dir, .put_folder = put, .self = self};
    if (f->build_command.n > 0)
        walk_function(&w);
}

bool nx_cli_is_out_of_date(const nx_config *cfg, const nx_fn_config *f)
{
    char path[NX_CLI_PATH_BYTES];
    struct stat st;
    nx_cli_sources s;
    if (f->build_command.n == 0)
        return false;
    if (nx_slice_to_cstr(f->code_path, path, sizeof path) != NX_OK || stat(path, &st) != 0)
        return true;
    nx_cli_sources_scan(cfg, f, &s);
    return s.newest_ns > time_of(&st);
}
