/* artifact.c: see nx/artifact.h. A path that `files` names may be a link; below it links are kept as links, which a guest can't follow out of its "/". */
#include "nx/artifact.h"
#include "fn.h"
#include "nx/rt_artifact.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 64
#define HOST_PATH_BYTES 8192

typedef struct walk {
    nx_err (*on_file)(void *self, const nx_artifact_file *file);
    void *self;
    nx_error *reterr;
    char host[HOST_PATH_BYTES];
    size_t root_bytes; /* of `host` in front of the guest's path */
} walk;

static nx_err failed(const walk *w) { return nx_error_set(w->reterr, nx_err_from_errno(errno), "files: %s: %s", w->host + w->root_bytes, strerror(errno)); }

static bool is_left_out(const char *name) { return name[0] == '.' || name[strlen(name) - 1] == '~'; }

static nx_err take(walk *w, const struct stat *st, unsigned depth);

static nx_err take_folder(walk *w, unsigned depth)
{
    size_t n = strlen(w->host);
    DIR *dir = opendir(w->host);
    if (!dir)
        return failed(w);
    nx_err err = depth == DEPTH_MAX ? nx_error_set(w->reterr, NX_ELIMIT, "files: %s: folders are nested too deep", w->host + w->root_bytes) : NX_OK;
    for (const struct dirent *e = readdir(dir); err == NX_OK && e; e = readdir(dir)) {
        struct stat st;
        if (is_left_out(e->d_name))
            continue;
        if ((size_t)snprintf(w->host + n, sizeof w->host - n, "/%s", e->d_name) >= sizeof w->host - n)
            err = nx_error_set(w->reterr, NX_ELIMIT, "files: %s: the path is too long", e->d_name);
        else if (lstat(w->host, &st) == 0)
            err = take(w, &st, depth + 1);
        else if (errno != ENOENT) /* it may have gone since */
            err = failed(w);
    }
    w->host[n] = '\0';
    closedir(dir);
    return err;
}

static nx_err take(walk *w, const struct stat *st, unsigned depth)
{
    nx_artifact_file file = {.host_path = w->host, .path = nx_slice_cstr(w->host + w->root_bytes)};
    if (S_ISREG(st->st_mode))
        file.kind = NX_RT_NODE_FILE;
    else if (S_ISDIR(st->st_mode))
        file.kind = NX_RT_NODE_DIR;
    else if (S_ISLNK(st->st_mode))
        file.kind = NX_RT_NODE_LINK;
    else
        return NX_OK;
    nx_err err = w->on_file(w->self, &file);
    return err == NX_OK && file.kind == NX_RT_NODE_DIR ? take_folder(w, depth) : err;
}

/* "./a//b/" as the guest sees it: "a/b". The settings' check has refused "..", absolute paths and "." alone. */
static size_t clean(nx_slice path, char *out)
{
    size_t n = 0;
    while (path.n) {
        nx_slice part = nx_slice_split(path, '/', &path);
        if (part.n == 0 || nx_slice_eq_cstr(part, "."))
            continue;
        if (n)
            out[n++] = '/';
        memcpy(out + n, part.p, part.n);
        n += part.n;
    }
    out[n] = '\0';
    return n;
}

nx_err nx_artifact_each_file(const nx_config *cfg, const nx_fn_config *f, nx_err (*on_file)(void *self, const nx_artifact_file *file), void *self,
                             nx_error *reterr)
{
    walk w = {.on_file = on_file, .self = self, .reterr = reterr};
    nx_err err = NX_OK;
    for (unsigned i = 0; err == NX_OK && i < f->n_files; i++) {
        struct stat st;
        int n = snprintf(w.host, sizeof w.host, "%.*s/", NX_SLICE_FMT(cfg->dir));
        if (n < 0 || (size_t)n + f->files[i].n >= sizeof w.host)
            return nx_error_set(reterr, NX_ELIMIT, "files: the path is too long");
        w.root_bytes = (size_t)n;
        clean(f->files[i], w.host + n);
        err = stat(w.host, &st) == 0 ? take(&w, &st, 0) : failed(&w);
    }
    return err;
}

/* ---- into a tree -------------------------------------------------------------------------------------------------------------------------- */

typedef struct loading {
    nx_rt_tree *tree;
    nx_buf content;
    nx_error *reterr;
} loading;

static nx_err read_file(loading *l, const nx_artifact_file *file)
{
    int fd = open(file->host_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t k = fd < 0 ? -1 : 1;
    nx_err err = NX_OK;
    nx_buf_clear(&l->content);
    while (err == NX_OK && k > 0) {
        char piece[65536];
        while ((k = read(fd, piece, sizeof piece)) < 0 && errno == EINTR) {
        }
        if (k > 0)
            err = nx_buf_append(&l->content, piece, (size_t)k);
    }
    int saved = errno;
    if (fd >= 0)
        close(fd);
    if (k < 0)
        return nx_error_set(l->reterr, nx_err_from_errno(saved), "files: %.*s: %s", NX_SLICE_FMT(file->path), strerror(saved));
    return err == NX_OK ? NX_OK : nx_error_set(l->reterr, err, "files: %.*s has more than %u MiB", NX_SLICE_FMT(file->path), NX_RT_FILES_BYTES_MAX >> 20);
}

static nx_err load(void *self, const nx_artifact_file *file)
{
    loading *l = self;
    char target[NX_RT_PATH_BYTES];
    nx_slice content = NX_SLICE_NULL;
    nx_rt_node_kind kind;
    if (nx_rt_tree_has(l->tree, file->path, &kind)) /* `files` names a folder and something in it */
        return NX_OK;
    if (file->kind == NX_RT_NODE_FILE) {
        nx_err err = read_file(l, file);
        if (err != NX_OK)
            return err;
        content = nx_buf_view(&l->content);
    } else if (file->kind == NX_RT_NODE_LINK) {
        ssize_t k = readlink(file->host_path, target, sizeof target);
        if (k < 0)
            return nx_error_set(l->reterr, nx_err_from_errno(errno), "files: %.*s: %s", NX_SLICE_FMT(file->path), strerror(errno));
        content = nx_slice_make(target, (size_t)k);
    }
    nx_err err = nx_rt_tree_put(l->tree, file->path, file->kind, content, 0, l->reterr);
    return err == NX_OK ? NX_OK : (nx_error_prefix(l->reterr, "files"), err);
}

nx_err nx_artifact_with_files(const nx_config *cfg, const nx_fn_config *f, nx_slice module, nx_buf *out, nx_error *reterr)
{
    /* Twice the limit: what a tree counts beside the contents is not what the artifact has. */
    loading l = {.content = NX_BUF_INIT(NX_RT_FILES_BYTES_MAX), .reterr = reterr};
    nx_rt_artifact parts;
    nx_slice init = f->init.n ? f->init : f->is_preinit ? NX_SLICE("_initialize")
                                                        : NX_SLICE_NULL;
    nx_err err = nx_rt_artifact_split(module, &parts, reterr);
    if (err == NX_OK && f->n_files == 0 && init.n == 0) /* one that is an artifact already stays what it is */
        return nx_buf_append_slice(out, module);
    if (err == NX_OK && nx_rt_tree_new(2u * NX_RT_FILES_BYTES_MAX, &l.tree) != NX_OK)
        err = nx_error_set(reterr, NX_ENOMEM, "files: out of memory");
    if (err == NX_OK)
        err = nx_artifact_each_file(cfg, f, load, &l, reterr);
    if (err == NX_OK && (err = nx_rt_artifact_join(parts.module, init, l.tree, out, reterr)) != NX_OK)
        nx_error_prefix(reterr, "files");
    nx_rt_tree_free(l.tree);
    nx_buf_done(&l.content);
    return err;
}

nx_err nx_artifact_read(const nx_config *cfg, const nx_fn_config *f, nx_buf *out, nx_error *reterr)
{
    char path[4096];
    NX_CLEANUP(nx_buf_done)
    nx_buf module = NX_BUF_INIT(NX_ARTIFACT_BYTES_MAX + 1);
    nx_err err = nx_slice_to_cstr(f->code_path, path, sizeof path);
    if (err != NX_OK)
        return nx_error_set(reterr, err, "code: the path is too long");
    err = nx_core_read_module(path, &module, reterr);
    return err == NX_OK ? nx_artifact_with_files(cfg, f, nx_buf_view(&module), out, reterr) : err;
}
