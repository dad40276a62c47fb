/* dwarf_lines.h: from an address in a module's code to file and line, by the DWARF line tables that a debug build carries.
 * Ownership: places are the caller's.
 * Threads:   plain functions. Run in the limited child: the tables are untrusted.
 * Source:    DWARF 5, section 6.2; versions 2 to 5, the 32-bit format. */
#ifndef NX_RT_DWARF_LINES_H
#define NX_RT_DWARF_LINES_H
#include "module.h"

#define NX_RT_PLACE_FILE_BYTES 256u

typedef struct nx_rt_place {
    uint64_t address; /* in: offset in the code section */
    uint64_t line;    /* out: from 1; 0: not found */
    uint64_t span;    /* bytes of the row it was found in; a narrower one wins */
    char file[NX_RT_PLACE_FILE_BYTES];
} nx_rt_place;

/* Damaged tables end the search; what was found before stays. */
void nx_rt_lines_find(const nx_rt_facts *f, nx_rt_place *places, unsigned n);
#endif
