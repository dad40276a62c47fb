/* marks.c: small notes on runs that may kill their node, in NX_MARKS_<ns>: one message for each run, kept for a day. Every node of a namespace sees
 * them, and they outlive all of its nodes. */
#include "fab_internal.h"
#include <stdio.h>

#define MARKS_AGE_NS (24 * 3600 * NX_NS_PER_S)

nx_err nx_fab_marks_ensure(nx_fab_ns *n, nx_error *reterr)
{
    static const char *const keep[] = {"subjects", "storage", "retention", "max_age", "max_bytes", "duplicate_window", NULL};
    char want[512];

    snprintf(want, sizeof want,
             "{\"name\":\"%s\",\"subjects\":[\"nx.%s.mark.*\"],\"storage\":\"file\",\"retention\":\"limits\",\"discard\":\"old\",\"max_bytes\":-1,"
             "\"max_msgs_per_subject\":1,\"max_age\":%llu,\"num_replicas\":%u,\"duplicate_window\":%llu,\"allow_direct\":true}",
             n->marks, n->name, (unsigned long long)MARKS_AGE_NS, n->o.replicas ? n->o.replicas : 1, (unsigned long long)NX_NS_PER_S);
    return nx_fab_stream_ensure(n->f, n->marks, nx_slice_cstr(want), keep, reterr);
}

static void mark_subject(const nx_fab_ns *n, const nx_id *run_id, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "nx.%s.mark.%s", n->name, run_id->s);
}

nx_err nx_fab_mark_get(nx_fab_ns *n, const nx_id *run_id, nx_arena *a, nx_slice *ret, nx_error *reterr)
{
    char subject[128], body[192];
    nx_fab_kept k;
    nx_err e;

    mark_subject(n, run_id, subject, sizeof subject);
    snprintf(body, sizeof body, "{\"last_by_subj\":\"%s\"}", subject);
    e = nx_fab_leader_get(n->f, n->marks, body, a, &k, reterr);
    if (!e)
        *ret = k.data;
    return e;
}

nx_err nx_fab_mark_put(nx_fab_ns *n, const nx_id *run_id, nx_slice text, nx_error *reterr)
{
    char subject[128];

    mark_subject(n, run_id, subject, sizeof subject);
    return nx_fab_publish_asked(n->f, &(nx_fab_ask){.subject = subject, .body = text, .is_repeatable = true}, NULL, reterr);
}

nx_err nx_fab_mark_put_later(nx_fab_ns *n, const nx_id *run_id, nx_slice text, nx_fab_pub *pub, nx_error *reterr)
{
    char subject[128];
    nx_fab_hdr none = {0};

    mark_subject(n, run_id, subject, sizeof subject);
    return nx_fab_publish(n->f, NULL, subject, &none, text, pub, reterr);
}
