/* dwarf_lines.c: runs the line-number programs of a module and notes the rows that hold the addresses looked for. */
#include "dwarf_lines.h"

#include <stdio.h>

typedef struct cursor {
    const uint8_t *p, *end;
    bool is_bad; /* stays set; all reads give zero then */
} cursor;

static uint64_t get(cursor *c, unsigned n)
{
    uint64_t v = 0;
    if (n > (size_t)(c->end - c->p)) {
        c->is_bad = true;
        c->p = c->end;
        return 0;
    }
    for (unsigned i = 0; i < n && i < 8; i++) v |= (uint64_t)c->p[i] << (8 * i);
    c->p += n;
    return v;
}

static uint64_t get_uleb(cursor *c)
{
    uint64_t v = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t b = (uint8_t)get(c, 1);
        if (shift < 64) v |= (uint64_t)(b & 0x7fu) << shift;
        if (!(b & 0x80u)) return c->is_bad ? 0 : v;
    }
}

static int64_t get_sleb(cursor *c)
{
    uint64_t v = 0;
    for (unsigned shift = 0;;) {
        uint8_t b = (uint8_t)get(c, 1);
        if (shift < 64) v |= (uint64_t)(b & 0x7fu) << shift;
        shift += 7;
        if (b & 0x80u) continue;
        if (shift < 64 && b & 0x40u) v |= ~0ull << shift;
        return c->is_bad ? 0 : (int64_t)v;
    }
}

static nx_slice get_cstr(cursor *c)
{
    const uint8_t *nul = c->p < c->end ? memchr(c->p, 0, (size_t)(c->end - c->p)) : NULL;
    if (!nul) {
        c->is_bad = true;
        c->p = c->end;
        return NX_SLICE_NULL;
    }
    nx_slice s = nx_slice_make(c->p, (size_t)(nul - c->p));
    c->p = nul + 1;
    return s;
}

static nx_slice cstr_at(nx_slice table, uint64_t offset)
{
    if (offset >= table.n) return NX_SLICE_NULL;
    cursor c = {(const uint8_t *)table.p + offset, (const uint8_t *)table.p + table.n, false};
    return get_cstr(&c);
}

/* ---- names of files: kept as a place in the header and read again for the few rows that matter */

enum { FORM_DATA2 = 0x05,
       FORM_DATA4 = 0x06,
       FORM_DATA8 = 0x07,
       FORM_STRING = 0x08,
       FORM_BLOCK = 0x09,
       FORM_DATA1 = 0x0b,
       FORM_STRP = 0x0e,
       FORM_UDATA = 0x0f,
       FORM_DATA16 = 0x1e,
       FORM_LINE_STRP = 0x1f };
enum { CONTENT_PATH = 1,
       CONTENT_DIRECTORY = 2 };

typedef struct unit {
    const nx_rt_facts *facts;
    unsigned version;
    uint8_t min_length, line_range, opcode_base;
    int8_t line_base;
    const uint8_t *lengths; /* of the standard opcodes */
    cursor names;           /* directories and files */
    cursor program;
} unit;

typedef struct name_entry {
    nx_slice path;
    uint64_t directory;
} name_entry;

/* A value in some form; text or number. */
static void get_form(const unit *u, cursor *c, uint64_t form, nx_slice *ret_text, uint64_t *ret_number)
{
    *ret_text = NX_SLICE_NULL;
    *ret_number = 0;
    switch (form) {
    case FORM_STRING: *ret_text = get_cstr(c); break;
    case FORM_LINE_STRP: *ret_text = cstr_at(u->facts->debug_line_str, get(c, 4)); break;
    case FORM_STRP: *ret_text = cstr_at(u->facts->debug_str, get(c, 4)); break;
    case FORM_UDATA: *ret_number = get_uleb(c); break;
    case FORM_DATA1: *ret_number = get(c, 1); break;
    case FORM_DATA2: *ret_number = get(c, 2); break;
    case FORM_DATA4: *ret_number = get(c, 4); break;
    case FORM_DATA8: *ret_number = get(c, 8); break;
    case FORM_DATA16: (void)get(c, 16); break;
    case FORM_BLOCK: {
        uint64_t n = get_uleb(c);
        if (n > (size_t)(c->end - c->p)) c->is_bad = true;
        else c->p += n;
        break;
    }
    default: c->is_bad = true;
    }
}

/* One table of version 5: entry `want` of it. Leaves the cursor behind the table. */
static name_entry get_entry_v5(const unit *u, cursor *c, uint64_t want)
{
    cursor formats = *c;
    uint8_t n_formats = (uint8_t)get(c, 1);
    for (unsigned i = 0; i < n_formats; i++) {
        (void)get_uleb(c);
        (void)get_uleb(c);
    }
    uint64_t n = get_uleb(c);
    name_entry found = {NX_SLICE_NULL, 0};
    if (n_formats == 0) return found; /* entries of no bytes: there is nothing to read */
    for (uint64_t i = 0; i < n && !c->is_bad; i++) {
        cursor f = formats;
        (void)get(&f, 1);
        for (unsigned k = 0; k < n_formats; k++) {
            uint64_t content = get_uleb(&f), form = get_uleb(&f), number;
            nx_slice text;
            get_form(u, c, form, &text, &number);
            if (i == want && content == CONTENT_PATH) found.path = text;
            if (i == want && content == CONTENT_DIRECTORY) found.directory = number;
        }
    }
    return found;
}

/* Version 2 to 4: files count from 1; directory 0 is the compiler's own. */
static name_entry file_v4(cursor *c, uint64_t want)
{
    name_entry found = {NX_SLICE_NULL, 0};
    for (uint64_t i = 1; !c->is_bad; i++) {
        nx_slice path = get_cstr(c);
        if (path.n == 0) break;
        uint64_t directory = get_uleb(c);
        (void)get_uleb(c);
        (void)get_uleb(c);
        if (i == want) found = (name_entry){path, directory};
    }
    return found;
}

static nx_slice directory_v4(cursor *c, uint64_t want)
{
    nx_slice found = NX_SLICE_NULL;
    for (uint64_t i = 1; !c->is_bad; i++) {
        nx_slice path = get_cstr(c);
        if (path.n == 0) break;
        if (i == want) found = path;
    }
    return found;
}

static void put_file_name(const unit *u, uint64_t file, char out[NX_RT_PLACE_FILE_BYTES])
{
    cursor c = u->names, again = u->names;
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
    if (is_absolute || directory.n == 0) (void)snprintf(out, NX_RT_PLACE_FILE_BYTES, "%.*s", NX_SLICE_FMT(f.path));
    else (void)snprintf(out, NX_RT_PLACE_FILE_BYTES, "%.*s/%.*s", NX_SLICE_FMT(directory), NX_SLICE_FMT(f.path));
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f) *p = '?';
}

/* ---- the program */

typedef struct row {
    uint64_t address, file, line;
} row;

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
    const unit *u;
    nx_rt_place *places;
    unsigned n_places;
    row now, before; /* before: the last row given out in this sequence */
    bool has_before, is_dead;
} machine;

/* A row ends the one before it: [before.address, address) belongs to before's line. */
static void give_row(machine *m, bool is_end)
{
    for (unsigned i = 0; m->has_before && !m->is_dead && i < m->n_places; i++) {
        nx_rt_place *p = &m->places[i];
        uint64_t span = m->now.address - m->before.address;
        if (p->address < m->before.address || p->address >= m->now.address || m->before.line == 0) continue;
        if (p->line && p->span <= span) continue;
        p->line = m->before.line;
        p->span = span;
        put_file_name(m->u, m->before.file, p->file);
    }
    m->before = m->now;
    m->has_before = !is_end;
}

static void begin_sequence(machine *m)
{
    m->now = (row){0, 1, 1};
    m->has_before = m->is_dead = false;
}

static void extended(machine *m, cursor *c)
{
    uint64_t n = get_uleb(c);
    if (n == 0 || n > (size_t)(c->end - c->p)) {
        c->is_bad = true;
        return;
    }
    const uint8_t *next = c->p + n;
    switch (get(c, 1)) {
    case EXT_END_SEQUENCE:
        give_row(m, true);
        begin_sequence(m);
        break;
    case EXT_SET_ADDRESS:
        m->now.address = get(c, n - 1 < 8 ? (unsigned)(n - 1) : 8);
        /* Functions that the linker dropped lie at 0 or at the end of all addresses. */
        m->is_dead = m->now.address == 0 || m->now.address >= 0xfffffffe;
        break;
    default: break;
    }
    c->p = next;
}

static void standard(machine *m, cursor *c, uint8_t op)
{
    const unit *u = m->u;
    switch (op) {
    case OP_COPY: give_row(m, false); break;
    case OP_ADVANCE_PC: m->now.address += get_uleb(c) * u->min_length; break;
    case OP_ADVANCE_LINE: m->now.line += (uint64_t)get_sleb(c); break;
    case OP_SET_FILE: m->now.file = get_uleb(c); break;
    case OP_NEGATE_STMT:
    case OP_BASIC_BLOCK: break;
    case OP_CONST_ADD_PC: m->now.address += (uint64_t)((255u - u->opcode_base) / u->line_range) * u->min_length; break;
    case OP_FIXED_ADVANCE_PC: m->now.address += get(c, 2); break;
    default: /* OP_SET_COLUMN and what later versions added: skipped by their number of arguments */
        for (unsigned i = 0; i < u->lengths[op - 1]; i++) (void)get_uleb(c);
    }
}

static void run_program(const unit *u, nx_rt_place *places, unsigned n)
{
    machine m = {.u = u, .places = places, .n_places = n};
    cursor c = u->program;
    begin_sequence(&m);
    while (c.p < c.end && !c.is_bad) {
        uint8_t op = (uint8_t)get(&c, 1);
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
static bool read_unit(const nx_rt_facts *f, cursor c, unit *ret)
{
    unit u = {.facts = f};
    u.version = (unsigned)get(&c, 2);
    if (u.version < 2 || u.version > 5) return false;
    if (u.version >= 5) (void)get(&c, 2); /* sizes of addresses and segments */
    uint64_t header_bytes = get(&c, 4);
    if (c.is_bad || header_bytes > (size_t)(c.end - c.p)) return false;
    u.program = (cursor){c.p + header_bytes, c.end, false};
    c.end = c.p + header_bytes;
    u.min_length = (uint8_t)get(&c, 1);
    if (u.version >= 4) (void)get(&c, 1); /* operations in an instruction: 1 */
    (void)get(&c, 1);                     /* whether rows begin as statements */
    u.line_base = (int8_t)(uint8_t)get(&c, 1);
    u.line_range = (uint8_t)get(&c, 1);
    u.opcode_base = (uint8_t)get(&c, 1);
    u.lengths = c.p;
    if (u.line_range == 0 || u.opcode_base == 0) return false;
    (void)get(&c, u.opcode_base - 1u);
    u.names = c;
    *ret = u;
    return !c.is_bad;
}

void nx_rt_lines_find(const nx_rt_facts *f, nx_rt_place *places, unsigned n)
{
    if (f->debug_line.n == 0) return;
    cursor c = {(const uint8_t *)f->debug_line.p, (const uint8_t *)f->debug_line.p + f->debug_line.n, false};
    while (c.p < c.end) {
        uint64_t bytes = get(&c, 4);
        if (c.is_bad || bytes > (size_t)(c.end - c.p)) return;
        unit u;
        if (read_unit(f, (cursor){c.p, c.p + bytes, false}, &u)) run_program(&u, places, n);
        c.p += bytes;
    }
}
