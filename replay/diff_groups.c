/* diff_groups.c: differences of many events, those of one shape together. */
#include "nx/diff_groups.h"
#include "spread.h"
#include <stdlib.h>

#define WHAT_BYTES (NX_DIFF_SHAPE_MAX * 512u)

typedef struct group {
    nx_sha256 shape;
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
    measure fuel, memory;
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
uint64_t nx_diff_groups_failed(const nx_diff_groups *g) { return g->failed; }

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

/* Moves the text out of a buffer, with a NUL. */
static char *taken(nx_buf *b)
{
    char *p = NULL;
    size_t n;
    if (nx_buf_cstr(b))
        nx_buf_take(b, &p, &n);
    return p;
}

/* The group of a shape; *ret NULL: there are too many. */
static group *find(nx_diff_groups *g, const nx_sha256 *shape, bool is_failure)
{
    for (unsigned i = 0; i < g->n; i++)
        if (g->v[i].is_failure == is_failure && memcmp(&g->v[i].shape, shape, sizeof *shape) == 0)
            return &g->v[i];
    return NULL;
}

static void count_in(group *x, const nx_id *id)
{
    x->count++;
    if (x->n_examples < NX_DIFF_EXAMPLES)
        x->examples[x->n_examples++] = *id;
}

/* Takes `what`; `first` may be NULL. */
static nx_err add_group(nx_diff_groups *g, const nx_sha256 *shape, bool is_failure, nx_buf *what, nx_buf *first, const nx_id *id)
{
    group *x = &g->v[g->n];
    *x = (group){.shape = *shape, .is_failure = is_failure, .what = taken(what), .first = first ? taken(first) : NULL};
    if (!x->what) {
        free(x->first);
        return NX_ENOMEM;
    }
    g->n++;
    count_in(x, id);
    return NX_OK;
}

static nx_err new_shape(nx_diff_groups *g, const nx_id *id, const nx_diff *d)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf what = NX_BUF_INIT(WHAT_BYTES);
    NX_CLEANUP(nx_buf_done)
    nx_buf first = NX_BUF_INIT(NX_DIFF_EXAMPLE_BYTES);
    nx_jw w = NX_JW_INIT(&what);
    nx_jw_array(&w);
    for (unsigned i = 0; i < d->n_shape; i++)
        nx_jw_str(&w, d->shape[i]);
    nx_jw_array_end(&w);
    if (nx_jw_err(&w) != NX_OK)
        return nx_jw_err(&w);
    nx_jw wf = NX_JW_INIT(&first);
    nx_err err = nx_diff_to_json(d, &wf);
    if (err != NX_OK && err != NX_ELIMIT)
        return err;
    return add_group(g, &d->shape_sha256, false, &what, err == NX_OK ? &first : NULL, id);
}

nx_err nx_diff_groups_add(nx_diff_groups *g, const nx_id *event_id, const nx_diff *d)
{
    const nx_run *x = d->before, *y = d->after;
    nx_err err = NX_OK;
    if (!d->differs_in_status && nx_slice_eq(x->engine, y->engine) && nx_slice_eq(x->world, y->world) && nx_slice_eq(x->arch, y->arch)) {
        err = measure_add(&g->fuel, event_id, x->fuel, y->fuel);
        if (err == NX_OK)
            err = measure_add(&g->memory, event_id, x->memory_bytes, y->memory_bytes);
    }
    if (d->is_same) {
        g->same++;
        return err;
    }
    g->different++;
    group *same = find(g, &d->shape_sha256, false);
    if (same)
        count_in(same, event_id);
    else if (g->n == NX_DIFF_GROUPS_MAX)
        g->left_out++;
    else if (err == NX_OK)
        err = new_shape(g, event_id, d);
    return err;
}

nx_err nx_diff_groups_add_failed(nx_diff_groups *g, const nx_id *event_id, nx_slice reason)
{
    nx_sha256 shape = nx_sha256_of(reason);
    group *same = find(g, &shape, true);
    g->failed++;
    if (same) {
        count_in(same, event_id);
        return NX_OK;
    }
    if (g->n == NX_DIFF_GROUPS_MAX) {
        g->left_out++;
        return NX_OK;
    }
    NX_CLEANUP(nx_buf_done)
    nx_buf what = NX_BUF_INIT(WHAT_BYTES);
    nx_jw w = NX_JW_INIT(&what);
    nx_jw_array(&w);
    nx_jw_str(&w, reason);
    nx_jw_array_end(&w);
    return nx_jw_err(&w) == NX_OK ? add_group(g, &shape, true, &what, NULL, event_id) : nx_jw_err(&w);
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
    nx_jw_object_end(w);
}

static void write_group(nx_jw *w, const group *x)
{
    char hex[NX_SHA256_HEX + 1];
    nx_sha256_hex(&x->shape, hex);
    nx_jw_object(w);
    nx_jw_kstr(w, "shape", nx_slice_make(hex, NX_DIFF_SHAPE_HEX));
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

/* ---- saving: the texts of JSON as strings, so that their numbers stay as they are ------------------------------------------------------------- */

static void save_measure(nx_jw *w, const char *key, const measure *m)
{
    nx_jw_key(w, key);
    nx_jw_object(w);
    nx_jw_key(w, "before");
    nx_spread_save(&m->before, w);
    nx_jw_key(w, "after");
    nx_spread_save(&m->after, w);
    nx_jw_ku64(w, "most_before", m->most_before);
    nx_jw_kstr(w, "most_before_id", nx_id_slice(&m->most_before_id));
    nx_jw_ku64(w, "most_after", m->most_after);
    nx_jw_kstr(w, "most_after_id", nx_id_slice(&m->most_after_id));
    nx_jw_ku64(w, "grown_from", m->grown_from);
    nx_jw_ku64(w, "grown_to", m->grown_to);
    nx_jw_kstr(w, "grown_id", nx_id_slice(&m->grown_id));
    nx_jw_object_end(w);
}

nx_err nx_diff_groups_save(const nx_diff_groups *g, nx_buf *out)
{
    nx_jw w = NX_JW_INIT(out);
    nx_jw_object(&w);
    nx_jw_ku64(&w, "same", g->same);
    nx_jw_ku64(&w, "different", g->different);
    nx_jw_ku64(&w, "failed", g->failed);
    nx_jw_ku64(&w, "left_out", g->left_out);
    nx_jw_key(&w, "groups");
    nx_jw_array(&w);
    for (unsigned i = 0; i < g->n; i++) {
        const group *x = &g->v[i];
        char hex[NX_SHA256_HEX + 1];
        nx_sha256_hex(&x->shape, hex);
        nx_jw_object(&w);
        nx_jw_kcstr(&w, "shape", hex);
        nx_jw_kbool(&w, "failed", x->is_failure);
        nx_jw_ku64(&w, "count", x->count);
        nx_jw_kcstr(&w, "what", x->what);
        if (x->first)
            nx_jw_kcstr(&w, "first", x->first);
        nx_jw_key(&w, "examples");
        nx_jw_array(&w);
        for (unsigned k = 0; k < x->n_examples; k++)
            nx_jw_str(&w, nx_id_slice(&x->examples[k]));
        nx_jw_array_end(&w);
        nx_jw_object_end(&w);
    }
    nx_jw_array_end(&w);
    save_measure(&w, "fuel", &g->fuel);
    save_measure(&w, "memory", &g->memory);
    nx_jw_object_end(&w);
    return nx_jw_err(&w);
}

/* An id that may be absent. */
static nx_err load_id(const nx_json *j, const char *key, nx_id *ret)
{
    nx_slice s = nx_json_get_str(j, key);
    return s.n ? nx_id_parse(s, ret) : NX_OK;
}

static nx_err load_measure(const nx_json *j, measure *m)
{
    nx_err err = nx_spread_load(&m->before, nx_json_get(j, "before"));
    if (err == NX_OK)
        err = nx_spread_load(&m->after, nx_json_get(j, "after"));
    m->most_before = nx_json_get_u64(j, "most_before", 0);
    m->most_after = nx_json_get_u64(j, "most_after", 0);
    m->grown_from = nx_json_get_u64(j, "grown_from", 0);
    m->grown_to = nx_json_get_u64(j, "grown_to", 0);
    if (err == NX_OK)
        err = load_id(j, "most_before_id", &m->most_before_id);
    if (err == NX_OK)
        err = load_id(j, "most_after_id", &m->most_after_id);
    return err == NX_OK ? load_id(j, "grown_id", &m->grown_id) : err;
}

static nx_err load_group(const nx_json *j, group *x)
{
    const nx_json *examples = nx_json_get(j, "examples");
    nx_slice what = nx_json_get_str(j, "what"), first = nx_json_get_str(j, "first");
    nx_err err = nx_sha256_parse_hex(nx_json_get_str(j, "shape"), &x->shape);
    x->is_failure = nx_json_get_bool(j, "failed", false);
    x->count = nx_json_get_u64(j, "count", 0);
    x->n_examples = (unsigned)nx_json_len(examples);
    if (!what.p || x->n_examples > NX_DIFF_EXAMPLES)
        return NX_ECORRUPT;
    for (unsigned i = 0; i < x->n_examples && err == NX_OK; i++)
        err = nx_id_parse(nx_json_str(nx_json_at(examples, i)), &x->examples[i]);
    if (err != NX_OK)
        return err;
    x->what = nx_slice_strdup(what);
    x->first = first.p ? nx_slice_strdup(first) : NULL;
    return x->what && (x->first || !first.p) ? NX_OK : NX_ENOMEM;
}

nx_err nx_diff_groups_load(nx_slice saved, nx_diff_groups **ret)
{
    nx_json *j = NULL;
    nx_diff_groups *g = NULL;
    nx_err err = nx_json_parse(saved, NX_DIFF_SAVED_BYTES, &j, NULL);
    if (err == NX_OK)
        err = nx_diff_groups_new(&g);
    if (err == NX_OK) {
        const nx_json *groups = nx_json_get(j, "groups");
        g->same = nx_json_get_u64(j, "same", 0);
        g->different = nx_json_get_u64(j, "different", 0);
        g->failed = nx_json_get_u64(j, "failed", 0);
        g->left_out = nx_json_get_u64(j, "left_out", 0);
        for (size_t i = 0; i < nx_json_len(groups) && err == NX_OK; i++)
            err = i == NX_DIFF_GROUPS_MAX ? NX_ECORRUPT : load_group(nx_json_at(groups, i), &g->v[g->n++]);
        if (err == NX_OK)
            err = load_measure(nx_json_get(j, "fuel"), &g->fuel);
        if (err == NX_OK)
            err = load_measure(nx_json_get(j, "memory"), &g->memory);
    }
    nx_json_free(j);
    if (err == NX_OK) {
        *ret = g;
        return NX_OK;
    }
    nx_diff_groups_free(g);
    return err == NX_ENOMEM ? err : NX_ECORRUPT;
}
