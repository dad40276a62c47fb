/* ask_many.c: many requests to JetStream's API, a bounded number of them under way. */
#include "fab_internal.h"
#include <stdio.h>
#include <stdlib.h>

#define AT_ONCE 32u /* of NX_FAB_REQUESTS, which others need too */

struct under_way {
    nx_fab_question q;
    char subject[NX_FAB_SUBJECT_BYTES];
    nx_fab_ask ask;
    nx_fab_pending pending;
};

static nx_err begin(nx_fab *f, struct under_way *u, const nx_fab_many *m, unsigned i, nx_error *reterr)
{
    nx_err e;

    nx_buf_clear(&u->q.body);
    u->q.is_repeatable = true;
    e = m->put(m->self, i, &u->q, reterr);
    if (!e && (size_t)snprintf(u->subject, sizeof u->subject, "%s.%s", f->js_prefix, u->q.subject) >= sizeof u->subject)
        e = nx_error_set(reterr, NX_ELIMIT, "API subject too long");
    u->ask = (nx_fab_ask){.subject = u->subject, .body = nx_buf_view(&u->q.body), .is_repeatable = u->q.is_repeatable};
    return e ? e : nx_fab_ask_begin(f, &u->ask, &u->pending, reterr);
}

static nx_err end(nx_fab *f, struct under_way *u, const nx_fab_many *m, unsigned i, nx_error *reterr)
{
    nx_fab_replies got = {0};
    nx_json *answer = NULL;
    nx_err e = nx_fab_ask_end(f, &u->ask, &u->pending, &got, reterr);

    if (!e)
        e = nx_fab_api_answer(u->q.subject, &got, &answer, NULL, reterr);
    e = m->take(m->self, i, e, answer);
    nx_json_free(answer);
    return e;
}

/* Half of them are begun together, so that both sides wake up for many at a time. What has begun is ended, whatever becomes of the others. */
nx_err nx_fab_ask_many(nx_fab *f, unsigned n, const nx_fab_many *m, nx_error *reterr)
{
    struct under_way *u = calloc(AT_ONCE, sizeof *u);
    unsigned begun = 0, ended = 0;
    nx_err e = u ? NX_OK : nx_error_set(reterr, NX_ENOMEM, "out of memory");

    for (unsigned i = 0; u && i < AT_ONCE; i++)
        u[i].q.body = (nx_buf)NX_BUF_INIT(1 << 20);
    while (ended < begun || (!e && ended < n)) {
        nx_err one = NX_OK;

        if (begun - ended <= AT_ONCE / 2)
            while (!e && !one && begun < n && begun - ended < AT_ONCE) {
                one = begin(f, &u[begun % AT_ONCE], m, begun, reterr);
                begun += !one;
            }
        if (one != NX_EBUSY || begun == ended) /* others ask much just now: one of ours ends first */
            e = e ? e : one;
        if (ended < begun) {
            one = end(f, &u[ended % AT_ONCE], m, ended, e ? NULL : reterr);
            e = e ? e : one;
            ended++;
        }
    }
    for (unsigned i = 0; u && i < AT_ONCE; i++)
        nx_buf_done(&u[i].q.body);
    free(u);
    return e;
}
