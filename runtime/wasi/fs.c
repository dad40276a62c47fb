/* wasi/fs.c: the trees an attempt sees and its descriptors beyond the streams. A guest that never touches a file costs nothing here. */
#include "wasi/files.h"

#include <stdlib.h>

#define OPEN_MAX 1024u
#define TOP_BYTES (2u << 20) /* the folder "/" itself: names of what stands in it */

typedef struct nx_rt_fs {
    nx_rt_tree *top, *scratch; /* "/" (read-only) and "/tmp" of a function; NULL where the attempt brings its own trees */
    nx_rt_open *open;          /* descriptors from 3 on */
    uint32_t n_open, capacity;
} nx_rt_fs;

static bool has_root(const nx_rt_world *w) { return w->files || w->attempt->scratch_bytes; }

nx_slice nx_rt_preopened_at(const nx_rt_world *w, uint64_t fd)
{
    const nx_attempt *a = w->attempt;
    if (fd < NX_RT_STREAMS) return NX_SLICE_NULL;
    uint64_t i = fd - NX_RT_STREAMS;
    if (a->n_preopens) return i < a->n_preopens ? a->preopens[i].name : NX_SLICE_NULL;
    return i == 0 && has_root(w) ? NX_SLICE("/") : NX_SLICE_NULL;
}

/* "/" with the function's own files and "/tmp". */
static uint8_t make_root(nx_rt_fs *fs, const nx_rt_world *w)
{
    const nx_attempt *a = w->attempt;
    uint8_t err = 0;
    if (nx_rt_tree_new(TOP_BYTES, &fs->top)) return NX_WASI_ENOMEM;
    for (uint32_t i = 0; w->files && i < w->files->root->n_entries && !err; i++) {
        const nx_rt_entry *e = &w->files->root->entries[i];
        err = nx_rt_dir_add(fs->top->root, nx_slice_make(e->name, e->name_n), e->node, w->now_ns);
    }
    if (!err && a->scratch_bytes) {
        if (nx_rt_tree_new(a->scratch_bytes, &fs->scratch)) return NX_WASI_ENOMEM;
        fs->scratch->root->atime_ns = fs->scratch->root->mtime_ns = fs->scratch->root->ctime_ns = a->start_wall_ns;
        err = nx_rt_dir_add(fs->top->root, NX_SLICE("tmp"), fs->scratch->root, a->start_wall_ns);
    }
    fs->top->root->atime_ns = fs->top->root->mtime_ns = fs->top->root->ctime_ns = a->start_wall_ns;
    nx_rt_tree_freeze(fs->top);
    return err;
}

/* The lowest free place; nothing is in it yet. */
static uint8_t reserve(nx_rt_fs *fs, uint32_t *ret_i)
{
    uint32_t i = 0;
    while (i < fs->n_open && fs->open[i].kind != NX_RT_FD_CLOSED) i++;
    if (i == OPEN_MAX) return NX_WASI_EMFILE;
    if (i == fs->capacity) {
        uint32_t capacity = fs->capacity ? fs->capacity * 2 : 8;
        nx_rt_open *grown = realloc(fs->open, capacity * sizeof *grown);
        if (!grown) return NX_WASI_ENOMEM;
        fs->open = grown;
        fs->capacity = capacity;
    }
    *ret_i = i;
    return 0;
}

static uint8_t open_add(nx_rt_fs *fs, const nx_rt_open *o, uint32_t *ret_fd)
{
    uint32_t i = 0;
    uint8_t err = reserve(fs, &i);
    if (err) return err;
    if (i == fs->n_open) fs->n_open++;
    fs->open[i] = *o;
    nx_rt_node_open(o->node);
    *ret_fd = NX_RT_STREAMS + i;
    return 0;
}

/* NULL: out of memory. */
static nx_rt_fs *fs_of(nx_rt_world *w)
{
    const nx_attempt *a = w->attempt;
    nx_rt_scratch *s = w->scratch;
    if (w->fs) return w->fs;
    if (!s->fs && !(s->fs = calloc(1, sizeof *s->fs))) return NULL;
    w->fs = s->fs;
    uint8_t err = !a->n_preopens && has_root(w) ? make_root(w->fs, w) : 0;
    for (uint32_t i = 0; !err; i++) {
        nx_slice name = nx_rt_preopened_at(w, NX_RT_STREAMS + i);
        if (!name.n) break;
        nx_rt_node *root = a->n_preopens ? a->preopens[i].tree->root : w->fs->top->root;
        if (a->n_preopens) root->tree->device = i;
        const nx_rt_open o = {NX_RT_FD_DIR, 0, NX_RT_RIGHTS_DIR, NX_RT_RIGHTS_ALL, root, 0, name};
        uint32_t fd;
        err = open_add(w->fs, &o, &fd);
    }
    if (!err) return w->fs;
    w->end = NX_RT_END_NOMEM;
    return NULL;
}

nx_rt_open *nx_rt_open_at(nx_rt_world *w, uint64_t fd)
{
    nx_rt_open *o = NULL;
    if (fd < NX_RT_STREAMS) {
        o = &w->streams[fd];
    } else if (w->fs || nx_rt_preopened_at(w, fd).n) {
        const nx_rt_fs *fs = fs_of(w);
        if (fs && fd - NX_RT_STREAMS < fs->n_open) o = &fs->open[fd - NX_RT_STREAMS];
    }
    return o && o->kind != NX_RT_FD_CLOSED ? o : NULL;
}

nx_rt_fd nx_rt_kind_at(nx_rt_world *w, uint64_t fd)
{
    const nx_rt_open *o = nx_rt_open_at(w, fd);
    return o ? o->kind : NX_RT_FD_CLOSED;
}

uint8_t nx_rt_open_reserve(const nx_rt_world *w)
{
    uint32_t i;
    return reserve(w->fs, &i);
}

uint8_t nx_rt_open_add(nx_rt_world *w, const nx_rt_open *o, uint32_t *ret_fd) { return open_add(w->fs, o, ret_fd); }

void nx_rt_open_close(nx_rt_open *o)
{
    if (o->node) nx_rt_node_close(o->node);
    *o = (nx_rt_open){.kind = NX_RT_FD_CLOSED};
}

void nx_rt_fs_end(nx_rt_world *w)
{
    nx_rt_fs *fs = w->fs;
    for (uint32_t i = 0; i < NX_RT_STREAMS; i++) nx_rt_open_close(&w->streams[i]); /* a file may have been renumbered to one */
    for (uint32_t i = 0; i < fs->n_open; i++) nx_rt_open_close(&fs->open[i]);
    nx_rt_tree_free(fs->top);
    nx_rt_tree_free(fs->scratch);
    fs->top = fs->scratch = NULL;
    fs->n_open = 0;
    w->fs = NULL;
}

void nx_rt_fs_free(nx_rt_fs *fs)
{
    if (!fs) return;
    free(fs->open);
    free(fs);
}
