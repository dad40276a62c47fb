/* dwarf_inlined.c: see dwarf_inlined.h. Entries are read in a row, without their tree: of nested calls the innermost has the smallest range. */
#include "dwarf_inlined.h"

#include <stdlib.h>

#define ABBREVS_MAX 8192u

enum { TAG_INLINED = 0x1d,
       TAG_UNIT = 0x11 };
enum { AT_LINES = 0x10,
       AT_LOW = 0x11,
       AT_HIGH = 0x12,
       AT_FOLDER = 0x1b,
       AT_RANGES = 0x55,
       AT_CALL_FILE = 0x58,
       AT_CALL_LINE = 0x59 };
enum { UNIT_COMPILE = 1 };

typedef struct abbrev {
    uint64_t tag;
    nx_rt_bytes attributes; /* pairs of name and form */
} abbrev;

typedef struct unit {
    const nx_rt_debug *d;
    unsigned version;
    uint8_t address_bytes;
    uint64_t low;
    abbrev *abbrevs; /* by code */
    uint64_t n_abbrevs;
} unit;

typedef struct value {
    nx_slice text;
    uint64_t number;
    uint64_t form;
} value;

typedef struct entry {
    value lines, low, high, folder, ranges, file, line; /* form 0: not there */
} entry;

static unsigned fixed_bytes(const unit *u, uint64_t form)
{
    switch (form) {
    case NX_RT_DW_FORM_ADDR: return u->address_bytes;
    case NX_RT_DW_FORM_DATA1:
    case NX_RT_DW_FORM_FLAG:
    case NX_RT_DW_FORM_REF1:
    case NX_RT_DW_FORM_STRX1:
    case NX_RT_DW_FORM_ADDRX1: return 1;
    case NX_RT_DW_FORM_DATA2:
    case NX_RT_DW_FORM_REF2:
    case NX_RT_DW_FORM_STRX2:
    case NX_RT_DW_FORM_ADDRX2: return 2;
    case NX_RT_DW_FORM_STRX3:
    case NX_RT_DW_FORM_ADDRX3: return 3;
    case NX_RT_DW_FORM_DATA4:
    case NX_RT_DW_FORM_REF4:
    case NX_RT_DW_FORM_SEC_OFFSET:
    case NX_RT_DW_FORM_REF_SUP4:
    case NX_RT_DW_FORM_STRP_SUP:
    case NX_RT_DW_FORM_STRX4:
    case NX_RT_DW_FORM_ADDRX4: return 4;
    case NX_RT_DW_FORM_REF_ADDR: return u->version < 3 ? u->address_bytes : 4;
    case NX_RT_DW_FORM_DATA8:
    case NX_RT_DW_FORM_REF8:
    case NX_RT_DW_FORM_REF_SIG8:
    case NX_RT_DW_FORM_REF_SUP8: return 8;
    case NX_RT_DW_FORM_DATA16: return 16;
    default: return 0;
    }
}

static value get_value(const unit *u, nx_rt_bytes *c, uint64_t form, int64_t implicit)
{
    if (form == NX_RT_DW_FORM_INDIRECT) form = nx_rt_take_uleb(c);
    value v = {.form = form};
    unsigned n = fixed_bytes(u, form);
    if (n) {
        v.number = nx_rt_take_le(c, n);
        return v;
    }
    switch (form) {
    case NX_RT_DW_FORM_FLAG_PRESENT: v.number = 1; break;
    case NX_RT_DW_FORM_IMPLICIT_CONST: v.number = (uint64_t)implicit; break;
    case NX_RT_DW_FORM_SDATA: v.number = (uint64_t)nx_rt_take_sleb(c); break;
    case NX_RT_DW_FORM_UDATA:
    case NX_RT_DW_FORM_REF_UDATA:
    case NX_RT_DW_FORM_STRX:
    case NX_RT_DW_FORM_ADDRX:
    case NX_RT_DW_FORM_LOCLISTX:
    case NX_RT_DW_FORM_RNGLISTX: v.number = nx_rt_take_uleb(c); break;
    case NX_RT_DW_FORM_STRING: v.text = nx_rt_take_cstr(c); break;
    case NX_RT_DW_FORM_STRP: v.text = nx_rt_dw_cstr_at(u->d->lines.debug_str, nx_rt_take_le(c, 4)); break;
    case NX_RT_DW_FORM_LINE_STRP: v.text = nx_rt_dw_cstr_at(u->d->lines.debug_line_str, nx_rt_take_le(c, 4)); break;
    case NX_RT_DW_FORM_BLOCK1: (void)nx_rt_take(c, nx_rt_take_byte(c)); break;
    case NX_RT_DW_FORM_BLOCK2: (void)nx_rt_take(c, nx_rt_take_le(c, 2)); break;
    case NX_RT_DW_FORM_BLOCK4: (void)nx_rt_take(c, nx_rt_take_le(c, 4)); break;
    case NX_RT_DW_FORM_BLOCK:
    case NX_RT_DW_FORM_EXPRLOC: (void)nx_rt_take(c, nx_rt_take_uleb(c)); break;
    default: nx_rt_bytes_fail(c);
    }
    return v;
}

static void read_entry(const unit *u, nx_rt_bytes *c, nx_rt_bytes attributes, entry *ret)
{
    *ret = (entry){0};
    while (!c->is_bad && !attributes.is_bad) {
        uint64_t name = nx_rt_take_uleb(&attributes), form = nx_rt_take_uleb(&attributes);
        int64_t implicit = form == NX_RT_DW_FORM_IMPLICIT_CONST ? nx_rt_take_sleb(&attributes) : 0;
        if (!name && !form) return;
        value v = get_value(u, c, form, implicit);
        switch (name) {
        case AT_LINES: ret->lines = v; break;
        case AT_LOW: ret->low = v; break;
        case AT_HIGH: ret->high = v; break;
        case AT_FOLDER: ret->folder = v; break;
        case AT_RANGES: ret->ranges = v; break;
        case AT_CALL_FILE: ret->file = v; break;
        case AT_CALL_LINE: ret->line = v; break;
        default: break;
        }
    }
}

/* Codes count from 1, one after the other, in what compilers write; one that does not fit ends the unit when it is used. */
static void read_abbrevs(unit *u, uint64_t offset)
{
    nx_rt_bytes c = nx_rt_bytes_at(u->d->abbrev, offset);
    u->n_abbrevs = 1;
    while (!c.is_bad) {
        uint64_t code = nx_rt_take_uleb(&c);
        if (code != u->n_abbrevs || code >= ABBREVS_MAX) return;
        abbrev *a = &u->abbrevs[u->n_abbrevs++];
        a->tag = nx_rt_take_uleb(&c);
        (void)nx_rt_take_byte(&c); /* whether it has children */
        a->attributes = c;
        for (uint64_t name = 1, form = 1; (name || form) && !c.is_bad;) {
            name = nx_rt_take_uleb(&c);
            form = nx_rt_take_uleb(&c);
            if (form == NX_RT_DW_FORM_IMPLICIT_CONST) (void)nx_rt_take_sleb(&c);
        }
    }
}

static void tell_ranges(const unit *u, const entry *e, const nx_rt_debug_told *told)
{
    nx_rt_bytes c = nx_rt_bytes_at(u->d->ranges, e->ranges.number);
    uint64_t base = u->low, all_ones = u->address_bytes == 8 ? UINT64_MAX : UINT32_MAX;
    while (!c.is_bad) {
        uint64_t begin = nx_rt_take_le(&c, u->address_bytes), end = nx_rt_take_le(&c, u->address_bytes);
        if (!begin && !end) return;
        if (begin == all_ones) base = end;
        else if (begin < end) told->on_call(told->self, base + begin, base + end, e->file.number, e->line.number);
    }
}

static void tell_call(const unit *u, const entry *e, const nx_rt_debug_told *told)
{
    if (!e->file.form || !e->line.form) return;
    if (e->ranges.form) {
        if (u->version < 5) tell_ranges(u, e, told);
        return;
    }
    if (e->low.form != NX_RT_DW_FORM_ADDR || !e->high.form) return;
    uint64_t end = e->high.form == NX_RT_DW_FORM_ADDR ? e->high.number : e->low.number + e->high.number;
    if (e->low.number < end) told->on_call(told->self, e->low.number, end, e->file.number, e->line.number);
}

static void read_entries(unit *u, nx_rt_bytes c, const nx_rt_debug_told *told)
{
    bool is_wanted = false;
    for (bool is_first = true; c.p < c.end && !c.is_bad; is_first = false) {
        uint64_t code = nx_rt_take_uleb(&c);
        entry e;
        if (code == 0 && !is_first) continue;
        if (code == 0 || code >= u->n_abbrevs) break;
        read_entry(u, &c, u->abbrevs[code].attributes, &e);
        if (c.is_bad) break;
        if (is_first) {
            u->low = e.low.form == NX_RT_DW_FORM_ADDR ? e.low.number : 0;
            is_wanted = u->abbrevs[code].tag == TAG_UNIT && e.lines.form && told->on_unit(told->self, e.folder.text, e.lines.number);
            if (!is_wanted) return;
        } else if (u->abbrevs[code].tag == TAG_INLINED) {
            tell_call(u, &e, told);
        }
    }
    if (is_wanted) told->on_unit_end(told->self);
}

/* `c` holds the unit alone. */
static void read_unit(unit *u, nx_rt_bytes c, const nx_rt_debug_told *told)
{
    uint64_t abbrevs = 0;
    u->version = (unsigned)nx_rt_take_le(&c, 2);
    if (u->version < 2 || u->version > 5) return;
    if (u->version == 5) {
        if (nx_rt_take_byte(&c) != UNIT_COMPILE) return;
        u->address_bytes = nx_rt_take_byte(&c);
        abbrevs = nx_rt_take_le(&c, 4);
    } else {
        abbrevs = nx_rt_take_le(&c, 4);
        u->address_bytes = nx_rt_take_byte(&c);
    }
    if (c.is_bad || (u->address_bytes != 4 && u->address_bytes != 8)) return;
    read_abbrevs(u, abbrevs);
    read_entries(u, c, told);
}

nx_err nx_rt_inlined_each(const nx_rt_debug *d, const nx_rt_debug_told *told)
{
    unit u = {.d = d, .abbrevs = calloc(ABBREVS_MAX, sizeof *u.abbrevs)};
    if (!u.abbrevs) return NX_ENOMEM;
    nx_rt_bytes c = nx_rt_bytes_at(d->info, 0);
    while (!c.is_bad && c.p < c.end) {
        uint64_t bytes = nx_rt_take_le(&c, 4);
        nx_slice whole = nx_rt_take(&c, bytes);
        if (!c.is_bad) read_unit(&u, nx_rt_bytes_of(whole), told);
    }
    free(u.abbrevs);
    return NX_OK;
}
