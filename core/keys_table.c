/* keys_table.c: see keys.h. As text: a line "n ID BEAT" for each node, then one "f NAME NODE:RANGES …" for each function, where NODE is the place of the
 * node's line, from 0, and RANGES are the bits of its ranges in hexadecimal; NODE-RANGES of one that does not run the function any more. */
#include "keys.h"
#include <stdio.h>
#include <stdlib.h>

static unsigned count_bits(uint32_t v) { return (unsigned)__builtin_popcount(v); }

static bool parse_node(nx_slice line, nx_core_keys_table *t)
{
    nx_core_keys_node *n = &t->nodes[t->n_nodes];
    nx_slice id = nx_slice_split(line, ' ', &line);
    if (t->n_nodes == NX_CORE_KEYS_NODES || nx_id_parse(id, &n->id) != NX_OK || nx_slice_u64(line, UINT64_MAX, &n->beat) != NX_OK)
        return false;
    t->n_nodes++;
    return true;
}

static bool parse_fn(nx_slice line, nx_core_keys_table *t)
{
    if (t->n_fns == NX_CORE_KEYS_FNS)
        return false;
    nx_core_keys_fn *f = &t->fns[t->n_fns];
    uint32_t all = 0;
    *f = (nx_core_keys_fn){0};
    if (nx_slice_to_cstr(nx_slice_split(line, ' ', &line), f->name, sizeof f->name) != NX_OK)
        return false;
    while (line.n) {
        nx_slice part = nx_slice_split(line, ' ', &line), ranges;
        bool is_member = memchr(part.p, ':', part.n) != NULL;
        uint64_t node;
        char hex[9], *end;
        if (nx_slice_u64(nx_slice_split(part, is_member ? ':' : '-', &ranges), t->n_nodes, &node) != NX_OK || node >= t->n_nodes ||
            nx_slice_to_cstr(ranges, hex, sizeof hex) != NX_OK)
            return false;
        f->has[node] = (uint32_t)strtoul(hex, &end, 16);
        if (*end || end == hex || (f->has[node] & all))
            return false; /* nobody may have what another one has */
        all |= f->has[node];
        f->members |= (uint64_t)is_member << node;
    }
    t->n_fns++;
    return true;
}

void nx_core_keys_parse(nx_slice text, nx_core_keys_table *ret)
{
    bool is_readable = true;
    ret->n_nodes = ret->n_fns = 0;
    while (text.n && is_readable) {
        nx_slice line = nx_slice_split(text, '\n', &text), kind = nx_slice_split(line, ' ', &line);
        is_readable = nx_slice_eq_cstr(kind, "n") ? parse_node(line, ret) : nx_slice_eq_cstr(kind, "f") && parse_fn(line, ret);
    }
    if (!is_readable)
        ret->n_nodes = ret->n_fns = 0;
}

nx_err nx_core_keys_format(const nx_core_keys_table *t, nx_buf *out)
{
    nx_err err = NX_OK;
    for (unsigned i = 0; err == NX_OK && i < t->n_nodes; i++)
        err = nx_buf_printf(out, "n %s %llu\n", t->nodes[i].id.s, (unsigned long long)t->nodes[i].beat);
    for (unsigned k = 0; err == NX_OK && k < t->n_fns; k++) {
        const nx_core_keys_fn *f = &t->fns[k];
        err = nx_buf_printf(out, "f %s", f->name);
        for (unsigned i = 0; err == NX_OK && i < t->n_nodes; i++)
            if (f->members >> i & 1 || f->has[i])
                err = nx_buf_printf(out, " %u%c%x", i, f->members >> i & 1 ? ':' : '-', f->has[i]);
        if (err == NX_OK)
            err = nx_buf_append_char(out, '\n');
    }
    return err;
}

int nx_core_keys_find_node(const nx_core_keys_table *t, const nx_id *id)
{
    for (unsigned i = 0; i < t->n_nodes; i++)
        if (strcmp(t->nodes[i].id.s, id->s) == 0)
            return (int)i;
    return -1;
}

int nx_core_keys_add_node(nx_core_keys_table *t, const nx_id *id)
{
    int at = nx_core_keys_find_node(t, id);
    if (at >= 0 || t->n_nodes == NX_CORE_KEYS_NODES)
        return at;
    t->nodes[t->n_nodes] = (nx_core_keys_node){.id = *id};
    return (int)t->n_nodes++;
}

static void drop_if_empty(nx_core_keys_table *t, nx_core_keys_fn *f)
{
    bool is_empty = !f->members;
    for (unsigned i = 0; i < t->n_nodes; i++)
        is_empty &= !f->has[i];
    if (is_empty)
        *f = t->fns[--t->n_fns];
}

void nx_core_keys_remove_node(nx_core_keys_table *t, unsigned node)
{
    t->n_nodes--;
    memmove(&t->nodes[node], &t->nodes[node + 1], (t->n_nodes - node) * sizeof t->nodes[0]);
    for (unsigned k = t->n_fns; k-- > 0;) {
        nx_core_keys_fn *f = &t->fns[k];
        uint64_t below = f->members & ((1ull << node) - 1), above = f->members >> node >> 1;
        f->members = below | above << node;
        memmove(&f->has[node], &f->has[node + 1], (NX_CORE_KEYS_NODES - 1 - node) * sizeof f->has[0]);
        f->has[NX_CORE_KEYS_NODES - 1] = 0;
        drop_if_empty(t, f);
    }
}

nx_core_keys_fn *nx_core_keys_find_fn(nx_core_keys_table *t, const char *name)
{
    for (unsigned k = 0; k < t->n_fns; k++)
        if (strcmp(t->fns[k].name, name) == 0)
            return &t->fns[k];
    return NULL;
}

nx_core_keys_fn *nx_core_keys_add_fn(nx_core_keys_table *t, const char *name)
{
    nx_core_keys_fn *f = nx_core_keys_find_fn(t, name);
    if (f || t->n_fns == NX_CORE_KEYS_FNS)
        return f;
    f = &t->fns[t->n_fns++];
    *f = (nx_core_keys_fn){0};
    snprintf(f->name, sizeof f->name, "%s", name);
    return f;
}

void nx_core_keys_leave_fn(nx_core_keys_table *t, nx_core_keys_fn *f, unsigned node)
{
    f->members &= ~(1ull << node);
    f->has[node] = 0;
    drop_if_empty(t, f);
}

int nx_core_keys_owner(const nx_core_keys_fn *f, unsigned range)
{
    for (unsigned i = 0; i < NX_CORE_KEYS_NODES; i++)
        if (f->has[i] >> range & 1)
            return (int)i;
    return -1;
}

/* The lowest n bits of `of`, or fewer. */
static uint32_t some(uint32_t of, unsigned n)
{
    uint32_t v = 0;
    for (; n && of; n--) {
        v |= of & -of;
        of &= of - 1;
    }
    return v;
}

uint32_t nx_core_keys_share(nx_core_keys_fn *f, unsigned node, uint32_t busy, uint32_t leaving, bool is_over)
{
    unsigned short_by = 0;
    uint32_t taken = 0;
    f->has[node] &= ~(leaving & ~busy);
    if (is_over) {
        f->members &= ~(1ull << node);
        return f->has[node];
    }
    f->members |= 1ull << node;
    unsigned n = (unsigned)__builtin_popcountll(f->members);
    unsigned least = NX_CORE_KEY_RANGES / n, most = (NX_CORE_KEY_RANGES + n - 1) / n;
    for (unsigned i = 0; i < NX_CORE_KEYS_NODES; i++) {
        taken |= f->has[i];
        if (i != node && f->members >> i & 1 && count_bits(f->has[i]) < least)
            short_by += least - count_bits(f->has[i]);
    }
    unsigned has = count_bits(f->has[node]), n_free = NX_CORE_KEY_RANGES - count_bits(taken);
    /* Not what it has just given up, so that those get it who need it. */
    if (has < most && !leaving)
        f->has[node] |= some(~taken, most - has);
    unsigned spare = has > least ? has - least : 0, wanted = short_by > n_free ? short_by - n_free : 0, n_leaves = spare < wanted ? spare : wanted;
    uint32_t still = some(leaving & f->has[node], n_leaves), idle = some(f->has[node] & ~busy & ~still, n_leaves - count_bits(still));
    uint32_t v = still | idle;
    return v | some(f->has[node] & ~v, n_leaves - count_bits(v));
}

bool nx_core_keys_is_shared_out(const nx_core_keys_fn *f)
{
    uint32_t taken = 0;
    for (unsigned i = 0; i < NX_CORE_KEYS_NODES; i++)
        taken |= f->has[i];
    return taken == UINT32_MAX;
}
