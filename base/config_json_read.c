/* Settings that were stored -> tree of nodes. They are JSON that this program wrote, a line of it, and thousands of them are read when a node starts: that is
 * several times quicker without the YAML parser. Whatever is not plainly so is left to that one, which says what is wrong with it and where. */
#include "config_internal.h"
#include "json_scan.h"

#include <string.h>

typedef struct reader {
    nx_cfg_ctx *x;
    nx_slice text;
    unsigned n_nodes;
} reader;

static unsigned column_of(const reader *r, nx_slice at) { return (unsigned)(at.p - r->text.p) + 1; }

/* What stands between the quotes; lent from the text where it has no escapes. */
static bool unquote(const reader *r, nx_slice raw, nx_slice *ret)
{
    size_t n;
    if (!memchr(raw.p, '\\', raw.n)) {
        *ret = raw;
        return true;
    }
    char *to = nx_arena_alloc(r->x->read, raw.n);
    if (!to || nx_json_unescape(raw, to, &n) != NX_OK || memchr(to, '\0', n))
        return false;
    *ret = nx_slice_make(to, n);
    return true;
}

static nx_cfg_node *add(reader *r, nx_cfg_node *parent, nx_slice key, nx_slice value)
{
    nx_cfg_node *n = ++r->n_nodes <= NX_CFG_NODES_MAX ? nx_arena_calloc(r->x->read, 1, sizeof *n) : NULL;
    if (!n)
        return NULL;
    n->kind = value.p[0] == '{' ? NX_CFG_NODE_MAP : value.p[0] == '[' ? NX_CFG_NODE_SEQ
                                                                      : NX_CFG_NODE_SCALAR;
    n->line = n->key_line = 1;
    n->column = column_of(r, value);
    n->key_column = key.p ? column_of(r, key) - 1 : n->column;
    if (parent)
        nx_cfg_node_append(parent, n);
    return n;
}

static bool read_scalar(reader *r, nx_cfg_node *n, nx_slice value)
{
    n->is_plain = value.p[0] != '"';
    n->is_null = value.p[0] == 'n';
    n->text = value;
    return n->is_plain || unquote(r, nx_slice_sub(value, 1, value.n - 2), &n->text);
}

/* value: one JSON value that was scanned. */
static bool read_value(reader *r, nx_cfg_node *parent, nx_slice key, nx_slice value, unsigned depth, nx_cfg_node **ret)
{
    nx_cfg_node *n = add(r, parent, key, value);
    if (!n || (key.p && !unquote(r, key, &n->key)))
        return false;
    *ret = n;
    if (n->kind == NX_CFG_NODE_SCALAR)
        return read_scalar(r, n, value);
    if (depth == NX_CFG_DEPTH_MAX)
        return false;
    nx_json_scan s = {value.p + 1, value.p + value.n - 1}; /* between the brackets, which is whole */
    nx_cfg_node *child;
    for (nx_json_scan_ws(&s); s.p < s.end; nx_json_scan_ws(&s)) {
        nx_slice name = NX_SLICE_NULL;
        if (*s.p == ',') {
            s.p++;
            nx_json_scan_ws(&s);
        }
        const char *from = s.p;
        if (nx_json_scan_value(&s) != NX_OK)
            return false;
        if (n->kind == NX_CFG_NODE_MAP) {
            name = nx_slice_make(from + 1, (size_t)(s.p - from) - 2);
            nx_json_scan_ws(&s);
            s.p++; /* the colon */
            nx_json_scan_ws(&s);
            from = s.p;
            if (name.n == 0 || nx_json_scan_value(&s) != NX_OK)
                return false;
        }
        if (!read_value(r, n, name, nx_slice_make(from, (size_t)(s.p - from)), depth + 1, &child))
            return false;
    }
    return true;
}

bool nx_cfg_json_read(nx_cfg_ctx *x, nx_slice text, nx_cfg_node **ret)
{
    reader r = {.x = x, .text = text};
    nx_json_scan s = {text.p, text.p + text.n};
    if (text.n == 0 || text.n > NX_CONFIG_FILE_BYTES || memchr(text.p, '\n', text.n) || memchr(text.p, 0x7f, text.n) || text.p[0] != '{' || text.p[text.n - 1] != '}')
        return false;
    return nx_json_scan_document(&s) == NX_OK && read_value(&r, NULL, NX_SLICE_NULL, text, 1, ret);
}
