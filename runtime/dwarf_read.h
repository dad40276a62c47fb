/* dwarf_read.h: the forms of values in DWARF sections, and the line tables of one unit.
 * Ownership: everything lends from the module.
 * Threads:   plain functions.
 * Errors:    false: damaged, or of another version; rows are told as far as they can be read.
 * Source:    DWARF 5, sections 6.2 and 7.5; versions 2 to 5, the 32-bit format. */
#ifndef NX_RT_DWARF_READ_H
#define NX_RT_DWARF_READ_H
#include "bytes.h"
#include "module.h"

/* A text of a section of texts; none where that is damaged. */
static inline nx_slice nx_rt_dw_cstr_at(nx_slice table, uint64_t offset)
{
    nx_rt_bytes c = nx_rt_bytes_at(table, offset);
    return nx_rt_take_cstr(&c);
}

/* How a value is written; section 7.5.6. */
enum { NX_RT_DW_FORM_ADDR = 0x01,
       NX_RT_DW_FORM_BLOCK2 = 0x03,
       NX_RT_DW_FORM_BLOCK4,
       NX_RT_DW_FORM_DATA2,
       NX_RT_DW_FORM_DATA4,
       NX_RT_DW_FORM_DATA8,
       NX_RT_DW_FORM_STRING,
       NX_RT_DW_FORM_BLOCK,
       NX_RT_DW_FORM_BLOCK1,
       NX_RT_DW_FORM_DATA1,
       NX_RT_DW_FORM_FLAG,
       NX_RT_DW_FORM_SDATA,
       NX_RT_DW_FORM_STRP,
       NX_RT_DW_FORM_UDATA,
       NX_RT_DW_FORM_REF_ADDR,
       NX_RT_DW_FORM_REF1,
       NX_RT_DW_FORM_REF2,
       NX_RT_DW_FORM_REF4,
       NX_RT_DW_FORM_REF8,
       NX_RT_DW_FORM_REF_UDATA,
       NX_RT_DW_FORM_INDIRECT,
       NX_RT_DW_FORM_SEC_OFFSET,
       NX_RT_DW_FORM_EXPRLOC,
       NX_RT_DW_FORM_FLAG_PRESENT,
       NX_RT_DW_FORM_STRX,
       NX_RT_DW_FORM_ADDRX,
       NX_RT_DW_FORM_REF_SUP4,
       NX_RT_DW_FORM_STRP_SUP,
       NX_RT_DW_FORM_DATA16,
       NX_RT_DW_FORM_LINE_STRP,
       NX_RT_DW_FORM_REF_SIG8,
       NX_RT_DW_FORM_IMPLICIT_CONST,
       NX_RT_DW_FORM_LOCLISTX,
       NX_RT_DW_FORM_RNGLISTX,
       NX_RT_DW_FORM_REF_SUP8,
       NX_RT_DW_FORM_STRX1,
       NX_RT_DW_FORM_STRX2,
       NX_RT_DW_FORM_STRX3,
       NX_RT_DW_FORM_STRX4,
       NX_RT_DW_FORM_ADDRX1,
       NX_RT_DW_FORM_ADDRX2,
       NX_RT_DW_FORM_ADDRX3,
       NX_RT_DW_FORM_ADDRX4 };

/* ---- dwarf_lines.c: the line table of one unit */

typedef struct nx_rt_line_unit {
    const nx_rt_facts *facts;
    unsigned version;
    uint8_t min_length, line_range, opcode_base;
    int8_t line_base;
    const uint8_t *lengths; /* of the standard opcodes */
    nx_rt_bytes names;      /* directories and files */
    nx_rt_bytes program;
} nx_rt_line_unit;

/* [address, end) of the code section belongs to `line` of file `file`; line 0: to none. */
typedef struct nx_rt_line_row {
    uint64_t address, end, file, line;
} nx_rt_line_row;

/* The unit that begins at `offset` of .debug_line. */
bool nx_rt_line_unit_at(const nx_rt_facts *f, uint64_t offset, nx_rt_line_unit *ret);
void nx_rt_line_unit_rows(const nx_rt_line_unit *u, void (*on_row)(void *self, const nx_rt_line_unit *u, const nx_rt_line_row *row), void *self);
/* As the compiler was given it: what is not absolute is below the unit's own folder. */
void nx_rt_line_unit_file(const nx_rt_line_unit *u, uint64_t file, char *out, size_t out_bytes);
#endif
