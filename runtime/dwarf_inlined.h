/* dwarf_inlined.h: where calls were inlined, by the units of .debug_info: a line table says only where inlined code was written.
 * Ownership: everything lends from the module.
 * Threads:   plain functions.
 * Errors:    a damaged unit ends there; what was told before stays.
 * Source:    DWARF 5, sections 3.1.1, 3.3.8 and 7.5; versions 2 to 5, the 32-bit format. Addresses by index and range lists of version 5 are
 *            passed over. */
#ifndef NX_RT_DWARF_INLINED_H
#define NX_RT_DWARF_INLINED_H
#include "dwarf_read.h"

typedef struct nx_rt_debug {
    nx_rt_facts lines; /* its .debug_ slices alone */
    nx_slice info, abbrev, ranges;
} nx_rt_debug;

typedef struct nx_rt_debug_told {
    /* A unit that was compiled in `folder`, with its line table at `lines`. False: its calls are not wanted. */
    bool (*on_unit)(void *self, nx_slice folder, uint64_t lines);
    /* [begin, end) of the code section was inlined there, by `line` of file `file` of the unit's line table. */
    void (*on_call)(void *self, uint64_t begin, uint64_t end, uint64_t file, uint64_t line);
    void (*on_unit_end)(void *self); /* of a wanted one */
    void *self;
} nx_rt_debug_told;

/* NX_ENOMEM. */
nx_err nx_rt_inlined_each(const nx_rt_debug *d, const nx_rt_debug_told *told);
#endif
