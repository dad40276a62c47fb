/* source_map.h: from an address in a module to file and line, by the source map that the module carries in its section `sourceMappingURL`.
 * Why:       compilers for the web (AssemblyScript, Binaryen) write source maps in place of DWARF. `nexus build` puts them into the module.
 * Ownership: places are the caller's; what is decoded lies in the arena.
 * Threads:   plain functions. Run in the limited child: the map is untrusted.
 * Source:    Source Map, revision 3 (ECMA-426); for WebAssembly a map has one line, and a column is an offset in the module. */
#ifndef NX_RT_SOURCE_MAP_H
#define NX_RT_SOURCE_MAP_H
#include "dwarf_lines.h"
#include "nx/rt_source_map.h"

/* Gives file and line to places that have none yet. A map that is elsewhere (no data: URL) or damaged gives none; what was found before stays. */
void nx_rt_source_map_find(const nx_rt_facts *f, nx_arena *a, nx_rt_place *places, unsigned n);
/* Appends the section with `map` as a data: URL. */
nx_err nx_rt_source_map_put(nx_slice map, nx_buf *out);
#endif
