/* nx/rt_source_map.h: puts a module's source map into the module, so that whoever has the module can say where a frame of a backtrace stands.
 * Why:       compilers that write source maps leave them in a file beside the module, which no node ever gets.
 * Ownership: nx_rt_source_map_url() lends from the module.
 * Threads:   plain functions.
 * Errors:    NX_EMODULE, NX_EPARSE, NX_ELIMIT, NX_ENOMEM; on failure `out` holds nothing of use. */
#ifndef NX_RT_SOURCE_MAP_EMBED_H
#define NX_RT_SOURCE_MAP_EMBED_H
#include "nx/buf.h"

#define NX_RT_SOURCE_MAP_BYTES_MAX (16u << 20)

/* What the module's section `sourceMappingURL` says; empty where there is none. */
nx_slice nx_rt_source_map_url(nx_slice module);
/* The module without its DWARF and with a source map of the lines in sources below the folder `root`, made from it. On failure `out` holds the
 * module without DWARF; on NX_EMODULE, which also is a module that can't be read, nothing of use. */
nx_err nx_rt_source_map_from_dwarf(nx_slice module, nx_slice root, nx_buf *out, nx_error *reterr);
/* The module with that section replaced by the map's files and mappings as a data: URL. Texts of the sources are left out. The section has to
 * stand behind the code, as compilers put it: addresses stay what they are. */
nx_err nx_rt_source_map_embed(nx_slice module, nx_slice map, nx_buf *out, nx_error *reterr);
#endif
