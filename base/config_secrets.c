/* Where the values of secrets come from: `secrets: {NAME: {file: FILE}, NAME: {env: VARIABLE}}`. Never the values themselves. */
#include "config_internal.h"

#include <stdlib.h>

static int compare_names(const void *a, const void *b)
{
    nx_slice x = ((const nx_secret_source *)a)->name, y = ((const nx_secret_source *)b)->name;
    int order = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);
    return order ? order : (x.n > y.n) - (x.n < y.n);
}

static bool read_place(nx_cfg_ctx *x, const nx_cfg_node *n, nx_secret_source *s)
{
    bool is_file = nx_slice_eq(n->key, NX_SLICE("file"));
    if (!is_file && !nx_slice_eq(n->key, NX_SLICE("env"))) {
        nx_cfg_issue(x, nx_cfg_mark_key(x, n), NULL, "known here: file, env", "unknown key");
        return false;
    }
    if (!nx_cfg_is_kind(x, n, NX_CFG_NODE_SCALAR, "one value", NULL) || nx_cfg_report_null(x, n, is_file ? "./stripe.key" : "STRIPE_KEY") ||
        !nx_cfg_check_string(x, is_file ? &nx_cfg_file : &nx_cfg_env_name, n->text, nx_cfg_mark_of(x, n)))
        return false;
    s->is_file = is_file;
    s->at = is_file ? nx_slice_cstr(nx_cfg_resolve(x->arena, x->dir, n->text)) : nx_arena_dup(x->arena, n->text);
    if (!s->at.p)
        x->err = NX_ENOMEM;
    return s->at.p != NULL;
}

static bool read_source(nx_cfg_ctx *x, const nx_cfg_node *n, nx_secret_source *s)
{
    if (!nx_cfg_check_string(x, &nx_cfg_secret_name, n->key, nx_cfg_mark_key(x, n)))
        return false;
    if (n->kind == NX_CFG_NODE_SCALAR && !n->is_null && !n->is_broken) { /* perhaps the value itself: it is not shown */
        nx_cfg_issue(x, nx_cfg_mark_of(x, n), NULL, "write {file: FILE} or {env: VARIABLE}; a value goes into the store: nexus secrets set", "is text: it has to say where the value is");
        return false;
    }
    if (!nx_cfg_is_kind(x, n, NX_CFG_NODE_MAP, "a mapping", "{file: ./stripe.key}"))
        return false;
    if (n->n != 1) {
        nx_cfg_issue(x, nx_cfg_mark_of(x, n), NULL, n->n ? "keep one of them" : NULL, "has %u places; one is needed: file or env", n->n);
        return false;
    }
    size_t was = nx_cfg_path_push(x, n->first->key);
    bool is_good = read_place(x, n->first, s);
    nx_cfg_path_pop(x, was);
    s->name = nx_arena_dup(x->arena, n->key);
    if (!s->name.p)
        x->err = NX_ENOMEM;
    return is_good && s->name.p;
}

/* A later layer's source of the same name stands in place of the earlier one. */
static void add_source(nx_config *c, const nx_secret_source *s)
{
    for (unsigned i = 0; i < c->n_secrets; i++)
        if (nx_slice_eq(c->secrets[i].name, s->name)) {
            c->secrets[i] = *s;
            return;
        }
    c->secrets[c->n_secrets++] = *s;
}

void nx_cfg_read_secrets(nx_cfg_ctx *x, const nx_cfg_node *n)
{
    nx_config *c = x->config;
    if (n->is_null || !nx_cfg_is_kind(x, n, NX_CFG_NODE_MAP, "a mapping of names to places", "{STRIPE_KEY: {file: ./stripe.key}}"))
        return;
    if (n->n > NX_CFG_KEYS_MAX) {
        nx_cfg_issue(x, nx_cfg_mark_of(x, n), NULL, NULL, "has %u secrets; at most %u are allowed", n->n, NX_CFG_KEYS_MAX);
        return;
    }
    nx_secret_source *before = c->secrets, *all = nx_arena_calloc(x->arena, (size_t)c->n_secrets + n->n + 1, sizeof *all);
    if (!all) {
        x->err = NX_ENOMEM;
        return;
    }
    if (c->n_secrets)
        memcpy(all, before, c->n_secrets * sizeof *all);
    c->secrets = all;
    for (const nx_cfg_node *s = n->first; s && x->err != NX_ENOMEM; s = s->next) {
        nx_secret_source source = {0};
        size_t was = nx_cfg_path_push(x, s->key);
        const nx_cfg_node *twin = nx_cfg_earlier_twin(n, s);
        if (twin)
            nx_cfg_issue(x, nx_cfg_mark_key(x, s), NULL, NULL, "appears twice; first on line %u", twin->key_line);
        else if (read_source(x, s, &source))
            add_source(c, &source);
        nx_cfg_path_pop(x, was);
    }
    qsort(all, c->n_secrets, sizeof *all, compare_names);
}
