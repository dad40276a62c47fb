/* range_counts.c: how many runs came out how, by function, and the first of those that did not come out the same. */
#include "range.h"
#include "verdict.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define FUNCTIONS_MAX 256 /* later ones are counted together, as "" */
#define EXAMPLES_MAX 20   /* of each verdict that is not identical */
#define EXAMPLE_BYTES 4096
#define CALL_BYTES 512
#define SAVED_BYTES (256u << 10)
#define VERDICTS 3

typedef struct tally {
    char function[NX_FUNCTION_NAME_BYTES + 1];
    uint64_t n[VERDICTS];
} tally;

typedef struct counts {
    uint64_t n[VERDICTS];
    tally functions[FUNCTIONS_MAX];
    unsigned n_functions;
    nx_buf examples; /* JSON objects, each with a comma behind it */
    unsigned n_examples[VERDICTS];
    atomic_bool is_full[VERDICTS]; /* so that workers don't write what nobody keeps */
} counts;

static const char *const keys[VERDICTS] = {"identical", "diverged", "failed"};

static void close_counts(void *self)
{
    counts *c = self;
    if (c)
        nx_buf_done(&c->examples);
    free(c);
}

static tally *tally_of(counts *c, nx_slice function)
{
    for (unsigned i = 0; i < c->n_functions; i++)
        if (nx_slice_eq_cstr(function, c->functions[i].function))
            return &c->functions[i];
    bool has_room = c->n_functions < FUNCTIONS_MAX - 1;
    if (!has_room && c->n_functions == FUNCTIONS_MAX)
        return &c->functions[FUNCTIONS_MAX - 1];
    tally *t = &c->functions[c->n_functions++];
    snprintf(t->function, sizeof t->function, "%.*s", has_room ? (int)function.n : 0, function.p);
    return t;
}

static void add_example(counts *c, nx_replay_verdict v, nx_slice json)
{
    if (c->n_examples[v] == EXAMPLES_MAX || nx_buf_append_slice(&c->examples, json) != NX_OK)
        return;
    if (nx_buf_append_char(&c->examples, ',') == NX_OK)
        c->n_examples[v]++;
    atomic_store(&c->is_full[v], c->n_examples[v] == EXAMPLES_MAX);
}

static void load(counts *c, const nx_json *saved)
{
    const nx_json *functions = nx_json_get(saved, "functions"), *examples = nx_json_get(saved, "examples");
    for (int v = 0; v < VERDICTS; v++)
        c->n[v] = nx_json_get_u64(saved, keys[v], 0);
    for (size_t i = 0; i < nx_json_len(functions); i++) {
        const nx_json *f = nx_json_at(functions, i);
        tally *t = tally_of(c, nx_json_get_str(f, "function"));
        for (int v = 0; v < VERDICTS; v++)
            t->n[v] = nx_json_get_u64(f, keys[v], 0);
    }
    for (size_t i = 0; i < nx_json_len(examples); i++) {
        const nx_json *e = nx_json_at(examples, i);
        NX_CLEANUP(nx_buf_done)
        nx_buf text = NX_BUF_INIT(2 * EXAMPLE_BYTES);
        nx_replay_verdict v = nx_slice_eq_cstr(nx_json_get_str(e, "verdict"), "failed") ? NX_REPLAY_FAILED : NX_REPLAY_DIVERGED;
        if (nx_json_dump(e, &text) == NX_OK)
            add_example(c, v, nx_buf_view(&text));
    }
}

static nx_err open_counts(const nx_json *saved, void **ret_self, nx_error *reterr)
{
    counts *c = calloc(1, sizeof *c);
    if (!c)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    nx_buf_init(&c->examples, SAVED_BYTES);
    if (saved)
        load(c, saved);
    *ret_self = c;
    return NX_OK;
}

static void note(void *self, const nx_replay_result *r, nx_buf *out)
{
    counts *c = self;
    if (r->verdict == NX_REPLAY_IDENTICAL || atomic_load(&c->is_full[r->verdict]))
        return;
    nx_jw w = NX_JW_INIT(out);
    nx_jw_object(&w);
    nx_jw_kstr(&w, "event_id", nx_id_slice(&r->original->event_id));
    nx_jw_kstr(&w, "run_id", nx_id_slice(&r->original->run_id));
    nx_jw_kstr(&w, "function", r->original->function);
    nx_jw_kstr(&w, "recorded_version", r->original->version);
    nx_jw_kcstr(&w, "version", r->version);
    nx_jw_kcstr(&w, "verdict", nx_replay_verdict_name(r->verdict));
    nx_jw_kcstr(&w, "reason", nx_replay_kept_reason(r));
    if (r->first_difference >= 0) {
        nx_jw_key(&w, "first_difference");
        nx_jw_object(&w);
        nx_jw_ku64(&w, "call", (uint64_t)r->first_difference);
        nx_jw_kstr(&w, "recorded", nx_slice_sub(r->recorded_call, 0, CALL_BYTES));
        nx_jw_kstr(&w, "replayed", nx_slice_sub(r->replayed_call, 0, CALL_BYTES));
        nx_jw_object_end(&w);
    }
    nx_jw_object_end(&w);
    if (nx_jw_err(&w) != NX_OK)
        nx_buf_clear(out);
}

static void fold(void *self, const nx_run *run, nx_replay_verdict verdict, nx_slice text)
{
    counts *c = self;
    c->n[verdict]++;
    tally_of(c, run->function)->n[verdict]++;
    if (text.n && text.n <= EXAMPLE_BYTES)
        add_example(c, verdict, text);
}

static nx_err save(void *self, nx_jw *w)
{
    const counts *c = self;
    nx_jw_object(w);
    for (int v = 0; v < VERDICTS; v++)
        nx_jw_ku64(w, keys[v], c->n[v]);
    nx_jw_key(w, "functions");
    nx_jw_array(w);
    for (unsigned i = 0; i < c->n_functions; i++) {
        nx_jw_object(w);
        nx_jw_kcstr(w, "function", c->functions[i].function);
        for (int v = 0; v < VERDICTS; v++)
            nx_jw_ku64(w, keys[v], c->functions[i].n[v]);
        nx_jw_object_end(w);
    }
    nx_jw_array_end(w);
    nx_jw_key(w, "examples");
    nx_jw_array(w);
    if (c->examples.n)
        nx_jw_raw(w, nx_slice_make(c->examples.p, c->examples.n - 1));
    nx_jw_array_end(w);
    nx_jw_object_end(w);
    return nx_jw_err(w);
}

const nx_range_collector nx_range_counts = {.name = "results", .open = open_counts, .note = note, .fold = fold, .save = save, .close = close_counts};
