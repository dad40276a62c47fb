/* Tree -> nx_config, by the table. Nothing stops at the first thing that is wrong: it is reported and left at its default. */
#include "config_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the path of messages */

static size_t path_push(nx_cfg_ctx *x, const char *text)
{
    size_t was = x->path_n;
    size_t n = strlen(text);
    size_t room = sizeof x->path - 1 - x->path_n;
    if (n > room)
        n = room;
    memcpy(x->path + x->path_n, text, n);
    x->path_n += n;
    x->path[x->path_n] = '\0';
    return was;
}

size_t nx_cfg_path_push(nx_cfg_ctx *x, nx_slice key)
{
    char shown[NX_CFG_SHOW_BYTES], text[NX_CFG_SHOW_BYTES + 2];
    bool is_word = key.n > 0 && key.n <= 64;
    for (size_t i = 0; is_word && i < key.n; i++) {
        char c = key.p[i];
        is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    }
    const char *dot = x->path_n ? "." : "";
    if (is_word)
        snprintf(text, sizeof text, "%s%.*s", dot, NX_SLICE_FMT(key));
    else
        snprintf(text, sizeof text, "%s%s", dot, nx_cfg_show(key, shown));
    return path_push(x, text);
}

static size_t path_push_index(nx_cfg_ctx *x, unsigned i)
{
    char text[16];
    snprintf(text, sizeof text, "[%u]", i);
    return path_push(x, text);
}

void nx_cfg_path_pop(nx_cfg_ctx *x, size_t was)
{
    x->path_n = was;
    x->path[was] = '\0';
}

/* ---- keys */

static const char *parent_name(const nx_cfg_row *row, char out[80])
{
    const char *path = row->path;
    const char *key = nx_cfg_row_key(row);
    if (key == path)
        return "the top level";
    if (nx_cfg_row_is_function(row))
        path += sizeof NX_CFG_IN_FUNCTION;
    if (key <= path)
        return "a function";
    snprintf(out, 80, "%.*s", (int)(key - 1 - path), path);
    return out;
}

/* Where the key does exist: in a function, or outside. */
static bool advise_place(nx_slice key, bool in_function, char *out, size_t out_bytes)
{
    char parent[80];
    for (unsigned i = 0; i < nx_cfg_n_rows; i++) {
        const nx_cfg_row *row = &nx_cfg_rows[i];
        if (nx_cfg_row_is_function(row) == in_function && nx_slice_eq_cstr(key, nx_cfg_row_key(row))) {
            snprintf(out, out_bytes, "it belongs under %s", parent_name(row, parent));
            return true;
        }
    }
    return false;
}

/* The section of a function, or of the node, where the key does exist, else a near name, else a place on the other side, else what is known here. */
static void advise_key(const char *prefix, nx_slice key, char *out, size_t out_bytes)
{
    const char *near = nx_cfg_nearest_key(prefix, key);
    bool in_function = strncmp(prefix, NX_CFG_IN_FUNCTION, sizeof NX_CFG_IN_FUNCTION - 1) == 0;
    out[0] = '\0';
    if (advise_place(key, in_function, out, out_bytes))
        return;
    if (near) {
        snprintf(out, out_bytes, "did you mean %s?", near);
        return;
    }
    if (advise_place(key, !in_function, out, out_bytes))
        return;
    size_t n = (size_t)snprintf(out, out_bytes, "known here:");
    for (unsigned i = 0; i < nx_cfg_n_rows; i++) {
        const nx_cfg_row *row = &nx_cfg_rows[i];
        if (!nx_cfg_row_is_child_of(row, prefix))
            continue;
        int more = snprintf(out + n, out_bytes - n, "%s %s", out[n - 1] == ':' ? "" : ",", nx_cfg_row_key(row));
        if (more < 0 || (size_t)more >= out_bytes - n) { /* too many to be of help */
            out[0] = '\0';
            return;
        }
        n += (size_t)more;
    }
}

static void unknown_key(nx_cfg_ctx *x, const char *prefix, const nx_cfg_node *n)
{
    char advice[160];
    if (nx_slice_eq_cstr(n->key, "<<")) {
        nx_cfg_issue(x, nx_cfg_mark_key(x, n), NULL, "write the keys out", "merge keys are not supported");
        return;
    }
    if (n->key.n == 0 || nx_slice_eq_cstr(n->key, "?") || nx_slice_eq_cstr(n->key, "*"))
        return; /* reported by the reader */
    advise_key(prefix, n->key, advice, sizeof advice);
    nx_cfg_issue(x, nx_cfg_mark_key(x, n), NULL, advice, "unknown key");
}

const nx_cfg_node *nx_cfg_earlier_twin(const nx_cfg_node *parent, const nx_cfg_node *n)
{
    for (const nx_cfg_node *c = parent->first; c != n; c = c->next) {
        if (nx_slice_eq(c->key, n->key))
            return c;
    }
    return NULL;
}

static const nx_cfg_node *find_child(const nx_cfg_node *parent, const char *key)
{
    for (const nx_cfg_node *c = parent->kind == NX_CFG_NODE_MAP ? parent->first : NULL; c; c = c->next) {
        if (nx_slice_eq_cstr(c->key, key))
            return c;
    }
    return NULL;
}

static bool is_required_here(const nx_cfg_ctx *x, const nx_cfg_row *row)
{
    if (!row->is_required || x->is_user_file)
        return false;
    if (row->shape == NX_CFG_FUNCTIONS)
        return !(x->flags & NX_CONFIG_NO_FUNCTIONS);
    if (strcmp(row->path, NX_CFG_IN_FUNCTION ".code") == 0)
        return !(x->flags & NX_CONFIG_STORED);
    return true;
}

static void report_missing(nx_cfg_ctx *x, const char *prefix, const nx_cfg_node *map)
{
    for (unsigned i = 0; i < nx_cfg_n_rows; i++) {
        const nx_cfg_row *row = &nx_cfg_rows[i];
        if (!is_required_here(x, row) || !nx_cfg_row_is_child_of(row, prefix) || find_child(map, nx_cfg_row_key(row)))
            continue;
        char suggestion[160];
        snprintf(suggestion, sizeof suggestion, "add %s: %s", nx_cfg_row_key(row), row->example);
        /* An absent mapping (`http:` with nothing after it) has no place of its own but its key's. */
        nx_cfg_mark at = map->kind == NX_CFG_NODE_MAP ? nx_cfg_mark_of(x, map) : nx_cfg_mark_key(x, map);
        size_t was = nx_cfg_path_push(x, nx_slice_cstr(nx_cfg_row_key(row)));
        nx_cfg_issue(x, at, NULL, suggestion, "is missing");
        nx_cfg_path_pop(x, was);
    }
}

/* ---- values */

static const char *kind_name(const nx_cfg_node *n)
{
    return n->kind == NX_CFG_NODE_MAP ? "a mapping" : n->kind == NX_CFG_NODE_SEQ ? "a list"
                                                  : n->is_null                   ? "empty"
                                                                                 : "one value";
}

/* False where something else stands there; null is left to the caller. */
bool nx_cfg_is_kind(nx_cfg_ctx *x, const nx_cfg_node *n, nx_cfg_node_kind kind, const char *expected, const char *example)
{
    if (n->is_broken)
        return false;
    if (n->kind == kind)
        return true;
    char suggestion[160] = "";
    if (example)
        snprintf(suggestion, sizeof suggestion, "try %s", example);
    nx_cfg_issue(x, nx_cfg_mark_of(x, n), NULL, suggestion, "must be %s, not %s", expected, kind_name(n));
    return false;
}

bool nx_cfg_report_null(nx_cfg_ctx *x, const nx_cfg_node *n, const char *example)
{
    char suggestion[160] = "remove the key";
    if (!n->is_null)
        return false;
    if (example)
        snprintf(suggestion, sizeof suggestion, "remove the key, or give it a value like %s", example);
    nx_cfg_issue(x, nx_cfg_mark_of(x, n), NULL, suggestion, "has no value");
    return true;
}

static bool read_scalar(nx_cfg_ctx *x, const nx_cfg_row *row, void *base, const nx_cfg_node *n)
{
    const char *example = row->example ? row->example : row->def;
    if (!nx_cfg_is_kind(x, n, NX_CFG_NODE_SCALAR, "one value", example) || nx_cfg_report_null(x, n, example))
        return false;
    if ((row->shape == NX_CFG_BOOL || row->shape == NX_CFG_INT || row->shape == NX_CFG_DECIMAL) && !n->is_plain) {
        nx_cfg_issue(x, nx_cfg_mark_of(x, n), NULL, "leave out the quotes", "is text, not %s", row->shape == NX_CFG_BOOL ? "a boolean" : "a number");
        return false;
    }
    return nx_cfg_set(x, row, base, n->text, nx_cfg_mark_of(x, n));
}

static int compare_slices(nx_slice a, nx_slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

static int compare_items(const void *a, const void *b)
{
    return compare_slices(*(const nx_slice *)a, *(const nx_slice *)b);
}

static int compare_vars(const void *a, const void *b)
{
    return compare_slices(((const nx_kv *)a)->key, ((const nx_kv *)b)->key);
}

static void put_list(const nx_cfg_row *row, void *base, void *items, unsigned count)
{
    memcpy((char *)base + row->at, &items, sizeof items);
    memcpy((char *)base + row->count_at, &count, sizeof count);
}

/* {schedule: …, timezone: …} as the text that it stands for. False: an issue was added. */
static bool zoned_schedule(nx_cfg_ctx *x, const nx_cfg_node *map, nx_slice *ret)
{
    nx_slice schedule = NX_SLICE_NULL, zone = NX_SLICE_NULL;
    for (const nx_cfg_node *c = map->first; c; c = c->next) {
        size_t was = nx_cfg_path_push(x, c->key);
        bool is_schedule = nx_slice_eq_cstr(c->key, "schedule"), is_fine = false;
        if (!is_schedule && !nx_slice_eq_cstr(c->key, "timezone"))
            nx_cfg_issue(x, nx_cfg_mark_key(x, c), NULL, "a schedule has the keys schedule and timezone", "unknown key");
        else if (nx_cfg_earlier_twin(map, c))
            nx_cfg_issue(x, nx_cfg_mark_key(x, c), NULL, NULL, "appears twice; first on line %u", nx_cfg_earlier_twin(map, c)->key_line);
        else
            is_fine = nx_cfg_is_kind(x, c, NX_CFG_NODE_SCALAR, "one value", NULL) && !nx_cfg_report_null(x, c, is_schedule ? "\"0 9 * * *\"" : "Europe/Berlin");
        nx_cfg_path_pop(x, was);
        if (!is_fine)
            return false;
        *(is_schedule ? &schedule : &zone) = c->text;
    }
    if (!schedule.p) {
        nx_cfg_issue(x, nx_cfg_mark_of(x, map), NULL, "add schedule: \"0 9 * * *\"", "has no schedule");
        return false;
    }
    char *text = nx_arena_printf(x->read, zone.p ? "TZ=%.*s %.*s" : "%.*s%.*s", NX_SLICE_FMT(zone), NX_SLICE_FMT(schedule));
    *ret = nx_slice_cstr(text);
    if (!text)
        x->err = NX_ENOMEM;
    return text;
}

static void add_item(nx_cfg_ctx *x, const nx_cfg_row *row, const nx_cfg_node *n, nx_slice *items, unsigned *count)
{
    nx_slice text = n->text;
    bool is_map = row->shape == NX_CFG_CRON && n->kind == NX_CFG_NODE_MAP && !n->is_broken;
    if (is_map ? !zoned_schedule(x, n, &text) : !nx_cfg_is_kind(x, n, NX_CFG_NODE_SCALAR, "one value", NULL))
        return;
    if (n->is_null) {
        nx_cfg_issue(x, nx_cfg_mark_of(x, n), NULL, "remove it", "is empty");
        return;
    }
    if (!nx_cfg_check_string(x, row->format, text, nx_cfg_mark_of(x, n)))
        return;
    for (unsigned i = 0; i < *count; i++) {
        if (nx_slice_eq(items[i], text)) {
            nx_cfg_issue(x, nx_cfg_mark_of(x, n), NULL, "remove it", "stands in the list already");
            return;
        }
    }
    nx_slice copy = nx_arena_dup(x->arena, text);
    if (!copy.p) {
        x->err = NX_ENOMEM;
        return;
    }
    items[(*count)++] = copy;
}

static void read_list(nx_cfg_ctx *x, const nx_cfg_row *row, void *base, const nx_cfg_node *n)
{
    bool is_one = row->shape != NX_CFG_LIST && (n->kind == NX_CFG_NODE_SCALAR || (row->shape == NX_CFG_CRON && n->kind == NX_CFG_NODE_MAP));
    if (n->is_broken || nx_cfg_report_null(x, n, row->example))
        return;
    if (!is_one && !nx_cfg_is_kind(x, n, NX_CFG_NODE_SEQ, row->shape == NX_CFG_LIST ? "a list" : "one value or a list", row->example))
        return;
    if (n->n > NX_CFG_LIST_MAX) {
        nx_cfg_issue(x, nx_cfg_mark_of(x, n), NULL, NULL, "has %u items; at most %u are allowed", n->n, NX_CFG_LIST_MAX);
        return;
    }
    nx_slice *items = nx_arena_calloc(x->arena, is_one ? 1 : n->n + 1, sizeof *items);
    unsigned count = 0;
    if (!items) {
        x->err = NX_ENOMEM;
        return;
    }
    if (is_one)
        add_item(x, row, n, items, &count);
    else if (n->n == 0)
        nx_cfg_issue(x, nx_cfg_mark_of(x, n), NULL, "remove the key", "is an empty list");
    unsigned i = 0;
    for (const nx_cfg_node *c = n->first; c && !is_one; c = c->next) {
        size_t was = path_push_index(x, i++);
        add_item(x, row, c, items, &count);
        nx_cfg_path_pop(x, was);
    }
    /* Order means nothing where items are subscriptions; sorted, equal settings are equal bytes. */
    if (row->shape != NX_CFG_LIST)
        qsort(items, count, sizeof *items, compare_items);
    put_list(row, base, items, count);
}

static bool read_var(nx_cfg_ctx *x, const nx_cfg_row *row, const nx_cfg_node *n, nx_kv *ret)
{
    nx_cfg_why why = {{0}, {0}};
    if (!nx_cfg_env_name_check(n->key, &why)) {
        nx_cfg_issue(x, nx_cfg_mark_key(x, n), NULL, why.suggestion, "%s", why.reason);
        return false;
    }
    if (!nx_cfg_is_kind(x, n, NX_CFG_NODE_SCALAR, "text", NULL))
        return false;
    if (n->is_null) {
        nx_cfg_issue(x, nx_cfg_mark_of(x, n), NULL, "write \"\" for an empty value", "has no value");
        return false;
    }
    if (!nx_cfg_check_string(x, row->format, n->text, nx_cfg_mark_of(x, n)))
        return false;
    *ret = (nx_kv){nx_arena_dup(x->arena, n->key), nx_arena_dup(x->arena, n->text)};
    if (!ret->key.p || !ret->value.p)
        x->err = NX_ENOMEM;
    return ret->key.p && ret->value.p;
}

static void read_env(nx_cfg_ctx *x, const nx_cfg_row *row, void *base, const nx_cfg_node *n)
{
    if (n->is_null || !nx_cfg_is_kind(x, n, NX_CFG_NODE_MAP, "a mapping of names to texts", row->example))
        return;
    if (n->n > NX_CFG_KEYS_MAX) {
        nx_cfg_issue(x, nx_cfg_mark_of(x, n), NULL, NULL, "has %u variables; at most %u are allowed", n->n, NX_CFG_KEYS_MAX);
        return;
    }
    nx_kv *vars = nx_arena_calloc(x->arena, n->n + 1, sizeof *vars);
    unsigned count = 0;
    size_t bytes = 0;
    if (!vars) {
        x->err = NX_ENOMEM;
        return;
    }
    for (const nx_cfg_node *c = n->first; c; c = c->next) {
        size_t was = nx_cfg_path_push(x, c->key);
        const nx_cfg_node *twin = nx_cfg_earlier_twin(n, c);
        if (nx_slice_eq_cstr(c->key, "<<"))
            nx_cfg_issue(x, nx_cfg_mark_key(x, c), NULL, "write the keys out", "merge keys are not supported");
        else if (twin)
            nx_cfg_issue(x, nx_cfg_mark_key(x, c), NULL, NULL, "appears twice; first on line %u", twin->key_line);
        else if (read_var(x, row, c, &vars[count])) {
            bytes += vars[count].key.n + vars[count].value.n + 2;
            count++;
        }
        nx_cfg_path_pop(x, was);
    }
    if (bytes > NX_CFG_ENV_BYTES)
        nx_cfg_issue(x, nx_cfg_mark_of(x, n), NULL, NULL, "has %zu bytes; at most %u are allowed", bytes, NX_CFG_ENV_BYTES);
    qsort(vars, count, sizeof *vars, compare_vars);
    put_list(row, base, vars, count);
}

/* ---- sections */

static void read_section(nx_cfg_ctx *x, const char *prefix, void *base, nx_cfg_mark *marks, const nx_cfg_node *map);

static void read_function(nx_cfg_ctx *x, unsigned i, const nx_cfg_node *n)
{
    nx_fn_config *f = &x->config->functions[i];
    nx_cfg_mark *marks = nx_cfg_fn_marks(x, i);
    marks[nx_cfg_row_index(nx_cfg_row_find("functions"))] = nx_cfg_mark_of(x, n);
    f->line = n->line;
    for (unsigned k = 0; k < nx_cfg_n_rows; k++) {
        const nx_cfg_row *row = &nx_cfg_rows[k];
        if (nx_cfg_row_is_function(row) && row->def && nx_cfg_row_is_scalar(row))
            nx_cfg_set(x, row, f, nx_slice_cstr(row->def), (nx_cfg_mark){0});
    }
    if (nx_cfg_is_kind(x, n, NX_CFG_NODE_MAP, "a mapping", "- name: hello"))
        read_section(x, NX_CFG_IN_FUNCTION, f, marks, n);
    if (!nx_cfg_is_set(&marks[nx_cfg_row_index(nx_cfg_row_find("functions[].on.http"))]))
        f->http_method = NX_SLICE_NULL; /* the default method is one of a route */
}

static void read_functions(nx_cfg_ctx *x, const nx_cfg_node *n)
{
    if (n->is_null) {
        if (!(x->flags & NX_CONFIG_NO_FUNCTIONS))
            nx_cfg_issue(x, nx_cfg_mark_of(x, n), NULL, "begin each function with - name: NAME", "has no value");
        return;
    }
    if (n->kind == NX_CFG_NODE_MAP && !n->is_broken) {
        nx_cfg_issue(x, nx_cfg_mark_of(x, n), NULL, "begin each function with - name: NAME", "must be a list, not a mapping");
        return;
    }
    if (!nx_cfg_is_kind(x, n, NX_CFG_NODE_SEQ, "a list", NULL))
        return;
    if (n->n > NX_CONFIG_FUNCTIONS_MAX) {
        nx_cfg_issue(x, nx_cfg_mark_of(x, n), NULL, NULL, "has %u functions; at most %u are allowed", n->n, NX_CONFIG_FUNCTIONS_MAX);
        return;
    }
    if (n->n == 0 && !(x->flags & NX_CONFIG_NO_FUNCTIONS))
        nx_cfg_issue(x, nx_cfg_mark_of(x, n), NULL, "begin each function with - name: NAME", "is an empty list");
    nx_config *c = x->config;
    c->functions = nx_arena_calloc(x->arena, n->n + 1, sizeof *c->functions);
    x->fn_marks = nx_arena_calloc(x->read, ((size_t)n->n + 1) * nx_cfg_n_rows, sizeof *x->fn_marks);
    if (!c->functions || !x->fn_marks) {
        x->err = NX_ENOMEM;
        return;
    }
    c->n_functions = n->n;
    unsigned i = 0;
    for (const nx_cfg_node *f = n->first; f && x->err != NX_ENOMEM; f = f->next, i++) {
        size_t was = path_push_index(x, i);
        read_function(x, i, f);
        nx_cfg_path_pop(x, was);
    }
}

static void read_value(nx_cfg_ctx *x, const nx_cfg_row *row, void *base, nx_cfg_mark *marks, const nx_cfg_node *n)
{
    if (x->is_user_file && row->is_project) {
        nx_cfg_issue(x, nx_cfg_mark_key(x, n), NULL, "move it to the project's nexus.yaml", "does not belong into a user's settings");
        return;
    }
    unsigned n_before;
    nx_cfg_mark *mark = &marks[nx_cfg_row_index(row)];
    if (row->list_row && (n->kind == NX_CFG_NODE_SEQ || (n->kind == NX_CFG_NODE_SCALAR && !n->is_null))) {
        *mark = nx_cfg_mark_key(x, n);
        row = nx_cfg_row_find(row->list_row); /* the short form stands for one key of the section */
        mark = &marks[nx_cfg_row_index(row)];
    }
    switch (row->shape) {
    case NX_CFG_SECTION:
        n_before = x->issues->n;
        *mark = nx_cfg_mark_key(x, n);
        if (n->is_null || nx_cfg_is_kind(x, n, NX_CFG_NODE_MAP, "a mapping", row->example))
            read_section(x, row->path, base, marks, n);
        mark->is_wrong = x->issues->n != n_before;
        return;
    case NX_CFG_FUNCTIONS:
        *mark = nx_cfg_mark_key(x, n);
        read_functions(x, n);
        return;
    case NX_CFG_LIST:
    case NX_CFG_ONE_OR_LIST:
    case NX_CFG_CRON:
        *mark = nx_cfg_mark_of(x, n);
        read_list(x, row, base, n);
        return;
    case NX_CFG_ENV:
        *mark = nx_cfg_mark_of(x, n);
        read_env(x, row, base, n);
        return;
    case NX_CFG_SECRETS:
        *mark = nx_cfg_mark_of(x, n);
        nx_cfg_read_secrets(x, n);
        return;
    case NX_CFG_CONST:
    case NX_CFG_STRING:
    case NX_CFG_ENUM:
    case NX_CFG_DURATION:
    case NX_CFG_SIZE:
    case NX_CFG_INT:
    case NX_CFG_DECIMAL:
    case NX_CFG_BOOL:
        *mark = nx_cfg_mark_of(x, n);
        mark->is_wrong = !read_scalar(x, row, base, n);
        return;
    }
}

/* map may be null: a section that is named and left empty. */
static void read_section(nx_cfg_ctx *x, const char *prefix, void *base, nx_cfg_mark *marks, const nx_cfg_node *map)
{
    if (map->n > NX_CFG_KEYS_MAX) {
        nx_cfg_issue(x, nx_cfg_mark_of(x, map), NULL, NULL, "has %u keys; at most %u are allowed", map->n, NX_CFG_KEYS_MAX);
        return;
    }
    for (const nx_cfg_node *c = map->first; c && x->err != NX_ENOMEM; c = c->next) {
        size_t was = nx_cfg_path_push(x, c->key);
        const nx_cfg_row *row = nx_cfg_row_child(prefix, c->key);
        const nx_cfg_node *twin = row ? nx_cfg_earlier_twin(map, c) : NULL;
        if (!row)
            unknown_key(x, prefix, c);
        else if (twin)
            nx_cfg_issue(x, nx_cfg_mark_key(x, c), NULL, NULL, "appears twice; first on line %u", twin->key_line);
        else
            read_value(x, row, base, marks, c);
        nx_cfg_path_pop(x, was);
    }
    report_missing(x, prefix, map);
}

void nx_cfg_read_root(nx_cfg_ctx *x, const nx_cfg_node *root)
{
    if (nx_cfg_is_kind(x, root, NX_CFG_NODE_MAP, "a mapping of keys to values", "version: v1"))
        read_section(x, "", x->config, x->marks, root);
}

void nx_cfg_override(nx_cfg_ctx *x, const nx_config_override *o)
{
    char path[64], env_name[NX_CFG_ENV_NAME_BYTES], advice[160];
    nx_cfg_mark at = {nx_arena_cstr(x->read, o->origin), 0, 0, false};
    if (!at.source) {
        x->err = NX_ENOMEM;
        return;
    }
    const nx_cfg_row *row = nx_slice_to_cstr(o->path, path, sizeof path) == NX_OK ? nx_cfg_row_find(path) : NULL;
    size_t was = nx_cfg_path_push(x, o->path);
    if (!row) {
        advise_key("", o->path, advice, sizeof advice);
        nx_cfg_issue(x, at, NULL, advice, "unknown key");
    } else if (nx_cfg_row_env_name(row, env_name) == 0) {
        nx_cfg_issue(x, at, row->path, "set it in nexus.yaml", "can only be set in the file");
    } else {
        nx_cfg_path_pop(x, was);
        path_push(x, row->path);
        nx_cfg_mark *mark = &x->marks[nx_cfg_row_index(row)];
        *mark = at;
        mark->is_wrong = !nx_cfg_set(x, row, x->config, o->value, at);
    }
    nx_cfg_path_pop(x, was);
}
