/* Collecting what is wrong with a configuration, and saying it to people and programs. */
#include "config_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Cuts an overlong text at a character boundary: messages hold user input and must stay UTF-8. */
static void cut_utf8(char *s)
{
    size_t n = strlen(s);
    while (n > 0 && !nx_slice_is_utf8(nx_slice_make(s, n)))
        n--;
    s[n] = '\0';
}

static void copy_text(char *dst, size_t dst_bytes, const char *src)
{
    snprintf(dst, dst_bytes, "%s", src ? src : "");
    cut_utf8(dst);
}

/* NULL: there are too many already, or (*err) no memory. */
static nx_config_issue *issue_new(nx_config_issues *all, nx_err *err)
{
    if (all->n >= NX_CONFIG_ISSUES_MAX) {
        all->is_cut = true;
        return NULL;
    }
    if (all->n == all->cap) {
        unsigned cap = all->cap ? all->cap * 2 : 8;
        nx_config_issue *v = realloc(all->v, cap * sizeof *v);
        if (!v) {
            *err = NX_ENOMEM;
            return NULL;
        }
        all->v = v;
        all->cap = cap;
    }
    nx_config_issue *i = &all->v[all->n++];
    memset(i, 0, sizeof *i);
    return i;
}

nx_err nx_config_issues_add(nx_config_issues *all, const nx_config_issue *issue)
{
    nx_err err = NX_OK;
    nx_config_issue *i = issue_new(all, &err);
    if (i) {
        *i = *issue;
        cut_utf8(i->path);
        cut_utf8(i->reason);
        cut_utf8(i->suggestion);
    }
    return err;
}

void nx_cfg_issue(nx_cfg_ctx *x, nx_cfg_mark at, const char *path, const char *suggestion, const char *fmt, ...)
{
    if (!x->err)
        x->err = NX_EINVAL;
    nx_config_issue *i = issue_new(x->issues, &x->err);
    if (!i)
        return;
    copy_text(i->path, sizeof i->path, path ? path : x->path);
    copy_text(i->suggestion, sizeof i->suggestion, suggestion);
    copy_text(i->source, sizeof i->source, at.source);
    i->line = at.line;
    i->column = at.column;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(i->reason, sizeof i->reason, fmt, ap);
    va_end(ap);
    cut_utf8(i->reason);
}

/* Layers stay in the order in which they were read; within one, the order is that of the file. */
static bool is_before(const nx_config_issues *all, unsigned from, const nx_config_issue *a, const nx_config_issue *b)
{
    if (strcmp(a->source, b->source) != 0) {
        for (unsigned k = from; k < all->n; k++) {
            if (strcmp(all->v[k].source, a->source) == 0)
                return true;
            if (strcmp(all->v[k].source, b->source) == 0)
                return false;
        }
    }
    return a->line != b->line ? a->line < b->line : a->column < b->column;
}

void nx_cfg_issues_sort(nx_config_issues *all, unsigned from)
{
    for (unsigned k = from; k + 1 < all->n; k++) {
        for (unsigned j = k + 1; j > from && is_before(all, from, &all->v[j], &all->v[j - 1]); j--) {
            nx_config_issue held = all->v[j];
            all->v[j] = all->v[j - 1];
            all->v[j - 1] = held;
        }
    }
}

void nx_config_issues_done(nx_config_issues *i)
{
    if (!i)
        return;
    free(i->v);
    *i = (nx_config_issues){0};
}

const char *nx_cfg_show(nx_slice s, char out[NX_CFG_SHOW_BYTES])
{
    size_t n = 0, chars = 0;
    out[n++] = '"';
    for (size_t k = 0; k < s.n; k++) {
        unsigned char c = (unsigned char)s.p[k];
        bool is_start = (c & 0xc0) != 0x80;
        if (is_start && ++chars > 40) {
            memcpy(out + n, "…", sizeof "…" - 1);
            n += sizeof "…" - 1;
            break;
        }
        if (c == '\n' || c == '\t' || c == '\r') {
            out[n++] = '\\';
            out[n++] = c == '\n' ? 'n' : c == '\t' ? 't'
                                                   : 'r';
        } else if (c < 0x20 || c == 0x7f) {
            out[n++] = '?';
        } else {
            out[n++] = (char)c;
        }
    }
    out[n++] = '"';
    out[n] = '\0';
    return out;
}

/* Levenshtein distance, or `more` where it is not below. Names longer than the row are never near. */
#define NEAR_BYTES 40
static unsigned distance(nx_slice a, nx_slice b, unsigned more)
{
    unsigned row[NEAR_BYTES + 1];
    if (a.n > NEAR_BYTES || b.n > NEAR_BYTES)
        return more;
    for (unsigned j = 0; j <= b.n; j++)
        row[j] = j;
    for (unsigned i = 1; i <= a.n; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= b.n; j++) {
            char ca = a.p[i - 1], cb = b.p[j - 1];
            /* Upper case and '-' for '_' cost nothing: both are habits of other tools. */
            ca = ca == '-' ? '_' : ca >= 'A' && ca <= 'Z' ? (char)(ca - 'A' + 'a')
                                                          : ca;
            cb = cb == '-' ? '_' : cb >= 'A' && cb <= 'Z' ? (char)(cb - 'A' + 'a')
                                                          : cb;
            unsigned best = diagonal + (ca == cb ? 0u : 1u);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[b.n] < more ? row[b.n] : more;
}

static unsigned allowed_distance(nx_slice s)
{
    return s.n <= 3 ? 2 : s.n <= 6 ? 3
                                   : 4; /* exclusive */
}

const char *nx_cfg_nearest_key(const char *prefix, nx_slice key)
{
    const char *nearest = NULL;
    unsigned best = allowed_distance(key);
    for (unsigned i = 0; i < nx_cfg_n_rows; i++) {
        if (!nx_cfg_row_is_child_of(&nx_cfg_rows[i], prefix))
            continue;
        const char *name = nx_cfg_row_key(&nx_cfg_rows[i]);
        unsigned d = distance(key, nx_slice_cstr(name), best);
        if (d < best) {
            best = d;
            nearest = name;
        }
    }
    return nearest;
}

const char *nx_cfg_nearest_choice(const char *const *choices, nx_slice value)
{
    const char *nearest = NULL;
    unsigned best = allowed_distance(value);
    for (; *choices; choices++) {
        unsigned d = distance(value, nx_slice_cstr(*choices), best);
        if (d < best) {
            best = d;
            nearest = *choices;
        }
    }
    return nearest;
}

static nx_err append_place(const nx_config_issues *all, const nx_config_issue *i, nx_buf *out)
{
    nx_err err = i->source[0] ? nx_buf_append_cstr(out, i->source)
                              : nx_buf_append_slice(out, all->file.n ? all->file : NX_SLICE("nexus.yaml"));
    if (!err && i->line)
        err = nx_buf_printf(out, ":%u:%u", i->line, i->column);
    return err;
}

/* A suggestion of several lines is a sample and stands below, indented. */
static nx_err append_suggestion(const char *s, nx_buf *out)
{
    if (!*s)
        return nx_buf_append_char(out, '\n');
    if (!strchr(s, '\n'))
        return nx_buf_printf(out, " (%s)\n", s);
    nx_err err = nx_buf_append_cstr(out, ":\n");
    while (!err && *s) {
        size_t n = strcspn(s, "\n");
        err = nx_buf_printf(out, "    %.*s\n", (int)n, s);
        s += n + (s[n] == '\n');
    }
    return err;
}

nx_err nx_config_issues_text(const nx_config_issues *all, nx_buf *out)
{
    nx_err err = NX_OK;
    for (unsigned k = 0; k < all->n && !err; k++) {
        const nx_config_issue *i = &all->v[k];
        err = append_place(all, i, out);
        if (!err)
            err = nx_buf_append_cstr(out, ": ");
        if (!err && i->path[0])
            err = nx_buf_printf(out, "%s: ", i->path);
        if (!err)
            err = nx_buf_append_cstr(out, i->reason);
        if (!err)
            err = append_suggestion(i->suggestion, out);
    }
    if (!err && all->is_cut)
        err = nx_buf_printf(out, "%.*s: more than %d problems; the rest is not shown\n", NX_SLICE_FMT(all->file), NX_CONFIG_ISSUES_MAX);
    return err;
}

nx_err nx_config_issues_json(const nx_config_issues *all, nx_buf *out)
{
    nx_jw w = NX_JW_INIT(out);
    nx_jw_object(&w);
    nx_jw_kbool(&w, "valid", all->n == 0);
    nx_jw_kstr(&w, "file", all->file);
    nx_jw_kbool(&w, "is_cut", all->is_cut);
    nx_jw_key(&w, "issues");
    nx_jw_array(&w);
    for (unsigned k = 0; k < all->n; k++) {
        const nx_config_issue *i = &all->v[k];
        nx_jw_object(&w);
        if (i->source[0])
            nx_jw_kcstr(&w, "source", i->source);
        else
            nx_jw_kstr(&w, "source", all->file);
        nx_jw_ku64(&w, "line", i->line);
        nx_jw_ku64(&w, "column", i->column);
        nx_jw_kcstr(&w, "path", i->path);
        nx_jw_kcstr(&w, "reason", i->reason);
        nx_jw_kcstr(&w, "suggestion", i->suggestion);
        nx_jw_object_end(&w);
    }
    nx_jw_array_end(&w);
    nx_jw_object_end(&w);
    return nx_jw_err(&w);
}
