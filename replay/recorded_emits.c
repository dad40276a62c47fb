/* recorded_emits.c: see recorded_emits.h. */
#include "recorded_emits.h"
#include "nx/clock.h"
#include "nx/fab.h"
#include "nx/registry.h"

#define LOOK_NS (2 * NX_NS_PER_S)

/* As the guest emitted it: an event that has no key or content type of its own was published with others, so the digest decides. */
static bool restore(const nx_event *e, const nx_sha256 *digest, nx_emit *ret)
{
    for (unsigned variant = 0; variant < 4; variant++) {
        nx_emit m = {.type = e->type, .subject = e->subject, .data = e->data};
        m.partition_key = variant & 1 ? NX_SLICE_NULL : e->partition_key;
        m.content_type = variant & 2 ? NX_SLICE_NULL : e->content_type;
        nx_sha256 d = nx_emit_digest(&m);
        if (memcmp(&d, digest, sizeof d) == 0) {
            *ret = m;
            return true;
        }
    }
    return false;
}

void nx_replay_recorded_emits(nx_node *n, nx_diff_side *before, const nx_run *after, nx_arena *a)
{
    const nx_run *r = before->run;
    unsigned count = nx_run_guest_emits(r), most = after ? nx_run_guest_emits(after) : 0;
    uint64_t until = nx_clock_ns() + LOOK_NS;
    if (!count || r->redacted.n || r->recording != NX_RECORDING_FULL) /* what is kept from recordings is not shown beside them */
        return;
    nx_emit *v = nx_arena_calloc(a, count, sizeof *v);
    bool *knows = nx_arena_calloc(a, count, sizeof *knows);
    if (!v || !knows)
        return;
    for (unsigned i = 0; i < count && i < most && nx_clock_ns() < until; i++) {
        const nx_emitted *x = &r->emitted[i];
        nx_event e;
        if (memcmp(&x->digest, &after->emitted[i].digest, sizeof x->digest) != 0 && nx_fab_event_get(nx_core_namespace(n), &x->event_id, a, &e, NULL) == NX_OK)
            knows[i] = restore(&e, &x->digest, &v[i]);
    }
    before->emits = v;
    before->knows = knows;
}
