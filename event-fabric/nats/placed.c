/* placed.c: events that take a place in the log once more, for one function whose keys are in order: a delayed one when it becomes due, one that is
 * redriven. The log's order is then the only order there is: whoever keeps a key in order has nothing else to look at.
 *
 * Such a message is the event as it was published, on  nx.<ns>.due.<shard>.<function>, with what its timer said in headers of ours. It is a copy, since the
 * event may be trimmed while its place waits: trimming looks at what consumers are done with. */
#include "nats/consume.h"
#include "nats/lookup.h"
#include <stdio.h>
#include <stdlib.h>

void nx_fab_placed_filter(const nx_fab_ns *n, nx_slice function, int shard, char *out, size_t out_bytes)
{
    if (shard < 0)
        snprintf(out, out_bytes, "%s*.%.*s", n->due_prefix, NX_SLICE_FMT(function));
    else
        snprintf(out, out_bytes, "%s%02u.%.*s", n->due_prefix, (unsigned)shard, NX_SLICE_FMT(function));
}

nx_err nx_fab_event_place(nx_fab_ns *n, const nx_fab_timer *t, const nx_event *e, nx_fab_pub *pub, nx_error *reterr)
{
    char subject[NX_FAB_SUBJECT_BYTES], of[64], run[32], due[24];
    char *lines = malloc(NX_FAB_HDR_BYTES);
    nx_fab_hdr h = {.p = lines, .cap = NX_FAB_HDR_BYTES};
    nx_err err;

    if (!lines)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    if (!nx_fab_name_is_valid(t->function, NX_FUNCTION_NAME_BYTES))
        err = nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is not a function name", NX_SLICE_FMT(t->function));
    else if ((err = nx_fab_event_encode(e, NX_SLICE_NULL, t->reply, &h)))
        nx_error_set(reterr, err, "the event's attributes do not fit into message headers");
    if (!err) {
        nx_fab_hdr_add(&h, "nx-of", nx_slice_make(of, (size_t)snprintf(of, sizeof of, "%llu.%llu", (unsigned long long)e->stream_seq, (unsigned long long)e->wall_ns)));
        nx_fab_hdr_add(&h, "nx-run", nx_slice_make(run, (size_t)snprintf(run, sizeof run, "%u.%u", t->generation, t->attempt)));
        nx_fab_hdr_add(&h, "nx-due", nx_slice_make(due, (size_t)snprintf(due, sizeof due, "%llu", (unsigned long long)t->due_wall_ns)));
        nx_fab_hdr_add(&h, "nx-note", t->note);
        nx_fab_placed_filter(n, t->function, (int)nx_id_shard(&e->event_id), subject, sizeof subject);
        err = h.is_bad ? nx_error_set(reterr, NX_ELIMIT, "event and timer do not fit into message headers")
                       : nx_fab_publish(n->f, NULL, subject, &h, e->data, pub, reterr);
    }
    free(lines);
    return err;
}

/* "<first>.<second>", both numbers. */
static bool two_numbers(natsMsg *m, const char *header, uint64_t *ret_first, uint64_t *ret_second)
{
    nx_slice text, first, second;

    if (!nx_fab_msg_header(m, header, &text))
        return false;
    first = nx_slice_split(text, '.', &second);
    return !nx_slice_u64(first, UINT64_MAX, ret_first) && !nx_slice_u64(second, UINT64_MAX, ret_second);
}

nx_err nx_fab_placed_complete(natsMsg *m, nx_event *e, nx_error *reterr)
{
    return two_numbers(m, "nx-of", &e->stream_seq, &e->wall_ns) ? NX_OK : nx_error_set(reterr, NX_ECORRUPT, "a place in the log does not say of which event");
}

bool nx_fab_placed_timer(natsMsg *m, nx_slice subject, nx_fab_timer *ret)
{
    nx_slice text, rest = subject;
    uint64_t seq, wall_ns, generation, attempt;

    *ret = (nx_fab_timer){0};
    for (int i = 0; i < 4; i++)
        (void)nx_slice_split(rest, '.', &rest);
    ret->function = rest;
    (void)nx_fab_msg_header(m, "nx-reply", &ret->reply);
    (void)nx_fab_msg_header(m, "nx-note", &ret->note);
    if (!two_numbers(m, "nx-of", &seq, &wall_ns) || !two_numbers(m, "nx-run", &generation, &attempt) || !nx_fab_msg_header(m, "nx-due", &text) ||
        nx_slice_u64(text, UINT64_MAX, &ret->due_wall_ns) || nx_id_parse(nx_fab_stored_event_id(m), &ret->event_id))
        return false;
    ret->event_seq = seq;
    ret->generation = (unsigned)generation;
    ret->attempt = (unsigned)attempt;
    return ret->function.n > 0;
}
