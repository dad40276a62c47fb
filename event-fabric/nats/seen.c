/* seen.c: what the server has of durable consumers, asked with many requests under way: of thousands that are as they were none is asked for by itself. */
#include "nats/consume.h"
#include <stdio.h>
#include <stdlib.h>

#define NAMES_BYTES (16u << 20)

struct one {
    const char *name; /* <stream>.<durable> */
    nx_fab_known is;
};

struct nx_fab_seen {
    nx_arena arena;
    struct one *v; /* by name */
    unsigned n;
};

void nx_fab_known_read(const nx_json *info, nx_fab_known *ret)
{
    *ret = (nx_fab_known){.is_there = true, .is_paused = nx_json_get_bool(info, "paused", false), .pending = nx_json_get_u64(info, "num_pending", 0)};
    if (nx_slice_to_cstr(nx_json_get_str(nx_json_get(nx_json_get(info, "config"), "metadata"), NX_FAB_CONFIG_MARK), ret->mark, sizeof ret->mark))
        ret->mark[0] = 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct one *)a)->name, ((const struct one *)b)->name);
}

static nx_err put_question(void *self, unsigned i, nx_fab_question *q, nx_error *reterr)
{
    const nx_fab_seen *s = self;

    (void)reterr;
    snprintf(q->subject, sizeof q->subject, "CONSUMER.INFO.%s", s->v[i].name);
    return NX_OK;
}

static nx_err take_answer(void *self, unsigned i, nx_err e, const nx_json *info)
{
    nx_fab_seen *s = self;

    if (!e)
        nx_fab_known_read(info, &s->v[i].is);
    return e == NX_ENOENT ? NX_OK : e;
}

nx_err nx_fab_consumers_see(nx_fab_ns *n, const nx_fab_durable *v, unsigned n_v, nx_fab_seen **ret, nx_error *reterr)
{
    nx_fab_seen *s = calloc(1, sizeof *s);
    nx_err e = NX_OK;

    if (!s)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    nx_arena_init(&s->arena, NAMES_BYTES);
    s->v = nx_arena_calloc(&s->arena, n_v + 1u, sizeof *s->v);
    for (unsigned i = 0; s->v && i < n_v; i++) {
        s->v[i].name = nx_arena_printf(&s->arena, "%s.%s", v[i].is_of_timers ? n->timers : n->events, v[i].name);
        if (!s->v[i].name)
            break;
        s->n++;
    }
    if (s->n < n_v || !s->v)
        e = nx_error_set(reterr, NX_ENOMEM, "out of memory");
    else
        qsort(s->v, s->n, sizeof *s->v, by_name);
    if (!e)
        e = nx_fab_ask_many(n->f, s->n, &(nx_fab_many){s, put_question, take_answer}, reterr);
    if (e) {
        nx_fab_seen_free(s);
        return e;
    }
    *ret = s;
    return NX_OK;
}

void nx_fab_seen_free(nx_fab_seen *s)
{
    if (!s)
        return;
    nx_arena_done(&s->arena);
    free(s);
}

nx_fab_known *nx_fab_seen_find(const nx_fab_seen *s, const char *stream_consumer)
{
    const struct one key = {.name = stream_consumer};
    struct one *found = s && s->n ? bsearch(&key, s->v, s->n, sizeof key, by_name) : NULL;

    return found ? &found->is : NULL;
}

bool nx_fab_seen_is_absent(const nx_fab_ns *n, const nx_fab_seen *s, const char *durable)
{
    char name[NX_FAB_SUBJECT_BYTES];
    const nx_fab_known *is;

    snprintf(name, sizeof name, "%s.%s", n->events, durable);
    is = nx_fab_seen_find(s, name);
    return is && !is->is_there;
}
