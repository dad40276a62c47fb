/* dwarf_lines.c: runs the line-number programs of a module and notes the rows that hold the addresses looked for. */
#include "dwarf_lines.h"
#include "dwarf_read.h"

#include <stdio.h>

/* ---- names of files: kept as a place in the header and read again for the few rows that matter */

enum { CONTENT_PATH = 1,
       CONTENT_DIRECTORY = 2 };

typedef struct name_entry {
    nx_slice path;
    uint64_t directory;
} name_entry;

/* A value in some form; text or number. */
static void get_form(const nx_rt_line_unit *u, nx_rt_bytes *c, uint64_t form, nx_slice *ret_text, uint64_t *ret_number)
{
    *ret_text = NX_SLICE_NULL;
    *ret_number = 0;
    switch (form) {
    case NX_RT_DW_FORM_STRING: *ret_text = nx_rt_take_cstr(c); break;
    case NX_RT_DW_FORM_LINE_STRP: *ret_text = nx_rt_dw_cstr_at(u->facts->debug_line_str, nx_rt_take_le(c, 4)); break;
    case NX_RT_DW_FORM_STRP: *ret_text = nx_rt_dw_cstr_at(u->facts->debug_str, nx_rt_take_le(c, 4)); break;
    case NX_RT_DW_FORM_UDATA: *ret_number = nx_rt_take_uleb(c); break;
    case NX_RT_DW_FORM_DATA1: *ret_number = nx_rt_take_byte(c); break;
    case NX_RT_DW_FORM_DATA2: *ret_number = nx_rt_take_le(c, 2); break;
    case NX_RT_DW_FORM_DATA4: *ret_number = nx_rt_take_le(c, 4); break;
    case NX_RT_DW_FORM_DATA8: *ret_number = nx_rt_take_le(c, 8); break;
    case NX_RT_DW_FORM_DATA16: (void)nx_rt_take_le(c, 16); break;
    case NX_RT_DW_FORM_BLOCK: {
        uint64_t n = nx_rt_take_uleb(c);
        (void)nx_rt_take(c, n);
        break;
    }
    default: nx_rt_bytes_fail(c);
    }
}

/* One table of version 5: entry `want` of it. Leaves the cursor behind the table. */
static name_entry get_entry_v5(const nx_rt_line_unit *u, nx_rt_bytes *c, uint64_t want)
{
    nx_rt_bytes formats = *c;
    uint8_t n_formats = nx_rt_take_byte(c);
    for (unsigned i = 0; i < n_formats; i++) {
        (void)nx_rt_take_uleb(c);
        (void)nx_rt_take_uleb(c);
    }
    uint64_t n = nx_rt_take_uleb(c);
    name_entry found = {NX_SLICE_NULL, 0};
    if (n_formats == 0) return found; /* entries of no bytes: there is nothing to read */
    for (uint64_t i = 0; i < n && !c->is_bad; i++) {
        nx_rt_bytes f = formats;
        (void)nx_rt_take_byte(&f);
        for (unsigned k = 0; k < n_formats; k++) {
            uint64_t content = nx_rt_take_uleb(&f), form = nx_rt_take_uleb(&f), number;
            nx_slice text;
            get_form(u, c, form, &text, &number);
            if (i == want && content == CONTENT_PATH) found.path = text;
            if (i == want && content == CONTENT_DIRECTORY) found.directory = number;
        }
    }
    return found;
}

/* Version 2 to 4: files count from 1; directory 0 is the compiler's own. */
static name_entry file_v4(nx_rt_bytes *c, uint64_t want)
{
    name_entry found = {NX_SLICE_NULL, 0};
    for (uint64_t i = 1; !c->is_bad; i++) {
        nx_slice path = nx_rt_take_cstr(c);
        if (path.n == 0) break;
        uint64_t directory = nx_rt_take_uleb(c);
        (void)nx_rt_take_uleb(c);
        (void)nx_rt_take_uleb(c);
        if (i == want) found = (name_entry){path, directory};
    }
    return found;
}

static nx_slice directory_v4(nx_rt_bytes *c, uint64_t want)
{
    nx_slice found = NX_SLICE_NULL;
    for (uint64_t i = 1; !c->is_bad; i++) {
        nx_slice path = nx_rt_take_cstr(c);
        if (path.n == 0) break;
        if (i == want) found = path;
    }
    return found;
}

void nx_rt_line_unit_file(const nx_rt_line_unit *u, uint64_t file, char *out, size_t out_bytes)
{
    nx_rt_bytes c = u->names, again = u->names;
    name_entry f;
    nx_slice directory;
    if (u->version >= 5) {
        (void)get_entry_v5(u, &c, 0);
        f = get_entry_v5(u, &c, file);
        directory = get_entry_v5(u, &again, f.directory).path;
    } else {
        (void)directory_v4(&c, 0);
        f = file_v4(&c, file);
        directory = directory_v4(&again, f.directory);
    }
    bool is_absolute = f.path.n && f.path.p[0] == '/';
    if (is_absolute || directory.n == 0) (void)snprintf(out, out_bytes, "%.*s", NX_SLICE_FMT(f.path));
    else (void)snprintf(out, out_bytes, "%.*s/%.*s", NX_SLICE_FMT(directory), NX_SLICE_FMT(f.path));
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f) *p = '?';
}

/* ---- the program */

enum { OP_COPY = 1,
       OP_ADVANCE_PC,
       OP_ADVANCE_LINE,
       OP_SET_FILE,
       OP_SET_COLUMN,
       OP_NEGATE_STMT,
       OP_BASIC_BLOCK,
       OP_CONST_ADD_PC,
       OP_FIXED_ADVANCE_PC };
enum { EXT_END_SEQUENCE = 1,
       EXT_SET_ADDRESS = 2 };

typedef struct machine {
    const nx_rt_line_unit *u;
    void (*on_row)(void *self, const nx_rt_line_unit *u, const nx_rt_line_row *row);
    void *self;
    nx_rt_line_row now, before; /* before: the last row given out in this sequence */
    bool has_before, is_dead;
} machine;

/* A row ends the one before it: [before.address, address) belongs to before's line. */
static void give_row(machine *m, bool is_end)
{
    m->before.end = m->now.address;
    if (m->has_before && !m->is_dead && m->before.address < m->before.end) m->on_row(m->self, m->u, &m->before);
    m->before = m->now;
    m->has_before = !is_end;
}

static void begin_sequence(machine *m)
{
    m->now = (nx_rt_line_row){.file = 1, .line = 1};
    m->has_before = m->is_dead = false;
}

static void extended(machine *m, nx_rt_bytes *c)
{
    nx_rt_bytes in = nx_rt_bytes_of(nx_rt_take(c, nx_rt_take_uleb(c)));
    size_t n = (size_t)(in.end - in.p);
    if (n == 0) {
        nx_rt_bytes_fail(c);
        return;
    }
    switch (nx_rt_take_byte(&in)) {
    case EXT_END_SEQUENCE:
        give_row(m, true);
        begin_sequence(m);
        break;
    case EXT_SET_ADDRESS:
        m->now.address = nx_rt_take_le(&in, n - 1 < 8 ? (unsigned)(n - 1) : 8);
        /* Functions that the linker dropped lie at 0 or at the end of all addresses. */
        m->is_dead = m->now.address == 0 || m->now.address >= 0xfffffffe;
        break;
    default: break;
    }
}

static void standard(machine *m, nx_rt_bytes *c, uint8_t op)
{
    const nx_rt_line_unit *u = m->u;
    switch (op) {
    case OP_COPY: give_row(m, false); break;
    case OP_ADVANCE_PC: m->now.address += nx_rt_take_uleb(c) * u->min_length; break;
    case OP_ADVANCE_LINE: m->now.line += (uint64_t)nx_rt_take_sleb(c); break;
    case OP_SET_FILE: m->now.file = nx_rt_take_uleb(c); break;
    case OP_NEGATE_STMT:
    case OP_BASIC_BLOCK: break;
    case OP_CONST_ADD_PC: m->now.address += (uint64_t)((255u - u->opcode_base) / u->line_range) * u->min_length; break;
    case OP_FIXED_ADVANCE_PC: m->now.address += nx_rt_take_le(c, 2); break;
    default: /* OP_SET_COLUMN and what later versions added: skipped by their number of arguments */
        for (unsigned i = 0; i < u->lengths[op - 1]; i++) (void)nx_rt_take_uleb(c);
    }
}

void nx_rt_line_unit_rows(const nx_rt_line_unit *u, void (*on_row)(void *self, const nx_rt_line_unit *u, const nx_rt_line_row *row), void *self)
{
    machine m = {.u = u, .on_row = on_row, .self = self};
    nx_rt_bytes c = u->program;
    begin_sequence(&m);
    while (c.p < c.end && !c.is_bad) {
        uint8_t op = nx_rt_take_byte(&c);
        if (op >= u->opcode_base) {
            uint8_t k = (uint8_t)(op - u->opcode_base);
            m.now.address += (uint64_t)(k / u->line_range) * u->min_length;
            m.now.line += (uint64_t)(int64_t)(u->line_base + k % u->line_range);
            give_row(&m, false);
        } else if (op == 0) {
            extended(&m, &c);
        } else {
            standard(&m, &c, op);
        }
    }
}

/* Reads a unit's header from `c`, which holds the unit alone. */
static bool read_unit(const nx_rt_facts *f, nx_rt_bytes c, nx_rt_line_unit *ret)
{
    nx_rt_line_unit u = {.facts = f};
    u.version = (unsigned)nx_rt_take_le(&c, 2);
    if (u.version < 2 || u.version > 5) return false;
    if (u.version >= 5) (void)nx_rt_take_le(&c, 2); /* sizes of addresses and segments */
    uint64_t header_bytes = nx_rt_take_le(&c, 4);
    nx_slice header = nx_rt_take(&c, header_bytes);
    if (c.is_bad) return false;
    u.program = c;
    c = nx_rt_bytes_of(header);
    u.min_length = nx_rt_take_byte(&c);
    if (u.version >= 4) (void)nx_rt_take_byte(&c); /* operations in an instruction: 1 */
    (void)nx_rt_take_byte(&c);                     /* whether rows begin as statements */
    u.line_base = (int8_t)nx_rt_take_byte(&c);
    u.line_range = nx_rt_take_byte(&c);
    u.opcode_base = nx_rt_take_byte(&c);
    u.lengths = c.p;
    if (u.line_range == 0 || u.opcode_base == 0) return false;
    (void)nx_rt_take(&c, u.opcode_base - 1u);
    u.names = c;
    *ret = u;
    return !c.is_bad;
}

/* The unit at the cursor, which moves behind it; false: there is none that can be read. */
static bool next_unit(const nx_rt_facts *f, nx_rt_bytes *c, nx_rt_line_unit *ret)
{
    uint64_t bytes = nx_rt_take_le(c, 4);
    nx_slice whole = nx_rt_take(c, bytes);
    return !c->is_bad && read_unit(f, nx_rt_bytes_of(whole), ret);
}

bool nx_rt_line_unit_at(const nx_rt_facts *f, uint64_t offset, nx_rt_line_unit *ret)
{
    nx_rt_bytes c = nx_rt_bytes_at(f->debug_line, offset);
    return next_unit(f, &c, ret);
}

/* ---- looking for some addresses */

typedef struct wanted {
    nx_rt_place *places;
    unsigned n;
} wanted;

static void note_places(void *self, const nx_rt_line_unit *u, const nx_rt_line_row *row)
{
    const wanted *w = self;
    for (unsigned i = 0; row->line && i < w->n; i++) {
        nx_rt_place *p = &w->places[i];
        uint64_t span = row->end - row->address;
        if (p->address < row->address || p->address >= row->end) continue;
        if (p->line && p->span <= span) continue;
        p->line = row->line;
        p->span = span;
        nx_rt_line_unit_file(u, row->file, p->file, sizeof p->file);
    }
}

void nx_rt_lines_find(const nx_rt_facts *f, nx_rt_place *places, unsigned n)
{
    wanted w = {places, n};
    nx_rt_bytes c = nx_rt_bytes_at(f->debug_line, 0);
    while (!c.is_bad && c.p < c.end) {
        nx_rt_line_unit u;
        if (next_unit(f, &c, &u)) nx_rt_line_unit_rows(&u, note_places, &w);
    }
}
