/* own_files.c: an artifact's own files while its program is mapped: a sealed entry of the cache, mapped and lent to a read-only tree.
 * The entry holds the digest of the code that they belong to, then the artifact's section of files. No run opens a path. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nx/rt_artifact.h"
#include "rt_internal.h"

static void entry_name(const nx_sha256 *artifact, char out[NX_RT_CACHE_NAME_BYTES])
{
    nx_sha256_hex(artifact, out);
    (void)snprintf(out + NX_SHA256_HEX, NX_RT_CACHE_NAME_BYTES - NX_SHA256_HEX, "-files");
}

static nx_err make_tree(nx_rt_own_files *o, nx_slice files, nx_error *reterr)
{
    nx_err err = nx_rt_artifact_files(files, &o->tree, reterr);
    if (err) nx_rt_own_files_close(o);
    return err;
}

nx_err nx_rt_own_files_open(int dir_fd, const nx_sha256 *artifact, bool is_verified, nx_rt_own_files *ret, nx_sha256 *ret_code, nx_error *reterr)
{
    char name[NX_RT_CACHE_NAME_BYTES];
    struct stat st;
    int fd;
    entry_name(artifact, name);
    nx_err err = nx_rt_cache_take(dir_fd, name, is_verified, &fd);
    if (err) return nx_error_set(reterr, err, "no compiled code for this module in the cache");
    if (fstat(fd, &st) != 0 || (uint64_t)st.st_size <= NX_RT_CACHE_SEAL_BYTES + sizeof ret_code->b) {
        (void)close(fd);
        nx_rt_cache_remove(dir_fd, name);
        return nx_error_set(reterr, NX_ENOENT, "no compiled code for this module in the cache");
    }
    nx_rt_own_files o = {.map_bytes = (size_t)st.st_size};
    o.map = mmap(NULL, o.map_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    int saved = errno;
    (void)close(fd);
    if (o.map == MAP_FAILED) return nx_error_set(reterr, nx_err_from_errno(saved), "the module's files can't be mapped: %s", strerror(saved));
    memcpy(ret_code->b, o.map, sizeof ret_code->b);
    err = make_tree(&o, nx_slice_make((const char *)o.map + sizeof ret_code->b, o.map_bytes - sizeof ret_code->b - NX_RT_CACHE_SEAL_BYTES), reterr);
    if (!err) *ret = o;
    return err;
}

nx_err nx_rt_own_files_store(int dir_fd, const nx_sha256 *artifact, const nx_sha256 *code, nx_slice files, nx_error *reterr)
{
    char name[NX_RT_CACHE_NAME_BYTES], temp[NX_RT_CACHE_NAME_BYTES];
    NX_CLEANUP(nx_buf_done)
    nx_buf entry = NX_BUF_INIT(NX_RT_FILES_BYTES_MAX + sizeof code->b);
    int fd;
    nx_err err = nx_buf_append(&entry, code->b, sizeof code->b);
    if (!err) err = nx_buf_append_slice(&entry, files);
    if (err) return nx_error_set(reterr, err, "the module's files: %s", nx_err_text(err));
    err = nx_rt_cache_temp(dir_fd, temp, &fd, reterr);
    if (err) return err;
    err = nx_rt_cache_seal(fd, nx_buf_view(&entry), NULL);
    (void)close(fd);
    if (err) {
        nx_rt_cache_remove(dir_fd, temp);
        return nx_error_set(reterr, err, "cache of compiled code: %s", nx_err_text(err));
    }
    entry_name(artifact, name);
    return nx_rt_cache_publish(dir_fd, temp, name, reterr);
}

nx_err nx_rt_own_files_copy(nx_rt_own_files *ret, nx_slice files, nx_error *reterr)
{
    nx_rt_own_files o = {.map_bytes = files.n};
    o.map = mmap(NULL, files.n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (o.map == MAP_FAILED) return nx_error_set(reterr, NX_ENOMEM, "out of memory for the module's files");
    memcpy(o.map, files.p, files.n);
    nx_err err = make_tree(&o, nx_slice_make(o.map, files.n), reterr);
    if (!err) *ret = o;
    return err;
}

void nx_rt_own_files_close(nx_rt_own_files *o)
{
    nx_rt_tree_free(o->tree);
    if (o->map) (void)munmap(o->map, o->map_bytes);
    *o = (nx_rt_own_files){0};
}
