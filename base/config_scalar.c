/* The text of a scalar, from its bytes in the file (YAML 1.2.2, chapters 7.3 and 8.1).
 * libfyaml finds where scalars begin and end, and checks their form; its own decoding is not used: 0.7.12 makes three quotes of the
 * four in 'it''''s', forgets a "\\" before a line that is folded, and sizes some block texts wrongly. */
#include "config_internal.h"

#include <string.h>

typedef struct cursor {
    const char *p, *end;
    char *out;  /* room for twice the bytes of the scalar: no escape makes more */
    char *keep; /* end of what may not be trimmed before a line break */
    bool is_bad;
} cursor;

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static bool at_break(const cursor *c)
{
    return c->p < c->end && (*c->p == '\n' || (*c->p == '\r' && c->p + 1 < c->end && c->p[1] == '\n'));
}

static void skip_break(cursor *c) { c->p += *c->p == '\r' ? 2 : 1; }

static void skip_blanks(cursor *c)
{
    while (c->p < c->end && is_blank(*c->p))
        c->p++;
}

/* At a line break of a flow scalar: one is a space, each further one a line feed; blanks around them go. */
static void fold_break(cursor *c, bool is_escaped)
{
    unsigned breaks = 0;
    while (at_break(c)) {
        skip_break(c);
        skip_blanks(c);
        breaks++;
    }
    if (!is_escaped) {
        while (c->out > c->keep && is_blank(c->out[-1]))
            c->out--;
        if (breaks == 1)
            *c->out++ = ' ';
    }
    for (unsigned i = 1; i < breaks; i++)
        *c->out++ = '\n';
    c->keep = c->out;
}

/* ---- double quotes */

static void put_point(cursor *c, uint32_t u)
{
    if (u < 0x80) {
        *c->out++ = (char)u;
    } else if (u < 0x800) {
        *c->out++ = (char)(0xc0 | u >> 6);
        *c->out++ = (char)(0x80 | (u & 0x3f));
    } else if (u < 0x10000) {
        *c->out++ = (char)(0xe0 | u >> 12);
        *c->out++ = (char)(0x80 | (u >> 6 & 0x3f));
        *c->out++ = (char)(0x80 | (u & 0x3f));
    } else {
        *c->out++ = (char)(0xf0 | u >> 18);
        *c->out++ = (char)(0x80 | (u >> 12 & 0x3f));
        *c->out++ = (char)(0x80 | (u >> 6 & 0x3f));
        *c->out++ = (char)(0x80 | (u & 0x3f));
    }
}

static bool take_hex(cursor *c, unsigned digits, uint32_t *ret)
{
    *ret = 0;
    if ((size_t)(c->end - c->p) < digits)
        return false;
    for (unsigned i = 0; i < digits; i++) {
        char d = *c->p++;
        uint32_t v = d >= '0' && d <= '9'   ? (uint32_t)(d - '0')
                     : d >= 'a' && d <= 'f' ? (uint32_t)(d - 'a') + 10
                     : d >= 'A' && d <= 'F' ? (uint32_t)(d - 'A') + 10
                                            : 16;
        if (v > 15)
            return false;
        *ret = *ret << 4 | v;
    }
    return true;
}

static void take_point(cursor *c, unsigned digits)
{
    uint32_t u, low;
    if (!take_hex(c, digits, &u)) {
        c->is_bad = true;
        return;
    }
    /* JSON writes what lies above U+FFFF as two halves. */
    if (u >= 0xd800 && u < 0xdc00 && c->end - c->p >= 6 && c->p[0] == '\\' && c->p[1] == 'u') {
        c->p += 2;
        if (take_hex(c, 4, &low) && low >= 0xdc00 && low < 0xe000)
            u = 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
    }
    if (u > 0x10ffff || (u >= 0xd800 && u < 0xe000))
        c->is_bad = true;
    else
        put_point(c, u);
}

static void take_escape(cursor *c)
{
    static const struct {
        char name;
        uint16_t point;
    } named[] = {
        {'0', 0},
        {'a', 7},
        {'b', 8},
        {'t', 9},
        {'\t', 9},
        {'n', 10},
        {'v', 11},
        {'f', 12},
        {'r', 13},
        {'e', 27},
        {' ', ' '},
        {'"', '"'},
        {'/', '/'},
        {'\\', '\\'},
        {'N', 0x85},
        {'_', 0xa0},
        {'L', 0x2028},
        {'P', 0x2029},
    };
    c->p++; /* the backslash */
    if (at_break(c)) {
        fold_break(c, true);
        return;
    }
    char name = c->p < c->end ? *c->p++ : '\0';
    for (size_t i = 0; i < NX_ARRAY_LEN(named); i++) {
        if (named[i].name == name) {
            put_point(c, named[i].point);
            c->keep = c->out;
            return;
        }
    }
    if (name == 'x' || name == 'u' || name == 'U')
        take_point(c, name == 'x' ? 2 : name == 'u' ? 4
                                                    : 8);
    else
        c->is_bad = true;
    c->keep = c->out;
}

static void decode_flow(cursor *c, nx_cfg_style style)
{
    while (c->p < c->end && !c->is_bad) {
        if (at_break(c)) {
            fold_break(c, false);
        } else if (style == NX_CFG_DOUBLE && *c->p == '\\') {
            take_escape(c);
        } else {
            if (style == NX_CFG_SINGLE && *c->p == '\'')
                c->p++; /* the first of two */
            if (c->p < c->end)
                *c->out++ = *c->p++;
        }
    }
}

/* ---- block texts */

/* Skips blank lines, writing their line feeds to c->out; stands behind the indentation of a line then. True: that line has text. */
static bool skip_blank_lines(cursor *c, size_t indent)
{
    for (;;) {
        const char *line = c->p;
        size_t n = 0;
        while (c->p < c->end && *c->p == ' ' && n < indent) {
            c->p++;
            n++;
        }
        if (at_break(c)) {
            skip_break(c);
            *c->out++ = '\n';
            continue;
        }
        if (n == indent && c->p < c->end)
            return true;
        c->p = line;
        return false;
    }
}

/* Spaces before the first text; where there are only blank lines, more than any of them has. */
static size_t first_indent(const cursor *at)
{
    cursor c = *at;
    for (;;) {
        const char *line = c.p;
        while (c.p < c.end && *c.p == ' ')
            c.p++;
        if (c.p == c.end)
            return SIZE_MAX;
        if (!at_break(&c))
            return (size_t)(c.p - line);
        skip_break(&c);
    }
}

static void decode_block(cursor *c, bool is_folded, char chomp)
{
    size_t indent = first_indent(c);
    char *text_end = c->out; /* of the last line with text, without its line feed */
    bool has_break = false, has_text = skip_blank_lines(c, indent);
    while (has_text) {
        bool is_flush = !is_blank(*c->p);
        while (c->p < c->end && !at_break(c))
            *c->out++ = *c->p++;
        text_end = c->out;
        has_break = at_break(c);
        if (!has_break)
            break;
        skip_break(c);
        *c->out++ = '\n';
        char *blank_lines = c->out;
        has_text = skip_blank_lines(c, indent);
        /* Between two flush lines a single break is a space, and the first of several is dropped. */
        if (has_text && is_folded && is_flush && !is_blank(*c->p)) {
            if (c->out == blank_lines) {
                blank_lines[-1] = ' ';
            } else {
                memmove(blank_lines - 1, blank_lines, (size_t)(c->out - blank_lines));
                c->out--;
            }
        }
    }
    if (chomp == '-' || (!has_break && chomp != '+'))
        c->out = text_end;
    else if (chomp != '+')
        c->out = text_end + 1;
}

/* The indicators behind | or >, which stand on the line before the text: chomping, and whether there is one of indentation. */
static char block_header(const char *file, const char *text, bool *ret_has_digit)
{
    const char *end = text > file ? text - 1 : text, *line = end;
    while (line > file && line[-1] != '\n')
        line--;
    for (const char *p = line; p < end; p++) {
        if ((*p != '|' && *p != '>') || (p > line && !is_blank(p[-1]) && p[-1] != ':' && p[-1] != '-'))
            continue;
        const char *q = p + 1;
        char chomp = '\0';
        *ret_has_digit = false;
        for (; q < end && (*q == '+' || *q == '-' || (*q >= '0' && *q <= '9')); q++) {
            if (*q == '+' || *q == '-')
                chomp = *q;
            else
                *ret_has_digit = true;
        }
        if (q == end || *q == '\r' || is_blank(*q))
            return chomp;
    }
    *ret_has_digit = false;
    return '\0';
}

nx_err nx_cfg_scalar_decode(nx_arena *a, nx_slice file, size_t from, size_t to, nx_cfg_style style, nx_slice *ret)
{
    if (from > to || to > file.n)
        return NX_EBUG;
    char *text = nx_arena_alloc(a, 2 * (to - from) + 1);
    if (!text)
        return NX_ENOMEM;
    cursor c = {file.p + from, file.p + to, text, text, false};
    if (style == NX_CFG_LITERAL || style == NX_CFG_FOLDED) {
        bool has_digit;
        char chomp = block_header(file.p, c.p, &has_digit);
        if (has_digit)
            return NX_ENOTSUP;
        decode_block(&c, style == NX_CFG_FOLDED, chomp);
    } else {
        decode_flow(&c, style);
    }
    if (c.is_bad)
        return NX_EPARSE;
    *c.out = '\0';
    *ret = nx_slice_make(text, (size_t)(c.out - text));
    return NX_OK;
}
