/* host_tree.c: see host_tree.h. All paths are opened below the folder's descriptor and never through a symbolic link. */
#include "host_tree.h"
#include "nx/buf.h"
#include "nx/clock.h"
#include "nx/digest.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 128

static nx_err failed(const char *path, nx_error *reterr) { return nx_error_set(reterr, nx_err_from_errno(errno), "%s: %s", path, strerror(errno)); }

/* ---- loading ------------------------------------------------------------------------------------------------------- */

static nx_err read_all(int dir, const char *name, uint64_t max_bytes, nx_buf *out)
{
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return nx_err_from_errno(errno);
    nx_err err = NX_OK;
    nx_buf_clear(out);
    out->max = max_bytes;
    for (ssize_t k = 1; err == NX_OK && k != 0;) {
        char piece[65536];
        k = read(fd, piece, sizeof piece);
        if (k > 0)
            err = nx_buf_append(out, piece, (size_t)k);
        else if (k < 0 && errno != EINTR)
            err = nx_err_from_errno(errno);
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return err;
}

typedef struct loading {
    nx_cli_host_tree *h;
    uint64_t max_bytes;
    nx_buf content;
    char path[NX_RT_PATH_BYTES];
} loading;

static nx_err load_dir(loading *l, int dir, size_t n, unsigned depth, nx_error *reterr);

static nx_err load_entry(loading *l, int dir, const char *name, size_t n, unsigned depth, nx_error *reterr)
{
    struct stat st;
    nx_rt_node_kind kind = NX_RT_NODE_DIR;
    nx_slice path = nx_slice_make(l->path, n), bytes = NX_SLICE_NULL;
    char target[NX_RT_PATH_BYTES];
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? NX_OK : failed(l->path, reterr);
    if (S_ISREG(st.st_mode)) {
        kind = NX_RT_NODE_FILE;
        nx_err err = read_all(dir, name, l->max_bytes, &l->content);
        if (err != NX_OK)
            return err == NX_ELIMIT ? nx_error_set(reterr, err, "%s: more than the %llu MiB that a folder may hold", l->path, (unsigned long long)(l->max_bytes >> 20))
                                    : failed(l->path, reterr);
        bytes = nx_buf_view(&l->content);
    } else if (S_ISLNK(st.st_mode)) {
        kind = NX_RT_NODE_LINK;
        ssize_t k = readlinkat(dir, name, target, sizeof target);
        if (k < 0)
            return failed(l->path, reterr);
        bytes = nx_slice_make(target, (size_t)k);
    } else if (!S_ISDIR(st.st_mode)) {
        return NX_OK;
    }
    uint64_t mtime_ns = (uint64_t)st.st_mtim.tv_sec * NX_NS_PER_S + (uint64_t)st.st_mtim.tv_nsec;
    nx_err err = nx_rt_tree_put(l->h->tree, path, kind, bytes, mtime_ns, reterr);
    if (err == NX_OK)
        err = nx_rt_tree_put(l->h->before, path, kind, NX_SLICE_NULL, mtime_ns, reterr);
    if (err != NX_OK || kind != NX_RT_NODE_DIR)
        return err;
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? failed(l->path, reterr) : load_dir(l, fd, n, depth + 1, reterr);
}

/* Closes `dir`. */
static nx_err load_dir(loading *l, int dir, size_t n, unsigned depth, nx_error *reterr)
{
    DIR *list = fdopendir(dir);
    if (!list) {
        nx_err err = failed(l->path, reterr);
        close(dir);
        return err;
    }
    nx_err err = depth > DEPTH_MAX ? nx_error_set(reterr, NX_ELIMIT, "%s: folders are nested more than %d deep", l->path, DEPTH_MAX) : NX_OK;
    for (const struct dirent *e = readdir(list); err == NX_OK && e; e = readdir(list)) {
        size_t k = strlen(e->d_name), at = n ? n + 1 : 0;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (at + k + 1 > sizeof l->path) {
            err = nx_error_set(reterr, NX_ELIMIT, "%s/%s: the path is too long", l->path, e->d_name);
            break;
        }
        if (n)
            l->path[n] = '/';
        memcpy(l->path + at, e->d_name, k + 1);
        err = load_entry(l, dirfd(list), e->d_name, at + k, depth, reterr);
        l->path[n] = '\0';
    }
    closedir(list);
    return err;
}

nx_err nx_cli_host_tree_load(const char *path, uint64_t max_bytes, nx_cli_host_tree *ret, nx_error *reterr)
{
    *ret = (nx_cli_host_tree){.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (ret->fd < 0)
        return failed(path, reterr);
    NX_CLEANUP(nx_buf_done)
    nx_buf content = NX_BUF_INIT(max_bytes);
    loading l = {.h = ret, .max_bytes = max_bytes, .content = content};
    nx_err err = nx_rt_tree_new(max_bytes, &ret->tree);
    if (err == NX_OK)
        err = nx_rt_tree_new(max_bytes, &ret->before);
    int fd = err == NX_OK ? openat(ret->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (err != NX_OK)
        (void)nx_error_set(reterr, err, "out of memory");
    else
        err = fd < 0 ? failed(".", reterr) : load_dir(&l, fd, 0, 0, reterr);
    nx_buf_done(&l.content);
    if (err == NX_OK)
        nx_rt_tree_mark(ret->tree);
    else
        nx_cli_host_tree_done(ret);
    if (err != NX_OK)
        nx_error_prefix(reterr, "%s", path);
    return err;
}

void nx_cli_host_tree_done(nx_cli_host_tree *h)
{
    nx_rt_tree_free(h->tree);
    nx_rt_tree_free(h->before);
    if (h->fd >= 0)
        close(h->fd);
    *h = (nx_cli_host_tree){.fd = -1};
}

/* ---- writing back -------------------------------------------------------------------------------------------------- */

typedef struct storing {
    const nx_cli_host_tree *h;
    nx_error *reterr;
    bool is_pass_of_folders; /* removing: files first, folders when they are empty */
    bool is_left;            /* a folder was not empty yet */
} storing;

/* The folder of a path, opened part by part; *ret_name is the last part. -1: errno. */
static int open_parent(const storing *s, nx_slice path, char name[NX_RT_NAME_BYTES + 1])
{
    int at = dup(s->h->fd);
    nx_slice rest = path;
    for (;;) {
        nx_slice part = nx_slice_split(rest, '/', &rest);
        if (at < 0 || nx_slice_to_cstr(part, name, NX_RT_NAME_BYTES + 1) != NX_OK)
            return at;
        if (!rest.n)
            return at;
        int next = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int saved = errno;
        close(at);
        errno = saved;
        at = next;
    }
}

static nx_err path_failed(const storing *s, nx_slice path)
{
    return nx_error_set(s->reterr, nx_err_from_errno(errno), "%.*s could not be written back: %s", NX_SLICE_FMT(path), strerror(errno));
}

/* Of what was loaded, what is there no more or has become something else. */
static nx_err remove_item(void *self, const nx_rt_tree_item *item)
{
    storing *s = self;
    char name[NX_RT_NAME_BYTES + 1];
    nx_rt_node_kind kind;
    if ((nx_rt_tree_has(s->h->tree, item->path, &kind) && kind == item->kind) || (item->kind == NX_RT_NODE_DIR) != s->is_pass_of_folders)
        return NX_OK;
    int dir = open_parent(s, item->path, name);
    if (dir < 0)
        return errno == ENOENT ? NX_OK : path_failed(s, item->path); /* with its folder */
    int rc = unlinkat(dir, name, item->kind == NX_RT_NODE_DIR ? AT_REMOVEDIR : 0);
    int saved = errno;
    close(dir);
    errno = saved;
    if (rc != 0 && errno == ENOTEMPTY) {
        s->is_left = true;
        return NX_OK;
    }
    return rc == 0 || errno == ENOENT ? NX_OK : path_failed(s, item->path);
}

/* Whole or not at all: a file of another name, which no other command at work on the folder has, takes its place. */
static bool write_file(int dir, const char *name, nx_slice bytes, uint64_t mtime_ns)
{
    char temporary[40];
    uint64_t chance;
    struct stat st;
    nx_random(&chance, sizeof chance);
    snprintf(temporary, sizeof temporary, ".nexus-run.%016llx", (unsigned long long)chance);
    bool was_there = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
    int fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, was_there ? 0600 : 0666);
    bool is_ok = fd >= 0 && (!was_there || fchmod(fd, st.st_mode & 07777) == 0);
    for (size_t at = 0; is_ok && at < bytes.n;) {
        ssize_t k = write(fd, bytes.p + at, bytes.n - at);
        if (k > 0)
            at += (size_t)k;
        else
            is_ok = k < 0 && errno == EINTR;
    }
    const struct timespec time = {.tv_sec = (time_t)(mtime_ns / NX_NS_PER_S), .tv_nsec = (long)(mtime_ns % NX_NS_PER_S)};
    const struct timespec times[2] = {time, time};
    is_ok = is_ok && futimens(fd, times) == 0;
    if (fd >= 0)
        is_ok = close(fd) == 0 && is_ok;
    if (is_ok && renameat(dir, temporary, dir, name) == 0)
        return true;
    int saved = errno;
    if (fd >= 0)
        (void)unlinkat(dir, temporary, 0);
    errno = saved;
    return false;
}

/* Another command may have made it meanwhile. */
static bool make_folder(int dir, const char *name)
{
    struct stat st;
    if (mkdirat(dir, name, 0777) == 0)
        return true;
    if (errno != EEXIST || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    errno = EEXIST;
    return S_ISDIR(st.st_mode);
}

static nx_err store_item(void *self, const nx_rt_tree_item *item)
{
    const storing *s = self;
    char name[NX_RT_NAME_BYTES + 1], target[NX_RT_PATH_BYTES + 1];
    nx_rt_node_kind kind;
    bool was_there = nx_rt_tree_has(s->h->before, item->path, &kind) && kind == item->kind;
    if (was_there && (item->kind == NX_RT_NODE_DIR || !item->is_changed))
        return NX_OK;
    int dir = open_parent(s, item->path, name);
    if (dir < 0)
        return path_failed(s, item->path);
    bool is_ok = false;
    switch (item->kind) {
    case NX_RT_NODE_FILE: is_ok = write_file(dir, name, item->bytes, item->mtime_ns); break;
    case NX_RT_NODE_DIR: is_ok = make_folder(dir, name); break;
    case NX_RT_NODE_LINK:
        is_ok = nx_slice_to_cstr(item->bytes, target, sizeof target) == NX_OK && (unlinkat(dir, name, 0) == 0 || errno == ENOENT) && symlinkat(target, dir, name) == 0;
        break;
    }
    int saved = errno;
    close(dir);
    errno = saved;
    return is_ok ? NX_OK : path_failed(s, item->path);
}

/* Folders that went: each pass takes those that are empty by now. One that others have put something into stays. */
static nx_err remove_folders(storing *s)
{
    nx_err err = NX_OK;
    s->is_pass_of_folders = s->is_left = true;
    for (unsigned pass = 0; err == NX_OK && s->is_left && pass < DEPTH_MAX; pass++) {
        s->is_left = false;
        err = nx_rt_tree_each(s->h->before, remove_item, s);
    }
    return err;
}

nx_err nx_cli_host_tree_store(const nx_cli_host_tree *h, nx_error *reterr)
{
    storing s = {.h = h, .reterr = reterr};
    nx_err err = nx_rt_tree_each(h->before, remove_item, &s);
    if (err == NX_OK)
        err = remove_folders(&s);
    if (err == NX_OK)
        err = nx_rt_tree_each(h->tree, store_item, &s);
    if (err == NX_ELIMIT)
        nx_error_set(reterr, err, "a path of more than %u bytes could not be written back; what comes behind it was not either", NX_RT_PATH_BYTES);
    return err;
}
