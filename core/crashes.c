/* crashes.c: which events kill their nodes, counted over all nodes.
 * A first delivery costs nothing: its node's journal knows that it was executing, and tells the others when the node is back. An event that was
 * delivered before leaves a mark in the log for as long as it executes, "DEATHS NODE": whoever finds such a mark of another node knows that this
 * node died meanwhile, also where it had no folder that lasts. A mark without a node ("DEATHS") is of one that ended.
 * A node that is cut off from the log while it executes looks like a dead one; it takes CRASHES_MAX of them. */
#include "dispatch.h"
#include <stdio.h>

typedef struct mark {
    unsigned deaths;
    char node[NX_ID_LEN + 1]; /* "" where nothing executes */
} mark;

static nx_err read_mark(nx_node *n, const nx_id *run_id, mark *ret, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(1u << 20);
    nx_slice text = NX_SLICE_NULL, node;
    uint64_t deaths;
    *ret = (mark){0};
    nx_err err = nx_fab_mark_get(n->ns, run_id, &a, &text, reterr);
    if (err != NX_OK)
        return err == NX_ENOENT ? NX_OK : err;
    /* What is no mark counts for nothing: anybody may write there. */
    if (nx_slice_u64(nx_slice_split(text, ' ', &node), NX_CORE_CRASHES_MAX, &deaths) == NX_OK &&
        nx_slice_to_cstr(node, ret->node, sizeof ret->node) == NX_OK)
        ret->deaths = (unsigned)deaths;
    return NX_OK;
}

static nx_slice mark_text(unsigned deaths, const char *node, char *out, size_t out_bytes)
{
    unsigned most = deaths < NX_CORE_CRASHES_MAX ? deaths : NX_CORE_CRASHES_MAX;
    int k = node[0] ? snprintf(out, out_bytes, "%u %s", most, node) : snprintf(out, out_bytes, "%u", most);
    return nx_slice_make(out, (size_t)k);
}

nx_err nx_core_crashes_of(nx_node *n, const nx_id *run_id, unsigned *ret, nx_error *reterr)
{
    mark m;
    nx_err err = read_mark(n, run_id, &m, reterr);
    if (err != NX_OK)
        return err;
    bool has_died = m.node[0] && strcmp(m.node, n->id.s) != 0; /* this one lives */
    *ret = m.deaths + (has_died ? 1 : 0) + nx_core_journal_crashes(n->journal, run_id);
    return NX_OK;
}

void nx_core_crash_begin(nx_core_run *r)
{
    char text[64];
    r->is_marked = r->is_suspect && nx_fab_mark_put(r->d->node->ns, &r->rec.run_id, mark_text(r->crashes, r->d->node->id.s, text, sizeof text), NULL) == NX_OK;
    if (r->is_marked)
        nx_core_journal_forget(r->d->node->journal, &r->rec.run_id); /* they are in the mark now */
    else
        r->journal_slot = nx_core_journal_begin(r->d->node->journal, &r->rec.run_id);
}

static void on_unmarked(nx_fab_pub *pub) { nx_core_run_release(pub->owner); }

void nx_core_crash_end(nx_core_run *r)
{
    char text[64];
    nx_core_journal_end(r->d->node->journal, r->journal_slot);
    if (!r->is_marked)
        return;
    r->is_marked = false;
    r->mark_pub = (nx_fab_pub){.done = on_unmarked, .owner = r};
    atomic_fetch_add(&r->refs, 1);
    if (nx_fab_mark_put_later(r->d->node->ns, &r->rec.run_id, mark_text(r->crashes, "", text, sizeof text), &r->mark_pub, NULL) != NX_OK)
        nx_core_run_release(r); /* no log, so no record either: it is delivered again, and this node knows that it lives */
}

void nx_core_crashes_share(nx_node *n)
{
    nx_id run_id;
    unsigned count;
    char text[64];
    mark m;
    while (nx_core_journal_next_crash(n->journal, &run_id, &count)) {
        nx_err err = read_mark(n, &run_id, &m, NULL);
        if (err == NX_OK)
            err = nx_fab_mark_put(n->ns, &run_id, mark_text(m.deaths + count, m.node, text, sizeof text), NULL);
        if (err != NX_OK) {
            nx_log(NX_LOG_WARN, "journal.not_shared", "what was executing when this node died is not known to others: %s", nx_err_text(err));
            return;
        }
        nx_core_journal_forget(n->journal, &run_id);
    }
}
