/* Bytes -> tree of nodes with positions.
 * libfyaml's event interface is used, not its documents: events come from an iterative parser, so that depth, number of nodes and
 * everything that could make a small file large are bounded here, before anything is built. Aliases and anchors are refused outright:
 * no setting needs them, and without them a tree is never larger than its file. JSON is read by the same parser, as the subset of
 * YAML that it is. */
#include "config_internal.h"

#include <libfyaml.h>
#include <string.h>

/* ---- before the parser */

static nx_slice line_at(nx_slice text, size_t from)
{
    nx_slice rest;
    return nx_slice_split(nx_slice_sub(text, from, text.n), '\n', &rest);
}

static size_t utf8_length(nx_slice rest)
{
    unsigned char c = (unsigned char)rest.p[0];
    size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2
                          : c < 0xf0   ? 3
                                       : 4;
    return n <= rest.n && nx_slice_is_utf8(nx_slice_sub(rest, 0, n)) ? n : 0;
}

/* %YAML 1.2 and its like are harmless. All others are refused here: none is of use, and libfyaml 0.7 takes a time that grows with
 * the square of their length. */
static bool is_version_directive(nx_slice line)
{
    while (line.n && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == ' '))
        line.n--;
    return line.n == sizeof "%YAML 1.x" - 1 && nx_slice_starts(line, NX_SLICE("%YAML 1.")) && line.p[8] >= '0' && line.p[8] <= '3';
}

/* What no YAML file may hold, with the place: the parser's own messages for these are obscure, or it accepts them. One finding is
 * enough, a binary file would have thousands. */
static bool bytes_are_text(nx_cfg_ctx *x, nx_slice text)
{
    nx_cfg_mark at = {x->source, 1, 1, false};
    if (nx_slice_starts(text, NX_SLICE("\xfe\xff")) || nx_slice_starts(text, NX_SLICE("\xff\xfe"))) {
        nx_cfg_issue(x, at, "", "save it as UTF-8", "is UTF-16");
        return false;
    }
    for (size_t i = 0; i < text.n;) {
        unsigned char c = (unsigned char)text.p[i];
        size_t n = utf8_length(nx_slice_sub(text, i, text.n));
        if (n == 0)
            nx_cfg_issue(x, at, "", "save it as UTF-8", "byte 0x%02x is not UTF-8", c);
        else if (c == '\0')
            nx_cfg_issue(x, at, "", "is this a text file?", "holds a NUL byte");
        else if (c == '%' && at.column == 1 && !is_version_directive(line_at(text, i)))
            nx_cfg_issue(x, at, "", "remove it; quote a text that begins with %", "directives (%%NAME) are not supported");
        else if (c == '\r' && (i + 1 == text.n || text.p[i + 1] != '\n'))
            nx_cfg_issue(x, at, "", "end lines with a line feed", "holds a carriage return without a line feed");
        else if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
            nx_cfg_issue(x, at, "", "in a double-quoted string, write it as an escape", "holds the control character 0x%02x", c);
        else {
            at.column++;
            if (c == '\n') {
                at.line++;
                at.column = 1;
            }
            i += n;
            continue;
        }
        return false;
    }
    return true;
}

/* ---- building */

typedef struct builder {
    nx_cfg_ctx *x;
    nx_slice text;
    nx_cfg_node *root;
    nx_cfg_node *stack[NX_CFG_DEPTH_MAX];
    unsigned depth, n_nodes;
    bool has_key; /* the innermost mapping waits for a value */
    nx_slice key;
    nx_cfg_mark key_at;
    unsigned n_documents;
    bool is_over; /* nothing more is read */
} builder;

/* libfyaml's marks point behind an opening quote, brace or sigil (one of `opening`); people look at the opening. */
static nx_cfg_mark mark_of(const builder *b, const struct fy_mark *m, const char *opening)
{
    if (!m) { /* what is absent has no place: the nearest thing before it has */
        const nx_cfg_node *parent = b->depth ? b->stack[b->depth - 1] : NULL;
        if (b->has_key)
            return b->key_at;
        if (parent && parent->last)
            return nx_cfg_mark_key(b->x, parent->last);
        return parent ? nx_cfg_mark_of(b->x, parent) : (nx_cfg_mark){b->x->source, 1, 1, false};
    }
    unsigned column = (unsigned)m->column + 1;
    if (m->input_pos > 0 && m->input_pos <= b->text.n && column > 1 && strchr(opening, b->text.p[m->input_pos - 1]))
        column--;
    return (nx_cfg_mark){b->x->source, (unsigned)m->line + 1, column, false};
}

static void stop(builder *b, nx_err err)
{
    if (err)
        b->x->err = err;
    b->is_over = true;
}

static void stop_with(builder *b, nx_cfg_mark at, const char *suggestion, const char *reason)
{
    nx_cfg_issue(b->x, at, "", suggestion, "%s", reason);
    b->root = NULL;
    b->is_over = true;
}

static nx_cfg_style style_of(struct fy_token *token)
{
    switch (token ? fy_scalar_token_get_style(token) : FYSS_PLAIN) {
    case FYSS_SINGLE_QUOTED:
        return NX_CFG_SINGLE;
    case FYSS_DOUBLE_QUOTED:
        return NX_CFG_DOUBLE;
    case FYSS_LITERAL:
        return NX_CFG_LITERAL;
    case FYSS_FOLDED:
        return NX_CFG_FOLDED;
    default:
        return NX_CFG_PLAIN;
    }
}

/* Escapes can make what the bytes of the file may not hold. False: reported, or the end. */
static bool token_text(builder *b, struct fy_token *token, nx_cfg_mark at, nx_slice *ret)
{
    *ret = NX_SLICE("");
    const struct fy_mark *from = token ? fy_token_start_mark(token) : NULL, *to = token ? fy_token_end_mark(token) : NULL;
    if (!from || !to)
        return true;
    nx_err err = nx_cfg_scalar_decode(b->x->read, b->text, from->input_pos, to->input_pos, style_of(token), ret);
    if (err == NX_EPARSE)
        nx_cfg_issue(b->x, at, "", NULL, "an escape makes something that is not Unicode");
    else if (err == NX_ENOTSUP)
        nx_cfg_issue(b->x, at, "", "write the text in double quotes", "indentation indicators (|2) are not supported");
    else if (err)
        stop(b, err);
    else if (memchr(ret->p, '\0', ret->n))
        nx_cfg_issue(b->x, at, "", NULL, "a string may not hold a NUL character");
    else
        return true;
    return false;
}

static nx_cfg_node *node_new(builder *b, nx_cfg_node_kind kind, nx_cfg_mark at)
{
    if (++b->n_nodes > NX_CFG_NODES_MAX) {
        stop_with(b, at, NULL, "holds too many values");
        return NULL;
    }
    nx_cfg_node *n = nx_arena_calloc(b->x->read, 1, sizeof *n);
    if (!n) {
        stop(b, NX_ENOMEM);
        return NULL;
    }
    n->kind = kind;
    n->line = at.line;
    n->column = at.column;
    nx_cfg_node *parent = b->depth ? b->stack[b->depth - 1] : NULL;
    if (!parent) {
        b->root = n;
        return n;
    }
    if (parent->kind == NX_CFG_NODE_MAP) {
        n->key = b->key;
        n->key_line = b->key_at.line;
        n->key_column = b->key_at.column;
        b->has_key = false;
    } else {
        n->key_line = at.line;
        n->key_column = at.column;
    }
    nx_cfg_node_append(parent, n);
    return n;
}

static bool is_key_next(const builder *b)
{
    return b->depth > 0 && b->stack[b->depth - 1]->kind == NX_CFG_NODE_MAP && !b->has_key;
}

/* Reports an anchor or a tag; the value itself is read on, so that one run shows all that is wrong. True: there was one. */
static bool has_decoration(builder *b, struct fy_event *e)
{
    struct fy_token *anchor = fy_event_get_anchor_token(e), *tag = fy_event_get_tag_token(e);
    if (anchor)
        nx_cfg_issue(b->x, mark_of(b, fy_token_start_mark(anchor), "&"), "", "write the value out wherever it is used; quote a text that begins with &",
                     "anchors (&name) are not supported");
    if (tag)
        nx_cfg_issue(b->x, mark_of(b, fy_token_start_mark(tag), "!"), "", "leave it out; quote a text that begins with !", "tags (!name) are not supported");
    return anchor || tag;
}

static bool is_null_text(nx_slice s)
{
    return s.n == 0 || nx_slice_eq_cstr(s, "~") || nx_slice_eq_cstr(s, "null") || nx_slice_eq_cstr(s, "Null") || nx_slice_eq_cstr(s, "NULL");
}

static void on_scalar(builder *b, struct fy_event *e)
{
    bool is_plain = style_of(e->scalar.value) == NX_CFG_PLAIN; /* a value that is absent has no token */
    nx_cfg_mark at = mark_of(b, fy_event_start_mark(e), is_plain ? "" : "\"'");
    nx_slice text;
    bool is_decorated = has_decoration(b, e);
    bool is_usable = token_text(b, e->scalar.value, at, &text);
    if (b->is_over)
        return;
    if (is_key_next(b)) {
        if (!is_usable)
            text = NX_SLICE("?");
        if (text.n == 0)
            nx_cfg_issue(b->x, at, "", NULL, "a key is missing before \":\"");
        b->key = text;
        b->key_at = at;
        b->has_key = true;
        return;
    }
    nx_cfg_node *n = node_new(b, NX_CFG_NODE_SCALAR, at);
    if (!n)
        return;
    n->text = text;
    n->is_plain = is_plain;
    n->is_null = is_plain && is_null_text(text);
    n->is_broken = is_decorated || !is_usable;
}

static void on_alias(builder *b, struct fy_event *e)
{
    nx_cfg_mark at = mark_of(b, fy_event_start_mark(e), "*");
    nx_cfg_issue(b->x, at, "", "write the value out; quote a text that begins with *", "aliases (*name) are not supported");
    if (is_key_next(b)) {
        b->key = NX_SLICE("*");
        b->key_at = at;
        b->has_key = true;
        return;
    }
    nx_cfg_node *n = node_new(b, NX_CFG_NODE_SCALAR, at);
    if (n)
        n->is_broken = true;
}

static void on_start(builder *b, struct fy_event *e, nx_cfg_node_kind kind)
{
    nx_cfg_mark at = mark_of(b, fy_event_start_mark(e), "{");
    has_decoration(b, e);
    if (is_key_next(b)) {
        stop_with(b, at, "write it as text", "a list or a mapping cannot be a key");
        return;
    }
    if (b->depth == NX_CFG_DEPTH_MAX) {
        stop_with(b, at, NULL, "is nested too deeply (16 levels at most)");
        return;
    }
    nx_cfg_node *n = node_new(b, kind, at);
    if (!n)
        return;
    b->stack[b->depth++] = n;
    b->has_key = false;
}

static void on_event(builder *b, struct fy_event *e)
{
    switch (e->type) {
    case FYET_DOCUMENT_START:
        if (++b->n_documents > 1) {
            nx_cfg_issue(b->x, mark_of(b, fy_event_start_mark(e), ""), "", "keep one, or make two files", "a second document begins (---)");
            b->is_over = true;
        }
        break;
    case FYET_MAPPING_START:
        on_start(b, e, NX_CFG_NODE_MAP);
        break;
    case FYET_SEQUENCE_START:
        on_start(b, e, NX_CFG_NODE_SEQ);
        break;
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END:
        if (b->depth)
            b->depth--;
        b->has_key = false;
        break;
    case FYET_SCALAR:
        on_scalar(b, e);
        break;
    case FYET_ALIAS:
        on_alias(b, e);
        break;
    case FYET_NONE:
    case FYET_STREAM_START:
    case FYET_STREAM_END:
    case FYET_DOCUMENT_END:
        break;
    }
}

/* ---- the parser's own errors */

/* Tabs are the usual reason of an obscure syntax error: the line, or the next, is indented with one. */
static bool find_tab_indent(nx_slice text, unsigned line, nx_cfg_mark *ret)
{
    nx_slice rest = text;
    for (unsigned l = 1; rest.n > 0 && l <= line + 1; l++) {
        nx_slice s = nx_slice_split(rest, '\n', &rest);
        if (l < line)
            continue;
        for (size_t i = 0; i < s.n && (s.p[i] == ' ' || s.p[i] == '\t'); i++) {
            if (s.p[i] == '\t') {
                ret->line = l;
                ret->column = (unsigned)i + 1;
                return true;
            }
        }
    }
    return false;
}

static const char *advice_for(const char *message)
{
    static const struct {
        const char *part, *advice;
    } table[] = {
        {"nested block mapping on the same line", "quote a value that holds \": \""},
        {"invalid multiline plain key", "is a \":\" missing, or the line indented too deeply?"},
        {"could not find expected ':'", "is a \":\" missing?"},
        {"plain scalar cannot start with", "quote the value"},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(table); i++) {
        if (strstr(message, table[i].part))
            return table[i].advice;
    }
    return NULL;
}

static void report_syntax(nx_cfg_ctx *x, struct fy_diag *diag, nx_slice text)
{
    nx_cfg_mark at = {x->source, 1, 1, false};
    const char *message = "it cannot be parsed";
    void *iter = NULL;
    for (const struct fy_diag_error *e; (e = fy_diag_errors_iterate(diag, &iter));) {
        if (e->type != FYET_ERROR || !e->msg)
            continue;
        message = e->msg;
        if (e->line > 0)
            at.line = (unsigned)e->line;
        if (e->column > 0)
            at.column = (unsigned)e->column;
        break; /* the ones after it are its consequences */
    }
    if (find_tab_indent(text, at.line, &at))
        nx_cfg_issue(x, at, "", "indent with spaces", "the line is indented with a tab, which YAML does not allow");
    else
        nx_cfg_issue(x, at, "", advice_for(message), "is not valid YAML: %s", message);
}

static void discard(struct fy_diag *diag, void *user, const char *buf, size_t len)
{
    (void)diag, (void)user, (void)buf, (void)len;
}

static struct fy_diag *diag_new(void)
{
    struct fy_diag_cfg cfg;
    fy_diag_cfg_default(&cfg);
    cfg.fp = NULL; /* the default is stderr */
    cfg.output_fn = discard;
    cfg.level = FYET_ERROR;
    cfg.colorize = false;
    struct fy_diag *diag = fy_diag_create(&cfg);
    if (diag)
        fy_diag_set_collect_errors(diag, true);
    return diag;
}

static void read_events(builder *b, struct fy_parser *parser, struct fy_diag *diag)
{
    struct fy_event *e;
    while (!b->is_over && (e = fy_parser_parse(parser))) {
        on_event(b, e);
        fy_parser_event_free(parser, e);
    }
    if (!b->is_over && fy_parser_get_stream_error(parser)) {
        report_syntax(b->x, diag, b->text);
        b->root = NULL;
    }
}

void nx_cfg_yaml_read(nx_cfg_ctx *x, nx_slice text, nx_cfg_node **ret)
{
    *ret = NULL;
    if (text.n > NX_CONFIG_FILE_BYTES) {
        nx_cfg_issue(x, (nx_cfg_mark){x->source, 0, 0, false}, "", NULL, "has %zu bytes; at most %u are read", text.n, NX_CONFIG_FILE_BYTES);
        return;
    }
    if (nx_slice_starts(text, NX_SLICE("\xef\xbb\xbf")))
        text = nx_slice_sub(text, 3, text.n);
    if (text.n == 0 || !bytes_are_text(x, text))
        return;

    struct fy_diag *diag = diag_new();
    struct fy_parse_cfg cfg = {
        .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE,
        .diag = diag,
    };
    struct fy_parser *parser = diag ? fy_parser_create(&cfg) : NULL;
    if (!parser || fy_parser_set_string(parser, text.p, text.n) != 0) {
        x->err = NX_ENOMEM;
    } else {
        builder b = {.x = x, .text = text};
        read_events(&b, parser, diag);
        if (x->err != NX_ENOMEM && b.root && !(b.root->kind == NX_CFG_NODE_SCALAR && b.root->is_null))
            *ret = b.root;
    }
    fy_parser_destroy(parser);
    fy_diag_destroy(diag);
}
