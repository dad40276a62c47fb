/* artifact.c: taking an artifact apart, and putting one together: module, section of init (the name of an export), section of files.
 * The section of files: the format's number (1), then for each entry by path: kind (0 file, 1 folder, 2 link), length of the path and of the
 * content (LEB128), path, content (a link's target). Folders that hold something need no entry of their own, and have one all the same. */
#include "nx/rt_artifact.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"

#define FORMAT 1u
/* What a tree counts for each entry beside names and contents; never the limit itself. */
#define TREE_BYTES_MAX (NX_RT_FILES_BYTES_MAX + (uint64_t)NX_RT_FILES_MAX * 2u * (NX_RT_NODE_BYTES + NX_RT_NAME_BYTES))

/* ---- reading */

nx_err nx_rt_artifact_split(nx_slice bytes, nx_rt_artifact *ret, nx_error *reterr)
{
    *ret = (nx_rt_artifact){.code = bytes, .module = bytes};
    const char *last = NULL; /* of our own sections, which are behind all others and in this order */
    nx_rt_bytes rest = nx_rt_sections_of(bytes);
    for (;;) {
        size_t at = bytes.n - nx_rt_bytes_left(&rest).n;
        uint8_t id;
        nx_slice body;
        if (!nx_rt_take_section(&rest, &id, &body)) return NX_OK; /* the end, or no module: whoever reads it says so */
        nx_rt_bytes in = nx_rt_bytes_of(body);
        nx_slice name = id == NX_RT_SEC_CUSTOM ? nx_rt_take_sized(&in) : NX_SLICE_NULL;
        if (in.is_bad) return NX_OK;
        bool is_init = nx_slice_eq_cstr(name, NX_RT_INIT_SECTION), is_files = nx_slice_eq_cstr(name, NX_RT_FILES_SECTION);
        if (last && (!is_files || strcmp(last, NX_RT_FILES_SECTION) == 0))
            return nx_error_set(reterr, NX_EMODULE, "the section %s has to be the last one; %zu bytes follow it", last, bytes.n - at);
        if (!is_init && !is_files) continue;
        if (!last) ret->module = nx_slice_make(bytes.p, at);
        if (is_init) ret->init = nx_rt_bytes_left(&in);
        else ret->code = nx_slice_make(bytes.p, at);
        if (is_files) ret->files = nx_rt_bytes_left(&in);
        last = is_init ? NX_RT_INIT_SECTION : NX_RT_FILES_SECTION;
    }
}

static nx_err damaged(nx_error *reterr) { return nx_error_set(reterr, NX_EMODULE, "the section " NX_RT_FILES_SECTION " is damaged"); }

static nx_err put_entry(nx_rt_tree *t, uint8_t kind, nx_slice path, nx_slice content, nx_error *reterr)
{
    nx_err err;
    switch (kind) {
    case NX_RT_NODE_FILE: err = nx_rt_tree_put_lent(t, path, content, 0, reterr); break;
    case NX_RT_NODE_DIR: err = nx_rt_tree_put(t, path, NX_RT_NODE_DIR, NX_SLICE_NULL, 0, reterr); break;
    case NX_RT_NODE_LINK: err = nx_rt_tree_put(t, path, NX_RT_NODE_LINK, content, 0, reterr); break;
    default: return damaged(reterr);
    }
    return err == NX_EINVAL || err == NX_EEXIST ? damaged(reterr) : err;
}

nx_err nx_rt_artifact_files(nx_slice files, nx_rt_tree **ret, nx_error *reterr)
{
    nx_rt_tree *t = NULL;
    if (files.n > NX_RT_FILES_BYTES_MAX) return nx_error_set(reterr, NX_ELIMIT, "the files have %zu bytes; at most %u are allowed", files.n, NX_RT_FILES_BYTES_MAX);
    nx_rt_bytes rest = nx_rt_bytes_of(files);
    if (nx_rt_take_byte(&rest) != FORMAT) return damaged(reterr);
    nx_err err = nx_rt_tree_new(TREE_BYTES_MAX, &t);
    if (err) return nx_error_set(reterr, err, "out of memory for the module's files");
    for (unsigned n = 0; rest.p < rest.end && !err; n++) {
        uint8_t kind = nx_rt_take_byte(&rest);
        uint32_t path_bytes = nx_rt_take_u32(&rest), content_bytes = nx_rt_take_u32(&rest);
        nx_slice path = nx_rt_take(&rest, path_bytes), content = nx_rt_take(&rest, content_bytes);
        if (rest.is_bad)
            err = damaged(reterr);
        else if (n == NX_RT_FILES_MAX)
            err = nx_error_set(reterr, NX_ELIMIT, "more than %u files", NX_RT_FILES_MAX);
        else
            err = put_entry(t, kind, path, content, reterr);
    }
    nx_rt_node_kind kind;
    if (!err && nx_rt_tree_has(t, NX_SLICE("tmp"), &kind)) err = nx_error_set(reterr, NX_EMODULE, "the files may not have a \"tmp\": /tmp is the scratch");
    if (err) {
        nx_rt_tree_free(t);
        return err;
    }
    nx_rt_tree_freeze(t);
    *ret = t;
    return NX_OK;
}

/* ---- writing */

typedef struct entry {
    char *path;
    size_t path_bytes;
    nx_slice content;
    nx_rt_node_kind kind;
} entry;

typedef struct listing {
    entry *v;
    unsigned n, capacity;
    size_t bytes;
    nx_error *reterr;
} listing;

static nx_err add(void *self, const nx_rt_tree_item *item)
{
    listing *l = self;
    if (l->n == NX_RT_FILES_MAX) return nx_error_set(l->reterr, NX_ELIMIT, "more than %u files and folders", NX_RT_FILES_MAX);
    if (l->n == l->capacity) {
        unsigned capacity = l->capacity ? l->capacity * 2 : 64;
        entry *grown = realloc(l->v, capacity * sizeof *grown);
        if (!grown) return NX_ENOMEM;
        l->v = grown;
        l->capacity = capacity;
    }
    entry *e = &l->v[l->n];
    *e = (entry){malloc(item->path.n + 1), item->path.n, item->bytes, item->kind};
    if (!e->path) return NX_ENOMEM;
    memcpy(e->path, item->path.p, item->path.n);
    l->n++;
    l->bytes += 1 + 2u * NX_RT_LEB_BYTES + item->path.n + item->bytes.n;
    if (l->bytes <= NX_RT_FILES_BYTES_MAX - 1) return NX_OK;
    return nx_error_set(l->reterr, NX_ELIMIT, "the files come to more than %u MiB", NX_RT_FILES_BYTES_MAX >> 20);
}

static int by_path(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    size_t n = x->path_bytes < y->path_bytes ? x->path_bytes : y->path_bytes;
    int order = memcmp(x->path, y->path, n);
    return order ? order : (x->path_bytes > y->path_bytes) - (x->path_bytes < y->path_bytes);
}

static nx_err put_all(const listing *l, nx_buf *body)
{
    nx_err err = nx_rt_put_uleb(body, sizeof NX_RT_FILES_SECTION - 1);
    if (!err) err = nx_buf_append_cstr(body, NX_RT_FILES_SECTION);
    if (!err) err = nx_buf_append_char(body, FORMAT);
    for (unsigned i = 0; i < l->n && !err; i++) {
        const entry *e = &l->v[i];
        err = nx_buf_append_char(body, (char)e->kind);
        if (!err) err = nx_rt_put_uleb(body, e->path_bytes);
        if (!err) err = nx_rt_put_uleb(body, e->content.n);
        if (!err) err = nx_buf_append(body, e->path, e->path_bytes);
        if (!err) err = nx_buf_append_slice(body, e->content);
    }
    return err;
}

static nx_err put_section(const listing *l, nx_buf *out)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf body = NX_BUF_INIT(NX_RT_FILES_BYTES_MAX + sizeof NX_RT_FILES_SECTION + NX_RT_LEB_BYTES);
    nx_err err = put_all(l, &body);
    if (!err) err = nx_buf_append_char(out, 0);
    if (!err) err = nx_rt_put_uleb(out, body.n);
    if (!err) err = nx_buf_append_slice(out, nx_buf_view(&body));
    return err;
}

static nx_err put_init(nx_slice init, nx_buf *out)
{
    nx_err err = nx_buf_append_char(out, 0);
    if (!err) err = nx_rt_put_uleb(out, 1 + sizeof NX_RT_INIT_SECTION - 1 + init.n);
    if (!err) err = nx_rt_put_uleb(out, sizeof NX_RT_INIT_SECTION - 1);
    if (!err) err = nx_buf_append_cstr(out, NX_RT_INIT_SECTION);
    return err ? err : nx_buf_append_slice(out, init);
}

nx_err nx_rt_artifact_join(nx_slice module, nx_slice init, const nx_rt_tree *files, nx_buf *out, nx_error *reterr)
{
    listing l = {.reterr = reterr};
    nx_err err = files ? nx_rt_tree_each(files, add, &l) : NX_OK;
    size_t start = out->n;
    if (!err) {
        if (l.n) qsort(l.v, l.n, sizeof *l.v, by_path);
        err = nx_buf_append_slice(out, module);
        if (!err && init.n) err = put_init(init, out);
        if (!err && l.n) err = put_section(&l, out);
        if (err) (void)nx_error_set(reterr, err, "module and files together come to more than %zu MiB", out->max >> 20);
    }
    for (unsigned i = 0; i < l.n; i++) free(l.v[i].path);
    free(l.v);
    if (err) out->n = start;
    return err;
}
