/* source_map.c: after a build, the source map that a compiler left beside the module goes into it: a node gets the module only. */
#include "nx/rt_source_map.h"
#include "tools.h"
#include <unistd.h>

#define MODULE_BYTES_MAX (128u << 20)

nx_err nx_cli_source_map_take(const char *code_path, nx_error *reterr)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf module = NX_BUF_INIT(MODULE_BYTES_MAX);
    NX_CLEANUP(nx_buf_done)
    nx_buf map = NX_BUF_INIT(NX_RT_SOURCE_MAP_BYTES_MAX);
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(MODULE_BYTES_MAX);
    char path[NX_CLI_PATH_BYTES];
    const char *slash = strrchr(code_path, '/');
    if (nx_cli_read_file(code_path, &module, NULL) != NX_OK)
        return NX_OK; /* whoever needs the module says what is wrong with it */
    nx_slice name = nx_rt_source_map_url(nx_buf_view(&module));
    if (nx_slice_starts(name, NX_SLICE("./")))
        name = nx_slice_sub(name, 2, name.n);
    /* A file beside the module and nothing else: what a module names is not to be trusted with paths. */
    if (name.n == 0 || memchr(name.p, '/', name.n) || memchr(name.p, ':', name.n) || memchr(name.p, 0, name.n))
        return NX_OK;
    if (snprintf(path, sizeof path, "%.*s%.*s", slash ? (int)(slash - code_path) + 1 : 0, code_path, NX_SLICE_FMT(name)) >= (int)sizeof path)
        return NX_OK;
    if (access(path, F_OK) != 0)
        return NX_OK;
    nx_err e = nx_cli_read_file(path, &map, reterr);
    if (e != NX_OK)
        return e;
    nx_error why = NX_ERROR_INIT;
    e = nx_rt_source_map_embed(nx_buf_view(&module), nx_buf_view(&map), &out, &why);
    if (e != NX_OK)
        return nx_error_set(reterr, e, "%s: %s", path, why.msg);
    return nx_cli_write_file(code_path, nx_buf_view(&out), 0666, reterr);
}
