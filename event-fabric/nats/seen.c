/* seen.c: what the server has of durable consumers, asked with many requests under way: of thousands that are as they were none is asked for by itself. */
#include "nats/consume.h"
#include <stdio.h>
#include <stdlib.h>

#define AT_ONCE 32u /* of NX_FAB_REQUESTS, which others need too */
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

struct question {
    char subject[NX_FAB_SUBJECT_BYTES];
    nx_fab_ask ask;
    nx_fab_pending pending;
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

static nx_err begin(nx_fab *f, struct question *q, const char *name, nx_error *reterr)
{
    snprintf(q->subject, sizeof q->subject, "%s.CONSUMER.INFO.%s", f->js_prefix, name);
    q->ask = (nx_fab_ask){.subject = q->subject, .is_repeatable = true};
    return nx_fab_ask_begin(f, &q->ask, &q->pending, reterr);
}

static nx_err end(nx_fab *f, struct question *q, nx_fab_known *ret, nx_error *reterr)
{
    nx_fab_replies got = {0};
    nx_json *info = NULL;
    nx_err e = nx_fab_ask_end(f, &q->ask, &q->pending, &got, reterr);

    if (!e)
        e = nx_fab_api_answer(q->subject, &got, &info, NULL, reterr);
    if (!e)
        nx_fab_known_read(info, ret);
    nx_json_free(info);
    return e == NX_ENOENT ? NX_OK : e;
}

/* Half of them are begun together, so that both sides wake up for many at a time. What has begun is ended, whatever becomes of the others. */
static nx_err ask_all(nx_fab *f, nx_fab_seen *s, nx_error *reterr)
{
    struct question *q = calloc(AT_ONCE, sizeof *q);
    unsigned begun = 0, ended = 0;
    nx_err e = q ? NX_OK : nx_error_set(reterr, NX_ENOMEM, "out of memory");

    while (ended < begun || (!e && ended < s->n)) {
        nx_err one = NX_OK;

        if (begun - ended <= AT_ONCE / 2)
            while (!e && !one && begun < s->n && begun - ended < AT_ONCE) {
                one = begin(f, &q[begun % AT_ONCE], s->v[begun].name, reterr);
                begun += !one;
            }
        if (one != NX_EBUSY || begun == ended) /* others ask much just now: one of ours ends first */
            e = e ? e : one;
        if (ended < begun) {
            one = end(f, &q[ended % AT_ONCE], &s->v[ended].is, e ? NULL : reterr);
            e = e ? e : one;
            ended++;
        }
    }
    free(q);
    return e;
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
        e = ask_all(n->f, s, reterr);
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

const nx_fab_known *nx_fab_seen_find(const nx_fab_seen *s, const char *stream_consumer)
{
    const struct one key = {.name = stream_consumer}, *found = s && s->n ? bsearch(&key, s->v, s->n, sizeof key, by_name) : NULL;

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
