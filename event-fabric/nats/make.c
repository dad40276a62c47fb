/* make.c: durable consumers that are not there yet, or have other settings than they are to have, made with many requests under way. */
#include "nats/consume.h"
#include <stdio.h>
#include <stdlib.h>

#define PART 256u /* consumers that are prepared at a time */

struct job {
    nx_fab_consumer *c;
    nx_fab_known *is;
    nx_buf config;
    bool is_left; /* to the one that opens it */
};

struct question {
    struct job *job;
    const char *predecessor; /* NULL: the consumer itself is asked for */
};

struct part {
    struct job v[PART];
    unsigned n;
    struct question *q;
    unsigned n_q, cap_q;
};

static nx_err ask_for(struct part *p, struct job *j, const char *predecessor)
{
    if (p->n_q == p->cap_q) {
        unsigned cap = p->cap_q ? 2 * p->cap_q : PART;
        struct question *q = realloc(p->q, cap * sizeof *q);

        if (!q)
            return NX_ENOMEM;
        p->q = q;
        p->cap_q = cap;
    }
    p->q[p->n_q++] = (struct question){j, predecessor};
    return NX_OK;
}

/* What can't be prepared is left: the one that opens it says why. */
static nx_err add(struct part *p, nx_fab_ns *n, const nx_fab_consumer_options *o, nx_fab_seen *s)
{
    nx_fab_consumer *c = calloc(1, sizeof *c);
    nx_fab_known *is = NULL;
    struct job *j = &p->v[p->n];
    nx_err e = NX_OK;

    if (!c)
        return NX_ENOMEM;
    if (nx_fab_consumer_prepare(n, o, c, NULL) == NX_OK)
        is = nx_fab_seen_find(s, c->stream_consumer);
    if (!is || nx_fab_known_is_same(is, c)) {
        nx_fab_consumer_release(c);
        return NX_OK;
    }
    *j = (struct job){.c = c, .is = is, .config = NX_BUF_INIT(1 << 20)};
    p->n++;
    if (is->is_there)
        return ask_for(p, j, NULL);
    for (const char *const *before = o->successor_of; !e && before && *before; before++)
        e = ask_for(p, j, *before);
    return e ? e : nx_buf_append_cstr(&j->config, c->config_json);
}

static nx_err put_question(void *self, unsigned i, nx_fab_question *q, nx_error *reterr)
{
    const struct part *p = self;
    const struct question *is = &p->q[i];

    (void)reterr;
    if (is->predecessor)
        snprintf(q->subject, sizeof q->subject, "CONSUMER.INFO.%s.%s", is->job->c->stream, is->predecessor);
    else
        snprintf(q->subject, sizeof q->subject, "CONSUMER.INFO.%s", is->job->c->stream_consumer);
    return NX_OK;
}

static nx_err take_answer(void *self, unsigned i, nx_err e, const nx_json *info)
{
    const struct part *p = self;
    const struct question *q = &p->q[i];

    if (e && e != NX_ENOENT)
        return e;
    if (q->predecessor)
        q->job->is_left |= !e;
    else
        q->job->is_left = e || nx_fab_consumer_update(q->job->c, info, &q->job->config, NULL) != NX_OK;
    return NX_OK;
}

static nx_err put_consumer(void *self, unsigned i, nx_fab_question *q, nx_error *reterr)
{
    const struct job *j = &((const struct part *)self)->v[i];

    q->is_repeatable = false;
    return nx_fab_consumer_request(j->c, nx_buf_view(&j->config), q->subject, &q->body) ? nx_error_set(reterr, NX_ENOMEM, "out of memory") : NX_OK;
}

static nx_err take_consumer(void *self, unsigned i, nx_err e, const nx_json *answer)
{
    const struct job *j = &((const struct part *)self)->v[i];
    bool was_there = j->is->is_there;

    if (e)
        return nx_err_is_retryable(e) ? e : NX_OK;
    nx_fab_known_read(answer, j->is);
    j->is->is_made = !was_there;
    return NX_OK;
}

static nx_err make(struct part *p, nx_fab *f, nx_error *reterr)
{
    unsigned n = 0;
    nx_err e = nx_fab_ask_many(f, p->n_q, &(nx_fab_many){p, put_question, take_answer}, reterr);

    if (e)
        return e;
    for (unsigned i = 0; i < p->n; i++) /* those that are not left move to the front */
        if (!p->v[i].is_left) {
            struct job j = p->v[n];

            p->v[n++] = p->v[i];
            p->v[i] = j;
        }
    return nx_fab_ask_many(f, n, &(nx_fab_many){p, put_consumer, take_consumer}, reterr);
}

static void clear(struct part *p)
{
    for (unsigned i = 0; i < p->n; i++) {
        nx_fab_consumer_release(p->v[i].c);
        nx_buf_done(&p->v[i].config);
    }
    p->n = p->n_q = 0;
}

nx_err nx_fab_consumers_make(nx_fab_ns *n, const nx_fab_consumer_options *v, unsigned n_v, nx_fab_seen *s, nx_error *reterr)
{
    struct part *p = calloc(1, sizeof *p);
    nx_err e = NX_OK;

    if (!p)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    for (unsigned i = 0; !e && i < n_v; i++) {
        if (add(p, n, &v[i], s))
            e = nx_error_set(reterr, NX_ENOMEM, "out of memory");
        if (!e && p->n && (p->n == PART || i + 1 == n_v)) {
            e = make(p, n->f, reterr);
            clear(p);
        }
    }
    clear(p);
    free(p->q);
    free(p);
    return e;
}
