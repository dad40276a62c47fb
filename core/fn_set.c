/* fn_set.c: a set of functions, found by name: what one apply has, or wants to have. */
#include "fn.h"
#include <stdlib.h>

/* Open addressing over places of `v`, counted from 1; at most half full. */
static void index_put(nx_core_fn_set *s, unsigned at)
{
    uint32_t mask = s->n_index - 1, i = nx_slice_hash(nx_slice_cstr(s->v[at]->name)) & mask;
    while (s->index[i])
        i = (i + 1) & mask;
    s->index[i] = at + 1;
}

static nx_err grow(nx_core_fn_set *s)
{
    unsigned cap = s->cap ? s->cap * 2 : 16;
    nx_core_fn **v = realloc(s->v, cap * sizeof(nx_core_fn *));
    if (!v)
        return NX_ENOMEM;
    s->v = v;
    unsigned *index = calloc(2u * cap, sizeof *index);
    if (!index)
        return NX_ENOMEM;
    free(s->index);
    s->index = index;
    s->n_index = 2 * cap;
    s->cap = cap;
    for (unsigned i = 0; i < s->n; i++)
        index_put(s, i);
    return NX_OK;
}

nx_err nx_core_fn_set_add(nx_core_fn_set *s, nx_core_fn *take_fn)
{
    if (s->n == s->cap && grow(s) != NX_OK) {
        nx_core_fn_unref(take_fn);
        return NX_ENOMEM;
    }
    s->v[s->n++] = take_fn;
    index_put(s, s->n - 1);
    return NX_OK;
}

nx_err nx_core_fn_set_add_absent(nx_core_fn_set *s, nx_config *take_cfg)
{
    nx_config **v = realloc(s->absent, (s->n_absent + 1u) * sizeof(nx_config *));
    if (!v) {
        nx_config_unref(take_cfg);
        return NX_ENOMEM;
    }
    s->absent = v;
    s->absent[s->n_absent++] = take_cfg;
    return NX_OK;
}

nx_core_fn *nx_core_fn_set_find(const nx_core_fn_set *s, const char *name)
{
    uint32_t mask = s->n_index - 1;
    if (!s->n_index)
        return NULL;
    for (uint32_t i = nx_slice_hash(nx_slice_cstr(name)) & mask; s->index[i]; i = (i + 1) & mask)
        if (strcmp(s->v[s->index[i] - 1]->name, name) == 0)
            return s->v[s->index[i] - 1];
    return NULL;
}

void nx_core_fn_set_done(nx_core_fn_set *s)
{
    for (unsigned i = 0; i < s->n; i++)
        nx_core_fn_unref(s->v[i]);
    for (unsigned i = 0; i < s->n_absent; i++)
        nx_config_unref(s->absent[i]);
    free(s->v);
    free(s->index);
    free(s->absent);
    *s = (nx_core_fn_set){0};
}
