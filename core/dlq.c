/* dlq.c: the dead-letter queue: which runs ended not ok and wait for somebody, as this node has read it out of the log.
 * It is a view: what it holds follows from final records and marks (nx/fab_dead.h), and is read on when somebody asks. Per run it keeps 40 bytes,
 * enough to select; the records themselves stay in the log. */
#include "dlq.h"
#include "nx/event.h"
#include <stdlib.h>

#define ENTRIES_MAX 200000u /* of which the oldest quarter makes room; 12 MB */
#define CAP_MIN 256u

typedef struct entry {
    uint64_t seq; /* of the final record; 0: free */
    uint64_t run_key, event_key;
    uint32_t wall_s, type;
    uint16_t function;
    uint8_t why;
} entry;

typedef struct names {
    struct name {
        char *text;
        uint32_t hash;
        unsigned count; /* entries */
    } * v;
    unsigned n, cap;
} names;

struct nx_core_dlq {
    pthread_mutex_t read_mu; /* one reads the log at a time; held during round trips */
    nx_fab_dead_pass pass;
    uint64_t swept_seq;
    bool is_short; /* of memory, in this pass */

    pthread_mutex_t mu; /* guards what follows */
    entry *v;           /* open addressing by run_key */
    unsigned cap, n;
    names functions, types;
    bool is_cut; /* there were more than ENTRIES_MAX */
};

nx_err nx_core_dlq_new(nx_core_dlq **ret)
{
    nx_core_dlq *d = calloc(1, sizeof *d);
    if (!d)
        return NX_ENOMEM;
    pthread_mutex_init(&d->read_mu, NULL);
    pthread_mutex_init(&d->mu, NULL);
    *ret = d;
    return NX_OK;
}

static void names_done(names *s)
{
    for (unsigned i = 0; i < s->n; i++)
        free(s->v[i].text);
    free(s->v);
}

void nx_core_dlq_free(nx_core_dlq *d)
{
    if (!d)
        return;
    pthread_mutex_destroy(&d->read_mu);
    pthread_mutex_destroy(&d->mu);
    names_done(&d->functions);
    names_done(&d->types);
    free(d->v);
    free(d);
}

/* FNV-1a; an id's characters are those of a digest. */
static uint64_t key_of(nx_slice id)
{
    uint64_t h = 14695981039346656037ull;
    for (size_t i = 0; i < id.n; i++)
        h = (h ^ (uint8_t)id.p[i]) * 1099511628211ull;
    return h;
}

static unsigned name_index(names *s, nx_slice text, unsigned max)
{
    uint32_t hash = (uint32_t)key_of(text);
    for (unsigned i = 0; i < s->n; i++)
        if (s->v[i].hash == hash && nx_slice_eq_cstr(text, s->v[i].text))
            return i;
    if (s->n == max)
        return UINT32_MAX;
    if (s->n == s->cap) {
        unsigned cap = s->cap ? s->cap * 2 : 16;
        struct name *v = realloc(s->v, cap * sizeof *v);
        if (!v)
            return UINT32_MAX;
        s->v = v;
        s->cap = cap;
    }
    s->v[s->n] = (struct name){nx_slice_strdup(text), hash, 0};
    return s->v[s->n].text ? s->n++ : UINT32_MAX;
}

/* ---- the table (mu held) --------------------------------------------------------------------------------------------------------------------- */

/* Where the run stands, or the free place it would get. */
static unsigned place_of(const nx_core_dlq *d, uint64_t run_key)
{
    unsigned i = (unsigned)run_key & (d->cap - 1);
    while (d->v[i].seq && d->v[i].run_key != run_key)
        i = (i + 1) & (d->cap - 1);
    return i;
}

/* Into a table of another size, without what lies before a sequence. False: out of memory, the table is as it was. */
static bool rebuild(nx_core_dlq *d, unsigned cap, uint64_t from_seq)
{
    entry *old = d->v;
    unsigned old_cap = d->cap;
    entry *v = calloc(cap, sizeof *v);
    if (!v)
        return false;
    d->v = v;
    d->cap = cap;
    d->n = 0;
    for (unsigned i = 0; i < old_cap; i++) {
        if (!old[i].seq)
            continue;
        if (old[i].seq < from_seq) {
            d->functions.v[old[i].function].count--;
            continue;
        }
        v[place_of(d, old[i].run_key)] = old[i];
        d->n++;
    }
    free(old);
    return true;
}

static int compare_seqs(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool drop_oldest_quarter(nx_core_dlq *d)
{
    uint64_t *seqs = malloc(d->n * sizeof *seqs);
    unsigned n = 0;
    if (!seqs)
        return false;
    for (unsigned i = 0; i < d->cap; i++)
        if (d->v[i].seq)
            seqs[n++] = d->v[i].seq;
    qsort(seqs, n, sizeof *seqs, compare_seqs);
    uint64_t from = seqs[n / 4];
    free(seqs);
    d->is_cut = true;
    return rebuild(d, d->cap, from);
}

static bool has_room(nx_core_dlq *d)
{
    if (d->cap && d->n < ENTRIES_MAX && d->n * 10 < d->cap * 7)
        return true;
    return d->n >= ENTRIES_MAX ? drop_oldest_quarter(d) : rebuild(d, d->cap ? d->cap * 2 : CAP_MIN, 0);
}

static bool put(nx_core_dlq *d, const nx_fab_dead *dead)
{
    const nx_run *run = dead->run;
    unsigned function = name_index(&d->functions, run->function, UINT16_MAX), type = name_index(&d->types, run->event_type, UINT32_MAX - 1);
    if (function == UINT32_MAX || type == UINT32_MAX || !has_room(d))
        return false;
    entry *e = &d->v[place_of(d, key_of(nx_id_slice(&run->run_id)))];
    if (e->seq)
        return true; /* a record of the same run: the first counts */
    *e = (entry){.seq = dead->seq, .run_key = key_of(nx_id_slice(&run->run_id)), .event_key = key_of(nx_id_slice(&run->event_id)), .wall_s = (uint32_t)(dead->wall_ns / NX_NS_PER_S), .type = type, .function = (uint16_t)function, .why = (uint8_t)run->why};
    d->functions.v[function].count++;
    d->n++;
    return true;
}

/* Closes the gap, so that what stands behind it is still found. */
static void take_out(nx_core_dlq *d, const nx_id *run_id)
{
    unsigned i = d->cap ? place_of(d, key_of(nx_id_slice(run_id))) : 0, k = i;
    if (!d->cap || !d->v[i].seq)
        return;
    d->functions.v[d->v[i].function].count--;
    d->n--;
    for (;;) {
        k = (k + 1) & (d->cap - 1);
        if (!d->v[k].seq)
            break;
        unsigned home = (unsigned)d->v[k].run_key & (d->cap - 1);
        if (((k - home) & (d->cap - 1)) >= ((k - i) & (d->cap - 1))) {
            d->v[i] = d->v[k];
            i = k;
        }
    }
    d->v[i].seq = 0;
}

/* ---- reading on -------------------------------------------------------------------------------------------------------------------------------- */

static void visit(void *self, const nx_fab_dead *dead)
{
    nx_core_dlq *d = self;
    pthread_mutex_lock(&d->mu);
    if (dead->kind != NX_FAB_DEAD_RUN)
        take_out(d, &dead->run_id);
    else if (dead->run->after == NX_AFTER_DLQ && !put(d, dead))
        d->is_short = true;
    pthread_mutex_unlock(&d->mu);
}

/* What retention has taken is gone; and what had to make room is read again once there is some. */
static void tidy(nx_core_dlq *d)
{
    pthread_mutex_lock(&d->mu);
    if (d->cap && d->pass.first_seq > d->swept_seq && rebuild(d, d->cap, d->pass.first_seq))
        d->swept_seq = d->pass.first_seq;
    if (d->is_cut && d->n < ENTRIES_MAX / 4) {
        if (d->cap)
            rebuild(d, CAP_MIN, UINT64_MAX);
        d->pass = (nx_fab_dead_pass){0};
        d->is_cut = false;
    }
    pthread_mutex_unlock(&d->mu);
}

nx_err nx_core_dlq_read(nx_node *n, uint64_t budget_ns, nx_error *reterr)
{
    nx_core_dlq *d = n->dlq;
    bool is_done = false;
    pthread_mutex_lock(&d->read_mu);
    d->is_short = false;
    nx_err err = nx_fab_dead_read(n->ns, &d->pass, budget_ns, visit, d, &is_done, reterr);
    if (err == NX_OK && d->is_short) {
        d->pass = (nx_fab_dead_pass){0}; /* what did not fit is met again */
        err = nx_error_set(reterr, NX_ENOMEM, "out of memory for the dead-letter queue");
    }
    if (is_done)
        tidy(d);
    pthread_mutex_unlock(&d->read_mu);
    if (err == NX_OK && !is_done)
        err = nx_error_set(reterr, NX_EBUSY, "the dead-letter queue is long and not yet read to its end; try again in a moment");
    return err;
}

/* ---- asking -------------------------------------------------------------------------------------------------------------------------------------- */

unsigned nx_core_dlq_count(nx_core_dlq *d, const char *function)
{
    unsigned count = 0;
    pthread_mutex_lock(&d->mu);
    for (unsigned i = 0; i < d->functions.n && !count; i++)
        if (strcmp(d->functions.v[i].text, function) == 0)
            count = d->functions.v[i].count;
    pthread_mutex_unlock(&d->mu);
    return count;
}

bool nx_core_dlq_is_cut(nx_core_dlq *d)
{
    pthread_mutex_lock(&d->mu);
    bool is_cut = d->is_cut;
    pthread_mutex_unlock(&d->mu);
    return is_cut;
}

static bool matches(const nx_core_dlq *d, const entry *e, const nx_core_dlq_filter *f)
{
    return e->seq > f->after_seq && (!f->id || e->event_key == key_of(nx_id_slice(f->id)) || e->run_key == key_of(nx_id_slice(f->id))) &&
           (!f->function.n || nx_slice_eq_cstr(f->function, d->functions.v[e->function].text)) && (f->why == NX_WHY_NONE || e->why == f->why) &&
           (!f->type.n || nx_event_type_matches(f->type, nx_slice_cstr(d->types.v[e->type].text))) &&
           (uint64_t)e->wall_s * NX_NS_PER_S + NX_NS_PER_S > f->since_wall_ns && (!f->until_wall_ns || (uint64_t)e->wall_s * NX_NS_PER_S <= f->until_wall_ns);
}

nx_err nx_core_dlq_select(nx_node *n, const nx_core_dlq_filter *f, nx_arena *a, uint64_t **ret_seqs, unsigned *ret_n, unsigned *ret_matching, nx_error *reterr)
{
    nx_core_dlq *d = n->dlq;
    nx_err err = nx_core_dlq_read(n, NX_CORE_DLQ_BUDGET_NS, reterr);
    if (err != NX_OK)
        return err;
    unsigned count = 0;
    pthread_mutex_lock(&d->mu);
    uint64_t *seqs = nx_arena_alloc(a, (d->n + 1u) * sizeof *seqs);
    for (unsigned i = 0; seqs && i < d->cap; i++)
        if (d->v[i].seq && matches(d, &d->v[i], f))
            seqs[count++] = d->v[i].seq;
    pthread_mutex_unlock(&d->mu);
    if (!seqs)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory for the dead-letter queue");
    qsort(seqs, count, sizeof *seqs, compare_seqs);
    for (unsigned i = 0; f->newest_first && i < count / 2; i++) {
        uint64_t other = seqs[count - 1 - i];
        seqs[count - 1 - i] = seqs[i];
        seqs[i] = other;
    }
    *ret_matching = count;
    *ret_n = f->limit && count > f->limit ? f->limit : count;
    *ret_seqs = seqs;
    return NX_OK;
}
