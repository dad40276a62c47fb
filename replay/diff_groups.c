/* diff_groups.c: differences of many events, those of one shape together. */
#include "nx/diff_groups.h"
#include "nx/config.h"
#include "spread.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define WHAT_BYTES (NX_DIFF_SHAPE_MAX * 512u)
#define KNOWN_SLOTS 512u /* of a table of shapes: four times as many as there are groups */

typedef struct group {
    nx_sha256 shape;
    char function[NX_FUNCTION_NAME_BYTES + 1];
    bool is_failure;
    uint64_t count;
    nx_id examples[NX_DIFF_EXAMPLES];
    unsigned n_examples;
    char *what;  /* JSON array of the shape's lines */
    char *first; /* JSON of the first one's difference; NULL: too long */
} group;

/* Of one measure: what both sides used, where both ended in the same way. */
typedef struct measure {
    nx_spread before, after;
    uint64_t most_before, most_after;
    nx_id most_before_id, most_after_id;
    uint64_t grown_from, grown_to; /* the largest growth; equal: none */
    nx_id grown_id;
} measure;

struct nx_diff_groups {
    group v[NX_DIFF_GROUPS_MAX];
    unsigned n;
    uint64_t same, different, failed;
    uint64_t left_out; /* different or failed events whose shape came too late */
    size_t text_bytes; /* of `what` and `first` of all */
    measure fuel, memory;
    atomic_uint_least64_t known[KNOWN_SLOTS]; /* beginnings of shapes that are groups already; 0: free */
};

nx_err nx_diff_groups_new(nx_diff_groups **ret)
{
    *ret = calloc(1, sizeof **ret);
    return *ret ? NX_OK : NX_ENOMEM;
}

static void measure_done(measure *m)
{
    nx_spread_done(&m->before);
    nx_spread_done(&m->after);
}

void nx_diff_groups_free(nx_diff_groups *g)
{
    if (!g)
        return;
    for (unsigned i = 0; i < g->n; i++) {
        free(g->v[i].what);
        free(g->v[i].first);
    }
    measure_done(&g->fuel);
    measure_done(&g->memory);
    free(g);
}

uint64_t nx_diff_groups_different(const nx_diff_groups *g) { return g->different; }

/* ---- adding ---------------------------------------------------------------------------------------------------------------------------------- */

static nx_err measure_add(measure *m, const nx_id *id, uint64_t before, uint64_t after)
{
    bool is_first = m->before.count == 0;
    nx_err err = nx_spread_add(&m->before, before);
    if (err == NX_OK)
        err = nx_spread_add(&m->after, after);
    if (is_first || before > m->most_before) {
        m->most_before = before;
        m->most_before_id = *id;
    }
    if (is_first || after > m->most_after) {
        m->most_after = after;
        m->most_after_id = *id;
    }
    if (after > before && after - before > m->grown_to - m->grown_from) {
        m->grown_from = before;
        m->grown_to = after;
        m->grown_id = *id;
    }
    return err;
}

/* ---- shapes that are known: workers need not tell them again ---------------------------------------------------------------------------------- */

static uint64_t mark_of(const nx_sha256 *shape)
{
    uint64_t mark;
    memcpy(&mark, shape->b, sizeof mark);
    return mark ? mark : 1;
}

static bool is_known(nx_diff_groups *g, const nx_sha256 *shape)
{
    uint64_t mark = mark_of(shape);
    for (unsigned i = 0; i < KNOWN_SLOTS; i++) {
        uint64_t there = atomic_load_explicit(&g->known[(mark + i) % KNOWN_SLOTS], memory_order_relaxed);
        if (there == mark || there == 0)
            return there == mark;
    }
    return false;
}

static void make_known(nx_diff_groups *g, const nx_sha256 *shape)
{
    uint64_t mark = mark_of(shape);
    if (is_known(g, shape))
        return;
    for (unsigned i = 0; i < KNOWN_SLOTS; i++) {
        atomic_uint_least64_t *slot = &g->known[(mark + i) % KNOWN_SLOTS];
        if (atomic_load_explicit(slot, memory_order_relaxed) == 0) {
            atomic_store_explicit(slot, mark, memory_order_relaxed);
            return;
        }
    }
}

/* ---- notes ----------------------------------------------------------------------------------------------------------------------------------- */

/* The shape belongs to a function: that of one says nothing of another's. */
static nx_sha256 shape_in(nx_slice function, const nx_sha256 *shape)
{
    const nx_slice parts[] = {function, nx_slice_make(shape->b, sizeof shape->b)};
    return nx_sha256_of_parts(parts, NX_ARRAY_LEN(parts));
}

static nx_err write_texts(const nx_diff *d, nx_slice reason, nx_buf *what, nx_buf *first)
{
    nx_jw w = NX_JW_INIT(what), f = NX_JW_INIT(first);
    nx_jw_array(&w);
    for (unsigned i = 0; d && i < d->n_shape; i++)
        nx_jw_str(&w, d->shape[i]);
    if (!d)
        nx_jw_str(&w, reason);
    nx_jw_array_end(&w);
    nx_err err = nx_jw_err(&w);
    if (err == NX_OK && d && nx_diff_to_json(d, &f) != NX_OK)
        nx_buf_clear(first);
    return err;
}

nx_err nx_diff_note_write(nx_diff_groups *g, const nx_diff *d, nx_slice reason, nx_buf *out)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf what = NX_BUF_INIT(WHAT_BYTES);
    NX_CLEANUP(nx_buf_done)
    nx_buf first = NX_BUF_INIT(NX_DIFF_EXAMPLE_BYTES);
    nx_diff_note n = {.kind = !d ? NX_DIFF_NOTE_FAILED : d->is_same ? NX_DIFF_NOTE_SAME
                                                                    : NX_DIFF_NOTE_DIFFERENT};
    if (d) {
        const nx_run *x = d->before, *y = d->after;
        n.has_costs = !d->differs_in_status && nx_slice_eq(x->engine, y->engine) && nx_slice_eq(x->world, y->world) && nx_slice_eq(x->arch, y->arch);
        n.fuel[0] = x->fuel;
        n.fuel[1] = y->fuel;
        n.memory_bytes[0] = x->memory_bytes;
        n.memory_bytes[1] = y->memory_bytes;
    }
    if (n.kind != NX_DIFF_NOTE_SAME) {
        nx_slice function = d ? d->before->function : NX_SLICE_NULL;
        nx_sha256 own = d ? d->shape_sha256 : nx_sha256_of(reason);
        n.shape = shape_in(function, &own);
        nx_err err = is_known(g, &n.shape) ? NX_OK : write_texts(d, reason, &what, &first);
        if (err != NX_OK)
            return err;
    }
    n.what.n = what.n;
    n.first.n = first.n;
    nx_err err = nx_buf_reserve(out, sizeof n + what.n + first.n);
    if (err == NX_OK)
        err = nx_buf_append(out, &n, sizeof n);
    if (err == NX_OK)
        err = nx_buf_append_slice(out, nx_buf_view(&what));
    return err == NX_OK ? nx_buf_append_slice(out, nx_buf_view(&first)) : err;
}

/* ---- adding notes ----------------------------------------------------------------------------------------------------------------------------- */

static group *find(nx_diff_groups *g, const nx_sha256 *shape)
{
    for (unsigned i = 0; i < g->n; i++)
        if (memcmp(&g->v[i].shape, shape, sizeof *shape) == 0)
            return &g->v[i];
    return NULL;
}

static void count_in(group *x, const nx_id *id)
{
    x->count++;
    if (x->n_examples < NX_DIFF_EXAMPLES)
        x->examples[x->n_examples++] = *id;
}

/* NULL where there is no room for it. */
static group *add_group(nx_diff_groups *g, const nx_diff_note *n, nx_slice function)
{
    make_known(g, &n->shape); /* also where there is no room: nobody needs its texts any more */
    if (g->n == NX_DIFF_GROUPS_MAX || !n->what.n || g->text_bytes + n->what.n > NX_DIFF_GROUPS_BYTES)
        return NULL;
    bool keeps_first = n->first.n && g->text_bytes + n->what.n + n->first.n <= NX_DIFF_GROUPS_BYTES;
    group *x = &g->v[g->n];
    *x = (group){.shape = n->shape, .is_failure = n->kind == NX_DIFF_NOTE_FAILED, .what = nx_slice_strdup(n->what)};
    x->first = keeps_first ? nx_slice_strdup(n->first) : NULL;
    snprintf(x->function, sizeof x->function, "%.*s", NX_SLICE_FMT(function));
    if (!x->what || (keeps_first && !x->first)) {
        free(x->what);
        free(x->first);
        return NULL;
    }
    g->text_bytes += n->what.n + (keeps_first ? n->first.n : 0);
    g->n++;
    return x;
}

void nx_diff_groups_add_same(nx_diff_groups *g) { g->same++; }

nx_err nx_diff_groups_add(nx_diff_groups *g, nx_slice function, const nx_id *event_id, nx_slice note)
{
    nx_diff_note n;
    nx_err err = NX_OK;
    if (note.n < sizeof n)
        return NX_ECORRUPT;
    memcpy(&n, note.p, sizeof n);
    if (n.what.n > note.n - sizeof n || n.first.n != note.n - sizeof n - n.what.n)
        return NX_ECORRUPT;
    n.what.p = note.p + sizeof n;
    n.first.p = n.what.p + n.what.n;
    if (n.has_costs) {
        err = measure_add(&g->fuel, event_id, n.fuel[0], n.fuel[1]);
        if (err == NX_OK)
            err = measure_add(&g->memory, event_id, n.memory_bytes[0], n.memory_bytes[1]);
    }
    g->same += n.kind == NX_DIFF_NOTE_SAME;
    g->different += n.kind == NX_DIFF_NOTE_DIFFERENT;
    g->failed += n.kind == NX_DIFF_NOTE_FAILED;
    if (n.kind == NX_DIFF_NOTE_SAME)
        return err;
    group *x = find(g, &n.shape);
    if (!x)
        x = add_group(g, &n, function);
    if (x)
        count_in(x, event_id);
    else
        g->left_out++;
    return err;
}

/* ---- telling -------------------------------------------------------------------------------------------------------------------------------- */

static void write_spread(nx_jw *w, const char *key, const nx_spread *s, uint64_t most, const nx_id *most_id)
{
    nx_jw_key(w, key);
    nx_jw_object(w);
    nx_jw_ku64(w, "median", nx_spread_at(s, 500));
    nx_jw_ku64(w, "p99", nx_spread_at(s, 990));
    nx_jw_ku64(w, "max", most);
    nx_jw_kstr(w, "max_event", nx_id_slice(most_id));
    nx_jw_object_end(w);
}

static void write_measure(nx_jw *w, const char *key, const measure *m)
{
    nx_jw_key(w, key);
    nx_jw_object(w);
    nx_jw_ku64(w, "events", m->before.count);
    if (m->before.count) {
        write_spread(w, "before", &m->before, m->most_before, &m->most_before_id);
        write_spread(w, "after", &m->after, m->most_after, &m->most_after_id);
    }
    if (m->grown_to > m->grown_from) {
        nx_jw_key(w, "largest_growth");
        nx_jw_object(w);
        nx_jw_kstr(w, "event_id", nx_id_slice(&m->grown_id));
        nx_jw_ku64(w, "before", m->grown_from);
        nx_jw_ku64(w, "after", m->grown_to);
        nx_jw_object_end(w);
    }
    nx_jw_key(w, "buckets");
    nx_jw_array(w);
    nx_spread_save(&m->before, w);
    nx_spread_save(&m->after, w);
    nx_jw_array_end(w);
    nx_jw_object_end(w);
}

static void write_group(nx_jw *w, const group *x)
{
    char hex[NX_SHA256_HEX + 1];
    nx_sha256_hex(&x->shape, hex);
    nx_jw_object(w);
    nx_jw_kcstr(w, "shape", hex);
    nx_jw_kcstr(w, "function", x->function);
    nx_jw_kbool(w, "failed", x->is_failure);
    nx_jw_ku64(w, "count", x->count);
    nx_jw_key(w, "what");
    nx_jw_raw(w, nx_slice_cstr(x->what));
    nx_jw_key(w, "examples");
    nx_jw_array(w);
    for (unsigned i = 0; i < x->n_examples; i++)
        nx_jw_str(w, nx_id_slice(&x->examples[i]));
    nx_jw_array_end(w);
    if (x->first) {
        nx_jw_key(w, "first");
        nx_jw_raw(w, nx_slice_cstr(x->first));
    }
    nx_jw_object_end(w);
}

nx_err nx_diff_groups_to_json(const nx_diff_groups *g, nx_jw *w)
{
    bool is_told[NX_DIFF_GROUPS_MAX] = {false};
    nx_jw_object(w);
    nx_jw_ku64(w, "events", g->same + g->different + g->failed);
    nx_jw_ku64(w, "same", g->same);
    nx_jw_ku64(w, "different", g->different);
    nx_jw_ku64(w, "failed", g->failed);
    nx_jw_key(w, "groups");
    nx_jw_array(w);
    for (unsigned k = 0; k < g->n; k++) {
        unsigned next = 0;
        while (is_told[next])
            next++;
        for (unsigned i = next + 1; i < g->n; i++)
            if (!is_told[i] && g->v[i].count > g->v[next].count)
                next = i;
        is_told[next] = true;
        write_group(w, &g->v[next]);
    }
    nx_jw_array_end(w);
    nx_jw_ku64(w, "ungrouped", g->left_out);
    write_measure(w, "fuel", &g->fuel);
    write_measure(w, "memory_bytes", &g->memory);
    nx_jw_object_end(w);
    return nx_jw_err(w);
}

/* ---- loading ---------------------------------------------------------------------------------------------------------------------------------- */

/* An id that may be absent. */
static nx_err load_id(const nx_json *j, const char *key, nx_id *ret)
{
    nx_slice s = nx_json_get_str(j, key);
    return s.n ? nx_id_parse(s, ret) : NX_OK;
}

static nx_err load_measure(const nx_json *j, measure *m)
{
    const nx_json *buckets = nx_json_get(j, "buckets"), *before = nx_json_get(j, "before"), *after = nx_json_get(j, "after"), *grown = nx_json_get(j, "largest_growth");
    nx_err err = nx_spread_load(&m->before, nx_json_at(buckets, 0));
    if (err == NX_OK)
        err = nx_spread_load(&m->after, nx_json_at(buckets, 1));
    m->most_before = nx_json_get_u64(before, "max", 0);
    m->most_after = nx_json_get_u64(after, "max", 0);
    m->grown_from = nx_json_get_u64(grown, "before", 0);
    m->grown_to = nx_json_get_u64(grown, "after", 0);
    if (err == NX_OK)
        err = load_id(before, "max_event", &m->most_before_id);
    if (err == NX_OK)
        err = load_id(after, "max_event", &m->most_after_id);
    return err == NX_OK ? load_id(grown, "event_id", &m->grown_id) : err;
}

/* The JSON of a member as text; *ret NULL where there is none. */
static nx_err load_text(const nx_json *j, char **ret, size_t *bytes)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(NX_DIFF_GROUPS_BYTES);
    if (!j)
        return NX_OK;
    nx_err err = nx_json_dump(j, &text);
    if (err != NX_OK)
        return err == NX_ENOMEM ? err : NX_ECORRUPT;
    *bytes += text.n;
    *ret = nx_slice_strdup(nx_buf_view(&text));
    return *ret ? NX_OK : NX_ENOMEM;
}

static nx_err load_group(nx_diff_groups *g, const nx_json *j)
{
    if (g->n == NX_DIFF_GROUPS_MAX)
        return NX_ECORRUPT;
    group *x = &g->v[g->n++];
    const nx_json *examples = nx_json_get(j, "examples"), *what = nx_json_get(j, "what");
    nx_err err = nx_sha256_parse_hex(nx_json_get_str(j, "shape"), &x->shape);
    snprintf(x->function, sizeof x->function, "%.*s", NX_SLICE_FMT(nx_json_get_str(j, "function")));
    x->is_failure = nx_json_get_bool(j, "failed", false);
    x->count = nx_json_get_u64(j, "count", 0);
    if (err != NX_OK || !nx_json_len(what) || nx_json_len(examples) > NX_DIFF_EXAMPLES)
        return NX_ECORRUPT;
    for (; x->n_examples < nx_json_len(examples) && err == NX_OK; x->n_examples++)
        err = nx_id_parse(nx_json_str(nx_json_at(examples, x->n_examples)), &x->examples[x->n_examples]);
    if (err == NX_OK)
        err = load_text(what, &x->what, &g->text_bytes);
    if (err == NX_OK)
        err = load_text(nx_json_get(j, "first"), &x->first, &g->text_bytes);
    make_known(g, &x->shape);
    return err;
}

nx_err nx_diff_groups_load(const nx_json *saved, nx_diff_groups **ret)
{
    nx_diff_groups *g = NULL;
    const nx_json *groups = nx_json_get(saved, "groups");
    nx_err err = nx_diff_groups_new(&g);
    if (err != NX_OK)
        return err;
    g->same = nx_json_get_u64(saved, "same", 0);
    g->different = nx_json_get_u64(saved, "different", 0);
    g->failed = nx_json_get_u64(saved, "failed", 0);
    g->left_out = nx_json_get_u64(saved, "ungrouped", 0);
    for (size_t i = 0; i < nx_json_len(groups) && err == NX_OK; i++)
        err = load_group(g, nx_json_at(groups, i));
    if (err == NX_OK)
        err = load_measure(nx_json_get(saved, "fuel"), &g->fuel);
    if (err == NX_OK)
        err = load_measure(nx_json_get(saved, "memory_bytes"), &g->memory);
    if (err == NX_OK) {
        *ret = g;
        return NX_OK;
    }
    nx_diff_groups_free(g);
    return err == NX_ENOMEM ? err : NX_ECORRUPT;
}
